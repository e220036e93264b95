"""`python -m tug COMMAND`: one command a stage, and the tools around them. `--help` tells each one's options."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from . import evaluate, quantise, report, score, tools
from .config import CONFIGS, ConfigError, build, read_config
from .photos import Album
from .sd15 import commands as sd15
from .trainer import TrainConfig

T = TypeVar("T")

OVERRIDES = ("steps", "rate", "minutes", "seed")
SMOKE_PHOTOS = 240  # outlines of all of them would take most of the ten minutes


@dataclass(frozen=True)
class Plan:
    """A stage as its configuration file and the command line have it."""

    train: TrainConfig
    tables: dict[str, dict[str, Any]]
    file: Path

    def stage(self, kind: type[T]) -> T:
        return build(kind, self.tables.get("stage", {}), f"{self.file} [stage]")

    def network(self, kind: type[T]) -> T:
        return build(kind, self.tables.get("network", {}), f"{self.file} [network]")


def _plan(args: argparse.Namespace) -> Plan:
    """The stage's configuration; `--steps`, `--rate`, `--minutes`, `--seed` and `--batch` have the last word."""
    tables = read_config(args.config)
    train = build(TrainConfig, tables.get("train", {}), f"{args.config} [train]")
    given = {key: getattr(args, key) for key in OVERRIDES if getattr(args, key) is not None}
    if args.batch is not None:
        tables.setdefault("stage", {})["batch"] = args.batch
    return Plan(dataclasses.replace(train, **given), tables, args.config)


def _album(args: argparse.Namespace) -> Album:
    from .photos import load_album

    return load_album(args.data, args.runs / "cache", args.photos, salient=args.salient, segmenter=args.things)


def _train_field(args: argparse.Namespace, name: str = "field") -> None:
    from .fieldnet import FieldConfig
    from .photos import add_frames
    from .stage_field import FieldStage, FieldStageConfig
    from .trainer import train
    from .videos import training_pairs
    from .weights import BEGIN_AS

    plan = _plan(args)
    config = plan.stage(FieldStageConfig)
    album, pairs = _album(args), []
    if config.real > 0 and (args.data / "videos").is_dir():
        add_frames(album, args.data)
        pairs = training_pairs(args.data / "videos", args.runs / "cache")
    stage = FieldStage(album, config, plan.network(FieldConfig), plan.train.seed, pairs, name)
    begin = args.runs / BEGIN_AS[name] / "state.pt" if name in BEGIN_AS else None
    train(stage, plan.train, args.runs / name, args.warm or begin)


def _train_pull(args: argparse.Namespace) -> None:
    _train_field(args, "pull")


def _train_autoencoder(args: argparse.Namespace) -> None:
    from .autoencoder import AutoencoderConfig
    from .features import Features
    from .stage_autoencoder import AutoencoderStage, AutoencoderStageConfig
    from .trainer import train

    plan = _plan(args)
    album = _album(args)
    config, network = plan.stage(AutoencoderStageConfig), plan.network(AutoencoderConfig)
    stage = AutoencoderStage(album, config, network, Features(), plan.train.seed)
    train(stage, plan.train, args.runs / "ae", args.warm)


def _normalise(args: argparse.Namespace) -> None:
    import numpy as np

    from .cases import fit
    from .export import build_networks
    from .photos import photo_paths, read_photo
    from .pipeline import to_tensor
    from .stage_autoencoder import normalise
    from .weights import load_weights, save

    networks = build_networks()
    load_weights(networks, args.runs / "ae" / "state.pt")
    paths = photo_paths(args.data)
    chosen = np.random.default_rng(0).choice(len(paths), min(64, len(paths)), replace=False)
    mean, std = normalise(networks, torch.cat([to_tensor(fit(read_photo(paths[i]), 256, 256)) for i in chosen]))
    kept = {key: value for key, value in networks.state_dict().items() if key.startswith(("encoder.", "decoder."))}
    save(args.runs / "ae" / "normalised.pt", kept)
    print(f"latent mean {mean.abs().max():.3f} at most, deviation {std.min():.3f} to {std.max():.3f}: baked in")


def _train_drag(args: argparse.Namespace) -> None:
    from .dragnet import DragConfig
    from .export import load_runs
    from .features import Features
    from .stage_drag import DragStage, DragStageConfig
    from .trainer import train

    plan = _plan(args)
    album = _album(args)
    trained = load_runs(args.runs)
    frozen = (trained["field"], trained["encoder"], trained["decoder"])
    config, network = plan.stage(DragStageConfig), plan.network(DragConfig)
    stage = DragStage(album, config, network, frozen, Features(), plan.train.seed)
    train(stage, plan.train, args.runs / "drag", args.warm)


def _train_restore(args: argparse.Namespace) -> None:
    from .autoencoder import AutoencoderConfig
    from .export import load_runs
    from .features import Features
    from .photos import load_album
    from .stage_restore import RestoreStage, RestoreStageConfig
    from .trainer import train
    from .weights import load_weights

    plan = _plan(args)
    photos, network = load_album(args.data, limit=args.photos).photos, plan.network(AutoencoderConfig)
    trained = load_runs(args.runs)
    if args.warm is not None:
        load_weights(trained, args.warm)
    config = plan.stage(RestoreStageConfig)
    stage = RestoreStage(photos, config, network, trained["encoder"], Features(), plan.train.seed)
    train(stage, plan.train, args.runs / "restore", args.warm)


def _export(args: argparse.Namespace) -> None:
    from .export import export_bundle, load_runs

    export_bundle(load_runs(args.runs), args.out)


def _smoke(args: argparse.Namespace) -> None:
    """Every stage by its smoke configuration, then the export: a valid bundle in ten minutes, not a good one."""
    stages = {"field": _train_field, "autoencoder": _train_autoencoder, "restore": _train_restore, "drag": _train_drag}
    for name, run in stages.items():
        config = CONFIGS / f"smoke-{name}.toml"
        minutes = None if args.minutes is None else args.minutes / 5
        rest = {
            "steps": args.steps,
            "salient": None,
            "things": None,
            "rate": None,
            "batch": None,
            "minutes": minutes,
            "seed": None,
            "warm": None,
        }
        run(argparse.Namespace(data=args.data, runs=args.runs, config=config, photos=SMOKE_PHOTOS, **rest))
        if name == "autoencoder":
            _normalise(argparse.Namespace(data=args.data, runs=args.runs))
    _export(argparse.Namespace(runs=args.runs, out=args.out))


def main() -> None:
    parser = argparse.ArgumentParser(prog="tug", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def stage(name: str, run) -> None:
        command = commands.add_parser(f"train-{name}")
        config = CONFIGS / f"{name}.toml"
        command.add_argument("--config", type=Path, default=config, help="TOML file; the rest overrides what it says")
        command.add_argument("--data", type=Path, default=Path("../../shared/data"))
        command.add_argument("--runs", type=Path, default=Path("runs"))
        command.add_argument("--warm", type=Path)
        command.add_argument("--photos", type=int, help="so many of the photos only")
        command.add_argument("--salient", type=Path, help="ONNX file of a network that finds objects' outlines")
        command.add_argument("--things", type=Path, help="folder of a network that tells what a point lies on")
        command.add_argument("--steps", type=int)
        command.add_argument("--batch", type=int)
        command.add_argument("--rate", type=float)
        command.add_argument("--minutes", type=float)
        command.add_argument(
            "--seed", type=int, help="another one draws other cases, for a run that goes on from a state"
        )
        command.set_defaults(run=run)

    stage("field", _train_field)
    stage("pull", _train_pull)
    stage("autoencoder", _train_autoencoder)
    stage("drag", _train_drag)
    stage("restore", _train_restore)
    command = commands.add_parser("normalise", help="latents to unit variance, once, after the autoencoder's training")
    command.add_argument("--data", type=Path, default=Path("../../shared/data"))
    command.add_argument("--runs", type=Path, default=Path("runs"))
    command.set_defaults(run=_normalise)
    command = commands.add_parser("export", help="ONNX graphs and bundle.json")
    command.add_argument("--runs", type=Path, default=Path("runs"))
    command.add_argument("--out", type=Path, default=Path("../models/tug-small"))
    command.set_defaults(run=_export)
    command = commands.add_parser("smoke", help="the whole recipe in ten minutes")
    command.add_argument("--data", type=Path, default=Path("../../shared/data"))
    command.add_argument("--runs", type=Path, default=Path("runs/smoke"))
    command.add_argument("--out", type=Path, default=Path("out/smoke"))
    command.add_argument("--minutes", type=float, help="for the four stages and the rest, instead of ten")
    command.add_argument("--steps", type=int, help="of each stage, instead of what the configurations say")
    command.set_defaults(run=_smoke)
    evaluate.register(commands)
    report.register(commands)
    score.register(commands)
    quantise.register(commands)
    tools.register(commands)
    sd15.register(commands)
    args = parser.parse_args()
    try:
        args.run(args)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()

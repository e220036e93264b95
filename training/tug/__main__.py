"""`python -m tug COMMAND`: one command a stage, and the tools around them. `--help` tells each one's options."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from . import evaluate, score, tools
from .sd15 import commands as sd15
from .trainer import TrainConfig


def _train_field(args: argparse.Namespace) -> None:
    from .fieldnet import FieldConfig
    from .photos import load_album
    from .stage_field import FieldStage, FieldStageConfig
    from .trainer import train

    album = load_album(args.data, args.runs / "cache")
    stage = FieldStage(album, FieldStageConfig(batch=args.batch), FieldConfig())
    train(stage, _schedule(args), args.runs / "field", args.warm)


def _train_autoencoder(args: argparse.Namespace) -> None:
    from .autoencoder import AutoencoderConfig
    from .features import Features
    from .photos import load_album
    from .stage_autoencoder import AutoencoderStage, AutoencoderStageConfig
    from .trainer import train

    album = load_album(args.data, args.runs / "cache")
    config = AutoencoderStageConfig(batch=args.batch)
    train(
        AutoencoderStage(album, config, AutoencoderConfig(), Features()), _schedule(args), args.runs / "ae", args.warm
    )


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
    from .photos import load_album
    from .stage_drag import DragStage, DragStageConfig
    from .trainer import train

    album = load_album(args.data, args.runs / "cache")
    trained = load_runs(args.runs)
    frozen = (trained["field"], trained["encoder"], trained["decoder"])
    stage = DragStage(album, DragStageConfig(batch=args.batch), DragConfig(), frozen, Features())
    train(stage, _schedule(args), args.runs / "drag", args.warm)


def _export(args: argparse.Namespace) -> None:
    from .export import export_bundle, load_runs

    export_bundle(load_runs(args.runs), args.out)


def _smoke(args: argparse.Namespace) -> None:
    """Every stage for a share of `--minutes`, then the export: a valid bundle in ten minutes, not a good one."""
    share = args.minutes / 4
    rest = {"data": args.data, "runs": args.runs, "warm": None, "minutes": share, "decay_from": 0.5, "warmup": 30}
    _train_field(argparse.Namespace(**rest, steps=200, batch=8, rate=1e-3))
    _train_autoencoder(argparse.Namespace(**rest, steps=200, batch=6, rate=8e-4))
    _normalise(argparse.Namespace(**rest))
    _train_drag(argparse.Namespace(**rest, steps=120, batch=4, rate=6e-4))
    _export(argparse.Namespace(runs=args.runs, out=args.out))


def _schedule(args: argparse.Namespace) -> TrainConfig:
    return TrainConfig(
        steps=args.steps, rate=args.rate, minutes=args.minutes, decay_from=args.decay_from, warmup=args.warmup
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="tug", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def stage(name: str, run, steps: int, batch: int, rate: float) -> None:
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, default=Path("../../shared/data"))
        command.add_argument("--runs", type=Path, default=Path("runs"))
        command.add_argument("--warm", type=Path)
        command.add_argument("--steps", type=int, default=steps)
        command.add_argument("--batch", type=int, default=batch)
        command.add_argument("--rate", type=float, default=rate)
        command.add_argument("--minutes", type=float, default=150.0)
        command.add_argument("--warmup", type=int, default=100)
        command.add_argument("--decay-from", type=float, default=0.5, help="share of steps after which the rate falls")
        command.set_defaults(run=run)

    stage("train-field", _train_field, 3000, 16, 1e-3)
    stage("train-autoencoder", _train_autoencoder, 3000, 12, 6e-4)
    stage("train-drag", _train_drag, 3000, 8, 5e-4)
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
    command.add_argument("--minutes", type=float, default=10.0)
    command.set_defaults(run=_smoke)
    evaluate.register(commands)
    score.register(commands)
    tools.register(commands)
    sd15.register(commands)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

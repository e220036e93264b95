"""`python -m tug COMMAND`: one command a stage, and the tools around them. `--help` tells each one's options."""

from __future__ import annotations

import argparse
from pathlib import Path

from .trainer import TrainConfig


def _train_field(args: argparse.Namespace) -> None:
    from .fieldnet import FieldConfig
    from .photos import load_album
    from .stage_field import FieldStage, FieldStageConfig
    from .trainer import train

    album = load_album(args.data, args.runs / "cache")
    stage = FieldStage(album, FieldStageConfig(batch=args.batch), FieldConfig())
    train(stage, _schedule(args), args.runs / "field", args.warm)


def _schedule(args: argparse.Namespace) -> TrainConfig:
    return TrainConfig(steps=args.steps, rate=args.rate, minutes=args.minutes)


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
        command.set_defaults(run=run)

    stage("train-field", _train_field, 3000, 16, 1e-3)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

"""The `import` and `random-checkpoint` commands."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path


def register(commands: argparse._SubParsersAction) -> None:
    importer = commands.add_parser("import", help="turn the published LightningDrag checkpoint into a bundle")
    importer.add_argument("--checkpoints", type=Path, required=True, help="folder that holds the published folders")
    importer.add_argument("--out", type=Path, required=True, help="the bundle's folder; an older bundle is replaced")
    importer.add_argument("--precision", choices=["fp16", "fp32", "both"], default="fp16")
    importer.add_argument("--lcm", action="store_true", help="also add the U-Net with LCM-LoRA fused (8 steps)")
    importer.set_defaults(run=_import)
    maker = commands.add_parser("random-checkpoint", help="write a checkpoint of the published layout, weights random")
    maker.add_argument("--out", type=Path, required=True)
    maker.add_argument("--full", action="store_true", help="Stable Diffusion 1.5 size (about 6 GB in fp16)")
    maker.set_defaults(run=_random_checkpoint)


def _import(args: argparse.Namespace) -> None:
    _need_extra()
    from .checkpoint import CheckpointError
    from .export import ImportConfig, import_checkpoint

    start = time.monotonic()
    try:
        folders = import_checkpoint(ImportConfig(args.checkpoints, args.out, args.precision, args.lcm))
    except CheckpointError as error:
        sys.exit(f"import: {error}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    written = ", ".join(str(folder) for folder in folders)
    print(f"wrote {written} in {time.monotonic() - start:.0f} s, at most {peak:.1f} GB of memory")


def _random_checkpoint(args: argparse.Namespace) -> None:
    _need_extra()
    import torch

    from .random_checkpoint import FULL, TINY, make_random_checkpoint

    dtype = torch.float16 if args.full else torch.float32
    make_random_checkpoint(args.out, FULL if args.full else TINY, dtype=dtype)
    print(f"wrote {args.out}")


def _need_extra() -> None:
    try:
        import diffusers  # noqa: F401
    except ImportError:
        sys.exit("this command needs diffusers: pip install 'tug-training[sd15]' (or pip install -e 'training[sd15]')")

"""`python -m tug score-synthetic`: the bundle against the naive warp on 200 fixed held-out synthetic drags.

Naive warp: the photo warped by the interpolated field (the graph's `prior`), holes as they come. Both are measured
inside the mask: PSNR, and a perceptual distance by features that training never uses (EfficientNet-Lite2). What is
printed is the mean of either, and the paired difference with its 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from .bundle_runner import Bundle
from .metrics import Perceptual, mean_bound, paired_difference, psnr
from .motions import warp
from .testsets import load_set


def score(folder: Path, data: Path, count: int, steps: int | None, threads: int) -> dict[str, object]:
    """Means and paired bounds over `count` cases at `steps` (the bundle's default if None)."""
    bundle, perceptual = Bundle(folder, threads), Perceptual()
    steps = steps or bundle.default_steps
    names = ("naive", "warp", "ours")
    figures: dict[str, dict[str, list[float]]] = {name: {"psnr": [], "perceptual": []} for name in names}
    for index, item in enumerate(load_set("synthetic", data, count)):
        case = item.case
        edited = bundle.edit(case.source, case.mask, case.drags, [steps])[steps]
        naive = warp(case.source, edited.prior)
        truth = perceptual.maps(case.target)
        for name, picture in (("naive", naive), ("warp", edited.warped), ("ours", edited.picture)):
            figures[name]["psnr"].append(psnr(picture, case.target, case.mask))
            figures[name]["perceptual"].append(perceptual.between(perceptual.maps(picture), truth, case.mask))
        if index % 20 == 19:
            print(f"{index + 1} cases", flush=True)
    out: dict[str, object] = {"bundle": bundle.title, "steps": steps, "cases": len(figures["ours"]["psnr"])}
    for key in ("psnr", "perceptual"):
        for name in names:
            out[f"{key} {name}"] = str(mean_bound(np.array(figures[name][key])))
        sign = 1 if key == "psnr" else -1
        gain = paired_difference(sign * np.array(figures["ours"][key]), sign * np.array(figures["naive"][key]))
        out[f"{key} gain of ours over naive"] = str(gain)
        out[f"{key} passes"] = bool(gain.low > 0)
    return out


def register(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("score-synthetic", help="bundle against the naive warp, 200 fixed held-out drags")
    command.add_argument("--bundle", type=Path, default=Path("../models/tug-small"))
    command.add_argument("--data", type=Path, default=Path("../../shared/data"))
    command.add_argument("--count", type=int, default=200)
    command.add_argument("--steps", type=int)
    command.add_argument("--threads", type=int, default=2)
    command.set_defaults(
        run=lambda args: print(
            json.dumps(score(args.bundle, args.data, args.count, args.steps, args.threads), indent=2)
        )
    )

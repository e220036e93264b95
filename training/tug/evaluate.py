"""`python -m tug evaluate`: a bundle against no edit, naive warps and classical warps, on fixed held-out sets.

Writes results.json (every figure of every case), table.md (goals, means with 95 % intervals, paired comparisons) and
contact sheets (source with drags and mask, best classical warp, the field's warp, ours, truth) into `--out`; `report`
makes `benchmarks/quality.md` of the figures and of what was seen on the sheets.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .baselines import BASELINES, CLASSICAL
from .bundle_runner import Bundle
from .metrics import Perceptual, psnr
from .report import Results, Table, comparisons, render
from .scoring import Known, Scored, Scorer, digest, score_set
from .sheets import edit_tile, tile, write_sheets
from .testsets import SETS, Item, load_set


@dataclass
class EvaluateConfig:
    """count: cases a set at most; keep: cases on contact sheets; unmatched: sets whose mean distances are not measured,
    since they have a truth to be compared with; precisions: those that a bundle is run in, in this order."""

    sets: tuple[str, ...] = SETS
    steps: tuple[int, ...] = (1, 2, 4, 8)
    count: int = 200
    keep: int = 40
    unmatched: tuple[str, ...] = ("synthetic", "synthetic512")
    threads: int = 2
    precisions: tuple[str, ...] = ("fp32",)


def sheet_rows(
    scored: list[Scored], table: Table, ours: str | None, size: tuple[int, int] = (330, 248)
) -> list[list[np.ndarray]]:
    """A row a case whose pictures were kept: the edit asked for, the best classical warp, the field's, ours, truth."""
    classical = table.best(CLASSICAL, "perceptual" if table.has("perceptual") else "fidelity")
    if not table.has("perceptual"):
        classical = "ARAP"  # without a truth: the one that looks best most often
    names = [classical] + ([ours.rsplit(",", 1)[0] + ", field", ours] if ours else ["naive warp"])
    rows = []
    for entry in scored:
        if not entry.pictures:
            continue
        case = entry.item.case
        row = [edit_tile(case.source, case.mask, case.drags, entry.item.name[-44:], *size)]
        row += [tile(entry.pictures[name], name, *size) for name in names if name in entry.pictures]
        if case.target is not None:
            row.append(tile(case.target, "truth", *size))
        rows.append(row)
    return rows


def autoencoder_psnr(bundle: Bundle, items: list[Item]) -> dict[str, float]:
    """dB over held-out photographs at work size: the latent alone, and with the source's features at hand."""
    values: dict[str, list[float]] = {"latent alone": [], "with the source": []}
    for item in items:
        photo = item.case.source
        for name, see in (("latent alone", False), ("with the source", True)):
            made = bundle.autoencode(photo, see)
            truth = cv2.resize(photo, made.shape[1::-1], interpolation=cv2.INTER_AREA)
            values[name].append(psnr(made, truth))
    return {name: float(np.mean(v)) for name, v in values.items()}


def _known(file: Path | None, name: str) -> Known | None:
    """Baseline figures of set `name` in an earlier results.json."""
    if file is None:
        return None
    cases = json.loads(file.read_text()).get(name, {}).get("cases", [])
    return Known({c["name"]: c["figures"] for c in cases}, {c["name"]: c["digest"] for c in cases})


def evaluate(
    config: EvaluateConfig, data: Path, bundle_folders: list[Path], out: Path, reuse: Path | None = None
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    bundles = [Bundle(folder, config.threads, p) for folder in bundle_folders for p in config.precisions]
    perceptual = Perceptual()
    results: Results = {}
    for name in config.sets:
        items, started = list(load_set(name, data, config.count)), time.time()

        def progress(index: int, item: Item, name: str = name, total: int = len(items), since: float = started) -> None:
            if index % 10 == 9 or index + 1 == total:
                print(f"{name}: {index + 1}/{total}, {(time.time() - since) / (index + 1):.1f} s a case", flush=True)

        known = _known(reuse, name)
        scorer = Scorer(perceptual, name not in config.unmatched)
        scored = score_set(items, bundles, list(config.steps), list(BASELINES), scorer, config.keep, known, progress)
        cases = [
            {"name": s.item.name, "group": s.item.group, "digest": digest(s.item.case), "figures": s.rows}
            for s in scored
        ]
        table, ours = Table(cases), [f"{bundle.title}, {bundle.default_steps} steps" for bundle in bundles]
        found = results[name] = {
            "cases": cases,
            "ours": ours,
            "comparisons": {method: comparisons(table, method)[1] for method in ours},
        }
        if bundles:
            found["gflop"] = bundles[0].gflop(bundles[0].default_steps)
        if bundles and name.startswith("synthetic"):
            found["autoencoder"] = autoencoder_psnr(bundles[0], items[:40])
        rows = sheet_rows(scored, table, ours[0] if ours else None)
        write_sheets(out / f"sheet-{Path(name).name}", rows, 8)
        (out / "table.md").write_text(render(results))
        (out / "results.json").write_text(json.dumps(results, indent=1, allow_nan=True))
    print((out / "table.md").read_text())


def register(commands: argparse._SubParsersAction) -> None:
    """Adds `evaluate` to the command line."""
    defaults = EvaluateConfig()
    command = commands.add_parser("evaluate", help="score a bundle on the held-out sets")
    command.add_argument("--bundle", type=Path, action="append", default=[], help="may be given more than once")
    command.add_argument("--data", type=Path, default=Path("../../shared/data"))
    command.add_argument("--sets", default=",".join(SETS), help="comma-separated; a folder is read as DragBench")
    command.add_argument("--steps", default=",".join(str(s) for s in defaults.steps))
    command.add_argument("--count", type=int, default=defaults.count)
    command.add_argument("--sheets", type=int, default=defaults.keep, help="cases a set on contact sheets")
    command.add_argument("--unmatched", default=",".join(defaults.unmatched), help="sets without mean distances")
    command.add_argument("--threads", type=int, default=defaults.threads)
    command.add_argument("--precision", default="fp32", help="comma-separated: fp32,int8 compares the two")
    command.add_argument("--reuse", type=Path, help="results.json of an earlier run: its baselines are not run again")
    command.add_argument("--out", type=Path, default=Path("out/evaluate"))
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    import cv2
    import torch

    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    steps = tuple(int(s) for s in args.steps.split(","))
    sets = tuple(args.sets.split(","))
    unmatched, precisions = tuple(args.unmatched.split(",")), tuple(args.precision.split(","))
    config = EvaluateConfig(sets, steps, args.count, args.sheets, unmatched, args.threads, precisions)
    evaluate(config, args.data, args.bundle, args.out, args.reuse)

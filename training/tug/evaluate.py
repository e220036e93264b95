"""`python -m tug evaluate`: a bundle against no edit, naive warps and classical warps, on fixed held-out sets.

Writes results.json (every figure of every case), table.md (means with 95 % intervals, then the paired comparisons) and
contact sheets (source with drags and mask, best classical warp, the field's warp, ours, truth) into `--out`.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from .baselines import BASELINES, CLASSICAL
from .bundle_runner import Bundle
from .metrics import Bound, Perceptual, geometric_bound, mean_bound, paired_difference, paired_ratio, psnr
from .scoring import Known, Scored, Scorer, digest, score_set
from .sheets import edit_tile, tile, write_sheets
from .testsets import SETS, Item, load_set

NAIVE = ("naive warp", "naive warp, still border")
# figure: (title, unit digits, True if more is better), in the table's order
FIGURES: dict[str, tuple[str, int, bool]] = {
    "psnr": ("PSNR, visible (dB)", 2, True),
    "ssim": ("SSIM, visible", 3, True),
    "perceptual": ("perceptual, mask", 4, False),
    "perceptual_hole": ("perceptual, hole", 4, False),
    "sharpness_hole": ("sharpness, hole (×truth)", 2, True),
    "seam": ("seam gradient (×truth)", 2, False),
    "epe": ("end-point error (px)", 2, False),
    "epe_in_place": ("… deformed in place (px)", 2, False),
    "distance": ("mean distance (px)", 2, False),
    "distance_mask": ("… within mask (px)", 2, False),
    "pin_distance": ("pins moved (px)", 2, False),
    "fidelity": ("image fidelity", 3, True),
}
GEOMETRIC = ("sharpness_hole", "seam")


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


class Table:
    """Figures of one set: method → figure → values over the cases, in order, NaN where unknown."""

    def __init__(self, scored: list[Scored]) -> None:
        self.groups = [entry.item.group for entry in scored]
        self.methods = list(dict.fromkeys(name for entry in scored for name in entry.rows))
        self.scored = scored

    def values(self, method: str, figure: str) -> np.ndarray:
        return np.array([entry.rows.get(method, {}).get(figure, np.nan) for entry in self.scored], float)

    def has(self, figure: str) -> bool:
        return any(np.isfinite(self.values(method, figure)).any() for method in self.methods)

    def bound(self, method: str, figure: str) -> Bound:
        make = geometric_bound if figure in GEOMETRIC else mean_bound
        return make(self.values(method, figure), self.groups)

    def best(self, methods: tuple[str, ...], figure: str) -> str:
        """The method among `methods` with the best mean: the hardest opponent there is for this figure."""
        known = [name for name in methods if np.isfinite(self.values(name, figure)).any()]
        if not known:
            return ""
        sign = -1 if FIGURES[figure][2] else 1
        return min(known, key=lambda name: sign * np.nanmean(self.values(name, figure)))


def summary(table: Table) -> list[str]:
    figures = [figure for figure in FIGURES if table.has(figure)]
    lines = [
        "| method | " + " | ".join(FIGURES[figure][0] for figure in figures) + " |",
        "| --- |" + " --- |" * len(figures),
    ]
    for method in table.methods:
        cells = []
        for figure in figures:
            digits = FIGURES[figure][1]
            b = table.bound(method, figure)
            cells.append(f"{b.value:.{digits}f} ±{(b.high - b.low) / 2:.{digits}f}" if b.count else "–")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return lines


def comparisons(table: Table, ours: str) -> tuple[list[str], dict[str, dict]]:
    """Paired 95 % bounds of one method against the naive and the best classical warps, as lines and as data."""
    lines = ["| figure | against | ours | theirs | difference | ratio |", "| --- | --- | --- | --- | --- | --- |"]
    data: dict[str, dict] = {}
    for figure in ("psnr", "ssim", "perceptual", "perceptual_hole", "epe", "epe_in_place", "distance", "fidelity"):
        if not table.has(figure):
            continue
        digits = FIGURES[figure][1]
        rivals = {table.best(NAIVE, figure): "naive", table.best(CLASSICAL, figure): "best classical"}
        if figure.startswith("epe"):
            rivals[ours.rsplit(",", 1)[0] + ", interpolated"] = "interpolated field"
        if figure == "distance":
            rivals["no edit"] = "no edit"
        for rival, role in rivals.items():
            if rival not in table.methods:
                continue
            a, b = table.values(ours, figure), table.values(rival, figure)
            difference, ratio = paired_difference(a, b, table.groups), paired_ratio(a, b, table.groups)
            both = np.isfinite(a) & np.isfinite(b)
            if not both.any():
                continue
            means = f"{a[both].mean():.{digits}f} | {b[both].mean():.{digits}f}"
            lines.append(
                f"| {FIGURES[figure][0]} | {role} ({rival}) | {means} "
                f"| {difference.value:+.{digits}f} [{difference.low:+.{digits}f}, {difference.high:+.{digits}f}] "
                f"| {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}] |"
            )
            data[f"{figure} against {role}"] = {
                "rival": rival,
                "difference": asdict(difference),
                "ratio": asdict(ratio),
            }
    return lines, data


def between_bundles(table: Table, bundles: list[Bundle], steps: int) -> list[str]:
    """The later bundles (int8, say) against the first, at the same number of steps."""
    lines = []
    first = f"{bundles[0].title}, {steps} steps"
    for other in bundles[1:]:
        name = f"{other.title}, {steps} steps"
        if table.has("psnr"):
            loss = paired_difference(table.values(name, "psnr"), table.values(first, "psnr"), table.groups)
            lines.append(f"- {name} against {first}: PSNR {loss.value:+.3f} dB [{loss.low:+.3f}, {loss.high:+.3f}]")
            ratio = paired_ratio(table.values(name, "perceptual"), table.values(first, "perceptual"), table.groups)
            lines.append(f"- {name} against {first}: perceptual × {ratio}")
    return lines


def sheet_rows(table: Table, ours: str | None, size: tuple[int, int] = (330, 248)) -> list[list[np.ndarray]]:
    classical = table.best(CLASSICAL, "perceptual" if table.has("perceptual") else "fidelity")
    if not table.has("perceptual"):
        classical = "ARAP"  # without a truth: the one that looks best most often
    names = [classical] + ([ours.rsplit(",", 1)[0] + ", field", ours] if ours else ["naive warp"])
    rows = []
    for entry in table.scored:
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
    report: list[str] = []
    results: dict[str, dict] = {}
    for name in config.sets:
        items, started = list(load_set(name, data, config.count)), time.time()

        def progress(index: int, item: Item, name: str = name, total: int = len(items), since: float = started) -> None:
            if index % 10 == 9 or index + 1 == total:
                print(f"{name}: {index + 1}/{total}, {(time.time() - since) / (index + 1):.1f} s a case", flush=True)

        known = _known(reuse, name)
        scorer = Scorer(perceptual, name not in config.unmatched)
        scored = score_set(items, bundles, list(config.steps), list(BASELINES), scorer, config.keep, known, progress)
        table = Table(scored)
        groups = len(set(table.groups))
        report += [f"## {name}", "", f"{len(items)} cases of {groups} pictures or clips.", "", *summary(table), ""]
        results[name] = {
            "cases": [
                {"name": s.item.name, "group": s.item.group, "digest": digest(s.item.case), "figures": s.rows}
                for s in scored
            ],
        }
        ours = None
        for bundle in bundles:
            ours = f"{bundle.title}, {bundle.default_steps} steps"
            lines, compared = comparisons(table, ours)
            report += [f"{ours}, paired, 95 % intervals:", "", *lines, ""]
            results[name].setdefault("comparisons", {})[ours] = compared
        if len(bundles) > 1:
            report += [*between_bundles(table, bundles, bundles[0].default_steps), ""]
        if bundles and name.startswith("synthetic"):
            reached = autoencoder_psnr(bundles[0], items[:40])
            report += [
                f"Autoencoder of {bundles[0].title}: " + ", ".join(f"{k} {v:.1f} dB" for k, v in reached.items()),
                "",
            ]
            results[name]["autoencoder"] = reached
        first = f"{bundles[0].title}, {bundles[0].default_steps} steps" if bundles else None
        label = Path(name).name
        if not table.has("psnr"):
            in_place(report, table)
        write_sheets(out / f"sheet-{label}", sheet_rows(table, first), 8)
        (out / "table.md").write_text("\n".join(report) + "\n")
        (out / "results.json").write_text(json.dumps(results, indent=1, allow_nan=True))
    print("\n".join(report))


def in_place(report: list[str], table: Table) -> None:
    """Without a truth, mean distance as a share of no edit's is the figure that counts."""
    still = table.values("no edit", "distance")
    for method in table.methods:
        share = paired_ratio(table.values(method, "distance"), still, table.groups)
        report.append(f"- {method}: mean distance × {share} of no edit")
    report.append("")


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

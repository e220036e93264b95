"""What an evaluation's figures say: means, paired comparisons, the goals, and `benchmarks/quality.md` made of them.

Reads results.json of one or more runs of `evaluate` (each has sets of its own) and, for what no figure tells, the
judgement of whoever looked at the pictures (`eval/looked_at.toml`). Knows nothing of pictures or networks.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .baselines import CLASSICAL
from .metrics import Bound, geometric_bound, mean_bound, paired_difference, paired_ratio

Results = dict[str, dict[str, Any]]

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
COMPARED = ("psnr", "ssim", "perceptual", "perceptual_hole", "epe", "epe_in_place", "distance", "fidelity")
TITLES = {
    "synthetic": "Synthetic drags at 320 px",
    "synthetic512": "Synthetic drags at 512 px",
    "video": "Real pairs from video",
    "user": "Drags drawn by hand",
    "single": "Single drags without a mask",
}


class Table:
    """Figures of one set: method → figure → values over the cases, in order, NaN where unknown."""

    def __init__(self, cases: list[dict[str, Any]]) -> None:
        self.groups = [case["group"] for case in cases]
        self.rows = [case["figures"] for case in cases]
        self.methods = list(dict.fromkeys(name for rows in self.rows for name in rows))

    def values(self, method: str, figure: str) -> np.ndarray:
        return np.array([rows.get(method, {}).get(figure, np.nan) for rows in self.rows], float)

    def has(self, figure: str) -> bool:
        return any(np.isfinite(self.values(method, figure)).any() for method in self.methods)

    def bound(self, method: str, figure: str) -> Bound:
        make = geometric_bound if figure in GEOMETRIC else mean_bound
        return make(self.values(method, figure), self.groups)

    def difference(self, ours: str, theirs: str, figure: str) -> Bound:
        return paired_difference(self.values(ours, figure), self.values(theirs, figure), self.groups)

    def ratio(self, ours: str, theirs: str, figure: str) -> Bound:
        return paired_ratio(self.values(ours, figure), self.values(theirs, figure), self.groups)

    def best(self, methods: tuple[str, ...], figure: str) -> str:
        """The method among `methods` with the best mean: the hardest opponent there is for this figure."""
        known = [name for name in methods if np.isfinite(self.values(name, figure)).any()]
        if not known:
            return ""
        sign = -1 if FIGURES[figure][2] else 1
        return min(known, key=lambda name: sign * np.nanmean(self.values(name, figure)))


@dataclass
class Looked:
    """The pictures of one set without a truth by `bundle` (a method's name), looked at beside the warp `against`: the
    cases that are better, those that are worse, those with something left behind or smeared; notes in Markdown."""

    bundle: str
    against: str
    better: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    notes: str = ""


def read_looked(file: Path, results: Results) -> dict[str, Looked]:
    """The judgement of each set that has a table in the file. Raises ValueError where a set is not among the results,
    the judgement is of another bundle, or a name is no case, or is better and worse at once."""
    told = {name: Looked(**entry) for name, entry in tomllib.loads(file.read_text()).items()}
    for name, looked in told.items():
        if name not in results:
            raise ValueError(f"{file}: of the set {name}, and the results are of {', '.join(results)}")
        found = results[name]
        names = {case["name"] for case in found["cases"]}
        if looked.bundle not in found["ours"]:
            raise ValueError(f"{file}: of {looked.bundle}, and the results are of {', '.join(found['ours'])}")
        unknown = {*looked.better, *looked.worse, *looked.left_behind} - names
        both = set(looked.better) & set(looked.worse)
        if unknown or both:
            raise ValueError(f"{file}: no such case, or better and worse at once: {', '.join(sorted(unknown | both))}")
    return told


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
    for figure in COMPARED:
        if not table.has(figure):
            continue
        digits = FIGURES[figure][1]
        rivals = {table.best(NAIVE, figure): "naive", table.best(CLASSICAL, figure): "best classical"}
        if figure.startswith("epe"):
            rivals[_interpolated(ours)] = "interpolated field"
        if figure == "distance":
            rivals["no edit"] = "no edit"
        for rival, role in rivals.items():
            if rival not in table.methods:
                continue
            a, b = table.values(ours, figure), table.values(rival, figure)
            difference, ratio = table.difference(ours, rival, figure), table.ratio(ours, rival, figure)
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


def between_bundles(table: Table, ours: list[str]) -> list[str]:
    """The later methods (int8, say) against the first."""
    lines = []
    for name in ours[1:]:
        if table.has("psnr"):
            loss, ratio = table.difference(name, ours[0], "psnr"), table.ratio(name, ours[0], "perceptual")
            lines.append(f"- {name} against {ours[0]}: PSNR {_db(loss, 3)}")
            lines.append(f"- {name} against {ours[0]}: perceptual × {ratio}")
    return lines


def render_set(name: str, found: dict[str, Any]) -> list[str]:
    """One set's tables. `found`: its entry of results.json; every method in `found["ours"]` is compared."""
    table, ours = Table(found["cases"]), found["ours"]
    lines = [
        f"## {TITLES.get(name, name)}",
        "",
        f"{len(found['cases'])} cases of {len(set(table.groups))} pictures or clips.",
        "",
        *summary(table),
        "",
    ]
    for method in ours:
        lines += [f"{method}, paired, 95 % intervals:", "", *comparisons(table, method)[0], ""]
    if len(ours) > 1:
        lines += [*between_bundles(table, ours), ""]
    if "autoencoder" in found:
        reached = ", ".join(f"{key} {value:.1f} dB" for key, value in found["autoencoder"].items())
        lines += [f"Autoencoder: {reached}.", ""]
    if table.has("distance") and not table.has("psnr"):
        for method in table.methods:
            lines.append(f"- {method}: mean distance × {table.ratio(method, 'no edit', 'distance')} of no edit")
        lines.append("")
    return lines


def goals(results: Results, told: dict[str, Looked]) -> list[str]:
    """What the bundle is to reach, what it reached, and whether that settles it: "yes" and "no" need the whole 95 %
    interval on one side."""
    rows: list[tuple[str, str, str]] = []

    def add(title: str, bound: Bound, text: str, least: float = -np.inf, most: float = np.inf) -> None:
        inside = bound.low >= least and bound.high <= most
        outside = bound.high < least or bound.low > most
        rows.append((title, text, "yes" if inside else "no" if outside else "undecided"))

    for name, title in TITLES.items():
        if name not in results or not results[name]["ours"]:
            continue
        table, ours = Table(results[name]["cases"]), results[name]["ours"]
        if name in RULES:
            RULES[name](table, ours, title[0].lower() + title[1:], add)
    for name, looked in told.items():
        total = len(results[name]["cases"])
        better, worse, left = len(looked.better), len(looked.worse), len(looked.left_behind)
        seen = f"better {better}, level {total - better - worse}, worse {worse} of {total}"
        title = TITLES[name][0].lower() + TITLES[name][1:]
        goal = f"{title}, looked at beside {looked.against}: better in 8 of 10, worse in none"
        rows.append((goal, seen, _sure(better >= 0.8 * total and worse == 0)))
        seen = f"something left behind or smeared in {left} of {total}"
        rows.append((f"{title}: nothing left behind in 9 of 10", seen, _sure(left <= 0.1 * total)))
    cases = [case for found in results.values() for case in found["cases"]]
    mine = {method for found in results.values() for method in found["ours"]}
    changed = max(row["outside"] for case in cases for method, row in case["figures"].items() if method in mine)
    text = f"largest change {changed:.0f} grey levels in {len(cases)} cases"
    rows.append(("outside the mask nothing changes", text, _sure(changed == 0)))
    cost = max(found["gflop"] for found in results.values() if found["ours"])
    rows.append(("512×512, default steps: at most 120 GFLOP", f"{cost:.0f}", _sure(cost <= 120)))
    lines = ["| goal | reached | |", "| --- | --- | --- |"]
    return lines + [f"| {title} | {text} | {verdict} |" for title, text, verdict in rows]


Add = Callable[..., None]


def _synthetic(table: Table, methods: list[str], title: str, add: Add) -> None:
    ours, *others = methods
    gain = table.difference(ours, table.best(NAIVE, "psnr"), "psnr")
    add(f"{title}: PSNR where visible above the naive warp's", gain, _db(gain), least=0)
    gain = table.difference(ours, table.best(CLASSICAL, "psnr"), "psnr")
    add(f"{title}: … at least 1.0 dB above the best classical warp's", gain, _db(gain), least=1)
    ratio = table.ratio(ours, table.best(CLASSICAL, "perceptual_hole"), "perceptual_hole")
    add(f"{title}: perceptual distance in holes at most 0.80 × the best classical's", ratio, f"× {ratio}", most=0.8)
    sharp = table.bound(ours, "sharpness_hole")
    add(f"{title}: sharpness in holes 0.8 to 1.2 of the truth's", sharp, str(sharp), 0.8, 1.2)
    seam = table.bound(ours, "seam")
    add(f"{title}: gradient across the seam at most 1.2 × the truth's", seam, str(seam), most=1.2)
    ratio = table.ratio(ours, _interpolated(ours), "epe_in_place")
    add(f"{title}: field alone, deformed in place, error at most 0.6 × interpolated", ratio, f"× {ratio}", most=0.6)
    for other in others:
        loss, ratio = table.difference(other, ours, "psnr"), table.ratio(other, ours, "perceptual")
        add(f"{title}: {other} loses at most 0.1 dB", loss, _db(loss, 3), least=-0.1)
        add(f"{title}: … and 2 % of perceptual distance", ratio, f"× {ratio}", most=1.02)


def _video(table: Table, methods: list[str], title: str, add: Add) -> None:
    ours = methods[0]
    gain = table.difference(ours, table.best(CLASSICAL, "psnr"), "psnr")
    add(f"{title}: PSNR where visible not below the best classical warp's", gain, _db(gain), least=0)
    ratio = table.ratio(ours, table.best(CLASSICAL, "perceptual"), "perceptual")
    add(f"{title}: perceptual distance at most 0.90 ×", ratio, f"× {ratio}", most=0.9)
    ratio = table.ratio(ours, _interpolated(ours), "epe")
    add(f"{title}: field alone, error below the interpolated field's", ratio, f"× {ratio}", most=1)


def _user(table: Table, methods: list[str], title: str, add: Add) -> None:
    share = table.ratio(methods[0], "no edit", "distance")
    add(f"{title}: mean distance at most 0.08 × no edit's", share, f"× {share}", most=0.08)


RULES: dict[str, Callable[[Table, list[str], str, Add], None]] = {
    "synthetic": _synthetic,
    "synthetic512": _synthetic,
    "video": _video,
    "user": _user,
}


def _interpolated(ours: str) -> str:
    return ours.rsplit(",", 1)[0] + ", interpolated"


def _db(bound: Bound, digits: int = 2) -> str:
    return f"{bound.value:+.{digits}f} dB [{bound.low:+.{digits}f}, {bound.high:+.{digits}f}]"


def _sure(reached: bool) -> str:
    return "yes" if reached else "no"


PREFACE = """\
Measured on held-out pictures only, by `python -m tug evaluate`, and written by `python -m tug report` from its
figures. The sets are listed in `training/eval/*.json`. Means with half the width of their 95 % bootstrap interval;
comparisons are paired and resampled by photograph or clip. "Perceptual" is a distance of EfficientNet-Lite2's features
(training used Lite0). "Visible" is where the source shows what belongs there, "hole" where it does not, both inside
the mask and away from its feathered edge. In each comparison the opponent is the warp that is best in that very
figure.

Mean distance: the content under a handle is searched for in the whole result (or in the mask) by Lite2 features and a
colour patch, with a mild preference for the drag's own neighbourhood. On 81 known drags (held-out motions on
photographs) its median error is 0.25 px and 84 % are within 4 px; the rest are empty or repeated texture, or leave the
picture. The pairs from video are measured against estimated flow, not against a truth.
"""


def render(results: Results, told: dict[str, Looked] | None = None) -> str:
    """The whole report, Markdown."""
    told = told or {}
    ours = sorted({found["ours"][0] for found in results.values() if found["ours"]})
    lines = [f"# Quality of {', '.join(ours) or 'the baselines'}", "", *PREFACE.splitlines(), ""]
    if ours:
        lines += ["## Goals", "", *goals(results, told), ""]
    for name in sorted(results, key=lambda each: list(TITLES).index(each) if each in TITLES else len(TITLES)):
        lines += render_set(name, results[name])
        if name in told:
            lines += [f"### Looked at, side by side with {told[name].against}", ""]
            lines += [*_told(told[name], results[name]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _told(looked: Looked, found: dict[str, Any]) -> list[str]:
    def names(these: list[str]) -> str:
        return ", ".join(f"`{name}`" for name in these) or "none"

    level = len(found["cases"]) - len(looked.better) - len(looked.worse)
    return [
        f"- **better, {len(looked.better)}**: {names(looked.better)};",
        f"- **worse, {len(looked.worse)}**: {names(looked.worse)};",
        f"- **level**: the other {level};",
        f"- **something left behind or smeared, {len(looked.left_behind)}**: {names(looked.left_behind)}.",
        "",
        *looked.notes.strip().splitlines(),
    ]


def merge(files: list[Path]) -> Results:
    """The sets of several runs' results.json; a later file's set replaces an earlier one's."""
    results: Results = {}
    for file in files:
        results |= json.loads(file.read_text())
    return results


def register(commands: argparse._SubParsersAction) -> None:
    """Adds `report` to the command line."""
    command = commands.add_parser("report", help="goals and tables of evaluations already made, as Markdown")
    command.add_argument("results", type=Path, nargs="+", help="results.json of `evaluate`, one or more")
    command.add_argument("--looked", type=Path, help="what looking at the pictures said (eval/looked_at.toml)")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    results = merge(args.results)
    told = read_looked(args.looked, results) if args.looked is not None else {}
    args.out.write_text(render(results, told))
    print(f"written to {args.out}")

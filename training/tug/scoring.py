"""Every method on every case of a set → rows of figures. What the figures mean is in `metrics` and `matching`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from torch import Tensor

from .baselines import BASELINES, Warp, composite, feather, render
from .bundle_runner import Bundle
from .cases import Case
from .matching import Matcher, drag_distances
from .metrics import Perceptual, end_point_error, psnr, seam_ratio, sharpness, ssim
from .motions import Array, warp
from .testsets import Item

Row = dict[str, float]
Maps = dict[str, list[Tensor]]
TRUE_FIELD, TRUTH = "true field", "truth"
SURE = 0.5  # visibility from which a place counts as shown by the source


@dataclass
class Result:
    """A method's picture uint8 [H, W, 3] and, if it has one, its backward field [H, W, 2] in pixels."""

    picture: Array
    field: Array | None = None


@dataclass
class Scored:
    """One case: figures by method, and the pictures for contact sheets if they were asked for."""

    item: Item
    rows: dict[str, Row]
    pictures: dict[str, Array] = field(default_factory=dict)


def baseline_results(case: Case, names: list[str]) -> dict[str, Result]:
    results = {}
    for name in names:
        edit = BASELINES[name](case.source, case.mask, case.drags)
        results[name] = Result(render(case.source, case.mask, edit), edit.field)
    if case.field is not None:
        holes = np.zeros(case.mask.shape, bool)
        results[TRUE_FIELD] = Result(render(case.source, case.mask, Warp(case.field, holes)), case.field)
    if case.target is not None:
        results[TRUTH] = Result(case.target)
    return results


def bundle_results(
    bundle: Bundle, case: Case, steps: list[int], fields: bool = True, seed: int = 0
) -> dict[str, Result]:
    """The bundle's edits at several steps and, with `fields`, its interpolated prior and its field as plain warps."""
    edits = bundle.edit(case.source, case.mask, case.drags, steps, seed, case.painted)
    results = {}
    if fields:
        first = next(iter(edits.values()))
        prior = composite(case.source, warp(case.source, first.prior), case.mask)
        results |= {
            f"{bundle.title}, interpolated": Result(prior, first.prior),
            f"{bundle.title}, field": Result(first.warped, first.field),
        }
    for count, edit in edits.items():
        results[f"{bundle.title}, {count} steps"] = Result(edit.picture, edit.field)
    return results


class Scorer:
    def __init__(self, perceptual: Perceptual | None = None, matching: bool = True) -> None:
        self.perceptual = perceptual or Perceptual()
        self.matcher = Matcher(self.perceptual) if matching else None

    def score(self, item: Item, results: dict[str, Result]) -> dict[str, Row]:
        case = item.case
        rows = {name: self._plain(case, result) for name, result in results.items()}
        maps = {}
        if case.target is not None or self.matcher is None:
            maps = {name: self.perceptual.maps(result.picture) for name, result in results.items()}
        if case.target is not None:
            self._against_truth(case, {k: r for k, r in results.items() if k != TRUTH}, maps, rows)
        self._against_source(case, results, maps, rows)
        return rows

    def _plain(self, case: Case, result: Result) -> Row:
        """What must not happen: a change outside the mask, in grey levels."""
        outside = case.mask <= 0.5
        changed = cv2.absdiff(case.source, result.picture)[outside]
        return {"outside": float(changed.max()) if changed.size else 0.0}

    def _against_truth(self, case: Case, results: dict[str, Result], maps: Maps, rows: dict[str, Row]) -> None:
        truth, visible = case.target, case.visible if case.visible is not None else np.ones_like(case.mask)
        # the feathered edge belongs to compositing, not to the edit
        mask = (feather(case.mask) > 0.99).astype(np.float32)
        seen, hidden = mask * (visible > SURE), mask * (visible <= SURE)
        hole = cv2.morphologyEx(hidden, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        moving = seen * (np.hypot(*np.moveaxis(case.field, -1, 0)) > 0.5) if case.field is not None else seen
        for name, result in results.items():
            picture, row = result.picture, rows[name]
            row |= {
                "psnr": psnr(picture, truth, seen),
                "psnr_mask": psnr(picture, truth, mask),
                "ssim": ssim(picture, truth, seen),
                "perceptual": self.perceptual.between(maps[name], maps[TRUTH], mask),
                "perceptual_visible": self.perceptual.between(maps[name], maps[TRUTH], seen),
                "perceptual_hole": self.perceptual.between(maps[name], maps[TRUTH], hole),
                "sharpness_hole": sharpness(picture, truth, hole),
                "sharpness": sharpness(picture, truth, mask),
                "seam": seam_ratio(picture, truth, hole, mask),
                "hole": float(hole.sum()),
            }
            if result.field is not None and case.field is not None:
                row["epe"] = end_point_error(result.field, case.field, seen)
                row["epe_moving"] = end_point_error(result.field, case.field, moving)
                if visible.min() > SURE:  # deformed in place: nothing was pasted, nothing hidden
                    row["epe_in_place"] = row["epe"]

    def _against_source(self, case: Case, results: dict[str, Result], maps: Maps, rows: dict[str, Row]) -> None:
        lengths = np.hypot(*(case.drags[:, 2:] - case.drags[:, :2]).T)
        moved = lengths >= 1
        if self.matcher is None:
            source_maps = self.perceptual.maps(case.source)
            for name in results:
                rows[name]["fidelity"] = 1 - self.perceptual.between(maps[name], source_maps)
            return
        here = self.matcher.prepare(case.source)
        for name, result in results.items():
            row, there = rows[name], self.matcher.prepare(result.picture)
            row["fidelity"] = 1 - self.perceptual.between(there.maps, here.maps)
            whole = drag_distances(self.matcher, here, there, case.drags, None)
            within = drag_distances(self.matcher, here, there, case.drags, case.mask)
            if moved.any():
                row["distance"], row["distance_mask"] = float(whole[moved].mean()), float(within[moved].mean())
                row["length"] = float(lengths[moved].mean())
            if (~moved).any():
                row["pin_distance"] = float(whole[~moved].mean())


def digest(case: Case) -> str:
    """Changes whenever anything of the case does."""
    value = hashlib.sha256()
    for part in (case.source, case.mask, case.drags, case.target, case.field, case.visible):
        value.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
    return value.hexdigest()[:16]


@dataclass
class Known:
    """Baseline figures of an earlier run, by case name, with the digests of the cases they belong to."""

    rows: dict[str, dict[str, Row]]
    digests: dict[str, str]

    def of(self, item: Item, names: list[str], matching: bool) -> dict[str, Row] | None:
        rows = self.rows.get(item.name, {})
        if self.digests.get(item.name) != digest(item.case) or not set(names) <= rows.keys():
            return None
        rows = {name: rows[name] for name in [*names, TRUE_FIELD, TRUTH] if name in rows}
        moved = (np.hypot(*(item.case.drags[:, 2:] - item.case.drags[:, :2]).T) >= 1).any()
        return rows if not matching or not moved or "distance" in rows[names[0]] else None


def score_set(
    items: list[Item],
    bundles: list[Bundle],
    steps: list[int],
    baselines: list[str],
    scorer: Scorer,
    keep: int = 0,
    known: Known | None = None,
    progress: Callable[[int, Item], None] | None = None,
) -> list[Scored]:
    """All methods on all items; the pictures of the first `keep` are kept; baselines that are known are not measured
    again; a bundle that is there twice, in another precision, runs at its default steps the second time."""
    scored = []
    for index, item in enumerate(items):
        rows = known.of(item, baselines, scorer.matcher is not None) if known else None
        drawn = baseline_results(item.case, baselines if rows is None or index < keep else [])
        edits: dict[str, Result] = {}
        for i, bundle in enumerate(bundles):
            # the same networks in another precision: their field is the same, and one number of steps tells the loss
            again = any(bundle.manifest["name"] == other.manifest["name"] for other in bundles[:i])
            counts = [bundle.default_steps] if again else [s for s in steps if s in bundle.steps]
            edits |= bundle_results(bundle, item.case, counts, not again)
        if rows is None:
            rows = scorer.score(item, drawn | edits)
        else:
            truth = {TRUTH: drawn[TRUTH]} if TRUTH in drawn else {}
            rows = rows | {k: v for k, v in scorer.score(item, truth | edits).items() if k != TRUTH}
        pictures = {name: result.picture for name, result in (drawn | edits).items()} if index < keep else {}
        scored.append(Scored(item, rows, pictures))
        if progress:
            progress(index, item)
    return scored

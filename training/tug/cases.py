"""One drag-editing case, and the two ways of making one from a photograph.

`synthetic_case` draws from the training families (`motions`): smooth part-wise deformation in place, and whole
objects moved or deformed over a still background. `heldout_case` draws from other families (thin plates,
multi-scale flow, projective moves) that training never sees; the fixed evaluation sets are made with it.

Coordinates: pixels of the case's own picture, origin at the top-left corner. The field is backward:
`target(x) = source(x + field(x))` wherever `visible` is 1, so a drag (hx, hy, tx, ty) has h = t + field(t).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import heldout, layers
from .drags import exact_drags, sample_drags
from .masks import derived_mask, loose_mask, window
from .motions import Array, folds, grid, invert, random_motion, random_region, region_of, warp
from .pulls import pull

# share of training cases in which something is pinned: four in five of the drags that people draw have a pin
PINNED = 0.6


@dataclass
class Case:
    """source, target: uint8 [H, W, 3] RGB; mask: float32 [H, W], 1 = may change; drags: float32 [N, 4] (handle x, y,
    target x, y); field: float32 [H, W, 2] backward, pixels; visible: float32 [H, W], 1 = the source shows it;
    forward: float32 [H, W, 2], where each source place goes; known: float32 [H, W], 1 = that is known, None =
    everywhere; real: whether the target's hidden part is a photograph's; painted: whether the mask was painted, and not
    derived from the drags."""

    source: Array
    mask: Array
    drags: Array
    target: Array | None = None
    field: Array | None = None
    visible: Array | None = None
    forward: Array | None = None
    real: bool = True
    known: Array | None = None
    painted: bool = True


def fit(photo: Array, height: int, width: int) -> Array:
    """Centre-cropped and area-resampled to [height, width, 3]."""
    h, w = photo.shape[:2]
    factor = max(height / h, width / w)
    ch, cw = min(h, round(height / factor)), min(w, round(width / factor))
    y, x = (h - ch) // 2, (w - cw) // 2
    part = photo[y : y + ch, x : x + cw]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def deform_in_place(rng: np.random.Generator, source: Array, cut: Array | None) -> Case | None:
    """Smooth deformation of one or two parts inside a loose mask; everything stays visible."""
    height, width = source.shape[:2]
    x = grid(height, width)
    total = np.zeros((height, width, 2), np.float32)
    mask = np.zeros((height, width), np.float32)
    parts = []
    for index in range(1 if rng.random() < 0.75 else 2):
        follow = cut is not None and index == 0 and rng.random() < 0.6
        region = region_of(cut) if follow else random_region(rng, height, width)
        core = cut.astype(np.float32) if follow else layers.ellipse(x, region)
        part_mask = loose_mask(rng, core, spread=(0.06, 0.3))
        field = random_motion(rng, x, region)
        weight, reach = window(rng, part_mask, core)
        field *= weight[..., None]
        # keep the map one-to-one: the window's slope times the motion stays below one
        peak = np.abs(field).max() + 1e-6
        field *= min(1.0, 0.5 * reach / peak, 0.3 * min(height, width) / peak)
        if rng.random() < 0.4:
            # what is still begins before the border: people paint more than they need
            part_mask = loose_mask(rng, part_mask, spread=(0.02, 0.12))
        mask = np.maximum(mask, part_mask)
        total = total + field
        parts.append(core)
    if np.hypot(*np.moveaxis(total, -1, 0)).max() < 0.015 * min(height, width) or folds(total):
        return None
    target = warp(source, total)
    drags = sample_drags(rng, total, np.maximum.reduce(parts), mask, PINNED)
    if drags is None:
        return None
    return Case(source, mask, drags, target, total, np.ones((height, width), np.float32), invert(total))


def pulled(
    rng: np.random.Generator,
    source: Array,
    cut: Array | None,
    stiff: float = 0.0,
    loose: float = 0.0,
    part: Array | None = None,
) -> Case | None:
    """A drag that takes its surroundings along and tears nothing (`pulls`); part: one of the object `cut`, bool [H, W],
    which as often is what is dragged."""
    height, width = source.shape[:2]
    if part is not None and rng.random() < 0.5:
        cut = part
    painted = loose > 0 and rng.random() < loose
    found = pull(rng, height, width, cut, stiff, painted)
    if found is None:
        return None
    field, mask, drags = found
    seen = np.ones((height, width), np.float32)
    return Case(source, mask, drags, warp(source, field), field, seen, invert(field), painted=painted)


def synthetic_case(
    rng: np.random.Generator,
    photo: Array,
    size: tuple[int, int] | None = None,
    cut: Array | None = None,
    other: Array | None = None,
    other_cut: Array | None = None,
    in_place: float = 0.5,
    painted: float = 0.0,
    pulls: float = 0.0,
    parts: float = 0.0,
    stiff: float = 0.0,
    loose: float = 0.0,
    part: Array | None = None,
) -> Case:
    """A training case on `photo` (uint8 [h, w, 3]), at `size` (H, W) or the photo's own.

    cut: the photo's main object, bool [h, w], if known; other, other_cut: a second photo whose object may be pasted
    over this one; pulls: share of drags that take their surroundings along (see `pulls`); in_place: share of
    deformations in place against objects moved over a still background, in the others; painted: share of the moved
    objects that leave the untouched photo, the place behind them painted in (see `layers`); parts: share of the moved
    objects that move as they are dragged, held where they are not; stiff: share of the pulls in which the main object
    is stiffer than the rest; loose: share of the pulls whose mask is painted, and, where there are any pulls, of the
    moved objects too: the others' is derived from the drags, where that holds what changes; part: a part of the main
    object, bool [h, w], that may move on its own.
    """
    height, width = size or photo.shape[:2]
    box = layers.random_crop(rng, photo.shape[:2], height, width)
    source = layers.crop(photo, box, height, width)
    own = layers.crop_cut(cut, box, height, width)
    own_part = None if own is None else layers.crop_cut(part, box, height, width)
    if rng.random() < 0.5:
        source = np.ascontiguousarray(source[:, ::-1])
        own, own_part = (None if each is None else np.ascontiguousarray(each[:, ::-1]) for each in (own, own_part))
    for _ in range(8):
        if pulls > 0 and rng.random() < pulls:
            case = pulled(rng, source, own, stiff, loose, own_part)
        elif rng.random() < in_place:
            case = deform_in_place(rng, source, own)
        else:
            pair = layers.moved_object(rng, source, own, other, other_cut, painted, parts, own_part)
            derived = pulls > 0 and rng.random() >= loose
            case = None if pair is None else _layer_case(rng, pair, layers.what_changes(pair), PINNED, derived)
        if case is not None:
            return case
    return _still(source)


def _layer_case(
    rng: np.random.Generator, pair: layers.Pair, core: Array, pinned: float, derived: bool = False
) -> Case | None:
    """derived: whether the mask is the one that the engine derives from the drags, where that holds what changes."""
    mask = loose_mask(rng, core, spread=(0.02, 0.25))
    if pair.drags is None or pair.pins is None:
        drags = sample_drags(rng, pair.field, pair.moving, mask, pinned)
    else:
        drags = exact_drags(rng, pair.field, pair.drags, pair.pins, (pair.moving > 0.5) & (mask > 0.5))
    if drags is None:
        return None
    if derived:
        wide = derived_mask(drags, *core.shape)
        if wide[core > 0.5].mean() > 0.97:
            mask = np.maximum(wide, core)
    return Case(pair.source, mask, drags, pair.target, pair.field, pair.visible, pair.forward, pair.real)


def _still(source: Array) -> Case:
    """A case that asks for nothing (one pinned point): the rare fallback when no motion fitted the picture."""
    height, width = source.shape[:2]
    mask = np.zeros((height, width), np.float32)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    drags = np.array([[width / 2, height / 2, width / 2, height / 2]], np.float32)
    still = np.zeros((height, width, 2), np.float32)
    return Case(source, mask, drags, source.copy(), still, np.ones_like(mask), still)


def heldout_case(rng: np.random.Generator, photo: Array, size: tuple[int, int] = (512, 512)) -> Case:
    """An evaluation case on `photo`: thin-plate or multi-scale flow in place (60 %), or an object of the picture
    moved by a projective map over it (40 %). None of these motions or cut shapes is used in training."""
    source = fit(photo, *size)
    for _ in range(8):
        if rng.random() < 0.6:
            field, core, mask = heldout.smooth_flow(rng, *size)
            drags = sample_drags(rng, field, core, mask)
            if drags is not None:
                return Case(source, mask, drags, warp(source, field), field, np.ones(size, np.float32))
        else:
            pair = heldout.projective_move(rng, source)
            case = None if pair is None else _layer_case(rng, pair, pair.touched, 0.4)
            if case is not None:
                return case
    return _still(source)

"""Exemplar filling: what an edit uncovers is completed with patches of the photo itself (PatchMatch, coarse to fine).

No network and no pixels: the result is a backward field that says for hidden places too where the photo shows something
fitting, so that whatever follows sees a warp without holes. `patchmatch` searches on lattices of cells of 8, 4 and 2
work px; here the lattices are laid and the result becomes a field. The engine's `fill.ts` does the same, step for step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .patchmatch import KNOWN, RADIUS, Lattice, Search

Array = np.ndarray

HOLE = 0.5  # visibility below which a place is filled
STILL = 2.0  # work px: what moves less is background that stays
HALO = 1  # finest cells that a hole grows into still background, to swallow what the object leaves at its edge
COARSEST = 8  # work px
TEXTURE = 5  # sixteenths of the luminance's steps that count beside the colours
LEAST = 32  # source patches without which there is nothing to fill with


@dataclass
class Filled:
    """At the work size: field [2, H, W], work px; visibility [H, W]; hole bool [H, W], what was filled."""

    field: Array
    visibility: Array
    hole: Array


def fill(image: Array, mask: Array, field: Array, visibility: Array, seed: int = 0) -> Filled | None:
    """image [3, H, W] in [-1, 1], mask [H, W] (1 = may change), field [2, H/4, W/4] in work px, visibility [H/4, W/4];
    None where nothing is hidden, or nothing is there to fill it with."""
    field, visibility = field.astype(np.float64), visibility.astype(np.float64)
    inside = mask.reshape(visibility.shape[0], 4, -1, 4).mean((1, 3)) >= 0.5
    seen = _without_specks(visibility, inside)
    if not (seen < HOLE).any():
        return None
    levels = [_finest(image, inside, field, seen)]
    while levels[-1].cell < COARSEST:
        levels.append(_coarser(levels[-1]))
    search: Search | None = None
    for level in reversed(levels):
        finer = Search(level, seed)
        if len(finer.places) == 0 or len(finer.sources) < LEAST:
            continue
        finer.run(search)
        search = finer
    if search is None or search.level.cell != 2:
        return None
    search.cohere()
    return _rendered(search, field, seen)


def _without_specks(visibility: Array, inside: Array) -> Array:
    """Visibility [h, w], 1 outside the mask, with single hidden or visible cells brought in line with those around."""
    count = _around((visibility < HOLE) & inside)
    seen = np.where(
        count < 4, np.maximum(visibility, 0.75), np.where(count > 6, np.minimum(visibility, 0.25), visibility)
    )
    return np.where(inside, seen, 1.0)


def _around(cells: Array) -> Array:
    """How many of the 3×3 cells around each are set."""
    p = np.pad(cells, 1).astype(np.int32)
    h, w = cells.shape
    return sum(p[y : y + h, x : x + w] for y in range(3) for x in range(3))


def _twice(cells: Array) -> Array:
    return cells.repeat(2, -2).repeat(2, -1)


def _enlarged(planes: Array) -> Array:
    """Twice as large, bilinear, the border repeated; [..., h, w]."""
    p = np.concatenate([planes[..., :1, :], planes, planes[..., -1:, :]], -2)
    near, above, below = 0.75 * p[..., 1:-1, :], p[..., :-2, :], p[..., 2:, :]
    rows = np.stack([near + 0.25 * above, near + 0.25 * below], -2).reshape(*planes.shape[:-2], -1, planes.shape[-1])
    p = np.concatenate([rows[..., :1], rows, rows[..., -1:]], -1)
    near, left, right = 0.75 * p[..., 1:-1], p[..., :-2], p[..., 2:]
    return np.stack([near + 0.25 * left, near + 0.25 * right], -1).reshape(*rows.shape[:-1], -1)


def _cells(field: Array, size: int) -> Array:
    """Displacements in whole cells."""
    return np.floor(field / size + 0.5).astype(np.int64)


def _finest(image: Array, inside: Array, field: Array, seen: Array) -> Lattice:
    h, w = seen.shape
    still = ~((np.abs(field) > STILL).any(0) & inside)
    hole = _enlarged(seen) < HOLE
    for _ in range(HALO):
        hole |= (_around(hole) > 0) & _twice(inside & still)
    # what moved, wherever it is fetched from, would come back as a ghost
    ys, xs = np.nonzero(~still & (seen >= HOLE))
    dx, dy = _cells(field[:, ys, xs], 4)
    fetched = np.zeros((h, w), bool)
    fetched[np.clip(ys + dy, 0, h - 1), np.clip(xs + dx, 0, w - 1)] = True
    known = _twice(still) & ~hole
    source = _colours(image)
    y, x = np.mgrid[0 : 2 * h, 0 : 2 * w]
    dx, dy = np.where(known, _twice(_cells(field, 2)), 0)
    now = source[(y + dy).clip(0, 2 * h - 1), (x + dx).clip(0, 2 * w - 1)]
    return Lattice(2, source, now, hole, known * np.int32(KNOWN), ~(_twice(_around(fetched) > 0) | hole))


def _colours(image: Array) -> Array:
    """[3, H, W] in [-1, 1] → int32 [H/2, W/2, 5]."""
    bytes_ = np.floor((image.astype(np.float64) + 1) * 127.5 + 0.5).clip(0, 255).astype(np.int32)
    sums = bytes_.sum(0)
    steps = np.zeros((2, *sums.shape), np.int32)
    steps[0, :, 1:], steps[1, 1:] = np.abs(np.diff(sums, axis=1)), np.abs(np.diff(sums, axis=0))

    def four(planes: Array) -> Array:
        return planes.reshape(len(planes), planes.shape[1] // 2, 2, -1, 2).sum((2, 4))

    steps = np.minimum((four(steps) * TEXTURE) >> 4, 255)
    return np.concatenate([(four(bytes_) + 2) >> 2, steps]).transpose(1, 2, 0).astype(np.int32)


def _coarser(fine: Lattice) -> Lattice:
    def four(a: Array) -> Array:
        return a.reshape(a.shape[0] // 2, 2, a.shape[1] // 2, 2, *a.shape[2:]).sum((1, 3))

    known = four(fine.known)
    now = (four(fine.now * fine.known[..., None]) + (known[..., None] >> 1)) // np.maximum(known, 1)[..., None]
    hole = (four(fine.hole) > 0) & (known < 2 * KNOWN)
    known = np.where(hole, 0, known >> 2)
    return Lattice(2 * fine.cell, (four(fine.source) + 2) >> 2, now, hole, known, four(fine.allowed) == 4)


def _rendered(search: Search, field: Array, seen: Array) -> Filled:
    """At the work size, so that regions meet within a pixel: interpolated in between, a field would smear."""
    hole, half = search.level.hole, _enlarged(seen)
    shown = (seen >= HOLE).astype(np.float64)
    own = _enlarged(field * shown) / np.maximum(_enlarged(shown), 1e-6)
    moves = np.zeros((2, *hole.shape))
    y, x = np.nonzero(hole)
    ty, tx = np.divmod(search.found, search.width)
    moves[:, y, x] = 2.0 * (tx - RADIUS - x), 2.0 * (ty - RADIUS - y)
    # towards what moved, the contour of visibility and not its steps; what the halo touches stays whole
    clear = _enlarged(half)
    full = _twice(hole) & ((clear < HOLE) | _twice(_around(hole & (half >= HOLE)) > 0))
    out = np.where(full, _twice(moves), _enlarged(own))
    return Filled(out.astype(np.float32), np.where(full, 1, clear).astype(np.float32), full)

"""What a drag does to a thing that does not come off: skin, cloth, a head on its neck, a wall.

The place that is dragged follows, what lies around follows less and less, and at the mask's border and at pins nothing
moves. Nothing is torn, so everything stays visible. Who paints no mask and drags something large expects this, and so
does who paints one around a part. In some of them the picture's main object is stiffer than what is around it: it keeps
its shape, turns about its pins, and the rest gives way.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drags import exact_drags, wished_drags
from .masks import derived_mask, loose_mask
from .motions import Array, folds, grid, invert

# A thing that lies inside the mask so far is expected to move as a whole instead (`layers`).
HELD = 0.85
# How many times stiffer a stiff thing is than what is around it.
STIFFER = (15.0, 1000.0)
# Points of the sheet's lattice along the picture's longer side, and rounds in which it comes to rest.
LATTICE, ROUNDS = 24, 12


def pull(
    rng: np.random.Generator, height: int, width: int, cut: Array | None, stiff: float = 0.0, painted: bool = False
) -> tuple[Array, Array, Array] | None:
    """(field [H, W, 2] backward, mask [H, W], drags [N, 4] that it fulfils exactly), pixels; None where none fits.

    cut: bool [H, W], the picture's main object, at which most drags begin, unless the mask holds all of it; stiff:
    share of pictures in which it is stiffer than the rest; painted: whether the mask is painted, and not derived."""
    cut = cut if cut is not None and cut.any() else None
    drags, pins = wished_drags(rng, height, width, cut, 0.7 if painted else 0.3)
    mask = derived_mask(np.concatenate([drags, np.tile(pins, 2)]), height, width)
    if painted:
        mask = _painted(rng, drags, pins, mask, cut)
    whole = cut is not None and mask[cut].mean() > HELD
    if painted and whole and len(drags) > 1:
        return None
    if stiff > 0 and cut is not None and rng.random() < stiff:
        forward = _unfolded(stiff_field(rng, drags, pins, mask < 0.5, cut))
        field = None if forward is None else invert(forward).astype(np.float32)
    elif whole and rng.random() < 0.8:
        return None
    else:
        field = _eased(rng, drags, pins, mask)
    field = None if field is None else _unfolded(field)
    if field is None:
        return None
    exact = exact_drags(rng, field, drags, pins)
    return None if exact is None else (field, mask, exact)


def _painted(rng: np.random.Generator, drags: Array, pins: Array, derived: Array, cut: Array | None) -> Array:
    """A mask [H, W] as a person paints it around what the drags hold, of the object or of the derived mask."""
    height, width = derived.shape
    x, side = grid(height, width), min(height, width)
    ends = [*drags[:, :2], *drags[:, 2:], *pins]
    reach = side * float(np.exp(rng.uniform(np.log(0.1), np.log(0.6))))
    to_ends = np.min([np.hypot(*(x - end).transpose(2, 0, 1)) for end in ends], 0)
    if cut is not None and rng.random() < 0.85:
        core = cut & (to_ends < reach)
    else:
        core = (derived > 0.5) & (to_ends < reach)
    if rng.random() < 0.7:
        # people leave room where it goes
        dx, dy = (drags[:, 2:] - drags[:, :2]).mean(0)
        move = np.float32([[1, 0, dx], [0, 1, dy]])
        core = core | (cv2.warpAffine(core.astype(np.uint8), move, (width, height)) > 0)
    return loose_mask(rng, (core | (to_ends < 0.03 * side)).astype(np.float32), spread=(0.02, 0.15))


def _eased(rng: np.random.Generator, drags: Array, pins: Array, mask: Array) -> Array:
    """Backward field [H, W, 2]: every drag's own motion (a little turn and zoom included), weighted by nearness, with
    the border and the pins as places of no motion."""
    height, width = mask.shape
    x, side = grid(height, width), min(mask.shape)
    power, soft = rng.uniform(0.8, 1.7), side * rng.uniform(0.02, 0.09)
    firm = side * rng.uniform(0, 0.08)
    rest = np.pad((mask > 0.5).astype(np.uint8), 1, mode="edge")
    for px, py in pins:
        rest[int(py) + 1, int(px) + 1] = 0
    # the picture's own edges hold nothing
    depth = cv2.distanceTransform(rest, cv2.DIST_L2, 5)[1:-1, 1:-1] if rest.min() == 0 else np.full(mask.shape, side)
    total = rng.uniform(0.4, 2.0) / (depth**2 + soft**2) ** power
    moved = np.zeros((height, width, 2))
    turn, zoom = rng.normal(0, 0.15, len(drags)), rng.normal(0, 0.1, len(drags))
    if rng.random() < 0.5:
        turn, zoom = 0 * turn, 0 * zoom
    for (hx, hy, tx, ty), angle, grow in zip(drags, turn, zoom, strict=True):
        away = x - np.array([tx, ty], np.float32)
        distance = np.maximum(0, np.hypot(away[..., 0], away[..., 1]) - firm)
        weight = 1 / (distance**2 + soft**2) ** power
        swung = np.stack([-away[..., 1], away[..., 0]], -1) * angle + away * grow
        swung *= np.exp(-((distance / (0.25 * side)) ** 2))[..., None]
        moved += weight[..., None] * (np.array([hx - tx, hy - ty]) + swung)
        total = total + weight
    field = moved / total[..., None]
    field = cv2.GaussianBlur(field, (0, 0), side * rng.uniform(0.008, 0.025))
    ease = np.clip(depth / (side * rng.uniform(0.02, 0.12)), 0, 1)
    return (field * (ease * ease * (3 - 2 * ease))[..., None]).astype(np.float32)


def _unfolded(field: Array) -> Array | None:
    """A field [H, W, 2], weakened until it folds nowhere; None if that takes too much."""
    for _ in range(5):
        if not folds(field):
            return field
        field = 0.75 * field
    return None


def stiff_field(
    rng: np.random.Generator, drags: Array, pins: Array, still: Array, cut: Array, alone: bool = False
) -> Array:
    """Forward field [H, W, 2]: none where `still` (bool [H, W]), as dragged at the handles and none at the pins,
    elsewhere that of a rubber sheet, as rigid as possible, that is many times stiffer where the object is (bool [H,
    W]). alone: the object comes off what is around it, which is never still and only carries the field on."""
    height, width = cut.shape
    side = min(height, width)
    firm = side * rng.uniform(0.02, 0.05)
    stiffness = STIFFER[1] if alone else np.exp(rng.uniform(*np.log(STIFFER)))
    hold = np.exp(
        np.log(stiffness) * cv2.GaussianBlur(cut.astype(np.float32), (0, 0), side * rng.uniform(0.004, 0.015))
    )
    h, w = (max(2, round(LATTICE * length / max(height, width))) for length in (height, width))
    cell = np.float32([width / w, height / h])
    x = grid(h, w) * cell

    def share(where: Array) -> Array:
        return cv2.resize(where.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)

    rests = share(still) > (np.maximum(0.02, 0.5 * share(cut)) if alone else 0.5)
    held = []
    for point, move in [*((d[:2], d[2:] - d[:2]) for d in drags), *((p, 0 * p) for p in pins)]:
        away = x - point
        distance = np.hypot(away[..., 0], away[..., 1])
        held.append((distance <= max(firm, distance.min()), away, move))
    field = _sheet(share(hold), rests, held, cell)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    field = cv2.GaussianBlur(field, (0, 0), side * rng.uniform(0.006, 0.02))
    return field if alone else field * ~still[..., None]


def _sheet(hold: Array, still: Array, held: list[tuple[Array, Array, Array]], cell: Array) -> Array:
    """As-rigid-as-possible field [H, W, 2] in pixels of a lattice `cell` (x, y) pixels apart, `hold` [H, W] stiff
    (Sorkine and Alexa 2007: turns and places in turn).

    Nothing moves where `still` [H, W]; each of `held` is a handle: where it holds (bool [H, W]), how far from its
    point that is [H, W, 2], and how the point moves; what it holds may turn about it. The picture's edge is free."""
    height, width = hold.shape
    # weights of the four sides of each point, and the steps to the neighbours there
    weights = np.zeros((4, height, width, 1), np.float32)
    across, along = 2 / (1 / hold[:, 1:] + 1 / hold[:, :-1]), 2 / (1 / hold[1:] + 1 / hold[:-1])
    weights[0, :, 1:, 0], weights[1, :, :-1, 0], weights[2, 1:, :, 0], weights[3, :-1, :, 0] = (
        across,
        across,
        along,
        along,
    )
    steps = np.float32([[-cell[0], 0], [cell[0], 0], [0, -cell[1]], [0, cell[1]]])

    def beside(values: Array) -> Array:
        around = np.pad(values, ((1, 1), (1, 1), (0, 0)))
        return np.stack([around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]])

    known = np.logical_or.reduce([still, *(where for where, _, _ in held)])
    number = np.cumsum(~known).reshape(known.shape) - 1
    matrix = np.diag(weights.sum(0)[~known, 0])
    for one, other, between in ((np.s_[:, 1:], np.s_[:, :-1], across), (np.s_[1:], np.s_[:-1], along)):
        free = ~known[one] & ~known[other]
        i, j = number[one][free], number[other][free]
        matrix[i, j] = matrix[j, i] = -between[free]
    inverse = np.linalg.inv(matrix)

    straight = (weights * np.square(steps).sum(-1)[:, None, None, None]).sum(0)[..., 0]
    turn = np.zeros((height, width, 2), np.float32)  # cosine less one, and sine
    for _ in range(ROUNDS):
        field = np.zeros((height, width, 2), np.float32)
        for where, away, move in held:
            field[where] = move + _turned((hold[where, None] * turn[where]).sum(0) / hold[where].sum(), away[where])
        # by what each side, turned as its ends are, differs from the side itself
        bent = [_turned((turn + other) / -2, step) for other, step in zip(beside(turn), steps, strict=True)]
        pulled = (weights * (beside(field) + np.stack(bent))).sum(0)
        field[~known] = inverse @ pulled[~known]
        gained = weights * (beside(field) - field)
        dot, cross = straight.copy(), np.zeros_like(straight)
        for (dx, dy), side in zip(steps, gained, strict=True):
            dot += dx * side[..., 0] + dy * side[..., 1]
            cross += dx * side[..., 1] - dy * side[..., 0]
        angle = np.where(still, 0, np.arctan2(cross, dot))
        turn = np.stack([np.cos(angle) - 1, np.sin(angle)], -1)
    return field


def _turned(turn: Array, vectors: Array) -> Array:
    """By what vectors [..., 2] change when they turn; turn [..., 2]: the angle's cosine less one, and its sine."""
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([x * turn[..., 0] - y * turn[..., 1], x * turn[..., 1] + y * turn[..., 0]], -1)

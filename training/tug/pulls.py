"""What a drag does to a thing that does not come off: skin, cloth, a head on its neck, a wall.

The place that is dragged follows, what lies around follows less and less, and at the mask's border and at pins nothing
moves. Nothing is torn, so everything stays visible. Who paints no mask and drags something large expects this. In some
of them the picture's main object is stiffer than what is around it: it keeps its shape, and the rest gives way.
"""

from __future__ import annotations

import cv2
import numpy as np

from .masks import derived_mask
from .motions import Array, folds, grid, invert

# A thing that lies inside the mask so far is expected to move as a whole instead (`layers`).
HELD = 0.85
# Grids on which a stiff thing's motion is relaxed, coarse to fine: pixels of the picture a cell, and rounds on each.
RELAXED = ((8, 60), (4, 60), (2, 40))


def pull(
    rng: np.random.Generator, height: int, width: int, cut: Array | None, stiff: float = 0.0
) -> tuple[Array, Array, Array] | None:
    """(field [H, W, 2] backward, mask [H, W], drags [N, 4] that it fulfils exactly), pixels; None where none fits.

    cut: bool [H, W], the picture's main object, at which most drags begin, unless the mask holds all of it; stiff:
    share of pictures in which it is stiffer than the rest."""
    drags, pins = _drags(rng, height, width, cut)
    mask = derived_mask(np.concatenate([drags, np.tile(pins, 2)]), height, width)
    if stiff > 0 and cut is not None and cut.any() and rng.random() < stiff:
        forward = _unfolded(_stiff(rng, drags, pins, mask, cut))
        field = None if forward is None else invert(forward).astype(np.float32)
    elif cut is not None and cut.any() and mask[cut].mean() > HELD and rng.random() < 0.8:
        return None
    else:
        field = _eased(rng, drags, pins, mask)
    field = None if field is None else _unfolded(field)
    if field is None:
        return None
    targets = np.floor(drags[:, 2:]).astype(int)
    moves = np.array([field[y, x] for x, y in targets], np.float32).reshape(-1, 2)
    if np.hypot(*moves.T).max(initial=0) < max(1.5, 0.015 * min(height, width)):
        return None
    targets = targets.astype(np.float32) + 0.5
    exact = np.concatenate([targets + moves, targets], 1)
    inside = ((exact[:, :2] >= 0) & (exact[:, :2] < [width, height])).all(1)
    still = [p for p in pins if np.hypot(*field[int(p[1]), int(p[0])]) < 0.3]
    exact = np.concatenate([exact[inside], np.tile(np.array(still, np.float32).reshape(-1, 2), 2)])
    return None if not inside.any() else (field, mask, exact[rng.permutation(len(exact))].astype(np.float32))


def _drags(rng: np.random.Generator, height: int, width: int, cut: Array | None) -> tuple[Array, Array]:
    """Drags [N, 4] wished for, mostly one, further ones beside it, and pins [M, 2]; all inside the picture."""
    side = min(height, width)
    low, high = np.array([1.0, 1.0]), np.array([width - 2.0, height - 2.0])

    def within(point: Array) -> Array:
        return np.clip(point, low, high)

    if cut is not None and cut.any() and rng.random() < 0.8:
        ys, xs = np.nonzero(cut)
        k = int(rng.integers(len(xs)))
        handle = np.array([xs[k] + 0.5, ys[k] + 0.5])
    else:
        handle = np.array([width * rng.uniform(0.1, 0.9), height * rng.uniform(0.1, 0.9)])
    length = side * float(np.exp(rng.uniform(np.log(0.05), np.log(0.4))))
    angle = rng.uniform(0, 2 * np.pi)
    drags, pins = [], []
    for index in range(int(rng.choice([1, 2, 3, 4], p=[0.65, 0.2, 0.1, 0.05]))):
        if index:
            around = rng.uniform(0, 2 * np.pi)
            handle = handle + side * rng.uniform(0.08, 0.3) * np.array([np.cos(around), np.sin(around)])
            angle += np.pi if rng.random() < 0.2 else rng.normal(0, 0.35)
            length *= rng.uniform(0.6, 1.3)
        target = handle + length * np.array([np.cos(angle), np.sin(angle)])
        drags.append(np.concatenate([within(handle), within(target)]))
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 3))):
            around = rng.uniform(0, 2 * np.pi)
            away = (length + side * rng.uniform(0.05, 0.2)) * np.array([np.cos(around), np.sin(around)])
            pin = within(drags[0][2:] + away)
            if all(np.hypot(*(pin - d[2:])) > 0.08 * side for d in drags):
                pins.append(np.floor(pin) + 0.5)
    return np.array(drags, np.float32), np.array(pins, np.float32).reshape(-1, 2)


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


def _stiff(rng: np.random.Generator, drags: Array, pins: Array, mask: Array, cut: Array) -> Array:
    """Forward field [H, W, 2]: still outside the mask and at pins, as dragged at the handles, elsewhere relaxed like a
    rubber sheet that is many times stiffer where the object is (bool [H, W])."""
    height, width = mask.shape
    side = min(height, width)
    firm, stiffness = side * rng.uniform(0.02, 0.07), np.exp(rng.uniform(np.log(8), np.log(80)))
    hold = np.exp(
        np.log(stiffness) * cv2.GaussianBlur(cut.astype(np.float32), (0, 0), side * rng.uniform(0.004, 0.015))
    )
    field = np.zeros((1, 1, 2), np.float32)
    for cell, rounds in RELAXED:
        h, w = -(-height // cell), -(-width // cell)
        x = grid(h, w) * np.float32([width / w, height / h])
        still = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA) < 0.5
        field = cv2.resize(field, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, 2)
        known, wanted = still.copy(), np.zeros((h, w, 2), np.float32)
        reach = max(firm, 0.8 * cell)
        for point, move in [*((d[:2], d[2:] - d[:2]) for d in drags), *((p, 0 * p) for p in pins)]:
            near = np.hypot(*(x - point).transpose(2, 0, 1)) < reach
            known |= near
            wanted[near] = move
        field = _relaxed(field, cv2.resize(hold, (w, h), interpolation=cv2.INTER_AREA), known, wanted, rounds)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(field, (0, 0), side * rng.uniform(0.006, 0.02)) * mask[..., None]


def _relaxed(field: Array, hold: Array, known: Array, wanted: Array, rounds: int) -> Array:
    """A field [H, W, 2] in which every place has become, `rounds` times, the mean of its four neighbours, by how stiff
    (`hold` [H, W]) what lies between them is; `wanted` [H, W, 2] where `known` [H, W]. The picture's edge is free."""
    height, width = hold.shape
    left, right, up, down = (np.zeros((height, width, 1), np.float32) for _ in range(4))
    across, along = 2 / (1 / hold[:, 1:] + 1 / hold[:, :-1]), 2 / (1 / hold[1:] + 1 / hold[:-1])
    left[:, 1:, 0], right[:, :-1, 0], up[1:, :, 0], down[:-1, :, 0] = across, across, along, along
    total = left + right + up + down
    for _ in range(rounds):
        around = np.pad(field, ((1, 1), (1, 1), (0, 0)))
        beside = left * around[1:-1, :-2] + right * around[1:-1, 2:]
        field = (beside + up * around[:-2, 1:-1] + down * around[2:, 1:-1]) / total
        field = np.where(known[..., None], wanted, field)
    return field

"""Where people put handles: on the part that moves, mostly its far end; now and then a pin on what shall stay."""

from __future__ import annotations

import cv2
import numpy as np

from .motions import Array, rotate

COUNTS = [1, 2, 3, 4, 5, 6, 8, 12, 20]
COUNT_WEIGHTS = np.array([0.36, 0.24, 0.14, 0.08, 0.05, 0.04, 0.04, 0.03, 0.02])


def sample_drags(
    rng: np.random.Generator, field: Array, moving: Array, mask: Array, pinned: float = 0.4
) -> Array | None:
    """Drags [N, 4] (handle x, y, target x, y) that a backward field [H, W, 2] fulfils exactly, or None.

    moving: [H, W] > 0.5 on the moving part, on the target side; mask: the edit mask, where pins may stand. The first
    target lies where the motion is strongest; further ones anywhere on the part; pins, drags of zero length, are there
    in a share `pinned` of the cases.
    """
    height, width = mask.shape
    length = np.hypot(field[..., 0], field[..., 1])
    length = np.where((moving > 0.5) & (mask > 0.5), length, 0)
    peak = length.max()
    if peak < max(1.5, 0.012 * min(height, width)):
        return None
    count = int(rng.choice(COUNTS, p=COUNT_WEIGHTS))
    apart = 0.03 * min(height, width)
    strong, some = length > 0.7 * peak, length > 0.2 * peak
    inner = cv2.erode(some.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    chosen: list[Array] = []
    for index in range(count):
        pool = strong & inner if index == 0 or rng.random() < 0.4 else inner
        if not pool.any():
            pool = strong
        flat = np.flatnonzero(pool)
        for _ in range(6):
            place = flat[rng.integers(len(flat))]
            y, x = divmod(int(place), width)
            target = np.array([x + 0.5, y + 0.5], np.float32)
            handle = target + field[y, x]
            inside = 0 <= handle[0] < width and 0 <= handle[1] < height
            if inside and all(np.hypot(*(target - drag[2:])) > apart for drag in chosen):
                chosen.append(np.concatenate([handle, target]))
                break
    if not chosen:
        return None
    if rng.random() < pinned:
        chosen += _pins(rng, field, moving, mask, chosen, apart)
    drags = np.stack(chosen).astype(np.float32)
    return drags[rng.permutation(len(drags))]


def _pins(rng: np.random.Generator, field: Array, moving: Array, mask: Array, chosen: list[Array], apart: float):
    """Up to three drags of zero length on places in the mask that really stay, those on the part preferred."""
    width = mask.shape[1]
    still = (np.hypot(field[..., 0], field[..., 1]) < 0.25) & (mask > 0.5)
    on_part = still & (moving > 0.5)
    pins = []
    for _ in range(int(rng.integers(1, 4))):
        flat = np.flatnonzero(on_part if on_part.sum() > 20 and rng.random() < 0.7 else still)
        if len(flat) == 0:
            break
        y, x = divmod(int(flat[rng.integers(len(flat))]), width)
        point = np.array([x + 0.5, y + 0.5], np.float32)
        if all(np.hypot(*(point - drag[2:])) > apart for drag in chosen + pins):
            pins.append(np.concatenate([point, point]))
    return pins


def wished_drags(
    rng: np.random.Generator, height: int, width: int, cut: Array | None, pinned: float
) -> tuple[Array, Array]:
    """Drags [N, 4] wished for, mostly one, further ones beside it, and pins [M, 2]; all inside the picture.

    pinned: share with pins; half of these, where there is an object, turn it about one."""
    side = min(height, width)
    low, high = np.array([1.0, 1.0]), np.array([width - 2.0, height - 2.0])

    def within(point: Array) -> Array:
        return np.clip(point, low, high)

    handle = np.array([width * rng.uniform(0.1, 0.9), height * rng.uniform(0.1, 0.9)])
    places = np.argwhere(cut)[:, ::-1] + 0.5 if cut is not None and rng.random() < 0.8 else None
    if places is not None:
        # as often at an end of it as anywhere
        some = places[rng.integers(len(places), size=6 if rng.random() < 0.5 else 1)]
        handle = some[np.hypot(*(some - places.mean(0)).T).argmax()]
    has_pins = rng.random() < pinned
    pivot = None
    if places is not None and has_pins and rng.random() < 0.5:
        away = np.hypot(*(places - handle).T)
        joints = places[(away > 0.12 * side) & (away < 0.55 * side)]
        pivot = joints[rng.integers(len(joints))] if len(joints) else None
    length = side * float(np.exp(rng.uniform(np.log(0.05), np.log(0.4))))
    angle = rng.uniform(0, 2 * np.pi)
    swing = float(np.exp(rng.uniform(np.log(0.12), np.log(0.9)))) * rng.choice([-1, 1])
    drags, pins = [], []
    for index in range(int(rng.choice([1, 2, 3, 4], p=[0.65, 0.2, 0.1, 0.05]))):
        if index:
            around = rng.uniform(0, 2 * np.pi)
            handle = handle + side * rng.uniform(0.08, 0.3) * np.array([np.cos(around), np.sin(around)])
            angle += np.pi if rng.random() < 0.2 else rng.normal(0, 0.35)
            length *= rng.uniform(0.6, 1.3)
        target = handle + length * np.array([np.cos(angle), np.sin(angle)])
        if pivot is not None:
            target = pivot + rotate(handle - pivot, swing) * (1 + rng.normal(0, 0.07))
        drags.append(np.concatenate([within(handle), within(target)]))
    if pivot is not None:
        pins.append(np.floor(pivot) + 0.5)
    elif has_pins:
        for _ in range(int(rng.integers(1, 3))):
            around = rng.uniform(0, 2 * np.pi)
            away = (length + side * rng.uniform(0.05, 0.2)) * np.array([np.cos(around), np.sin(around)])
            pin = within(drags[0][2:] + away)
            if all(np.hypot(*(pin - d[2:])) > 0.08 * side for d in drags):
                pins.append(np.floor(pin) + 0.5)
    return np.array(drags, np.float32), np.array(pins, np.float32).reshape(-1, 2)


def exact_drags(
    rng: np.random.Generator, field: Array, wished: Array, pins: Array, moving: Array | None = None
) -> Array | None:
    """Drags [N, 4] with the targets of `wished` [N, 4] that a backward field [H, W, 2] fulfils exactly, and those of
    the pins [M, 2] that really stay; None where nothing is dragged far enough. moving: bool [H, W], where targets and
    pins may lie."""
    height, width = field.shape[:2]
    places = np.floor(wished[:, 2:]).astype(int)
    moves = np.array([field[y, x] for x, y in places], np.float32).reshape(-1, 2)
    targets = places.astype(np.float32) + 0.5
    drags = np.concatenate([targets + moves, targets], 1)
    fits = ((drags[:, :2] >= 0) & (drags[:, :2] < [width, height])).all(1)
    if moving is not None:
        fits &= np.array([moving[y, x] for x, y in places], bool).reshape(-1)
        pins = np.array([p for p in pins if moving[int(p[1]), int(p[0])]], np.float32).reshape(-1, 2)
    if np.hypot(*moves[fits].T).max(initial=0) < max(1.5, 0.015 * min(height, width)):
        return None
    still = [p for p in pins if np.hypot(*field[int(p[1]), int(p[0])]) < 0.3]
    drags = np.concatenate([drags[fits], np.tile(np.array(still, np.float32).reshape(-1, 2), 2)])
    return drags[rng.permutation(len(drags))].astype(np.float32)

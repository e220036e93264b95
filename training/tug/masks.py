"""Loose edit masks as people paint them, masks as the engine derives them from drags, and the window that lets a motion
die out before a mask's border."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray


def _dilate(mask: Array, radius: float) -> Array:
    """Grown by `radius` pixels (Euclidean), binary float32."""
    distance = cv2.distanceTransform((mask <= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    return (distance <= radius).astype(np.float32)


def loose_mask(rng: np.random.Generator, core: Array, spread: tuple[float, float]) -> Array:
    """A mask [H, W] that covers `core` (> 0.5) with a margin of `spread` times the picture's side.

    Shapes: grown outline, convex hull, box, ellipse around it, or brush strokes; one time in twenty the whole picture.
    """
    height, width = core.shape
    side = min(height, width)
    if rng.random() < 0.05:
        return np.ones_like(core, np.float32)
    margin = side * float(np.exp(rng.uniform(*np.log(spread))))
    grown = _dilate(core, max(1.5, margin))
    kind = rng.choice(["outline", "hull", "box", "ellipse", "strokes"], p=[0.35, 0.2, 0.1, 0.15, 0.2])
    ys, xs = np.nonzero(grown)
    if len(xs) < 3 or kind == "outline":
        return grown
    canvas = np.zeros((height, width), np.uint8)
    if kind == "hull":
        cv2.fillConvexPoly(canvas, cv2.convexHull(np.stack([xs, ys], 1).astype(np.int32)), 1)
    elif kind == "box":
        canvas[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = 1
    elif kind == "ellipse":
        centre = ((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2)
        axes = (xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
        cv2.ellipse(canvas, (centre, (axes[0] * 1.15, axes[1] * 1.15), 0), 1, -1)
    else:
        radius = max(2, int(margin * rng.uniform(0.6, 1.2)))
        for _ in range(int(rng.integers(3, 9))):
            pick = int(rng.integers(len(xs)))
            cv2.circle(canvas, (int(xs[pick]), int(ys[pick])), radius, 1, -1)
    return np.maximum(canvas.astype(np.float32), grown)


def derived_mask(drags: Array, height: int, width: int) -> Array:
    """The mask [H, W] that the engine derives from drags [N, 4] where none is painted (`deriveMask` of its mask.ts): a
    capsule around each, joined where they are near, and each pin joined to the nearest drag."""
    diagonal, side = float(np.hypot(height, width)), min(height, width)
    moving = [d for d in drags if np.hypot(*(d[2:] - d[:2])) > 0]
    radii = [min(0.77 * float(np.hypot(*(d[2:] - d[:2]))) + 0.112 * diagonal, 0.36 * side) for d in moving]
    mask = np.zeros((height, width), np.float32)
    for i, drag in enumerate(moving):
        _capsule(mask, drag[:2], drag[2:], radii[i])
        for j in range(i):
            if np.hypot(*(drag[:2] - moving[j][:2])) < 1.5 * (radii[i] + radii[j]):
                for ends in (slice(0, 2), slice(2, 4)):
                    _capsule(mask, drag[ends], moving[j][ends], min(radii[i], radii[j]))
    for pin in drags[:, :2][np.hypot(*(drags[:, 2:] - drags[:, :2]).T) == 0]:
        nearest = min(moving, key=lambda d: float(np.hypot(*(d[:2] - pin))), default=None)
        if nearest is None:
            _capsule(mask, pin, pin, 0.112 * diagonal)
        elif np.hypot(*(nearest[:2] - pin)) < 0.5 * diagonal:
            _capsule(mask, nearest[:2], pin, 0.112 * diagonal)
    return mask


def _capsule(mask: Array, a: Array, b: Array, radius: float) -> None:
    """Sets every pixel whose centre lies within `radius` of the segment a–b."""
    y, x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]] + 0.5
    (dx, dy), squared = b - a, float(((b - a) ** 2).sum())
    along = np.clip(((x - a[0]) * dx + (y - a[1]) * dy) / squared, 0, 1) if squared > 0 else 0.0
    mask[(x - a[0] - along * dx) ** 2 + (y - a[1] - along * dy) ** 2 <= radius * radius] = 1


def window(rng: np.random.Generator, mask: Array, core: Array) -> tuple[Array, float]:
    """Weight [H, W]: zero outside the mask, rising smoothly to one inwards; and the rise's length in pixels.

    The rise is as wide as the margin between `core` and the mask's border allows, so that the core moves whole.
    """
    padded = cv2.copyMakeBorder((mask > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] if padded.min() == 0 else None
    if depth is None:
        depth = np.full(mask.shape, 1e3, np.float32)
    inner = depth[core > 0.5]
    margin = float(np.percentile(inner, 10)) if inner.size else float(depth.max())
    reach = max(3.0, min(float(depth.max()), max(margin, 0.04 * min(mask.shape)) * rng.uniform(0.8, 1.6)))
    t = np.clip(depth / reach, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32), reach / 1.5

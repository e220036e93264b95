"""Motion families for evaluation only: thin plates, multi-scale flow, and projective moves of GrabCut objects.

Nothing in training draws from these; they are also unlike the inverse-distance interpolation the field starts from.
"""

from __future__ import annotations

import cv2
import numpy as np

from .layers import Pair, _feathered, _over, _pair
from .masks import loose_mask
from .motions import Array, grid, invert, warp


def thin_plate(points: Array, values: Array, x: Array) -> Array:
    """Thin-plate spline through `values` [N, 2] at `points` [N, 2], evaluated on x [H, W, 2]."""

    def kernel(r2: Array) -> Array:
        return 0.5 * r2 * np.log(r2 + 1e-6)

    n = len(points)
    p = np.concatenate([np.ones((n, 1)), points], 1)
    k = kernel(((points[:, None] - points[None]) ** 2).sum(-1))
    system = np.block([[k + 1e-3 * np.eye(n), p], [p.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    flat = x.reshape(-1, 2)
    basis = kernel(((flat[:, None] - points[None]) ** 2).sum(-1))
    out = basis @ weights[:n] + np.concatenate([np.ones((len(flat), 1)), flat], 1) @ weights[n:]
    return out.reshape(x.shape).astype(np.float32)


def smooth_flow(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Array, Array]:
    """(field [H, W, 2], core [H, W], mask [H, W]): a part displaced by a thin plate or by multi-scale noise."""
    side = min(height, width)
    coarse_h, coarse_w = max(8, height // 8), max(8, width // 8)
    x = grid(coarse_h, coarse_w) * [width / coarse_w, height / coarse_h]
    centre = np.array([width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7)])
    radius = side * rng.uniform(0.14, 0.28)
    reach = radius * rng.uniform(1.6, 2.4)
    peak = side * float(np.exp(rng.uniform(np.log(0.03), np.log(0.12))))
    if rng.random() < 0.5:
        inner = rng.normal(0, 0.5, (int(rng.integers(1, 4)), 2)) * radius + centre
        rim = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        ring = np.stack([np.cos(rim), np.sin(rim)], 1)
        points = np.concatenate([inner, centre + ring * reach * 0.95, centre + ring * reach * 1.6])
        values = np.zeros((len(points), 2))
        values[: len(inner)] = rng.normal(0, 1, (len(inner), 2))
        field = thin_plate(points / side, values, x / side)
    else:
        field = np.zeros((coarse_h, coarse_w, 2), np.float32)
        for octave in (1.0, 0.5):
            noise = rng.normal(0, 1, (coarse_h, coarse_w, 2)).astype(np.float32)
            smooth = cv2.GaussianBlur(noise, (0, 0), octave * radius * coarse_w / width)
            field += octave**1.5 * smooth / (smooth.std() + 1e-6)
    r = np.hypot(*np.moveaxis(x - centre, -1, 0)) / reach
    fade = np.clip((1 - r) / 0.6, 0, 1)
    field = field * (fade * fade * (3 - 2 * fade))[..., None]
    field *= peak / (np.hypot(field[..., 0], field[..., 1]).max() + 1e-6)
    field = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    far = np.hypot(*np.moveaxis(grid(height, width) - centre, -1, 0))
    field[far >= reach] = 0
    core = (far < radius).astype(np.float32)
    return field, core, loose_mask(rng, (far < reach).astype(np.float32), spread=(0.01, 0.08))


def grabcut_object(rng: np.random.Generator, photo: Array) -> Array | None:
    """An object near the middle of the picture by GrabCut from a box, bool [H, W]; None if nothing stands out."""
    height, width = photo.shape[:2]
    factor = 160 / max(height, width)
    small = cv2.resize(photo, (max(16, round(width * factor)), max(16, round(height * factor))), interpolation=3)
    h, w = small.shape[:2]
    mask = np.zeros((h, w), np.uint8)
    bw, bh = int(w * rng.uniform(0.4, 0.7)), int(h * rng.uniform(0.4, 0.7))
    box = (int(rng.integers(2, w - bw - 1)), int(rng.integers(2, h - bh - 1)), bw, bh)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.grabCut(np.ascontiguousarray(small), mask, box, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_RECT)
    cut = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    cut = cv2.morphologyEx(cut, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cut)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if not 0.02 < stats[best, cv2.CC_STAT_AREA] / (h * w) < 0.35:
        return None
    full = cv2.resize((labels == best).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return full > 0.5


def projective_move(rng: np.random.Generator, photo: Array) -> Pair | None:
    """An object of the picture, mirrored and pasted elsewhere, then moved by a homography over the true photo."""
    height, width = photo.shape[:2]
    side = min(height, width)
    mirrored = np.ascontiguousarray(photo[:, ::-1])
    cut = grabcut_object(rng, mirrored)
    if cut is None:
        return None
    alpha = _feathered(rng, cut)
    ys, xs = np.nonzero(cut)
    x0, x1, y0, y1 = xs.min(), xs.max() + 1, ys.min(), ys.max() + 1
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    move = side * rng.uniform(0.05, 0.22) * np.array([np.cos(angle), np.sin(angle)])
    jitter = rng.normal(0, 0.06, (4, 2)) * [x1 - x0, y1 - y0]
    spin = rng.normal(0, 0.15)
    middle = corners.mean(0)
    turned = (corners - middle) @ np.array([[np.cos(spin), np.sin(spin)], [-np.sin(spin), np.cos(spin)]]) + middle
    matrix = cv2.getPerspectiveTransform((turned + move + jitter).astype(np.float32), corners)
    x = grid(height, width)
    back = cv2.perspectiveTransform(x.reshape(1, -1, 2), matrix).reshape(height, width, 2)
    field = np.clip(back - x, -2 * side, 2 * side).astype(np.float32)
    after = warp(alpha, field, cv2.BORDER_CONSTANT)
    source, target = _over(mirrored, alpha, photo), _over(warp(mirrored, field), after, photo)
    return _pair(source, target, field, invert(field), alpha, after)

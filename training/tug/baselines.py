"""Edits without a network: no edit, interpolated warps, and the classical warps the bundle has to beat.

A baseline turns (source, mask, drags) into a backward field [H, W, 2] in pixels and perhaps holes; `render` warps,
fills holes with OpenCV's inpainting and composites inside the mask with the product's own feathered edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .motions import Array, grid, warp

FEATHER = 8.0  # pixels, as the engine feathers its result inside the mask
FIRM = {"MLS": 0.05, "ARAP": 0.14}  # share of the mask's side around a drag that moves with it


@dataclass
class Warp:
    """field: backward, float32 [H, W, 2], pixels; holes: bool [H, W], target places the source has nothing for."""

    field: Array
    holes: Array


def feather(mask: Array, width: float = FEATHER) -> Array:
    """Alpha [H, W]: 0 outside the mask, rising smoothly to 1 over `width` pixels inwards; the picture's own edge is no
    border, and thin masks get a narrower rise."""
    inside = (mask > 0.5).astype(np.uint8)
    if inside.all():
        return np.ones(mask.shape, np.float32)
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    u = np.clip((depth - 0.5) / max(1.0, min(width, 0.4 * float(depth.max()))), 0, 1)
    return np.where(inside > 0, np.maximum(u * u * (3 - 2 * u), 1 / 255), 0).astype(np.float32)


def composite(source: Array, edited: Array, mask: Array) -> Array:
    """`edited` inside the feathered mask, the source's own bytes outside; uint8 [H, W, 3]."""
    alpha = feather(mask)[..., None]
    mixed = np.clip(np.rint(alpha * edited + (1 - alpha) * source.astype(np.float32)), 0, 255).astype(np.uint8)
    return np.where(mask[..., None] > 0.5, mixed, source)


def render(source: Array, mask: Array, edit: Warp, radius: float = 4.0) -> Array:
    """The warped picture, its holes inpainted (Telea), composited inside the mask."""
    edited = warp(source, edit.field)
    holes = (edit.holes & (mask > 0.5)).astype(np.uint8)
    if holes.any():
        edited = cv2.inpaint(np.ascontiguousarray(edited), holes, radius, cv2.INPAINT_TELEA)
    return composite(source, edited, mask)


def _none(mask: Array) -> Array:
    return np.zeros(mask.shape, bool)


def no_edit(source: Array, mask: Array, drags: Array) -> Warp:
    return Warp(np.zeros((*mask.shape, 2), np.float32), _none(mask))


def _at_low_size(mask: Array, cells: int = 128) -> tuple[Array, tuple[int, int]]:
    """Places x [h, w, 2] (pixels) of a coarse lattice over the picture, and its size (h, w)."""
    height, width = mask.shape
    step = max(1.0, max(height, width) / cells)
    h, w = max(2, round(height / step)), max(2, round(width / step))
    return grid(h, w) * [width / w, height / h], (h, w)


def _enlarged(field: Array, mask: Array) -> Array:
    return cv2.resize(field.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_CUBIC)


def naive_wide(source: Array, mask: Array, drags: Array) -> Warp:
    """Inverse-distance interpolation of the drags all over the mask; the border is left to the feather."""
    x, _ = _at_low_size(mask)
    weight = 1 / (((x[:, :, None] - drags[:, 2:]) ** 2).sum(-1) + 0.1)
    field = (weight[..., None] * (drags[:, :2] - drags[:, 2:])).sum(2) / weight.sum(-1, keepdims=True)
    return Warp(_enlarged(field, mask), _none(mask))


def naive_to_zero(source: Array, mask: Array, drags: Array) -> Warp:
    """The same with the mask's border as further points that stay, so that the field falls to zero there."""
    x, _ = _at_low_size(mask)
    pins = border_points(mask, drags, spacing=0.03)
    points = np.concatenate([drags[:, 2:], pins])
    values = np.concatenate([drags[:, :2] - drags[:, 2:], np.zeros_like(pins)])
    weight = 1 / (((x[:, :, None] - points) ** 2).sum(-1) + 0.1)
    weight[:, :, len(drags) :] *= 3 / max(1, len(pins)) * len(drags)
    field = (weight[..., None] * values).sum(2) / weight.sum(-1, keepdims=True)
    inside = cv2.GaussianBlur((mask > 0.5).astype(np.float32), (0, 0), 0.01 * min(mask.shape))
    return Warp(_enlarged(field, mask) * np.clip(2 * inside - 1, 0, 1)[..., None], _none(mask))


def border_points(mask: Array, drags: Array, spacing: float = 0.05) -> Array:
    """Points [N, 2] along the mask's border, `spacing` of the picture's side apart, away from every drag; where
    the mask meets the picture's edge nothing holds it."""
    height, width = mask.shape
    apart = spacing * min(height, width)
    contours, _ = cv2.findContours((mask > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    points: list[Array] = []
    for contour in contours:
        last = None
        for place in contour[:, 0].astype(np.float32) + 0.5:
            edge = min(place[0], place[1], width - place[0], height - place[1]) < 2
            if edge or np.hypot(*(drags[:, 2:] - place).T).min() < apart:
                continue
            if last is None or np.hypot(*(place - last)) >= apart:
                points.append(place)
                last = place
    return np.array(points, np.float32).reshape(-1, 2)


def firm(mask: Array, drags: Array, radius: float) -> Array:
    """Each drag as a small cross of five that move together [5 N, 4]: a single point would pull a spike out of the
    picture. The radius is a share of the mask's side, less where two targets or handles are close."""
    reach = np.full(len(drags), radius * float(np.sqrt((mask > 0.5).sum())))
    for ends in (drags[:, :2], drags[:, 2:]):
        apart = np.hypot(*np.moveaxis(ends[:, None] - ends[None], -1, 0)) + np.where(np.eye(len(drags)), np.inf, 0)
        reach = np.minimum(reach, 0.35 * apart.min(1))
    around = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    steps = around[None] * reach[:, None, None].astype(np.float32)
    return (drags[:, None] + np.concatenate([steps, steps], -1)).reshape(-1, 4).astype(np.float32)


def moving_least_squares(source: Array, mask: Array, drags: Array, rigid: bool = True, alpha: float = 1.5) -> Warp:
    """Moving least squares (Schaefer et al. 2006), rigid or similarity, from targets back to handles, the mask's border
    pinned: every place is moved by the rotation (and scale) that fits the points around it best."""
    x, _ = _at_low_size(mask)
    pins = border_points(mask, drags)
    drags = firm(mask, drags, FIRM["MLS"])
    q = np.concatenate([drags[:, 2:], pins]).astype(np.float64)  # where we are: target side
    p = np.concatenate([drags[:, :2], pins]).astype(np.float64)  # where it comes from
    weight = 1 / (((x[:, :, None] - q) ** 2).sum(-1) + 1e-2) ** alpha
    weight /= weight.sum(-1, keepdims=True)
    q_mean, p_mean = weight @ q, weight @ p
    qh, ph = q - q_mean[:, :, None], p - p_mean[:, :, None]
    # as complex numbers a similarity is one factor: p̂ ≈ s · q̂
    qc, pc = qh[..., 0] + 1j * qh[..., 1], ph[..., 0] + 1j * ph[..., 1]
    top = (weight * np.conj(qc) * pc).sum(-1)
    factor = top / (np.abs(top) + 1e-9) if rigid else top / ((weight * np.abs(qc) ** 2).sum(-1) + 1e-9)
    offset = x - q_mean
    moved = factor * (offset[..., 0] + 1j * offset[..., 1])
    field = np.stack([moved.real, moved.imag], -1) + p_mean - x
    return _with_smears(_enlarged(field, mask), mask)


def as_rigid_as_possible(source: Array, mask: Array, drags: Array, rounds: int = 24, vertices: int = 900) -> Warp:
    """As-rigid-as-possible deformation (Sorkine and Alexa 2007) of a lattice over the mask, from targets to handles:
    outside the mask nothing moves, and every cell stays as near to a rotation as the drags allow."""
    height, width = mask.shape
    step = max(2.0, float(np.sqrt((mask > 0.5).sum() / vertices)))
    h, w = max(3, round(height / step) + 1), max(3, round(width / step) + 1)
    ys, xs = np.linspace(0, height, h), np.linspace(0, width, w)
    rest = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    inside = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    held = inside[np.clip(rest[:, 1].astype(int), 0, height - 1), np.clip(rest[:, 0].astype(int), 0, width - 1)] == 0
    index = np.arange(h * w).reshape(h, w)
    pairs = [index[:, :-1], index[:, 1:]], [index[:-1], index[1:]], [index[:-1, :-1], index[1:, 1:]]
    pairs = (*pairs, [index[1:, :-1], index[:-1, 1:]])
    i, j = (np.concatenate([pair[side].ravel() for pair in pairs]) for side in (0, 1))
    useful = ~(held[i] & held[j])
    i, j = np.concatenate([i[useful], j[useful]]), np.concatenate([j[useful], i[useful]])
    free = np.flatnonzero(~held)
    column = np.full(h * w, -1)
    column[free] = np.arange(len(free))
    edge = rest[i] - rest[j]
    rows, goals, weights = _drag_rows(firm(mask, drags, FIRM["ARAP"]), xs, ys, column, rest)
    own, both = ~held[i], ~held[i] & ~held[j]
    system = np.zeros((len(free), len(free)))
    np.add.at(system, (column[i[own]], column[i[own]]), 1)
    np.add.at(system, (column[i[both]], column[j[both]]), -1)
    system += weights * rows.T @ rows
    inverse = np.linalg.inv(system + 1e-9 * np.eye(len(free)))
    place = rest.copy()
    for _ in range(rounds):
        # local: the best rotation of every vertex's star, as a complex number
        a, b = edge[:, 0] + 1j * edge[:, 1], (place[i] - place[j]) @ np.array([1, 1j])
        star = np.zeros(h * w, complex)
        np.add.at(star, i, np.conj(a) * b)
        turn = star / (np.abs(star) + 1e-9)
        turned = 0.5 * (turn[i] + turn[j]) * a
        # global: the positions that fit those rotations
        right = np.zeros((h * w, 2))
        np.add.at(right, i, np.stack([turned.real, turned.imag], 1))
        np.add.at(right, i[own & held[j]], rest[j[own & held[j]]])
        place[free] = inverse @ (right[free] + weights * rows.T @ goals)
    field = (place - rest).reshape(h, w, 2).astype(np.float32)
    x = grid(height, width) / [width, height] * [w - 1, h - 1]
    full = cv2.remap(field, x[..., 0].astype(np.float32), x[..., 1].astype(np.float32), cv2.INTER_LINEAR)
    return _with_smears(full, mask)


def _drag_rows(drags: Array, xs: Array, ys: Array, column: Array, rest: Array) -> tuple[Array, Array, float]:
    """Bilinear rows [N, free] that read the lattice at the targets, and what they should read; held vertices are moved
    to the right-hand side."""
    h, w = len(ys), len(xs)
    rows = np.zeros((len(drags), int(column.max()) + 1))
    goals = drags[:, :2].astype(float).copy()
    for n, target in enumerate(drags[:, 2:].astype(float)):
        cx = np.clip(target[0] / xs[-1] * (w - 1), 0, w - 1 - 1e-6)
        cy = np.clip(target[1] / ys[-1] * (h - 1), 0, h - 1 - 1e-6)
        for dy in (0, 1):
            for dx in (0, 1):
                weight = abs(1 - dx - cx % 1) * abs(1 - dy - cy % 1)
                vertex = (int(cy) + dy) * w + int(cx) + dx
                if column[vertex] >= 0:
                    rows[n, column[vertex]] += weight
                else:
                    goals[n] -= weight * rest[vertex]
    return rows, goals, 1000.0


def _with_smears(field: Array, mask: Array, limit: float = 0.3) -> Warp:
    """Places where the source is stretched more than 1 / limit times, or folded over, count as holes: what is drawn
    there is a smear of few pixels. The same as the gaps of a forward splat with a disk of that size."""
    gy, gx = np.gradient(field, axis=(0, 1))
    a, b, c, d = gx[..., 0] + 1, gy[..., 0], gx[..., 1], gy[..., 1] + 1
    norm, det = a * a + b * b + c * c + d * d, a * d - b * c
    smallest = np.sqrt(np.maximum(0, 0.5 * (norm - np.sqrt(np.maximum(0, norm * norm - 4 * det * det)))))
    holes = ((smallest < limit) | (det < 0)) & (mask > 0.5)
    return Warp(field.astype(np.float32), cv2.morphologyEx(holes.astype(np.uint8), cv2.MORPH_OPEN, _DISK) > 0)


_DISK = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


def cut_and_move(source: Array, mask: Array, drags: Array) -> Warp:
    """The thing under the handles, found by GrabCut inside the mask, moved by the similarity that fits its drags best;
    the place it left is a hole. Background stays."""
    height, width = mask.shape
    cut = grab_object(source, mask, drags)
    if cut is None:
        return moving_least_squares(source, mask, drags)
    t, h = drags[:, 2:].astype(float), drags[:, :2].astype(float)
    moving = np.hypot(*(t - h).T) > 1
    pinned = h[~moving] if moving.sum() < 2 else h[:0]
    t, h = np.concatenate([t[moving], pinned]), np.concatenate([h[moving], pinned])
    factor, tm, hm = 1 + 0j, t.mean(0), h.mean(0)
    if len(t) > 1:
        tc, hc = (t - tm) @ np.array([1, 1j]), (h - hm) @ np.array([1, 1j])
        factor = (np.conj(tc) * hc).sum() / ((np.abs(tc) ** 2).sum() + 1e-9)
    x = grid(height, width) - tm
    moved = factor * (x[..., 0] + 1j * x[..., 1])
    back = (np.stack([moved.real, moved.imag], -1) + hm - tm - x).astype(np.float32)
    after = warp(cut.astype(np.float32), back, cv2.BORDER_CONSTANT) > 0.5
    left = cv2.dilate((cut & ~after).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return Warp(np.where(after[..., None], back, 0), left & ~after)


def grab_object(source: Array, mask: Array, drags: Array) -> Array | None:
    """GrabCut seeded by disks at the handles against everything outside the mask; bool [H, W] or None."""
    height, width = mask.shape
    moving = np.hypot(*(drags[:, 2:] - drags[:, :2]).T) > 1
    if not moving.any() or (mask > 0.5).all():
        return None
    scale = min(1.0, 256 / max(height, width))
    small = cv2.resize(source, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5
    seeds = np.where(inside, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    near = np.zeros(inside.shape, np.uint8)
    for handle in drags[moving, :2] * scale:
        centre = (int(handle[0]), int(handle[1]))
        cv2.circle(near, centre, max(3, round(0.12 * np.sqrt(inside.sum()))), 1, -1)
        cv2.circle(seeds, centre, max(2, round(0.012 * max(small.shape))), cv2.GC_FGD, -1)
    seeds[(near > 0) & (seeds == cv2.GC_PR_BGD)] = cv2.GC_PR_FGD
    if not (seeds == cv2.GC_BGD).any():
        return None
    cv2.setRNGSeed(0)
    cv2.grabCut(small, seeds, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    cut = ((seeds == cv2.GC_FGD) | (seeds == cv2.GC_PR_FGD)).astype(np.uint8)
    _, labels = cv2.connectedComponents(cut)
    kept = {int(labels[int(y * scale), int(x * scale)]) for x, y in drags[moving, :2]} - {0}
    if not kept:
        return None
    alone = np.isin(labels, list(kept)).astype(np.float32)
    return cv2.resize(alone, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def similarity(source: Array, mask: Array, drags: Array) -> Warp:
    return moving_least_squares(source, mask, drags, rigid=False)


BASELINES: dict[str, Callable[[Array, Array, Array], Warp]] = {
    "no edit": no_edit,
    "naive warp": naive_wide,
    "naive warp, still border": naive_to_zero,
    "MLS rigid": moving_least_squares,
    "MLS similarity": similarity,
    "ARAP": as_rigid_as_possible,
    "cut and move": cut_and_move,
}
CLASSICAL = ("MLS rigid", "MLS similarity", "ARAP", "cut and move")

"""Objects over a still background: cut along an edge, moved or deformed, with what they uncover known.

Either another photo's object is pasted, and the disoccluded part of the target is real; or the photo's own object moves
out of the untouched photo, and the target's uncovered part is painted in: the source is then as real as a user's, and
`Pair.real` says that the hole is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .motions import FURTHEST, Array, Region, grid, invert, random_motion, random_region, region_of, warp
from .parts import part_motion

SHARE = (0.004, 0.6)  # of a crop: the smallest and the largest object that is moved in it
SMALLEST = 40  # pixels, of an object that leaves its photo


@dataclass
class Pair:
    """source, target uint8 [H, W, 3]; field [H, W, 2] backward; forward [H, W, 2]: where each source place goes;
    visible [H, W]; moving [H, W]: the object in the target; touched [H, W]: everything that moves or is uncovered;
    drags [N, 4], pins [M, 2]: what it was made of, as far as it is known; real: whether what is uncovered is a
    photograph's."""

    source: Array
    target: Array
    field: Array
    forward: Array
    visible: Array
    moving: Array
    touched: Array
    drags: Array | None = None
    pins: Array | None = None
    real: bool = True


def ellipse(x: Array, region: Region) -> Array:
    """1 inside the region's ellipse, float32 [H, W]."""
    b = np.array([-region.axis[1], region.axis[0]], np.float32)
    s = ((x - region.centre) @ region.axis) / region.length
    t = ((x - region.centre) @ b) / max(region.width, 1e-3)
    return (s * s + t * t <= 1).astype(np.float32)


def random_crop(rng: np.random.Generator, have: tuple[int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """(x, y, w, h) of a crop with the wanted aspect ratio, 60 to 100 % of the largest that fits."""
    h, w = have
    factor = min(h / height, w / width) * (1.0 if rng.random() < 0.3 else rng.uniform(0.6, 1.0))
    ch, cw = max(1, min(h, round(height * factor))), max(1, min(w, round(width * factor)))
    return int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1)), cw, ch


def crop(photo: Array, box: tuple[int, int, int, int], height: int, width: int) -> Array:
    x, y, w, h = box
    smaller = w > width
    return cv2.resize(
        photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    )


def crop_cut(cut: Array | None, box: tuple[int, int, int, int], height: int, width: int) -> Array | None:
    """The object mask under the same crop, or None where too little or too much of it is left."""
    if cut is None:
        return None
    part = crop(cut.astype(np.float32), box, height, width) > 0.5
    return part if SHARE[0] < part.mean() < SHARE[1] else None


def blob(rng: np.random.Generator, height: int, width: int) -> Array:
    """A random smooth outline, bool [H, W]: an ellipse whose radius wobbles with the angle."""
    x = grid(height, width)
    region = random_region(rng, height, width)
    d = x - region.centre
    b = np.array([-region.axis[1], region.axis[0]], np.float32)
    s, t = (d @ region.axis) / region.length, (d @ b) / region.width
    phi = np.arctan2(t, s)
    wobble = sum(rng.normal(0, 0.16 / k) * np.cos(k * phi + rng.uniform(0, 6.3)) for k in range(2, 6))
    return np.hypot(s, t) <= 1 + wobble


def _place(rng: np.random.Generator, photo: Array, cut: Array, height: int, width: int) -> tuple[Array, Array] | None:
    """The object of another photo on this canvas, 25 to 70 % of its side, somewhere inside."""
    ys, xs = np.nonzero(cut)
    if len(xs) < 50:
        return None
    pad = 4
    y0, y1 = max(0, ys.min() - pad), min(cut.shape[0], ys.max() + pad)
    x0, x1 = max(0, xs.min() - pad), min(cut.shape[1], xs.max() + pad)
    factor = min(height, width) * rng.uniform(0.25, 0.7) / max(y1 - y0, x1 - x0)
    centre = np.array([width * rng.uniform(0.25, 0.75), height * rng.uniform(0.3, 0.75)])
    flip = -1.0 if rng.random() < 0.5 else 1.0
    middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    matrix = np.array([[factor * flip, 0, 0], [0, factor, 0]], np.float32)
    matrix[:, 2] = centre - matrix[:, :2] @ middle
    image, mask = photo, cut.astype(np.float32)
    if factor < 0.6:  # avoid aliasing
        image = cv2.GaussianBlur(photo, (0, 0), 0.45 / factor)
    flags = cv2.INTER_LINEAR
    image = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return image, cv2.warpAffine(mask, matrix, (width, height), flags=flags) > 0.5


def _matched(rng: np.random.Generator, image: Array, cut: Array, ground: Array) -> Array:
    """Object colours pulled part of the way to the background's mean, so that it does not stand out."""
    share = rng.uniform(0, 0.6)
    ys, xs = np.nonzero(cut)
    delta = ground[ys, xs].astype(np.float32).mean(0) - image[ys, xs].astype(np.float32).mean(0)
    return np.clip(image.astype(np.float32) + share * delta, 0, 255).astype(np.uint8)


def _feathered(rng: np.random.Generator, cut: Array) -> Array:
    """Alpha with an edge about as soft as the picture's own."""
    alpha = cv2.erode(cut.astype(np.float32), np.ones((3, 3), np.uint8)) if cut.sum() > 200 else cut.astype(np.float32)
    return cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.4, 1.2) * max(1.0, min(cut.shape) / 256))


def _over(image: Array, alpha: Array, ground: Array) -> Array:
    a = alpha[..., None]
    return np.clip(image.astype(np.float32) * a + ground.astype(np.float32) * (1 - a) + 0.5, 0, 255).astype(np.uint8)


def _object_motion(rng: np.random.Generator, x: Array, cut: Array) -> Array:
    """Backward field for the layer: one motion of the whole, or one of a part, eased in along the object."""
    field = random_motion(rng, x, region_of(cut))
    if rng.random() < 0.25:
        field = field + random_motion(rng, x, region_of(cut), only=("shift",))
    if rng.random() < 0.35:
        region = region_of(cut)
        a = region.axis * (1 if rng.random() < 0.5 else -1)
        s = ((x - region.centre) @ a) / region.length + rng.uniform(-0.3, 0.3)
        t = np.clip(s / rng.uniform(0.4, 0.9) + 0.5, 0, 1)
        field = field * (t * t * (3 - 2 * t))[..., None]
    length = np.hypot(field[..., 0], field[..., 1])
    peak = float(length[cut].max()) if cut.any() else 0.0
    limit = FURTHEST * min(cut.shape)
    return field * min(1.0, limit / (peak + 1e-6)) if peak > limit else field


def moved_object(
    rng: np.random.Generator,
    ground: Array,
    own: Array | None,
    other: Array | None,
    other_cut: Array | None,
    painted: float = 0.0,
    parts: float = 0.0,
    own_part: Array | None = None,
) -> Pair | None:
    """One object moved over `ground` [H, W, 3]: the photo's own (taken out of the untouched photo; or grown over
    itself, or the same in reverse, so that the photo is the target), or another photo's, pasted.

    painted: share of the photo's own objects that are taken out, which leaves a hole that is painted in; parts: share
    of the objects that move as they are dragged, held where they are not (`parts`), and not as a whole at random;
    own_part: a part of the photo's own object that then moves while the rest stays, bool [H, W], if one is known."""
    height, width = ground.shape[:2]
    x = grid(height, width)
    in_part = parts > 0 and rng.random() < parts
    if own is not None and own.sum() > SMALLEST:
        pair = None
        if rng.random() < painted:
            pair = _moved(rng, x, own, in_part, lambda *motion: _own_moved(rng, ground, own, *motion), own_part)
        elif rng.random() < 0.4:
            pair = _own_object(rng, x, ground, own)
        if pair is not None:
            return pair
    image, cut = ground, None
    if other is not None and other_cut is not None and rng.random() < 0.85:
        placed = _place(rng, other, other_cut, height, width)
        if placed is not None:
            image, cut = placed
    if cut is None:
        shape = own if own is not None and rng.random() < 0.5 else blob(rng, height, width)
        placed = _place(rng, ground, shape, height, width)
        if placed is None:
            return None
        image, cut = placed
    if cut.sum() < 60:
        return None
    image = _matched(rng, image, cut, ground)
    return _moved(rng, x, cut, in_part, lambda *motion: _pasted(rng, ground, image, cut, *motion))


def _moved(
    rng: np.random.Generator,
    x: Array,
    cut: Array,
    in_part: bool,
    make: Callable[[Array, Array], Pair | None],
    part: Array | None = None,
) -> Pair | None:
    """The pair that `make` makes of the object's backward and forward field."""
    if not in_part:
        field = _object_motion(rng, x, cut)
        return make(field, invert(field))
    motion = part_motion(rng, cut, part)
    if motion is None:
        return None
    field, forward, drags, pins = motion
    pair = make(field, forward)
    if pair is not None:
        pair.drags, pair.pins = drags, pins
    return pair


def _pasted(rng: np.random.Generator, ground: Array, image: Array, cut: Array, field: Array, forward: Array) -> Pair:
    """The object in `image` over the ground, before and after."""
    alpha = _feathered(rng, cut)
    source = _over(image, alpha, ground)
    after = warp(alpha, field, cv2.BORDER_CONSTANT)
    target = _over(warp(image, field), after, ground)
    return _pair(source, target, field, forward, alpha, after)


def _own_moved(rng: np.random.Generator, photo: Array, cut: Array, field: Array, forward: Array) -> Pair | None:
    """The photo's own object moves and the photo is the source as it is; behind it, the rim is painted inwards."""
    # what blends with its surroundings along the outline goes with it, a pixel wide (`_feathered` takes one off)
    grown = cv2.dilate(cut.astype(np.uint8), np.ones((3, 3), np.uint8))
    alpha = _feathered(rng, cv2.dilate(grown, np.ones((3, 3), np.uint8)) > 0)
    after = warp(alpha, field, cv2.BORDER_CONSTANT)
    if (after > 0.5).sum() < 0.3 * cut.sum():
        return None
    wide = cv2.dilate(grown, np.ones((3, 3), np.uint8))
    ground = cv2.inpaint(np.ascontiguousarray(photo), wide, 3, cv2.INPAINT_TELEA)
    # what the motion leaves in place keeps the photo's own pixels
    left = cv2.dilate(
        (grown * (np.hypot(forward[..., 0], forward[..., 1]) > 0.3)).astype(np.uint8), np.ones((3, 3), np.uint8)
    )
    target = _over(warp(photo, field), after, np.where(left[..., None] > 0, ground, photo))
    pair = _pair(photo, target, field, forward, alpha, after)
    pair.real = False
    return pair


def _own_object(rng: np.random.Generator, x: Array, photo: Array, cut: Array) -> Pair | None:
    """The photo's own object grows over itself; reversed half the time. None if it would uncover its old self."""
    field = _object_motion(rng, x, cut)
    alpha = _feathered(rng, cv2.dilate(cut.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    after = warp(alpha, field, cv2.BORDER_CONSTANT)
    if ((cut > 0.5) & (after < 0.5)).sum() > 0.03 * cut.sum():
        return None
    grown = _over(warp(photo, field), after, photo)
    if rng.random() < 0.35:
        return _pair(photo, grown, field, invert(field), alpha, after)
    return _pair(grown, photo, invert(field), field, after, alpha)


def _pair(source: Array, target: Array, field: Array, forward: Array, alpha: Array, after: Array) -> Pair:
    """Fields and visibility of one object over a still background, from its alpha before and after."""
    moving = (after > 0.5).astype(np.float32)
    covered = (alpha > 0.15).astype(np.float32)
    # the rim of an edge that did not move is still there to be seen
    changed = cv2.dilate(cv2.absdiff(source, target).max(-1), np.ones((3, 3), np.uint8)) > 8
    visible = np.where(after > 0.5, 1.0, 1.0 - covered * changed).astype(np.float32)
    touched = np.maximum(alpha, after) > 0.05
    field = (field * moving[..., None]).astype(np.float32)
    forward = (forward * (alpha > 0.5)[..., None]).astype(np.float32)
    return Pair(source, target, field, forward, visible, moving, touched.astype(np.float32))


def what_changes(pair: Pair) -> Array:
    """[H, W] 1 where the two pictures differ by motion: a person's mask covers that, and cuts through what stays."""
    lengths = [np.hypot(field[..., 0], field[..., 1]) for field in (pair.field, pair.forward)]
    return np.maximum(np.maximum(*lengths) > 0.4, pair.visible < 0.5).astype(np.float32)

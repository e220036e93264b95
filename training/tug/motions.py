"""Motions that people ask for, as smooth backward displacement fields.

A motion answers, for every place x of the *target* picture, where that content lies in the source:
`source = x + B(x)`. Defining it on the target side makes the truth exact: a drag whose target is t has
its handle at t + B(t), with no inversion. All lengths are pixels of the canvas the motion is made for;
coordinates are continuous, origin at the top-left corner (the first pixel's centre is 0.5, 0.5).

Families (what a user does with a picture): stretch with a pinned end, lengthen, bend, turn about a pivot,
turn with foreshortening (a head, a cup), scale about a pinned point, open (a mouth, a beak, a gap), shift;
and what nobody names but soft things do: several parts that move on their own (mingle), a lump pushed about (knead).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

Array = np.ndarray

FURTHEST = 0.35  # of the canvas's side: how far a thing is moved


@dataclass(frozen=True)
class Region:
    """An elongated part of the canvas: centre, unit long axis, half length and half width, in pixels."""

    centre: Array
    axis: Array
    length: float
    width: float

    @property
    def size(self) -> float:
        return float(np.sqrt(self.length * self.width))


def grid(height: int, width: int) -> Array:
    """Pixel centres, float32 [H, W, 2], (x, y)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x + 0.5, y + 0.5], -1)


def region_of(mask: Array) -> Region:
    """Principal axes of a binary mask [H, W]; half lengths are two standard deviations."""
    ys, xs = np.nonzero(mask)
    points = np.stack([xs, ys], 1).astype(np.float32) + 0.5
    centre = points.mean(0)
    values, vectors = np.linalg.eigh(np.cov((points - centre).T) + 1e-3 * np.eye(2))
    return Region(centre, vectors[:, 1].astype(np.float32), 2 * float(values[1]) ** 0.5, 2 * float(values[0]) ** 0.5)


def random_region(rng: np.random.Generator, height: int, width: int) -> Region:
    """An ellipse somewhere in the picture, 8 to 30 % of its side in half length."""
    side = min(height, width)
    length = side * rng.uniform(0.08, 0.3)
    angle = rng.uniform(0, np.pi)
    return Region(
        np.array([width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.8)], np.float32),
        np.array([np.cos(angle), np.sin(angle)], np.float32),
        length,
        length * rng.uniform(0.4, 1.0),
    )


def rotate(vectors: Array, angle: Array | float) -> Array:
    """Vectors [..., 2] turned by an angle in radians, or by one each."""
    c, s = np.cos(angle), np.sin(angle)
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([c * x - s * y, s * x + c * y], -1)


def _ramp(s: Array, softness: float) -> Array:
    """A smooth max(s, 0): quadratic over `softness` on both sides of the corner."""
    t = np.clip((s + softness) / (2 * softness), 0, 1)
    return np.where(s > softness, s, softness * t * t)


def _direction(rng: np.random.Generator, region: Region) -> Array:
    """The region's long axis two times of three (either way), else any direction."""
    if rng.random() < 0.67:
        return region.axis * (1 if rng.random() < 0.5 else -1)
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def stretch(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """Longer or shorter along one direction, the other end pinned; sides may thin a little."""
    a = _direction(rng, region)
    pin = region.centre - a * region.length * rng.uniform(0.3, 1.0)
    factor = np.exp(strength * rng.choice([1, 1, -0.7]))
    s = _ramp((x - pin) @ a, 0.1 * region.length)
    field = (s / factor - s)[..., None] * a
    if rng.random() < 0.3:
        b = np.array([-a[1], a[0]], np.float32)
        side = (x - region.centre) @ b
        thin = 1 + 0.3 * strength * np.clip(s / (2 * region.length), 0, 1)
        field = field + (side * (thin - 1))[..., None] * b
    return field


def lengthen(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """What lies beyond a line moves away whole; only a band at the line is stretched."""
    a = _direction(rng, region)
    start = rng.uniform(-0.5, 0.3) * region.length
    band = region.length * rng.uniform(0.3, 0.9)
    shift = strength * region.length * rng.choice([1.0, 1.0, -0.6])
    s = (x - region.centre) @ a - start
    reach = band + max(shift, 0)
    t = np.clip(s / reach, 0, 1)
    return -(shift * t)[..., None] * a


def bend(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """One end stays, the other swings: the angle grows along the axis."""
    a = _direction(rng, region)
    pin = region.centre - a * region.length * rng.uniform(0.4, 1.0)
    s = np.clip(((x - pin) @ a) / (2 * region.length), 0, 1.2)
    angle = strength * rng.choice([-1, 1]) * s
    return rotate(x - pin, angle) - (x - pin)


def turn(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """Rigid rotation about a pivot: the centre, or an end (an arm, a hand of a clock)."""
    pivot = region.centre
    if rng.random() < 0.6:
        pivot = pivot + _direction(rng, region) * region.length * rng.uniform(0.4, 1.1)
    return rotate(x - pivot, strength * rng.choice([-1, 1]) * 0.8) - (x - pivot)


def foreshorten(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """A round thing turned about an axis in the picture plane: the middle moves, the rim stays."""
    angle = rng.choice([0.0, np.pi]) + rng.normal(0, 0.35) + (np.pi / 2 if rng.random() < 0.3 else 0)
    a = np.array([np.cos(angle), np.sin(angle)], np.float32)
    radius = max(region.width, 0.7 * region.size) * rng.uniform(1.0, 1.5)
    theta = min(0.9, 1.2 * strength)
    s = ((x - region.centre) @ a) / radius
    # the surface point seen at s = sin(phi) was at sin(phi - theta); beyond the rim it fades out
    inside = np.clip(s, -1, 1)
    before = np.sin(
        np.clip(np.arcsin(inside) - theta * np.sqrt(np.maximum(np.cos(np.arcsin(inside)), 0)), -np.pi / 2, np.pi / 2)
    )
    across = ((x - region.centre) @ np.array([-a[1], a[0]], np.float32)) / (1.5 * radius)
    fade = np.exp(-(np.clip(np.abs(across), 0, 3) ** 4))
    return ((before - inside) * radius * fade)[..., None] * a


def scale(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """Larger or smaller about a pinned point (centre, foot or any other)."""
    pin = region.centre
    if rng.random() < 0.5:
        pin = pin + _direction(rng, region) * region.length * rng.uniform(0.3, 1.0)
    factor = np.exp(strength * rng.choice([0.8, 0.8, -0.6]))
    return (x - pin) * (1 / factor - 1)


def open_up(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """Two lips part along a line, strongest in its middle; either both move or only one."""
    a = region.axis if rng.random() < 0.6 else _direction(rng, region)
    b = np.array([-a[1], a[0]], np.float32)
    along = ((x - region.centre) @ a) / (region.length * rng.uniform(0.7, 1.1))
    across = (x - region.centre) @ b
    gap = strength * region.width * np.exp(-(along**2) * 1.5)
    band = region.width * rng.uniform(0.25, 0.5) + 1e-3
    lip = np.tanh(across / (band + 0.7 * strength * region.width))
    upper, lower = rng.choice([[1, 1], [1, 0], [0, 1]])
    weight = np.where(across > 0, upper, lower)
    decay = np.exp(-((across / (2.2 * region.width + 1e-3)) ** 2))
    return -(gap * lip * weight * decay)[..., None] * b


def shift(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """The whole region moves, a little rotation and scale included."""
    angle = rng.uniform(0, 2 * np.pi)
    move = strength * region.size * rng.uniform(0.6, 1.4) * np.array([np.cos(angle), np.sin(angle)], np.float32)
    spin = rng.normal(0, 0.08) if rng.random() < 0.5 else 0.0
    zoom = rng.normal(0, 0.05) if rng.random() < 0.5 else 0.0
    back = x - region.centre - move
    return rotate(back, spin) * (1 + zoom) + region.centre - x


def mingle(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """Two to four parts, each turned, scaled and moved on its own, and blended smoothly between them."""
    count = int(rng.integers(2, 5))
    centres = region.centre + rng.normal(0, 0.6, (count, 2)) * region.size
    reach = region.size * rng.uniform(0.4, 1.0, count)
    near = np.stack([np.exp(-np.square(x - c).sum(-1) / (2 * r * r)) for c, r in zip(centres, reach, strict=True)])
    share = near / (near.sum(0) + 1e-3)
    field = np.zeros_like(x)
    for weight, centre in zip(share, centres, strict=True):
        move = strength * region.size * rng.normal(0, 0.5, 2) * (rng.random() < 0.8)
        back = x - centre - move
        turned = rotate(back, rng.normal(0, 0.6) * strength) * np.exp(rng.normal(0, 0.4) * strength)
        field += weight[..., None] * (turned + centre - x)
    return field


def knead(rng: np.random.Generator, x: Array, region: Region, strength: float) -> Array:
    """A soft lump: a few places pushed this way and that, each taking its surroundings along."""
    count = int(rng.integers(1, 7))
    field = np.zeros_like(x)
    for _ in range(count):
        place = region.centre + rng.normal(0, 0.7, 2) * region.size
        reach = region.size * float(np.exp(rng.uniform(np.log(0.35), np.log(1.3))))
        push = strength * reach * rng.normal(0, 0.6, 2)
        field += np.exp(-np.square(x - place).sum(-1) / (2 * reach * reach))[..., None] * push
    return field


Motion = Callable[[np.random.Generator, Array, Region, float], Array]
MOTIONS: dict[str, tuple[Motion, float]] = {
    "stretch": (stretch, 2.0),
    "lengthen": (lengthen, 1.5),
    "bend": (bend, 1.5),
    "turn": (turn, 2.0),
    "foreshorten": (foreshorten, 1.0),
    "scale": (scale, 1.5),
    "open": (open_up, 1.0),
    "shift": (shift, 2.5),
    "mingle": (mingle, 3.0),
    "knead": (knead, 3.0),
}


def random_motion(rng: np.random.Generator, x: Array, region: Region, only: tuple[str, ...] | None = None) -> Array:
    """One motion of a random family and strength on grid `x` [H, W, 2] → backward field [H, W, 2] float32."""
    names = list(only or MOTIONS)
    weights = np.array([MOTIONS[name][1] for name in names])
    name = names[rng.choice(len(names), p=weights / weights.sum())]
    strength = float(np.exp(rng.uniform(np.log(0.16), np.log(0.85))))
    return MOTIONS[name][0](rng, x, region, strength).astype(np.float32)


def invert(field: Array, steps: int = 12) -> Array:
    """Backward field of the inverse map by fixed-point iteration: y + F(y) = u solved for y - u, on u's grid."""
    height, width = field.shape[:2]
    base = grid(height, width) - 0.5
    inverse = -field
    for _ in range(steps):
        where = base + inverse
        inverse = -cv2.remap(field, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return inverse


def folds(field: Array) -> bool:
    """Whether x + field(x), field [H, W, 2] in pixels, turns some part over."""
    dx, dy = np.diff(field, axis=1)[:-1], np.diff(field, axis=0)[:, :-1]
    turned = (1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]
    return bool(np.mean(turned < 0.05) > 0.002)


def warp(image: Array, field: Array, border: int = cv2.BORDER_REFLECT_101) -> Array:
    """out(x) = image(x + field(x)), bilinear; image [H, W(, C)], field [H, W, 2] in pixels of the same size."""
    # Reflection steps back one picture at a time, so a far-off coordinate would take for ever.
    reach = float(max(field.shape[:2]))
    base = grid(*field.shape[:2]) - 0.5 + np.clip(np.nan_to_num(field), -reach, reach)
    return cv2.remap(image, base[..., 0], base[..., 1], cv2.INTER_LINEAR, borderMode=border)

"""Limbs: what sticks out of a thing and moves on its own, as a tail, a paw, an ear, an arm or a handle does.

A limb is what an opening of the thing's outline takes away, if it is longer than wide; its joint is where it meets the
rest. It turns about the joint, grows longer or shorter from there, or both. The motion is given in polar coordinates
around the joint and grows with the distance from it, so that the limb stays attached. Pixels of the canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .motions import FURTHEST, Array, rotate

SMALLEST, LARGEST = 0.002, 0.12  # of the canvas: a limb's area
ELONGATED = 1.2  # a limb's length, in its widths
ANGLES = (0.15, 1.4)  # radians


@dataclass(frozen=True)
class Limb:
    """mask: bool [H, W]; joint: (x, y), where it meets the rest; length: from there to its tip; width: the mean one."""

    mask: Array
    joint: Array
    length: float
    width: float


def find_limb(rng: np.random.Generator, cut: Array) -> Limb | None:
    """One of the limbs of a thing's outline `cut`, bool [H, W], any of them; None if nothing sticks out."""
    inner = cv2.distanceTransform(np.pad(cut, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    radius = float(inner.max()) * rng.uniform(0.3, 0.75)
    core = inner > radius
    if radius < 1.5 or not core.any():
        return None
    rest = cut & (cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) <= radius + 1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((cut & ~rest).astype(np.uint8), connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    fitting = [k for k in range(1, count) if max(20, SMALLEST * cut.size) < sizes[k] < LARGEST * cut.size]
    near_rest = cv2.dilate(rest.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for k in rng.permutation(fitting):
        limb = labels == k
        ys, xs = np.nonzero(limb & near_rest)
        if len(xs) < 2:
            continue
        joint = np.array([xs.mean() + 0.5, ys.mean() + 0.5], np.float32)
        ys, xs = np.nonzero(limb)
        length = float(np.hypot(xs + 0.5 - joint[0], ys + 0.5 - joint[1]).max())
        width = float(len(xs)) / length
        if length > ELONGATED * width:
            return Limb(limb, joint, length, width)
    return None


def limb_motion(rng: np.random.Generator, x: Array, limb: Limb) -> tuple[Array, Array]:
    """(backward, forward) fields [H, W, 2] on the grid x [H, W, 2] of a limb that turns about its joint and changes its
    length; each the other's inverse."""
    # eased in at the joint, or all along the limb, which bends it
    ease = limb.width * rng.uniform(0.7, 1.6) if rng.random() < 0.6 else limb.length * rng.uniform(0.7, 1.3)
    kind, far = rng.random(), FURTHEST * min(x.shape[:2]) / limb.length
    angle = 0.0 if kind < 0.2 else rng.choice([-1, 1]) * min(far, float(np.exp(rng.uniform(*np.log(ANGLES)))))
    longer = 0.0 if kind > 0.6 else min(far, rng.uniform(-0.3, 0.6))

    def share(distance: Array) -> Array:
        t = np.clip(distance / ease, 0, 1)
        return t * t * (3 - 2 * t)

    out = x - limb.joint
    distance = np.hypot(out[..., 0], out[..., 1])
    part = share(distance)
    backward = rotate(out, angle * part) / (1 + longer * part)[..., None] - out
    # where a source distance lands, from a table of where target distances come from
    landed = np.linspace(0, 2 * float(distance.max()), 2048)
    after = np.interp(distance, landed / (1 + longer * share(landed)), landed)
    stretched = out * (after / np.maximum(distance, 1e-6))[..., None]
    forward = rotate(stretched, -angle * share(after)) - out
    return backward.astype(np.float32), forward.astype(np.float32)

"""Parts that move over what lies behind them: a tail about its root, an arm, a lamp, the hand of a clock.

The thing is a sheet as rigid as possible (`pulls`) that is dragged. It is still at its pins and where the rest of it
begins: beyond the part, where one is known (`things`), or beyond a reach around the drags. What hangs on at the far
side goes along. What lies behind it stays, and is
covered here and uncovered there (`layers`). So the motion is what the drags ask of the thing, and not one of many that
would fit them. Pixels of the canvas.
"""

from __future__ import annotations

import cv2
import numpy as np

from .drags import wished_drags
from .motions import Array, folds, grid, invert, warp
from .pulls import stiff_field

REACH = (0.08, 0.7)  # of the canvas's side: how far from the ends of the drags the thing is free
PINNED = 0.7
STEPS = 40  # of the inversion: a turn by a radian takes that many
NARROW = 30  # pixels: the smallest part


def part_motion(
    rng: np.random.Generator, cut: Array, part: Array | None = None
) -> tuple[Array, Array, Array, Array] | None:
    """(backward field [H, W, 2], forward field, drags [N, 4] wished for, pins [M, 2]) of the thing with the outline
    `cut`, bool [H, W]; outside it the fields go on smoothly and mean nothing. None where the drags fit it ill.

    part: what of the thing moves, bool [H, W], in two of three cases if one is known."""
    height, width = cut.shape
    side = min(height, width)
    part = part if part is not None and rng.random() < 0.67 else None
    dragged = cut if part is None else part & cut
    if not dragged.any():
        return None
    drags, pins = wished_drags(rng, height, width, dragged, PINNED)
    drags, pins = drags[_on(dragged, drags)], pins[_on(cut, pins)]
    if not len(drags):
        return None
    ends = np.concatenate([drags[:, :2], pins])
    reach = side * float(np.exp(rng.uniform(*np.log(REACH))))
    x = grid(height, width)
    near = dragged
    if part is None:
        near = cut & (np.min([np.hypot(*(x - end).transpose(2, 0, 1)) for end in ends], 0) < reach)
    _, labels = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
    free = near & np.isin(labels, [labels[int(y), int(x)] for x, y in drags[:, :2]])
    if free.sum() < NARROW:
        return None
    free |= _beyond(cut & ~free)
    for _ in range(3):
        forward = stiff_field(rng, drags, pins, cut & ~free, cut, alone=True)
        backward = invert(forward, STEPS)
        landed = warp(cut.astype(np.float32), backward, cv2.BORDER_CONSTANT) > 0.5
        missed = np.hypot(*(warp(forward, backward) + backward)[landed].T)
        if not folds(forward) and missed.max(initial=0) < 1:
            return backward.astype(np.float32), forward, drags, pins
        drags = drags.copy()
        drags[:, 2:] += 0.4 * (drags[:, :2] - drags[:, 2:])
    return None


def _beyond(rest: Array) -> Array:
    """Of what is not free, bool [H, W], all but its largest piece: the tip of a tail goes with the tail."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    return rest & (labels != 1 + int(sizes[1:].argmax())) if count > 2 else np.zeros_like(rest)


def _on(cut: Array, points: Array) -> Array:
    """bool [N]: which of points [N, 2 or more] lie on the thing."""
    x, y = np.floor(points[:, :2]).astype(int).T
    return cut[np.clip(y, 0, cut.shape[0] - 1), np.clip(x, 0, cut.shape[1] - 1)]

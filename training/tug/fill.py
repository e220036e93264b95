"""Holes filled with patches of the picture around them: PatchMatch (Barnes et al. 2009) from coarse to fine.

What a motion uncovers is nowhere in the warp, and the denoiser's latent, an eighth of the picture, says too little of a
texture. So every patch that overlaps a hole is compared with patches that do not, and the hole becomes the mean of what
fits best (Wexler et al. 2007). What lies behind a thing that moved looks like what stayed: nothing is taken from what
moved. What a drag pulls in from beyond the picture's edge looks like what is at the edge. All of it in integers, each
round from the one before, so that the engine's fill, which does the same in TypeScript, has the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .motions import Array

RADIUS, STRIDE = 3, 2  # patches are squares of 2 RADIUS + 1 pixels; every STRIDE-th along both axes is filled
LEVELS = 4  # each half the size of the one before
ROUNDS = (2, 2, 3, 4)  # of searching and averaging, finest level first
SEARCHED = 10_000  # a level with more patches to fill takes the coarser one's answers as they are
AROUND = 64  # pixels around the holes in which patches are looked for
SMOOTHINGS = 40  # of the first guess, over 3×3 pixels
SMALLEST = 48  # pixels of a level's shorter side
NEIGHBOURS = ((0, 1), (1, 0), (0, -1), (-1, 0), (0, 4), (4, 0), (0, -4), (-4, 0))  # tried, (y, x) in STRIDEs
SIDE = 2 * RADIUS + 1
OFFSETS_Y, OFFSETS_X = (axis.ravel() for axis in np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1])

AT_REST = 0.4  # share of the longest drag up to which a place counts as one that stayed
WIDER = 2  # work pixels by which a hole is wider than where less than a half is seen
# Grey levels within a patch up to which an edge that was drawn out is left: a frame around the picture.
FLAT = 4


@dataclass
class Patch:
    """Filled holes: picture float32 [H, W, 3], 0 to 255, and how much of it is taken, alpha [H, W, 1]."""

    picture: Array
    alpha: Array

    def over(self, picture: Array) -> Array:
        return picture + self.alpha * (self.picture - picture)


def patch_holes(warped: Array, seen: Array, field: Array, inside: Array, drags: Array) -> Patch | None:
    """The holes of a warped picture, filled; all in work pixels.

    warped uint8 [H, W, 3]; seen [h, w], below a half in a hole; field [2, H, W] backward; inside bool [H, W], what
    may change; drags [N, 4]."""
    seen = cv2.resize(seen, inside.shape[::-1], interpolation=cv2.INTER_LINEAR)
    around = (2 * WIDER + 1,) * 2
    hole = (cv2.dilate((seen < 0.5).astype(np.uint8), np.ones(around, np.uint8)) > 0) & inside
    if not hole.any():
        return None
    longest = float(np.hypot(*(drags[:, 2:] - drags[:, :2]).T).max())
    moved = (field**2).sum(0) > (AT_REST * longest) ** 2
    told = _beyond(field)
    # a thing that comes in from beyond the edge may well go on there
    if not (hole & ~(cv2.dilate(told.astype(np.uint8), np.ones(around, np.uint8)) > 0)).any():
        moved[:] = False
    window = np.ones((SIDE, SIDE), np.uint8)
    flat = told & ((cv2.dilate(warped, window) - cv2.erode(warped, window)).max(2) <= FLAT)
    picture = fill_holes(warped, hole & ~flat, moved, told).astype(np.float32)
    weight = hole.astype(np.float32)
    alpha = cv2.blur(weight, around, borderType=cv2.BORDER_REPLICATE) * weight
    return Patch(picture, alpha[..., None])


def _beyond(field: Array) -> Array:
    """Where a backward field [2, H, W] points beyond the picture: bool [H, W]. What is seen there is its edge, drawn
    out."""
    height, width = field.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    x, y = x + field[0], y + field[1]
    return (x < 0) | (y < 0) | (x > width) | (y > height)


def fill_holes(picture: Array, hole: Array, moved: Array, told: Array) -> Array:
    """picture uint8 [H, W, 3], sides multiples of 8; hole, moved bool [H, W]; told bool [H, W]: where the picture's own
    colours in a hole are a first guess at what belongs there → the picture with its holes filled; as it was if there is
    no room for a single patch beside them that stayed."""
    if not hole.any():
        return picture
    (top, bottom), (left, right) = (_span(hole.any(axis), hole.shape[1 - axis]) for axis in (1, 0))
    window = np.s_[top:bottom, left:right]
    levels = [(picture[window].astype(np.int64), hole[window], moved[window], (hole & told)[window])]
    while len(levels) < LEVELS and min(levels[-1][1].shape) >= 2 * SMALLEST:
        image, *maps = levels[-1]
        h, w = maps[0].shape
        smaller = (image.reshape(h // 2, 2, w // 2, 2, 3).sum((1, 3)) + 2) >> 2
        levels.append((smaller, *(m.reshape(h // 2, 2, w // 2, 2).any((1, 3)) for m in maps)))
    found: _Level | None = None
    for index in reversed(range(len(levels))):
        level = _Level(*levels[index], index)
        if level.possible:
            level.begin(found)
            for round_ in range(ROUNDS[index] if found is None or len(level.y) <= SEARCHED else 0):
                level.search(round_)
                level.vote()
            found = level
    if found is None or found.index > 0:
        return picture
    out = picture.copy()
    out[window] = found.image.astype(np.uint8)
    return out


def _span(any_: Array, length: int) -> tuple[int, int]:
    """From where to where along one axis patches are looked for: multiples of 8."""
    places = np.flatnonzero(any_)
    return max(0, (int(places[0]) - AROUND) & ~7), min(length, (int(places[-1]) + AROUND + 8) & ~7)


class _Level:
    """One size of the picture: which patches to fill (`y`, `x`, their middles), and what each is like (`sy`, `sx`)."""

    def __init__(self, image: Array, hole: Array, moved: Array, told: Array, index: int) -> None:
        self.image, self.hole, self.stayed, self.index = image.copy(), hole, ~(hole | moved), index
        self.told = told
        self.own = image  # what patches are taken from: the picture's own pixels
        self.height, self.width = hole.shape
        window = np.ones((SIDE, SIDE), np.uint8)
        near, gone = (cv2.dilate(m.astype(np.uint8), window) > 0 for m in (hole, hole | moved))
        inner = np.zeros_like(hole)
        inner[RADIUS:-RADIUS, RADIUS:-RADIUS] = True
        self.whole = ~gone & inner
        self.y, self.x = np.nonzero((near & inner)[::STRIDE, ::STRIDE])
        self.y, self.x = STRIDE * self.y, STRIDE * self.x
        self.possible = bool(self.whole.any()) and len(self.y) > 0
        self.at = np.full(hole.shape, -1)
        self.at[self.y, self.x] = np.arange(len(self.y))

    def begin(self, coarser: _Level | None) -> None:
        """First answers: at random beside a guess, or the coarser level's, whose mean is then the first guess."""
        known_y, known_x = np.nonzero(self.whole)
        pick = _random(self._ids(), 4096 * self.index) % np.uint32(len(known_y))
        self.sy, self.sx = known_y[pick], known_x[pick]
        if coarser is None:
            self._guess()
            self._compare()
            return
        k = coarser.at[self.y // 2 // STRIDE * STRIDE, self.x // 2 // STRIDE * STRIDE]
        y, x = 2 * coarser.sy[k] + self.y % (2 * STRIDE), 2 * coarser.sx[k] + self.x % (2 * STRIDE)
        take = (k >= 0) & self._whole(y, x)
        self.sy, self.sx = np.where(take, y, self.sy), np.where(take, x, self.sx)
        self._compare()
        self.vote()

    def _guess(self) -> None:
        """What stayed, and what is told of a hole, grown into the holes ring by ring, then smoothed there."""
        seen = (self.stayed | self.told).astype(np.float64)
        image = np.where(seen[..., None] > 0, self.image, 0).astype(np.float64)
        while not seen.all():
            total = _around(seen)
            ring = (seen == 0) & (total > 0)
            image[ring] = _rounded(_around(image)[ring], total[ring, None])
            seen[ring] = 1
        inside = _around(np.ones_like(seen))[..., None]
        for _ in range(SMOOTHINGS):
            image = np.where(self.hole[..., None], _rounded(_around(image), inside), image)
        self.image[self.hole] = image[self.hole].astype(np.int64)

    def search(self, round_: int) -> None:
        """Tries, for every patch, what its neighbours are like, and patches ever closer to the best so far."""
        self._compare()
        for dy, dx in NEIGHBOURS:
            y, x = self.y - STRIDE * dy, self.x - STRIDE * dx
            inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
            k = np.where(inside, self.at[y % self.height, x % self.width], -1)
            self._try(*(np.where(k >= 0, s[k] + STRIDE * d, -1) for s, d in ((self.sy, dy), (self.sx, dx))))
        reach, turn = max(self.height, self.width) // 2, 4096 * self.index + 64 * round_ + 1
        while reach >= 1:
            y, x = (
                s + (_random(self._ids(), turn + k) % np.uint32(2 * reach + 1)).astype(np.int64) - reach
                for k, s in enumerate((self.sy, self.sx))
            )
            self._try(y, x)
            reach, turn = reach // 4, turn + 2

    def vote(self) -> None:
        """Every pixel of the hole becomes the mean of what the patches over it have there, the closest most."""
        weight = np.maximum(1, (1 << 36) // (self.distance // SIDE**2 + 32) ** 3)
        sums, total = np.zeros((self.height * self.width, 3), np.int64), np.zeros(self.height * self.width, np.int64)
        own = self.own.reshape(-1, 3)
        for dy, dx in zip(OFFSETS_Y, OFFSETS_X, strict=True):
            place = (self.y + dy) * self.width + self.x + dx
            sums[place] += own[(self.sy + dy) * self.width + self.sx + dx] * weight[:, None]
            total[place] += weight
        filled = self.hole.ravel() & (total > 0)
        self.image.reshape(-1, 3)[filled] = _rounded(sums[filled], total[filled, None])

    def _ids(self) -> Array:
        return (self.y * self.width + self.x).astype(np.uint32)

    def _whole(self, y: Array, x: Array) -> Array:
        """Whether a patch around (y, x) has no hole and lies inside the picture."""
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        return inside & self.whole[y % self.height, x % self.width]

    def _compare(self) -> None:
        """Squared differences of every patch as it is now to what it is said to be like."""
        self.now = self._patches(self.image, self.y, self.x)
        self.distance = self._distances(np.arange(len(self.y)), self.sy, self.sx)

    def _patches(self, image: Array, y: Array, x: Array) -> Array:
        places = (y * self.width + x)[:, None] + (OFFSETS_Y * self.width + OFFSETS_X)[None]
        return image.reshape(-1, 3).astype(np.int16)[places]

    def _distances(self, which: Array, y: Array, x: Array) -> Array:
        difference = (self.now[which] - self._patches(self.own, y, x)).astype(np.int32)
        return np.einsum("nkc,nkc->n", difference, difference).astype(np.int64)

    def _try(self, y: Array, x: Array) -> None:
        which = np.flatnonzero(self._whole(y, x))
        distance = self._distances(which, y[which], x[which])
        better = distance < self.distance[which]
        which = which[better]
        self.distance[which] = distance[better]
        self.sy[which], self.sx[which] = y[which], x[which]


def _around(values: Array) -> Array:
    """Sums over 3×3 pixels, nothing beyond the border."""
    return cv2.boxFilter(values, cv2.CV_64F, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)


def _rounded(sums: Array, total: Array) -> Array:
    return (sums + total // 2) // total


def _random(ids: Array, turn: int) -> Array:
    """A hash of 32 bits of each id and a number: the same everywhere, in no order."""
    x = ids * np.uint32(0x9E3779B1) ^ np.uint32(turn * 0x85EBCA77 & 0xFFFFFFFF)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    return x ^ x >> np.uint32(16)

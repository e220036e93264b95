"""PatchMatch on one lattice: every hidden cell gets the place of the photo whose surroundings look most like its own.

All in integers (8-bit colours, hashed random numbers), and all cells of a step are looked at at once from the same
state: the engine's `patchmatch.ts` is this step for step, and finds the same places to the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

RADIUS = 2  # of a patch, cells
ENOUGH = 15  # of the 25 cells of a source patch that must be allowed
MISS = 10000  # squared distance of a cell that is not
KNOWN = 16  # weight of a whole known cell in a patch
DEPTH = (4, 2)  # weight of a hole cell by its distance from what is known; deeper ones weigh 1
NEAR = 4000  # price of distance: squared px / 65536 of it
SEAM = 24  # price of a tear between neighbours of different offsets
SWEEPS = 2
# by cell size: rounds of search and vote; how far away the neighbours are that are asked; the random search's first
# radius as a share of the lattice, one in so many
EFFORT = {8: (20, (4, 2, 1), 2), 4: (5, (2, 1), 2), 2: (1, (2, 1), 32)}
AROUND = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))  # (y, x)


@dataclass
class Lattice:
    """source, now: int32 [h, w, 5], the photo and the picture as it stands: R, G, B and the luminance's steps across
    and down, 0 to 255; hole bool [h, w]; known int32 [h, w], 0 to KNOWN: how much of a cell is background that stays;
    allowed bool [h, w]: may be copied."""

    cell: int
    source: Array
    now: Array
    hole: Array
    known: Array
    allowed: Array


def random(*keys: int | Array) -> Array:
    """Hashed uint32, the same for the same keys."""
    x = np.zeros((), np.uint32)
    with np.errstate(over="ignore"):
        for key in keys:
            x = x ^ (np.asarray(key).astype(np.uint32) * np.uint32(0x9E3779B1))
            x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
            x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
            x = x ^ (x >> np.uint32(16))
    return x


class Search:
    """PatchMatch on one lattice. Places are indices into the lattice with RADIUS cells more on every side; `found` is
    the source place of every hole cell of `places`. All cells of a step are looked at at once, from the same state."""

    def __init__(self, level: Lattice, seed: int) -> None:
        self.level, self.seed = level, seed
        self.width = level.hole.shape[1] + 2 * RADIUS
        span = range(-RADIUS, RADIUS + 1)
        self.shifts = np.array([dy * self.width + dx for dy in span for dx in span])

        def padded(a: Array) -> Array:
            wide = np.pad(a, ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0))[: a.ndim])
            return wide.reshape(-1, *a.shape[2:])

        self.source, self.now, self.allowed = padded(level.source), padded(level.now), padded(level.allowed)
        self.known, hole = padded(level.known), padded(level.hole)
        self.size = len(hole)
        self.places, allowed = np.flatnonzero(hole), np.flatnonzero(self.allowed)
        self.sources = allowed[self.allowed[allowed[:, None] + self.shifts].sum(1) >= ENOUGH]
        self.good = np.zeros(self.size, bool)
        self.good[self.sources] = True
        self.slot = np.full(self.size, -1)
        self.slot[self.places] = np.arange(len(self.places))
        self.weight = self._weights(hole)
        self.patch_weight = self.weight[self.places[:, None] + self.shifts]
        self.price = (NEAR * self.level.cell**2 * self.patch_weight.sum(1)).astype(np.int64)
        self.found = self.best = self.places

    def _weights(self, hole: Array) -> Array:
        weight = np.where(hole, 1, self.known)
        beside = self.places[:, None] + [self.width * y + x for y, x in AROUND[1:]]
        near = self.known > 0
        for value in DEPTH:
            reached = self.places[near[beside].any(1) & ~near[self.places]]
            weight[reached] = value
            near[reached] = True
        return weight

    def run(self, coarser: Search | None) -> None:
        """`found` from the coarser lattice's, and `now` with it."""
        self._start(coarser)
        for index in range(EFFORT[self.level.cell][0]):
            self._improve(index)
            self._vote()

    def _start(self, coarser: Search | None) -> None:
        number = np.arange(len(self.places))
        anywhere = self.sources[random(self.seed, self.level.cell, number) % np.uint32(len(self.sources))]
        if coarser is None:
            self._spread()
            self.found = anywhere
            return
        h, w = coarser.level.hole.shape
        y, x = (v - RADIUS for v in np.divmod(self.places, self.width))
        dx, dy = np.zeros((2, len(number)), np.int64)
        have = np.zeros(len(number), bool)
        # as the parent moves, or a neighbour of the parent that was filled
        for sy, sx in AROUND:
            parent = ((y // 2 + sy).clip(0, h - 1) + RADIUS) * coarser.width + (x // 2 + sx).clip(0, w - 1) + RADIUS
            slot = coarser.slot[parent]
            use = (slot >= 0) & ~have
            (ty, tx), (py, px) = np.divmod(coarser.found[slot], coarser.width), np.divmod(parent, coarser.width)
            dx, dy = np.where(use, 2 * (tx - px), dx), np.where(use, 2 * (ty - py), dy)
            have |= use
        at, good = self._moved(self.places, dx, dy)
        self.found = np.where(good & have, at, anywhere)
        self._vote()

    def _spread(self) -> None:
        """The hole's first colours: what is known, spread inwards ring by ring."""
        have = self.known > 0
        self.now[self.places] = 128
        left = self.places
        while len(left) > 0:
            beside = left[:, None] + [self.width * y + x for y, x in AROUND[1:]]
            count = have[beside].sum(1)
            ready = count > 0
            if not ready.any():
                break
            total = (self.now[beside] * have[beside][..., None]).sum(1)
            self.now[left[ready]] = (total + (count >> 1)[:, None])[ready] // count[ready][:, None]
            have[left[ready]] = True
            left = left[~ready]

    def _moved(self, own: Array, dx: Array, dy: Array) -> tuple[Array, Array]:
        """Places (dx, dy) cells from `own`, and whether a source patch lies there."""
        h, w = self.level.hole.shape
        y, x = np.divmod(own, self.width)
        y, x = y - RADIUS + dy, x - RADIUS + dx
        at = (y.clip(0, h - 1) + RADIUS) * self.width + x.clip(0, w - 1) + RADIUS
        return at, (y >= 0) & (y < h) & (x >= 0) & (x < w) & self.good[at]

    def distance(self, which: Array, at: Array) -> Array:
        """What the hole cells `which` pay for the source patches at `at`: weighted squared differences, and the way."""
        places = self.places[which]
        patch = at[:, None] + self.shifts
        difference = ((self.now[places[:, None] + self.shifts] - self.source[patch]) ** 2).sum(-1)
        squares = np.where(self.allowed[patch], difference, MISS)
        y, x = np.divmod(places, self.width)
        ty, tx = np.divmod(at, self.width)
        way = ((ty - y) ** 2 + (tx - x) ** 2) * self.price[which] >> 16
        return (squares * self.patch_weight[which]).sum(1) + way

    def _improve(self, index: int) -> None:
        """One round: propagation from neighbours, far ones first, then random search around the best."""
        _, steps, share = EFFORT[self.level.cell]
        number = np.arange(len(self.places))
        self.best = self.distance(number, self.found)
        for step in steps:
            for shift in (-step, step, -step * self.width, step * self.width):
                self._attempt(*self._neighbours(self.places, shift))
        dice = random(self.seed, self.level.cell, index, 0, number)
        self._attempt(self.sources[dice % np.uint32(len(self.sources))], np.ones(len(number), bool))
        radius = max(self.level.hole.shape) // share
        while radius >= 1:
            dice = random(self.seed, self.level.cell, index, radius, number)
            span = np.uint32(2 * radius + 1)
            dx, dy = (
                part.astype(np.int64) - radius
                for part in ((dice & np.uint32(0xFFFF)) % span, (dice >> np.uint32(16)) % span)
            )
            self._attempt(*self._moved(self.found, dx, dy))
            radius //= 2

    def _neighbours(self, places: Array, shift: int) -> tuple[Array, Array]:
        """Where cells would come from if they moved as their neighbours do, and whether a source patch lies there."""
        slot = self.slot[(places + shift).clip(0, self.size - 1)]
        at = self.found[slot] - shift
        clipped = at.clip(0, self.size - 1)
        return clipped, (slot >= 0) & (at == clipped) & self.good[clipped]

    def _attempt(self, at: Array, valid: Array) -> None:
        which = np.flatnonzero(valid & (at != self.found))
        cost = self.distance(which, at[which])
        better = which[cost < self.best[which]]
        self.best[better] = cost[cost < self.best[which]]
        self.found = self.found.copy()
        self.found[better] = at[better]

    def _vote(self) -> None:
        """Every hole cell becomes the weighted mean of what the patches over it show there."""
        total = np.zeros((len(self.places), self.source.shape[1]), np.int64)
        weight = np.zeros(len(self.places), np.int64)
        for shift in self.shifts:
            slot = self.slot[self.places + shift]
            shown = self.found[slot] - shift
            w = np.where((slot >= 0) & self.allowed[shown], self.weight[self.places + shift], 0)
            total += w[:, None] * self.source[shown]
            weight += w
        self.now[self.places] = (total + (weight >> 1)[:, None]) // weight[:, None]

    def seam(self, which: Array, at: Array) -> Array:
        """What tears at the four sides of hole cells if they came from `at`: squared differences of both offsets at
        both cells of a side; towards known cells, of what is shown against what is there."""
        places, cost = self.places[which], np.zeros(len(which), np.int64)
        for shift in (-1, 1, -self.width, self.width):
            beside = places + shift
            slot = self.slot[beside]
            other = np.where(slot >= 0, self.found[slot] - self.places[slot], 0)
            there = np.where((slot >= 0)[:, None], self.source[beside + other], self.now[beside])
            tear = ((self.source[at + shift] - there) ** 2).sum(1)
            theirs = self.source[(places + other).clip(0, self.size - 1)]
            tear += np.where(slot >= 0, ((self.source[at] - theirs) ** 2).sum(1), 0)
            cost += np.where((slot >= 0) | (self.known[beside] > 0), tear, 0)
        return cost

    def cohere(self) -> None:
        """Few large regions of one offset: cells take over a neighbour's offset where patch and seams cost less."""
        y, x = np.divmod(self.places, self.width)
        for _ in range(SWEEPS):
            for colour in (0, 1):
                which = np.flatnonzero(((x + y) & 1) == colour)
                choice = self.found[which]
                best = self.distance(which, choice) + SEAM * self.seam(which, choice)
                for step in (1, 3):
                    for shift in (-step, step, -step * self.width, step * self.width):
                        at, valid = self._neighbours(self.places[which], shift)
                        some = np.flatnonzero(valid & (at != choice))
                        cost = self.distance(which[some], at[some]) + SEAM * self.seam(which[some], at[some])
                        better = cost < best[some]
                        choice[some[better]], best[some[better]] = at[some][better], cost[better]
                self.found[which] = choice

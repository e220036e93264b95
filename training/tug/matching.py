"""Where did the content under a handle end up? Dense feature matching for the mean distance of a drag.

Coarse: cosine similarity of lite2's features (1/4, 1/8, 1/16 of the picture) between the handle in the source and
every place of the result. Fine: the best few places are compared by normalised correlation of colour patches and
shifted to the best pixel around them. Repeated and empty texture is ambiguous, so a place costs a little for every
pixel it lies away from the segment between handle and target: no edit and a perfect edit are equally free of that
cost, and a copy left behind still wins over a worse one at the target. Positions are continuous pixels of the
picture, the first centre at 0.5, 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .metrics import Array, Perceptual

GRID = 4  # working pixels a cell of the similarity map


@dataclass(frozen=True)
class MatcherConfig:
    """area: working size in pixels²; weights of lite2's maps at 1/4, 1/8, 1/16; candidates looked at closely, at least
    `apart` cells from each other; patch half-side and search reach in working pixels."""

    area: int = 512 * 512
    weights: tuple[float, float, float] = (0.3, 0.4, 0.3)
    candidates: int = 6
    apart: int = 3
    patch: int = 10
    reach: int = 6
    patch_weight: float = 0.35
    away: float = 0.6  # cost of lying a picture's side away from the drag's segment
    turns: tuple[float, ...] = (0.0, -25.0, 25.0)  # degrees by which the patch is tried turned


@dataclass
class Prepared:
    """One picture at working size: lite2's maps, similarity features [1, C, h, w], and colours float32 [H, W, 3]."""

    maps: list[Tensor]
    features: Tensor
    colours: Array
    factor: tuple[float, float]  # working px / picture px, (x, y)


class Matcher:
    def __init__(self, perceptual: Perceptual | None = None, config: MatcherConfig | None = None) -> None:
        self.perceptual = perceptual or Perceptual()
        self.config = config or MatcherConfig()

    @torch.no_grad()
    def prepare(self, image: Array) -> Prepared:
        """image uint8 [H, W, 3]; scaled to the working area, sides multiples of 16."""
        height, width = image.shape[:2]
        scale = (self.config.area / (height * width)) ** 0.5
        h, w = max(64, round(height * scale / 16) * 16), max(64, round(width * scale / 16) * 16)
        small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        maps = self.perceptual.maps(small)
        size = (h // GRID, w // GRID)
        parts = [
            F.interpolate(F.normalize(m, dim=1), size=size, mode="bilinear", align_corners=False) * weight**0.5
            for m, weight in zip(maps[1:], self.config.weights, strict=True)
        ]
        return Prepared(
            maps, F.normalize(torch.cat(parts, 1), dim=1), small.astype(np.float32), (w / width, h / height)
        )

    def match(self, source: Prepared, drags: Array, result: Prepared, mask: Array | None = None) -> Array:
        """drags [N, 4] in source pixels → where their handles' content lies in the result, [N, 2]; mask [H, W] limits
        where it is looked for."""
        allowed = None
        height, width = result.features.shape[-2:]
        if mask is not None:
            small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
            allowed = small > 0.5 if (small > 0.5).any() else small >= small.max()
        rows = np.asarray(drags, float) * np.tile(source.factor, 2)
        found = [self._one(source, row[:2], row[2:], result, allowed) for row in rows]
        return np.array(found).reshape(-1, 2) / result.factor

    @torch.no_grad()
    def _one(self, source: Prepared, handle: Array, target: Array, result: Prepared, allowed: Array | None) -> Array:
        height, width = source.features.shape[-2:]
        where = torch.tensor([2 * handle[0] / (width * GRID) - 1, 2 * handle[1] / (height * GRID) - 1])
        vector = F.grid_sample(
            source.features, where.float().view(1, 1, 1, 2), align_corners=False, padding_mode="border"
        )
        vector = F.normalize(vector, dim=1)
        similarity = (result.features * vector).sum(1)[0].numpy()
        cost = self.config.away / (min(similarity.shape) * GRID)
        similarity = similarity - cost * _from_segment(similarity.shape, handle, target)
        if allowed is not None:
            similarity = np.where(allowed, similarity, -9)
        best, score = np.zeros(2), -np.inf
        remaining = similarity.copy()
        for _ in range(self.config.candidates):
            row, column = np.unravel_index(int(remaining.argmax()), remaining.shape)
            if remaining[row, column] <= -9:
                break
            place, correlation = self._refine(source, handle, result, np.array([column + 0.5, row + 0.5]) * GRID)
            total = float(similarity[row, column]) + self.config.patch_weight * correlation
            if total > score:
                best, score = place, total
            r = self.config.apart
            remaining[max(0, row - r) : row + r + 1, max(0, column - r) : column + r + 1] = -9
        return best

    def _refine(self, source: Prepared, handle: Array, result: Prepared, near: Array) -> tuple[Array, float]:
        """(best place around `near`, its correlation) for the colour patch around the handle, working pixels."""
        patch, reach = self.config.patch, self.config.reach
        near = np.floor(near) + handle % 1  # read between the pixels as the handle's patch is
        whole = cv2.getRectSubPix(source.colours, (4 * patch + 1,) * 2, tuple(handle - 0.5))
        if float(whole[patch:-patch, patch:-patch].std(axis=(0, 1)).mean()) < 1.5:
            return near, 0.0
        window = cv2.getRectSubPix(result.colours, (2 * (patch + reach) + 1,) * 2, tuple(near - 0.5))
        # (noise far below one grey level keeps flat windows from dividing by zero)
        window = window + _DITHER[: window.shape[0], : window.shape[1]]
        middle = (2.0 * patch, 2.0 * patch)
        maps = []
        for turn in self.config.turns:
            rotation = cv2.getRotationMatrix2D(middle, turn, 1.0)
            turned = cv2.warpAffine(whole, rotation, whole.shape[1::-1]) if turn else whole
            maps.append(cv2.matchTemplate(window, turned[patch:-patch, patch:-patch], cv2.TM_CCOEFF_NORMED))
        values = max(maps, key=lambda m: float(m.max()))
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        offset = np.array([column, row], float) - reach
        if 0 < row < 2 * reach and 0 < column < 2 * reach:
            offset += [
                _peak(values[row, column - 1], values[row, column], values[row, column + 1]),
                _peak(values[row - 1, column], values[row, column], values[row + 1, column]),
            ]
        return near + offset, float(values[row, column])


_DITHER = np.random.default_rng(0).normal(0, 0.05, (65, 65, 3)).astype(np.float32)


def _from_segment(shape: tuple[int, ...], handle: Array, target: Array) -> Array:
    """Distance [h, w] of every cell's centre from the segment handle–target, in working pixels."""
    y, x = (np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5) * GRID
    d = target - handle
    t = np.clip(((x - handle[0]) * d[0] + (y - handle[1]) * d[1]) / max(1e-6, float(d @ d)), 0, 1)
    return np.hypot(x - handle[0] - t * d[0], y - handle[1] - t * d[1])


def _peak(left: float, middle: float, right: float) -> float:
    """Vertex of the parabola through three samples, relative to the middle one, within half a sample."""
    curve = left - 2 * middle + right
    return 0.0 if curve >= 0 else float(np.clip(0.5 * (left - right) / curve, -0.5, 0.5))


def drag_distances(matcher: Matcher, source: Prepared, result: Prepared, drags: Array, mask: Array | None) -> Array:
    """Distance [N] in pixels between each drag's target and the place its handle's content was found."""
    found = matcher.match(source, drags, result, mask)
    return np.hypot(*(found - drags[:, 2:]).T)

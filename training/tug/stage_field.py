"""Training the field network: true fields both ways, photometric error and true holes, on synthetic and real pairs at
its own size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cases import Case, synthetic_case
from .fieldnet import FieldConfig, FieldNet, Fields
from .geometry import warp
from .photos import Album
from .trainer import Batch
from .videos import cropped_pair

PADDING = (-1e4, -1e4, -1e4, -1e4)


@dataclass
class FieldStageConfig:
    """batch: cases a step; sizes: net sizes (H, W) drawn a step; in_place: share of deformations in place; painted:
    share of a photo's own objects that leave it untouched; pulls: share of drags that take their surroundings along,
    before all others are drawn; stiff: share of these in which the main object is stiffer than the rest; loose: share
    of these, and with any of the moved objects, whose mask is painted and not derived; parts: share of moved objects
    that move as they are dragged, held where they are not; real: share of pairs of video frames, if there are any."""

    batch: int = 16
    sizes: tuple[tuple[int, int], ...] = ((96, 96), (80, 112), (112, 80), (128, 128))
    in_place: float = 0.45
    painted: float = 0.6
    pulls: float = 0.0
    stiff: float = 0.0
    loose: float = 0.0
    parts: float = 0.0
    real: float = 0.15
    max_drags: int = 12


def draw_case(
    rng: np.random.Generator,
    album: Album,
    pasteable: list[int],
    size: tuple[int, int],
    in_place: float,
    painted: float = 0.0,
    pulls: float = 0.0,
    parts: float = 0.0,
    stiff: float = 0.0,
    loose: float = 0.0,
) -> Case:
    """A synthetic case on a random photo, with a second photo's object at hand."""
    index = int(rng.integers(len(album)))
    other = int(pasteable[rng.integers(len(pasteable))]) if pasteable else None
    own, pasted = album.thing(rng, index), None if other is None else album.thing(rng, other)
    part = own.parts[int(rng.integers(len(own.parts)))] if own is not None and own.parts else None
    return synthetic_case(
        rng,
        album.photos[index],
        size,
        None if own is None else own.cut,
        None if other is None else album.photos[other],
        None if pasted is None else pasted.cut,
        in_place,
        painted,
        pulls,
        parts,
        stiff,
        loose,
        part,
    )


def pack(cases: list[Case], max_drags: int) -> dict[str, np.ndarray]:
    """Cases of one size → arrays of a batch: pictures float32 NCHW in [-1, 1], drags padded far away."""
    count = max(1, min(max_drags, max(len(case.drags) for case in cases)))
    drags = np.tile(np.array(PADDING, np.float32), (len(cases), count, 1))
    for row, case in zip(drags, cases, strict=True):
        row[: len(case.drags)] = case.drags[:count]

    def picture(images: list) -> np.ndarray:
        return np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1

    return {
        "source": picture([case.source for case in cases]),
        "target": picture([case.target for case in cases]),
        "mask": np.stack([case.mask for case in cases])[:, None],
        "visible": np.stack([case.visible for case in cases])[:, None],
        "field": np.stack([case.field for case in cases]).transpose(0, 3, 1, 2),
        "forward": np.stack([case.forward for case in cases]).transpose(0, 3, 1, 2),
        "known": np.stack([np.ones_like(c.mask) if c.known is None else c.known for c in cases])[:, None],
        "real": np.array([case.real for case in cases], np.float32).reshape(-1, 1, 1, 1),
        "drags": drags,
    }


def field_loss(fields: Fields, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Loss of the network's fields and visibility logits; everything in pixels of the batch's pictures.

    End-point and photometric errors count inside the mask; in holes only the photometric one, weakly and where the
    truth is a photograph, so that even there the warp brings something plausible."""
    mask, visible = batch["mask"], batch["visible"]
    seen, area = mask * visible, mask.sum((1, 2, 3), keepdim=True) + 1
    moved = batch["field"].square().sum(1, keepdim=True).amax((2, 3), keepdim=True).sqrt()

    def end_point(field: Tensor, truth: Tensor, where: Tensor) -> Tensor:
        """Charbonnier end-point error a masked pixel, less for long motions: [B]."""
        error = ((field - truth).square().sum(1, keepdim=True) + 0.01).sqrt() - 0.1
        return (error * where / area).sum((1, 2, 3)) / (1 + 0.1 * moved.flatten())

    def slope(field: Tensor, truth: Tensor, where: Tensor) -> Tensor:
        """Error of the field's differences between neighbours that are both in `where`, a masked pixel: [B]. It is an
        error's jumps that count, so that the field breaks only where it is sure that the thing does."""
        error = field - truth
        total = torch.zeros_like(area.flatten())
        for axis in (2, 3):
            last = error.shape[axis] - 1
            both = where.narrow(axis, 1, last) * where.narrow(axis, 0, last)
            step = error.narrow(axis, 1, last) - error.narrow(axis, 0, last)
            total = total + ((step.square().sum(1, keepdim=True) + 1e-4).sqrt() * both / area).sum((1, 2, 3))
        return total / (1 + 0.1 * moved.flatten())

    flow = end_point(fields.field, batch["field"], seen)
    torn = slope(fields.field, batch["field"], seen)
    follow = end_point(fields.forward, batch["forward"], mask * batch["known"])
    photometric = (warp(batch["source"], fields.field) - batch["target"]).abs().mean(1, keepdim=True)
    photo = (photometric * (seen + 0.3 * mask * (1 - visible) * batch["real"]) / area).sum((1, 2, 3))
    # holes count five times, and the logits are shifted by as much, so that what is learned stays a probability
    weight = 1 + 4 * (1 - visible)
    holes = F.binary_cross_entropy_with_logits(fields.logits - math.log(5), visible, reduction="none") * weight
    hole = (holes * mask / area).sum((1, 2, 3))
    dx = fields.field[..., 1:] - fields.field[..., :-1]
    dy = fields.field[..., 1:, :] - fields.field[..., :-1, :]
    smooth = (dx * mask[..., 1:]).abs().mean() + (dy * mask[..., 1:, :]).abs().mean()
    total = (flow + follow + torn + 2 * photo + 1.5 * hole).mean() + 0.01 * smooth
    with torch.no_grad():
        figures = {
            "flow": flow,
            "turned": end_point(fields.turned, batch["field"], seen),
            "prior": end_point(fields.prior, batch["field"], seen),
            "follow": follow,
            "torn": torn,
            "photo": photo,
            "hole": hole,
        }
        return total, {key: float(value.mean()) for key, value in figures.items()}


class FieldStage:
    """Trains a field network under `name`: `field`, or `pull`, which is for drags without a painted mask."""

    def __init__(
        self,
        album: Album,
        config: FieldStageConfig,
        network: FieldConfig,
        seed: int = 0,
        pairs: list[Case] | None = None,
        name: str = "field",
    ) -> None:
        cv2.setNumThreads(1)
        self.album, self.config, self.seed, self.pairs = album, config, seed, pairs or []
        self.pasteable = album.with_objects()
        torch.manual_seed(seed)
        self.name = name
        self.networks = nn.ModuleDict({name: FieldNet(network)})

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 1, step))
        size = self.config.sizes[rng.integers(len(self.config.sizes))]
        return pack([self._case(rng, size) for _ in range(self.config.batch)], self.config.max_drags)

    def _case(self, rng: np.random.Generator, size: tuple[int, int]) -> Case:
        if self.pairs and rng.random() < self.config.real:
            case = cropped_pair(rng, self.pairs[int(rng.integers(len(self.pairs)))], *size)
            if case is not None:
                return case
        config = self.config
        shares = (config.in_place, config.painted, config.pulls, config.parts, config.stiff, config.loose)
        return draw_case(rng, self.album, self.pasteable, size, *shares)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        fields = self.networks[self.name].at_net_size(batch["source"], batch["mask"], batch["drags"])
        return field_loss(fields, batch)

"""Training the field network: true field, photometric error and true holes, on synthetic pairs at its own size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cases import Case, synthetic_case
from .fieldnet import FieldConfig, FieldNet
from .geometry import warp
from .photos import Album
from .trainer import Batch

PADDING = (-1e4, -1e4, -1e4, -1e4)


@dataclass
class FieldStageConfig:
    """batch: cases a step; sizes: net sizes (H, W) drawn a step; in_place: share of deformations in place."""

    batch: int = 16
    sizes: tuple[tuple[int, int], ...] = ((96, 96), (80, 112), (112, 80), (128, 128))
    in_place: float = 0.4
    max_drags: int = 12


def draw_case(rng: np.random.Generator, album: Album, pasteable: list[int], size: tuple[int, int], in_place: float):
    """A synthetic case on a random photo, with a second photo's object at hand."""
    index = int(rng.integers(len(album)))
    other = int(pasteable[rng.integers(len(pasteable))]) if pasteable else None
    return synthetic_case(
        rng,
        album.photos[index],
        size,
        album.cuts[index],
        None if other is None else album.photos[other],
        None if other is None else album.cuts[other],
        in_place,
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
        "drags": drags,
    }


def field_loss(
    field: Tensor, logits: Tensor, batch: Batch, prior: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a field [B, 2, H, W] and visibility logits; everything in pixels of the batch's pictures.

    End-point and photometric errors count inside the mask; in holes only the photometric one, weakly, so that even
    there the warp brings something plausible."""
    mask, visible = batch["mask"], batch["visible"]
    seen = mask * visible
    error = (field - batch["field"]).square().sum(1, keepdim=True)
    moved = batch["field"].square().sum(1, keepdim=True).amax((2, 3), keepdim=True).sqrt()
    charbonnier = (error + 0.01).sqrt() - 0.1
    area = mask.sum((1, 2, 3), keepdim=True) + 1
    flow = (charbonnier * seen / area).sum((1, 2, 3)) / (1 + 0.1 * moved.flatten())
    photometric = (warp(batch["source"], field) - batch["target"]).abs().mean(1, keepdim=True)
    photo = (photometric * (seen + 0.3 * mask * (1 - visible)) / area).sum((1, 2, 3))
    # holes count five times, and the logits are shifted by as much, so that what is learned stays a probability
    weight = 1 + 4 * (1 - visible)
    holes = F.binary_cross_entropy_with_logits(logits - math.log(5), visible, reduction="none") * weight
    hole = (holes * mask / area).sum((1, 2, 3))
    dx, dy = field[..., 1:] - field[..., :-1], field[..., 1:, :] - field[..., :-1, :]
    smooth = (dx * mask[..., 1:]).abs().mean() + (dy * mask[..., 1:, :]).abs().mean()
    total = (flow + 2 * photo + 1.5 * hole).mean() + 0.01 * smooth
    figures = {"flow": float(flow.detach().mean()), "photo": float(photo.detach().mean())}
    figures["hole"] = float(hole.detach().mean())
    if prior is not None:
        base = ((prior - batch["field"]).square().sum(1, keepdim=True) + 0.01).sqrt() - 0.1
        figures["prior"] = float(((base * seen / area).sum((1, 2, 3)) / (1 + 0.1 * moved.flatten())).mean())
    return total, figures


class FieldStage:
    def __init__(self, album: Album, config: FieldStageConfig, network: FieldConfig, seed: int = 0) -> None:
        cv2.setNumThreads(1)
        self.album, self.config, self.seed = album, config, seed
        self.pasteable = album.with_objects()
        torch.manual_seed(seed)
        self.networks = nn.ModuleDict({"field": FieldNet(network)})

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 1, step))
        size = self.config.sizes[rng.integers(len(self.config.sizes))]
        cases = [
            draw_case(rng, self.album, self.pasteable, size, self.config.in_place) for _ in range(self.config.batch)
        ]
        return pack(cases, self.config.max_drags)

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        field, logits, prior = self.networks["field"].at_net_size(batch["source"], batch["mask"], batch["drags"])
        return field_loss(field, logits, batch, prior)

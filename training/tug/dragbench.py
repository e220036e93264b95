"""Folders in DragBench's own format: CATEGORY/CASE/{original_image.png, meta_data.pkl}.

meta_data.pkl holds a dictionary: `prompt`, `points` (handle, target, handle, target, … as (x, y) pixels) and `mask`
(uint8 [H, W], non-zero = may change). Pickle files can run code when they are read, so only plain containers, numbers,
text and NumPy arrays are let through.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .cases import Case
from .photos import read_photo

ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}
LARGEST_FILE = 256 * 1024 * 1024


class SafeUnpickler(pickle.Unpickler):
    """Refuses every name that is not on the list above."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a DragBench file")
        return super().find_class(module, name)


def load_meta(content: bytes) -> dict[str, Any]:
    """The dictionary of a meta_data.pkl; UnpicklingError on anything that is not plain data."""
    if len(content) > LARGEST_FILE:
        raise pickle.UnpicklingError(f"{len(content)} bytes, at most {LARGEST_FILE} are read")
    meta = SafeUnpickler(BytesIO(content)).load()
    if not isinstance(meta, dict) or not {"points", "mask"} <= meta.keys():
        raise pickle.UnpicklingError("a dictionary with 'points' and 'mask' is expected")
    return meta


def read_case(folder: Path) -> Case:
    """One DragBench case; its whole-pixel points become pixel centres."""
    photo = read_photo(folder / "original_image.png")
    meta = load_meta((folder / "meta_data.pkl").read_bytes())
    points = np.array([[float(v) for v in point[:2]] for point in meta["points"]], np.float32).reshape(-1, 2)
    points = points[: len(points) // 2 * 2] + 0.5
    mask = np.asarray(meta["mask"])
    mask = (mask[..., 0] if mask.ndim == 3 else mask).astype(np.float32) > 0
    if mask.shape != photo.shape[:2]:
        mask = cv2.resize(mask.astype(np.uint8), photo.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    return Case(photo, mask.astype(np.float32), points.reshape(-1, 4))


def read_dragbench(root: Path) -> Iterator[tuple[str, Case]]:
    """(category/case, case) of every folder under `root` that holds a meta_data.pkl."""
    files = sorted(root.glob("**/meta_data.pkl"))
    if not files:
        raise FileNotFoundError(f"no meta_data.pkl under {root}")
    for file in files:
        yield file.parent.relative_to(root).as_posix(), read_case(file.parent)

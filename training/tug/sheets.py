"""Contact sheets: pictures side by side with the drags and the mask drawn in, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .motions import Array

HANDLE, TARGET, PIN, OUTLINE = (230, 40, 40), (40, 90, 255), (0, 210, 210), (255, 255, 255)
FONT, CAPTION = cv2.FONT_HERSHEY_SIMPLEX, 16


def draw_edit(picture: Array, mask: Array, drags: Array, scale: float = 1.0) -> Array:
    """The picture at `scale` with what may not change darkened, an arrow for every drag, a square where it pins."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    out = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    inside = (cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_NEAREST) > 0.5).astype(np.uint8)
    out = np.where(inside[..., None] > 0, out, out // 2)
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    out = np.ascontiguousarray(out)
    cv2.drawContours(out, outlines, -1, OUTLINE, 1)
    for drag in np.asarray(drags) * scale:
        handle, target = (tuple(int(round(float(v))) for v in drag[i : i + 2]) for i in (0, 2))
        if np.hypot(*(drag[2:] - drag[:2])) < 1:
            cv2.rectangle(out, (handle[0] - 3, handle[1] - 3), (handle[0] + 3, handle[1] + 3), PIN, 2)
            continue
        cv2.arrowedLine(out, handle, target, OUTLINE, 3, cv2.LINE_AA, tipLength=0.25)
        cv2.arrowedLine(out, handle, target, HANDLE, 1, cv2.LINE_AA, tipLength=0.25)
        cv2.circle(out, handle, 4, HANDLE, -1, cv2.LINE_AA)
        cv2.circle(out, target, 4, TARGET, -1, cv2.LINE_AA)
    return out


def tile(picture: Array, caption: str, width: int, height: int) -> Array:
    """The picture fitted into [height, width] on black, its caption under it."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    out = np.zeros((height + CAPTION, width + 4, 3), np.uint8)
    out[: size[1], : size[0]] = small
    cv2.putText(out, caption, (2, height + CAPTION - 4), FONT, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def edit_tile(picture: Array, mask: Array, drags: Array, caption: str, width: int, height: int) -> Array:
    scale = min(width / picture.shape[1], height / picture.shape[0])
    return tile(draw_edit(picture, mask, drags, scale), caption, width, height)


def write_sheet(path: Path, rows: list[list[Array]]) -> None:
    """Tiles of one size, row under row, as PNG or JPEG by the file's ending."""
    columns = max(len(row) for row in rows)
    filled = [row + [np.zeros_like(row[0])] * (columns - len(row)) for row in rows]
    sheet = np.vstack([np.hstack(row) for row in filled])
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.ascontiguousarray(sheet[..., ::-1])):
        raise OSError(f"cannot write {path}")


def write_sheets(stem: Path, rows: list[list[Array]], each: int = 10, ending: str = ".jpg") -> list[Path]:
    """As many sheets of `each` rows as it takes: stem-00, stem-01, …"""
    paths = []
    for index in range(0, len(rows), each):
        path = stem.with_name(f"{stem.name}-{index // each:02d}{ending}")
        write_sheet(path, rows[index : index + each])
        paths.append(path)
    return paths


def pair_row(case, caption: str, width: int = 360, height: int = 270) -> list[Array]:
    """Source with the edit, target, and the target's places that the source does not show, in red."""
    row = [edit_tile(case.source, case.mask, case.drags, caption, width, height)]
    if case.target is not None:
        row.append(tile(case.target, "target", width, height))
        if case.visible is not None:
            hidden = (case.visible < 0.5) & (case.mask > 0.5)
            tinted = np.where(hidden[..., None], case.target // 2 + np.array([127, 0, 0], np.uint8), case.target)
            row.append(tile(tinted, "hidden in the source", width, height))
    return row

"""Small parcels for machines that are lent for minutes: a subset of the data, and checkpoints in pieces.

`pack_data` writes one tar of photographs and clips, chosen evenly, that stays under a size; `split` cuts any file into
pieces with a manifest of sizes and hashes, `join` puts them together again and checks every byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PIECE = 16 * 1024 * 1024
PICTURES = (".jpg", ".jpeg", ".png")


def _units(data: Path) -> dict[str, list[list[Path]]]:
    """What may be packed, by folder: single photographs, whole clips. `heldout` is not training data and stays out."""
    units: dict[str, list[list[Path]]] = {}
    for folder in ("photos", "photos512"):
        files = sorted(p for p in (data / folder).glob("*") if p.suffix.lower() in PICTURES)
        if files:
            units[folder] = [[file] for file in files]
    videos = data / "videos"
    if videos.is_dir():
        clips = [
            sorted(p for p in clip.rglob("*") if p.is_file()) for clip in sorted(videos.iterdir()) if clip.is_dir()
        ]
        units["videos"] = [clip for clip in clips if clip]
    if not units:
        raise FileNotFoundError(f"no photos, photos512 or videos in {data}")
    return units


def choose(data: Path, limit: int, seed: int = 0) -> list[Path]:
    """Files whose sizes add up to at most `limit` bytes: shares of 40 % photos, 40 % photos512, 20 % videos, what one
    of them leaves over going to the next; at random, but always the same ones."""
    rng, units = np.random.default_rng(seed), _units(data)
    wanted = {"videos": 0.2, "photos512": 0.4, "photos": 0.4}
    total = sum(wanted[name] for name in units)
    chosen: list[Path] = []
    spare = 0.0
    for name in (n for n in wanted if n in units):
        spare += limit * wanted[name] / total
        for index in rng.permutation(len(units[name])):
            unit = units[name][index]
            # a tar member costs a header and is rounded up to blocks of 512 bytes
            size = sum(512 + -(-file.stat().st_size // 512) * 512 for file in unit)
            if size <= spare:
                chosen += unit
                spare -= size
    return sorted(chosen)


def pack_data(data: Path, out: Path, limit: int = 50_000_000, seed: int = 0) -> int:
    """Writes `out` (a tar, uncompressed: pictures do not shrink) of at most `limit` bytes; returns how many files."""
    files = choose(data, limit - 10 * 1024 * 2, seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for file in files:
            info = tarfile.TarInfo(file.relative_to(data).as_posix())
            content = file.read_bytes()
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    size = out.stat().st_size
    if size > limit:
        raise ValueError(f"{out} has {size} bytes, at most {limit} were wanted")
    return len(files)


def _blocks(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while block := stream.read(size):
            yield block


def split(file: Path, folder: Path, piece: int = PIECE) -> list[Path]:
    """NAME.000, NAME.001, … of at most `piece` bytes in `folder`, and NAME.pieces.json beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{file.name}.[0-9][0-9][0-9]"):
        old.unlink()
    whole, pieces, rows = hashlib.sha256(), [], []
    for index, block in enumerate(_blocks(file, piece)):
        path = folder / f"{file.name}.{index:03d}"
        path.write_bytes(block)
        whole.update(block)
        pieces.append(path)
        rows.append({"file": path.name, "bytes": len(block), "sha256": hashlib.sha256(block).hexdigest()})
    manifest = {"file": file.name, "bytes": file.stat().st_size, "sha256": whole.hexdigest(), "pieces": rows}
    (folder / f"{file.name}.pieces.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return pieces


def join(manifest: Path, out: Path) -> None:
    """Puts the pieces of a `.pieces.json` together as `out`; ValueError names a piece that is missing or damaged."""
    plan = json.loads(manifest.read_text())
    whole, part = hashlib.sha256(), out.with_name(out.name + ".part")
    with part.open("wb") as stream:
        for row in plan["pieces"]:
            piece = manifest.parent / Path(row["file"]).name
            if not piece.exists():
                raise ValueError(f"{piece} is missing")
            content = piece.read_bytes()
            if hashlib.sha256(content).hexdigest() != row["sha256"]:
                raise ValueError(f"{piece} is damaged: {len(content)} bytes, {row['bytes']} with another hash expected")
            whole.update(content)
            stream.write(content)
    if whole.hexdigest() != plan["sha256"]:
        raise ValueError(f"{manifest}: the pieces do not add up to the file that was split")
    part.replace(out)

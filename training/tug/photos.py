"""Photographs in memory: decoded once to uint8, with the outline of each picture's main object, or of all its things.

`--data DIR` holds `photos/` and, if there is one, `photos512/`; folders named `heldout` are never looked at.
Object outlines come from a network that was trained to find what stands out, if there is one at hand (`--salient`),
else from the class activation map of an ImageNet network, sharpened by GrabCut, which follow a real thing in two of
three. They are kept in the cache folder, since finding them takes a second a picture, or a quarter. A network that
tells what a point lies on (`--things`) finds many things in a photo, and their parts, in place of the main object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from .motions import Array
from .things import PointSegmenter, Thing, find_things

FOLDERS = ("photos", "photos512")
SALIENT_SIDE = 320  # pixels; the size that such networks are trained at
IMAGENET_MEAN, IMAGENET_STD = (np.array(v, np.float32) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@dataclass
class Album:
    """photos: uint8 [H, W, 3] RGB each; cuts: bool [H, W] or None where no object stands out; names beside them;
    things: those of every photo, as far as they are known, of its size."""

    names: list[str]
    photos: list[Array]
    cuts: list[Array | None]
    things: list[list[Thing]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.photos)

    def with_objects(self) -> list[int]:
        return [i for i, cut in enumerate(self.cuts) if cut is not None or self._things(i)]

    def thing(self, rng: np.random.Generator, index: int) -> Thing | None:
        """One of a photo's things, or else its main object."""
        things, cut = self._things(index), self.cuts[index]
        if things:
            return things[int(rng.integers(len(things)))]
        return None if cut is None else Thing(cut)

    def _things(self, index: int) -> list[Thing]:
        return self.things[index] if index < len(self.things) else []


def read_photo(path: Path) -> Array:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is not a picture that can be read")
    return np.ascontiguousarray(image[..., ::-1])


def read_mask(path: Path) -> Array:
    """An object mask, bool [H, W]: where the picture is not black."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError(f"{path} is not a picture that can be read")
    return image > 0 if image.ndim == 2 else (image[..., :3] > 0).any(-1)


def photo_paths(data: Path, folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    paths = [p for f in folders for p in sorted((data / f).glob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    if not paths:
        raise FileNotFoundError(f"no pictures in {' or '.join(str(data / f) for f in folders)}")
    return paths


def add_frames(album: Album, data: Path, every: int = 6) -> None:
    """Adds every `every`-th frame of `data`/videos that has a true object mask, with that mask as its outline."""
    for folder in sorted((data / "videos").glob("*/masks")):
        for path in sorted(folder.glob("*.png"))[::every]:
            cut = read_mask(path)
            if 0.005 < cut.mean() < 0.5:
                album.names.append(f"videos/{folder.parent.name}/{path.stem}.jpg")
                album.photos.append(read_photo(folder.parent / f"{path.stem}.jpg"))
                album.cuts.append(cut)


def load_album(
    data: Path,
    cache: Path | None = None,
    limit: int | None = None,
    folders: tuple[str, ...] = FOLDERS,
    salient: Path | None = None,
    segmenter: Path | None = None,
) -> Album:
    """The training photos of `data`, or `limit` of them from all over; with `cache`, object outlines are read from or
    written to it; salient: the ONNX file of a network that finds them (`find_salient`); segmenter: the folder of one
    that finds all things (`PointSegmenter`), whose outlines are wanted instead."""
    paths = photo_paths(data, folders)
    paths = paths[:: max(1, len(paths) // limit)][:limit] if limit else paths
    photos = [read_photo(path) for path in paths]
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    cuts: list[Array | None] = [None] * len(photos)
    things: list[list[Thing]] = []
    if cache is not None and segmenter is not None:
        file = cache / f"things-{data.resolve().name}-{len(photos)}.npz"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            np.savez_compressed(file, **_stored(_find_all(photos, segmenter)))
        things = _enlarged(file, photos)
    elif cache is not None:
        kind = "objects" if salient is None else salient.stem
        file = cache / f"{kind}-{data.resolve().name}-{len(photos)}.npz"
        if not file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            found = find_objects(photos) if salient is None else find_salient(photos, salient)
            np.savez_compressed(file, **{str(i): c for i, c in enumerate(found) if c is not None})
        with np.load(file) as stored:
            for key in stored.files:
                cuts[int(key)] = _of_size(stored[key], photos[int(key)])
    return Album(names, photos, cuts, things)


def _of_size(cut: Array, photo: Array) -> Array:
    """An outline, bool, at the photo's size."""
    return cv2.resize(cut.astype(np.float32), photo.shape[1::-1], interpolation=cv2.INTER_CUBIC) > 0.5


def _find_all(photos: list[Array], segmenter: Path) -> list[list[Thing]]:
    """The things of every photo (`find_things`): some two seconds a photo on one core."""
    network, found = PointSegmenter(segmenter), []
    for index, photo in enumerate(photos):
        found.append(find_things(network, photo, np.random.default_rng((0, index))))
        if index % 100 == 99:
            print(f"things {index + 1}/{len(photos)}: {sum(map(len, found))} found", flush=True)
    return found


def _stored(things: list[list[Thing]]) -> dict[str, Array]:
    """What `_enlarged` reads: photo.thing → [1 + parts, h, w], bool."""
    return {
        f"{index}.{number}": np.stack([thing.cut, *thing.parts])
        for index, own in enumerate(things)
        for number, thing in enumerate(own)
    }


def _enlarged(file: Path, photos: list[Array]) -> list[list[Thing]]:
    things: list[list[Thing]] = [[] for _ in photos]
    with np.load(file) as stored:
        for key in stored.files:
            index = int(key.split(".")[0])
            cut, *parts = (_of_size(outline, photos[index]) for outline in stored[key])
            things[index].append(Thing(cut, parts))
    return things


def find_salient(photos: list[Array], network: Path) -> list[Array | None]:
    """Outlines at 320 px of what stands out most, bool, None where nothing does, or too little or too much.

    network: ONNX file, [1, 3, 320, 320] normalised as for ImageNet → [1, 1, 320, 320] in [0, 1] first, as U²-Net has
    it. It is a teacher only: nothing of it is in a bundle."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(network), providers=["CPUExecutionProvider"])
    given, answered = session.get_inputs()[0].name, session.get_outputs()[0].name
    found: list[Array | None] = []
    for index, photo in enumerate(photos):
        x = cv2.resize(photo, (SALIENT_SIDE, SALIENT_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        x = (x / max(1.0, float(x.max())) - IMAGENET_MEAN) / IMAGENET_STD
        x = np.ascontiguousarray(x.transpose(2, 0, 1)[None], np.float32)
        found.append(salient_cut(session.run([answered], {given: x})[0][0, 0], photo.shape[:2]))
        if index % 100 == 99:
            print(f"objects {index + 1}/{len(photos)}: {sum(c is not None for c in found)} found", flush=True)
    return found


def salient_cut(heat: Array, shape: tuple[int, int]) -> Array | None:
    """The largest part of a map in [0, 1] of a photo of `shape` (H, W) that is above a half, if the map is sure of it
    and it takes 0.5 to 60 % of the photo."""
    factor = SALIENT_SIDE / max(shape)
    size = (round(shape[1] * factor), round(shape[0] * factor))
    heat = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    count, labels, stats, _ = cv2.connectedComponentsWithStats((heat > 0.5).astype(np.uint8))
    if count < 2:
        return None
    one = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return one if 0.005 < one.mean() < 0.6 and heat[one].mean() > 0.85 else None


def find_objects(photos: list[Array]) -> list[Array | None]:
    """Main-object outlines at about 200 px, bool, None where the activation or the cut is no object."""
    import torch

    from .features import Features

    network = Features("lite0")
    found = []
    for index, photo in enumerate(photos):
        height, width = photo.shape[:2]
        factor = 200 / max(height, width)
        small = cv2.resize(photo, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (320, 320), interpolation=cv2.INTER_CUBIC)
        with torch.no_grad():
            x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
            _, activation = network.classify(x)
        heat = cv2.resize(activation[0].numpy(), small.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        found.append(_cut(small, (heat - heat.min()) / (np.ptp(heat) + 1e-6)))
        if index % 100 == 99:
            print(f"objects {index + 1}/{len(photos)}: {sum(c is not None for c in found)} found", flush=True)
    return found


def _cut(small: Array, heat: Array) -> Array | None:
    """GrabCut seeded by an activation map in [0, 1]; kept only if it is one compact thing, 3 to 50 % of the area."""
    mask = np.full(heat.shape, cv2.GC_PR_BGD, np.uint8)
    mask[heat > 0.45] = cv2.GC_PR_FGD
    mask[heat > 0.85] = cv2.GC_FGD
    mask[heat < 0.12] = cv2.GC_BGD
    if not (mask == cv2.GC_BGD).any():
        return None
    cv2.setRNGSeed(0)
    cv2.grabCut(small, mask, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    cut = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    cut = cv2.morphologyEx(cut, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cut)
    if count < 2:
        return None
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    one = cv2.morphologyEx((labels == best).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    share = one.mean()
    if not 0.03 < share < 0.5 or one.sum() < 0.6 * cut.sum():
        return None
    outline, _ = cv2.findContours(one, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.contourArea(cv2.convexHull(max(outline, key=cv2.contourArea)))
    return one.astype(bool) if one.sum() > 0.5 * hull else None

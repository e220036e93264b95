"""A bundle run through ONNX Runtime in Python, with the engine's maths: what a user of the product would get.

The graphs pass tensors by name through a store (see `export.GRAPHS`); this file knows the sampler, the work size and
how the result is put back into the photo, nothing about what is inside a graph. Pictures are uint8 [H, W, 3] RGB.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from .autoencoder import fetch
from .baselines import feather
from .export import FETCHED
from .fill import Patch, patch_holes
from .geometry import refined
from .geometry import warp as warp_tensor
from .motions import Array, warp
from .schedule import alphas

FEATHER = 8.0  # work pixels
DETAIL_BELOW = 0.97  # scale from which the photo holds detail that the work size does not
AREA_SLACK = 1.5  # how far a work size may exceed the bundle's area
# A closer look: how much is seen around the mask, as a share of its box's longer side; the share of the photo from
# which all of it is seen; the grid that what is seen begins and ends on, photo pixels; from how many times the pixels
# on it is worth one.
CONTEXT, WHOLE_ABOVE, GRID, HARDLY = 0.3, 0.6, 32, 1.1


@dataclass
class Edited:
    """One edit: the result, the warp by the bundle's field alone, both composited; fields in photo pixels [H, W, 2],
    visibility [H, W] in [0, 1]."""

    picture: Array
    warped: Array
    field: Array
    visibility: Array
    prior: Array


@dataclass
class Scene:
    """What does not depend on the sampling: the store after field, encoder and appearance, and the photo's frame."""

    store: dict[str, Array]
    photo: Array
    mask: Array
    scale: tuple[float, float]  # work px / photo px, (x, y)
    field: Array
    visibility: Array
    prior: Array
    patch: Patch | None


class Bundle:
    def __init__(self, folder: Path, threads: int = 2, precision: str = "fp32") -> None:
        """precision: one of the bundle's `precisions`; in int8 a graph without an int8 file runs in fp32."""
        self.manifest = json.loads((folder / "bundle.json").read_text())
        if self.manifest.get("format") != 1 or self.manifest.get("family") != "warp":
            raise ValueError(f"{folder}: format 1, family 'warp' expected")
        offered = self.manifest.get("precisions", ["fp32"])
        if precision not in offered:
            raise ValueError(f"{folder}: no {precision}, there is {', '.join(offered)}")
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(folder / graph.get(precision, graph)["file"]), options, providers=["CPUExecutionProvider"]
            )
            for name, graph in self.manifest["graphs"].items()
        }
        self.alphas = alphas().double().numpy()

    @property
    def title(self) -> str:
        return f"{self.manifest['name']} {self.precision}"

    @property
    def steps(self) -> list[int]:
        return list(self.manifest["options"]["steps"])

    @property
    def default_steps(self) -> int:
        return int(self.manifest["defaults"]["steps"])

    def gflop(self, steps: int) -> float:
        """Of one 512×512 edit."""
        # an edit runs one of the two field networks
        cost = {name: graph["gflop"] for name, graph in self.manifest["graphs"].items() if name != "pull"}
        return sum(cost.values()) + (steps - 1) * cost["denoiser"]

    def _field_network(self, painted: bool) -> str:
        return "field" if painted or "pull" not in self.manifest["graphs"] else "pull"

    def run(self, name: str, store: dict[str, Array]) -> None:
        session = self.sessions[name]
        outputs = [output.name for output in session.get_outputs()]
        results = session.run(outputs, {i.name: store[i.name] for i in session.get_inputs()})
        store.update(zip(outputs, results, strict=True))

    def closer(self, mask: Array, drags: Array) -> tuple[slice, slice, tuple[int, int]] | None:
        """The rows and columns of a photo that the field network sees where it takes a closer look, and its work size
        (H, W), for a mask [h, w] and drags [N, 4] in photo pixels; None where it sees what the others see."""
        h, w = mask.shape
        rules, limits = self.manifest["size"], self.manifest.get("field", {}).get("closer")
        inside = np.argwhere(mask > 0.5)
        if limits is None or not len(inside):
            return None
        lengths = np.hypot(*(drags[:, 2:] - drags[:, :2]).T)
        enlarge = min(float(limits["times"]), limits["longest"] / max(1.0, lengths.max(initial=0)))
        if enlarge <= 1:
            return None
        moving = drags[lengths > 0].reshape(-1, 2)[:, ::-1]
        first = np.floor(np.min([inside.min(0), *moving], 0))
        last = np.ceil(np.max([inside.max(0) + 1, *moving], 0))
        side = np.maximum(last - first + 2 * CONTEXT * (last - first).max(), rules["area"] ** 0.5 / enlarge)
        # the networks were trained on pictures, not on strips
        side = np.maximum(side, side.max() / 1.6)
        rows, columns = (_place(*each) for each in zip((first + last) / 2, side, (h, w), strict=True))
        if (rows.stop - rows.start) * (columns.stop - columns.start) > WHOLE_ABOVE * h * w:
            rows, columns = slice(0, h), slice(0, w)
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        work, before = self.work_size(*shape, enlarge), self.work_size(h, w)
        if np.prod(work) / np.prod(shape) <= HARDLY * np.prod(before) / (h * w):
            return None
        return rows, columns, work

    def work_size(self, height: int, width: int, enlarge: float = 1.0) -> tuple[int, int]:
        """(H, W): multiples of `multiple`, about the bundle's area; what is small is enlarged up to `enlarge` times, or
        to `minSide`."""
        rules = self.manifest["size"]
        multiple, least = rules["multiple"], -(-rules["minSide"] // rules["multiple"]) * rules["multiple"]
        scale = min(enlarge, (rules["area"] / (height * width)) ** 0.5)
        if min(height, width) * scale < least:
            scale = min(least / min(height, width), (AREA_SLACK * rules["area"] / (height * width)) ** 0.5)
        return tuple(max(least, round(side * scale / multiple) * multiple) for side in (height, width))

    def prepare(self, photo: Array, mask: Array, drags: Array, painted: bool = True) -> Scene:
        """photo uint8 [h, w, 3], mask [h, w] (1 = may change), drags [N, 4] photo pixels; painted: whether the mask was
        painted, and not derived from the drags."""
        h, w = photo.shape[:2]
        height, width = self.work_size(h, w)
        scale = (width / w, height / h)
        small = cv2.resize(photo, (width, height), interpolation=_kernel(scale))
        inside = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
        store = {
            "image": np.ascontiguousarray(small.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1),
            "mask": inside.astype(np.float32)[None, None],
            "drags": (np.asarray(drags, np.float32) * np.tile(scale, 2))[None].astype(np.float32),
        }
        # bundles whose field network is not asked how much follows a drag have no list
        store["follow"] = np.array(self.manifest.get("field", {}).get("follow", [0.0])[:1], np.float32)
        coarse, prior, visibility = self._see_motion(store, photo, mask, np.asarray(drags, np.float32), painted)
        for name in ("encoder", "appearance"):
            self.run(name, store)
        if "stretch" in store:  # what the photo holds beyond the work size is carried along by `into_photo`
            store["stretch"] = store["stretch"] * np.float32(max(1.0, 1 / (scale[0] * scale[1])))
        latent = torch.from_numpy(store["latent"])
        small_field = torch.nn.functional.interpolate(
            torch.from_numpy(store["field"]), size=latent.shape[-2:], mode="bilinear", align_corners=False
        )
        store["warped"] = warp_tensor(latent, small_field / self.manifest["latent"]["downscale"]).numpy()

        coarse = torch.from_numpy(coarse)
        store["refined"] = refined(coarse, height, width).numpy()

        def full(values: Array) -> Array:
            return cv2.resize(values[0].transpose(1, 2, 0), (w, h), interpolation=cv2.INTER_LINEAR)

        field = refined(coarse, h, w)[0].permute(1, 2, 0).numpy() / np.array(scale, np.float32)
        prior = full(prior) / np.array(scale, np.float32)
        patch = self._patch(store, visibility[0, 0])
        return Scene(store, photo, mask, scale, field, full(visibility), prior, patch)

    def _see_motion(
        self, store: dict[str, Array], photo: Array, mask: Array, drags: Array, painted: bool
    ) -> tuple[Array, Array, Array]:
        """Runs the field's network; its field, the interpolated one (work pixels) and visibility, as finely as it knows
        them: where it takes a closer look, on cells of half the size. `store` gets what the other networks take."""
        name, found = self._field_network(painted), self.closer(mask, drags)
        if found is None:
            self.run(name, store)
            return store["field"], store["prior"], store["visibility"]
        rows, columns, (height, width) = found
        scale = (width / (columns.stop - columns.start), height / (rows.stop - rows.start))
        corner = np.array([columns.start, rows.start] * 2, np.float32)
        part = cv2.resize(photo[rows, columns], (width, height), interpolation=_kernel(scale))
        inside = cv2.resize(mask[rows, columns].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        own = {
            **store,
            "image": np.ascontiguousarray(part.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1),
            "mask": (inside >= 0.5).astype(np.float32)[None, None],
            "drags": ((drags - corner) * np.tile(scale, 2))[None].astype(np.float32),
        }
        self.run(name, own)
        (h, w), (work_h, work_w) = photo.shape[:2], store["image"].shape[2:]
        fine = (2 * work_h // self.manifest["field"]["downscale"], 2 * work_w // self.manifest["field"]["downscale"])

        def laid_over(key: str, beyond: list[float]) -> Array:
            return _overlay(own[key], (rows, columns), (h, w), fine, np.array(beyond, np.float32))

        pixels = np.array([work_w / w / scale[0], work_h / h / scale[1]], np.float32)[None, :, None, None]
        field, prior = (laid_over(key, [0, 0]) * pixels for key in ("field", "prior"))
        visibility, stretch = laid_over("visibility", [1]), laid_over("stretch", [1, 0, 1])
        for key, value in (("field", field), ("visibility", visibility), ("stretch", stretch)):
            store[key] = torch.nn.functional.avg_pool2d(torch.from_numpy(value), 2).numpy()
        return field, prior, visibility

    def _patch(self, store: dict[str, Array], seen: Array) -> Patch | None:
        if self.manifest.get("holes") != "patches":
            return None
        image, fine = (torch.from_numpy(store[key]) for key in ("image", "refined"))
        warped = np.clip(np.rint((warp_tensor(image, fine)[0].permute(1, 2, 0).numpy() + 1) * 127.5), 0, 255)
        inside = store["mask"][0, 0] > 0.5
        return patch_holes(warped.astype(np.uint8), seen, store["refined"][0], inside, store["drags"][0])

    def sample(self, scene: Scene, steps: int, seed: int = 0) -> Array:
        """DDIM with eta 0 from the noised warp; the decoded picture at work size, float32 [H, W, 3], 0 to 255."""
        times = self.manifest["schedule"]["timesteps"][str(steps)]
        store = dict(scene.store)
        noise = np.random.default_rng(seed).standard_normal(store["warped"].shape).astype(np.float32)
        a = self.alphas[times[0]]
        x = (a**0.5 * store["warped"] + (1 - a) ** 0.5 * noise).astype(np.float32)
        store["point_scale"] = np.ones(1, np.float32)
        for index, time in enumerate(times):
            store["sample"], store["timestep"] = x, np.array([time], np.float32)
            self.run("denoiser", store)
            x0 = store["x0"]
            if index + 1 < len(times):
                a, after = self.alphas[time], self.alphas[times[index + 1]]
                noise = (x - a**0.5 * x0) / (1 - a) ** 0.5
                x = (after**0.5 * x0 + (1 - after) ** 0.5 * noise).astype(np.float32)
        picture = self._decode(store, x0)
        return picture if scene.patch is None else scene.patch.over(picture)

    def _decode(self, store: dict[str, Array], latent: Array) -> Array:
        """The whole picture of a latent at work size, float32 [H, W, 3], 0 to 255."""
        warped = fetch(*(torch.from_numpy(store[key]) for key in (*FETCHED, "refined")), cell=1)
        store |= {f"{key}_warped": value.numpy() for key, value in zip(FETCHED, warped, strict=True)}
        store["latent_out"] = latent
        self.run("decoder", store)
        return np.clip((store["picture"][0].transpose(1, 2, 0) + 1) * 127.5, 0, 255)

    def into_photo(self, scene: Scene, picture: Array) -> Array:
        """The decoded picture put into the photo: enlarged, the photo's finer detail carried along by the warp where
        the source is visible, blended inside the feathered mask."""
        photo, (h, w) = scene.photo, scene.photo.shape[:2]
        size, work = (w, h), picture.shape[1::-1]
        enlarged = picture if work == size else cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        if min(scene.scale) < DETAIL_BELOW:
            warped = warp(photo, scene.field).astype(np.float32)
            smooth = cv2.resize(
                cv2.resize(warped, work, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_CUBIC
            )
            enlarged = enlarged + scene.visibility[..., None] * (warped - smooth)
        return self._blend(scene, enlarged)

    def _blend(self, scene: Scene, picture: Array) -> Array:
        alpha = feather(scene.mask, max(2.0, FEATHER / min(scene.scale)))[..., None]
        own = scene.photo.astype(np.float32)
        return np.clip(np.rint(own + alpha * (picture - own)), 0, 255).astype(np.uint8)

    def edit(
        self, photo: Array, mask: Array, drags: Array, steps: list[int], seed: int = 0, painted: bool = True
    ) -> dict[int, Edited]:
        """The same edit at several numbers of steps; everything before the sampling is done once."""
        scene = self.prepare(photo, mask, drags, painted)
        warped = self._blend(scene, warp(photo, scene.field).astype(np.float32))
        edits = {}
        for count in steps:
            picture = self.into_photo(scene, self.sample(scene, count, seed))
            edits[count] = Edited(picture, warped, scene.field, scene.visibility, scene.prior)
        return edits

    def autoencode(self, photo: Array, see_source: bool) -> Array:
        """The photo through encoder and decoder at work size, nothing moved, uint8; without `see_source` the decoder
        may use the latent alone (visibility 0 everywhere)."""
        height, width = self.work_size(*photo.shape[:2])
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        quarter = (1, 1, height // 4, width // 4)
        store = {
            "image": np.ascontiguousarray(small.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1),
            "mask": np.ones((1, 1, height, width), np.float32),
            "refined": np.zeros((1, 2, height, width), np.float32),
            "visibility": np.full(quarter, float(see_source), np.float32),
            "stretch": np.broadcast_to(np.float32([1, 0, 1])[None, :, None, None], (1, 3, *quarter[2:])).copy(),
        }
        self.run("encoder", store)
        return np.rint(self._decode(store, store["latent"])).astype(np.uint8)


def _place(centre: float, length: float, limit: int) -> slice:
    """Of `limit` pixels about `length` around `centre`: on the grid, but where the limit is near, which it then
    reaches."""
    if length >= limit:
        return slice(0, limit)
    start = max(0.0, min(centre - length / 2, limit - length))
    first = min(np.floor(start / GRID + 0.5), np.floor((limit - length) / GRID)) * GRID
    last = first + np.ceil(length / GRID) * GRID
    return slice(int(first), limit if last > limit - GRID else int(last))


def _overlay(grid: Array, part: tuple[slice, slice], photo: tuple[int, int], size: tuple[int, int], beyond: Array):
    """A grid [1, C, h, w] that covers a part of a photo (H, W), as one of `size` (H, W) that covers all of it:
    bilinear, and `beyond` [C] outside of the part."""
    (rows, columns), (height, width) = part, photo
    y = (np.arange(size[0], dtype=np.float32) + 0.5) * height / size[0] - rows.start
    x = (np.arange(size[1], dtype=np.float32) + 0.5) * width / size[1] - columns.start
    tall, wide = rows.stop - rows.start, columns.stop - columns.start
    covered = ((y >= 0) & (y <= tall))[:, None] & ((x >= 0) & (x <= wide))
    at = [np.float32(each) for each in np.meshgrid(x * grid.shape[3] / wide - 0.5, y * grid.shape[2] / tall - 0.5)]
    planes = [cv2.remap(plane, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in grid[0]]
    return np.where(covered, np.stack(planes), beyond[:, None, None])[None].astype(np.float32)


def _kernel(scale: tuple[float, float]) -> int:
    return cv2.INTER_AREA if min(scale) < 1 else cv2.INTER_CUBIC

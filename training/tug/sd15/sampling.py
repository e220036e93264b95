"""LightningDrag's sampling on named graphs, with every stage visible: the numerics that the engine must agree with.

Works on NumPy arrays and on anything that runs a graph by name (`graphs.TorchGraphs`, an ONNX session a graph), so
that both are compared with the reference by the same code. Symbols as in DDIM (arXiv 2010.02502) and LCM (2310.04378):
a_t is the cumulative product of 1 - beta, e the predicted noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .load import Schedule
from .networks import point_maps

Array = np.ndarray
Store = dict[str, Array]
RunGraph = Callable[[str, Store], Store]

START = 999  # the prior is noised to here, whatever timestep sampling starts from (section 3: noised source latent)
LCM_ORIGINAL_STEPS, LCM_TIMESTEP_SCALING, LCM_SIGMA = 50, 10.0, 0.5
CLIP_SIZE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
DECAYS = ("none", "linear", "square", "quadratic", "inv_square")


@dataclass(frozen=True)
class Settings:
    scheduler: str = "DDIM"  # or "LCM"
    steps: int = 25
    guidance: float = 4.0
    decay: str = "inv_square"
    guided_steps: int | None = None  # None: all


def alphas(schedule: Schedule) -> Array:
    """a_t of every training timestep, float64 [1000]."""
    root = np.linspace(schedule.beta_start**0.5, schedule.beta_end**0.5, schedule.num_train_timesteps)
    return np.cumprod(1 - root**2)


def timesteps(settings: Settings, schedule: Schedule) -> list[int]:
    """Descending. DDIM: leading spacing and offset. LCM: evenly out of the 50 that distillation used."""
    count, train = settings.steps, schedule.num_train_timesteps
    if settings.scheduler == "DDIM":
        return [t * (train // count) + schedule.steps_offset for t in reversed(range(count))]
    origin = [(i + 1) * (train // LCM_ORIGINAL_STEPS) - 1 for i in reversed(range(LCM_ORIGINAL_STEPS))]
    return [origin[LCM_ORIGINAL_STEPS * i // count] for i in range(count)]


def ddim_step(x: Array, e: Array, a_t: float, a_next: float) -> Array:
    """x_t -> x_next, eta 0."""
    x0 = (x - (1 - a_t) ** 0.5 * e) / a_t**0.5
    return a_next**0.5 * x0 + (1 - a_next) ** 0.5 * e


def lcm_step(x: Array, e: Array, t: int, a_t: float, a_next: float, noise: Array | None) -> Array:
    """x_t -> x_next: the consistency function's x0, noised again unless it is the last step (`noise` is None)."""
    scaled = t * LCM_TIMESTEP_SCALING
    skip = LCM_SIGMA**2 / (scaled**2 + LCM_SIGMA**2)
    out = scaled / (scaled**2 + LCM_SIGMA**2) ** 0.5
    x0 = out * (x - (1 - a_t) ** 0.5 * e) / a_t**0.5 + skip * x
    return x0 if noise is None else a_next**0.5 * x0 + (1 - a_next) ** 0.5 * noise


def guidance_at(decay: str, scale: float, step: int, steps: int) -> float:
    """g of one step (method.md, sampling)."""
    u = step / steps
    power = {"none": None, "linear": 1, "square": 2, "quadratic": 3}
    if decay == "inv_square":
        return (scale - 1) * (1 - u) ** 2 + 1
    if decay not in power:
        raise ValueError(f"decay must be one of {', '.join(DECAYS)}, not {decay!r}")
    return scale if decay == "none" else scale * (1 - u ** power[decay]) + u ** power[decay]


def clip_pixels(picture: Array) -> Array:
    """uint8 [H, W, 3] -> CLIP's input [1, 3, 224, 224].

    The reference hands CLIP a picture that went to [-1, 1] and back in float32, truncated: some values are one lower.
    """
    unit = np.float32(2) * picture.astype(np.float32) / np.float32(255) - np.float32(1)
    image = Image.fromarray((np.float32(127.5) * (unit + np.float32(1))).astype(np.uint8))
    width, height = image.size
    short = min(width, height)
    size = (CLIP_SIZE * width // short, CLIP_SIZE * height // short)
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32)
    top, left = (size[1] - CLIP_SIZE) // 2, (size[0] - CLIP_SIZE) // 2
    pixels = pixels[top : top + CLIP_SIZE, left : left + CLIP_SIZE] / 255
    mean, std = np.float32(CLIP_MEAN), np.float32(CLIP_STD)
    return ((pixels - mean) / std).transpose(2, 0, 1)[None]


def prepare(run: RunGraph, picture: Array, mask: Array, drags: Array) -> Store:
    """Everything that the steps share. picture uint8 [H, W, 3]; mask [H, W], 1 = may change; drags [N, 4] (handle x, y,
    target x, y)."""
    height, width = mask.shape
    image = (picture.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    mask = (mask >= 0.5).astype(np.float32)[None, None]
    handle_map, target_map = point_maps(drags[:, :2].tolist(), drags[:, 2:].tolist(), height, width)
    store: Store = {"mask": mask, "point_scale": np.ones(1, np.float32), "clip_pixels": clip_pixels(picture)}
    store |= {"handle_map": handle_map.numpy(), "target_map": target_map.numpy()}
    store["masked_latent"] = run("vae_encoder", {"image": image * (mask < 0.5)})["latent"]
    store |= run("vae_encoder", {"image": image})
    for graph in ("image_prompt", "point_embedding", "appearance"):
        store |= run(graph, store)
    return store


def denoise(
    run: RunGraph,
    schedule: Schedule,
    settings: Settings,
    store: Store,
    noise: Array,
    fresh: Sequence[Array] = (),
) -> Iterator[tuple[int, Array, Array, Array | None]]:
    """(t, latent after the step, conditional e, unconditional e) of each step of one candidate, from the noised source.

    noise [1, 4, h, w]; fresh: LCM's noise for each step but the last.
    """
    a, steps = alphas(schedule), timesteps(settings, schedule)
    final = 1.0 if schedule.set_alpha_to_one else a[0]
    graph = "unet_lcm" if settings.scheduler == "LCM" else "unet"
    x = (a[START] ** 0.5 * store["latent"] + (1 - a[START]) ** 0.5 * noise).astype(np.float32)
    for i, t in enumerate(steps):
        feeds = store | {"sample": x, "timestep": np.array([t], np.float32)}
        e = conditional = run(graph, feeds)["epsilon"]
        unconditional = None
        if settings.guidance > 1 and (settings.guided_steps is None or i < settings.guided_steps):
            unconditional = run(graph, feeds | {"point_scale": np.zeros(1, np.float32)})["epsilon"]
            g = guidance_at(settings.decay, settings.guidance, i, len(steps))
            e = unconditional + g * (conditional - unconditional)
        if settings.scheduler == "LCM":
            last = i == len(steps) - 1
            x = lcm_step(x, e, t, a[t], 1.0 if last else a[steps[i + 1]], None if last else fresh[i])
        else:
            following = t - schedule.num_train_timesteps // settings.steps
            x = ddim_step(x, e, a[t], a[following] if following >= 0 else final)
        x = x.astype(np.float32)
        yield t, x, conditional, unconditional

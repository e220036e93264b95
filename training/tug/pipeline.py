"""An edit in PyTorch, step for step what the engine does with the exported graphs.

1. field and visibility from picture, mask, drags      2. latent and skips of the source; its keys and values
3. x_T = noised warp of the latent                     4. per timestep: x0, then DDIM to the next
5. decode with the warped photo and skips, visibility  6. outside the mask: the photo's own pixels
The patches that fill holes (`fill`) are left to the engine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import schedule
from .autoencoder import fetch
from .cases import Case
from .fieldnet import FOLLOW
from .geometry import refined, resize, warp
from .motions import Array


@dataclass
class Edit:
    """picture, warped (the learned field's warp), naive (the interpolated field's warp): [1, 3, H, W] in [-1, 1];
    field, prior [1, 2, H/4, W/4] work px; visibility [1, 1, H/4, W/4]."""

    picture: Tensor
    warped: Tensor
    naive: Tensor
    field: Tensor
    prior: Tensor
    visibility: Tensor


def to_tensor(image: Array) -> Tensor:
    """uint8 [H, W, 3] → [1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


def to_image(picture: Tensor) -> Array:
    """[1, 3, H, W] in [-1, 1] → uint8 [H, W, 3]."""
    return ((picture[0].clamp(-1, 1) + 1) * 127.5 + 0.5).byte().permute(1, 2, 0).numpy()


def warp_latent(latent: Tensor, field: Tensor) -> Tensor:
    """latent [B, C, H/8, W/8] warped by a field in work pixels at 1/4 size, as the engine does it."""
    return warp(latent, resize(field, latent) / 8)


@torch.no_grad()
def edit(networks: nn.ModuleDict, case: Case, steps: int = 4, seed: int = 0, composite: bool = True) -> Edit:
    """One edit of `case` (sides multiples of 64) at a shipped number of steps."""
    image = to_tensor(case.source)
    mask = torch.from_numpy(case.mask)[None, None].float()
    drags = torch.from_numpy(case.drags)[None].float()
    field, visibility, prior, stretch = networks["field"](image, mask, drags, torch.tensor(FOLLOW[:1]))
    latent, skip_2, skip_4 = networks["encoder"](image)
    remembered = networks["denoiser"].remember(networks["appearance"](latent))
    warped = warp_latent(latent, field)
    generator = torch.Generator().manual_seed(seed)
    a = schedule.alphas()
    times = schedule.TIMESTEPS[steps]
    x = schedule.add_noise(warped, torch.randn(warped.shape, generator=generator), a[times[0]][None])
    for index, time in enumerate(times):
        t = torch.tensor([float(time)])
        x0 = networks["denoiser"](x, t, warped, mask, field, visibility, *remembered, torch.ones(1))
        if index + 1 < len(times):
            x = schedule.ddim(x, x0, a[time][None], a[times[index + 1]][None])
    fine = refined(field, *image.shape[-2:])
    picture = networks["decoder"](x0, *fetch(image, skip_2, skip_4, fine, cell=1), mask, visibility, stretch)
    pictures = [picture, warp(image, fine), warp(image, resize(prior, image))]
    if composite:
        pictures = [image + mask * (p - image) for p in pictures]
    return Edit(*pictures, field, prior, visibility)

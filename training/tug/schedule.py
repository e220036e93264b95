"""The noise schedule and its sampler (DDIM, eta 0), the same as the engine's.

a_t is the cumulative product of 1 - beta; x_t = sqrt(a_t) x0 + sqrt(1 - a_t) noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

BETA_START, BETA_END, STEPS = 0.00085, 0.012, 1000
TIMESTEPS = {
    1: [799],
    2: [799, 399],
    4: [799, 599, 399, 199],
    8: [799, 699, 599, 499, 399, 299, 199, 99],
}


def alphas(device: torch.device | str = "cpu") -> Tensor:
    """Cumulative alphas a_t [1000] of the scaled-linear schedule."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float().to(device)


def add_noise(x0: Tensor, noise: Tensor, a: Tensor) -> Tensor:
    """a [B] → x_t [B, C, h, w]."""
    a = a.view(-1, 1, 1, 1)
    return a.sqrt() * x0 + (1 - a).sqrt() * noise


def ddim(x: Tensor, x0: Tensor, a: Tensor, following: Tensor) -> Tensor:
    """One step from level a to the level `following`, both [B]."""
    a = a.view(-1, 1, 1, 1)
    return add_noise(x0, (x - a.sqrt() * x0) / (1 - a).sqrt(), following)

"""The few building blocks that the small networks share: plain convolutions with ReLU, residual around them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """Padded convolution; He-initialised for ReLU."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def fours(channels: int) -> int:
    """The next multiple of four: from 16 channels on the runtime's quick convolutions take them in fours."""
    return channels + -channels % 4


def stack(*maps: Tensor) -> Tensor:
    """Maps side by side, [B, C, h, w] each; the last one, of one channel, as often as makes their channels `fours`."""
    channels = sum(int(each.shape[1]) for each in maps)
    return torch.cat([*maps, *[maps[-1]] * (fours(channels) - channels)], 1)


def zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Residual(nn.Module):
    """x + conv(relu(norm(conv(relu x)))), [B, C, H, W] → the same; `norm=False` keeps it int8-fusable."""

    def __init__(self, channels: int, norm: bool = True) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.norm = nn.GroupNorm(8, channels) if norm else nn.Identity()
        self.second = conv(channels, channels)
        nn.init.normal_(self.second.weight, std=0.1 * (2 / (9 * channels)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.norm(self.first(F.relu(x)))))


def upsample(x: Tensor) -> Tensor:
    """Twice as large, nearest."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")

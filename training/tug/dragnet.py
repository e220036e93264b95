"""The drag network: a denoiser that predicts x0 from the noised warp, and its appearance encoder.

The small bundle starts from the source latent warped by the field (a copy-and-paste prior of the paper's kind), so
the network mends edges, fills what became visible and restores texture. The dense field gives every query the source
coordinate it comes from: E_t embeds x + field(x), E_h the reference's own coordinates. Attention runs at 1/16 and
1/32 of the work size only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import FourierCoordinates, PointAttention, PointProjection, tokens
from .blocks import conv, upsample, zero
from .geometry import pixel_grid, resize


@dataclass(frozen=True)
class DragConfig:
    """Channels at 1/8, 1/16, 1/32 of the work size (multiples of 32); appearance channels at 1/8; point embedding."""

    channels: tuple[int, int, int] = (80, 160, 224)
    appearance: int = 64
    latent: int = 16
    embedding: int = 64
    head: int = 32


class TimedResidual(nn.Module):
    """Residual block with the timestep's scale and shift after its norm; x [B, C, h, w], time [B, T] or None."""

    def __init__(self, channels: int, time: int | None) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(8, channels)
        self.first = conv(channels, channels)
        self.norm = nn.GroupNorm(8, channels)
        self.second = conv(channels, channels)
        nn.init.normal_(self.second.weight, std=0.3 * (2 / (9 * channels)) ** 0.5)
        self.time = None if time is None else zero(nn.Linear(time, 2 * channels))

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        h = self.norm(self.first(F.relu(self.norm_in(x))))
        if self.time is not None and time is not None:
            scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        return x + self.second(F.relu(h))


class PointBlock(nn.Module):
    """Transformer block on a map: attention with points, then a feed-forward; x, reference [B, C, h, w]."""

    def __init__(self, channels: int, config: DragConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.points = PointProjection(config.embedding, channels)
        self.attention = PointAttention(channels, channels // config.head)
        self.norm_2 = nn.LayerNorm(channels)
        self.feed = nn.Sequential(nn.Linear(channels, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels))
        for layer in (self.attention.out, self.feed[2]):
            nn.init.normal_(layer.weight, std=0.3 * channels**-0.5)

    def forward(self, x: Tensor, reference: Tensor, target: Tensor, handle: Tensor, scale: Tensor) -> Tensor:
        h = tokens(x)
        to, origin = self.points(target, scale), self.points(handle, scale)
        h = h + self.attention(self.norm(h), tokens(reference), to, origin)
        h = h + self.feed(self.norm_2(h))
        return h.transpose(1, 2).reshape(x.shape)


class AppearanceEncoder(nn.Module):
    """Clean source latent [B, C, H/8, W/8] → reference tokens as maps: ref_0, ref_3 at 1/16, ref_1, ref_2 at 1/32."""

    def __init__(self, config: DragConfig) -> None:
        super().__init__()
        _, middle, deep = config.channels
        self.stem = nn.Sequential(conv(config.latent, config.appearance), TimedResidual(config.appearance, None))
        self.down_1 = conv(config.appearance, middle, 3, 2)
        self.middle = nn.ModuleList(TimedResidual(middle, None) for _ in range(2))
        self.down_2 = conv(middle, deep, 3, 2)
        self.deep = nn.ModuleList(TimedResidual(deep, None) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in (middle, deep, deep, middle))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = self.down_1(F.relu(self.stem(latent)))
        first = self.middle[0](x)
        second = self.middle[1](first)
        third = self.deep[0](self.down_2(F.relu(second)))
        fourth = self.deep[1](third)
        maps = (first, third, fourth, second)
        return tuple(norm(tokens(m)).transpose(1, 2).reshape(m.shape) for norm, m in zip(self.norms, maps, strict=True))


class Denoiser(nn.Module):
    """sample, warped [B, C, H/8, W/8], timestep [B], mask [B, 1, H, W], field (work px), visibility at 1/4, references,
    point_scale [B] → x0 [B, C, H/8, W/8]."""

    def __init__(self, config: DragConfig) -> None:
        super().__init__()
        self.config = config
        wide, middle, deep = config.channels
        time = 2 * wide
        self.time = nn.Sequential(nn.Linear(64, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.coordinates = FourierCoordinates(config.embedding)
        self.stem = conv(2 * config.latent + 2, wide)
        self.wide_down = nn.ModuleList(TimedResidual(wide, time) for _ in range(2))
        self.down_1 = conv(wide, middle, 3, 2)
        self.middle_down = TimedResidual(middle, time)
        self.attend_0 = PointBlock(middle, config)
        self.down_2 = conv(middle, deep, 3, 2)
        self.deep = nn.ModuleList(TimedResidual(deep, time) for _ in range(2))
        self.attend_1, self.attend_2 = PointBlock(deep, config), PointBlock(deep, config)
        self.up_1 = conv(deep, middle, 1)
        self.merge_1 = conv(2 * middle, middle, 1)
        self.middle_up = TimedResidual(middle, time)
        self.attend_3 = PointBlock(middle, config)
        self.up_2 = conv(middle, wide, 1)
        self.merge_2 = conv(2 * wide, wide, 1)
        self.wide_up = nn.ModuleList(TimedResidual(wide, time) for _ in range(2))
        self.norm_out = nn.GroupNorm(8, wide)
        self.out = zero(conv(wide, config.latent))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        warped: Tensor,
        mask: Tensor,
        field: Tensor,
        visibility: Tensor,
        ref_0: Tensor,
        ref_1: Tensor,
        ref_2: Tensor,
        ref_3: Tensor,
        point_scale: Tensor,
        origin: Tensor | None = None,
    ) -> Tensor:
        """origin [B, 2]: work pixels added to all coordinates in training, where pictures are smaller than in use."""
        shown = F.avg_pool2d(visibility, 2)
        inside = F.avg_pool2d(mask, 8)
        angle = timestep[:, None] * torch.exp(torch.arange(32, device=sample.device) * -0.28)[None]
        time = self.time(torch.cat([angle.sin(), angle.cos()], 1))

        def points(reference: Tensor, scale: int) -> tuple[Tensor, Tensor]:
            own = pixel_grid(reference) * scale
            own = own if origin is None else own + origin[:, :, None, None]
            return self.coordinates(own + resize(field, reference)), self.coordinates(own)

        x = self.stem(torch.cat([sample, warped, shown, inside], 1))
        x = wide = self.wide_down[1](self.wide_down[0](x, time), time)
        near = points(ref_0, 16)
        x = self.middle_down(self.down_1(x), time)
        x = middle = self.attend_0(x, ref_0, *near, point_scale)
        far = points(ref_1, 32)
        x = self.attend_1(self.deep[0](self.down_2(x), time), ref_1, *far, point_scale)
        x = self.attend_2(self.deep[1](x, time), ref_2, *far, point_scale)
        x = self.merge_1(torch.cat([upsample(self.up_1(x)), middle], 1))
        x = self.attend_3(self.middle_up(x, time), ref_3, *near, point_scale)
        x = self.merge_2(torch.cat([upsample(self.up_2(x)), wide], 1))
        x = self.wide_up[1](self.wide_up[0](x, time), time)
        return warped + self.out(F.relu(self.norm_out(x))).float()

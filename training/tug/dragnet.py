"""The drag network: a denoiser that predicts x0 from the noised warp, and its appearance encoder.

The small bundle starts from the source latent warped by the field (a copy-and-paste prior of the paper's kind), so
the network mends edges, fills what became visible and restores texture. The dense field gives every query the source
coordinate it comes from: E_t embeds x + field(x), E_h the reference's own coordinates. Attention runs at 1/32 of the
work size only.

There are no norms between convolutions, only ReLU: each convolution then runs in int8 from the last one's bytes. The
timestep is a bias of the stem and of the attention blocks, which stay in fp32.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import FourierCoordinates, PointAttention, PointProjection, remembered, tokens
from .blocks import conv, fours, stack, upsample, zero
from .geometry import pixel_grid, resize


@dataclass(frozen=True)
class DragConfig:
    """Channels at 1/8, 1/16, 1/32 of the work size; appearance channels at 1/8; point embedding; channels of a head.

    Multiples of 32 keep both the fp32 and the int8 convolutions at full speed."""

    channels: tuple[int, int, int] = (96, 160, 192)
    appearance: int = 64
    latent: int = 16
    embedding: int = 64
    head: int = 32


class Block(nn.Module):
    """relu(x + conv(relu(conv x))), [B, C, h, w] → the same, never negative: every value between two convolutions is
    an unsigned byte in int8, and nothing but additions stands between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels)
        self.second = conv(channels, channels)
        nn.init.normal_(self.second.weight, std=0.3 * (2 / (9 * channels)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class PointBlock(nn.Module):
    """Attention with points on a map x [B, C, h, w], ended by a ReLU."""

    def __init__(self, channels: int, config: DragConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.time = zero(nn.Linear(2 * config.embedding, channels))
        self.points = PointProjection(config.embedding, channels)
        self.attention = PointAttention(channels, channels // config.head)
        nn.init.normal_(self.attention.out.weight, std=0.3 * channels**-0.5)

    def forward(
        self,
        x: Tensor,
        reference: tuple[Tensor, Tensor],
        time: Tensor,
        target: Tensor,
        handle: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """reference: its keys and values [B, h·w, C]; time [B, T]; target, handle [B, h·w, D]: embeddings of where each
        place comes from, and of the place."""
        to, origin = self.points(target, scale), self.points(handle, scale)
        h = self.attention(self.norm(tokens(x)), reference, to, origin) + self.time(time)[:, None]
        return F.relu(x + h.transpose(1, 2).reshape(x.shape))


class AppearanceEncoder(nn.Module):
    """Clean source latent [B, C, H/8, W/8] → four levels of reference tokens [B, H/32·W/32, D]."""

    def __init__(self, config: DragConfig) -> None:
        super().__init__()
        _, middle, deep = config.channels
        self.stem = nn.Sequential(conv(config.latent, config.appearance), nn.ReLU(), Block(config.appearance))
        self.down_1 = conv(config.appearance, middle, 3, 2)
        self.middle = Block(middle)
        self.down_2 = conv(middle, deep, 3, 2)
        self.deep = nn.ModuleList(Block(deep) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(deep) for _ in range(4))

    def forward(self, latent: Tensor) -> list[Tensor]:
        x = F.relu(self.down_2(self.middle(F.relu(self.down_1(self.stem(latent))))))
        references = []
        for block, norm in zip(self.deep, self.norms, strict=True):
            x = block(x)
            references.append(norm(tokens(x)))
        return references


class Denoiser(nn.Module):
    """sample, warped [B, C, H/8, W/8], timestep [B], mask [B, 1, H, W], field (work px), visibility at 1/4, keys and
    values of the four references [B, H/32·W/32, D], point_scale [B] → x0 [B, C, H/8, W/8]."""

    def __init__(self, config: DragConfig) -> None:
        super().__init__()
        self.config = config
        wide, middle, deep = config.channels
        time = 2 * config.embedding
        self.time = nn.Sequential(nn.Linear(64, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.coordinates = FourierCoordinates(config.embedding)
        self.stem = conv(fours(2 * config.latent + 2), wide)
        self.stem_time = nn.Linear(time, wide)
        self.wide_down = nn.Sequential(*(Block(wide) for _ in range(2)))
        self.down_1 = conv(wide, middle, 3, 2)
        self.middle_down = nn.Sequential(*(Block(middle) for _ in range(2)))
        self.down_2 = conv(middle, deep, 3, 2)
        self.deep = nn.ModuleList(Block(deep) for _ in range(4))
        self.attend = nn.ModuleList(PointBlock(deep, config) for _ in range(4))
        self.up_1 = conv(deep, middle, 1)
        self.middle_up = nn.Sequential(*(Block(middle) for _ in range(2)))
        self.up_2 = conv(middle, wide, 1)
        self.wide_up = nn.Sequential(*(Block(wide) for _ in range(2)))
        self.out = zero(conv(wide, config.latent))

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        warped: Tensor,
        mask: Tensor,
        field: Tensor,
        visibility: Tensor,
        key_0: Tensor,
        value_0: Tensor,
        key_1: Tensor,
        value_1: Tensor,
        key_2: Tensor,
        value_2: Tensor,
        key_3: Tensor,
        value_3: Tensor,
        point_scale: Tensor,
        origin: Tensor | None = None,
    ) -> Tensor:
        """origin [B, 2]: work pixels added to all coordinates in training, where pictures are smaller than in use."""
        shown = F.avg_pool2d(visibility, 2)
        inside = F.avg_pool2d(mask, 8)
        angle = timestep[:, None] * torch.exp(torch.arange(32, device=sample.device) * -0.28)[None]
        time = self.time(torch.cat([angle.sin(), angle.cos()], 1))

        x = self.stem(stack(sample, warped, shown, inside))
        wide = self.wide_down(F.relu(x + self.stem_time(time)[:, :, None, None]))
        middle = self.middle_down(F.relu(self.down_1(wide)))
        x = F.relu(self.down_2(middle))
        own = pixel_grid(x) * 32
        own = own if origin is None else own + origin[:, :, None, None]
        target, handle = self.coordinates(own + resize(field, x)), self.coordinates(own)
        references = ((key_0, value_0), (key_1, value_1), (key_2, value_2), (key_3, value_3))
        for block, attend, reference in zip(self.deep, self.attend, references, strict=True):
            x = attend(block(x), reference, time, target, handle, point_scale)
        x = self.middle_up(F.relu(upsample(self.up_1(x)) + middle))
        x = self.wide_up(F.relu(upsample(self.up_2(x)) + wide))
        return warped + self.out(x).float()

    def remember(self, references: list[Tensor]) -> tuple[Tensor, ...]:
        """Keys and values of the four references, as `forward` takes them."""
        return remembered((block.attention for block in self.attend), references)


class Remembered(AppearanceEncoder):
    """The graph that runs once a picture: the appearance encoder, and the denoiser's keys and values of what it makes.

    The projections are the denoiser's own, which also has them for its own tokens."""

    def __init__(self, encoder: AppearanceEncoder, denoiser: Denoiser) -> None:
        super().__init__(denoiser.config)
        self.load_state_dict(encoder.state_dict())
        self.attention = nn.ModuleList(copy.deepcopy(attend.attention) for attend in denoiser.attend)
        for attention in self.attention:
            del attention.query, attention.out

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        return remembered(self.attention, super().forward(latent))

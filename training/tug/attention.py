"""LightningDrag's attention with points (section 3; method.md), shared by every size of the network.

With h a block's own normalised tokens, r the appearance encoder's tokens of the matching block, and E_t / E_h the
point embedding of the targets / handles at that resolution:

    Q = W_q h + E_t        K = [W_k h + E_t ; W_k r + E_h]        V = [W_v h ; W_v r]

Each E is LayerNorm and a bias-free, zero-initialised linear of an embedding; the unconditional branch is zeroed after
that projection (`scale` 0), since LayerNorm's bias would make a zero embedding non-zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def tokens(x: Tensor) -> Tensor:
    """[B, C, h, w] → [B, h·w, C]."""
    return x.flatten(2).transpose(1, 2)


class PointProjection(nn.Module):
    """embedding [B, L, D] → E [B, L, C], times `scale` [B] (1 conditional, 0 unconditional)."""

    def __init__(self, embedding: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(embedding)
        self.proj = nn.Linear(embedding, channels, bias=False)
        nn.init.zeros_(self.proj.weight)

    def forward(self, embedding: Tensor, scale: Tensor) -> Tensor:
        return self.proj(self.norm(embedding)) * scale.view(-1, 1, 1)


class PointAttention(nn.Module):
    """h, keys and values of r, points (E_t, E_h), [B, L, C] each → attended [B, L, C], without the residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.out = nn.Linear(channels, channels)

    def remember(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on h: W_k r and W_v r, [B, L, C] each."""
        return self.key(r), self.value(r)

    def forward(self, h: Tensor, remembered: tuple[Tensor, Tensor], target: Tensor, handle: Tensor) -> Tensor:
        """remembered: `remember` of r."""
        key_r, value_r = remembered

        def split(x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

        query = split(self.query(h) + target)
        key = split(torch.cat([self.key(h) + target, key_r + handle], 1))
        value = split(torch.cat([self.value(h), value_r], 1))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


def remembered(layers: Iterable[PointAttention], references: Iterable[Tensor]) -> tuple[Tensor, ...]:
    """The key and the value of every layer's reference [B, L, C], one after the other."""
    return tuple(each for layer, r in zip(layers, references, strict=True) for each in layer.remember(r))


class FourierCoordinates(nn.Module):
    """Work-pixel coordinates [B, 2, h, w] → embedding [B, h·w, D] of sines at octaves of 1/1024 px, mixed linearly."""

    def __init__(self, channels: int, octaves: int = 7) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.pi * 2.0 ** torch.arange(octaves) / 1024, persistent=False)
        self.mix = nn.Linear(4 * octaves, channels)

    def forward(self, coordinates: Tensor) -> Tensor:
        angle = tokens(coordinates).unsqueeze(-1) * self.frequencies
        return self.mix(torch.cat([angle.sin(), angle.cos()], -1).flatten(2))

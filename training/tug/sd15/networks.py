"""LightningDrag's networks on diffusers' U-Net: appearance encoder, point embedding, and attention with points.

Symbols as in the paper's section on point embedding attention: h are a block's own normalised tokens, r the reference
tokens of the appearance encoder's same block, E_h and E_t the handle and target embeddings of that resolution:

    Q = W_q h + E_t        K = [W_k h + E_t ; W_k r + E_h]        V = [W_v h ; W_v r]

Blocks are numbered in diffusers' own order: down, up, mid. The text prompt is always empty, so its keys and values are
constants, computed once by `fold_text`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

UNET_CHANNELS = 9  # noisy latent 4, mask 1, masked-image latent 4


@dataclass
class Conditions:
    """What the attention blocks read, and what the appearance encoder's blocks write, beside the tokens themselves."""

    references: Sequence[Tensor] = ()  # a block each: [B, h·w, C]
    handles: Sequence[Tensor] = ()  # a level each: [B, E, h, w]
    targets: Sequence[Tensor] = ()
    point_scale: Tensor | None = None  # [1]: 1 conditional, 0 unconditional
    recorded: dict[int, Tensor] = field(default_factory=dict)


class PointEmbedding(nn.Module):
    """Two label maps [B, 1, H, W] -> handle and target embeddings at 1/8, 1/16, 1/32 and 1/64 of the size.

    The stem has no activation; every stage halves the size and doubles the channels. At 1/8 an embedding has
    8 · `width` channels (128 in the published weights).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [2 * width * 2**stage for stage in range(7)]
        self.conv_in = nn.Conv2d(2, channels[0], 3, padding=1, bias=False)
        stages = [PointStage(a, b) for a, b in zip(channels, channels[1:], strict=False)]
        self.downsample_blocks_vae = nn.Sequential(*stages[:3])
        self.downsample_blocks_unet = nn.ModuleList(stages[3:])
        self.widths = [c // 2 for c in channels[3:]]

    def forward(self, handle_map: Tensor, target_map: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        levels = [self.downsample_blocks_vae(self.conv_in(torch.cat([handle_map, target_map], 1)))]
        for stage in self.downsample_blocks_unet:
            levels.append(stage(levels[-1]))
        halves = [level.chunk(2, 1) for level in levels]
        return [handle for handle, _ in halves], [target for _, target in halves]


class PointStage(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride=2, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv2(F.silu(self.conv1(x))))


def point_maps(
    handles: Sequence[tuple[float, float]], targets: Sequence[tuple[float, float]], height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Label maps [1, 1, H, W] of points (x, y): pair i writes i, counted from 1, on the pixel that holds the point."""
    maps = torch.zeros(2, 1, 1, height, width)
    for plane, points in zip(maps, (handles, targets), strict=True):
        for label, (x, y) in enumerate(points, start=1):
            plane[0, 0, int(y), int(x)] = label
    return maps[0], maps[1]


class _Attention(torch.autograd.Function):
    """Scaled dot-product attention of several heads, q [B, L, C], k and v [B, M, C] -> [B, L, C], as one node of the
    exported graph. ONNX Runtime's kernel for it works block by block: the B · heads · L · M scores, a gigabyte at the
    published size, are never in memory at once."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)

    @staticmethod
    def symbolic(g: Any, q: Any, k: Any, v: Any, heads: int) -> Any:
        return g.op("com.microsoft::MultiHeadAttention", q, k, v, num_heads_i=heads).setType(q.type())


class Projections(nn.Module):
    """The weights of one of diffusers' attention layers, taken over, and the attention itself."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = attention.to_q, attention.to_k, attention.to_v
        self.to_out = attention.to_out[0]
        self.heads = attention.heads

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q [B, L, C], k and v [B, M, C] -> [B, L, C], before the output projection."""
        return _Attention.apply(q, k, v, self.heads)


class PointAttention(Projections):
    """Self-attention that also sees the reference tokens, with points in queries and keys."""

    def __init__(self, attention: nn.Module, block: int, level: int, embedding: int) -> None:
        super().__init__(attention)
        self.norm = nn.LayerNorm(embedding)
        self.proj = nn.Linear(embedding, self.to_q.out_features, bias=False)
        self.block, self.level = block, level

    def embed(self, points: Sequence[Tensor], scale: Tensor) -> Tensor:
        """E of this block, [B, h·w, C]. Scaled last, since the norm's bias would make a zero embedding non-zero."""
        return self.proj(self.norm(points[self.level].flatten(2).transpose(1, 2))) * scale

    def forward(self, hidden_states: Tensor, *, conditions: Conditions, **_: Any) -> Tensor:
        reference, scale = conditions.references[self.block], conditions.point_scale
        target, handle = self.embed(conditions.targets, scale), self.embed(conditions.handles, scale)
        q = self.to_q(hidden_states) + target
        k = torch.cat([self.to_k(hidden_states) + target, self.to_k(reference) + handle], 1)
        v = torch.cat([self.to_v(hidden_states), self.to_v(reference)], 1)
        return self.to_out(self.attend(q, k, v))


class RecordingAttention(Projections):
    """Plain self-attention that writes down its input: the block's tokens after `norm1`."""

    def __init__(self, attention: nn.Module, block: int) -> None:
        super().__init__(attention)
        self.block = block

    def forward(self, hidden_states: Tensor, *, conditions: Conditions, **_: Any) -> Tensor:
        conditions.recorded[self.block] = hidden_states
        q, k, v = self.to_q(hidden_states), self.to_k(hidden_states), self.to_v(hidden_states)
        return self.to_out(self.attend(q, k, v))


class Recording(nn.Module):
    """Stands where the truncated last block has no attention: writes its input down, nothing follows."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden_states: Tensor, *, conditions: Conditions, **_: Any) -> Tensor:
        conditions.recorded[self.block] = hidden_states
        return hidden_states


class PromptAttention(Projections):
    """Cross-attention: the empty prompt's constant keys and values, plus the image tokens through projections of their
    own (IP-Adapter, scale 1) where `image` is set."""

    def __init__(self, attention: nn.Module, *, image: bool) -> None:
        super().__init__(attention)
        if image:
            self.to_k_ip = nn.Linear(self.to_k.in_features, self.to_k.out_features, bias=False)
            self.to_v_ip = nn.Linear(self.to_v.in_features, self.to_v.out_features, bias=False)
        self.image = image

    def fold_text(self, text: Tensor) -> None:
        """Replaces the text projections by what they make of the only prompt there is, text [1, 77, C]."""
        self.register_buffer("text_key", self.to_k(text))
        self.register_buffer("text_value", self.to_v(text))
        self.to_k = self.to_v = None

    def forward(self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Tensor:
        batch = hidden_states.shape[0]
        q = self.to_q(hidden_states)
        mixed = self.attend(q, self.text_key.expand(batch, -1, -1), self.text_value.expand(batch, -1, -1))
        if self.image:
            tokens = encoder_hidden_states
            mixed = mixed + self.attend(q, self.to_k_ip(tokens), self.to_v_ip(tokens))
        return self.to_out(mixed)


def transformer_blocks(unet: UNet2DConditionModel) -> Iterator[tuple[int, BasicTransformerBlock]]:
    """(level, block) of every transformer block in diffusers' own order; level 0 is the latent's full size."""
    levels = len(unet.down_blocks)
    for name, module in unet.named_modules():
        if isinstance(module, BasicTransformerBlock):
            part, index = name.split(".")[:2]
            level = {"down_blocks": lambda i: i, "up_blocks": lambda i: levels - 1 - i}.get(part)
            yield (level(int(index)) if level else levels - 1), module


class DragUNet(nn.Module):
    """The inpainting U-Net with points. Predicts the noise, [B, 4, h, w]."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet

    def add_points(self, widths: Sequence[int]) -> nn.ModuleList:
        """Puts in the attention with points and image; returns the new layers as the numbered list of the published
        files: entry 2 i is block i's self-attention, 2 i + 1 its cross-attention."""
        listed: list[nn.Module] = []
        for block, (level, transformer) in enumerate(transformer_blocks(self.unet)):
            transformer.attn1 = PointAttention(transformer.attn1, block, level, widths[level])
            transformer.attn2 = PromptAttention(transformer.attn2, image=True)
            listed += [transformer.attn1, transformer.attn2]
        return nn.ModuleList(listed)

    def fold_text(self, text: Tensor) -> None:
        for _, transformer in transformer_blocks(self.unet):
            transformer.attn2.fold_text(text)

    def forward(
        self,
        sample: Tensor,
        mask: Tensor,
        masked_latent: Tensor,
        timestep: Tensor,
        image_tokens: Tensor,
        conditions: Conditions,
    ) -> Tensor:
        """sample, masked_latent [B, 4, h, w]; mask [B, 1, H, W], 1 may change; timestep [1]; image_tokens [B, 4, C]."""
        factor = 8
        inputs = torch.cat([sample, mask[:, :, ::factor, ::factor], masked_latent], 1)
        return self.unet(
            inputs,
            timestep,
            encoder_hidden_states=image_tokens,
            cross_attention_kwargs={"conditions": conditions},
            return_dict=False,
        )[0]


class AppearanceEncoder(nn.Module):
    """A U-Net copy that reads the clean source latent at timestep 0; its blocks' tokens are the reference features.

    Nothing after the last block's `norm1` exists, neither here nor in the checkpoint.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        last_block = unet.up_blocks[-1].attentions[-1]
        last = last_block.transformer_blocks[0]
        last.norm2 = last.norm3 = last.ff = last_block.proj_out = nn.Identity()
        last.attn1 = last.attn2 = None
        unet.conv_norm_out = unet.conv_act = None
        unet.conv_out = nn.Identity()

    def record(self) -> None:
        """Puts the recording attention in; after the weights are there."""
        for block, (_, transformer) in enumerate(transformer_blocks(self.unet)):
            if transformer.attn1 is None:
                transformer.attn1 = Recording(block)
            else:
                transformer.attn1 = RecordingAttention(transformer.attn1, block)
                transformer.attn2 = PromptAttention(transformer.attn2, image=False)

    def fold_text(self, text: Tensor) -> None:
        for _, transformer in transformer_blocks(self.unet):
            if transformer.attn2 is not None:
                transformer.attn2.fold_text(text)

    def forward(self, latent: Tensor) -> list[Tensor]:
        """[B, 4, h, w] -> a feature [B, h·w, C] for each block."""
        conditions = Conditions()
        timestep = torch.zeros(1, dtype=latent.dtype, device=latent.device)
        self.unet(latent, timestep, encoder_hidden_states=None, cross_attention_kwargs={"conditions": conditions})
        return [conditions.recorded[block] for block in range(len(conditions.recorded))]

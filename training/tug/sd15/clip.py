"""CLIP's two encoders, as small as they can be, under the tensor names of transformers' checkpoints.

The text encoder serves once, for the empty prompt; the image encoder feeds the IP-Adapter (arXiv 2308.06721).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ClipConfig:
    """The part of a CLIP `config.json` that shapes the network."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    # text
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    # vision
    image_size: int = 224
    patch_size: int = 32
    projection_dim: int = 512

    @classmethod
    def read(cls, config: dict[str, Any]) -> ClipConfig:
        return cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})


class Attention(nn.Module):
    def __init__(self, config: ClipConfig, causal: bool) -> None:
        super().__init__()
        width = config.hidden_size
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        self.heads, self.causal = config.num_attention_heads, causal

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, C] -> [B, L, C]"""
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out_proj(mixed.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.quick = config.hidden_act == "quick_gelu"

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x) if self.quick else F.gelu(x))


class Layer(nn.Module):
    def __init__(self, config: ClipConfig, causal: bool) -> None:
        super().__init__()
        self.self_attn = Attention(config, causal)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = FeedForward(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


def _layers(config: ClipConfig, causal: bool) -> nn.Module:
    encoder = nn.Module()
    encoder.layers = nn.ModuleList(Layer(config, causal) for _ in range(config.num_hidden_layers))
    return encoder


class TextEncoder(nn.Module):
    """Token ids [B, 77] -> hidden states after the last norm [B, 77, C]."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.text_model = model = nn.Module()
        model.embeddings = nn.Module()
        model.embeddings.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        model.embeddings.position_embedding = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        model.encoder = _layers(config, causal=True)
        model.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        model = self.text_model
        positions = model.embeddings.position_embedding.weight[: tokens.shape[1]]
        x = model.embeddings.token_embedding(tokens) + positions
        for layer in model.encoder.layers:
            x = layer(x)
        return model.final_layer_norm(x)


class VisionEncoder(nn.Module):
    """Normalised pixels [B, 3, 224, 224] -> image embedding [B, P], the projected class token."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.vision_model = model = nn.Module()
        model.embeddings = nn.Module()
        model.embeddings.class_embedding = nn.Parameter(torch.zeros(width))
        model.embeddings.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        model.embeddings.position_embedding = nn.Embedding((config.image_size // patch) ** 2 + 1, width)
        model.pre_layrnorm = nn.LayerNorm(width, eps=config.layer_norm_eps)  # the published spelling
        model.encoder = _layers(config, causal=False)
        model.post_layernorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.visual_projection = nn.Linear(width, config.projection_dim, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        model = self.vision_model
        patches = model.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = model.embeddings.class_embedding.expand(pixels.shape[0], 1, -1)
        x = model.pre_layrnorm(torch.cat([first, patches], 1) + model.embeddings.position_embedding.weight)
        for layer in model.encoder.layers:
            x = layer(x)
        return self.visual_projection(model.post_layernorm(x[:, 0]))


class ImageTokens(nn.Module):
    """The IP-Adapter's projection: image embedding [B, P] -> tokens [B, 4, C]."""

    def __init__(self, embedding: int, width: int, tokens: int = 4) -> None:
        super().__init__()
        self.proj = nn.Linear(embedding, tokens * width)
        self.norm = nn.LayerNorm(width)
        self.tokens = tokens

    def forward(self, embedding: Tensor) -> Tensor:
        return self.norm(self.proj(embedding).unflatten(-1, (self.tokens, -1)))

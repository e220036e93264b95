"""Fusing a LoRA into a U-Net: W + scale · alpha / rank · up · down (arXiv 2106.09685), for LCM-LoRA (2311.05556).

Reads the three spellings in use: kohya's `lora_unet_down_blocks_0_…`, peft's `….lora_A.weight` and diffusers'
`….lora.down.weight`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from .checkpoint import CheckpointError

SPELLINGS = (
    (".lora_down.weight", ".lora_up.weight"),
    (".lora_A.weight", ".lora_B.weight"),
    (".lora.down.weight", ".lora.up.weight"),
)


def fuse(unet: nn.Module, tensors: dict[str, Tensor], file: Path, scale: float = 1.0) -> int:
    """Adds every pair of the file to its layer's weight; returns how many layers changed."""
    layers = {name: module for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    by_kohya_name = {"lora_unet_" + name.replace(".", "_"): name for name in layers}
    left = set(tensors)
    fused = 0
    for name, down in tensors.items():
        spelling = next((s for s in SPELLINGS if name.endswith(s[0])), None)
        if spelling is None:
            continue
        stem = name.removesuffix(spelling[0])
        up_name, alpha_name = stem + spelling[1], stem + ".alpha"
        if up_name not in tensors:
            raise CheckpointError(file, "is missing beside its other half", tensor=up_name)
        layer = layers.get(by_kohya_name.get(stem, stem.removeprefix("unet.")))
        if layer is None:
            raise CheckpointError(file, "belongs to no layer of the U-Net", tensor=name)
        up, rank = tensors[up_name], down.shape[0]
        delta = torch.einsum("or,ri->oi", up.float().flatten(1), down.float().flatten(1))
        if delta.numel() != layer.weight.numel() or up.shape[0] != layer.weight.shape[0]:
            expected = (layer.weight.shape[0], rank) + (1,) * (layer.weight.ndim - 2)
            raise CheckpointError(
                file, "does not fit its layer", tensor=up_name, expected=expected, actual=tuple(up.shape)
            )
        alpha = float(tensors[alpha_name]) if alpha_name in tensors else rank
        layer.weight.data += (scale * alpha / rank) * delta.view_as(layer.weight)
        left -= {name, up_name, alpha_name}
        fused += 1
    if left:
        raise CheckpointError(file, "is not part of a LoRA for this U-Net", tensor=sorted(left)[0])
    return fused

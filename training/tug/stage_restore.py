"""Training the restorer on photographs that were drawn out: a photo is squeezed and enlarged again, and it is itself
the truth.

The squeezed picture is an exact average over what each of its pixels covers, along one direction or two, more here and
less there, at any angle to the picture's own axes. The loss holds colours (blurred difference), asks for detail that
looks alike (perceptual distance), and for detail that looks real: a critic tells truth from result (hinge loss), seeing
the warp beside both. Weighted by how much is drawn out. Restorer and critic take turns, a step each; taught by one loss
they drove each other off. Encoder and features stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import AutoencoderConfig, Encoder
from .features import Features, distance
from .geometry import sample
from .motions import Array
from .stretch import Restorer, softness
from .trainer import Batch


@dataclass
class RestoreStageConfig:
    """size: side of what is restored; least: the smallest scale along the first direction, along the other one its root
    at most; both: share of samples with two directions; turned: share at an angle to the picture's axes; blurred,
    pixel, perceptual, critic: weights of the loss's terms; critic_from: steps before the critic is heeded. Even steps
    teach the restorer, odd ones the critic."""

    batch: int = 6
    size: int = 192
    least: float = 0.22
    both: float = 0.4
    turned: float = 0.75
    blurred: float = 2.0
    pixel: float = 0.3
    perceptual: float = 1.0
    critic: float = 0.04
    critic_from: int = 300


def around(photo: Array, centre: tuple[float, float], angle: float, size: int) -> Array:
    """[size, size, 3] of a photo about `centre` (x, y), its axes turned by `angle`, at the photo's own scale."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    # OpenCV counts from the middle of the first pixel
    start = np.array(centre) - 0.5 - turn @ np.full(2, (size - 1) / 2)
    matrix = np.column_stack([turn, start])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photo, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT)


def random_scales(rng: np.random.Generator, size: int, least: float) -> Array:
    """How many source pixels each of `size` places takes, at most 1: the same everywhere, or least about one place."""
    lowest = rng.uniform(np.log(least), np.log(0.75))
    if rng.random() < 0.3:
        return np.full(size, np.exp(lowest))
    x = np.arange(size) / size
    return np.exp(lowest * np.exp(-(((x - rng.uniform(0.2, 0.8)) / rng.uniform(0.15, 0.5)) ** 2)))


def squeeze(picture: Array, scales: Array) -> tuple[Array, Array]:
    """picture [h, n, C] squeezed along x by `scales` [n] about its middle → (the same size, each pixel the mean of what
    it covers, ends repeated; where the middle of each place went [n], pixels)."""
    size = len(scales)
    edges = np.concatenate([[0], np.cumsum(scales)])
    edges += (size - edges[-1]) / 2
    covered = np.interp(np.arange(size + 1), edges, np.arange(size + 1))
    sums = np.concatenate([np.zeros_like(picture[:, :1], np.float64), picture.cumsum(1, dtype=np.float64)], 1)
    whole = np.minimum(covered.astype(int), size - 1)
    part = (covered - whole)[:, None]
    up_to = sums[:, whole] * (1 - part) + sums[:, whole + 1] * part
    widths = np.diff(covered)
    filled = np.flatnonzero(widths > 1e-3)
    means = np.diff(up_to, axis=1)[:, filled] / widths[filled, None]
    beside = np.clip(np.arange(size), filled[0], filled[-1]) - filled[0]
    return means[:, beside].astype(np.float32), (edges[:-1] + edges[1:]) / 2


def squeezed_photo(rng: np.random.Generator, photo: Array, config: RestoreStageConfig) -> dict[str, Array]:
    """One sample. target uint8 [S, S, 3]; source float32 [T, T, 3], the squeezed picture, its axes turned; where [2, S,
    S]: what the target shows, in the source's pixels; stretch [3, S, S]: the metric of that map."""
    size = config.size
    large = int(np.ceil(size * 2**0.5)) // 2 * 2
    flips = [photo, photo[:, ::-1], photo.swapaxes(0, 1), photo.swapaxes(0, 1)[:, ::-1]]
    photo = np.ascontiguousarray(flips[rng.integers(4)])
    height, width = photo.shape[:2]
    ends = [max(size / 2 + 1, side - size / 2) for side in (width, height)]
    centre = (float(int(rng.uniform(size / 2, ends[0]))), float(int(rng.uniform(size / 2, ends[1]))))
    angle = rng.uniform(-np.pi, np.pi) if rng.random() < config.turned else 0.0
    source = around(photo, centre, -angle, large).astype(np.float32)
    places, scales = [], []
    for axis in range(2):
        squeezed = axis == 0 or rng.random() < config.both
        least = config.least if axis == 0 else config.least**0.5
        along = random_scales(rng, large, least) if squeezed else np.ones(large)
        turned = source if axis == 0 else source.swapaxes(0, 1)
        turned, went = squeeze(turned, along)
        source = turned if axis == 0 else turned.swapaxes(0, 1)
        places.append(went)
        scales.append(along)
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.meshgrid(*[np.arange(size) + 0.5 - size / 2] * 2)
    turned = (c * x - s * y + large / 2, s * x + c * y + large / 2)
    middles = np.arange(large) + 0.5
    where = np.stack([np.interp(t, middles, p) for t, p in zip(turned, places, strict=True)])
    kx, ky = (np.interp(t, middles, k) ** 2 for t, k in zip(turned, scales, strict=True))
    metric = np.stack([kx * c * c + ky * s * s, (ky - kx) * c * s, kx * s * s + ky * c * c])
    return {
        "target": around(photo, centre, 0.0, size),
        "source": np.ascontiguousarray(source),
        "where": where.astype(np.float32),
        "stretch": metric.astype(np.float32),
    }


class Critic(nn.Module):
    """picture and warp [B, 3, H, W], stretch [B, 3, H, W] → how real each patch looks [B, 1, H/4, W/4]."""

    def __init__(self) -> None:
        super().__init__()

        def layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
            return nn.utils.parametrizations.spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, 1))

        self.layers = nn.ModuleList(
            [layer(9, 32), layer(32, 48, 4, 2), layer(48, 64, 4, 2), layer(64, 64), layer(64, 1)]
        )

    def forward(self, picture: Tensor, warped: Tensor, stretch: Tensor) -> Tensor:
        x = torch.cat([picture, warped, stretch], 1)
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else F.leaky_relu(x, 0.2))
        return x.float()


class RestoreStage:
    def __init__(
        self,
        photos: list[Array],
        config: RestoreStageConfig,
        network: AutoencoderConfig,
        encoder: Encoder,
        features: Features | None,
        seed: int = 0,
    ) -> None:
        cv2.setNumThreads(1)
        self.photos, self.config, self.seed, self.features = photos, config, seed, features
        pixels = np.array([photo.shape[0] * photo.shape[1] for photo in photos], np.float64)
        self.share = pixels / pixels.sum()
        self.encoder = encoder.eval().requires_grad_(False)
        torch.manual_seed(seed)
        self.networks = nn.ModuleDict({"restorer": Restorer(network.skips[0], network.restorer), "critic": Critic()})

    def batch(self, step: int) -> dict[str, Array]:
        rng = np.random.default_rng((self.seed, 4, step))
        chosen = rng.choice(len(self.photos), self.config.batch, p=self.share)
        samples = [squeezed_photo(rng, self.photos[index], self.config) for index in chosen]
        packed = {key: np.stack([made[key] for made in samples]) for key in samples[0]}
        for key in ("target", "source"):
            packed[key] = packed[key].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        return packed

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        config, target, stretch = self.config, batch["target"], batch["stretch"]
        with torch.no_grad():
            skip_2 = self.encoder(batch["source"])[1]
            image = sample(batch["source"], batch["where"])
            skip_2 = sample(skip_2, F.avg_pool2d(batch["where"], 2) / 2)
            weight = softness(stretch) + 1e-3
        with torch.set_grad_enabled(step % 2 == 0):
            restored = image + self.networks["restorer"](image, skip_2, stretch)
        critic, patches = self.networks["critic"], F.avg_pool2d(weight, 4)
        if step % 2:
            told, true = critic(restored, image, stretch), critic(target, image, stretch)
            loss = _mean(F.relu(1 - true) + F.relu(1 + told), patches)
            return loss, {"critic": float(loss.detach())}
        blurred = _mean(F.avg_pool2d(restored - target, 4).abs(), patches)
        pixel = _mean((restored - target).abs(), weight)
        total = config.blurred * blurred + config.pixel * pixel
        figures = {"blurred": blurred, "pixel": pixel}
        if step >= config.critic_from:
            critic.requires_grad_(False)
            total = total - config.critic * _mean(critic(restored, image, stretch), patches)
            critic.requires_grad_(True)
        if self.features is not None:
            with torch.no_grad():
                wanted = self.features(target)
            figures["perceptual"] = distance(self.features(restored), wanted, weight).mean()
            total = total + config.perceptual * figures["perceptual"]
        return total, {key: float(value.detach()) for key, value in figures.items()}


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values.mean(1, keepdim=True) * weight).sum() / weight.sum()

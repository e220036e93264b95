"""Training the autoencoder as the renderer that it is: pictures warped by true fields, holes filled from the latent.

A third of the samples hide everything (a plain autoencoder), a third hide random blobs, the rest hide what the motion
really uncovered. The latent is kept near unit variance and is noised a little, so that the decoder forgives the
denoiser; the remaining scale is baked into the outermost convolutions at the end (`normalise`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import AutoencoderConfig, Decoder, Encoder
from .features import Features, distance
from .layers import blob
from .photos import Album
from .stage_field import draw_case, pack
from .trainer import Batch


@dataclass
class AutoencoderStageConfig:
    batch: int = 12
    size: int = 128
    noise: float = 0.15
    perceptual: float = 1.0


def native_crop(rng: np.random.Generator, album: Album, size: int) -> Album:
    """A one-photo album: a crop of one to two times `size` pixels, so that detail is as fine as in a real picture."""
    index = int(rng.integers(len(album)))
    photo, thing = album.photos[index], album.thing(rng, index)
    height, width = photo.shape[:2]
    side = int(min(height, width, size * rng.uniform(1.0, 2.0)))
    y, x = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    part = (slice(y, y + side), slice(x, x + side))
    return Album([album.names[index]], [photo[part]], [None if thing is None else thing.cut[part]])


class AutoencoderStage:
    def __init__(
        self,
        album: Album,
        config: AutoencoderStageConfig,
        network: AutoencoderConfig,
        features: Features | None,
        seed: int = 0,
    ) -> None:
        cv2.setNumThreads(1)
        self.album, self.config, self.seed, self.features = album, config, seed, features
        torch.manual_seed(seed)
        self.networks = nn.ModuleDict({"encoder": Encoder(network), "decoder": Decoder(network)})

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 2, step))
        size = self.config.size
        cases, shown = [], []
        for _ in range(self.config.batch):
            case = draw_case(rng, native_crop(rng, self.album, size), [], (size, size), 0.5)
            kind = rng.random()
            if kind < 0.33:
                seen = np.zeros_like(case.visible)
            elif kind < 0.66:
                seen = case.visible.copy()
                for _ in range(int(rng.integers(1, 4))):
                    seen[blob(rng, size, size)] = 0
            else:
                seen = case.visible
            cases.append(case)
            shown.append(seen)
        packed = pack(cases, 1)
        packed["shown"] = np.stack(shown)[:, None]
        return {key: packed[key] for key in ("source", "target", "field", "shown")}

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        encoder, decoder = self.networks["encoder"], self.networks["decoder"]
        source, target, shown = batch["source"], batch["target"], batch["shown"]
        _, skip_2, skip_4 = encoder(source)
        latent = encoder(target)[0].float()
        field = batch["field"][:, :, 2::4, 2::4]
        amount = self.config.noise * torch.rand(len(latent), 1, 1, 1, device=latent.device)
        noisy = latent + amount * torch.randn_like(latent)
        seen = F.avg_pool2d(shown, 4)
        picture = decoder.render(noisy, source, skip_2, skip_4, torch.ones_like(shown), field, seen)
        hidden = 1 - F.interpolate(seen, size=shown.shape[-2:], mode="bilinear")
        error = (picture - target).abs().mean(1, keepdim=True)
        pixel = (error * (0.5 + hidden)).mean()
        mean, var = latent.mean((0, 2, 3)), latent.var((0, 2, 3))
        spread = (mean.square() + torch.log(var + 1e-4).square()).mean()
        total = pixel + 0.01 * spread
        figures = {"pixel": float(pixel.detach()), "spread": float(spread.detach())}
        with torch.no_grad():
            mse = ((picture - target).square().mean(1, keepdim=True) * hidden).sum() / (hidden.sum() + 1)
            figures["psnr_hidden"] = float(10 * torch.log10(4 / (mse + 1e-9)))
        if self.features is not None:
            with torch.no_grad():
                truth = self.features(target)
            perceptual = distance(self.features(picture), truth).mean()
            total = total + self.config.perceptual * perceptual
            figures["perceptual"] = float(perceptual.detach())
        return total, figures


@torch.no_grad()
def normalise(networks: nn.ModuleDict, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Bakes the latent's mean and deviation over `pictures` into the encoder's last and the decoder's first layer, so
    that latents have zero mean and unit variance; pictures come out as before (but for the zero padding's rim)."""
    encoder, decoder = networks["encoder"], networks["decoder"]
    latent = encoder(pictures)[0].float()
    mean, std = latent.mean((0, 2, 3)), latent.std((0, 2, 3))
    encoder.latent.weight /= std.view(-1, 1, 1, 1)
    encoder.latent.bias.copy_((encoder.latent.bias - mean) / std)
    first = decoder.at_eighth[0]
    count = len(mean)
    first.bias += torch.einsum("oihw,i->o", first.weight[:, :count], mean)
    first.weight[:, :count] *= std.view(1, -1, 1, 1)
    return mean, std

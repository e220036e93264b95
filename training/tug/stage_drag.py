"""Training the drag network on what it will meet: the trained field's warp, its own rollouts, the shipped timesteps.

Frozen: field network, encoder, decoder. Trained: appearance encoder, denoiser. The sample at the first timestep is the
noised warp, as deployed; at later ones it is either the network's own rollout to there or the noised truth. One time in
ten the point embeddings are dropped, so that guidance can be taken on points alone. The loss is the latent's error,
weighted to holes, and pixels and perception of the decoded crop with the largest hole.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import schedule
from .autoencoder import Decoder, Encoder
from .dragnet import AppearanceEncoder, Denoiser, DragConfig
from .features import Features, distance
from .fieldnet import FOLLOW, FieldNet
from .layers import blob
from .photos import Album
from .pipeline import warp_latent
from .stage_field import draw_case, pack
from .trainer import Batch


@dataclass
class DragStageConfig:
    """sizes: work sizes (H, W), multiples of 64; crop: side of the decoded crop; rollout: share of later timesteps
    reached by the network itself; drop: share of samples without point embedding; blobs: share with an extra hole."""

    batch: int = 8
    sizes: tuple[tuple[int, int], ...] = ((192, 192), (192, 256), (256, 192))
    in_place: float = 0.15
    crop: int = 128
    rollout: float = 0.5
    drop: float = 0.1
    blobs: float = 0.6
    perceptual: float = 0.4
    max_drags: int = 12


class DragStage:
    def __init__(
        self,
        album: Album,
        config: DragStageConfig,
        network: DragConfig,
        frozen: tuple[FieldNet, Encoder, Decoder],
        features: Features | None,
        seed: int = 0,
    ) -> None:
        cv2.setNumThreads(1)
        self.album, self.config, self.seed, self.features = album, config, seed, features
        self.pasteable = album.with_objects()
        self.field, self.encoder, self.decoder = (module.eval().requires_grad_(False) for module in frozen)
        torch.manual_seed(seed)
        self.networks = nn.ModuleDict({"appearance": AppearanceEncoder(network), "denoiser": Denoiser(network)})
        self.alphas = schedule.alphas()
        self.levels = sorted({t for times in schedule.TIMESTEPS.values() for t in times}, reverse=True)

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, 3, step))
        size = self.config.sizes[rng.integers(len(self.config.sizes))]
        cases = [
            draw_case(rng, self.album, self.pasteable, size, self.config.in_place) for _ in range(self.config.batch)
        ]
        packed = pack(cases, self.config.max_drags)
        blobs = [
            blob(rng, *size).astype(np.float32) if rng.random() < self.config.blobs else np.zeros(size, np.float32)
            for _ in cases
        ]
        packed["blob"] = np.stack(blobs)[:, None]
        angle, reach = rng.uniform(0, 2 * np.pi, len(cases)), rng.uniform(0.1, 0.5, len(cases)) * min(size)
        packed["astray"] = (np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]).astype(np.float32)
        packed["level"] = rng.integers(0, len(self.levels), len(cases))
        packed["first"] = (rng.random(len(cases)) < 0.4).astype(np.float32)
        packed["rolled"] = (rng.random(len(cases)) < self.config.rollout).astype(np.float32)
        packed["points"] = (rng.random(len(cases)) >= self.config.drop).astype(np.float32)
        packed["origin"] = (rng.integers(0, 20, (len(cases), 2)) * 16).astype(np.float32)
        return packed

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        source, target = batch["source"], batch["target"]
        with torch.no_grad():
            field, visibility, mask, hidden = self._seen(batch)
            latent, skip_2, skip_4 = self.encoder(source)
            latent, truth = latent.float(), self.encoder(target)[0].float()
            warped = warp_latent(latent, field)
        appearance, denoiser = self.networks["appearance"], self.networks["denoiser"]
        references = appearance(latent)

        def predict(sample: Tensor, time: Tensor, refs: list[Tensor]) -> Tensor:
            seen = (warped, mask, field, visibility)
            return denoiser(sample, time, *seen, *denoiser.remember(refs), batch["points"], origin=batch["origin"])

        sample, time = self._sample(batch, warped, truth, references, predict)
        x0 = predict(sample, time, references)
        inside, lost = F.avg_pool2d(mask, 8), F.avg_pool2d(hidden, 8)
        weight = inside * (0.1 + 2 * lost) + 0.02
        error = F.smooth_l1_loss(x0, truth, reduction="none", beta=0.3).mean(1, keepdim=True)
        latent_loss = (error * weight).sum() / weight.sum()
        window = (mask, field, visibility, hidden)
        picture, real, where = self._decoded_crop(x0, batch, skip_2, skip_4, *window)
        pixel = ((picture - real).abs().mean(1, keepdim=True) * where).sum() / where.sum()
        total = 3 * latent_loss + pixel
        figures = {"latent": float(latent_loss.detach()), "pixel": float(pixel.detach())}
        with torch.no_grad():
            base = F.smooth_l1_loss(warped, truth, reduction="none", beta=0.3).mean(1, keepdim=True)
            figures["warp"] = float((base * weight).sum() / weight.sum())
            figures["hole"] = float((error * lost).sum() / (lost.sum() + 1e-3))
            figures["hole_warp"] = float((base * lost).sum() / (lost.sum() + 1e-3))
        if self.features is not None:
            with torch.no_grad():
                wanted = self.features(real)
            perceptual = distance(self.features(picture), wanted, where).mean()
            total = total + self.config.perceptual * perceptual
            figures["perceptual"] = float(perceptual.detach())
        return total, figures

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(field work px, visibility, both at 1/4; mask, hidden at full size): the field network at the scale that it
        knows (1/2 of these small pictures), averaged down; then, where `blob` says so, a false field and a hole, since
        true holes are few and thin."""
        extra = batch["blob"]
        inside = F.avg_pool2d(batch["mask"], 2)
        follow = torch.tensor(FOLLOW[:1], device=inside.device)
        fields = self.field.at_net_size(F.avg_pool2d(batch["source"], 2), inside, batch["drags"] / 2, follow)
        field, visibility = self.field.settle(fields, inside, batch["drags"] / 2)
        field, visibility = F.avg_pool2d(2 * field, 2), F.avg_pool2d(visibility, 2)
        soft = F.avg_pool2d(extra, 4)
        field = field + soft * batch["astray"][:, :, None, None]
        visibility = visibility * (1 - soft)
        return field, visibility, torch.maximum(batch["mask"], extra), torch.maximum(1 - batch["visible"], extra)

    def _sample(self, batch: Batch, warped: Tensor, truth: Tensor, references, predict) -> tuple[Tensor, Tensor]:
        """Noisy sample and timestep [B]: the first step from the warp, later ones rolled out or noised truth."""
        a = self.alphas.to(warped.device)
        levels = torch.tensor(self.levels, device=warped.device)
        start = levels[0].expand(len(warped))
        later = levels[batch["level"].clamp(min=1)]
        noise = torch.randn_like(warped)
        begin = schedule.add_noise(warped, noise, a[start])
        with torch.no_grad():
            guess = predict(begin, start.float(), [r.detach() for r in references]).float()
            rolled = schedule.ddim(begin, guess, a[start], a[later])
        noised = schedule.add_noise(truth, noise, a[later])
        pick = batch["rolled"].view(-1, 1, 1, 1)
        sample = pick * rolled + (1 - pick) * noised
        first = batch["first"].view(-1, 1, 1, 1)
        sample = first * begin + (1 - first) * sample
        time = torch.where(batch["first"] > 0.5, start, later)
        return sample, time.float()

    def _decoded_crop(self, x0, batch: Batch, skip_2, skip_4, mask: Tensor, field, visibility, hidden: Tensor):
        """(picture, truth, weight) of each case's crop with most hidden in it; photo and skips are read whole, so
        that long drags reach their source."""
        side = min(self.config.crop, *batch["source"].shape[-2:])
        hidden = torch.maximum(hidden, mask * (1 - F.interpolate(visibility, scale_factor=4.0, mode="bilinear")))
        score = F.avg_pool2d(hidden + 0.02 * mask, side, 16)
        columns = score.shape[-1]
        best = score.flatten(1).argmax(1)
        pictures, reals, weights = [], [], []
        for i, place in enumerate(best.tolist()):
            y, x = 16 * (place // columns), 16 * (place % columns)

            def cut(t: Tensor, s: int, i: int = i, y: int = y, x: int = x) -> Tensor:
                return t[i : i + 1, :, y // s : (y + side) // s, x // s : (x + side) // s]

            pictures.append(
                self.decoder.render(
                    cut(x0, 8),
                    batch["source"][i : i + 1],
                    skip_2[i : i + 1],
                    skip_4[i : i + 1],
                    cut(mask, 1),
                    cut(field, 4),
                    cut(visibility, 4),
                    (x, y),
                )
            )
            reals.append(cut(batch["target"], 1))
            weights.append(cut(hidden, 1) + 0.05 * cut(mask, 1) + 1e-3)
        return torch.cat(pictures), torch.cat(reals), torch.cat(weights)

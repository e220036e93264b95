"""The bundle's graphs: which tensors go in and come out by name, and the module that computes them.

    vae_encoder      image [1, 3, H, W] in [-1, 1]            latent [1, 4, H/8, W/8], the posterior's mean, scaled
    image_prompt     clip_pixels [1, 3, 224, 224]             image_tokens [1, 4, C]
    point_embedding  handle_map, target_map [1, 1, H, W]      point_handle_0..3, point_target_0..3 at 1/8 … 1/64
    appearance       latent                                   ref_0..15 [1, h·w, C], a transformer block each
    unet             sample, mask, masked_latent, timestep,   epsilon [1, 4, H/8, W/8]
                     image_tokens, points, refs, point_scale
    vae_decoder      latent_out                               picture [1, 3, H, W]

All tensors are float32 at the graphs' edges, whatever the precision inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from .checkpoint import CheckpointError
from .clip import ImageTokens, VisionEncoder
from .load import Checkpoint, block_widths
from .networks import AppearanceEncoder, Conditions, DragUNet, PointEmbedding
from .sampling import CLIP_SIZE, Store

LEVELS = 4
BLOCKS = 16
POINTS = [f"point_{end}_{level}" for end in ("handle", "target") for level in range(LEVELS)]
REFERENCES = [f"ref_{block}" for block in range(BLOCKS)]
CONDITIONS = ["mask", "masked_latent", "timestep", "image_tokens", *POINTS, *REFERENCES, "point_scale"]


class Graph(nn.Module):
    """A network behind named tensors."""

    inputs: list[str]
    outputs: list[str]

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.compute(*tensors))

    def compute(self, *tensors: Tensor) -> list[Tensor]:
        raise NotImplementedError


class VaeEncoder(Graph):
    inputs, outputs = ["image"], ["latent"]

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__(vae.encoder, vae.quant_conv)
        self.scale = vae.config.scaling_factor

    def compute(self, image: Tensor) -> list[Tensor]:
        encoder, quantise = self.networks
        mean, _ = quantise(encoder(image)).chunk(2, 1)
        return [mean * self.scale]


class VaeDecoder(Graph):
    inputs, outputs = ["latent_out"], ["picture"]

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__(vae.post_quant_conv, vae.decoder)
        self.scale = vae.config.scaling_factor

    def compute(self, latent: Tensor) -> list[Tensor]:
        dequantise, decoder = self.networks
        return [decoder(dequantise(latent / self.scale))]


class ImagePrompt(Graph):
    inputs, outputs = ["clip_pixels"], ["image_tokens"]

    def __init__(self, vision: VisionEncoder, tokens: ImageTokens) -> None:
        super().__init__(vision, tokens)

    def compute(self, pixels: Tensor) -> list[Tensor]:
        vision, tokens = self.networks
        return [tokens(vision(pixels))]


class Points(Graph):
    inputs, outputs = ["handle_map", "target_map"], POINTS

    def __init__(self, embedding: PointEmbedding) -> None:
        super().__init__(embedding)

    def compute(self, handle_map: Tensor, target_map: Tensor) -> list[Tensor]:
        handles, targets = self.networks[0](handle_map, target_map)
        return [*handles, *targets]


class Appearance(Graph):
    inputs, outputs = ["latent"], REFERENCES

    def __init__(self, encoder: AppearanceEncoder) -> None:
        super().__init__(encoder)

    def compute(self, latent: Tensor) -> list[Tensor]:
        return self.networks[0](latent)


class Denoiser(Graph):
    inputs, outputs = ["sample", *CONDITIONS], ["epsilon"]

    def __init__(self, unet: DragUNet) -> None:
        super().__init__(unet)

    def compute(self, sample: Tensor, *tensors: Tensor) -> list[Tensor]:
        named = dict(zip(CONDITIONS, tensors, strict=True))
        conditions = Conditions(
            references=[named[name] for name in REFERENCES],
            handles=[named[name] for name in POINTS[:LEVELS]],
            targets=[named[name] for name in POINTS[LEVELS:]],
            point_scale=named["point_scale"],
        )
        shared = (named[name] for name in ("mask", "masked_latent", "timestep", "image_tokens"))
        return [self.networks[0](sample, *shared, conditions)]


@dataclass(frozen=True)
class Sizes:
    """What the inputs' shapes depend on beside the picture's size."""

    blocks: list[tuple[int, int]]  # (level, channels) of each transformer block
    points: list[int]  # channels of the point embedding at each level
    context: int

    @classmethod
    def of(cls, checkpoint: Checkpoint, unet: DragUNet) -> Sizes:
        blocks = block_widths(unet)
        if len(blocks) != BLOCKS:
            folder = checkpoint.layout.base / "unet" / "config.json"
            raise CheckpointError(folder, f"describes {len(blocks)} transformer blocks, LightningDrag has {BLOCKS}")
        widths = checkpoint.point_embedding().widths
        return cls(blocks, widths, checkpoint.text().shape[-1])

    def shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Shape of every tensor that a graph takes, for a picture of this size."""
        h, w = height // 8, width // 8
        latent = (1, 4, h, w)
        shapes: dict[str, tuple[int, ...]] = {
            "image": (1, 3, height, width),
            "clip_pixels": (1, 3, CLIP_SIZE, CLIP_SIZE),
            "mask": (1, 1, height, width),
            "timestep": (1,),
            "point_scale": (1,),
            "image_tokens": (1, 4, self.context),
        }
        shapes |= dict.fromkeys(("handle_map", "target_map"), (1, 1, height, width))
        shapes |= dict.fromkeys(("latent", "masked_latent", "sample", "latent_out"), latent)
        for name in POINTS:
            level = int(name[-1])
            shapes[name] = (1, self.points[level], h >> level, w >> level)
        for name, (level, channels) in zip(REFERENCES, self.blocks, strict=True):
            shapes[name] = (1, (h >> level) * (w >> level), channels)
        return shapes


Build = Callable[[], Graph]


def builders(checkpoint: Checkpoint, *, lcm: bool) -> dict[str, Build]:
    """Every graph of the bundle, to be built one at a time: at full size two of them together would fill the memory."""
    graphs: dict[str, Build] = {
        "vae_encoder": lambda: VaeEncoder(checkpoint.vae()),
        "image_prompt": lambda: ImagePrompt(*checkpoint.image_prompt()),
        "point_embedding": lambda: Points(checkpoint.point_embedding()),
        "appearance": lambda: Appearance(checkpoint.appearance()),
        "unet": lambda: Denoiser(checkpoint.unet()),
        "vae_decoder": lambda: VaeDecoder(checkpoint.vae()),
    }
    if lcm:
        graphs["unet_lcm"] = lambda: Denoiser(checkpoint.unet(lcm=True))
    return graphs


@dataclass
class TorchGraphs:
    """Runs the graphs in PyTorch, each built at its first use."""

    checkpoint: Checkpoint
    built: dict[str, Graph] = field(default_factory=dict)

    def __call__(self, name: str, store: Store) -> Store:
        if name not in self.built:
            lcm = self.checkpoint.layout.lcm_lora is not None
            self.built[name] = builders(self.checkpoint, lcm=lcm)[name]().eval().requires_grad_(False)
        graph = self.built[name]
        tensors = [torch.from_numpy(np.ascontiguousarray(store[key])) for key in graph.inputs]
        with torch.no_grad():
            return {key: out.numpy() for key, out in zip(graph.outputs, graph(*tensors), strict=True)}

"""From the checkpoint's folders to networks with weights, one network at a time so that memory stays bounded.

Every network is laid out on the meta device first and then given the file's own tensors: nothing is held twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from . import checkpoint as ckpt
from .checkpoint import CheckpointError, Layout
from .clip import ClipConfig, ImageTokens, TextEncoder, VisionEncoder
from .lora import fuse
from .networks import UNET_CHANNELS, AppearanceEncoder, DragUNet, PointEmbedding, transformer_blocks


@dataclass(frozen=True)
class Schedule:
    """The noise schedule, from `scheduler/scheduler_config.json`; what is not there has DDIMScheduler's default."""

    beta_start: float = 0.0001
    beta_end: float = 0.02
    beta_schedule: str = "linear"
    num_train_timesteps: int = 1000
    prediction_type: str = "epsilon"
    timestep_spacing: str = "leading"
    steps_offset: int = 0
    set_alpha_to_one: bool = True
    clip_sample: bool = True

    @classmethod
    def read(cls, base: Path) -> Schedule:
        file = base / "scheduler" / "scheduler_config.json"
        config = ckpt.read_json(file)
        schedule = cls(**{name: config[name] for name in cls.__dataclass_fields__ if name in config})
        only = {
            "beta_schedule": "scaled_linear",
            "prediction_type": "epsilon",
            "timestep_spacing": "leading",
            "clip_sample": False,
            "num_train_timesteps": 1000,
        }
        for name, value in only.items():
            if getattr(schedule, name) != value:
                raise CheckpointError(file, f"has {name} = {getattr(schedule, name)!r}: only {value!r} is supported")
        return schedule


class Checkpoint:
    """The published checkpoint. Each method reads one network from its files, in float32."""

    def __init__(self, root: Path, *, lcm: bool = False) -> None:
        self.layout = Layout.find(root, lcm=lcm)
        self.schedule = Schedule.read(self.layout.base)
        self._text: Tensor | None = None

    def text(self) -> Tensor:
        """The empty prompt's embedding, [1, 77, C]; the text encoder itself is dropped at once."""
        if self._text is None:
            folder = self.layout.base / "text_encoder"
            encoder = _on_meta(lambda: TextEncoder(_clip_config(folder / "config.json")))
            file = ckpt.first_existing(folder, ckpt.TRANSFORMERS_WEIGHTS)
            ckpt.load_strict(encoder, ckpt.without_buffers(ckpt.read_tensors(file)), file)
            tokens = ckpt.empty_prompt_tokens(self.layout.base / "tokenizer")
            rows = encoder.text_model.embeddings.token_embedding.num_embeddings
            if max(tokens) >= rows:
                raise CheckpointError(
                    self.layout.base / "tokenizer", f"has token {max(tokens)}, the encoder {rows} rows"
                )
            with torch.no_grad():
                self._text = encoder(torch.tensor([tokens]))
        return self._text

    def unet(self, *, lcm: bool = False) -> DragUNet:
        """The denoising U-Net with points and image prompt; with the LCM-LoRA fused if `lcm`."""
        folder = self.layout.base / "unet"
        inner = self._inner_unet(in_channels=UNET_CHANNELS)
        file = ckpt.first_existing(folder, ckpt.DIFFUSERS_WEIGHTS)
        ckpt.load_strict(inner, ckpt.read_tensors(file), file)
        if lcm:
            if self.layout.lcm_lora is None:
                raise ValueError("this checkpoint was opened without its LCM-LoRA")
            fuse(inner, ckpt.read_tensors(self.layout.lcm_lora), self.layout.lcm_lora)
        unet = DragUNet(inner)
        with torch.device("meta"):
            listed = unet.add_points(self._point_widths())
        self._load_numbered(listed)
        unet.fold_text(self.text())
        return unet.requires_grad_(False).eval()

    def appearance(self) -> AppearanceEncoder:
        encoder = AppearanceEncoder(self._inner_unet(in_channels=4))
        folder = self.layout.lightning_drag / "appearance_encoder"
        file = ckpt.first_existing(folder, ckpt.DIFFUSERS_WEIGHTS)
        ckpt.load_strict(encoder.unet, ckpt.read_tensors(file), file)
        encoder.record()
        encoder.fold_text(self.text())
        return encoder.requires_grad_(False).eval()

    def point_embedding(self) -> PointEmbedding:
        file = self._point_file()
        tensors = ckpt.read_tensors(file)
        embedding = _on_meta(lambda: PointEmbedding(_point_width(tensors, file)))
        ckpt.load_strict(embedding, tensors, file)
        return embedding

    def image_prompt(self) -> tuple[VisionEncoder, ImageTokens]:
        folder = self.layout.ip_adapter / "image_encoder"
        config = _clip_config(folder / "config.json")
        vision = _on_meta(lambda: VisionEncoder(config))
        file = ckpt.first_existing(folder, ckpt.TRANSFORMERS_WEIGHTS)
        ckpt.load_strict(vision, ckpt.without_buffers(ckpt.read_tensors(file)), file)
        tokens = _on_meta(lambda: ImageTokens(config.projection_dim, self._unet_config()["cross_attention_dim"]))
        ckpt.load_strict(tokens, self._ip_adapter_part("image_proj"), self._ip_adapter_file())
        return vision, tokens

    def vae(self) -> AutoencoderKL:
        file = ckpt.first_existing(self.layout.vae, ckpt.DIFFUSERS_WEIGHTS)
        config = ckpt.read_json(self.layout.vae / "config.json")
        vae = _on_meta(lambda: AutoencoderKL.from_config(config))
        tensors = ckpt.with_current_attention_names(ckpt.read_tensors(file))
        wanted = vae.state_dict()
        for name, tensor in tensors.items():  # some files keep the attention's linear layers as 1×1 convolutions
            if name in wanted and isinstance(tensor, Tensor) and tensor.shape == wanted[name].shape + (1, 1):
                tensors[name] = tensor[:, :, 0, 0]
        ckpt.load_strict(vae, tensors, file)
        return vae

    def _unet_config(self) -> dict[str, Any]:
        return ckpt.read_json(self.layout.base / "unet" / "config.json")

    def _inner_unet(self, *, in_channels: int) -> UNet2DConditionModel:
        config = self._unet_config()
        file = self.layout.base / "unet" / "config.json"
        if config.get("in_channels") != UNET_CHANNELS:
            raise CheckpointError(
                file, f"has in_channels = {config.get('in_channels')}: an inpainting U-Net takes {UNET_CHANNELS}"
            )
        if len(config["block_out_channels"]) != 4 or config.get("layers_per_block", 2) != 2:
            raise CheckpointError(file, "should have 4 levels and 2 layers a block, as LightningDrag's networks do")
        config["in_channels"] = in_channels
        return _on_meta(lambda: UNet2DConditionModel.from_config(config))

    def _point_file(self) -> Path:
        return ckpt.first_existing(self.layout.lightning_drag / "point_embedding", ["point_embedding.pt"])

    def _point_widths(self) -> list[int]:
        file = self._point_file()
        width = _point_width(ckpt.read_tensors(file), file)
        return _on_meta(lambda: PointEmbedding(width)).widths

    def _ip_adapter_file(self) -> Path:
        return ckpt.first_existing(self.layout.ip_adapter, ["ip-adapter_sd15.bin"])

    def _ip_adapter_part(self, part: str) -> dict[str, Any]:
        tensors = ckpt.read_tensors(self._ip_adapter_file())
        if not isinstance(tensors.get(part), dict):
            raise CheckpointError(self._ip_adapter_file(), f"should hold a dictionary '{part}'")
        return tensors[part]

    def _load_numbered(self, listed: nn.ModuleList) -> None:
        """The list that the point projections and the IP-Adapter share, in two files: even and odd entries."""
        points_file = ckpt.first_existing(self.layout.lightning_drag, ["lightning-drag-sd15-attn.bin"])
        parts = (
            (ckpt.read_tensors(points_file), points_file, 0, ("norm", "proj")),
            (self._ip_adapter_part("ip_adapter"), self._ip_adapter_file(), 1, ("to_k_ip", "to_v_ip")),
        )
        for tensors, file, first, layers in parts:
            part = nn.ModuleDict(
                {str(k): nn.ModuleDict({name: getattr(listed[k], name) for name in layers})
                 for k in range(first, len(listed), 2)}
            )  # fmt: skip
            ckpt.load_strict(part, tensors, file)


def block_widths(unet: DragUNet) -> list[tuple[int, int]]:
    """(level, channels) of every block, in order: the shapes of the reference features."""
    return [(level, block.norm1.normalized_shape[0]) for level, block in transformer_blocks(unet.unet)]


def _on_meta(build: Any) -> Any:
    with torch.device("meta"):
        return build()


def _clip_config(file: Path) -> ClipConfig:
    config = ckpt.read_json(file)
    try:
        return ClipConfig.read(config)
    except TypeError as error:
        raise CheckpointError(file, f"does not describe a CLIP encoder ({error})") from error


def _point_width(tensors: dict[str, Any], file: Path) -> int:
    name = "conv_in.weight"
    stem = tensors.get(name)
    if not isinstance(stem, Tensor) or stem.ndim != 4 or stem.shape[0] % 2:
        raise CheckpointError(file, "should be the stem's weight, [2·width, 2, 3, 3]", tensor=name)
    return stem.shape[0] // 2

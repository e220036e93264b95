"""A checkpoint of the published layout with random weights: what the importer and the engine are tested on.

No weight is zero anywhere: LightningDrag's point projections and a LoRA's up matrices start at zero in training, and a
comparison between implementations would pass trivially. The numbers come straight from a Philox bit stream, whose
definition is fixed, so every machine and every NumPy writes the same bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from .checkpoint import OLD_ATTENTION_NAMES
from .clip import ClipConfig, ImageTokens, TextEncoder, VisionEncoder
from .networks import UNET_CHANNELS, AppearanceEncoder, DragUNet, PointEmbedding

LORA_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
LORA_CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj")
# Larger weights where the signal would die away (single pixels through thirteen convolutions), smaller ones at the end
# of every residual branch: a network that multiplies rounding errors step by step could not be compared with anything.
GAINS = {
    "/points/": 5.0,
    "/attention/": 4.0,
    "to_q": 2.0,
    "conv2.weight": 0.5,
    "to_out": 1.0,
    "net.2": 0.5,
    "proj_out": 0.5,
    "conv_out": 1.5,
}


@dataclass(frozen=True)
class Sizes:
    """Everything that differs between the published size and a tiny one."""

    channels: tuple[int, int, int, int]
    heads: int
    context: int
    vae_channels: tuple[int, int, int, int]
    vae_layers: int
    point_width: int
    text: ClipConfig
    vision: ClipConfig
    lora_rank: int


TINY = Sizes(
    channels=(32, 32, 32, 32),
    heads=4,
    context=16,
    vae_channels=(32, 32, 32, 32),
    vae_layers=1,
    point_width=1,
    text=ClipConfig(16, 32, 2, 2, "quick_gelu", vocab_size=514, max_position_embeddings=16),
    vision=ClipConfig(16, 32, 2, 2, "gelu", image_size=224, patch_size=56, projection_dim=24),
    lora_rank=2,
)
FULL = Sizes(
    channels=(320, 640, 1280, 1280),
    heads=8,
    context=768,
    vae_channels=(128, 256, 512, 512),
    vae_layers=2,
    point_width=16,
    text=ClipConfig(768, 3072, 12, 12, "quick_gelu"),
    vision=ClipConfig(1280, 5120, 32, 16, "gelu", image_size=224, patch_size=14, projection_dim=1024),
    lora_rank=64,
)


def make_random_checkpoint(
    root: Path, sizes: Sizes = TINY, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """Writes the published folders under `root`; the same sizes, seed and dtype always give the same weights."""

    def fill(name: str, module: nn.Module) -> dict[str, Tensor]:
        return {key: random_tensor(f"{seed}/{name}/{key}", key, slot.shape).to(dtype) for key, slot in state(module)}

    base, drag = root / "dreamshaper-8-inpainting", root / "lightning-drag-sd15"
    _save_json(base / "scheduler" / "scheduler_config.json", scheduler_config())
    _save_tokenizer(base / "tokenizer", sizes.text.vocab_size, sizes.text.max_position_embeddings)

    config = unet_config(sizes)
    _save_json(base / "unet" / "config.json", config)
    unet = on_meta(lambda: UNet2DConditionModel.from_config(config))
    _save(base / "unet" / "diffusion_pytorch_model.safetensors", fill("unet", unet))
    _save(
        root / "lcm-lora-sdv1-5" / "pytorch_lora_weights.safetensors", random_lora(unet, sizes.lora_rank, seed, dtype)
    )

    _save_json(base / "text_encoder" / "config.json", _clip_json(sizes.text, "CLIPTextModel", "clip_text_model"))
    _save(base / "text_encoder" / "pytorch_model.bin", fill("text", on_meta(lambda: TextEncoder(sizes.text))))

    _save_json(root / "sd-vae-ft-mse" / "config.json", vae_config(sizes))
    vae = fill("vae", on_meta(lambda: AutoencoderKL.from_config(vae_config(sizes))))
    _save(root / "sd-vae-ft-mse" / "diffusion_pytorch_model.safetensors", _with_old_attention_names(vae))

    image = root / "IP-Adapter" / "models"
    vision_json = _clip_json(sizes.vision, "CLIPVisionModelWithProjection", "clip_vision_model")
    _save_json(image / "image_encoder" / "config.json", vision_json)
    vision = fill("vision", on_meta(lambda: VisionEncoder(sizes.vision)))
    _save(image / "image_encoder" / "model.safetensors", vision)

    _save_json(drag / "appearance_encoder" / "config.json", {**config, "in_channels": 4})
    appearance = on_meta(lambda: AppearanceEncoder(UNet2DConditionModel.from_config({**config, "in_channels": 4})))
    appearance_file = drag / "appearance_encoder" / "diffusion_pytorch_model.safetensors"
    _save(appearance_file, fill("appearance", appearance.unet))

    points = on_meta(lambda: PointEmbedding(sizes.point_width))
    _save(drag / "point_embedding" / "point_embedding.pt", fill("points", points))
    listed = fill("attention", on_meta(lambda: _numbered(unet, points)))
    prompt = {key: value for key, value in listed.items() if "_ip." in key}
    _save(drag / "lightning-drag-sd15-attn.bin", {key: value for key, value in listed.items() if key not in prompt})
    projection = on_meta(lambda: ImageTokens(sizes.vision.projection_dim, sizes.context))
    torch.save({"image_proj": fill("image_proj", projection), "ip_adapter": prompt}, image / "ip-adapter_sd15.bin")
    return root


def random_tensor(key: str, name: str, shape: torch.Size) -> Tensor:
    """Norm weights around 1; everything else of a size that keeps activations' variance, and away from zero.

    Every value is one of sixteen magnitudes (3 to 18 sixteenths) times a power of two: a tiny bundle compresses well.
    """
    bits = np.random.Philox(key=zlib.crc32(key.encode())).random_raw(int(np.prod(shape)))
    sign = np.where(bits & 1, 1.0, -1.0).astype(np.float32)
    value = sign * ((bits >> 60).astype(np.float32) + 3) / 16  # root of the mean square 0.72
    gain = next((gain for part, gain in GAINS.items() if part in key), 1.5)
    if len(shape) == 1:
        value = 1 + value / 4 if name.endswith("weight") else value / 8
    elif "position_embedding" in name or "token_embedding" in name:
        value /= 2
    else:
        value *= 2 ** np.round(np.log2(gain / np.sqrt(np.prod(shape[1:]))))
    return torch.from_numpy(value.astype(np.float32).reshape(shape))


def random_lora(unet: nn.Module, rank: int, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """LCM-LoRA's layers in kohya's spelling; alpha is not the rank; one magnitude a matrix, so that sums compress."""
    lora: dict[str, Tensor] = {}
    for name, module in unet.named_modules():
        if not name.endswith(LORA_LAYERS + LORA_CONVOLUTIONS) or not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        stem = "lora_unet_" + name.replace(".", "_")
        out, into, *kernel = module.weight.shape
        ones = [1] * len(kernel)
        for part, shape in (("lora_down", [rank, into, *kernel]), ("lora_up", [out, rank, *ones])):
            key = f"{stem}.{part}.weight"
            sign = random_tensor(f"{seed}/lora/{key}", key, torch.Size(shape)).sign()
            lora[key] = (sign * 2 ** round(np.log2(0.7 / np.sqrt(np.prod(shape[1:]))))).to(dtype)
        lora[f"{stem}.alpha"] = torch.tensor(float(rank) / 2, dtype=dtype)
    return lora


def unet_config(sizes: Sizes) -> dict[str, Any]:
    cross, plain = "CrossAttn{}Block2D", "{}Block2D"
    return {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "attention_head_dim": sizes.heads,
        "block_out_channels": list(sizes.channels),
        "cross_attention_dim": sizes.context,
        "down_block_types": [cross.format("Down")] * 3 + [plain.format("Down")],
        "up_block_types": [plain.format("Up")] + [cross.format("Up")] * 3,
        "in_channels": UNET_CHANNELS,
        "out_channels": 4,
        "layers_per_block": 2,
        "norm_eps": 1e-05,
        "norm_num_groups": 32,
        "sample_size": 64,
    }


def vae_config(sizes: Sizes) -> dict[str, Any]:
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": list(sizes.vae_channels),
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "layers_per_block": sizes.vae_layers,
        "norm_num_groups": 32,
        "sample_size": 256,
    }


def scheduler_config() -> dict[str, Any]:
    return {
        "_class_name": "DDIMScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "trained_betas": None,
    }


def state(module: nn.Module) -> list[tuple[str, Tensor]]:
    return sorted(module.state_dict().items())


def on_meta(build: Callable[[], nn.Module]) -> Any:
    with torch.device("meta"):
        return build()


def _numbered(unet: UNet2DConditionModel, points: PointEmbedding) -> nn.ModuleList:
    """Only what the published list holds of each entry."""
    listed = DragUNet(unet).add_points(points.widths)
    names = ("norm", "proj", "to_k_ip", "to_v_ip")
    return nn.ModuleList(nn.ModuleDict({n: m for n, m in layer.named_children() if n in names}) for layer in listed)


def _clip_json(config: ClipConfig, architecture: str, model_type: str) -> dict[str, Any]:
    vision = {"image_size", "patch_size"}
    text = {"vocab_size", "max_position_embeddings"}
    skip = text if "vision" in model_type else vision
    fields = {name: value for name, value in asdict(config).items() if name not in skip}
    ids = (
        {} if "vision" in model_type else {"bos_token_id": config.vocab_size - 2, "eos_token_id": config.vocab_size - 1}
    )
    return {"architectures": [architecture], "model_type": model_type, **fields, **ids}


def _save_tokenizer(folder: Path, size: int, length: int) -> None:
    """A byte-level vocabulary with CLIP's two special tokens at its end."""
    letters = [chr(33 + i) for i in range(256)]
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"word{i}</w>" for i in range(size - 2 - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    _save_json(folder / "vocab.json", {word: index for index, word in enumerate(words)})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    special = {"bos_token": words[-2], "eos_token": words[-1], "unk_token": words[-1], "pad_token": words[-1]}
    _save_json(folder / "special_tokens_map.json", special)
    config = {"model_max_length": length, "tokenizer_class": "CLIPTokenizer", **special}
    _save_json(folder / "tokenizer_config.json", config)


def _with_old_attention_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As `sd-vae-ft-mse` was published."""
    names = {}
    for name in tensors:
        old = next((old for old, new in OLD_ATTENTION_NAMES.items() if ".attentions." in name and new in name), None)
        names[name] = name.replace(OLD_ATTENTION_NAMES[old], old) if old else name
    return {names[name]: tensor for name, tensor in tensors.items()}


def _save(file: Path, tensors: dict[str, Tensor]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(tensors, file, {"format": "pt"})
    else:
        torch.save(tensors, file)


def _save_json(file: Path, value: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")

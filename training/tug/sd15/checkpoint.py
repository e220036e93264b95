"""Where the published checkpoint's files lie, and how their tensors are read.

Knows folders, file formats and tensor names; knows no network. Every fault becomes a `CheckpointError` that names the
file and, where there is one, the tensor with the shape that was expected and the one that was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

Shape = tuple[int, ...]

BASE_FOLDERS = ("dreamshaper-8-inpainting", "stable-diffusion-inpainting", "stable-diffusion-v1-5-inpainting")
VAE_FOLDERS = ("sd-vae-ft-mse", "sd-vae-ft-ema")
DIFFUSERS_WEIGHTS = tuple(
    f"diffusion_pytorch_model{variant}.{kind}" for variant in ("", ".fp16") for kind in ("safetensors", "bin")
)
TRANSFORMERS_WEIGHTS = tuple(
    f"{stem}{variant}.{kind}"
    for variant in ("", ".fp16")
    for stem, kind in (("model", "safetensors"), ("pytorch_model", "bin"))
)

# The autoencoder's attention as files from before diffusers 0.18 name it.
OLD_ATTENTION_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class CheckpointError(ValueError):
    """A checkpoint file is missing or not what it should be."""

    def __init__(
        self,
        file: Path,
        problem: str,
        *,
        tensor: str | None = None,
        expected: Shape | None = None,
        actual: Shape | None = None,
    ) -> None:
        self.file, self.problem, self.tensor, self.expected, self.actual = file, problem, tensor, expected, actual
        where = f"{file}: tensor '{tensor}'" if tensor else str(file)
        shapes = f": expected {list(expected)}, found {list(actual)}" if expected and actual is not None else ""
        super().__init__(f"{where} {problem}{shapes}")


@dataclass(frozen=True)
class Layout:
    """The folders of a checkpoint, each known to exist."""

    base: Path  # inpainting U-Net, text encoder, tokenizer, scheduler
    vae: Path
    ip_adapter: Path
    lightning_drag: Path
    lcm_lora: Path | None

    @classmethod
    def find(cls, root: Path, *, lcm: bool) -> Layout:
        """`root` holds the published folders side by side; the LCM-LoRA is looked for only if it is asked for."""
        if not root.is_dir():
            raise CheckpointError(root, "is not a folder: it should hold the published checkpoint's folders")
        return cls(
            base=first_existing(root, BASE_FOLDERS),
            vae=first_existing(root, VAE_FOLDERS),
            ip_adapter=first_existing(root, ("IP-Adapter/models",)),
            lightning_drag=first_existing(root, ("lightning-drag-sd15",)),
            lcm_lora=first_existing(root, ("lcm-lora-sdv1-5/pytorch_lora_weights.safetensors",)) if lcm else None,
        )


def first_existing(folder: Path, names: Iterable[str]) -> Path:
    """The first of `names` that exists in `folder`."""
    names = list(names)
    for name in names:
        if (folder / name).exists():
            return folder / name
    others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise CheckpointError(folder / names[0], f"is missing{others}")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    if not path.is_file():
        raise CheckpointError(path, "is missing")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(path, f"is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(path, "should hold a JSON object")
    return value


def read_tensors(path: Path) -> dict[str, Any]:
    """A safetensors file, or a torch file read with `weights_only` (so that no code in it can run).

    A torch file may hold dictionaries of tensors inside its dictionary, as `ip-adapter_sd15.bin` does.
    """
    if not path.is_file():
        raise CheckpointError(path, "is missing")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise CheckpointError(path, f"cannot be read ({_first_line(error)})") from error
    except Exception as error:  # pickle's own errors share no base class
        if type(error).__name__ != "UnpicklingError":
            raise
        raise CheckpointError(path, f"holds more than tensors or is damaged ({_first_line(error)})") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(path, "should hold a dictionary of tensors")
    return loaded


def load_strict(module: nn.Module, tensors: dict[str, Any], file: Path) -> None:
    """Gives `module` (on the meta device) its weights in float32; every name and shape must be exactly its own."""
    wanted = module.state_dict()
    for name, slot in wanted.items():
        tensor = tensors.get(name)
        if tensor is None:
            raise CheckpointError(file, "is missing", tensor=name, expected=tuple(slot.shape))
        if not isinstance(tensor, Tensor):
            raise CheckpointError(file, f"is not a tensor but a {type(tensor).__name__}", tensor=name)
        if tensor.shape != slot.shape:
            raise CheckpointError(
                file, "has the wrong shape", tensor=name, expected=tuple(slot.shape), actual=tuple(tensor.shape)
            )
        if not tensor.is_floating_point():
            raise CheckpointError(file, f"should hold floating-point numbers, not {tensor.dtype}", tensor=name)
    unexpected = sorted(tensors.keys() - wanted.keys())
    if unexpected:
        more = f" ({len(unexpected)} such tensors)" if len(unexpected) > 1 else ""
        raise CheckpointError(file, f"does not belong to this network{more}", tensor=unexpected[0])
    # one by one, so that the file's own half-precision copy is let go on the way
    module.load_state_dict({name: tensors.pop(name).float() for name in wanted}, assign=True)
    module.requires_grad_(False).eval()


def without_buffers(tensors: dict[str, Any]) -> dict[str, Any]:
    """CLIP files of older transformers carry `position_ids`, which is no weight."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}


def with_current_attention_names(tensors: dict[str, Any]) -> dict[str, Any]:
    """An autoencoder's tensors under the names that diffusers uses today."""

    def current(name: str) -> str:
        for old, new in OLD_ATTENTION_NAMES.items():
            if ".attentions." in name and old in name:
                return name.replace(old, new)
        return name

    return {current(name): tensor for name, tensor in tensors.items()}


def empty_prompt_tokens(folder: Path) -> list[int]:
    """Token ids of the empty string: start, end, then padding up to the model's length."""
    config = read_json(folder / "tokenizer_config.json")
    vocabulary = read_json(folder / "vocab.json")
    length = config.get("model_max_length", 77)

    def token(role: str, default: str) -> int:
        entry = config.get(role, default)
        text = entry.get("content", default) if isinstance(entry, dict) else entry
        if text not in vocabulary:
            raise CheckpointError(folder / "vocab.json", f"lacks the {role} '{text}'")
        return int(vocabulary[text])

    start, end = token("bos_token", "<|startoftext|>"), token("eos_token", "<|endoftext|>")
    return [start, end] + [token("pad_token", "<|endoftext|>")] * (length - 2)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]

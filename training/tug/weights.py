"""Weights on disk: a stage's checkpoint, a plain weights file, or a bundle's own graphs, all read the same way.

A graph keeps its parameters under PyTorch's names, so the committed bundle is also what a later training starts from.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


def save(path: Path, state: dict) -> None:
    """Written beside and renamed, so that a stop in the middle leaves the old file."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def read(path: Path) -> dict[str, Tensor]:
    """`network.parameter` → tensor, of a checkpoint (its averaged weights), a weights file or a bundle's folder."""
    if not path.is_dir():
        state = torch.load(path, map_location="cpu", weights_only=True)
        return state.get("ema", state)
    import onnx

    weights = {}
    for file in sorted(path.glob("*.onnx")):
        for tensor in onnx.load(str(file)).graph.initializer:
            weights[f"{file.stem}.{tensor.name}"] = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
    if not weights:
        raise FileNotFoundError(f"{path} holds no graphs")
    return weights


def load_weights(networks: nn.ModuleDict, path: Path) -> list[str]:
    """Loads every network of `networks` that `path` has and leaves the others; returns the names of those loaded."""
    weights, loaded = read(path), []
    for name, network in networks.items():
        own = {key[len(name) + 1 :]: value for key, value in weights.items() if key.startswith(name + ".")}
        wanted = network.state_dict()
        if own:
            missing = sorted(set(wanted) - set(own))
            if missing:
                raise KeyError(f"{path}: {name} lacks {', '.join(missing[:3])}")
            network.load_state_dict({key: own[key] for key in wanted})
            loaded.append(name)
    return loaded

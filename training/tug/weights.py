"""Weights on disk: a stage's checkpoint, a plain weights file, or a bundle's own graphs, all read the same way.

A graph keeps its parameters under PyTorch's names, so the committed bundle is also what a later training starts from.
Its matrices and kernels are stored as fp16 with a Cast behind each (`pack_graph`), which the runtime folds when it
opens the graph: half the file, and the arithmetic stays fp32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

PACK_FROM = 256  # elements; what is smaller stays fp32
CAST_SUFFIX = "/fp32"


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
    weights = {}
    for file in sorted(path.glob("*.onnx")):
        if "." in file.stem:
            continue  # NAME.int8.onnx: the same network, coarser
        for tensor in onnx.load(str(file)).graph.initializer:
            value = torch.from_numpy(numpy_helper.to_array(tensor).copy())
            weights[f"{file.stem}.{tensor.name}"] = value.float() if value.dtype == torch.half else value
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


@torch.no_grad()
def round_weights(network: nn.Module) -> None:
    """Rounds in place what `pack_graph` would, so that PyTorch computes with exactly what the file holds."""
    for name, parameter in network.named_parameters():
        if parameter.dim() >= 2 and parameter.numel() >= PACK_FROM:
            rounded = parameter.half().float()
            if not torch.isfinite(rounded).all():
                raise ValueError(f"{name}: a weight of {float(parameter.abs().max()):.3g} is beyond fp16")
            parameter.copy_(rounded)


def pack_graph(model: onnx.ModelProto) -> None:
    """fp32 initializers with two axes or more → fp16 of the same name and a Cast to fp32."""
    graph, casts = model.graph, []
    renamed = {}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and value.ndim >= 2 and value.size >= PACK_FROM:
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), tensor.name))
            renamed[tensor.name] = tensor.name + CAST_SUFFIX
            casts.append(
                helper.make_node(
                    "Cast", [tensor.name], [renamed[tensor.name]], renamed[tensor.name], to=TensorProto.FLOAT
                )
            )
    _rename_inputs(graph, renamed)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename_inputs(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)

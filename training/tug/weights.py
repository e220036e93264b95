"""Weights on disk: a stage's checkpoint, a plain weights file, or a bundle's own graphs, all read the same way.

A graph keeps its parameters under PyTorch's names, so the committed bundle is also what a later training starts from.
Its matrices and kernels are stored as fp16 with a Cast behind each (`pack_graph`), or in eight bits with a scale for
every output channel, which the runtime folds when it opens the graph: half the file or a quarter, and the arithmetic
stays fp32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

PACK_FROM = 256  # elements; what is smaller stays fp32
CAST_SUFFIX, SCALE_SUFFIX = "/fp32", "/scale"
# Networks that begin as another one where a file has no weights of theirs.
BEGIN_AS = {"pull": "field", "restorer": "decoder.restorer"}


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
        own = {
            t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(str(file)).graph.initializer
        }
        for name, value in own.items():
            if name + SCALE_SUFFIX in own:
                value = value * own[name + SCALE_SUFFIX]
            if not name.endswith(SCALE_SUFFIX):
                weights[f"{file.stem}.{name}"] = value.float() if value.dtype == torch.half else value
    if not weights:
        raise FileNotFoundError(f"{path} holds no graphs")
    return weights


def between(one: Path, other: Path, share: float) -> dict[str, Tensor]:
    """The weights that lie `share` of the way from those of `one` to those of `other` (`read`), which must be the same
    networks'. What is no floating-point number is taken from `one`."""
    first, second = read(one), read(other)
    odd = sorted(set(first) ^ set(second)) or [key for key in first if first[key].shape != second[key].shape]
    if odd:
        raise KeyError(f"{one} and {other} are not of the same networks: {', '.join(odd[:3])}")
    return {key: value.lerp(second[key], share) if value.is_floating_point() else value for key, value in first.items()}


def load_weights(networks: nn.ModuleDict, path: Path) -> list[str]:
    """Loads every network of `networks` that `path` has and leaves the others; returns the names of those loaded. One
    that begins as another (`BEGIN_AS`) takes that one's weights where `path` has none of its own; what a layer takes in
    beyond what it took there begins at zero."""
    weights, loaded = read(path), []
    for name, network in networks.items():
        own = _of(weights, name) or _of(weights, BEGIN_AS.get(name, name))
        wanted = network.state_dict()
        if own:
            missing = sorted(set(wanted) - set(own))
            if missing:
                raise KeyError(f"{path}: {name} lacks {', '.join(missing[:3])}")
            network.load_state_dict({key: _widened(own[key], value) for key, value in wanted.items()})
            loaded.append(name)
    return loaded


def _widened(value: Tensor, like: Tensor) -> Tensor:
    """A layer's weights, with zeros for the inputs that come after those that it has."""
    if value.dim() < 2 or value.shape[1] >= like.shape[1]:
        return value
    return torch.cat([value, value.new_zeros(value.shape[0], like.shape[1] - value.shape[1], *value.shape[2:])], 1)


def _of(weights: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    return {key[len(network) + 1 :]: value for key, value in weights.items() if key.startswith(network + ".")}


@torch.no_grad()
def round_weights(network: nn.Module, bits: int = 16) -> None:
    """Rounds in place what `pack_graph` would, so that PyTorch computes with exactly what the file holds."""
    for name, parameter in network.named_parameters():
        if parameter.dim() >= 2 and parameter.numel() >= PACK_FROM:
            rounded = parameter.half().float()
            if bits == 8:
                stored, scale = _in_eight_bits(parameter.numpy(force=True))
                rounded = torch.from_numpy(stored * scale)
            if not torch.isfinite(rounded).all():
                raise ValueError(f"{name}: a weight of {float(parameter.abs().max()):.3g} is beyond fp16")
            parameter.copy_(rounded)


def _in_eight_bits(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of whatever shape → int8 and the scale, a float for each output channel, that they are times."""
    across = tuple(range(1, value.ndim))
    scale = np.maximum(np.abs(value).max(across, keepdims=True), 1e-12).astype(np.float32) / np.float32(127)
    return np.rint(value / scale).astype(np.int8), scale


def pack_graph(model: onnx.ModelProto, bits: int = 16) -> None:
    """fp32 initializers with two axes or more → fp16 of the same name and a Cast to fp32; with 8 bits → int8, a Cast,
    and a product with a scale for every output channel."""
    graph, casts, scales = model.graph, [], []
    renamed = {}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and value.ndim >= 2 and value.size >= PACK_FROM:
            name, scaled = tensor.name, tensor.name + CAST_SUFFIX
            stored, scale = _in_eight_bits(value) if bits == 8 else (value.astype(np.float16), None)
            tensor.CopyFrom(numpy_helper.from_array(stored, name))
            renamed[name] = scaled
            cast = scaled if scale is None else name + "/cast"
            casts.append(helper.make_node("Cast", [name], [cast], cast, to=TensorProto.FLOAT))
            if scale is not None:
                scales.append(numpy_helper.from_array(scale, name + SCALE_SUFFIX))
                casts.append(helper.make_node("Mul", [cast, name + SCALE_SUFFIX], [scaled], scaled))
    graph.initializer.extend(scales)
    _rename_inputs(graph, renamed)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename_inputs(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)

"""What a quantised graph looks like so that ONNX Runtime computes it fastest on a CPU, with the same result to the bit.

Convolutions on bytes keep a map's channels last in memory. There, the runtime's own nearest enlargement goes pixel by
pixel: a convolution that makes every channel twice has already laid each pixel's neighbour beside it, and rows are
copied whole. A convolution of few outputs is filled up with zeros to as many as are computed at once. And a map's
shape is asked of its bytes, not of the floats that would be made for that alone.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

WIDE = 16  # output channels; with fewer the runtime leaves its quick way of rounding to bytes
CHANNELS_LAST, CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class _Graph:
    """A graph's nodes by what they make and take, its constants by name."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
        self.made = {output: node for node in self.nodes for output in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}

    def maker(self, name: str, kind: str) -> NodeProto | None:
        node = self.made.get(name)
        return node if node is not None and node.op_type == kind else None

    def users(self, name: str) -> list[NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def only_user(self, name: str, kind: str) -> NodeProto | None:
        users = self.users(name)
        return users[0] if len(users) == 1 and users[0].op_type == kind else None


def quicken(model: onnx.ModelProto) -> int:
    """Rearranges a graph of QuantizeLinear / DequantizeLinear pairs in place; returns how many enlargements it found
    behind a convolution."""
    graph = _Graph(model.graph)
    for node in graph.nodes:
        floats = graph.maker(node.input[0], "DequantizeLinear") if node.op_type == "Shape" else None
        if floats is not None:
            node.input[0] = floats.input[0]
    count = 0
    for resize in [node for node in graph.nodes if node.op_type == "Resize"]:
        count += _enlarge_by_rows(graph, model.graph, resize)
    for conv in [node for node in graph.nodes if node.op_type == "Conv"]:
        _widen(graph, model.graph, conv)
    del model.graph.node[:]
    model.graph.node.extend(graph.nodes)
    return count


def _stored(graph: _Graph, conv: NodeProto) -> list[onnx.TensorProto]:
    """What a convolution's weights and biases are stored in: bytes, scales and zeros that have an entry for every
    output, the weights' bytes first; none if it does not run on bytes, or shares them."""
    nodes = [graph.maker(name, "DequantizeLinear") for name in conv.input[1:]]
    if not all(node is not None and len(graph.users(node.output[0])) == 1 for node in nodes):
        return []
    names = dict.fromkeys(name for node in nodes for name in node.input)
    return [graph.constants[name] for name in names if graph.constants[name].dims]


def _widen(graph: _Graph, target: onnx.GraphProto, conv: NodeProto) -> None:
    """Zeros in the place of outputs that a convolution on bytes lacks of `WIDE`, cut off behind it."""
    bytes_, stored = graph.only_user(conv.output[0], "QuantizeLinear"), _stored(graph, conv)
    outputs = stored[0].dims[0] if stored else WIDE
    if bytes_ is None or outputs >= WIDE:
        return
    for tensor in stored:
        value = numpy_helper.to_array(tensor)
        more = np.zeros((WIDE - outputs, *value.shape[1:]), value.dtype)
        if value.dtype == np.float32:
            more += value[-1]  # scales, which may not be zero
        tensor.CopyFrom(numpy_helper.from_array(np.concatenate([value, more]), tensor.name))
    at = bytes_.output[0]
    bytes_.output[0] = at + "/wide"
    ends = [numpy_helper.from_array(np.array([v], np.int64), f"{at}/{k}") for k, v in enumerate((0, outputs, 1))]
    target.initializer.extend(ends)
    cut = helper.make_node("Slice", [at + "/wide", *(end.name for end in ends)], [at], at + "/cut")
    graph.nodes.insert(graph.nodes.index(bytes_) + 1, cut)
    graph.made = {output: node for node in graph.nodes for output in node.output}


def _enlarge_by_rows(graph: _Graph, target: onnx.GraphProto, resize: NodeProto) -> bool:
    """Convolution → bytes → nearest ×2 → bytes, if that is what is around `resize`: each output channel of the
    convolution twice, every row of pixels twice. Returns whether it was."""
    floats = graph.maker(resize.input[0], "DequantizeLinear")
    first = graph.maker(floats.input[0], "QuantizeLinear") if floats else None
    conv = graph.maker(first.input[0], "Conv") if first else None
    second = graph.only_user(resize.output[0], "QuantizeLinear")
    if floats is None or first is None or conv is None or second is None:
        return False
    alone = all(len(graph.users(name)) == 1 for name in (conv.output[0], first.output[0], floats.output[0]))
    stored = _stored(graph, conv)
    if not alone or not stored or not _doubles(graph, resize) or not _same_bytes(graph, first, second):
        return False
    for tensor in stored:
        value = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(np.concatenate([value, value]), tensor.name))

    at = resize.output[0] + "/rows"

    def step(kind: str, *inputs: str, **attributes: object) -> NodeProto:
        name = f"{at}/{len(steps)}"
        steps.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return steps[-1]

    def constant(*values: int) -> str:
        name = f"{at}/constant_{len(steps)}"
        target.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    steps: list[NodeProto] = []
    last = step("Transpose", first.output[0], perm=CHANNELS_LAST).output[0]  # [B, h, w, 2 C], a pixel and its copy
    shape = step("Shape", last).output[0]
    shape = step("Mul", shape, constant(2, 4, 4, 1)).output[0]
    shape = step("Div", shape, constant(2, 2, 2, 2)).output[0]  # [B, 2 h, 2 w, C]
    row = step("Reshape", last, constant(0, 0, 1, -1)).output[0]
    rows = step("Concat", row, row, axis=2).output[0]
    large = step("Reshape", rows, shape).output[0]
    step("Transpose", large, perm=CHANNELS_FIRST).output[0] = second.output[0]

    gone = {floats.output[0], resize.output[0], second.output[0]}
    graph.nodes = [node for node in graph.nodes if node.output[0] not in gone]
    place = graph.nodes.index(first) + 1
    graph.nodes[place:place] = steps
    graph.made = {output: node for node in graph.nodes for output in node.output}
    return True


def _doubles(graph: _Graph, resize: NodeProto) -> bool:
    """Nearest, each pixel twice in both directions."""
    given = {a.name: helper.get_attribute_value(a) for a in resize.attribute}
    scales = graph.constants.get(resize.input[2]) if len(resize.input) == 3 else None
    if scales is None or given.get("mode", b"nearest") != b"nearest" or given.get("nearest_mode") != b"floor":
        return False
    asymmetric = given.get("coordinate_transformation_mode") == b"asymmetric"
    return asymmetric and numpy_helper.to_array(scales).tolist() == [1, 1, 2, 2]


def _same_bytes(graph: _Graph, one: NodeProto, other: NodeProto) -> bool:
    def values(node: NodeProto) -> list[bytes]:
        return [numpy_helper.to_array(graph.constants[name]).tobytes() for name in node.input[1:]]

    return values(one) == values(other)


def scale_channel(model: onnx.ModelProto, conv: str, channel: int, by: float) -> None:
    """One output channel of a convolution in `model` divided by `by`, and multiplied again behind the node that cuts
    it out: channels of one map share their bytes' scale. Throws ValueError if nothing cuts it out by itself."""
    graph = _Graph(model.graph)
    node = next(node for node in graph.nodes if node.name == conv)
    cuts = [user for user in graph.users(node.output[0]) if _begins(graph, user) == channel]
    if len(cuts) != 1:
        raise ValueError(f"{conv}: {len(cuts)} nodes begin at channel {channel} of what it makes")
    for name in node.input[1:]:
        tensor = graph.constants[name]
        value = numpy_helper.to_array(tensor).copy()
        value[channel] /= by
        tensor.CopyFrom(numpy_helper.from_array(value, name))
    output = cuts[0].output[0]
    cuts[0].output[0] = output + "/scaled"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(by), output + "/by"))
    back = helper.make_node("Mul", [output + "/scaled", output + "/by"], [output], output + "/back")
    graph.nodes.insert(graph.nodes.index(cuts[0]) + 1, back)
    del model.graph.node[:]
    model.graph.node.extend(graph.nodes)


def _begins(graph: _Graph, node: NodeProto) -> int | None:
    """Where a Slice begins."""
    start = graph.constants.get(node.input[1]) if node.op_type == "Slice" else None
    return None if start is None else int(numpy_helper.to_array(start).item())

"""Rearranged graphs in bytes: the same numbers, other nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from tug.blocks import conv, upsample
from tug.byte_graphs import WIDE, quicken, scale_channel


class Painter(nn.Module):
    """Two enlargements, the second one not behind a convolution, and a head of four channels of which one is a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.small, self.middle, self.out = conv(8, 32), conv(32, 16, 1), conv(16, 16), conv(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        large = upsample(self.small(torch.relu(self.first(x))))
        out = self.out(upsample(large + self.middle(large)))
        return torch.sigmoid(out[:, 3:]) * out[:, :3]


class Feeds(CalibrationDataReader):
    def __init__(self) -> None:
        self.rest = iter([{"x": picture(seed)} for seed in range(4)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.rest, None)


def picture(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, 8, height, width)).astype(np.float32)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("graph") / "plain.onnx"
    axes = {name: {2: "H", 3: "W"} for name in ("x", "y")}
    x = torch.from_numpy(picture(0))
    torch.onnx.export(
        Painter().eval(), (x,), str(file), input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False
    )
    prepared = file.with_name("prepared.onnx")
    quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    return prepared


@pytest.fixture(scope="module")
def in_bytes(plain) -> onnx.ModelProto:
    out = plain.with_name("bytes.onnx")
    quantize_static(
        str(plain),
        str(out),
        Feeds(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Relu", "Add", "Resize"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return onnx.load(str(out))


@pytest.mark.parametrize("height, width", [(24, 40), (8, 56)])
def test_what_is_rearranged_computes_the_same_to_the_bit(in_bytes, height, width) -> None:
    quick = onnx.ModelProto.FromString(in_bytes.SerializeToString())
    assert quicken(quick) == 1
    onnx.checker.check_model(quick)
    for seed in (7, 8):
        x = picture(seed, height, width)
        expected = run(in_bytes, x)
        assert expected.std() > 0.1
        np.testing.assert_array_equal(run(quick, x), expected)


def test_only_an_enlargement_behind_a_convolution_is_taken_apart(in_bytes) -> None:
    quick = onnx.ModelProto.FromString(in_bytes.SerializeToString())
    quicken(quick)
    before, after = (Counter(node.op_type for node in model.graph.node) for model in (in_bytes, quick))
    assert (before["Resize"], after["Resize"]) == (2, 1)
    outputs = [v.dims[0] for v in quick.graph.initializer if len(v.dims) == 4 and v.data_type == onnx.TensorProto.INT8]
    assert sorted(outputs) == [16, WIDE, 32, 32]  # the head filled up; each channel of the enlarged map twice


def test_a_graph_of_floats_stays_as_it_is(plain) -> None:
    model = onnx.load(str(plain))
    before = [(node.op_type, *node.input) for node in model.graph.node]
    assert quicken(model) == 0
    assert [(node.op_type, *node.input) for node in model.graph.node] == before


def test_a_channel_gets_a_scale_of_its_own(plain) -> None:
    model = onnx.load(str(plain))
    names = {node.name for node in model.graph.node if node.op_type == "Conv"}
    head = next(name for name in names if "out" in name)
    scale_channel(model, head, 3, 8.0)
    weights = next(t for t in model.graph.initializer if t.name == "out.weight")
    kept = next(t for t in onnx.load(str(plain)).graph.initializer if t.name == "out.weight")
    ratio = onnx.numpy_helper.to_array(kept) / onnx.numpy_helper.to_array(weights)
    np.testing.assert_allclose(ratio.reshape(4, -1).mean(1), [1, 1, 1, 8], rtol=1e-6)
    x = picture(3)
    np.testing.assert_allclose(run(model, x), run(onnx.load(str(plain)), x), atol=1e-5)
    with pytest.raises(ValueError, match="0 nodes begin at channel 2"):
        scale_channel(model, head, 2, 8.0)

"""int8 files beside the fp32 ones: close to them, said in the manifest, and never what a training starts from."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import onnx
import pytest
import torch
from conftest import AUTOENCODER, DRAG, FIELD, picture

from tug.bundle_runner import Bundle
from tug.cases import Case
from tug.export import build_networks, export_bundle
from tug.fieldnet import FieldNet
from tug.geometry import sample
from tug.quantise import QUANTISED, quantise, training_cases
from tug.weights import load_weights, read


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(data folder with photos, bundle folder with int8 graphs)."""
    data, bundle = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("bundle")
    (data / "photos").mkdir()
    for seed in range(3):
        cv2.imwrite(str(data / "photos" / f"{seed}.png"), picture(seed, 400, 520))
    torch.manual_seed(0)
    networks = build_networks(FIELD, AUTOENCODER, DRAG).eval()
    networks["pull"] = FieldNet(FIELD).eval()
    for name, network in networks.items():
        for parameter in network.parameters():
            with torch.no_grad():  # nothing zero, no two tensors alike; the field's heads stay quiet
                quiet = name in ("field", "pull") or parameter.abs().max() > 0
                parameter += torch.randn_like(parameter) * (1e-3 if quiet else 0.05)
    export_bundle(networks, bundle)
    quantise(bundle, data, cases=3, threads=1)
    return data, bundle


def test_the_manifest_says_what_lies_there(folders) -> None:
    _, bundle = folders
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert manifest["precisions"] == ["fp32", "int8"]
    for name in QUANTISED:
        entry = manifest["graphs"][name]["int8"]
        content = (bundle / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        assert any(node.op_type == "QuantizeLinear" for node in onnx.load_from_string(content).graph.node)


def test_no_sum_of_two_products_with_bytes_leaves_sixteen_bits(folders) -> None:
    _, bundle = folders
    bits = json.loads((bundle / "bundle.json").read_text())["weightBits"]
    assert bits == 7 and 2 * 255 * 2 ** (bits - 1) < 2**15
    for name in QUANTISED:
        graph = onnx.load(str(bundle / f"{name}.int8.onnx")).graph
        stored = {
            t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8
        }
        # what is multiplied with bytes; the rest is only stored in eight bits, and multiplied in fp32
        taken = {node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
        weights = [values for key, values in stored.items() if key in taken and values.ndim == 4]
        assert weights, name
        assert max(int(np.abs(values.astype(int)).max()) for values in weights) in range(32, 2 ** (bits - 1) + 1), name


def test_an_edit_in_int8_is_close_to_the_one_in_fp32(folders) -> None:
    data, bundle = folders
    plain, int8 = Bundle(bundle, 1), Bundle(bundle, 1, "int8")
    assert [plain.title, int8.title] == ["tug-small fp32", "tug-small int8"]
    for case in training_cases(data, 2, seed=3):
        one, two = (b.edit(case.source, case.mask, case.drags, [4], 0)[4] for b in (plain, int8))
        assert not np.array_equal(one.field, two.field)
        assert np.abs(_misses(plain, case) - _misses(int8, case)).max() < 1e-3  # drags are met in both alike
        assert not np.array_equal(one.picture, two.picture)
        assert np.abs(one.picture.astype(int) - two.picture)[case.mask > 0].mean() < 3


def _misses(bundle: Bundle, case: Case) -> np.ndarray:
    """By how many pixels the field misses each drag, [N, 2]."""
    field = torch.from_numpy(bundle.prepare(case.source, case.mask, case.drags).store["field"])
    targets = torch.from_numpy(case.drags[:, 2:]).T[None, :, :, None] / 4
    return sample(field, targets)[0, :, :, 0].T.numpy() - (case.drags[:, :2] - case.drags[:, 2:])


def test_a_training_starts_from_the_fp32_weights(folders) -> None:
    _, bundle = folders
    assert {key.split(".")[0] for key in read(bundle)} == {*build_networks(FIELD, AUTOENCODER, DRAG), "pull"}
    networks = build_networks(FIELD, AUTOENCODER, DRAG)
    assert sorted(load_weights(networks, bundle)) == sorted(networks)


def test_mistakes_are_named(folders, tmp_path) -> None:
    data, bundle = folders
    with pytest.raises(ValueError, match="at least one"):
        quantise(bundle, data, cases=0)
    with pytest.raises(FileNotFoundError):
        quantise(tmp_path, data, cases=1)
    with pytest.raises(ValueError, match="no fp16, there is fp32, int8"):
        Bundle(bundle, 1, "fp16")

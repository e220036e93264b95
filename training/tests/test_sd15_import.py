"""Importing a checkpoint: the bundle it gives, and what is said about each file that is missing or wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra tug-training[sd15] is not installed")
from safetensors.torch import load_file, save_file  # noqa: E402

from tug.sd15 import make_goldens, sampling  # noqa: E402
from tug.sd15.checkpoint import CheckpointError, load_strict  # noqa: E402
from tug.sd15.export import ImportConfig, export_graph, import_checkpoint  # noqa: E402
from tug.sd15.graphs import Sizes, TorchGraphs, builders  # noqa: E402
from tug.sd15.load import Checkpoint  # noqa: E402
from tug.sd15.lora import fuse
from tug.sd15.networks import DragUNet, point_maps  # noqa: E402
from tug.sd15.random_checkpoint import make_random_checkpoint  # noqa: E402

UNET = "dreamshaper-8-inpainting/unet/diffusion_pytorch_model.safetensors"
POINTS = "lightning-drag-sd15/point_embedding/point_embedding.pt"
ATTENTION = "lightning-drag-sd15/lightning-drag-sd15-attn.bin"
ADAPTER = "IP-Adapter/models/ip-adapter_sd15.bin"
LORA = "lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"
SCHEDULER = "dreamshaper-8-inpainting/scheduler/scheduler_config.json"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_random_checkpoint(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In fp32, with the weights of the big graphs outside."""
    out = tmp_path_factory.mktemp("models") / "lightningdrag-tiny"
    import_checkpoint(ImportConfig(checkpoint, out, "fp32", lcm=True, external_above=3_000_000))
    return out


class OnnxGraphs:
    def __init__(self, folder: Path) -> None:
        self.folder, self.sessions = folder, {}

    def __call__(self, name: str, store: sampling.Store) -> sampling.Store:
        if name not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.sessions[name] = onnxruntime.InferenceSession(str(self.folder / f"{name}.onnx"), options)
        session = self.sessions[name]
        outputs = session.run(None, {entry.name: store[entry.name] for entry in session.get_inputs()})
        return {entry.name: value for entry, value in zip(session.get_outputs(), outputs, strict=True)}


def run_edit(run: sampling.RunGraph, checkpoint: Checkpoint, settings: sampling.Settings, size: tuple[int, int]):
    store = sampling.prepare(run, make_goldens.picture(*size), make_goldens.mask(*size) / 255.0, drags(5, *size))
    rng = np.random.default_rng(0)
    noises = rng.standard_normal((settings.steps, *store["latent"].shape)).astype(np.float32)
    *_, (_, latent, _, _) = sampling.denoise(run, checkpoint.schedule, settings, store, noises[0], noises[1:])
    return run("vae_decoder", {"latent_out": latent})["picture"]


def drags(count: int, height: int, width: int) -> np.ndarray:
    return make_goldens.drags(count, height, width).astype(float)


@pytest.mark.parametrize(("scheduler", "size"), [("DDIM", (128, 128)), ("LCM", (64, 192))])
def test_the_bundle_does_what_pytorch_does_at_any_size(
    bundle: Path, checkpoint: Path, scheduler: str, size: tuple[int, int]
) -> None:
    opened = Checkpoint(checkpoint, lcm=True)
    settings = sampling.Settings(scheduler, 3, 3.0)
    ours = run_edit(OnnxGraphs(bundle), opened, settings, size)
    theirs = run_edit(TorchGraphs(opened), opened, settings, size)
    assert np.linalg.norm(ours - theirs) < 1e-3 * np.linalg.norm(theirs)


def test_fp16_is_close_and_keeps_float32_at_its_edges(checkpoint: Path, bundle: Path, tmp_path: Path) -> None:
    opened = Checkpoint(checkpoint)
    graph = builders(opened, lcm=False)["unet"]().eval()
    sizes = Sizes.of(opened, graph.networks[0])
    export_graph(graph, sizes, tmp_path / "unet.onnx", "fp16", external_above=3_000_000)
    assert not (tmp_path / "unet.onnx.data").exists()  # half of what stays outside in fp32
    rng = np.random.default_rng(0)
    store = {name: rng.standard_normal(sizes.shapes(128, 128)[name]).astype(np.float32) for name in graph.inputs}
    store |= {"timestep": np.array([961.0], np.float32), "mask": np.ones((1, 1, 128, 128), np.float32)}
    ours, theirs = (OnnxGraphs(folder)("unet", store)["epsilon"] for folder in (tmp_path, bundle))
    assert ours.dtype == np.float32
    assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)


def test_both_precisions_lie_side_by_side(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fewer(opened: Checkpoint, *, lcm: bool) -> dict[str, Any]:
        return {name: build for name, build in builders(opened, lcm=lcm).items() if name in ("unet", "image_prompt")}

    monkeypatch.setattr("tug.sd15.export.builders", fewer)
    folders = import_checkpoint(ImportConfig(checkpoint, tmp_path / "models" / "drag", "both"))
    assert sorted(folder.name for folder in folders) == ["drag", "drag-fp32"]
    described = {folder.name: json.loads((folder / "bundle.json").read_text()) for folder in folders}
    assert {name: content["precision"] for name, content in described.items()} == {"drag": "fp16", "drag-fp32": "fp32"}
    assert described["drag"]["options"]["schedulers"] == ["DDIM"]


def test_bundle_json_describes_the_files(bundle: Path) -> None:
    described = json.loads((bundle / "bundle.json").read_text())
    assert described["family"] == "lightningdrag"
    assert described["schedule"]["prediction"] == "epsilon"
    assert described["options"]["schedulers"] == ["DDIM", "LCM"]
    listed = set()
    for graph in described["graphs"].values():
        assert graph["gflop"] > 0
        for entry in filter(None, (graph, graph.get("data"))):
            content = (bundle / entry["file"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
            listed.add(entry["file"])
    assert listed == {path.name for path in bundle.iterdir()} - {"bundle.json"}
    assert "unet.onnx.data" in listed and "vae_encoder.onnx.data" not in listed


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint, tmp_path / "checkpoints")


def rewrite(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    if file.suffix == ".json":
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))
    elif file.suffix == ".safetensors":
        content = load_file(file)
        change(content)
        save_file(content, file)
    else:
        content = torch.load(file, weights_only=True)
        change(content)
        torch.save(content, file)


def build_all(root: Path) -> None:
    checkpoint = Checkpoint(root, lcm=True)
    for build in builders(checkpoint, lcm=True).values():
        build()


@pytest.mark.parametrize(
    "missing",
    [
        "dreamshaper-8-inpainting",
        "dreamshaper-8-inpainting/unet/config.json",
        UNET,
        "dreamshaper-8-inpainting/text_encoder/pytorch_model.bin",
        "dreamshaper-8-inpainting/tokenizer/vocab.json",
        SCHEDULER,
        "sd-vae-ft-mse",
        "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
        "IP-Adapter/models/image_encoder/model.safetensors",
        ADAPTER,
        LORA,
        "lightning-drag-sd15/appearance_encoder/diffusion_pytorch_model.safetensors",
        POINTS,
        ATTENTION,
    ],
)
def test_a_missing_file_is_named(copy: Path, missing: str) -> None:
    path = copy / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    stem = path.name.split(".")[0]
    with pytest.raises(CheckpointError, match="is missing") as caught:
        build_all(copy)
    assert stem.removesuffix("_model") in str(caught.value) or caught.value.file.parent == path.parent


@pytest.mark.parametrize(
    ("file", "tensor"),
    [
        (UNET, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"),
        (POINTS, "downsample_blocks_unet.2.conv2.weight"),
        (ATTENTION, "30.proj.weight"),
        (LORA, "lora_unet_mid_block_resnets_0_conv1.lora_up.weight"),
        ("sd-vae-ft-mse/diffusion_pytorch_model.safetensors", "quant_conv.bias"),
        ("lightning-drag-sd15/appearance_encoder/diffusion_pytorch_model.safetensors", "conv_in.weight"),
        ("IP-Adapter/models/image_encoder/model.safetensors", "visual_projection.weight"),
    ],
)
def test_a_misshapen_or_missing_tensor_is_named_with_its_shapes(copy: Path, file: str, tensor: str) -> None:
    def misshape(tensors: dict[str, Any]) -> None:
        tensors[tensor] = torch.cat([tensors[tensor], tensors[tensor]])

    rewrite(copy / file, misshape)
    with pytest.raises(CheckpointError, match=r"expected \[.*\], found \[") as caught:
        build_all(copy)
    assert (caught.value.file, caught.value.tensor) == (copy / file, tensor)
    assert caught.value.actual == (2 * caught.value.expected[0], *caught.value.expected[1:])

    rewrite(copy / file, lambda tensors: tensors.pop(tensor))
    with pytest.raises(CheckpointError, match="is missing") as caught:
        build_all(copy)
    assert (caught.value.file, caught.value.tensor) == (copy / file, tensor)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (SCHEDULER, {"prediction_type": "v_prediction"}, "only 'epsilon' is supported"),
        ("dreamshaper-8-inpainting/unet/config.json", {"in_channels": 4}, "an inpainting U-Net takes 9"),
        ("dreamshaper-8-inpainting/unet/config.json", {"layers_per_block": 1}, "4 levels and 2 layers"),
        ("dreamshaper-8-inpainting/tokenizer/tokenizer_config.json", {"pad_token": "no such"}, "lacks the pad_token"),
    ],
)
def test_a_wrong_setting_is_explained(copy: Path, file: str, change: dict[str, Any], message: str) -> None:
    rewrite(copy / file, lambda content: content.update(change))
    with pytest.raises(CheckpointError, match=message):
        build_all(copy)


def test_damaged_files_and_code_in_files_are_refused(copy: Path) -> None:
    weights = copy / UNET
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be read"):
        build_all(copy)
    torch.save({"0.norm.weight": Path("/")}, copy / ATTENTION)
    shutil.copy(copy / LORA, weights)
    with pytest.raises(CheckpointError, match="more than tensors|is missing"):
        Checkpoint(copy).unet()
    rewrite(copy / ADAPTER, lambda content: content.pop("image_proj"))
    with pytest.raises(CheckpointError, match="image_proj"):
        Checkpoint(copy).image_prompt()


def test_an_unfinished_import_leaves_the_older_bundle_alone(copy: Path, tmp_path: Path) -> None:
    (copy / POINTS).unlink()
    older = tmp_path / "models" / "bundle"
    older.mkdir(parents=True)
    (older / "bundle.json").write_text("{}")
    with pytest.raises(CheckpointError):
        import_checkpoint(ImportConfig(copy, older, "fp32"))
    assert [path.name for path in older.parent.iterdir()] == ["bundle"]
    assert (older / "bundle.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("down", "up", "prefix"),
    [(".lora_A.weight", ".lora_B.weight", "unet."), (".lora.down.weight", ".lora.up.weight", "unet.")],
)
def test_a_lora_in_another_spelling_is_the_same(checkpoint: Path, down: str, up: str, prefix: str) -> None:
    opened = Checkpoint(checkpoint, lcm=True)
    kohya = load_file(checkpoint / LORA)
    unet = opened._inner_unet(in_channels=9)
    names = {"lora_unet_" + name.replace(".", "_"): name for name, _ in unet.named_modules()}
    other = {}
    for name, tensor in kohya.items():
        stem, _, part = name.partition(".")
        ending = {"lora_down.weight": down, "lora_up.weight": up, "alpha": ".alpha"}[part]
        other[prefix + names[stem] + ending] = tensor
    weights = []
    for tensors in (kohya, other):
        layers = opened._inner_unet(in_channels=9)
        load_strict(layers, load_file(checkpoint / UNET), checkpoint / UNET)
        assert fuse(layers, tensors, checkpoint / LORA) == len(kohya) // 3
        weights.append(layers.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_numbered_list_follows_diffusers_own_order(checkpoint: Path) -> None:
    """Down, up, mid; self- and cross-attention in turn."""
    inner = Checkpoint(checkpoint)._inner_unet(in_channels=9)
    theirs = [name.removesuffix(".processor") for name in inner.attn_processors]
    listed = DragUNet(inner).add_points([8, 16, 32, 64])
    names = {id(module): name for name, module in inner.named_modules()}
    assert [names[id(module)] for module in listed] == theirs


def test_point_maps_truncate_and_the_later_pair_wins() -> None:
    handles, targets = point_maps([(3.9, 5.2), (3.1, 5.8), (0, 0)], [(6.99, 7.0), (2, 2), (1, 1)], 8, 9)
    assert handles.shape == (1, 1, 8, 9)
    assert handles[0, 0, 5, 3] == 2 and handles[0, 0, 0, 0] == 3 and handles.sum() == 5
    assert targets[0, 0, 7, 6] == 1 and targets[0, 0, 2, 2] == 2 and targets.sum() == 6


def test_the_point_scale_takes_the_points_out(checkpoint: Path) -> None:
    """With scale 0 the points have no effect at all, although the norm's bias would make a zero embedding non-zero."""
    run = TorchGraphs(Checkpoint(checkpoint))
    outputs = []
    for count in (1, 3):
        store = sampling.prepare(run, make_goldens.picture(128, 128), np.ones((128, 128)), drags(count, 128, 128))
        store |= {"sample": store["latent"], "timestep": np.array([500.0], np.float32)}
        for scale in (0.0, 1.0):
            outputs.append(run("unet", store | {"point_scale": np.array([scale], np.float32)})["epsilon"])
    off, on, off_again, on_again = outputs
    assert np.array_equal(off, off_again)
    assert np.linalg.norm(on - off) > 0.05 * np.linalg.norm(off)
    assert np.linalg.norm(on - on_again) > 0.05 * np.linalg.norm(off)

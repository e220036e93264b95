"""Networks → a bundle folder: ONNX graphs, their sizes, hashes and GFLOP, and bundle.json (format 1).

There are five networks, and a sixth one if it was trained: `pull`, which takes the field's place where no mask was
painted. Weights are rounded on the way (see `weights`), to fp16, or to eight bits where that shows nowhere; `quantise`
adds the int8 graphs afterwards.

The engine keeps a store of named tensors; each graph takes its inputs from it and puts its outputs into it by name, so
the names below are the contract. Every graph is checked against PyTorch at two sizes before the bundle is written.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from . import schedule
from .autoencoder import DECODER_REACH, AutoencoderConfig, Decoder, Encoder, fetch
from .dragnet import AppearanceEncoder, Denoiser, DragConfig, Remembered
from .fieldnet import FOLLOW, PULL, FieldConfig, FieldNet
from .weights import load_weights, pack_graph, round_weights

FETCHED = ("image", "skip_2", "skip_4")
REMEMBERED = [f"{what}_{k}" for k in range(4) for what in ("key", "value")]
GRAPHS: dict[str, tuple[list[str], list[str]]] = {
    "field": (["image", "mask", "drags", "follow"], ["field", "visibility", "prior", "stretch"]),
    "encoder": (["image"], ["latent", "skip_2", "skip_4"]),
    "appearance": (["latent"], REMEMBERED),
    "denoiser": (
        ["sample", "timestep", "warped", "mask", "field", "visibility", *REMEMBERED, "point_scale"],
        ["x0"],
    ),
    "decoder": (["latent_out", *(f"{name}_warped" for name in FETCHED), "mask", "visibility", "stretch"], ["picture"]),
}
PORTS = GRAPHS | {"pull": GRAPHS["field"]}
STORED_BITS = {"pull": 8, "appearance": 8, "denoiser": 8}
DOWNSCALE = {"image": 1, "mask": 1, "picture": 1, "skip_2": 2, "skip_4": 4}
DOWNSCALE |= {name: 4 for name in ("field", "visibility", "prior", "stretch")}
DOWNSCALE |= {f"{name}_warped": DOWNSCALE[name] for name in FETCHED}
DOWNSCALE |= {name: 8 for name in ("latent", "sample", "warped", "latent_out", "x0")}


def build_networks(
    field: FieldConfig | None = None, autoencoder: AutoencoderConfig | None = None, drag: DragConfig | None = None
) -> nn.ModuleDict:
    """The five networks of a bundle, by their graph names, freshly initialised."""
    autoencoder, drag = autoencoder or AutoencoderConfig(), drag or DragConfig()
    return nn.ModuleDict(
        {
            "field": FieldNet(field),
            "encoder": Encoder(autoencoder),
            "appearance": AppearanceEncoder(drag),
            "denoiser": Denoiser(drag),
            "decoder": Decoder(autoencoder),
        }
    )


def in_graphs(networks: nn.ModuleDict) -> nn.ModuleDict:
    """The networks as the graphs divide them: what does not change from step to step is in the appearance graph."""
    remembered = Remembered(networks["appearance"], networks["denoiser"]).eval()
    return nn.ModuleDict({**networks, "appearance": remembered})


# The networks that each stage trains, by the stage's folder, in the order in which they are loaded.
STAGES = {
    "field": ("field",),
    "pull": ("pull",),
    "ae": ("encoder", "decoder"),
    "restore": ("restorer",),
    "drag": ("appearance", "denoiser"),
}


def load_runs(runs: Path) -> nn.ModuleDict:
    """The bundle's networks with the averaged weights of every stage that `runs` holds."""
    networks = build_networks()
    for stage, names in STAGES.items():
        file = runs / stage / "normalised.pt"
        file = file if file.exists() else runs / stage / "state.pt"
        if not file.exists():
            print(f"{file} is not there: {stage} stays untrained")
            continue
        if stage == "pull":
            networks["pull"] = FieldNet(PULL)
        parts = {**networks, "restorer": networks["decoder"].restorer}
        load_weights(nn.ModuleDict({name: parts[name] for name in names}), file)
    return networks.eval()


def example_store(networks: nn.ModuleDict, height: int, width: int, drags: int, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of an edit at a work size, then every graph's outputs by PyTorch: the engine's store, in order."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    handles = torch.rand(1, drags, 2, generator=generator) * 0.4 + 0.3
    moves = torch.rand(1, drags, 2, generator=generator) * 0.1 - 0.05
    points = torch.cat([handles, handles + moves], -1)
    store = {
        "image": normal(1, 3, height // 8, width // 8),
        "mask": mask,
        "drags": points * torch.tensor([width, height, width, height]),
        "follow": torch.tensor([FOLLOW[0]]),
        "timestep": torch.tensor([799.0]),
        "point_scale": torch.ones(1),
    }
    store["image"] = torch.nn.functional.interpolate(store["image"], size=(height, width), mode="bicubic").clamp(-1, 1)
    for name in GRAPHS:
        if name == "denoiser":
            store["warped"] = normal(*store["latent"].shape)
            store["sample"] = normal(*store["latent"].shape)
        if name == "decoder":
            store["latent_out"] = store["x0"]
            warped = fetch(*(store[key] for key in FETCHED), store["field"])
            store |= {f"{key}_warped": value for key, value in zip(FETCHED, warped, strict=True)}
        store |= _outputs(networks[name], name, store)
    return store


@torch.no_grad()
def _outputs(network: nn.Module, name: str, store: dict[str, Tensor]) -> dict[str, Tensor]:
    inputs, outputs = PORTS[name]
    result = network(*(store[key] for key in inputs))
    return dict(zip(outputs, result if isinstance(result, tuple) else (result,), strict=True))


def export_graph(network: nn.Module, name: str, store: dict[str, Tensor], file: Path) -> None:
    """One graph with dynamic height, width and number of drags."""
    inputs, outputs = PORTS[name]
    axes = {}
    for key in inputs + outputs:
        if key == "drags":
            axes[key] = {1: "N"}
        elif key in REMEMBERED:
            axes[key] = {1: "L"}
        elif key in DOWNSCALE:
            s = DOWNSCALE[key]
            axes[key] = {2: f"H/{s}" if s > 1 else "H", 3: f"W/{s}" if s > 1 else "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(store[key] for key in inputs),
            str(file),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=18,
            do_constant_folding=False,  # parameters keep their names: see `weights`
            dynamo=False,
        )
    model = onnx.load(str(file))
    pack_graph(model, STORED_BITS.get(name, 16))
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def check_graph(file: Path, name: str, store: dict[str, Tensor]) -> float:
    """Largest relative error (max-norm over the output's range) of ONNX Runtime against PyTorch's outputs, which are in
    the store as the inputs are.

    One place in a thousand of the field is left out: where two answers of `turn_round` are equally good, rounding picks
    one, and a network that has hardly been trained folds often."""
    inputs, outputs = PORTS[name]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    results = session.run(outputs, {key: store[key].numpy() for key in inputs})
    worst = 0.0
    for key, value in zip(outputs, results, strict=True):
        truth = store[key].numpy()
        if value.shape != truth.shape:
            raise ValueError(f"{name}.{key}: shape {value.shape} from ONNX Runtime, {truth.shape} from PyTorch")
        error = np.abs(value - truth) / (np.abs(truth).max() + 1e-6)
        worst = max(worst, float(np.quantile(error, 0.999, method="higher") if "prior" in outputs else error.max()))
    return worst


def count_gflop(network: nn.Module, name: str, store: dict[str, Tensor]) -> float:
    """Multiply-adds count as two; attention's matrix products included."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(*(store[key] for key in PORTS[name][0]))
    return counter.get_total_flops() / 1e9


def export_bundle(
    networks: nn.ModuleDict, folder: Path, name: str = "tug-small", title: str = "Tug small", trained: bool = True
) -> dict:
    """Writes the graphs and bundle.json into `folder` and returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    networks = networks.float().cpu().eval()
    for key, network in networks.items():
        round_weights(network, STORED_BITS.get(key, 16))
    networks = in_graphs(networks)
    first = example_store(networks, 512, 512, 3)
    second = example_store(networks, 384, 704, 11, seed=1)
    graphs = {}
    for key, network in networks.items():
        file = folder / f"{key}.onnx"
        export_graph(network, key, first, file)
        errors = [check_graph(file, key, store | _outputs(network, key, store)) for store in (first, second)]
        if max(errors) > 5e-3:
            raise ValueError(f"{key}: ONNX Runtime differs from PyTorch by {max(errors):.2e}")
        content = file.read_bytes()
        graphs[key] = {
            "file": file.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "gflop": round(count_gflop(network, key, first), 2),
        }
        print(f"{key}: {len(content) / 1e6:.1f} MB, {graphs[key]['gflop']} GFLOP at 512², error {max(errors):.1e}")
    manifest = {
        "format": 1,
        "family": "warp",
        "name": name,
        "title": title if trained else f"{title} (untrained)",
        "license": "Research weights (training pictures under research and non-commercial terms), see MODEL_CARD.md",
        "precision": "fp32",
        "size": {"area": 262144, "multiple": 64, "minSide": 256},
        "latent": {"channels": networks["denoiser"].config.latent, "downscale": 8},
        "field": {"downscale": 4, "closer": {"times": 2, "longest": 48}, "follow": list(FOLLOW)},
        "decoder": {"reach": DECODER_REACH},
        "holes": "patches",
        "schedule": {
            "kind": "scaled_linear",
            "betaStart": schedule.BETA_START,
            "betaEnd": schedule.BETA_END,
            "steps": schedule.STEPS,
            "prediction": "x0",
            "timesteps": {str(count): times for count, times in schedule.TIMESTEPS.items()},
        },
        "options": {
            "steps": list(schedule.TIMESTEPS),
            "schedulers": ["DDIM"],
            "noisePriors": ["WARP"],
            "guidance": None,
            "pointAugmentation": False,
            "sequential": False,
            "maxDrags": 100,
        },
        "defaults": {"steps": 4, "scheduler": "DDIM", "noisePrior": "WARP", "guidance": 1},
        "graphs": graphs,
        "trainedOn": "see MODEL_CARD.md",
    }
    (folder / "bundle.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest

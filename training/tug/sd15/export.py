"""From the checkpoint to a bundle: an ONNX file a graph, big ones with their weights in a file beside, and bundle.json.

One network is in memory at a time. Every graph takes any height and width that are multiples of 64.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from .graphs import POINTS, REFERENCES, Graph, Sizes, builders
from .load import Checkpoint, Schedule
from .sampling import CLIP_MEAN, CLIP_SIZE, CLIP_STD, START

OPSET = 17
TRACE_SIZE = (128, 192)
WORK_SIZE = (512, 512)
EXTERNAL_ABOVE = 1 << 30  # protobuf ends at 2 GiB; well before that a separate, memory-mapped file is better
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16}
ALIGNMENT = 4096  # so that the file can be memory-mapped
SPATIAL = {"image", "mask", "handle_map", "target_map", "latent", "masked_latent", "sample", "latent_out", *POINTS}
LICENSE = (
    "CreativeML OpenRAIL-M (Stable Diffusion), MIT (sd-vae-ft-mse), Apache-2.0 (LightningDrag, IP-Adapter); "
    "see the cards of the weights that were imported"
)


@dataclass(frozen=True)
class ImportConfig:
    checkpoints: Path
    out: Path
    precision: str = "fp16"  # "fp16", "fp32", or "both": then the fp32 bundle lies beside, with -fp32 in its name
    lcm: bool = False  # adds the U-Net with LCM-LoRA fused, for few steps
    external_above: int = EXTERNAL_ABOVE


def import_checkpoint(config: ImportConfig) -> list[Path]:
    """Writes the bundle, or both; returns their folders. Nothing is left half-written under the final name."""
    checkpoint = Checkpoint(config.checkpoints, lcm=config.lcm)
    precisions = list(PRECISIONS) if config.precision == "both" else [config.precision]
    folders = {
        precision: config.out if len(precisions) == 1 or precision == "fp16" else _sibling(config.out, "-fp32")
        for precision in precisions
    }
    for folder in folders.values():
        folder.parent.mkdir(parents=True, exist_ok=True)
    graphs = builders(checkpoint, lcm=config.lcm)
    work = {p: Path(tempfile.mkdtemp(prefix=f".{f.name}-", dir=f.parent)) for p, f in folders.items()}
    try:
        entries: dict[str, dict[str, Any]] = {precision: {} for precision in precisions}
        sizes: Sizes | None = None
        with tqdm(total=len(graphs) * (1 + len(precisions)), unit="step") as bar:
            # the U-Net first: the shapes of everything else that it meets follow from it
            for name in sorted(graphs, key=lambda name: name != "unet"):
                bar.set_description(f"reading {name}")
                graph = graphs[name]().eval().requires_grad_(False)
                if sizes is None:
                    sizes = Sizes.of(checkpoint, graph.networks[0])
                gflop = count_gflop(graph, sizes)
                bar.update()
                for precision in precisions:
                    bar.set_description(f"writing {name} in {precision}")
                    file = work[precision] / f"{name}.onnx"
                    export_graph(graph, sizes, file, precision, config.external_above)
                    entries[precision][name] = {**_entry(file), "gflop": round(gflop, 3)}
                    bar.update()
                del graph
                gc.collect()
        for precision, folder in folders.items():
            bundle = describe(folder.name, precision, checkpoint.schedule, entries[precision], lcm=config.lcm)
            (work[precision] / "bundle.json").write_text(json.dumps(bundle, indent=2) + "\n", encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            work[precision].chmod(0o755)
            work[precision].rename(folder)
    finally:
        for folder in work.values():
            shutil.rmtree(folder, ignore_errors=True)
    return list(folders.values())


def export_graph(
    graph: Graph, sizes: Sizes, file: Path, precision: str = "fp32", external_above: int = EXTERNAL_ABOVE
) -> None:
    """Writes the graph with its weights inside, or in `<file>.data` if they are larger than `external_above`.

    The exporter gets to see no weights, since it would copy them several times over; they are put in afterwards.
    """
    model = trace(graph, sizes)
    weights = take_weights(model, graph.state_dict())
    if precision == "fp16":
        model = halved(model)
    dtype = PRECISIONS[precision]
    if sum(tensor.numel() for tensor in weights.values()) * dtype.itemsize <= external_above:
        for initializer in model.graph.initializer:
            if initializer.name in weights:
                initializer.raw_data = _bytes(weights[initializer.name], dtype)
    else:
        data = file.with_name(f"{file.name}.data")
        with data.open("wb") as stream:
            for initializer in model.graph.initializer:
                if initializer.name not in weights:
                    continue
                stream.write(b"\0" * (-stream.tell() % ALIGNMENT))
                content = _bytes(weights[initializer.name], dtype)
                initializer.data_location = onnx.TensorProto.EXTERNAL
                for key, value in (("location", data.name), ("offset", stream.tell()), ("length", len(content))):
                    initializer.external_data.add(key=key, value=str(value))
                stream.write(content)
    file.write_bytes(model.SerializeToString())


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in half precision, but for its edges and the timestep's sines, whose arguments reach 1000."""
    for initializer in model.graph.initializer:
        initializer.data_type = onnx.TensorProto.FLOAT16
    kept: list[str] = []
    reached = {"timestep"}
    for node in model.graph.node:
        if reached.intersection(node.input) and node.op_type not in ("Gemm", "MatMul"):
            kept.append(node.name)
            reached.update(node.output)
    return convert_float_to_float16(model, keep_io_types=True, op_block_list=["Resize"], node_block_list=kept)


def trace(graph: Graph, sizes: Sizes) -> onnx.ModelProto:
    """The graph with names and open dimensions, at a small size; its weights are inputs under their own names."""
    shapes = sizes.shapes(*TRACE_SIZE)
    example = tuple(torch.rand(shapes[name]) for name in graph.inputs)
    names = {*graph.inputs, *graph.outputs}
    axes = {name: {2: f"{name}_height", 3: f"{name}_width"} for name in SPATIAL & names}
    axes |= {name: {1: f"{name}_length"} for name in names.intersection(REFERENCES)}
    traced = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's remarks on diffusers' shape checks
        torch.onnx.export(
            graph,
            example,
            traced,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            export_params=False,
            do_constant_folding=False,
            dynamo=False,
        )
    return onnx.load_from_string(traced.getvalue())


def take_weights(model: onnx.ModelProto, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turns the inputs that are weights into initializers, still without data; weights that are only transposed are
    stored transposed. Returns the tensor of each initializer."""
    graph = model.graph
    inputs = [entry for entry in graph.input if entry.name not in state]
    del graph.input[:]
    graph.input.extend(inputs)
    transposed = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Transpose" and node.input[0] in state and state[node.input[0]].ndim == 2
    }
    nodes = [node for node in graph.node if node.output[0] not in transposed]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    weights = {name: state[name] for name in state if name in used}
    weights |= {name: state[source].t() for name, source in transposed.items()}
    for name, tensor in weights.items():
        graph.initializer.add(name=name, dims=tensor.shape, data_type=onnx.TensorProto.FLOAT)
    return weights


def count_gflop(graph: Graph, sizes: Sizes) -> float:
    """Of one run at the work size, a multiplication and an addition counted as two; on shapes alone."""
    shapes = sizes.shapes(*WORK_SIZE)
    inputs = tuple(torch.empty(shapes[name], device="meta") for name in graph.inputs)
    weights = {name: tensor.to("meta") for name, tensor in graph.state_dict().items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.func.functional_call(graph, weights, inputs)
    return counter.get_total_flops() / 1e9


def describe(name: str, precision: str, schedule: Schedule, graphs: dict[str, Any], *, lcm: bool) -> dict[str, Any]:
    """bundle.json: what the engine must know beside the graphs."""
    defaults = {
        "steps": 25, "scheduler": "DDIM", "noisePrior": "SOURCE", "guidance": 4, "guidanceDecay": "INV_SQUARE"
    }  # fmt: skip
    if lcm:
        defaults["byScheduler"] = {"LCM": {"steps": 8, "guidance": 3}}
    return {
        "format": 1,
        "family": "lightningdrag",
        "name": name,
        "title": "LightningDrag on Stable Diffusion 1.5",
        "license": LICENSE,
        "precision": precision,
        "size": {"area": WORK_SIZE[0] * WORK_SIZE[1], "multiple": 64, "minSide": 256, "enlarge": True},
        "latent": {"channels": 4, "downscale": 8},
        "prompt": {"size": CLIP_SIZE, "mean": CLIP_MEAN, "std": CLIP_STD},
        "schedule": {
            "kind": schedule.beta_schedule,
            "betaStart": schedule.beta_start,
            "betaEnd": schedule.beta_end,
            "steps": schedule.num_train_timesteps,
            "prediction": schedule.prediction_type,
            "spacing": schedule.timestep_spacing,
            "offset": schedule.steps_offset,
            "finalAlpha": "one" if schedule.set_alpha_to_one else "first",
            "start": START,
        },
        "options": {
            "steps": [1, 2, 4, 8, 12, 16, 20, 25, 30, 40, 50],
            "schedulers": ["DDIM", "LCM"] if lcm else ["DDIM"],
            "noisePriors": ["PURE", "MIXED", "COPY_PASTE", "SOURCE", "WARP"],
            "guidance": {"min": 1, "max": 10},
            "pointAugmentation": True,
            "sequential": True,
            "maxDrags": 100,
            "trainedPairs": 20,
        },
        "defaults": defaults,
        "graphs": {name: graphs[name] for name in sorted(graphs)},
        "trainedOn": "see the cards of the weights that were imported",
    }


def _bytes(tensor: Tensor, dtype: torch.dtype) -> bytes:
    return tensor.to(dtype).contiguous().numpy().tobytes()


def _entry(file: Path) -> dict[str, Any]:
    data = file.with_name(f"{file.name}.data")
    entry: dict[str, Any] = {"file": file.name, "sha256": _sha256(file), "bytes": file.stat().st_size}
    if data.exists():
        entry["data"] = {"file": data.name, "sha256": _sha256(data), "bytes": data.stat().st_size}
    return entry


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sibling(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)

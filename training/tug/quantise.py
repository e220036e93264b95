"""`python -m tug quantise`: int8 files beside a bundle's fp32 graphs, for CPUs that multiply bytes quickly.

Static quantisation, activations as unsigned bytes with their own zero (what follows a ReLU uses all 256 values),
weights as signed numbers of seven bits with a scale for every output channel, in QuantizeLinear / DequantizeLinear
pairs that ONNX Runtime fuses. Seven, because x86 CPUs without dot products of bytes add two products in 16 bits: with
eight the encoder's latent was off by 8 % there. The ranges come from edits of synthetic cases on training photos, run
through the bundle itself, so that the denoiser sees the sampler's own trajectory. Held-out pictures are never read.

Attention and warps stay fp32, and so does all by which drags are met exactly; and the convolutions of `EXACT`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from .bundle_runner import Bundle
from .byte_graphs import quicken, scale_channel
from .cases import Case
from .export import STORED_BITS
from .masks import derived_mask
from .motions import Array
from .photos import Album, photo_paths, read_photo
from .stage_field import draw_case
from .weights import pack_graph

QUANTISED = ("field", "pull", "encoder", "appearance", "denoiser", "decoder")  # of these, those that a bundle has
WEIGHT_BITS = 7  # what `reduce_range` makes of them
SIZES = ((512, 512), (384, 512), (512, 384))
# What runs on bytes. Additions, resizings and concatenations are there so that a map between two convolutions is not
# turned into floats and back.
OPERATORS = ["Conv", "Relu", "Add", "Resize", "Concat"]
# Convolutions that stay fp32: heads whose outputs are what the sampler or a drag goes by, and stems that read a raw
# latent or coordinates. They are cheap, and what they lose nothing after them mends. Of a field network also the last
# ones before the head that says what follows a drag: in bytes all of it follows less. The denoiser's stem reads latents
# too, but four times an edit; in bytes x0 is off by 0.4 % more.
_FIELD = ("/follow/stem/", "/follow/out/", "/mend/stem/", "/mend/out/")
_FIELD += tuple(f"/follow/{layer}.{level}/" for layer in ("up", "merge", "up_blocks") for level in (0, 1))
EXACT = {
    "field": _FIELD,
    "pull": _FIELD,
    "encoder": ("/latent/",),
    "appearance": ("/stem/stem.0/",),
    "denoiser": ("/out/",),
    "decoder": (),
}
# The decoder's head: three channels of a picture in [-1, 1], and what opens the gate, which reaches further.
HEAD, GATE, GATE_REACH = "/out/Conv", 3, 8.0
RANGES = {"decoder": {"/out/Conv_output_0": (-1.25, 1.25)}}


class Recorded(CalibrationDataReader):
    """A graph's recorded inputs, one dictionary an edit."""

    def __init__(self, feeds: list[dict[str, Array]]) -> None:
        self.rest: Iterator[dict[str, Array]] = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        return next(self.rest, None)


class RecordingBundle(Bundle):
    """Keeps what each graph is given: of a denoiser's timesteps one an edit, in turn."""

    def __init__(self, folder: Path, threads: int) -> None:
        super().__init__(folder, threads)
        self.feeds: dict[str, list[dict[str, Array]]] = {name: [] for name in QUANTISED if name in self.sessions}
        self.trajectory: list[dict[str, Array]] = []

    def run(self, name: str, store: dict[str, Array]) -> None:
        if name in self.feeds:
            feed = {i.name: store[i.name] for i in self.sessions[name].get_inputs()}
            (self.trajectory if name == "denoiser" else self.feeds[name]).append(feed)
        super().run(name, store)

    def record(self, case: Case, seed: int) -> None:
        self.trajectory = []
        scene = self.prepare(case.source, case.mask, case.drags)
        self.sample(scene, self.default_steps, seed)
        self.feeds["denoiser"].append(self.trajectory[seed % len(self.trajectory)])
        if "pull" in self.sessions:
            mask = derived_mask(case.drags, *case.mask.shape)[None, None].astype(np.float32)
            self.run("pull", scene.store | {"mask": mask})


def training_cases(data: Path, count: int, seed: int = 0) -> list[Case]:
    """Synthetic cases on training photos at work sizes."""
    rng, paths = np.random.default_rng((seed, 5)), photo_paths(data)
    chosen = [paths[i] for i in rng.choice(len(paths), min(count, len(paths)), replace=False)]
    album = Album([p.name for p in chosen], [read_photo(p) for p in chosen], [None] * len(chosen))
    return [draw_case(rng, album, [], SIZES[i % len(SIZES)], 0.4) for i in range(count)]


def exact_nodes(model: onnx.ModelProto, name: str) -> list[str]:
    """Names of the nodes that stay fp32: the convolutions of `EXACT` and, since only maps between convolutions are
    meant, everything that no quantised convolution is next to."""
    nodes = model.graph.node
    exact = {n.name for n in nodes if n.op_type == "Conv" and n.name.startswith(EXACT[name])}
    made = {output: n for n in nodes for output in n.output}
    through = ("Relu", "Add", "Resize", "Concat")

    def on_bytes(node: onnx.NodeProto | None) -> bool:
        """Whether a value comes out of quantised convolutions only, through operators that keep it in bytes."""
        if node is None or node.name in exact:
            return False
        if node.op_type == "Conv":
            return True
        inputs = (
            [made.get(i) for i in node.input[:1] if i]
            if node.op_type == "Resize"
            else [made.get(i) for i in node.input]
        )
        return node.op_type in through and any(on_bytes(i) for i in inputs)

    return sorted(exact | {n.name for n in nodes if n.op_type in through and not on_bytes(n)})


def _overrides(name: str) -> dict[str, list[dict]]:
    ranges = RANGES.get(name, {})
    return {tensor: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for tensor, (low, high) in ranges.items()}


def quantise_graph(file: Path, name: str, feeds: list[dict[str, Array]], out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        model = onnx.load(str(prepared))
        if name == "decoder":
            scale_channel(model, HEAD, GATE, GATE_REACH)
            onnx.save(model, str(prepared))
        quantize_static(
            str(prepared),
            str(out),
            Recorded(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=exact_nodes(model, name),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"TensorQuantOverrides": _overrides(name)},
        )
    model = onnx.load(str(out))
    quicken(model)
    pack_graph(model, STORED_BITS.get(name, 16))
    onnx.checker.check_model(model)
    onnx.save(model, str(out))


def quantise(folder: Path, data: Path, cases: int = 24, threads: int = 2) -> dict:
    """Writes NAME.int8.onnx and the manifest's `int8` entries into a bundle's folder; returns the manifest."""
    if cases < 1:
        raise ValueError(f"{cases} cases: at least one is needed to find the ranges")
    bundle = RecordingBundle(folder, threads)
    for index, case in enumerate(training_cases(data, cases)):
        bundle.record(case, index)
    manifest = bundle.manifest
    for name in list(bundle.feeds):
        entry = manifest["graphs"][name]
        out = folder / f"{name}.int8.onnx"
        quantise_graph(folder / entry["file"], name, bundle.feeds.pop(name), out)
        content = out.read_bytes()
        entry["int8"] = {"file": out.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        print(f"{name}: {entry['bytes'] / 1e6:.1f} MB → {len(content) / 1e6:.1f} MB", flush=True)
    manifest["precisions"] = ["fp32", "int8"]
    manifest["weightBits"] = WEIGHT_BITS
    (folder / "bundle.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def register(commands: argparse._SubParsersAction) -> None:
    """Adds `quantise` to the command line."""
    command = commands.add_parser("quantise", help="int8 files beside a bundle's graphs")
    command.add_argument("--bundle", type=Path, default=Path("../models/tug-small"))
    command.add_argument("--data", type=Path, default=Path("../../shared/data"))
    command.add_argument("--cases", type=int, default=24, help="edits of training photos that the ranges come from")
    command.add_argument("--threads", type=int, default=2)
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    logging.getLogger().setLevel(logging.ERROR)  # the quantiser's advice on preprocessing, which is done here
    try:
        quantise(args.bundle, args.data, args.cases, args.threads)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from error

"""The PyTorch side of `npm run bench`: the same weights as a bundle, run the way the reference runs them.

    python -m tug.bench_torch small --bundle models/tug-small --threads 2
    python -m tug.bench_torch sd15 --checkpoints DIR --threads 2

A worker: it reads one JSON request a line and writes one JSON answer a line, so that the benchmark can take turns with
it. Requests name a folder of tensors `NAME.f32` that `tensors.json` lists with their shapes: what the engine's graphs
took in an edit.

    {"do": "load", "folder": F}   → {"torch": version, "errors": {graph: relative L2 error of its outputs}}
    {"do": "run"}                 → {"ms": …, "stages": {graph: ms}}

`small` runs a whole edit (`pipeline.edit`, without previews or files). `sd15` runs one guided step of the denoiser as
the reference does, both branches as one batch of two; `{"do": "run", "what": "branches"}` runs them one after the
other, `{"do": "run", "what": "appearance"}` the appearance encoder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Store = dict[str, Tensor]
Answer = dict[str, Any]


class Subject(Protocol):
    """What is measured."""

    def load(self, store: Store) -> dict[str, float]:
        """Takes the tensors; returns how far each graph's outputs are from the engine's."""

    def run(self, what: str | None) -> Answer:
        """One run, timed."""


class SmallEdit:
    """The small networks in the training's own pipeline; weights from the bundle's graphs."""

    def __init__(self, bundle: Path) -> None:
        from .export import build_networks
        from .weights import load_weights

        self.networks = build_networks().eval().requires_grad_(False)
        missing = set(self.networks) - set(load_weights(self.networks, bundle))
        if missing:
            raise SystemExit(f"{bundle} has no {', '.join(sorted(missing))}")
        self.steps = int(json.loads((bundle / "bundle.json").read_text())["defaults"]["steps"])
        self.stages: dict[str, float] = {}
        for name, network in self.networks.items():
            self._time(name, network)

    def _time(self, name: str, network: nn.Module) -> None:
        started: list[float] = []

        def before(*_: Any) -> None:
            started.append(time.perf_counter())

        def after(*_: Any) -> None:
            self.stages[name] = self.stages.get(name, 0.0) + 1000 * (time.perf_counter() - started.pop())

        network.register_forward_pre_hook(before)
        network.register_forward_hook(after)

    def load(self, store: Store) -> dict[str, float]:
        from .cases import Case
        from .export import GRAPHS, in_graphs
        from .pipeline import to_image

        store = store | {"x0": store["latent_out"]}
        errors, graphs = {}, in_graphs(self.networks)
        for name, (inputs, outputs) in GRAPHS.items():
            made = graphs[name](*(store[key] for key in inputs))
            made = made if isinstance(made, tuple) else (made,)
            known = [(store[key], value) for key, value in zip(outputs, made, strict=True) if key in store]
            if known:
                errors[name] = max(relative(value, truth) for truth, value in known)
        mask = store["mask"][0, 0].numpy()
        source, nothing = to_image(store["image"]), np.zeros((*mask.shape, 2), np.float32)
        self.case = Case(source, mask, store["drags"][0].numpy(), source, nothing, mask)
        return errors

    def run(self, what: str | None) -> Answer:
        from .pipeline import edit

        self.stages.clear()
        start = time.perf_counter()
        edit(self.networks, self.case, self.steps)
        return {"ms": 1000 * (time.perf_counter() - start), "stages": dict(self.stages)}


class GuidedStep:
    """The denoiser of the published size; weights from the checkpoint that the bundle was made of. One network is in
    memory at a time."""

    def __init__(self, checkpoints: Path) -> None:
        from .sd15.load import Checkpoint

        self.checkpoint = Checkpoint(checkpoints)
        self.network: nn.Module | None = None
        self.held = ""

    def load(self, store: Store) -> dict[str, float]:
        """The store's `next_sample` is the engine's x after one guided step of `steps` from `sample`."""
        from .sd15.graphs import REFERENCES
        from .sd15.sampling import alphas, ddim_step

        references = dict(zip(REFERENCES, self._hold("appearance")(store["latent"]), strict=True))
        errors = {"appearance features": max(relative(references[k], store[k]) for k in REFERENCES if k in store)}
        self.store = store | references
        self._hold("unet")
        conditional, unconditional = self._branches()
        guided = unconditional + float(store["guidance"]) * (conditional - unconditional)
        schedule, t = self.checkpoint.schedule, int(store["timestep"])
        a, following = alphas(schedule), t - schedule.num_train_timesteps // int(store["steps"])
        after = ddim_step(store["sample"].double().numpy(), guided.double().numpy(), a[t], a[following])
        errors["x after a guided step"] = relative(torch.from_numpy(after), store["next_sample"])
        return errors

    def run(self, what: str | None) -> Answer:
        work: dict[str | None, tuple[str, Callable[[], Any]]] = {
            None: ("unet", self._batch),
            "branches": ("unet", self._branches),
            "appearance": ("appearance", lambda: self._hold("appearance")(self.store["latent"])),
        }
        name, call = work[what]
        self._hold(name)
        start = time.perf_counter()
        call()
        took = 1000 * (time.perf_counter() - start)
        return {"ms": took, "stages": {name: took}}

    def _hold(self, name: str) -> nn.Module:
        if self.held != name or self.network is None:
            self.network = None
            self.network = getattr(self.checkpoint, name)()
            self.held = name
        return self.network

    def _branches(self) -> tuple[Tensor, Tensor]:
        return self._predict(torch.ones(1), 1), self._predict(torch.zeros(1), 1)

    def _batch(self) -> Tensor:
        """[2, 4, h, w]: without the points, with them."""
        return self._predict(torch.tensor([0.0, 1.0])[:, None, None], 2)

    def _predict(self, scale: Tensor, batch: int) -> Tensor:
        from .sd15.graphs import LEVELS, POINTS, REFERENCES
        from .sd15.networks import Conditions

        def all_of(names: list[str]) -> list[Tensor]:
            return [several(name) for name in names]

        def several(name: str) -> Tensor:
            return self.store[name].expand(batch, *self.store[name].shape[1:])

        conditions = Conditions(all_of(REFERENCES), all_of(POINTS[:LEVELS]), all_of(POINTS[LEVELS:]), scale)
        inputs = all_of(["sample", "mask", "masked_latent"])
        return self._hold("unet")(*inputs, self.store["timestep"], several("image_tokens"), conditions)


def relative(value: Tensor, truth: Tensor) -> float:
    """L2 norm of the difference over that of the truth."""
    return float((value - truth).norm() / truth.norm())


def read_store(folder: Path) -> Store:
    shapes: dict[str, list[int]] = json.loads((folder / "tensors.json").read_text())
    return {
        name: torch.from_numpy(np.fromfile(folder / f"{name}.f32", np.float32).reshape(shape))
        for name, shape in shapes.items()
    }


def serve(subject: Subject) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        with torch.inference_mode():
            if request["do"] == "load":
                errors = subject.load(read_store(Path(request["folder"])))
                answer: Answer = {"torch": torch.__version__, "errors": errors}
            else:
                answer = subject.run(request.get("what"))
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=["small", "sd15"])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    wanted = args.bundle if args.subject == "small" else args.checkpoints
    if wanted is None:
        parser.error("small takes --bundle, sd15 takes --checkpoints")
    serve(SmallEdit(wanted) if args.subject == "small" else GuidedStep(wanted))


if __name__ == "__main__":
    main()

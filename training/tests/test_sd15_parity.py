"""The published layout in PyTorch against the reference: every stage of the golden tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra tug-training[sd15] is not installed")
from safetensors import safe_open  # noqa: E402

from tug.sd15 import make_goldens, sampling  # noqa: E402
from tug.sd15.graphs import TorchGraphs  # noqa: E402
from tug.sd15.load import Checkpoint  # noqa: E402
from tug.sd15.random_checkpoint import make_random_checkpoint  # noqa: E402

GOLDENS = Path(__file__).parents[2] / "packages" / "engine" / "test" / "goldens" / "lightningdrag"
TOLERANCE = 1e-3
CASES = sorted(path.stem for path in GOLDENS.glob("*.safetensors"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_random_checkpoint(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def graphs(checkpoint: Path) -> TorchGraphs:
    return TorchGraphs(Checkpoint(checkpoint, lcm=True))


def read_golden(name: str) -> tuple[make_goldens.Case, dict[str, np.ndarray], str]:
    with safe_open(GOLDENS / f"{name}.safetensors", "np") as file:
        case = make_goldens.Case(**json.loads(file.metadata()["case"]))
        return case, {key: file.get_tensor(key) for key in file.keys()}, file.metadata()["checkpoint"]


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def stage_errors(run: sampling.RunGraph, checkpoint: Checkpoint, name: str) -> dict[str, float]:
    """Relative L2 error of every stage that the golden file holds."""
    case, golden, _ = read_golden(name)
    size = case.height, case.width
    store = sampling.prepare(
        run, make_goldens.picture(*size), make_goldens.mask(*size) / 255.0, make_goldens.drags(case.drags, *size)
    )
    settings = sampling.Settings(case.scheduler, case.steps, case.guidance, case.decay, case.guided_steps)
    errors = {key: relative(store[key], golden[key]) for key in store.keys() & golden.keys() - {"clip_pixels"}}
    errors["clip_pixels"] = relative(store["clip_pixels"][:, :, ::7, ::7], golden["clip_pixels"])
    kept = range(case.steps) if case.candidates == 1 else [0, 1, case.steps - 1]
    thin = max(1, case.height // 64)
    for candidate in range(case.candidates):
        noise, *fresh = golden["noise"][:, candidate : candidate + 1]
        for i, (_, x, conditional, unconditional) in enumerate(
            sampling.denoise(run, checkpoint.schedule, settings, store, noise, fresh)
        ):
            if i == 0 and candidate == 0:
                errors["epsilon_cond"] = relative(conditional, golden["epsilon_cond"])
                if unconditional is not None:
                    errors["epsilon_uncond"] = relative(unconditional, golden["epsilon_uncond"])
            if i in kept:
                at = list(kept).index(i)
                errors[f"candidate {candidate} step {i}"] = relative(x[0], golden["latents"][at, candidate])
        picture = run("vae_decoder", {"latent_out": x})["picture"][0, :, ::thin, ::thin]
        errors[f"candidate {candidate} picture"] = relative(picture, golden["picture"][candidate])
    return errors


def test_the_random_checkpoint_is_the_one_the_goldens_were_made_with(checkpoint: Path) -> None:
    assert len(CASES) == len(make_goldens.CASES)
    assert {read_golden(name)[2] for name in CASES} == {make_goldens.digest(checkpoint)}


def test_the_empty_prompt(checkpoint: Path) -> None:
    text = Checkpoint(checkpoint).text().numpy()
    assert relative(text, read_golden("ddim25-square")[1]["text"]) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_every_stage_agrees_with_the_reference(name: str, graphs: TorchGraphs) -> None:
    errors = stage_errors(graphs, graphs.checkpoint, name)
    assert {stage: error for stage, error in errors.items() if not error < TOLERANCE} == {}

"""One training loop for every stage: bf16 autocast where it is fast, channels last, EMA, checkpoints, exact resumption.

A stage is a `Stage`: networks, a deterministic `batch(step)` and a `loss(batch, step)`. Everything random comes from
(seed, step), so a run that was stopped and resumed equals one that was not. The loop runs until `steps`, or until
`minutes` are over, whichever comes first; the state is on disk every `save_minutes`.
"""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .config import ConfigError
from .weights import load_weights, save

Batch = dict[str, Tensor]


@dataclass
class TrainConfig:
    """steps: length of the whole schedule; the rate rises over `warmup` steps and falls linearly to 5 % after
    `decay_from` (a share of steps); seed: of the cases and all else that is drawn; precision: bf16, fp32, or auto:
    bf16 where the machine has instructions for it (a CPU that has to imitate it is seven times slower than in fp32)."""

    steps: int = 3000
    rate: float = 5e-4
    warmup: int = 100
    decay_from: float = 0.5
    weight_decay: float = 1e-3
    ema: float = 0.998
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    seed: int = 0
    workers: int = 1
    minutes: float = 150.0
    save_minutes: float = 3.0
    log_every: int = 20
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ConfigError(f"precision {self.precision!r}: auto, bf16 or fp32")


class Stage(Protocol):
    """What the loop needs of a stage; `networks` are trained, and saved under their names."""

    networks: nn.ModuleDict

    def batch(self, step: int) -> dict[str, np.ndarray]: ...

    def loss(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, float]]: ...


class _Batches(Dataset):
    def __init__(self, stage: Stage, steps: int) -> None:
        self.stage, self.steps = stage, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in self.stage.batch(step).items()}


def _start_worker(_: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def learning_rate(config: TrainConfig, step: int) -> float:
    start = config.decay_from * config.steps
    fall = max(0.0, (step - start) / max(1.0, config.steps - start))
    return config.rate * min(1.0, (step + 1) / config.warmup) * (1 - 0.95 * min(1.0, fall))


def in_bf16(precision: str, device: torch.device) -> bool:
    """Whether the passes run in bf16 on this device; parameters and their averages are fp32 either way."""
    if precision != "auto" or device.type == "cuda":
        return precision != "fp32"
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for old, new in zip(ema.parameters(), model.parameters(), strict=True):
            old.lerp_(new.detach(), 1 - decay)


def train(stage: Stage, config: TrainConfig, folder: Path, warm: Path | None = None) -> nn.ModuleDict:
    """Trains `stage`; state in `folder`/state.pt, log in `folder`/log.tsv. Starts from the state if there is one, else
    from `warm` (weights file, checkpoint or bundle folder), else from nothing. Returns the averaged networks."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    networks = stage.networks
    if warm is not None and warm.exists():
        load_weights(networks, warm)
    half = in_bf16(config.precision, device)
    # a CPU's fp32 convolutions are a fifth quicker on plain maps
    layout = torch.channels_last if half or device.type == "cuda" else torch.contiguous_format
    networks.to(device, memory_format=layout)
    ema = copy.deepcopy(networks).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        networks.parameters(), lr=config.rate, betas=config.betas, weight_decay=config.weight_decay
    )
    step, file = 0, folder / "state.pt"
    if file.exists():
        state = torch.load(file, map_location=device, weights_only=True)
        networks.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    batches = DataLoader(
        _Batches(stage, config.steps),
        batch_size=None,
        sampler=range(step, config.steps),
        num_workers=config.workers,
        prefetch_factor=4 if config.workers else None,
        worker_init_fn=_start_worker,
    )
    begin = saved = time.monotonic()
    sums: dict[str, list[float]] = {}

    def store() -> None:
        state = {"model": networks.state_dict(), "ema": ema.state_dict(), "optimiser": optimiser.state_dict()}
        save(file, {**state, "step": step, "config": asdict(config)})

    for batch in batches:
        torch.manual_seed(config.seed * 1_000_003 + step)
        batch = {key: _move(value, device, layout) for key, value in batch.items()}
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, step)
        # (no cache of cast weights: one made under no_grad, by a rollout, would cut the gradient of the next pass)
        with torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
            loss, figures = stage.loss(batch, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(networks.parameters(), config.clip)
        if torch.isfinite(norm):
            optimiser.step()
        step += 1
        average(ema, networks, min(config.ema, (step + 1) / (step + 10)))
        for key, value in {"loss": float(loss.detach()), "norm": float(norm), **figures}.items():
            sums.setdefault(key, []).append(value)
        now = time.monotonic()
        if step % config.log_every == 0:
            line = " ".join(f"{key} {np.mean(values):.4f}" for key, values in sums.items())
            line = f"step {step} min {(now - begin) / 60:.1f} {line}"
            print(line, flush=True)
            with (folder / "log.txt").open("a") as log:
                log.write(line + "\n")
            sums.clear()
        over = (now - begin) / 60 > config.minutes
        if over or now - saved > 60 * config.save_minutes:
            store()
            saved = now
        if over:
            break
    store()
    return ema


def _move(value: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
    value = value.to(device)
    return value.contiguous(memory_format=layout) if value.dim() == 4 else value

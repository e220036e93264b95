"""Figures of merit for an edited picture against the truth, and paired bootstrap intervals over cases.

Pictures are uint8 [H, W, 3] RGB; regions are [H, W], counted where above 0.5. A figure whose region is empty is NaN
and leaves its case out. `Perceptual` scores with lite2, a feature network that training never sees.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime
import torch
from torch import Tensor

from .features import Features, distance

Array = np.ndarray
SMALLEST_REGION = 40  # pixels; fewer say nothing


def luma(image: Array) -> Array:
    """Rec. 601 luminance, float32 [H, W], 0 to 255."""
    return image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def psnr(result: Array, truth: Array, region: Array | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels of the region; capped at 60."""
    error = (result.astype(np.float32) - truth.astype(np.float32)) ** 2
    if region is not None:
        inside = region > 0.5
        if inside.sum() < SMALLEST_REGION:
            return float("nan")
        error = error[inside]
    return float(min(60.0, 10 * np.log10(255**2 / max(1e-9, float(error.mean())))))


def ssim(result: Array, truth: Array, region: Array | None = None) -> float:
    """Structural similarity of luminance (Gaussian window, sigma 1.5), averaged over the region."""
    x, y = luma(result), luma(truth)

    def blur(image: Array) -> Array:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    if region is None:
        return float(values.mean())
    inside = region > 0.5
    return float(values[inside].mean()) if inside.sum() >= SMALLEST_REGION else float("nan")


def laplacian_energy(image: Array, region: Array) -> float:
    """Mean squared Laplacian of luminance, in (grey levels)², away from the region's own border where it can be."""
    inside = (region > 0.5).astype(np.uint8)
    inner = cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=1)
    use = inner if inner.sum() >= SMALLEST_REGION else inside
    if use.sum() < SMALLEST_REGION:
        return float("nan")
    values = cv2.Laplacian(luma(image), cv2.CV_32F, ksize=1)
    return float((values[use > 0] ** 2).mean())


def sharpness(result: Array, truth: Array, region: Array) -> float:
    """Laplacian energy of the result over that of the truth; 1 is as sharp, below 1 softer. Half a grey level of
    noise is added to both, so that empty sky against empty sky is 1."""
    return (laplacian_energy(result, region) + 5) / (laplacian_energy(truth, region) + 5)


def seam_gradient(image: Array, hole: Array, mask: Array, band: float = 2.5) -> float:
    """Mean absolute luminance derivative across the border of a hole [H, W], within `band` px of it, grey levels/px."""
    inside = (hole > 0.5).astype(np.uint8)
    if inside.sum() < SMALLEST_REGION:
        return float("nan")
    signed = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    near = (np.abs(signed) <= band) & (mask > 0.5)
    if near.sum() < SMALLEST_REGION:
        return float("nan")
    smooth = cv2.GaussianBlur(signed, (0, 0), 1.5)
    ny, nx = np.gradient(smooth)
    length = np.hypot(nx, ny) + 1e-6
    gy, gx = np.gradient(luma(image))
    return float(np.abs((gx * nx + gy * ny) / length)[near].mean())


def seam_ratio(result: Array, truth: Array, hole: Array, mask: Array) -> float:
    """Seam gradient of the result over the truth's; half a grey level a pixel is added to both."""
    return (seam_gradient(result, hole, mask) + 0.5) / (seam_gradient(truth, hole, mask) + 0.5)


def end_point_error(field: Array, true: Array, region: Array) -> float:
    """Mean Euclidean distance of two backward fields [H, W, 2] over the region, in pixels."""
    inside = region > 0.5
    if inside.sum() < SMALLEST_REGION:
        return float("nan")
    return float(np.hypot(*np.moveaxis(field - true, -1, 0))[inside].mean())


def to_tensor(image: Array) -> Tensor:
    """uint8 [H, W, 3] → float32 [1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 127.5 - 1


class Perceptual:
    """Perceptual distance by lite2's feature maps (0 = identical), over a region or the whole picture.

    The network runs in ONNX Runtime, which folds its normalisations: twice as fast as PyTorch on a CPU."""

    def __init__(self, threads: int = 1) -> None:
        network, file = Features("lite2"), io.BytesIO()
        names = [f"map_{index}" for index in range(4)]
        axes = {name: {2: f"h{i}", 3: f"w{i}"} for i, name in enumerate(["image", *names])}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example = torch.zeros(1, 3, 256, 320)
            torch.onnx.export(
                network, (example,), file, input_names=["image"], output_names=names, dynamic_axes=axes, dynamo=False
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    def maps(self, image: Array) -> list[Tensor]:
        """Feature maps of uint8 [H, W, 3] at 1/2, 1/4, 1/8 and 1/16."""
        return [torch.from_numpy(m) for m in self.session.run(None, {"image": to_tensor(image).numpy()})]

    @torch.no_grad()
    def between(self, one: list[Tensor], two: list[Tensor], region: Array | None = None) -> float:
        if region is None:
            return float(distance(one, two)[0])
        if (region > 0.5).sum() < SMALLEST_REGION:
            return float("nan")
        weight = torch.from_numpy((region > 0.5).astype(np.float32))[None, None]
        return float(distance(one, two, weight)[0])


@dataclass(frozen=True)
class Bound:
    """A mean (or a ratio of means) over cases with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _draws(count: int, groups: list[str] | None, draws: int, seed: int):
    """Index arrays of bootstrap samples; whole groups are drawn where there are any (clips, photographs)."""
    rng = np.random.default_rng(seed)
    if groups is None:
        for _ in range(draws):
            yield rng.integers(count, size=count)
        return
    names = sorted(set(groups))
    members = [np.flatnonzero(np.array(groups) == name) for name in names]
    for _ in range(draws):
        yield np.concatenate([members[i] for i in rng.integers(len(names), size=len(names))])


def paired_difference(
    ours: Array, theirs: Array, groups: list[str] | None = None, draws: int = 2000, seed: int = 0
) -> Bound:
    """Mean of ours - theirs over the cases where both are known."""
    return _bootstrap(ours, theirs, groups, lambda a, b: float((a - b).mean()), draws, seed)


def paired_ratio(
    ours: Array, theirs: Array, groups: list[str] | None = None, draws: int = 2000, seed: int = 0
) -> Bound:
    """Mean of ours over mean of theirs, on the cases where both are known."""
    return _bootstrap(ours, theirs, groups, lambda a, b: float(a.mean() / b.mean()), draws, seed)


def mean_bound(values: Array, groups: list[str] | None = None, draws: int = 2000, seed: int = 0) -> Bound:
    return _bootstrap(values, values, groups, lambda a, _: float(a.mean()), draws, seed)


def geometric_bound(values: Array, groups: list[str] | None = None, draws: int = 2000, seed: int = 0) -> Bound:
    """Geometric mean, for ratios (sharpness, seams)."""
    return _bootstrap(values, values, groups, lambda a, _: float(np.exp(np.log(a).mean())), draws, seed)


def _bootstrap(ours, theirs, groups, figure, draws: int, seed: int) -> Bound:
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) == 0:
        return Bound(float("nan"), float("nan"), float("nan"), 0)
    kept = None if groups is None else [g for g, k in zip(groups, known, strict=True) if k]
    samples = [figure(a[i], b[i]) for i in _draws(len(a), kept, draws, seed)]
    low, high = np.percentile(samples, [2.5, 97.5])
    return Bound(figure(a, b), float(low), float(high), len(a))

"""Figures of merit on pictures whose answer is known."""

import numpy as np
import pytest

from tug import metrics


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    import cv2

    return cv2.GaussianBlur(rng.integers(0, 255, (96, 128, 3), np.uint8), (0, 0), 1.5)


def test_psnr_of_a_constant_error(picture):
    off = np.clip(picture.astype(int) + 10, 0, 255).astype(np.uint8)
    assert metrics.psnr(off, picture) == pytest.approx(20 * np.log10(25.5), abs=0.01)
    assert metrics.psnr(picture, picture) == 60


def test_regions_are_respected(picture):
    spoilt = picture.copy()
    spoilt[:, :64] = 0
    right = np.zeros(picture.shape[:2])
    right[:, 72:] = 1
    assert metrics.psnr(spoilt, picture, right) == 60
    assert metrics.ssim(spoilt, picture, right) == pytest.approx(1, abs=1e-5)
    assert metrics.psnr(spoilt, picture, 1 - right) < 20
    assert np.isnan(metrics.psnr(spoilt, picture, np.zeros_like(right)))


def test_blur_lowers_sharpness_and_noise_raises_it(picture):
    import cv2

    everywhere = np.ones(picture.shape[:2])
    soft = cv2.GaussianBlur(picture, (0, 0), 2)
    noisy = np.clip(picture + np.random.default_rng(1).normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    assert metrics.sharpness(picture, picture, everywhere) == 1
    assert metrics.sharpness(soft, picture, everywhere) < 0.5
    assert metrics.sharpness(noisy, picture, everywhere) > 2


def test_a_pasted_patch_has_a_seam(picture):
    hole = np.zeros(picture.shape[:2])
    hole[30:60, 40:90] = 1
    pasted = picture.copy()
    pasted[30:60, 40:90] = 255 - pasted[30:60, 40:90] // 4
    assert metrics.seam_ratio(picture, picture, hole, np.ones_like(hole)) == 1
    assert metrics.seam_ratio(pasted, picture, hole, np.ones_like(hole)) > 1.5


def test_end_point_error_is_euclidean():
    true, field = np.zeros((20, 20, 2)), np.full((20, 20, 2), [3.0, 4.0])
    assert metrics.end_point_error(field, true, np.ones((20, 20))) == 5


def test_paired_bounds_see_what_unpaired_ones_cannot():
    rng = np.random.default_rng(0)
    base = rng.normal(20, 5, 60)
    bound = metrics.paired_difference(base + rng.normal(0.5, 0.5, 60), base)
    assert 0.2 < bound.low < 0.5 < bound.high < 0.8 and bound.count == 60


def test_bootstrap_by_group_is_wider_when_cases_repeat():
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 8), 10)
    groups = [str(i // 10) for i in range(80)]
    alone, grouped = metrics.mean_bound(values), metrics.mean_bound(values, groups)
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_unknown_cases_are_left_out():
    bound = metrics.paired_ratio(np.array([1.0, np.nan, 3.0]), np.array([2.0, 2.0, np.nan]))
    assert bound.value == 0.5 and bound.count == 1
    assert metrics.mean_bound(np.array([np.nan])).count == 0


def test_the_scoring_network_is_lite2_as_pytorch_has_it(picture):
    import torch

    from tug.features import Features

    perceptual = metrics.Perceptual()
    with torch.no_grad():
        expected = Features("lite2")(metrics.to_tensor(picture))
    for one, two in zip(perceptual.maps(picture), expected, strict=True):
        assert one.shape == two.shape
        assert (one - two).abs().max() < 1e-3 * two.abs().max()
    assert perceptual.between(perceptual.maps(picture), expected) < 1e-4
    assert perceptual.between(perceptual.maps(picture), perceptual.maps(255 - picture)) > 0.1

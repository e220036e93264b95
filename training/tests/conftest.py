"""Shared fixtures: pictures drawn on the spot, tiny network configurations, one thread."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tug.autoencoder import AutoencoderConfig
from tug.dragnet import DragConfig
from tug.fieldnet import FieldConfig
from tug.photos import Album

torch.set_num_threads(2)

FIELD = FieldConfig(channels=(8, 8, 16), blocks=(0, 1, 1))
AUTOENCODER = AutoencoderConfig(channels=(8, 16, 16), skips=(4, 8), latent=4)
DRAG = DragConfig(channels=(16, 32, 32), appearance=16, latent=4, embedding=16, head=16)


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth coloured noise with a bright disk on it, uint8 [H, W, 3]."""
    import cv2

    rng = np.random.default_rng(seed)
    image = np.clip(cv2.GaussianBlur(rng.normal(128, 300, (height, width, 3)), (0, 0), 4), 0, 255).astype(np.uint8)
    cv2.circle(image, (width // 2, height // 2), height // 5, (250, 230, 40), -1)
    return image


@pytest.fixture
def album() -> Album:
    photos = [picture(seed) for seed in range(4)]
    cut = np.all(photos[0] == np.array([250, 230, 40]), axis=-1)
    return Album([f"p{i}" for i in range(4)], photos, [cut, cut, None, cut])

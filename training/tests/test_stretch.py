"""What a field draws out, known in advance; squeezed photos and where their pixels went; what the restorer may add."""

from __future__ import annotations

import numpy as np
import torch
from conftest import AUTOENCODER, picture

from tug.autoencoder import Decoder, Encoder
from tug.geometry import pixel_grid, sample
from tug.stage_restore import RestoreStage, RestoreStageConfig, squeeze, squeezed_photo
from tug.stretch import Restorer, drawn_out, least_scale, stretch
from tug.trainer import TrainConfig, train


def _linear(matrix: np.ndarray, size: int = 16) -> torch.Tensor:
    """The backward field of x → matrix x about the middle."""
    grid = pixel_grid(torch.zeros(1, 1, size, size)) - size / 2
    return torch.einsum("ij,bjhw->bihw", torch.tensor(matrix, dtype=torch.float32), grid) - grid


def test_the_metric_tells_how_much_is_drawn_out_and_along_which_direction() -> None:
    c, s = np.cos(0.5), np.sin(0.5)
    turn = np.array([[c, -s], [s, c]])
    matrix = turn @ np.diag([0.5, 1.5]) @ turn.T  # twice as long along 0.5 radians, squeezed across it
    metric = stretch(_linear(matrix))[..., 1:-1, 1:-1]
    expected = torch.tensor([c * c / 4 + 2.25 * s * s, (0.25 - 2.25) * c * s, s * s / 4 + 2.25 * c * c])
    assert torch.allclose(metric, expected.float().view(1, 3, 1, 1).expand_as(metric), atol=1e-4)
    assert torch.allclose(least_scale(metric), torch.tensor(0.5), atol=1e-3)
    alone = stretch(_linear(turn @ np.diag([0.5, 1.0]) @ turn.T))[..., 1:-1, 1:-1]
    assert torch.allclose(drawn_out(metric), alone, atol=1e-3)  # the squeeze across it is left out
    assert torch.allclose(drawn_out(4 * alone), torch.tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1), atol=1e-3)
    turned = stretch(_linear(turn))[..., 1:-1, 1:-1]
    assert torch.allclose(least_scale(turned), torch.tensor(1.0), atol=1e-3)


def test_beside_a_break_nothing_is_drawn_out() -> None:
    field = _linear(np.diag([0.5, 1.0]))
    field[:, 0, :, 8:] = 6.0  # to the right of it all moves as one
    least = least_scale(drawn_out(stretch(field)))[0, 0]
    assert torch.allclose(least[1:-1, 1:7], torch.tensor(0.5), atol=1e-3)
    assert torch.allclose(least[1:-1, 7:], torch.tensor(1.0), atol=1e-3)
    torn = torch.zeros(1, 2, 16, 16)
    torn[:, 0, :, 8:] = -1.6  # half-way between the two sides it would look like four fifths drawn out
    assert torch.allclose(least_scale(stretch(torn)), torch.tensor(1.0), atol=1e-3)


def test_each_squeezed_pixel_is_the_mean_of_what_it_covers() -> None:
    columns = np.arange(8, dtype=np.float32)[None, :, None].repeat(2, 0)
    squeezed, went = squeeze(columns, np.full(8, 0.5))
    # four pixels of two columns each in the middle; ends repeated
    assert np.allclose(squeezed[0, :, 0], [0.5, 0.5, 0.5, 2.5, 4.5, 6.5, 6.5, 6.5])
    assert np.allclose(went, 2.25 + np.arange(8) / 2)
    same, stayed = squeeze(columns, np.ones(8))
    assert np.allclose(same, columns) and np.allclose(stayed, np.arange(8) + 0.5)


def test_a_sample_shows_its_target_where_it_says_and_as_drawn_out_as_it_says() -> None:
    photo = picture(3, 256, 256)
    for seed in range(6):
        made = squeezed_photo(np.random.default_rng(seed), photo, RestoreStageConfig(size=64))
        source, where, metric = (torch.from_numpy(made[key])[None] for key in ("source", "where", "stretch"))
        warped = sample(source.permute(0, 3, 1, 2), where)[0].permute(1, 2, 0).numpy()
        assert np.abs(warped - made["target"]).mean() < 4  # grey levels of a smooth picture with a sharp disk
        measured = stretch(where - pixel_grid(where))
        assert (measured - metric)[..., 1:-1, 1:-1].abs().max() < 0.03
        assert least_scale(metric).min() < 0.8 and least_scale(metric).max() <= 1.001


def test_nothing_is_added_where_nothing_is_drawn_out_and_nothing_shows_where_it_is_hidden() -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder(AUTOENCODER), Decoder(AUTOENCODER)
    torch.nn.init.normal_(decoder.restorer.out.weight, std=0.1)
    image, mask = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    latent, skip_2, skip_4 = encoder(image)
    still, seen = torch.zeros(1, 2, 16, 16), torch.ones(1, 1, 16, 16)
    twice = stretch(_linear(np.diag([0.5, 1.0])))

    def picture_of(metric: torch.Tensor | None, visibility: torch.Tensor, photo: torch.Tensor = image) -> torch.Tensor:
        return decoder(latent, photo, skip_2, skip_4, mask, visibility, metric)

    plain = picture_of(None, seen)
    assert torch.equal(picture_of(stretch(still), seen), plain)
    assert (picture_of(twice, seen) - plain).abs().mean() > 0.01
    assert torch.allclose(picture_of(twice, 0 * seen), picture_of(twice, 0 * seen, 1 - image))


def test_the_restorer_learns_and_the_encoder_stays(tmp_path) -> None:
    torch.manual_seed(0)
    encoder = Encoder(AUTOENCODER)
    before = [p.clone() for p in encoder.parameters()]
    config = RestoreStageConfig(batch=4, size=64, critic_from=40)
    stage = RestoreStage([picture(seed, 128, 128) for seed in range(4)], config, AUTOENCODER, encoder, None)
    assert isinstance(stage.networks["restorer"], Restorer)
    critic = [p.clone() for p in stage.networks["critic"].parameters()]
    unseen = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in stage.batch(1000).items()}

    def pixel_error() -> float:
        with torch.no_grad():
            return stage.loss(unseen, 1000)[1]["pixel"]

    untrained = pixel_error()
    train(stage, TrainConfig(steps=60, rate=2e-3, warmup=5, workers=0, log_every=60), tmp_path)
    assert pixel_error() < 0.95 * untrained
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(critic, stage.networks["critic"].parameters(), strict=True))
    assert all(p.requires_grad for p in stage.networks["critic"].parameters())

"""Attention with points, loss masks, the renderer's gate, and that the exported graphs equal PyTorch."""

from __future__ import annotations

import json

import numpy as np
import torch
from conftest import AUTOENCODER, DRAG, FIELD, picture

from tug.attention import PointAttention, PointProjection
from tug.autoencoder import Decoder, Encoder
from tug.cases import synthetic_case
from tug.export import GRAPHS, STAGES, build_networks, export_bundle, load_runs
from tug.fieldnet import PULL, FieldNet, Fields
from tug.pipeline import edit
from tug.stage_autoencoder import normalise
from tug.stage_field import field_loss, pack
from tug.weights import load_weights


def _randomised():
    torch.manual_seed(0)
    networks = build_networks(FIELD, AUTOENCODER, DRAG).eval()
    for parameter in networks.parameters():
        with torch.no_grad():  # nothing zero, no two tensors alike
            parameter += torch.randn_like(parameter) * (0.05 if parameter.abs().max() == 0 else 1e-3)
    # a forward field that is noise folds everywhere, and which of its inverses is found is a matter of rounding
    networks["field"].follow.out.weight.data *= 0.02
    return networks


def test_point_embedding_is_zero_after_the_projection() -> None:
    projection = PointProjection(8, 16)
    torch.nn.init.normal_(projection.proj.weight)
    torch.nn.init.ones_(projection.norm.bias)
    zero = torch.zeros(2, 5, 8)
    out = projection(zero, torch.tensor([1.0, 0.0]))
    assert out[0].abs().max() > 0.1 and out[1].abs().max() == 0


def test_attention_finds_the_handle() -> None:
    """With identity projections and a strong label, a target's query reads the reference token of the same label."""
    layer = PointAttention(16, 1)
    for linear in (layer.query, layer.key, layer.value, layer.out):
        torch.nn.init.eye_(linear.weight.data)
    torch.nn.init.zeros_(layer.out.bias)
    layer.value.weight.data *= 1000
    h, r = torch.randn(1, 6, 16) * 1e-3, torch.randn(1, 6, 16) * 1e-3
    label = torch.randn(16) * 8
    target, handle = torch.zeros(1, 6, 16), torch.zeros(1, 6, 16)
    target[0, 2], handle[0, 4] = label, label
    # the target's own key carries the label too (K's first half): what is read is the mean of both values
    out = layer(h, layer.remember(r), target, handle)
    assert torch.allclose(out[0, 2], 500 * (h[0, 2] + r[0, 4]), atol=0.05)


def test_nothing_counts_outside_the_mask_nor_the_flow_of_holes(album) -> None:
    case = synthetic_case(np.random.default_rng(1), album.photos[0], (64, 64))
    batch = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in pack([case], 8).items()}
    batch["visible"][..., :32] = 0
    still = torch.zeros_like(batch["field"])

    def loss(field):
        fields = Fields(field, torch.zeros_like(batch["mask"]), still, batch["forward"], still, still[:, :1])
        return float(field_loss(fields, batch)[0])

    base = loss(batch["field"])
    outside = batch["field"] + 5 * (1 - batch["mask"])
    assert abs(loss(outside) - base) < 0.02
    batch["source"] = batch["target"] = torch.zeros_like(batch["source"])
    base = loss(batch["field"])
    hidden = batch["mask"] * (1 - batch["visible"])
    seen = batch["mask"] * batch["visible"]
    if hidden.sum() > 10 and seen.sum() > 10:
        assert loss(batch["field"] + 5 * hidden) - base < 0.2 * (loss(batch["field"] + 5 * seen) - base)


def test_decoder_shows_nothing_of_the_photo_where_it_is_hidden() -> None:
    torch.manual_seed(0)
    encoder, decoder = Encoder(AUTOENCODER), Decoder(AUTOENCODER)
    image, mask = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64)
    latent, skip_2, skip_4 = encoder(image)
    field, hidden = torch.zeros(1, 2, 16, 16), torch.zeros(1, 1, 16, 16)
    one = decoder.render(latent, image, skip_2, skip_4, mask, field, hidden)
    two = decoder.render(latent, 1 - image, skip_2 + 1, skip_4 + 1, mask, field, hidden)
    assert torch.allclose(one, two)
    shown = decoder.render(latent, image, skip_2, skip_4, mask, field, 1 - hidden)
    assert (shown - image).abs().mean() < 0.02


def test_normalised_latents_have_unit_variance_and_decode_alike() -> None:
    torch.manual_seed(0)
    networks = torch.nn.ModuleDict({"encoder": Encoder(AUTOENCODER), "decoder": Decoder(AUTOENCODER)})
    pictures = torch.rand(1, 3, 192, 192) * 2 - 1
    mask, field, hidden = torch.ones(1, 1, 192, 192), torch.zeros(1, 2, 48, 48), torch.zeros(1, 1, 48, 48)

    def decode():
        latent, skip_2, skip_4 = networks["encoder"](pictures)
        return networks["decoder"].render(latent, pictures, skip_2, skip_4, mask, field, hidden)

    with torch.no_grad():
        before = decode()
        normalise(networks, pictures)
        latent = networks["encoder"](pictures)[0]
        assert latent.mean((0, 2, 3)).abs().max() < 1e-3 and (latent.std((0, 2, 3)) - 1).abs().max() < 1e-3
        assert torch.allclose(decode()[..., 88:104, 88:104], before[..., 88:104, 88:104], atol=1e-3)


def test_each_network_is_loaded_from_the_stage_that_trained_it(tmp_path) -> None:
    torch.manual_seed(1)
    trained = build_networks()
    trained["pull"] = FieldNet(PULL)
    for parameter in trained.parameters():
        parameter.data = torch.randn_like(parameter)
    state = {"restorer." + key: value for key, value in trained["decoder"].restorer.state_dict().items()}
    state |= {key: value for key, value in trained.state_dict().items() if ".restorer." not in key}
    # the autoencoder's stage keeps a restorer that it did not train
    kept = {key: value for key, value in build_networks().state_dict().items() if ".restorer." in key}
    for stage, names in STAGES.items():
        mine = {key: value for key, value in (state | kept).items() if key.split(".")[0] in names}
        (tmp_path / stage).mkdir()
        torch.save(mine, tmp_path / stage / "state.pt")
    loaded = load_runs(tmp_path)
    assert set(loaded) == set(trained)
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_export_equals_pytorch_at_two_sizes(tmp_path) -> None:
    manifest = export_bundle(_randomised(), tmp_path)  # raises where ONNX Runtime differs
    stored = json.loads((tmp_path / "bundle.json").read_text())
    assert stored == manifest and set(stored["graphs"]) == set(GRAPHS)
    assert all((tmp_path / graph["file"]).stat().st_size == graph["bytes"] for graph in stored["graphs"].values())
    assert stored["schedule"]["timesteps"]["4"] == sorted(stored["schedule"]["timesteps"]["4"], reverse=True)


def test_a_bundle_gives_its_weights_back(tmp_path) -> None:
    networks = _randomised()
    export_bundle(networks, tmp_path)
    fresh = build_networks(FIELD, AUTOENCODER, DRAG)
    assert load_weights(fresh, tmp_path) == list(GRAPHS)
    for key, value in networks.state_dict().items():
        assert torch.equal(fresh.state_dict()[key], value), key


def test_a_network_for_pulls_is_stored_in_eight_bits_and_read_back(tmp_path) -> None:
    networks = _randomised()
    networks["pull"] = _randomised()["field"]
    with torch.no_grad():
        networks["pull"].follow.stem.weight.mul_(2)  # another network than the field's
    exact = {key: value.clone() for key, value in networks["pull"].state_dict().items()}
    stored = export_bundle(networks, tmp_path)["graphs"]  # raises where ONNX Runtime differs
    assert stored["pull"]["bytes"] < stored["field"]["bytes"]
    fresh = torch.nn.ModuleDict({"pull": FieldNet(FIELD)})
    load_weights(fresh, tmp_path)
    for key, value in fresh["pull"].state_dict().items():
        assert torch.allclose(value, networks["pull"].state_dict()[key], atol=1e-7), key
        assert (value - exact[key]).abs().max() <= exact[key].abs().max() / 250, key


def test_a_network_for_pulls_begins_as_the_field(tmp_path) -> None:
    networks = _randomised()
    export_bundle(networks, tmp_path)
    fresh = torch.nn.ModuleDict({"pull": FieldNet(FIELD)})
    assert load_weights(fresh, tmp_path) == ["pull"]
    assert torch.equal(fresh["pull"].follow.stem.weight, networks["field"].follow.stem.weight)


def test_edit_is_seeded_and_keeps_what_is_outside_the_mask() -> None:
    networks = _randomised()
    case = synthetic_case(np.random.default_rng(2), picture(1, 128, 128), (128, 128))
    one, two, other = (edit(networks, case, steps=2, seed=s).picture for s in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)
    source = torch.from_numpy(case.source).permute(2, 0, 1)[None].float() / 127.5 - 1
    outside = torch.from_numpy(case.mask)[None, None] == 0
    assert torch.equal(torch.where(outside, one, source), source)

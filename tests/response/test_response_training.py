from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from response_examples import SMALL, made_patches
from scipy.special import expit

from surrogate3d.errors import BundleError, GridMismatchError, ValueRangeError
from surrogate3d.response.model import logits
from surrogate3d.response.network import ResponseNetwork, lesion_weight
from surrogate3d.response.training import Seen, _loss, _packed, _up_to, best_epoch, train_network, train_response

PATCHES = made_patches(8)
RESPONSE = (PATCHES.volume_change < -0.2).astype(float)
LEARN, STOP = np.arange(12), np.arange(12, 16)


def same_weights(one, two) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def learnt():
    said = []
    config = replace(SMALL, epochs=25, learning_rate=0.02)
    return train_network(PATCHES, RESPONSE, LEARN, STOP, config, 1, lambda *each: said.append(each)), said


def test_training_goes_down_and_tells_resisting_lesions_from_others(learnt):
    course, said = learnt
    assert [epoch for epoch, _, _ in said] == list(range(25))
    assert said[-1][1] < 0.5 * said[0][1]
    logit = logits([course.at(24)], PATCHES)[0]
    assert logit[RESPONSE == 0].min() > logit[RESPONSE == 1].max()


def test_the_errors_are_those_of_each_epochs_weights_on_lesions_that_were_kept_out(learnt):
    course, said = learnt
    assert [error for _, _, error in said] == course.errors.tolist()
    for epoch in (3, 24):
        odds = logits([course.at(epoch)], PATCHES.subset(STOP))[0]
        entropy = (np.logaddexp(0, odds) - (1 - RESPONSE[STOP]) * odds).mean()
        # The planted volumes are 0.5 and 1.1 of those before; 0.8 is where the response ends, and a quarter the unit.
        off = np.abs(odds - np.where(RESPONSE[STOP] > 0, np.log(0.5 / 0.8), np.log(1.1 / 0.8)) / 0.25)
        error = entropy + np.where(off < 1, 0.5 * off**2, off - 0.5).mean()
        assert course.errors[epoch] == pytest.approx(error, rel=1e-4)


def test_all_members_stop_where_their_mean_error_is_least():
    members = [SimpleNamespace(errors=np.array(each)) for each in ([3.0, 1.0, 2.0], [3.0, 4.0, 2.5])]
    assert best_epoch(members, [3, 3]) == 2
    assert best_epoch(members, [9, 1]) == 1


def test_a_lesion_that_grew_beyond_the_largest_change_may_be_said_to_have():
    logit = torch.tensor([5.0, -5.0, 5.0, 2.0, -5.0], requires_grad=True)
    change = torch.tensor([3.0, -3.0, -3.0, 3.0, 1.0])
    (slope,) = torch.autograd.grad(_up_to(change, logit).sum(), logit)
    assert slope.tolist() == [0, 0, 1, 1, 1]
    assert torch.equal(_up_to(change, logit)[:2], change[:2])


def test_the_voxels_of_the_lesion_are_all_that_filters_of_one_voxel_need():
    torch.manual_seed(2)
    network = ResponseNetwork(SMALL, 2).eval()
    torch.nn.init.normal_(network.classifier.weight)
    arrays = torch.from_numpy(PATCHES.values), torch.from_numpy(PATCHES.inside)
    network.see(*arrays)
    with torch.no_grad():
        packed = Seen.of(network, (PATCHES,), RESPONSE, SMALL)
        whole = replace(packed, encoded=network.encoded(*arrays), weight=lesion_weight(arrays[1]), packed=False)
        assert packed.encoded.shape[-1] < 0.5 * 6**3
        assert torch.allclose(packed.weight.sum((1, 2, 3)), torch.ones(16))
        assert _loss(network, packed, SMALL).item() == pytest.approx(_loss(network, whole, SMALL).item(), rel=1e-5)


def test_packed_voxels_keep_their_weight():
    weight = torch.tensor([[[[0.0, 0.5], [0.2, 0.0]]], [[[0.0, 0.0], [0.0, 0.7]]]])
    encoded = torch.stack([weight, 10 * weight + 1], dim=1)
    kept, of_kept = _packed(encoded, weight)
    assert kept.shape == (2, 2, 1, 1, 2)
    assert of_kept[0].flatten().tolist() == pytest.approx([0.5, 0.2])
    assert of_kept[1].flatten().tolist() == pytest.approx([0.7, 0.0])
    assert torch.equal(kept[:, 0], of_kept)
    assert torch.allclose(kept[:, 1], 10 * of_kept + 1)


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    config = replace(SMALL, dropout=0.3)
    threads = torch.get_num_threads()
    state = torch.random.get_rng_state()
    one, two, other = (train_network(PATCHES, RESPONSE, LEARN, STOP, config, seed).network for seed in (4, 4, 5))
    assert same_weights(one, two)
    assert not same_weights(one, other)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not one.training


def test_lesions_that_are_not_named_have_no_say():
    rows = np.arange(8)
    blind = PATCHES.values.copy()
    blind[12:] = 1e6
    one = train_network(PATCHES, RESPONSE, rows, np.arange(8, 12), SMALL, 4).network
    unseen = np.where(np.arange(16) < 12, RESPONSE, np.nan)
    two = train_network(replace(PATCHES, values=blind), unseen, rows, np.arange(8, 12), SMALL, 4).network
    assert same_weights(one, two)


def test_without_reconstruction_the_decoder_keeps_its_weights():
    config = replace(SMALL, reconstruction_weight=0.0)
    one = train_network(PATCHES, RESPONSE, LEARN, STOP, replace(config, epochs=1), 4).network
    two = train_network(PATCHES, RESPONSE, LEARN, STOP, config, 4).network
    assert same_weights(one.decoder, two.decoder)


def test_a_patient_on_both_sides_is_refused():
    with pytest.raises(ValueRangeError, match="patient P5"):
        train_network(PATCHES, RESPONSE, np.arange(11), np.arange(11, 16), SMALL, 1)


def test_nothing_to_stop_on_is_refused():
    with pytest.raises(ValueRangeError, match="found 12 and 0"):
        train_network(PATCHES, RESPONSE, LEARN, np.arange(0), SMALL, 1)


def test_a_model_answers_with_the_calibrated_mean_of_its_members():
    model = train_response(PATCHES, RESPONSE, SMALL, seed=3)
    members = logits(model.networks, PATCHES)
    said = model.predict(PATCHES)
    assert members.shape == (2, 16)
    assert np.allclose(said.logit, model.calibration.slope * members.mean(0) + model.calibration.intercept)
    assert np.allclose(said.spread, model.calibration.slope * members.std(0))
    assert np.allclose(said.probability, 1 - expit(said.logit))
    assert model.training["patients"] == 8
    assert model.training["responded"] == 8


def test_the_maps_of_a_model_add_up_to_its_answer():
    model = train_response(PATCHES, RESPONSE, SMALL, seed=3)
    maps = model.maps(PATCHES)
    assert maps.shape == (16, 12, 12, 12)
    bias = np.mean([network.classifier.bias.item() for network in model.networks])
    total = maps.sum((1, 2, 3), dtype=float) + model.calibration.slope * bias + model.calibration.intercept
    assert np.allclose(total, model.predict(PATCHES).logit, atol=1e-5)


def test_a_response_that_is_not_known_is_refused_by_name():
    unknown = RESPONSE.copy()
    unknown[5] = np.nan
    with pytest.raises(ValueRangeError, match="patient P2, lesion L1: a response to learn from is 0 or 1, found nan"):
        train_response(PATCHES, unknown, SMALL, seed=3)
    with pytest.raises(GridMismatchError, match="each of 16 lesions"):
        train_response(PATCHES, RESPONSE[:5], SMALL, seed=3)


def test_one_class_only_is_refused():
    with pytest.raises(ValueRangeError, match="did not respond"):
        train_response(PATCHES, np.ones(16), SMALL, seed=3)


def test_patches_that_were_cut_otherwise_are_refused():
    with pytest.raises(BundleError, match="the model sees image, the patches have image, dose"):
        train_response(PATCHES, RESPONSE, replace(SMALL, channels=("image",)), seed=3)
    model = train_response(PATCHES, RESPONSE, replace(SMALL, epochs=1), seed=3)
    wide = tuple(replace(grid, spacing_mm=(2.0,) * 3) for grid in PATCHES.grids)
    with pytest.raises(BundleError, match="patient P0, lesion L0: the model needs voxels of 1 mm"):
        model.predict(replace(PATCHES, grids=wide))

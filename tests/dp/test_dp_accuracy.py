"""The benchmark of accuracy at an epsilon, in small."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant

from privfl.data import mnist_sample

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("_scattering"), importlib.import_module("dp_accuracy")


@pytest.fixture(scope="module")
def data(scripts):
    """Features of 600 images to train on and of 200 to test on, each label in both."""
    (x, y), (x_test, y_test) = mnist_sample().train, mnist_sample().test
    rows, held_out = torch.randperm(5000, generator=seed(0))[:600], torch.arange(0, 1000, 5)
    features_of = scripts[0].features_of
    return (features_of(x[rows]), y[rows]), (features_of(x_test[held_out]), y_test[held_out])


@pytest.fixture(scope="module")
def recipe(scripts):
    return replace(scripts[1].SAMPLE, batch_size=200, steps=40)


def seed(number):
    return torch.Generator().manual_seed(number)


def images(n):
    return mnist_sample().test[0][::97][:n]


# the features


def test_features_of_an_image_do_not_depend_on_the_others(scripts):
    features_of, x = scripts[0].features_of, images(8)
    together, alone = features_of(x), torch.cat([features_of(one) for one in x.split(1)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-4)


def test_no_image_weighs_more_than_another(scripts):
    found = scripts[0].features_of(images(8))
    assert found.shape == (8, 81 * 49)
    # 27 groups of mean zero and variance one
    assert torch.allclose(found.norm(dim=1), torch.tensor(3969.0).sqrt(), rtol=0.1)


@pytest.mark.parametrize("scale", [0, 1])
def test_wavelets_see_no_even_grey(scripts, scale):
    for angle in (0.0, 0.4, 1.6):
        for part in scripts[0].morlet(scale, angle):
            assert abs(float(part.sum())) < 1e-12
            assert float(part.abs().sum()) > 0.1


def test_stripes_answer_in_the_channel_of_their_own_angle_and_scale(scripts):
    v, u = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    for scale in (0, 1):
        for k in range(8):
            angle = torch.tensor(torch.pi * k / 8)
            across = u * angle.cos() + v * angle.sin()
            stripes = (3 * torch.pi / 4 / 2**scale * across).cos()
            found = scripts[0].scattering(stripes[None, None])[0, 1:17, 3, 3]
            assert int(found.argmax()) == 8 * scale + k


def test_a_quarter_turn_of_the_image_turns_the_grid_and_moves_channels_by_four(scripts):
    x = images(3)
    found, turned = (scripts[0].scattering(x)[:, 1:9] for x in (x, x.rot90(1, dims=(2, 3))))
    expected = found.roll(4, dims=1).rot90(1, dims=(2, 3))
    assert torch.allclose(turned, expected, rtol=0, atol=1e-5)


# training and accounting


def test_it_learns_far_above_chance_at_epsilon_8(scripts, data, recipe):
    row = scripts[1].private_row(recipe, 8.0, data, seeds=2)
    assert len(row.accuracies) == 2
    assert min(row.accuracies) > 0.7


def test_the_epsilon_that_it_prints_is_what_was_trained_and_at_most_the_target(
    scripts, data, recipe, monkeypatch
):
    trained = []
    monkeypatch.setattr(scripts[1], "accuracy", lambda trainer, *_: trained.append(trainer) or 0.5)
    row = scripts[1].private_row(recipe, 3.0, data, seeds=1)
    step = PoissonSampledDpEvent(200 / 600, GaussianDpEvent(trained[0].noise_multiplier))
    oracle = PLDAccountant().compose(step, 40).get_epsilon(1e-5)
    assert row.epsilon == pytest.approx(oracle, rel=0.01)
    assert 0.98 * 3.0 < row.epsilon <= 3.0
    assert row.noise_multiplier == trained[0].noise_multiplier
    assert (row.steps, row.batch_size) == (40, 200)


def test_at_a_tiny_epsilon_the_noise_leaves_nothing_to_learn(scripts, data, recipe):
    row = scripts[1].private_row(recipe, 0.01, data, seeds=2)
    assert max(row.accuracies) < 0.35

"""The attack finds images, in one row and in sums, by its own loss alone."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from oracles.geiping import matching_loss
from oracles.geiping import total_variation as slow_total_variation
from privfl.attacks.inversion import InvertingGradients
from privfl.attacks.inversion._inverting_gradients import expected_loss, total_variation
from privfl.core import Layout, Vantage
from privfl.crypto import Stream
from privfl.evaluate._assign import assign, correlation
from privfl.evaluate._psnr import psnr
from privfl.views import NotApplicable, View
from victims_for_tests import cnn, digits, mlp, stage, view_of

SHORT = InvertingGradients(iterations=5)


def invert(staged, attack=SHORT, seed=0):
    return attack(staged.view, staged.knowledge, Stream.replay(seed))


def quality(made, true):
    rows, columns = assign(correlation(made, true))
    return psnr(made[rows], true[columns])


@pytest.mark.parametrize("clip", [None, 0.05])
def test_single_images_are_recovered_from_a_plain_and_from_a_clipped_update(clip):
    staged = stage(cnn(), *digits(4, 1), clip=clip)
    made = invert(staged, InvertingGradients(iterations=150))
    assert psnr(made.images[:, 0], staged.images[:, 0]).min() > 25
    assert made.loss.max() < 0.01


def test_the_images_of_four_clients_are_recovered_from_their_sum():
    staged = stage(cnn(), *digits(1, 4), n_clients=4)
    made = invert(staged, InvertingGradients(iterations=200))
    assert quality(made.images[0], staged.images[0]).median() > 25


def test_the_loss_is_that_of_the_paper():
    staged = stage(cnn(), *digits(2, 2), noise_std=0.01)
    made = invert(staged)
    rows, labels = staged.view.rows.sums, staged.labels
    slow = [matching_loss(cnn(), *row) for row in zip(made.images, labels, rows, strict=True)]
    assert made.loss.tolist() == pytest.approx(slow, abs=1e-5)


def test_total_variation_is_that_of_the_paper():
    images = torch.rand(2, 3, 1, 5, 4)
    slow = [slow_total_variation(row) for row in images]
    assert total_variation(images).tolist() == pytest.approx(slow, rel=1e-5)


def test_total_variation_never_runs_across_images_or_colours():
    assert (
        total_variation(torch.arange(6.0).reshape(1, 3, 2, 1, 1).expand(1, 3, 2, 4, 4)).item() == 0
    )
    assert total_variation(torch.arange(3.0).reshape(1, 3, 1).expand(1, 3, 7)).item() == 0


def test_rescaling_the_rows_does_not_change_the_images():
    staged = stage(cnn(), *digits(2, 1))
    larger = replace(staged, view=view_of(8 * staged.view.rows.sums))
    assert torch.equal(invert(staged).images, invert(larger).images)


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 7]))
def test_images_stay_within_zero_and_one(seed, iterations):
    staged = stage(mlp(), *digits(1, 2, seed=seed), noise_std=0.1)
    images = invert(staged, InvertingGradients(iterations=iterations, learning_rate=3.0)).images
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_outcome_depends_on_view_knowledge_and_generator():
    staged = stage(cnn(), *digits(2, 1))
    first, again, other = invert(staged), invert(staged), invert(staged, seed=1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_rows_do_not_influence_each_other_without_noise():
    """One row attacked alone, from the same start, gives the same image."""
    staged = stage(mlp(), *digits(2, 1))
    alone = replace(staged.knowledge, labels=staged.labels[:1])
    both = invert(staged)
    one = SHORT(view_of(staged.view.rows.sums[:1]), alone, Stream.replay(0))
    assert (both.images[:1] - one.images).abs().max() < 0.02


def test_the_declared_tail_is_not_taken_for_weights():
    staged = stage(mlp(), *digits(2, 1))
    longer = view_of(torch.cat([staged.view.rows.sums, torch.full((2, 3), 99.0)], dim=1))
    assert torch.equal(invert(staged).images, invert(replace(staged, view=longer)).images)


def test_the_loss_to_expect_is_the_loss_that_noise_leaves_to_the_truth():
    signal = torch.nn.functional.normalize(torch.randn(50, 20_000), dim=1)
    seen = signal + 0.02 * torch.randn_like(signal)
    true = 1 - torch.nn.functional.cosine_similarity(signal, seen, dim=1).mean()
    assert expected_loss(seen, 0.02) == pytest.approx(float(true), abs=0.01)


@pytest.mark.parametrize(("noise_std", "loss"), [(0.0, 0.0), (5.0, 1.0)])
def test_the_loss_to_expect_runs_from_none_to_all(noise_std, loss):
    assert expected_loss(torch.ones(3, 10), noise_std) == loss
    assert expected_loss(torch.zeros(3, 10), noise_std) == 0


def test_noise_raises_the_weight_of_total_variation_and_its_absence_lowers_it():
    clear, noisy = (stage(cnn(), *digits(3, 1), noise_std=std) for std in (0.0, 0.05))
    free, rough, smooth = (
        InvertingGradients(iterations=60, total_variation=ends)
        for ends in ((0.02, 0.2), (0.02, 0.02), (0.2, 0.2))
    )

    def roughness(staged, attack):
        return float(total_variation(invert(staged, attack).images).mean())

    assert roughness(noisy, free) < 0.7 * roughness(noisy, rough)
    assert psnr(invert(clear, free).images[:, 0], clear.images[:, 0]).median() > (
        1 + psnr(invert(clear, smooth).images[:, 0], clear.images[:, 0]).median()
    )


def test_a_ledger_of_what_it_was_allowed():
    made = invert(stage(mlp(), *digits(1, 1)))
    assert (made.strength, made.budget) == ("5 iterations, TV 0.02 to 0.2", 5)
    assert InvertingGradients(total_variation=(0.1, 0.1))._ends == "0.1"
    assert not made.certified.any()


def test_neither_model_nor_view_is_changed():
    model = nn.Sequential(cnn(), nn.BatchNorm1d(10), nn.Dropout(0.5)).train()
    before = copy.deepcopy(model.state_dict())
    staged = stage(model, *digits(1, 3))
    rows = staged.view.rows.sums.clone()
    invert(staged)
    assert model.training
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert torch.equal(rows, staged.view.rows.sums)
    assert all(p.grad is None for p in model.parameters())


def test_batch_norm_works_on_the_statistics_of_the_batch():
    """Running statistics would give another gradient, and a loss above zero at the truth."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.BatchNorm1d(16), nn.Linear(16, 10))
    staged = stage(model, *digits(1, 4))
    made = invert(staged, InvertingGradients(iterations=150))
    assert made.loss.item() < 0.1


def test_a_frozen_backbone_is_attacked_through_its_head():
    model, (images, labels) = mlp(), digits(1, 1)
    layout = Layout.of(model, only=["1"])
    whole = stage(model, images, labels)
    head = replace(whole.knowledge, layout=layout)
    made = SHORT(view_of(whole.view.rows.sums[:, : layout.dim]), head, Stream.replay(0))
    assert made.images.shape == (1, 1, 1, 28, 28)


def test_float64_models_are_attacked_in_float64():
    staged = stage(mlp().double(), digits(1, 1)[0].double(), digits(1, 1)[1])
    assert invert(staged).images.dtype == torch.float64


def test_a_row_of_zeros_is_no_reason_to_fail():
    staged = stage(mlp(), *digits(1, 1))
    made = invert(replace(staged, view=view_of(0 * staged.view.rows.sums)))
    assert made.images.isfinite().all()
    assert made.loss.item() == 1


def test_what_it_lacks_is_said():
    staged = stage(mlp(), *digits(2, 1))
    with pytest.raises(NotApplicable, match="opened no update"):
        invert(replace(staged, view=View(Vantage.SERVER)))
    with pytest.raises(NotApplicable, match="needs the labels"):
        invert(replace(staged, knowledge=replace(staged.knowledge, labels=None)))
    with pytest.raises(NotApplicable, match="7 coordinates, and an update of this model has 50890"):
        invert(replace(staged, view=view_of(torch.ones(2, 7))))


def test_bad_input_is_named():
    staged = stage(mlp(), *digits(2, 1))
    with pytest.raises(ValueError, match=r"labels must have shape \(2, 1\).*Found \(1, 1\)"):
        invert(replace(staged, knowledge=replace(staged.knowledge, labels=staged.labels[:1])))
    rows = staged.view.rows.sums.clone()
    rows[1, 0] = float("nan")
    with pytest.raises(ValueError, match=r"NaN or Inf in rows \[1\]"):
        invert(replace(staged, view=view_of(rows)))


@pytest.mark.parametrize(
    "settings",
    [{"iterations": 0}, {"learning_rate": 0.0}, {"total_variation": (0.2, 0.1)}],
)
def test_settings_that_cannot_search_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        InvertingGradients(**settings)

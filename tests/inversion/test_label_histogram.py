"""Label counts follow from the last bias by an identity, so they are exact where it is."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from oracles.one_step import update
from privfl.attacks.inversion import LabelHistogram
from privfl.attacks.inversion._label_histogram import nearest_counts
from privfl.crypto import Stream
from privfl.views import NotApplicable
from victims_for_tests import LEARNING_RATE, cnn, digits, mlp, stage, view_of


def count(staged):
    return LabelHistogram()(staged.view, staged.knowledge, Stream()).counts


def true_counts(labels):
    return torch.stack([row.bincount(minlength=10) for row in labels]).float()


@pytest.mark.parametrize("model", [cnn(), mlp()])
def test_counts_are_exact_where_the_prior_predicts_as_the_batch_does(model):
    images, labels = digits(1, 12)
    staged = stage(model, images, labels, prior=images[0])
    assert (count(staged) - true_counts(labels)).abs().max() < 1e-3


@pytest.mark.parametrize("n_clients", [2, 3, 6])
def test_a_sum_of_clients_is_divided_among_them(n_clients):
    images, labels = digits(1, 12)
    staged = stage(cnn(), images, labels, prior=images[0], n_clients=n_clients)
    assert (count(staged) - true_counts(labels)).abs().max() < 1e-3


def test_steps_are_divided_among_too():
    """At a step size that hardly moves the model, four steps of three are one of twelve."""
    images, labels = digits(1, 12)
    sent = update(mlp().double(), images[0].double(), labels[0], lr=1e-4, batch=3)
    knowledge = replace(
        stage(mlp().double(), images.double(), labels, prior=images[0]).knowledge,
        steps=4,
        learning_rate=1e-4,
    )
    counts = LabelHistogram()(view_of(sent[None]), knowledge, Stream()).counts
    assert (counts - true_counts(labels)).abs().max() < 0.01


def test_without_a_prior_an_untrained_model_is_taken_for_undecided():
    """Total variation to the truth: .05 where the blind guess has .3."""
    staged = stage(cnn(), *digits(8, 32))
    shares, true = count(staged) / 32, true_counts(staged.labels) / 32
    blind = (0.1 - true).abs().sum(dim=1).mean() / 2
    assert (shares - true).abs().sum(dim=1).mean() / 2 < blind / 3


def test_labels_are_not_needed_and_not_used():
    staged = stage(cnn(), *digits(2, 4))
    blind = replace(staged, knowledge=replace(staged.knowledge, labels=None))
    assert torch.equal(count(staged), count(blind))


matrices = st.lists(
    st.lists(st.floats(-50, 50), min_size=4, max_size=4), min_size=1, max_size=5
).map(lambda rows: torch.tensor(rows, dtype=torch.float64))


@given(matrices, st.floats(0.5, 40))
def test_the_nearest_counts_are_counts_and_nothing_is_nearer(wanted, total):
    """A projection on a simplex: no vertex lies further in the direction of what was wanted."""
    counts = nearest_counts(wanted, total)
    assert counts.min() >= 0
    assert counts.sum(dim=1).tolist() == pytest.approx([total] * len(wanted))
    towards = wanted - counts
    vertices = total * towards.amax(dim=1)
    assert (vertices - (towards * counts).sum(dim=1)).max() < 1e-6


def test_what_it_lacks_is_said():
    staged = stage(cnn(), *digits(1, 2))
    with pytest.raises(NotApplicable, match="learning rate"):
        count(replace(staged, knowledge=replace(staged.knowledge, learning_rate=None)))
    ends_in_relu = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.ReLU())
    with pytest.raises(NotApplicable, match="outputs are not those of a linear layer"):
        count(stage(ends_in_relu, *digits(1, 2)))


def test_the_learning_rate_sets_the_scale():
    staged = stage(cnn(), *digits(1, 32))
    wrong = replace(staged.knowledge, learning_rate=10 * LEARNING_RATE)
    assert (count(replace(staged, knowledge=wrong)) - 3.2).abs().max() < 1

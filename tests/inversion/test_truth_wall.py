"""An attack gets a view and knowledge; what the truth is makes no difference to it."""

import inspect

import pytest
import torch

from privfl.attacks.inversion import (
    InvertingGradients,
    LabelCounts,
    LabelHistogram,
    LinearInversion,
    Reconstruction,
)
from privfl.crypto import Stream
from victims_for_tests import digits, mlp, stage

ATTACKS = [InvertingGradients(iterations=10), LinearInversion(), LabelHistogram()]


def outcome(attack, staged):
    made = attack(staged.view, staged.knowledge, Stream.replay(0))
    if isinstance(made, LabelCounts):
        return [made.counts]
    assert isinstance(made, Reconstruction)
    return [made.images, made.loss, made.certified]


@pytest.mark.parametrize("noise_std", [0.0, 0.05])
@pytest.mark.parametrize("n_clients", [1, 2])
@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_a_poisoned_truth_leaves_every_bit_as_it_was(attack, n_clients, noise_std):
    """The images are overwritten in place: whoever kept hold of them would now see NaN."""
    prior = digits(1, 20, seed=5)[0][0]
    staged = stage(mlp(), *digits(3, 4), n_clients=n_clients, noise_std=noise_std, prior=prior)
    before = outcome(attack, staged)
    staged.images.fill_(float("nan"))
    assert all(torch.equal(a, b) for a, b in zip(before, outcome(attack, staged), strict=True))


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_there_is_no_way_to_hand_over_the_truth(attack):
    assert list(inspect.signature(attack).parameters) == ["view", "knowledge", "generator"]

"""What all attacks on updates share."""

import pytest
import torch

from privfl.attacks.poisoning import (
    ALIE,
    IPM,
    DataPoisoning,
    LabelFlip,
    MinMax,
    SignFlip,
    UpdatePoisoning,
)

ATTACKS = [
    SignFlip(n_byzantine=3),
    IPM(n_byzantine=3),
    ALIE(n_byzantine=3),
    MinMax(n_byzantine=3),
    MinMax(n_byzantine=3, direction="std"),
    MinMax(n_byzantine=3, direction="sign"),
]
HONEST = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_sends_one_vector_for_each_attacker(attack, dtype):
    honest = HONEST.to(dtype)
    before = honest.clone()
    sent = attack(honest)
    assert isinstance(attack, UpdatePoisoning)
    assert sent.shape == (3, 5)
    assert sent.dtype == dtype
    assert (sent == sent[0]).all()
    assert torch.equal(honest, before)
    assert sent.is_contiguous()


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_it_moves_and_is_not_silent(attack):
    assert not attack.is_silent(HONEST)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
def test_the_order_of_honest_updates_does_not_matter(attack):
    assert torch.allclose(attack(HONEST.flip(0)), attack(HONEST), atol=1e-6)


@pytest.mark.parametrize("attack", ATTACKS, ids=repr)
@pytest.mark.parametrize(
    "bad", [torch.ones(3), [[1.0]], torch.ones(2, 2).long(), torch.empty(0, 2)]
)
def test_what_is_no_matrix_of_updates_is_refused(attack, bad):
    with pytest.raises(ValueError, match="updates must"):
        attack(bad)


@pytest.mark.parametrize("kind", [SignFlip, IPM, ALIE, MinMax, LabelFlip])
@pytest.mark.parametrize("n_byzantine", [0, -1, 1.5, None])
def test_an_attack_by_nobody_is_refused(kind, n_byzantine):
    with pytest.raises(ValueError, match="n_byzantine must be a whole number of at least 1"):
        kind(n_byzantine=n_byzantine)


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (SignFlip(5.0, n_byzantine=2), "scale 5"),
        (IPM(n_byzantine=2), "epsilon 0.1"),
        (ALIE(n_byzantine=2), "z = 0.00"),
        (ALIE(n_byzantine=4), "z = 0.43"),
        (MinMax(n_byzantine=2), "as far as honest updates are apart"),
        (MinMax(n_byzantine=2, direction="std"), "as far as honest updates are apart, along std"),
        (LabelFlip(n_byzantine=2), "y -> 9 - y"),
    ],
    ids=repr,
)
def test_a_report_can_say_how_strong_it_is(attack, says):
    assert attack.strength(10) == says


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_sign_flip_sends_the_mean_times_minus_scale(scale):
    expected = -scale * HONEST.double().mean(dim=0)
    assert torch.allclose(SignFlip(scale, n_byzantine=1)(HONEST)[0].double(), expected, atol=1e-6)


def test_the_mean_of_float16_updates_does_not_overflow():
    honest = torch.full((9, 2), 60000.0, dtype=torch.float16)
    assert torch.equal(SignFlip(n_byzantine=1)(honest)[0], -honest[0])


def test_ipm_turns_the_inner_product_with_the_honest_mean_negative():
    mean = HONEST.mean(dim=0)
    sent = IPM(0.1, n_byzantine=1)(HONEST)[0]
    assert float(sent @ mean) == pytest.approx(-0.1 * float(mean @ mean), rel=1e-5)


@pytest.mark.parametrize(("epsilon", "reversed_"), [(3.0, False), (4.0, True)])
def test_ipm_reverses_a_mean_only_above_m_over_f(epsilon, reversed_):
    """Seven honest and two attackers: 2 epsilon must be above 7."""
    sent = IPM(epsilon, n_byzantine=2)(HONEST)
    mean = torch.cat([HONEST, sent]).mean(dim=0)
    assert bool(mean @ HONEST.mean(dim=0) < 0) is reversed_


@pytest.mark.parametrize("strength", [0.0, -1.0, float("inf")])
def test_a_strength_that_is_none_is_refused(strength):
    with pytest.raises(ValueError, match="scale must be positive"):
        SignFlip(strength, n_byzantine=1)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        IPM(strength, n_byzantine=1)


def test_label_flip_turns_labels_round_and_leaves_the_input():
    labels = torch.arange(10)
    attack = LabelFlip(n_byzantine=1)
    assert isinstance(attack, DataPoisoning)
    assert attack.poison(labels).tolist() == list(range(9, -1, -1))
    assert labels.tolist() == list(range(10))
    assert torch.equal(attack.poison(attack.poison(labels)), labels)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_label_flip_keeps_the_kind_of_labels(dtype):
    attack = LabelFlip(n_byzantine=1, n_classes=2)
    assert attack.poison(torch.tensor([0, 1], dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("labels", [torch.tensor([10]), torch.tensor([-1]), torch.ones(2), [1]])
def test_labels_that_are_none_are_refused(labels):
    with pytest.raises(ValueError, match="labels must be a tensor of whole numbers from 0 to 9"):
        LabelFlip(n_byzantine=1).poison(labels)


def test_one_class_cannot_be_flipped():
    with pytest.raises(ValueError, match="n_classes must be a whole number of at least 2"):
        LabelFlip(n_byzantine=1, n_classes=1)

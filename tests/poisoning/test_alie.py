"""A little is enough: its z is the paper's, and is named where it is nothing."""

import pytest
import torch

from privfl.attacks.poisoning import ALIE

HONEST = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("n", "f", "z"),
    # from the formula, by tables of the normal distribution
    [
        (10, 1, -0.140),
        (10, 2, 0.0),
        (10, 3, 0.180),
        (10, 4, 0.431),
        (14, 4, 0.253),
        (20, 4, 0.157),
        (25, 5, 0.253),
        (50, 10, 0.253),
        (50, 12, 0.336),
        (60, 12, 0.264),
        (100, 20, 0.286),
        (100, 28, 0.469),
    ],
)
def test_z_is_the_paper_s(n, f, z):
    assert ALIE(n_byzantine=f).z_for(n) == pytest.approx(z, abs=6e-4)


def test_n_counts_honest_clients_and_attackers():
    """Seven honest and three attackers are ten, for which z is .18; for seven it would be .67."""
    z = ALIE(n_byzantine=3).z_for(10)
    assert torch.equal(ALIE(n_byzantine=3)(HONEST[:7]), ALIE(n_byzantine=3, z=z)(HONEST[:7]))


def test_at_z_0_it_sends_the_honest_mean():
    assert ALIE(n_byzantine=2).is_silent(HONEST)
    assert not ALIE(n_byzantine=2).is_silent(HONEST[:7])
    mean = HONEST.double().mean(dim=0).float()
    assert torch.equal(ALIE(n_byzantine=2)(HONEST)[0], mean)


@pytest.mark.parametrize("z", [1.5, -0.5])
def test_it_sends_mean_minus_z_deviations(z):
    mean, deviation = HONEST.numpy().mean(axis=0), HONEST.numpy().std(axis=0)
    sent = ALIE(n_byzantine=1, z=z)(HONEST)[0]
    assert torch.allclose(sent, torch.from_numpy(mean - z * deviation), atol=1e-6)


def test_one_honest_update_has_no_deviation():
    assert torch.equal(ALIE(n_byzantine=1, z=2.0)(HONEST[:1]), HONEST[:1])


@pytest.mark.parametrize(("n", "f"), [(10, 6), (10, 9), (3, 2), (2, 1)])
def test_an_infinite_z_is_refused_with_what_to_do(n, f):
    """A majority needs no honest supporter: s is 0 or below."""
    with pytest.raises(ValueError, match=r"s = floor\(n/2 \+ 1\) - f. Found n = .*Give z"):
        ALIE(n_byzantine=f).z_for(n)
    assert ALIE(n_byzantine=f, z=1.0).z_for(n) == 1.0


@pytest.mark.parametrize("z", [float("nan"), float("inf")])
def test_a_z_that_is_no_number_is_refused(z):
    with pytest.raises(ValueError, match="z must be a finite number"):
        ALIE(n_byzantine=1, z=z)

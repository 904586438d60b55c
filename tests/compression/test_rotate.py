"""A rotation that everybody draws alike spreads what is in one place, and is turned back."""

import math

import pytest
import torch

from oracles.walsh_hadamard import transform
from privfl import CompositionError, Pipeline
from privfl.compression import Quantize, RandomK, Rotate, TopK
from privfl.compression._walsh_hadamard import BLOCK
from privfl.core import Cohort
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum
from privfl.parts import Grouped, Mean, Plain
from privfl.rounds import Opening, Setting
from privfl.testing import check_wrapper

SIZES = [1, 5, 1000, BLOCK, BLOCK + 3]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def at_of(dim, nonce=0):
    """What Rotate may know in a pipeline of its own."""
    line = Pipeline(Rotate())
    setting = Setting(line, Opening.fresh(line, 2, dim, nonce=bytes([nonce] * 16)))
    return setting.at(0, Stream.replay(0))


def test_it_keeps_the_laws_of_a_wrapper():
    assert check_wrapper(Rotate()).passed


def test_each_coordinate_becomes_a_column_of_the_matrix_up_to_one_sign():
    at = at_of(8)
    signs = []
    for j, row in enumerate(torch.eye(8, dtype=torch.float64)):
        column = torch.tensor(transform(row.tolist())).double()
        made = Rotate().apply(row, at)
        signs.append(float(made[0] / column[0]))
        assert abs(signs[j]) == pytest.approx(1)
        assert torch.allclose(made, signs[j] * column, rtol=0, atol=1e-12)


def test_signs_are_fair_and_drawn_anew_each_round():
    """4,000 coins within 5.2 deviations of even: a false alarm in 5 million; nonces are fixed."""
    signs = torch.stack([Rotate()._signs(at_of(4000, nonce)).double() for nonce in range(3)])
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    agreements = [signs[0] @ signs[1], signs[0] @ signs[2], signs[0].sum()]
    assert max(abs(float(a)) for a in agreements) < 5.2 * math.sqrt(4000)


@pytest.mark.parametrize("place", [0, 777, BLOCK - 1])
def test_a_spike_becomes_flat(place):
    x = torch.zeros(BLOCK)
    x[place] = 3.0
    made = Rotate().apply(x, at_of(BLOCK)).abs()
    assert torch.allclose(made, torch.full_like(made, 3 / math.sqrt(BLOCK)), rtol=1e-5)


def test_a_flat_vector_does_not_become_a_spike():
    """Without signs, equal coordinates all go to the first; with them each is a random walk.

    Hoeffding: one of 1,024 passes 8 deviations with a chance below 3e-11; the nonce is fixed.
    """
    made = Rotate().apply(torch.ones(1024), at_of(1024))
    assert float(made.abs().max()) < 8.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", SIZES)
def test_turning_back_gives_the_mean_of_the_updates(dim, dtype):
    updates = normal(3, dim).to(dtype)
    made = Pipeline(Rotate()).aggregate(updates).update
    assert made.dtype == dtype
    off = torch.linalg.vector_norm(made - updates.mean(dim=0))
    assert off <= (1e-6 if dtype == torch.float32 else 1e-14) * updates.norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dim", SIZES)
def test_the_norm_is_kept_and_rounding_never_lengthens_it(dim, dtype):
    x = normal(dim).to(dtype)
    made = Rotate().apply(x, at_of(dim))
    before, after = x.double().norm(), made.double().norm()
    assert made.dtype == dtype
    assert after <= before * (1 + 1e-14)
    assert after >= before * (1 - max(2 * torch.finfo(dtype).eps, 1e-14))


def test_a_plan_bounds_a_rotated_vector_by_its_norm():
    """A clipped vector may be turned into a single coordinate, and noise stays of the same size."""
    setting = Setting(line := Pipeline(Clip(2.0), Rotate()), Opening.fresh(line, 3, 5))
    behind = setting.plans[2]
    assert (behind.body, behind.dim) == (8, 8)
    assert (behind.clip_norm, behind.bound, behind.peak) == (2.0, 2.0, 2.0)
    flat = setting.plans[1].but(peak=0.5)  # equal coordinates, which may become one
    assert Rotate().plan(flat, setting.contracts[1], None).peak == 2.0
    noisy = Pipeline(Clip(2.0), Rotate(), LocalGaussianNoise(3.0)).plan(n_clients=4, dim=5)
    assert (noisy.release_std, noisy.body) == (3.0, 5)


def test_local_noise_behind_it_is_as_large_in_the_release_as_planned():
    """20,000 coordinates: their deviation is within 2.5 %, five standard errors (6e-7 false)."""
    line = Pipeline(Clip(1.0), Rotate(), LocalGaussianNoise(2.0))
    release = line.aggregate(torch.zeros(4, 20_000), generator=Stream.replay(5))
    planned = line.plan(n_clients=4, dim=20_000).release_std
    assert float(release.update.std()) == pytest.approx(planned, rel=0.025)


@pytest.mark.parametrize(
    "parts",
    [
        (Clip(9.0), Rotate(), SecAgg()),
        (Clip(9.0), Rotate(), CKKS()),
        (Clip(9.0), Rotate(), BFV()),
        (Clip(9.0), Rotate(), Quantize(20), Grouped(SecAgg(), size=3), Mean()),
        (Rotate(), Clip(9.0), Grouped(Plain(), size=2)),
        (Rotate(), TopK(8)),
        (Clip(9.0), Rotate(), RandomK(8)),
    ],
    ids=repr,
)
def test_sums_are_turned_back_whoever_adds_them(parts):
    updates = normal(6, 6)
    made = Pipeline(*parts).aggregate(updates).update
    assert torch.allclose(made.float(), updates.mean(dim=0), rtol=0, atol=2e-2)
    assert len(made) == 6


def test_a_robust_rule_behind_it_picks_the_same_row():
    updates = normal(5, 6)
    made = Pipeline(Rotate(), Krum(n_byzantine=1)).aggregate(updates).update
    assert torch.allclose(made, Krum(n_byzantine=1)(updates), rtol=0, atol=1e-5)


def test_central_noise_behind_it_is_scaled_by_the_clip_norm():
    shield = Pipeline(Clip(1.0), Rotate(), Mean(), CentralGaussianNoise(3.0))
    assert shield.plan(n_clients=6, dim=5).release_std == 3.0 / 6


def test_owners_of_different_coordinates_are_each_divided_by_their_own_number():
    owners = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]).bool()
    updates = normal(3, 3)
    made = Pipeline(Rotate()).aggregate(updates, cohort=Cohort((0, 1, 2), owners=owners)).update
    wanted = (updates * owners).sum(dim=0) / owners.sum(dim=0)
    assert torch.allclose(made, wanted, atol=1e-5)


def test_behind_the_rounding_it_is_refused():
    with pytest.raises(CompositionError, match="Put it before the rounding") as error:
        Pipeline(Clip(1.0), Quantize(8), Rotate())
    assert (error.value.rule, error.value.parts) == ("R4", (Quantize(8), Rotate()))

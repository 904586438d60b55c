"""Rounding to a public grid keeps the mean, and the bound that the plan states."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privfl import Pipeline, ProtocolAbort
from privfl.compression import Quantize
from privfl.crypto import Stream
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.parts import Wrapper
from privfl.rounds import Opening, Setting


def standing(line, dim, seed=0):
    """Where Quantize stands in ``line``: -> the part and what it may know."""
    setting = Setting(line, Opening.fresh(line, 3, dim))
    k = next(k for k, part in enumerate(line.lowered) if isinstance(part, Quantize))
    return line.lowered[k], setting.at(k, Stream.replay(seed)), setting.plans[k + 1]


def limit(c, dim):
    """Kairouz et al. 2021, proposition 22, at beta = exp(-1/2), in steps: squared."""
    return min((c + math.sqrt(dim)) ** 2, c**2 + dim / 4 + (c + math.sqrt(dim) / 2))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 20), st.integers(1, 200), st.integers(0, 2**31), st.floats(0.01, 100.0))
def test_each_coordinate_moves_by_less_than_a_step_and_the_norm_keeps_its_bound(bits, d, seed, c):
    part, at, after = standing(Pipeline(Clip(c), Quantize(bits)), d, seed)
    x = Clip(c).apply(torch.randn(d, generator=torch.Generator().manual_seed(seed)), at)
    made = part.apply(x, at)
    levels = 2 ** (bits - 1) - 1
    assert after.levels == levels
    assert after.step == pytest.approx(c / levels)
    assert made.abs().max() <= levels
    assert (made - x.double() / after.step).abs().max() < 1 + 1e-9
    squared = sum(Fraction(int(k)) ** 2 for k in made)
    assert squared <= Fraction(limit(levels, d) * (1 + 1e-12))
    assert after.bound == pytest.approx(after.step * math.sqrt(limit(levels, d)))
    assert after.bound >= after.step * math.sqrt(squared) * (1 - 1e-12)


def test_the_mean_of_many_roundings_is_the_number():
    """Each of 9 means of 20,000 within 5.5 standard errors: a false alarm in 3 million runs."""
    part, at, after = standing(Pipeline(Clip(1.0), Quantize(4)), 9)
    x = torch.linspace(-0.3, 0.3, 9)
    drawn = torch.stack([part.apply(x, at) for _ in range(20_000)]).double() * after.step
    spread = after.step / 2 / math.sqrt(20_000)
    assert (drawn.mean(dim=0) - x).abs().max() < 5.5 * spread


@pytest.mark.parametrize("bits", [2, 3, 6])
def test_an_update_of_the_clip_norm_has_the_error_that_qsgd_states(bits):
    """Alistarh et al. 2017, lemma 3.1: min(d / s^2, sqrt(d) / s) |x|^2, with |x| = C.

    The mean of 4,000 squared errors is within 5.5 standard errors of the closed form, the sum of
    f (1 - f) step^2: a false alarm in 26 million runs.
    """
    d, s = 40, 2 ** (bits - 1) - 1
    # behind noise a vector is drawn once, as QSGD draws it; there is none for a multiplier this low
    part, at, after = standing(Pipeline(Clip(2.0), LocalGaussianNoise(1e-9), Quantize(bits)), d)
    x = torch.randn(d, generator=torch.Generator().manual_seed(bits)).double()
    x *= 2 / x.norm()
    drawn = torch.stack([part.apply(x, at) for _ in range(4000)]).double() * after.step
    errors = (drawn - x).square().sum(dim=1)
    f = (x / (2.0 / s)) % 1
    exact = float((f * (1 - f)).sum() * (2.0 / s) ** 2)
    mean, spread = float(errors.mean()), float(errors.std()) / math.sqrt(4000)
    assert abs(mean - exact) < 5.5 * spread
    assert mean < min(d / s**2, math.sqrt(d) / s) * 4.0
    assert mean < d * after.step**2 / 4 + 5.5 * spread


def test_a_vector_at_the_bound_is_drawn_again_until_it_is_short_enough():
    """36 halves of a step: a free rounding has a squared norm above 24 once in 70."""
    part, at, after = standing(Pipeline(Clip(1.0), Quantize(3)), 36)
    x = torch.full((36,), after.step / 2).double()
    squared = [int(part.apply(x, at).square().sum()) for _ in range(2000)]
    assert max(squared) == 24 == limit(3, 36)


def test_grid_points_and_zero_are_left_alone():
    part, at, after = standing(Pipeline(Clip(1.0), Quantize(8)), 5)
    x = torch.tensor([0, 1, -1, 5, -7]).double() * after.step
    assert part.apply(x, at).tolist() == [0, 1, -1, 5, -7]
    assert part.apply(torch.zeros(5), at).tolist() == [0] * 5


def test_behind_local_noise_no_bound_holds_and_none_is_asked_for():
    line = Pipeline(Clip(1.0), LocalGaussianNoise(5.0), Quantize(8))
    part, at, _ = standing(line, 50)
    far = 40 * torch.ones(50)
    assert part.apply(far, at).abs().max() > 127
    release = line.aggregate(torch.zeros(200, 50))
    assert release.update.abs().max() < 6 * 5 / math.sqrt(200)


class Longer(Wrapper):
    """A part that breaks the bound that the plan states."""

    covers_scalars = True

    def apply(self, x, at):
        return 3 * x


def test_a_part_that_breaks_its_bound_is_named_and_nothing_hangs():
    line = Pipeline(Clip(1.0), Longer(), Quantize(8))
    with pytest.raises(ProtocolAbort, match="does not keep the bound that it states"):
        line.aggregate(torch.eye(2, 300) + 0.05)


@pytest.mark.parametrize("bits", [1, 25, 2.5, True])
def test_bits_that_hold_no_sign_or_more_than_a_float_are_refused(bits):
    with pytest.raises(ValueError, match="bits"):
        Quantize(bits)


def test_robust_rules_and_noise_take_the_rounded_rows():
    updates = torch.nn.functional.normalize(torch.randn(5, 30), dim=1)
    rounded = Pipeline(Clip(1.0), Quantize(12)).aggregate(updates).update
    assert torch.allclose(rounded, updates.mean(dim=0), atol=1 / 2047)

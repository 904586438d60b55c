"""Every promise of Clip, in every dtype, on vectors and bounds that a machine searches for."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from privfl import Pipeline
from privfl.core import Scalar, joint_factor
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.defenses.dp._clip import shrink
from privfl.rounds import Opening, Setting

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
NORMS = st.floats(1e-9, 1e9) | st.sampled_from([1.0, 0.1, 2.0**-30, 1e-7])


@st.composite
def vectors(draw):
    """Vectors of any size of number: zeros, equal ones, subnormal ones, the largest ones."""
    dtype = draw(st.sampled_from(DTYPES))
    largest = torch.finfo(dtype).max
    number = st.one_of(
        st.floats(-largest, largest),
        st.floats(-1.0, 1.0),
        st.sampled_from([0.0, torch.finfo(dtype).tiny, torch.finfo(dtype).smallest_normal / 3]),
    )
    values = draw(st.lists(number, min_size=1, max_size=6))
    return torch.tensor(values, dtype=torch.float64).to(dtype).repeat(draw(st.integers(1, 40)))


def squared_norm(x):
    return sum(Fraction(value) ** 2 for value in x.double().tolist())


def clipped(x, norm):
    setting = Setting(Pipeline(Clip(norm)), Opening.fresh(Pipeline(Clip(norm)), 1, len(x)))
    return Clip(norm).apply(x, setting.at(0, Stream()))


@given(vectors(), NORMS)
@example(torch.full((100_000,), 3.19e-6, dtype=torch.float16), 1e-3)  # rounds up 53.5 to 54 steps
@example(torch.full((3,), 1e200, dtype=torch.float64), 1.0)  # whose squares are infinite
@example(torch.full((50_000,), 1.0, dtype=torch.float64), 1.0)
def test_the_norm_is_at_most_the_bound_rounding_included(x, norm):
    made = shrink(x, norm)
    assert float(torch.linalg.vector_norm(made.double())) <= norm
    assert squared_norm(made) <= Fraction(norm) ** 2 * (1 + Fraction(1, 2**48))
    assert made.dtype == x.dtype


@given(vectors(), NORMS)
def test_clipping_twice_is_clipping_once(x, norm):
    made = shrink(x, norm)
    assert torch.equal(shrink(made, norm), made)


@given(vectors(), NORMS)
def test_an_update_within_the_bound_is_not_changed_by_a_bit(x, norm):
    if squared_norm(x) <= (Fraction(norm) * Fraction(1 - 1e-12)) ** 2:
        assert torch.equal(shrink(x, norm), x)


@given(vectors(), st.floats(0.01, 100.0))
def test_the_direction_stays(x, norm):
    made, length = shrink(x, norm).double(), float(torch.linalg.vector_norm(x.double()))
    if length > norm and math.isfinite(length):
        step = torch.finfo(x.dtype).eps * 2
        least = torch.finfo(x.dtype).smallest_normal
        assert torch.allclose(made, x.double() * (norm / length), rtol=2 * step, atol=least)


@given(vectors(), NORMS)
def test_a_zero_update_stays_zero_and_an_unfinished_one_becomes_zero(x, norm):
    assert not clipped(torch.zeros_like(x), norm).any()
    for value in (math.nan, math.inf, -math.inf):
        broken = x.clone()
        broken[len(x) // 2] = value
        assert not clipped(broken, norm).any()


@given(vectors(), NORMS)
def test_the_input_is_not_changed(x, norm):
    before = x.clone()
    clipped(x, norm)
    assert torch.equal(x, before)


SCALARS = st.lists(
    st.tuples(st.floats(1e-3, 1e3), st.floats(0.01, 2.0)), min_size=1, max_size=3
).map(lambda pairs: tuple(Scalar(f"s{k}", *pair) for k, pair in enumerate(pairs)))


@given(SCALARS, st.floats(0.01, 100.0), st.data())
def test_scalars_use_their_share_and_the_joint_bound_holds(scalars, norm, data):
    """Whatever a client reports, beyond its bound or not finite: body and tail are in the ball."""
    values = [data.draw(st.floats(-10 * s.bound, 10 * s.bound)) for s in scalars]
    line = Pipeline(Clip(norm))
    setting = Setting(line, Opening.fresh(line, 1, 4, scalars=scalars))
    x = torch.tensor(
        [3.0, 4.0, 5.0, 6.0, *(v / s.bound for v, s in zip(values, scalars, strict=True))]
    )
    made = Clip(norm).apply(x.double(), setting.at(0, Stream()))
    assert float(made[:4].norm()) <= norm
    for got, value, scalar in zip(made[4:].tolist(), values, scalars, strict=True):
        share = max(-1.0, min(1.0, value / scalar.bound)) * scalar.share * norm
        assert got == pytest.approx(share, rel=1e-6, abs=1e-9)
    assert float(made.norm()) <= norm * joint_factor(scalars) * (1 + 1e-12)
    assert setting.plan.bound == pytest.approx(norm * joint_factor(scalars))
    assert float(made.abs().max()) <= setting.plan.peak * (1 + 1e-12)


@given(SCALARS, st.floats(0.01, 10.0), st.floats(0.01, 10.0), st.data())
def test_scalars_come_back_in_their_units_through_two_clips(scalars, first, second, data):
    values = {s.name: [data.draw(st.floats(-s.bound, s.bound)) for _ in range(2)] for s in scalars}
    declared = {scalar: values[scalar.name] for scalar in scalars}
    updates = torch.tensor([[3.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    release = Pipeline(Clip(first), Clip(second)).aggregate(updates, scalars=declared)
    for scalar in scalars:
        mean = sum(values[scalar.name]) / 2
        assert release.scalars[scalar.name] == pytest.approx(
            mean, rel=1e-6, abs=1e-6 * scalar.bound
        )
    norm = min(first, second)
    lengths = release.opened.sums[:, :2].norm(dim=1)
    assert lengths.max() <= norm

"""Each law of a wrapper is broken by some wrapper: a law that cannot fail is none."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from privfl.core import CompositionError
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.parts import Weigh, Wrapper
from privfl.testing import WRAPPER_LAWS, check_wrapper


class Loose(Wrapper):
    """Its parameters can change between rounds."""

    covers_scalars = True


@dataclass(frozen=True)
class Covering(Wrapper):
    covers_scalars: ClassVar[bool] = True


@dataclass(frozen=True)
class Unseeded(Covering):
    """Draws from nowhere."""

    def apply(self, x, at):
        return x + torch.rand(len(x)).to(x)


@dataclass(frozen=True)
class Overwriting(Covering):
    """Scales the client's own tensor."""

    def apply(self, x, at):
        return x.mul_(0.5)


@dataclass(frozen=True)
class Shorter(Covering):
    """Drops a coordinate, and does not plan it."""

    def apply(self, x, at):
        return x[1:]


@dataclass(frozen=True)
class Narrowing(Covering):
    """Sends half precision where real numbers were."""

    def apply(self, x, at):
        return x.half()


@dataclass(frozen=True)
class Normalizing(Covering):
    """Divides by the norm, which may be zero."""

    def apply(self, x, at):
        return x / x.norm()


@dataclass(frozen=True)
class Picky(Covering):
    """Dies on NaN, so that everybody sees that the data had one."""

    def apply(self, x, at):
        if not x.isfinite().all():
            raise ValueError("not finite")
        return x


@dataclass(frozen=True)
class Stretching(Clip):
    """Clips to twice what its plan says."""

    def apply(self, x, at):
        return super().apply(x, at) * 2


@dataclass(frozen=True)
class Squaring(Covering):
    """Undoes a square by a root, which no sum survives."""

    def apply(self, x, at):
        return x.square()

    def undo(self, rows, at):
        return rows.but(sums=rows.sums.sqrt())


@dataclass(frozen=True)
class Remembering(Covering):
    """Keeps an object that no other process can read."""

    def settle(self, x, made, at, counted):
        return object()


BROKEN = [
    (Loose(), "it is a frozen dataclass"),
    (Unseeded(), "equal facts and randomness give equal bits"),
    (Overwriting(), "the input is not changed"),
    (Shorter(), "the length is as its plan says"),
    (Narrowing(), "dtype and device are kept"),
    (Normalizing(), "a zero update is legal"),
    (Picky(), "an update with NaN or Inf does not raise"),
    (Stretching(1.0), "norm and peak are within its plan"),
    (Squaring(), "undoing a sum is the sum of what is undone"),
    (Remembering(), "what it remembers is a value"),
]


def named(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("part", "law"), BROKEN, ids=named)
def test_a_broken_wrapper_breaks_its_law(part, law):
    card = check_wrapper(part)
    assert law in {failure.law for failure in card.failures}, str(card)


def test_every_law_has_a_wrapper_that_breaks_it():
    assert {law for _, law in BROKEN} == {law.says for law in WRAPPER_LAWS}


@pytest.mark.parametrize(
    "part",
    [Clip(1.0), Clip(1e-3), LocalGaussianNoise(1.0), CentralGaussianNoise(0.5), Weigh(100.0)],
    ids=repr,
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_product_s_own_wrappers_pass(part, seed):
    card = check_wrapper(part, seed=seed)
    assert card.passed, str(card)


def test_a_wrapper_that_forgot_the_tail_is_refused():
    @dataclass(frozen=True)
    class Forgetful(Wrapper):
        pass

    with pytest.raises(ValueError, match="must say whether it covers the scalars"):
        check_wrapper(Forgetful())


def test_a_wrapper_that_does_not_cover_the_tail_gets_the_body_alone():
    @dataclass(frozen=True)
    class Doubling(Wrapper):
        covers_scalars: ClassVar[bool] = False

        def apply(self, x, at):
            assert len(x) == at.plan.body
            return x * 2

        def undo(self, rows, at):
            return replace(rows, sums=rows.sums / 2)

    card = check_wrapper(Doubling())
    assert card.passed, str(card)


def test_a_wrapper_that_fits_nowhere_is_refused_as_its_pipeline_would():
    @dataclass(frozen=True)
    class Homeless(Covering):
        def check(self, given):
            raise CompositionError("R33", (self,), "Homeless() stands nowhere", "Drop it")

    with pytest.raises(CompositionError, match="stands nowhere"):
        check_wrapper(Homeless())


def test_a_wrapper_that_stands_for_several_stages_is_refused():
    @dataclass(frozen=True)
    class Twice(Covering):
        def lower(self, given):
            return (Clip(1.0), Clip(2.0))

    with pytest.raises(ValueError, match=r"must be one stage.*Check each stage"):
        check_wrapper(Twice())

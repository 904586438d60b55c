"""What a law is, and how it is broken."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
Given = TypeVar("Given")


class LawBroken(AssertionError):
    """A part does not do what its kind promises. The text holds the smallest witness found.

    >>> raise LawBroken("TrimmedMean(n_byzantine=1): permuting the rows changed the result")
    Traceback (most recent call last):
    ...
    privfl.testing._law.LawBroken: TrimmedMean(n_byzantine=1): permuting the rows changed the result
    """


def _always(subject: object) -> bool:
    del subject
    return True


@dataclass(frozen=True)
class Law(Generic[Subject, Given]):
    """Say what holds of every part of a kind, and check it on one input.

    Attributes:
        says: the law, as a sentence about the part.
        check: raises `LawBroken` where the part breaks it on this input.
        claimed: whether the part promises it; some promises are made by a method or a field.

    >>> even = Law("it is even", check=lambda part, given: None)
    >>> even.says, even.claimed(2)
    ('it is even', True)
    """

    says: str
    check: Callable[[Subject, Given], None]
    claimed: Callable[[Subject], bool] = _always


def demand_frozen(part: object) -> None:
    """Raise `LawBroken` unless a part is a frozen dataclass."""
    kind = getattr(type(part), "__dataclass_params__", None)
    frozen = dataclasses.is_dataclass(part) and kind is not None and kind.frozen
    demand(frozen, f"{type(part).__name__} is not decorated with @dataclass(frozen=True)")


def demand(holds: bool, message: str) -> None:
    """Raise `LawBroken` unless it holds."""
    if not holds:
        raise LawBroken(message)

"""Sums of weights."""

from collections.abc import Sequence

from torch import Tensor

from privfl.learning._algorithm import State


def combined(terms: Sequence[tuple[float, State]]) -> State:
    """Return the sum of ``factor * weights``; what is no floating-point tensor is the first's.

    >>> import torch
    >>> combined([(0.5, {"w": torch.ones(1)}), (2.0, {"w": torch.ones(1)})])
    {'w': tensor([2.5000])}
    """
    return {name: _sum(terms, name) for name in terms[0][1]}


def _sum(terms: Sequence[tuple[float, State]], name: str) -> Tensor:
    first = terms[0][1][name]
    if not first.is_floating_point():
        return first
    total = sum(factor * weights[name].double() for factor, weights in terms)
    return total.to(first.dtype)  # type: ignore[union-attr]

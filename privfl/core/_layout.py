"""Which coordinates of a model make the one flat vector."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from privfl.core._check import require

Array = Tensor | np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Model = nn.Module | Mapping[str, Tensor] | Sequence[Array]
Weights = dict[str, Tensor] | list[Array]
Kind = Literal["parameter", "statistic", "excluded"]


@dataclass(frozen=True)
class Entry:
    """Describe one tensor of a model: its name, shape, dtype, kind, and whose twin it is."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    kind: Kind
    tied_to: str | None = None

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Layout:
    """Map a model, its state_dict or a list of arrays to one flat vector and back.

    The vector holds the floating-point parameters. Running statistics are not updates: they are
    averaged apart, or kept ``"local"``. Integer buffers are excluded by name. Tied weights count
    once, and train where one of their names does. Tensors keep their dtype and device on the way
    back.

    Guarantees:
        - ``flatten(unflatten(v, like)) == v`` wherever the model's dtypes can hold ``v``.
        - What is not in the vector comes back as ``like`` has it.

    >>> layout = Layout.of(nn.Linear(2, 1))
    >>> layout.dim, layout.flatten({"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
    (3, tensor([1., 1., 0.]))
    """

    entries: tuple[Entry, ...]
    named: bool = field(default=True)

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        only: Iterable[str] | None = None,
        exclude: Iterable[str] = (),
        statistics: Literal["average", "local"] = "average",
    ) -> "Layout":
        """Read the layout off a model.

        Args:
            model: a module, a state_dict, or a list of arrays (named ``"0"``, ``"1"``, …).
            only: names, or prefixes of names, that train: a frozen backbone is left out.
            exclude: names or prefixes that stay out of the vector.
            statistics: ``"average"`` running statistics apart, or keep them ``"local"``.

        Raises:
            ValueError: for a name that matches nothing, or a model without a trained parameter.
        """
        known = statistics in ("average", "local")
        require(known, "statistics is 'average' or 'local'", repr(statistics))
        tensors = _tensors(model)
        only_names = tuple(tensors) if only is None else _matching("only", only, tensors)
        excluded = _matching("exclude", exclude, tensors)
        first = _first_names(tensors)
        trained = {first[name] for name in only_names} - {first[name] for name in excluded}
        parameters = _parameter_names(model, tensors)
        entries = []
        for name, tensor in tensors.items():
            kind = _kind(name, tensor, first[name] in trained, name in parameters, statistics)
            tied_to = None if first[name] == name else first[name]
            entries.append(Entry(name, tuple(tensor.shape), _dtype(tensor), kind, tied_to))
        layout = cls(tuple(entries), isinstance(model, nn.Module | Mapping))
        wanted = "A layout needs at least one floating-point parameter that trains"
        require(layout.dim > 0, wanted, f"none among {len(entries)} tensors")
        return layout

    @property
    def dim(self) -> int:
        """Coordinates of the vector."""
        return sum(entry.size for entry in self._of_kind("parameter"))

    @property
    def statistics_dim(self) -> int:
        """Coordinates of the running statistics that are averaged apart."""
        return sum(entry.size for entry in self._of_kind("statistic"))

    @property
    def excluded(self) -> tuple[str, ...]:
        """Names of what neither trains nor is averaged."""
        return tuple(entry.name for entry in self.entries if entry.kind == "excluded")

    @property
    def dtype(self) -> torch.dtype:
        """The vector's dtype: the widest of the parameters', at least float32."""
        widest = torch.float32
        for entry in self._of_kind("parameter"):
            widest = torch.promote_types(widest, entry.dtype)
        return widest

    @property
    def hash(self) -> str:
        """A hash of names, shapes, dtypes and kinds, equal exactly for equal layouts."""
        text = repr([(e.name, e.shape, str(e.dtype), e.kind, e.tied_to) for e in self.entries])
        return hashlib.sha256(text.encode()).hexdigest()

    def flatten(self, state: Model) -> Tensor:
        """Write the parameters of ``state`` as one vector: -> (dim,)."""
        return self._flatten(state, "parameter")

    def flatten_statistics(self, state: Model) -> Tensor:
        """Write the running statistics of ``state`` as one vector: -> (statistics_dim,)."""
        return self._flatten(state, "statistic")

    def stack(self, states: Sequence[Model], *, minus: Model | None = None) -> Tensor:
        """Write many states as rows, less the model they started from: -> (n, dim)."""
        wanted = "states must be a list with each client's weights"
        require(isinstance(states, Sequence), wanted, type(states).__name__)
        require(len(states) > 0, "states must hold at least one client's weights", "none")
        first = self.flatten(states[0])
        rest = [self.flatten(state).to(first.device) for state in states[1:]]
        rows = torch.stack([first, *rest])
        return rows if minus is None else rows - self.flatten(minus).to(rows)

    def unflatten(
        self, vector: Tensor, like: Model, *, statistics: Tensor | None = None
    ) -> Weights:
        """Write a vector (dim,) as weights of the same kind, dtypes and devices as ``like``.

        ``statistics`` (statistics_dim,) replaces the running statistics; they, and everything that
        does not train, otherwise come back as ``like`` has them.
        """
        wanted = f"vector must have shape ({self.dim},)"
        require(vector.shape == (self.dim,), wanted, f"{tuple(vector.shape)}")
        tensors = self._checked(like)
        parts = {"parameter": vector, "statistic": statistics}
        at = dict.fromkeys(parts, 0)
        out: dict[str, Array] = {}
        for entry in self.entries:
            source = parts.get(entry.kind)
            if entry.tied_to is not None:
                out[entry.name] = out[entry.tied_to]
            elif source is None:
                out[entry.name] = _copy(tensors[entry.name])
            else:
                piece = source[at[entry.kind] : at[entry.kind] + entry.size].reshape(entry.shape)
                at[entry.kind] += entry.size
                out[entry.name] = _as_like(piece, tensors[entry.name])
        return out if self.named else list(out.values())  # type: ignore[return-value]

    def _of_kind(self, kind: Kind) -> list[Entry]:
        return [e for e in self.entries if e.kind == kind and e.tied_to is None]

    def _flatten(self, state: Model, kind: Kind) -> Tensor:
        tensors = self._checked(state)
        pieces = [_as_tensor(tensors[e.name]).reshape(-1) for e in self._of_kind(kind)]
        if not pieces:
            return torch.zeros(0, dtype=self.dtype)
        return torch.cat([piece.to(pieces[0].device, self.dtype) for piece in pieces])

    def _checked(self, state: Model) -> dict[str, Array]:
        tensors = _tensors(state)
        missing = [e.name for e in self.entries if e.name not in tensors]
        extra = [name for name in tensors if name not in {e.name for e in self.entries}]
        wanted = "The weights must have the names of this layout"
        require(not missing and not extra, wanted, f"missing {missing}, unknown {extra}")
        for e in self.entries:
            found = tuple(tensors[e.name].shape)
            require(found == e.shape, f"{e.name} must have shape {e.shape}", f"shape {found}")
        return tensors


def _tensors(model: Model) -> dict[str, Array]:
    if isinstance(model, nn.Module | Mapping):
        tensors = dict(model.state_dict() if isinstance(model, nn.Module) else model)
        others = [k for k, v in tensors.items() if not isinstance(v, Tensor | np.ndarray)]
        require(not others, "A state_dict maps names to tensors", f"something else at {others}")
        return tensors
    wanted = "A model is a torch module, a state_dict, or a list of arrays"
    good = isinstance(model, Sequence) and all(isinstance(a, Tensor | np.ndarray) for a in model)
    require(good, wanted, type(model).__name__)
    return {str(k): array for k, array in enumerate(model)}


def _parameter_names(model: Model, tensors: Mapping[str, Array]) -> set[str]:
    """Tell parameters from buffers; a bare state_dict only has the usual names to go by."""
    if isinstance(model, nn.Module):
        return {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name for name in tensors if not name.endswith(("running_mean", "running_var"))}


def _kind(name: str, tensor: Array, trains: bool, is_parameter: bool, statistics: str) -> Kind:
    dtype = _dtype(tensor)
    if trains and is_parameter:
        require(not dtype.is_complex, "Parameters are real numbers", f"{dtype} at {name}")
    if not trains or not dtype.is_floating_point:
        return "excluded"
    if is_parameter:
        return "parameter"
    return "statistic" if statistics == "average" else "excluded"


def _matching(option: str, names: Iterable[str], tensors: Mapping[str, Array]) -> list[str]:
    out = []
    for wanted in [names] if isinstance(names, str) else names:
        hits = [name for name in tensors if name == wanted or name.startswith(wanted + ".")]
        fix = f"Names are {', '.join(tensors)}"
        require(bool(hits), f"{option} must name tensors or modules of the model", wanted, fix)
        out += hits
    return out


def _first_names(tensors: Mapping[str, Array]) -> dict[str, str]:
    """Return, for each name, the first name of the same tensor: its own unless it is tied."""
    first: dict[object, str] = {}
    return {name: first.setdefault(_place(name, array), name) for name, array in tensors.items()}


def _place(name: str, array: Array) -> object:
    if not isinstance(array, Tensor):
        return name
    storage = array.untyped_storage()._cdata  # not its address: on the meta device all have 0
    return (storage, array.storage_offset(), tuple(array.shape), array.stride(), array.dtype)


def _dtype(array: Array) -> torch.dtype:
    return array.dtype if isinstance(array, Tensor) else _as_tensor(array[None][:0]).dtype


def _as_tensor(array: Array) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    try:  # copies what torch cannot view: read-only memory, another byte order or stride
        native = np.require(array, array.dtype.newbyteorder("="), ["C", "W"])
        return torch.from_numpy(native)
    except TypeError:
        raise ValueError(f"Arrays hold numbers that torch knows. Found {array.dtype}.") from None


def _copy(array: Array) -> Array:
    return array.detach().clone() if isinstance(array, Tensor) else array.copy()


def _as_like(piece: Tensor, like: Array) -> Array:
    if isinstance(like, Tensor):
        return piece.detach().to(like.device, like.dtype, copy=True)
    return piece.detach().cpu().numpy().astype(like.dtype)

"""The parts of a pipeline in line: which stand where, and whether they fit."""

import hashlib
import inspect
import math
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from typing import Self

from privfl.core import (
    Cohort,
    CompositionError,
    Contract,
    Party,
    Plan,
    Scalar,
    State,
    require,
)
from privfl.core._accepting import CONDITIONS
from privfl.parts import Aggregator, Mean, Part, Plain, SumProtocol, Trainer, Wrapper


class Line:
    """Put parts in line, fold the contract through them, and refuse contradictions.

    Attributes:
        parts: as they were written.
        accepting: conditions that the user accepted knowingly.
        lowered: the stages that run, neutral parts included; a Trainer stands apart.
    """

    def __init__(self, *parts: Part, accepting: Iterable[str] = ()) -> None:
        """Fold the contract through ``parts``.

        Raises:
            CompositionError: where two parts contradict each other.
            ValueError: for something that is no part, or an unknown condition.
        """
        self.parts = tuple(_checked(part) for part in parts)
        self.accepting = _known(accepting)
        trainers = [part for part in self.parts if isinstance(part, Trainer)]
        self.trainer = trainers[0] if trainers else None
        if len(trainers) > 1 or (trainers and self.parts[0] is not trainers[0]):
            reason = "A pipeline trains at most once, first in line"
            raise CompositionError("R33", self.parts, reason, "Keep one, in front")
        whole = _with_neutral_parts([part for part in self.parts if part is not self.trainer])
        self.lowered = self._lower(whole)
        self.protocol_at = _place(self.lowered, SumProtocol)
        self.aggregator_at = _place(self.lowered, Aggregator)
        self.multipass_at = self._multipass()
        self._refuse_idle_memory()
        self._refuse_unnoised_state()

    def _lower(self, whole: Sequence[Part]) -> tuple[Part, ...]:
        contract, lowered = self.first_contract(), []
        for part in whole:
            for stage in part.lower(contract):
                _refuse_memory_behind_clip(stage, contract)
                contract = stage.check(contract)
                lowered.append(stage)
        return tuple(lowered)

    def first_contract(self, scalars: tuple[Scalar, ...] = ()) -> Contract:
        """Return the contract in front of the first part."""
        scalars = self.scalars + self.measured + scalars
        names = [scalar.name for scalar in scalars]
        require(len(set(names)) == len(names), "Each scalar has a name of its own", names)
        return Contract(scalars=scalars, accepting=self.accepting)

    def contracts(self, scalars: tuple[Scalar, ...] = ()) -> tuple[Contract, ...]:
        """Return the contract in front of every part, and the last one."""
        out = [self.first_contract(scalars)]
        for part in self.lowered:
            out.append(part.check(out[-1]))
        return tuple(out)

    @cached_property
    def contract(self) -> Contract:
        """What holds of the release."""
        return self.contracts()[-1]

    @cached_property
    def scalars(self) -> tuple[Scalar, ...]:
        """What the parts ask a client to supply."""
        return tuple(scalar for part in self.parts for scalar in part.scalars)

    @cached_property
    def measured(self) -> tuple[Scalar, ...]:
        """What the parts write into the tail themselves."""
        wrappers = [part for part in self.parts if isinstance(part, Wrapper)]
        return tuple(scalar for part in wrappers for scalar in part.measured)

    def initial_public(
        self, cohort: Cohort, body: int, statistics: int, scalars: tuple[Scalar, ...]
    ) -> dict[Party, State]:
        """Return the public state of every wrapper before the first round, by its place."""
        contracts = self.contracts(scalars)
        plan = Plan.first(cohort, body, statistics=statistics, scalars=contracts[0].scalars).but(
            min_survivors=self.protocol.min_survivors(len(cohort))
        )
        public: dict[Party, State] = {}
        for k, part in enumerate(self.client_half):
            state = part.initial(plan)
            if state is not None:
                public[k] = state
            plan = part.plan(plan, contracts[k], state)
        return public

    def without_trainer(self) -> Self:
        """Return the line for updates that are there already."""
        parts = self.parts if self.trainer is None else self.parts[1:]
        return type(self)(*parts, accepting=self.accepting)

    @property
    def protocol(self) -> SumProtocol:
        """How updates travel."""
        return self.lowered[self.protocol_at]  # type: ignore[return-value]

    @property
    def aggregator(self) -> Aggregator:
        """What turns rows into one vector."""
        return self.lowered[self.aggregator_at]  # type: ignore[return-value]

    @property
    def client_half(self) -> tuple[Wrapper, ...]:
        """The wrappers that clients run, in order."""
        return self.lowered[: self.protocol_at]  # type: ignore[return-value]

    @property
    def passes(self) -> int:
        """How many sums a round makes."""
        return max((part.passes for part in self.client_half), default=1)

    @property
    def remembers(self) -> bool:
        """Whether some wrapper keeps a private state in the clients."""
        return any(part.remembers for part in self.client_half)

    @property
    def has_memory(self) -> bool:
        """Whether a round depends on earlier ones, so that its state must be handed on."""
        return any(_defines(part, "initial", "advance", "learn", "settle") for part in self.lowered)

    @property
    def fingerprint(self) -> bytes:
        """A hash of what was written: both sides must run the same."""
        return hashlib.sha256(repr((self.parts, sorted(self.accepting))).encode()).digest()

    def __repr__(self) -> str:
        """Return what was written."""
        words = [repr(part) for part in self.parts]
        if self.accepting:
            words.append(f"accepting={{{', '.join(map(repr, sorted(self.accepting)))}}}")
        return f"{type(self).__name__}({', '.join(words)})"

    def __eq__(self, other: object) -> bool:
        """Compare what was written."""
        if not isinstance(other, Line):
            return NotImplemented
        return self.fingerprint == other.fingerprint

    def __reduce__(self) -> tuple[object, ...]:
        """Cross a process as what was written; the other side checks it anew."""
        return partial(type(self), accepting=self.accepting), self.parts

    def __hash__(self) -> int:
        """Hash what was written."""
        return hash(self.fingerprint)

    def _multipass(self) -> int | None:
        many = [k for k, part in enumerate(self.client_half) if part.passes > 1]
        if len(many) > 1:
            parts = tuple(self.lowered[k] for k in many)
            reason = f"{parts[0]!r} and {parts[1]!r} both need several sums in a round"
            raise CompositionError("R33", parts, reason, "Keep one")
        if many and not self.aggregator.linear:
            parts = (self.lowered[many[0]], self.aggregator)
            reason = f"{parts[0]!r} needs sums, and {parts[1]!r} takes none"
            raise CompositionError("R33", parts, reason, "Use Mean()")
        for part in self.client_half[many[0] + 1 :] if many else ():
            if part.remembers:
                parts = (self.lowered[many[0]], part)
                reason = f"{parts[1]!r} remembers one sum a round, and {parts[0]!r} makes several"
                raise CompositionError("R33", parts, reason, "Put it in front")
        return many[0] if many else None

    def _refuse_idle_memory(self) -> None:
        """Refuse a part whose state nobody would hand on where it stands."""
        server = self.contract.opener == "server"
        for k, part in enumerate(self.lowered):
            several = isinstance(part, Wrapper) and part.passes > 1
            if k < self.protocol_at:
                idle = not server and (several or _defines(part, "advance", "learn"))
            else:
                kept = server and k >= self.aggregator_at
                idle = several or (_defines(part, "settle") and not kept)
                idle = idle or _defines(part, "advance", "learn")
            if idle:
                reason = f"{part!r} keeps a state, and where it stands nobody hands it on"
                fix = "Put it before the protocol, or behind the aggregator where the server opens"
                raise CompositionError("R33", (part, self.protocol), reason, fix)

    def _refuse_unnoised_state(self) -> None:
        """Refuse to broadcast what was made of rows that central noise never reached (rule R25)."""
        if self.contract.noise != "central":
            return
        noise = self.contract.author("noise")
        for part in self.client_half:
            if _defines(part, "advance") and not part.unnoised_state:
                reason = f"{part!r} tells everybody a state that it reads before {noise!r} is added"
                fix = (
                    "Add noise in the clients, or make the state in `learn`, from released scalars"
                )
                raise CompositionError("R25", (part, noise), reason, fix)


def _refuse_memory_behind_clip(part: Part, given: Contract) -> None:
    """Refuse error feedback behind a clip: what it adds back is in nobody's bound (rule R4)."""
    if not isinstance(part, Wrapper) or given.where != "client":
        return
    if part.remembers and given.clip_norm < math.inf:
        clip = given.author("clip_norm")
        reason = f"{part!r} adds what it remembers to what {clip!r} has bounded"
        raise CompositionError("R4", (clip, part), reason, "Put it in front of the clip")


def _defines(part: Part, *names: str) -> bool:
    """Tell whether a part has one of these hooks of its own."""
    kinds = [kind for kind in (Wrapper, Aggregator) if isinstance(part, kind)]
    pairs = [(kind, name) for kind in kinds for name in names if hasattr(kind, name)]
    return any(getattr(type(part), name) is not getattr(kind, name) for kind, name in pairs)


def _checked(part: Part) -> Part:
    if inspect.isclass(part) and issubclass(part, Part):
        raise ValueError(f"Parts are objects. Found the class {part.__name__}: write its brackets.")
    if not isinstance(part, Part):
        raise ValueError(
            "A pipeline is made of parts: subclass privfl.parts.Wrapper, Aggregator, SumProtocol "
            f"or Trainer. Found {part!r}."
        )
    return part


def _known(accepting: Iterable[str]) -> frozenset[str]:
    names = frozenset([accepting] if isinstance(accepting, str) else accepting)
    wanted = f"accepting takes names among {', '.join(CONDITIONS)}"
    require(names <= set(CONDITIONS), wanted, ", ".join(sorted(names - set(CONDITIONS))))
    return names


def _with_neutral_parts(parts: list[Part]) -> list[Part]:
    protocol = _only(parts, SumProtocol)
    aggregator = _only(parts, Aggregator)
    if aggregator is None:
        # right behind the protocol and what stands among the rows: nothing else was written
        aggregator = len(parts)
        parts = [*parts, Mean()]
    if protocol is None:
        parts = [*parts[:aggregator], Plain(), *parts[aggregator:]]
    elif protocol > aggregator:
        pair = (parts[protocol], parts[aggregator])
        reason = f"{pair[0]!r} carries updates, and {pair[1]!r} in front of it aggregates them"
        raise CompositionError("R33", pair, reason, "Put the aggregator behind the protocol")
    return parts


def _place(parts: Sequence[Part], kind: type[Part]) -> int:
    """Return where the only part of ``kind`` stands."""
    place = _only(parts, kind)
    if place is None:
        raise ValueError(f"A pipeline needs a {kind.__name__}. Found none in {parts!r}.")
    return place


def _only(parts: Sequence[Part], kind: type[Part]) -> int | None:
    at = [k for k, part in enumerate(parts) if isinstance(part, kind)]
    if len(at) > 1:
        pair = (parts[at[0]], parts[at[1]])
        reason = f"{pair[0]!r} and {pair[1]!r} do the same work ({kind.__name__})"
        raise CompositionError("R33", pair, reason, "Keep one")
    return at[0] if at else None

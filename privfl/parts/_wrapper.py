"""The kind of part that changes a vector where it stands."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from privfl.core import At, CompositionError, Contract, Plan, Rows, Scalar, State
from privfl.parts._part import Part


class Wrapper(Part):
    """Change a vector; the opener undoes what must be undone.

    Its place says who runs it: the client (before the protocol), the opener on each row's mean
    (behind it), or the opener on the result (behind the aggregator).

    Attributes:
        covers_scalars: whether `apply` gets the declared tail too. It has no default: a noise that
            forgot the tail would leave the losses without noise.
        passes: how many secure sums it needs in one round.
        measured: scalars that `apply` writes into the tail itself; nobody is asked for them.
        unnoised_state: why its `advance` may read rows before central noise is added, in words.
            Without a reason such a pipeline is refused (rule R25).
    """

    covers_scalars: ClassVar[bool]
    unnoised_state: ClassVar[str] = ""

    @property
    def measured(self) -> tuple[Scalar, ...]:
        """Scalars of the tail that are its own."""
        return ()

    @property
    def passes(self) -> int:
        """Secure sums in one round."""
        return 1

    def apply(self, x: Tensor, at: At) -> Tensor:
        """Change a vector: (d,) -> (d',)."""
        del at
        return x

    def undo(self, rows: Rows, at: At) -> Rows:
        """Undo `apply` on opened sums: (g, d') -> (g, d)."""
        del at
        return rows

    def undone(self, given: Plan, here: Plan) -> Plan:
        """Return the plan behind `undo`, which may lengthen what one client moves (rule R4).

        Args:
            given: of the sums as they come to `undo`.
            here: in front of `apply`.
        """
        del here
        return given

    def initial(self, plan: Plan) -> State:
        """Return the public state before the first round."""
        del plan
        return None

    def advance(self, rows: Rows, at: At) -> State:
        """Return the next public state, once a pass, from the rows as they came.

        No noise behind the aggregator has reached them: see `learn`.
        """
        del rows
        return at.public

    def learn(self, scalars: Mapping[str, float], at: At) -> State:
        """Return the next public state, once a round, from the scalars as they were released."""
        del scalars
        return at.public

    def settle(self, x: Tensor, made: Tensor, at: At, counted: bool) -> State:
        """Return the next private state, once it is known whether ``made`` (from ``x``) counted."""
        del x, made, counted
        return at.state

    def check(self, given: Contract) -> Contract:
        """Refuse a place behind the protocol to a wrapper that is undone by the opener."""
        if given.where != "client" and type(self).undo is not Wrapper.undo:
            raise CompositionError(
                "R33",
                (self, given.author("where")),
                f"{self!r} is undone by the opener, and behind the protocol nobody undoes it",
                "Put it before the protocol",
            )
        return given

    @property
    def remembers(self) -> bool:
        """Whether it keeps a private state from round to round."""
        return type(self).settle is not Wrapper.settle

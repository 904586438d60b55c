"""What every part of a pipeline answers."""

from dataclasses import fields

from privfl.core import Contract, Plan, Scalar, State


class Part:
    """State kinds and numbers for one word of a pipeline. Subclasses are frozen dataclasses.

    A part never changes itself: what it remembers goes in as ``at.state`` or ``at.public`` and
    comes out of `settle` or `advance` as a value.

    Attributes:
        scalars: what a client must supply for this part, see `privfl.core.Scalar`.
    """

    scalars: tuple[Scalar, ...] = ()

    def lower(self, given: Contract) -> "tuple[Part, ...]":
        """Return the stages that this word stands for."""
        del given
        return (self,)

    def check(self, given: Contract) -> Contract:
        """Return the contract behind this part, or raise a `CompositionError`."""
        return given

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Return the plan behind this part, or raise a `PlanError`."""
        del contract, public
        return given

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say in a few words what this part does under ``plan``, for `explain`."""
        del plan, contract
        return (type(self).__doc__ or "").partition("\n")[0].rstrip(".")

    def notes(self, plan: Plan, contract: Contract) -> tuple[str, ...]:
        """Return what a user must know besides, a sentence each, for `explain`."""
        del plan, contract
        return ()


def written(part: Part) -> str:
    """Write a part as a user did who says what is not usual, and nothing else."""
    given = [(f, getattr(part, f.name)) for f in fields(part)]  # type: ignore[arg-type]
    words = [f"{f.name}={value!r}" for f, value in given if value != f.default]
    return f"{type(part).__name__}({', '.join(words)})"

"""What both sides derive from the opening letter."""

from dataclasses import dataclass, field
from functools import cached_property

from privfl.core import At, Cohort, Contract, Plan, State
from privfl.crypto import Stream
from privfl.rounds._line import Line
from privfl.rounds._opening import Opening


@dataclass(frozen=True)
class Setting:
    """Hold the contract and the plan in front of every part in this round.

    It is made anew each round: a plan changes with public state (an adaptive clip that was planned
    once runs away).
    """

    line: Line
    opening: Opening
    contracts: tuple[Contract, ...] = field(init=False, repr=False)
    plans: tuple[Plan, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Fold contract and plan through the line."""
        contracts = self.line.contracts(self.opening.scalars)
        object.__setattr__(self, "contracts", contracts)
        object.__setattr__(self, "plans", self._fold(contracts))

    def _fold(self, contracts: tuple[Contract, ...]) -> tuple[Plan, ...]:
        opening = self.opening
        plan = Plan.first(
            opening.cohort,
            opening.body,
            statistics=opening.statistics,
            scalars=contracts[0].scalars,
            min_survivors=self.line.protocol.min_survivors(len(opening.cohort)),
        )
        plans = [plan]
        for k, part in enumerate(self.line.lowered):
            plans.append(part.plan(plans[-1], contracts[k], opening.public.get(k)))
        return tuple(plans)

    @property
    def plan(self) -> Plan:
        """The plan of the release."""
        return self.plans[-1]

    @property
    def contract(self) -> Contract:
        """The contract of the release."""
        return self.contracts[-1]

    @cached_property
    def present(self) -> Cohort:
        """The members who are still there in this pass."""
        return self.opening.cohort.only(self.opening.present)

    @cached_property
    def session(self) -> bytes:
        """The hash that no two sums share."""
        return self.opening.session

    def at(self, k: int, generator: Stream, state: State = None) -> At:
        """Return what part ``k`` may know."""
        return At(
            cohort=self.present if k == self.line.protocol_at else self.opening.cohort,
            plan=self.plans[k],
            contract=self.contracts[k],
            round=self.opening.round,
            pass_index=self.opening.pass_index,
            session=self.session,
            public=self.opening.public.get(k),
            state=state,
            generator=generator,
        )

"""What both sides derive from the opening letter."""

from dataclasses import dataclass, field
from functools import cached_property

from privfl.core import (
    At,
    Cohort,
    CompositionError,
    Contract,
    Plan,
    PlanError,
    Registry,
    State,
)
from privfl.crypto import Identity, Stream
from privfl.rounds._envelope import Envelope
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
        """Fold contract and plan through the line.

        Raises:
            CompositionError: for running statistics that would be noised or hidden in a sum.
            PlanError: where the cohort does not fit a part.
        """
        contracts = self.line.contracts(self.opening.scalars)
        refuse_statistics(contracts[-1], self.opening.statistics)
        _refuse_two_weights(contracts[-1], self.opening.cohort)
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
            sums=self.line.passes,
        )
        plans = [plan]
        for k, part in enumerate(self.line.lowered):
            after = part.plan(plans[-1], contracts[k], opening.public.get(k))
            if k == self.line.protocol_at:
                after = self._undone(after, plans)
            plans.append(after)
        return tuple(plans)

    def _undone(self, plan: Plan, plans: list[Plan]) -> Plan:
        """Undo the client half in reverse; what is opened then has its first sizes again."""
        for part, here in reversed(list(zip(self.line.client_half, plans, strict=False))):
            plan = part.undone(plan, here)
        first = plans[0]
        return plan.but(body=first.body, statistics=first.statistics, dim=first.dim)

    @cached_property
    def plan(self) -> Plan:
        """The plan of the release, with the bytes of the busiest client's letters."""
        up, down = self._traffic()
        return self.plans[-1].but(bytes_up=up, bytes_down=down)

    def _traffic(self) -> tuple[int, int]:
        """Add up a client's letters, in envelopes, of one pass in which nobody drops out."""
        k = self.line.protocol_at
        exchanges = self.line.protocol.exchanges(self.plans[k], self.opening.cohort)
        up = sum(Envelope.size(self.session, x.stage, x.up) for x in exchanges)
        openings = [self.opening.to_state() if k == 0 else None for k in range(len(exchanges))]
        down = [
            Envelope.size(self.session, x.stage, x.down, opening)
            for x, opening in zip(exchanges, openings, strict=True)
        ]
        return up, sum(down)

    @property
    def contract(self) -> Contract:
        """The contract of the release."""
        return self.contracts[-1]

    @cached_property
    def session(self) -> bytes:
        """The hash that no two sums share."""
        return self.opening.session

    @cached_property
    def occasion(self) -> bytes:
        """The hash that all sums of the round share."""
        return self.opening.occasion

    def at(
        self,
        k: int,
        generator: Stream,
        state: State = None,
        identity: Identity | None = None,
        registry: Registry | None = None,
    ) -> At:
        """Return what part ``k`` may know."""
        return At(
            cohort=self.opening.cohort,
            plan=self.plans[k],
            contract=self.contracts[k],
            round=self.opening.round,
            # what stands in front of several passes runs in the first, and is undone in the last
            pass_index=0 if k < (self.line.multipass_at or 0) else self.opening.pass_index,
            session=self.session,
            occasion=self.occasion,
            model=self.opening.model,
            public=self.opening.public.get(k),
            state=state,
            generator=generator,
            identity=identity,
            registry=registry,
        )


def refuse_statistics(contract: Contract, count: int) -> None:
    """Refuse running statistics where they would be noised or hidden in a sum (rule R1)."""
    if not count or (not contract.claims_privacy and contract.sees == "each"):
        return
    other = contract.author("noise" if contract.claims_privacy else "sees")
    raise CompositionError(
        "R1",
        (other, "running statistics"),
        f"The model has {count} running statistics (BatchNorm). They are not updates, so {other!r} "
        "must not touch them, and nothing may travel beside it",
        "Keep them local with Layout.of(model, statistics='local'), or replace BatchNorm by "
        "GroupNorm",
    )


def _refuse_two_weights(contract: Contract, cohort: Cohort) -> None:
    """Refuse public weights or owners beside private counts: the quotient would be neither mean."""
    if contract.weighting == "uniform" or (cohort.weights is None and cohort.owners is None):
        return
    weigh = contract.author("weighting")
    raise PlanError(
        "R2",
        (weigh, "the cohort's weights or owners"),
        f"{weigh!r} weighs by example counts, and the cohort has public weights or owners",
        "Keep one of them",
    )

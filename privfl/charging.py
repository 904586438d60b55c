"""What the exchanges of a round are charged, before any client is asked."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from privfl.core import Budget, Charge, Party, Reservation, weights_hash
from privfl.learning._algorithm import State
from privfl.pipeline import Pipeline
from privfl.rounds import Opening, Setting
from privfl.sampling import amplified

if TYPE_CHECKING:
    from privfl.federation import Federation


class Charging:
    """Charge releases of one round to the ledger; without one, to the history alone."""

    def __init__(self, federation: "Federation", budget: Budget | None) -> None:
        """Charge for ``federation``, and pass no ``budget``."""
        self.federation, self.budget = federation, budget
        self.reserved: list[Reservation] = []

    def release(
        self, opening: Opening, pipeline: Pipeline, members: Sequence[Party]
    ) -> Reservation | None:
        """Charge one opened exchange over the data of ``members``."""
        trainer = self.federation.local
        beside = trainer.hides_records and pipeline.trainer is None
        words = f"{trainer!r}, {pipeline!r}" if beside else repr(pipeline)
        return self.spend(self._charges(opening, pipeline, members), words)

    def spend(self, charges: Mapping[Party, Sequence[Charge]], words: str) -> Reservation | None:
        """Charge what ``words`` releases, by client; no charges are an undefended release."""
        federation, account = self.federation, self.federation.ledger
        if account is None:
            federation.history.spend(charges, self.budget)
            return None
        if self.budget is not None:
            account = account.within(self.budget)
        seeded = federation.stream.seeded
        self.reserved.append(account.reserve(charges, pipeline=words, seeded=seeded))
        federation.history.spend(charges)
        return self.reserved[-1]

    def bind_model(self, weights: State) -> None:
        """Write down the model that the round ended with."""
        if self.reserved:
            self.reserved[-1].bind(model=weights_hash(weights))

    def _charges(
        self, opening: Opening, pipeline: Pipeline, members: Sequence[Party]
    ) -> dict[Party, list[Charge]]:
        """Return what a release is charged, by client: see `privfl.sampling.amplified`."""
        federation, n = self.federation, len(self.federation.members)
        planned = Setting(pipeline, opening).plan.charges
        absent, present = (
            amplified(planned, federation.sampling, n, member=member) for member in (False, True)
        )
        out: dict[Party, list[Charge]] = {}
        for who, data in federation.datasets.items():
            if who in members:
                out[who] = [*present, *federation.local.charges(len(data[1]))]
            elif absent:
                out[who] = [*absent]
        return out

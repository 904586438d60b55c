"""The rows and columns of a duel, as data."""

from dataclasses import dataclass
from typing import Literal, Protocol

from privfl.attacks.poisoning import Poisoning, UpdatePoisoning
from privfl.crypto import Stream
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._table import Column
from privfl.pipeline import Pipeline
from privfl.views import Knowledge, View


class Inversion(Protocol):
    """An attack on a view: what `privfl.attacks.inversion` holds."""

    def __call__(self, view: View, knowledge: Knowledge, generator: Stream) -> object:
        """Make the most of a view."""


@dataclass(frozen=True)
class Poison:
    """Name a poisoning attack: one column, decided by training runs."""

    name: str
    attack: Poisoning
    about: str = ""

    def is_idle(self, scenario: Scenario) -> bool:
        """Whether the attack sends the honest mean itself at this size: one seed shows it."""
        if not isinstance(self.attack, UpdatePoisoning):
            return False
        honest = Stream.replay(0).normal((len(scenario.honest), 8))
        return self.attack.is_silent(honest)

    def column(self, rounds: int) -> Column:
        """Describe the column."""
        return Column(self.name, "poisoning", f"{rounds} rounds", self.about)


@dataclass(frozen=True)
class Probe:
    """Name an attack on what the server sees of one round: one column, decided by victims.

    Attributes:
        name: of the column.
        attack: see `privfl.attacks.inversion`.
        victims: how many clients (or cohorts, where clients are summed) are attacked.
        batch: images a client trains on in its one step.
        n_clients: summed in each row that is attacked; 1: single updates.
        round: of training, at which the model is attacked.
        model: the scenario's ``model`` or its linear ``twin``.
        as_trained: the clients' real updates instead of one step; ``batch`` images are dreamt up.
        about: one sentence.
    """

    name: str
    attack: Inversion
    victims: int = 16
    batch: int = 1
    n_clients: int = 1
    round: int = 0
    model: Literal["model", "twin"] = "model"
    as_trained: bool = False
    about: str = ""

    @property
    def unit(self) -> str:
        """What the interval counts."""
        return "cohorts" if self.n_clients > 1 or self.batch > 1 or self.as_trained else "victims"

    def column(self) -> Column:
        """Describe the column."""
        protocol = "as trained" if self.as_trained else "one step"
        return Column(self.name, "privacy", protocol, self.about)


@dataclass(frozen=True)
class Contender:
    """Name a pipeline: one row, which declares its columns.

    Attributes:
        name: of the row.
        pipeline: what is tried.
        columns: names of the attacks it meets; None: all.
        same_view_as: the row whose server's view it shares; asserted before anything is reused.
        skip_client_half: attackers do not run the parts that a client promises to run.
        note: for the report.
    """

    name: str
    pipeline: Pipeline
    columns: tuple[str, ...] | None = None
    same_view_as: str = ""
    skip_client_half: bool = False
    note: str = ""

    def meets(self, column: str) -> bool:
        """Tell whether the row declares a column."""
        return self.columns is None or column in self.columns

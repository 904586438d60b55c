"""The units of work of a duel: each has a key, can run anywhere, and returns a value."""

from dataclasses import dataclass, field

from privfl.core import State
from privfl.evaluate._contender import Poison, Probe
from privfl.evaluate._probe import Findings, attack_view
from privfl.evaluate._run import Run, train
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._staged import stage
from privfl.evaluate._store import Store, key_of
from privfl.pipeline import Pipeline


@dataclass(frozen=True)
class TrainTask:
    """Train once under a pipeline: with an attack, with the honest clients alone, or with all."""

    pipeline: Pipeline
    seed: int
    poison: Poison | None = None
    honest_only: bool = False
    skip_client_half: bool = False
    keep: tuple[int, ...] = ()

    def key(self, scenario: Scenario) -> str:
        """Hash what the run depends on."""
        attack = None if self.poison is None else self.poison.attack
        options = (self.honest_only, self.skip_client_half, self.keep)
        return key_of("train", scenario.fingerprint, self.pipeline, attack, options, self.seed)

    def run(self, scenario: Scenario, store: Store) -> State:
        """Train, or return what is stored."""
        key = self.key(scenario)
        found = store.get(key)
        if found is None:
            found = train(
                scenario,
                self.pipeline,
                self.seed,
                attack=None if self.poison is None else self.poison.attack,
                honest_only=self.honest_only,
                skip_client_half=self.skip_client_half,
                keep=self.keep,
            ).to_state()
            store.put(key, found)
        return found

    @property
    def kind(self) -> str:
        """Tasks of one kind take about the same time."""
        return "train"

    @property
    def label(self) -> str:
        """A few words for the progress bar."""
        what = "honest clients alone" if self.honest_only else "no attack"
        return f"training, {what if self.poison is None else self.poison.name}, seed {self.seed}"


@dataclass(frozen=True)
class ProbeTask:
    """Attack what the server sees under a pipeline. Equal views are attacked once."""

    pipeline: Pipeline
    probe: Probe
    seed: int = 0
    rounds_kept: tuple[int, ...] = field(default=(), compare=False)  # where weights are found

    def key(self, scenario: Scenario) -> str:
        """Hash what the probe depends on."""
        return key_of("probe", scenario.fingerprint, self.pipeline, self.probe, self.seed)

    def run(self, scenario: Scenario, store: Store) -> State:
        """Make the view, then attack it unless an equal one was attacked already."""
        key = self.key(scenario)
        found = store.get(key)
        if found is not None:
            return found
        weights = self._weights(scenario, store)
        staged = stage(scenario, self.pipeline, self.probe, self.seed, weights)
        view_key = key_of("view", scenario.fingerprint, self.probe, staged.digest)
        found = store.get(view_key)
        if found is None:
            found = attack_view(scenario, self.probe, staged, self.seed).to_state()
            store.put(view_key, found)
        store.put(key, found)
        return found

    def _weights(self, scenario: Scenario, store: Store) -> bytes | None:
        if self.probe.round == 0:
            return None
        undefended = TrainTask(Pipeline(), self.seed, keep=self.rounds_kept)
        return Run(**undefended.run(scenario, store)).weights[self.probe.round]  # type: ignore[arg-type]

    @property
    def kind(self) -> str:
        """Tasks of one kind take about the same time."""
        return f"probe {self.probe.name}"

    @property
    def label(self) -> str:
        """A few words for the progress bar."""
        return f"attack, {self.probe.name}"


Task = TrainTask | ProbeTask


def findings(state: State) -> Findings:
    """Read what a `ProbeTask` returned."""
    return Findings(**state)  # type: ignore[arg-type]

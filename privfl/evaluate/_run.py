"""One training run of a duel."""

import time
from dataclasses import dataclass, field

import torch

from privfl.attacks.poisoning import Poisoning
from privfl.core import ProtocolAbort, State, encode
from privfl.evaluate._attackers import Attackers
from privfl.evaluate._scenario import Scenario
from privfl.federation import Federation
from privfl.pipeline import Pipeline


@dataclass(frozen=True)
class Run:
    """Hold what one training run showed.

    Attributes:
        accuracy: on the test data, after each round.
        diverged: the round in which it did, or None.
        idle: the attackers sent the honest mean itself.
        weights: encoded weights before each round that was asked for.
        seconds: the run took.
    """

    accuracy: tuple[float, ...]
    diverged: int | None
    idle: bool
    weights: dict[int, bytes] = field(default_factory=dict, repr=False)
    seconds: float = 0.0

    def to_state(self) -> State:
        """Return the run as a value that can be written as bytes."""
        return {**vars(self)}


def train(
    scenario: Scenario,
    pipeline: Pipeline,
    seed: int,
    *,
    attack: Poisoning | None = None,
    honest_only: bool = False,
    skip_client_half: bool = False,
    keep: tuple[int, ...] = (),
) -> Run:
    """Train once, and look at the test data after each round. A diverged run is a result."""
    start = time.perf_counter()
    federation, attackers = _federation(
        scenario, pipeline, seed, attack, honest_only, skip_client_half
    )
    accuracy, diverged, weights = [], None, {}
    for number in range(scenario.rounds):
        if number in keep:
            weights[number] = encode(federation.layout.flatten(federation.model))
        if diverged is None and not _one_round(federation):
            diverged = number
        accuracy.append(scenario.accuracy(federation.model))
    idle = attackers is not None and attackers.idle
    seconds = time.perf_counter() - start
    return Run(tuple(accuracy), diverged, idle, weights, seconds)


def _federation(
    scenario: Scenario,
    pipeline: Pipeline,
    seed: int,
    attack: Poisoning | None,
    honest_only: bool,
    skip_client_half: bool,
) -> tuple[Federation, Attackers | None]:
    clients = scenario.clients(seed)
    if honest_only:
        clients = {who: clients[who] for who in scenario.honest}
    attackers = None
    if attack is not None:
        attackers = Attackers(attack, scenario.byzantine, skip_client_half)
    federation = Federation(
        scenario.fresh_model(seed),
        clients,
        pipeline,
        loss=scenario.loss,
        local=scenario.local,
        generator=scenario.stream(seed, "training"),
        adversary=attackers,
    )
    return federation, attackers


def _one_round(federation: Federation) -> bool:
    """Run a round; False where the run has left the finite numbers."""
    try:
        release = federation.round().release
    except ProtocolAbort:
        return False
    return bool(torch.isfinite(release.update).all())

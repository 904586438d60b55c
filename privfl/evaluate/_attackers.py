"""Clients that poison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.attacks.poisoning import DataPoisoning, Poisoning, UpdatePoisoning
from privfl.core import Party, require
from privfl.federation import Adversary
from privfl.parts import Data, Wrapper
from privfl.pipeline import Pipeline
from privfl.rounds import Line
from privfl.rounds._in_process import UpdateOf


@dataclass
class Attackers(Adversary):
    """Let some clients of a `Federation` attack.

    Update attacks see every honest update of the round, as the literature grants them; data attacks
    train on poisoned labels. Attackers obey the client half of the pipeline unless told otherwise.

    Attributes:
        attack: from `privfl.attacks.poisoning`.
        members: who attacks.
        skip_client_half: send the crafted vector as it is: no clip, no noise.
        idle: whether every vector sent so far was the honest mean itself: no attack at all.

    >>> from privfl.attacks.poisoning import SignFlip
    >>> Attackers(SignFlip(5.0, n_byzantine=2), members=(8, 9)).skip_client_half
    False
    """

    attack: Poisoning
    members: Sequence[Party]
    skip_client_half: bool = False
    idle: bool = field(default=True, init=False)

    def __post_init__(self) -> None:
        """Refuse another number of attackers than the attack was made for."""
        wanted = f"{self.attack!r} is made for {self.attack.n_byzantine} attackers"
        require(len(self.members) == self.attack.n_byzantine, wanted, f"{len(self.members)}")

    def poisoned(self, datasets: Mapping[Party, Data]) -> Mapping[Party, Data]:
        """Let the attackers train on poisoned labels, where the attack is one on data."""
        if not isinstance(self.attack, DataPoisoning):
            return datasets
        self.idle = False
        mine = {who: datasets[who] for who in self.members}
        return {**datasets, **{who: (x, self.attack.poison(y)) for who, (x, y) in mine.items()}}

    def corrupted(self, update_of: UpdateOf, members: Sequence[Party]) -> UpdateOf:
        """Let the attackers send crafted vectors, where the attack is one on updates."""
        if not isinstance(self.attack, UpdatePoisoning):
            return update_of
        return _Crafted(self, self.attack, update_of, members)

    def rogues(self, pipeline: Pipeline, members: Sequence[Party]) -> Mapping[Party, Line]:
        """Let the attackers run no client half, where they skip it."""
        if not self.skip_client_half:
            return {}
        rogue = RogueLine(*pipeline.parts, accepting=pipeline.accepting)
        return {who: rogue for who in members if who in set(self.members)}


class RogueLine(Line):
    """Run the agreed protocol, and none of the parts that a client runs before it."""

    @property
    def client_half(self) -> tuple[Wrapper, ...]:
        """Nothing: what is promised is not done."""
        return ()


class _Crafted:
    """Train the honest clients once, craft the rest from what they would send."""

    def __init__(
        self,
        attackers: Attackers,
        attack: UpdatePoisoning,
        update_of: UpdateOf,
        members: Sequence[Party],
    ) -> None:
        self.attackers, self.attack, self.update_of = attackers, attack, update_of
        self.byzantine = [who for who in members if who in set(attackers.members)]
        self.honest = [who for who in members if who not in set(attackers.members)]
        self.sent: dict[Party, tuple[Tensor, Mapping[str, float]]] = {}

    def __call__(self, who: Party) -> tuple[Tensor, Mapping[str, float]]:
        if who not in self.sent:
            self._train(who)
        return self.sent[who]

    def _train(self, who: Party) -> None:
        if who in self.honest:
            self.sent[who] = self.update_of(who)
            return
        honest = [self(client) for client in self.honest]
        rows = torch.stack([update for update, _ in honest])
        crafted = self._crafted(rows)
        scalars = {name: _mean([s[name] for _, s in honest]) for name in honest[0][1]}
        for client, row in zip(self.byzantine, crafted, strict=True):
            self.sent[client] = (row, scalars)

    def _crafted(self, honest: Tensor) -> Tensor:
        if not bool(torch.isfinite(honest).all()):  # the run has diverged: nothing to craft from
            return honest[:1].expand(self.attack.n_byzantine, -1)
        self.attackers.idle &= self.attack.is_silent(honest)
        return self.attack(honest)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

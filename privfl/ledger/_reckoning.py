"""What releases come to, for one question."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from privfl.core import Relation, Unit, Vantage, require
from privfl.ledger._claim import Claim

if TYPE_CHECKING:
    import dp_accounting as dp

    from privfl.accounting import Interval

Releases = Mapping[tuple[Claim, ...], int]  # the claims of a release, and how often it was made


@dataclass(frozen=True)
class Question:
    """Ask whose presence is hidden, against whom, and between which neighbours."""

    unit: Unit
    vantage: Vantage
    relation: Relation


@dataclass(frozen=True)
class Whole:
    """Hold what all releases come to, for one question: distinct events, counted.

    Attributes:
        events: each event with how often it happened.
        delta: what is left of the one that was asked, after what is charged besides the events.
        relation: under which everything holds.
        group: how many units change together, where a client is asked about by its records.
    """

    events: "frozenset[tuple[dp.DpEvent, int]]"
    delta: float
    relation: Relation
    group: int = 1

    @property
    def event(self) -> "dp.DpEvent":
        """All of it as one event."""
        from privfl.accounting._leaves import together

        return together(self.events)


def epsilon_for(
    releases: Releases, delta: float, question: Question, *, lower: bool = False
) -> "Interval":
    """Bound epsilon of all these releases for one question: see `whole_of`."""
    return epsilon_of_whole(whole_of(releases, delta, question), lower)


def whole_of(releases: Releases, delta: float, question: Question) -> Whole:
    """Put together what answers one question.

    Within a release the claims of different units and adversaries stand side by side: one kind of
    them is taken. Across releases they add up (rule R14).

    - A claim counts if its adversary sees at least as much as the one who is asked about; a
      release without such a claim is no secret to that one, and epsilon is infinite.
    - A client-level claim counts towards each record of the client, with its own parameters. A
      record-level one is group privacy of a client, if its records are capped; else infinite.
    - Claims of another relation are turned into the stronger one, or refused (rule R18).

    Raises:
        ValueError: where the charged deltas leave nothing of ``delta``, or where a claim says
            nothing under the relation that is asked.
    """
    taken: Counter[Claim] = Counter()
    for claims, times in releases.items():
        for claim in _taken(claims, question):
            if not claim.is_idle:
                taken[claim] += times * claim.charge.count
    left = delta - sum(n * claim.charge.delta for claim, n in taken.items())
    wanted = "delta must exceed what was charged besides the events"
    require(left > 0, wanted, f"{left:g} left of {delta:g}", "Ask at a larger delta")
    group = _group(taken, question)
    events: Counter[dp.DpEvent] = Counter()
    for claim, n in taken.items():
        records = question.unit is Unit.CLIENT and claim.charge.unit is Unit.RECORD
        event: Any = claim.charge.event
        events[_of_all(event, claim.max_records) if records and group == 1 else event] += n
    return Whole(frozenset(events.items()), left, _relation(taken, question), group)


def _group(taken: Iterable[Claim], question: Question) -> int:
    """Return how many records a client has, if all that is known of it are so many records."""
    sizes = {c.max_records if c.charge.unit is Unit.RECORD else None for c in taken}
    alone = question.unit is Unit.CLIENT and len(sizes) == 1
    return sizes.pop() or 1 if alone else 1


def _of_all(event: "dp.DpEvent", max_records: int | None) -> "dp.DpEvent":
    """Return an event that bounds ``event`` for all records of a client, if they are capped."""
    from dp_accounting import NonPrivateDpEvent

    from privfl.accounting._group import grouped

    return NonPrivateDpEvent() if max_records is None else grouped(event, max_records)


def _taken(claims: Sequence[Claim], question: Question) -> Sequence[Claim]:
    """Return the claims of one release that answer: of the unit asked, the closest adversary."""
    void = [claim for claim in claims if not claim.is_private]
    covering = [c for c in claims if c.charge.vantage.covers(question.vantage)]
    same = [c for c in covering if c.charge.unit is question.unit] or covering
    if void or not same:
        return (void or [_void(claims[0])])[:1]
    fewest = min(len(c.charge.vantage.parties) for c in same)
    return [c for c in same if len(c.charge.vantage.parties) == fewest]


def _void(claim: Claim) -> Claim:
    """Return what a claim is worth to an adversary against whom it was not made."""
    from dp_accounting import NonPrivateDpEvent

    return replace(claim, charge=replace(claim.charge, event=NonPrivateDpEvent(), count=1))


def _relation(taken: Mapping[Claim, int], question: Question) -> Relation:
    """Return the relation under which everything holds: the strongest that occurs."""
    held = {claim.charge.relation for claim in taken if claim.is_private}
    if question.relation is Relation.ADD_REMOVE:
        others = sorted(held - {Relation.ADD_REMOVE})
        wanted = "add/remove is answered by what was charged under it"
        fix = "Ask for relation='replace-one'"
        require(not others, wanted, f"a charge under {', '.join(others)}", fix)
    replaced = Relation.REPLACE_ONE in held
    return Relation.REPLACE_ONE if replaced else question.relation


@lru_cache(maxsize=256)  # clients with the same history have the same epsilon
def epsilon_of_whole(whole: Whole, lower: bool = False) -> "Interval":
    """Bound epsilon of what was put together."""
    from privfl.accounting import epsilon_of, group_epsilon_of

    if whole.group > 1:
        return group_epsilon_of(whole.event, whole.group, whole.delta, whole.relation)
    return epsilon_of(whole.event, whole.delta, whole.relation, lower=lower)

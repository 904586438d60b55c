"""Sums per group, for rules that compare."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Party,
    Plan,
    PlanError,
    ProtocolAbort,
    Rows,
    State,
    decode,
    encode,
    require_count,
)
from privfl.parts._part import Part
from privfl.parts._sum_protocol import Replies, SumProtocol, Turn


@dataclass(frozen=True)
class Grouped(SumProtocol):
    """Run a protocol apart in ``floor(n / size)`` groups, drawn by coins of the members.

    Each client commits to a coin, then reveals it; the groups follow from the hash of all coins,
    so nobody, the server included, picks whose mates somebody is (rules R8, R21). A client aborts
    if its own coin was changed, or if a coin that was committed is missing: otherwise whoever
    speaks last could draw again; and it takes each step of the draw once a session, or the server
    could ask again until the groups please it. Groups are made before anything is masked, and a
    group below the inner protocol's fewest survivors is withheld whole. Letters are not
    signed here: a server that speaks for other members, or invents them, is not stopped.

    Guarantees:
        - Every group has at least ``size`` members before dropouts.
        - One attacker spoils one row, whatever the draw.

    >>> from privfl.parts import Plain
    >>> Grouped(Plain(), size=5).stages, Grouped(Plain(), size=5).n_rows(23)
    (('draw', 'upload'), 4)
    """

    inner: SumProtocol
    size: int

    def __post_init__(self) -> None:
        """Refuse a size below 2, which would show single updates, and groups in groups."""
        require_count("size", self.size, least=2)
        if not isinstance(self.inner, SumProtocol) or isinstance(self.inner, Grouped):
            raise CompositionError(
                "R33",
                (self.inner, self),
                f"Grouped runs one protocol in groups. Found {self.inner!r}",
                "Write Grouped(protocol, size=…)",
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """The draw (two exchanges), then the inner stages."""
        return ("draw", *self.inner.stages)

    def min_survivors(self, n: int) -> int:
        """Return the inner protocol's fewest survivors in the smallest group."""
        return self.inner.min_survivors(min(n, self.size))

    def n_rows(self, n: int) -> int:
        """Return the number of groups."""
        return max(1, n // self.size)

    def lower(self, given: Contract) -> tuple[Part, ...]:
        """Lower the inner protocol, and group what is left of it."""
        *before, inner = self.inner.lower(given)
        return (*before, replace(self, inner=cast("SumProtocol", inner)))

    def check(self, given: Contract) -> Contract:
        """Give the aggregator a row a group; a protocol that shows each update still does."""
        inner = self.inner.check(given).but(self, rows="group", where="rows")
        if inner.opener == "clients":
            raise CompositionError(
                "R33",
                (self.inner, self),
                f"{self.inner!r} is opened by clients, and each would open its own group only",
                "Use a protocol that the server opens",
            )
        return inner.but(self, sees="group") if inner.sees == "sum" else inner

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        """Plan the inner protocol for a whole group, and count groups as rows."""
        if given.n_clients < self.size:
            raise PlanError(
                "R8",
                (self, given.n_clients),
                f"{self!r} makes groups of at least {self.size}. Found {given.n_clients} clients",
                "Use more clients, or a smaller size",
            )
        inner = self.inner.plan(given, contract, public)
        return inner.but(n_rows=self.n_rows(given.n_clients))

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how many groups there are and what one attacker can do."""
        del contract
        groups = self.n_rows(plan.n_clients)
        return f"{groups} groups of at least {self.size}; one attacker spoils one group"

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        """Commit, reveal, then take part in the inner protocol of one's own group."""
        what = _fields(decode(letter))
        kept = _fields(at.state) if at.state is not None else {}
        if what.get("do") != {0: "commit", 1: "reveal"}.get(len(kept)):
            raise ProtocolAbort("A letter that is out of turn in the draw")
        if what.get("do") == "commit":
            coin = at.generator.bytes(32)
            return Turn(encode(_commitment(coin, me, at)), {"coin": coin})
        if what.get("do") == "reveal":
            commitments = _fields(what.get("commitments"))
            if commitments.get(me) != _commitment(_bytes(kept.get("coin")), me, at):
                raise ProtocolAbort("My commitment to a coin was changed")
            self._require_size(commitments)
            return Turn(encode(kept["coin"]), {**kept, "commitments": commitments})
        return self._reply_inside(what, kept, vector, me, at)

    def _reply_inside(
        self,
        what: Mapping[Party, State],
        kept: Mapping[Party, State],
        vector: Callable[[], Tensor],
        me: Party,
        at: At,
    ) -> Turn:
        coins = kept.get("coins")
        if coins is None:
            coins = _fields(what.get("coins"))
            _check_coins(coins, _fields(kept.get("commitments")), me, at)
        draw = _Draw.of(_fields(coins), self.size, at)
        turn = self.inner.reply(
            _bytes(what.get("inner")), vector, me, draw.within(draw.group_of(me), kept.get("inner"))
        )
        return replace(turn, state={**kept, "coins": coins, "inner": turn.state})

    def collect(self, replies: Replies, at: At) -> Turn:
        """Gather commitments, relay them, gather coins, then serve every group."""
        if at.state is None:
            return Turn(
                dict.fromkeys(at.cohort.members, encode({"do": "commit"})), {}, stage="draw"
            )
        kept = _fields(at.state)
        if "commitments" not in kept:
            return self._after_commit(dict(replies))
        if "coins" not in kept:
            return self._after_reveal(dict(replies), kept, at)
        return self._inside(dict(replies), kept, at)

    def _after_commit(self, replies: Mapping[Party, bytes]) -> Turn:
        commitments = {who: decode(reply, largest=1024) for who, reply in replies.items()}
        self._require_size(commitments)
        letter = encode({"do": "reveal", "commitments": commitments})
        return Turn(dict.fromkeys(commitments, letter), {"commitments": commitments}, stage="draw")

    def _require_size(self, members: Mapping[Party, State]) -> None:
        if len(members) < self.size:
            left = f"{len(members)} are left"
            raise ProtocolAbort(f"A group has at least {self.size} members, and {left}")

    def _after_reveal(
        self, replies: Mapping[Party, bytes], kept: Mapping[Party, State], at: At
    ) -> Turn:
        coins = {who: decode(reply, largest=1024) for who, reply in replies.items()}
        commitments = _fields(kept["commitments"])
        _check_coins(coins, commitments, None, at)
        draw = _Draw.of(coins, self.size, at)
        groups = {k: self.inner.collect((), draw.within(k, None)) for k in range(len(draw.groups))}
        return self._next(groups, {"commitments": commitments, "coins": coins, "rows": {}}, {})

    def _inside(self, replies: Mapping[Party, bytes], kept: Mapping[Party, State], at: At) -> Turn:
        draw = _Draw.of(_fields(kept["coins"]), self.size, at)
        turns: dict[int, Turn] = {}
        withheld: dict[Party, str] = {}
        for k, state in _fields(kept["inner"]).items():
            group = [(who, replies[who]) for who in draw.groups[int(k)] if who in replies]
            try:
                turns[int(k)] = self.inner.collect(group, draw.within(int(k), state))
            except ProtocolAbort as error:
                reason = f"its group was withheld whole: {error}"
                withheld |= dict.fromkeys(draw.groups[int(k)], reason)
        return self._next(turns, kept, withheld)

    def _next(
        self,
        turns: Mapping[int, Turn],
        kept: Mapping[Party, State],
        withheld: Mapping[Party, str],
    ) -> Turn:
        opened = {**_fields(kept["rows"])}
        opened |= {k: _one_row(turn.rows) for k, turn in turns.items() if turn.rows is not None}
        going = {k: turn for k, turn in turns.items() if turn.rows is None}
        rejected = {who: why for turn in turns.values() for who, why in turn.rejected.items()}
        rejected |= withheld
        if going:
            letters = self._letters(going, kept)
            state = {**kept, "inner": {k: t.state for k, t in going.items()}, "rows": opened}
            stage = next(turn.stage for turn in going.values())
            return Turn(letters, state, rejected=rejected, stage=stage)
        if not opened:
            raise ProtocolAbort("Every group was withheld")
        sums, members = zip(*(opened[k] for k in sorted(opened)), strict=True)
        return Turn(rows=Rows(torch.stack(sums), members), rejected=rejected)

    def _letters(
        self, going: Mapping[int, Turn], kept: Mapping[Party, State]
    ) -> dict[Party, bytes]:
        first = "inner" not in kept
        return {
            who: encode({"inner": letter} | ({"coins": kept["coins"]} if first else {}))
            for turn in going.values()
            for who, letter in _letters_of(turn).items()
        }


@dataclass(frozen=True)
class _Draw:
    """The groups that a set of coins makes."""

    root: bytes
    groups: tuple[tuple[Party, ...], ...]
    at: At = field(repr=False)

    @classmethod
    def of(cls, coins: Mapping[Party, State], size: int, at: At) -> "_Draw":
        members = [who for who in at.cohort.members if who in coins]
        root = hashlib.sha256(at.session + encode({who: coins[who] for who in members})).digest()
        order = sorted(members, key=lambda who: hashlib.sha256(root + encode(who)).digest())
        g = max(1, len(order) // size)
        places = {who: k for k, who in enumerate(at.cohort.members)}
        groups = tuple(tuple(sorted(order[k::g], key=places.__getitem__)) for k in range(g))
        return cls(root, groups, at)

    def group_of(self, me: Party) -> int:
        return next(k for k, group in enumerate(self.groups) if me in group)

    def within(self, k: int, state: State) -> At:
        """Return what a part of group ``k`` knows: a session and a cohort of its own."""
        session = hashlib.sha256(self.root + encode(k)).digest()
        return replace(
            self.at, session=session, cohort=self.at.cohort.only(self.groups[k]), state=state
        )


def _check_coins(
    coins: Mapping[Party, State], commitments: Mapping[Party, State], me: Party | None, at: At
) -> None:
    if set(coins) != set(commitments):
        late = [who for who in commitments if who not in coins]
        raise ProtocolAbort(f"Clients {late} committed to a coin and did not show it: no draw")
    for who, coin in coins.items():
        made = _commitment(_bytes(coin), who, at)
        if not hmac.compare_digest(made, _bytes(commitments[who])):
            whose = "My coin" if who == me else f"The coin of client {who}"
            raise ProtocolAbort(f"{whose} is not the one that was committed to")


def _commitment(coin: bytes, who: Party, at: At) -> bytes:
    return hashlib.sha256(b"privfl coin" + at.session + encode(who) + coin).digest()


def _fields(state: State) -> Mapping[Party, State]:
    if not isinstance(state, Mapping):
        raise ProtocolAbort("A letter without the fields of its stage")
    return state


def _bytes(state: State) -> bytes:
    if not isinstance(state, bytes):
        raise ProtocolAbort("A letter without the bytes of its stage")
    return state


def _one_row(rows: Rows) -> tuple[Tensor, tuple[Party, ...]]:
    return rows.sums.sum(dim=0), rows.survivors


def _letters_of(turn: Turn) -> Mapping[Party, bytes]:
    return turn.letters if isinstance(turn.letters, Mapping) else {}

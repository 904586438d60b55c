"""Sums per group, for rules that compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from privfl.core import (
    At,
    Cohort,
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
from privfl.core._encoding import Blank, size_of
from privfl.parts._draw import Draw, bytes_of, check_coins, commit, fields_of, require_signed
from privfl.parts._mates import hidden_among
from privfl.parts._part import Part
from privfl.parts._sum_protocol import Exchange, Replies, SumProtocol, Turn


@dataclass(frozen=True)
class Grouped(SumProtocol):
    """Run a protocol apart in ``floor(n / size)`` groups, drawn by coins of the members.

    Each client commits to a coin, then reveals it; the groups follow from the hash of all coins,
    so nobody, the server included, picks whose mates somebody is (rules R8, R21). A client aborts
    if its own coin was changed, or if a coin that was committed is missing: otherwise whoever
    speaks last could draw again; and it takes each step of the draw once a session, or the server
    could ask again until the groups please it. Groups are made before anything is masked, and a
    group below the inner protocol's fewest survivors is withheld whole. Commitments are
    signed where the inner protocol signs; where it does not, a server that speaks for other
    members, or invents them, is not stopped.

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
    def signs(self) -> bool:
        """Whether the inner protocol does."""
        return self.inner.signs

    @property
    def shares_key(self) -> bool:
        """Whether the inner protocol does."""
        return self.inner.shares_key

    @property
    def stages(self) -> tuple[str, ...]:
        """The draw (two exchanges), then the inner stages."""
        return ("draw", *self.inner.stages)

    @property
    def uploads_in(self) -> str:
        """The inner protocol's stage of the update."""
        return self.inner.uploads_in

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
        for size in self._sizes(given.n_clients):
            self.inner.min_survivors(size)  # refuses a group that it cannot serve
        inner = self.inner.plan(self._of_a_group(given), contract, public)
        return inner.but(n_clients=given.n_clients, n_rows=self.n_rows(given.n_clients))

    def _sizes(self, n: int) -> set[int]:
        """Return how large groups of ``n`` clients are."""
        g = self.n_rows(n)
        return {n // g, -(-n // g)}

    def _of_a_group(self, plan: Plan) -> Plan:
        """Return the plan for the largest group that dropouts in the draw may make."""
        largest = min(plan.n_clients, 2 * self.size - 1)
        return plan.but(n_clients=largest, sums=plan.sums * self.n_rows(plan.n_clients))

    def exchanges(self, plan: Plan, cohort: Cohort) -> tuple[Exchange, ...]:
        """Count the draw, then the inner letters in a largest group."""
        coin, members = bytes(32), cohort.members
        commitment = bytes(96 if self.signs else 32)
        coins, commitments = (dict.fromkeys(members, x) for x in (coin, commitment))
        asked, shown = {"do": "commit"}, {"do": "reveal", "commitments": commitments}
        largest = cohort.only(members[: max(self._sizes(len(members)))])
        inner = self.inner.exchanges(self._of_a_group(plan), largest)
        wrapped = [
            replace(x, down=size_of({"inner": Blank(x.down)} | ({} if k else {"coins": coins})))
            for k, x in enumerate(inner)
        ]
        return (
            Exchange("draw", size_of(asked), size_of(commitment)),
            Exchange("draw", size_of(shown), size_of(coin)),
            *wrapped,
        )

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say how many groups there are and what one attacker can do, and what runs inside."""
        groups = self.n_rows(plan.n_clients)
        inside = self.inner.describe(self._of_the_smallest(plan), contract)
        head = f"{groups} groups of at least {self.size}; one attacker spoils one group"
        return f"{head}; inside, {inside}"

    def notes(self, plan: Plan, contract: Contract) -> tuple[str, ...]:
        """Say what groups cost: how few hide each other, and how many attackers a rule bears."""
        inside = self.inner.notes(self._of_the_smallest(plan), contract)
        if contract.sees != "group":
            return inside
        return (*hidden_among(self.inner, self.size, plan.n_clients), *inside)

    def _of_the_smallest(self, plan: Plan) -> Plan:
        return plan.but(n_clients=min(self._sizes(plan.n_clients)))

    def carry(self, state: State) -> State:
        """Keep what the inner protocol keeps."""
        inner = None if state is None else self.inner.carry(fields_of(state).get("inner"))
        return None if inner is None else {"inner": inner}

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        """Commit, reveal, then take part in the inner protocol of one's own group."""
        what = fields_of(decode(letter))
        kept = fields_of(at.state) if at.state is not None else {}
        drawn = len(kept.keys() & {"coin", "commitments"})
        if what.get("do") != {0: "commit", 1: "reveal"}.get(drawn):
            raise ProtocolAbort("A letter that is out of turn in the draw")
        if what.get("do") == "commit":
            coin = at.generator.bytes(32)
            return Turn(encode(commit(coin, me, at)), {**kept, "coin": coin})
        if what.get("do") == "reveal":
            commitments = fields_of(what.get("commitments"))
            if commitments.get(me) != commit(bytes_of(kept.get("coin")), me, at):
                raise ProtocolAbort("My commitment to a coin was changed")
            self._require_size(commitments)
            for who, commitment in commitments.items():
                require_signed(commitment, who, at)
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
            coins = fields_of(what.get("coins"))
            check_coins(coins, fields_of(kept.get("commitments")), me, at)
        draw = self._draw(fields_of(coins), at)
        turn = self.inner.reply(
            bytes_of(what.get("inner")),
            vector,
            me,
            draw.within(draw.group_of(me), kept.get("inner")),
        )
        return replace(turn, state={**kept, "coins": coins, "inner": turn.state})

    def collect(self, replies: Replies, at: At) -> Turn:
        """Gather commitments, relay them, gather coins, then serve every group."""
        if at.state is None:
            return Turn(
                dict.fromkeys(at.cohort.members, encode({"do": "commit"})), {}, stage="draw"
            )
        kept = fields_of(at.state)
        if "commitments" not in kept:
            return self._after_commit(dict(replies), at)
        if "coins" not in kept:
            return self._after_reveal(dict(replies), kept, at)
        return self._inside(dict(replies), kept, at)

    def _draw(self, coins: Mapping[Party, State], at: At) -> "Draw":
        return Draw.of(coins, self.size, replace(at, plan=self._of_a_group(at.plan)))

    def _after_commit(self, replies: Mapping[Party, bytes], at: At) -> Turn:
        commitments, rejected = {}, {}
        for who, reply in replies.items():
            try:
                commitments[who] = decode(reply, largest=1024)
                require_signed(commitments[who], who, at)
            except ProtocolAbort as error:
                rejected[who] = str(error)
                commitments.pop(who, None)
        self._require_size(commitments)
        letter = encode({"do": "reveal", "commitments": commitments})
        letters = dict.fromkeys(commitments, letter)
        return Turn(letters, {"commitments": commitments}, rejected=rejected, stage="draw")

    def _require_size(self, members: Mapping[Party, State]) -> None:
        if len(members) < self.size:
            left = f"{len(members)} are left"
            raise ProtocolAbort(f"A group has at least {self.size} members, and {left}")

    def _after_reveal(
        self, replies: Mapping[Party, bytes], kept: Mapping[Party, State], at: At
    ) -> Turn:
        coins = {who: decode(reply, largest=1024) for who, reply in replies.items()}
        commitments = fields_of(kept["commitments"])
        check_coins(coins, commitments, None, at)
        draw = self._draw(coins, at)
        groups = {k: self.inner.collect((), draw.within(k, None)) for k in range(len(draw.groups))}
        return self._next(groups, {"commitments": commitments, "coins": coins, "rows": {}}, {})

    def _inside(self, replies: Mapping[Party, bytes], kept: Mapping[Party, State], at: At) -> Turn:
        draw = self._draw(fields_of(kept["coins"]), at)
        turns: dict[int, Turn] = {}
        withheld: dict[Party, str] = {}
        for k, state in fields_of(kept["inner"]).items():
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
        opened = {**fields_of(kept["rows"])}
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


def _one_row(rows: Rows) -> tuple[Tensor, tuple[Party, ...]]:
    return rows.sums.sum(dim=0), rows.survivors


def _letters_of(turn: Turn) -> Mapping[Party, bytes]:
    return turn.letters if isinstance(turn.letters, Mapping) else {}

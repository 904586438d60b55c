"""Groups are drawn by coins of the members: nobody picks whose mates somebody is."""

import hashlib
import random
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
import torch

from parts_for_tests import MaskedSum
from privfl import Pipeline, PlanError
from privfl.core import SERVER, Cohort, ProtocolAbort, decode, encode
from privfl.parts import Grouped, Plain, Turn
from privfl.parts._draw import Draw
from privfl.rounds import Round, tampering
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

LINE = Pipeline(Grouped(Plain(), size=2))


def tampered(change, n=5, line=LINE):
    """A round and its wire, on which ``change(what, sender, receiver)`` alters the letters."""
    clients = Clients(line, whole_numbers(n, 2))

    def altered(sender, receiver, letter):
        envelope = Envelope.read(letter)
        what = change(decode(envelope.letter), sender, receiver)
        return replace(envelope, letter=encode(what)).to_bytes()

    aborts = {}
    wire = tampering(clients.wire(aborts), altered)
    return Round.open(line, opened(line, clients)), wire, aborts


def without(mapping, key):
    return {k: v for k, v in mapping.items() if k != key}


# sizes


@pytest.mark.parametrize("n", range(2, 24))
@pytest.mark.parametrize("size", [2, 3, 5])
def test_every_member_is_in_one_of_the_planned_groups(n, size):
    """floor(n / m) groups of at least m, whose sizes differ by at most one."""
    if n < size:
        return
    at = Round.open(LINE, opened(LINE, Clients(LINE, torch.ones(n, 1)))).setting.at(0, None)
    coins = {who: secrets.token_bytes(32) for who in range(n)}
    groups = Draw.of(coins, size, at).groups
    assert len(groups) == n // size == Grouped(Plain(), size=size).n_rows(n)
    assert sorted(who for group in groups for who in group) == list(range(n))
    assert all(len(group) >= size for group in groups)
    assert max(map(len, groups)) - min(map(len, groups)) <= 1


def test_groups_differ_from_round_to_round():
    drawn = {Pipeline(Grouped(Plain(), size=2)).aggregate(torch.ones(8, 1)).opened.members}
    for _ in range(5):
        drawn.add(LINE.aggregate(torch.ones(8, 1)).opened.members)
    assert len(drawn) > 3


def test_a_pair_is_together_as_often_as_chance_has_it():
    """Eight members in four pairs: 1 of 7. 1,500 draws; a false alarm at 5 sigma, 6 in 10^7."""
    at = Round.open(LINE, opened(LINE, Clients(LINE, torch.ones(8, 1)))).setting.at(0, None)
    together = 0
    for _ in range(1500):
        coins = {who: secrets.token_bytes(32) for who in range(8)}
        together += (0, 1) in Draw.of(coins, 2, at).groups
    p = 1 / 7
    assert abs(together - 1500 * p) < 5 * (1500 * p * (1 - p)) ** 0.5


def test_names_and_order_of_arrival_do_not_matter():
    at = Round.open(LINE, opened(LINE, Clients(LINE, torch.ones(6, 1)))).setting.at(0, None)
    coins = {who: secrets.token_bytes(32) for who in range(6)}
    shuffled = dict(random.Random(1).sample(list(coins.items()), 6))
    assert Draw.of(coins, 2, at).groups == Draw.of(shuffled, 2, at).groups


def test_every_coin_moves_the_draw():
    at = Round.open(LINE, opened(LINE, Clients(LINE, torch.ones(6, 1)))).setting.at(0, None)
    coins = {who: secrets.token_bytes(32) for who in range(6)}
    roots = {Draw.of(coins | {who: bytes(32)}, 2, at).root for who in range(6)}
    assert len(roots | {Draw.of(coins, 2, at).root}) == 7


def test_too_few_clients_for_a_group_are_refused_before_anybody_trains():
    shield = Pipeline(Grouped(MaskedSum(2), size=5))
    with pytest.raises(PlanError, match=r"groups of at least 5. Found 4 clients") as error:
        shield.plan(n_clients=4, dim=3)
    assert error.value.rule == "R8"
    with pytest.raises(PlanError):
        shield.aggregate(torch.ones(4, 3))


def test_too_few_clients_at_the_draw_abort_on_both_sides():
    with pytest.raises(ProtocolAbort, match="A group has at least 2 members, and 1 are left"):
        LINE.aggregate(torch.ones(3, 2), drop={0: "draw", 1: "draw"})

    def alone(what, sender, receiver):
        """A server that shows client 0 nobody but itself would have it sent in the open."""
        if receiver == 0 and isinstance(what, dict) and "commitments" in what:
            return what | {"commitments": {0: what["commitments"][0]}}
        return what

    round_, wire, aborts = tampered(alone)
    with pytest.raises(ProtocolAbort):
        through_bytes(round_, wire)
    assert aborts == {0: "A group has at least 2 members, and 1 are left"}


def test_dropouts_at_the_draw_make_fewer_groups():
    release = LINE.aggregate(whole_numbers(5, 2), drop={1: "draw"})
    assert len(release.opened.members) == 2
    assert sorted(release.survivors) == [0, 2, 3, 4]


# commit, then reveal


def test_an_honest_draw_goes_through():
    round_, wire, aborts = tampered(lambda what, sender, receiver: what)
    release = through_bytes(round_, wire)
    assert sorted(release.survivors) == [0, 1, 2, 3, 4]
    assert aborts == {}


def reveal(change):
    def alter(what, sender, receiver):
        if receiver == 0 and isinstance(what, dict) and "commitments" in what:
            return what | {"commitments": change(what["commitments"])}
        return what

    return alter


def coins(change):
    def alter(what, sender, receiver):
        if receiver == 0 and isinstance(what, dict) and "coins" in what:
            return what | {"coins": change(what["coins"])}
        return what

    return alter


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (reveal(lambda c: c | {0: bytes(32)}), "My commitment to a coin was changed"),
        (reveal(lambda c: without(c, 0)), "My commitment to a coin was changed"),
        (reveal(lambda c: without(c, 3)), r"was changed|not the one|did not show|no draw"),
        (reveal(lambda c: c | {3: bytes(32)}), "coin of client 3 is not the one"),
        (coins(lambda c: c | {3: bytes(32)}), "coin of client 3 is not the one"),
        (coins(lambda c: c | {0: bytes(32)}), "My coin is not the one that was committed to"),
        (coins(lambda c: without(c, 3)), r"\[3\] committed to a coin and did not show it"),
        (coins(lambda c: without(c, 0)), r"\[0\] committed to a coin"),
        (coins(lambda c: c | {"new": bytes(32)}), "no draw"),
        (coins(lambda c: c | {3: 3}), "without the bytes"),
        (coins(lambda c: ()), "without the fields"),
        (coins(lambda c: dict(zip(c, [*list(c.values())[1:], c[0]], strict=True))), "not the one"),
    ],
)
def test_a_client_aborts_where_the_draw_was_changed_for_it(change, text):
    round_, wire, aborts = tampered(change)
    with suppress(ProtocolAbort):  # where its coin is missing in the end, nobody draws
        through_bytes(round_, wire)
    assert set(aborts) == {0}
    assert re.search(text, aborts[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda coin: bytes(32), "The coin of client 2 is not the one"),
        (lambda coin: "heads", "without the bytes"),
        (lambda coin: coin + b"x", "The coin of client 2 is not the one"),
    ],
)
def test_the_server_aborts_where_a_client_shows_another_coin(change, text):
    def alter(what, sender, receiver):
        is_coin = sender == 2 and isinstance(what, bytes) and seen.count(2) == 1
        seen.append(sender)
        return change(what) if is_coin else what

    seen = []
    round_, wire, _ = tampered(alter)
    with pytest.raises(ProtocolAbort, match=text):
        through_bytes(round_, wire)


def test_who_committed_and_does_not_show_its_coin_stops_the_draw():
    """Otherwise whoever speaks last could look at the groups and draw again by falling silent."""
    clients = Clients(LINE, whole_numbers(5, 2))
    first = Round.open(LINE, opened(LINE, clients))
    second = first.collect(clients.wire()(first.letters))
    replies = [pair for pair in clients.wire()(second.letters) if pair[0] != 3]
    with pytest.raises(ProtocolAbort, match=r"Clients \[3\] committed to a coin"):
        second.collect(replies)


def letters_of_a_draw(n=4):
    """The two first letters of client 0, and what it holds before each."""
    clients = Clients(LINE, whole_numbers(n, 2))
    first = Round.open(LINE, opened(LINE, clients))
    replies = list(clients.wire()(first.letters))
    return clients, first, first.collect(replies)


def test_each_step_of_the_draw_is_taken_once():
    """A server that could ask again would learn the coin and then choose the others' to suit."""
    clients, first, second = letters_of_a_draw()
    commit = replace(Envelope.read(first.letters[0]), opening=None).to_bytes()
    with pytest.raises(ProtocolAbort, match="out of turn in the draw"):
        clients.answer(0, commit)
    clients.answer(0, second.letters[0])
    with pytest.raises(ProtocolAbort, match="out of turn in the draw"):
        clients.answer(0, second.letters[0])
    with pytest.raises(ProtocolAbort, match="out of turn in the draw"):
        clients.answer(0, commit)


def test_a_coin_is_shown_only_for_its_own_commitment_first():
    clients, _, second = letters_of_a_draw()
    envelope = Envelope.read(second.letters[0])
    skipped = replace(envelope, letter=encode({"inner": encode("upload"), "coins": {}}))
    with pytest.raises(ProtocolAbort, match="out of turn in the draw"):
        clients.answer(0, skipped.to_bytes())


def test_the_coin_is_fresh_and_hidden_until_it_is_shown():
    clients, first, second = letters_of_a_draw()
    coin = clients.memory(0)["protocol"]["coin"]
    assert len(coin) == 32
    commitment = decode(Envelope.read(second.letters[0]).letter)["commitments"][0]
    session = first.setting.session
    expected = hashlib.sha256(b"privfl coin" + session + encode(0) + coin).digest()
    assert commitment == expected
    other, _, _ = letters_of_a_draw()
    assert other.memory(0)["protocol"]["coin"] != coin


# the server cannot choose


@dataclass(frozen=True)
class PickedByServer(Grouped):
    """A weakened twin: the last coin is the server's to choose, after it has seen all others."""

    def _after_reveal(self, replies, kept, at) -> Turn:
        coins = {who: decode(reply) for who, reply in replies.items()}
        victim, corrupt = 0, {4, 5}
        for attempt in range(10_000):
            coins[5] = hashlib.sha256(attempt.to_bytes(4, "big")).digest()
            draw = Draw.of(coins, self.size, at)
            if set(draw.groups[draw.group_of(victim)]) - {victim} <= corrupt:
                break
        groups = {k: self.inner.collect((), draw.within(k, None)) for k in range(len(draw.groups))}
        kept = {"commitments": kept["commitments"], "coins": coins, "rows": {}}
        return self._next(groups, kept, {})


@dataclass(frozen=True)
class PickedAndBelieved(PickedByServer):
    """The same, and clients that do not hold the coins against the commitments."""

    def _reply_inside(self, what, kept, vector, me, at) -> Turn:
        given = kept.get("coins") or what["coins"]
        draw = Draw.of(given, self.size, at)
        at = draw.within(draw.group_of(me), kept.get("inner"))
        turn = self.inner.reply(what["inner"], vector, me, at)
        return replace(turn, state={**kept, "coins": given, "inner": turn.state})


def test_a_server_that_picks_one_coin_surrounds_whom_it_likes():
    """The control: without the check the attack succeeds every time."""
    for _ in range(5):
        release = Pipeline(PickedAndBelieved(Plain(), size=3)).aggregate(torch.ones(9, 1))
        (group,) = [members for members in release.opened.members if 0 in members]
        assert set(group) == {0, 4, 5}


def test_our_clients_do_not_let_it():
    with pytest.raises(ProtocolAbort, match="The coin of client 5 is not the one"):
        Pipeline(PickedByServer(Plain(), size=3)).aggregate(torch.ones(9, 1))


def test_a_colluder_that_fell_silent_would_stop_the_draw_and_not_steer_it():
    """The one choice that is left, an abort, is taken before anything of value is sent."""
    clients = Clients(LINE, whole_numbers(5, 2))
    asked = clients.asked
    first = Round.open(LINE, opened(LINE, clients))
    second = first.collect(clients.wire()(first.letters))
    with pytest.raises(ProtocolAbort):
        second.collect(list(clients.wire()(second.letters))[:-1])
    assert asked == []


# what it says of itself


def test_a_group_of_plain_updates_hides_nothing():
    assert Pipeline(Grouped(Plain(), size=2)).contract.sees == "each"
    assert Pipeline(Grouped(MaskedSum(2), size=2)).contract.sees == "group"
    assert Pipeline(Grouped(MaskedSum(2), size=2)).contract.rows == "group"


def test_the_plan_counts_groups_and_the_fewest_survivors_of_one():
    plan = Pipeline(Grouped(MaskedSum(2), size=3)).plan(n_clients=10, dim=4)
    assert (plan.n_rows, plan.min_survivors) == (3, 2)
    explained = str(Pipeline(Grouped(MaskedSum(2), size=3)).explain(n_clients=10, dim=4))
    assert "3 groups of at least 3; one attacker spoils one group" in explained


def test_public_weights_divide_each_group():
    cohort = Cohort(("a", "b", "c", "d"), (1.0, 0.5, 2.0, 0.25))
    updates = whole_numbers(4, 3)
    rows = LINE.aggregate(updates, cohort=cohort).opened
    for total, members, weight in zip(rows.sums, rows.members, rows.weight, strict=True):
        places = cohort.index(members)
        weights = torch.tensor(cohort.weights).double()[places]
        assert torch.equal(total, (weights[:, None] * updates[places]).sum(dim=0))
        assert weight.tolist() == [weights.sum()]


def test_the_server_is_no_member():
    assert SERVER not in LINE.aggregate(torch.ones(4, 1)).survivors

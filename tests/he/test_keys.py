"""One key for all, made once, handed on, and thrown away when its noise is used up."""

import pytest
import torch

from he.kept_clients import (
    EXACT,
    EXACT_PUBLISHED,
    KEPT,
    LINES,
    PUBLISHED,
    Several,
    from_client,
    to_client,
)
from parts_for_tests import PowerSGD
from privfl import Pipeline, ProtocolAbort
from privfl.core import Cohort, decode, encode
from privfl.core._encrypted_letters import NO_KEY, Encrypt, Handed, HandOut
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.he._key import Card, Key
from privfl.defenses.he._server import ServerSide
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Grouped
from privfl.rounds import Round

TWICE = Pipeline(Clip(100.0), CKKS(published=2))


class Watched(Several):
    """Clients whose letters are kept by stage, for each round anew."""

    def round(self, *members, change=lambda sender, receiver, letter: letter, **options):
        self.seen = []

        def watch(sender, receiver, letter):
            self.seen.append((sender, receiver, letter))
            return change(sender, receiver, letter)

        return super().round(*members, change=watch, **options)

    def letters(self, kind):
        """Who was sent which letters of a kind, in order."""
        found = [(who, x) for _, who, x in self.seen if decode_kind(x) == kind.kind()]
        return [(who, kind.read(letter, 1 << 24)) for who, letter in found]


def decode_kind(letter):
    try:
        found = decode(letter)
    except ProtocolAbort:  # a card is bare bytes
        return None
    return found[0] if isinstance(found, tuple) else None


# made and kept


@pytest.mark.parametrize("line", LINES, ids=str)
def test_the_first_client_makes_a_key_that_all_hold_and_the_next_rounds_use(line):
    clients = Watched(line)
    clients.round()
    ((maker, letter),) = clients.letters(HandOut)
    assert (maker, letter.key) == (0, NO_KEY)
    (key,) = clients.keys_of(range(3))
    for _ in range(3):
        release = clients.round()
        assert clients.letters(HandOut) == []
        assert {x.key for _, x in clients.letters(Encrypt)} == {key}
        assert all(x.box == x.card == x.holder == b"" for _, x in clients.letters(Encrypt))
        assert clients.keys_of(range(3)) == {key}
        assert release.survivors == (0, 1, 2)


def test_two_ceremonies_make_two_keys_in_seeded_runs_too():
    states = [
        Pipeline(Clip(1.0), CKKS()).aggregate(torch.eye(3), generator=1, nonce=bytes(16)).state
        for _ in range(2)
    ]
    seeds = {decode(state["clients"][0])["protocol"]["key"]["seed"] for state in states}
    assert len(seeds) == 2
    assert all(len(seed) == 32 for seed in seeds)


def test_a_pipeline_that_gets_its_last_state_back_takes_fewer_bytes():
    """No key has to be handed out again: bytes are those of the plan."""
    shield, updates = Pipeline(Clip(1.0), CKKS()), torch.eye(4, 6)
    plan = shield.plan(n_clients=4, dim=6)
    first = shield.aggregate(updates)
    later = shield.aggregate(updates, state=first.state)
    assert (later.bytes_up, later.bytes_down) == (plan.bytes_up, plan.bytes_down)
    assert first.bytes_down > later.bytes_down


# newcomers, and who lost it


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_newcomer_gets_the_key_that_the_others_hold(line):
    clients = Watched(line, 4)
    clients.round([0, 1, 2])
    (key,) = clients.keys_of([0, 1, 2])
    release = clients.round([0, 1, 2, 3])
    ((giver, asked),) = clients.letters(HandOut)
    assert (giver, asked.key, asked.lacking) == (0, key, b"\x08")
    assert [who for who, x in clients.letters(Encrypt) if x.box] == [3]
    assert clients.keys_of(range(4)) == {key}
    update = release.update if line.protocol.publishes else clients.release(3)["update"]
    clients.require_mean(update, range(4))


def test_a_key_goes_from_hand_to_hand_through_cohorts_that_share_a_member():
    clients = Several(KEPT, 4)
    for cohort in ([0, 1], [1, 2], [2, 3], [3, 0]):
        clients.round(cohort)
        clients.require_mean(clients.release(cohort[0])["update"], cohort)
    assert len(clients.keys_of(range(4))) == 1


def test_two_cohorts_apart_have_a_key_each_and_the_most_held_wins_when_they_meet():
    clients = Several(KEPT, 5)
    clients.round([0, 1])
    clients.round([2, 3, 4])
    assert len(clients.keys_of(range(5))) == 2
    (most,) = clients.keys_of([2, 3, 4])
    clients.round()
    assert clients.keys_of(range(5)) == {most}
    clients.require_mean(clients.release(0)["update"], range(5))


def test_of_two_keys_that_as_many_hold_the_first_member_s_wins():
    clients = Several(KEPT, 4)
    clients.round([2, 3])
    clients.round([0, 1])
    (first,) = clients.keys_of([0, 1])
    clients.round()
    assert clients.keys_of(range(4)) == {first}


@pytest.mark.parametrize("who", [0, 2])
def test_a_client_that_lost_everything_gets_the_key_again(who):
    clients = Several(PUBLISHED)
    clients.round()
    (key,) = clients.keys_of(range(3))
    clients.kept[who] = b""
    release = clients.round()
    assert clients.keys_of(range(3)) == {key}
    clients.require_mean(release.update, range(3))
    assert clients.key(who).born == 0


def test_the_next_holder_hands_out_when_the_first_is_gone_at_keys():
    clients = Watched(KEPT, 4)
    clients.round([0, 1, 2])
    (key,) = clients.keys_of([0, 1, 2])
    release = clients.round([0, 1, 2, 3], drop={0: "keys"})
    assert [(who, x.key) for who, x in clients.letters(HandOut)] == [(0, key), (1, key)]
    assert release.survivors == (1, 2, 3)
    assert clients.keys_of([1, 2, 3]) == {key}


def test_when_no_holder_hands_it_out_a_new_key_is_made():
    clients = Watched(KEPT, 4)
    clients.round([0, 1])
    (old,) = clients.keys_of([0, 1])
    release = clients.round([1, 2, 3], drop={1: "keys"})
    assert release.survivors == (2, 3)
    (new,) = clients.keys_of([2, 3])
    assert new != old
    clients.require_mean(clients.release(2)["update"], [2, 3])


def test_a_giver_whose_answer_is_lost_takes_the_key_of_the_next():
    clients = Several(PUBLISHED)
    round_ = clients.open()
    round_ = round_.collect([(w, clients.answer(w, x)) for w, x in round_.letters.items()])
    (first,) = round_.letters
    clients.answer(first, round_.letters[first])
    made = clients.key(first)
    round_ = round_.collect([])
    (second,) = round_.letters
    assert second != first
    while round_.letters:
        round_ = round_.collect([(w, clients.answer(w, x)) for w, x in round_.letters.items()])
    assert round_.release.survivors == (0, 1, 2)
    clients.require_mean(round_.release.update, range(3))
    assert made.id not in clients.keys_of(range(3))


# as many rounds as the noise is made for


def test_a_key_lasts_for_as_many_rounds_as_are_published():
    clients = Several(TWICE)
    keys = []
    for k in range(6):
        release = clients.round()
        clients.require_mean(release.update, range(3))
        (key,) = clients.keys_of(range(3))
        keys.append(key)
        assert clients.key(0).born == k // 2 * 2
    assert keys[0] == keys[1] != keys[2] == keys[3] != keys[4] == keys[5]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("line", [KEPT, EXACT, EXACT_PUBLISHED], ids=str)
def test_a_key_of_which_nothing_inexact_leaves_lasts(line):
    clients = Several(line, 2)
    for _ in range(6):
        clients.round()
        assert len(clients.keys_of(range(2))) == 1
        assert clients.key(0).born == 0


@pytest.mark.parametrize(
    "cohorts",
    [
        [[0, 1, 2], [0, 1], [2, 3], [3, 4], [4, 0]],
        [[0, 1], [1, 2], [2, 3], [3, 4], [4, 0], [0, 1]],
        [[0, 1, 2, 3, 4], [0, 1], [2, 3], [4, 0], [1, 2], [3, 4]],
        [[0, 1], [2, 3], [0, 2], [1, 3], [0, 4]],
    ],
)
@pytest.mark.parametrize("loses", [None, 1, 2])
def test_no_key_releases_more_sums_than_its_noise_is_made_for_whoever_takes_part(cohorts, loses):
    """Neither sampling, nor a client that lost its memory, starts the count again."""
    clients, released = Several(TWICE, 5), {}
    for k, members in enumerate(cohorts):
        if k == loses:
            clients.kept[members[0]] = b""
        clients.round(members)
        (key,) = clients.keys_of(members)
        released[key] = released.get(key, 0) + 1
    assert max(released.values()) <= 2


def after_a_round_that_nobody_opened():
    """Five clients that hold a key, of whom 0, 1 and 4 encrypted under it for round 1."""
    clients = Several(TWICE, 5)
    clients.round(number=0)
    (first,) = clients.keys_of(range(5))
    lost = dict.fromkeys((0, 1, 4), "decrypt") | dict.fromkeys((2, 3), "upload")
    with pytest.raises(ProtocolAbort, match="No client opened the sum"):
        clients.round(number=1, drop=lost)
    return clients, first


def test_a_retry_is_not_under_a_key_that_others_have_used_up():
    """Clients 2 and 3 were in no sum of this round: their key would serve it twice."""
    clients, first = after_a_round_that_nobody_opened()
    assert clients.keys_of(range(5)) == {first}
    assert clients.round(number=1).survivors == (0, 1, 2, 3, 4)
    (second,) = clients.keys_of(range(5))
    assert second != first
    assert clients.aborts == {}


def test_who_has_used_a_key_up_does_not_take_it_from_another(monkeypatch):
    """A server that has it handed out again gets nothing from those."""
    clients, first = after_a_round_that_nobody_opened()
    monkeypatch.setattr(ServerSide, "_most_held", lambda *_: first)
    assert clients.round(number=1).survivors == (2, 3)
    assert set(clients.aborts) == {0, 1, 4}


def test_a_round_that_nobody_opened_can_be_tried_again():
    for line in (TWICE, KEPT, EXACT_PUBLISHED):
        clients = Several(line)
        if line.protocol.publishes:
            with pytest.raises(ProtocolAbort, match="No client opened the sum"):
                clients.round(number=0, drop=dict.fromkeys(range(3), "decrypt"))
        else:
            clients.round(number=0, drop=dict.fromkeys(range(3), "decrypt"))
        release = clients.round(number=0)
        assert release.survivors == (0, 1, 2)
        assert clients.aborts == {}


def test_a_second_sum_under_one_key_in_one_round_is_not_encrypted():
    """A server that counts its rounds no further gets a new key, or nothing."""
    clients = Several(TWICE)
    keys = []
    for _ in range(3):
        clients.round(number=7)
        (key,) = clients.keys_of(range(3))
        keys.append(key)
    assert len(set(keys)) == 3


@pytest.mark.parametrize("number", [0, 3, 6, 7])
def test_a_client_refuses_a_key_outside_its_rounds(number):
    """A server that names a key cannot stretch its life: each client knows when it was made."""
    clients = Several(TWICE)
    clients.round(number=4)
    old = clients.key(1).id
    release = clients.round(number=number, change=to_client(1, Encrypt, lambda _: Encrypt(old)))
    assert set(clients.aborts) == {1}
    assert release.survivors == (0, 2)


def test_a_box_carries_the_round_in_which_the_key_was_made():
    """Else a newcomer would count from anew."""
    clients = Several(TWICE, 4)
    clients.round([0, 1], number=0)
    clients.round([1, 2], number=1)
    assert clients.key(2).born == 0
    assert clients.key(2).id == clients.key(1).id
    clients.round([2, 3], number=2)
    assert clients.key(3).id != clients.key(1).id


def test_a_round_number_that_no_key_can_carry_is_refused():
    for number in (2**64, 2**200):
        clients = Several(TWICE, 2)
        with pytest.raises((ProtocolAbort, ValueError)):
            clients.round(number=number)


# the key itself


def test_names_and_streams_tell_nothing_of_the_seed_and_differ():
    key = Key(bytes(range(32)), 3)
    other = Key(bytes(range(1, 33)), 3)
    assert key.id == Key(key.seed, 9).id != other.id
    assert len(key.id) == 16
    assert key.id not in key.seed
    streams = [key.stream("flood", b"a"), key.stream("flood", b"b"), key.stream("behind", b"a")]
    streams += [other.stream("flood", b"a"), key.stream("flood", b"a", b"b"), key.stream("flood")]
    drawn = {stream.bytes(16) for stream in streams}
    assert len(drawn) == 6
    assert key.stream("flood", b"a").bytes(16) in drawn
    assert "seed" not in repr(key)
    assert key.seed.hex() not in repr(key)


def test_keys_come_from_the_system():
    assert len({Key.new(0).seed for _ in range(50)}) == 50


def test_a_card_reads_what_it_wrote():
    card = Card(bytes(range(32)), b"k" * 16, b"s" * 16, bytes(64))
    assert Card.from_bytes(card.to_bytes()) == card
    for size in (0, Card.SIZE - 1, Card.SIZE + 1):
        with pytest.raises(ProtocolAbort, match=f"A card of {size} bytes, it has {Card.SIZE}"):
            Card.from_bytes(bytes(size))


def test_boxes_of_another_number_are_no_boxes():
    clients = Several(KEPT)
    short = from_client(0, Handed, lambda x: Handed(x.key, x.boxes[:-1]))
    release = clients.round(change=short)
    assert release.survivors == (0, 1, 2)
    assert "bytes in a letter" in release.rejected[0]
    assert len(clients.keys_of(range(3))) == 1


def test_what_outlives_a_round_is_the_key_and_which_was_used_up():
    clients = Several(KEPT)
    clients.round()
    kept = clients.memory(0)["protocol"]
    carried = KEPT.protocol.carry(kept)
    assert set(carried) == {"key", "spent"}
    assert carried["spent"] == NO_KEY
    assert set(carried["key"]) == {"seed", "born", "last"}
    assert KEPT.protocol.carry(None) is None
    assert encode(carried)


def test_the_cohort_of_a_round_with_the_key_needs_no_letter_of_keys():
    clients = Several(KEPT)
    clients.round()
    round_ = clients.open(Cohort.of(clients.names))
    stages = []
    while round_.letters:
        stages.append(round_.stage)
        replies = [(w, clients.answer(w, x)) for w, x in round_.letters.items()]
        round_ = Round.from_bytes(KEPT, round_.to_bytes(), registry=clients.registry)
        round_ = round_.collect(replies)
    assert stages == ["advertise", "upload", "decrypt"]
    assert BFV().stages == CKKS().stages == ("advertise", "keys", "upload", "decrypt")


# several sums a round

TWO_PASSES = Pipeline(PowerSGD(2, 8), Clip(1000.0), CKKS(published=2))
GROUPS = Pipeline(Clip(100.0), Grouped(CKKS(published=2), size=2), TrimmedMean(n_byzantine=0))


def test_a_key_serves_every_pass_of_its_rounds():
    clients = Several(TWO_PASSES, 3, 48)
    keys = []
    for k in range(4):
        clients.round()
        keys.append(clients.key(0).id)
        assert clients.key(0).last == (k, 1)
        assert len(clients.keys_of(range(3))) == 1
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_groups_are_drawn_anew_and_each_sum_is_right():
    clients = Several(GROUPS, 6)
    for _ in range(5):
        clients.require_mean(clients.round().update, range(6))


@pytest.mark.parametrize(("line", "n", "dim", "sums"), [(TWO_PASSES, 3, 48, 2), (GROUPS, 6, 5, 3)])
def test_the_flood_is_for_every_pass_and_group_of_every_round(line, n, dim, sums):
    """Any key may serve all of them: so many ciphertexts leave under it."""
    plan = line.plan(n_clients=n, dim=dim)
    assert plan.sums == sums
    part = CKKS(published=2)
    alone, together = part.parameters(plan.but(sums=1)), part.parameters(plan)
    assert alone.degree == together.degree
    assert together.flood_std == pytest.approx(sums**0.5 * alone.flood_std)

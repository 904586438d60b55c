"""Wires around wires: what is lost, what is changed, what is remembered."""

import random

import pytest
import torch

from parts_for_tests import MaskedSum
from privfl import Pipeline
from privfl.core import SERVER, ProtocolAbort
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.parts import Grouped, Plain
from privfl.rounds import Opening, Round, direct, drive, dropping, in_process, tampering
from privfl.rounds._envelope import Envelope
from privfl.views import Tape
from rounds_for_tests import Clients, opened, whole_numbers

LINE = Pipeline(Clip(100.0))
UPDATES = whole_numbers(3, 4)


def started(line=LINE, updates=UPDATES):
    clients = Clients(line, updates)
    return clients, Round.open(line, opened(line, clients))


def test_direct_calls_each_client_in_turn():
    wire = direct({1: lambda letter: letter + b"!", "a": lambda letter: letter + b"?"})
    assert list(wire({"a": b"x", 1: b"y"})) == [("a", b"x?"), (1, b"y!")]


def test_a_client_that_aborts_does_not_answer_and_says_why():
    def abort(letter):
        raise ProtocolAbort("I know this one")

    aborts = {}
    wire = direct({0: abort, 1: lambda letter: b"y"}, aborts)
    assert list(wire({0: b"", 1: b""})) == [(1, b"y")]
    assert aborts == {0: "I know this one"}
    assert list(direct({0: abort})({0: b""})) == []


def test_a_mistake_in_a_client_is_not_a_dropout():
    def broken(letter):
        raise ValueError("update must be a vector")

    with pytest.raises(ValueError, match="must be a vector"):
        list(direct({0: broken})({0: b""}))


def test_a_dropped_client_hears_nothing_from_its_stage_on():
    line = Pipeline(MaskedSum(2))
    for stage in MaskedSum.stages:
        clients, round_ = started(line)
        heard = []

        def listening(letters, clients=clients, heard=heard):
            heard += [Envelope.read(x).stage for who, x in letters.items() if who == 1]
            return clients.wire()(letters)

        drive(round_, dropping(listening, {1: stage}, MaskedSum.stages))
        assert heard == list(MaskedSum.stages[: MaskedSum.stages.index(stage)])


def test_a_dropped_client_stays_away_even_where_it_is_asked_again():
    heard = []
    wire = dropping(lambda letters: heard.extend(letters) or (), {1: "mask"}, MaskedSum.stages)
    for stage in MaskedSum.stages:
        letter = Envelope(bytes(32), stage, b"").to_bytes()
        wire({1: letter, 2: letter})
    assert (heard.count(1), heard.count(2)) == (2, 4)


def test_a_stage_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"among \('upload',\). Found 'mask' for 0"):
        dropping(direct({}), {0: "mask"}, ("upload",))


def test_tampering_sees_both_ends_of_every_letter():
    seen = []

    def note(sender, receiver, letter):
        seen.append((sender, receiver))
        return letter

    clients, round_ = started()
    release = drive(round_, tampering(clients.wire(), note))
    assert seen == [(SERVER, 0), (SERVER, 1), (SERVER, 2), (0, SERVER), (1, SERVER), (2, SERVER)]
    assert torch.allclose(release.update, UPDATES.mean(dim=0))


def test_wires_stack():
    clients, round_ = started()
    tape = Tape()

    def flip(sender, receiver, letter):
        return letter[:-1] if receiver == 2 else letter

    wire = tape.recording(dropping(tampering(clients.wire(), flip), {0: "upload"}, ("upload",)))
    release = drive(round_, wire)
    assert release.survivors == (1,)
    assert [(post.sender, post.receiver) for post in tape.posted] == [
        (SERVER, 0),
        (SERVER, 1),
        (SERVER, 2),
        (1, SERVER),
    ]


def test_a_recording_does_not_change_a_bit():
    clients, round_ = started()
    tape = Tape()
    release = drive(round_, tape.recording(clients.wire()))
    assert torch.equal(release.update, drive(*again(round_)).update)
    assert [post.letter for post in tape.posted[:3]] == list(round_.letters.values())


def again(round_):
    clients = Clients(LINE, UPDATES)
    return Round(round_.setting, round_.letters, round_.stage, round_.protocol), clients.wire()


# every bit


def flipped(letter, bit):
    changed = bytearray(letter)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_bit_of_a_first_letter():
    """The client aborts, or answers what it would have answered, or is rejected for it."""
    clients, round_ = started()
    replies = dict(clients.wire()(round_.letters))
    letter, answered = round_.letters[1], 0
    for bit in range(8 * len(letter)):
        clients.kept.clear()
        try:
            reply = clients.answer(1, flipped(letter, bit))
        except ProtocolAbort:
            continue
        answered += 1
        if reply != replies[1]:
            release = round_.collect((replies | {1: reply}).items()).release
            assert set(release.rejected) == {1}
    assert answered < 200  # the name of the stage, and an outcome that this client does not await


def test_every_bit_around_the_numbers_of_a_reply():
    """The reply is rejected by name, or the release is the same; numbers are the client's own."""
    clients, round_ = started()
    replies = dict(clients.wire()(round_.letters))
    numbers = UPDATES[1].numpy().tobytes()
    start = replies[1].index(numbers)
    inside = range(8 * start, 8 * (start + len(numbers)))
    expected = round_.collect(replies.items()).release.update
    for bit in set(range(8 * len(replies[1]))) - set(inside):
        changed = replies | {1: flipped(replies[1], bit)}
        release = round_.collect(changed.items()).release
        if release.survivors == (0, 1, 2):
            assert torch.equal(release.update, expected)
        else:
            assert release.survivors == (0, 2)
            assert set(release.rejected) == {1}


@pytest.mark.parametrize("exchange", [0, 1, 2])
@pytest.mark.parametrize("to_client", [True, False], ids=["letter", "reply"])
def test_bits_of_a_draw_and_of_what_follows(exchange, to_client):
    """40 bits of a letter: an abort, a client that is out, or the same mean."""
    rng, line, updates = (
        random.Random(exchange),
        Pipeline(Grouped(Plain(), size=2)),
        whole_numbers(4, 2),
    )
    for _ in range(40):
        clients, round_ = started(line, updates)

        def change(sender, receiver, letter, number=lambda: count):
            if (sender, receiver) != ((SERVER, 1) if to_client else (1, SERVER)):
                return letter
            numbers = letter.find(updates[1].numpy().tobytes())
            bit = rng.randrange(8 * len(letter))
            spared = numbers >= 0 and numbers <= bit // 8 < numbers + 16
            return letter if spared or number() != exchange else flipped(letter, bit)

        count, wire = 0, tampering(clients.wire(), change)
        try:
            while round_.letters:
                round_ = round_.collect(wire(round_.letters))
                count += 1
        except ProtocolAbort:
            continue
        there = sorted(round_.release.survivors)
        assert there in ([0, 1, 2, 3], [0, 2, 3])
        assert torch.allclose(round_.release.update, updates[there].mean(dim=0))


# in process


def test_the_first_clients_own_reason_is_told():
    def change(sender, receiver, letter):
        return letter[:-1] if sender == SERVER else letter

    opening = Opening.fresh(LINE, 2, 4)
    with pytest.raises(ProtocolAbort, match=r"sent a usable update. Client 0 aborted: A message"):
        in_process(
            LINE,
            opening,
            lambda who: (UPDATES[who], {}),
            wrap=lambda wire: tampering(wire, change),
            generator=Stream(),
        )


def test_clients_that_aborted_are_named_in_the_release():
    def change(sender, receiver, letter):
        return letter[:-1] if receiver == 1 else letter

    release = in_process(
        LINE,
        Opening.fresh(LINE, 3, 4),
        lambda who: (UPDATES[who], {}),
        wrap=lambda wire: tampering(wire, change),
    )
    assert release.survivors == (0, 2)
    assert release.rejected[1].startswith("A message")


def test_a_round_without_an_end_aborts():
    line = Pipeline()
    clients, round_ = started(line)
    silent = Round(round_.setting)
    with pytest.raises(ProtocolAbort, match="ended without a release"):
        drive(silent, clients.wire())

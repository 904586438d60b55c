"""Broken letters: a typed abort, a rejection by name, or the right sum; never anything else."""

import itertools
from contextlib import suppress
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from he.kept_clients import EXACT, KEPT, LINES, PUBLISHED, Several, numbers_of
from privfl import Pipeline, ProtocolAbort
from privfl.core import SERVER, encode
from privfl.core._encrypted_letters import (
    Decrypt,
    Encrypt,
    Encrypted,
    Handed,
    HandOut,
    Opened,
    Present,
)
from privfl.core._letter import Letter
from privfl.defenses.dp import Clip
from privfl.defenses.he import CKKS
from privfl.defenses.he._numbers import digests_of
from privfl.lattice import _plaintexts, _ring
from privfl.rounds import Round, respond, tampering
from privfl.rounds._envelope import Envelope
from rounds_for_tests import through_bytes

KINDS = [Present, HandOut, Handed, Encrypt, Encrypted, Decrypt, Opened]
STAGES = ["advertise", "keys", "upload", "decrypt"]
VICTIM = 0  # it is asked in every exchange: the first of all hands out and opens


@cache
def played(line):
    """Before each exchange of a first round: the server's bytes, what clients keep, replies."""
    clients = Several(line)
    round_, found = clients.open(), []
    while round_.letters:
        kept = dict(clients.kept)
        replies = {who: clients.answer(who, x) for who, x in round_.letters.items()}
        found.append((round_, kept, replies))
        round_ = round_.collect(replies.items())
    return clients, found


def foreign(line, exchange, to_client):
    """A letter of the same exchange of another session of the same clients."""
    again = Several(line)
    again.keys, again.registry = played(line)[0].keys, played(line)[0].registry
    round_ = again.open()
    for _ in range(exchange):
        round_ = round_.collect([(w, again.answer(w, x)) for w, x in round_.letters.items()])
    letter = round_.letters[VICTIM]
    return letter if to_client else again.answer(VICTIM, letter)


def flip(where):
    def change(letter):
        made, place = bytearray(letter), where % (8 * len(letter)) if letter else 0
        if made:
            made[place // 8] ^= 1 << place % 8
        return bytes(made)

    return change


def inside(change):
    def whole(letter):
        envelope = Envelope.read(letter)
        return replace(envelope, letter=change(envelope.letter)).to_bytes()

    return whole


def parts_of(kind):
    count = len(kind.__dataclass_fields__)
    return st.lists(st.binary(max_size=300), min_size=count, max_size=count).map(
        lambda parts: kind(*parts).to_bytes()
    )


CHANGES = st.one_of(
    st.integers(0, 2**24).map(flip),
    st.integers(0, 2**10).map(lambda n: lambda letter: letter[: n % (len(letter) + 1)]),
    st.integers(0, 2**15).map(lambda n: lambda letter: letter[n % (len(letter) + 1) :]),
    st.binary(min_size=1, max_size=200).map(lambda more: lambda letter: letter + more),
    st.binary(max_size=300).map(lambda other: lambda _: other),
    st.sampled_from(KINDS).flatmap(parts_of).map(lambda made: lambda _: made),
)


def arrive(line, exchange, to_client, change):
    """Go on from an exchange with one letter changed on its way to, or from, the victim."""
    clients, found = played(line)
    start, kept, _ = found[exchange]
    clients.kept, clients.aborts = dict(kept), {}
    first = itertools.count()

    def tamper(sender, receiver, letter):
        ends = (SERVER, VICTIM) if to_client else (VICTIM, SERVER)
        return change(letter) if (sender, receiver) == ends and not next(first) else letter

    again = Round.from_bytes(line, start.to_bytes(), registry=clients.registry)
    return clients, through_bytes(again, tampering(clients.wire(clients.aborts), tamper))


def require_right(line, clients, release):
    """Every result that anybody holds is the mean of those who are counted."""
    if line.protocol.publishes:
        clients.require_mean(release.update, release.survivors)
    for who in clients.names:
        opened = clients.release(who) if clients.kept.get(who) else None
        if opened is not None:
            clients.require_mean(opened["update"], opened["survivors"])
            assert opened["survivors"] == release.survivors


@pytest.mark.parametrize("line", LINES, ids=str)
@given(CHANGES, st.booleans(), st.integers(0, 3), st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_one_changed_letter_gives_an_abort_or_the_right_sum(line, change, whole, at, to_client):
    try:
        clients, release = arrive(line, at, to_client, change if whole else inside(change))
    except ProtocolAbort:
        return
    require_right(line, clients, release)
    if VICTIM not in release.survivors:
        assert VICTIM in {**release.rejected, **clients.aborts}


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("to_client", [False, True])
def test_a_letter_of_another_session_is_none(line, at, to_client):
    """With its envelope it is refused as such, and in one of this session by what it binds."""
    letter = foreign(line, at, to_client)
    for change in (lambda _: letter, inside(lambda _: Envelope.read(letter).letter)):
        if at == 0 and to_client:
            continue  # another opening is another round
        try:
            clients, release = arrive(line, at, to_client, change)
        except ProtocolAbort:
            continue
        require_right(line, clients, release)
        named = {**release.rejected, **clients.aborts}
        harmless = Envelope.read(letter).letter == Opened().to_bytes()
        assert VICTIM in named or harmless


# letters as a malicious client signs them, of another key and of another ring


def signed(line, words, seeds, who=VICTIM):
    clients, found = played(line)
    start = found[2][0]
    numbers = numbers_of(line, start.setting.opening)
    text = numbers.sent_text(who, start.protocol["key"], digests_of(words, seeds))
    return Encrypted(words, seeds, clients.keys[who].sign(text)).to_bytes()


def sent(line, who=VICTIM):
    return Encrypted.read(Envelope.read(played(line)[1][2][2][who]).letter, 1 << 24)


@pytest.mark.parametrize("line", [KEPT, EXACT], ids=str)
def test_ciphertexts_of_another_ring_are_rejected_by_name(line):
    other = sent(PUBLISHED)
    letter = signed(line, other.words, other.seeds)
    _, release = arrive(line, 2, False, inside(lambda _: letter))
    assert release.survivors == (1, 2)
    assert VICTIM in release.rejected


@pytest.mark.parametrize("line", LINES, ids=str)
def test_ciphertexts_of_another_key_end_the_round(line):
    """Each client finds that the sum decrypts to none of honest clients, or not what it sent."""
    other = foreign(line, 2, False)
    found = Encrypted.read(Envelope.read(other).letter, 1 << 24)
    letter = signed(line, found.words, found.seeds)
    try:
        clients, release = arrive(line, 2, False, inside(lambda _: letter))
    except ProtocolAbort:
        assert line.protocol.publishes
        return
    assert not line.protocol.publishes
    assert release.survivors == (0, 1, 2)
    assert all("does not decrypt" in clients.aborts[who] for who in (1, 2))
    assert "sent something else" in clients.aborts[VICTIM]


# the client's and the server's side alone


@pytest.mark.parametrize("line", LINES, ids=str)
@given(CHANGES, st.integers(0, 3))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_only_an_abort_ever_leaves_a_client(line, change, at):
    clients, found = played(line)
    round_, kept, _ = found[at]
    letter = inside(change)(round_.letters[VICTIM])
    try:
        reply, after = respond(
            line,
            VICTIM,
            letter,
            kept.get(VICTIM, b""),
            lambda: (clients.updates[VICTIM], {}),
            identity=clients.keys[VICTIM],
            registry=clients.registry,
        )
    except ProtocolAbort:
        return
    assert Envelope.read(reply)
    assert after


@pytest.mark.parametrize("line", LINES, ids=str)
@given(CHANGES, st.sampled_from([0, 2, 3]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_server_rejects_a_changed_reply_by_name(line, change, at):
    """But for sealed boxes, at ``keys``: only who opens them can tell."""
    round_, _, replies = played(line)[1][at]
    changed = inside(change)(replies[VICTIM])
    if changed == replies[VICTIM]:
        return
    try:
        after = round_.collect({**replies, VICTIM: changed}.items())
    except ProtocolAbort:
        return
    release = after.release
    rejected = {**after.rejected, **(release.rejected if release else {})}
    assert VICTIM in rejected


def test_nothing_is_printed_whatever_arrives(capfd):
    for line in (PUBLISHED, EXACT):
        for at, to_client in itertools.product(range(4), (False, True)):
            for change in (flip(9000), lambda x: x[:-1]):
                with suppress(ProtocolAbort):
                    arrive(line, at, to_client, inside(change))
    found = capfd.readouterr()
    assert found.out == ""
    assert found.err == ""


# size


@pytest.fixture
def loads(monkeypatch):
    """Count what SEAL is given to read."""
    seen = []

    def watch(module):
        real = module.filled

        def filled(empty, context, body):
            seen.append(len(body))
            return real(empty, context, body)

        monkeypatch.setattr(module, "filled", filled)

    watch(_ring)
    watch(_plaintexts)
    return seen


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize("at", range(4))
def test_an_oversized_letter_is_refused_before_anything_is_loaded(line, at, loads):
    clients, found = played(line)
    round_, kept, replies = found[at]
    clients.kept = dict(kept)
    kind = [Present, HandOut, Encrypt, Decrypt][at]
    huge = _padded(kind, Envelope.read(round_.letters[VICTIM]).letter)
    with pytest.raises(ProtocolAbort, match="allowed are"):
        clients.answer(VICTIM, inside(lambda _: huge)(round_.letters[VICTIM]))
    assert loads == []
    answer = [None, Handed, Encrypted, Opened][at]
    reply = Envelope.read(replies[VICTIM]).letter
    huge = reply + bytes(1 << 22) if answer is None else _padded(answer, reply)
    given_back = {VICTIM: inside(lambda _: huge)(replies[VICTIM])}
    try:
        after = round_.collect(given_back.items())
        assert VICTIM in {**after.rejected, **(after.release.rejected if after.release else {})}
    except ProtocolAbort:
        pass
    assert loads == []


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize(("at", "kind"), [(1, Handed), (2, Encrypted), (3, Opened)])
def test_an_oversized_reply_is_rejected_for_its_size(line, at, kind):
    round_, _, replies = played(line)[1][at]
    huge = _padded(kind, Envelope.read(replies[VICTIM]).letter)
    after = round_.collect({**replies, VICTIM: inside(lambda _: huge)(replies[VICTIM])}.items())
    rejected = {**after.rejected, **(after.release.rejected if after.release else {})}
    assert "allowed are" in rejected[VICTIM]


def _padded(kind, letter):
    """A well-formed letter four megabytes too long."""
    found = kind.read(letter, 1 << 24)
    names = list(kind.__dataclass_fields__)
    if not names:
        return encode((kind.kind(), bytes(1 << 22)))
    parts = [getattr(found, name) for name in names]
    parts[-1] += bytes(1 << 22)
    return kind(*parts).to_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_letter_reads_what_it_wrote_and_nothing_else(kind):
    parts = [bytes([k]) * k for k in range(1, 1 + len(kind.__dataclass_fields__))]
    letter = kind(*parts)
    assert isinstance(letter, Letter)
    data = letter.to_bytes()
    assert kind.read(data, len(data)) == letter
    with pytest.raises(ProtocolAbort, match="allowed are"):
        kind.read(data, len(data) - 1)
    for other in KINDS:
        if other is not kind:
            with pytest.raises(ProtocolAbort):
                other.read(data, 1000)
    if parts:
        with pytest.raises(ProtocolAbort, match="another kind"):
            kind.read(encode((kind.kind(), *[1 for _ in parts])), 1000)


# memory


def test_a_server_holds_one_sum_however_many_clients_there_are(monkeypatch):
    """Replies come one at a time, and none is kept: only the sum and a proof of each."""
    line = Pipeline(Clip(1.0), CKKS())
    alive, most = [], []

    class Counted(bytes):
        def __new__(cls, data):
            alive.append(1)
            return super().__new__(cls, data)

        def __del__(self):
            alive.pop()

    clients = Several(line, 12, 3000)
    clients.updates = {who: x / 100 for who, x in clients.updates.items()}
    round_ = clients.open()
    while round_.stage != "upload":
        round_ = round_.collect([(w, clients.answer(w, x)) for w, x in round_.letters.items()])

    def replies():
        for who, letter in round_.letters.items():
            most.append(len(alive))
            yield who, Counted(clients.answer(who, letter))

    after = round_.collect(replies())
    assert len(most) == 12
    assert max(most) <= 1
    assert after.stage == "decrypt"
    # what is kept grows by a proof of 96 bytes a client
    assert len(after.to_bytes()) < 12 * (2 * 3 * 2048 * 35 // 8 + 12 * 96 + 2000)
    assert torch.is_tensor(clients.updates[0])

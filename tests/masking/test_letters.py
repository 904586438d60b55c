"""Broken letters: a typed abort, a rejection by name, or the exact sum; never anything else."""

import itertools

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from masking.rounds_that_lose import EXACT
from privfl import Pipeline, ProtocolAbort
from privfl.core import SERVER, decode, encode
from privfl.core._masking_letters import Advertise, Mask, Masked, Share, Sign, Unmask
from privfl.crypto import Identity, Stream
from privfl.defenses.masking import SecAgg
from privfl.parts import Grouped, Mean
from privfl.rounds import Round, respond, tampering
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

LINE, UPDATES = Pipeline(*EXACT, SecAgg(threshold=3)), whole_numbers(4, 3)
SPARSE = Pipeline(*EXACT, SecAgg(neighbors=6, threshold=5, corrupt=0.0, dropout=0.0))
LETTERS = [Advertise, Share, Mask, Masked, Sign, Unmask]


def flip(where):
    def change(letter):
        place = where % (8 * len(letter)) if letter else 0
        made = bytearray(letter)
        if made:
            made[place // 8] ^= 1 << place % 8
        return bytes(made)

    return change


def inside(change):
    """Change the protocol's own letter and leave the envelope whole."""

    def whole(letter):
        envelope = Envelope.read(letter)
        return Envelope(
            envelope.session,
            envelope.stage,
            change(envelope.letter),
            envelope.opening,
            envelope.outcome,
        ).to_bytes()

    return whole


CHANGES = st.one_of(
    st.integers(0, 2**20).map(flip),
    st.integers(0, 2**9).map(lambda n: lambda letter: letter[: n % (len(letter) + 1)]),
    st.binary(min_size=1, max_size=200).map(lambda more: lambda letter: letter + more),
    st.binary(max_size=300).map(lambda other: lambda _: other),
    st.sampled_from(LETTERS).flatmap(
        lambda kind: st.lists(
            st.binary(max_size=400),
            min_size=len(kind.__dataclass_fields__),
            max_size=len(kind.__dataclass_fields__),
        ).map(lambda parts: lambda _: kind(*parts).to_bytes())
    ),
)


def run_tampered(line, updates, change, at, who, to_client):
    """Change the letter of exchange ``at`` to, or from, one client."""
    clients, seen = Clients(line, updates), itertools.count()

    def tamper(sender, receiver, letter):
        ends = (SERVER, who) if to_client else (who, SERVER)
        return change(letter) if (sender, receiver) == ends and next(seen) == at else letter

    round_ = Round.open(line, opened(line, clients), registry=clients.registry)
    return through_bytes(round_, tampering(clients.wire(), tamper))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CHANGES, st.booleans(), st.integers(0, 4), st.booleans())
def test_one_changed_letter_gives_an_abort_or_the_exact_sum(change, whole, at, to_client):
    change = change if whole else inside(change)
    try:
        release = run_tampered(LINE, UPDATES, change, at, 1, to_client)
    except ProtocolAbort:
        return
    expected = UPDATES[list(release.survivors)].sum(dim=0)
    assert torch.equal(release.opened.sums[0].double(), expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(CHANGES, st.integers(0, 4), st.booleans())
@example(lambda letter: letter, 2, True)
def test_the_same_on_a_sparse_graph(change, at, to_client):
    updates = whole_numbers(11, 3)
    try:
        release = run_tampered(SPARSE, updates, inside(change), at, 3, to_client)
    except ProtocolAbort:
        return
    expected = updates[list(release.survivors)].sum(dim=0)
    assert torch.equal(release.opened.sums[0].double(), expected)


def letters_of_a_round():
    """Every letter that client 1 gets in an honest round, with what it kept before."""
    clients, seen = Clients(LINE, UPDATES), []

    def tamper(sender, receiver, letter):
        if receiver == 1:
            seen.append((letter, clients.kept.get(1, b"")))
        return letter

    round_ = Round.open(LINE, opened(LINE, clients), registry=clients.registry)
    through_bytes(round_, tampering(clients.wire(), tamper))
    return clients, seen


CLIENTS, SEEN = letters_of_a_round()


def answer(letter, kept):
    return respond(
        LINE,
        1,
        letter,
        kept,
        lambda: (UPDATES[1], {}),
        identity=CLIENTS.keys[1],
        registry=CLIENTS.registry,
    )


@pytest.mark.parametrize("exchange", range(5))
def test_a_letter_of_another_stage_is_out_of_turn(exchange):
    _, kept = SEEN[exchange]
    for other, (letter, _) in enumerate(SEEN):
        if other == exchange:
            answer(letter, kept)
            continue
        with pytest.raises(ProtocolAbort):
            answer(letter, kept)


@pytest.mark.parametrize("exchange", range(5))
def test_no_letter_is_answered_twice(exchange):
    letter, kept = SEEN[exchange]
    _, after = answer(letter, kept)
    with pytest.raises(ProtocolAbort):
        answer(letter, after)


@pytest.mark.parametrize("exchange", range(1, 5))
def test_every_flipped_byte_of_a_letter_to_a_client_is_refused(exchange):
    letter, kept = SEEN[exchange]
    for place in range(0, len(letter), 3):
        changed = bytearray(letter)
        changed[place] ^= 1 << place % 8
        if exchange == 2 and _in_boxes(letter, place):
            continue  # a box that does not open gives no share; see the attacks
        with pytest.raises(ProtocolAbort):
            answer(bytes(changed), kept)


def _in_boxes(letter, place):
    boxes = Mask.read(Envelope.read(letter).letter, 1 << 16).boxes
    start = letter.index(boxes)
    return start <= place < start + len(boxes)


def test_another_version_and_an_oversized_letter_are_refused():
    letter, kept = SEEN[1]
    envelope = Envelope.read(letter)
    newer = bytearray(envelope.letter)
    newer[3] += 1
    with pytest.raises(ProtocolAbort, match="version 2, this is version 1"):
        answer(inside(lambda _: bytes(newer))(letter), kept)
    huge = Share(b"\x0f", bytes(10**6)).to_bytes()
    with pytest.raises(ProtocolAbort, match="allowed are"):
        answer(inside(lambda _: huge)(letter), kept)


@pytest.mark.parametrize("kind", LETTERS)
def test_a_letter_reads_what_it_wrote_and_nothing_else(kind):
    parts = [bytes([k]) * k for k in range(1, 1 + len(kind.__dataclass_fields__))]
    letter = kind(*parts)
    assert kind.read(letter.to_bytes(), 1000) == letter
    for other in LETTERS:
        if other is not kind:
            with pytest.raises(ProtocolAbort):
                other.read(letter.to_bytes(), 1000)
    numbers = encode((kind.kind(), *[1 for _ in parts]))
    if parts:
        with pytest.raises(ProtocolAbort, match="another kind"):
            kind.read(numbers, 1000)


def test_a_vector_changed_on_its_way_is_rejected_by_name_and_not_summed():
    def change(letter):
        found = Masked.read(letter, 1 << 16)
        words = bytes([found.words[0] ^ 1]) + found.words[1:]
        return Masked(words, found.edges, found.signature, found.seal).to_bytes()

    release = run_tampered(LINE, UPDATES, inside(change), 2, 1, to_client=False)
    assert release.rejected == {1: "a vector that its sender did not sign"}
    assert torch.equal(release.opened.sums[0].double(), UPDATES[[0, 2, 3]].sum(dim=0))


def test_a_seeded_client_draws_the_keys_of_its_masks_from_the_system_all_the_same():
    letter, _ = SEEN[0]
    keys = {"identity": CLIENTS.keys[1], "registry": CLIENTS.registry}
    sent = [
        respond(LINE, 1, letter, b"", lambda: (UPDATES[1], {}), generator=Stream.replay(4), **keys)
        for _ in range(2)
    ]
    first, second = (Envelope.read(reply).letter for reply, _ in sent)
    assert len(first) == 160
    assert all(first[at : at + 32] != second[at : at + 32] for at in (0, 32, 64))


GROUPS = Pipeline(*EXACT, Grouped(SecAgg(), size=2), Mean())


def forged_commitment(identity=None):
    """A commitment to a coin of somebody's choice, signed by a stranger or by nobody."""
    made = bytes(32)
    return made + (identity.sign(made) if identity else bytes(64))


@pytest.mark.parametrize("signed", [False, True])
def test_a_commitment_that_its_client_did_not_sign_is_refused_by_the_others(signed):
    clients = Clients(GROUPS, UPDATES)
    stranger = Identity.new() if signed else None

    def tamper(sender, receiver, letter):
        what = decode(Envelope.read(letter).letter)
        if receiver == 0 and isinstance(what, dict) and "commitments" in what:
            forged = {**what["commitments"], 3: forged_commitment(stranger)}
            return inside(lambda _: encode({**what, "commitments": forged}))(letter)
        return letter

    aborts = {}
    round_ = Round.open(GROUPS, opened(GROUPS, clients), registry=clients.registry)
    with pytest.raises(ProtocolAbort):
        through_bytes(round_, tampering(clients.wire(aborts), tamper))
    assert aborts[0] == "Client 3 did not sign its commitment to a coin"


def test_a_server_rejects_a_commitment_that_is_not_signed():
    updates = whole_numbers(5, 3)
    clients = Clients(GROUPS, updates)

    def tamper(sender, receiver, letter):
        found = decode(Envelope.read(letter).letter) if sender == 4 else None
        if isinstance(found, bytes) and len(found) == 96:
            return inside(lambda _: encode(forged_commitment()))(letter)
        return letter

    round_ = Round.open(GROUPS, opened(GROUPS, clients), registry=clients.registry)
    release = through_bytes(round_, tampering(clients.wire(), tamper))
    assert set(release.survivors) == {0, 1, 2, 3}
    assert release.rejected[4] == "Client 4 did not sign its commitment to a coin"

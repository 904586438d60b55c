"""The server's half: what it rejects by name, and what it survives."""

import math
import re
from dataclasses import replace

import pytest
import torch

from parts_for_tests import ClientsOpen, First, MaskedSum
from privfl import Pipeline
from privfl.core import Cohort, ProtocolAbort, encode
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain
from privfl.rounds import Round, drive
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

LINE = Pipeline()


def started(line=LINE, n=3, d=4, **options):
    clients = Clients(line, whole_numbers(n, d))
    return clients, Round.open(line, opened(line, clients, **options))


def replies(clients, round_):
    return list(clients.wire()(round_.letters))


def test_a_reply_of_another_session_is_rejected_by_name():
    clients, first = started()
    stale = replies(clients, first)[1]
    clients, second = started()
    fresh = replies(clients, second)
    release = second.collect([fresh[0], stale, fresh[2]]).release
    assert release.survivors == (0, 2)
    assert release.rejected == {1: "a reply of another session or stage"}


def test_a_late_reply_of_an_earlier_stage_is_rejected_and_does_not_block_the_next():
    line = Pipeline(MaskedSum(2))
    clients, first = started(line)
    early = replies(clients, first)
    second = first.collect(early)
    late = replies(clients, second)
    third = second.collect([early[1], *late])
    assert third.rejected == {1: "a reply of another session or stage"}
    assert set(third.letters) == {0, 1, 2}
    assert set(second.collect([early[1], late[0], late[2]]).letters) == {0, 2}


def test_a_second_reply_of_a_client_is_rejected():
    clients, first = started()
    answers = replies(clients, first)
    release = first.collect([*answers, answers[1]]).release
    assert release.survivors == (0, 1, 2)
    assert release.rejected == {1: "a reply that nobody asked for"}
    assert torch.equal(release.update, whole_numbers(3, 4).mean(dim=0))


def test_an_unknown_sender_is_rejected():
    clients, first = started()
    answers = replies(clients, first)
    release = first.collect([*answers, ("mallory", answers[0][1])]).release
    assert release.survivors == (0, 1, 2)
    assert release.rejected == {"mallory": "a reply that nobody asked for"}


@pytest.mark.parametrize("data", [b"", b"garbage", encode(3)])
def test_a_reply_that_is_no_envelope_is_rejected(data):
    clients, first = started()
    answers = replies(clients, first)
    release = first.collect([answers[0], (1, data), answers[2]]).release
    assert release.survivors == (0, 2)
    assert set(release.rejected) == {1}


@pytest.mark.parametrize(
    ("vector", "text"),
    [
        (torch.ones(3), r"shape \(3,\), planned was \(4,\)"),
        (torch.ones(2, 2), r"shape \(2, 2\)"),
        ((1.0, 2.0), "no vector"),
        (torch.ones(4).long(), "of torch.int64"),
        (torch.ones(5000), "allowed are 8 to"),
    ],
    ids=str,
)
def test_a_vector_that_does_not_fit_is_rejected_by_name(vector, text):
    clients, first = started()
    answers = replies(clients, first)
    envelope = Envelope.read(answers[1][1])
    bad = Envelope(envelope.session, envelope.stage, encode(vector)).to_bytes()
    release = first.collect([answers[0], (1, bad), answers[2]]).release
    assert release.survivors == (0, 2)
    assert re.search(text, release.rejected[1])


def test_a_round_without_a_usable_reply_aborts():
    _, first = started()
    with pytest.raises(ProtocolAbort, match="None of 3 clients sent a usable update"):
        first.collect([])
    with pytest.raises(ProtocolAbort, match="None of 3 clients"):
        first.collect([(who, b"garbage") for who in range(3)])


def test_a_round_that_ended_takes_no_replies():
    clients, first = started()
    answers = replies(clients, first)
    over = first.collect(answers)
    with pytest.raises(ProtocolAbort, match="has ended"):
        over.collect(answers)


def test_a_round_never_changes_itself():
    clients, first = started()
    before = first.to_bytes()
    first.collect(replies(clients, first))
    assert first.to_bytes() == before
    assert first.release is None


def test_replies_are_taken_one_at_a_time():
    """A server that adds as it reads holds one reply: nothing asks for the next before."""
    line = Pipeline(MaskedSum(2))
    clients, first = started(line)
    second = first.collect(replies(clients, first))
    third = second.collect(replies(clients, second))
    seen = []

    def slowly():
        for who, reply in replies(clients, third):
            seen.append(who)
            yield who, reply

    taken = slowly()
    third.collect(taken)
    assert seen == [0, 1, 2]


def test_bytes_are_counted_as_they_travel():
    clients, first = started(n=2, d=1000)
    answers = replies(clients, first)
    release = first.collect(answers).release
    assert release.bytes_up == max(len(reply) for _, reply in answers)
    assert release.bytes_down == max(len(letter) for letter in first.letters.values())
    assert 8000 < release.bytes_up < 8300


def test_nobody_is_paid_for_letters_that_were_not_asked_for():
    clients, first = started()
    answers = replies(clients, first)
    release = first.collect([*answers, ("mallory", bytes(10**6))]).release
    assert release.bytes_up < 1000


# rows that are not finite


def test_a_row_that_is_not_finite_is_dropped_and_named():
    clients, first = started()
    clients.updates[1] = torch.tensor([1.0, math.nan, 0.0, 0.0])
    release = first.collect(replies(clients, first)).release
    assert release.survivors == (0, 2)
    assert release.rejected == {1: "NaN or Inf"}
    assert release.update.isfinite().all()


def test_without_a_finite_row_the_round_aborts():
    clients, first = started()
    clients.updates = dict.fromkeys(range(3), torch.full((4,), math.inf))
    with pytest.raises(ProtocolAbort, match="No update is finite"):
        first.collect(replies(clients, first))


def test_n_falls_and_n_byzantine_does_not():
    """Krum for f=1 needs five rows: one of six may be dropped, and not two."""
    line = Pipeline(Krum(n_byzantine=1))
    clients, first = started(line, n=6)
    clients.updates[0] = torch.full((4,), math.nan)
    assert first.collect(replies(clients, first)).release.survivors == (1, 2, 3, 4, 5)
    clients, first = started(line, n=6)
    clients.updates[0] = clients.updates[1] = torch.full((4,), math.nan)
    with pytest.raises(ProtocolAbort, match="needs at least 5 rows, and 4 are left"):
        first.collect(replies(clients, first))


def test_under_a_privacy_claim_a_row_that_is_not_finite_counts_as_zero():
    """Nothing public tells: who survived, who was rejected and the denominator stay the same."""
    line = Pipeline(Plain(), Clip(1.0), Mean(), CentralGaussianNoise(1e-9))
    clients, first = started(line, d=1)
    clients.updates = {0: torch.tensor([math.nan]), 1: torch.ones(1), 2: torch.ones(1)}
    release = first.collect(replies(clients, first)).release
    assert release.survivors == (0, 1, 2)
    assert release.rejected == {}
    assert release.denominator == 3
    assert float(release.update) == pytest.approx(2 / 3, abs=1e-6)


def test_one_attacker_spoils_one_group():
    line = Pipeline(Grouped(Plain(), size=2), First())
    clients, first = started(line, n=6)
    clients.updates[3] = torch.full((4,), math.nan)
    release = through_bytes(first, clients.wire())
    assert len(release.survivors) == 4
    assert len(release.rejected) == 2
    assert 3 in release.rejected


# the state of the server is a value


@pytest.mark.parametrize("line", [LINE, Pipeline(MaskedSum(2)), Pipeline(ClientsOpen())], ids=repr)
def test_a_round_in_bytes_goes_on_where_it_was(line):
    clients, first = started(line)
    again = Round.from_bytes(line, first.to_bytes())
    assert again.letters == first.letters
    assert again.to_bytes() == first.to_bytes()
    release = through_bytes(first, clients.wire())
    twin, second = started(line, nonce=first.setting.opening.nonce)
    assert torch.equal(drive(second, twin.wire()).update, release.update)


def test_a_round_of_another_pipeline_is_not_continued():
    clients, first = started()
    other = Pipeline(Clip(1.0))
    answers = replies(clients, first)
    resumed = Round.from_bytes(other, first.to_bytes())
    assert resumed.setting.opening.fingerprint != other.fingerprint
    with pytest.raises(ProtocolAbort):
        Clients(other, torch.ones(3, 4)).answer(0, resumed.letters[0])
    assert answers


@pytest.mark.parametrize("kept", [b"", b"garbage", encode(()), encode({"opening": None})])
def test_bytes_that_are_no_round_are_refused(kept):
    with pytest.raises(ProtocolAbort):
        Round.from_bytes(LINE, kept)


# sessions


def test_two_rounds_on_one_matrix_never_share_a_session():
    updates = torch.ones(3, 2)
    seen = set()
    for _ in range(3):
        transcript = LINE.aggregate(updates, transcript=True).transcript
        seen |= {Envelope.read(post.letter).session for post in transcript.posted}
    assert len(seen) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": bytes(15) + b"\x01"},
        {"round": 1},
        {"model": b"weights"},
        {"members": Cohort((0, 1, 2), (1.0, 1.0, 0.5))},
        {"members": ("a", "b", "c")},
    ],
    ids=str,
)
def test_a_session_depends_on_every_public_fact(change):
    clients = Clients(LINE, torch.ones(3, 2))
    options = {"nonce": bytes(16)}
    assert opened(LINE, clients, **options).session == opened(LINE, clients, **options).session
    changed = opened(LINE, clients, **options | change)
    assert changed.session != opened(LINE, clients, **options).session
    other = Pipeline(Clip(1.0))
    assert opened(other, clients, **options).session != opened(LINE, clients, **options).session


@pytest.mark.parametrize(
    "line",
    [
        Pipeline(Clip(1.0), LocalGaussianNoise(1.0)),
        Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
        Pipeline(Clip(1.0), TrimmedMean(n_byzantine=1), CentralGaussianNoise(1.0)),
        Pipeline(Clip(1.0), MaskedSum(3)),
        Pipeline(Clip(1.0), Grouped(Plain(), size=2), First()),
    ],
    ids=repr,
)
def test_a_replayed_nonce_and_source_give_equal_bits(line):
    updates = torch.randn(5, 30, generator=torch.Generator().manual_seed(0))

    def once(source=7, nonce=bytes(16)):
        return line.aggregate(updates, generator=Stream.replay(source), nonce=nonce).update

    assert torch.equal(once(), once())
    if line.contract.claims_privacy:
        assert not torch.equal(once(), once(source=8))
        assert not torch.equal(once(), once(nonce=b"x" * 16))
        fresh = [line.aggregate(updates, nonce=bytes(16)).update for _ in range(2)]
        assert not torch.equal(*fresh)


def test_two_exchanges_of_one_stage_do_not_draw_alike():
    """A protocol may ask twice in a stage: what the server draws then is another key stream."""
    drawn = []

    class Twice(Plain):
        def collect(self, replies, at):
            drawn.append(at.generator.bytes(16))
            return super().collect(replies, replace(at, state=None))

    line = Pipeline(Twice())
    clients = Clients(line, whole_numbers(2, 2))
    round_ = Round.open(line, opened(line, clients), generator=Stream.replay(1))
    round_.collect(()).collect(())
    assert len(set(drawn)) == 3


def test_one_source_gives_every_round_noise_of_its_own():
    line = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
    source, updates = Stream.replay(7), torch.zeros(3, 8)
    noise = [line.aggregate(updates, generator=source).update for _ in range(3)]
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[1], noise[2])


def test_the_noise_of_an_opener_is_not_the_noise_of_a_client():
    """One source runs both sides in process: no two parties draw the same numbers."""
    line = Pipeline(Clip(1e-9), LocalGaussianNoise(1e9))
    updates = torch.zeros(3, 50)
    source = Stream.replay(1)
    rows = line.aggregate(updates, generator=source, nonce=bytes(16)).opened.sums
    both = Pipeline(
        Clip(1e-9),
        LocalGaussianNoise(1e9),
        Mean(),
        CentralGaussianNoise(3e9),
        accepting="local_and_central_noise",
    )
    release = both.aggregate(updates, generator=source, nonce=bytes(16))
    central = release.update - release.opened.sums.mean(dim=0)
    drawn = torch.cat([rows, release.opened.sums, central[None]])
    assert len({round(x, 4) for x in drawn.flatten().tolist()}) > 300

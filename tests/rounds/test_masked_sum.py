"""The walls carry a protocol of four stages: every dropout gives the survivors' sum or an abort."""

import itertools
from functools import partial

import pytest
import torch

from parts_for_tests import FixedPoint, MaskedSum, RandomK
from privfl import Pipeline
from privfl.core import Cohort, ProtocolAbort, decode, encode
from privfl.parts import Grouped, Mean
from privfl.rounds import Line, Round, dropping
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, run, through_bytes, whole_numbers

STAGES = MaskedSum.stages


def expected_survivors(n, threshold, pattern):
    """Who is counted, or None: at each stage those who are not gone yet must be enough."""
    left = [
        [k for k in range(n) if pattern[k] is None or STAGES.index(pattern[k]) > stage]
        for stage in range(4)
    ]
    enough = all(len(members) >= threshold for members in left)
    return tuple(left[2]) if enough else None


def check(aggregate, updates, threshold, pattern):
    drop = {k: stage for k, stage in enumerate(pattern) if stage}
    survivors = expected_survivors(len(updates), threshold, pattern)
    if survivors is None:
        with pytest.raises(ProtocolAbort):
            aggregate(updates, drop=drop)
        return
    release = aggregate(updates, drop=drop)
    assert release.survivors == survivors
    assert torch.equal(release.update * len(survivors), updates[list(survivors)].sum(dim=0))


def test_every_dropout_of_four_gives_the_survivors_sum_or_an_abort():
    shield, updates = Pipeline(MaskedSum(2)), whole_numbers(4, 5)
    for pattern in itertools.product([None, *STAGES], repeat=4):
        check(shield.aggregate, updates, 2, pattern)


@pytest.mark.parametrize(("n", "threshold"), [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)])
def test_so_does_every_dropout_of_fewer_through_bytes(n, threshold):
    line, updates = Line(MaskedSum(threshold)), whole_numbers(n, 5)
    for pattern in itertools.product([None, *STAGES], repeat=n):
        check(partial(run, line), updates, threshold, pattern)


def test_so_does_every_set_of_dropouts_of_four_through_bytes():
    line, updates = Line(MaskedSum(3)), whole_numbers(4, 5)
    patterns = itertools.combinations_with_replacement([None, *STAGES], 4)
    for k, pattern in enumerate(patterns):
        check(partial(run, line), updates, 3, pattern[k % 4 :] + pattern[: k % 4])


def test_integers_travel_as_they_are():
    line = Line(FixedPoint(bits=4), MaskedSum(2))
    assert line.lowered == (FixedPoint(bits=4), MaskedSum(2), Mean())
    assert run(line, torch.tensor([[0.5], [0.25]])).update.tolist() == [0.375]


def test_the_server_sees_no_vector_of_one_client():
    """Each masked word is even over the ring: neither an update nor its negative is in a reply."""
    line, updates = Line(MaskedSum(2)), torch.ones(3, 64)
    posted = []

    def recording(wire):
        def deliver(letters):
            for who, reply in wire(letters):
                posted.append(Envelope.read(reply))
                yield who, reply

        return deliver

    run(line, updates, wrap=recording)
    sent = [decode(e.letter) for e in posted if e.stage == "mask"]
    assert len(sent) == 3
    assert all(len(set(y.tolist())) == 64 for y in sent)


@pytest.mark.parametrize("drop", [{}, {0: "share"}, {1: "mask", 4: "unmask"}])
def test_a_dropout_between_two_passes_of_bytes_is_the_same_in_one_process(drop):
    updates = whole_numbers(5, 7)
    shield = Pipeline(MaskedSum(3))
    assert torch.equal(
        shield.aggregate(updates, drop=drop).update, run(shield, updates, drop).update
    )


def test_dropping_between_the_two_exchanges_of_nothing_is_an_abort_by_name():
    with pytest.raises(ProtocolAbort, match="2 left at mask, 3 needed"):
        run(Line(MaskedSum(3)), whole_numbers(3, 2), {0: "mask"})


def test_an_update_is_asked_for_once_and_only_when_it_is_sent():
    line = Line(MaskedSum(2))
    clients = Clients(line, whole_numbers(3, 2))
    wire = dropping(clients.wire(), {0: "mask"}, STAGES)
    through_bytes(Round.open(line, opened(line, clients)), wire)
    assert clients.asked == [1, 2]


def test_a_support_of_the_same_session_is_drawn_alike_by_everybody():
    """The shared choice differs from round to round in a bare loop, and scales in the end."""
    line, updates = Line(RandomK(3), MaskedSum(2)), torch.ones(3, 12, dtype=torch.float64)
    supports = set()
    for _ in range(4):
        update = run(line, updates).update
        assert sorted(set(update.tolist())) == [0.0, 4.0]
        assert int((update != 0).sum()) == 3
        supports.add(tuple(update.nonzero().flatten().tolist()))
    assert len(supports) > 1


# in groups


def grouped(size=3, threshold=2):
    return Line(Grouped(MaskedSum(threshold), size=size))


def test_groups_give_the_mean_of_everybody():
    updates = whole_numbers(8, 4)
    release = run(grouped(), updates)
    assert sorted(release.survivors) == list(range(8))
    assert len(release.opened.members) == 2
    assert torch.allclose(release.update, updates.mean(dim=0), rtol=0, atol=1e-15)


def test_each_row_is_the_sum_over_its_group():
    updates = whole_numbers(8, 4)
    rows = run(grouped(), updates).opened
    for row, members in zip(rows.sums, rows.members, strict=True):
        assert len(members) >= 3
        assert torch.equal(row, updates[list(members)].sum(dim=0))


@pytest.mark.parametrize("stage", STAGES)
def test_a_group_that_lost_a_member_is_not_shrunk(stage):
    updates = whole_numbers(8, 4)
    release = run(grouped(), updates, {0: stage, 5: stage})
    for row, members, mean in zip(
        release.opened.sums, release.opened.members, release.opened.means, strict=True
    ):
        assert torch.equal(row, updates[list(members)].sum(dim=0))
        assert torch.equal(mean, row / len(members))


def test_a_group_below_its_threshold_is_withheld_whole_and_named():
    updates = whole_numbers(6, 4)
    for _ in range(5):
        release = run(grouped(3, threshold=3), updates, {0: "mask"})
        (members,) = release.opened.members
        assert len(members) == 3
        assert 0 not in members
        assert set(release.rejected) == set(range(6)) - set(members)
        assert "withheld whole: 2 left at mask, 3 needed" in release.rejected[0]
        assert torch.equal(release.update, updates[list(members)].sum(dim=0) / 3)


def test_a_round_without_any_group_aborts():
    with pytest.raises(ProtocolAbort, match="Every group was withheld"):
        run(grouped(2, threshold=2), whole_numbers(2, 2), {0: "mask"})


def test_groups_of_a_member_keep_their_masks_apart():
    """A group is a session of its own: the same keys would mask two groups alike otherwise."""
    line = grouped()
    clients = Clients(line, whole_numbers(6, 4))
    sessions = set()
    original = MaskedSum.reply

    def spy(self, letter, vector, me, at):
        sessions.add((at.session, at.cohort.members))
        return original(self, letter, vector, me, at)

    try:
        MaskedSum.reply = spy
        through_bytes(Round.open(line, opened(line, clients)), clients.wire())
    finally:
        MaskedSum.reply = original
    assert len(sessions) == 2
    assert len({session for session, _ in sessions}) == 2


def test_names_and_public_weights_go_through_the_stages():
    line, updates = Line(MaskedSum(2)), whole_numbers(3, 4)
    clients = Clients(line, updates, ("a", "b", 7))
    cohort = Cohort(("a", "b", 7), (1.0, 0.5, 0.25))
    wire = dropping(clients.wire(), {"b": "mask"}, STAGES)
    release = through_bytes(Round.open(line, opened(line, clients, members=cohort)), wire)
    assert release.survivors == ("a", 7)
    assert torch.equal(release.update, (updates[0] + updates[2] / 4) / 1.25)
    assert encode(release.state)

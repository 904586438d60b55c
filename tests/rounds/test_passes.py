"""Two secure sums in one round, each with a key set of its own."""

from dataclasses import replace

import pytest
import torch

from parts_for_tests import (
    First,
    FixedPoint,
    MaskedSum,
    PowerSGD,
    RandomK,
    TopK,
)
from privfl import CompositionError, Pipeline
from privfl.compression import Rotate
from privfl.core import ProtocolAbort, decode
from privfl.defenses.dp import Clip
from privfl.defenses.robust import Krum
from privfl.parts import Grouped, Mean, Plain
from privfl.rounds import Round, dropping
from privfl.rounds._client import _settled
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, opened, run, through_bytes, whole_numbers

EXACT = FixedPoint(bits=30)
LINES = [
    Pipeline(PowerSGD(2, 8)),
    Pipeline(PowerSGD(2, 8), Clip(50.0), EXACT, MaskedSum(4)),
    Pipeline(PowerSGD(2, 8), EXACT, Grouped(MaskedSum(2), size=2)),
]


def low_rank(n=6, rank=2):
    """Updates that are matrices of one column space, so that their mean has this rank too."""
    generator = torch.Generator().manual_seed(1)
    left = torch.randn(8, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(n, rank, 10, generator=generator, dtype=torch.float64)
    return (left @ right).reshape(n, 80) / 8


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_a_mean_of_low_rank_is_found_in_two_passes(line):
    updates = low_rank()
    assert torch.allclose(run(line, updates).update, updates.mean(dim=0), rtol=0, atol=1e-6)


def test_what_is_drawn_alike_in_front_of_two_passes_is_drawn_once():
    """Signs of the first pass are undone after the second: other signs there would be noise."""
    updates = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
    whole_rank = PowerSGD(4, 4)
    for line in (Pipeline(whole_rank), Pipeline(Rotate(), whole_rank)):
        assert torch.allclose(line.aggregate(updates).update, updates.mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("line", LINES, ids=repr)
def test_what_is_left_out_is_remembered(line):
    """Updates of full rank under rank 2: what was released and what is kept is what was owed."""
    state, owed, released = None, 0.0, 0.0
    for seed in range(12):
        updates = whole_numbers(6, 77, seed)
        gone = {seed % 6: line.protocol.stages[-1]} if seed % 3 == 1 else {}
        release = line.aggregate(updates, state=state, drop=gone)
        # one stage: whoever is gone never trained; several: it trained, counted or withheld
        trained = [k for k in range(6) if k not in gone or len(line.protocol.stages) > 1]
        owed = owed + updates[trained].sum(dim=0)
        released = released + release.update * len(release.survivors)
        state = release.state
        kept = sum(settled(line, state, who) for who in range(6))
        assert torch.allclose(released + kept, owed, rtol=0, atol=1e-4)


def settled(line, state, who):
    """What a client will keep once the next opening told it when it was counted."""
    return _settled(line, decode(state["clients"][who]), state["counted"].get(who))[0]


def test_the_second_pass_has_a_session_of_its_own_and_those_of_the_first_only():
    line = LINES[1]
    clients = Clients(line, low_rank())
    first = Round.open(line, opened(line, clients))
    wire = dropping(clients.wire(), {5: "share"}, MaskedSum.stages)
    letters = dict(first.letters)
    round_ = first
    while round_.setting.opening.pass_index == 0:
        round_ = round_.collect(wire(round_.letters))
    assert round_.setting.session != first.setting.session
    assert set(round_.letters) == set(letters) - {5}
    assert round_.setting.opening.present == (0, 1, 2, 3, 4)
    assert len(round_.setting.opening.cohort) == 6


def test_the_update_is_asked_for_once():
    line = LINES[1]
    clients = Clients(line, low_rank())
    through_bytes(Round.open(line, opened(line, clients)), clients.wire())
    assert clients.asked == list(range(6))


def test_a_client_that_is_gone_in_the_second_pass_is_not_counted():
    line, updates = LINES[1], low_rank()
    clients = Clients(line, updates)

    def lost(wire):
        def deliver(letters):
            second = {
                w: Envelope.read(x).session != first.setting.session for w, x in letters.items()
            }
            sent = {w: x for w, x in letters.items() if not (second[w] and w == 2)}
            return wire(sent)

        return deliver

    first = Round.open(line, opened(line, clients))
    release = through_bytes(first, lost(clients.wire()))
    assert release.survivors == (0, 1, 3, 4, 5)
    others = updates[[0, 1, 3, 4, 5]].mean(dim=0)
    assert torch.allclose(release.update, others, rtol=0, atol=1e-6)


def second_opening(clients, line):
    """The letter that opens the second pass for client 0, before it is sent."""
    round_ = Round.open(line, opened(line, clients))
    while round_.setting.opening.pass_index == 0:
        round_ = round_.collect(clients.wire()(round_.letters))
    return round_


@pytest.mark.parametrize(
    "change",
    [
        {"pass_index": 2},
        {"nonce": bytes(16)},
        {"round": 7},
        {"model": b"x"},
        {"statistics": 1},
        {"present": (0, 1, "new")},
    ],
    ids=str,
)
def test_a_second_pass_that_changes_the_round_is_refused(change):
    line = LINES[0]
    clients = Clients(line, low_rank())
    round_ = second_opening(clients, line)
    opening = replace(round_.setting.opening, **change)
    letter = Envelope(opening.session, "upload", b"", opening.to_state()).to_bytes()
    with pytest.raises(ProtocolAbort, match=r"does not follow|another kind|A pass more"):
        clients.answer(0, letter)


def test_a_second_pass_is_opened_once():
    line = LINES[0]
    clients = Clients(line, low_rank())
    round_ = second_opening(clients, line)
    clients.answer(0, round_.letters[0])
    with pytest.raises(ProtocolAbort, match="does not follow"):
        clients.answer(0, round_.letters[0])


def test_a_second_pass_without_a_first_is_refused():
    line = LINES[0]
    clients = Clients(line, low_rank())
    letter = second_opening(clients, line).letters[0]
    clients.kept.clear()
    with pytest.raises(ProtocolAbort):
        clients.answer(0, letter)


def test_what_changes_its_length_comes_back_in_its_own_length():
    """Wrappers behind the protocol and the rule see the first sizes again."""
    updates = whole_numbers(5, 12)
    release = run(Pipeline(RandomK(12), Plain(), Clip(100.0), Mean()), updates)
    assert torch.allclose(release.update, updates.mean(dim=0))
    release = run(Pipeline(RandomK(12), Krum(n_byzantine=1)), updates)
    assert any(torch.allclose(release.update, row) for row in updates)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((PowerSGD(1, 8), PowerSGD(2, 8)), "both need several sums"),
        ((PowerSGD(1, 8), First()), "takes none. *\n *Use Mean"),
        ((PowerSGD(1, 8), Grouped(MaskedSum(2), size=3), First()), "takes none"),
        ((PowerSGD(1, 8), TopK(1)), "remembers one sum a round"),
        ((Plain(), PowerSGD(1, 8)), "behind the protocol nobody undoes it"),
    ],
)
def test_passes_that_nobody_could_run_are_refused(parts, text):
    with pytest.raises(CompositionError, match=text) as error:
        Pipeline(*parts)
    assert error.value.rule == "R33"
    assert len(error.value.parts) == 2


def test_a_wrapper_that_remembers_may_stand_before_one_of_several_passes():
    assert Pipeline(TopK(1), PowerSGD(1, 2)).multipass_at == 1

"""What parts remember: nothing is lost or counted twice, whatever happens to letters."""

import math
import random

import pytest
import torch

from parts_for_tests import (
    AdaptiveClip,
    CorrelatedNoise,
    FixedPoint,
    Halve,
    MaskedSum,
    PowerSGD,
    TopK,
)
from privfl import Pipeline
from privfl.core import ProtocolAbort, decode, encode
from privfl.parts import Grouped, Mean
from privfl.rounds import Round, dropping
from privfl.rounds._client import _enter
from privfl.rounds._envelope import Envelope, fields
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

EXACT = FixedPoint(bits=40)  # holds multiples of 2^-10 that were halved thirty times


class Bank:
    """Run rounds by hand and keep books: what was owed, what was released, what is kept.

    Every client is owed its update whenever it computed one; what the releases hold and what the
    clients keep must add up to that.
    """

    def __init__(self, line, n, d):
        self.line, self.state = line, None
        self.clients = Clients(line, torch.zeros(n, d, dtype=torch.float64))
        self.owed = torch.zeros(d, dtype=torch.float64)
        self.released = torch.zeros(d, dtype=torch.float64)
        self.number = 0

    def round(self, wrap):
        self.number += 1
        n, d = len(self.clients.names), len(self.owed)
        self.clients.updates = dict(enumerate(whole_numbers(n, d, self.number)))
        self.clients.asked = []
        public = {} if self.state is None else self.state["public"]
        opening = opened(self.line, self.clients, round=self.number, public=public)
        try:
            release = through_bytes(
                Round.open(self.line, opening, self.state), wrap(self.clients.wire())
            )
        except ProtocolAbort:
            release = None
        for who in self.clients.asked:
            self.owed += self.clients.updates[who]
        if release is not None:
            self.state = decode(encode(release.state))
            self.released += release.update * len(release.survivors)
        return release

    def kept(self, k=0):
        """What wrapper ``k`` of every client keeps, once it has heard how it was counted."""
        self.settle()
        return sum(fields(self.clients.memory(who)["parts"])[k] for who in self.clients.names)

    def settle(self):
        """Open a round of which everybody hears, and which then goes no further."""
        public = {} if self.state is None else self.state["public"]
        opening = opened(self.line, self.clients, round=self.number + 1, public=public)
        for who, letter in Round.open(self.line, opening, self.state).letters.items():
            entered = _enter(self.line, who, Envelope.read(letter), self.clients.memory(who))
            self.clients.kept[who] = encode(entered)


def lossy(seed, loss):
    """Lose letters and replies of any stage at random, each on its own."""
    rng = random.Random(seed)

    def wrap(wire):
        def deliver(letters):
            sent = {who: letter for who, letter in letters.items() if rng.random() > loss}
            for who, reply in wire(sent):
                if rng.random() > loss:
                    yield who, reply

        return deliver

    return wrap


def close(a, b):
    return torch.allclose(torch.as_tensor(a), torch.as_tensor(b), rtol=0, atol=1e-9)


@pytest.mark.parametrize("loss", [0.0, 0.2, 0.6])
@pytest.mark.parametrize(
    "line",
    [
        Pipeline(TopK(2)),
        Pipeline(Halve(), EXACT, MaskedSum(3)),
        Pipeline(Halve(), EXACT, Grouped(MaskedSum(2), size=2)),
    ],
    ids=repr,
)
def test_error_feedback_conserves_through_lost_letters_replies_and_rounds(line, loss):
    bank = Bank(line, 4, 6)
    outcomes = [
        bank.round(lossy(seed, loss / (1 + len(line.protocol.stages)))) for seed in range(25)
    ]
    assert any(outcomes)
    assert close(bank.released + bank.kept(), bank.owed)


def test_a_client_that_missed_the_round_after_it_was_counted_still_learns_that_it_was():
    """The letters of a round between are lost on their way: what counts is the last one counted."""
    bank = Bank(Pipeline(TopK(2)), 3, 6)
    bank.round(lambda wire: wire)
    for _ in range(2):
        bank.round(lambda wire: dropping(wire, {1: "upload"}, ("upload",)))
    assert close(bank.released + bank.kept(), bank.owed)


def test_a_client_whose_reply_was_lost_counts_as_not_counted():
    def lost(wire):
        return lambda letters: (pair for pair in wire(letters) if pair[0] != 1)

    bank = Bank(Pipeline(TopK(2)), 3, 6)
    bank.round(lambda wire: wire)
    bank.round(lost)
    assert close(bank.released + bank.kept(), bank.owed)
    whole = bank.clients.updates[1] + whole_numbers(3, 6, 1)[1]
    sent_first = whole_numbers(3, 6, 1)[1].abs().topk(2).indices
    whole[sent_first] -= whole_numbers(3, 6, 1)[1][sent_first]
    assert close(fields(bank.clients.memory(1)["parts"])[0], whole)


def test_an_aborted_round_keeps_everything_for_the_next():
    bank = Bank(Pipeline(Halve(), EXACT, MaskedSum(3)), 4, 6)
    bank.round(lambda wire: wire)
    assert (
        bank.round(lambda wire: dropping(wire, {0: "unmask", 1: "unmask"}, MaskedSum.stages))
        is None
    )
    assert close(bank.released + bank.kept(), bank.owed)


def test_who_is_gone_after_the_mask_is_counted():
    bank = Bank(Pipeline(Halve(), EXACT, MaskedSum(3)), 4, 6)
    release = bank.round(lambda wire: dropping(wire, {0: "unmask"}, MaskedSum.stages))
    assert 0 in release.survivors
    assert close(bank.released + bank.kept(), bank.owed)


def test_the_matrix_keeps_residuals_in_the_state():
    shield, updates = Pipeline(TopK(1)), torch.tensor([[3.0, 1.0]])
    first = shield.aggregate(updates)
    second = shield.aggregate(updates, state=first.state)
    assert first.update.tolist() == [3, 0]
    assert second.update.tolist() == [3, 0]  # the residual is (0, 1), and 3 is still above 2
    third = shield.aggregate(torch.zeros(1, 2), state=second.state)
    assert third.update.tolist() == [0, 2]


def test_a_state_can_be_kept_as_bytes_and_branches_do_not_touch_each_other():
    shield, updates = Pipeline(TopK(1)), torch.tensor([[3.0, 1.0]])
    first = shield.aggregate(updates)
    copied = decode(encode(first.state))
    shield.aggregate(updates * 5, state=first.state)
    a = shield.aggregate(torch.zeros(1, 2), state=first.state)
    b = shield.aggregate(torch.zeros(1, 2), state=copied)
    assert a.update.tolist() == b.update.tolist() == [0, 1]


def test_a_state_of_another_pipeline_is_refused():
    state = Pipeline(TopK(1)).aggregate(torch.ones(2, 3)).state
    with pytest.raises(ValueError, match=r"a round of this pipeline.*Start with state=None"):
        Pipeline(TopK(2)).aggregate(torch.ones(2, 3), state=state)


def test_a_client_that_keeps_the_state_of_another_pipeline_aborts():
    before = Pipeline(TopK(1))
    clients = Clients(before, torch.ones(1, 3))
    through_bytes(Round.open(before, opened(before, clients)), clients.wire())
    clients.line = Pipeline(TopK(2))
    letters = Round.open(clients.line, opened(clients.line, clients)).letters
    with pytest.raises(ProtocolAbort, match="belongs to another pipeline"):
        clients.answer(0, letters[0])


# public state


@pytest.mark.parametrize(("start", "protocol"), [(1e-2, ()), (1e2, ()), (1e2, (MaskedSum(6),))])
def test_an_adaptive_clip_finds_the_median_from_far_below_and_above(start, protocol):
    """Ten norms spread evenly from .5 to 1.5: half of them are below anything in (.94, 1.06)."""
    shield, state = Pipeline(AdaptiveClip(start, rate=0.4), *protocol), None
    generator = torch.Generator().manual_seed(0)
    norms = torch.linspace(0.5, 1.5, 10)[:, None]
    found = []
    for _ in range(40):
        updates = torch.randn(10, 4, generator=generator)
        updates = updates / updates.norm(dim=1, keepdim=True) * norms
        state = shield.aggregate(updates, state=state).state
        found.append(state["public"][0])
    assert all(0.85 < norm < 1.15 for norm in found[-10:])
    first = math.exp(0.4 * (0.5 if start < 1 else -0.5))  # nobody, or everybody, is below it
    assert found[0] / start == pytest.approx(first)


def test_both_sides_plan_each_round_anew():
    """The bound in the plan is this round's; one that was planned once runs away."""
    shield, updates = Pipeline(AdaptiveClip(1.0)), torch.full((4, 1), 9.0)
    state = None
    for _ in range(3):
        release = shield.aggregate(updates, state=state)
        norm = 1.0 if state is None else state["public"][0]
        assert float(release.update) == pytest.approx(norm)
        state = release.state
    assert norm == pytest.approx(math.exp(0.2))


def test_start_is_the_state_before_the_first_round():
    shield = Pipeline(AdaptiveClip(0.25))
    state = shield.start(n_clients=3, dim=2)
    assert state["public"] == {0: 0.25}
    a = shield.aggregate(torch.ones(3, 2), state=state, nonce=bytes(16))
    b = shield.aggregate(torch.ones(3, 2), nonce=bytes(16))
    assert torch.equal(a.update, b.update)
    assert a.state["round"] == 1


# the server's own state


def test_the_server_takes_back_noise_that_it_added():
    """std .25 with decay .9: the sum over T rounds has variance .25^2 (1 + (T-1) .1^2)."""
    shield, state, total = Pipeline(Mean(), CorrelatedNoise(0.25)), None, 0.0
    zeros = torch.zeros(4, 3000, dtype=torch.float64)
    for _ in range(60):
        release = shield.aggregate(zeros, state=state)
        state, total = decode(encode(release.state)), total + release.update
    drawn = state["private"][shield.aggregator_at + 1]
    # 3,000 coordinates: 8 standard errors are 10 %, a false alarm in 10^15
    assert float(drawn.std()) == pytest.approx(0.25, rel=0.1)
    assert float(total.std()) == pytest.approx(0.25 * math.sqrt(1.59), rel=0.1)


def test_what_remembers_is_told_apart():
    assert not Pipeline().has_memory
    assert not Pipeline(MaskedSum(2)).has_memory
    for parts in ((TopK(1),), (AdaptiveClip(),), (Mean(), CorrelatedNoise(1.0)), (PowerSGD(1, 2),)):
        assert Pipeline(*parts).has_memory
    assert Pipeline(TopK(1)).remembers
    assert not Pipeline(AdaptiveClip()).remembers

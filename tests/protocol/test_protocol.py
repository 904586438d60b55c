"""Each lie of a server reads a twin that lacks one line of defence, and not the real protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from parts_for_tests import FixedPoint, PowerSGD
from privfl import Pipeline
from privfl.attacks.protocol import (
    AskedTwice,
    Collusion,
    DoubleUnmasking,
    ExtraPass,
    Isolation,
    LateWord,
    MaliciousServer,
    PaddedQuorum,
    RepeatedMasks,
    ShrunkPass,
    SplitEdges,
    SplitSurvivors,
    SwappedKeys,
    TwoModels,
)
from privfl.attacks.protocol._conversation import Conversation
from privfl.attacks.protocol._steps import Steps
from privfl.core import ProtocolAbort
from privfl.core._masking_letters import Sign, Unmask
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.defenses.masking._client import ClientSide
from privfl.rounds import respond
from protocol.weak_twins import (
    AnswersAgain,
    CountsSignatures,
    FewShares,
    HalfThreshold,
    LastingKeys,
    NoEdges,
    NoNeighbors,
    NoPeers,
    NoQuorum,
    NoRegistry,
    NoSelfMask,
    SignedBySomebody,
    ThresholdOfTwo,
    Weak,
    weak,
)
from rounds_for_tests import Clients, envelope, opened, whole_numbers

D, STEPS, VICTIM = 8, 1024, 1
SPARSE = {"neighbors": 8, "corrupt": 0.0, "dropout": 0.0}


class Round:
    """Clients of one pipeline, whose vectors are whole numbers of steps."""

    def __init__(self, part, n, clients=Clients, before=()):
        self.line = Pipeline(*before, Clip(100.0), FixedPoint(bits=10), part)
        self.updates = whole_numbers(n, D)
        self.clients = clients(self.line, self.updates)
        self.vector = (self.updates[VICTIM] * STEPS).long()

    def keys(self, *who):
        return {each: self.clients.keys[each] for each in who}

    @property
    def answers(self):
        return {who: partial(self.clients.answer, who) for who in self.clients.names}

    def opening(self, model=b"m", **options):
        return opened(self.line, self.clients, model=model, **options)

    def run(self, attack, **options):
        return attack.run(self.line, self.answers, self.opening(**options), VICTIM)

    def masked(self):
        """A conversation in which all vectors have come."""
        steps = Steps(Conversation(self.line, self.answers, self.opening()))
        steps.masked()
        return steps


def is_noise(guess, round_):
    """Whether a guess is far from the vector in some coordinate.

    In a ring of 21 bits uniform noise is within 64 of a number with a chance of 129 / 2^21, in
    eight coordinates with one of 2^-111.
    """
    return guess is None or bool((guess - round_.vector).abs().max() > 64)


@dataclass(frozen=True)
class Lie:
    """An attack, the twin that it reads, and who stops it, with which words (None: no abort)."""

    attack: Callable[[Round], MaliciousServer]
    twin: SecAgg
    stopped: tuple[tuple[SecAgg, str | None], ...]
    n: int = 6


def sparse(attack, client, words, real=None, more=()):
    """A lie on a drawn graph, where the twin has also a threshold that two halves reach.

    That alone does not help it: the check that the twin lacks stops it. In the real protocol both
    stand, and ``real`` are the words of the first. ``more`` stand where another check is missing.
    """
    low, safe = weak(ClientSide, HalfThreshold, **SPARSE), SecAgg(**SPARSE)
    stopped = ((low, words), (safe, real or words), *more)
    return Lie(attack, weak(client, HalfThreshold, **SPARSE), stopped, n=30)


def real(words=None, **numbers):
    return ((SecAgg(**numbers), words),)


def colluding(*who):
    return lambda round_: Collusion(round_.keys(*who))


LIES = {
    "a second question": Lie(
        lambda _: DoubleUnmasking(), weak(AnswersAgain), real("after the last one of a sum")
    ),
    "a late word": Lie(lambda _: LateWord(), weak(NoSelfMask), real()),
    "made-up keys": Lie(lambda _: SwappedKeys(), weak(NoRegistry), real("did not sign these keys")),
    "a corrupt client's keys for all": Lie(
        lambda round_: SwappedKeys(round_.clients.keys[4]),
        weak(SignedBySomebody),
        real("did not sign these keys"),
    ),
    "three corrupt of six, one below the threshold": Lie(
        colluding(2, 4, 5), weak(FewShares), real()
    ),
    "two survivor sets": sparse(
        lambda _: SplitSurvivors(), NoQuorum, "signed who is counted, 16 are needed"
    ),
    "two survivor sets, one signature repeated": sparse(
        lambda _: PaddedQuorum(), CountsSignatures, "did not sign the survivors"
    ),
    "dead neighbours only": sparse(
        lambda _: SplitEdges(),
        NoEdges,
        "were told different things of each other",
        "4 neighbours are left at share, 6 are needed",
    ),
    "corrupt neighbours only": sparse(
        lambda round_: Isolation(round_.keys(3, 4, 5)),
        NoNeighbors,
        "3 neighbours are left at share, 4 are needed",
        "3 neighbours are left at share, 6 are needed",
        ((weak(NoPeers, HalfThreshold, **SPARSE), "were told different things of each other"),),
    ),
    "a cohort of one and two corrupt ones": Lie(
        lambda round_: Isolation(round_.keys(4, 5), at="advertise"),
        ThresholdOfTwo(),
        real("3 clients are left at advertise, 4 are needed"),
    ),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_reads_a_twin_that_lacks_the_defence(lie):
    round_ = Round(lie.twin, lie.n)
    assert torch.equal(round_.run(lie.attack(round_)).guess, round_.vector)


STOPPED = [(name, part, words) for name, lie in LIES.items() for part, words in lie.stopped]


@pytest.mark.parametrize(("name", "part", "words"), STOPPED, ids=[name for name, *_ in STOPPED])
def test_a_lie_gives_noise_or_nothing_against_the_defence(name, part, words):
    round_ = Round(part, LIES[name].n)
    outcome = round_.run(LIES[name].attack(round_))
    assert is_noise(outcome.guess, round_)
    if words is None:
        assert outcome.refused == {}
    else:
        assert any(words in reason for reason in outcome.refused.values())


# What a client remembers between rounds


class Forgetful(Clients):
    """Clients that forget each session when the next one is opened."""

    def answer(self, who, letter, generator=None):
        if envelope(letter).opening is not None:
            self.kept.pop(who, None)
        return super().answer(who, letter, generator)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (AskedTwice(), "contributed to a sum on this model before (R16)"),
        (AskedTwice(replay=True), "A session that was used before"),
    ],
)
def test_two_sums_on_one_model_give_an_update_unless_clients_remember(attack, words):
    forgetful = Round(SecAgg(), 6, Forgetful)
    assert torch.equal(forgetful.run(attack).guess, forgetful.vector)
    round_ = Round(SecAgg(), 6)
    outcome = round_.run(attack)
    assert outcome.guess is None
    assert all(words in reason for reason in outcome.refused.values())
    assert set(outcome.refused) == set(range(6))


def test_masks_that_outlive_a_round_cancel_in_a_difference():
    lasting, fresh = (Round(part, 6, TwoUpdates) for part in (weak(LastingKeys), SecAgg()))
    first, second = (TwoUpdates.of(lasting.updates[VICTIM], k) * STEPS for k in (0, 1))
    assert torch.equal(lasting.run(RepeatedMasks()).guess, (first - second).long())
    outcome = fresh.run(RepeatedMasks())
    assert (outcome.guess - (first - second).long()).abs().max() > 64
    assert outcome.refused == {}


class TwoUpdates(Clients):
    """Clients whose update is another in the second round."""

    @staticmethod
    def of(update, k):
        return update.flip(0) if k else update

    def update(self, who):
        x, scalars = super().update(who)
        return self.of(x, self.asked.count(who) - 1), scalars


POWER = PowerSGD(rank=1, height=2)
ROW = torch.tensor([[1.0], [0.0]]).double()  # projects on the first row of an update of two


def forged(round_):
    """What the server says that everybody knows, made up: to project on the first row."""
    at = round_.line.multipass_at
    public = opened(round_.line, round_.clients).public
    return {**public, at: {**public[at], "p": ROW}}


def first_row(round_):
    return round_.vector[: D // 2]


def test_masks_of_two_passes_never_cancel():
    for part in (weak(LastingKeys), SecAgg()):
        round_ = Round(part, 6, before=(POWER,))
        public = forged(round_)
        q = public[round_.line.multipass_at]["q"].double()
        rows = round_.updates[VICTIM].view(2, -1)
        first = torch.cat([(rows @ q).flatten() * STEPS, torch.zeros(2)]).round()
        difference = first.long() - first_row(round_)
        guess = round_.run(RepeatedMasks(across="passes"), public=public).guess
        assert torch.equal(guess, difference) == isinstance(part, Weak)


def test_a_pass_more_than_a_round_has_is_refused():
    round_ = Round(SecAgg(), 6, before=(POWER,))
    outcome = round_.run(ExtraPass(last=1), public=forged(round_))
    assert outcome.guess is None
    assert set(outcome.refused) == set(range(6)) - {VICTIM}


def test_an_opening_that_leaves_members_of_its_cohort_out_is_refused():
    round_ = Round(SecAgg(), 30)
    outcome = round_.run(Isolation(round_.keys(3, 4), at="open"))
    assert is_noise(outcome.guess, round_)
    assert set(outcome.refused) == {VICTIM}


def test_a_later_pass_with_fewer_members_is_as_safe_as_the_first():
    round_ = Round(SecAgg(), 30, before=(POWER,))
    corrupt = round_.keys(3, 4, 5)  # a tenth, as declared
    outcome = round_.run(ShrunkPass(corrupt), public=forged(round_))
    assert outcome.guess is None or not torch.equal(outcome.guess, first_row(round_))
    assert outcome.refused


# Two models


class Sent(Clients):
    """Clients with the model that each was sent: only the victim's teaches anything."""

    hashes: bool

    def update(self, who):
        x, scalars = super().update(who)
        return (x if who == VICTIM else torch.zeros_like(x)), scalars

    def answer(self, who, letter, generator=None):
        model = (b"live" if who == VICTIM else b"dead") if self.hashes else None
        reply, self.kept[who] = respond(
            self.line,
            who,
            letter,
            self.kept.get(who, b""),
            partial(self.update, who),
            identity=self.keys[who],
            registry=self.registry,
            model=model,
        )
        return reply


class Hashing(Sent):
    hashes = True


class Trusting(Sent):
    hashes = False


def test_a_model_of_its_own_shows_an_update_where_no_model_is_named():
    round_ = Round(SecAgg(), 6, Trusting)
    assert torch.equal(round_.run(TwoModels(), model=b"").guess, round_.vector)


def test_one_name_for_two_models_is_refused_by_whom_it_does_not_fit():
    outcome = Round(SecAgg(), 6, Hashing).run(TwoModels(), model=b"dead")
    assert outcome.guess is None
    assert "for another model than it sent" in outcome.refused[VICTIM]


def test_two_names_for_two_models_are_refused_by_everybody():
    outcome = Round(SecAgg(), 6, Hashing).run(TwoModels(shown=b"live"), model=b"dead")
    assert outcome.guess is None
    assert all("did not sign these keys" in reason for reason in outcome.refused.values())
    assert set(outcome.refused) == set(range(6))


# What no protocol stops


def test_a_threshold_of_corrupt_clients_reads_everybody():
    round_ = Round(SecAgg(), 6)
    threshold = round_.line.protocol.safety(6).threshold
    assert threshold == 4
    corrupt = [who for who in range(6) if who != VICTIM]
    for k in range(1, 6):
        again = Round(SecAgg(), 6)
        guess = again.run(Collusion(again.keys(*corrupt[:k]))).guess
        assert torch.equal(guess, again.vector) == (k >= threshold)


def test_a_trapped_model_for_all_shows_the_only_update_that_is_not_zero():
    round_ = Round(SecAgg(), 6, Trusting)
    outcome = round_.run(TwoModels(), model=b"the same for all")
    assert torch.equal(outcome.guess, round_.vector)
    assert outcome.refused == {}


# Lists that are none


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (b"\x7f", "A list of members in 1 bytes, of 6 members"),  # a seventh of six
        (b"\x3f\x00", "A list of members in 2 bytes, of 6 members"),
        (b"\x00", "0 clients are left at mask, 4 are needed"),
        (b"\x0e", "3 clients are left at mask, 4 are needed"),
        (b"\x3d", "The server says that I am gone"),
    ],
)
def test_a_list_of_survivors_that_does_not_fit_is_refused(bits, words):
    talk = Round(SecAgg(), 6).masked().talk
    talk.ask("unmask", {VICTIM: Sign(bits, b"")})
    assert words in talk.refused[VICTIM]


def test_a_survivor_who_never_sent_a_box_is_refused():
    round_ = Round(SecAgg(), 6)
    steps = Steps(Conversation(round_.line, round_.answers, round_.opening()))
    steps.advertise()
    steps.share(to=range(5))
    steps.mask()
    steps.sent[5] = steps.sent[0]  # the server has nothing of it, and shows something else
    steps.sign({VICTIM: frozenset(range(6))})
    assert "Client 5 did not sign with whom it masked" in steps.talk.refused[VICTIM]


@pytest.mark.parametrize(
    ("bits", "copies", "words"),
    [
        (b"\x0f", 3, "bytes in a letter"),
        (b"\x07", 4, "3 signed who is counted, 4 are needed"),
        (b"\x4f", 5, "A list of members in 1 bytes"),
        (b"\x2f", 5, "5 signed who is counted, 4 are needed"),  # the last one is gone
    ],
)
def test_a_list_of_signers_that_does_not_fit_is_refused(bits, copies, words):
    steps = Round(SecAgg(), 6).masked()
    talk = steps.talk
    signed = steps.sign(dict.fromkeys(range(5), frozenset(range(5))))
    talk.ask("unmask", {VICTIM: Unmask(bits, b"".join([signed[0]] * copies))})
    assert words in talk.refused[VICTIM]


@pytest.mark.parametrize("stage", ["advertise", "share", "mask"])
def test_a_letter_that_comes_twice_is_refused(stage):
    round_, heard = Round(SecAgg(), 6), {}

    def hearing(letter):
        heard.setdefault(envelope(letter).stage, letter)
        return round_.clients.answer(VICTIM, letter)

    answers = {**round_.answers, VICTIM: hearing}
    Steps(Conversation(round_.line, answers, round_.opening())).masked()
    with pytest.raises(ProtocolAbort):
        round_.clients.answer(VICTIM, heard[stage])

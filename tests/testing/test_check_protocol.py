"""Each law of a protocol is broken by some protocol: a law that cannot fail is none."""

import zlib
from dataclasses import dataclass, replace

import pytest
import torch

from parts_for_tests import ClientsOpen, MaskedSum
from privfl.core import CompositionError, ProtocolAbort, Rows, decode, encode
from privfl.defenses.masking import SecAgg
from privfl.parts import Grouped, Plain, SumProtocol, Turn
from privfl.testing import PROTOCOL_LAWS, check_protocol
from privfl.testing._card import examine
from privfl.testing._check_protocol import worlds


class Loose(SumProtocol):
    """Its parameters can change between rounds."""

    reply, collect, exchanges = Plain.reply, Plain.collect, Plain.exchanges


@dataclass(frozen=True)
class Changed(Plain):
    """Does something to the rows that the server has read."""

    def collect(self, replies, at):
        turn = super().collect(replies, at)
        return turn if turn.rows is None else replace(turn, rows=self.changed(turn.rows, at))


@dataclass(frozen=True)
class OneShort(Changed):
    """Counts all but the last who answers, as a loop does that stops too early."""

    def changed(self, rows, at):
        return rows.only(list(range(len(rows.members) - 1)))


@dataclass(frozen=True)
class CountsAbsent(Changed):
    """Takes those who are gone for zeros."""

    def changed(self, rows, at):
        sums = torch.zeros(len(at.cohort), rows.sums.shape[1]).to(rows.sums)
        sums[at.cohort.index(rows.survivors)] = rows.sums
        return Rows(sums, tuple((who,) for who in at.cohort.members))


@dataclass(frozen=True)
class LeavesMasks(MaskedSum):
    """Forgets what the survivors added for those who are gone."""

    def _after_mask(self, replies, kept, at):
        turn = super()._after_mask(replies, kept, at)
        who = turn.state["counted"]
        return self._next("unmask", (who, turn.state["gone"]), who, turn.state)

    def _after_unmask(self, replies, kept, at):
        answers = [(who, encode((decode(reply)[0], {}))) for who, reply in replies]
        return super()._after_unmask(answers, {**kept, "gone": ()}, at)


@dataclass(frozen=True)
class Objects(Plain):
    """Keeps an object between two letters, which no other process can go on with."""

    def collect(self, replies, at):
        turn = super().collect(replies, at)
        return replace(turn, state=object()) if turn.letters else turn


@dataclass(frozen=True)
class Sorted(Plain):
    """Merges replies as if they came in the order of the cohort."""

    def collect(self, replies, at):
        kept, last = [], -1
        for who, reply in replies:
            if who > last:
                kept.append((who, reply))
                last = who
        return super().collect(kept, at)


@dataclass(frozen=True)
class Raw(Plain):
    """Sends eight bytes a coordinate behind a word, and trusts what comes."""

    def reply(self, letter, vector, me, at):
        turn = super().reply(letter, vector, me, at)
        return Turn(b"v" + decode(turn.letters).double().numpy().tobytes())

    def collect(self, replies, at):
        read = [(who, encode(self.read(reply, at.plan.dim))) for who, reply in replies]
        return super().collect(read, at)


@dataclass(frozen=True)
class Padding(Raw):
    """Takes a vector that is cut for one that ends in zeros."""

    def read(self, reply, dim):
        data = reply[1:].ljust(8 * dim, b"\0")[: 8 * dim]
        return torch.frombuffer(bytearray(data), dtype=torch.float64)


@dataclass(frozen=True)
class Brittle(Raw):
    """Refuses other lengths, and looks up a word that it does not know."""

    def read(self, reply, dim):
        if len(reply) != 1 + 8 * dim:
            raise ProtocolAbort("another length")
        dtype = {b"v": torch.float64}[reply[:1]]
        return torch.frombuffer(bytearray(reply[1:]), dtype=dtype)


@dataclass(frozen=True)
class OnlySaysThatItSigns(MaskedSum):
    """Relays keys that nobody signed."""

    @property
    def signs(self):
        return True


@dataclass(frozen=True)
class Talkative(MaskedSum):
    """Advertises as often as it is asked."""

    def reply(self, letter, vector, me, at):
        if self._read(letter)[0] == "advertise":
            return self._advertise(None, {}, vector, me, at)
        return super().reply(letter, vector, me, at)


@dataclass(frozen=True)
class Bare(MaskedSum):
    """Says that the server sees a sum only, and forgets the masks."""

    def _mask(self, what, kept, vector, me, at):
        turn = super()._mask(what, kept, vector, me, at)
        return replace(turn, letters=encode(vector.now))

    def reply(self, letter, vector, me, at):
        return super().reply(letter, _Once(vector), me, at)

    def _after_unmask(self, replies, kept, at):
        list(replies)
        return Turn(rows=Rows(kept["total"][None], (kept["counted"],)))


class _Once:
    """Remember an update, which may be asked for once."""

    def __init__(self, vector):
        self.vector = vector

    def __call__(self):
        self.now = self.vector()
        return self.now


@dataclass(frozen=True)
class Boasting(Plain):
    """Says that two updates hide each other, and shows each."""

    def min_survivors(self, n):
        return 2


@dataclass(frozen=True)
class MoreRows(MaskedSum):
    """Says that there is a row for each client."""

    def n_rows(self, n):
        return n


@dataclass(frozen=True)
class Understated(Plain):
    """Forgets a byte of what it sends."""

    def exchanges(self, plan, cohort):
        return tuple(replace(x, up=x.up - 1) for x in super().exchanges(plan, cohort))


@dataclass(frozen=True)
class Compressing(Plain):
    """Sends fewer bytes where an update has more zeros."""

    def reply(self, letter, vector, me, at):
        return Turn(zlib.compress(super().reply(letter, vector, me, at).letters))

    def collect(self, replies, at):
        return super().collect([(who, zlib.decompress(reply)) for who, reply in replies], at)


BROKEN = [
    (Loose(), "it is a frozen dataclass"),
    (OneShort(), "without dropouts the release is everybody's mean"),
    (CountsAbsent(), "with dropouts it is the survivors' mean, or a ProtocolAbort"),
    (LeavesMasks(2), "with dropouts it is the survivors' mean, or a ProtocolAbort"),
    (Objects(), "both sides go on from bytes between any two letters"),
    (Sorted(), "the order of replies does not matter"),
    (Padding(), "a malformed letter is refused by name, or ends the round"),
    (Brittle(), "a flipped bit raises nothing but a ProtocolAbort"),
    (OnlySaysThatItSigns(2), "a flipped bit changes no sum, but in its sender's own vector"),
    (Talkative(2), "a client refuses a letter that it has answered"),
    (Bare(2), "a hidden update is never the same letter twice"),
    (Boasting(), "rows and survivors are as many as it says"),
    (MoreRows(2), "rows and survivors are as many as it says"),
    (Understated(), "a round takes the bytes that the plan says"),
    (Compressing(), "the length of letters tells nothing of the updates"),
]
LAWS = {law.says: law for law in PROTOCOL_LAWS}
FIRST = "without dropouts the release is everybody's mean"


def named(value):
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("part", "law"), BROKEN, ids=named)
def test_a_broken_protocol_breaks_its_law(part, law):
    card = examine(part, [LAWS[law]], worlds(part))
    assert not card.passed, str(card)


@pytest.mark.parametrize(("part", "law"), [x for x in BROKEN if x[1] != FIRST], ids=named)
def test_a_broken_protocol_gives_the_right_mean_all_the_same(part, law):
    """Else its law would not be needed to find it."""
    card = examine(part, [LAWS[FIRST]], worlds(part))
    assert card.passed, str(card)


def test_every_law_has_a_protocol_that_breaks_it():
    assert {law for _, law in BROKEN} == set(LAWS)


@pytest.mark.parametrize(
    "part",
    [Plain(), Grouped(Plain(), size=2), MaskedSum(2), SecAgg(), Grouped(SecAgg(), size=2)],
    ids=repr,
)
def test_the_product_s_own_protocols_pass(part):
    card = check_protocol(part)
    assert card.passed, str(card)


def test_laws_that_are_not_claimed_are_listed():
    text = str(check_protocol(Plain()))
    assert "not claimed a hidden update is never the same letter twice" in text
    assert "not claimed a flipped bit changes no sum" in text


def test_the_witness_says_which_letter_it_was():
    card = examine(
        Padding(),
        [LAWS["a malformed letter is refused by name, or ends the round"]],
        worlds(Padding()),
    )
    (failure,) = card.failures
    assert failure.witness.startswith(
        "the letter to the server in exchange 0 cut to nothing: the release is"
    )


def test_a_protocol_that_fits_nowhere_is_refused_as_its_pipeline_would():
    @dataclass(frozen=True)
    class Homeless(Plain):
        def check(self, given):
            raise CompositionError("R33", (self,), "Homeless() stands nowhere", "Drop it")

    with pytest.raises(CompositionError, match="stands nowhere"):
        check_protocol(Homeless())


def test_a_protocol_that_clients_open_is_refused():
    with pytest.raises(ValueError, match=r"must be opened by the server\. Found by clients"):
        check_protocol(ClientsOpen())

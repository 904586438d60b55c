"""The client's half: what it refuses, and what it keeps."""

import inspect
from dataclasses import replace

import pytest
import torch

from parts_for_tests import MaskedSum
from privfl import Pipeline
from privfl.core import Cohort, ProtocolAbort, Scalar, encode
from privfl.crypto import Stream
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.robust import Krum
from privfl.parts import Plain, Turn
from privfl.rounds import Round, respond
from privfl.rounds._envelope import Envelope
from rounds_for_tests import Clients, first_letters, opened, through_bytes

LINE = Pipeline(Clip(1.0), LocalGaussianNoise(0.1))


def clients(line=LINE, n=3, d=4):
    return Clients(line, torch.ones(n, d))


def letter_of(opening, **changes):
    """A first letter whose session fits its opening, however odd that is."""
    envelope = Envelope(opening.session, "upload", encode("upload"), opening.to_state())
    return replace(envelope, **changes).to_bytes()


def test_a_replayed_opening_is_refused():
    half = clients()
    letter = first_letters(LINE, half)[0]
    half.answer(0, letter)
    with pytest.raises(ProtocolAbort, match="A session that was used before"):
        half.answer(0, letter)
    assert half.asked == [0]


def test_a_replayed_opening_is_refused_after_other_rounds():
    half = clients()
    old = first_letters(LINE, half)[0]
    for letter in (old, first_letters(LINE, half)[0], first_letters(LINE, half)[0]):
        half.answer(0, letter)
    with pytest.raises(ProtocolAbort, match="used before"):
        half.answer(0, old)


def test_an_update_is_sent_once_a_session():
    """Asked again in the same session, fresh noise on one update would be averaged away."""
    half = clients()
    letter = first_letters(LINE, half)[0]
    half.answer(0, letter)
    again = Envelope(Envelope.read(letter).session, "upload", encode("upload")).to_bytes()
    with pytest.raises(ProtocolAbort, match="A second letter that asks for the update"):
        half.answer(0, again)
    assert half.asked == [0]


def test_a_server_of_another_pipeline_is_refused():
    for other in (
        Pipeline(Clip(2.0), LocalGaussianNoise(0.1)),
        Pipeline(Clip(1.0)),
        Pipeline(Clip(1.0), LocalGaussianNoise(0.1), accepting="uniform_weights"),
    ):
        with pytest.raises(ProtocolAbort, match="another pipeline than this client"):
            clients().answer(0, first_letters(other, clients(other))[0])


def test_a_client_that_is_not_in_the_cohort_refuses():
    half = clients()
    opening = opened(LINE, half, members=Cohort.of(["a", "b"]))
    with pytest.raises(ProtocolAbort, match="not in"):
        half.answer(0, letter_of(opening))


def test_a_letter_without_a_round_is_refused():
    with pytest.raises(ProtocolAbort, match="never opened"):
        clients().answer(0, Envelope(bytes(32), "upload", b"").to_bytes())


def test_a_letter_of_another_session_is_refused():
    half = clients()
    letter = Envelope.read(first_letters(LINE, half)[0])
    with pytest.raises(ProtocolAbort, match="another session"):
        half.answer(0, replace(letter, session=bytes(32)).to_bytes())
    half.answer(0, letter.to_bytes())
    with pytest.raises(ProtocolAbort, match="another session"):
        half.answer(0, Envelope(bytes(32), "upload", encode("upload")).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "text"},
        {"body": 0},
        {"body": -1},
        {"body": True},
        {"body": "4"},
        {"statistics": -1},
        {"round": -1},
        {"round": None},
        {"pass_index": -1},
        {"nonce": b"short"},
        {"nonce": None},
        {"model": "text"},
        {"present": ()},
        {"present": (0, 0.5)},
        {"present": [0]},
        {"public": None},
        {"scalars": (("a", -1.0, 1.0),)},
        {"scalars": (("a", "b", "c"),)},
        {"scalars": 3},
        {"cohort": None},
        {"cohort": ((), None, None)},
        {"cohort": ((0, 1, 2), (1.0,), None)},
        {"cohort": ((0, 1, 2), ("a", "b", "c"), None)},
        {"cohort": ((0, 1, 2), None, torch.ones(3, 9).bool())},
        {"cohort": ((0, 1, 2), None, torch.ones(3, 4))},
        {"cohort": (0, None, None)},
    ],
    ids=str,
)
def test_an_opening_that_is_none_is_refused(change):
    half = clients()
    names = ["fingerprint", "cohort", "present", "sizes", "scalars", "rounds", "model", "nonce"]
    state = dict(zip([*names, "public"], opened(LINE, half).to_state(), strict=True))
    pairs = {"body": ("sizes", 0), "statistics": ("sizes", 1), "round": ("rounds", 0)}
    pairs["pass_index"] = ("rounds", 1)
    ((name, value),) = change.items()
    if name in pairs:
        place, k = pairs[name]
        old = list(state[place])
        old[k] = value
        state[place] = tuple(old)
    else:
        state[name] = value
    opening = tuple(tuple(v) if isinstance(v, list) else v for v in state.values())
    if change == {"present": [0]}:
        opening = (*opening[:2], {"a": 0}, *opening[3:])
    with pytest.raises(ProtocolAbort):
        half.answer(0, Envelope(bytes(32), "upload", encode("upload"), opening).to_bytes())
    assert half.asked == []


@pytest.mark.parametrize("opening", [(), (1,) * 9, 3, "text", {"nonce": bytes(16)}], ids=str)
def test_an_opening_of_another_shape_is_refused(opening):
    with pytest.raises(ProtocolAbort):
        clients().answer(0, Envelope(bytes(32), "upload", b"", opening).to_bytes())


def test_an_opening_that_the_pipeline_cannot_plan_is_refused():
    """A server's numbers: too few clients for the rule, and running statistics under noise."""
    krum = Pipeline(Krum(n_byzantine=2))
    half = clients(krum, n=7)
    opening = opened(krum, half)
    few = replace(opening, cohort=Cohort.of(3), present=(0, 1, 2))
    with pytest.raises(ProtocolAbort, match="cannot plan"):
        half.answer(0, letter_of(few))
    noised = clients()
    with pytest.raises(ProtocolAbort, match="cannot plan"):
        noised.answer(0, letter_of(replace(opened(LINE, noised), statistics=2)))
    doubled = (Scalar("a", 1.0), Scalar("a", 1.0))
    scalars = replace(opened(LINE, noised), scalars=doubled)
    with pytest.raises(ProtocolAbort, match="cannot plan"):
        noised.answer(0, letter_of(scalars))


@pytest.mark.parametrize("letter", [b"", b"garbage", encode(3), encode((b"", b"", "a", None))])
def test_a_letter_that_is_no_envelope_is_refused(letter):
    with pytest.raises(ProtocolAbort):
        clients().answer(0, letter)


@pytest.mark.parametrize("kept", [b"garbage", encode(3), encode(())])
def test_what_a_client_keeps_is_its_own_bytes(kept):
    half = clients()
    half.kept[0] = kept
    with pytest.raises(ProtocolAbort):
        half.answer(0, first_letters(LINE, half)[0])


def test_a_letter_out_of_turn_is_refused():
    line = Pipeline(MaskedSum(2))
    half = clients(line)
    letter = Envelope.read(first_letters(line, half)[0])
    out_of_turn = replace(letter, letter=encode(("mask", {})), stage="mask")
    with pytest.raises(ProtocolAbort, match="out of turn"):
        half.answer(0, out_of_turn.to_bytes())


def test_plain_uploads_for_nothing_but_an_upload():
    half = clients()
    letter = Envelope.read(first_letters(LINE, half)[0])
    with pytest.raises(ProtocolAbort, match="asks for no upload"):
        half.answer(0, replace(letter, letter=encode("download")).to_bytes())
    assert half.asked == []


@pytest.mark.parametrize(
    ("update", "text"),
    [
        (torch.ones(3), r"shape \(4,\). Found shape \(3,\)"),
        (torch.ones(4, 1), r"shape \(4,\). Found shape \(4, 1\)"),
        (torch.ones(4).long(), "Found shape .* of torch.int64"),
    ],
)
def test_an_update_of_another_shape_is_the_callers_mistake(update, text):
    half = clients()
    letters = first_letters(LINE, half)
    half.updates[0] = update
    with pytest.raises(ValueError, match=text):
        half.answer(0, letters[0])


def test_a_missing_scalar_is_named():
    half = clients()
    letters = first_letters(LINE, half, scalars=(Scalar("loss", 1.0),))
    with pytest.raises(ValueError, match=r"scalars must hold \['loss'\]. Found nothing for"):
        half.answer(0, letters[0])


def test_a_failed_turn_changes_nothing_that_is_kept():
    half = clients()
    first = first_letters(LINE, half)[0]
    half.answer(0, first)
    kept = half.kept[0]
    with pytest.raises(ProtocolAbort):
        half.answer(0, first)
    assert half.kept[0] == kept


def test_the_update_is_weighed_and_its_foreign_coordinates_are_cleared():
    line = Pipeline()
    half = clients(line)
    owners = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 1, 1]]).bool()
    cohort = Cohort((0, 1, 2), (1.0, 0.5, 2.0), owners)
    release = through_bytes(Round.open(line, opened(line, half, members=cohort)), half.wire())
    sums = release.opened.sums
    assert sums.tolist() == [[1, 1, 0, 0], [0.5, 0, 0, 0.5], [2, 2, 2, 2]]
    assert release.update.tolist() == [1, 1, 1, 1]
    assert half.updates[0].tolist() == [1, 1, 1, 1]


def test_noise_is_fresh_for_every_session_and_every_client_of_one_source():
    source = Stream.replay(3)
    drawn = []
    for _ in range(2):
        half = clients()
        letters = first_letters(LINE, half)
        drawn += [half.answer(who, letters[who], source) for who in (0, 1)]
    vectors = {Envelope.read(reply).letter for reply in drawn}
    assert len(vectors) == 4


def test_two_exchanges_of_one_stage_do_not_draw_alike():
    """A protocol may ask twice in a stage: what it draws then is another key stream."""
    drawn = []

    class Spy(Plain):
        def reply(self, letter, vector, me, at):
            drawn.append(at.generator.bytes(16))
            return Turn(b"", "again")

    line = Pipeline(Spy())
    half = clients(line)
    letter = Envelope.read(first_letters(line, half)[0])
    for opening in (letter.opening, None):
        half.answer(0, replace(letter, opening=opening).to_bytes(), Stream.replay(1))
    assert len(set(drawn)) == 2


def test_there_is_no_client_object():
    assert inspect.isfunction(respond)
    half = clients()
    reply, kept = respond(LINE, 0, first_letters(LINE, half)[0], b"", lambda: half.update(0))
    assert isinstance(reply, bytes)
    assert isinstance(kept, bytes)

"""What does not fit is answered by an error or left out, and the others' sum stays exact."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg
from hypothesis import given, settings
from hypothesis import strategies as st

from flower.apps_for_tests import Keys, WatchedGrid, guarded_app, ready, record, stage_of
from privfl import Pipeline
from privfl.core import ProtocolAbort, Scalar, decode, encode
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.flower import Reason, RoundReport
from privfl.flower._introduction import introduce
from privfl.flower._letters import RECORD, Ask, answer, answered, without_ask
from privfl.parts import Mean

N, BAD = 4, 2  # four nodes, the second of which meets what does not fit
KEYS = Keys(N)
ROWS = np.array([[0.5, 0.0, -0.25], [0.125, 0.5, 0.25], [-0.5, 0.25, 0.0], [0.25, -0.5, 0.5]])
UPDATES = [{"w": row} for row in ROWS]
ALL, OTHERS = ROWS.mean(axis=0), np.delete(ROWS, BAD - 1, axis=0).mean(axis=0)
PLAIN = Pipeline(Clip(4.0), Mean())
MASKED = Pipeline(Clip(4.0), SecAgg())
ROUNDING = 4.0 * 2.0**-14  # of 16 bits over the clip norm


def set_up(shield, *, ask=None, reply=None, **options):
    signs = shield.protocol.signs
    app = guarded_app(shield, UPDATES, keys=KEYS if signs else None, losses=[1.0] * N)
    guarding = {"registry": KEYS.registry} if signs else {}
    return ready(shield, app, N, ask=ask, reply=reply, **guarding, **options)


def run(shield, *, rounds=1, **hooks):
    return set_up(shield, **hooks).start(zeros(), rounds=rounds)


def zeros():
    return record(w=np.zeros(3))


def bad_name(shield):
    return KEYS.names[BAD - 1] if shield.protocol.signs else BAD


def only_bad(change, stage=None):
    """Apply ``change`` to what node 2 is sent, or to what it says, in one stage or in all."""

    def hook(message, answer=None):
        if message.metadata.dst_node_id != BAD or stage not in (None, stage_of(message)):
            return message if answer is None else answer
        return change(message) if answer is None else change(message, answer)

    return hook


def with_head(message, *head):
    content = RecordDict(dict(message.content))
    old = content[RECORD]
    head = head[0] if isinstance(head[0], bytes) else encode(head)
    content[RECORD] = ArrayRecord({**old, "head": Array("uint8", (len(head),), RECORD, head)})
    message.content = content
    return message


def with_ask(message, **changes):
    message.content = replace(Ask.of(message), **changes).into(without_ask(message.content))
    return message


def with_letter(message, change):
    return with_ask(message, letter=change(Ask.of(message).letter))


def head_of(message):
    ask = Ask.of(message)
    return 1, ask.kind, ask.me, ask.pipeline, ask.weighted_by


def other_model(message):
    message.content = RecordDict({**message.content, "arrays": record(w=np.ones(3))})
    return message


def no_model(message):
    message.content = RecordDict({RECORD: message.content[RECORD]})
    return message


def two_models(message):
    message.content = RecordDict({**message.content, "more": zeros()})
    return message


def no_record(message):
    message.content = without_ask(message.content)
    return message


def other_record(message):
    message.content = RecordDict({**message.content, RECORD: MetricRecord({"head": 1})})
    return message


ASKED = {
    "head of another version": lambda m: with_head(m, 2, *head_of(m)[1:]),
    "head without a version": lambda m: with_head(m, encode(())),
    "head of more": lambda m: with_head(m, *head_of(m), "more"),
    "head of less": lambda m: with_head(m, *head_of(m)[:-1]),
    "head of another kind": lambda m: with_head(m, 1, "steal", *head_of(m)[2:]),
    "head whose name is bytes": lambda m: with_head(m, 1, "train", b"c1", *head_of(m)[3:]),
    "head that is no head": lambda m: with_head(m, b"PFL and nothing"),
    "head that is empty": lambda m: with_head(m, b""),
    "head of a megabyte": lambda m: with_head(m, 1, "train", BAD, "x" * (1 << 20), ""),
    "letter of another version": lambda m: with_letter(m, lambda x: x[:3] + b"\2" + x[4:]),
    "letter of another magic": lambda m: with_letter(m, lambda x: b"PFM" + x[3:]),
    "letter without its end": lambda m: with_letter(m, lambda x: x[:-1]),
    "half a letter": lambda m: with_letter(m, lambda x: x[: len(x) // 2]),
    "a letter's head": lambda m: with_letter(m, lambda x: x[:8]),
    "no letter": lambda m: with_letter(m, lambda x: b""),
    "letter with one byte more": lambda m: with_letter(m, lambda x: x + b"\0"),
    "letter with a megabyte more": lambda m: with_letter(m, lambda x: x + bytes(1 << 20)),
    "letter of another value": lambda m: with_letter(m, lambda x: encode("upload")),
    "letter of an unknown stage": lambda m: with_letter(
        m, lambda x: encode((lambda v: (v[0], v[1], "steal", *v[3:]))(decode(x)))
    ),
    "letter of another session": lambda m: with_letter(
        m, lambda x: encode((lambda v: (v[0], bytes(32), *v[2:]))(decode(x)))
    ),
    "letter to somebody else": lambda m: with_ask(m, me=3 if Ask.of(m).me == BAD else "c2"),
    "letter to nobody": lambda m: with_ask(m, me=99),
    "letter about evaluation": lambda m: with_ask(m, kind="evaluate"),
    "message of another type": lambda m: retyped(m, "evaluate"),
    "another model": other_model,
    "no model": no_model,
    "two models": two_models,
    "no record of ours": no_record,
    "a record of ours of another kind": other_record,
}


def retyped(message, kind):
    about = message.metadata
    return Message(message.content, about.dst_node_id, kind, group_id=about.group_id)


@pytest.mark.parametrize("what", ASKED)
def test_a_client_that_is_sent_what_does_not_fit_answers_by_an_error_and_drops_out(what):
    done = run(PLAIN, ask=only_bad(ASKED[what]))
    (said,) = [x for x in done.grid.answered if x.metadata.src_node_id == BAD]
    assert said.has_error()
    assert said.error.code in list(Reason)
    assert done.history[0].survivors == (1, 3, 4)
    assert BAD in done.history[0].rejected
    np.testing.assert_array_equal(done.arrays["w"], OTHERS)


def test_a_truth_value_is_not_the_name_of_node_one():
    """True == 1 in Python, and its bytes are others: nothing is signed or drawn for it."""

    def ask(message):
        if message.metadata.dst_node_id != 1:
            return message
        return with_head(message, 1, "train", True, *head_of(message)[3:])

    assert run(PLAIN, ask=ask).history[0].survivors == (2, 3, 4)


STAGES = MASKED.protocol.stages


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "what",
    ["head of another version", "letter of another version", "letter without its end",
     "letter of another session", "letter to somebody else", "no record of ours"],
)  # fmt: skip
def test_in_any_stage_of_a_masked_round_the_sum_is_exact_without_it_or_with_it(stage, what):
    """Who drops out before the mask is not in the sum; who drops out after it is."""

    def change(message):
        return ASKED[what](message) if stage_of(message) == stage else message

    done = run(MASKED, ask=only_bad(change))
    (report,) = done.history
    mean = ALL if "c1" in report.survivors else OTHERS
    assert set(report.survivors) >= {"c0", "c2", "c3"}
    assert ("c1" in report.survivors) == (stage == "unmask")
    np.testing.assert_allclose(done.arrays["w"], mean, atol=ROUNDING)
    assert any(x.has_error() for x in done.grid.answered if x.metadata.src_node_id == BAD)


@pytest.mark.parametrize("stage", ["advertise", "share", "mask", "unmask"])
def test_a_letter_that_is_another_clients_leaves_the_sum_exact(stage):
    """Boxes of others do not open, which their client says when it is asked for what is in them."""
    letters = {}

    def ask(message):
        node = message.metadata.dst_node_id
        if stage_of(message) != stage or node > BAD:
            return message
        letters.setdefault(node, Ask.of(message).letter)
        return with_ask(message, letter=letters[1]) if node == BAD else message

    done = run(MASKED, ask=ask)
    (report,) = done.history
    assert set(report.survivors) >= {"c0", "c2", "c3"}
    mean = ALL if "c1" in report.survivors else OTHERS
    np.testing.assert_allclose(done.arrays["w"], mean, atol=ROUNDING)


@pytest.mark.parametrize("shield", [PLAIN, MASKED], ids=["plain", "masked"])
def test_a_message_that_comes_twice_is_answered_once(shield):
    """What is answered twice gives two noises, or two masks, for one update."""
    again = []

    def reply(message, said):
        if message.metadata.dst_node_id == BAD and stage_of(message) != "hello":
            again.extend(WatchedGrid.send_and_receive(echo, [message]))
        return said

    done = set_up(shield, reply=reply)
    echo = WatchedGrid(done.grid.app, N)
    echo.contexts = done.grid.contexts
    done.start(zeros())
    assert again
    assert all(x.has_error() and x.error.code == Reason.REFUSED for x in again)
    assert len(done.history[0].survivors) == N
    np.testing.assert_allclose(done.arrays["w"], ALL, atol=ROUNDING)


@pytest.mark.parametrize("shield", [PLAIN, MASKED], ids=["plain", "masked"])
def test_the_letters_of_an_old_round_are_refused_in_a_later_one(shield):
    old = {}

    def ask(message):
        node, stage = message.metadata.dst_node_id, stage_of(message)
        if node != BAD or stage == "hello":
            return message
        place = (stage, sum(1 for each in old if each[0] == stage))
        if "round two" not in old:
            old[place] = copy.deepcopy(message)
            return message
        return copy.deepcopy(old[next(each for each in old if each[0] == stage)])

    def between(server_round, arrays):
        if server_round == 1:
            old["round two"] = None

    done = set_up(shield, ask=ask)
    done.result = done.guarded.start(
        grid=done.grid, initial_arrays=zeros(), num_rounds=2, evaluate_fn=between
    )
    first, second = done.history
    assert len(first.survivors) == N
    assert bad_name(shield) not in second.survivors
    np.testing.assert_allclose(done.arrays["w"], ALL + OTHERS, atol=2 * ROUNDING)


def test_a_letter_of_training_is_no_letter_of_an_evaluation():
    """Each kind has its own past, so that neither opens a second way to the update."""
    loss = (Scalar("loss", bound=2.0),)
    old = []

    def ask(message):
        if message.metadata.dst_node_id != BAD:
            return message
        if Ask.of(message).kind == "train":
            old.append(Ask.of(message))
            return message
        message.content = replace(old[0], kind="evaluate").into(without_ask(message.content))
        return message

    done = set_up(PLAIN, ask=ask, strategy=FedAvg(), evaluate_metrics=loss).start(zeros())
    assert [each.survivors for each in done.history] == [(1, 2, 3, 4), (1, 3, 4)]
    assert done.result.evaluate_metrics_clientapp[1]["loss"] == pytest.approx(1.0)


# what a client says


def saying(change):
    def say(message, said):
        said.content = answer(change(answered(said)))
        return said

    return say


def content(**records):
    def say(message, said):
        return Message(RecordDict(records), reply_to=message)

    return say


def error(code, reason):
    def say(message, said):
        return Message(Error(code, reason), reply_to=message)

    return say


def lost(message, said):
    return None


SAID = {
    "without its end": saying(lambda x: x[:-1]),
    "half": saying(lambda x: x[: len(x) // 2]),
    "nothing": saying(lambda x: b""),
    "another version": saying(lambda x: x[:3] + b"\2" + x[4:]),
    "a byte more": saying(lambda x: x + b"\0"),
    "a megabyte more": saying(lambda x: x + bytes(1 << 20)),
    "another session": saying(lambda x: encode((decode(x)[0], bytes(32), *decode(x)[2:]))),
    "another stage": saying(lambda x: encode((*decode(x)[:2], "steal", *decode(x)[3:]))),
    "a number": saying(lambda x: encode(3)),
    "a longer vector": saying(lambda x: encode((encode(torch.ones(9)), *decode(x)[1:]))),
    "integers": saying(lambda x: encode((encode(torch.ones(3).long()), *decode(x)[1:]))),
    "no record": content(),
    "a record of metrics": content(privfl=MetricRecord({"letter": 1})),
    "a record of something else": content(privfl=ArrayRecord({"other": Array(np.zeros(2))})),
    "its model in clear": content(arrays=record(w=np.ones(3))),
    "an error of Flower's": error(2, "the app crashed"),
    "an error without a reason": error(0, ""),
    "an error of ours": error(int(Reason.FAILED), "no"),
    "a budget that is spent": error(int(Reason.SPENT), "no"),
    "idle weights": error(int(Reason.WEIGHTS), "no"),
    "nothing at all": lost,
}


@pytest.mark.parametrize("what", SAID)
def test_a_client_that_says_what_does_not_fit_drops_out(what):
    """One of four never ends the run of the others, whatever it says."""
    done = run(PLAIN, rounds=2, reply=only_bad(SAID[what]))
    assert [each.survivors for each in done.history] == [(1, 3, 4)] * 2
    np.testing.assert_array_equal(done.arrays["w"], 2 * OTHERS)


@pytest.mark.parametrize("size", [1 << 17, 1 << 22])
def test_a_reply_beyond_the_plan_is_not_even_read(size):
    """Well written, and larger than twice the plan and 64 KiB: said by its size."""
    large = saying(lambda x: encode((bytes(size), *decode(x)[1:])))
    done = run(PLAIN, reply=only_bad(large))
    assert done.history[0].survivors == (1, 3, 4)
    assert "bytes, the most is" in done.history[0].rejected[BAD]


def test_a_reply_of_the_last_round_is_not_counted_in_this_one():
    kept = []

    def reply(message, said):
        if message.metadata.dst_node_id != BAD:
            return said
        kept.append(copy.deepcopy(said))
        return said if len(kept) == 1 else Message(kept[0].content, reply_to=message)

    done = run(PLAIN, rounds=2, reply=reply)
    assert [each.survivors for each in done.history] == [(1, 2, 3, 4), (1, 3, 4)]
    assert "another session" in done.history[1].rejected[BAD]
    np.testing.assert_array_equal(done.arrays["w"], ALL + OTHERS)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("what", ["half", "a megabyte more", "another session", "nothing at all"])
def test_in_any_stage_of_a_masked_round_what_one_says_leaves_the_others_sum(stage, what):
    done = run(MASKED, reply=only_bad(SAID[what], stage))
    (report,) = done.history
    assert set(report.survivors) >= {"c0", "c2", "c3"}
    mean = ALL if "c1" in report.survivors else OTHERS
    np.testing.assert_allclose(done.arrays["w"], mean, atol=ROUNDING)


def test_a_stranger_in_anothers_name_is_left_out():
    """Node 2 introduces itself by what client c0 signed for node 1, under the same nonce."""

    def borrowed(message, said):
        said.content = answer(introduce(Ask.of(message).letter, 1, "c0", KEYS.identities[0]))
        return said

    done = run(MASKED, reply=only_bad(borrowed, stage="hello"))
    assert done.history[0].survivors == ("c0", "c2", "c3")
    np.testing.assert_allclose(done.arrays["w"], OTHERS, atol=ROUNDING)


def test_two_too_few_end_the_round_by_name_and_the_next_one_is_whole():
    """Of four two are left in the stage of the masks, and three are needed."""
    gone = []

    def ask(message):
        node, stage = message.metadata.dst_node_id, stage_of(message)
        if stage == "mask" and node in (1, 2) and len(gone) < 2:
            gone.append(node)
            return None
        return message

    done = run(MASKED, rounds=2, ask=ask)
    aborted, whole = done.history
    assert isinstance(aborted, RoundReport)
    assert "2" in aborted.aborted
    assert aborted.survivors == ()
    assert whole.survivors == tuple(KEYS.names)
    np.testing.assert_allclose(done.arrays["w"], ALL, atol=ROUNDING)


def test_nobody_answers_and_the_guard_goes_on():
    quiet = [True]

    def ask(message):
        return None if quiet[0] else message

    def speak(server_round, arrays):
        quiet[0] = server_round < 1

    done = set_up(PLAIN, ask=ask)
    done.result = done.guarded.start(
        grid=done.grid, initial_arrays=zeros(), num_rounds=2, evaluate_fn=speak
    )
    assert [bool(each.aborted) for each in done.history] == [True, False]
    np.testing.assert_array_equal(done.arrays["w"], ALL)


# what a client kept


KEPT = {
    "another version": lambda entry: {**entry, "version": 2},
    "no version": lambda entry: {"kept": entry["kept"]},
    "nothing kept": lambda entry: {"version": 1},
    "a text": lambda entry: {**entry, "kept": "PFL"},
    "half of it": lambda entry: {**entry, "kept": entry["kept"][: len(entry["kept"]) // 2]},
    "a number": lambda entry: {**entry, "kept": encode(3)},
    "another encoding": lambda entry: {**entry, "kept": b"PFL\2" + entry["kept"][4:]},
}


@pytest.mark.parametrize("what", KEPT)
def test_a_state_that_does_not_fit_is_refused_and_left_as_it_is(what):
    """A client that cannot read what it kept must not start as one that never took part."""

    def ask(message):
        state = done.grid.contexts[BAD].state
        if message.metadata.dst_node_id == BAD and "privfl.train" in state:
            state["privfl.train"] = ConfigRecord(KEPT[what](dict(state["privfl.train"])))
        return message

    done = set_up(PLAIN, ask=ask)
    done.start(zeros(), rounds=3)
    assert [each.survivors for each in done.history] == [(1, 2, 3, 4), (1, 3, 4), (1, 3, 4)]
    said = [x for x in done.grid.answered if x.metadata.src_node_id == BAD][1:]
    assert [x.has_error() and x.error.code in list(Reason) for x in said] == [True, True]
    np.testing.assert_array_equal(done.arrays["w"], ALL + 2 * OTHERS)


def test_a_state_that_was_lost_is_a_client_that_drops_out_of_the_round():
    """A node that restarts in the middle of a round cannot go on with it."""

    def ask(message):
        if message.metadata.dst_node_id == BAD and stage_of(message) == "mask":
            done.grid.contexts[BAD].state.clear()
        return message

    done = set_up(MASKED, ask=ask)
    done.start(zeros())
    assert done.history[0].survivors == ("c0", "c2", "c3")
    np.testing.assert_allclose(done.arrays["w"], OTHERS, atol=ROUNDING)


# anything at all


def first_message(shield):
    """The first message to node 2 that asks for an update."""
    caught = []
    hook = only_bad(lambda message: caught.append(copy.deepcopy(message)), stage="upload")
    run(shield, ask=hook)
    return caught[0]


UPLOAD = first_message(PLAIN)
APP = guarded_app(PLAIN, UPDATES)


def answer_of(message):
    (said,) = WatchedGrid(APP, N).send_and_receive([message])
    return said


@given(head=st.binary(max_size=80), letter=st.binary(max_size=80))
def test_bytes_that_mean_nothing_get_an_error_of_ours(head, letter):
    message = with_head(copy.deepcopy(UPLOAD), head)
    assert answer_of(message).error.code in list(Reason)
    message = with_letter(copy.deepcopy(UPLOAD), lambda old: letter)
    assert answer_of(message).error.code in list(Reason)


@settings(max_examples=100)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_letter_is_an_error_or_a_reply_of_another_session(at, bit):
    """A bit of the nonce opens another session: its reply is not counted in this one."""

    def flipped(letter):
        at_ = at % len(letter)
        return letter[:at_] + bytes([letter[at_] ^ (1 << bit)]) + letter[at_ + 1 :]

    said = answer_of(with_letter(copy.deepcopy(UPLOAD), flipped))
    if said.has_error():
        assert said.error.code in list(Reason)
    else:
        asked = decode(Ask.of(UPLOAD).letter)
        assert decode(answered(said))[1] != asked[1]


@settings(max_examples=20)
@given(cut=st.integers(0, 10**6))
def test_a_reply_cut_anywhere_is_rejected_and_never_ends_the_round(cut):
    say = saying(lambda letter: letter[: cut % len(letter)])
    done = run(PLAIN, reply=only_bad(say))
    assert done.history[0].survivors == (1, 3, 4)


def test_a_round_in_which_everybody_is_sent_nonsense_from_the_start_raises_by_name():
    with pytest.raises(ProtocolAbort, match="Every client refuses"):
        run(PLAIN, ask=lambda message: with_letter(message, lambda letter: letter[:-1]))

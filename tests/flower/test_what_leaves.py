"""Nothing of a client's update, metrics or counts leaves it in clear, whatever it answers."""

import ast
import copy
import struct
from functools import cache

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import (
    Keys,
    Run,
    WatchedGrid,
    app_that_learns,
    guarded_app,
    ready,
    record,
    stage_of,
)
from privfl import Ledger, Pipeline
from privfl.core import Budget, BudgetExceeded, ProtocolAbort, Scalar, decode
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.flower import Policy, Reason, client_mod
from privfl.parts import Mean, Weigh

N, DIM = 4, 24
KEYS = Keys(N)
ROWS = np.random.default_rng(7).normal(size=(N, DIM)).astype(np.float32) / 10
UPDATES = [{"w": row} for row in ROWS]
BASE = np.random.default_rng(8).normal(size=DIM).astype(np.float32)
TRAINED = [(BASE + row).astype(np.float32) for row in ROWS]
COUNTS = [123_457, 234_571, 345_679, 456_791]
CANARIES = [31.41592653589793 + k for k in range(N)]
LOSS = (Scalar("loss", bound=64.0),)
WINDOW = 8  # bytes: two coordinates in float32, a number in float64
UNIFORM = {"accepting": {"uniform_weights"}}

HIDING = [
    Pipeline(Clip(4.0), SecAgg(), **UNIFORM),
    Pipeline(Clip(4.0), Weigh(500_000), SecAgg()),
    Pipeline(Clip(4.0), CKKS(published=2), **UNIFORM),
    Pipeline(Clip(4.0), BFV(published=True), **UNIFORM),
]
SHOWING = Pipeline(Clip(4.0), **UNIFORM)  # a clip that changes none of these updates


def windows(data):
    return {data[k : k + WINDOW] for k in range(len(data) - WINDOW + 1)}


@cache
def secrets_of(k):
    """Every run of 8 bytes by which client k's vector, model, loss or count could be known."""
    row, trained = ROWS[k], TRAINED[k]
    vectors = [trained - BASE, row, trained, BASE - trained]
    found = set()
    for vector in vectors:
        found |= windows(vector.astype("<f4").tobytes()) | windows(vector.astype("<f8").tobytes())
    found |= {struct.pack("<d", x) for x in (CANARIES[k], float(COUNTS[k]), COUNTS[k] / 500_000)}
    found.add(struct.pack("<q", COUNTS[k]))
    return {each for each in found if len(set(each)) > 3}


def bytes_of(message):
    """All that a message carries, as bytes: names, arrays, numbers, texts and reasons."""
    if message.has_error():
        return str(message.error.reason).encode()
    pieces = []
    for name, entries in message.content.items():
        pieces.append(name.encode())
        for key, value in entries.items():
            pieces.append(key.encode())
            pieces += map(_raw, value if isinstance(value, list) else [value])
    return b"\0\0".join(pieces)


def _raw(value):
    if isinstance(value, bool | str):
        return str(value).encode()
    if isinstance(value, int):
        return struct.pack("<q", value) + struct.pack("<d", value) + str(value).encode()
    if isinstance(value, float):
        return struct.pack("<d", value) + struct.pack("<f", value) + repr(value).encode()
    return value if isinstance(value, bytes) else value.data


def texts_of(k):
    """How a number would be written in a sentence."""
    numbers = (CANARIES[k], COUNTS[k], float(ROWS[k][0]))
    return [repr(x)[:8].encode() for x in numbers]


def leaked(messages):
    """Whose secrets are in the replies of whom."""
    found = []
    for message in messages:
        said, who = bytes_of(message), message.metadata.src_node_id
        seen = windows(said)
        found += [
            (who, k)
            for k in range(N)
            if seen & secrets_of(k) or any(text in said for text in texts_of(k))
        ]
    return found


def hidden_run(shield, **options):
    keys = {"keys": KEYS} if shield.protocol.signs else {}
    app = guarded_app(shield, UPDATES, counts=COUNTS, losses=CANARIES, **keys)
    guarding = {"registry": KEYS.registry} if shield.protocol.signs else {}
    return ready(shield, app, N, **guarding, **options)


def base():
    return record(w=BASE)


@pytest.mark.parametrize("shield", HIDING, ids=repr)
def test_no_reply_of_a_protocol_that_hides_holds_an_update_a_metric_or_a_count(shield):
    run = hidden_run(shield, train_metrics=LOSS).start(base())
    assert run.history[0].survivors == tuple(KEYS.names)
    assert len(run.grid.answered) > 2 * N
    assert leaked(run.grid.answered) == []


def test_what_was_not_declared_stays_home_even_where_updates_do_not_hide():
    """The letter holds the update and nothing else; neither name nor value of a metric."""
    run = hidden_run(SHOWING).start(base())
    plain = struct.Struct("<d").pack
    for message in run.grid.answered:
        said = bytes_of(message)
        assert set(message.content) == {"privfl"}
        assert set(message.content["privfl"]) == {"letter"}
        assert b"loss" not in said
        assert b"num-examples" not in said
        assert not any(plain(x) in said for x in (*CANARIES, *map(float, COUNTS)))
        assert not any(np.float32(x).tobytes() in said for x in (*CANARIES, *COUNTS))


def test_the_search_finds_updates_where_they_travel_in_clear():
    """The control: under Plain each node's reply is found, and it is that node's own."""
    run = hidden_run(SHOWING).start(base())
    assert leaked(run.grid.answered) == [(k + 1, k) for k in range(N)]


def test_the_search_finds_all_of_it_in_an_app_without_the_mod():
    app = app_that_learns(UPDATES, counts=COUNTS, losses=CANARIES)
    grid = WatchedGrid(app, N)
    FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=base(), num_rounds=1)
    assert sorted(leaked(grid.answered)) == [(k + 1, k) for k in range(N)]
    for message in grid.answered:
        k, said = message.metadata.src_node_id - 1, bytes_of(message)
        assert struct.pack("<d", CANARIES[k]) in said
        assert struct.pack("<q", COUNTS[k]) in said
        assert TRAINED[k].tobytes() in said


def test_the_search_finds_values_in_the_text_of_an_error():
    grid = WatchedGrid(app_that(raising(Secret)), N)
    FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=base(), num_rounds=1)
    assert sorted(leaked(grid.answered)) == [(k + 1, k) for k in range(N)]


def test_noise_of_the_clients_own_hides_what_plain_would_show():
    shield = Pipeline(Clip(4.0), LocalGaussianNoise(0.5), Mean(), **UNIFORM)
    assert leaked(hidden_run(shield).start(base()).grid.answered) == []


# who refuses says no more


def secret_text(k):
    return f"loss {CANARIES[k]!r} of {COUNTS[k]} at {ROWS[k].tolist()}"


class Secret(Exception):
    """An error of the app's own library, with data in it."""


RAISED = [Secret, ValueError, ProtocolAbort, KeyError]


def app_that(answer, *mods):
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message, context):
        return answer(message, context.node_config["partition-id"])

    return app


def refused_run(shield, answer, rounds=1, **options):
    signs = {"registry": KEYS.registry, "identity": KEYS.of} if shield.protocol.signs else {}
    app = app_that(answer, client_mod(shield, **signs, **options))
    run = ready(shield, app, N, **({"registry": KEYS.registry} if signs else {}))
    with pytest.raises(ProtocolAbort, match="Every client refuses"):
        run.start(base(), rounds=rounds)
    return run


def raising(kind):
    def answer(message, k):
        raise kind(secret_text(k))

    return answer


def without_metrics(message, k):
    return Message(RecordDict({"arrays": record(w=TRAINED[k])}), reply_to=message)


def metrics_as_list(message, k):
    metrics = MetricRecord({"num-examples": [COUNTS[k]]})
    return Message(
        RecordDict({"arrays": record(w=TRAINED[k]), "metrics": metrics}), reply_to=message
    )


def two_models(message, k):
    content = {"a": record(w=TRAINED[k]), "b": record(w=TRAINED[k])}
    return Message(
        RecordDict({**content, "m": MetricRecord({"num-examples": COUNTS[k]})}), reply_to=message
    )


def other_shape(message, k):
    metrics = MetricRecord({"num-examples": COUNTS[k]})
    content = {"arrays": record(w=TRAINED[k][:-1]), "metrics": metrics}
    return Message(RecordDict(content), reply_to=message)


def names_that_tell(message, k):
    metrics = MetricRecord({"num-examples": COUNTS[k]})
    arrays = record(**{"w": TRAINED[k], secret_text(k): np.zeros(2)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def no_message(message, k):
    return TRAINED[k]


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("shield", [SHOWING, HIDING[1]], ids=["plain", "masked"])
def test_an_app_that_raises_says_the_kind_of_its_error_and_not_its_text(shield, kind):
    run = refused_run(shield, raising(kind))
    errors = [each for each in run.grid.answered if each.has_error()]
    assert len(errors) == N
    for error in errors:
        assert error.error.code == Reason.FAILED
        assert kind.__name__ in error.error.reason
    assert leaked(run.grid.answered) == []


@pytest.mark.parametrize(
    "answer",
    [without_metrics, metrics_as_list, two_models, other_shape, names_that_tell, no_message],
)
def test_an_app_whose_answer_cannot_be_used_says_so_without_its_values(answer):
    run = refused_run(Pipeline(Clip(4.0), Weigh(500_000)), answer)
    assert all(each.has_error() for each in run.grid.answered)
    assert {each.error.code for each in run.grid.answered} == {Reason.FAILED}
    assert leaked(run.grid.answered) == []


def test_a_budget_that_is_spent_says_epsilon_and_no_more(tmp_path):
    shield = Pipeline(Clip(4.0), LocalGaussianNoise(8.0), Mean(), **UNIFORM)
    ledger = Ledger(tmp_path / "own.db")
    policy = Policy(largest_epsilon=1e-3)
    app = guarded_app(
        shield, UPDATES, counts=COUNTS, losses=CANARIES, policy=policy,
        ledger=lambda context: ledger.dataset("ours"),
    )  # fmt: skip
    run = ready(shield, app, N).start(base())
    assert [each.error.code for each in run.grid.answered] == [Reason.SPENT] * N
    assert leaked(run.grid.answered) == []


def test_a_budget_of_the_apps_own_training_is_told_as_one(tmp_path):
    def answer(message, k):
        raise BudgetExceeded(epsilon=9.0, limit=8.0, delta=1e-5, dataset="ours")

    app = app_that(answer, client_mod(SHOWING))
    run = ready(SHOWING, app, N).start(base(), rounds=2)
    assert [each.error.code for each in run.grid.answered] == [Reason.SPENT] * N


# around the guard


@pytest.mark.parametrize("shield", [SHOWING, HIDING[0]], ids=["plain", "masked"])
def test_a_strategy_without_the_guard_gets_errors_and_nothing_trains(shield):
    trained = []
    signs = {"registry": KEYS.registry, "identity": KEYS.of} if shield.protocol.signs else {}
    app = app_that(lambda *_: trained.append(1), client_mod(shield, **signs))
    grid = WatchedGrid(app, N)
    result = FedAvg(fraction_evaluate=0.0).start(grid=grid, initial_arrays=base(), num_rounds=2)
    assert trained == []
    assert [each.error.code for each in grid.answered] == [Reason.REFUSED] * (2 * N)
    assert "did not come through the guard" in grid.answered[0].error.reason
    assert len(result.arrays) == 0


@pytest.mark.parametrize("kind", ["query", "train.other", "evaluate"])
def test_a_message_of_another_kind_that_lacks_a_letter_gets_an_error(kind):
    app = guarded_app(SHOWING, UPDATES, counts=COUNTS)
    grid = WatchedGrid(app, N)
    content = RecordDict({"arrays": base(), "config": ConfigRecord({"x": 1})})
    replies = grid.send_and_receive([Message(content, 1, kind)])
    assert all(each.has_error() for each in replies)
    assert leaked(replies) == []


# what a client keeps


def all_states(shield, **options):
    """The state of every client after every exchange of two rounds."""
    kept = []

    def reply(message, answer):
        kept.append(copy.deepcopy(run.grid.contexts[message.metadata.dst_node_id].state))
        return answer

    run = hidden_run(shield, reply=reply, **options)
    run.start(base(), rounds=2)
    return [state for state in kept if len(state)]


@pytest.mark.parametrize("shield", [SHOWING, *HIDING], ids=repr)
def test_a_client_keeps_versioned_records_of_plain_bytes_that_our_own_reader_reads(shield):
    states = all_states(shield)
    assert states
    for state in states:
        assert set(state) == {"privfl.train"}
        (entry,) = state.values()
        assert isinstance(entry, ConfigRecord)
        assert set(entry) == {"version", "kept"}
        assert entry["version"] == 1
        assert isinstance(entry["kept"], bytes)
        assert entry["kept"].startswith(b"PFL")
        assert isinstance(decode(entry["kept"]), dict)


def through_plain_values(record_dict):
    """A state as a wire would carry it: text of plain values, and back."""
    written = {name: dict(entry) for name, entry in record_dict.items()}
    read = ast.literal_eval(repr(written))
    return RecordDict({name: ConfigRecord(entry) for name, entry in read.items()})


@pytest.mark.parametrize("shield", HIDING, ids=repr)
def test_a_client_that_is_another_process_each_time_gives_the_same_sum(shield):
    """Only plain values cross between two messages of a client."""

    def ask(message):
        node = message.metadata.dst_node_id
        old = run.grid.contexts[node]
        state = through_plain_values(old.state)
        run.grid.contexts[node] = Context(0, node, dict(old.node_config), state, {})
        return message

    run: Run = hidden_run(shield, ask=ask)
    run.start(base(), rounds=2)
    weights = COUNTS if "Weigh" in repr(shield) else None
    mean = np.average(ROWS.astype(np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(run.arrays["w"] - BASE, 2 * mean, atol=2e-3)
    assert [each.aborted for each in run.history] == ["", ""]
    assert {stage_of(each) for each in run.grid.asked} >= {"hello", "advertise"}


def test_a_budget_names_the_dataset_that_the_client_named(tmp_path):
    """What a refusal for a spent budget tells is the client's own public name for its data."""
    account = Ledger(tmp_path / "own.db").dataset("clinic-3").within(Budget(1e-3, 1e-5))
    shield = Pipeline(Clip(4.0), LocalGaussianNoise(8.0), Mean(), **UNIFORM)
    app = guarded_app(shield, UPDATES, counts=COUNTS, ledger=account)
    run = ready(shield, app, N).start(base())
    assert "clinic-3" in run.grid.answered[0].error.reason

"""The grid inside this process behaves as one whose nodes are machines of their own."""

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import app_that_learns, arrays_of, record
from privfl.flower import InProcessGrid


def says(**content):
    """A node that answers each message with what it is given here."""

    def app(message, context):
        return Message(RecordDict(content), reply_to=message)

    return app


def ask(grid, kind="query", content=None):
    return [Message(content or RecordDict(), node, kind) for node in grid.get_node_ids()]


def test_it_is_a_grid_of_flowers():
    assert isinstance(InProcessGrid(says(), 1), Grid)


def test_nodes_know_their_partition_and_what_they_were_configured_with():
    seen = []

    def app(message, context):
        seen.append((context.node_id, dict(context.node_config), dict(context.run_config)))
        return Message(RecordDict(), reply_to=message)

    counted = InProcessGrid(app, 2, run_config={"lr": 0.1})
    counted.send_and_receive(ask(counted))
    assert seen == [
        (1, {"partition-id": 0, "num-partitions": 2}, {"lr": 0.1}),
        (2, {"partition-id": 1, "num-partitions": 2}, {"lr": 0.1}),
    ]
    seen.clear()
    named = InProcessGrid(app, [{"who": "a"}, {"who": "b"}])
    named.send_and_receive(ask(named))
    assert seen == [(1, {"who": "a"}, {}), (2, {"who": "b"}, {})]


@pytest.mark.parametrize("nodes", [0, -1, []])
def test_a_grid_has_at_least_one_node(nodes):
    with pytest.raises(ValueError, match="nodes"):
        InProcessGrid(says(), nodes)


def test_a_nodes_state_lasts_and_is_its_own():
    def app(message, context):
        before = context.state.config_records.get("calls", ConfigRecord({"n": 0}))["n"]
        context.state["calls"] = ConfigRecord({"n": before + context.node_id})
        return Message(RecordDict({"m": MetricRecord({"n": before})}), reply_to=message)

    grid = InProcessGrid(app, 2)
    first, second, third = (grid.send_and_receive(ask(grid)) for _ in range(3))
    assert [[x.content["m"]["n"] for x in said] for said in (first, second, third)] == [
        [0, 0], [1, 2], [2, 4],
    ]  # fmt: skip


def test_a_node_that_raises_answers_by_an_error_and_the_others_go_on():
    def app(message, context):
        if context.node_id == 2:
            raise OSError("no disk")
        return Message(RecordDict(), reply_to=message)

    replies = InProcessGrid(app, 3).send_and_receive(ask(InProcessGrid(app, 3)))
    assert [each.has_error() for each in replies] == [False, True, False]
    assert (replies[1].error.code, replies[1].error.reason) == (2, "OSError: no disk")
    assert [each.metadata.src_node_id for each in replies] == [1, 2, 3]


def test_a_node_that_returns_nothing_does_not_answer():
    grid = InProcessGrid(lambda message, context: None, 3)
    assert grid.send_and_receive(ask(grid)) == []


def test_what_was_pushed_is_pulled_once():
    grid = InProcessGrid(says(m=MetricRecord({"x": 1})), 2)
    first, second = grid.push_messages(ask(grid))
    assert first != second
    assert len(grid.pull_messages([second])) == 1
    assert grid.pull_messages([second]) == []
    assert len(grid.pull_messages([first, second, "never"])) == 1


def test_a_message_that_the_grid_makes_is_what_it_was_asked_for():
    grid = InProcessGrid(says(), 1)
    made = grid.create_message(RecordDict({"m": MetricRecord()}), "train", 1, "7", ttl=30.0)
    about = made.metadata
    assert (about.dst_node_id, about.message_type, about.group_id, about.ttl) == (
        1, "train", "7", 30.0,
    )  # fmt: skip


def test_a_node_sees_the_message_with_its_type_and_group():
    seen = []

    def app(message, context):
        seen.append((message.metadata.message_type, message.metadata.group_id))
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app, 1)
    grid.send_and_receive([grid.create_message(RecordDict(), "train.keys", 1, "3")])
    assert seen == [("train.keys", "3")]


def test_there_is_no_run_to_tell_about():
    grid = InProcessGrid(says(), 1)
    grid.set_run(3)
    with pytest.raises(ValueError, match="run_config"):
        _ = grid.run


# machines share nothing


def model():
    return record(w=np.zeros(2))


def test_what_a_node_does_to_its_message_nobody_else_sees():
    """Flower's strategies send one record to all: here each node changes what it was sent."""
    seen = []

    def app(message, context):
        content = message.content
        seen.append((content["arrays"]["w"].numpy().tolist(), dict(content["config"])))
        content["arrays"]["w"] = Array(np.ones(2))
        content["config"]["lr"] = 9.0
        content["mine"] = MetricRecord()
        return Message(RecordDict(), reply_to=message)

    content = RecordDict({"arrays": model(), "config": ConfigRecord({"lr": 0.1})})
    grid = InProcessGrid(app, 3)
    grid.send_and_receive(ask(grid, content=content))
    assert seen == [([0.0, 0.0], {"lr": 0.1})] * 3
    assert set(content) == {"arrays", "config"}
    assert content["arrays"]["w"].numpy().tolist() == [0.0, 0.0]


def test_what_a_node_does_to_its_reply_later_nobody_sees():
    kept = record(w=np.zeros(2))

    def app(message, context):
        kept["w"] = Array(kept["w"].numpy() + 1)
        return Message(RecordDict({"arrays": kept}), reply_to=message)

    grid = InProcessGrid(app, 3)
    replies = grid.send_and_receive(ask(grid))
    found = [each.content["arrays"]["w"].numpy()[0] for each in replies]
    assert found == [1.0, 2.0, 3.0]


def test_what_the_server_does_to_a_reply_its_node_does_not_see():
    kept = record(w=np.zeros(2))
    grid = InProcessGrid(says(arrays=kept), 1)
    (reply,) = grid.send_and_receive(ask(grid))
    reply.content["arrays"]["w"] = Array(np.ones(2))
    assert arrays_of(kept)["w"].tolist() == [0.0, 0.0]


def test_a_strategy_of_flower_runs_over_it_as_it_is():
    """Weighted by counts of 1 and 3, updates of 4 and 8 are one of 7."""
    updates = [{"w": np.array([4.0])}, {"w": np.array([8.0])}]
    app = app_that_learns(updates, counts=[1, 3], losses=[1.0, 2.0])
    result = FedAvg().start(
        grid=InProcessGrid(app, 2), initial_arrays=record(w=np.zeros(1)), num_rounds=2
    )
    assert arrays_of(result.arrays)["w"].tolist() == [14.0]
    assert dict(result.evaluate_metrics_clientapp[2]) == {"loss": 1.75}


def test_mods_run_in_their_order_before_the_app():
    order = []

    def first(message, context, app):
        order.append("first")
        return app(message, context)

    def second(message, context, app):
        order.append("second")
        return app(message, context)

    app = ClientApp(mods=[first, second])

    @app.query()
    def query(message, context):
        order.append("app")
        return Message(RecordDict(), reply_to=message)

    grid = InProcessGrid(app, 1)
    grid.send_and_receive(ask(grid))
    assert order == ["first", "second", "app"]

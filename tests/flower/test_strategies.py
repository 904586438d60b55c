"""Linear strategies run behind the guard as they run alone, and all others are refused by name."""

import inspect
import re

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy

import privfl.sampling
from flower.apps_for_tests import app_that_learns, arrays_of, guarded_app, ready, record
from privfl import Pipeline, compression, parts
from privfl.core import CompositionError, Scalar
from privfl.defenses import dp, he, masking, robust
from privfl.defenses.dp import DPSGD, Clip
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.flower import InProcessGrid, client_mod, guard
from privfl.parts import Mean, Weigh
from privfl.reading import read_pipeline

N = 4
UPDATES = [
    {"w": np.array([0.5 * k, -1.0, 0.25 * (k - 2)]), "b": np.array([0.1 * k * k])} for k in range(N)
]
EQUAL, UNEQUAL = [20] * N, [10, 20, 40, 80]
LOSSES = [0.5, 1.0, 1.5, 3.0]
LOSS = (Scalar("loss", bound=4.0),)
UNIFORM = Pipeline(Mean(), accepting={"uniform_weights"})
WEIGHED = Pipeline(Weigh(max_examples=80))


class EveryOther(FedAdam):
    """Chooses nodes in its own way, and steps in Flower's."""

    def configure_train(self, server_round, arrays, config, grid):
        messages = super().configure_train(server_round, arrays, config, grid)
        return [each for each in messages if each.metadata.dst_node_id % 2 == server_round % 2]


LINEAR = [
    lambda **o: FedAvg(**o),
    lambda **o: FedAvgM(server_momentum=0.9, server_learning_rate=0.5, **o),
    lambda **o: FedAdam(eta=0.1, **o),
    lambda **o: FedYogi(eta=0.1, **o),
    lambda **o: flower.FedAdagrad(eta=0.1, **o),
    lambda **o: FedProx(proximal_mu=0.3, **o),
    lambda **o: EveryOther(eta=0.1, **o),
]


def start():
    return record(w=np.array([1.0, -2.0, 3.0], np.float32), b=np.zeros(1, np.float32))


@pytest.mark.parametrize(
    ("shield", "counts"), [(UNIFORM, EQUAL), (WEIGHED, EQUAL), (WEIGHED, UNEQUAL)]
)
@pytest.mark.parametrize("make", LINEAR, ids=lambda make: type(make()).__name__)
def test_three_rounds_are_those_of_the_plain_strategy(make, shield, counts):
    plain_app = app_that_learns(UPDATES, counts=counts, losses=LOSSES)
    plain = make().start(grid=InProcessGrid(plain_app, N), initial_arrays=start(), num_rounds=3)
    app = guarded_app(shield, UPDATES, counts=counts, losses=LOSSES)
    run = ready(shield, app, N, strategy=make(), train_metrics=LOSS, evaluate_metrics=LOSS)
    run.start(start(), rounds=3)
    for name, expected in arrays_of(plain.arrays).items():
        np.testing.assert_allclose(run.arrays[name], expected, rtol=2e-5, atol=2e-6)
        assert np.abs(expected - arrays_of(start())[name]).max() > 0.01, "a run that moves nothing"
    for field in ("train_metrics_clientapp", "evaluate_metrics_clientapp"):
        found, wanted = getattr(run.result, field), getattr(plain, field)
        assert list(found) == list(wanted) == [1, 2, 3]
        for k, metrics in wanted.items():
            assert dict(found[k]) == pytest.approx(dict(metrics), rel=1e-6)


def test_the_proximal_term_and_the_round_reach_the_app():
    seen = []
    app = ClientApp(mods=[client_mod(UNIFORM)])

    @app.train()
    def train(message, context):
        seen.append(dict(message.content["config"]))
        assert set(message.content) == {"arrays", "config"}
        content = {"arrays": message.content["arrays"], "metrics": MetricRecord()}
        return Message(RecordDict(content), reply_to=message)

    strategy = FedProx(proximal_mu=0.3, fraction_evaluate=0.0)
    guarded = guard(strategy, UNIFORM)
    config = ConfigRecord({"lr": 0.1})
    guarded.start(
        grid=InProcessGrid(app, 2), initial_arrays=start(), num_rounds=2, train_config=config
    )
    expected = [{"lr": 0.1, "proximal-mu": 0.3, "server-round": k} for k in (1, 1, 2, 2)]
    assert seen == expected


def test_the_callbacks_of_start_get_what_the_plain_strategy_gives_them():
    """Central evaluation sees the initial arrays, then the model after each round."""
    seen = {}

    def evaluate(server_round, arrays):
        seen[server_round] = arrays_of(arrays)["b"].item()
        return MetricRecord({"b": seen[server_round]})

    app = guarded_app(UNIFORM, UPDATES, counts=EQUAL)
    guarded = guard(FedAvg(fraction_evaluate=0.0), UNIFORM)
    guarded.start(InProcessGrid(app, N), start(), 2, evaluate_fn=evaluate)
    assert seen == pytest.approx({0: 0.0, 1: 0.35, 2: 0.7})  # .1 * (0 + 1 + 4 + 9) / 4 a round


NAMES_AND_VALUES = {
    "client_learning_rate": 0.1,
    "noise_multiplier": 0.05,
    "clipping_norm": 1.0,
    "num_sampled_clients": 2,
}


def made(kind):
    """One of Flower's strategies, around FedAvg where it wraps another."""
    parameters = inspect.signature(kind.__init__).parameters
    values = {**NAMES_AND_VALUES, "strategy": FedAvg()}
    return kind(
        **{
            name: values[name]
            for name, parameter in parameters.items()
            if name in values and parameter.default is parameter.empty
        }
    )


NOT_LINEAR = [
    "Bulyan", "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping", "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping", "FedMedian", "FedTrimmedAvg", "FedXgbBagging",
    "FedXgbCyclic", "Krum", "MultiKrum", "QFedAvg",
]  # fmt: skip


def test_every_strategy_of_flower_is_either_run_here_or_refused_here():
    """A strategy that a later Flower adds must be looked at before the guard takes it."""
    run = {type(make()).__name__ for make in LINEAR} - {"EveryOther"}
    assert run | set(NOT_LINEAR) | {"Strategy", "Result"} == set(flower.__all__)


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_a_strategy_that_needs_each_reply_is_refused_by_name(name):
    with pytest.raises(CompositionError, match=f"{name} needs each reply") as refused:
        guard(made(getattr(flower, name)), UNIFORM)
    assert refused.value.rule == "R8"


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_so_is_a_subclass_even_one_that_says_it_takes_an_aggregate(name):
    kind = getattr(flower, name)
    mine = type("Mine", (kind,), {"takes_one_aggregate": True})
    mine.__init__ = kind.__init__
    with pytest.raises(CompositionError, match=r"Mine, a .*, needs each reply"):
        guard(made(mine), UNIFORM)


ROOMS = (parts, compression, dp, he, masking, robust, privfl.sampling, flower)
NUMBERS = {"Clip": "1.0", "CentralGaussianNoise": "1.0", "AdaptiveClip": "1.0"}


@pytest.mark.parametrize("name", NOT_LINEAR)
def test_what_a_refusal_says_to_use_exists_and_can_be_built(name):
    with pytest.raises(CompositionError) as refused:
        guard(made(getattr(flower, name)), UNIFORM)
    fix = refused.value.fix
    if "FedXgb" in name:
        assert "without a guard" in fix
        return
    known = {"Pipeline"} | {each for room in ROOMS for each in room.__all__} | {"Scalar"}
    written = set(re.findall(r"\b([A-Z]\w+)\b", fix)) - {"Use", "F"}  # F: of F^q
    assert written
    assert written <= known
    if name == "QFedAvg":
        return
    (text,) = re.findall(r"Pipeline\(.*\)", fix)
    for part, number in NUMBERS.items():
        text = text.replace(f"{part}(…)", f"{part}({number})")
    shield = read_pipeline(text.replace("n_byzantine=…", "n_byzantine=1"))
    assert "…" not in repr(shield)
    guard(FedAvg(), shield)


class Steps(FedAvg):
    """Has an aggregate_train of its own."""

    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        return record(**{k: 2 * x for k, x in arrays_of(arrays).items()}), metrics


class Says(Steps):
    """Says that it may be handed one aggregate."""

    takes_one_aggregate = True


class Loops(FedAvg):
    """Has a loop of its own, which would not meet the guard."""

    takes_one_aggregate = True

    def start(self, grid, initial_arrays, *args, **options):
        return super().start(grid, initial_arrays, *args, **options)


def test_an_aggregation_of_ones_own_is_refused_unless_the_class_says_it_is_linear():
    with pytest.raises(CompositionError, match=r"(?s)Steps has aggregate_train.*takes_one_agg"):
        guard(Steps(), UNIFORM)
    run = ready(UNIFORM, guarded_app(UNIFORM, UPDATES, counts=EQUAL), N, strategy=Says())
    moved = np.array([1.0, -2.0, 3.0]) + np.mean([u["w"] for u in UPDATES], axis=0)
    np.testing.assert_allclose(run.start(start()).arrays["w"], 2 * moved, rtol=1e-6)


def test_a_loop_of_ones_own_is_refused():
    with pytest.raises(CompositionError, match="Loops has start of its own"):
        guard(Loops(), UNIFORM)


def test_a_median_hidden_in_a_subclass_of_fedavg_is_not_taken_for_linear():
    median = type("Medians", (FedAvg,), {"aggregate_train": flower.FedMedian.aggregate_train})
    with pytest.raises(CompositionError, match="Medians has aggregate_train of its own"):
        guard(median(), UNIFORM)


@pytest.mark.parametrize("what", [FedAvg, None, InProcessGrid(lambda *_: None, 1), "FedAvg"])
def test_what_is_no_strategy_is_refused(what):
    with pytest.raises(ValueError, match="takes a strategy"):
        guard(what, UNIFORM)


def test_a_guarded_strategy_is_not_guarded_twice():
    with pytest.raises(CompositionError, match="Guarded has start of its own"):
        guard(guard(FedAvg(), UNIFORM), UNIFORM)


@pytest.mark.parametrize("protocol", [CKKS(), BFV()])
def test_clients_that_keep_the_result_are_refused_with_the_way_to_publish_it(protocol):
    with pytest.raises(CompositionError, match=r"\[R9\].*(?s:.*)published=") as refused:
        guard(FedAvg(), Pipeline(Clip(1.0), protocol), registry={})
    assert refused.value.rule == "R9"


def test_a_trainer_in_the_shield_is_refused_on_both_sides():
    shield = Pipeline(DPSGD(clip_norm=1.0, noise_multiplier=1.0, batch_size=8, epochs=1))
    for refuse in (lambda: guard(FedAvg(), shield), lambda: client_mod(shield)):
        with pytest.raises(CompositionError, match="in a Flower app the app does") as refused:
            refuse()
        assert refused.value.rule == "R33"


@pytest.mark.parametrize("protocol", [SecAgg(), CKKS(published=2), BFV(published=True)])
def test_a_protocol_that_signs_wants_a_registry_on_both_sides(protocol):
    shield = Pipeline(Clip(1.0), protocol)
    with pytest.raises(ValueError, match="pass registry="):
        guard(FedAvg(), shield)
    with pytest.raises(ValueError, match="pass registry="):
        client_mod(shield)


class Around(FedAvg):
    """Lets a test misuse the grid that the strategy is handed."""

    def __init__(self, misuse):
        super().__init__(fraction_evaluate=0.0)
        self.misuse = misuse

    def configure_train(self, server_round, arrays, config, grid):
        messages = list(super().configure_train(server_round, arrays, config, grid))
        return self.misuse(messages, grid)


def around(misuse):
    run = ready(UNIFORM, guarded_app(UNIFORM, UPDATES, counts=EQUAL), N, strategy=Around(misuse))
    with pytest.raises(CompositionError) as refused:
        run.start(start())
    return run, refused.value


def pushed(messages, grid):
    return grid.push_messages(messages)


def pulled(messages, grid):
    return grid.pull_messages(["0"])


def queried(messages, grid):
    asks = [Message(m.content, m.metadata.dst_node_id, MessageType.QUERY) for m in messages]
    return grid.send_and_receive(asks)


def queried_beside(messages, grid):
    return [*messages, Message(messages[0].content, 1, MessageType.QUERY)]


def evaluated_beside(messages, grid):
    return [*messages, Message(messages[0].content, 1, MessageType.EVALUATE)]


@pytest.mark.parametrize(
    "misuse", [pushed, pulled, queried, queried_beside, evaluated_beside], ids=lambda f: f.__name__
)
def test_nothing_goes_around_the_guard(misuse):
    run, refused = around(misuse)
    assert refused.rule == "R7"
    assert run.grid.asked == []


def test_different_models_for_different_nodes_are_refused():
    def personal(messages, grid):
        for k, message in enumerate(messages):
            message.content = RecordDict({**message.content, "arrays": record(w=np.full(3, k))})
        return messages

    run, refused = around(personal)
    assert refused.rule == "R20"
    assert run.grid.asked == []


def test_equal_models_in_records_of_their_own_are_one_model():
    """A strategy may write each node a config of its own."""

    def configured(messages, grid):
        return [
            Message(
                RecordDict({"arrays": start(), "config": ConfigRecord({"k": k})}), k + 1, "train"
            )
            for k in range(N)
        ]

    app = guarded_app(UNIFORM, UPDATES, counts=EQUAL)
    run = ready(UNIFORM, app, N, strategy=Around(configured)).start(start())
    assert run.history[0].survivors == (1, 2, 3, 4)


def test_the_abstract_methods_of_a_strategy_are_the_ones_that_the_guard_delegates():
    """A method that a later Flower adds would bypass the user's strategy without a word."""
    known = {
        "configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate",
        "summary", "start",
    }  # fmt: skip
    public = {name for name in vars(Strategy) if not name.startswith("_")}
    assert public == known

"""What is silent elsewhere is exact here, or refused by name."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM

from flower.apps_for_tests import Keys, arrays_of, guarded_app, ready, record
from privfl import Pipeline
from privfl.core import CompositionError, PlanError, ProtocolAbort, Scalar
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum, TrimmedMean
from privfl.flower import client_mod, guard
from privfl.parts import Grouped, Mean, Plain, Weigh

N = 4
KEYS = Keys(N)
UPDATES = [{"w": np.array([0.5 * k, -0.25])} for k in range(N)]
MEAN = np.array([0.75, -0.25])
COUNTS = [10, 20, 30, 40]
UNIFORM = {"accepting": {"uniform_weights"}}
PLAIN = Pipeline(**UNIFORM)
LOSS = (Scalar("loss", bound=4.0),)


def run(shield, start, updates=UPDATES, *, rounds=1, n=N, strategy=None, app=None, **options):
    signs = shield.protocol.signs
    data = {name: options.pop(name) for name in ("counts", "losses") if name in options}
    if app is None:
        app = guarded_app(shield, updates, keys=KEYS if signs else None, **data)
    guarding = {"registry": KEYS.registry} if signs else {}
    made = ready(shield, app, n, strategy=strategy, **guarding, **options)
    return made.start(start, rounds=rounds)


def zeros(**more):
    return record(w=np.zeros(2), **more)


# what a model may hold


@pytest.mark.parametrize("shield", [PLAIN, Pipeline(Clip(1.0)), Pipeline(Clip(1.0), SecAgg())])
def test_updates_of_zero_leave_the_model_as_it_is(shield):
    """Clipping divides by a norm, and this one is zero."""
    base = np.array([1.5, -2.25])
    done = run(shield, record(w=base), [{} for _ in range(N)])
    assert len(done.history[0].survivors) == N
    np.testing.assert_allclose(done.arrays["w"], base, atol=1e-12)


@pytest.mark.parametrize("strategy", [FedAvg, FedAvgM, FedAdam], ids=lambda kind: kind.__name__)
def test_a_parameter_without_a_dimension_is_clipped_with_the_others(strategy):
    """(3, 0) and a temperature of 4 are a vector of norm 5; alone, 4 would pass a clip to 1."""
    updates = [{"w": np.array([3.0, 0.0]), "scale": np.array(4.0)}] * N
    start = zeros(scale=np.array(0.0, np.float32))
    kind = {} if strategy is not FedAvgM else {"server_momentum": 0.9}
    done = run(
        Pipeline(Clip(1.0)), start, updates, strategy=strategy(fraction_evaluate=0.0, **kind)
    )
    assert done.arrays["scale"].shape == ()
    assert done.arrays["scale"].dtype == np.float32
    if strategy is FedAdam:
        assert 0 < done.arrays["scale"] < 1
    else:
        np.testing.assert_allclose(done.arrays["w"], [0.6, 0.0], atol=1e-6)
        np.testing.assert_allclose(done.arrays["scale"], 0.8, rtol=1e-6)


INTEGERS = {
    "steps": np.array(2**53 + 1),  # the first that float64 does not hold
    "table": np.array([[1, -2], [3, 4]], np.int8),
    "mask": np.array([True, False]),
}


@pytest.mark.parametrize("strategy", [FedAvg, FedAdam, FedAvgM], ids=lambda kind: kind.__name__)
def test_integers_stay_as_they_were_sent_whatever_clients_make_of_them(strategy):
    updates = [{**UPDATES[k], "steps": 7, "table": 1} for k in range(N)]
    kind = {} if strategy is not FedAvgM else {"server_momentum": 0.9}
    done = run(
        PLAIN, zeros(**INTEGERS), updates, rounds=3,
        strategy=strategy(fraction_evaluate=0.0, **kind),
    )  # fmt: skip
    for name, sent in INTEGERS.items():
        assert done.arrays[name].dtype == sent.dtype
        np.testing.assert_array_equal(done.arrays[name], sent)
    assert np.abs(done.arrays["w"]).max() > 0


def test_integers_of_a_client_never_leave_it():
    """The reply holds a vector of two coordinates: the integers are not in it."""
    done = run(PLAIN, zeros(**INTEGERS))
    without = run(PLAIN, zeros())
    sizes = [
        [len(each.content["privfl"]["letter"].data) for each in made.grid.answered]
        for made in (done, without)
    ]
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize("strategy", [FedAvg, FedAdam], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda d: d.__name__)
def test_arrays_keep_their_dtype(dtype, strategy):
    start = record(w=np.zeros(2, dtype))
    done = run(PLAIN, start, rounds=2, strategy=strategy(fraction_evaluate=0.0))
    assert done.arrays["w"].dtype == dtype
    if strategy is FedAvg:
        np.testing.assert_array_equal(done.arrays["w"], (2 * MEAN).astype(dtype))


def test_a_model_of_several_dtypes_is_averaged_in_the_widest():
    """A difference of 2^-40 is nothing in float32 beside 1, and is there in float64."""
    updates = [{"w": np.array([2.0**-40, 0.0]), "half": np.array([1.0])}] * N
    start = record(w=np.ones(2), half=np.zeros(1, np.float16))
    done = run(PLAIN, start, updates)
    assert done.arrays["w"][0] - 1 == 2.0**-40
    assert done.arrays["half"].dtype == np.float16


STATISTICS = {"bn.running_mean": np.zeros(2), "bn.running_var": np.ones(2)}
SEEN = [
    {**UPDATES[k], "bn.running_mean": np.array([40.0 * k, 8.0]), "bn.running_var": np.ones(2)}
    for k in range(N)
]


@pytest.mark.parametrize("shield", [PLAIN, Pipeline(Clip(0.1), **UNIFORM), Pipeline(Weigh(40))])
def test_running_statistics_are_averaged_apart(shield):
    """They are no updates: neither clipped nor weighed (rule R1)."""
    done = run(shield, zeros(**STATISTICS), SEEN, counts=COUNTS)
    np.testing.assert_allclose(done.arrays["bn.running_mean"], [60.0, 8.0])
    np.testing.assert_allclose(done.arrays["bn.running_var"], [2.0, 2.0])


@pytest.mark.parametrize(
    "shield",
    [
        Pipeline(Clip(1.0), SecAgg()),
        Pipeline(Clip(1.0), BFV(published=True)),
        Pipeline(Clip(1.0), LocalGaussianNoise(1.0)),
        Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
    ],
    ids=repr,
)
def test_running_statistics_are_refused_where_they_would_be_noised_or_hidden(shield):
    with pytest.raises(CompositionError, match="running statistics") as refused:
        run(shield, zeros(**STATISTICS), SEEN)
    assert refused.value.rule == "R1"


@pytest.mark.parametrize("start", [ArrayRecord(), record(n=np.array([1, 2]))], ids=["empty", "int"])
def test_a_model_without_a_parameter_is_refused(start):
    with pytest.raises(ValueError, match="at least one floating-point parameter"):
        run(PLAIN, start)


# what a client may send


def test_an_update_that_is_not_finite_is_left_out_by_name():
    updates = [*UPDATES[:3], {"w": np.array([np.nan, 1.0])}]
    done = run(PLAIN, zeros(), updates)
    assert done.history[0].survivors == (1, 2, 3)
    assert done.history[0].rejected == {4: "NaN or Inf"}
    np.testing.assert_allclose(done.arrays["w"], [0.5, -0.25])


def test_an_update_that_is_not_finite_counts_as_zero_under_masks():
    """Nobody sees it there, so that its client clips it to nothing (rule R17)."""
    updates = [*UPDATES[:3], {"w": np.array([np.inf, 1.0])}]
    done = run(Pipeline(Clip(2.0), SecAgg()), zeros(), updates)
    assert len(done.history[0].survivors) == N
    np.testing.assert_allclose(done.arrays["w"], np.array([1.5, -0.75]) / 4, atol=1e-3)


def test_no_finite_update_is_no_aggregate_and_the_model_stays():
    done = run(PLAIN, record(w=np.ones(2)), [{"w": np.array([np.nan, 0.0])}] * N)
    assert "No update is finite" in done.history[0].aborted
    np.testing.assert_array_equal(done.arrays["w"], np.ones(2))


def app_with_one_that(answers, shield=PLAIN):
    """An app whose fourth client answers in its own way."""
    app = ClientApp(mods=[client_mod(shield)])

    @app.train()
    def train(message, context):
        k = context.node_config["partition-id"]
        learned = arrays_of(message.content["arrays"])["w"] + UPDATES[k]["w"]
        content = {"arrays": record(w=learned), "metrics": MetricRecord()}
        content = answers(content) if k == N - 1 else content
        return Message(RecordDict(content), reply_to=message)

    return app


STRANGE = {
    "another name": lambda x: {"arrays": record(v=np.zeros(2))},
    "one name more": lambda x: {"arrays": record(w=np.zeros(2), v=np.zeros(2))},
    "another shape": lambda x: {"arrays": record(w=np.zeros((2, 1)))},
    "one coordinate more": lambda x: {"arrays": record(w=np.zeros(3))},
    "integers": lambda x: {"arrays": record(w=np.zeros(2, complex))},
    "no arrays": lambda x: {"metrics": MetricRecord()},
    "an empty record": lambda x: {"arrays": ArrayRecord()},
    "two models": lambda x: {**x, "more": record(w=np.zeros(2))},
    "two records of metrics": lambda x: {**x, "more": MetricRecord()},
    "nothing": lambda x: {},
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_client_that_answers_with_another_model_drops_out_alone(what):
    done = run(PLAIN, zeros(), app=app_with_one_that(STRANGE[what]))
    assert done.history[0].survivors == (1, 2, 3)
    assert 4 in done.history[0].rejected
    np.testing.assert_allclose(done.arrays["w"], [0.5, -0.25])


def test_a_record_of_another_name_is_the_model_all_the_same():
    """Flower's own strategies take the only ArrayRecord of a reply, whatever it is called."""
    done = run(PLAIN, zeros(), app=app_with_one_that(lambda x: {"trained": x["arrays"]}))
    np.testing.assert_allclose(done.arrays["w"], MEAN)


def test_one_node_is_a_round_of_one_where_nothing_hides():
    strategy = FedAvg(min_train_nodes=1, min_available_nodes=1, fraction_evaluate=0.0)
    done = run(PLAIN, zeros(), [{"w": np.array([1.0, 2.0])}], n=1, strategy=strategy)
    np.testing.assert_array_equal(done.arrays["w"], [1.0, 2.0])


@pytest.mark.parametrize("protocol", [SecAgg(), BFV(published=True), CKKS(published=1)], ids=repr)
def test_one_node_is_nobody_to_hide_among(protocol):
    strategy = FedAvg(min_train_nodes=1, min_available_nodes=1, fraction_evaluate=0.0)
    with pytest.raises(PlanError, match="1 clients"):
        run(Pipeline(Clip(1.0), protocol), zeros(), n=1, strategy=strategy)


# metrics


def test_an_app_without_metrics_is_fine():
    done = run(PLAIN, zeros())
    np.testing.assert_allclose(done.arrays["w"], MEAN)
    assert dict(done.result.train_metrics_clientapp[1]) == {}


def test_a_metric_that_was_not_declared_stays_at_home():
    done = run(PLAIN, zeros(), losses=[1.0, 2.0, 3.0, 4.0])
    assert dict(done.result.train_metrics_clientapp[1]) == {}


def test_a_metric_beyond_its_bound_is_clamped_to_it():
    done = run(PLAIN, zeros(), losses=[-9.0, 1.0, 9.0, 3.0], train_metrics=LOSS)
    found = done.result.train_metrics_clientapp[1]["loss"]
    assert found == pytest.approx((-4 + 1 + 4 + 3) / 4)


def lists(x):
    return {**x, "metrics": MetricRecord({"loss": [1.0, 2.0]})}


def test_a_list_that_was_not_declared_stays_at_home_as_any_metric():
    done = run(PLAIN, zeros(), app=app_with_one_that(lists))
    assert len(done.history[0].survivors) == N


def test_a_declared_metric_that_is_a_list_or_lacking_is_a_client_less():
    def app(answers):
        made = ClientApp(mods=[client_mod(PLAIN)])

        @made.train()
        def train(message, context):
            loss = MetricRecord({"loss": 2.0})
            content = {"arrays": message.content["arrays"], "metrics": loss}
            content = answers(content) if context.node_id == 1 else content
            return Message(RecordDict(content), reply_to=message)

        return made

    for answers in (lists, lambda x: {**x, "metrics": MetricRecord()}):
        done = run(PLAIN, zeros(), app=app(answers), train_metrics=LOSS)
        assert done.history[0].survivors == (2, 3, 4)
        assert "loss" in done.history[0].rejected[1]
        assert done.result.train_metrics_clientapp[1]["loss"] == pytest.approx(2.0)


def test_a_metric_that_is_not_finite_is_named_as_an_update_is():
    done = run(PLAIN, zeros(), losses=[1.0, 2.0, 3.0, float("nan")], train_metrics=LOSS)
    assert done.history[0].survivors == (1, 2, 3)


# evaluation


def evaluations(done):
    return [x for x in done.grid.asked if x.metadata.message_type == "evaluate"]


def test_clients_are_not_asked_to_evaluate_where_nothing_may_travel():
    done = run(PLAIN, zeros(), losses=[1.0] * N, strategy=FedAvg(), rounds=2)
    assert evaluations(done) == []
    assert done.result.evaluate_metrics_clientapp == {}


def test_an_evaluation_is_a_mean_of_what_was_declared():
    done = run(
        PLAIN, zeros(), losses=[1.0, 2.0, 3.0, 4.0], strategy=FedAvg(), evaluate_metrics=LOSS,
    )  # fmt: skip
    assert dict(done.result.evaluate_metrics_clientapp[1]) == {"loss": pytest.approx(2.5)}
    assert [each.kind for each in done.history] == ["train", "evaluate"]


def test_a_model_that_did_not_change_is_evaluated_once():
    """A second mean on the same model, of another cohort, shows one client by the difference."""
    done = run(
        PLAIN, zeros(), losses=[1.0] * N, strategy=FedAvg(fraction_train=0.0), rounds=3,
        evaluate_metrics=LOSS,
    )  # fmt: skip
    assert len(evaluations(done)) == N
    assert list(done.result.evaluate_metrics_clientapp) == [1]


def test_an_evaluation_under_masks_takes_a_protocol_run_of_its_own():
    shield = Pipeline(Clip(1.0), SecAgg())
    done = run(
        shield, zeros(), losses=[1.0, 2.0, 3.0, 4.0], strategy=FedAvg(), rounds=2,
        evaluate_metrics=LOSS,
    )  # fmt: skip
    assert [each.aborted for each in done.history] == [""] * 4
    for found in done.result.evaluate_metrics_clientapp.values():
        assert found["loss"] == pytest.approx(2.5, abs=1e-2)


def test_clips_that_adapt_in_training_do_not_adapt_by_evaluations():
    """Each kind of round has a memory of its own: an evaluation's update is a zero."""
    shield = Pipeline(AdaptiveClip(0.1))
    plain = run(shield, zeros(), losses=[1.0] * N, rounds=3)
    both = run(
        shield, zeros(), losses=[1.0] * N, strategy=FedAvg(), rounds=3, evaluate_metrics=LOSS
    )
    np.testing.assert_array_equal(plain.arrays["w"], both.arrays["w"])


# weights


@pytest.mark.parametrize("key", ["num-examples", "weight"])
def test_weights_that_the_pipeline_would_drop_are_refused_by_name(key):
    """A guarded FedAvg that silently became uniform would learn something else."""

    def train(message, context):
        metrics = MetricRecord({key: 10})
        content = {"arrays": message.content["arrays"], "metrics": metrics}
        return Message(RecordDict(content), reply_to=message)

    shield = Pipeline(Clip(1.0))
    app = ClientApp(mods=[client_mod(shield)])
    app.train()(train)
    strategy = FedAvg(fraction_evaluate=0.0, weighted_by_key=key)
    with pytest.raises(CompositionError, match=f"weighs replies by '{key}'") as refused:
        run(shield, zeros(), app=app, strategy=strategy)
    assert refused.value.rule == "R2"
    assert "Weigh(max_examples=" in refused.value.fix
    assert "accepting={'uniform_weights'}" in refused.value.fix


def test_they_are_refused_in_an_evaluation_too():
    app = ClientApp(mods=[client_mod(Pipeline(Clip(1.0)))])

    @app.evaluate()
    def evaluate(message, context):
        metrics = MetricRecord({"loss": 1.0, "num-examples": 10})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    strategy = FedAvg(fraction_train=0.0)
    with pytest.raises(CompositionError, match="num-examples"):
        run(Pipeline(Clip(1.0)), zeros(), app=app, strategy=strategy, evaluate_metrics=LOSS)


def test_other_metrics_are_no_weights():
    done = run(Pipeline(Clip(1.0)), zeros(), losses=[1.0] * N)
    assert len(done.history[0].survivors) == N


def test_a_count_beyond_the_largest_weighs_as_the_largest():
    """What one client can claim is bounded: 1e9 examples count as 40."""
    counts = [10, 20, 30, 10**9]
    done = run(Pipeline(Weigh(40)), zeros(), counts=counts)
    rows = np.stack([update["w"] for update in UPDATES])
    expected = np.average(rows, axis=0, weights=[10, 20, 30, 40])
    np.testing.assert_allclose(done.arrays["w"], expected, rtol=1e-6)


def test_a_pipeline_that_weighs_needs_the_counts():
    with pytest.raises(ProtocolAbort, match="metrics lack 'num-examples'"):
        run(Pipeline(Weigh(40)), zeros())


def test_nobody_with_an_example_moves_nothing():
    done = run(Pipeline(Weigh(40)), record(w=np.ones(2)), counts=[0] * N, losses=[1.0] * N)
    np.testing.assert_array_equal(done.arrays["w"], np.ones(2))


# contradictions that die where they are written


TRIMMED = TrimmedMean(n_byzantine=1)
CONTRADICTIONS = [
    ("R8", "shows only their sum", lambda: Pipeline(Clip(1.0), SecAgg(), Krum(n_byzantine=1))),
    ("R8", "shows only", lambda: Pipeline(Clip(1.0), CKKS(published=2), TRIMMED)),
    ("R1", "bounds the release", lambda: Pipeline(Clip(1.0), SecAgg(), Mean(), Clip(0.5))),
    ("R1", "no single update", lambda: Pipeline(Clip(1.0), SecAgg(), Clip(0.5), Mean())),
    ("R1", "no single update", lambda: Pipeline(Clip(1.0), BFV(published=True), Clip(0.5))),
    ("R6", "nobody clips", lambda: Pipeline(SecAgg(), Clip(1.0), Mean())),
    ("R2", "nobody clips", lambda: Pipeline(Mean(), CentralGaussianNoise(1.0))),
    (
        "R2", "private sum of example counts",
        lambda: Pipeline(Clip(1.0), Weigh(40), Mean(), CentralGaussianNoise(1.0)),
    ),
    ("R2", "realised sum", lambda: Pipeline(Clip(1.0), Weigh(40), LocalGaussianNoise(1.0))),
    ("R1", "clip the noise", lambda: Pipeline(Clip(1.0), LocalGaussianNoise(1.0), Clip(1.0))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "why", "write"), CONTRADICTIONS)
def test_a_contradiction_never_reaches_a_guard(rule, why, write):
    with pytest.raises(CompositionError, match=why) as refused:
        guard(FedAvg(), write(), registry=KEYS.registry)
    assert refused.value.rule == rule


def test_a_robust_rule_under_masks_compares_sums_of_groups():
    """Two groups of two, one of which a client spoils, are two rows: the rule needs more."""
    shield = Pipeline(Clip(1.0), Grouped(SecAgg(), size=2), TrimmedMean(n_byzantine=1))
    with pytest.raises(PlanError, match="needs at least 3 rows"):
        run(shield, zeros())


def test_a_robust_rule_sees_each_update_in_the_guard():
    """One of five that sends a thousand times as much moves nothing."""
    keys, rule = Keys(5), TrimmedMean(n_byzantine=1)
    updates = [*UPDATES, {"w": np.array([1e3, -1e3])}]
    shield = Pipeline(Plain(), rule)
    app = guarded_app(shield, updates, keys=keys)
    done = ready(shield, app, 5, registry=keys.registry).start(zeros())
    rows = np.sort(np.stack([update["w"] for update in updates]), axis=0)
    np.testing.assert_allclose(done.arrays["w"], rows[1:4].mean(axis=0))
    assert done.history[0].survivors == tuple(keys.names)

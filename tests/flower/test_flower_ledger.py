"""What a guarded round costs is written down before anything of it leaves."""

import hashlib
import math

import numpy as np
import pytest
import torch
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import Keys, guarded_app, ready, record
from privfl import Ledger, Pipeline
from privfl.core import Budget, PlanError, ProtocolAbort, Scalar, encode, weights_hash
from privfl.crypto import Stream
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum
from privfl.flower import Reason, client_mod, guard
from privfl.parts import Mean

N = 4
UPDATES = [{"w": np.array([0.1 * k, -0.2])} for k in range(N)]
NOISY = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(2.0))
LOCAL = Pipeline(Clip(1.0), LocalGaussianNoise(2.0))
LOSS = (Scalar("loss", bound=2.0),)
# four releases of multiplier 2 are one of multiplier 1, whose epsilon at 1e-5 is 4.38 (Balle and
# Wang 2018, https://arxiv.org/abs/1805.06530, theorem 8)
FOUR = Budget(4.39, 1e-5)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "run.db")


def set_up(shield=NOISY, *, app=None, mod=None, **options):
    app = guarded_app(shield, UPDATES, losses=[1.0] * N, **(mod or {})) if app is None else app
    return ready(shield, app, N, **options)


def start():
    return record(w=np.zeros(2))


def of_kind(ledger, kind):
    return [each for each in ledger.entries if each.kind == kind]


def test_the_charge_is_there_when_the_first_letter_is_about_to_leave(ledger):
    class Broken(RuntimeError):
        pass

    def ask(message):
        seen.append(len(of_kind(ledger, "charge")))
        raise Broken

    seen = []
    run = set_up(ledger=ledger.dataset("ours"), ask=ask)
    with pytest.raises(Broken):
        run.start(start())
    assert seen == [1]
    assert len(of_kind(ledger, "charge")) == 1
    assert of_kind(ledger, "release") == []
    one = Ledger(ledger.path).epsilon(1e-5).upper
    assert 0 < one < math.inf


def test_a_budget_that_is_spent_ends_the_run_with_the_last_arrays(ledger):
    seen = {}

    def evaluate(server_round, arrays):
        seen[server_round] = arrays["w"].numpy().tolist()

    run = set_up(ledger=ledger.dataset("ours").within(FOUR))
    result = run.guarded.start(
        grid=run.grid, initial_arrays=start(), num_rounds=7, evaluate_fn=evaluate
    )
    assert [bool(each.aborted) for each in run.history] == [False] * 4 + [True]
    assert "above the budget" in run.history[-1].aborted
    assert len(run.grid.asked) == 4 * N
    assert len({str(seen[k]) for k in range(5)}) == 5
    assert seen[4] == seen[5] == seen[7] == result.arrays["w"].numpy().tolist()
    assert len(of_kind(ledger, "charge")) == 4
    assert ledger.epsilon(1e-5).upper == pytest.approx(4.377, abs=0.01)
    assert run.guarded.rounds.spent


def test_a_budget_that_is_spent_before_the_first_round_gives_the_model_back(ledger):
    account = ledger.dataset("ours").within(Budget(0.1, 1e-5))
    run = set_up(ledger=account).start(record(w=np.ones(2)), rounds=3)
    assert run.grid.asked == []
    assert ledger.entries == ()
    np.testing.assert_array_equal(run.arrays["w"], np.ones(2))


def test_another_runs_charges_count(ledger):
    account = ledger.dataset("ours").within(FOUR)
    first = set_up(ledger=account).start(start(), rounds=3)
    second = set_up(ledger=Ledger(ledger.path).dataset("ours").within(FOUR)).start(start(), 3)
    assert [len(each.history) for each in (first, second)] == [3, 2]
    assert second.history[-1].aborted


def test_entries_are_bound_to_what_was_released_and_to_the_model_after_it(ledger):
    run = set_up(ledger=ledger.dataset("ours")).start(start(), rounds=2)
    release, moved = run.guarded.rounds.release, torch.from_numpy(run.arrays["w"])
    bound = [dict(each.fields) for each in of_kind(ledger, "release")]
    charges = [each.fields["release"] for each in of_kind(ledger, "charge")]
    assert len(set(charges)) == 2
    last = {}
    for each in bound:
        if each["release"] == charges[-1]:
            last |= {name: each[name] for name in ("update", "model") if each[name]}
    assert last["update"] == hashlib.sha256(encode(release.update)).hexdigest()
    assert last["model"] == weights_hash({"w": moved}).hex()
    assert ledger.verify() == ledger.head


def test_an_evaluation_is_a_release_of_its_own(ledger):
    account = ledger.dataset("ours")
    options = {"ledger": account, "strategy": FedAvg(), "evaluate_metrics": LOSS}
    run = set_up(**options).start(start(), rounds=2)
    assert [each.kind for each in run.history] == ["train", "evaluate"] * 2
    charges = [each.fields["release"] for each in of_kind(ledger, "charge")]
    assert len(set(charges)) == len(charges) == 4
    assert ledger.epsilon(1e-5).upper == pytest.approx(4.377, abs=0.01)


def test_a_budget_may_be_spent_by_an_evaluation(ledger):
    account = ledger.dataset("ours").within(FOUR)
    options = {"ledger": account, "strategy": FedAvg(), "evaluate_metrics": LOSS}
    run = set_up(**options).start(start(), rounds=5)
    assert [each.kind for each in run.history] == ["train", "evaluate"] * 2 + ["train"]
    assert run.history[-1].aborted
    assert list(run.result.evaluate_metrics_clientapp) == [1, 2]


def test_a_round_that_was_aborted_stays_charged_and_is_bound_to_nothing(ledger):
    silent = [True]

    def speak(server_round, arrays):
        silent[0] = server_round < 1

    run = set_up(ledger=ledger.dataset("ours"), ask=lambda m: None if silent[0] else m)
    run.guarded.start(grid=run.grid, initial_arrays=start(), num_rounds=2, evaluate_fn=speak)
    assert [bool(each.aborted) for each in run.history] == [True, False]
    first, second = (each.fields["release"] for each in of_kind(ledger, "charge"))
    bound = {each.fields["release"] for each in of_kind(ledger, "release")}
    assert bound == {second}
    assert first != second


def test_a_model_that_cannot_be_planned_costs_nothing(ledger):
    """Refused before anything is charged: fewer clients than the rule needs."""
    shield = Pipeline(Krum(n_byzantine=1))
    run = set_up(shield, ledger=ledger.dataset("ours"))
    with pytest.raises(PlanError):
        run.start(start())
    assert ledger.entries == ()
    assert run.grid.asked == []


def test_without_noise_epsilon_is_infinite_from_the_first_round_on(ledger):
    set_up(Pipeline(Clip(1.0)), ledger=ledger.dataset("ours")).start(start())
    assert ledger.epsilon(1e-5).upper == math.inf


def test_each_client_may_have_a_dataset_of_its_own(ledger):
    account = ledger.datasets({node: f"clinic-{node}" for node in range(1, N + 1)})
    set_up(ledger=account).start(start())
    charged = {each.fields["dataset"] for each in of_kind(ledger, "charge")}
    assert charged == {f"clinic-{node}" for node in range(1, N + 1)}


def test_a_client_whose_dataset_nobody_named_stops_the_round_before_it_is_asked(ledger):
    run = set_up(ledger=ledger.datasets({1: "clinic-1", 2: "clinic-2"}))
    with pytest.raises(ValueError, match="Name every client"):
        run.start(start())
    assert run.grid.asked == []


def test_a_ledger_is_not_an_account(ledger):
    with pytest.raises(ValueError, match="dataset"):
        guard(FedAvg(), NOISY, ledger=ledger)


@pytest.mark.parametrize("side", ["guard", "mod"])
def test_noise_of_a_seed_is_marked_and_protects_nothing(ledger, side):
    """Rule R28, for whoever adds the noise and charges it."""
    seeded = {"ledger": ledger.dataset("ours"), "generator": Stream.replay(1)}
    if side == "guard":
        set_up(NOISY, **seeded).start(start())
    else:
        set_up(LOCAL, mod=seeded).start(start())
    assert ledger.epsilon(1e-5, unit="client").upper == math.inf


def test_noise_of_the_operating_system_is_not_marked(ledger):
    set_up(LOCAL, mod={"ledger": ledger.dataset("ours")}).start(start())
    assert ledger.epsilon(1e-5).upper < math.inf


# a client's own ledger


def app_that(train, *mods):
    app = ClientApp(mods=list(mods))
    app.train()(train)
    return app


def trained(message):
    content = {"arrays": message.content["arrays"], "metrics": MetricRecord()}
    return Message(RecordDict(content), reply_to=message)


def test_a_client_charges_before_its_app_works(ledger):
    seen = []

    def train(message, context):
        seen.append(len(of_kind(ledger, "charge")))
        return trained(message)

    app = app_that(train, client_mod(LOCAL, ledger=ledger.dataset("ours")))
    set_up(LOCAL, app=app).start(start())
    assert seen == [1, 2, 3, 4]


def test_what_a_client_charged_stays_where_its_app_fails(ledger):
    def train(message, context):
        raise OSError("no data")

    app = app_that(train, client_mod(LOCAL, ledger=ledger.dataset("ours")))
    run = set_up(LOCAL, app=app)
    with pytest.raises(ProtocolAbort):
        run.start(start())
    assert len(of_kind(ledger, "charge")) == N


def test_a_client_charges_nothing_for_a_round_that_it_refuses(ledger):
    other = Pipeline(Clip(9.0), LocalGaussianNoise(2.0))
    app = guarded_app(LOCAL, UPDATES, ledger=ledger.dataset("ours"))
    with pytest.raises(ProtocolAbort):
        set_up(other, app=app).start(start())
    assert ledger.entries == ()


def test_a_client_charges_once_a_round_however_many_letters_it_gets(ledger):

    keys, shield = Keys(N), Pipeline(Clip(1.0), LocalGaussianNoise(2.0), SecAgg())
    account = ledger.datasets({name: name for name in keys.names})
    app = guarded_app(shield, UPDATES, keys=keys, ledger=account)
    set_up(shield, app=app, registry=keys.registry).start(start(), rounds=2)
    charged = [each.fields["dataset"] for each in of_kind(ledger, "charge")]
    assert sorted(charged) == sorted(keys.names * 2)


def test_a_client_with_a_budget_of_its_own_leaves_and_the_others_go_on(ledger, tmp_path):
    def account(context):
        if context.node_id == 1:
            return Ledger(tmp_path / "one.db").dataset("one").within(Budget(0.5, 1e-5))
        return ledger.dataset("others")

    run = set_up(LOCAL, mod={"ledger": account}).start(start(), rounds=2)
    assert [each.survivors for each in run.history] == [(2, 3, 4)] * 2
    said = [each for each in run.grid.answered if each.metadata.src_node_id == 1]
    assert {each.error.code for each in said} == {Reason.SPENT}

"""Given updates and a replayed nonce, the guard's aggregate is the pipeline's own to the bit."""

import numpy as np
import pytest
import torch

from flower.apps_for_tests import Keys, guarded_app, ready, record
from privfl import Pipeline
from privfl.averager import model_hash
from privfl.compression import Quantize
from privfl.core import Layout, Scalar
from privfl.crypto import Stream
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh

N, DIM, SEED = 6, 7, 12
KEYS = Keys(N)
COUNTS = [10, 20, 30, 40, 50, 60]
UNIFORM = {"accepting": {"uniform_weights"}}
EXACT = {"accepting": {"uniform_weights", "exact_sum_to_server"}}

PIPELINES = [
    Pipeline(**UNIFORM),
    Pipeline(Weigh(max_examples=50)),
    Pipeline(Clip(0.5), **UNIFORM),
    Pipeline(Plain(), Clip(0.5), Mean(), **UNIFORM),
    Pipeline(Clip(0.5), Weigh(max_examples=60, total=200.0)),
    Pipeline(Clip(0.5), LocalGaussianNoise(0.7), **UNIFORM),
    Pipeline(Clip(0.5), Mean(), CentralGaussianNoise(0.7), **UNIFORM),
    Pipeline(Clip(0.5), Weigh(max_examples=60, total=200.0), Mean(), CentralGaussianNoise(0.7)),
    Pipeline(Clip(0.5), SecAgg(), **UNIFORM),
    Pipeline(Clip(0.5), Weigh(max_examples=60), SecAgg()),
    Pipeline(Clip(0.5), LocalGaussianNoise(0.7), SecAgg(), **UNIFORM),
    Pipeline(Clip(0.5), SecAgg(), Mean(), CentralGaussianNoise(0.7), **EXACT),
    Pipeline(Clip(0.5), Quantize(8), SecAgg(), **UNIFORM),
    Pipeline(Clip(0.5), BFV(published=True), **UNIFORM),
    Pipeline(Clip(0.5), Grouped(Plain(), size=2), TrimmedMean(n_byzantine=1), **UNIFORM),
    Pipeline(Clip(0.5), Grouped(SecAgg(), size=3), Mean(), **UNIFORM),
    Pipeline(TrimmedMean(n_byzantine=2), **UNIFORM),
    Pipeline(Krum(n_byzantine=1), **UNIFORM),
    Pipeline(Clip(0.5), NNM(TrimmedMean(n_byzantine=1)), **UNIFORM),
]
DTYPES = {np.float32: torch.float32, np.float64: torch.float64}


def updates(dtype, seed=0):
    return np.random.default_rng(seed).normal(size=(N, DIM)).astype(dtype)


def nonce_of(round_):
    """The nonce that a guard with this seed draws for a round of training."""
    return Stream.replay(SEED).child(f"train/{round_}/nonce").bytes(16)


def hash_of(base):
    layout = Layout.of({"w": base})
    return model_hash(layout, layout.flatten({"w": base}))


def embedded(shield, rows, base, **options):
    """The same round without Flower."""
    counts = COUNTS if any(isinstance(part, Weigh) for part in shield.parts) else None
    names = KEYS.names if shield.protocol.signs else list(range(1, N + 1))
    return shield.aggregate(
        torch.from_numpy(rows),
        n_examples=counts,
        cohort=names,
        generator=Stream.replay(SEED),
        model=hash_of(base),
        **options,
    )


def through_flower(shield, app_updates, *, rounds=1, base, **options):
    signs = {"registry": KEYS.registry} if shield.protocol.signs else {}
    app = guarded_app(
        shield,
        app_updates,
        keys=KEYS if signs else None,
        counts=COUNTS,
        generator=Stream.replay(SEED),
        **options.pop("app", {}),
    )
    generator = Stream.replay(SEED)
    run = ready(shield, app, N, generator=generator, **signs, **options)
    return run.start(record(w=base), rounds=rounds)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shield", PIPELINES, ids=repr)
def test_one_round_is_equal_to_the_bit(shield, dtype):
    rows, base = updates(dtype), np.zeros(DIM, dtype)
    release = embedded(shield, rows, base, nonce=nonce_of(0))
    run = through_flower(shield, [{"w": row} for row in rows], base=base)
    assert run.arrays["w"].dtype == dtype
    assert run.arrays["w"].tobytes() == release.update.numpy().astype(dtype).tobytes()
    assert run.guarded.rounds.release.digest == release.digest
    assert np.abs(run.arrays["w"]).max() > 0


@pytest.mark.parametrize(
    "shield",
    [
        Pipeline(AdaptiveClip(0.2), **UNIFORM),
        Pipeline(AdaptiveClip(0.2), Mean(), CentralGaussianNoise(0.3), **UNIFORM),
        Pipeline(AdaptiveClip(0.2), SecAgg(), **UNIFORM),
    ],
    ids=repr,
)
def test_three_rounds_that_remember_are_equal_to_the_bit(shield):
    """Each round's clip norm follows from the last one's bits, and its model from its release."""
    rows = updates(np.float32)
    base, state = np.zeros(DIM, np.float32), None
    norms = []
    for k in range(3):
        trained = np.stack([base + row for row in rows])
        release = embedded(shield, trained - base, base, nonce=nonce_of(k), state=state)
        state = release.state
        norms.append(shield.plan(n_clients=N, dim=DIM, public=state["public"]).clip_norm)
        base = base + release.update.numpy()
    run = through_flower(
        shield, [{"w": row} for row in rows], rounds=3, base=np.zeros(DIM, np.float32)
    )
    assert run.arrays["w"].tobytes() == base.tobytes()
    assert len(set(norms)) == 3


def test_declared_metrics_ride_in_the_same_vector():
    """A scalar that the guard declares changes the session, as one that the caller declares."""
    shield = Pipeline(Clip(0.5), LocalGaussianNoise(0.4), **UNIFORM)
    loss, losses = Scalar("loss", bound=4.0), [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    rows, base = updates(np.float32), np.zeros(DIM, np.float32)
    release = embedded(shield, rows, base, nonce=nonce_of(0), scalars={loss: losses})
    run = through_flower(
        shield, [{"w": row} for row in rows], base=base, train_metrics=[loss],
        app={"losses": losses},
    )  # fmt: skip
    assert run.arrays["w"].tobytes() == release.update.numpy().tobytes()
    assert run.result.train_metrics_clientapp[1]["loss"] == release.scalars["loss"]


def test_a_seed_repeats_a_run_and_without_one_noise_is_fresh():
    shield = Pipeline(Clip(0.5), LocalGaussianNoise(0.7), Mean(), **UNIFORM)
    rows, base = [{"w": row} for row in updates(np.float32)], np.zeros(DIM, np.float32)
    once, twice = (through_flower(shield, rows, rounds=2, base=base) for _ in range(2))
    assert once.arrays["w"].tobytes() == twice.arrays["w"].tobytes()
    fresh = ready(shield, guarded_app(shield, rows, counts=COUNTS), N).start(record(w=base), 2)
    assert np.abs(fresh.arrays["w"] - once.arrays["w"]).min() > 0


def test_a_seeded_run_goes_on_after_a_round_that_was_lost():
    """Its replies were lost, not its clients: they know the session of the lost round."""
    shield, rows = Pipeline(**UNIFORM), [{"w": row} for row in updates(np.float64)]
    lost = []

    def reply(message, answer):
        lost.append(message)
        return None if len(lost) <= N else answer

    app = guarded_app(shield, rows, generator=Stream.replay(SEED))
    run = ready(shield, app, N, reply=reply, generator=Stream.replay(SEED))
    run.start(record(w=np.zeros(DIM)), rounds=2)
    assert [bool(each.aborted) for each in run.history] == [True, False]
    np.testing.assert_allclose(run.arrays["w"], updates(np.float64).mean(axis=0))


def test_the_plain_mean_is_what_it_always_was():
    """Published: five clients with (k, 1/k) for k = 1 to 5 move zeros to 3 and 137/300."""
    rows = [{"w": np.array([k, 1 / k])} for k in range(1, 6)]
    shield = Pipeline(**UNIFORM)
    run = ready(shield, guarded_app(shield, rows), 5).start(record(w=np.zeros(2)))
    assert run.arrays["w"].tobytes().hex() == "00000000000008403a6da0d3063add3f"


@pytest.mark.parametrize("shield", PIPELINES[:2], ids=repr)
def test_flowers_own_strategy_over_the_aggregate_adds_no_rounding(shield):
    """FedAvg of one reply divides its weight by itself: the aggregate stays as it is."""
    rows = [{"w": row} for row in updates(np.float64)]
    run = through_flower(shield, rows, base=np.zeros(DIM))
    released = run.guarded.rounds.release.update.numpy()
    assert run.arrays["w"].tobytes() == released.tobytes()

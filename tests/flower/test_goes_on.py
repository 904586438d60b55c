"""A guarded run that stopped goes on from its checkpoint, and never under another agreement."""

import shutil

import numpy as np
import pytest
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import guarded_app, ready, record
from privfl import Ledger, Pipeline
from privfl.crypto import Stream
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip
from privfl.flower import guard
from privfl.ledger import LedgerTampered
from privfl.parts import Mean

N = 4
UPDATES = [{"w": np.array([3.0 + k, -4.0])} for k in range(N)]
ADAPTIVE = Pipeline(AdaptiveClip(0.5))
NOISY = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))


def run(shield, file, *, rounds, start=None, app=None, **options):
    app = guarded_app(shield, UPDATES) if app is None else app
    made = ready(shield, app, N, checkpoint=file, **options)
    return made.start(record(w=np.zeros(2)) if start is None else start, rounds=rounds)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "runs" / "digits.ckpt"


def test_two_runs_of_two_rounds_are_one_of_four(file):
    """The clip norm goes on too: .5, .553, .611, .675, by exp(.1) a round."""
    run(ADAPTIVE, file, rounds=2)
    twice = run(ADAPTIVE, file, rounds=2)
    once = ready(ADAPTIVE, guarded_app(ADAPTIVE, UPDATES), N).start(record(w=np.zeros(2)), 4)
    np.testing.assert_array_equal(twice.arrays["w"], once.arrays["w"])
    rows = np.stack([update["w"] for update in UPDATES])
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    expected = unit * 0.5 * sum(np.exp(0.1 * k) for k in range(4))
    np.testing.assert_allclose(twice.arrays["w"], expected, rtol=1e-6)
    assert twice.guarded.rounds.n_rounds == 4


def test_the_initial_arrays_of_a_run_that_goes_on_are_not_used(file):
    first = run(Pipeline(), file, rounds=1)
    second = run(Pipeline(), file, rounds=1, start=record(w=np.full(2, 1e6)))
    np.testing.assert_allclose(second.arrays["w"], 2 * first.arrays["w"])


def test_a_run_without_a_file_starts_from_the_initial_arrays(file):
    done = run(Pipeline(), file, rounds=1, start=record(w=np.ones(2)))
    np.testing.assert_allclose(done.arrays["w"], 1 + np.array([4.5, -4.0]))
    assert file.exists()


def test_a_run_that_dies_in_a_round_goes_on_from_the_one_before(file):
    class Killed(BaseException):
        pass

    def ask(message):
        asked.append(message)
        if len(asked) > 2 * N:
            raise Killed
        return message

    asked = []
    app = guarded_app(Pipeline(), UPDATES)
    with pytest.raises(Killed):
        ready(Pipeline(), app, N, ask=ask, checkpoint=file).start(record(w=np.zeros(2)), 5)
    done = run(Pipeline(), file, rounds=3)
    np.testing.assert_allclose(done.arrays["w"], 5 * np.array([4.5, -4.0]))


def test_a_seed_draws_other_noise_when_a_run_goes_on(file):
    """Rounds are counted on, so that no nonce of the first run comes again."""
    run(NOISY, file, rounds=1, generator=Stream.replay(3))
    going_on = run(NOISY, file, rounds=1, generator=Stream.replay(3))
    app = guarded_app(NOISY, UPDATES)
    whole = ready(NOISY, app, N, generator=Stream.replay(3)).start(record(w=np.zeros(2)), 2)
    np.testing.assert_array_equal(going_on.arrays["w"], whole.arrays["w"])


@pytest.mark.parametrize(
    ("shield", "start", "why"),
    [
        (Pipeline(Clip(2.0)), record(w=np.zeros(2)), "checkpoint of"),
        (Pipeline(Clip(1.0)), record(w=np.zeros(3)), "another layout"),
        (Pipeline(Clip(1.0)), record(v=np.zeros(2)), "another layout"),
        (Pipeline(Clip(1.0)), record(w=np.zeros(2, np.float32)), "another layout"),
    ],
)
def test_another_pipeline_or_model_is_refused(file, shield, start, why):
    run(Pipeline(Clip(1.0)), file, rounds=1)
    with pytest.raises(ValueError, match=why):
        run(shield, file, rounds=1, start=start)


def test_a_file_that_was_cut_is_refused(file):
    run(Pipeline(), file, rounds=1)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises((ValueError, RuntimeError)):
        guard(FedAvg(), Pipeline(), checkpoint=file)


def test_a_run_that_kept_a_ledger_goes_on_with_that_ledger_only(file, tmp_path):
    """A ledger of before the checkpoint is a budget that was wound back."""
    ledger = Ledger(tmp_path / "run.db")
    ledger.dataset("ours")
    shutil.copy(tmp_path / "run.db", tmp_path / "old.db")
    run(NOISY, file, rounds=2, ledger=ledger.dataset("ours"))
    with pytest.raises(ValueError, match="keeps a ledger"):
        run(NOISY, file, rounds=1)
    with pytest.raises(LedgerTampered):
        run(NOISY, file, rounds=1, ledger=Ledger(tmp_path / "old.db").dataset("ours"))
    run(NOISY, file, rounds=1, ledger=Ledger(tmp_path / "run.db").dataset("ours"))
    charges = [each for each in ledger.entries if each.kind == "charge"]
    assert len(charges) == 3


def test_a_checkpoint_holds_no_update_of_a_client(file):
    run(Pipeline(Clip(100.0)), file, rounds=1)
    written = file.read_bytes()
    for update in UPDATES:
        assert update["w"].tobytes() not in written
        assert update["w"].astype(np.float32).tobytes() not in written
    assert np.array([4.5, -4.0]).tobytes() in written

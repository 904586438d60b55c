"""With a memory of its own a client is in one sum on a model, whoever starts what anew (R16)."""

import numpy as np
import pytest

from flower.apps_for_tests import Keys, guarded_app, ready, record
from privfl import Pipeline, ProtocolAbort
from privfl.checkpoint import read_checkpoint
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.he import BFV
from privfl.defenses.masking import SecAgg

N = 4
KEYS = Keys(N)
UPDATES = [{"w": np.array([0.5, -0.25, 0.125 * k], np.float32)} for k in range(N)]
UNIFORM = {"accepting": {"uniform_weights"}}
MASKED = Pipeline(Clip(1.0), SecAgg(), **UNIFORM)
ENCRYPTED = Pipeline(Clip(1.0), BFV(published=True), **UNIFORM)
NOISY = Pipeline(Clip(1.0), LocalGaussianNoise(1.0), SecAgg(), **UNIFORM)


def file_in(folder):
    return lambda context: folder / f"client-{context.node_config['partition-id']}" / "memory"


def again(shield, memory, *, start=0.0, ask=None):
    """A run with new contexts: Flower keeps none from one run to the next."""
    app = guarded_app(shield, UPDATES, keys=KEYS, memory=memory)
    run = ready(shield, app, N, registry=KEYS.registry, ask=ask)
    return run.start(record(w=np.full(3, start, np.float32)))


@pytest.mark.parametrize("shield", [MASKED, ENCRYPTED], ids=repr)
def test_a_second_run_on_the_same_model_has_no_sum(tmp_path, shield):
    assert len(again(shield, file_in(tmp_path)).history[0].survivors) == N
    with pytest.raises(ProtocolAbort, match="R16"):
        again(shield, file_in(tmp_path))


def test_without_a_memory_it_has_one():
    """The positive control: what is remembered in the context goes with the run."""
    for _ in range(2):
        assert len(again(MASKED, None).history[0].survivors) == N


def test_a_second_run_on_another_model_has_a_sum(tmp_path):
    for start in (0.0, 1.0):
        done = again(MASKED, file_in(tmp_path), start=start)
        assert len(done.history[0].survivors) == N


def test_noise_allows_a_second_sum(tmp_path):
    """It is charged, and the difference of two sums is not an update (R16)."""
    for _ in range(2):
        assert len(again(NOISY, file_in(tmp_path)).history[0].survivors) == N


def test_a_session_is_not_opened_twice_either(tmp_path):
    """An opening that a server recorded in one run is of no use in the next."""
    recorded = []
    again(MASKED, file_in(tmp_path), ask=lambda message: recorded.append(message) or message)
    first = {x.metadata.dst_node_id: x for x in reversed(recorded[N:])}  # behind the greetings
    app = guarded_app(MASKED, UPDATES, keys=KEYS, memory=file_in(tmp_path))
    run = ready(MASKED, app, N, registry=KEYS.registry)
    replies = [reply for x in first.values() for reply in run.grid.send_and_receive([x])]
    assert len(replies) == N
    assert all("used before" in reply.error.reason for reply in replies)


def test_a_memory_holds_public_hashes_alone(tmp_path):
    again(MASKED, file_in(tmp_path))
    for path in tmp_path.glob("*/memory"):
        known = read_checkpoint(path)
        assert set(known) == {"version", "train"}
        assert set(known["train"]) == {"contributed", "seen"}
        assert [len(x) for x in known["train"]["contributed"]] == [32]
        assert [len(x) for x in known["train"]["seen"]] == [16]


def test_who_cannot_read_its_memory_sends_nothing(tmp_path):
    again(MASKED, file_in(tmp_path))
    (tmp_path / "client-2" / "memory").write_bytes(b"garbled")
    report = again(MASKED, file_in(tmp_path), start=1.0).history[0]
    assert report.survivors == ("c0", "c1", "c3")
    assert list(report.rejected) == ["c2"]

"""Guarded runs whose clients are processes, under faults."""

import os
import signal

import numpy as np
from flwr.serverapp.strategy import FedAvg

from flower.apps_for_tests import record
from flower.client_process import Job, started
from flower.exact_updates import EXACT, NAMES, START, STEPS, UNIFORM, floats, is_mean_of, leaks
from flower.faulty_grid import FaultyGrid
from privfl import Ledger, Pipeline, ProtocolAbort
from privfl.defenses.he import BFV
from privfl.defenses.masking import SecAgg
from privfl.flower import guard

MASKED = Pipeline(*EXACT, SecAgg(), **UNIFORM)
ENCRYPTED = Pipeline(*EXACT, BFV(published=True), **UNIFORM)


class Run:
    """Start a guard in this process, and say what came of each round.

    Attributes:
        models: before the first round, and after each.
        history: of the guard.
        error: what ended the run early.
        victims: whom the faults hit that came to pass, in that order.
    """

    def __init__(self, shield, folder, faults=(), rounds=1, checkpoint=None, dies_after=None):
        self.models, self.error, self._dies_after = [], None, dies_after
        self.ledger = Ledger(folder / "run.db")
        account = self.ledger.datasets({name: f"clinic-{name}" for name in NAMES})
        job = Job(shield, [{"w": floats(steps)} for steps in STEPS], folder)
        guarded = guard(
            FedAvg(fraction_evaluate=0.0),
            shield,
            ledger=account,
            registry=job.keys.registry,
            checkpoint=checkpoint,
        )
        with FaultyGrid(job, faults) as grid:
            try:
                guarded.start(
                    grid, record(w=floats(START)), num_rounds=rounds, evaluate_fn=self._seen
                )
            except ProtocolAbort as error:
                self.error = error
        assert grid.errors == []
        self.history, self.victims = guarded.history, grid.victims
        self.ledger.verify()

    @property
    def played(self):
        return list(self.victims)

    def _seen(self, server_round, arrays):
        if server_round == self._dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.models.append(arrays["w"].numpy())

    def require_sum(self, k, names):
        """Round ``k`` moved the model by the exact mean of the updates of ``names``."""
        report = self.history[k]
        assert (report.aborted, report.survivors) == ("", tuple(names))
        assert is_mean_of(self.models[k + 1] - self.models[k], names)

    def require_abort(self, k):
        """Round ``k`` says why it has no sum, and left the model alone."""
        report = self.history[k]
        assert report.aborted
        assert report.survivors == ()
        np.testing.assert_array_equal(self.models[k + 1], self.models[k])


def require_nothing_in_clear(folder, models):
    """No client wrote its update, or what it trained one of the models to."""
    assert leaks(written_in(folder), models) == []


def require_charged(ledger, rounds):
    """Each round that was opened is charged to each client, once, whatever came of it."""
    charged = {}
    for entry in ledger.entries:
        if entry.kind == "charge":
            charged.setdefault(entry.fields["release"], []).append(entry.fields["dataset"])
    assert len(charged) == rounds
    assert all(sorted(who) == [f"clinic-{x}" for x in NAMES] for who in charged.values())


def server_process(*args):
    """Make a `Run` in a process of its own, and return how that ended."""
    process = started(Run, *args)
    process.join()
    return process.exitcode


def written_in(folder):
    """All that clients sent or logged."""
    files = [*folder.glob("client-*.wire"), *folder.glob("client-*.log")]
    assert files
    return b"\n".join(path.read_bytes() for path in files)

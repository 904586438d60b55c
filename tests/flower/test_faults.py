"""Whatever goes wrong: the survivors' exact sum or a typed abort, a true ledger, no raw update.

Each client is a process that holds its own state, and so is the server where it is killed.
"""

import shutil
import signal

import numpy as np
import pytest

from flower.exact_updates import (
    EXACT,
    NAMES,
    START,
    UNIFORM,
    after_one_round,
    but,
    floats,
    leaks,
)
from flower.faulty_grid import FAULTS, HARMLESS, KILLS, SERVER_KILLED, Fault
from flower.faulty_runs import (
    ENCRYPTED,
    MASKED,
    Run,
    require_charged,
    require_nothing_in_clear,
    server_process,
    written_in,
)
from privfl import Ledger, LedgerTampered, Pipeline
from privfl.defenses.dp import Clip

MASKING = [("advertise", 0), ("share", 0), ("mask", 0), ("unmask", 0), ("unmask", 1)]
ENCRYPTION = ["advertise", "upload", "decrypt"]
REASONS = {
    "answers in another version": "version 99, this is version 1",
    "answers too much": "bytes, the most is",
    "is sent another version": "version 2, this is version 1",
}


def one_after_the_other(shield, folder, node, stage, exchange=0):
    """Play a round for each fault, all of one client at one exchange, and sound rounds around."""
    faults = [Fault(kind, node, k, stage, exchange) for k, kind in enumerate(FAULTS, start=1)]
    run = Run(shield, folder, faults, rounds=len(faults) + 2)
    assert run.played == faults
    require_charged(run.ledger, rounds=len(faults) + 2)
    require_nothing_in_clear(folder, run.models)
    run.require_sum(0, NAMES)
    run.require_sum(len(faults) + 1, NAMES)
    for fault in faults:
        why = run.history[fault.round].rejected.get(NAMES[node - 1], "")
        assert REASONS.get(fault.kind, "") in why
    return run, faults


@pytest.mark.parametrize(("stage", "exchange"), MASKING)
def test_masks_survive_a_client_at_fault(tmp_path, stage, exchange):
    run, faults = one_after_the_other(MASKED, tmp_path, 3, stage, exchange)
    for fault in faults:
        counted = stage == "unmask" or fault.kind in HARMLESS
        run.require_sum(fault.round, NAMES if counted else but(2))


@pytest.mark.parametrize("stage", ENCRYPTION)
def test_encryption_survives_a_client_at_fault(tmp_path, stage):
    run, faults = one_after_the_other(ENCRYPTED, tmp_path, 1, stage)
    for fault in faults:
        counted = stage == "decrypt" or fault.kind in HARMLESS
        run.require_sum(fault.round, NAMES if counted else but(0))


def test_encryption_survives_the_fault_of_whoever_hands_the_key_out(tmp_path):
    """The last client dies in every round, so that somebody lacks the key in the next one."""
    faults = [Fault(kind, None, k, "keys") for k, kind in enumerate(FAULTS)]
    deaths = [Fault("is killed after it worked", 5, k, "upload") for k in range(len(FAULTS))]
    run = Run(ENCRYPTED, tmp_path, [*faults, *deaths], rounds=len(FAULTS) + 1)
    for fault in faults:
        giver = run.victims[fault] - 1
        assert giver != 4
        run.require_sum(fault.round, but(giver, 4) if fault.kind in KILLS else but(4))
    run.require_sum(len(FAULTS), NAMES)
    require_charged(run.ledger, rounds=len(FAULTS) + 1)
    require_nothing_in_clear(tmp_path, run.models)


def deaths(k, nodes, stage, exchange=0):
    return [Fault("is killed before it works", node, k, stage, exchange) for node in nodes]


def test_masks_that_lose_too_many_give_nothing(tmp_path):
    """Three of five must stay. Who showed shares is in no other sum on that model (R16)."""
    faults = [x for k, at in enumerate(MASKING) for x in deaths(k, (1, 2, 3), *at)]
    run = Run(MASKED, tmp_path, faults, rounds=len(MASKING) + 2)
    assert run.played == faults
    for k in range(len(MASKING)):
        run.require_abort(k)
    run.require_sum(len(MASKING), NAMES[:3])
    run.require_sum(len(MASKING) + 1, NAMES)
    require_charged(run.ledger, rounds=len(MASKING) + 2)
    require_nothing_in_clear(tmp_path, run.models)


def test_encryption_that_loses_too_many_gives_nothing(tmp_path):
    """Two must stay, or one to open. Who uploaded is in no other sum on that model (R16)."""
    four, all_of_them = (1, 2, 3, 4), (1, 2, 3, 4, 5)
    faults = [
        *deaths(0, four, "advertise"),
        *deaths(1, all_of_them, "keys"),
        *deaths(2, four, "upload"),
        *deaths(4, all_of_them, "decrypt"),
    ]
    run = Run(ENCRYPTED, tmp_path, faults, rounds=6)
    assert run.played == faults
    for k in (0, 1, 2, 4):
        run.require_abort(k)
    run.require_sum(3, NAMES[:4])
    run.require_sum(5, NAMES)
    require_charged(run.ledger, rounds=6)
    require_nothing_in_clear(tmp_path, run.models)


def test_a_round_in_which_everybody_refuses_is_not_the_last(tmp_path):
    """As where all clients were started anew in the middle of it."""
    kind, everybody = "is sent an old letter instead", (1, 2, 3, 4, 5)
    faults = [Fault(kind, node, k, *at) for k, at in enumerate(MASKING[1:]) for node in everybody]
    run = Run(MASKED, tmp_path, faults, rounds=len(MASKING))
    assert run.played == faults
    for k in range(len(MASKING) - 1):
        run.require_abort(k)
        assert set(run.history[k].rejected) == set(NAMES)
    run.require_sum(len(MASKING) - 1, NAMES)
    require_charged(run.ledger, rounds=len(MASKING))
    require_nothing_in_clear(tmp_path, run.models)


def test_a_run_whose_clients_all_showed_shares_for_nothing_ends(tmp_path):
    """No further sum on this model is safe, and only a sum would make another."""
    faults = [Fault("answers too late", node, 0, "unmask", 1) for node in (1, 2, 3, 4, 5)]
    run = Run(MASKED, tmp_path, faults, rounds=3)
    assert run.played == faults
    run.require_abort(0)
    assert "R16" in str(run.error)
    require_charged(run.ledger, rounds=2)
    require_nothing_in_clear(tmp_path, run.models)


@pytest.mark.parametrize("parts", [(Clip(100.0),), EXACT], ids=["reals", "integers"])
def test_the_search_finds_updates_that_travel_in_clear(tmp_path, parts):
    """The positive control of all the above."""
    run = Run(Pipeline(*parts, **UNIFORM), tmp_path)
    assert leaks(written_in(tmp_path), run.models) == [0, 1, 2, 3, 4]


# A server that dies. Its clients go with it, as a new `flwr run` starts new ones.


def require_goes_on(folder, rounds):
    """Two more rounds start from the model after the first one, and all are charged."""
    run = Run(MASKED, folder, rounds=2, checkpoint=folder / "run.ckpt")
    np.testing.assert_array_equal(run.models[0], after_one_round())
    run.require_sum(0, NAMES)
    run.require_sum(1, NAMES)
    require_charged(run.ledger, rounds)
    require_nothing_in_clear(folder, [floats(START), *run.models])


@pytest.mark.parametrize(("stage", "exchange"), [("mask", 0), ("unmask", 1)])
def test_a_server_that_is_killed_in_a_round_goes_on_from_the_last_one(tmp_path, stage, exchange):
    fault = Fault(SERVER_KILLED, 3, 1, stage, exchange)
    assert server_process(MASKED, tmp_path, [fault], 3, tmp_path / "run.ckpt") == -signal.SIGKILL
    require_goes_on(tmp_path, rounds=1 + 1 + 2)


def test_a_server_that_is_killed_between_two_rounds_goes_on(tmp_path):
    code = server_process(MASKED, tmp_path, [], 3, tmp_path / "run.ckpt", 1)
    assert code == -signal.SIGKILL
    require_goes_on(tmp_path, rounds=1 + 2)


@pytest.mark.parametrize("older", ["of an hour ago", "from the start"])
def test_a_ledger_that_was_put_back_is_refused(tmp_path, older):
    ledger, saved = tmp_path / "run.db", tmp_path / "run.ckpt"
    Run(MASKED, tmp_path, rounds=1, checkpoint=saved)
    shutil.copy(ledger, tmp_path / "older.db")
    Run(MASKED, tmp_path, rounds=1, checkpoint=saved)
    ledger.unlink()
    if older == "of an hour ago":
        shutil.copy(tmp_path / "older.db", ledger)
    with pytest.raises(LedgerTampered):
        Run(MASKED, tmp_path, rounds=1, checkpoint=saved)
    charged = {e.fields["release"] for e in Ledger(ledger).entries if e.kind == "charge"}
    assert len(charged) == (1 if older == "of an hour ago" else 0)

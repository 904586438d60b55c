"""Play every fault on real processes, and print what came of each: ``make flower-faults``.

One SuperLink and five SuperNodes, with TLS and node authentication; two faults a round at most,
since three of five clients must stay. The exit code is 0 where every line is as it should be.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does

from flower.exact_updates import NAMES, STEPS, floats, is_mean_of, leaks
from flower.faulty_app.faulty_app.shield import SEED, SHIELDS
from flower.faulty_grid import Fault
from flower.faulty_runs import require_charged
from flower.loopback import Loopback
from privfl import Ledger
from privfl.averager import model_hash
from privfl.core import Layout
from privfl.crypto import Stream

KILLED = "its SuperNode is killed"
FAULTS = [
    Fault(KILLED, 1, 0, "advertise"),
    Fault("answers in another version", 2, 0, "mask"),
    Fault(KILLED, 2, 1, "share"),
    Fault("says its last reply again", 3, 1, "mask"),
    Fault(KILLED, 3, 2, "mask"),
    Fault("answers too much", 4, 2, "mask"),
    Fault(KILLED, 4, 3, "unmask", 0),
    Fault(KILLED, 5, 4, "unmask", 1),
    Fault("answers too late", 1, 4, "mask"),
]
PATIENCE = 3600
ROUNDS = 5  # with faults of clients; the SuperLink dies in the next one


class Table:
    """Print a line for each fault, and remember whether all were as they should be."""

    def __init__(self):
        self.good = True

    def add(self, what, happened, good):
        self.good &= bool(good)
        print(
            f"| {what:<58} | {happened:<78} | {'as it should' if good else 'WRONG'} |", flush=True
        )


def what_came(line, moved, expected):
    """Say what came of a round, and whether that is the exact sum of the expected clients."""
    if line["aborted"]:
        return f"no aggregate: {line['aborted']}", not expected and not moved.any()
    names = tuple(line["survivors"])
    exact = is_mean_of(moved, names)
    said = f"{'exact' if exact else 'WRONG'} sum of {', '.join(names)}"
    return said, exact and names == expected


def lost_in(number):
    """The clients that cannot be counted in a round: who fails before the masked vectors are in."""
    gone = [x for x in FAULTS if x.round == number and x.stage != "unmask"]
    return {NAMES[fault.node_id - 1] for fault in gone}


def add_clients_faults(table, lines, models):
    for fault in FAULTS:
        k, name = fault.round, NAMES[fault.node_id - 1]
        expected = tuple(who for who in NAMES if who not in lost_in(k))
        happened, good = what_came(lines[k + 1], models[k + 1] - models[k], expected)
        why = lines[k + 1]["rejected"].get(name, "")
        where = f"{fault.stage} {fault.exchange + 1}" if fault.stage == "unmask" else fault.stage
        table.add(f"round {k + 1}: {name}, {fault.kind}, at {where}", happened, good)
        if why:
            print(f"|     {name} is out: {why}")


def kill_superlink(deployed):
    """Kill the SuperLink once a round has begun, and start it again on its database."""
    deadline = time.monotonic() + PATIENCE
    while not deployed.reached(ROUNDS, "share", 0):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{ROUNDS} rounds have not ended after {PATIENCE} seconds")
        time.sleep(0.5)
    superlink = deployed.deployment.superlink
    superlink.kill()
    print("killed the SuperLink at share", flush=True)
    superlink.start()
    superlink.wait_for("Uvicorn running")


def embedded():
    """The golden round's model without Flower: it starts from zeros, and so is the aggregate."""
    zeros, layout = (
        {"w": torch.zeros(STEPS.shape[1])},
        Layout.of({"w": torch.zeros(STEPS.shape[1])}),
    )
    release = SHIELDS["golden"].aggregate(
        torch.from_numpy(floats(STEPS)),
        cohort=NAMES,
        generator=Stream.replay(SEED),
        nonce=Stream.replay(SEED).child("train/0/nonce").bytes(16),
        model=model_hash(layout, layout.flatten(zeros)),
    )
    return release.update.numpy().astype("f").tobytes()


def main(root, timeout):
    began, table = time.monotonic(), Table()
    with Loopback(root, FAULTS, timeout=timeout) as deployed:
        print(f"deployed after {time.monotonic() - began:.0f} s", flush=True)
        first = deployed.submit(rounds=ROUNDS + 1)
        kill_superlink(deployed)
        status = deployed.run()
        golden = deployed.run("golden")
        lines, models = deployed.rounds(), deployed.models()
        whole = deployed.models("golden")[-1].tobytes() if deployed.models("golden") else b""
        written, ended = deployed.written, deployed.deployment.status(first)
    add_clients_faults(table, lines, models)
    resumed = models[ROUNDS + 1].tobytes() == models[ROUNDS].tobytes()
    happened, good = what_came(lines[-1], models[-1] - models[-2], NAMES)
    went_on = f"{ended}; the next one {'goes on' if resumed else 'DOES NOT GO ON'}: {happened}"
    table.add(f"round {ROUNDS + 1}: the SuperLink is killed at share", went_on, good and resumed)
    clear = leaks(written, models)
    table.add("raw updates in what the server received and kept", clear or "none", not clear)
    try:
        require_charged(Ledger(root / "server/run.db"), rounds=ROUNDS + 3)
        said, good = f"{ROUNDS + 3} rounds were opened, each is charged to each client", True
    except AssertionError:
        said, good = "charges and opened rounds DIFFER", False
    table.add("the ledger", said, good)
    same = whole == embedded()
    table.add("golden vectors", f"embedded and loopback are bit-equal: {same}", same)
    good = table.good and status == golden == "finished:completed"
    print(f"All as it should: {good}, after {time.monotonic() - began:.0f} s.")
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--timeout", type=float, default=120.0, help="seconds until an answer is too late"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="flower_faults_") as folder:
        sys.exit(main(Path(folder) / "root", args.timeout))

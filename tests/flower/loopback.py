"""A deployment on this machine in which SuperNodes and the SuperLink are killed."""

import json
import os
import sys
import threading
import time
from dataclasses import astuple, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from flower.exact_updates import N

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1] / "examples/flower_digits"))

from deployment import Deployment  # noqa: E402 - the example is no package

WAITS = "waits to be killed"
ORDER = [("advertise", 0), ("share", 0), ("mask", 0), ("unmask", 0), ("unmask", 1)]


class Loopback:
    """Run the faulty app on a SuperLink and five SuperNodes, with TLS and node authentication.

    A client whose fault is to be killed waits where it is, until its SuperNode and all that this
    started are gone; the SuperNode starts again once the others are past that exchange.
    """

    def __init__(self, root, faults=(), *, say=print, timeout=600.0):
        self.root, self.say, self.timeout = root, say, timeout
        self.faults = [fault for fault in faults if "killed" not in fault.kind]
        self.kills = [fault for fault in faults if "killed" in fault.kind]
        self.folders = [root / f"client-{k}" for k in range(N)]
        for folder in (*self.folders, root / "server"):
            folder.mkdir(parents=True)
        orders = [*self.faults, *(replace(fault, kind=WAITS) for fault in self.kills)]
        (root / "faults.json").write_text(json.dumps([astuple(fault) for fault in orders]))
        path = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(path)):
            self.deployment = Deployment(root, self.folders)
        self._stopped = threading.Event()
        self._killer = threading.Thread(target=self._kill, daemon=True)

    def __enter__(self):
        self.deployment.__enter__()
        self._killer.start()
        return self

    def __exit__(self, *error):
        self._stopped.set()
        self._killer.join()
        self.deployment.__exit__(*error)

    def submit(self, shield="exact", rounds=1):
        """Start a run of the app."""
        settings = {
            "folder": str(self.root / "server"),
            "shield": shield,
            "rounds": rounds,
            "timeout": self.timeout,
        }
        return self.deployment.submit(settings, app=HERE / "faulty_app")

    def run(self, shield="exact", rounds=1):
        """Start a run of the app, and wait until it ends: -> its status."""
        number = self.submit(shield, rounds)
        self.deployment.follow(number, self.say)
        return self.deployment.status(number)

    def rounds(self, shield="exact"):
        """What the server wrote down before the first round of each run, and after each round."""
        path = self.root / f"server/{shield}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def models(self, shield="exact"):
        return [np.array(line["model"], np.float32) for line in self.rounds(shield)]

    @property
    def written(self):
        """All that the server received, what the SuperLink keeps, and what processes logged."""
        files = [*self.root.glob("superlink.db*"), *self.root.glob("logs/*")]
        return b"\n".join(path.read_bytes() for path in [self.root / "server/wire", *files])

    def reached(self, number, stage, exchange):
        """Whether some client was written to in this exchange."""
        for folder in self.folders:
            path = folder / "letters.json"
            text = path.read_text() if path.exists() else ""
            if text and [number, stage, exchange] in [line[1:] for line in _lines(text)]:
                return True
        return False

    def _kill(self):
        for fault in self.kills:
            supernode = self.deployment.supernodes[fault.node_id - 1]
            waits = self.folders[fault.node_id - 1] / "waits"
            if not self._until(waits.exists):
                return
            waits.unlink()
            supernode.kill()
            self.say(f"killed SuperNode {fault.node_id} at {fault.stage} {fault.exchange}")
            if not self._until(lambda fault=fault: self._is_past(fault)):
                return
            supernode.start()

    def _is_past(self, fault):
        at = ORDER.index((fault.stage, fault.exchange)) + 1
        if at < len(ORDER):
            return self.reached(fault.round, *ORDER[at])
        return len([x for x in self.rounds() if x["survivors"] is not None]) > fault.round

    def _until(self, condition):
        while not condition():
            if self._stopped.is_set():
                return False
            time.sleep(0.2)
        return True


def _lines(text):
    try:
        return json.loads(text)
    except ValueError:  # it is being written
        return []

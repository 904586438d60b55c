"""A client of a Flower app in an operating system's process of its own."""

import multiprocessing
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)

from flower.apps_for_tests import Keys, guarded_app
from privfl.core import decode, encode
from privfl.flower._task_identity import act_as_server

# Processes are forked from one that has imported what is slow, and has no thread.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "flower.faulty_runs"])


def started(target, *args):
    """Start a function in a process of its own."""
    forked = multiprocessing.parent_process() is not None  # it may fork by itself
    context = multiprocessing.get_context("fork") if forked else FORKS
    process = context.Process(target=target, args=args)
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):  # for what is imported first
        process.start()
    return process


@dataclass(frozen=True)
class Job:
    """What a client's process needs to make its app: ``updates[k]`` is what client k learns."""

    shield: object
    updates: list
    folder: Path

    @property
    def keys(self):
        return Keys(len(self.updates))

    def app(self):
        return guarded_app(self.shield, self.updates, keys=self.keys)


@dataclass
class ClientProcess:
    """Hold one client's process.

    It keeps the client's ``Context``: who kills it takes that along. All that it sends or logs is
    in files of the job's folder too.
    """

    job: Job
    node_id: int

    def __post_init__(self):
        self._connection, other = multiprocessing.Pipe()
        self._process = started(_live, other, self.job, self.node_id)
        other.close()

    def ask(self, message, order=""):
        """Hand over a message with an order, and return the reply; None where it died of it."""
        self._connection.send_bytes(encode((order, _of_message(message))))
        try:
            data = self._connection.recv_bytes()
        except EOFError:
            self._process.join()
            assert self._process.exitcode == -signal.SIGKILL
            return None
        return _reply(decode(data), message)

    @property
    def alive(self):
        return self._process.exitcode is None

    def kill(self):
        self._process.kill()
        self._process.join()
        self._connection.close()


def _live(connection, job, node_id):
    """Answer messages until killed. Orders are about the reply, and about nothing else."""
    _hold_nothing_but(connection)
    log, wire = (job.folder / f"client-{node_id}.{end}" for end in ("log", "wire"))
    _write_to(log)
    torch.set_num_threads(1)
    act_as_server()
    app, n = job.app(), len(job.updates)
    config = {"partition-id": node_id - 1, "num-partitions": n}
    context, last = Context(0, node_id, config, RecordDict(), {}), None
    while True:
        try:
            order, said = decode(connection.recv_bytes())
        except EOFError:  # whoever started it is gone
            return
        if order == "die before work":
            os.kill(os.getpid(), signal.SIGKILL)
        made = content_of(app(_message(said), context))
        if order == "die after work":
            os.kill(os.getpid(), signal.SIGKILL)
        sent, last = (last if order == "say the last again" else made), made
        data = encode(sent)
        with wire.open("ab") as copy:
            copy.write(data)
        connection.send_bytes(data)


def _hold_nothing_but(connection):
    """Close what a fork inherits, so that the death of whoever started it is heard."""
    kept = connection.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


def _write_to(path):
    with path.open("ab") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())


# Messages as bytes: nothing is pickled, and arrays travel as they are.


def _of_message(message):
    about = message.metadata
    return (
        about.dst_node_id,
        about.message_type,
        float(about.ttl),
        about.group_id,
        content_of(message),
    )


def _message(said):
    node_id, kind, ttl, group_id, content = said
    return Message(_content(content), node_id, kind, ttl=ttl, group_id=group_id)


def content_of(message):
    if message.has_error():
        return {"error": (message.error.code, message.error.reason)}
    content = message.content
    arrays = {
        name: {key: (x.dtype, tuple(x.shape), x.stype, x.data) for key, x in record.items()}
        for name, record in content.array_records.items()
    }
    metrics = {name: dict(record) for name, record in content.metric_records.items()}
    configs = {name: dict(record) for name, record in content.config_records.items()}
    return {"arrays": arrays, "metrics": metrics, "configs": configs}


def _content(said):
    arrays = {
        name: ArrayRecord({key: Array(*x) for key, x in record.items()})
        for name, record in said["arrays"].items()
    }
    metrics = {name: MetricRecord(record) for name, record in said["metrics"].items()}
    configs = {name: ConfigRecord(record) for name, record in said["configs"].items()}
    return RecordDict(arrays | metrics | configs)


def _reply(said, to):
    if "error" in said:
        return Message(Error(*said["error"]), reply_to=to)
    return Message(_content(said), reply_to=to)

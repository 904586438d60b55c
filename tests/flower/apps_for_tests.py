"""Small Flower apps, guarded and plain, whose updates are given."""

import copy
import logging
from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg

from privfl.core import Registry
from privfl.crypto import Identity
from privfl.flower import InProcessGrid, client_mod, guard
from privfl.flower._letters import Ask
from privfl.rounds._envelope import Envelope

logging.getLogger("flwr").setLevel(logging.ERROR)  # Flower and the guard tell of every round


def record(**arrays):
    """Arrays by name as Flower carries them."""
    return ArrayRecord({name: Array(np.asarray(x)) for name, x in arrays.items()})


def arrays_of(record):
    """What `record` made a record of."""
    return {name: array.numpy() for name, array in record.items()}


@dataclass
class Keys:
    """The keys of ``n`` clients, called c0, c1, … by their partition."""

    n: int
    identities: list = field(init=False)

    def __post_init__(self):
        self.identities = [Identity.of(bytes([k + 1]) * 32) for k in range(self.n)]

    @property
    def names(self):
        return [f"c{k}" for k in range(self.n)]

    @property
    def registry(self):
        return Registry(
            {name: key.public for name, key in zip(self.names, self.identities, strict=True)}
        )

    def of(self, context):
        """The name and key of a node, as ``identity=`` wants them."""
        k = context.node_config["partition-id"]
        return self.names[k], self.identities[k]


def app_that_learns(updates, *mods, counts=None, losses=None):
    """An app whose client k adds ``updates[k]`` (arrays by name) to the model it was sent.

    ``counts`` and ``losses`` are what its metrics say; without counts there is no ``num-examples``.
    """
    app = ClientApp(mods=list(mods))

    def metrics(k):
        out = {} if counts is None else {"num-examples": counts[k]}
        return MetricRecord(out | ({} if losses is None else {"loss": losses[k]}))

    @app.train()
    def train(message, context):
        k = context.node_config["partition-id"]
        learned = {
            name: x + np.asarray(updates[k].get(name, 0), x.dtype)
            for name, x in arrays_of(message.content["arrays"]).items()
        }
        content = RecordDict({"arrays": record(**learned), "metrics": metrics(k)})
        return Message(content, reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        k = context.node_config["partition-id"]
        return Message(RecordDict({"metrics": metrics(k)}), reply_to=message)

    return app


def guarded_app(shield, updates, *, keys=None, counts=None, losses=None, **options):
    """`app_that_learns` behind the mod of ``shield``."""
    if keys is not None:
        options = {"registry": keys.registry, "identity": keys.of, **options}
    return app_that_learns(updates, client_mod(shield, **options), counts=counts, losses=losses)


def stage_of(message):
    """The stage of the protocol that a server's message belongs to, or ``hello``."""
    ask = Ask.of(message)
    return "hello" if ask.kind == "hello" else Envelope.read(ask.letter).stage


class WatchedGrid(InProcessGrid):
    """Keep every message both ways, and let tests change or lose what travels.

    ``ask(message)`` and ``reply(message, answer)`` are handed copies, and return what travels
    instead; None is lost.
    """

    def __init__(self, app, nodes, *, ask=None, reply=None):
        super().__init__(app, nodes)
        self.ask, self.reply = ask, reply
        self.asked, self.answered = [], []

    def send_and_receive(self, messages, *, timeout=None):
        return [reply for message in messages for reply in self._carried(copy.deepcopy(message))]

    def _carried(self, message):
        message = message if self.ask is None else self.ask(message)
        if message is None:
            return []
        self.asked.append(copy.deepcopy(message))
        replies = []
        for answer in super().send_and_receive([message]):
            self.answered.append(copy.deepcopy(answer))
            changed = answer if self.reply is None else self.reply(message, answer)
            replies += [] if changed is None else [changed]
        return replies


@dataclass
class Run:
    """A guarded run, and what came of it."""

    guarded: object
    grid: WatchedGrid
    result: object = None

    @property
    def arrays(self):
        return arrays_of(self.result.arrays)

    @property
    def history(self):
        return self.guarded.history

    def start(self, arrays, rounds=1):
        self.result = self.guarded.start(
            grid=self.grid, initial_arrays=arrays, num_rounds=rounds, timeout=1
        )
        return self


def ready(shield, app, n, *, strategy=None, ask=None, reply=None, **guarding):
    """A run of ``n`` nodes that waits for its ``start``."""
    strategy = FedAvg(fraction_evaluate=0.0) if strategy is None else strategy
    return Run(guard(strategy, shield, **guarding), WatchedGrid(app, n, ask=ask, reply=reply))

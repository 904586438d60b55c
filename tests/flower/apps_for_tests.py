"""Small Flower apps, guarded and plain, whose updates are given."""

from dataclasses import dataclass, field

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from privfl.core import Registry
from privfl.crypto import Identity
from privfl.flower import client_mod


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

"""privfl under Flower: one mod for the clients, one guard for the strategy, the same pipeline.

>>> import logging
>>> logging.getLogger("flwr").setLevel(logging.ERROR)
>>> import numpy as np
>>> from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
>>> from flwr.clientapp import ClientApp
>>> from flwr.serverapp.strategy import FedAvg
>>> from privfl import Pipeline
>>> from privfl.defenses.dp import Clip
>>> from privfl.flower import InProcessGrid, client_mod, guard
>>> shield = Pipeline(Clip(1.0), accepting={"uniform_weights"})
>>> app = ClientApp(mods=[client_mod(shield)])
>>> @app.train()
... def train(message, context):
...     trained = ArrayRecord({"w": Array(np.array([3.0, 4.0]) * context.node_id)})
...     metrics = MetricRecord({"num-examples": 10})
...     return Message(RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)
>>> strategy = guard(FedAvg(fraction_evaluate=0.0), shield)
>>> start = ArrayRecord({"w": Array(np.zeros(2))})
>>> result = strategy.start(grid=InProcessGrid(app, nodes=3), initial_arrays=start, num_rounds=1)
>>> result.arrays["w"].numpy()
array([0.6, 0.8])
>>> print(strategy.history[0])
train: 3 of 3
"""

from importlib.util import find_spec

if find_spec("flwr") is None:
    raise ImportError("privfl.flower stands on Flower: pip install 'privfl[flower]'")

from privfl.flower._client_mod import client_mod
from privfl.flower._guard import Guarded, guard
from privfl.flower._in_process_grid import InProcessGrid
from privfl.flower._policy import Policy
from privfl.flower._refusal import Reason
from privfl.flower._round_report import RoundReport

__all__ = [
    "Guarded",
    "InProcessGrid",
    "Policy",
    "Reason",
    "RoundReport",
    "client_mod",
    "guard",
]

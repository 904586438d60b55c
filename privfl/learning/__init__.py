"""Federated algorithms and local training: small statements that know nothing of the pipeline.

An algorithm says what clients optimise, what they share and how the server steps. Each is a page,
runs on the exchanges that `privfl.Federation` hands to it, and refuses what it does not go with.

>>> from privfl.learning import FedProx, FedOpt, LocalSGD, ServerAdam
>>> FedOpt(ServerAdam(lr=0.1), FedProx(mu=0.1)).keeps_partial_work
True
>>> LocalSGD(lr=0.2, steps=6).steps
6
"""

from privfl.learning._algorithm import Algorithm, Exchange, Train
from privfl.learning._as_trainer import as_trainer
from privfl.learning._centralised import Centralised
from privfl.learning._fedavg import FedAvg
from privfl.learning._fedbuff import FedBuff
from privfl.learning._fedopt import FedOpt
from privfl.learning._fedper import FedPer, batch_norms
from privfl.learning._fedprox import FedProx
from privfl.learning._fedrep import FedRep
from privfl.learning._fleet import Fleet
from privfl.learning._gossip import Gossip
from privfl.learning._heterofl import HeteroFL
from privfl.learning._hierfavg import HierFAVG
from privfl.learning._local_sgd import LocalSGD
from privfl.learning._masked_loss import masked
from privfl.learning._mixing import complete, contraction, metropolis, ring
from privfl.learning._perfedavg import PerFedAvg
from privfl.learning._qfedavg import QFedAvg
from privfl.learning._scaler import Scaler
from privfl.learning._server_optimizers import (
    ServerAdagrad,
    ServerAdam,
    ServerMomentum,
    ServerOptimizer,
    ServerYogi,
)
from privfl.learning._static_batch_norm import measured, static_batch_norm
from privfl.learning._together_sgd import TogetherSGD

__all__ = [
    "Algorithm",
    "Centralised",
    "Exchange",
    "FedAvg",
    "FedBuff",
    "FedOpt",
    "FedPer",
    "FedProx",
    "FedRep",
    "Fleet",
    "Gossip",
    "HeteroFL",
    "HierFAVG",
    "LocalSGD",
    "PerFedAvg",
    "QFedAvg",
    "Scaler",
    "ServerAdagrad",
    "ServerAdam",
    "ServerMomentum",
    "ServerOptimizer",
    "ServerYogi",
    "TogetherSGD",
    "Train",
    "as_trainer",
    "batch_norms",
    "complete",
    "contraction",
    "masked",
    "measured",
    "metropolis",
    "ring",
    "static_batch_norm",
]

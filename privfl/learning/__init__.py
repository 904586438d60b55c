"""Federated algorithms and local training: small statements that know nothing of the pipeline.

>>> from privfl.learning import FedAvg, LocalSGD
>>> LocalSGD(lr=0.2, steps=6).steps, FedAvg().loss_bound
(6, 10.0)
"""

from privfl.learning._algorithm import Algorithm, Exchange, Train
from privfl.learning._as_trainer import as_trainer
from privfl.learning._fedavg import FedAvg
from privfl.learning._local_sgd import LocalSGD
from privfl.learning._together_sgd import TogetherSGD

__all__ = ["Algorithm", "Exchange", "FedAvg", "LocalSGD", "TogetherSGD", "Train", "as_trainer"]

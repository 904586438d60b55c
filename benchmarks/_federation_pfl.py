"""A round of pfl-research's simulation, on its PyTorch backend."""

import os

os.environ["PFL_PYTORCH_DEVICE"] = "cpu"

from _federation_task import LOCAL, LOSS, Task, flat, in_order
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm import FederatedAveraging, NNAlgorithmParams
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import MinimizeReuseUserSampler
from pfl.hyperparam import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from torch import Tensor, nn
from torch.optim import SGD

NEVER = 1 << 40


class _Learner(nn.Module):
    """Give the model the two methods that pfl asks for."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return LOSS(self.net(x), y)

    def metrics(self, x: Tensor, y: Tensor) -> dict[str, Weighted]:
        return {"loss": Weighted(self.loss(x, y).item() * len(y), len(y))}


class _OneRound(TrainingProcessCallback):
    """Stop after each round, so that rounds of several engines take turns."""

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: PyTorchModel, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        del aggregate_metrics, model, central_iteration
        return True, Metrics()


class PflRounds:
    """Run FedAvg: every client each round, all of the same weight.

    Clients' datasets stand ready in memory; the first round also measures their losses.
    """

    def __init__(self, task: Task) -> None:
        self.learner = _Learner(task.model())
        self.model = PyTorchModel(self.learner, SGD, SGD(self.learner.parameters(), lr=1.0))
        users = [Dataset([x, y], user_id=str(k)) for k, (x, y) in enumerate(in_order(task))]
        sampler = MinimizeReuseUserSampler(range(task.n))
        data = FederatedDataset(users.__getitem__, sampler)
        self.backend = SimulatedBackend(training_data=data, val_data=data)
        self.algorithm = FederatedAveraging()
        self.rounds = NNAlgorithmParams(
            central_num_iterations=NEVER,
            evaluation_frequency=NEVER,
            train_cohort_size=task.n,
            val_cohort_size=0,
        )
        self.local = NNTrainHyperParams(
            local_num_epochs=None,
            local_num_steps=LOCAL.steps,
            local_learning_rate=LOCAL.lr,
            local_batch_size=LOCAL.batch_size,
        )

    def __call__(self) -> None:
        """Run a round."""
        self.algorithm.run(
            self.rounds,
            self.backend,
            self.model,
            self.local,
            callbacks=[_OneRound()],
            send_metrics_to_platform=False,
        )

    def weights(self) -> Tensor:
        """Return the global model's."""
        return flat(self.learner)

    def close(self) -> None:
        """Do nothing: everything is in this process."""

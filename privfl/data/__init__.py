"""Images that ship with the package, full MNIST from a folder, and ways to deal examples out.

A partitioner maps labels to one index tensor a client. Its result is a partition: every example
goes to exactly one client, and no client stays empty.

>>> from privfl.data import dirichlet, mnist_sample
>>> digits = mnist_sample()
>>> x, y = digits.train
>>> x.shape, y.bincount().tolist()
(torch.Size([5000, 1, 28, 28]), [500, 500, 500, 500, 500, 500, 500, 500, 500, 500])
>>> clients = dirichlet(y, 10, alpha=0.5, generator=0)
>>> len(clients), sum(len(rows) for rows in clients)
(10, 5000)
>>> datasets = [(x[rows], y[rows]) for rows in clients]
"""

from privfl.data._digits import Digits
from privfl.data._dirichlet import dirichlet
from privfl.data._idx import mnist
from privfl.data._iid import iid
from privfl.data._quantity import quantity
from privfl.data._sample import mnist_sample
from privfl.data._shards import shards

__all__ = ["Digits", "dirichlet", "iid", "mnist", "mnist_sample", "quantity", "shards"]

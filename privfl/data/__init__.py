"""Images and text that ship with the package, data made to measure, and ways to deal examples out.

A partitioner maps labels to one index tensor a client. Its result is a partition: every example
goes to exactly one client, and no client stays empty. `by_user` takes names of users instead, and
may leave small ones out. `synthetic` and `fraud` draw clients that come dealt, `kjv_sample` has a
client in each book.

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

from privfl.data._books import Books
from privfl.data._by_user import by_user
from privfl.data._digits import Digits
from privfl.data._dirichlet import dirichlet
from privfl.data._fraud import fraud
from privfl.data._idx import mnist
from privfl.data._iid import iid
from privfl.data._kjv import kjv_sample
from privfl.data._quantity import quantity
from privfl.data._sample import mnist_sample
from privfl.data._shards import shards
from privfl.data._site_skew import site_skew
from privfl.data._synthetic import synthetic, synthetic_iid

__all__ = [
    "Books",
    "Digits",
    "by_user",
    "dirichlet",
    "fraud",
    "iid",
    "kjv_sample",
    "mnist",
    "mnist_sample",
    "quantity",
    "shards",
    "site_skew",
    "synthetic",
    "synthetic_iid",
]

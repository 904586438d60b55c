"""Least squares over a few clients: what algorithms are compared with their papers on."""

import numpy as np
import torch
from torch import nn

from privfl import Federation, Pipeline
from privfl.learning import LocalSGD

DIM, SIZES, N = 4, (5, 6, 7, 8, 9), 5
LR, STEPS = 0.05, 3
LOCAL = LocalSGD(lr=LR, batch_size=1000, steps=STEPS)  # whole batches: no shuffle matters


def clients(n=N):
    """Data of ``n`` clients that want different weights: pairs of numpy arrays."""
    rng = np.random.default_rng(0)
    out = []
    for size in SIZES[:n]:
        x, w = rng.normal(size=(size, DIM)), rng.normal(size=DIM)
        out.append((x, x @ w + 0.1 * rng.normal(size=size)))
    return out


def line(width=1.0):
    """A linear model without a constant, in float64."""
    net = nn.Linear(int(DIM * width), 1, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.linspace(-1, 1, int(DIM * width))[None])
    return net


class Narrow(nn.Module):
    """A linear model that reads the first inputs only."""

    def __init__(self, width):
        super().__init__()
        self.weight = line(width).weight

    def forward(self, x):
        return x[:, : self.weight.shape[1]] @ self.weight.T


def squares(outputs, y):
    return ((outputs[:, 0] - y) ** 2).mean()


def federation(algorithm, pipeline=None, *, n=N, net=None, **options):
    options = {"local": LOCAL, "loss": squares} | options
    data = [tuple(map(torch.from_numpy, pair)) for pair in clients(n)]
    net = line() if net is None else net
    return Federation(net, data, pipeline or Pipeline(), algorithm=algorithm, **options)


def start():
    return line().weight.detach().numpy()[0].copy()


def weights(run):
    return run.model.weight.detach().numpy()[0].copy()

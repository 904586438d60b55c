"""Federated algorithms on least squares, as their papers write them, in plain numpy.

A client holds ``(X, y)``; its loss is ``mean((X w - y) ** 2)``, and it takes whole-batch steps.
"""

import numpy as np


def loss(w, data):
    x, y = data
    return np.mean((x @ w - y) ** 2)


def slope(w, data):
    x, y = data
    return 2 * x.T @ (x @ w - y) / len(y)


def local(w, data, *, lr, steps, mu=0.0):
    """Gradient descent on ``loss + mu / 2 * ||w - start||^2``."""
    start = w
    for _ in range(steps):
        w = w - lr * (slope(w, data) + mu * (w - start))
    return w


def fedavg(w, clients, *, lr, steps, mu=0.0):
    return np.mean([local(w, data, lr=lr, steps=steps, mu=mu) for data in clients], axis=0)


def qfedavg(w, clients, *, lr, steps, q):
    """Li et al. 2020, algorithm 2, with every client chosen."""
    ell, numerator, denominator = 1 / lr, 0.0, 0.0
    for data in clients:
        f = loss(w, data)
        delta_w = ell * (w - local(w, data, lr=lr, steps=steps))
        numerator = numerator + f**q * delta_w
        denominator += q * f ** (q - 1) * np.sum(delta_w**2) + ell * f**q
    return w - numerator / denominator


def perfedavg(w, clients, *, alpha, beta, steps):
    """Fallah et al. 2020, algorithm 1, whose Hessian is left out; both batches are everything."""
    ends = []
    for data in clients:
        v = w
        for _ in range(steps):
            v = v - beta * slope(v - alpha * slope(v, data), data)
        ends.append(v)
    return np.mean(ends, axis=0)


def heterofl(w, clients, widths, *, lr, steps):
    """Diao et al. 2021: a narrow client has the first coordinates only (and those inputs)."""
    total, heads = np.zeros_like(w), np.zeros_like(w)
    for (x, y), k in zip(clients, widths, strict=True):
        total[:k] += local(w[:k], (x[:, :k], y), lr=lr, steps=steps)
        heads[:k] += 1
    return np.where(heads > 0, total / np.maximum(heads, 1), w)


def fedbuff(w, clients, seconds, *, lr, steps, buffer, rounds, server_lr=1.0):
    """Nguyen et al. 2022, algorithm 1; who is done waits until the buffer is full."""
    versions, base = [w], [0] * len(clients)
    ready = list(map(float, seconds))
    times = []
    for _ in range(rounds):
        first = sorted(range(len(clients)), key=lambda k: (ready[k], k))[:buffer]
        now = max(ready[k] for k in first)
        step = 0.0
        for k in first:
            start = versions[base[k]]
            delta = local(start, clients[k], lr=lr, steps=steps) - start
            step = step + delta / np.sqrt(1 + len(versions) - 1 - base[k])
        versions.append(versions[-1] + server_lr * step / buffer)
        for k in first:
            base[k], ready[k] = len(versions) - 1, now + seconds[k]
        times.append(now)
    return versions[-1], times


def dpsgd(ws, clients, mixing, *, lr, steps):
    """Lian et al. 2017, algorithm 1: average the neighbours, and step from one's own model."""
    ws = np.asarray(ws)
    moves = [local(w, data, lr=lr, steps=steps) - w for w, data in zip(ws, clients, strict=True)]
    return np.asarray(mixing) @ ws + np.asarray(moves)


def self_centred(ws, mixing, tau):
    """He et al. 2022, equation 2: each node clips the others' models around its own."""
    out = []
    for i, own in enumerate(ws):
        moved = own.copy()
        for j, other in enumerate(ws):
            gap = other - own
            length = np.linalg.norm(gap)
            moved += mixing[i][j] * (gap if length <= tau else gap * tau / length)
        out.append(moved)
    return np.asarray(out)


def hierfavg(w, edges, *, lr, steps, edge_rounds):
    """Liu et al. 2020, algorithm 1, with clients of one size."""
    means, sizes = [], []
    for clients in edges:
        v = w
        for _ in range(edge_rounds):
            v = fedavg(v, clients, lr=lr, steps=steps)
        means.append(v)
        sizes.append(len(clients))
    return np.average(means, axis=0, weights=sizes)


def adaptive(kind, deltas, *, lr, beta_1, beta_2, tau):
    """Reddi et al. 2021, algorithm 2: the sum of all steps."""
    m, v, x = np.zeros_like(deltas[0]), np.full_like(deltas[0], tau**2), np.zeros_like(deltas[0])
    for delta in deltas:
        m = beta_1 * m + (1 - beta_1) * delta
        if kind == "adagrad":
            v = v + delta**2
        elif kind == "yogi":
            v = v - (1 - beta_2) * delta**2 * np.sign(v - delta**2)
        else:
            v = beta_2 * v + (1 - beta_2) * delta**2
        x = x + lr * m / (np.sqrt(v) + tau)
    return x

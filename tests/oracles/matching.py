"""Pairing, correlation and identification by trying everything."""

import itertools

import numpy as np


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def best_pairs(correlations):
    """The pairs (row, column) of greatest sum, over all injections of the shorter side."""
    c = np.asarray(correlations)
    if c.shape[0] > c.shape[1]:
        return sorted((i, j) for j, i in best_pairs(c.T))
    columns = range(c.shape[1])
    best = max(
        itertools.permutations(columns, c.shape[0]),
        key=lambda chosen: sum(c[i, j] for i, j in enumerate(chosen)),
    )
    return list(enumerate(best))


def is_nearest(image, true, others):
    """Whether the true image correlates with ``image`` more than each of the others."""
    own = correlation(image, true)
    return all(own > correlation(image, other) for other in others)

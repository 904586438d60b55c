"""Randomised response: the profile of many answers, by adding up all outcomes."""

import math


def delta_of_answers(epsilon: float, chance_of_truth: float, n: int) -> float:
    """``n`` answers between two buckets, replaced: sum over how many came out true."""
    p, q = 1 - chance_of_truth + chance_of_truth / 2, chance_of_truth / 2
    total = 0.0
    for k in range(n + 1):
        here = math.comb(n, k) * p**k * q ** (n - k)
        there = math.comb(n, k) * q**k * p ** (n - k)
        total += max(0.0, here - math.exp(epsilon) * there)
    return total

"""Synthetic(alpha, beta) and the card payments, one number at a time from their definitions."""

import math
import random


def labelled(noise, model, v):
    """Examples of Li et al. 2020, section 5.1: softmax written out, from given Gaussians."""
    xs, ys = [], []
    for row in noise:
        x = [v[j] + math.sqrt((j + 1) ** -1.2) * row[j] for j in range(60)]
        scores = [w[60] + sum(w[j] * x[j] for j in range(60)) for w in model]
        top = max(scores)
        total = sum(math.exp(score - top) for score in scores)
        chances = [math.exp(score - top) / total for score in scores]
        xs.append(x)
        ys.append(chances.index(max(chances)))
    return xs, ys


def client(alpha, beta, size, seed):
    """One whole client under Python's own generator: -> (x, y)."""
    draw = random.Random(seed).gauss
    u, place = draw(0, alpha), draw(0, beta)
    model = [[draw(u, 1) for _ in range(61)] for _ in range(10)]
    v = [draw(place, 1) for _ in range(60)]
    return labelled([[draw(0, 1) for _ in range(60)] for _ in range(size)], model, v)


SHIFTS = (0.9, 0.8, 0.7)
GENUINE, FRAUD = (0.40, 0.20, 0.20, 0.05, 0.15), (0.10, 0.10, 0.10, 0.20, 0.50)


def hours(peak):
    """Chance of each hour of a payment that gathers around ``peak``."""
    heights = [math.exp(0.5 * math.cos(2 * math.pi * (hour - peak) / 24)) for hour in range(24)]
    return [height / sum(heights) for height in heights]


def log_odds(row):
    """Log-likelihood ratio of fraud for a row of the table, as written in its description."""
    amount, sine, cosine, distance, velocity, *kinds = row
    hour = round(math.atan2(sine, cosine) * 24 / (2 * math.pi)) % 24
    scaled = ((amount - 3.5) / 1.2, distance - 1.5, velocity / 0.7)
    gaussian = sum(s * z - s * s / 2 for s, z in zip(SHIFTS, scaled, strict=True))
    kind = kinds.index(1.0)
    return (
        gaussian
        + math.log(hours(3)[hour] / hours(15)[hour])
        + math.log(FRAUD[kind] / GENUINE[kind])
    )


def best_area():
    """Chance that fraud has the larger log odds: a Gaussian tail for each pair of hours and kinds.

    Given those, the odds differ by a Gaussian of mean |s|^2 and variance 2 |s|^2 and a constant.
    """
    square, cells = sum(s * s for s in SHIFTS), []
    for hour in range(24):
        for kind in range(5):
            chances = hours(15)[hour] * GENUINE[kind], hours(3)[hour] * FRAUD[kind]
            cells.append((*chances, math.log(chances[1] / chances[0])))
    return sum(
        q * p * (1 + math.erf((square + high - low) / (2 * math.sqrt(square)))) / 2
        for p, _, low in cells
        for _, q, high in cells
    )

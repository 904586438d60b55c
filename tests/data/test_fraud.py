import math

import numpy as np
import pytest
import torch
from scipy import stats

from oracles.synthetic import FRAUD, GENUINE, best_area, hours, log_odds
from privfl.data import fraud


def area(scores, y):
    """Mann and Whitney's count, ties halved: the area under the ROC curve."""
    ranks = stats.rankdata(scores)
    n, n_fraud = len(y), int(y.sum())
    return (ranks[y == 1].sum() - n_fraud * (n_fraud + 1) / 2) / (n_fraud * (n - n_fraud))


@pytest.fixture(scope="module")
def table():
    """40,000 payments with a tenth fraud: x, y and the best scores."""
    clients = fraud(8, 5000, rate=0.1, generator=0)
    x, y = (torch.cat(columns).double().numpy() for columns in zip(*clients, strict=True))
    return x, y, np.array([log_odds(row) for row in x.tolist()])


def test_the_best_answer_has_the_stated_area(table):
    """A bound on its standard error (Hanley and McNeil): five of them, a false alarm of 6e-7."""
    _, y, scores = table
    stated = best_area()
    assert stated == pytest.approx(0.9134, abs=5e-5)
    error = math.sqrt(stated * (1 - stated) / min(y.sum(), len(y) - y.sum()))
    assert abs(area(scores, y) - stated) < 5 * error


def test_the_scores_are_calibrated_odds(table):
    """Of payments with chances in a range, that share is fraud: five standard errors, 6e-7 each.

    Banks differ in their rates only, so over all of them the prior is the share of fraud.
    """
    _, y, scores = table
    prior = y.mean()
    chances = 1 / (1 + np.exp(-scores) * (1 - prior) / prior)
    for low, high in [(0, 0.05), (0.05, 0.3), (0.3, 0.7), (0.7, 1.0)]:
        inside = (low < chances) & (chances <= high)
        p = chances[inside].mean()
        error = math.sqrt(p * (1 - p) / inside.sum())
        assert abs(y[inside].mean() - p) < 5 * error


def test_logistic_regression_reaches_it(table):
    x, y, _ = (torch.from_numpy(column) for column in table)
    z = (x - x.mean(dim=0)) / x.std(dim=0)
    weights = torch.zeros(11, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50)

    def loss():
        optimizer.zero_grad()
        scores = z[:20_000] @ weights[:10] + weights[10]
        value = torch.nn.functional.binary_cross_entropy_with_logits(scores, y[:20_000])
        value.backward()
        return value

    optimizer.step(loss)
    scores = (z[20_000:] @ weights[:10]).detach().numpy()
    found, best = area(scores, y[20_000:].numpy()), area(table[2][20_000:], y[20_000:].numpy())
    assert best - 0.005 < found < best + 0.002


@pytest.mark.parametrize("kind", [0, 1])
def test_columns_are_distributed_as_stated(table, kind):
    """Tests at 1e-6 each, seed fixed: three normals, a chi-square of hours, one of merchants."""
    x, y, _ = table
    rows = x[y == kind]
    for column, mean, deviation, shift in [
        (0, 3.5, 1.2, 0.9), (3, 1.5, 1.0, 0.8), (4, 0.0, 0.7, 0.7),
    ]:  # fmt: skip
        normal = stats.norm(mean + kind * shift * deviation, deviation)
        assert stats.kstest(rows[:, column], normal.cdf).pvalue > 1e-6
    hour = np.round(np.arctan2(rows[:, 1], rows[:, 2]) * 12 / math.pi).astype(int) % 24
    wanted = len(rows) * np.array(hours((15, 3)[kind]))
    assert stats.chisquare(np.bincount(hour, minlength=24), wanted).pvalue > 1e-6
    wanted = len(rows) * np.array((GENUINE, FRAUD)[kind])
    assert stats.chisquare(rows[:, 5:].sum(axis=0), wanted).pvalue > 1e-6


@pytest.mark.parametrize("kind", [0, 1])
def test_columns_are_independent_given_the_answer(table, kind):
    """Amount, hour, distance, velocity, one merchant: correlations of 5 / sqrt(n), 6e-7 each."""
    x, y, _ = table
    rows = x[y == kind][:, [0, 1, 2, 3, 4, 9]]
    correlations = np.corrcoef(rows.T)
    np.fill_diagonal(correlations, 0)
    correlations[1, 2] = correlations[2, 1] = 0  # sine and cosine are of the same hour
    assert np.abs(correlations).max() < 5 / math.sqrt(len(rows))


def test_rows_say_one_hour_and_one_merchant(table):
    x, _, _ = table
    assert x.shape[1] == 10
    assert np.allclose(x[:, 1] ** 2 + x[:, 2] ** 2, 1, atol=1e-6)
    assert set(x[:, 5:].ravel()) == {0.0, 1.0}
    assert (x[:, 5:].sum(axis=1) == 1).all()


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_share_of_fraud_is_the_rate_on_average_and_banks_scatter(spread):
    """2,000 banks of 200, five standard errors of mean and of variance: 6e-7 each, seed fixed."""
    clients = fraud(2000, 200, rate=0.05, spread=spread, generator=0)
    shares = np.array([y.double().mean() for _, y in clients])
    variance = 0.05**2 * (math.exp(spread**2) - 1)  # of the lognormal, and of 200 coins:
    variance += 0.05 * (1 - 0.05 * math.exp(spread**2)) / 200
    assert abs(shares.mean() - 0.05) < 5 * math.sqrt(variance / 2000)
    kurtosis = 9 if spread else 3.1  # that of a lognormal of deviation 1/2; of 200 coins
    assert abs(shares.var() / variance - 1) < 5 * math.sqrt((kurtosis - 1) / 2000)


def test_about_one_in_a_hundred_is_fraud():
    """50,000 payments of equal banks: 500 +- 22, five of them are 6e-7, and the seed is fixed."""
    total = sum(int(y.sum()) for _, y in fraud(5, 10_000, spread=0, generator=1))
    assert abs(total - 500) < 5 * math.sqrt(500)


def test_a_seed_repeats_and_types_are_those_of_a_model():
    first, again, other = (fraud(2, 50, generator=seed) for seed in (0, 0, 1))
    for (x, y), (same_x, same_y) in zip(first, again, strict=True):
        assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
    assert not torch.equal(first[0][0], other[0][0])
    assert not torch.equal(first[0][0], first[1][0])


@pytest.mark.parametrize(
    ("n_clients", "n_examples", "rate", "spread", "said"),
    [
        (0, 1, 0.01, 0.5, "n_clients must be a whole number of at least 1"),
        (1, 0, 0.01, 0.5, "n_examples must be a whole number of at least 1"),
        (1, 1, 0.0, 0.5, r"rate must be in \(0, 0.1\]. Found 0.0"),
        (1, 1, 0.2, 0.5, r"rate must be in \(0, 0.1\]. Found 0.2"),
        (1, 1, math.nan, 0.5, r"rate must be in \(0, 0.1\]. Found nan"),
        (1, 1, 0.01, -0.1, "spread must be from 0 to 2. Found -0.1"),
    ],
)
def test_a_table_that_cannot_be_is_refused(n_clients, n_examples, rate, spread, said):
    with pytest.raises(ValueError, match=said):
        fraud(n_clients, n_examples, rate=rate, spread=spread)

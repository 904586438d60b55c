import math

import numpy as np
import pytest
import torch
from scipy import stats

from oracles.synthetic import client, labelled
from privfl.crypto import Stream
from privfl.data import synthetic, synthetic_iid
from privfl.data._synthetic import examples, sizes

SIGMA = np.arange(1, 61) ** -1.2


def test_examples_and_labels_are_those_of_the_definition():
    stream = Stream.replay(0)
    model, v = stream.normal((10, 61)), stream.normal((60,)) / 10
    x, y = examples(40, model, v, Stream.replay(1))
    noise = Stream.replay(1).normal((40, 60))
    xs, ys = labelled(noise.tolist(), model.tolist(), v.tolist())
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert y.tolist() == ys
    assert torch.allclose(x, torch.tensor(xs), rtol=0, atol=1e-6)
    assert len(set(ys)) > 2


def test_every_client_draws_a_place_and_a_model_of_its_own():
    """The draws, in the order of the definition, given to the oracle; 25 examples a client."""
    stream = Stream.replay(4)
    for size, (x, y) in zip(sizes(3, stream), synthetic(2.0, 0.3, 3, generator=4), strict=True):
        u, place = (stream.normal((2,)) * torch.tensor([2.0, 0.3]).double()).tolist()
        model = [[u + w for w in row] for row in stream.normal((10, 61)).tolist()]
        v = [place + z for z in stream.normal((60,)).tolist()]
        xs, ys = labelled(stream.normal((size, 60))[:25].tolist(), model, v)
        assert len(y) == size
        assert y[:25].tolist() == ys
        assert torch.allclose(x[:25], torch.tensor(xs), rtol=0, atol=1e-5)


def test_the_constant_of_a_linear_model_counts():
    model = torch.zeros(10, 61, dtype=torch.float64)
    model[7, 60] = 1.0
    _, y = examples(5, model, torch.zeros(60).double(), Stream.replay(0))
    assert y.tolist() == [7] * 5


def test_sizes_are_50_and_the_whole_part_of_a_lognormal():
    """Shares of 4,000 sizes at seven places: five standard errors, 4e-6, and the seed is fixed."""
    found = np.array(sizes(4000, Stream.replay(0))) - 50
    assert found.min() >= 0
    for most in (0, 4, 19, 54, 150, 400, 3000):
        chance = stats.norm(4, 2).cdf(math.log(most + 1))  # of a lognormal below most + 1
        error = math.sqrt(chance * (1 - chance) / 4000)
        assert abs((found <= most).mean() - chance) < 5 * error


@pytest.mark.parametrize("beta", [0.0, 0.5, 3.0])
def test_features_scatter_as_defined_within_and_between_clients(beta):
    """80 clients. Each chi-square leaves its 1e-6 and 1 - 1e-6 quantiles with odds of 2e-6."""
    clients = [x.double().numpy() for x, _ in synthetic(1.0, beta, 80, generator=1)]
    means = np.stack([x.mean(axis=0) for x in clients])
    within = sum(((x - x.mean(axis=0)) ** 2).sum(axis=0) for x in clients)
    assert all(_is_chi_square(s, sum(map(len, clients)) - 80) for s in within / SIGMA)
    # a client's mean of feature j is B_k, a Gaussian of its own, and what is left of the noise
    ns = np.array([len(x) for x in clients])[:, None]
    apart = (means - means.mean(axis=1, keepdims=True)) ** 2 / (1 + SIGMA / ns)
    assert _is_chi_square(apart.sum(), 80 * 59, slack=0.001)
    places = means.mean(axis=1)
    assert _is_chi_square((places**2).sum() / (beta**2 + 1 / 60), 80, slack=0.01)


def _is_chi_square(total, degrees, slack=0.0):
    low, high = stats.chi2(degrees).ppf([1e-6, 1 - 1e-6])
    return low * (1 - slack) < total < high * (1 + slack)


def test_labels_are_as_uneven_as_those_of_the_definition():
    """Share of a client's first and second label, 60 clients against 120 of the oracle.

    Two samples of one distribution have a p-value below 1e-5 with odds of 1e-5; seed fixed.
    """
    found = [y[:60] for _, y in synthetic(1.0, 1.0, 120, generator=2)]
    wanted = [torch.tensor(client(1.0, 1.0, 60, seed)[1]) for seed in range(60)]
    for place in (-1, -2):
        one, two = ([_share(y[:50], place) for y in ys] for ys in (found, wanted))
        assert stats.ks_2samp(one, two).pvalue > 1e-5


def _share(y, place):
    return y.bincount(minlength=10).sort().values[place].item() / len(y)


def test_alpha_moves_all_scores_alike_and_therefore_no_label():
    one, two = (synthetic(alpha, 1.0, 10, generator=0) for alpha in (0.0, 5.0))
    for (x, y), (same_x, same_y) in zip(one, two, strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)


def test_clients_have_models_of_their_own_unless_iid():
    """The share of one label is the same for all iid clients, up to five standard errors (6e-7).

    15 clients and ten labels: 9e-5 at a seed, and the seed is fixed.
    """

    def spread(clients):
        large = [y for _, y in clients if len(y) >= 100]
        pooled = torch.cat(large).bincount(minlength=10) / sum(map(len, large))
        worst = 0.0
        for y in large:
            error = (pooled * (1 - pooled) / len(y)).sqrt() + 1 / len(y)
            gap = (y.bincount(minlength=10) / len(y) - pooled).abs()
            worst = max(worst, float((gap / error).max()))
        return worst

    assert spread(synthetic_iid(20, generator=0)) < 5
    assert spread(synthetic(0.0, 0.0, 20, generator=0)) > 10


def test_iid_features_are_centred_and_scatter_as_defined():
    """Chi-squares of all examples: 2e-6 for each of 120."""
    x = torch.cat([x for x, _ in synthetic_iid(20, generator=3)]).double().numpy()
    assert all(_is_chi_square(s, len(x)) for s in (x**2).sum(axis=0) / SIGMA)
    assert (np.abs(x.mean(axis=0)) < 5 * np.sqrt(SIGMA / len(x))).all()


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: synthetic(1, 1, 3, generator=seed),
        lambda seed: synthetic_iid(3, generator=seed),
    ],
    ids=["synthetic", "iid"],
)
def test_a_seed_repeats(draw):
    first, again, other = draw(0), draw(0), draw(1)
    for (x, y), (same_x, same_y) in zip(first, again, strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
    assert not torch.equal(first[0][0][:50], other[0][0][:50])


@pytest.mark.parametrize(
    ("alpha", "beta", "n", "said"),
    [
        (-1.0, 0.0, 2, "alpha must be finite and at least 0. Found -1.0"),
        (0.0, math.inf, 2, "beta must be finite and at least 0. Found inf"),
        (math.nan, 0.0, 2, "alpha must be finite and at least 0. Found nan"),
        (0.0, 0.0, 0, "n_clients must be a whole number of at least 1"),
    ],
)
def test_what_is_no_distribution_is_refused(alpha, beta, n, said):
    with pytest.raises(ValueError, match=said):
        synthetic(alpha, beta, n)

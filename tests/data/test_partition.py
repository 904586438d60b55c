"""The laws of the partitioners: tables of partitioners times drawn labels."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from privfl.crypto import Stream
from privfl.data import dirichlet, iid, quantity, shards, site_skew
from privfl.data._deal import proportions, uneven

ALPHAS = st.sampled_from([1e-300, 1e-3, 0.1, 0.5, 1.0, 100.0, 1e300])


@st.composite
def labelled(draw):
    """Labels of any skew and a number of clients that they are enough for."""
    labels = draw(st.lists(st.integers(-2, 9), min_size=1, max_size=60))
    return torch.tensor(labels), draw(st.integers(1, len(labels)))


def assert_partition(parts, labels, n_clients, min_size=1):
    assert len(parts) == n_clients
    assert all(part.dtype == torch.int64 and len(part) >= min_size for part in parts)
    assert all((part.diff() > 0).all() for part in parts)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(labels)))


@given(labelled(), st.integers(0, 99))
def test_iid_is_a_partition_into_equal_parts(case, seed):
    labels, n_clients = case
    parts = iid(labels, n_clients, generator=seed)
    assert_partition(parts, labels, n_clients)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("skew", [dirichlet, quantity])
@given(labelled(), ALPHAS, st.integers(1, 3), st.integers(0, 99))
def test_a_skew_is_a_partition_that_leaves_nobody_below_min_size(skew, case, alpha, least, seed):
    labels, n_clients = case
    assume(n_clients * least <= len(labels))
    parts = skew(labels, n_clients, alpha=alpha, min_size=least, generator=seed)
    assert_partition(parts, labels, n_clients, least)


@given(labelled(), ALPHAS, st.integers(1, 3), st.integers(0, 99))
def test_sites_are_a_partition_that_leaves_nobody_below_min_size(case, alpha, least, seed):
    labels, n_sites = case
    assume(n_sites * least <= len(labels))
    sizes = [3.0**k for k in range(n_sites)]
    parts = site_skew(labels, sizes, alpha=alpha, min_size=least, generator=seed)
    assert_partition(parts, labels, n_sites, least)


@given(labelled(), st.sampled_from([1, 2, 4, 8]), ALPHAS, st.integers(0, 99))
def test_sites_of_one_size_are_dealt_as_by_label_skew(case, n_sites, alpha, seed):
    """Powers of two, whose shares are exact: another rounding may move an example."""
    labels, _ = case
    assume(n_sites <= len(labels))
    sites = site_skew(labels, [1.0] * n_sites, alpha=alpha, generator=seed)
    plain = dirichlet(labels, n_sites, alpha=alpha, generator=seed)
    assert all(torch.equal(a, b) for a, b in zip(sites, plain, strict=True))


@given(labelled(), st.integers(1, 4), st.integers(0, 99))
def test_shards_are_a_partition_into_exactly_k_labels(case, k, seed):
    labels, n_clients = case
    names, counts = labels.unique(return_counts=True)
    most = -(-n_clients * k // len(names))  # the holders of the label that most clients hold
    assume(k <= len(names) <= n_clients * k and counts.min() >= most)
    parts = shards(labels, n_clients, labels_per_client=k, generator=seed)
    assert_partition(parts, labels, n_clients)
    held = [set(labels[part].tolist()) for part in parts]
    assert all(len(names) == k for names in held)
    holders = [sum(name in names for names in held) for name in names.tolist()]
    assert max(holders) - min(holders) <= 1


def test_shards_give_other_pairs_under_another_seed():
    labels = torch.arange(10).repeat(10)
    one, two = (shards(labels, 10, labels_per_client=2, generator=seed) for seed in (0, 1))
    assert [labels[p].unique().tolist() for p in one] != [labels[p].unique().tolist() for p in two]


CASES = {
    "iid": lambda labels, source: iid(labels, 5, generator=source),
    "dirichlet": lambda labels, source: dirichlet(labels, 5, alpha=0.5, generator=source),
    "quantity": lambda labels, source: quantity(labels, 5, alpha=0.5, generator=source),
    "shards": lambda labels, source: shards(labels, 5, labels_per_client=1, generator=source),
    "sites": lambda labels, source: site_skew(labels, (3, 1, 1, 2, 3), alpha=1, generator=source),
}


@pytest.mark.parametrize("partition", CASES.values(), ids=CASES.keys())
class TestEveryPartitioner:
    labels = torch.arange(2).repeat(90)

    def test_repeats_under_a_seed_and_changes_with_it(self, partition):
        first, again, other = (partition(self.labels, seed) for seed in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=False))

    def test_takes_a_generator_or_a_stream(self, partition):
        generators = [torch.Generator().manual_seed(3) for _ in range(2)]
        for pair in (generators, [Stream.replay(3), Stream.replay(3)]):
            one, two = (partition(self.labels, source) for source in pair)
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))

    def test_leaves_the_global_random_state_alone(self, partition):
        before = torch.random.get_rng_state()
        partition(self.labels, None)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_does_not_keep_the_order_of_the_file(self, partition):
        """Without a shuffle a client gets a run of neighbours: of one writer, or of one day."""
        for rows in partition(self.labels, 0):
            for label in self.labels[rows].unique():
                mine = rows[self.labels[rows] == label] // 2  # its places among those of the label
                assert len(mine) < 3 or mine.diff().max() > 1

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ([0, 1, 2], "Found list. Use torch.as_tensor"),
            (torch.zeros(9), "Found shape .9,. of torch.float32"),
            (torch.zeros(9, 1, dtype=torch.int64), "Found shape .9, 1. of torch.int64"),
            (torch.arange(4), "at most the number of examples, 4. Found 5. Take fewer clients"),
        ],
    )
    def test_refuses_labels_it_cannot_deal(self, partition, labels, said):
        with pytest.raises(ValueError, match=said):
            partition(labels, 0)


def test_a_large_alpha_gives_every_client_the_same_mixture():
    labels = torch.arange(10).repeat(50)
    parts = dirichlet(labels, 5, alpha=1e9, generator=0)
    assert all(labels[part].bincount().tolist() == [10] * 10 for part in parts)


def test_a_small_alpha_gives_each_label_to_one_client():
    labels = torch.arange(10).repeat(50)
    parts = dirichlet(labels, 3, alpha=1e-6, generator=0)
    holders = [sum(bool((labels[part] == label).any()) for part in parts) for label in range(10)]
    assert holders == [1] * 10


def test_quantity_skew_keeps_the_mixture():
    """Every client's labels are a random draw: 1,000 of them hold 400 to 600 of two equal labels.

    Six standard deviations: a false alarm is one in a billion, and the seed is fixed.
    """
    labels = torch.arange(2).repeat(20_000)
    parts = quantity(labels, 10, alpha=0.5, min_size=1000, generator=0)
    for part in parts:
        ones = int(labels[part].sum())
        assert abs(ones - len(part) / 2) < 3 * len(part) ** 0.5


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 20.0])
def test_one_share_of_a_dirichlet_is_a_beta(alpha):
    """The marginal of Dirichlet(a, ..., a) is Beta(a, (n - 1) a). False alarm: 1e-4, seed fixed."""
    stream = Stream.replay(0)
    drawn = np.array([proportions(4, alpha, stream)[0].item() for _ in range(2000)])
    assert stats.kstest(drawn, stats.beta(alpha, 3 * alpha).cdf).pvalue > 1e-4


@pytest.mark.parametrize("scale", [0.05, 1.0, 20.0])
def test_each_share_of_an_uneven_dirichlet_is_a_beta(scale):
    """Share k of Dirichlet(a) is Beta(a_k, sum a - a_k). False alarm: 3e-4, seed fixed."""
    alphas, stream = scale * torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64), Stream.replay(1)
    drawn = torch.stack([uneven(alphas, stream) for _ in range(2000)]).numpy()
    for k, a in enumerate(alphas.tolist()):
        assert stats.kstest(drawn[:, k], stats.beta(a, 7 * scale - a).cdf).pvalue > 1e-4


def test_a_large_alpha_leaves_sites_of_the_given_sizes_with_one_mixture():
    labels = torch.arange(10).repeat(60)
    parts = site_skew(labels, (3, 2, 1), alpha=1e9, generator=0)
    found = [labels[part].bincount().tolist() for part in parts]
    assert found == [[30] * 10, [20] * 10, [10] * 10]


def test_a_small_alpha_gives_each_label_to_one_site_and_more_of_them_to_a_large_one():
    """40 labels for a site of weight 3/4: 30 +- 2.7 on average, 16 to 40 with odds of 1e-6."""
    labels = torch.arange(40).repeat(50)
    parts = site_skew(labels, (3, 1), alpha=1e-6, generator=0)
    large, small = (set(labels[part].tolist()) for part in parts)
    assert large.isdisjoint(small)
    assert 16 <= len(large) < 40


def test_a_site_holds_its_share_on_average():
    """Mean over 400 seeds of shares of deviation below 1/2: 5 standard errors, 6e-7 a site."""
    labels, sizes = torch.arange(4).repeat(100), (5.0, 3.0, 2.0)
    held = torch.tensor(
        [
            [len(part) / 400 for part in site_skew(labels, sizes, alpha=0.5, generator=seed)]
            for seed in range(400)
        ]
    )
    error = 5 * held.std(dim=0) / 400**0.5
    assert ((held.mean(dim=0) - torch.tensor([0.5, 0.3, 0.2])).abs() < error).all()


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1, 0), r"sizes\[1\] must be positive. Found 0"),
        ((float("nan"), 1), r"sizes\[0\] must be positive. Found nan"),
        ((), "n_clients must be a whole number of at least 1. Found 0"),
    ],
)
def test_sites_must_have_a_size(sizes, said):
    with pytest.raises(ValueError, match=said):
        site_skew(torch.arange(4), sizes, alpha=1.0)


def test_sites_need_a_positive_alpha():
    with pytest.raises(ValueError, match="alpha must be positive"):
        site_skew(torch.arange(4), (1, 2), alpha=0)


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan"), float("inf"), "a"])
@pytest.mark.parametrize("skew", [dirichlet, quantity])
def test_alpha_must_be_positive(skew, alpha):
    with pytest.raises(ValueError, match="alpha must be positive"):
        skew(torch.arange(4), 2, alpha=alpha)


@pytest.mark.parametrize(
    ("labels", "n_clients", "k", "said"),
    [
        ([0, 1], 2, 3, "at most 2, the number of labels. Found 3"),
        ([0, 1, 2], 2, 1, "at least 3, the number of labels. Found 2"),
        ([0, 1, 1, 1], 2, 2, "label 0 must have an example for each of its 2 holders. Found 1"),
        ([0, 1], 2, 0, "labels_per_client must be a whole number of at least 1. Found 0"),
    ],
)
def test_shards_refuse_what_they_cannot_deal(labels, n_clients, k, said):
    with pytest.raises(ValueError, match=said):
        shards(torch.tensor(labels), n_clients, labels_per_client=k, generator=0)

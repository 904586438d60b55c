"""A victim is identified where its image is nearest in a crowd of its own label."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from oracles.matching import is_nearest
from privfl.crypto import Stream
from privfl.evaluate._identify import identify, identify_null
from privfl.evaluate._pool import Pool


def made_up(n, *, labels=2, seed=0):
    images = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    return images, torch.arange(n) % labels


CROWD, LABELS = made_up(600)
POOL = Pool(CROWD, LABELS)


@given(st.permutations(range(5)))
def test_a_perfect_batch_in_any_order_is_identified(order):
    truth, labels = CROWD[:5], LABELS[:5]
    assert identify(truth[list(order)], truth, labels, POOL, Stream.replay(0)).all()


@pytest.mark.parametrize(("n_images", "n_truth"), [(2, 5), (5, 2)])
def test_only_assigned_pairs_are_counted(n_images, n_truth):
    truth, labels = CROWD[:n_truth], LABELS[:n_truth]
    assert identify(CROWD[:n_images], truth, labels, POOL, Stream()).tolist() == [True, True]


def test_it_is_what_trying_everybody_says():
    """With the whole pool in the crowd there is no chance in it."""
    truth, labels = CROWD[:20], LABELS[:20]
    pool = Pool(CROWD[20:200], LABELS[20:200])
    for k in range(20):
        blurred = 0.25 * truth[k] + 0.75 * torch.rand(1, 1, 6, 6)
        found = identify(blurred, truth[k : k + 1], labels[k : k + 1], pool, Stream(), among=91)
        others = pool.images[pool.labels == labels[k]]
        assert found.item() == is_nearest(blurred, truth[k], others)


def test_the_crowd_has_the_label_of_the_victim():
    """Everybody of the other label is the victim's twin; nobody of its own is like it."""
    victim = CROWD[:1]
    twins = (victim + 0.01).expand(100, 1, 6, 6)
    pool = Pool(torch.cat([twins, CROWD[1:201]]), torch.cat([torch.ones(100), torch.zeros(200)]))
    assert identify(victim, victim, torch.tensor([0]), pool, Stream()).item()
    assert not identify(victim * 0.9 + 0.3, victim, torch.tensor([1]), pool, Stream()).item()


def test_noise_identifies_one_in_a_hundred():
    """1,000 tries at .01: outside 2 to 24 once in 2,000 runs, and the generator is fixed."""
    victim, label = CROWD[:1], LABELS[:1]
    noise = torch.rand(1000, 1, 6, 6, generator=torch.Generator().manual_seed(3))
    pool = Pool(CROWD[200:420], LABELS[200:420])
    hits = [
        identify(image[None], victim, label, pool, Stream.replay(k)).item()
        for k, image in enumerate(noise)
    ]
    assert 2 <= sum(hits) <= 24


def test_a_constant_guess_identifies_nobody():
    grey = torch.full((3, 1, 6, 6), 0.5)
    assert not identify(grey, CROWD[:3], LABELS[:3], POOL, Stream()).any()


def test_a_tie_is_no_pick():
    """Another image of the pool that is the same but for its brightness."""
    pool = Pool(torch.cat([CROWD[1:], CROWD[:1] / 2]), torch.cat([LABELS[1:], LABELS[:1]]))
    whole = (pool.labels == 0).sum().item() + 1
    assert not identify(CROWD[:1], CROWD[:1], LABELS[:1], pool, Stream(), among=whole).item()


def test_the_null_of_perfect_reconstructions_is_chance():
    """The true images are in the pool: a null that drew them would find all of them."""
    truth, labels = CROWD[:4], LABELS[:4]
    null = identify_null(truth, truth, labels, POOL, Stream.replay(0), draws=100)
    assert null.shape == (100, 4)
    assert null.double().mean() < 0.1


def test_the_null_of_one_victim_is_one_in_a_hundred():
    """A decoy is as good as each of its crowd: 3,000 draws at .01, outside 14 to 51 1 in 1,800."""
    null = identify_null(CROWD[:1], CROWD[:1], LABELS[:1], POOL, Stream.replay(1), draws=3000)
    assert 14 <= null.sum() <= 51


def test_assignment_alone_lifts_the_null():
    """Ten reconstructions may choose among ten decoys; a null without assignment would hide it."""
    noise = torch.rand(10, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    null = identify_null(noise, CROWD[:10], LABELS[:10], POOL, Stream.replay(0), draws=100)
    assert null.double().mean() > 0.03


def test_crowds_are_drawn_from_the_generator():
    blurred = 0.3 * CROWD[:40] + 0.7 * torch.rand(40, 1, 6, 6)
    tries = [
        identify(blurred, CROWD[:40], LABELS[:40], POOL, Stream.replay(seed)) for seed in (0, 0, 1)
    ]
    assert torch.equal(tries[0], tries[1])
    assert not torch.equal(tries[0], tries[2])


def test_a_pool_that_is_too_small_is_refused():
    """100 of a label, one of them in the update: 99 are left, and the null needs one more."""
    pool = Pool(CROWD[:200], LABELS[:200])
    assert identify(CROWD[:1], CROWD[:1], LABELS[:1], pool, Stream()).item()
    with pytest.raises(ValueError, match=r"99 images of label 0 that are not in.*Found 98"):
        identify_null(CROWD[:1], CROWD[:1], LABELS[:1], pool, Stream())


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"images \(m, \*shape\) and labels \(m,\)"):
        Pool(CROWD, LABELS[:3])

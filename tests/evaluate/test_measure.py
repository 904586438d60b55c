"""All figures of a row go through one assignment, the blind guess included."""

import pytest
import torch

from privfl.crypto import Stream
from privfl.evaluate._measure import measure
from privfl.evaluate._pool import Pool

CROWD = torch.rand(400, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(400) % 2
POOL = Pool(CROWD, LABELS)


def rows(n_rows, n):
    return CROWD[: n_rows * n].unflatten(0, (n_rows, n)), LABELS[: n_rows * n].unflatten(
        0, (n_rows, n)
    )


def test_perfect_rows_in_any_order():
    truth, labels = rows(6, 3)
    found = measure(truth.roll(1, dims=1), truth, labels, Stream.replay(0), pool=POOL)
    assert (found.psnr == 200).all()
    assert (found.relative_error == 0).all()
    assert found.hits.tolist() == [1.0] * 6
    assert found.nulls.mean() < 0.1
    assert found.nulls.shape == (6 * 20,)
    assert found.gain.lower > 0.1


def test_shares_are_by_row():
    """One of two found in three rows, both in the last: not an average of all."""
    truth, labels = rows(4, 2)
    images = truth.clone()
    images[:3, 1] = 0.5
    found = measure(images, truth, labels, Stream.replay(0), pool=POOL)
    assert found.hits.tolist() == [0.5, 0.5, 0.5, 1.0]


def test_the_blind_guess_is_measured_beside():
    truth, labels = rows(2, 2)
    grey = measure(truth, truth, labels, Stream())
    assert grey.baseline_psnr.mean() == pytest.approx(10.8, abs=0.5)  # 10 log 12: uniform pixels
    own = measure(truth, truth, labels, Stream(), prior=truth[:1, 0])
    assert own.baseline_psnr.max() == 200


def test_without_a_pool_there_is_no_identification():
    truth, labels = rows(2, 2)
    found = measure(truth, truth, labels, Stream())
    assert (found.identified, found.null, found.hits, found.nulls, found.gain) == (None,) * 5


def test_fewer_reconstructions_than_images():
    truth, labels = rows(2, 5)
    found = measure(truth[:, 3:], truth, labels, Stream.replay(0), pool=POOL)
    assert found.psnr.shape == found.baseline_psnr.shape == found.identified.shape == (2, 2)
    assert found.null.shape == (2, 20, 2)
    assert found.hits.tolist() == [1.0, 1.0]

"""What a round publishes, and how it says so."""

import pytest
import torch

from privfl.rounds import Release, on_device_of


def release(counted, n, denominator=1.0, realised=1.0, **more):
    return Release(
        torch.zeros(2), tuple(range(counted)), n, denominator=denominator, realised=realised, **more
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((10, 10, 10.0, 10.0), "10 of 10"),
        ((7, 10, 7.0, 7.0), "7 of 10"),
        ((9, 10, 10.0, 9.0), "9 of 10, scaled by .9"),
        ((7, 10, 10.0, 7.0), "7 of 10, scaled by .7"),
        ((1, 30, 30.0, 1.0), "1 of 30, scaled by .0333"),
        ((4, 4, 1.0, 10.5), "4 of 4, scaled by 10.5"),
        ((4, 4, 1.0, 20.0), "4 of 4, scaled by 20"),
        ((0, 4, 0.0, 0.0), "0 of 4"),
        ((2, 4, torch.tensor([4.0, 2.0]), torch.tensor([2.0, 1.0])), "2 of 4, scaled by .5"),
    ],
)
def test_it_says_who_counts_and_what_a_public_denominator_did(arguments, text):
    assert str(release(*arguments)) == text


def test_it_names_who_was_rejected():
    assert str(release(2, 3, rejected={2: "NaN or Inf"})) == "2 of 3, rejected: 2"


def test_it_shows_no_update():
    assert "tensor" not in repr(release(1, 1, statistics=torch.zeros(3)))


def test_it_comes_back_in_the_kind_of_the_updates():
    found = on_device_of(release(1, 1, statistics=torch.zeros(3)), torch.zeros(1).half())
    assert found.update.dtype == found.statistics.dtype == torch.float16
    assert on_device_of(release(1, 1), torch.zeros(1)).statistics is None

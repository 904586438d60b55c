"""What an epsilon says of itself."""

import math

import pytest

from privfl.accounting import Interval


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(None, 3.21, "PLD"), "at most 3.21 (PLD)"),
        (Interval(None, 3.2100001, "PLD"), "at most 3.22 (PLD)"),
        (Interval(None, 0.0, "closed form"), "at most 0 (closed form)"),
        (Interval(None, 1.2345e-7, "RDP"), "at most 1.24e-07 (RDP)"),
        (Interval(None, 99.91, "RDP"), "at most 100 (RDP)"),
        (Interval(2.319, 2.381, "PLD"), "between 2.31 and 2.39 (PLD)"),
    ],
)
def test_the_upper_end_is_rounded_up_and_the_lower_down(interval, text):
    assert str(interval) == text


@pytest.mark.parametrize("upper", [100.01, 5e9, math.inf])
def test_above_a_hundred_no_figure_is_printed(upper):
    text = str(Interval(None, upper, "RDP"))
    assert text == "no meaningful guarantee (above 100)"


def test_exactly_a_hundred_is_still_printed():
    assert str(Interval(None, 100.0, "RDP")) == "at most 100 (RDP)"


@pytest.mark.parametrize(
    ("lower", "upper"), [(None, -1.0), (None, math.nan), (2.0, 1.0), (-1.0, 1.0)]
)
def test_ends_that_bound_nothing_are_refused(lower, upper):
    with pytest.raises(ValueError, match="0 <= lower <= upper"):
        Interval(lower, upper, "RDP")

"""Events as JSON and back."""

import json
import subprocess
import sys

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given
from hypothesis import strategies as st

from privfl.ledger._events import event_from_json, event_to_json

ONE = dp.GaussianDpEvent(1.1)
EVENTS = [
    dp.NoOpDpEvent(),
    dp.NonPrivateDpEvent(),
    dp.UnsupportedDpEvent(),
    dp.GaussianDpEvent(0.1 + 0.2),
    dp.LaplaceDpEvent(1 / 3),
    dp.DiscreteLaplaceDpEvent(0.7, 2),
    dp.RandomizedResponseDpEvent(0.25, 8),
    dp.SelfComposedDpEvent(ONE, 14_062),
    dp.ComposedDpEvent([ONE, dp.NoOpDpEvent(), dp.ComposedDpEvent([ONE])]),
    dp.ComposedDpEvent([]),
    dp.PoissonSampledDpEvent(0.01, dp.ComposedDpEvent([ONE, ONE])),
    dp.SampledWithReplacementDpEvent(1000, 10, ONE),
    dp.SampledWithoutReplacementDpEvent(1000, 10, ONE),
    dp.SingleEpochTreeAggregationDpEvent(2.0, [3, 5]),
    dp.SingleEpochTreeAggregationDpEvent(2.0, 3),
    dp.RepeatAndSelectDpEvent(ONE, 3.0, 1.0),
    dp.MixtureOfGaussiansDpEvent(1.0, [0.5, 1.0], [0.25, 0.75]),
    dp.ZCDpEvent(0.5),
    dp.TruncatedSubsampledGaussianDpEvent(1000, 0.01, 20, 1.5),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event):
    text = json.dumps(event_to_json(event), allow_nan=False)
    back = event_from_json(json.loads(text))
    assert back == event
    assert repr(back) == repr(event)


def test_every_kind_of_event_is_shown_above():
    kinds = {e for e in vars(dp).values() if isinstance(e, type) and issubclass(e, dp.DpEvent)}
    assert {type(event) for event in EVENTS} == kinds - {dp.DpEvent}


def test_it_is_spelled_as_the_format_says():
    assert event_to_json(dp.PoissonSampledDpEvent(0.01, dp.GaussianDpEvent(1.0))) == {
        "kind": "PoissonSampledDpEvent",
        "sampling_probability": 0.01,
        "event": {"kind": "GaussianDpEvent", "noise_multiplier": 1.0},
    }


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_comes_back_to_the_bit(z):
    back = event_from_json(json.loads(json.dumps(event_to_json(dp.GaussianDpEvent(z)))))
    assert back.noise_multiplier.hex() == z.hex()


def test_numbers_of_numpy_are_numbers():
    data = event_to_json(dp.SelfComposedDpEvent(dp.GaussianDpEvent(np.float32(0.1)), np.int64(3)))
    assert data["count"] == 3
    assert json.loads(json.dumps(data))["event"]["noise_multiplier"] == float(np.float32(0.1))


class Louder(dp.GaussianDpEvent):
    """A subclass, which may mean something else than its parent."""


class GaussianDpEvent(dp.DpEvent):
    """A namesake."""


@pytest.mark.parametrize(
    "thing", [None, 1.0, "GaussianDpEvent", {}, Louder(1.0), GaussianDpEvent()]
)
def test_what_is_no_known_event_is_refused(thing):
    with pytest.raises(ValueError, match=r"event must be a dp_accounting\.DpEvent\. Found"):
        event_to_json(thing)
    with pytest.raises(ValueError, match="event must be"):
        event_to_json(dp.SelfComposedDpEvent(thing, 2) if thing != 1.0 else thing)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(bad):
    for event in (
        dp.GaussianDpEvent(bad),
        dp.ComposedDpEvent([dp.RepeatAndSelectDpEvent(ONE, bad, 1)]),
    ):
        with pytest.raises(ValueError, match=r"numbers of an event must be finite\. Found"):
            event_to_json(event)
    with pytest.raises(ValueError, match="must be finite"):
        event_from_json({"kind": "GaussianDpEvent", "noise_multiplier": bad})


GAUSSIAN = {"kind": "GaussianDpEvent", "noise_multiplier": 1.0}


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "GaussianDpEvent",
        {},
        {"kind": 3},
        {"kind": "PLDAccountant"},
        {"kind": "__builtins__"},
        {"kind": "GaussianDpEvent"},
        GAUSSIAN | {"note": ""},
        GAUSSIAN | {"noise_multiplier": "1.0"},
        GAUSSIAN | {"noise_multiplier": True},
        GAUSSIAN | {"noise_multiplier": None},
        {"kind": "SelfComposedDpEvent", "count": 2, "event": {"kind": "Gaussian"}},
        {"kind": "ComposedDpEvent", "events": [GAUSSIAN, "x"]},
    ],
)
def test_what_is_no_event_is_not_read(data):
    with pytest.raises(ValueError, match="Found"):
        event_from_json(data)


def test_the_codec_loads_nothing_before_it_is_used():
    code = (
        "import sys, privfl.ledger._events as e; print(sorted({*sys.modules} & {'attr', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

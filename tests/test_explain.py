"""What a pipeline says of itself: what runs, who sees what, and whether it trains."""

import json
import math

import pytest
import torch
from torch import nn

from oracles.gaussian_dp import delta_of
from parts_for_tests import ClientsOpen, MaskedSum
from privfl import Pipeline
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.learning import LocalSGD
from privfl.parts import Grouped, Mean, Plain, Weigh

CENTRAL = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))


def explained(*parts, n=10, dim=1000, **options):
    accepting = options.pop("accepting", ())
    return Pipeline(*parts, accepting=accepting).explain(n_clients=n, dim=dim, **options)


def test_it_says_what_runs_and_who_runs_it():
    rows = explained(LocalSGD(), Clip(2.0), MaskedSum(3), Mean()).runs
    assert [(who, part.partition("(")[0]) for who, part, _ in rows] == [
        ("client", "LocalSGD"),
        ("client", "Clip"),
        ("client", "FixedPoint"),
        ("both", "MaskedSum"),
        ("server", "Mean"),
    ]
    assert rows[1][2] == "each update has norm at most 2, as the client promises"


@pytest.mark.parametrize(
    ("parts", "who", "what"),
    [
        ((), "the server", "each client's update"),
        ((Clip(1.0), LocalGaussianNoise(1.0)), "the server", "each client's update with its noise"),
        ((MaskedSum(2),), "the server", "the sum of all updates, and what a sum still shows"),
        (
            (Grouped(MaskedSum(2), size=3),),
            "the server",
            "the sum of each of 3 groups, and what a sum still shows",
        ),
        ((Grouped(Plain(), size=3),), "the server", "each client's update"),
        ((ClientsOpen(),), "the server", "ciphertexts"),
        (
            (ClientsOpen(),),
            "every client (key holders)",
            "the sum of all updates, and what a sum still shows",
        ),
        (
            (Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
            "clients and outsiders",
            "the release, with its noise",
        ),
        ((Clip(1.0),), "clients and outsiders", "the release"),
    ],
    ids=str,
)
def test_it_says_who_sees_what(parts, who, what):
    assert dict(explained(*parts).sees)[who] == what


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((), "nobody bounds an update"),
        ((Clip(2.0),), "update norm at most 2: a promise of each client"),
        ((Plain(), Clip(2.0)), "update norm at most 2: enforced by the server"),
        ((Clip(0.5), Plain(), Clip(2.0)), "update norm at most 0.5: a promise of each client"),
    ],
    ids=str,
)
def test_it_says_whose_bound_it_is(parts, text):
    assert explained(*parts).bound == text


def test_it_says_the_bytes_of_one_client():
    release = Pipeline().aggregate(torch.zeros(10, 1000))
    said = f"{release.bytes_up:,} bytes up and {release.bytes_down:,} down a client and round"
    assert said in str(explained())


# privacy


def test_without_noise_there_is_no_guarantee():
    assert explained(Clip(1.0)).guarantees == ()
    assert "epsilon is infinite against everybody" in str(explained(Clip(1.0)))
    assert "A clip alone hides nothing" in str(explained(Clip(1.0)))


def test_epsilon_is_said_against_whom():
    """Ten Gaussians at z = 1.1: 15.8 at delta 1e-5, by the exact profile of Balle & Wang 2018."""
    (central,) = explained(
        Clip(1.0), Mean(), CentralGaussianNoise(1.1), rounds=10, delta=1e-5
    ).guarantees
    assert float(delta_of(central.epsilon, 1.1, 10)) == pytest.approx(1e-5, rel=1e-6)
    assert str(central).startswith(
        "client level, zero-out, against those who see only the release (the server is trusted): "
        "epsilon at most 15."
    )
    (local,) = explained(Clip(1.0), LocalGaussianNoise(1.0)).guarantees
    assert (local.unit, local.against, local.relation) == ("client", "server", "zero-out")


def test_rounds_compose():
    """Four releases at z = 2 are one at z = 1: epsilon 4.377 at 1e-5 (Balle & Wang 2018, eq. 6)."""
    (four,) = explained(Clip(1.0), Mean(), CentralGaussianNoise(2.0), rounds=4).guarantees
    (one,) = explained(Clip(1.0), Mean(), CentralGaussianNoise(1.0), rounds=1).guarantees
    assert four.epsilon == pytest.approx(one.epsilon, rel=1e-9)
    assert one.epsilon == pytest.approx(4.377, abs=1e-3)


def test_an_epsilon_above_a_hundred_is_no_guarantee():
    text = str(explained(Clip(1.0), LocalGaussianNoise(0.1), rounds=12))
    assert "no meaningful guarantee" in text


def test_two_noises_are_two_guarantees_side_by_side():
    found = explained(
        Clip(1.0),
        LocalGaussianNoise(1.0),
        Mean(),
        CentralGaussianNoise(1.0),
        accepting={"local_and_central_noise"},
    )
    assert [g.against.split()[0] for g in found.guarantees] == ["server", "those"]
    assert found.accepted == ("Local and central noise are both added, and both are counted.",)
    assert "Accepted knowingly" in str(found)


# forecast


@pytest.mark.parametrize(
    ("parts", "n", "dim", "ratio"),
    [
        ((Clip(1.0), Mean(), CentralGaussianNoise(1.1)), 10, 28_938, 1.1 * 170.112 / 10),
        ((Clip(7.0), Mean(), CentralGaussianNoise(1.1)), 10, 28_938, 1.1 * 170.112 / 10),
        ((Clip(1.0), LocalGaussianNoise(0.1)), 10, 28_938, 0.1 * 170.112 / math.sqrt(10)),
        ((Clip(1.0), Krum(n_byzantine=2), CentralGaussianNoise(1.0)), 10, 100, 2 * 10),
        ((Clip(1.0), TrimmedMean(n_byzantine=2), CentralGaussianNoise(1.0)), 10, 100, 10 / 6),
    ],
    ids=str,
)
def test_the_forecast_is_noise_over_the_longest_mean_update(parts, n, dim, ratio):
    """std of the noise in the release times sqrt(d), over the clip norm."""
    assert explained(*parts, n=n, dim=dim).forecast.ratio == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(
    ("parts", "crowd"),
    [
        ((Clip(1.0), Mean(), CentralGaussianNoise(1.0)), 200),  # z sqrt(d) / 5
        ((Clip(1.0), LocalGaussianNoise(1.0)), 40_000),  # z^2 d / 25
        ((Clip(1.0), TrimmedMean(n_byzantine=2), CentralGaussianNoise(1.0)), 204),  # and 2 f
        ((Clip(1.0), Krum(n_byzantine=2), CentralGaussianNoise(1.0)), None),
        ((Clip(1.0), NNM(TrimmedMean(n_byzantine=2)), CentralGaussianNoise(1.0)), None),
    ],
    ids=str,
)
def test_the_forecast_says_how_many_clients_would_do(parts, crowd):
    found = explained(*parts, n=10, dim=10**6).forecast
    assert found.n_clients == crowd
    if crowd:
        again = explained(*parts, n=crowd, dim=10**6).forecast.ratio
        assert again == pytest.approx(5.0, rel=1e-3)


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (1000, "noise is 1 times the longest possible mean update: it trains"),
        (250, "noise is 4 times the longest possible mean update: it trains slowly"),
        (10, "expect it not to train; 200 clients would bring that to 5"),
    ],
)
def test_the_forecast_is_said_in_words(n, text):
    assert text in str(CENTRAL.explain(n_clients=n, dim=10**6).forecast)


def test_a_forecast_where_the_crowd_does_not_help():
    text = str(explained(Clip(1.0), Krum(n_byzantine=2), CentralGaussianNoise(9.0)).forecast)
    assert "more clients do not help" in text
    assert str(explained(Clip(1.0)).forecast) == "no noise on the release"


def test_noise_before_a_robust_rule_is_said():
    text = str(explained(Clip(1.0), LocalGaussianNoise(1.0), TrimmedMean(n_byzantine=2), dim=50))
    assert "d * std^2 = 50" in text
    assert "(R10)" in text


def test_a_public_denominator_is_said():
    assert "Divided by the public 10: who is absent counts as zero." in str(
        CENTRAL.explain(n_clients=10, dim=3)
    )


# forms


def test_it_is_one_page_of_text():
    text = str(CENTRAL.explain(n_clients=10, dim=1000, rounds=3))
    titles = [
        "What runs",
        "Who sees what",
        "Bounds and bytes",
        "Privacy after 3 rounds",
        "Forecast",
    ]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert text.startswith(repr(CENTRAL))
    assert "Privacy after 1 round, delta 1e-05" in str(CENTRAL.explain(n_clients=2, dim=3))


def test_it_is_safe_to_show_in_a_notebook():
    found = Pipeline(Clip(1.0), Grouped(Plain(), size=2)).explain(n_clients=4, dim=3)
    html = found._repr_html_()
    assert "<dt><b>What runs</b></dt>" in html
    assert "client&#x27;s" in html


def test_it_is_plain_values_for_machines():
    for shield in (Pipeline(), CENTRAL, Pipeline(Clip(1.0), LocalGaussianNoise(1e-3))):
        found = shield.explain(n_clients=10, dim=1000).to_dict()
        read = json.loads(json.dumps(found, allow_nan=False))
        assert read["pipeline"] == repr(shield)
        assert (read["n_clients"], read["dim"], read["rounds"]) == (10, 1000, 1)
    assert Pipeline().explain(n_clients=2, dim=3).to_dict()["clip_norm"] is None
    assert CENTRAL.explain(n_clients=2, dim=3).to_dict()["clip_norm"] == 1.0


def test_it_reads_a_model():
    model = nn.Linear(10, 5, device="meta")
    assert CENTRAL.explain(n_clients=3, model=model).dim == 55
    weighed = Pipeline(Weigh(5)).explain(n_clients=3, model=[torch.zeros(4)])
    assert weighed.plan.dim == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rounds": 0}, "rounds must be a whole number of at least 1. Found 0"),
        ({"rounds": 1.5}, "rounds must be a whole number"),
        ({"delta": 0.0}, "delta must lie between 0 and 1. Found 0.0"),
        ({"delta": 1.0}, "delta must lie between 0 and 1"),
    ],
)
def test_what_cannot_be_said_is_refused(options, text):
    for shield in (Pipeline(), CENTRAL):
        with pytest.raises(ValueError, match=text):
            shield.explain(n_clients=3, dim=3, **options)

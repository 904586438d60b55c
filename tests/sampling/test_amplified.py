"""Who is charged what when a cohort was drawn: the server learns it, an outsider does not."""

import pytest
from dp_accounting import (
    GaussianDpEvent,
    NoOpDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
    SelfComposedDpEvent,
)

from privfl import Unit, Vantage
from privfl.core import Charge, Relation
from privfl.sampling import Everybody, FixedSize, Poisson, Shuffled, amplified

GAUSSIAN = GaussianDpEvent(1.0)
N = 50


def charge(vantage="outsider", unit="client", relation="zero-out", **more):
    kinds = (Unit(unit), Vantage.of(vantage), Relation.of(relation))
    return Charge(GAUSSIAN, *kinds, **more)


def worth(charges, sampling, *, member):
    found = amplified(charges, sampling, N, member=member)
    return [(str(c.vantage), c.event, c.count) for c in found]


POISSON = PoissonSampledDpEvent(0.1, GAUSSIAN)


ABSENT = ("server", NoOpDpEvent(), 1)


def test_central_noise_is_amplified_for_everybody_against_an_outsider():
    sampled = ("outsider", POISSON, 1)
    assert worth([charge()], Poisson(rate=0.1), member=True) == [sampled]
    assert worth([charge()], Poisson(rate=0.1), member=False) == [ABSENT, sampled]


def test_the_server_learns_the_cohort():
    """It is charged what it sees of those it wrote to, and nothing of the others."""
    local, sampling = [charge("server", relation="replace-one")], FixedSize(size=5)
    drawn = SampledWithoutReplacementDpEvent(N, 5, GAUSSIAN)
    members = [("server", GAUSSIAN, 1), ("outsider", drawn, 1)]
    assert worth(local, sampling, member=True) == members
    assert worth(local, sampling, member=False) == [ABSENT, ("outsider", drawn, 1)]


def test_noise_of_a_crowd_by_chance_tells_how_large_it_was():
    """One member's noise or none: an outsider sees who took part, and no theorem applies."""
    assert worth([charge("server")], Poisson(rate=0.1), member=True) == [("server", GAUSSIAN, 1)]
    assert worth([charge("server")], Poisson(rate=0.1), member=False) == []


@pytest.mark.parametrize("sampling", [Everybody(), FixedSize(size=5), Shuffled(size=5)])
def test_without_a_theorem_members_are_charged_the_whole(sampling):
    assert worth([charge()], sampling, member=True) == [("outsider", GAUSSIAN, 1)]
    assert worth([charge()], sampling, member=False) == []


def test_a_fixed_size_is_amplified_under_replace_one():
    expected = SampledWithoutReplacementDpEvent(N, 5, GAUSSIAN)
    for member in (True, False):
        found = worth([charge(relation="replace-one")], FixedSize(size=5), member=member)
        assert found[-1] == ("outsider", expected, 1)


def test_records_are_not_hidden_by_drawing_their_client():
    record = charge("server", unit="record")
    assert worth([record], Poisson(rate=0.1), member=True) == [("server", GAUSSIAN, 1)]
    assert worth([record], Poisson(rate=0.1), member=False) == []


def test_two_releases_on_one_cohort_share_its_sample():
    """Drawn once: it is one sampled pair, not two independent samples."""
    expected = PoissonSampledDpEvent(0.1, SelfComposedDpEvent(GAUSSIAN, 2))
    found = worth([charge(count=2)], Poisson(rate=0.1), member=True)
    assert found == [("outsider", expected, 1)]


def test_a_coin_that_always_falls_one_way_amplifies_nothing():
    assert worth([charge()], Poisson(rate=1), member=True) == [("outsider", GAUSSIAN, 1)]
    assert worth([charge()], Poisson(rate=1), member=False) == []


@pytest.mark.parametrize("sampling", [FixedSize(size=5), Shuffled(size=5)])
def test_a_draw_of_so_many_out_of_all_is_refused_where_their_number_is_private(sampling):
    """A client that joins displaces another one: it moves the sum twice as far."""
    with pytest.raises(ValueError, match="public number of units"):
        amplified([charge(relation="add/remove")], sampling, N, member=True)

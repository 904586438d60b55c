"""A federation explains its pipeline for the sums that its algorithm makes."""

import pytest

from learning_for_tests import federation
from privfl import Pipeline
from privfl.accounting import epsilon_of
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.learning import FedAvg, FedBuff, FedOpt, Gossip, HierFAVG, ServerAdam, ring
from privfl.parts import Mean

NOISED = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(2.0))
EDGES = HierFAVG({"a": [0, 1], "b": [2, 3, 4]}, edge_rounds=2)


@pytest.mark.parametrize(
    ("algorithm", "n", "sums"),
    [
        (FedAvg(), 5, 1),
        (EDGES, 2, 2),
        (FedOpt(ServerAdam(), EDGES), 2, 2),
        (FedBuff(buffer=3, participations=9), 3, 1),
    ],
    ids=["FedAvg", "HierFAVG", "FedOpt of it", "FedBuff"],
)
def test_epsilon_counts_every_sum_that_a_client_can_be_in(algorithm, n, sums):
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent

    run = federation(algorithm, NOISED)
    said = run.explain(rounds=3)
    event = SelfComposedDpEvent(GaussianDpEvent(2.0), 3 * sums)
    expected = epsilon_of(event, run.history.delta, relation="zero-out").upper
    (guarantee,) = said.guarantees
    assert guarantee.epsilon == pytest.approx(expected)
    assert said.n_clients == n


def test_who_has_no_common_model_is_told_that_nobody_makes_sure():
    assert "inconsistent ones are not stopped" in str(federation(Gossip(ring(5))).explain())
    assert "the same model" in str(federation(FedAvg()).explain())
    assert "the log's head" in str(federation(FedBuff(buffer=2)).explain())

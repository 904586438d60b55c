"""Each robust rule against the attack it answers, and against the one it does not."""

import pytest

from privfl import Pipeline
from privfl.attacks.poisoning import ALIE, IPM, SignFlip
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.evaluate import Scenario, Verdict, duel
from privfl.evaluate._models import digits_mlp
from privfl.learning import LocalSGD

ATTACKS = {
    "sign flip": SignFlip(5.0, n_byzantine=2),
    "IPM": IPM(0.1, n_byzantine=2),
    "ALIE": ALIE(n_byzantine=2),
}
PIPELINES = {
    "undefended": Pipeline(),
    "krum": Pipeline(Krum(n_byzantine=2)),
    "nnm": Pipeline(NNM(TrimmedMean(n_byzantine=2))),
}


@pytest.fixture(scope="module")
def table():
    local = LocalSGD(lr=0.2, steps=12)
    scenario = Scenario.digits().but(model=digits_mlp, local=local)
    return duel(ATTACKS, PIPELINES, scenario, seeds=3)


@pytest.mark.parametrize(
    ("row", "column", "verdict"),
    [
        ("undefended", "sign flip", Verdict.HARMED),
        ("nnm", "sign flip", Verdict.HELD),
        ("krum", "IPM", Verdict.HARMED),
        # at 2 of 10 the formula gives z = 0: what is sent is the honest mean, and proves nothing
        ("undefended", "ALIE", Verdict.INCONCLUSIVE),
        ("krum", "ALIE", Verdict.INCONCLUSIVE),
    ],
)
def test_a_verdict_of_the_grid(table, row, column, verdict) -> None:
    assert table[row, column].verdict is verdict


def test_nnm_loses_little_where_krum_loses_all(table) -> None:
    assert table["nnm", "IPM"].figure < 0.2 < table["krum", "IPM"].figure


def test_no_row_wins_every_column(table) -> None:
    kept = {
        row: all(table[row, column].verdict is Verdict.HELD for column in ATTACKS)
        for row in PIPELINES
    }
    assert not any(kept.values())


def test_the_cell_says_how_strong_the_attack_was(table) -> None:
    assert "z = 0.00" in table["undefended", "ALIE"].strength
    assert "5" in table["undefended", "sign flip"].strength
    assert table["krum", "IPM"].n == 3
    assert len(table["krum", "IPM"].curves) == len(table["krum", "IPM"].twin_curves) == 3


def test_losing_is_measured_against_the_honest_clients_alone(table) -> None:
    cell = table["krum", "IPM"]
    assert cell.figure == pytest.approx(cell.twin - cell.value)

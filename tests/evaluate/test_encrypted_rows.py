"""The demo's encrypted rows: the server sees ciphertexts, clients the sum, and Plain's release."""

import pytest
import torch

from privfl import Pipeline
from privfl.attacks.inversion import InvertingGradients
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.evaluate import Probe, Scenario, Verdict, duel, reconstruct
from privfl.evaluate._grid import contenders, probes
from privfl.evaluate._staged import cohort_views, stage

ENCRYPTED = {c.name: c for c in contenders(2) if c.pipeline.contract.opener == "clients"}
EACH = pytest.mark.parametrize("name", ENCRYPTED)
SUM_OF_TEN = next(p for p in probes() if p.name == "sum of ten")


def test_both_rows_are_in_the_grid_and_meet_a_single_image_and_the_sum():
    assert [repr(c.pipeline) for c in ENCRYPTED.values()] == [
        "Pipeline(Clip(clip_norm=1.0), CKKS())",
        "Pipeline(Clip(clip_norm=1.0), Quantize(bits=16), BFV())",
    ]
    assert all(c.columns == ("one image", "sum of ten") for c in ENCRYPTED.values())


@EACH
def test_each_rounds_release_is_plains(name):
    """To 1e-6 where sums are approximate, to one step of the grid where integers are added."""
    shield, plain, state = ENCRYPTED[name].pipeline, Pipeline(Clip(1.0)), None
    allowed = shield.plan(n_clients=10, dim=300).step or 1e-6
    generator = torch.Generator().manual_seed(3)
    for round in range(3):
        updates = torch.randn(10, 300, generator=generator) * 10.0**-round
        release = shield.aggregate(updates, state=state)
        state = release.state
        assert (release.update - plain.aggregate(updates).update).abs().max() < allowed


@EACH
def test_the_server_holds_no_row_and_a_client_the_cohorts_sums(name):
    updates = torch.nn.functional.normalize(torch.randn(6, 40), dim=1)
    shield, options = ENCRYPTED[name].pipeline, {"members": tuple(range(6))}
    alone = cohort_views(shield, updates, **options, size=1, generator=Stream.replay(1))
    assert alone.rows is None
    assert {post.receiver for post in alone.letters} == {"server", *range(6)}
    sums = cohort_views(shield, updates, **options, size=3, generator=Stream.replay(1)).rows
    assert sums.members == ((0, 1, 2), (3, 4, 5))
    wanted = updates.reshape(2, 3, 40).sum(dim=1)
    assert torch.allclose(sums.sums, wanted, atol=3 / 32767)


@EACH
def test_what_key_holders_open_is_what_plain_would_show_of_the_sum(name):
    scenario = Scenario.digits()
    staged = stage(scenario, ENCRYPTED[name].pipeline, SUM_OF_TEN, 0, None)
    plain = stage(scenario, Pipeline(Clip(1.0)), SUM_OF_TEN, 0, None)
    assert staged.view.rows.sums.shape == (5, 28_938)
    assert torch.allclose(staged.view.rows.sums, plain.view.rows.sums, atol=10 / 32767)


@EACH
def test_an_attack_on_the_servers_view_does_not_apply_and_its_control_leaks(name):
    """Verdicts of a duel: the server's cell, and the same attack on the undefended twin."""
    scenario = Scenario.digits().but(rounds=1)
    attack = Probe("one image", InvertingGradients(iterations=60), victims=4)
    table = duel([attack], {"plain": Pipeline(), name: ENCRYPTED[name].pipeline}, scenario, seeds=1)
    cell, control = table[name, "one image"], table["plain", "one image"]
    assert cell.verdict is Verdict.NOT_APPLICABLE
    assert "ciphertexts" in cell.note
    assert control.figure > 0.9


@EACH
def test_the_cell_of_a_sum_says_that_a_client_looks(name):
    scenario = Scenario.digits().but(rounds=1)
    attack = Probe("sum of two", InvertingGradients(iterations=20), victims=2, n_clients=2)
    table = duel([attack], {name: ENCRYPTED[name].pipeline}, scenario, seeds=1)
    note = table[name, "sum of two"].note
    assert note == "as a client that opens the sum sees it: the server holds ciphertexts"


def test_a_reconstruction_from_ciphertexts_is_no_evidence_of_anything():
    scenario = Scenario.digits()
    x, y = scenario.train
    shield = ENCRYPTED["Clip(1) + CKKS"].pipeline
    seen = reconstruct(
        InvertingGradients(iterations=20),
        shield,
        scenario.fresh_model(0),
        scenario.loss,
        (x[:2], y[:2]),
        n_clients=2,
        pool=(x, y),
        generator=0,
    )
    assert seen.verdict is Verdict.NOT_APPLICABLE

"""The demo's masked rows: what the server sees is the sum, and the release is Plain's."""

import pytest
import torch

from privfl import Pipeline
from privfl.core import Cohort
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.evaluate import Scenario
from privfl.evaluate._grid import contenders, probes
from privfl.evaluate._staged import cohort_views, stage

MASKED = [c for c in contenders(2) if "SecAgg" in c.name]
SUM_OF_TEN = next(p for p in probes() if p.name == "sum of ten")


def test_both_masked_rows_are_in_the_grid_and_meet_the_sum_only():
    assert [c.name for c in MASKED] == ["Clip(1) + SecAgg", "DP-SGD z=1 + SecAgg"]
    assert all(c.columns == ("sum of ten",) for c in MASKED)


@pytest.mark.parametrize("contender", MASKED, ids=lambda c: c.name)
def test_each_rounds_release_is_plains_to_one_step(contender):
    shield = contender.pipeline.without_trainer()
    plain = Pipeline(*[part for part in shield.parts if isinstance(part, Clip)])
    step, state = shield.plan(n_clients=10, dim=300).step, None
    for round in range(3):
        updates = torch.randn(10, 300) * 10.0**-round
        release = shield.aggregate(updates, state=state)
        state = release.state
        assert (release.update - plain.aggregate(updates).update).abs().max() < step


def test_a_server_sees_one_row_a_cohort_and_the_masked_words_of_each():
    updates = torch.nn.functional.normalize(torch.randn(6, 40), dim=1)
    members = Cohort.of(6).members
    options = {"members": members, "size": 3, "generator": Stream.replay(1)}
    seen = cohort_views(Pipeline(Clip(1.0), SecAgg()), updates, **options)
    plain = cohort_views(Pipeline(Clip(1.0)), updates, **options)
    assert seen.rows.members == plain.rows.members == ((0, 1, 2), (3, 4, 5))
    assert torch.allclose(seen.rows.sums, plain.rows.sums, atol=3 / 32767)
    assert seen.rows.sums.dtype == updates.dtype
    assert {post.sender for post in seen.letters} == {"server", *members}


def test_what_is_attacked_under_masks_is_what_plain_would_show_of_the_sum():
    scenario = Scenario.digits()
    staged = stage(scenario, MASKED[0].pipeline, SUM_OF_TEN, 0, None)
    plain = stage(scenario, Pipeline(Clip(1.0)), SUM_OF_TEN, 0, None)
    assert staged.view.rows.sums.shape == (5, 28_938)
    assert torch.allclose(staged.view.rows.sums, plain.view.rows.sums, atol=10 / 32767)
    assert staged.digest != plain.digest

"""The hospital example: whose patients, how they are counted, and what epsilon is worth."""

import builtins
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/hospitals"


@pytest.fixture
def task():
    """Deal every fifth picture, for a study of two rounds."""
    from sites import deal, images
    from study import STUDIES
    from ways import Task

    x, y = images()
    return Task(replace(STUDIES["images"], rounds=2), deal((x[::5], y[::5]), 0), 0)


def test_each_patient_is_at_one_hospital_and_on_one_side():
    from sites import LEAST, deal

    x, y = torch.arange(1000).unsqueeze(1), torch.arange(1000) % 4
    sites = deal((x, y), 0)
    patients = torch.cat([side for site in sites for side in (site.train[0], site.test[0])])
    assert sorted(patients.flatten().tolist()) == list(range(1000))
    for site in sites:
        (train, labels), (test, _) = site.train, site.test
        assert torch.equal(labels, train.flatten() % 4)  # labels go with their patients
        assert len(train) + len(test) >= LEAST
        assert len(test) / (len(train) + len(test)) == pytest.approx(0.3, abs=0.02)


def area_by_pairs(scores, y):
    """Count, for each label that some have and some have not, the pairs that are in order."""
    areas = []
    for label in range(scores.shape[1]):
        has, has_not = scores[y == label, label], scores[y != label, label]
        if len(has) and len(has_not):
            won = [1.0 if s > t else 0.5 if s == t else 0.0 for s in has for t in has_not]
            areas.append(sum(won) / len(won))
    return sum(areas) / len(areas)


def test_the_area_is_that_of_pairs_counted_one_by_one():
    from measure import area

    g = torch.Generator().manual_seed(0)
    y = torch.randint(3, (90,), generator=g)  # a fourth label has no patient
    chances = (torch.randn(90, 4, generator=g) + torch.eye(4)[y]).softmax(1)
    assert area(chances.log(), y) == pytest.approx(area_by_pairs(chances, y), abs=1e-9)
    # a softmax over chances of 1/5 and 1/2 in turn: ties count for a half
    tied = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert area(tied, torch.tensor([0, 1, 0])) == pytest.approx(0.75)


def test_a_hospital_is_measured_with_its_own_model_and_everywhere_by_the_mean():
    from measure import measured
    from sites import Site

    class Says(torch.nn.Module):
        def __init__(self, label):
            super().__init__()
            self.label = label

        def forward(self, x):
            return torch.nn.functional.one_hot(torch.full((len(x),), self.label), 2).float()

    def site(*labels):
        return Site(
            (torch.zeros(1, 1), torch.zeros(1)), (torch.zeros(len(labels), 1), torch.tensor(labels))
        )

    row = measured([Says(0), Says(1)], [site(0, 0, 1, 0), site(1, 1, 1, 0, 1)])
    assert row.own == (0.75, 0.8)
    assert row.everywhere == pytest.approx((4 / 9 + 5 / 9) / 2)


def by_hand(rate, noise_multiplier, steps, delta):
    accountant = PLDAccountant(NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise_multiplier)), steps)
    return accountant.get_epsilon(delta)


def test_a_patient_of_any_hospital_has_the_epsilon_of_all_steps(task):
    from ways import DELTA

    spent = task.privately().epsilon
    # the pictures: z = 1.2 at a coin of .05, 20 steps in each of the two rounds
    assert spent == pytest.approx([by_hand(0.05, 1.2, 40, DELTA)] * 5, rel=1e-2)


def test_together_is_better_than_alone_and_than_not_at_all(task):
    from measure import measured
    from ways import WAYS

    longer = replace(task, study=replace(task.study, rounds=8))
    rows = {name: WAYS[name](longer) for name in ("each alone", "FedAvg, by patients", "pooled")}
    untrained = measured([task.study.model()] * 5, task.sites)
    together = rows["FedAvg, by patients"].everywhere  # seeded: the same each time
    assert together > untrained.everywhere + 0.3
    assert rows["each alone"].everywhere + 0.05 < together < rows["pooled"].everywhere


def test_masks_change_nothing_where_the_clip_cuts_nothing(task):
    from ways import WAYS

    plain, masked = (WAYS[name](task) for name in ("FedAvg, by hospitals", "  clip, masks"))
    assert masked.everywhere == pytest.approx(plain.everywhere, abs=0.01)  # three patients of 360


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    from sites import tumours

    real = builtins.__import__

    def missing(name, *rest, **options):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SystemExit, match="pip install scikit-learn"):
        tumours()


def test_five_hospitals_learn_to_tell_tumours_apart():
    pytest.importorskip("sklearn")
    from sites import deal, tumours
    from study import STUDIES
    from ways import WAYS, Task

    x, y = patients = tumours()
    assert x.shape == (569, 30)
    assert y.sum() == 357  # benign (Street et al. 1993)
    assert float(x.abs().max()) == 3  # and the middle half is within a deviation or so of zero
    assert float(x.abs().median()) < 1
    row = WAYS["FedAvg, by hospitals"](Task(STUDIES["tumours"], deal(patients, 0), 0))
    assert row.everywhere > 0.93
    assert row.auc > 0.97


def test_the_small_form_prints_a_row_for_each_way(capsys):
    import run
    from ways import WAYS

    run.main(["--small"])
    lines = capsys.readouterr().out.splitlines()[2:]
    for name, line in zip(WAYS, lines, strict=True):
        assert line.startswith(name)
        shares = [float(share) for share in line[22:].split()[:8]]
        assert all(0 <= share <= 1 for share in shares)
        assert shares[5] <= min(shares[:5]) + 0.005  # the worst; hospitals are rounded to .01

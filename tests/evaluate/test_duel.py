"""A duel runs what it can, keeps what it ran, and says what it did not."""

import time

import pytest
import torch

from privfl import Pipeline
from privfl.attacks.inversion import LinearInversion
from privfl.attacks.poisoning import IPM, LabelFlip, SignFlip
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.evaluate import Attackers, Contender, Poison, Probe, Scenario, Verdict, duel
from privfl.evaluate import _tasks as tasks
from privfl.evaluate._models import digits_mlp
from privfl.evaluate._run import train
from privfl.evaluate._schedule import Schedule
from privfl.evaluate._store import Store, key_of
from privfl.parts import Plain

TINY = Scenario.digits().but(model=digits_mlp, rounds=2)
FLIP = SignFlip(5.0, n_byzantine=2)
PROBE = Probe("one image", LinearInversion(), victims=8, model="twin")


class Counter:
    """Count how often work is really done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trained = self.attacked = 0
        self.train, self.attack = tasks.train, tasks.attack_view
        monkeypatch.setattr(tasks, "train", self._train)
        monkeypatch.setattr(tasks, "attack_view", self._attack)

    def _train(self, *args, **options):
        self.trained += 1
        return self.train(*args, **options)

    def _attack(self, *args):
        self.attacked += 1
        return self.attack(*args)


def test_equal_views_are_attacked_once(monkeypatch, tmp_path) -> None:
    counter = Counter(monkeypatch)
    rows = [
        Contender("undefended", Pipeline()),
        Contender("enforced", Pipeline(Plain(), Clip(1.0)), same_view_as="undefended"),
        Contender("promised", Pipeline(Clip(1e-3)), same_view_as="undefended"),
    ]
    table = duel([PROBE], rows, TINY, seeds=1, store=tmp_path)
    assert counter.attacked == 2
    assert table["enforced", "one image"].reused_from == "undefended"
    assert table["promised", "one image"].reused_from == ""  # claimed, and not so


def test_a_second_duel_goes_on_where_the_first_stopped(monkeypatch, tmp_path) -> None:
    counter = Counter(monkeypatch)
    first = duel([FLIP], [Pipeline()], TINY, seeds=1, store=tmp_path)
    assert counter.trained == 3
    second = duel([FLIP], [Pipeline()], TINY, seeds=2, store=tmp_path)
    assert counter.trained == 6
    duel([FLIP], [Pipeline()], TINY.but(rounds=1), seeds=1, store=tmp_path)
    assert counter.trained == 9  # another scenario shares nothing
    name = (repr(Pipeline()), repr(FLIP))
    assert second[name].curves[0] == first[name].curves[0]


def test_a_damaged_result_is_made_again(monkeypatch, tmp_path) -> None:
    duel([FLIP], [Pipeline()], TINY, seeds=1, store=tmp_path)
    for path in tmp_path.glob("*.cell"):
        path.write_bytes(path.read_bytes()[:-3])
    counter = Counter(monkeypatch)
    duel([FLIP], [Pipeline()], TINY, seeds=1, store=tmp_path)
    assert counter.trained == 3


def test_what_does_not_fit_the_time_is_missing_and_counted() -> None:
    table = duel([FLIP], [Pipeline()], TINY, seeds=3, minutes=1e-6)
    assert table.cells == {}
    assert (table.seeds, table.wanted) == (0, 3)


def test_processes_give_what_one_gives(tmp_path) -> None:
    one = duel([FLIP, PROBE], [Pipeline()], TINY, seeds=1)
    two = duel([FLIP, PROBE], [Pipeline()], TINY, seeds=1, jobs=2, store=tmp_path)
    for place, cell in one.cells.items():
        assert two[place].figure == cell.figure
        assert two[place].curves == cell.curves


def test_processes_that_still_work_are_ended_when_the_time_is_up() -> None:
    slow = TINY.but(rounds=2000)
    start = time.monotonic()
    schedule = Schedule(slow, Store(None), jobs=2, deadline=start + 8)
    assert schedule.run([tasks.TrainTask(Pipeline(), seed) for seed in range(2)]) == {}
    assert time.monotonic() - start < 14


def test_a_diverged_run_is_a_result() -> None:
    huge = SignFlip(1e30, n_byzantine=2)
    table = duel([huge], [Pipeline()], TINY.but(rounds=4), seeds=1)
    cell = table[repr(Pipeline()), repr(huge)]
    assert "diverged in round" in cell.note
    assert len(cell.curves[0]) == 4


def test_attackers_who_skip_the_client_half_are_not_clipped() -> None:
    """A promise binds those who keep it: the same attack, obeying, does far less."""
    shield = Pipeline(Clip(0.05))
    losses = {}
    for skip in (True, False):
        row = Contender("clip", shield, skip_client_half=skip)
        table = duel([Poison("flip", SignFlip(50.0, n_byzantine=2))], [row], TINY, seeds=1)
        losses[skip] = table["clip", "flip"].value
    assert losses[True] < 0.3 < losses[False] + 0.3
    assert losses[False] > losses[True]


def test_one_seed_decides_nothing() -> None:
    table = duel([FLIP], [Pipeline()], TINY, seeds=1)
    assert table[repr(Pipeline()), repr(FLIP)].verdict is Verdict.INCONCLUSIVE


def test_epsilon_comes_with_its_adversary() -> None:
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
    table = duel([PROBE], {"noise": shield, "none": Pipeline()}, TINY, seeds=1)
    assert "against server" in table.rows[0].epsilon
    assert "infinite" in table.rows[1].epsilon
    assert "as designed" in table.facts["randomness"]


def test_the_twin_trains_without_the_attackers_data() -> None:
    honest = train(TINY, Pipeline(), 0, honest_only=True)
    everybody = train(TINY, Pipeline(), 0)
    assert honest.accuracy != everybody.accuracy


def test_label_flip_attacks_the_attackers_data_alone() -> None:
    attackers = Attackers(LabelFlip(n_byzantine=2), members=(8, 9))
    clients = TINY.clients(0)
    poisoned = attackers.poisoned(clients)
    assert torch.equal(poisoned[9][1], 9 - clients[9][1])
    assert all(poisoned[k] is clients[k] for k in range(8))


def test_the_attack_must_fit_its_attackers() -> None:
    with pytest.raises(ValueError, match="2 attackers"):
        Attackers(FLIP, members=(9,))


def test_keys_depend_on_every_part() -> None:
    base = tasks.TrainTask(Pipeline(), 0)
    others = [
        tasks.TrainTask(Pipeline(), 1),
        tasks.TrainTask(Pipeline(Clip(1.0)), 0),
        tasks.TrainTask(Pipeline(), 0, Poison("a", FLIP)),
        tasks.TrainTask(Pipeline(), 0, Poison("a", IPM(0.1, n_byzantine=2))),
        tasks.TrainTask(Pipeline(), 0, honest_only=True),
    ]
    keys = {task.key(TINY) for task in [base, *others]}
    assert len(keys) == 6
    assert key_of(1, "a") != key_of(1, "b")


@pytest.mark.parametrize(
    ("attacks", "pipelines", "text"),
    [
        ([], [Pipeline()], "attacks"),
        ([FLIP], [], "pipelines"),
        ([FLIP, FLIP], [Pipeline()], "different names"),
        ([FLIP], [3], "must be Pipelines"),
        ([3], [Pipeline()], "privfl.attacks"),
    ],
)
def test_bad_input_is_refused(attacks, pipelines, text) -> None:
    with pytest.raises(ValueError, match=text):
        duel(attacks, pipelines, TINY, seeds=1)


def test_the_table_is_saved_and_made_a_frame(tmp_path) -> None:
    table = duel([FLIP], {"a": Pipeline()}, TINY, seeds=1)
    frame = table.to_pandas()
    assert set(frame["column"]) == {"none", repr(FLIP)}
    assert table.save(tmp_path / "t.html").read_text().startswith("<!doctype html>")
    assert '"verdict": "INCONCLUSIVE"' in table.save(tmp_path / "t.json").read_text()
    assert "INCONCLUSIVE" in table.save(tmp_path / "t.csv").read_text()
    lines = table.save(tmp_path / "t.md").read_text().splitlines()
    assert lines[0].startswith("**Poisoning**")
    assert lines[-1].startswith("| a | 0.")
    assert "inconclusive" in lines[-1]
    with pytest.raises(ValueError, match=r"\.html, \.json, \.csv or \.md"):
        table.save(tmp_path / "t.txt")

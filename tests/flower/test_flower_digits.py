"""The example app in this process: the same client and server app that are deployed."""

import sys
import tomllib
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "examples/flower_digits"


@pytest.fixture
def example(monkeypatch, tmp_path):
    """The example's settings for three clients' folders, with its modules importable."""
    pytest.importorskip("flwr")
    monkeypatch.syspath_prepend(str(APP))
    from deal import deal

    folders = deal(tmp_path, 5)
    config = tomllib.loads((APP / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["config"]
    hardened = {"clip-norm": 5.0, "record-noise-multiplier": 1.0, "evaluate": False}
    yield folders, {**config, **hardened, "folder": str(tmp_path), "rounds": 1}
    for name in [n for n in sys.modules if n.startswith(("flower_digits", "deal"))]:
        del sys.modules[name]


def train(settings):
    from flower_digits.client_app import app
    from flower_digits.server_app import federate

    from privfl.flower import InProcessGrid

    return federate(InProcessGrid(app, 5, run_config=settings), settings)


def test_the_example_trains_and_each_client_keeps_its_own_ledger(example):
    folders, settings = example
    train(settings)
    from flower_digits.report import epsilons, read_report

    (line,) = read_report(Path(settings["folder"]) / "server/report.jsonl")
    assert (line.survivors, line.clients, line.aborted) == (5, 5, "")
    assert line.accuracy > 0.2  # a tenth is guessing
    spent = epsilons(folders, 1e-5)
    assert min(spent) > 0
    assert max(spent) < 10


def test_the_example_goes_on_from_what_an_earlier_run_left(example):
    _, settings = example
    train(settings)
    from flower_digits.report import read_report

    train({**settings, "rounds": 2})  # a new grid: the clients' contexts are empty
    lines = read_report(Path(settings["folder"]) / "server/report.jsonl")
    assert [line.round for line in lines] == [1, 2]
    train({**settings, "rounds": 2})
    assert len(read_report(Path(settings["folder"]) / "server/report.jsonl")) == 2

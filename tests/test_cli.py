"""The command line says what it did, and exits with what a script needs."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from privfl import Pipeline
from privfl.cli import app
from privfl.compression import Quantize
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum
from privfl.parts import Grouped, Mean, Plain
from privfl.reading import read_pipeline

SHIELD = "Pipeline(Clip(1.0), LocalGaussianNoise(0.1))"


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def test_explain_prints_and_exits_with_zero() -> None:
    done = run("explain", SHIELD, "--clients", "10", "--dim", "1000", "--rounds", "3")
    assert done.exit_code == 0
    for heading in ("What runs", "Who sees what", "Privacy after 3 rounds", "Forecast"):
        assert heading in done.output


def test_explain_prints_json_for_machines() -> None:
    done = run("explain", SHIELD, "--json")
    assert json.loads(done.stdout)["guarantees"][0]["against"] == "server"


def test_a_refused_pipeline_exits_with_one() -> None:
    done = run("explain", "Pipeline(LocalGaussianNoise(0.1))")
    assert done.exit_code == 1
    assert "[R5]" in done.output
    refusal = run("explain", "Pipeline(Krum(n_byzantine=4))", "--clients", "10", "--json")
    assert refusal.exit_code == 1
    assert json.loads(refusal.stdout)["refused"] == "R17"


@pytest.mark.parametrize(
    "text",
    [
        "Pipeline(",
        "Clip(1.0)",
        "Pipeline(Nonsense())",
        "Pipeline(Clip(-1))",
        "Pipeline(Clip(1.0, 2.0, 3.0))",
        "__import__('os').system('true')",
        "Pipeline(Clip(open('/etc/passwd')))",
        "Pipeline(Clip(1.0).__class__)",
    ],
)
def test_what_is_no_pipeline_exits_with_two(text: str) -> None:
    done = run("explain", text)
    assert done.exit_code == 2
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline(),
        Pipeline(Clip(1.0), LocalGaussianNoise(0.1, relation="replace-one"), Mean()),
        Pipeline(Grouped(Plain(), size=3), NNM(Krum(n_byzantine=1))),
        Pipeline(Clip(0.5), accepting={"uniform_weights"}),
        Pipeline(Clip(1.0), Quantize(12), SecAgg(threshold=7, corrupt=0.2)),
        Pipeline(Clip(1.0), Grouped(SecAgg(), size=5), NNM(Krum(n_byzantine=1))),
    ],
)
def test_what_repr_writes_is_read_again(pipeline: Pipeline) -> None:
    assert read_pipeline(repr(pipeline)) == pipeline


def test_a_missing_data_folder_exits_with_two(tmp_path) -> None:
    done = run("duel", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path))
    assert done.exit_code == 2
    assert "nowhere" in done.output


def test_a_duel_without_time_still_writes_its_page(tmp_path) -> None:
    words = ("duel", "--minutes", "0.0001", "--out", str(tmp_path))
    done = run(*words)
    assert done.exit_code == 0
    assert (tmp_path / "report.html").exists()
    assert "0 of the 3" in done.output
    quiet = run(*words, "--json")
    assert json.loads(quiet.stdout)["seeds"] == 0


def test_help_teaches_by_example() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "privfl.cli", "duel", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "privfl duel --minutes 3" in done.stdout

"""`privfl transcript verify`: what an auditor types."""

import json

import pytest
from typer.testing import CliRunner

from privfl import Pipeline
from privfl.cli import app
from privfl.core import Registry
from privfl.crypto import Identity
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.rounds import Round
from privfl.views import Tape, Transcript
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers


@pytest.fixture
def written(tmp_path):
    line, tape = Pipeline(Clip(1.0), SecAgg()), Tape()
    clients = Clients(line, whole_numbers(3, 2) / 9)
    first = Round.open(line, opened(line, clients), registry=clients.registry)
    release = through_bytes(first, tape.recording(clients.wire()))
    transcript = Transcript(
        tuple(tape.posted),
        None,
        frozenset(),
        release.update,
        pipeline=line,
        survivors=release.survivors,
        registry=clients.registry,
    )
    head = transcript.write_log(tmp_path / "round.jsonl")
    clients.registry.write(tmp_path / "clients.toml")
    return tmp_path / "round.jsonl", tmp_path / "clients.toml", head


def run(*words):
    return CliRunner().invoke(app, ["transcript", "verify", *map(str, words)])


def test_a_round_that_kept_the_rules_exits_with_0(written):
    log, registry, head = written
    done = run(log, "--registry", registry, "--head", head)
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == f"32 lines, 0 violations, head {head}"
    assert "3 signed that 3 are counted: 0, 1, 2" in done.output
    assert "smallest anonymity set 3" in done.output


def test_a_changed_line_exits_with_1_and_is_named(written):
    log, registry, _ = written
    log.write_text(log.read_text().replace('"stage":"mask"', '"stage":"Mask"', 1))
    done = run(log, "--registry", registry)
    assert done.exit_code == 1
    assert "unchanged: it was changed" in done.output


def test_another_head_exits_with_1(written):
    log, registry, _ = written
    assert run(log, "--registry", registry, "--head", "0" * 64).exit_code == 1


def test_without_a_registry_it_warns_first(written):
    log, _, head = written
    done = run(log, "--head", head)
    assert done.exit_code == 0
    assert done.output.startswith("WARNING")


def test_keys_of_others_exit_with_1(written, tmp_path):
    log, *_ = written
    others = tmp_path / "others.toml"
    Registry({who: Identity.new().public for who in range(3)}).write(others)
    assert run(log, "--registry", others).exit_code == 1


def test_json_is_for_machines(written):
    log, registry, head = written
    found = json.loads(run(log, "--registry", registry, "--json").stdout)
    assert (found["sound"], found["head"], found["head_known"]) == (True, head, False)
    assert (found["keys"], found["anonymity"], found["violations"]) == ("registry", 3, [])
    (one,) = found["sums"]
    assert one["sets"] == [{"set": [0, 1, 2], "signed_by": [0, 1, 2]}]
    log.write_text(log.read_text().replace('"stage":"mask"', '"stage":"Mask"', 1))
    found = json.loads(run(log, "--registry", registry, "--json").stdout)
    (violation,) = found["violations"]
    assert violation["rule"] == "chain"


@pytest.mark.parametrize("words", [["none.jsonl"], ["{log}", "--registry", "none.toml"]])
def test_a_file_that_is_not_there_exits_with_2(written, words):
    assert run(*(word.format(log=written[0]) for word in words)).exit_code == 2


def test_a_transcript_without_its_pipeline_says_what_is_missing():
    with pytest.raises(ValueError, match="A log needs the pipeline of the round"):
        Transcript((), None, frozenset(), None).to_log()

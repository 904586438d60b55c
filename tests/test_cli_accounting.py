"""`privfl epsilon` and `privfl noise-multiplier`."""

import json

import pytest
from typer.testing import CliRunner

from privfl.accounting import epsilon_of, noise_multiplier_for
from privfl.cli import app

MNIST = ("--noise-multiplier", "1.1", "--sampling-rate", "0.00427", "--steps", "14062")


def run(*words: str):
    return CliRunner().invoke(app, list(words))


def test_epsilon_prints_a_row_a_method_the_relation_and_what_is_assumed():
    done = run("epsilon", *MNIST, "--delta", "1e-5")
    assert done.exit_code == 0
    title, *rows, assumed = done.output.splitlines()
    assert title == "epsilon of 14062 steps at delta 1e-05, relation zero-out"
    assert [row.split(maxsplit=1)[0] for row in rows] == ["PLD", "RDP", "closed"]
    assert "at most 2.39" in rows[0]
    assert "at most 2.6" in rows[1]
    assert "no meaningful guarantee (above 100), sampling left out" in rows[2]
    assert "Poisson sampling at rate 0.00427" in assumed
    assert "does not learn the sample" in assumed


def test_without_sampling_nothing_is_assumed_of_it():
    done = run("epsilon", "--noise-multiplier", "1", "--delta", "1e-5", "--relation", "replace-one")
    assert "relation replace-one" in done.output
    assert "of 1 step at" in done.output
    assert "closed form  at most 10" in done.output
    assert "Poisson" not in done.output
    assert "sampling left out" not in done.output


def test_epsilon_for_machines():
    found = json.loads(run("epsilon", *MNIST, "--delta", "1e-5", "--json").stdout)
    assert found["method"] == "PLD"
    assert found["epsilon"] == pytest.approx(2.3838, abs=1e-4)
    assert found["relation"] == "zero-out"
    assert set(found["bounds"]) == {"PLD", "RDP", "closed form"}
    assert found["bounds"]["closed form"] is None
    assert "adversary" in found["assumption"]


@pytest.mark.parametrize("as_json", [True, False])
def test_what_means_nothing_has_no_digits(as_json):
    words = ("epsilon", "--noise-multiplier", "0.05", "--delta", "1e-5")
    output = run(*words, *["--json"] * as_json).output
    assert "no meaningful guarantee (above 100)" in output
    if as_json:
        found = json.loads(output)
        assert found["epsilon"] is None
        assert set(found["bounds"].values()) == {None}


@pytest.mark.parametrize("relation", ["zero-out", "replace-one", "add/remove"])
def test_the_noise_that_is_printed_is_enough(relation):
    words = ("--epsilon", "3", "--delta", "1e-5", "--sampling-rate", "0.01", "--steps", "500")
    found = json.loads(run("noise-multiplier", *words, "--relation", relation, "--json").stdout)
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    event = PoissonSampledDpEvent(0.01, GaussianDpEvent(found["noise_multiplier"]))
    spent = epsilon_of(event, 1e-5, relation, 500).upper
    assert 2.95 < spent <= 3
    assert found["epsilon"] == spent


def test_noise_without_sampling_is_the_closed_form_rounded_up():
    done = run("noise-multiplier", "--epsilon", "8", "--delta", "1e-5", "--steps", "100")
    exact = noise_multiplier_for(8.0, 1e-5, 100)
    printed = float(done.output.splitlines()[0].removeprefix("noise multiplier "))
    assert exact <= printed <= exact * 1.001
    replaced = run(
        *("noise-multiplier", "--epsilon", "8", "--delta", "1e-5", "--steps", "100"),
        *("--relation", "replace-one"),
    )
    printed = float(replaced.output.splitlines()[0].removeprefix("noise multiplier "))
    assert 2 * exact <= printed <= 2 * exact * 1.001


BAD = {
    "no noise": ("epsilon", "--noise-multiplier", "0", "--delta", "1e-5"),
    "negative noise": ("epsilon", "--noise-multiplier", "-1", "--delta", "1e-5"),
    "noise that is no number": ("epsilon", "--noise-multiplier", "nan", "--delta", "1e-5"),
    "delta": ("epsilon", "--noise-multiplier", "1", "--delta", "0"),
    "rate": ("epsilon", "--noise-multiplier", "1", "--delta", ".1", "--sampling-rate", "1.5"),
    "no rate": ("noise-multiplier", "--epsilon", "1", "--delta", ".1", "--sampling-rate", "0"),
    "steps": ("epsilon", "--noise-multiplier", "1", "--delta", ".1", "--steps", "-1"),
    "no steps": ("noise-multiplier", "--epsilon", "1", "--delta", ".1", "--steps", "0"),
    "relation": ("epsilon", "--noise-multiplier", "1", "--delta", ".1", "--relation", "other"),
    "epsilon": ("noise-multiplier", "--epsilon", "0", "--delta", "1e-5"),
    "epsilon, sampled": (
        *("noise-multiplier", "--epsilon", "101", "--delta", "1e-5", "--sampling-rate", "0.1"),
    ),
    "relation of noise": (
        *("noise-multiplier", "--epsilon", "1", "--delta", ".1", "--relation", "other"),
    ),
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line_and_exits_with_two(words):
    done = run(*words)
    assert done.exit_code == 2
    assert len(done.output.strip().splitlines()) == 1
    assert "Found" in done.output


def test_a_word_for_a_number_exits_with_two():
    done = run("epsilon", "--noise-multiplier", "some", "--delta", "1e-5")
    assert done.exit_code == 2
    assert "Traceback" not in done.output

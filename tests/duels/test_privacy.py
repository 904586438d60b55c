"""Each defence against inversion: what leaks is shown leaking, what holds has its control."""

import pytest

from privfl import Pipeline
from privfl.attacks.inversion import InvertingGradients, LabelHistogram, LinearInversion
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.evaluate import Probe, Scenario, Verdict, duel, reconstruct
from privfl.parts import Plain

PIPELINES = {
    "undefended": Pipeline(),
    "clip": Pipeline(Clip(1.0)),
    "enforced clip": Pipeline(Plain(), Clip(1.0)),
    "some noise": Pipeline(Clip(1.0), LocalGaussianNoise(0.1)),
    "much noise": Pipeline(Clip(1.0), LocalGaussianNoise(10.0)),
    "trimmed": Pipeline(TrimmedMean(n_byzantine=2)),
    "krum": Pipeline(Krum(n_byzantine=2)),
    "nnm": Pipeline(NNM(TrimmedMean(n_byzantine=2))),
}
PROBES = [
    Probe("one image", LinearInversion(), victims=80, model="twin"),
    Probe("convolution", LinearInversion(), victims=8),
    Probe("labels", LabelHistogram(), victims=10, batch=32, as_trained=True),
]


@pytest.fixture(scope="module")
def table():
    return duel(PROBES, PIPELINES, Scenario.digits().but(rounds=1), seeds=1)


@pytest.mark.parametrize("row", ["undefended", "clip", "enforced clip", "trimmed", "krum", "nnm"])
def test_neither_a_clip_nor_a_robust_rule_hides_an_image_from_the_server(table, row) -> None:
    cell = table[row, "one image"]
    assert cell.verdict in (Verdict.LEAK, Verdict.CERTIFIED_EXACT)
    assert cell.psnr > 60
    assert cell.null < 0.05


def test_some_noise_is_no_evidence_of_privacy(table) -> None:
    assert table["some noise", "one image"].verdict is not Verdict.NO_EVIDENCE


def test_much_noise_hides_with_a_positive_control(table) -> None:
    cell = table["much noise", "one image"]
    assert cell.verdict is Verdict.NO_EVIDENCE
    assert cell.interval[1] < 0.1


def test_the_closed_form_does_not_apply_to_a_convolution(table) -> None:
    cell = table["undefended", "convolution"]
    assert cell.verdict is Verdict.NOT_APPLICABLE
    assert "linear" in cell.note.lower()


def test_labels_leak_from_a_real_update(table) -> None:
    cell = table["undefended", "labels"]
    assert cell.verdict is Verdict.LEAK
    assert cell.value < cell.baseline - 0.1


def test_sixteen_victims_never_give_no_evidence() -> None:
    few = Probe("few", LinearInversion(), victims=16, model="twin")
    table = duel([few], {"much noise": PIPELINES["much noise"]}, Scenario.digits(), seeds=1)
    assert table["much noise", "few"].verdict is Verdict.INCONCLUSIVE


def test_the_undefended_cnn_gives_a_digit_away() -> None:
    scenario = Scenario.digits()
    x, y = scenario.train
    seen = reconstruct(
        InvertingGradients(iterations=150),
        Pipeline(),
        scenario.fresh_model(0),
        scenario.loss,
        (x[:1], y[:1]),
        pool=scenario.train,
        generator=0,
    )
    assert seen.verdict is Verdict.LEAK
    assert seen.psnr >= 20 > seen.baseline_psnr
    assert seen.identified == 1


def test_a_sum_of_clients_is_attacked_as_a_sum() -> None:
    """Whoever holds only the sum of four clients still gets their images."""
    from privfl.parts import Grouped

    scenario = Scenario.digits()
    x, y = scenario.train
    seen = reconstruct(
        InvertingGradients(iterations=150),
        Pipeline(Grouped(Plain(), size=4)),
        scenario.fresh_model(0),
        scenario.loss,
        (x[::1250], y[::1250]),
        n_clients=4,
        pool=scenario.train,
        generator=0,
    )
    assert seen.verdict is Verdict.LEAK
    assert seen.images.shape == (4, 1, 28, 28)

"""One batch, one pipeline, one attack."""

import math

import pytest
import torch

from privfl import Pipeline
from privfl.attacks.inversion import LabelHistogram, LinearInversion
from privfl.defenses.dp import Clip
from privfl.evaluate import Scenario, Verdict, reconstruct

SCENARIO = Scenario.digits()
X, Y = SCENARIO.train
TWIN = SCENARIO.fresh_model(0, SCENARIO.twin)


def invert(n: int = 1, attack=None, **options):
    options = {"generator": 0, "pool": SCENARIO.train} | options
    batch = options.pop("batch", (X[:n], Y[:n]))
    return reconstruct(
        attack or LinearInversion(), Pipeline(), TWIN, SCENARIO.loss, batch, **options
    )


def test_one_image_is_a_leak_of_that_victim() -> None:
    seen = invert()
    assert seen.verdict in (Verdict.LEAK, Verdict.CERTIFIED_EXACT)
    assert torch.allclose(seen.images, X[:1], atol=1e-3)
    assert (seen.identified, seen.null) == (1.0, 0.0)
    assert seen.seconds > 0


def test_images_come_back_in_the_order_of_the_batch() -> None:
    for n_clients in (1, 2):
        seen = invert(4, n_clients=n_clients, batch=(X[::1250], Y[::1250]))
        errors = (seen.images - X[::1250]).flatten(1).norm(dim=1)
        assert (errors < 1).sum() >= 3


def test_without_a_pool_nobody_is_identified_and_the_baseline_is_grey() -> None:
    seen = invert(pool=None)
    grey = -10 * math.log10(float((X[0] - 0.5).square().mean()))
    assert seen.baseline_psnr == pytest.approx(grey, abs=1e-6)
    assert (seen.identified, seen.null) == (None, None)
    assert seen.verdict is Verdict.INCONCLUSIVE


def test_a_pool_may_be_images_of_the_victims_label() -> None:
    assert invert(pool=X[Y[0] == Y]).identified == 1.0
    with pytest.raises(ValueError, match="one label"):
        invert(4, pool=X, batch=(X[::1250], Y[::1250]))


def test_a_pool_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="99 images of label"):
        invert(pool=(X[:20], Y[:20]))


def test_the_model_is_not_changed_and_a_seed_repeats() -> None:
    before = [p.detach().clone() for p in TWIN.parameters()]
    first, second = invert(), invert()
    assert all(torch.equal(a, b) for a, b in zip(before, TWIN.parameters(), strict=True))
    assert torch.equal(first.images, second.images)


def test_an_attack_that_does_not_apply_says_so() -> None:
    cnn = SCENARIO.fresh_model(0)
    seen = reconstruct(
        LinearInversion(), Pipeline(Clip(1.0)), cnn, SCENARIO.loss, (X[:1], Y[:1]), generator=0
    )
    assert seen.verdict is Verdict.NOT_APPLICABLE
    assert seen.note


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"n_clients": 3, "batch": (X[:4], Y[:4])}, "3 clients"),
        ({"batch": (X[:0], Y[:0])}, "images and labels"),
        ({"batch": (X[:2], Y[:1])}, "2 and 1"),
        ({"attack": LabelHistogram()}, "reconstructs no images"),
    ],
)
def test_bad_input_is_refused(options, text) -> None:
    with pytest.raises(ValueError, match=text):
        invert(**options)

"""What is opened is what Plain releases, to the planned error, with all that rides along."""

import pytest
import torch

from he.kept_clients import Several
from privfl import CompositionError, Pipeline, PlanError, ProtocolAbort
from privfl.compression import Quantize
from privfl.core import Cohort, Scalar, decode
from privfl.defenses.dp import AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import Krum
from privfl.parts import Grouped, Mean, Weigh
from privfl.rounds import Opening, Setting

PARTS = [CKKS(), CKKS(published=3), BFV(), BFV(published=True)]
LOSS = Scalar("loss", 4.0)


def updates_of(seed, n=4, dim=60):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)).double()


def tolerance(shield, n, dim):
    """A step of the grid, or the planned error of the mean; and what clients leave of it."""
    plan = shield.plan(n_clients=n, dim=dim)
    return plan.error + plan.step or 1e-12


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_rounds_release_what_plain_releases(part):
    shield, plain, state = Pipeline(Clip(1.0), part), Pipeline(Clip(1.0)), None
    allowed = tolerance(shield, 4, 60)
    if part == CKKS():
        assert allowed < 1e-6
    for k in range(5):
        updates = updates_of(k)
        release = shield.aggregate(updates, state=state)
        gap = (release.update - plain.aggregate(updates).update).abs().max()
        assert 0 < float(gap) < allowed
        assert release.update.dtype == torch.float64
        assert release.survivors == (0, 1, 2, 3)
        state = release.state


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_counts_and_scalars_ride_in_the_tail(part):
    shields = [Pipeline(Weigh(100), Clip(10.0), *more) for more in ((part,), ())]
    given = {
        "n_examples": torch.tensor([10.0, 20.0, 30.0, 40.0]),
        "scalars": {LOSS: [1.0, 2.0, 3.0, 4.0]},
    }
    drop = {2: "upload"}
    release, plain = (s.aggregate(updates_of(1), drop=drop, **given) for s in shields)
    assert release.survivors == plain.survivors == (0, 1, 3)
    assert torch.allclose(release.update, plain.update, atol=5e-3)
    assert release.scalars["loss"] == pytest.approx((1 + 2 + 4) / 3, abs=1e-2)
    assert release.scalars["n_examples"] == pytest.approx(70 / 3, abs=0.1)
    if part == CKKS():
        assert torch.allclose(release.update, plain.update, atol=1e-5)
        assert release.scalars["loss"] == pytest.approx(7 / 3, abs=1e-5)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_public_weights_and_names_are_those_of_the_cohort(part):
    cohort = Cohort(("b", "a", 7), (1.0, 0.5, 0.25))
    release = Pipeline(Clip(1.0), part).aggregate(torch.eye(3).double() / 2, cohort=cohort)
    assert torch.allclose(release.update, torch.tensor([1.0, 0.5, 0.25]).double() / 3.5, atol=3e-4)
    assert release.survivors == ("b", "a", 7)


@pytest.mark.parametrize("part", [CKKS(), CKKS(published=2)], ids=str)
def test_a_weighted_mean_is_off_by_no_more_than_planned(part):
    cohort = Cohort(tuple(range(4)), (1e-3, 2e-3, 1e-3, 1e-3))
    shield = Pipeline(Clip(1.0), part)
    error = Setting(shield, Opening.fresh(shield, cohort, 60)).plan.error
    plain = Pipeline(Clip(1.0)).aggregate(updates_of(3) / 60, cohort=cohort)
    release = shield.aggregate(updates_of(3) / 60, cohort=cohort)
    assert float((release.update - plain.update).abs().max()) <= error


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_local_noise_passes_through(part):
    """Its deviation on the mean is 2 / sqrt(4): of 4,000 samples within 6 deviations, 7 %."""
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(2.0), part)
    release = shield.aggregate(torch.zeros(4, 4000).double())
    assert float(release.update.std()) == pytest.approx(1.0, rel=0.07)
    seeded = [shield.aggregate(updates_of(2), generator=5, nonce=bytes(16)) for _ in range(2)]
    plain = Pipeline(Clip(1.0), LocalGaussianNoise(2.0))
    error = tolerance(shield, 4, 60)
    gap = (seeded[0].update - seeded[1].update).abs().max()
    assert float(gap) <= (
        0 if part == BFV() or (part.publishes and type(part) is BFV) else 2 * error
    )
    assert plain.plan(n_clients=4, dim=60).release_std == 1.0


def test_an_adaptive_clip_needs_a_server_that_opens():
    release = Pipeline(AdaptiveClip(0.1), CKKS(published=3)).aggregate(updates_of(1))
    assert release.state["public"]
    for part in (CKKS(), BFV()):
        with pytest.raises(CompositionError, match="nobody hands it on"):
            Pipeline(AdaptiveClip(0.1), part)


@pytest.mark.parametrize("part", [CKKS(), BFV()], ids=str)
def test_all_who_open_draw_the_same_noise(part):
    line = Pipeline(
        Clip(1.0),
        part,
        Mean(),
        CentralGaussianNoise(1.0),
        accepting="exact_sum_to_server",
    )
    clients = Several(line, 4, 500)
    updates = []
    for _ in range(2):
        clients.round(drop={3: "decrypt"})
        found = [clients.release(who)["update"] for who in range(3)]
        assert torch.equal(found[0], found[1])
        assert torch.equal(found[0], found[2])
        clipped = torch.stack([x / max(1, float(x.norm())) for x in clients.updates.values()])
        updates.append(found[0] - clipped.mean(dim=0))
    # noise of deviation 1/4 on the mean, another in each round: 500 samples within 6 deviations
    for noise in updates:
        assert float(noise.std()) == pytest.approx(0.25, rel=0.19)
    both = torch.stack(updates)
    assert abs(float(torch.corrcoef(both)[0, 1])) < 6 / 500**0.5


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30, 0.0])
def test_a_diverged_client_is_a_result_and_no_crash(part, bad):
    updates = updates_of(4).float() / 20
    updates[1] = bad
    release = Pipeline(Clip(1.0), part).aggregate(updates)
    plain = Pipeline(Clip(1.0)).aggregate(updates)
    assert release.survivors == (0, 1, 2, 3)
    assert torch.allclose(release.update, plain.update, atol=2e-4)
    assert torch.isfinite(release.update).all()


@pytest.mark.parametrize("part", PARTS, ids=str)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_all_clients_at_the_bound_do_not_wrap(part, sign):
    updates = torch.zeros(30, 3).double()
    updates[:, 1] = sign
    release = Pipeline(Clip(1.0), part).aggregate(updates)
    assert torch.allclose(release.update, updates[0], atol=1e-4)


def test_a_client_that_sends_more_than_its_clip_allows_is_stopped_by_its_own_pipeline():
    part = CKKS()
    plan = Pipeline(Clip(1.0), part).plan(n_clients=3, dim=4)
    found = part.parameters(plan)
    with pytest.raises(ProtocolAbort, match="does not keep the bound it states"):
        part.to_blocks(torch.ones(4), found, plan)
    with pytest.raises(ProtocolAbort, match="does not keep the bound it states"):
        part.to_blocks(torch.full((4,), float("nan")), found, plan)
    assert part.to_blocks(torch.ones(4) / 2, found, plan).shape == (1, found.degree // 2)


# one contribution on one model (rule R16)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_second_sum_on_one_model_is_refused(part):
    clients = Several(Pipeline(Clip(100.0), part))
    clients.round(model=b"m")
    with pytest.raises(ProtocolAbort, match="0 clients are left at advertise"):
        clients.round(model=b"m")
    assert all("(R16)" in why for why in clients.aborts.values())
    clients.kept.pop(0)
    with pytest.raises(ProtocolAbort):
        clients.round(model=b"m")
    clients.round(model=b"another")


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_who_has_encrypted_has_contributed_even_if_the_round_fails(part):
    """The ciphertext has left: with the key it can be opened, whatever becomes of the round."""
    clients = Several(Pipeline(Clip(100.0), part))
    with pytest.raises(ProtocolAbort, match="1 clients are left at upload"):
        clients.round(model=b"m", drop={1: "upload", 2: "upload"})
    assert decode(clients.kept[0])["contributed"] == (b"m",)
    assert decode(clients.kept[1])["contributed"] == ()


# what does not fit


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((CKKS(),), r"\[R6\].*nobody clips.*\n.*Put Clip"),
        ((BFV(),), r"\[R6\].*nobody clips.*\n.*Put Clip"),
        ((Clip(1.0), Quantize(8), CKKS()), r"adds real numbers.*\n.*Use BFV"),
        ((Clip(1.0), CKKS(), Krum(n_byzantine=1)), r"\[R8\]"),
        ((Clip(1.0), CKKS(), BFV()), r"\[R33\]"),
        ((Clip(1.0), SecAgg(), BFV()), r"\[R33\]"),
        ((Clip(1.0), Grouped(CKKS(), size=2)), r"\[R33\].*each would open its own group only"),
        ((Clip(1.0), Grouped(BFV(), size=2)), r"\[R33\].*each would open its own group only"),
    ],
    ids=str,
)
def test_what_contradicts_itself_is_refused_when_it_is_built(parts, words):
    with pytest.raises(CompositionError, match=words):
        Pipeline(*parts)


def test_a_single_client_is_no_sum():
    for part in PARTS:
        with pytest.raises(PlanError, match=r"at least 2\. Found 1 clients"):
            Pipeline(Clip(1.0), part).aggregate(torch.ones(1, 3))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CKKS(bits=1),
        lambda: CKKS(bits=2.5),
        lambda: CKKS(published=-1),
        lambda: CKKS(published=True),
        lambda: CKKS(fewest=1),
        lambda: BFV(published=4),
        lambda: BFV(fewest=1),
        lambda: BFV(published=None),
    ],
)
def test_bad_numbers_are_refused(make):
    with pytest.raises(ValueError, match=r"bits|published|fewest"):
        make()


def test_a_part_is_shown_as_it_is_written():
    assert repr(CKKS()) == "CKKS()"
    assert repr(CKKS(bits=18, published=4)) == "CKKS(bits=18, published=4)"
    assert repr(BFV(published=True, fewest=5)) == "BFV(published=True, fewest=5)"

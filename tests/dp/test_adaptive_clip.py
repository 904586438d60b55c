"""The clip norm follows a quantile, by bits that the noise covers, and stays in its bounds.

Where noise is drawn its seed is fixed, so that nothing here can fail by chance.
"""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from scipy import stats
from torch import nn

import parts_for_tests
from oracles.adaptive_clip import multiplier_of_updates, norms_of_rounds
from parts_for_tests import ClientsOpen, FixedPoint, MaskedSum, PowerSGD
from privfl import CompositionError, Federation, Layout, Pipeline, PlanError
from privfl.core import Cohort, ProtocolAbort, Relation, Scalar, decode, encode
from privfl.crypto import Stream
from privfl.defenses.dp import (
    AdaptiveClip,
    CentralGaussianNoise,
    Clip,
    LocalGaussianNoise,
    share_for,
)
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.rounds import Opening, Round, Setting
from privfl.rounds._envelope import Envelope
from privfl.testing import check_wrapper
from rounds_for_tests import Clients, opened, through_bytes

UPDATES = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 9.0]])  # norms 5, .5, 9
HALFWAY = math.exp(-0.2 * (1 / 3 - 0.5))  # one of three within 1, on the way to one half


def of_norms(norms, d=3):
    """One update of each norm, in some direction."""
    rows = torch.randn(len(norms), d, generator=torch.Generator().manual_seed(1)).double()
    return rows / rows.norm(dim=1, keepdim=True) * torch.tensor(norms, dtype=torch.float64)[:, None]


def seeded(k=0):
    return torch.Generator().manual_seed(k)


def norm_of(release):
    return release.state["public"][0]


# one round


def test_a_round_clips_to_the_norm_of_its_plan_and_says_how_many_were_within():
    release = Pipeline(AdaptiveClip(1.0)).aggregate(UPDATES)
    fixed = Pipeline(Clip(1.0)).aggregate(UPDATES)
    assert torch.equal(release.update, fixed.update)
    assert torch.equal(release.opened.sums[:, :2], fixed.opened.sums)
    assert release.scalars["unclipped"] == pytest.approx(1 / 3 - 0.5)
    assert norm_of(release) == pytest.approx(HALFWAY)


@pytest.mark.parametrize("part", [AdaptiveClip(1.0), AdaptiveClip(1e-3, share=2.0)], ids=repr)
def test_it_keeps_the_laws_of_a_wrapper(part):
    check_wrapper(part)


def test_an_update_of_just_the_norm_is_within():
    release = Pipeline(AdaptiveClip(5.0)).aggregate(torch.tensor([[3.0, 4.0]]))
    assert release.scalars["unclipped"] == pytest.approx(0.5)
    assert release.update.tolist() == [3, 4]


def test_the_norm_follows_algorithm_1():
    """Thirty rounds with other norms each, beside the paper's loop."""
    norms = stats.lognorm(1.0).rvs((30, 7), random_state=0).tolist()
    shield, state, found = Pipeline(AdaptiveClip(0.3, 0.7, 0.4)), None, []
    for lengths in norms:
        release = shield.aggregate(of_norms(lengths), state=state)
        state = release.state
        found.append(norm_of(release))
    assert found == pytest.approx(norms_of_rounds(norms, 0.3, 0.7, 0.4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("start", [1e-3, 1.0, 10.0])
def test_every_dtype_stays_in_the_joint_ball_and_tells_its_bits(dtype, start):
    shield = Pipeline(AdaptiveClip(start, share=0.3))
    release = shield.aggregate((UPDATES * start).to(dtype))
    assert release.update.dtype == dtype
    joint = start * math.sqrt(1 + 0.3**2)
    assert release.opened.sums.double().norm(dim=1).max() <= joint * (1 + 1e-12)
    assert release.opened.sums[:, -1].double().abs().max() <= 0.3 * start
    assert release.scalars["unclipped"] == pytest.approx(-1 / 6, rel=0.01)


def test_one_client_is_enough():
    release = Pipeline(AdaptiveClip(1.0)).aggregate(torch.tensor([[0.5]]))
    assert norm_of(release) == pytest.approx(math.exp(-0.1))


def test_an_update_that_is_not_finite_counts_as_zero_and_as_half_a_bit():
    updates = torch.cat([UPDATES, torch.tensor([[math.nan, 1.0]])])
    release = Pipeline(AdaptiveClip(1.0)).aggregate(updates)
    assert release.survivors == (0, 1, 2, 3)
    assert release.scalars["unclipped"] == pytest.approx((-0.5 + 0.5 - 0.5 + 0) / 4)
    assert release.opened.sums[3].tolist() == [0, 0, 0]


# whose scalar it is


def test_the_caller_is_not_asked_for_the_bit_and_cannot_give_it():
    shield = Pipeline(AdaptiveClip(1.0))
    assert shield.scalars == ()
    with pytest.raises(ValueError, match=r"known are \[\]"):
        shield.aggregate(UPDATES, scalars={"unclipped": [0.5, 0.5, 0.5]})
    with pytest.raises(ValueError, match="a name of its own"):
        shield.aggregate(UPDATES, scalars={Scalar("unclipped", 1.0): [0.5, 0.5, 0.5]})


def test_a_clients_own_value_for_the_bit_is_not_sent():
    line = Pipeline(AdaptiveClip(1.0))
    clients = Clients(line, UPDATES, unclipped=torch.tensor([0.5, 0.5, 0.5]))
    release = through_bytes(Round.open(line, opened(line, clients)), clients.wire())
    assert release.scalars["unclipped"] == pytest.approx(-1 / 6)


def test_declared_scalars_travel_beside_it_in_their_units():
    loss = Scalar("loss", 10.0, share=0.5)
    shield = Pipeline(AdaptiveClip(2.0), Mean())
    release = shield.aggregate(UPDATES, scalars={loss: [1.0, 2.0, 30.0]})
    assert release.scalars["loss"] == pytest.approx((1 + 2 + 10) / 3)
    assert release.scalars["unclipped"] == pytest.approx(-1 / 6)
    joint = 2.0 * math.sqrt(1 + 0.5**2 + 0.1**2)
    assert shield.plan(n_clients=3, dim=2, scalars=(loss,)).bound == pytest.approx(joint)


def test_the_bit_is_about_the_update_and_not_about_the_scalars_beside_it():
    """An update of norm 1.9 beside a loss of all its bound: together they are longer than 2."""
    loss = Scalar("loss", 10.0, share=0.5)
    release = Pipeline(AdaptiveClip(2.0)).aggregate(torch.tensor([[1.9]]), scalars={loss: [10.0]})
    assert release.scalars["unclipped"] == pytest.approx(0.5)


def test_the_vector_that_comes_in_is_not_changed():
    line = Pipeline(AdaptiveClip(1.0))
    at = Setting(line, Opening.fresh(line, 1, 2)).at(0, Stream())
    x = torch.tensor([3.0, 4.0, 0.0])
    made = AdaptiveClip(1.0).apply(x, at)
    assert x.tolist() == [3, 4, 0]
    assert made.tolist() == pytest.approx([0.6, 0.8, -0.1])


# what it stands beside

BESIDE = [
    (AdaptiveClip(1.0), MaskedSum(3)),
    (AdaptiveClip(1.0), FixedPoint(bits=30), MaskedSum(3)),
    (AdaptiveClip(1.0), Grouped(MaskedSum(2), size=2)),
    (AdaptiveClip(1.0), Grouped(Plain(), size=2), TrimmedMean(n_byzantine=0)),
    (AdaptiveClip(1.0), Krum(n_byzantine=1)),
    (AdaptiveClip(1.0), TrimmedMean(n_byzantine=1)),
    (AdaptiveClip(1.0), NNM(TrimmedMean(n_byzantine=1))),
    (AdaptiveClip(1.0), Plain(), Clip(10.0)),
    (AdaptiveClip(1.0), Clip(0.5)),
    (Clip(7.0), AdaptiveClip(1.0)),
]


@pytest.mark.parametrize("parts", BESIDE, ids=str)
def test_the_bits_are_averaged_whatever_the_protocol_and_the_rule(parts):
    """Six updates, two of them within: every pipeline learns the same norm."""
    updates = torch.cat([UPDATES, UPDATES])
    shield, place = Pipeline(*parts), [isinstance(p, AdaptiveClip) for p in parts].index(True)
    release = shield.aggregate(updates)
    assert release.state["public"][place] == pytest.approx(HALFWAY, rel=1e-4)


def test_it_measures_what_a_weighing_left():
    """A client with half of the most examples sends half its update; bits count alike."""
    shield = Pipeline(Weigh(4, total=8), AdaptiveClip(1.0))
    updates = torch.tensor([[1.5, 0.0], [1.5, 0.0]])
    release = shield.aggregate(updates, n_examples=[4, 2])
    assert release.opened.sums[:, :2].flatten().tolist() == pytest.approx([1, 0, 0.75, 0])
    assert release.scalars["unclipped"] == pytest.approx(0.0)


def test_it_measures_what_public_weights_left():
    release = Pipeline(AdaptiveClip(1.0)).aggregate(
        torch.tensor([[1.5, 0.0], [1.5, 0.0]]), cohort=Cohort((0, 1), (1.0, 0.5))
    )
    assert release.scalars["unclipped"] == pytest.approx(0.0)


def test_under_noise_who_is_absent_counts_as_half_a_bit():
    """The denominator is public (R3): four asked, three there, one of them within."""
    shield = Pipeline(AdaptiveClip(1.0), Mean(), CentralGaussianNoise(1e-9))
    updates = torch.cat([UPDATES, UPDATES[:1]])
    release = shield.aggregate(updates, drop={3: "upload"})
    assert release.scalars["unclipped"] == pytest.approx((-0.5 + 0.5 - 0.5 + 0) / 4)
    bare = Pipeline(AdaptiveClip(1.0)).aggregate(updates, drop={3: "upload"})
    assert bare.scalars["unclipped"] == pytest.approx(-1 / 6)


# the fixed point

STARTS = [10.0**k for k in range(-3, 4)]
QUANTILES = [0.3, 0.5, 0.8]
SPREAD = stats.lognorm(0.5)
AT = SPREAD.ppf((torch.arange(100) + 0.5).numpy() / 100).tolist()  # one in each percent


def share_within(norm):
    return float(SPREAD.cdf(norm))


def learned(part, norm, noise):
    """The norm behind 200 rounds of 100 clients, by the part's own step."""
    line = Pipeline(part)
    at = Setting(line, Opening.fresh(line, 100, 1)).at(0, Stream())
    draws = torch.randn(200, generator=seeded(7)).tolist()
    for draw in draws:
        within = sum(length <= norm for length in AT) / len(AT)
        released = {"unclipped": within - 0.5 + noise * draw}
        norm = part.learn(released, replace(at, public=norm))
    return norm


@pytest.mark.parametrize("noise", [0.0, 0.05], ids=["exact", "noised"])
@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("start", STARTS)
def test_from_any_start_it_comes_to_the_quantile_within_200_rounds(start, quantile, noise):
    """The mean bit is noised by .05, as the paper's sigma_b of a twentieth of the cohort does."""
    part = AdaptiveClip(start, quantile, max_clip_norm=1e3)
    assert abs(share_within(learned(part, start, noise)) - quantile) < 0.1


FIVE = SPREAD.ppf([0.1, 0.3, 0.5, 0.7, 0.9]).tolist()


def after_200_rounds(*parts):
    shield, state, updates = Pipeline(*parts), None, of_norms(FIVE, d=1)
    for k in range(200):
        nonce = k.to_bytes(16, "big")
        release = shield.aggregate(updates, state=state, generator=seeded(k), nonce=nonce)
        state = release.state
    return norm_of(release)


@pytest.mark.parametrize(
    ("start", "quantile", "noise"),
    [(1e-3, 0.5, ()), (1e3, 0.5, (Mean(), CentralGaussianNoise(0.1)))],
    ids=["from below", "from above, noised"],
)
def test_whole_rounds_come_to_the_quantile_too(start, quantile, noise):
    """Five clients; z = .1 and a share of .1 put .1 of noise on the mean bit."""
    part = AdaptiveClip(start, quantile, max_clip_norm=1e3)
    assert abs(share_within(after_200_rounds(part, *noise)) - quantile) < 0.1


@dataclass(frozen=True)
class Flipped(AdaptiveClip):
    """Counts who was clipped, and steps as if it had counted who was not."""

    def learn(self, scalars, at):
        return super().learn({"unclipped": -scalars["unclipped"]}, at)


@pytest.mark.parametrize("start", [1e-2, 1.0, 1e2])
def test_a_flipped_sign_runs_away_to_a_bound(start):
    part = Flipped(start, max_clip_norm=1e3)
    norm = learned(part, start, 0.05)
    assert abs(share_within(norm) - 0.5) > 0.4


# bounds


def test_updates_of_zero_bring_it_to_the_floor_and_no_further():
    shield, state = Pipeline(AdaptiveClip(1.0, learning_rate=4.0)), None
    for _ in range(10):
        release = shield.aggregate(torch.zeros(3, 2), state=state)
        state = release.state
        assert release.update.tolist() == [0, 0]
        assert release.scalars["unclipped"] == pytest.approx(0.5, rel=1e-6)
    assert norm_of(release) == 1e-6


def test_lying_clients_raise_it_to_the_cap_and_no_further():
    """Three of five say that they were clipped, whatever the norm."""
    shield, state = Pipeline(AdaptiveClip(1.0, learning_rate=5.0, max_clip_norm=4)), None
    updates = of_norms([0.5, 0.5, 1e9, 1e9, 1e9])
    for _ in range(20):
        release = shield.aggregate(updates, state=state)
        state = release.state
    assert norm_of(release) == 4.0
    assert release.update.norm() <= 4.0


def test_one_client_that_sends_any_number_as_its_bit_moves_it_no_further_than_its_bounds():
    part = AdaptiveClip(1.0)
    line = Pipeline(part)
    at = Setting(line, Opening.fresh(line, 3, 1)).at(0, Stream())
    assert part.learn({"unclipped": -1e30}, at) == 10.0
    assert part.learn({"unclipped": 1e30}, at) == 1e-6


@pytest.mark.parametrize("found", [11.0, 1e-7, math.nan, math.inf, -1.0, 0, "1.0", None, True])
def test_a_client_aborts_where_the_server_names_a_norm_outside_the_bounds(found):
    line = Pipeline(AdaptiveClip(1.0))
    with pytest.raises(PlanError, match=r"between 1e-06 and 10") as error:
        Setting(line, Opening.fresh(line, 3, 2, public={0: found}))
    assert error.value.rule == "R13"
    clients = Clients(line, UPDATES)
    honest = Round.open(line, opened(line, clients))
    other = Opening.fresh(line, Cohort.of(clients.names), 2, public={0: found})
    stage = Envelope.read(honest.letters[0]).stage
    letter = Envelope(other.session, stage, encode(None), other.to_state()).to_bytes()
    with pytest.raises(ProtocolAbort, match="cannot plan"):
        clients.answer(0, letter)


@pytest.mark.parametrize(
    "options",
    [
        {"initial_clip_norm": 0.0},
        {"initial_clip_norm": 20.0},
        {"initial_clip_norm": 1e-7},
        {"target_quantile": 0.0},
        {"target_quantile": 1.0},
        {"target_quantile": math.nan},
        {"learning_rate": -0.2},
        {"max_clip_norm": math.inf},
        {"min_clip_norm": 0.0},
        {"share": 0.0},
    ],
    ids=str,
)
def test_numbers_that_make_no_adaptive_clip_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"{name}.*Found"):
        AdaptiveClip(**options)


# noise

SPLIT = [  # total multiplier, cohort (sigma_b is a twentieth), what is left for the updates
    (1.0, 100, 1.005037815),
    (0.5, 20, 0.516397779),
    (1.0, 20, 1.154700538),
    (1.5, 32, 1.698117930),
]


@pytest.mark.parametrize(("total", "n", "left"), SPLIT)
def test_the_share_splits_the_noise_as_the_paper_does(total, n, left):
    """Read from the plan: noise over C for the update, and over the share of it for the bits."""
    share = share_for(noise_multiplier=total, bit_std=n / 20)
    shield = Pipeline(AdaptiveClip(2.0, share=share), Mean(), CentralGaussianNoise(total))
    plan = shield.plan(n_clients=n, dim=3)
    assert plan.release_std * n / 2.0 == pytest.approx(left, rel=1e-8)
    assert multiplier_of_updates(total, n / 20) == pytest.approx(left, rel=1e-8)
    assert plan.release_std * n / (2.0 * share) * 0.5 == pytest.approx(n / 20)
    (charge,) = plan.charges
    assert charge.event.noise_multiplier == total


def test_bits_that_would_spend_more_than_there_is_are_refused():
    with pytest.raises(ValueError, match=r"noise_multiplier must be below 2 \* bit_std = 2"):
        share_for(noise_multiplier=2.0, bit_std=1.0)


@pytest.mark.parametrize("relation", list(Relation))
def test_one_client_moves_update_and_bit_together_by_what_the_plan_says(relation):
    """At the norm or just above it: the bit turns round with the update."""
    shield = Pipeline(AdaptiveClip(2.0, share=0.7), Mean(), CentralGaussianNoise(1e-12, relation))
    sizes = [1.0, 0.0] if relation is not Relation.REPLACE_ONE else [1.0, -1.001]
    found = []
    for size in sizes:
        updates = torch.full((5, 1), 2.0 * size, dtype=torch.float64)
        updates[1:] = math.nan  # what the others do does not matter: they count as zero
        if not size:
            updates[0] = math.nan
        release = shield.aggregate(updates)
        found.append(torch.tensor([float(release.update), release.scalars["unclipped"] * 2.8]))
    moved = float((found[0] - found[1]).norm())
    planned = shield.plan(n_clients=5, dim=1).sensitivity[relation]
    assert moved == pytest.approx(planned, rel=1e-6)
    assert planned == pytest.approx(relation.change(2.0) * math.sqrt(1.49) / 5)


@pytest.mark.parametrize(
    "parts",
    [(Mean(), CentralGaussianNoise(2.0)), (LocalGaussianNoise(2.0), MaskedSum(3))],
    ids=str,
)
def test_the_next_norm_is_made_of_the_released_scalar_with_its_noise(parts):
    """What everybody saw gives it back to the bit, and the exact mean does not."""
    release = Pipeline(AdaptiveClip(1.0), *parts).aggregate(UPDATES)
    step = math.exp(-0.2 * (release.scalars["unclipped"] + 0.5 - 0.5))
    assert norm_of(release) == pytest.approx(min(max(step, 1e-6), 10.0), rel=1e-12)
    assert norm_of(release) != pytest.approx(HALFWAY, rel=1e-6)


def test_noise_and_bounds_are_planned_anew_with_each_norm():
    shield = Pipeline(AdaptiveClip(1.0), Mean(), CentralGaussianNoise(1.0))
    for norm in (0.01, 1.0, 10.0):
        plan = shield.plan(n_clients=4, dim=2, public={0: norm})
        assert (plan.clip_norm, plan.peak, plan.unit) == (norm, norm, (0.1 * norm,))
        assert plan.release_std == pytest.approx(norm * math.sqrt(1.01) / 4)
        assert plan.charges == shield.plan(n_clients=4, dim=2).charges


@pytest.mark.parametrize("part", [parts_for_tests.AdaptiveClip(), PowerSGD(1, 2)], ids=repr)
def test_a_state_that_is_made_before_the_noise_is_refused(part):
    noise = CentralGaussianNoise(1.0)
    with pytest.raises(CompositionError, match="before CentralGaussianNoise") as error:
        Pipeline(part, Clip(1.0), Mean(), noise)
    assert (error.value.rule, error.value.parts) == ("R25", (part, noise))
    assert "learn" in error.value.fix


def test_a_state_that_is_made_of_noised_rows_is_not():
    assert Pipeline(PowerSGD(1, 2), Clip(1.0), LocalGaussianNoise(1.0)).has_memory


@dataclass(frozen=True)
class Counting(parts_for_tests.FixedPoint):
    """Counts rounds: its state reads no row."""

    unnoised_state = "it counts rounds"

    def advance(self, rows, at):
        return (at.public or 0) + 1


def test_a_state_that_says_why_it_may_is_built():
    shield = Pipeline(
        Clip(1.0),
        Counting(),
        MaskedSum(2),
        Mean(),
        CentralGaussianNoise(1.0),
        accepting="exact_sum_to_server",
    )
    assert shield.aggregate(UPDATES).state["public"] == {1: 1}


@dataclass(frozen=True)
class LearnsTheLoss(parts_for_tests.FixedPoint):
    """Remembers the last loss that was released, and has no state before."""

    def learn(self, scalars, at):
        return (*(at.public or ()), scalars["loss"])


def test_a_part_that_only_learns_has_memory_and_learns_once_a_round():
    shield, state = Pipeline(LearnsTheLoss(), MaskedSum(2)), None
    assert shield.has_memory
    for loss in (2.0, 4.0):
        declared = {Scalar("loss", 8.0): [loss, loss, loss]}
        state = shield.aggregate(UPDATES, scalars=declared, state=state).state
    assert state["public"][0] == pytest.approx((2, 4), abs=1e-4)


def test_a_part_behind_the_protocol_cannot_learn():
    """Its state would be handed to nobody."""

    @dataclass(frozen=True)
    class Learns(CentralGaussianNoise):
        def learn(self, scalars, at):
            return 1

    with pytest.raises(CompositionError, match="nobody hands it on"):
        Pipeline(Clip(1.0), Mean(), Learns(1.0))


# places


@pytest.mark.parametrize(
    ("parts", "rule", "fix"),
    [
        ((Plain(), AdaptiveClip(1.0)), "R13", "Put it before the protocol, and Clip(10.0)"),
        ((Mean(), AdaptiveClip(1.0)), "R1", "before the protocol"),
        ((Clip(1.0), LocalGaussianNoise(1.0), AdaptiveClip(1.0)), "R1", "before the noise"),
        ((FixedPoint(), AdaptiveClip(1.0), MaskedSum(2)), "R4", "before it"),
        ((AdaptiveClip(1.0), ClientsOpen()), "R33", "where the server opens"),
        ((AdaptiveClip(1.0), parts_for_tests.TopK(1)), "R4", "in front of the clip"),
        ((Weigh(4), AdaptiveClip(1.0), Mean(), CentralGaussianNoise(1.0)), "R2", "public total"),
    ],
    ids=str,
)
def test_a_place_where_it_cannot_work_is_refused(parts, rule, fix):
    with pytest.raises(CompositionError) as error:
        Pipeline(*parts)
    assert error.value.rule == rule
    assert fix in error.value.fix


def test_two_of_them_are_refused():
    with pytest.raises(ValueError, match="a name of its own"):
        Pipeline(AdaptiveClip(1.0), AdaptiveClip(2.0))


def test_what_is_known_beforehand_is_the_cap():
    contract = Pipeline(AdaptiveClip(1.0, max_clip_norm=4.0)).contract
    assert (contract.clip_norm, contract.enforced_by) == (4.0, "client")


def test_explain_says_how_it_moves():
    shield = Pipeline(AdaptiveClip(0.5, 0.75), Mean(), CentralGaussianNoise(1.0))
    told = str(shield.explain(n_clients=10, dim=4))
    assert "C starts at 0.5 and goes to where 75% are, at most to 10" in told
    assert "update norm at most 0.5: a promise of each client" in told


# memory


def test_a_pipeline_with_it_has_memory_and_clients_keep_none():
    shield = Pipeline(AdaptiveClip(1.0))
    assert shield.has_memory
    assert not shield.remembers
    assert shield.start(n_clients=3, dim=2)["public"] == {0: 1.0}
    with pytest.raises(ValueError, match=r"averager"):
        shield.average([nn.Linear(2, 1)], nn.Linear(2, 1))


class Odd(nn.Module):
    """A vector, a number without dimensions, and a counter that is no update."""

    def __init__(self):
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(3))
        self.number = nn.Parameter(torch.tensor(0.0))
        self.register_buffer("steps", torch.tensor(7))

    def forward(self, x):
        return (x @ self.vector + self.number)[:, None]


def moved(by):
    model = Odd()
    model.vector.data += by
    model.number.data += by
    return model.state_dict()


def test_an_averager_carries_the_norm_and_so_does_its_state_dict():
    """Four coordinates moved by 1 are of norm 2: clipped to 1, and then to exp(.1)."""
    shield, model = Pipeline(AdaptiveClip(1.0)), Odd()
    averager = shield.averager(model)
    first = averager([moved(1.0)] * 3)
    assert torch.allclose(first["vector"], torch.full((3,), 0.5))
    assert float(first["number"]) == pytest.approx(0.5)
    assert first["steps"] == 7
    other = shield.averager(model)
    other.load_state_dict(decode(encode(averager.state_dict())))
    for going_on in (averager, other):
        second = going_on([moved(1.0)] * 3)
        assert float(second["number"]) == pytest.approx(0.5 * math.exp(0.1))
        assert norm_of(going_on.release) == pytest.approx(math.exp(0.2))


def test_a_federation_carries_the_norm():
    x = torch.ones(4, 3)
    federation = Federation(
        Odd(),
        [(x, torch.full((4, 1), 5.0))] * 3,
        Pipeline(AdaptiveClip(1e-3)),
        loss=nn.functional.mse_loss,
        layout=Layout.of(Odd()),
    )
    norms = [norm_of(step.release) for step in federation.rounds(3)]
    assert norms == pytest.approx([1e-3 * math.exp(0.1 * k) for k in (1, 2, 3)])


@pytest.mark.parametrize("protocol", [(), (MaskedSum(3),)], ids=["plain", "masked"])
def test_the_norm_goes_from_round_to_round_through_bytes(protocol):
    line = Pipeline(AdaptiveClip(1.0), *protocol)
    clients, state, found = Clients(line, UPDATES), None, []
    for k in range(3):
        public = {} if state is None else state["public"]
        opening = opened(line, clients, round=k, public=public)
        release = through_bytes(Round.open(line, opening, state), clients.wire())
        state = decode(encode(release.state))
        found.append(norm_of(release))
    assert found == pytest.approx([HALFWAY, HALFWAY**2, HALFWAY**3], rel=1e-4)

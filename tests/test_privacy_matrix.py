"""Sampler x weighting x mechanism x rule x adversary: what is claimed, and what is refused.

One line a cell. ``accept`` is the claim that the parts were made for; ``degrade`` builds, and
claims less, or nothing; ``refuse`` raises with its rule, both sides and what to write instead.
Claims are read from the charges, as a ledger reads them: a claim holds against an adversary whom
its vantage covers.
"""

import re
from dataclasses import dataclass, fields

import pytest
import torch
from dp_accounting import (
    GaussianDpEvent,
    PoissonSampledDpEvent,
    SampledWithoutReplacementDpEvent,
)
from torch import nn

from parts_for_tests import First, MaskedSum, PowerSGD, Shares
from privfl import CompositionError, Federation, Pipeline
from privfl.accounting import epsilon_of
from privfl.core import Cohort, Vantage
from privfl.defenses.dp import DPSGD, AdaptiveClip, CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.parts import Grouped, Mean, Plain, Weigh
from privfl.rounds import Opening, Setting
from privfl.sampling import Everybody, FixedSize, Poisson, Shuffled, amplified

N, SIZE = 40, 10  # clients, and how many take part in a round

SAMPLERS = {
    "all": Everybody(),
    "poisson": Poisson(size=SIZE),
    "fixed": FixedSize(size=SIZE),
    "shuffled": Shuffled(size=SIZE),
}
ADVERSARIES = {
    "outsider": Vantage.OUTSIDER,
    "server": Vantage.SERVER,
    "client": Vantage.client(3),
    "server + client": Vantage.SERVER | Vantage.client(3),
}

# what clients do before the protocol, what is between, the rule, what the opener does behind it
WEIGHTS = {
    "uniform": (),
    "counts": (Weigh(5),),
    "capped counts": (Weigh(5, total=20),),
    "public weights": (),  # of the cohort
    "counts + weights": (Weigh(5, total=20),),
}
CENTRAL, LOCAL, CLIP, ADAPTIVE = (
    CentralGaussianNoise(1.0),
    LocalGaussianNoise(1.0),
    Clip(1.0),
    AdaptiveClip(1.0),
)
REPLACE = CentralGaussianNoise(1.0, relation="replace-one")
ADD = CentralGaussianNoise(1.0, relation="add/remove")
MECHANISMS = {
    "none": ((CLIP,), ()),
    "unclipped": ((), (CENTRAL,)),
    "central": ((CLIP,), (CENTRAL,)),
    "central, replace-one": ((CLIP,), (REPLACE,)),
    "central, add/remove": ((CLIP,), (ADD,)),
    "local": ((CLIP, LOCAL), ()),
    "local, replace-one": ((CLIP, LocalGaussianNoise(1.0, relation="replace-one")), ()),
    "local, unclipped": ((LOCAL,), ()),
    "clip behind noise": ((CLIP, LOCAL, CLIP), ()),
    "adaptive": ((ADAPTIVE,), ()),
    "adaptive, central": ((ADAPTIVE,), (CENTRAL,)),
    "adaptive, local": ((ADAPTIVE, LOCAL), ()),
    "central, unnoised state": ((PowerSGD(1, 2), CLIP), (CENTRAL,)),
    "two noises": ((CLIP, LOCAL), (CENTRAL,)),
    "shares and central": ((CLIP, Shares()), (CENTRAL,)),
}
RULES = {
    "mean": (Mean(),),
    "enforced mean": (Plain(), CLIP, Mean()),
    "adaptive by server": (Plain(), ADAPTIVE, Mean()),
    "krum": (Krum(n_byzantine=1),),
    "trimmed": (TrimmedMean(n_byzantine=2),),
    "nnm": (NNM(TrimmedMean(n_byzantine=2)),),
    "unknown": (First(),),
    "masked mean": (MaskedSum(2), Mean()),
    "masked krum": (MaskedSum(2), Krum(n_byzantine=1)),
    "groups": (Grouped(Plain(), size=2), TrimmedMean(n_byzantine=1)),
    "masked groups": (Grouped(MaskedSum(2), size=2), TrimmedMean(n_byzantine=1)),
}


# outcomes


@dataclass(frozen=True)
class Claim:
    """An event that is charged against the adversary, or None."""

    event: object
    accepted: bool


@dataclass(frozen=True)
class Refusal:
    rule: str
    fix: str


def gaussian(z: float) -> object:
    return GaussianDpEvent(z)


def poisson(z: float) -> object:
    return PoissonSampledDpEvent(SIZE / N, GaussianDpEvent(z))


def fixed(z: float) -> object:
    return SampledWithoutReplacementDpEvent(N, SIZE, GaussianDpEvent(z))


def accept(event: object) -> Claim:
    return Claim(event, True)


def degrade(event: object) -> Claim:
    return Claim(event, False)


NOTHING = degrade(None)
refuse = Refusal

# An event's multiplier is over what one client contributes: under replace-one, where neighbours
# are twice as far apart, noise of z times that distance is an event of 2 z. Local noise of z C is
# between any two messages, 2 C apart: z / 2 under zero-out, z under replace-one.
FULL, HALF, TWICE = gaussian(1.0), gaussian(0.5), gaussian(2.0)

MATRIX = [
    # sampler, weighting, mechanism, rule, adversary: outcome
    # who looks, where everybody takes part
    ("all", "uniform", "none", "mean", "outsider", NOTHING),
    ("all", "uniform", "none", "masked mean", "server", NOTHING),
    ("all", "uniform", "adaptive", "mean", "outsider", NOTHING),
    ("all", "uniform", "central", "mean", "outsider", accept(FULL)),
    ("all", "uniform", "central", "mean", "server", NOTHING),  # it is trusted
    ("all", "uniform", "central", "mean", "client", NOTHING),  # claims name no client
    ("all", "uniform", "local", "mean", "server", accept(HALF)),
    ("all", "uniform", "local", "mean", "outsider", accept(HALF)),  # as against the server
    ("all", "uniform", "local", "mean", "server + client", NOTHING),
    ("all", "uniform", "adaptive, central", "mean", "outsider", accept(FULL)),
    ("all", "uniform", "adaptive, central", "mean", "server", NOTHING),
    ("all", "uniform", "adaptive, local", "mean", "server", accept(HALF)),
    ("all", "uniform", "adaptive, local", "masked mean", "server", accept(HALF)),
    ("all", "uniform", "central", "enforced mean", "outsider", accept(FULL)),
    # relations
    ("all", "uniform", "central, replace-one", "mean", "outsider", accept(TWICE)),
    ("all", "uniform", "central, add/remove", "mean", "outsider", accept(FULL)),
    ("all", "uniform", "local, replace-one", "mean", "server", accept(FULL)),
    # rules
    ("all", "uniform", "central", "krum", "outsider", accept(FULL)),
    ("all", "uniform", "central, add/remove", "krum", "outsider", accept(FULL)),
    ("all", "uniform", "central", "trimmed", "outsider", accept(FULL)),
    ("all", "uniform", "central", "nnm", "outsider", accept(FULL)),
    ("all", "uniform", "central", "groups", "outsider", accept(FULL)),
    ("all", "uniform", "adaptive, central", "krum", "outsider", accept(FULL)),
    ("all", "uniform", "adaptive, central", "trimmed", "outsider", accept(FULL)),
    ("all", "uniform", "local", "krum", "server", accept(HALF)),
    ("all", "uniform", "local", "nnm", "server", accept(HALF)),
    # weights
    ("all", "capped counts", "central", "mean", "outsider", accept(FULL)),
    ("all", "capped counts", "local", "mean", "server", accept(HALF)),
    ("all", "capped counts", "adaptive, central", "mean", "outsider", accept(FULL)),
    ("all", "public weights", "central", "mean", "outsider", accept(FULL)),
    ("all", "public weights", "local", "mean", "server", accept(HALF)),
    ("all", "public weights", "adaptive, central", "mean", "outsider", accept(FULL)),
    ("all", "counts", "none", "mean", "server", NOTHING),
    # samples of clients: amplified against those who do not learn the cohort
    ("poisson", "uniform", "central", "mean", "outsider", accept(poisson(1.0))),
    ("poisson", "uniform", "central", "mean", "server", NOTHING),
    ("poisson", "uniform", "central, add/remove", "mean", "outsider", accept(poisson(1.0))),
    ("poisson", "uniform", "central, replace-one", "mean", "outsider", accept(poisson(2.0))),
    ("poisson", "uniform", "local", "mean", "outsider", degrade(HALF)),  # noise tells the crowd
    ("poisson", "uniform", "local", "mean", "server", degrade(HALF)),  # it learns the cohort
    ("poisson", "uniform", "adaptive, central", "mean", "outsider", accept(poisson(1.0))),
    ("poisson", "uniform", "adaptive, local", "mean", "server", degrade(HALF)),
    ("poisson", "uniform", "local", "masked mean", "server", degrade(HALF)),
    ("poisson", "capped counts", "central", "mean", "outsider", accept(poisson(1.0))),
    ("poisson", "uniform", "none", "krum", "outsider", NOTHING),
    ("fixed", "uniform", "central, replace-one", "mean", "outsider", accept(fixed(2))),
    ("fixed", "uniform", "central, replace-one", "krum", "outsider", accept(fixed(2))),
    ("fixed", "uniform", "local, replace-one", "mean", "outsider", accept(fixed(1))),
    ("fixed", "uniform", "local, replace-one", "mean", "server", degrade(FULL)),
    ("fixed", "uniform", "central", "mean", "outsider", degrade(FULL)),  # no theorem for zero-out
    ("fixed", "uniform", "central", "trimmed", "outsider", degrade(FULL)),
    ("fixed", "uniform", "adaptive, central", "mean", "outsider", degrade(FULL)),
    ("shuffled", "uniform", "central", "mean", "outsider", degrade(FULL)),  # not Poisson
    ("shuffled", "uniform", "central, replace-one", "mean", "outsider", degrade(TWICE)),
    ("shuffled", "uniform", "local", "mean", "server", degrade(HALF)),
    # refused: sensitivity and clip
    ("all", "uniform", "unclipped", "mean", "outsider", refuse("R2", "Put Clip")),
    ("all", "uniform", "local, unclipped", "mean", "server", refuse("R5", "Put Clip")),
    ("all", "uniform", "clip behind noise", "mean", "server", refuse("R1", "before the noise")),
    ("all", "uniform", "central", "unknown", "outsider", refuse("R2", "Mean()")),
    ("all", "uniform", "central, add/remove", "trimmed", "outsider", refuse("R2", "relation")),
    ("all", "uniform", "central, add/remove", "nnm", "outsider", refuse("R2", "relation")),
    ("all", "uniform", "adaptive, central", "unknown", "outsider", refuse("R2", "Mean()")),
    ("all", "uniform", "none", "adaptive by server", "server", refuse("R13", "Clip(10.0)")),
    # refused: weights
    ("all", "counts", "central", "mean", "outsider", refuse("R2", "public total")),
    ("all", "counts", "local", "mean", "server", refuse("R2", "public total")),
    ("all", "counts", "adaptive, central", "mean", "outsider", refuse("R2", "public total")),
    ("poisson", "counts", "central", "mean", "outsider", refuse("R2", "public total")),
    ("all", "capped counts", "central", "krum", "outsider", refuse("R33", "Drop Weigh")),
    ("all", "counts + weights", "central", "mean", "outsider", refuse("R2", "Keep one")),
    # refused: noises, and what sees what
    ("all", "uniform", "two noises", "mean", "server", refuse("R31", "Keep one")),
    ("all", "uniform", "shares and central", "mean", "server", refuse("R31", "Keep one")),
    ("all", "uniform", "central", "masked mean", "server", refuse("R31", "exact_sum")),
    ("all", "uniform", "adaptive, central", "masked mean", "server", refuse("R31", "exact_sum")),
    ("all", "uniform", "central", "masked groups", "server", refuse("R31", "exact")),
    ("all", "uniform", "central", "masked krum", "server", refuse("R8", "Grouped")),
    ("all", "uniform", "adaptive", "masked krum", "server", refuse("R8", "Grouped")),
    ("all", "uniform", "central, unnoised state", "mean", "client", refuse("R25", "learn")),
    # refused: a precondition that depends on a private cohort
    ("poisson", "uniform", "central", "krum", "outsider", refuse("R12", "FixedSize")),
    ("poisson", "uniform", "central", "trimmed", "outsider", refuse("R12", "FixedSize")),
    ("poisson", "uniform", "local", "nnm", "server", refuse("R12", "FixedSize")),
    ("poisson", "uniform", "adaptive, central", "trimmed", "outsider", refuse("R12", "FixedSize")),
]


def pipeline_of(weighting: str, mechanism: str, rule: str, **options: object) -> Pipeline:
    before, behind = MECHANISMS[mechanism]
    return Pipeline(*WEIGHTS[weighting], *before, *RULES[rule], *behind, **options)


def federation_of(sampler: str, pipeline: Pipeline) -> Federation:
    """Refuses what only shows with a sampler beside the pipeline."""
    data = [(torch.ones(1, 3), torch.ones(1, 1))] * N
    return Federation(
        nn.Linear(3, 1), data, pipeline, loss=nn.functional.mse_loss, sampling=SAMPLERS[sampler]
    )


def cohort_of(sampler: str, weighting: str) -> Cohort:
    size = N if sampler == "all" else SIZE
    weights = (0.5,) * size if "weights" in weighting else None
    return Cohort(tuple(range(size)), weights, expected=SIZE if sampler == "poisson" else None)


def claimed(sampler: str, pipeline: Pipeline, cohort: Cohort, adversary: Vantage) -> object:
    """The event that holds against the adversary, by the claim closest to it; None without one."""
    plan = Setting(pipeline, Opening.fresh(pipeline, cohort, 4)).plan
    charges = amplified(plan.charges, SAMPLERS[sampler], N, member=True)
    covering = [charge for charge in charges if charge.vantage.covers(adversary)]
    closest = min(covering, key=lambda charge: len(charge.vantage.parties), default=None)
    return closest and closest.event


def build(sampler: str, weighting: str, mechanism: str, rule: str, adversary: str) -> object:
    pipeline = pipeline_of(weighting, mechanism, rule)
    federation_of(sampler, pipeline)
    cohort = cohort_of(sampler, weighting)
    return claimed(sampler, pipeline, cohort, ADVERSARIES[adversary])


CLAIMS = [cell for cell in MATRIX if isinstance(cell[-1], Claim)]
REFUSALS = [cell for cell in MATRIX if isinstance(cell[-1], Refusal)]


def named(cell):
    return " | ".join(cell[:-1]) if isinstance(cell, tuple) else None


@pytest.mark.parametrize("cell", CLAIMS, ids=named)
def test_this_cell_claims_just_this(cell):
    *parts, wanted = cell
    assert build(*parts) == wanted.event


def test_a_claim_is_accepted_where_it_holds_with_all_that_the_sampling_could_give():
    for sampler, *_, claim in CLAIMS:
        amplified_or_all = sampler == "all" or not isinstance(claim.event, GaussianDpEvent)
        assert claim.accepted == (claim.event is not None and amplified_or_all)


@pytest.mark.parametrize("cell", REFUSALS, ids=named)
def test_this_cell_is_refused_by_its_rule_with_both_sides_and_the_fix(cell):
    *parts, wanted = cell
    with pytest.raises(CompositionError) as error:
        build(*parts)
    refused = error.value
    assert refused.rule == wanted.rule
    assert wanted.fix in refused.fix
    assert len(refused.parts) == 2
    assert len(refused.fix.split()) >= 2
    assert any(str(side) in refused.reason for side in refused.parts)
    assert len(refused.reason.split()) >= 5


def test_the_matrix_is_large_and_no_cell_stands_in_it_twice():
    cells = [cell[:-1] for cell in MATRIX]
    assert len(set(cells)) == len(cells) >= 40
    assert len(REFUSALS) >= 20


@pytest.mark.parametrize("column", range(5))
def test_every_entry_of_every_column_is_in_some_cell(column):
    known = [SAMPLERS, WEIGHTS, MECHANISMS, RULES, ADVERSARIES][column]
    assert {cell[column] for cell in MATRIX} == set(known)


def test_a_degraded_cell_claims_less_than_an_accepted_one_would():
    """One release at delta 1e-5: with the sampling, without it, and nothing at all."""
    sampled, whole = (epsilon_of(event, 1e-5).upper for event in (poisson(1.0), FULL))
    assert sampled < whole < epsilon_of(HALF, 1e-5).upper
    fewer = epsilon_of(fixed(2.0), 1e-5, "replace-one").upper
    assert fewer < epsilon_of(TWICE, 1e-5, "replace-one").upper == pytest.approx(whole)


@pytest.mark.parametrize(
    ("mechanism", "rule", "condition", "adversary", "event"),
    [
        ("central", "masked mean", "exact_sum_to_server", "outsider", FULL),
        ("central", "masked mean", "exact_sum_to_server", "server", None),
        ("central", "masked groups", "exact_sum_to_server", "outsider", FULL),
        ("adaptive, central", "masked mean", "exact_sum_to_server", "outsider", FULL),
        ("two noises", "mean", "local_and_central_noise", "server", HALF),
    ],
)
def test_what_is_accepted_knowingly_builds_and_claims_no_more(
    mechanism, rule, condition, adversary, event
):
    pipeline = pipeline_of("uniform", mechanism, rule, accepting=condition)
    found = claimed("all", pipeline, cohort_of("all", ""), ADVERSARIES[adversary])
    assert found == event


def test_sensitivity_is_never_an_input():
    """A clip of 1 beside a sensitivity of 1e-4 would be an epsilon of hundreds of millions."""
    for noise in (CentralGaussianNoise, LocalGaussianNoise):
        assert {field.name for field in fields(noise)} == {"noise_multiplier", "relation"}
        with pytest.raises(TypeError, match="sensitivity"):
            noise(1.0, sensitivity=1e-4)


def test_example_counts_without_a_weighing_are_refused_with_the_fix():
    """They are data of a call, so that no pipeline can be refused for them."""
    with pytest.raises(ValueError, match=r"Add Weigh\(max_examples=…\).*uniform_weights"):
        pipeline_of("uniform", "central", "mean").aggregate(torch.ones(2, 3), n_examples=[1, 2])


# records inside a client

RECORDS, BATCH, STEPS = 80, 8, 20
DRAWS = {
    "poisson": Poisson(size=BATCH),
    "poisson, public rate": Poisson(size=BATCH, rate=0.1),
    "fixed": FixedSize(size=BATCH),
    "shuffled": Shuffled(size=BATCH),
    "all": Everybody(),
    "too many": Poisson(size=RECORDS + 1),
    "a DataLoader's": torch.utils.data.RandomSampler(range(RECORDS)),
}
DRAWN = PoissonSampledDpEvent(BATCH / RECORDS, FULL)
TAKEN = SampledWithoutReplacementDpEvent(RECORDS, BATCH, FULL)

RECORD_MATRIX = [
    # draw, relation: event and how often in 20 steps, or the words of the refusal
    ("poisson", "zero-out", (DRAWN, STEPS)),
    ("poisson", "replace-one", (DRAWN, STEPS)),
    ("poisson", "add/remove", "Use Poisson(size=…, rate=…)"),  # the rate would tell how many
    ("poisson, public rate", "zero-out", (DRAWN, STEPS)),
    ("poisson, public rate", "add/remove", (DRAWN, STEPS)),
    ("fixed", "replace-one", (TAKEN, STEPS)),
    ("fixed", "zero-out", (FULL, STEPS)),  # no theorem: as if every step saw everything
    ("fixed", "add/remove", "relation='zero-out'"),
    ("shuffled", "zero-out", (FULL, 2)),  # two passes: one release each, at full strength
    ("shuffled", "replace-one", (FULL, 2)),
    ("shuffled", "add/remove", "relation='zero-out'"),
    ("all", "zero-out", (FULL, STEPS)),
    ("all", "add/remove", "relation='zero-out'"),
    ("too many", "zero-out", "at most the 80 records"),
    ("a DataLoader's", "zero-out", "one of privfl.sampling"),
]


@pytest.mark.parametrize(("draw", "relation", "wanted"), RECORD_MATRIX)
def test_a_step_is_charged_as_it_draws(draw, relation, wanted):
    def charged():
        local = DPSGD(sampling=DRAWS[draw], steps=STEPS, relation=relation)
        (charge,) = local.charges(RECORDS)
        assert str(charge.vantage) == "server"  # drawn inside: nobody but the client learns it
        return charge.event, charge.count

    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=re.escape(wanted)):
            charged()
    else:
        assert charged() == wanted

"""Whether a federation's pipeline, training, sampling and algorithm fit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from privfl.core import CompositionError, Party, Relation
from privfl.parts import Data
from privfl.sampling import Everybody

if TYPE_CHECKING:
    from privfl.federation import Federation


def refuse_contradictions(federation: "Federation") -> None:
    """Refuse what contradicts each other, before anybody trains.

    Raises:
        CompositionError: with the rule, both sides and what to do.
    """
    _refuse_what_training_reveals(federation, federation.datasets)
    _refuse_a_cohort_by_chance(federation)
    _refuse_amplifying_several_sums(federation)
    _refuse_choosing_by_loss(federation)
    _refuse_a_server_without_the_result(federation)
    federation.algorithm.check(
        federation.pipeline, federation.local, federation.sampling, federation.layout
    )


def _refuse_what_training_reveals(federation: "Federation", datasets: Mapping[Party, Data]) -> None:
    """Refuse running statistics and private counts beside a training that claims privacy."""
    local, contract = federation.local, federation.pipeline.contract
    charges = local.charges(min(len(y) for _, y in datasets.values()))
    if not charges:
        return
    if federation.layout.statistics_dim:
        raise CompositionError(
            "R1",
            (local, "running statistics"),
            f"{local!r} protects what it trains, and running statistics are not trained",
            "Use Layout.of(model, statistics='local'), or replace BatchNorm by GroupNorm",
        )
    if charges[0].relation is Relation.ADD_REMOVE and contract.weighting != "uniform":
        weigh = contract.author("weighting")
        raise CompositionError(
            "R7",
            (weigh, local),
            f"{weigh!r} sends the number of records, which is private under add/remove",
            "Drop Weigh, or train with relation='zero-out'",
        )


def _refuse_a_cohort_by_chance(federation: "Federation") -> None:
    """Refuse a rule whose precondition would depend on a private cohort (rule R12)."""
    claims = federation.pipeline.contract.claims_privacy
    sampling, rule = federation.sampling, federation.pipeline.aggregator
    if sampling.size_varies and claims and not rule.linear:
        raise CompositionError(
            "R12",
            (sampling, rule),
            f"{rule!r} needs so many rows, and how many {sampling!r} draws is private",
            "Use FixedSize(size=…), or Mean()",
        )


def _refuse_amplifying_several_sums(federation: "Federation") -> None:
    """Refuse sampled claims over a cohort that no single sum is made of (rule R12)."""
    algorithm, sampling = federation.algorithm, federation.sampling
    claims = federation.pipeline.contract.claims_privacy
    if claims and not algorithm.one_sum and type(sampling) is not Everybody:
        raise CompositionError(
            "R12",
            (algorithm, sampling),
            f"{algorithm!r} makes several sums of one draw, and {sampling!r} is accounted for one",
            "Leave sampling= out",
        )


def _refuse_choosing_by_loss(federation: "Federation") -> None:
    """Refuse a choice that tells what a pipeline hides (rules R7, R12)."""
    sampling, contract = federation.sampling, federation.pipeline.contract
    if not sampling.by_loss:
        return
    hides = federation.local.hides_records
    if contract.claims_privacy or hides:
        noise = federation.local if hides else contract.author("noise")
        raise CompositionError(
            "R12",
            (sampling, noise),
            f"{sampling!r} chooses by losses that {noise!r} does not cover, and one client "
            "displaces another",
            "Use FixedSize(size=…)",
        )
    if contract.sees != "each":
        protocol = contract.author("sees")
        raise CompositionError(
            "R7",
            (sampling, protocol),
            f"{sampling!r} asks for losses in clear, and {protocol!r} hides what clients send",
            "Use FixedSize(size=…)",
        )


def _refuse_a_server_without_the_result(federation: "Federation") -> None:
    """Refuse a server that computes on what only clients open (rule R9)."""
    algorithm, pipeline = federation.algorithm, federation.pipeline
    if pipeline.contract.opener == "clients" and not algorithm.clients_can_step:
        protocol = pipeline.protocol
        raise CompositionError(
            "R9",
            (algorithm, protocol),
            f"{algorithm!r} computes on the result at the server, and under {protocol!r} "
            "it stays with those who hold the key",
            f"Publish it: {type(protocol).__name__}(published=…)",
        )

"""Running an attack on a staged view, and measuring what it got. Only here truth meets images."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from privfl.attacks.inversion import LabelCounts, Reconstruction
from privfl.core import State
from privfl.evaluate._assign import in_order
from privfl.evaluate._contender import Probe
from privfl.evaluate._measure import measure
from privfl.evaluate._pool import Pool
from privfl.evaluate._scenario import Scenario
from privfl.evaluate._staged import Staged
from privfl.views import NotApplicable

SHOWN = 10  # images kept for the report


@dataclass(frozen=True)
class Findings:
    """Hold what one attack got out of one view.

    Attributes:
        hits: share identified, one a row of the view.
        nulls: the same of the null, one a row and draw.
        psnr, baseline_psnr: median of each row, dB.
        certified: the attack itself proved every image exact.
        images, truth: the first few, assigned to each other: (k, *shape).
        inferred, true: (rows, classes) label shares, of an attack that counts labels.
        strength, budget, seconds: of the attack.
        not_applicable: why it does not apply; empty where it does.
        view: hash of what was attacked.
    """

    hits: Tensor | None = field(default=None, repr=False)
    nulls: Tensor | None = field(default=None, repr=False)
    psnr: Tensor | None = field(default=None, repr=False)
    baseline_psnr: Tensor | None = field(default=None, repr=False)
    certified: bool = False
    images: Tensor | None = field(default=None, repr=False)
    truth: Tensor | None = field(default=None, repr=False)
    inferred: Tensor | None = field(default=None, repr=False)
    true: Tensor | None = field(default=None, repr=False)
    strength: str = ""
    budget: int = 0
    seconds: float = 0.0
    not_applicable: str = ""
    view: str = ""

    def to_state(self) -> State:
        """Return the findings as a value that can be written as bytes."""
        return {**vars(self)}


def attack_view(scenario: Scenario, probe: Probe, staged: Staged, seed: int) -> Findings:
    """Attack, then measure."""
    return replace(_attacked(scenario, probe, staged, seed), view=staged.digest)


def _attacked(scenario: Scenario, probe: Probe, staged: Staged, seed: int) -> Findings:
    generator = scenario.stream(seed, f"attack/{probe.name}")
    try:
        outcome = probe.attack(staged.view, staged.knowledge, generator)
    except NotApplicable as reason:
        return Findings(not_applicable=str(reason))
    if isinstance(outcome, LabelCounts):
        return _count_labels(outcome, staged)
    if isinstance(outcome, Reconstruction):
        pool = Pool(*scenario.candidates)
        return _measured(outcome, staged, pool, scenario, seed)
    raise ValueError(
        "An attack returns a Reconstruction or LabelCounts of privfl.attacks.inversion. "
        f"Found {type(outcome).__name__}."
    )


def _count_labels(outcome: LabelCounts, staged: Staged) -> Findings:
    n_classes = outcome.counts.shape[1]
    true = torch.stack([y.bincount(minlength=n_classes).double() for _, y in staged.data])
    return Findings(
        inferred=outcome.counts.double() / outcome.counts.sum(dim=1, keepdim=True),
        true=true / true.sum(dim=1, keepdim=True),
        strength=outcome.strength,
        seconds=outcome.seconds,
        budget=1,
    )


def _measured(
    outcome: Reconstruction, staged: Staged, pool: Pool, scenario: Scenario, seed: int
) -> Findings:
    n = outcome.images.shape[1]
    truth = torch.stack([x[:n] for x, _ in staged.data])
    labels = torch.stack([y[:n] for _, y in staged.data])
    generator = scenario.stream(seed, "measure")
    prior = staged.knowledge.prior
    # of a real update, the client's other images stay in the pool: without them a skewed client
    # would leave too few of a label; as rivals they make identification harder, never easier
    figures = measure(outcome.images, truth, labels, generator, pool=pool, prior=prior)
    return Findings(
        hits=figures.hits,
        nulls=figures.nulls,
        psnr=figures.psnr.median(dim=1).values,
        baseline_psnr=figures.baseline_psnr.median(dim=1).values,
        certified=bool(outcome.certified.all()),
        images=_shown(outcome.images, truth),
        truth=truth.flatten(0, 1)[:SHOWN],
        strength=outcome.strength,
        budget=outcome.budget,
        seconds=outcome.seconds,
    )


def _shown(images: Tensor, truth: Tensor) -> Tensor:
    """Put the first reconstructions into the order of the images they are taken for."""
    rows = -(-SHOWN // images.shape[1])
    pairs = zip(images[:rows], truth[:rows], strict=True)
    return torch.cat([in_order(made, true) for made, true in pairs])[:SHOWN]

"""What a figure with its interval lets one say."""

from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from privfl.evaluate._intervals import Estimate, paired_t

MARGIN = 0.1  # of identification less its null
HARM = 0.05  # of accuracy
LEAST_SEEDS = 3
LEAST_CROWD = 100  # a single victim picked out of fewer proves nothing: chance is above 1 %


class Verdict(StrEnum):
    """Name the outcome of one cell; each compares equal to its name.

    >>> Verdict.LEAK == "LEAK", f"{Verdict.NO_EVIDENCE}"
    (True, 'NO_EVIDENCE')
    """

    CERTIFIED_EXACT = "CERTIFIED_EXACT"
    LEAK = "LEAK"
    NO_EVIDENCE = "NO_EVIDENCE"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    HARMED = "HARMED"
    HELD = "HELD"


@dataclass(frozen=True)
class Control:
    """Hold the positive control of a cell: the same attack on the undefended twin.

    The twin keeps model, data, batch and clients; only the defence goes.

    Attributes:
        gain: its identification less its null.
        budget: with which the attack had it.
    """

    gain: Estimate
    budget: int


def reconstruction_verdict(
    gain: Estimate, *, budget: int, control: Control | None = None, certified: bool = False
) -> Verdict:
    """Decide whether an attack reconstructs.

    LEAK: the lower end of the gain is above .1, and CERTIFIED_EXACT if the attack also proved every
    image exact. NO_EVIDENCE: its upper end is below .1, with no less budget than the same attack
    needed to LEAK from the undefended twin. Otherwise INCONCLUSIVE.

    Guarantees:
        - At a gain of exactly .1, LEAK and NO_EVIDENCE come up at most once in 40 times each.
        - NO_EVIDENCE needs a positive control, and at least 36 victims.

    >>> weak, strong = Estimate(0.0, -0.05, 0.05), Estimate(1.0, 0.8, 1.0)
    >>> print(reconstruction_verdict(strong, budget=300))
    LEAK
    >>> print(reconstruction_verdict(weak, budget=300, control=Control(strong, budget=300)))
    NO_EVIDENCE
    >>> print(reconstruction_verdict(weak, budget=300))
    INCONCLUSIVE
    """
    if gain.lower > MARGIN:
        return Verdict.CERTIFIED_EXACT if certified else Verdict.LEAK
    able = control is not None and control.gain.lower > MARGIN and budget >= control.budget
    return Verdict.NO_EVIDENCE if able and gain.upper < MARGIN else Verdict.INCONCLUSIVE


def victim_verdict(identified: bool | None, *, among: int, certified: bool = False) -> Verdict:
    """Decide for a single victim: a LEAK if picked out of 100 or more, else INCONCLUSIVE.

    ``identified`` is None where there was no pool.

    >>> print(victim_verdict(True, among=100), victim_verdict(False, among=100))
    LEAK INCONCLUSIVE
    """
    if not identified or among < LEAST_CROWD:
        return Verdict.INCONCLUSIVE
    return Verdict.CERTIFIED_EXACT if certified else Verdict.LEAK


def poisoning_verdict(
    twin: Tensor, attacked: Tensor, *, harmed_another: bool = False, silent: bool = False
) -> Verdict:
    """Decide whether an attack harms a pipeline.

    The loss is the twin's accuracy less the attacked one's, paired over seeds, with a t interval.
    HARMED: its lower end is above .05. HELD: its upper end is below .05, and the attack HARMED some
    pipeline of the duel (its positive control). Fewer than three seeds, or an attack that sends the
    honest mean, are INCONCLUSIVE.

    Args:
        twin: (seeds,) accuracy of the same pipeline with the honest clients alone.
        attacked: (seeds,) accuracy under attack, seed by seed.
        harmed_another: whether the attack HARMED some pipeline of this duel.
        silent: whether what it sent equals the honest mean.

    >>> import torch
    >>> print(poisoning_verdict(torch.tensor([0.89, 0.90, 0.89]), torch.tensor([0.1, 0.1, 0.1])))
    HARMED
    """
    loss = paired_t(twin, attacked)
    if silent or len(twin) < LEAST_SEEDS:
        return Verdict.INCONCLUSIVE
    if loss.lower > HARM:
        return Verdict.HARMED
    return Verdict.HELD if harmed_another and loss.upper < HARM else Verdict.INCONCLUSIVE

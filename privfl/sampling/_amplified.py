"""What sampling the clients of a round does to its charges."""

from collections.abc import Sequence
from dataclasses import replace

from privfl.core import Charge, Unit, Vantage
from privfl.sampling._sampling import Sampling


def amplified(
    charges: Sequence[Charge], sampling: Sampling, n: int, *, member: bool
) -> tuple[Charge, ...]:
    """Return what one client of ``n`` is charged for a round whose cohort ``sampling`` drew.

    Only somebody who does not learn the cohort is kept from the sampled event; the server, which
    writes to the members, learns it (rule R12). So a client-level claim against an outsider is
    charged to everybody as a sampled event, where a theorem allows that, and whoever is not in the
    cohort shows the server nothing; any other claim is charged to the members, as it is. Noise
    that the members add is louder the more there are: where chance decides how many, it tells an
    outsider who took part, and nothing is gained.

    Args:
        charges: of the round, as the plan states them.
        sampling: how the cohort was drawn.
        n: how many clients it was drawn from.
        member: whether the client is in the cohort.

    Raises:
        ValueError: for a draw that says nothing under the relation of a charge.

    >>> from dp_accounting import GaussianDpEvent
    >>> from privfl.core import Relation
    >>> from privfl.sampling import Poisson
    >>> charge = Charge(GaussianDpEvent(1.0), Unit.CLIENT, Vantage.OUTSIDER, Relation.ZERO_OUT)
    >>> [type(c.event).__name__ for c in amplified([charge], Poisson(rate=0.1), 50, member=True)]
    ['PoissonSampledDpEvent']
    >>> [type(c.event).__name__ for c in amplified([charge], Poisson(rate=0.1), 50, member=False)]
    ['NoOpDpEvent', 'PoissonSampledDpEvent']
    """
    out: list[Charge] = []
    for charge in (replace(charge, n_units=n) for charge in charges):
        sampled = _sampled(charge, sampling, n)  # a draw may refuse, also where nothing is gained
        gains = _gains(charge, sampling)
        if member and (charge.vantage.parties or not gains):
            out.append(charge)
        if gains and not member:
            out.append(_absent(charge))
        if gains:
            out.append(sampled)
    return tuple(out)


def _gains(charge: Charge, sampling: Sampling) -> bool:
    by_members = bool(charge.vantage.parties)  # noise that hides from the server as well
    alike = not (by_members and sampling.size_varies)
    return charge.unit is Unit.CLIENT and sampling.amplifies(charge.relation) and alike


def _absent(charge: Charge) -> Charge:
    from dp_accounting import NoOpDpEvent

    vantage = charge.vantage | Vantage.SERVER
    return replace(charge, event=NoOpDpEvent(), count=1, vantage=vantage)


def _sampled(charge: Charge, sampling: Sampling, n: int) -> Charge:
    from dp_accounting import SelfComposedDpEvent

    once = charge.event if charge.count == 1 else SelfComposedDpEvent(charge.event, charge.count)
    event, count = sampling.accounted(once, n, 1, charge.relation)
    return replace(charge, event=event, count=count, vantage=Vantage.OUTSIDER, n_units=n)

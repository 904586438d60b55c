"""What may draw the records of a private step."""

from privfl.core import Relation, require
from privfl.sampling import Sampling


def require_sampling(sampling: object, relation: Relation | str) -> None:
    """Refuse what does not say what its draw is worth, or needs a number that is private.

    Under add/remove the number of records is private, so neither the coin nor the divisor may
    depend on it.
    """
    known = isinstance(sampling, Sampling)
    fix = "Another sampler draws what nobody can account; shuffled batches are Shuffled(size=…)"
    require(known, "sampling must be one of privfl.sampling", type(sampling).__name__, fix)
    private = Relation.of(relation) is Relation.ADD_REMOVE
    ok = not private or sampling.hides_n  # type: ignore[attr-defined]
    wanted = "Under add/remove, rate and divisor may not depend on the number of records"
    require(ok, wanted, repr(sampling), "Use Poisson(size=…, rate=…), or relation='zero-out'")


def require_size(sampling: Sampling, n: int) -> float:
    """Return the public size of a batch out of ``n`` records, which must be that many at least."""
    require(n > 0, "Training takes at least one record", "none")
    size = sampling.expected(n)
    require(size <= n, f"A batch must hold at most the {n} records there are", f"{size:g}")
    return size

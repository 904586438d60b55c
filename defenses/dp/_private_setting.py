"""What a private loop was asked for."""

from dataclasses import KW_ONLY, dataclass

from privfl.core import Account, Charge, Relation, Unit, Vantage, require_positive
from privfl.defenses.dp._prepaid import Prepaid
from privfl.defenses.dp._private_sampling import require_sampling, require_size
from privfl.sampling import Sampling


@dataclass(frozen=True)
class PrivateSetting:
    """Hold what was asked for, checked, and price it."""

    clip_norm: float
    noise_multiplier: float
    sampling: Sampling
    relation: Relation
    _: KW_ONLY
    n: int

    def __post_init__(self) -> None:
        """Refuse what hides nothing, or cannot be accounted."""
        require_positive("clip_norm", self.clip_norm)
        require_positive("noise_multiplier", self.noise_multiplier)
        require_sampling(self.sampling, self.relation)
        require_size(self.sampling, self.n)

    @property
    def size(self) -> float:
        """The public size of a batch."""
        return self.sampling.expected(self.n)

    def prepaid(self, account: Account | None, seeded: bool, old: Prepaid | None) -> Prepaid | None:
        """Return what pays, with what the old one has left where it paid for the same."""
        if account is None:
            return None
        independent = self.sampling.independent
        acts = (
            f"make_private(clip_norm={self.clip_norm!r}, "
            f"noise_multiplier={self.noise_multiplier!r}, sampling={self.sampling!r})"
        )
        new = Prepaid(account, self.price, self.price(1), independent, acts, seeded)
        return old if old == new and independent else new

    def price(self, steps: int) -> Charge:
        """Return what the first ``steps`` of a pass are charged, against an outsider."""
        from dp_accounting import GaussianDpEvent

        event = GaussianDpEvent(self.noise_multiplier)
        event, count = self.sampling.accounted(event, self.n, steps, self.relation)
        seen = Vantage.OUTSIDER
        return Charge(event, Unit.RECORD, seen, self.relation, count=count, n_units=self.n)

"""What the opener of a round holds."""

from dataclasses import dataclass, field, replace

from torch import Tensor

from privfl.core._encoding import Party


@dataclass(frozen=True)
class Rows:
    """Hold opened sums, one row a client or a group.

    Attributes:
        sums: (g, d), the sum over the members of each row.
        members: who is counted in each row.
        weight: (g, 1) or (g, d), the summed weight behind each row.

    `means` divides by the weight of those who are counted, so a group that lost a member is not
    shrunk into an outlier.
    """

    sums: Tensor
    members: tuple[tuple[Party, ...], ...]
    weight: Tensor | None = field(default=None)

    def but(self, **changes: object) -> "Rows":
        """Return a copy with ``changes``."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def means(self) -> Tensor:
        """The mean of each row, in the dtype of the sums: (g, d). A weight of 0 gives 0."""
        if self.weight is None:
            counts = [[max(len(who), 1)] for who in self.members]
            return self.sums / self.sums.new_tensor(counts)
        weight = self.weight.to(self.sums.device, self.sums.dtype)
        return self.sums / weight.where(weight != 0, weight.new_ones(()))

    @property
    def survivors(self) -> tuple[Party, ...]:
        """Everybody who is counted in some row."""
        return tuple(party for who in self.members for party in who)

    def only(self, keep: list[int]) -> "Rows":
        """Return the rows at the positions ``keep``."""
        weight = None if self.weight is None else self.weight[keep]
        return Rows(self.sums[keep], tuple(self.members[k] for k in keep), weight)

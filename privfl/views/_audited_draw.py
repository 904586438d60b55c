"""The draw of groups, checked by the public record of its letters."""

from collections.abc import Callable, Iterator, Mapping

from privfl.core import At, Cohort, Contract, Party, Plan, Registry
from privfl.parts._draw import COMMITMENT_BYTES, Draw, commitment_to
from privfl.views._audited_sum import Broken, Fields
from privfl.views._findings import Rule
from privfl.views._masked_sum import MaskedSum, bytes_in, names_in
from privfl.views._pass_facts import in_order


class AuditedDraw:
    """Take the lines of one draw in order, and yield what each violates."""

    def __init__(self, fields: Fields, registry: Registry) -> None:
        cohort, size = Cohort(names_in(fields, "members")), fields["group_size"]
        if type(size) is not int or size < 2:
            raise ValueError("group_size is no size of a group")
        self.size, self.registry = size, registry
        # of where a draw stands, only cohort and session matter
        self.at = At(cohort, Plan.first(cohort, 1), Contract(), 0, 0, bytes_in(fields, "session"))
        self.commitments: dict[Party, bytes] = {}
        self.coins: dict[Party, bytes] = {}

    def takes(self, what: str, fields: Fields) -> Broken:
        """Check a letter of the draw.

        Raises:
            ValueError: for a line that does not say what its kind says.
        """
        who = fields["receiver"] if fields["sender"] == "server" else fields["sender"]
        if who not in self.at.cohort.members:
            raise ValueError(f"{who!r} is no member of this round")
        checks: Mapping[str, Callable[[Party, Fields], Broken]] = {
            "commit": lambda who, fields: iter(()),
            "commitment": self._commitment,
            "reveal": self._reveal,
            "coin": self._coin,
        }
        if what not in checks:
            raise ValueError(f"{what!r} is no letter of a draw")
        return checks[what](who, fields)

    def _commitment(self, who: Party, fields: Fields) -> Broken:
        made = self.commitments[who] = bytes_in(fields, "commitment")
        bare, signature = made[:COMMITMENT_BYTES], made[COMMITMENT_BYTES:]
        if who not in self.registry:
            yield Rule.SIGNATURE, f"client {who} is not in the registry"
        elif not self.registry.has_signed(who, bare, signature):
            yield Rule.SIGNATURE, f"client {who} did not sign this commitment"

    def _reveal(self, who: Party, fields: Fields) -> Broken:
        if fields.get("relayed") != in_order(self.commitments, self.at.cohort):
            yield Rule.RELAYED, f"client {who} is shown commitments that nobody sent"

    def _coin(self, who: Party, fields: Fields) -> Broken:
        coin = self.coins[who] = bytes_in(fields, "coin")
        committed = self.commitments.get(who, b"")[:COMMITMENT_BYTES]
        if commitment_to(coin, who, self.at) != committed:
            yield Rule.DRAW, f"client {who} did not commit to this coin"

    def grouped(self, fields: Fields) -> Broken:
        """Check the coins with which a client is told its group."""
        if fields["coins"] != in_order(self.coins, self.at.cohort):
            yield Rule.RELAYED, f"client {fields['receiver']} is shown coins that nobody sent"

    def begins(self, numbers: MaskedSum) -> Broken:
        """Check that a group is one that the coins draw."""
        if set(self.coins) != set(self.commitments):
            late = sorted(set(self.commitments) - set(self.coins), key=str)
            yield Rule.DRAW, f"clients {late} committed to a coin, and their coins are left out"
        made = {(at.session, at.cohort.members) for at in self._groups()}
        if (numbers.session, numbers.members) not in made:
            yield Rule.DRAW, "this group is none that the coins draw"

    def _groups(self) -> Iterator[At]:
        if self.coins:
            draw = Draw.of(self.coins, self.size, self.at)
            yield from (draw.within(k, None) for k in range(len(draw.groups)))

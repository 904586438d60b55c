"""One claim as it stands in a book."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privfl.ledger._claim import Claim

if TYPE_CHECKING:
    from privfl.ledger._entry import Entry


@dataclass(frozen=True)
class Posting:
    """Say which release made a claim, and about whose data.

    Attributes:
        release: one name for all postings of the same release.
        dataset: whose data.
        claim: what was claimed of it.
        witnessed: whether the charge came from what acted, and not from a person.
    """

    release: str
    dataset: str
    claim: Claim
    witnessed: bool = True

    @classmethod
    def of(cls, entry: "Entry") -> "Posting":
        """Read an entry of kind ``charge``."""
        fields = entry.fields
        witnessed = fields["provenance"] == "witnessed"
        return cls(fields["release"], fields["dataset"], Claim.of_fields(fields), witnessed)

    def draft(self, run: str, pipeline: str = "") -> dict[str, object]:
        """Return the fields of an entry, to be appended by one run of a program."""
        return {
            "kind": "charge",
            "release": self.release,
            "dataset": self.dataset,
            **self.claim.fields,
            "provenance": "witnessed" if self.witnessed else "declared",
            "pipeline": pipeline,
            "run": run,
        }

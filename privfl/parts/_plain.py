"""The neutral protocol: updates travel as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from privfl.core import At, Cohort, Contract, Party, Plan, ProtocolAbort, Rows, decode, encode
from privfl.core._encoding import size_of
from privfl.parts._sum_protocol import Exchange, Replies, SumProtocol, Turn


@dataclass(frozen=True)
class Plain(SumProtocol):
    """Send each update to the server as it is. The server sees each one.

    Transport encryption is the carrier's business; against the server Plain hides nothing.

    >>> Plain().stages
    ('upload',)
    """

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        """Upload the vector."""
        del me, at
        if decode(letter) != "upload":
            refuse("a letter that asks for no upload")
        return Turn(encode(vector()))

    def collect(self, replies: Replies, at: At) -> Turn:
        """Ask everybody, then take one row from each reply of the planned length."""
        if at.state is None:
            letters = dict.fromkeys(at.cohort.members, encode("upload"))
            return Turn(letters, "asked", stage="upload")
        places: dict[Party, int] = {}
        sums, rejected = torch.empty(0), {}
        for who, reply in replies:
            try:
                row = read_vector(reply, at)
            except ProtocolAbort as error:
                rejected[who] = str(error)
                continue
            if not places:
                sums = row.new_empty(len(at.cohort), len(row))
            elif row.dtype != sums.dtype:
                sums = sums.to(torch.promote_types(row.dtype, sums.dtype))
            sums[len(places)], places[who] = row, len(places)  # one copy, and no list of them all
        if not places:
            raise ProtocolAbort(f"None of {len(at.cohort)} clients sent a usable update")
        members = tuple(who for who in at.cohort.members if who in places)
        order = [places[who] for who in members]
        sums = sums[: len(order)] if order == sorted(order) else sums[order]
        return Turn(rows=Rows(sums, tuple((who,) for who in members)), rejected=rejected)

    def exchanges(self, plan: Plan, cohort: Cohort) -> tuple[Exchange, ...]:
        """Count one vector: of float32, or of the integers that some part made of it."""
        del cohort
        kind = torch.int64 if plan.step else torch.float32
        vector = torch.empty(plan.dim, dtype=kind, device="meta")
        return (Exchange("upload", size_of("upload"), size_of(vector)),)

    def describe(self, plan: Plan, contract: Contract) -> str:
        """Say that nothing is hidden."""
        del plan, contract
        return "each update travels to the server as it is"


def read_vector(reply: bytes, at: At) -> Tensor:
    """Read a vector of the planned length and form from a reply, or abort with what was found."""
    dim = at.plan.dim
    vector = decode(reply, largest=16 * dim + 1024)
    if not isinstance(vector, Tensor):
        refuse("a reply that holds no vector")
    if vector.shape != (dim,):
        refuse(f"a vector of shape {tuple(vector.shape)}, planned was ({dim},)")
    if vector.is_floating_point() != (at.contract.form == "real"):
        refuse(f"a vector of {vector.dtype}, planned were {at.contract.form} numbers")
    return vector


def refuse(found: str) -> NoReturn:
    """Abort because of a letter that does not fit."""
    raise ProtocolAbort(f"Found {found}")

"""Holding a protocol to its kind."""

import torch

from privfl.core import CompositionError, require
from privfl.parts import SumProtocol
from privfl.rounds import Line
from privfl.testing._card import Card, examine
from privfl.testing._protocol_laws import PROTOCOL_LAWS
from privfl.testing._protocol_world import LARGEST_COHORT, World, bounded

DIM = 5


def check_protocol(part: SumProtocol, *, seed: int = 0) -> Card:
    """Check a protocol of your own against every law of a protocol, in small worlds.

    It is put first in line, else behind a clip of norm 1, and serves the fewest clients that it
    can, and the fewest that make another row, or one more. A law that holds in these worlds is not
    proved: it says nothing about what letters tell to whoever reads them.

    Raises:
        CompositionError: where it can stand in neither place, or serves no cohort up to 64.
        ValueError: where the clients open: the laws ask what the server released.

    >>> from privfl.parts import Plain
    >>> print(check_protocol(Plain()))
    Plain()
      passed      it is a frozen dataclass
      passed      without dropouts the release is everybody's mean
      passed      with dropouts it is the survivors' mean, or a ProtocolAbort
      passed      both sides go on from bytes between any two letters
      passed      the order of replies does not matter
      passed      a malformed letter is refused by name, or ends the round
      passed      a flipped bit raises nothing but a ProtocolAbort
      not claimed a flipped bit changes no sum, but in its sender's own vector
      passed      a client refuses a letter that it has answered
      not claimed a hidden update is never the same letter twice
      passed      rows and survivors are as many as it says
      passed      a round takes the bytes that the plan says
      passed      the length of letters tells nothing of the updates
    """
    return examine(part, PROTOCOL_LAWS, worlds(part, seed))


def worlds(part: SumProtocol, seed: int = 0) -> list[World]:
    """Return the smallest world of a protocol, and the smallest with a row more, or a client."""
    line = bounded(part)
    opener = line.contract.opener
    require(opener == "server", f"{part!r} must be opened by the server", f"by {opener}")
    least = next((n for n in range(2, LARGEST_COHORT) if _serves(line, n)), LARGEST_COHORT)
    rows = part.n_rows(least)
    more = next((n for n in range(least + 1, 3 * least) if part.n_rows(n) > rows), least + 1)
    return [_world(line, n, seed) for n in (least, more)]


def _serves(line: Line, n: int) -> bool:
    try:
        _world(line, n, 0).setting.plan  # noqa: B018  planning is the question
    except CompositionError:
        return False
    return line.protocol.min_survivors(n) <= n


def _world(line: Line, n: int, seed: int) -> World:
    """Make updates of norm below 1, so that no clip changes them."""
    generator = torch.Generator().manual_seed(seed)
    updates = torch.rand(n, DIM, generator=generator) / DIM + 0.01
    updates[1::2] *= -1
    return World(line, updates, seed)

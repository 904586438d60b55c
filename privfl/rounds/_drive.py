"""The only engine loop."""

from collections.abc import Callable, Iterable, Mapping

from privfl.core import Party, ProtocolAbort
from privfl.rounds._release import Release
from privfl.rounds._server import Round

Letters = Mapping[Party, bytes]
Wire = Callable[[Letters], Iterable[tuple[Party, bytes]]]


def drive(round: Round, deliver: Wire) -> Release:
    """Send letters and take replies until there are no letters left.

    Args:
        round: from `Round.open`, or one that goes on.
        deliver: carries letters to clients and yields ``(client, reply)`` one at a time, so a
            server that adds as it reads holds one reply, however many there are. Who drops out
            is simply not yielded.

    Raises:
        ProtocolAbort: where the round ends without a release.
    """
    while round.letters:
        round = round.collect(deliver(round.letters))
    if round.release is None:
        raise ProtocolAbort("The round ended without a release")
    return round.release

"""A letter of a round, and what may become of it on its way."""

from collections.abc import Callable
from dataclasses import dataclass, field

from privfl.core import Party

TO_CLIENT, TO_SERVER = "to client", "to the server"


@dataclass(frozen=True)
class Mail:
    """Name a letter of a round: in which exchange, which way, and whose.

    ``letter`` is the protocol's own, without the envelope; ``asked`` says of a reply that the
    client's update was asked for to make it.
    """

    exchange: int
    way: str
    who: Party
    letter: bytes = field(repr=False)
    asked: bool = False


Change = Callable[[Mail], bytes | None]


def unchanged(mail: Mail) -> bytes:
    """Deliver a letter as it is."""
    return mail.letter

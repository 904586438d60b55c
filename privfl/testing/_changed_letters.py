"""Letters as a bad wire or a bad party makes them."""

import random
from collections.abc import Iterator

from privfl.testing._mail import Change, Mail
from privfl.testing._protocol_world import Played

_MAGIC = b"PFL"  # what `privfl.core.encode` writes first; then comes the version


def malformed(mail: Mail, full: Played) -> Iterator[tuple[str, bytes]]:
    """Yield ``mail`` cut, too long, of another version, and letters of other exchanges."""
    letter = mail.letter
    yield "cut to nothing", b""
    yield "cut by a byte", letter[:-1]
    yield "cut in half", letter[: len(letter) // 2]
    yield "too long by a byte", letter + b"\0"
    yield "sent twice over", letter + letter
    if letter.startswith(_MAGIC):
        yield "of another version", _MAGIC + bytes([letter[3] ^ 0x80]) + letter[4:]
    for other in full.mails:
        same = (other.way, other.who) == (mail.way, mail.who)
        if same and other.exchange != mail.exchange and other.letter != letter:
            yield f"replaced by that of exchange {other.exchange}", other.letter


def flipped(mail: Mail, seed: int, count: int = 2) -> Iterator[tuple[str, bytes]]:
    """Yield ``mail`` with one bit flipped, in places spread over the letter."""
    draw, letter = random.Random(seed), mail.letter
    places = {0, len(letter) - 1} | {draw.randrange(len(letter)) for _ in range(count)}
    for place in sorted(places):
        bit = draw.randrange(8)
        made = bytearray(letter)
        made[place] ^= 1 << bit
        yield f"with bit {bit} of byte {place} flipped", bytes(made)


def putting(mail: Mail, letter: bytes) -> Change:
    """Return the wire that delivers ``letter`` in place of ``mail``."""
    place = (mail.exchange, mail.way, mail.who)

    def change(now: Mail) -> bytes:
        return letter if (now.exchange, now.way, now.who) == place else now.letter

    return change

"""Who of a public order is meant, in one bit each."""

from collections.abc import Collection, Sequence

from privfl.core._encoding import Party
from privfl.core._errors import ProtocolAbort


def to_bits(who: Collection[Party], order: Sequence[Party]) -> bytes:
    r"""Write a subset of ``order``, one bit a place.

    >>> to_bits(("b", "c"), ("a", "b", "c"))
    b'\x06'
    """
    chosen = set(who)
    number = sum(1 << k for k, member in enumerate(order) if member in chosen)
    return number.to_bytes(-(-len(order) // 8), "little")


def from_bits(data: bytes, order: Sequence[Party]) -> tuple[Party, ...]:
    """Read what `to_bits` wrote, in order.

    Raises:
        ProtocolAbort: for another length, or a bit behind the last place.
    """
    number = int.from_bytes(data, "little")
    if len(data) != -(-len(order) // 8) or number >> len(order):
        raise ProtocolAbort(f"A list of members in {len(data)} bytes, of {len(order)} members")
    return tuple(member for k, member in enumerate(order) if number >> k & 1)

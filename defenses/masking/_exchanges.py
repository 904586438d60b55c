"""How long the letters of a masked sum are."""

from privfl.core import Advertisement, Plan
from privfl.core._encoding import Blank, size_of
from privfl.core._letter import SIGNATURE_BYTES, Letter
from privfl.core._masking_letters import (
    BOX_BYTES,
    SHARE_BYTES,
    Advertise,
    Mask,
    Masked,
    Share,
    Sign,
    Unmask,
)
from privfl.core._ring import ring_bits
from privfl.crypto import packed_size
from privfl.defenses.masking._threat_model import Safety
from privfl.parts import Exchange


def exchanges(safety: Safety, plan: Plan) -> tuple[Exchange, ...]:
    """Return the five exchanges of a client whose neighbours all stay: the last stage has two."""
    n, k = safety.n, safety.neighbors
    all_bits, near_bits = -(-n // 8), -(-k // 8)
    words = packed_size(plan.dim, ring_bits(plan))
    return (
        Exchange("advertise", _size(Advertise), Advertisement.SIZE),
        Exchange("share", _size(Share, all_bits, n * Advertisement.SIZE), k * BOX_BYTES),
        Exchange(
            "mask",
            _size(Mask, near_bits, k * BOX_BYTES),
            _size(Masked, words, near_bits, SIGNATURE_BYTES, SIGNATURE_BYTES),
        ),
        Exchange(
            "unmask", _size(Sign, all_bits, k * (near_bits + SIGNATURE_BYTES)), SIGNATURE_BYTES
        ),
        Exchange(
            "unmask",
            _size(Unmask, all_bits, safety.quorum * SIGNATURE_BYTES),
            (k + 1) * SHARE_BYTES,
        ),
    )


def _size(kind: type[Letter], *lengths: int) -> int:
    return size_of((kind.kind(), *map(Blank, lengths)))

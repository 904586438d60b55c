"""How long the letters of an encrypted sum are."""

from typing import TYPE_CHECKING

from privfl.core import Cohort
from privfl.core._encoding import Blank, size_of
from privfl.core._encrypted_letters import (
    KEY_ID_BYTES,
    Decrypt,
    Encrypt,
    Encrypted,
    Opened,
    Present,
)
from privfl.core._letter import SIGNATURE_BYTES
from privfl.defenses.he._key import Card
from privfl.defenses.he._numbers import PROOF_BYTES
from privfl.defenses.he._parameters import Parameters
from privfl.lattice import SEED_BYTES
from privfl.parts import Exchange

if TYPE_CHECKING:
    from privfl.defenses.he._encrypted_sum import EncryptedSum


def exchanges(part: "EncryptedSum", found: Parameters, cohort: Cohort) -> tuple[Exchange, ...]:
    """Count a round in which everybody holds the key and nobody drops out.

    Handing the key to others takes, once, a box of 68 bytes for each.
    """
    n, seeds = len(cohort), found.ciphertexts * SEED_BYTES
    asked = Encrypt(bytes(KEY_ID_BYTES))
    sent = Blank(found.bytes_up - seeds), Blank(seeds), Blank(SIGNATURE_BYTES)
    words, others = found.bytes_down, 0
    if part.publishes:
        words, others = found.bytes_up - seeds, n * seeds
    summed = Blank(-(-n // 8)), Blank(n * PROOF_BYTES), Blank(words), Blank(others), Blank(32)
    result = Opened().to_bytes()
    opened = len(result)
    if part.publishes:
        answer = Blank(part.result_bytes(found)), Blank(SIGNATURE_BYTES)
        opened = size_of((Opened.kind(), *answer))
    return (
        Exchange("advertise", len(Present().to_bytes()), Card.SIZE),
        Exchange("upload", len(asked.to_bytes()), size_of((Encrypted.kind(), *sent))),
        Exchange("decrypt", size_of((Decrypt.kind(), *summed)), opened),
    )

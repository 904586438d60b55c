"""Whether an entry's signature is of the key it names."""

from privfl.ledger._entry import Entry
from privfl.ledger._tampered import LedgerTampered


def require_signature(entry: Entry) -> None:
    """Raise a LedgerTampered if ``entry`` is a signature, and a wrong one.

    What is signed is the hash of the entry before it, as 64 ASCII digits (Ed25519, RFC 8032).
    """
    if entry.kind != "signature":
        return
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    fields = entry.fields
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(fields["key"]))
        key.verify(bytes.fromhex(fields["signature"]), fields["previous"].encode("ascii"))
    except (InvalidSignature, ValueError):
        raise LedgerTampered(f"the signature in entry {entry.seq} is not of its key") from None

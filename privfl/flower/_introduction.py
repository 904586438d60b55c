"""Which node speaks for which name of the registry."""

from privfl.core import Party, ProtocolAbort, Registry, decode, encode
from privfl.crypto import Identity


def introduce(nonce: bytes, node_id: int, name: Party, key: Identity) -> bytes:
    """Say ``name``, and sign that the node asked with ``nonce`` is the one that has it."""
    return encode((name, key.sign(_words(nonce, node_id, name))))


def name_of(introduction: bytes, nonce: bytes, node_id: int, registry: Registry) -> Party:
    """Return the name that `introduce` signed.

    Raises:
        ProtocolAbort: for a name that is not in the registry, or a signature of somebody else's.
    """
    match decode(introduction, largest=1 << 12):
        case (int() | str() as name, bytes() as signature):
            if registry.has_signed(name, _words(nonce, node_id, name), signature):
                return name
    raise ProtocolAbort("An introduction that nobody in the registry signed")


def _words(nonce: bytes, node_id: int, name: Party) -> bytes:
    return encode(("privfl introduction", nonce, node_id, name))

"""The one question asked of every key before it is used."""


def require_length(name: str, value: bytes, *lengths: int) -> None:
    """Raise a ValueError unless ``value`` is bytes of one of ``lengths``; never shows the value.

    >>> require_length("seed", b"too short", 32)
    Traceback (most recent call last):
    ...
    ValueError: seed must be 32 bytes. Found 9.
    """
    if not isinstance(value, bytes | bytearray) or len(value) not in lengths:
        wanted = " or ".join(map(str, lengths))
        sized = isinstance(value, bytes | bytearray)
        found = len(value) if sized else type(value).__name__
        raise ValueError(f"{name} must be {wanted} bytes. Found {found}.")

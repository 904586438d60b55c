"""Words as the digits of one number in base 2^bits, the first the least."""

from collections.abc import Sequence


def packed(words: Sequence[int], bits: int) -> bytes:
    digits = "".join(format(int(word), f"0{bits}b") for word in reversed(words))
    return int(digits or "0", 2).to_bytes((len(words) * bits + 7) // 8, "little")

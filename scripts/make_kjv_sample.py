"""Choose the text that ships with privfl from Debian's King James Bible.

    apt-get download bible-kjv bible-kjv-text
    dpkg-deb -x bible-kjv_4.38_*.deb . && dpkg-deb -x bible-kjv-text_4.38_all.deb .
    usr/bin/bible -p usr/lib -f Gen1:1-Rev22:21 < /dev/null > verses.txt
    python scripts/make_kjv_sample.py verses.txt [OUT]

The first package holds the program that unpacks the text of the second; it writes one verse a line,
each behind its reference. Of twenty books the first whole verses are taken, up to 32,000 characters
with the new line that ends each, in lower case and without references. Nothing is drawn at random.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from privfl.data._kjv import ALPHABET

OUT = Path(__file__).parent.parent / "privfl" / "data" / "kjv_sample.npz"
LONGEST = 32_000
BOOKS = {
    "Ge": "Genesis", "Exo": "Exodus", "Lev": "Leviticus", "Deu": "Deuteronomy", "Jdgs": "Judges",
    "Ruth": "Ruth", "1Sm": "1 Samuel", "Job": "Job", "Psa": "Psalms", "Prv": "Proverbs",
    "Eccl": "Ecclesiastes", "Isa": "Isaiah", "Jer": "Jeremiah", "Dan": "Daniel", "Mat": "Matthew",
    "Luke": "Luke", "John": "John", "Acts": "Acts", "Rom": "Romans", "Rev": "Revelation",
}  # fmt: skip


def main(verses: Path, out: Path = OUT) -> None:
    """Read the verses and write the sample."""
    texts = beginnings(verses.read_text("ascii").splitlines())
    np.savez_compressed(out, **{BOOKS[short]: codes_of(texts[short]) for short in BOOKS})


def beginnings(lines: Iterable[str]) -> dict[str, str]:
    """Join the first verses of each book that is taken."""
    texts = dict.fromkeys(BOOKS, "")
    full = set()
    for line in lines:
        reference, verse = line.split(" ", 1)
        book = re.sub(r"\d+:\d+$", "", reference)
        longer = texts.get(book, "") + verse.strip().lower() + "\n"
        if len(longer) > LONGEST:
            full.add(book)
        if book in texts and book not in full:
            texts[book] = longer
    return texts


def codes_of(text: str) -> npt.NDArray[np.uint8]:
    """Write a text as the places of its characters in the alphabet."""
    return np.array([ALPHABET.index(character) for character in text], np.uint8)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

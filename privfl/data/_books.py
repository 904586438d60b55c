"""Text by book as tensors."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from privfl.core import require, require_count


@dataclass(frozen=True, eq=False)
class Books:
    """Hold books as codes: the place of each character in the alphabet.

    Attributes:
        books: the codes (n,), int64, of each book by its name.
        alphabet: the characters, code 0 first.

    >>> from privfl.data import kjv_sample
    >>> kjv_sample()
    Books(20 books, 616067 characters of an alphabet of 38)
    """

    books: Mapping[str, Tensor] = field(repr=False)
    alphabet: str = field(repr=False)

    def __repr__(self) -> str:
        """Say how much there is."""
        n = sum(map(len, self.books.values()))
        of = f"of an alphabet of {len(self.alphabet)}"
        return f"Books({len(self.books)} books, {n} characters {of})"

    def text(self, name: str) -> str:
        """Spell a book out.

        Raises:
            KeyError: for a name that is not there.
        """
        return "".join(self.alphabet[code] for code in self.books[name].tolist())

    def windows(self, length: int, stride: int) -> dict[str, tuple[Tensor, Tensor]]:
        """Cut each book into runs of characters, each with the one that follows.

        Args:
            length: characters of a run.
            stride: how many characters the next run begins further on.

        Returns:
            Codes x (n, length) and y (n,), int64, of each book. Runs that overlap share memory, so
            write into a copy.

        Raises:
            ValueError: for a length or stride below 1, or a book with no run that long.

        >>> from privfl.data import kjv_sample
        >>> x, y = kjv_sample().windows(80, stride=80)["Ruth"]
        >>> x.shape, y.shape
        (torch.Size([162, 80]), torch.Size([162]))
        """
        require_count("length", length, least=1)
        require_count("stride", stride, least=1)
        for name, codes in self.books.items():
            wanted = f"{name} must be longer than length = {length}"
            require(len(codes) > length, wanted, f"{len(codes)} characters", "Take shorter runs")
        return {
            name: (codes[:-1].unfold(0, length, stride), codes[length::stride])
            for name, codes in self.books.items()
        }

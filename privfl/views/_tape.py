"""A wire that remembers."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from privfl.core import SERVER, Party
from privfl.rounds import Letters, Wire
from privfl.views._view import Posted


@dataclass
class Tape:
    """Record every letter that crosses a wire, in order.

    >>> tape = Tape()
    >>> tape.posted
    []
    """

    posted: list[Posted] = field(default_factory=list)

    def recording(self, deliver: Wire) -> Wire:
        """Wrap a wire: letters pass unchanged and are kept."""

        def wire(letters: Letters) -> Iterable[tuple[Party, bytes]]:
            self.posted += [Posted(SERVER, who, letter) for who, letter in letters.items()]
            for who, reply in deliver(letters):
                self.posted.append(Posted(who, SERVER, reply))
                yield who, reply

        return wire

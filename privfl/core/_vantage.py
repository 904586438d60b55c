"""Who is looking."""

from dataclasses import dataclass
from typing import ClassVar

from privfl.core._encoding import Party

SERVER = "server"


@dataclass(frozen=True)
class Vantage:
    """Name a set of parties that pool what they see; the empty set sees only what is published.

    >>> print(Vantage.SERVER | Vantage.client(3))
    server + client 3
    >>> print(Vantage.OUTSIDER)
    outsider
    """

    parties: frozenset[Party] = frozenset()

    SERVER: ClassVar["Vantage"]
    OUTSIDER: ClassVar["Vantage"]

    @classmethod
    def client(cls, *who: Party) -> "Vantage":
        """Look from one client's place, or from several that collude."""
        return cls(frozenset(who))

    @classmethod
    def of(cls, value: "Vantage | str") -> "Vantage":
        """Accept a vantage, ``"server"`` or ``"outsider"``.

        >>> Vantage.of("server") == Vantage.SERVER
        True
        """
        words = {"server": cls.SERVER, "outsider": cls.OUTSIDER}
        if isinstance(value, Vantage):
            return value
        if value not in words:
            raise ValueError(f"vantage must be a Vantage, 'server' or 'outsider'. Found {value!r}.")
        return words[value]

    def covers(self, other: "Vantage") -> bool:
        """Tell whether what holds against this adversary holds against ``other``, who sees less."""
        return other.parties <= self.parties

    def __or__(self, other: "Vantage") -> "Vantage":
        """Pool two vantages."""
        return Vantage(self.parties | other.parties)

    def __contains__(self, party: Party) -> bool:
        """Tell whether ``party`` is one of those who look."""
        return party in self.parties

    def __str__(self) -> str:
        """Name the parties, the server first."""
        clients = sorted((p for p in self.parties if p != SERVER), key=str)
        names = [SERVER] * (SERVER in self.parties) + [f"client {p}" for p in clients]
        return " + ".join(names) or "outsider"


Vantage.SERVER = Vantage(frozenset({SERVER}))
Vantage.OUTSIDER = Vantage()

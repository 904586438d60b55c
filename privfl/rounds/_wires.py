"""Ways to carry letters, each around another."""

from collections.abc import Callable, Iterable, Mapping

from privfl.core import SERVER, Party, ProtocolAbort, require
from privfl.rounds._drive import Letters, Wire
from privfl.rounds._envelope import Envelope

Answer = Callable[[bytes], bytes]
Change = Callable[[Party, Party, bytes], bytes]


def direct(clients: Mapping[Party, Answer], aborts: dict[Party, str] | None = None) -> Wire:
    """Call each client in this process. One that aborts does not answer; why goes to ``aborts``."""

    def deliver(letters: Letters) -> Iterable[tuple[Party, bytes]]:
        for who, letter in letters.items():
            try:
                reply = clients[who](letter)
            except ProtocolAbort as error:
                if aborts is not None:
                    aborts[who] = str(error)
                continue
            yield who, reply

    return deliver


def dropping(deliver: Wire, drop: Mapping[Party, str], stages: tuple[str, ...]) -> Wire:
    """Lose each client of ``drop`` from the stage it names on."""
    for who, stage in drop.items():
        require(stage in stages, f"drop names a stage among {stages}", f"{stage!r} for {who!r}")

    def wire(letters: Letters) -> Iterable[tuple[Party, bytes]]:
        return deliver({who: x for who, x in letters.items() if not _gone(who, x)})

    def _gone(who: Party, letter: bytes) -> bool:
        if who not in drop:
            return False
        return stages.index(Envelope.read(letter).stage) >= stages.index(drop[who])

    return wire


def tampering(deliver: Wire, change: Change) -> Wire:
    """Let ``change(sender, receiver, letter)`` replace every letter, as an active server could."""

    def wire(letters: Letters) -> Iterable[tuple[Party, bytes]]:
        changed = {who: change(SERVER, who, letter) for who, letter in letters.items()}
        for who, reply in deliver(changed):
            yield who, change(who, SERVER, reply)

    return wire

"""A round whose clients and server live in bytes between any two letters."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from privfl.core import Cohort, Party, ProtocolAbort, Registry, decode
from privfl.crypto import Identity, Stream
from privfl.rounds import Letters, Line, Opening, Release, Round, Wire, direct, dropping, respond
from privfl.rounds._envelope import Envelope


class Clients:
    """Hold the updates of some clients and the bytes that each keeps."""

    def __init__(
        self, line: Line, updates: Tensor, names: Sequence[Party] | None = None, **scalars: Tensor
    ) -> None:
        self.line = line
        self.names = tuple(range(len(updates)) if names is None else names)
        self.updates = dict(zip(self.names, updates, strict=True))
        self.scalars = {
            who: {name: float(values[k]) for name, values in scalars.items()}
            for k, who in enumerate(self.names)
        }
        self.keys = {who: Identity.new() for who in self.names} if line.protocol.signs else {}
        public = {who: key.public for who, key in self.keys.items()}
        self.registry = Registry(public) if public else None
        self.kept: dict[Party, bytes] = {}
        self.asked: list[Party] = []

    def update(self, who: Party) -> tuple[Tensor, Mapping[str, float]]:
        self.asked.append(who)
        return self.updates[who], self.scalars[who]

    def answer(self, who: Party, letter: bytes, generator: Stream | None = None) -> bytes:
        reply, self.kept[who] = respond(
            self.line,
            who,
            letter,
            self.kept.get(who, b""),
            lambda: self.update(who),
            generator=generator,
            identity=self.keys.get(who),
            registry=self.registry,
        )
        return reply

    def wire(self, aborts: dict[Party, str] | None = None) -> Wire:
        answers = {who: lambda letter, who=who: self.answer(who, letter) for who in self.names}
        return direct(answers, aborts)

    def memory(self, who: Party) -> Mapping[Party, object]:
        return decode(self.kept[who])  # type: ignore[return-value]


def opened(line: Line, clients: Clients, **options: object) -> Opening:
    body = len(next(iter(clients.updates.values())))
    members = options.pop("members", Cohort.of(clients.names))
    return Opening.fresh(line, members, body, **options)  # type: ignore[arg-type]


def through_bytes(round_: Round, deliver: Wire) -> Release:
    """`drive`, with the server turned to bytes between any two letters."""
    registry = round_.registry
    while round_.letters:
        round_ = Round.from_bytes(round_.setting.line, round_.to_bytes(), registry=registry)
        round_ = round_.collect(deliver(round_.letters))
    if round_.release is None:
        raise ProtocolAbort("The round ended without a release")
    return round_.release


def run(
    line: Line,
    updates: Tensor,
    drop: Mapping[Party, str] | None = None,
    wrap: Callable[[Wire], Wire] = lambda wire: wire,
    **options: object,
) -> Release:
    """One round from the first letter to the release, everything through bytes."""
    clients = Clients(line, updates)
    wire = dropping(clients.wire(), drop or {}, line.protocol.stages)
    opening = opened(line, clients, **options)
    return through_bytes(Round.open(line, opening, registry=clients.registry), wrap(wire))


def envelope(letter: bytes) -> Envelope:
    return Envelope.read(letter)


def first_letters(line: Line, clients: Clients, **options: object) -> Letters:
    return Round.open(line, opened(line, clients, **options)).letters


def whole_numbers(n: int, d: int, seed: int = 0) -> Tensor:
    """Updates whose sums are exact: multiples of 2^-10 up to 1, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-1024, 1025, (n, d), generator=generator).double() / 1024

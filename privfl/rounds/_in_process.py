"""A whole round inside this process."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from privfl.core import Party, ProtocolAbort, Registry, Rows, State, decode, encode
from privfl.crypto import Identity, Stream
from privfl.rounds._client import respond
from privfl.rounds._drive import Wire, drive
from privfl.rounds._envelope import fields
from privfl.rounds._line import Line
from privfl.rounds._opening import Opening
from privfl.rounds._release import Release
from privfl.rounds._server import Round
from privfl.rounds._wires import Answer, direct

UpdateOf = Callable[[Party], tuple[Tensor, Mapping[str, float]]]


def in_process(
    line: Line,
    opening: Opening,
    update_of: UpdateOf,
    *,
    state: State = None,
    wrap: Callable[[Wire], Wire] | None = None,
    generator: Stream | None = None,
    rogues: Mapping[Party, Line] | None = None,
    identities: Mapping[Party, Identity] | None = None,
) -> Release:
    """Run both sides of a round in this process, through the same letters as anywhere.

    Args:
        line: the pipeline that server and clients run.
        opening: the round to open.
        update_of: asked for a client's update when the protocol asks the client.
        state: of the last release.
        wrap: puts wires around the direct one (dropping, tampering, recording).
        generator: randomness of all noise; None is the operating system's.
        rogues: clients that run another pipeline than they should.
        identities: with which clients sign; None makes them for this round.

    Raises:
        ProtocolAbort: with the first client's own reason where clients aborted.
    """
    generator = generator or Stream()
    keys = throwaway_keys(line, opening) if identities is None else identities
    registry = Registry({who: key.public for who, key in keys.items()}) if keys else None
    clients = _Clients(
        line, update_of, generator, rogues or {}, _kept(state), keys, registry, opening.model
    )
    aborts: dict[Party, str] = {}
    answers = {who: clients.answer(who) for who in opening.cohort.members}
    deliver = direct(answers, aborts)
    deliver = wrap(deliver) if wrap else deliver
    try:
        release = drive(Round.open(line, opening, state, generator, registry), deliver)
        if not release.update.numel():
            release = _opened_by_client(release, opening, clients.kept)
    except ProtocolAbort as error:
        if not aborts:
            raise
        who, why = next(iter(aborts.items()))
        raise ProtocolAbort(f"{error}. Client {who} aborted: {why}") from error
    lost = {who: why for who, why in aborts.items() if who not in release.survivors}
    release = replace(release, rejected={**release.rejected, **lost})
    return replace(release, state={**fields(release.state), "clients": dict(clients.kept)})


class _Clients:
    """Keep each client's bytes between its letters."""

    def __init__(
        self,
        line: Line,
        update_of: UpdateOf,
        generator: Stream,
        rogues: Mapping[Party, Line],
        kept: Mapping[Party, bytes],
        keys: Mapping[Party, Identity],
        registry: Registry | None,
        model: bytes,
    ) -> None:
        self.line, self.update_of, self.generator = line, update_of, generator
        self.rogues, self.kept = rogues, dict(kept)
        self.keys, self.registry, self.model = keys, registry, model

    def answer(self, who: Party) -> Answer:
        line = self.rogues.get(who, self.line)

        def reply(letter: bytes) -> bytes:
            before = self.kept.get(who, b"")
            out, self.kept[who] = respond(
                line,
                who,
                letter,
                before,
                lambda: self.update_of(who),
                generator=self.generator,
                identity=self.keys.get(who),
                registry=self.registry,
                model=self.model,
            )
            return out

        return reply


def throwaway_keys(line: Line, opening: Opening) -> dict[Party, Identity]:
    """Make an identity for each member of a simulation, where the protocol signs."""
    if not line.protocol.signs:
        return {}
    return {who: Identity.new() for who in opening.cohort.members}


def without_keys(state: State) -> State:
    """Return a release's state without what protocols keep for clients, which may be secret."""
    if not isinstance(state, Mapping) or "clients" not in state:
        return state
    kept = {who: _forgetful(memory) for who, memory in _kept(state).items()}
    return {**state, "clients": kept}


def _forgetful(memory: bytes) -> bytes:
    return encode({**fields(decode(memory)), "protocol": None})


def _kept(state: State) -> Mapping[Party, bytes]:
    return fields(fields(state).get("clients", {})) if state is not None else {}  # type: ignore[return-value]


def _opened_by_client(release: Release, opening: Opening, kept: Mapping[Party, bytes]) -> Release:
    """Take the first client's release of this round; one that is not in it holds an older one."""
    for memory in kept.values():
        found = fields(decode(memory))
        if "release" in found and Opening.from_state(found["opening"]).nonce == opening.nonce:
            opened = dict(fields(found["release"]))
            rows = Rows(*opened.pop("rows"))  # type: ignore[misc]
            return replace(release, opened=rows, **opened)  # type: ignore[arg-type]
    raise ProtocolAbort("No client opened the sum")


def on_device_of(release: Release, like: Tensor) -> Release:
    """Bring a release back to the dtype and device of the updates."""
    statistics = release.statistics
    return replace(
        release,
        update=release.update.to(like.device, like.dtype),
        statistics=None if statistics is None else statistics.to(like.device, like.dtype),
    )

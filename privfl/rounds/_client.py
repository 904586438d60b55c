"""The client's half of a round."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from privfl.core import Party, ProtocolAbort, Registry, State, decode, encode, require
from privfl.crypto import Identity, Stream
from privfl.parts import Wrapper
from privfl.rounds._envelope import Envelope, fields
from privfl.rounds._line import Line
from privfl.rounds._opened import open_rows
from privfl.rounds._opening import Opening
from privfl.rounds._setting import Setting

Update = Callable[[], tuple[Tensor, Mapping[str, float]]]
Admit = Callable[[Setting], None]
LASTING = ("contributed", "seen")


def respond(
    pipeline: Line,
    me: Party,
    letter: bytes,
    kept: bytes,
    update: Update,
    *,
    generator: Stream | None = None,
    identity: Identity | None = None,
    registry: Registry | None = None,
    model: bytes | None = None,
    admit: Admit | None = None,
) -> tuple[bytes, bytes]:
    """Take a client's turn: a letter and what it kept -> its reply and what it keeps.

    There is no client object: what stands between two letters is bytes (empty at first), so a
    client may be another process each time.

    Args:
        pipeline: the client's own; it never takes the server's numbers.
        me: this client's name in the cohort.
        letter: from the server.
        kept: what the last turn returned, also across rounds.
        update: asked for ``(vector, scalars)`` when the protocol needs it, and not before.
        generator: randomness of the noise; None is the operating system's.
        identity: with which this client signs, where the protocol signs.
        registry: the public keys of all clients, known out of band.
        model: hash of the weights that this client was sent, see `privfl.core.weights_hash`; an
            opening that names another is refused. None trusts the opening.
        admit: shown the round's setting before every turn; what it raises ends the turn, and
            nothing leaves.

    Guarantees:
        - Under a protocol that hides updates, who took part to the end of one sum on a model
          takes part in no other, unless the pipeline claims privacy: the difference of two sums
          is an update (rule R16). It needs the model's hash.

    Raises:
        ProtocolAbort: where a letter does not fit this client's pipeline, state or session.
        ValueError: for a protocol that signs, without an identity and a registry.
    """
    if pipeline.protocol.signs:
        wanted = f"{pipeline.protocol!r} signs letters: pass identity= and registry="
        require(identity is not None and registry is not None, wanted, "none")
    memory = dict(fields(decode(kept))) if kept else {}
    envelope = Envelope.read(letter)
    if envelope.stage not in pipeline.protocol.stages:
        raise ProtocolAbort("A letter of a stage that this client's protocol does not have")
    if envelope.opening is not None:
        memory = _enter(pipeline, me, envelope, memory)
    if "opening" not in memory:
        raise ProtocolAbort("A letter of a round that was never opened")
    setting = _setting(pipeline, memory["opening"], envelope.session)
    if model is not None and model != setting.opening.model:
        raise ProtocolAbort("The server opened the round for another model than it sent")
    if admit is not None:
        admit(setting)
    client = _Client(setting, me, memory, generator or Stream(), update, identity, registry)
    return client.turn(envelope), encode(memory)


def lasting(kept: bytes) -> State:
    """Return what of a client's kept bytes must never be forgotten: which sums it was in (R16)."""
    memory = fields(decode(kept)) if kept else {}
    return {name: memory.get(name, ()) for name in LASTING}


def with_lasting(kept: bytes, known: State) -> bytes:
    """Return a client's kept bytes with what `lasting` returned, then or earlier, added."""
    memory = dict(fields(decode(kept))) if kept else {}
    for name in LASTING:
        earlier, now = fields(known).get(name, ()), memory.get(name, ())
        memory[name] = (*earlier, *(each for each in now if each not in earlier))  # type: ignore[misc, operator, union-attr]
    return encode(memory)


def _setting(pipeline: Line, opening: State, session: bytes) -> Setting:
    opened = Opening.from_state(opening)
    if opened.session != session:
        raise ProtocolAbort("A letter of another session")
    try:
        return Setting(pipeline, opened)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ProtocolAbort("An opening letter that this pipeline cannot plan") from error


def _enter(
    pipeline: Line, me: Party, envelope: Envelope, memory: Mapping[Party, State]
) -> dict[Party, State]:
    """Check the opening of a pass; the first one settles the last round and forgets it."""
    opening = Opening.from_state(envelope.opening)
    if opening.fingerprint != pipeline.fingerprint:
        raise ProtocolAbort("The server runs another pipeline than this client")
    if me not in opening.present:
        raise ProtocolAbort("The server opened a round that this client is not in")
    seen = memory.get("seen", ())
    fresh: dict[Party, State] = {
        "opening": opening.to_state(),
        "protocol": pipeline.protocol.carry(memory.get("protocol")),
        "turns": 0,
        "asked": False,
    }
    if opening.pass_index:
        if opening.pass_index >= pipeline.passes:
            raise ProtocolAbort("A pass more than this client's pipeline has")
        if "entrance" not in memory or not opening.follows(memory.get("opening")):
            raise ProtocolAbort("A pass that does not follow this client's last one")
        return {**memory, **fresh}
    if opening.present != opening.cohort.members:
        raise ProtocolAbort("A round that opens with a part of its cohort")
    if opening.nonce in seen:  # type: ignore[operator]
        raise ProtocolAbort("A session that was used before")
    contributed = memory.get("contributed", ())
    if opening.model and opening.model in contributed:  # type: ignore[operator]
        raise ProtocolAbort("This client has contributed to a sum on this model before (R16)")
    return {
        "contributed": contributed,
        "seen": (*seen, opening.nonce),  # type: ignore[misc]
        "parts": _settled(pipeline, memory, envelope.outcome),
        "pending": {},
        **fresh,
    }


def _settled(
    pipeline: Line, memory: Mapping[Party, State], outcome: State
) -> Mapping[Party, State]:
    """Settle each wrapper's private state, now that the last round's outcome is known."""
    parts = dict(fields(memory.get("parts", {})))
    pending = fields(memory.get("pending", {}))
    if not pending:
        return parts
    last = Opening.from_state(memory["opening"])
    if last.fingerprint != pipeline.fingerprint:
        raise ProtocolAbort("What this client keeps belongs to another pipeline")
    setting, counted = Setting(pipeline, last), outcome == last.nonce
    for k, (x, made) in pending.items():  # type: ignore[misc, str-unpack]
        at = setting.at(int(k), Stream(), parts.get(k))
        parts[k] = pipeline.client_half[int(k)].settle(x, made, at, counted)  # type: ignore[arg-type]
    return parts


@dataclass
class _Client:
    """One turn: the place where a client's values are at hand."""

    setting: Setting
    me: Party
    memory: dict[Party, State]
    generator: Stream
    update: Update
    identity: Identity | None
    registry: Registry | None

    def turn(self, envelope: Envelope) -> bytes:
        line, k = self.setting.line, self.setting.line.protocol_at
        turns = int(self.memory["turns"])  # type: ignore[arg-type]
        self.memory["turns"] = turns + 1  # a stage may have two exchanges: none draws twice alike
        label = f"client/{self.me}/{turns}/{self.setting.session.hex()}"
        self.generator = self.generator.child(label)
        kept = self.memory.get("protocol")
        at = self.setting.at(k, self.generator, kept, self.identity, self.registry)
        turn = line.protocol.reply(envelope.letter, self.vector, self.me, at)
        self.memory["protocol"] = turn.state
        if turn.contributed and not self.setting.contract.claims_privacy:
            self._remember_contribution()
        if turn.rows is not None:
            opened = open_rows(self.setting, turn.rows, {}, turn.together or self.generator)
            self.memory["release"] = opened.release_state()
        reply = turn.letters if isinstance(turn.letters, bytes) else b""
        return Envelope(envelope.session, envelope.stage, reply).to_bytes()

    def _remember_contribution(self) -> None:
        models: tuple[State, ...] = self.memory["contributed"]  # type: ignore[assignment]
        if self.setting.opening.model not in models:  # another pass of the round has said it
            self.memory["contributed"] = (*models, self.setting.opening.model)

    def vector(self) -> Tensor:
        """Run the client half on the update; a later pass starts again at its wrapper."""
        if self.memory["asked"]:  # each answer has its own noise, and many of them average it out
            raise ProtocolAbort("A second letter that asks for the update of this session")
        self.memory["asked"] = True
        line, again = self.setting.line, self.setting.opening.pass_index > 0
        x = self.memory["entrance"] if again else self._entered()
        for k, part in enumerate(line.client_half):
            if again and k < (line.multipass_at or 0):
                continue
            if k == line.multipass_at:
                self.memory["entrance"] = x
            x = self._apply(k, part, x)  # type: ignore[arg-type]
        return x  # type: ignore[return-value]

    def _entered(self) -> Tensor:
        """Ask for the update, weigh it by the public weight, and append the declared tail."""
        opening, contract = self.setting.opening, self.setting.contracts[0]
        x, scalars = self.update()
        wanted = f"update must be a floating-point vector of shape ({opening.body},)"
        size = opening.body + opening.statistics
        if opening.statistics:
            wanted = f"{wanted[:-2]} + {opening.statistics} running statistics,)"
        found = f"shape {tuple(x.shape)} of {x.dtype}"
        require(x.shape == (size,) and x.is_floating_point(), wanted, found)
        measured = {s.name for s in self.setting.line.measured}
        names = [s.name for s in contract.scalars if s.name not in measured]
        missing = [name for name in names if name not in scalars]
        require(not missing, f"scalars must hold {names}", f"nothing for {missing}")
        tail = [scalars[s.name] / s.bound if s.name in names else 0.0 for s in contract.scalars]
        x, weight = x.detach(), opening.cohort.weight(self.me)
        x = x if weight == 1 else x * weight
        if opening.cohort.owners is not None:
            (mine,) = opening.cohort.index([self.me])
            body = x[: opening.body] * opening.cohort.owners[mine].to(x.device)
            x = torch.cat([body, x[opening.body :]])
        return torch.cat([x, x.new_tensor(tail).clamp(-1, 1)]) if tail else x

    def _apply(self, k: int, part: Wrapper, x: Tensor) -> Tensor:
        at = self.setting.at(k, self.generator, fields(self.memory["parts"]).get(k))
        body = x if part.covers_scalars else x[: at.plan.body]
        made = part.apply(body, at)
        if part.remembers and not self.setting.opening.pass_index:
            pending = fields(self.memory["pending"])
            self.memory["pending"] = {**pending, k: (body, made)}
        return made if part.covers_scalars else torch.cat([made, x[at.plan.body :]])

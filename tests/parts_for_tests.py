"""Small parts that only the tests use: they show that the walls carry what later parts need.

`MaskedSum` has the shape of secure aggregation: four stages, masks that cancel, dropouts at any of
them. Its masks are a dummy, since their seeds travel in clear. `ClientsOpen` has the shape of
homomorphic encryption under a key that the clients share.
"""

import hashlib
import itertools
import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from privfl.core import (
    At,
    CompositionError,
    Contract,
    Party,
    Plan,
    ProtocolAbort,
    Rows,
    State,
    decode,
    encode,
)
from privfl.crypto import Stream
from privfl.parts import Aggregator, Part, Replies, SumProtocol, Turn, Wrapper


def need(condition: bool, found: str) -> None:
    """Abort unless a letter fits."""
    if not condition:
        raise ProtocolAbort(found)


def fields(letter: State) -> Mapping[Party, State]:
    need(isinstance(letter, Mapping), "a letter without fields")
    return letter  # type: ignore[return-value]


@dataclass(frozen=True)
class FixedPoint(Wrapper):
    """Write real numbers as multiples of ``2**-bits``, so that sums are exact."""

    bits: int = 20
    covers_scalars: ClassVar[bool] = True

    def check(self, given: Contract) -> Contract:
        return super().check(given).but(self, form="integer")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        return given.but(step=2.0**-self.bits)

    def apply(self, x: Tensor, at: At) -> Tensor:
        return (x.double() * 2**self.bits).round().to(torch.int64)

    def undo(self, rows: Rows, at: At) -> Rows:
        return rows.but(sums=rows.sums.double() * 2.0**-self.bits)


@dataclass(frozen=True)
class MaskedSum(SumProtocol):
    """Show the opener the sum of those who sent a masked vector, if ``threshold`` stay to the end.

    Every client hands a seed of its own and a pair key to all (a dummy: nothing is secret), adds
    both masks modulo 2^64, and in the end shows the seeds of those who are counted and the keys of
    those who are gone, never both of one client.
    """

    threshold: int
    stages: ClassVar[tuple[str, ...]] = ("advertise", "share", "mask", "unmask")  # type: ignore[misc]

    def lower(self, given: Contract) -> tuple[Part, ...]:
        return (self,) if given.form == "integer" else (FixedPoint(), self)

    def check(self, given: Contract) -> Contract:
        if given.support == "private":
            raise CompositionError(
                "R32", (given.author("support"), self), "positions depend on data", "Use RandomK"
            )
        return super().check(given).but(self, sees="sum", rows="sum", form="real")

    def min_survivors(self, n: int) -> int:
        return self.threshold

    def n_rows(self, n: int) -> int:
        return 1

    # the client's half

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        stage, what = self._read(letter)
        kept = dict(fields(at.state)) if at.state is not None else {}
        need(stage == kept.get("next", "advertise"), "a letter out of turn")
        return getattr(self, f"_{stage}")(what, kept, vector, me, at)

    def _read(self, letter: bytes) -> tuple[str, State]:
        found = decode(letter)
        need(isinstance(found, tuple) and len(found) == 2, "a letter of another shape")
        stage, what = found  # type: ignore[misc]
        need(stage in self.stages, "a letter of no stage")
        return stage, what  # type: ignore[return-value]

    def _advertise(self, what, kept, vector, me, at) -> Turn:
        kept = {"key": secrets.token_bytes(32), "seed": secrets.token_bytes(32), "next": "share"}
        return Turn(encode(kept["key"]), kept)

    def _share(self, what, kept, vector, me, at) -> Turn:
        keys = fields(what)
        need(keys.get(me) == kept["key"], "my key was changed")
        need(len(keys) >= self.threshold, "too few keys")
        return Turn(encode(kept["seed"]), {**kept, "keys": keys, "next": "mask"})

    def _mask(self, what, kept, vector, me, at) -> Turn:
        seeds = fields(what)
        need(seeds.get(me) == kept["seed"], "my seed was changed")
        need(len(seeds) >= self.threshold and set(seeds) <= set(kept["keys"]), "too few seeds")
        y = vector() + mask(kept["seed"], at.plan.dim)
        for peer in seeds:
            if peer != me:
                y = y + pair_mask(kept["keys"], me, peer, at)
        return Turn(encode(y), {**kept, "seeds": seeds, "next": "unmask"})

    def _unmask(self, what, kept, vector, me, at) -> Turn:
        need(isinstance(what, tuple) and len(what) == 2, "no survivors")
        need(all(isinstance(side, tuple) for side in what), "no survivors")
        counted, gone = set(what[0]), set(what[1])
        fits = me in counted and not counted & gone and counted | gone == set(kept["seeds"])
        need(fits and len(counted) >= self.threshold, "inconsistent survivors")
        seeds = {who: kept["seeds"][who] for who in counted}
        keys = {who: kept["keys"][who] for who in gone}
        return Turn(encode((seeds, keys)), {"next": "never again"})

    # the server's half

    def collect(self, replies: Replies, at: At) -> Turn:
        if at.state is None:
            letters = dict.fromkeys(at.cohort.members, encode(("advertise", None)))
            return Turn(letters, {"after": "advertise"}, stage="advertise")
        kept = dict(fields(at.state))
        return getattr(self, f"_after_{kept['after']}")(replies, kept, at)

    def _enough(self, who, stage: str) -> None:
        need(len(who) >= self.threshold, f"{len(who)} left at {stage}, {self.threshold} needed")

    def _next(self, stage: str, what: State, who, kept) -> Turn:
        letters = {member: encode((stage, what)) for member in who}
        return Turn(letters, {**kept, "after": stage}, stage=stage)

    def _after_advertise(self, replies, kept, at) -> Turn:
        keys = {who: as_bytes(reply) for who, reply in replies}
        self._enough(keys, "advertise")
        return self._next("share", keys, keys, {**kept, "keys": keys})

    def _after_share(self, replies, kept, at) -> Turn:
        seeds = {who: as_bytes(reply) for who, reply in replies}
        self._enough(seeds, "share")
        return self._next("mask", seeds, seeds, {**kept, "peers": tuple(seeds)})

    def _after_mask(self, replies, kept, at) -> Turn:
        total, counted = torch.zeros(at.plan.dim, dtype=torch.int64), []
        for who, reply in replies:  # one at a time
            y = decode(reply)
            need(isinstance(y, Tensor) and y.shape == total.shape, "no vector")
            need(y.dtype == torch.int64, "no vector of the ring")
            total, counted = total + y, [*counted, who]
        self._enough(counted, "mask")
        gone = tuple(who for who in kept["peers"] if who not in counted)
        kept |= {"total": total, "counted": tuple(counted), "gone": gone}
        return self._next("unmask", (kept["counted"], gone), counted, kept)

    def _after_unmask(self, replies, kept, at) -> Turn:
        answers = [decode(reply) for _, reply in replies]
        self._enough(answers, "unmask")
        need(all(isinstance(a, tuple) and len(a) == 2 for a in answers), "no answer")
        seeds, keys = fields(answers[0][0]), fields(answers[0][1])
        need(
            set(seeds) == set(kept["counted"]) and set(keys) == set(kept["gone"]), "half an answer"
        )
        total = kept["total"]
        for who in kept["counted"]:
            total = total - mask(seeds[who], at.plan.dim)
        for gone, who in itertools.product(kept["gone"], kept["counted"]):
            total = total - pair_mask({**kept["keys"], **keys}, who, gone, at)
        return Turn(rows=Rows(total[None], (kept["counted"],)))


def as_bytes(reply: bytes) -> bytes:
    found = decode(reply, largest=1024)
    need(isinstance(found, bytes) and len(found) == 32, "no key")
    return found  # type: ignore[return-value]


def mask(seed: bytes, dim: int) -> Tensor:
    """A word of the ring for each coordinate: -> (dim,) int64."""
    drawn = Stream(hashlib.sha256(seed).digest()).bytes(8 * dim)
    return torch.frombuffer(bytearray(drawn), dtype=torch.int64)


def pair_mask(keys: Mapping[Party, bytes], me: Party, peer: Party, at: At) -> Tensor:
    """What ``me`` adds for ``peer``; for the other way round it is the negative."""
    first, second = sorted((me, peer), key=lambda who: keys[who])
    drawn = mask(keys[first] + keys[second] + at.session, at.plan.dim)
    return drawn if me == first else -drawn


@dataclass(frozen=True)
class ClientsOpen(SumProtocol):
    """Let the server add vectors it cannot read (a dummy: it can), and the clients open the sum."""

    stages: ClassVar[tuple[str, ...]] = ("upload", "open")  # type: ignore[misc]

    def check(self, given: Contract) -> Contract:
        return super().check(given).but(self, sees="sum", rows="sum", opener="clients")

    def n_rows(self, n: int) -> int:
        return 1

    def reply(self, letter: bytes, vector: Callable[[], Tensor], me: Party, at: At) -> Turn:
        what = decode(letter)
        if what == "upload":
            return Turn(encode(vector()), "sent")
        need(at.state == "sent" and isinstance(what, tuple) and len(what) == 2, "out of turn")
        total, who = what  # type: ignore[misc]
        return Turn(encode("opened"), None, Rows(total[None], (who,)))  # type: ignore[index, arg-type]

    def collect(self, replies: Replies, at: At) -> Turn:
        if at.state is None:
            return Turn(dict.fromkeys(at.cohort.members, encode("upload")), {}, stage="upload")
        if "survivors" in fields(at.state):
            list(replies)
            return Turn({}, at.state)
        sent = {who: decode(reply) for who, reply in replies}
        need(bool(sent), "nobody sent anything")
        total, who = torch.stack(list(sent.values())).sum(dim=0), tuple(sent)
        return Turn(dict.fromkeys(who, encode((total, who))), {"survivors": who}, stage="open")


@dataclass(frozen=True)
class TopK(Wrapper):
    """Send the ``k`` largest coordinates and remember the rest until it is known who counted."""

    k: int
    covers_scalars: ClassVar[bool] = False

    def check(self, given: Contract) -> Contract:
        return super().check(given).but(self, support="private")

    def _whole(self, x: Tensor, at: At) -> Tensor:
        return x if at.state is None else x + at.state

    def apply(self, x: Tensor, at: At) -> Tensor:
        x = self._whole(x, at)
        top = x.abs().topk(self.k).indices
        return torch.zeros_like(x).scatter(0, top, x[top])

    def settle(self, x: Tensor, made: Tensor, at: At, counted: bool) -> State:
        return self._whole(x, at) - made if counted else self._whole(x, at)


@dataclass(frozen=True)
class Halve(TopK):
    """Send half of everything and remember the other half: its support is public."""

    k: int = 0

    def check(self, given: Contract) -> Contract:
        return Wrapper.check(self, given)

    def apply(self, x: Tensor, at: At) -> Tensor:
        return self._whole(x, at) / 2


@dataclass(frozen=True)
class AdaptiveClip(Wrapper):
    """Clip to a public norm that follows a quantile; who was clipped rides along as one bit.

    Andrew et al. 2021, https://arxiv.org/abs/1905.03871, algorithm 1, without its noise.
    """

    start: float = 1.0
    quantile: float = 0.5
    rate: float = 0.2
    covers_scalars: ClassVar[bool] = True

    def check(self, given: Contract) -> Contract:
        return super().check(given).but(self, clip_norm=1e3, enforced_by="client")

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        norm = float(public)  # type: ignore[arg-type]
        return given.but(dim=given.dim + 1, clip_norm=norm, bound=norm)

    def initial(self, plan: Plan) -> State:
        return self.start

    def apply(self, x: Tensor, at: At) -> Tensor:
        norm = float(at.public)  # type: ignore[arg-type]
        length = float(x[: at.plan.body].norm())
        bit = x.new_tensor([length <= norm]).to(x) - 0.5
        return torch.cat([x[: at.plan.body] * min(1.0, norm / length), x[at.plan.body :], bit])

    def undo(self, rows: Rows, at: At) -> Rows:
        return rows.but(sums=rows.sums[:, :-1])

    def advance(self, rows: Rows, at: At) -> State:
        below = 0.5 + float(rows.sums[:, -1].sum()) / len(rows.survivors)
        return float(at.public) * math.exp(-self.rate * (below - self.quantile))  # type: ignore[arg-type]


@dataclass(frozen=True)
class PowerSGD(Wrapper):
    """Send an update as a matrix of low rank, in two secure sums, and remember what was left out.

    Vogels et al. 2019, https://arxiv.org/abs/1905.13727, algorithm 1. The error that a client keeps
    is its own matrix less its projection, which sums to the paper's over the clients.
    """

    rank: int
    height: int
    covers_scalars: ClassVar[bool] = False
    passes: ClassVar[int] = 2  # type: ignore[misc]

    def _width(self, plan: Plan) -> int:
        return -(-plan.body // self.height)

    def _size(self, plan: Plan) -> int:
        return max(self.height, self._width(plan)) * self.rank

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        size = self._size(given)
        return given.but(body=size, dim=given.dim - given.body + size)

    def initial(self, plan: Plan) -> State:
        return {"q": orthogonal(Stream.replay(0).normal((self._width(plan), self.rank)))}

    def _matrix(self, x: Tensor, at: At) -> Tensor:
        x = x if at.state is None else x + at.state
        width = self._width(at.plan)
        return torch.cat([x, x.new_zeros(self.height * width - len(x))]).view(self.height, width)

    def apply(self, x: Tensor, at: At) -> Tensor:
        m, public = self._matrix(x, at), fields(at.public)
        made = m @ public["q"].to(m) if at.pass_index == 0 else m.T @ public["p"].to(m)
        return torch.cat([made.flatten(), x.new_zeros(self._size(at.plan) - made.numel())])

    def advance(self, rows: Rows, at: At) -> State:
        mean = rows.sums.double().sum(dim=0) / rows.weight.sum()  # type: ignore[union-attr]
        name, n = ("p", self.height) if at.pass_index == 0 else ("q", self._width(at.plan))
        made = mean[: n * self.rank].view(n, self.rank)
        return {**fields(at.public), name: orthogonal(made) if name == "p" else made}

    def undo(self, rows: Rows, at: At) -> Rows:
        public, weight = fields(at.public), rows.weight.sum()  # type: ignore[union-attr]
        one = (public["p"] @ public["q"].T).flatten()[: at.plan.body]  # type: ignore[union-attr, operator]
        return Rows((one * weight)[None], (rows.survivors,), weight.view(1, 1))

    def settle(self, x: Tensor, made: Tensor, at: At, counted: bool) -> State:
        m = self._matrix(x, at)
        if counted:
            p = fields(at.public)["p"].to(m)  # type: ignore[union-attr]
            m = m - p @ (p.T @ m)
        return m.flatten()[: len(x)]


def orthogonal(m: Tensor) -> Tensor:
    """An orthonormal basis of the columns: (h, r) -> (h, r)."""
    return torch.linalg.qr(m)[0]


@dataclass(frozen=True)
class CorrelatedNoise(Wrapper):
    """Add noise behind the aggregator, and take back ``decay`` of what the last round added."""

    std: float
    decay: float = 0.9
    covers_scalars: ClassVar[bool] = True

    def apply(self, x: Tensor, at: At) -> Tensor:
        back = 0.0 if at.state is None else self.decay * at.state  # type: ignore[operator]
        return x.double() + at.generator.normal(x.shape) * self.std - back

    def settle(self, x: Tensor, made: Tensor, at: At, counted: bool) -> State:
        back = 0.0 if at.state is None else self.decay * at.state  # type: ignore[operator]
        return made - x.double() + back


@dataclass(frozen=True)
class RandomK(Wrapper):
    """Send ``k`` coordinates that everybody draws alike, and scale in the end (rule R4)."""

    k: int
    covers_scalars: ClassVar[bool] = False

    def plan(self, given: Plan, contract: Contract, public: State) -> Plan:
        return given.but(body=self.k, dim=given.dim - given.body + self.k)

    def _where(self, at: At) -> Tensor:
        return at.shared("random-k").permutation(at.plan.body)[: self.k]

    def apply(self, x: Tensor, at: At) -> Tensor:
        return x[self._where(at)]

    def undo(self, rows: Rows, at: At) -> Rows:
        whole = rows.sums.new_zeros(len(rows.sums), at.plan.body)
        whole[:, self._where(at)] = rows.sums * (at.plan.body / self.k)
        return rows.but(sums=whole)


@dataclass(frozen=True)
class Shares(Wrapper):
    """Add a share of noise that protects a sum only, and says so in the contract."""

    std: float = 1.0
    covers_scalars: ClassVar[bool] = True

    def check(self, given: Contract) -> Contract:
        if given.noise != "none":
            raise CompositionError(
                "R31", (given.author("noise"), self), "two noises in one release", "Keep one"
            )
        return super().check(given).but(self, noise="shares")

    def apply(self, x: Tensor, at: At) -> Tensor:
        return x + (at.generator.normal(x.shape) * self.std).to(x)


@dataclass(frozen=True)
class First(Aggregator):
    """Take the first row: a rule that compares, with no sensitivity known."""

    def columns(self, block: Tensor, weights: Tensor | None = None) -> Tensor:
        return block[0]

"""Homomorphic sums beside TenSEAL's `ckks_vector`: bytes and speed, taken in one run.

    pip install -c constraints.txt -e .
    python benchmarks/he.py [--json] [--tries 5]

A million float64 parameters of norm 1 from each of ten clients. Times are those of the process, on
one thread, the least of several tries in which all take turns. Keys exist already, everywhere.

- *encrypt*: an array in, bytes out: encode, encrypt, serialise. For BFV an array of integers.
- *turn*: what a client of privfl does besides, by `respond`: clipping, rounding to 16 bits for BFV,
  a hash, a signature and the envelope. TenSEAL has no such thing: its encryption again.
- *server*: bytes of all ten in, bytes of the sum out, over ten. privfl: the whole turn, by
  `Round.collect`, which checks ten signatures and writes ten letters; no signature is known to it.
  TenSEAL: deserialise, add, serialise the sum.
- *add*: nothing but the additions, of ciphertexts that are loaded.
- *decrypt*: bytes of the sum in, numbers out. privfl: the whole turn, by `respond`, which checks
  ten signatures, hashes the sum and takes the mean; where the result is published it makes every
  sender's second polynomials of their seeds, floods and signs. TenSEAL: deserialise, decrypt, one
  array of its lists.

*Bytes* are those of the busiest client in a round, letters included; the client that opens what is
published sends the result too. *Error* is the largest of a coordinate of the mean, against float64;
rounding to 16 bits is in it. TenSEAL's sets are degree 8192, scale 2^40 and primes of 60, 40, 40
bits under the secret key (NVFlare's), and of 60, 40, 40, 60 bits under a public key (its README's).
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from _tenseal import NVFLARE, README, Setup
from _timing import least
from torch import Tensor

from privfl import Pipeline
from privfl.core import Party, Registry, State
from privfl.crypto import Identity, Stream, pack
from privfl.crypto._identity import _verified
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.lattice import Secret
from privfl.rounds import Opening, Round, respond
from privfl.rounds._envelope import Envelope, fields

MILLION, CLIENTS = 1_000_000, 10
CNN = 1_663_370  # parameters of the two-layer CNN of McMahan et al. 2017
FEWER_BYTES, FASTER = 7.0, 3.0  # aims, beside NVFlare's set
CNN_BYTES = 13_000_000
PARTS = {"privfl BFV": BFV(), "privfl CKKS": CKKS(), "privfl CKKS, flooded": CKKS(published=100)}
MOST_EACH = {"privfl BFV": 7.7, "privfl CKKS": 8.1}  # bytes a parameter


@dataclass(frozen=True)
class Asked:
    """One exchange of a round: the round that asks, what its clients kept before, the replies."""

    round: Round
    kept: Mapping[Party, bytes]
    replies: Sequence[tuple[Party, bytes]]


class Clients:
    """The clients of a round, all in this process; ``state`` is the last release's, if any."""

    def __init__(self, line: Pipeline, updates: Tensor, state: State = None) -> None:
        before = fields({} if state is None else state)
        self.line, self.updates = line, updates
        self.kept, self.round = dict(before.get("clients", {})), before.get("round", 0)
        self.identities = [Identity.new() for _ in updates]
        self.registry = Registry({who: key.public for who, key in enumerate(self.identities)})

    def respond(self, who: Party, letter: bytes, kept: bytes) -> tuple[bytes, bytes]:
        """Take one turn."""
        _verified.cache_clear()
        identity, registry = self.identities[who], self.registry
        update = self.updates[who]
        return respond(
            self.line, who, letter, kept, lambda: (update, {}), identity=identity, registry=registry
        )

    def replies(self, letters: Mapping[Party, bytes]) -> Iterator[tuple[Party, bytes]]:
        """Answer letters one at a time."""
        for who, letter in letters.items():
            reply, self.kept[who] = self.respond(who, letter, self.kept.get(who, b""))
            yield who, reply

    def opened_round(self) -> Round:
        """Open a round with them."""
        opening = Opening.fresh(self.line, *self.updates.shape, round=self.round)
        return Round.open(self.line, opening, registry=self.registry)

    def asked_to_encrypt(self) -> Round:
        """Go on to where the server asks for ciphertexts."""
        round_ = self.opened_round()
        while round_.stage != "upload":
            round_ = round_.collect(self.replies(round_.letters))
        return round_


class Ours:
    """One round of privfl under a key that exists, whose turns can be taken again."""

    def __init__(self, name: str, updates: Tensor) -> None:
        self.name, self.d = name, updates.shape[1]
        line = Pipeline(Clip(1.0), PARTS[name])
        n = len(updates)
        first = line.aggregate(updates[:, :1000])  # makes the key
        release = line.aggregate(updates, state=first.state)
        plan = line.plan(n_clients=n, dim=self.d)
        self.bytes_up = release.bytes_up
        self.as_planned = (release.bytes_up, release.bytes_down) == (plan.bytes_up, plan.bytes_down)
        self.error = float((release.update - updates.mean(dim=0)).abs().max())
        self.clients = Clients(line, updates, release.state)
        self.upload = self._asked(self.clients.asked_to_encrypt())
        in_front = self.upload.round.setting.plans[line.protocol_at]
        self.parameters = PARTS[name].parameters(in_front)
        self.plan, self.secret = in_front, Secret(self.parameters.ring, bytes(64))
        self.vector = updates[0]
        if self.parameters.scheme == "BFV":
            self.vector = (self.vector / in_front.step).round().to(torch.int64)
        self.opening = self.upload.round.collect(self.upload.replies)
        self.kept = self.clients.kept[0]
        self.blocks = [self._ciphertexts() for _ in range(2)]

    def _asked(self, round_: Round) -> Asked:
        kept = dict(self.clients.kept)
        return Asked(round_, kept, list(self.clients.replies(round_.letters)))

    def _ciphertexts(self) -> list[object]:
        ring, count = self.parameters.ring, self.parameters.ciphertexts
        shape = (count, ring.degree) if ring.scheme == "BFV" else (count, ring.degree // 2)
        kind = np.uint64 if ring.scheme == "BFV" else np.complex128
        words, seeds = Secret(ring, bytes(64)).encrypt(np.zeros(shape, kind))
        size = len(seeds) // count
        return [
            ring.fresh(block, seeds[k * size : (k + 1) * size]) for k, block in enumerate(words)
        ]

    def encrypt(self) -> bytes:
        """Encode, encrypt, serialise."""
        blocks = PARTS[self.name].to_blocks(self.vector, self.parameters, self.plan)
        words, seeds = self.secret.encrypt(blocks)
        return pack(words.reshape(-1), self.parameters.modulus_bits) + seeds

    def turn(self) -> None:
        """Take the first client's turn in which it encrypts."""
        self.clients.respond(0, self.upload.round.letters[0], self.upload.kept[0])

    def collect(self) -> None:
        """Take the server's turn in which it adds."""
        _verified.cache_clear()
        self.upload.round.collect(self.upload.replies)

    def add(self) -> None:
        """Add loaded ciphertexts."""
        evaluator = self.parameters.ring.evaluator
        for total, block in zip(*self.blocks, strict=True):
            evaluator.add_inplace(total, block)

    def decrypt(self) -> None:
        """Take the first client's turn in which it opens the sum."""
        self.clients.respond(0, self.opening.letters[0], self.kept)


class Theirs:
    """The same by TenSEAL."""

    as_planned = True

    def __init__(self, setup: Setup, updates: Tensor) -> None:
        self.name, self.setup, self.n, self.d = setup.name, setup, *updates.shape
        rows = updates.numpy()
        self.first = rows[0]
        self.sent = setup.encrypted(self.first)
        self.bytes_up = sum(map(len, self.sent))
        self.blocks = setup.loaded(self.sent), setup.loaded(self.sent)
        total = setup.loaded(self.sent)
        for row in rows[1:]:
            setup.added(total, setup.loaded(setup.encrypted(row)))
        self.sum = [block.serialize() for block in total]
        self.error = float(np.abs(setup.opened(self.sum) / self.n - rows.mean(axis=0)).max())

    def encrypt(self) -> None:
        """Encode, encrypt, serialise."""
        self.setup.encrypted(self.first)

    turn = encrypt

    def collect(self) -> None:
        """Take as many letters as there are clients; that they are alike changes no time."""
        self.setup.summed([self.sent] * self.n)

    def add(self) -> None:
        """Add loaded ciphertexts."""
        self.setup.added(*self.blocks)

    def decrypt(self) -> None:
        """Deserialise and decrypt."""
        self.setup.opened(self.sum)


@dataclass(frozen=True)
class Figures:
    """Hold bytes a parameter, million parameters a second, and the mean's error."""

    name: str
    bytes_each: float
    encrypt: float
    turn: float
    server: float
    add: float
    decrypt: float
    error: float
    as_planned: bool


def measured(updates: Tensor, tries: int) -> list[Figures]:
    """Time all contenders in turn, one kind of work after the other."""
    n, d = updates.shape
    sides = [Ours(name, updates) for name in PARTS] + [
        Theirs(setup, updates) for setup in (NVFLARE, README)
    ]
    encrypt = least([side.encrypt for side in sides], tries)
    turn = least([side.turn for side in sides], tries)
    server = [taken / n for taken in least([side.collect for side in sides], min(tries, 3))]
    add = least([side.add for side in sides], tries)
    decrypt = least([side.decrypt for side in sides], tries)
    speeds = [
        [d / 1e6 / taken for taken in times] for times in (encrypt, turn, server, add, decrypt)
    ]
    return [
        Figures(side.name, side.bytes_up / d, *found, side.error, side.as_planned)
        for side, *found in zip(sides, *speeds, strict=True)
    ]


def unit_vectors(n: int, d: int) -> Tensor:
    """Draw normal rows and scale each to norm 1: (n, d) float64."""
    rows = np.random.default_rng(0).normal(size=(n, d))
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@dataclass(frozen=True)
class Upload:
    """Hold the bytes of one update, as planned for a round and as one client wrote its vector."""

    name: str
    d: int
    planned: int
    written: int


def upload_of(name: str, d: int) -> Upload:
    """Encrypt one update of ``d`` parameters, one of ten."""
    line = Pipeline(Clip(1.0), PARTS[name])
    clients = Clients(line, torch.zeros(1, d).expand(CLIENTS, d))
    asked = clients.asked_to_encrypt()
    _, reply = next(clients.replies(asked.letters))
    return Upload(name, d, line.plan(n_clients=CLIENTS, dim=d).bytes_up, len(reply))


@dataclass(frozen=True)
class Memory:
    """Hold the most that Python allocated while the server added, in MB, and what it then kept.

    The most is with one client at work, and without what SEAL holds. ``resident`` is what the
    process grew by, SEAL included, from the third reply to the last.
    """

    name: str
    n: int
    d: int
    peak: float
    resident: float


def memory(name: str, n: int, d: int = 200_000) -> Memory:
    """Let the server's side add the ciphertexts of ``n`` clients that encrypt as they are asked."""
    line = Pipeline(Clip(1.0), PARTS[name])
    clients = Clients(line, torch.zeros(1, d).expand(n, d))
    asked, sizes = clients.asked_to_encrypt(), []

    def letters() -> Iterator[tuple[Party, bytes]]:
        for who, reply in clients.replies(asked.letters):
            yield who, Envelope.read(reply).letter
            sizes.append(resident())

    at = asked.setting.at(line.protocol_at, Stream(), asked.protocol, registry=clients.registry)
    tracemalloc.start()
    line.protocol.collect(letters(), at)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Memory(name, n, d, peak / 1e6, (sizes[-1] - sizes[2]) / 1e6)


def resident() -> int:
    """Return the bytes of memory that this process takes now; 0 where no file says so."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def verdict(held: bool) -> str:
    """Say it in a word."""
    return "met" if held else "missed"


def tell(found: list[Figures], uploads: list[Upload], grown: list[Memory]) -> None:
    """Print the tables."""
    columns = ("encrypt", "turn", "server", "add", "decrypt")
    print(f"{'Mp/s':<28}{'bytes':>7}" + "".join(f"{c:>9}" for c in columns) + f"{'error':>10}")
    for f in found:
        speeds = "".join(f"{getattr(f, c):>9.2f}" for c in columns)
        print(f"{f.name:<28}{f.bytes_each:>7.2f}{speeds}{f.error:>10.1e}")
    tell_ratios(found)
    print(f"\nbytes_up of a round of {CLIENTS} with {MILLION:,} parameters, its key made before")
    for f in found:
        if f.name in PARTS:
            aim = MOST_EACH.get(f.name)
            met = f"; aim {aim}: {verdict(f.bytes_each <= aim)}" if aim else ""
            kept = "as planned" if f.as_planned else "NOT as planned"
            print(f"{f.name:<28}{f.bytes_each:>7.3f} a parameter, {kept}{met}")
    print(f"\nan update of {CNN:,} parameters")
    for u in uploads:
        numbers = f"{u.planned / 1e6:>7.2f} MB planned, {u.written / 1e6:.2f} MB the vector"
        print(f"{u.name:<28}{numbers}; aim 13 MB: {verdict(u.planned < CNN_BYTES)}")
    print("\nthe server, adding")
    for m in grown:
        numbers = f"{m.n:>4} clients of {m.d:,}: {m.peak:.1f} MB at most"
        print(f"{m.name:<28}{numbers}, grown by {m.resident:.1f} MB after the third")


def tell_ratios(found: list[Figures]) -> None:
    """Print by how much privfl is smaller and faster than each of TenSEAL's sets."""
    ours = [f for f in found if f.name in PARTS]
    for there in (f for f in found if f.name not in PARTS):
        aimed = there.name == NVFLARE.name
        print(f"\nbeside {there.name}")
        for f in ours:
            smaller, faster = there.bytes_each / f.bytes_each, f.encrypt / there.encrypt
            aims = f"; aims {FEWER_BYTES:g} and {FASTER:g}: "
            aims += f"{verdict(smaller >= FEWER_BYTES)}, {verdict(faster >= FASTER)}"
            others = ", ".join(
                f"{name} {getattr(f, name) / getattr(there, name):.1f}"
                for name in ("turn", "server", "decrypt")
            )
            line = f"{f.name:<28}{smaller:>5.1f} times fewer bytes, encrypt {faster:.1f}, {others}"
            print(line + (aims if aimed else ""))


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description="Homomorphic sums beside TenSEAL's.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--tries", type=int, default=5, help="of each time")
    args = parser.parse_args()
    torch.set_num_threads(1)
    grown = [memory(name, n) for name in PARTS for n in (4, 40)]  # while no memory lies idle yet
    uploads = [upload_of(name, CNN) for name in PARTS]
    found = measured(unit_vectors(CLIENTS, MILLION), args.tries)
    if not args.json:
        tell(found, uploads, grown)
        return
    tables = {"figures": found, "uploads": uploads, "memory": grown}
    print(json.dumps({k: [asdict(row) for row in rows] for k, rows in tables.items()}, indent=1))


if __name__ == "__main__":
    main()

"""Masked sums beside Flower's SecAgg+: ratios of times and bytes taken in one run.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/masking.py [--json] [--round 200]

Times are those of the process, on one thread, the least of several tries in turn. Of Flower 1.41.0
its own functions are called, without the messages around them.

- *mask*: nanoseconds for an element and a neighbour, a million elements; and what the key stream
  of AES-128 alone takes.
- *share keys*: one client of 100, threshold 67, by `respond`: from the letter of public keys to its
  boxes of shares. *... and open boxes* adds its last turn, in which privfl opens those it got, to
  the same time of Flower's, which opens them in a later stage. *All but words* is everything that a
  client does, in both, but masking words. privfl's client checks signatures, 99 when it shares, 99
  of its neighbours' and 67 of the quorum later on, which Flower's has not; *known*: without.
- *server*: a tenth of 1000 clients is gone, a million elements. privfl rebuilds every 20th secret
  of the round and takes its masks from 2^17 elements; Flower rebuilds one seed and one pair.
  Both are scaled up.
- *a round*: all of `Pipeline.aggregate` in this process, with 1000 parameters.

Seen on two cores: masks take 1/12 of Flower's time, packed 1/10, and 1.23 times that of their key
stream alone. Sharing keys takes 1/76 with signatures and 1/166 without, with opened boxes 1/45 and
1/96; all but words 1/28.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import tracemalloc
from dataclasses import asdict, dataclass

import _flower as flower
import numpy as np
import torch
from _masked_round import OneClient, ServerSlice
from _timing import least
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from privfl import Pipeline
from privfl.crypto import add_masks, masked
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg

MILLION = 1_000_000
BITS = 26  # the ring of 16 bits a client, 1000 clients
TRIES = 7


@dataclass(frozen=True)
class Figure:
    """Hold one number here and there, and what their ratio should be at most."""

    what: str
    unit: str
    privfl: float
    other: float
    aim: float | None = None

    @property
    def ratio(self) -> float:
        """privfl's over the other's."""
        return self.privfl / self.other


def keys(n: int) -> list[tuple[bytes, int]]:
    """Draw mask keys, half of them to add."""
    return [(os.urandom(32), 1 if k % 2 else -1) for k in range(n)]


def mask_times(neighbors: int = 52) -> list[Figure]:
    """Time masks for an element and a neighbour, in nanoseconds."""
    words, wide = np.zeros(MILLION, np.uint32), np.zeros(MILLION, np.int64)
    pairs = keys(neighbors)
    ways = (
        lambda: add_masks(words, pairs),
        lambda: masked(words, pairs, BITS),
        lambda: key_stream(4 * MILLION, neighbors),
        lambda: flower.mask(wide),
    )
    per = 1e9 / MILLION
    added, packed, raw, theirs = (t * per for t in least(ways))
    added, packed, raw = (t / neighbors for t in (added, packed, raw))
    return [
        Figure("mask, add_masks to Flower's", "ns", added, theirs, 1 / 8),
        Figure("mask, masked to Flower's", "ns", packed, theirs, 1 / 8),
        Figure("mask, add_masks to raw AES-128-CTR", "ns", added, raw, 1 / 0.65),
    ]


def key_stream(size: int, times: int) -> None:
    """Make nothing but the key stream of AES-128 in counter mode, in cache."""
    zeros, out = memoryview(bytes(1 << 17)), bytearray((1 << 17) + 15)
    for _ in range(times):
        cipher = Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor()
        for at in range(0, size, 1 << 17):
            cipher.update_into(zeros[: size - at], out)


def key_stage(n: int = 100, threshold: int = 67) -> list[Figure]:
    """Time what a client does besides masking words, and measure a box of shares."""
    me = OneClient(Pipeline(Clip(1.0), SecAgg(threshold=threshold)), n, 1)
    theirs = flower.KeyStage(n, threshold)
    (share,) = least([theirs.share], tries=2)
    theirs.received  # noqa: B018  made before the clock starts
    (rest,) = least([theirs.rest], tries=2)

    def ms(*turns: int, known: bool = False) -> float:
        return 1e3 * min(me.again(turns, known=known) for _ in range(TRIES))

    share, rest = 1e3 * share, 1e3 * rest
    box = len(me.letter_of_turn(1)) / (n - 1)
    return [
        Figure("share keys, signatures checked", "ms", ms(1), share, 1 / 60),
        Figure("share keys, signatures known", "ms", ms(1, known=True), share),
        Figure("... and open boxes, checked", "ms", ms(1, 4), share, 1 / 60),
        Figure("... and open boxes, known", "ms", ms(1, 4, known=True), share),
        Figure("all but words, checked", "ms", ms(1, 2, 3, 4), share + rest),
        Figure("box of shares", "bytes", box, theirs.box_bytes, 100 / theirs.box_bytes),
    ]


def upload() -> Figure:
    """Compare everything a client sends with Flower's masked vector alone."""
    plan = Pipeline(Clip(1.0), SecAgg()).plan(n_clients=1000, dim=MILLION)
    there = flower.upload_bytes(MILLION) / MILLION
    return Figure("upload, a parameter", "bytes", plan.bytes_up / MILLION, there, 1 / 2)


def server(n: int = 1000, step: int = 20, slice_: int = 1 << 17) -> Figure:
    """Extrapolate how long unmasking takes with a tenth of the clients gone."""
    part = SecAgg()
    safety = part.safety(n)
    some = ServerSlice(Pipeline(Clip(1.0), part), part, n, step)
    masks, total = some.masks(), np.zeros(slice_, np.uint32)
    rebuilt, taken = least([some.masks, lambda: add_masks(total, masks)], tries=3)
    here = step * (rebuilt + taken * MILLION / slice_)
    shares = safety.neighbors + 1  # a client of Flower's is a neighbour of its own
    found = flower.recovery(shares, safety.threshold, round(0.9 * shares))
    (mask,) = least([lambda: flower.mask(np.zeros(MILLION, np.int64))])
    gone, pairs = n // 10, n // 10 * safety.neighbors
    there = (n - gone) * (found.seed + mask) + gone * found.key + pairs * (found.pair + mask)
    return Figure("server, a tenth gone (scaled up)", "s", here, there)


@dataclass(frozen=True)
class Growth:
    """Hold what a client of ``n`` pays for ``d`` parameters."""

    n: int
    d: int
    neighbors: int
    threshold: int
    ring_bits: int
    bytes_up_each: float
    bytes_down: int
    mask_ms: float


def growth() -> list[Growth]:
    """Walk along clients, then along parameters."""
    sizes = [(n, MILLION) for n in (10, 100, 1000, 10_000)]
    sizes += [(1000, d) for d in (10_000, 100_000, 10 * MILLION)]
    return [grown(*size) for size in sizes]


def grown(n: int, d: int) -> Growth:
    """Plan a round and mask a vector."""
    part = SecAgg()
    plan, found = Pipeline(Clip(1.0), part).plan(n_clients=n, dim=d), part.safety(n)
    words, pairs = np.zeros(d, np.uint32), keys(found.neighbors + 1)
    (time_,) = least([lambda: masked(words, pairs, plan.ring_bits)], tries=2)
    each = plan.bytes_up / d
    return Growth(
        n, d, found.neighbors, found.threshold, plan.ring_bits, each, plan.bytes_down, 1e3 * time_
    )


@dataclass(frozen=True)
class Large:
    """Hold the time and memory of masking a large vector; copies are of the vector of words."""

    d: int
    neighbors: int
    seconds: float
    extra_copies: float


def large(d: int = 11_700_000, neighbors: int = 52) -> Large:
    """Mask a vector of the size of a ResNet-18."""
    words, pairs = np.zeros(d, np.uint32), keys(neighbors)
    (time_,) = least([lambda: masked(words, pairs, BITS)], tries=3)
    tracemalloc.start()
    masked(words, pairs, BITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Large(d, neighbors, time_, peak / words.nbytes)


@dataclass(frozen=True)
class RealRound:
    """Hold the seconds of a whole round, and whether its bytes are those of the plan."""

    n: int
    d: int
    seconds: float
    bytes_up: int
    bytes_down: int
    as_planned: bool


def real_round(n: int, d: int = 1000) -> RealRound:
    """Run both sides in this process."""
    line = Pipeline(Clip(1.0), SecAgg())
    plan = line.plan(n_clients=n, dim=d)
    start = time.process_time()
    release = line.aggregate(torch.zeros(n, d))
    spent = time.process_time() - start
    bytes_ = (release.bytes_up, release.bytes_down)
    return RealRound(n, d, spent, *bytes_, bytes_ == (plan.bytes_up, plan.bytes_down))


def tell(figures: list[Figure], grows: list[Growth], big: Large, whole: RealRound) -> None:
    """Print the tables."""
    print(f"{'':<36}{'':<7}{'privfl':>9}{'other':>10}{'ratio':>9}{'1/ratio':>9}{'aim':>9}")
    for f in figures:
        aim = f"{f.aim:>9.4f}" if f.aim else ""
        numbers = f"{f.privfl:>9.2f}{f.other:>10.2f}{f.ratio:>9.4f}{1 / f.ratio:>9.1f}"
        print(f"{f.what:<36}{f.unit:<7}{numbers}{aim}")
    print(f"\n{'n':>6}{'d':>10}{'k':>6}{'t':>6}{'bits':>6}{'up/d':>8}{'down':>9}{'mask ms':>9}")
    for g in grows:
        numbers = f"{g.n:>6}{g.d:>10}{g.neighbors:>6}{g.threshold:>6}{g.ring_bits:>6}"
        print(f"{numbers}{g.bytes_up_each:>8.3f}{g.bytes_down:>9}{g.mask_ms:>9.1f}")
    print(f"\n{big.d} words, {big.neighbors} neighbours: {big.seconds:.2f} s, ", end="")
    print(f"{big.extra_copies:.2f} of a copy of the vector besides it (aim: 1)")
    kept = "as planned" if whole.as_planned else "NOT as planned"
    print(f"a round of {whole.n} with {whole.d} parameters: {whole.seconds:.1f} s; ", end="")
    print(f"{whole.bytes_up} bytes up and {whole.bytes_down} down, {kept}")


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description="Masked sums beside Flower's SecAgg+.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--round", type=int, default=1000, help="clients of the whole round")
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures = [*mask_times(), *key_stage(), upload(), server()]
    grows, big, whole = growth(), large(), real_round(args.round)
    if not args.json:
        tell(figures, grows, big, whole)
        return
    found = {
        "figures": [{**asdict(f), "ratio": f.ratio} for f in figures],
        "growth": [asdict(g) for g in grows],
        "large": asdict(big),
        "round": asdict(whole),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

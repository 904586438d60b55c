"""What guarding a Flower round costs, in seconds and bytes, beside a plain round and SecAgg+.

    pip install -c constraints.txt -e ".[bench]"
    python benchmarks/flower.py [--json] [--parameters 1000 1000000 10000000]
    python benchmarks/flower.py --loopback --parameters 1000 1000000

Ten clients of FedAvg add a constant to a model of one float32 array, so a round costs what carries
it: in a real app training comes on top, in both columns. *Plain* is the same app and strategy
without `client_mod` and `guard`.

- *seconds*: of this process, on one thread, through `privfl.flower.InProcessGrid`; the least of
  several rounds in which all take turns. Ten clients and the server share them. Introductions and
  the key ceremony of a first round are not in them. SecAgg+ is Flower's workflow and its mod at
  their default numbers, each client a neighbour of every other, threshold 7. Its mean is float64,
  and from the second round on its model travels so.
- *bytes*: a client's, in a round and for a parameter, on average: of all the objects into which
  Flower takes its messages apart, the model on its way down included. One client of BFV sends the
  result too; it is the *busiest*.
- `--loopback`: wall-clock seconds of a round on a SuperLink and five SuperNodes on this machine,
  with TLS and node authentication. Flower starts a process for each message and each client, looks
  for replies every 3 s, and two cores are shared by all. Minutes for each row.

Seen on two cores: a plain round of a million parameters takes .025 s, a guarded mean 6.2 times
that (13 ms a client), SecAgg 22, BFV 81, Flower's SecAgg+ 52. On loopback a plain round takes
13.6 s, a guarded mean 1.0 times that, SecAgg 3.9: it has five exchanges. Masks take 6.5 bytes a
parameter in both directions, a plain round 8.0, BFV 7.7, SecAgg+ 16.0; on the way up 2.5, 4.0, 3.4
and 8.0.
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import torch
from _flower_app.adding import PIPELINES
from _flower_loopback import loopback
from _flower_round import RecordingGrid, Rounds, SecAggPlusRounds
from _timing import least

CLIENTS = 10
THRESHOLD = 7  # of SecAgg+, as `SecAgg()` chooses it for ten clients
SECAGG_PLUS = "Flower's SecAgg+"
SLOW = {"clip, BFV": 1_000_000, SECAGG_PLUS: 1_000_000}  # the most parameters that are run


@dataclass(frozen=True)
class Seconds:
    """Hold a guarded round's time beside a plain one's."""

    what: str
    d: int
    plain: float
    guarded: float

    @property
    def ratio(self) -> float:
        """The guarded round's over the plain one's."""
        return self.guarded / self.plain


@dataclass(frozen=True)
class Bytes:
    """Hold what a client receives and sends in a round, for a parameter."""

    what: str
    d: int
    down: float
    up: float
    busiest: float

    @property
    def both(self) -> float:
        """Both directions."""
        return self.down + self.up


def in_process(d: int) -> list[Seconds]:
    """Time rounds in turn."""
    jobs = {"": Rounds("", CLIENTS, d)}
    jobs |= {name: Rounds(name, CLIENTS, d) for name in PIPELINES if d <= SLOW.get(name, d)}
    if d <= SLOW[SECAGG_PLUS]:
        jobs[SECAGG_PLUS] = SecAggPlusRounds(CLIENTS, d, THRESHOLD)
    plain, *others = least(jobs.values(), tries=max(3, min(20, 5_000_000 // d)))
    for job in jobs.values():
        job.require_learned()
    names = [name for name in jobs if name]
    return [Seconds(name, d, plain, time) for name, time in zip(names, others, strict=True)]


def on_the_wire(d: int) -> list[Bytes]:
    """Count a second round, in which everybody is known and keys exist."""
    found = [
        _counted(name or "plain", d, Rounds(name, CLIENTS, d, RecordingGrid))
        for name in ("", *PIPELINES)
    ]
    theirs = SecAggPlusRounds(CLIENTS, d, THRESHOLD, RecordingGrid)
    return [*found, _counted(SECAGG_PLUS, d, theirs)]


def _counted(what: str, d: int, rounds: Rounds | SecAggPlusRounds) -> Bytes:
    rounds()
    rounds.grid.forget()
    rounds()
    down, up = rounds.grid.down, rounds.grid.up
    busiest = max(down[node] + up[node] for node in down)
    return Bytes(what, d, down.total() / CLIENTS / d, up.total() / CLIENTS / d, busiest / d)


def tell_seconds(times: Iterable[Seconds]) -> None:
    """Print a table."""
    print(f"{'a round, seconds':<22}{'d':>10}{'plain':>10}{'guarded':>10}{'ratio':>8}")
    for t in times:
        print(f"{t.what:<22}{t.d:>10}{t.plain:>10.4f}{t.guarded:>10.4f}{t.ratio:>8.1f}", flush=True)


def tell_bytes(counts: Sequence[Bytes]) -> None:
    """Print a table; the ratio is that of SecAgg+ to each."""
    print(f"\n{'a client, bytes / d':<22}{'d':>10}", end="")
    print(f"{'down':>10}{'up':>10}{'both':>8}{'busiest':>9}{'SecAgg+':>9}")
    theirs = {count.d: count.both for count in counts if count.what == SECAGG_PLUS}
    for c in counts:
        numbers = f"{c.down:>10.3f}{c.up:>10.3f}{c.both:>8.2f}{c.busiest:>9.2f}"
        print(f"{c.what:<22}{c.d:>10}{numbers}{theirs[c.d] / c.both:>9.2f}")


def main() -> None:
    """Print tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--loopback", action="store_true", help="real processes, and time alone")
    parser.add_argument("--pipelines", nargs="+", choices=PIPELINES, default=["mean"])
    parser.add_argument("--parameters", type=int, nargs="+", default=[1000, 10**6, 10**7])
    parser.add_argument("--supernodes", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.loopback:
        rows = loopback(args.supernodes, args.parameters, args.pipelines)
        times = (Seconds(*row) for row in rows)
        counts: list[Bytes] = []
    else:
        times = (t for d in args.parameters for t in in_process(d))
        counts = [c for d in args.parameters if d <= min(SLOW.values()) for c in on_the_wire(d)]
    if args.json:
        seconds = [{**asdict(t), "ratio": t.ratio} for t in times]
        print(json.dumps({"seconds": seconds, "bytes": [asdict(c) for c in counts]}, indent=1))
        return
    tell_seconds(times)  # as they come
    if counts:
        tell_bytes(counts)


if __name__ == "__main__":
    main()

"""Try every algorithm under every defence on real images, and write down what happened.

    python docs/composition.py      # writes docs/composition.md

Each cell builds a federation of twelve clients and runs two rounds, or is refused by a rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from privfl import CompositionError, Federation, Pipeline
from privfl.compression import Quantize, RandomK, Rotate, TopK
from privfl.data import mnist_sample
from privfl.defenses.dp import (
    DPSGD,
    AdaptiveClip,
    CentralGaussianNoise,
    Clip,
    LocalGaussianNoise,
)
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.learning import (
    Algorithm,
    Centralised,
    FedAvg,
    FedBuff,
    FedOpt,
    FedPer,
    FedProx,
    FedRep,
    Gossip,
    HeteroFL,
    HierFAVG,
    LocalSGD,
    PerFedAvg,
    QFedAvg,
    Scaler,
    ServerAdam,
    metropolis,
)
from privfl.parts import Grouped, Mean, Part, Plain, Weigh
from privfl.sampling import FixedSize, Poisson, PowerOfChoice

N, IMAGES = 12, 50
PAGE = Path(__file__).with_name("composition.md")
HEAD = """\
# What goes with what

Made by `docs/composition.py`, and checked by a test: every algorithm of `privfl.learning` under
every defence, twelve clients with fifty handwritten digits each and a small network. ✓ built, ran
two rounds, moved the model and left it finite; the others were refused before anybody trained, by
the rule that is named. Noise and clip norms here are small on purpose: the table shows what fits,
not what protects.
"""
TAIL = """
The rules in a sentence each: **R2** sensitivity belongs to the aggregator and to what it divides
by; **R7** what travels beside the update must be protected with it; **R9** a server cannot compute
on what only clients open; **R12** who is chosen by loss displaces others, and is a release; **R33**
the two do not go together in kind.

The columns:
"""


def network(width: float = 1.0) -> nn.Module:
    """Return a small network, with fewer hidden units where it is narrow."""
    hidden = int(16 * width)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, hidden), Scaler(width), nn.ReLU(), nn.Linear(hidden, 10)
        )


CIRCLE = metropolis(N, [(k, (k + step) % N) for k in range(N) for step in (1, 2)])
NARROW = dict.fromkeys(range(N // 2), 0.5)
ALGORITHMS: dict[str, Algorithm[Any]] = {
    "FedAvg": FedAvg(),
    "FedProx": FedProx(mu=0.1),
    "QFedAvg": QFedAvg(q=1.0, lr=0.1),
    "PerFedAvg": PerFedAvg(alpha=0.01),
    "FedPer": FedPer(["4"]),
    "FedRep": FedRep(["4"]),
    "HeteroFL": HeteroFL(network, NARROW),
    "FedBuff": FedBuff(buffer=6, participations=9),
    "Gossip": Gossip(CIRCLE),
    "HierFAVG": HierFAVG({"north": range(6), "south": range(6, N)}),
    "FedOpt": FedOpt(ServerAdam(lr=0.01)),
    "Centralised": Centralised(),
}
# FedAvg again, with other ways to choose who takes part
CHOSEN = {
    "FedAvg, FixedSize": FixedSize(8),
    "FedAvg, Poisson": Poisson(size=8),
    "FedAvg, PowerOfChoice": PowerOfChoice(candidates=10, size=8),
}


@dataclass(frozen=True)
class Defence:
    """Name the parts of a pipeline, a training in the clients, or a wrap of the algorithm."""

    parts: tuple[Part, ...] = ()
    local: DPSGD | None = None
    wrap: Callable[[Algorithm[Any]], Algorithm[Any]] = lambda algorithm: algorithm


CLIP, TRIMMED = Clip(1.0), TrimmedMean(n_byzantine=1)
DEFENCES: Mapping[str, Defence] = {
    "none": Defence(),
    "clip": Defence((CLIP,)),
    "server clip": Defence((Plain(), CLIP)),
    "adaptive clip": Defence((AdaptiveClip(1.0),)),
    "weights": Defence((Weigh(max_examples=100),)),
    "central noise": Defence((CLIP, Mean(), CentralGaussianNoise(0.1))),
    "local noise": Defence((CLIP, LocalGaussianNoise(0.1))),
    "DP-SGD": Defence(local=DPSGD(lr=0.1, batch_size=10, steps=3)),
    "top-k": Defence((TopK(1000), CLIP)),
    "random-k, masks": Defence((CLIP, Rotate(), RandomK(1000), SecAgg())),
    "SecAgg": Defence((CLIP, SecAgg())),
    "groups": Defence((CLIP, Grouped(SecAgg(), size=2), TRIMMED)),
    "CKKS": Defence((CLIP, CKKS(bits=12, published=50))),
    "CKKS, kept": Defence((CLIP, CKKS())),
    "BFV": Defence((CLIP, Quantize(8), BFV(published=True))),
    "Krum": Defence((CLIP, Krum(n_byzantine=1))),
    "trimmed mean": Defence((CLIP, TRIMMED)),
    "NNM": Defence((CLIP, NNM(TRIMMED))),
    "FedOpt": Defence(wrap=lambda algorithm: FedOpt(ServerAdam(lr=0.01), algorithm)),
}


def federation(row: str, column: str) -> Federation:
    """Build one cell's federation.

    Raises:
        CompositionError: where the two do not go together.
    """
    x, y = mnist_sample().train
    rows = torch.arange(len(y))[:: len(y) // (N * IMAGES)][: N * IMAGES]
    defence = DEFENCES[column]
    return Federation(
        network(),
        [(x[rows[k::N]], y[rows[k::N]]) for k in range(N)],
        Pipeline(*defence.parts),
        loss=nn.functional.cross_entropy,
        algorithm=defence.wrap(ALGORITHMS.get(row, ALGORITHMS["FedAvg"])),
        local=defence.local or LocalSGD(lr=0.1, batch_size=10, steps=3),
        sampling=CHOSEN.get(row),
        generator=torch.Generator().manual_seed(0),
    )


@cache
def outcome(row: str, column: str) -> str:
    """Try one cell: -> ``runs``, or the rule that refuses it.

    Raises:
        RuntimeError: where it built, and did not train.
    """
    try:
        run = federation(row, column)
    except CompositionError as error:
        return error.rule
    before = torch.cat([p.detach().flatten().clone() for p in run.model.parameters()])
    for _ in run.rounds(2):
        pass
    after = torch.cat([p.detach().flatten() for p in run.model.parameters()])
    if not bool(torch.isfinite(after).all()) or torch.equal(before, after):
        raise RuntimeError(f"{row} under {column} ran, and the model is as before or not finite.")
    return "runs"


def page() -> str:
    """Return the page: one row an algorithm, one column a defence."""
    lines = ["| | " + " | ".join(DEFENCES) + " |", "|---" * (len(DEFENCES) + 1) + "|"]
    for row in (*ALGORITHMS, *CHOSEN):
        cells = (outcome(row, column).replace("runs", "✓") for column in DEFENCES)
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    columns = [f"- **{name}**: {_words(defence)}" for name, defence in DEFENCES.items()]
    return "\n".join([HEAD, *lines, TAIL, *columns, ""])


def _words(defence: Defence) -> str:
    if defence.local is not None:
        return f"`{defence.local!r}` in the clients"
    shown = f"`{Pipeline(*defence.parts)!r}`"
    return (
        shown if defence.parts or defence is DEFENCES["none"] else "the algorithm inside `FedOpt`"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page())

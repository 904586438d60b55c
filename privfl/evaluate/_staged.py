"""Putting victims, a model and a pipeline on stage, up to what the server sees."""

import copy
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from privfl.core import Layout, Party, Rows, Vantage, decode, encode, require
from privfl.crypto import Stream
from privfl.evaluate._contender import Probe
from privfl.evaluate._scenario import Scenario
from privfl.learning import LocalSGD
from privfl.parts import Data, Loss, Trainer
from privfl.pipeline import Pipeline
from privfl.views import Knowledge, Transcript, View

PRIOR = 200  # public images an attacker may know: test images, which nobody trains on


@dataclass(frozen=True)
class Staged:
    """Hold a view, what the attacker knows besides, and apart from both the truth.

    Attributes:
        view, knowledge: what an attack gets.
        data: the examples behind each row.
    """

    view: View
    knowledge: Knowledge
    data: tuple[Data, ...] = field(repr=False)

    @property
    def digest(self) -> str:
        """A hash of all that an attack gets to see: equal views are attacked once."""
        rows = torch.empty(0) if self.view.rows is None else self.view.rows.sums
        known = self.knowledge
        weights = known.layout.flatten(known.model)
        settings = (known.shape, known.n_images, known.learning_rate, known.steps)
        text = repr((settings, known.n_clients, known.noise_std)).encode()
        digest = hashlib.sha256(text)
        for tensor in (rows, weights, known.labels, known.prior):
            digest.update(encode(tensor))
        return digest.hexdigest()


def view_of(
    pipeline: Pipeline,
    updates: Tensor,
    *,
    members: tuple[Party, ...],
    generator: Stream,
    vantage: Vantage = Vantage.SERVER,
) -> View:
    """Return what the server, or another vantage, sees of one round over ``updates`` (n, d)."""
    shield = pipeline.without_trainer()
    # a fresh nonce would make other noise each time, and a seeded duel is one that repeats
    nonce = generator.child("nonce").bytes(16) if generator.seeded else None
    release = shield.aggregate(
        updates, cohort=members, generator=generator, nonce=nonce, transcript=True
    )
    view = cast("Transcript", release.transcript).view(vantage)
    if view.rows is None:
        return view
    return replace(view, rows=view.rows.but(sums=view.rows.sums.to(updates.dtype)))


def cohort_views(
    pipeline: Pipeline,
    updates: Tensor,
    *,
    members: tuple[Party, ...],
    size: int,
    generator: Stream,
) -> View:
    """Return what is seen of cohorts of ``size``: a row each, and how each row came.

    It is the server that looks, or, at sums that clients open, the first client of each cohort.
    Where a pipeline shows single updates they are added up here; where it shows a sum, every
    cohort runs a round of its own.
    """
    by_clients = pipeline.contract.opener == "clients"
    if pipeline.contract.sees != "sum" or (by_clients and size == 1):
        whole = view_of(pipeline, updates, members=members, generator=generator)
        return summed(whole, size)
    views = [
        view_of(
            pipeline,
            updates[k : k + size],
            members=members[k : k + size],
            generator=generator.child(f"cohort/{k}"),
            vantage=Vantage.client(members[k]) if by_clients else Vantage.SERVER,
        )
        for k in range(0, len(members), size)
    ]
    rows = [view.rows for view in views if view.rows is not None]
    opened = Rows(torch.cat([row.sums for row in rows]), sum((row.members for row in rows), ()))
    return replace(views[0], letters=sum((view.letters for view in views), ()), rows=opened)


def one_step(trainer: Any, batch: int) -> Any:
    """Return the trainer that takes one step on ``batch`` examples, all that a client holds."""
    return replace(trainer, batch_size=batch, steps=1)


def noise_std_of(pipeline: Pipeline, trainer: Trainer, *, n_clients: int, dim: int) -> float:
    """Return the noise on each coordinate of a row: of the pipeline and of the training."""
    row_std = pipeline.plan(n_clients=n_clients, dim=dim).row_std
    steps = getattr(trainer, "steps", None) or 1
    return math.hypot(row_std, trainer.step_std * math.sqrt(steps))


def updates_of(
    model: nn.Module, data: Mapping[Party, Data], local: Trainer, loss: Loss, generator: Stream
) -> Tensor:
    """Let every client train from ``model``: -> (n, d) updates."""
    layout = Layout.of(model)
    trained = [
        local.train(copy.deepcopy(model), pair, loss, training_stream(generator, who)).model
        for who, pair in data.items()
    ]
    return layout.stack(trained, minus=model)


def summed(view: View, size: int) -> View:
    """Let a viewer of single rows add up each ``size`` of them, as anybody could."""
    rows = view.rows
    if size == 1 or rows is None or len(rows.sums) == 1:
        return view
    sums = torch.stack([block.sum(dim=0) for block in rows.sums.split(size)])
    blocks = range(0, len(rows.members), size)
    members = tuple(sum(rows.members[k : k + size], ()) for k in blocks)
    return replace(view, rows=Rows(sums, members))


def stage(
    scenario: Scenario, pipeline: Pipeline, probe: Probe, seed: int, weights: bytes | None
) -> Staged:
    """Choose victims, let them train, and run a round of the pipeline on what they send."""
    model = _model(scenario, probe, seed, weights)
    data = scenario.clients(seed) if probe.as_trained else _victims(scenario, probe, seed)
    local: Any = pipeline.trainer or scenario.local
    if not probe.as_trained:
        local = one_step(local, probe.batch)
    generator = scenario.stream(seed, f"probe/{probe.name}")
    updates = updates_of(model, data, local, scenario.loss, generator)
    noise, size = generator.child("noise"), probe.n_clients
    view = cohort_views(pipeline, updates, members=tuple(data), size=size, generator=noise)
    pairs = _cohorts(tuple(data.values()), probe.n_clients)
    if probe.as_trained:
        pairs = _used(data, scenario.local, probe.batch, generator)
    noise_std = noise_std_of(pipeline, local, n_clients=len(data), dim=updates.shape[1])
    knowledge = Knowledge(
        model=model,
        loss=scenario.loss,
        layout=Layout.of(model),
        shape=tuple(scenario.train[0].shape[1:]),
        n_images=probe.batch * probe.n_clients,
        labels=torch.stack([y for _, y in pairs])[:, : probe.batch * probe.n_clients],
        learning_rate=local.lr,
        steps=local.steps or 1,
        n_clients=probe.n_clients,
        noise_std=noise_std * math.sqrt(probe.n_clients),
        prior=scenario.test[0][:PRIOR],
    )
    return Staged(view, knowledge, pairs)


def _model(scenario: Scenario, probe: Probe, seed: int, weights: bytes | None) -> nn.Module:
    if probe.model == "twin":
        require(scenario.twin is not None, "The scenario needs a linear twin", "none")
        return scenario.fresh_model(seed, scenario.twin)
    model = scenario.fresh_model(seed)
    if weights is not None:
        vector = decode(weights)
        model.load_state_dict(dict(Layout.of(model).unflatten(vector, like=model)))  # type: ignore[arg-type]
    return model


def _victims(scenario: Scenario, probe: Probe, seed: int) -> dict[Party, Data]:
    """Deal images to clients so that each label comes in turn."""
    x, y = scenario.train
    order = by_turns(y, scenario.stream(seed, "victims"))
    batches = order[: probe.victims * probe.n_clients * probe.batch].split(probe.batch)
    return {k: (x[rows], y[rows]) for k, rows in enumerate(batches)}


def by_turns(labels: Tensor, generator: Stream) -> Tensor:
    """Order examples at random, but so that the labels take turns: (n,) -> (n,) indices."""
    order = generator.permutation(len(labels))
    seen = torch.zeros(int(labels.max()) + 1, dtype=torch.int64)
    turn = torch.empty(len(labels), dtype=torch.int64)
    for place, row in enumerate(order.tolist()):
        label = int(labels[row])
        turn[place] = seen[label] * len(seen) + label
        seen[label] += 1
    return order[turn.argsort()]


def _cohorts(data: tuple[Data, ...], size: int) -> tuple[Data, ...]:
    blocks = [data[k : k + size] for k in range(0, len(data), size)]
    return tuple(
        (torch.cat([x for x, _ in block]), torch.cat([y for _, y in block])) for block in blocks
    )


def _used(
    data: Mapping[Party, Data], local: Trainer, batch: int, generator: Stream
) -> tuple[Data, ...]:
    """Return the examples of each client's real steps, in a random order, all as many."""
    used = []
    for who, (x, y) in data.items():
        rows = torch.arange(len(y))  # of a training that does not say what it drew: all it has
        if isinstance(local, LocalSGD):
            stream = training_stream(generator, who)
            rows = torch.cat(local.batches(len(y), stream.torch_generator()))
        order = generator.child(f"order/{who}").permutation(len(rows))
        used.append((x[rows[order]], y[rows[order]]))
    fewest = max(batch, min(len(y) for _, y in used))
    return tuple((x[:fewest], y[:fewest]) for x, y in used)


def training_stream(generator: Stream, who: Party) -> Stream:
    """Return the randomness of one client's local training."""
    return generator.child(f"training/{who}")

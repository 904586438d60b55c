# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From the notebook to a Flower deployment
#
# A Flower app gets a mod and its strategy a guard: three lines a side. This notebook takes a plain
# app, changes them, masks the updates and searches the wire for one, lets nodes die, lets a server
# ask for too much, and trains to a budget. All of it in this process, by the app that goes to Ray
# and to machines at the end.
#
# It runs offline, on digits that ship with the package, in under a minute on one core.

# %%
import logging
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, FedMedian
from torch import Tensor, nn

from privfl import CompositionError, Ledger, LedgerTampered, Pipeline, ProtocolAbort
from privfl.core import Registry, write_identity
from privfl.crypto import Identity, pack, packed_size, unpack
from privfl.data import iid, mnist_sample, quantity
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.evaluate import Picture
from privfl.flower import InProcessGrid, Policy, client_mod, guard
from privfl.parts import Mean, Weigh

logging.getLogger("flwr").setLevel(logging.ERROR)  # Flower and the guard tell of every round
torch.set_num_threads(1)  # on few cores, one thread is faster than two

digits = mnist_sample()
x, y = digits.train
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A Flower app
#
# Ten clinics hold between a hundred and some 1,400 digits. Nothing in the app knows of privfl: it
# gets a model, trains it, and answers with what came of it and how many examples that took.


# %%
def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def make_app(hands: list[Tensor], *mods) -> ClientApp:
    app = ClientApp(mods=list(mods))

    @app.train()
    def train(message, context):
        rows = hands[context.node_config["partition-id"]]
        trained = make_model()
        trained.load_state_dict(message.content["arrays"].to_torch_state_dict())
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.5)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(trained(x[rows]), y[rows]).backward()
            optimizer.step()
        arrays = ArrayRecord(trained.state_dict())
        metrics = MetricRecord({"num-examples": len(rows)})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def fed_avg() -> FedAvg:
    return FedAvg(min_train_nodes=5, min_available_nodes=5, fraction_evaluate=0.0)


def vector(arrays: ArrayRecord) -> Tensor:
    return torch.cat([each.flatten() for each in arrays.to_torch_state_dict().values()])


def accuracy(arrays: ArrayRecord) -> float:
    trained = make_model()
    trained.load_state_dict(arrays.to_torch_state_dict())
    inputs, labels = digits.test
    with torch.no_grad():
        return float((trained(inputs).argmax(1) == labels).float().mean())


hands = quantity(y, 10, alpha=2.0, min_size=100, generator=0)
model = make_model()
start = ArrayRecord(model.state_dict())

# %% [markdown]
# `InProcessGrid` calls the app of each node in this process: no Ray, no sockets. The strategy does
# not notice.

# %%
grid = InProcessGrid(make_app(hands), nodes=10)
bare = fed_avg().start(grid=grid, initial_arrays=start, num_rounds=5)
print(f"five rounds of FedAvg: accuracy {accuracy(bare.arrays):.2f}")

# %% [markdown]
# ## Three lines a side
#
# Both sides import one `shield`. On the client's side:
#
# ```diff
# + from privfl.flower import client_mod
# + from digits.shield import shield
# - app = ClientApp()
# + app = ClientApp(mods=[client_mod(shield)])
# ```
#
# And on the server's:
#
# ```diff
# + from privfl.flower import guard
# + from digits.shield import shield
# - strategy = FedAvg(min_train_nodes=5)
# + strategy = guard(FedAvg(min_train_nodes=5), shield)
#   result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=10)
# ```
#
# This shield does nothing but weigh by example counts, as FedAvg does. So the same model must come
# out:

# %%
shield = Pipeline(Weigh(max_examples=1500))
strategy = guard(fed_avg(), shield)
grid = InProcessGrid(make_app(hands, client_mod(shield)), nodes=10)
guarded = strategy.start(grid=grid, initial_arrays=start, num_rounds=5)
apart = float((vector(guarded.arrays) - vector(bare.arrays)).abs().max())
print(f"apart by {apart:.0e}: below 1e-6: {apart < 1e-6}")
print(*strategy.history, sep="\n")

# %% [markdown]
# The guard hands the strategy one aggregate for all replies. A strategy for which that is wrong is
# refused, and so is a pipeline that would drop the counts without a word. A mod without the guard
# on the other side sends nothing:

# %%
uniform = Pipeline(Clip(1.0))


def refused(strategy, shield) -> None:
    grid = InProcessGrid(make_app(hands, client_mod(shield)), nodes=10)
    try:
        guard(strategy, shield).start(grid=grid, initial_arrays=start, num_rounds=1)
    except CompositionError as error:
        print(f"{type(strategy).__name__}, {shield}:\n{error}\n")


refused(FedMedian(), shield)
refused(fed_avg(), uniform)
asks = [Message(RecordDict({"arrays": start}), node, "train") for node in grid.get_node_ids()]
replies = grid.send_and_receive(asks)
print(f"{sum(reply.has_error() for reply in replies)} of 10 clients: {replies[0].error.reason}")

# %% [markdown]
# ## Masks, and what the server saw
#
# Masks are agreed on in signed letters. So each client has a key, and everybody a registry of
# public keys that does not come from the server. A node's configuration says where its key is, here
# as in a deployment.

# %%
keys = {f"clinic-{k}": Identity.new() for k in range(10)}
registry, nodes = Registry({name: key.public for name, key in keys.items()}), []
for k, (name, key) in enumerate(keys.items()):
    path = folder / f"{name}.identity.toml"
    write_identity(path, name, key)
    nodes.append({"partition-id": k, "privfl-identity": str(path)})

unmasked = Pipeline(Clip(4.0), Weigh(max_examples=2048))
shield = Pipeline(Clip(4.0), Weigh(max_examples=2048), SecAgg())
hardened = make_app(hands, client_mod(shield, registry=registry))
shield.explain(n_clients=10, model=model)

# %% [markdown]
# All that a server gets from its clients are replies on the grid. This one keeps them, and searches
# them for a piece of a vector:


# %%
class Wiretap(InProcessGrid):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.replies = []

    def send_and_receive(self, messages, *, timeout=None):
        replies = super().send_and_receive(messages, timeout=timeout)
        self.replies += replies
        return replies

    @property
    def data(self) -> list[bytes]:
        contents = [reply.content for reply in self.replies if reply.has_content()]
        records = [record for content in contents for record in content.array_records.values()]
        return [array.data for record in records for array in record.values()]

    def n_found(self, vectors: Tensor) -> int:
        pieces = [each[392:420].numpy().tobytes() for each in vectors]  # amid the first digit
        return sum(any(piece in data for data in self.data) for piece in pieces)


runs = {
    "Flower alone": (Wiretap(make_app(hands), nodes), fed_avg()),
    "guarded": (Wiretap(make_app(hands, client_mod(unmasked)), nodes), guard(fed_avg(), unmasked)),
    "masked": (Wiretap(hardened, nodes), guard(fed_avg(), shield, registry=registry)),
}
for tap, strategy in runs.values():
    strategy.start(grid=tap, initial_arrays=start, num_rounds=1)

# %% [markdown]
# Flower's own replies hold the trained model, from which the server takes the one that it sent.
# What a guarded client hands to the protocol is that difference, clipped, and times its share: its
# count over the largest. (Nobody's update is as long as 4, and 2,048 is a power of two, so we know
# it to the bit.)

# %%
alone = sorted(runs["Flower alone"][0].replies, key=lambda reply: reply.metadata.src_node_id)
trained = torch.stack([vector(reply.content["arrays"]) for reply in alone])
updates = trained - vector(start)
shares = torch.tensor([len(rows) / 2048 for rows in hands])[:, None]
for name, (tap, _) in runs.items():
    kinds = sorted({kind for reply in tap.replies for kind in reply.content})
    print(
        f"{name}: {len(tap.replies)} replies of {' and '.join(kinds)}, in which are "
        f"{tap.n_found(trained)} of 10 models, {tap.n_found(updates * shares)} of 10 updates"
    )

# %% [markdown]
# A guard alone hides no update from the server: it clips and weighs, and no metric travels that is
# not declared. Under masks nothing is found, but those are put on integers, which look different
# from floats. So we read the long letters as the ring's words too, from any byte on, and correlate
# them with all updates. That this would find one shows a letter with an update and no masks:


# %%
plan = shield.plan(n_clients=10, model=model)
n_bytes = packed_size(plan.body, plan.ring_bits)


def likeness(letter: bytes) -> float:
    parts = [letter[at : at + n_bytes] for at in range(len(letter) - n_bytes + 1)]
    words = np.stack([unpack(part, plan.ring_bits, plan.body, np.uint32) for part in parts])
    half = 1 << (plan.ring_bits - 1)
    numbers = torch.from_numpy((words.astype(np.int64) + half) % (2 * half) - half)
    centred = (each.double() - each.double().mean(dim=1)[:, None] for each in (numbers, updates))
    read, sent = (nn.functional.normalize(each) for each in centred)
    return float((read @ sent.T).abs().max())


letters = [data for data in runs["masked"][0].data if len(data) >= n_bytes]
words = (updates[0] * shares[0] / plan.step).round().long() % (1 << plan.ring_bits)
bare_words = pack(words.numpy().astype(np.uint32), plan.ring_bits)
without = letters[0][:99] + bare_words + letters[0][99 + n_bytes :]
most = max(likeness(letter) for letter in letters)
print(f"without masks {likeness(without):.2f}, {len(letters)} masked letters at most {most:.2f}")
print("chance is all that masks leave:", most < 0.1 < 0.9 < likeness(without))

# %% [markdown]
# Above is clinic 0's update as the server reads it without masks, a row of weights for each digit;
# below is a masked letter, a grey value a byte.


# %%
def grey(vector: Tensor) -> Tensor:
    rows = vector[:7840].view(10, 1, 28, 28)
    return (rows / rows.abs().amax(dim=(1, 2, 3), keepdim=True)).clamp(0, 1)


letter = torch.frombuffer(bytearray(letters[0][-7840:]), dtype=torch.uint8)
Picture(torch.cat([grey(updates[0]), letter.view(10, 1, 28, 28) / 255], dim=2))

# %% [markdown]
# ## Nodes die
#
# A lost node is the protocol's dropout. Clinic 3 is gone from ever later messages of a round on.
# What comes out must be the mean of those who are counted, but for rounding, since masks want
# integers: less than one step of their grid a client.


# %%
def dying(last: dict[int, int]):
    letters = Counter()

    def node(message, context):
        k = context.node_config["partition-id"]
        letters[k] += 1
        return hardened(message, context) if letters[k] <= last.get(k, 99) else None

    return node


def mean(survivors) -> Tensor:
    there = torch.tensor([name in survivors for name in keys])
    return (updates * shares)[there].sum(dim=0) / shares[there].sum()


names, table = ["hello", *shield.protocol.stages[:3], "sign", "unmask", "never"], []
for n_answers, name in enumerate(names):
    strategy = guard(fed_avg(), shield, registry=registry)
    grid = InProcessGrid(dying({3: n_answers}), nodes)
    result = strategy.start(grid=grid, initial_arrays=start, num_rounds=1)
    moved, survivors = vector(result.arrays) - vector(start), strategy.history[0].survivors
    row = {"clinic 3 is gone at": name, "counted": len(survivors)}
    for of, who in {"counted": survivors, "nine": set(keys) - {"clinic-3"}, "ten": keys}.items():
        row[f"off the mean of the {of}"] = float((moved - mean(who)).abs().max())
    table.append(row)

worst = max(row["off the mean of the counted"] for row in table)
rounding = 10 * plan.step / float(shares.sum())
print("counted:", [row["counted"] for row in table])
print(f"off by {worst:.0e}, rounding is below {rounding:.0e}: exact but for it: {worst < rounding}")
pandas.DataFrame(table).set_index("clinic 3 is gone at")

# %% [markdown]
# The update leaves at `mask`. Who is gone by then is not counted, and who is gone only after it is
# counted without being there. Where too many are gone nobody opens anything: the round has no
# aggregate, and the strategy keeps its model and goes on when they are back.

# %%
strategy = guard(fed_avg(), shield, registry=registry)
grid = InProcessGrid(dying(dict.fromkeys(range(5), 3)), nodes)
result = strategy.start(grid=grid, initial_arrays=start, num_rounds=1)
print("the model is as before:", torch.equal(vector(result.arrays), vector(start)))
grid.app = hardened
strategy.start(grid=grid, initial_arrays=result.arrays, num_rounds=1)
print(*strategy.history, sep="\n")

# %% [markdown]
# ## A client's own policy
#
# Without a policy the server's pipeline must be the client's own. With one its numbers may be
# others, within bounds, and what a policy leaves out stays a bound: these clients add noise
# themselves, and take no less of it, no larger clip, no protocol but masks, and no small cohorts.

# %%
accepting = {"uniform_weights"}  # each clinic counts the same
own = Pipeline(Clip(4.0), LocalGaussianNoise(0.5), SecAgg(), accepting=accepting)
careful = make_app(hands, client_mod(own, policy=Policy(smallest_cohort=5), registry=registry))


def asked(*parts, n: int = 10) -> None:
    server = Pipeline(*parts, accepting=accepting)
    strategy = FedAvg(min_train_nodes=2, min_available_nodes=2, fraction_evaluate=0.0)
    strategy, grid = guard(strategy, server, registry=registry), Wiretap(careful, nodes[:n])
    try:
        strategy.start(grid=grid, initial_arrays=start, num_rounds=1)
        print(f"{n} clients, {parts}:\n  {strategy.history[0]}")
    except ProtocolAbort as error:
        n_errors = sum(reply.has_error() for reply in grid.replies)
        n_letters = len(grid.replies) - n_errors - n  # each said hello
        print(f"{n} clients, {parts}:\n  {n_errors} errors, {n_letters} letters. {error}")


asked(Clip(4.0), LocalGaussianNoise(0.5), SecAgg())
asked(Clip(2.0), LocalGaussianNoise(1.0), SecAgg())
asked(Clip(4.0), LocalGaussianNoise(0.1), SecAgg())
asked(Clip(50.0), LocalGaussianNoise(0.5), SecAgg())
asked(Clip(4.0), LocalGaussianNoise(0.5))
asked(Clip(4.0), LocalGaussianNoise(0.5), SecAgg(), n=4)

# %% [markdown]
# ## A budget ends the run
#
# Noise that hides a whole client needs a crowd: here are two hundred phones with 25 digits each.
# They trust the server to add the noise, and the guard keeps the ledger. A checkpoint after each
# round holds the model, what the pipeline remembers, and the ledger's head, so that a server that
# stopped after two rounds goes on with the third.

# %%
phones = iid(y, 200, generator=0)
noisy = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0), accepting=accepting)
app = make_app(phones, client_mod(noisy))


def serve(ledger: Ledger, rounds: int):
    account = ledger.dataset("phones").budget(epsilon=12.0, delta=1e-5)
    strategy = guard(fed_avg(), noisy, ledger=account, checkpoint=folder / "checkpoint")
    print(f"{strategy.n_rounds} rounds are behind us, epsilon {ledger.epsilon(1e-5)}")
    grid = InProcessGrid(app, nodes=200)
    return strategy, strategy.start(grid=grid, initial_arrays=start, num_rounds=rounds)


ledger = Ledger(folder / "phones.db")
serve(ledger, rounds=2)
shutil.copy(folder / "phones.db", folder / "before.db")
strategy, result = serve(ledger, rounds=100)
print(*strategy.history, sep="\n")
print(f"{strategy.n_rounds} rounds, accuracy {accuracy(result.arrays):.2f}, {ledger.epsilon(1e-5)}")

# %% [markdown]
# Of the hundred rounds that were asked for, those that the budget pays for were run. The rest got
# no replies, and `start` returned the last model. Going on from an older copy of the ledger, in
# which the later rounds never happened, is refused:

# %%
try:
    serve(Ledger(folder / "before.db"), rounds=1)
except LedgerTampered as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## To Ray, and to machines
#
# `examples/flower_digits` is such an app in the two files that Flower wants, `client_app.py` and
# `server_app.py`, with a `shield.py` that both import. `python run.py` runs it in this process. The
# same files go to Ray, and to a SuperLink and five SuperNodes on this machine, with TLS and node
# authentication, each a process with its own folder:
#
# ```console
# $ make flower-simulation  # through Ray
# $ make flower             # deployed: three rounds, then accuracy, survivors and epsilon
# $ make flower-faults      # deployed, and nodes killed in each stage
# ```
#
# On machines of your own, each clinic makes a key, and the secret half never leaves it. Whoever
# keeps the registry adds the public half, and hands the same file to all clinics and the server.
#
# ```console
# $ privfl keys new clinic-1
# $ privfl keys register registry.toml clinic-1 PUBLIC_KEY
# ```
#
# The rest is Flower's own, with one entry in a node's configuration, the one that the nodes of this
# notebook had:
#
# ```console
# $ flower-superlink --ssl-ca-certfile ca.pem --ssl-certfile superlink.pem \
#     --ssl-keyfile superlink.key --enable-supernode-auth
# $ flwr supernode register clinic-1.pub SUPERLINK
# $ flower-supernode --superlink HOST:PORT --root-certificates ca.pem \
#     --auth-supernode-private-key clinic-1.key \
#     --node-config 'privfl-identity="clinic-1.identity.toml"'
# $ flwr run . SUPERLINK --run-config 'rounds=10'
# ```
#
# The example's nodes are told a folder in the same way, `folder="…"`, which holds key, registry and
# images.
#
# What else changes: the app reads the clinic's own data where this one took a share of the digits,
# and a mod is made before a node is known, so `client_mod` takes functions of Flower's `Context`:
# `registry=lambda context: Registry.read(…)`, and a shield of the run's settings. A node that is
# late is gone, and `start(…, timeout=…)` says when. A SuperNode keeps its clients' state in memory:
# one that restarts refuses the rest of a round, and takes part in the next.

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
# # Federated image search with personal heads
#
# A hundred clients hold images of two digits each. Together they train an embedder: a small network
# that makes 16 numbers of an image, so that images which show the same thing point the same way.
# With it anybody can search images of all ten digits, although no client has seen more than two.
#
# What names the digit, the *head*, stays with each client. This notebook trains with a common head
# and with personal ones, reads a client's digits out of a common head, hardens what is left to
# share, and looks at what is found.
#
# It runs offline, on digits that ship with the package, in under a minute on one core.

# %%
import base64
import copy
from collections import OrderedDict

import pandas
import torch
from IPython.display import HTML
from torch import Tensor, nn

from privfl import Federation, Layout, Pipeline
from privfl.crypto import Stream
from privfl.data import mnist_sample, shards
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.defenses.masking import SecAgg
from privfl.evaluate import Picture
from privfl.learning import FedAvg, FedPer, FedRep, LocalSGD
from privfl.parts import Mean
from privfl.sampling import Stratified

torch.set_num_threads(1)  # on few cores, one thread is faster than two

digits = mnist_sample()
x, y = digits.train
hands = shards(y, 100, labels_per_client=2, generator=0)
datas = [(x[rows], y[rows]) for rows in hands]
print("client 0 holds", y[hands[0]].bincount(minlength=10).tolist())

# %% [markdown]
# Every client belongs to a region, and each round draws ten from every region. A region is public.
# Grouping clients by the digits that they hold would balance a round better still, and publish
# those digits: who is drawn would follow from private data.

# %%
regions = tuple(["north", "south", "east", "west", "islands"][k % 5] for k in range(100))
sampling = Stratified(regions, each=10)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(8, 16, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(144, 16),
    )
    return nn.Sequential(OrderedDict(body=body, head=nn.Linear(16, 10)))


loss, local = nn.functional.cross_entropy, LocalSGD(lr=0.2, batch_size=10)


def train(algorithm, pipeline=None, rounds: int = 12) -> Federation:
    federation = Federation(
        make_model(),
        datas,
        pipeline or Pipeline(),
        loss=loss,
        algorithm=algorithm,
        local=local,
        sampling=sampling,
        generator=torch.Generator().manual_seed(0),  # so that this notebook repeats itself
    )
    for _ in federation.rounds(rounds):
        pass
    return federation


# %% [markdown]
# ## Searching
#
# Images that no client has: 500 to search with, and 500 to search in. What is nearest by angle is
# found. Recall at k is the share of queries with a right image among the first k.

# %%
tests, labels = digits.test
queries, gallery, query_labels, gallery_labels = tests[::2], tests[1::2], labels[::2], labels[1::2]


@torch.no_grad()
def search(model: nn.Module, k: int = 10) -> Tensor:
    a, b = (nn.functional.normalize(model.body(images)) for images in (queries, gallery))
    return (a @ b.T).topk(k).indices


def recall(model: nn.Module, k: int) -> float:
    right = gallery_labels[search(model, k)] == query_labels[:, None]
    return float(right.any(dim=1).float().mean())


# %% [markdown]
# What a client gets for itself is how well its own model names its own two digits. That is easier
# for its own head, which never meets another digit, than for a common one, which knows all ten.


# %%
@torch.no_grad()
def own_digits(federation: Federation) -> float:
    shares = []
    for client, (_, own) in federation.datasets.items():
        rows = torch.isin(labels, own.unique())
        named = federation.model_of(client)(tests[rows]).argmax(dim=1)
        shares.append(float((named == labels[rows]).float().mean()))
    return sum(shares) / len(shares)


runs = {
    "FedAvg": train(FedAvg()),
    "FedPer": train(FedPer(["head"])),
    "FedRep": train(FedRep(["head"])),
}


def row(name: str) -> dict[str, object]:
    federation = runs[name]
    found = {f"recall@{k}": recall(federation.model, k) for k in (1, 5, 10)}
    return {"": name, **found, "own digits": own_digits(federation)}


untrained = {f"recall@{k}": recall(make_model(), k) for k in (1, 5, 10)}
pandas.DataFrame([{"": "untrained", **untrained}, *map(row, runs)]).set_index("").round(3)

# %% [markdown]
# FedPer trains body and head at once; FedRep trains the head first, on a frozen body, and then the
# body. A client that was not drawn for a while comes back to a body that has moved on, and FedRep
# lets its head catch up before that head pulls at the body.
#
# Twelve rounds are the beginning of training, and one run of each tells no small difference in
# recall. What personal heads are for is the last column, and the next section.

# %%
gained = min(recall(run.model, 1) for run in runs.values()) - recall(make_model(), 1)
ahead = own_digits(runs["FedRep"]) - own_digits(runs["FedAvg"])
print("each finds more than an untrained body:", gained > 0.1)
print("a client's own head names its digits better than a common one:", ahead > 0.05)

# %% [markdown]
# ## A common head tells which digits a client holds
#
# The bias of a class goes up in training where there are images of it, and down where there are
# none. So the two biases that rose most are the two digits. Here is what the server makes of each
# client's update:


# %%
def is_read(client: int, model: nn.Module) -> bool:
    trained, (_, own) = copy.deepcopy(model), datas[client]
    local.train(trained, datas[client], loss, Stream.of(torch.Generator().manual_seed(client)))
    rose = trained.head.bias - model.head.bias
    return set(rose.topk(2).indices.tolist()) == set(own.tolist())


n_read = sum(is_read(client, runs["FedAvg"].model) for client in range(100))
print(f"FedAvg: both digits of {n_read} of 100 clients are read from their updates")
for name in ("FedAvg", "FedRep"):
    layout = runs[name].layout
    print(f"{name}: {layout.dim:,} weights travel, at home stay {list(layout.excluded)}")

# %% [markdown]
# Under FedRep no coordinate of a head is in the layout, so no part of a pipeline and no letter
# holds one. The server's own head is the one that it began with, and a layout that shares heads is
# refused:

# %%
untouched = torch.equal(runs["FedRep"].model.head.bias, make_model().head.bias)
print("the server's head never moved:", untouched)
try:
    Federation(
        make_model(),
        datas,
        Pipeline(),
        loss=loss,
        algorithm=FedRep(["head"]),
        layout=Layout.of(make_model()),
    )
except ValueError as error:
    print(error)

# %% [markdown]
# ## Hardened
#
# That does not make the rest harmless: the body's update was made of the same images. Masks show
# the server no more of it than the sum of a round. Noise goes further, and hides whether a client
# took part at all from whoever gets the model; it needs the crowd of fifty, and the server is
# trusted to add it.

# %%
masked = Pipeline(Clip(2.0), SecAgg())
noised = Pipeline(Clip(0.5), Mean(), CentralGaussianNoise(2.0))
layout = runs["FedRep"].layout
masked.explain(n_clients=100, model=layout, sampling=sampling)

# %%
noised.explain(n_clients=100, model=layout, rounds=12, sampling=sampling)

# %% [markdown]
# Masks cancel in the sum, so they cost nothing but the rounding to whole numbers that they need.
# Two rounds with them and two without:

# %%
pair = [train(FedRep(["head"]), shield, rounds=2) for shield in (Pipeline(Clip(2.0)), masked)]
bare, behind_masks = (layout.flatten(run.model) for run in pair)
apart, moved = (bare - behind_masks).norm(), (bare - layout.flatten(make_model())).norm()
close = bool(apart < moved / 100)
print(f"apart by {apart / moved:.0e} of the way: below one hundredth: {close}")

# %% [markdown]
# The epsilon above is for a client that is drawn in all twelve rounds; the history counts who was.

# %%
runs["FedRep, noise"] = train(FedRep(["head"]), noised)
last = runs["FedRep, noise"].history[-1]
print(f"whether a {last.unit} took part, against an {last.against}: epsilon {last.epsilon:.1f}")
gained = recall(runs["FedRep, noise"].model, 1) - untrained["recall@1"]
print("noise finds more than no training:", gained > 0.1)
pandas.DataFrame(map(row, runs)).set_index("").round(3)

# %% [markdown]
# So early the noise costs nothing that one run could show. It lies on 5,744 weights, and its length
# grows with the root of their number. That is why the embedder is small, and why it is as well that
# heads need no noise.
#
# ## What is found
#
# A query of each digit, the first that comes, and its six first hits: before training, and with
# noise. A hit of another digit has the warmer frame.


# %%
def tile(image: Tensor, colour: str) -> str:
    png = base64.b64encode(Picture(image[None], zoom=1)._repr_png_()).decode()
    style = f"border: 4px solid {colour}; margin: 2px; display: inline"
    return f'<img src="data:image/png;base64,{png}" width="40" style="{style}">'


def hits_of(model: nn.Module, query: int) -> str:
    hits = search(model)[query, :6].tolist()
    right = [gallery_labels[hit] == query_labels[query] for hit in hits]
    colours = ["#009e73" if good else "#d55e00" for good in right]
    return "".join(tile(gallery[hit], c) for hit, c in zip(hits, colours, strict=True))


shown = [int((query_labels == digit).nonzero()[0]) for digit in range(10)]
models = {"untrained": make_model(), "FedRep, noise": runs["FedRep, noise"].model}
lines = [
    [tile(queries[k], "#cdd1d6"), *(hits_of(model, k) for model in models.values())] for k in shown
]
head = "".join(f"<th style='text-align: left'>{name}</th>" for name in ("query", *models))
cells = ["".join(f"<td style='white-space: nowrap'>{c}</td>" for c in line) for line in lines]
HTML(f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in cells) + "</table>")

# %% [markdown]
# `examples/image_search` is this as a program: more local work, masks in every round, training on
# pooled data as what it is measured against, and the picture as a file.

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
# # Wrap the loop you have
#
# You have a federated training loop. This notebook changes one line of it, and then asks three
# questions: what does each party see, what can an attacker do with it, and what does it cost.
#
# It runs offline, on digits that ship with the package, in under two minutes on one core.

# %%
import copy

import torch
from torch import nn

from privfl import CompositionError, Federation, Pipeline
from privfl.attacks.poisoning import SignFlip
from privfl.data import dirichlet, mnist_sample
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import NNM, Krum, TrimmedMean
from privfl.evaluate import Attackers
from privfl.learning import LocalSGD
from privfl.parts import Mean, Plain, Weigh

torch.set_num_threads(1)  # on few cores, one thread is faster than two

digits = mnist_sample()
x, y = digits.train
clients = [(x[rows], y[rows]) for rows in dirichlet(y, 10, alpha=0.5, generator=0)]
[len(labels) for _, labels in clients]

# %% [markdown]
# ## The loop, as people write it


# %%
def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def train(model: nn.Module, data: tuple[torch.Tensor, torch.Tensor]) -> nn.Module:
    """Train on one client's data: this is yours, and stays as it is."""
    inputs, labels = data
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    for batch in torch.randperm(len(labels)).split(32)[:10]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
        optimizer.step()
    return model


def average(states: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def accuracy(model: nn.Module) -> float:
    inputs, labels = digits.test
    with torch.no_grad():
        return float((model(inputs).argmax(1) == labels).float().mean())


model = make_model()
for _ in range(8):
    states = [train(copy.deepcopy(model), data).state_dict() for data in clients]
    model.load_state_dict(average(states))
print(f"bare loop: {accuracy(model):.2f}")

# %% [markdown]
# ## The same loop under a pipeline
#
# One line differs. `Pipeline()` alone is FedAvg without weights: it must give the same model.

# %%
shield = Pipeline(NNM(TrimmedMean(n_byzantine=2)))

model = make_model()
for _ in range(8):
    states = [train(copy.deepcopy(model), data).state_dict() for data in clients]
    model.load_state_dict(shield.average(states, model))
print(f"under {shield}: {accuracy(model):.2f}")

# %% [markdown]
# Example counts are private, so they are no argument of an average. They travel inside the update,
# and whatever protects the update protects them:

# %%
weighed = Pipeline(Weigh(max_examples=2000))
sizes = [len(labels) for _, labels in clients]
model.load_state_dict(weighed.average(states, model, n_examples=sizes))

# %% [markdown]
# ## What does it do?
#
# `explain` says what runs, who sees what, and epsilon *against whom*. It also foretells whether the
# noise lets the model train: a sound pipeline that trains to chance is the first thing people meet.

# %%
noisy = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.1))
noisy.explain(n_clients=10, model=model, rounds=8)

# %%
print(noisy.explain(n_clients=10, model=model, rounds=8).forecast)
print(noisy.explain(n_clients=2000, model=model, rounds=8).forecast)

# %% [markdown]
# ## Contradictions die when you write them

# %%
for parts in (
    (Clip(1.0), Mean(), LocalGaussianNoise(1.0)),
    (LocalGaussianNoise(1.0),),
    (Krum(n_byzantine=2), Mean()),
):
    try:
        Pipeline(*parts)
    except CompositionError as error:
        print(error, end="\n\n")

# %%
try:
    Pipeline(Krum(n_byzantine=2)).plan(n_clients=6, dim=10)
except CompositionError as error:
    print(error)

# %% [markdown]
# ## An averager remembers, and says what happened

# %%
averager = Pipeline(Plain(), Clip(1.0)).averager(model)
model.load_state_dict(averager(states))
print(averager.release, "·", averager.release.bytes_up, "bytes up")

# %% [markdown]
# ## Or let `Federation` bring the loop, and an attacker
#
# Two of ten clients send minus five times the honest mean. The mean is lost, NNM is not.

# %%
for rule in (Mean(), NNM(TrimmedMean(n_byzantine=2))):
    federation = Federation(
        make_model(),
        clients,
        Pipeline(rule),
        loss=nn.functional.cross_entropy,
        local=LocalSGD(lr=0.2, steps=10),
        adversary=Attackers(SignFlip(5.0, n_byzantine=2), members=(8, 9)),
        generator=torch.Generator().manual_seed(0),
    )
    for _ in federation.rounds(8):
        pass
    print(f"{rule}: {accuracy(federation.model):.2f}")

# %%
federation.history.to_pandas()[["round", "loss", "survivors", "bytes_up", "epsilon"]].tail(3)

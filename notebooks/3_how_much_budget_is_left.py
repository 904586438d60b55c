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
# # How much budget is left
#
# Privacy is spent release by release. This notebook keeps the books: wrap a training loop, train to
# a budget, hand an auditor one page, check the chain, and try to cheat.
#
# It runs offline, on digits that ship with the package, in about a minute on one core.

# %%
import sqlite3
import tempfile
from pathlib import Path

import torch
from torch import nn

from privfl import (
    Budget,
    BudgetExceeded,
    Federation,
    Ledger,
    LedgerTampered,
    Pipeline,
    make_private,
)
from privfl.data import mnist_sample
from privfl.defenses.dp import DPSGD, CentralGaussianNoise, Clip
from privfl.ledger import statement
from privfl.parts import Mean
from privfl.sampling import Poisson

torch.set_num_threads(1)  # on few cores, one thread is faster than two

digits = mnist_sample()
x, y = digits.train
folder = Path(tempfile.mkdtemp())
DELTA = 1e-5


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def accuracy(model: nn.Module) -> float:
    inputs, labels = digits.test
    with torch.no_grad():
        return float((model.eval()(inputs).argmax(1) == labels).float().mean())


# %% [markdown]
# ## Three lines in a central loop
#
# The loader is replaced by one that draws Poisson samples, the optimizer by one that clips each
# record's gradient and adds noise. What draws is what says what the draw is worth, and every step
# is charged before it is made.

# %%
ledger = Ledger(folder / "central.db")
model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=250)

model, optimizer, loader = make_private(
    model,
    optimizer,
    loader,
    clip_norm=1.0,
    noise_multiplier=2.0,
    ledger=ledger.dataset("digits").budget(epsilon=3.0, delta=DELTA),
)

epochs = 0
try:
    while epochs < 100:
        for inputs, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        epochs += 1
except BudgetExceeded as stop:
    print(f"after {epochs} epochs: {stop}")
print(f"accuracy {accuracy(model):.2f}, epsilon {ledger.epsilon(DELTA)}")

# %% [markdown]
# The step that would have passed the budget was not made. Opening the file again, or naming the
# data anew, does not help:

# %%
for name in ("digits", "digits, second try"):
    again = Ledger(folder / "central.db").dataset(name).budget(epsilon=3.0, delta=DELTA)
    spent = again.epsilon(DELTA, unit="record", vantage="outsider")
    print(f"{name!r}: {spent}")

# %% [markdown]
# ## A federation that trains to a budget
#
# Ten clinics, DP-SGD inside each. A record's epsilon differs by clinic, since they hold more or
# fewer records: the history shows the worst.

# %%
sizes = [300 + 40 * k for k in range(10)]
clinics = {k: (x[rows], y[rows]) for k, rows in enumerate(torch.arange(sum(sizes)).split(sizes))}
ledger = Ledger(folder / "clinics.db")
federation = Federation(
    make_model(),
    clinics,
    Pipeline(),
    loss=nn.functional.cross_entropy,
    local=DPSGD(lr=1.0, clip_norm=0.5, noise_multiplier=1.0, batch_size=32, steps=8),
    ledger=ledger.datasets({k: f"clinic-{k}" for k in clinics}),
)
for _ in federation.rounds(100, budget=Budget(epsilon=8.0, delta=DELTA)):
    pass
print(f"{len(federation.history)} rounds, accuracy {accuracy(federation.model):.2f}")
federation.history.to_pandas()[["round", "epsilon", "unit", "against"]].tail(3)

# %% [markdown]
# ## Noise for a budget
#
# `noise_for` turns it round: how much noise do a hundred rounds need? With ten clients out of a
# thousand drawn by coins, an outsider does not know who took part; the server does, and gets no
# such discount.

# %%
shield = Pipeline(Clip(1.0), Mean(), CentralGaussianNoise(1.0))
budget = Budget(epsilon=8, delta=DELTA)
for sampling in (None, Poisson(rate=0.01)):
    z = shield.noise_for(budget, n_clients=1000, rounds=100, sampling=sampling)
    print(f"{sampling}: multiplier {z:.2f}")

# %% [markdown]
# ## One page for an auditor

# %%
federation.save(folder / "checkpoint")
head = ledger.head  # keep it elsewhere: in the model card, in a log, on paper
print(statement([ledger], DELTA))

# %% [markdown]
# ## Cheating
#
# A checkpoint cannot rewind the ledger: rounds made after it stay charged, and making them again is
# charged again.

# %%
before = ledger.epsilon(DELTA, dataset="clinic-0", unit="record").upper
resumed = Federation.resume(
    folder / "checkpoint",
    make_model(),
    clinics,
    Pipeline(),
    loss=nn.functional.cross_entropy,
    local=federation.local,
    ledger=ledger.datasets({k: f"clinic-{k}" for k in clinics}),
)
resumed.round()
print(ledger.epsilon(DELTA, dataset="clinic-0", unit="record").upper > before)

# %% [markdown]
# Changing one digit of a past charge breaks the chain:

# %%
with sqlite3.connect(folder / "clinics.db") as db:
    (trigger,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'no_update'").fetchone()
    db.execute("DROP TRIGGER no_update")
    db.execute(
        "UPDATE entries SET body = replace(body, '\"count\":8', '\"count\":1') WHERE seq = 2"
    )
    db.execute(trigger)  # as if nothing had happened
db.close()
try:
    Ledger(folder / "clinics.db").verify()
except LedgerTampered as error:
    print("tampered:", error)

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
# # "Weights make no sense without the data"
#
# That is the myth. An update is a function of the data it was computed on, and this notebook reads
# the data back: from one client's update, from one that was clipped, from one with noise, and from
# the sum of ten.
#
# An attack here gets a *view* (what the server really saw of a round) and declared *knowledge* (the
# model it sent out, the loss, the labels). It never touches the truth; the truth only measures it.
#
# It runs offline, on digits that ship with the package, in under two minutes on one core.

# %%
import torch

from privfl import Pipeline
from privfl.attacks.inversion import InvertingGradients, LabelHistogram, LinearInversion
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.robust import Krum
from privfl.evaluate import Picture, Probe, Scenario, duel, reconstruct

torch.set_num_threads(1)

scenario = Scenario.digits()
model = scenario.fresh_model(0)
x, y = scenario.train
picked = torch.stack([(y == label).nonzero()[1, 0] for label in range(10)])
victims = x[picked], y[picked]
attack = InvertingGradients(iterations=150)


def attacked(pipeline: Pipeline, batch=victims, n_clients: int = 1, **options):
    return reconstruct(
        attack,
        pipeline,
        model,
        scenario.loss,
        batch,
        n_clients=n_clients,
        pool=scenario.train,
        generator=0,
        **options,
    )


def tell(result) -> Picture:
    print(
        f"{result.psnr:.1f} dB (blind {result.baseline_psnr:.1f}), "
        f"identified {result.identified:.2f} (null {result.null:.2f}): {result.verdict}"
    )
    return Picture(result.images)


Picture(victims[0])

# %% [markdown]
# ## One image, one step, one client each
#
# Ten clients, each with one digit, take one step of SGD. This is what the server makes of it.

# %%
tell(attacked(Pipeline(), n_clients=10))

# %% [markdown]
# ## A clip hides nothing
#
# It changes the length of an update, and the attack only looks at its direction.

# %%
tell(attacked(Pipeline(Clip(1.0)), n_clients=10))

# %% [markdown]
# ## A robust rule hides nothing from the server
#
# Krum protects the *model* from clients, not the clients from the server.

# %%
tell(attacked(Pipeline(Krum(n_byzantine=2)), n_clients=10))

# %% [markdown]
# ## Noise: the picture is static, and the digits are still picked out
#
# The PSNR is below that of a blind guess, yet the victims are found among 100 images of the same
# label. A figure of picture quality cannot decide; identification against its null can. And the
# guarantee that comes with this noise is empty:

# %%
noisy = Pipeline(Clip(1.0), LocalGaussianNoise(0.1))
print(*noisy.explain(n_clients=10, model=model, rounds=12).guarantees)
tell(attacked(noisy, n_clients=10))

# %% [markdown]
# ## A sum hides who, not what
#
# One client holds all ten images, which is what the sum of ten clients' updates looks like to
# whoever opens it, however well each single update was masked or encrypted.

# %%
tell(attacked(Pipeline()))

# %% [markdown]
# ## In closed form
#
# Where the first layer is linear, one image is a ratio of two coordinates of the update. No search,
# and the attack itself can tell that it is right.

# %%
twin = scenario.fresh_model(0, scenario.twin)
exact = reconstruct(
    LinearInversion(),
    Pipeline(),
    twin,
    scenario.loss,
    (victims[0][:2], victims[1][:2]),
    pool=scenario.train,
    generator=0,
)
tell(exact)

# %% [markdown]
# ## Labels, from a real update
#
# After six steps on 192 images no picture is left to read. How often each label occurred still is,
# in the last layer's bias. Rows: three pipelines; the verdict compares with a blind guess.

# %%
table = duel(
    [Probe("label histogram", LabelHistogram(), victims=10, batch=32, as_trained=True)],
    {"undefended": Pipeline(), "clip": Pipeline(Clip(1.0)), "clip + noise .1": noisy},
    scenario.but(rounds=1),
    seeds=1,
)
table.to_pandas()[["row", "column", "verdict", "figure", "value", "baseline"]].tail(3)

# %% [markdown]
# What helps is noise that is calibrated to what one client, or one record, can change: differential
# privacy. What it costs is the subject of the report that `privfl duel --minutes 3` writes.

"""Attacks that make training data out of updates.

An attack is called with a view, what is known besides, and a stream of randomness; the truth is
not among them. What it cannot work on it refuses with `privfl.views.NotApplicable`.

>>> import torch
>>> from privfl.attacks.inversion import LinearInversion
>>> from privfl.core import Layout, Rows, Vantage
>>> from privfl.crypto import Stream
>>> from privfl.views import Knowledge, View
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(),
...     torch.nn.Linear(32, 10))
>>> loss, layout = torch.nn.functional.cross_entropy, Layout.of(model)
>>> image, label = torch.rand(1, 8, 8), torch.tensor([3])               # what a client holds
>>> gradient = torch.autograd.grad(loss(model(image), label), model.parameters())
>>> update = torch.cat([-0.1 * part.flatten() for part in gradient])    # what it sends
>>> view = View(Vantage.SERVER, rows=Rows(update[None], (("clinic",),)))
>>> knowledge = Knowledge(model, loss, layout, shape=(8, 8), n_images=1)
>>> made = LinearInversion()(view, knowledge, Stream())
>>> bool((made.images[0] - image).abs().max() < 1e-4), made.certified.tolist()
(True, [[True]])
"""

from privfl.attacks.inversion._inverting_gradients import InvertingGradients
from privfl.attacks.inversion._label_histogram import LabelCounts, LabelHistogram
from privfl.attacks.inversion._linear_inversion import LinearInversion
from privfl.attacks.inversion._reconstruction import Reconstruction

__all__ = [
    "InvertingGradients",
    "LabelCounts",
    "LabelHistogram",
    "LinearInversion",
    "Reconstruction",
]

"""How many images of each label a client holds."""

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.attacks.inversion._evidence import rows_of
from privfl.attacks.inversion._gradient import copy_of
from privfl.attacks.inversion._layers import Trace, piece_of
from privfl.core import require_positive
from privfl.crypto import Stream
from privfl.views import Knowledge, NotApplicable, View


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """Hold the label counts that an attack infers behind each row of a view.

    Attributes:
        counts: (rows, classes), none negative, each row summing to ``n_images``.
        seconds: wall time of the attack.
        strength: what the attack was allowed, in words.

    >>> LabelCounts(torch.tensor([[1.0, 2.0]]), seconds=0.1)
    LabelCounts(seconds=0.1, strength='')
    """

    counts: Tensor = field(repr=False)
    seconds: float
    strength: str = ""


@dataclass(frozen=True)
class LabelHistogram:
    """Count labels from the bias of the last layer, in closed form.

    Under cross-entropy the mean gradient of bias c is ``db_c = mean_i p_ic - n_c / B``, so that
    ``n_c = B * (pbar_c - db_c)`` (Wainakh et al. 2022, https://arxiv.org/abs/2105.09369, use the
    same identity). The mean probability pbar is the model's on the prior, or uniform without one;
    the counts are projected to the nearest that are not negative and sum to B = ``n_images``.

    A row of a sum adds ``n_clients`` updates, and each is minus ``learning_rate`` times a mean
    gradient in each of its ``steps``, so ``db = -row / (learning_rate * steps * n_clients)``, which
    is exact where all summed clients step by batches of one size. A clip shrinks the row by a
    factor that is not known here: the counts then lean towards ``B * pbar``.

    Guarantees:
        - Counts are not negative and sum to ``n_images``.
        - Exact for one step where pbar is that of the batch.
        - The outcome depends on view and knowledge alone.

    >>> LabelHistogram()
    LabelHistogram()
    """

    def __call__(self, view: View, knowledge: Knowledge, generator: Stream) -> LabelCounts:
        """Attack every row of the view.

        Raises:
            NotApplicable: without opened rows or a learning rate, or where the outputs are not
                those of a linear layer with a bias.
        """
        del generator
        started = time.perf_counter()
        rows = rows_of(view, knowledge)
        name = Trace.of(knowledge).last_linear.tensor("bias")
        slope = -piece_of(rows, knowledge, name).double() / _pace(knowledge)
        shares = _mean_probabilities(knowledge, slope.shape[1]).to(slope) - slope
        counts = nearest_counts(knowledge.n_images * shares, knowledge.n_images)
        seconds = time.perf_counter() - started
        return LabelCounts(counts.to(rows), seconds, "closed form")


def nearest_counts(wanted: Tensor, total: float) -> Tensor:
    """Project rows (rows, classes) to the nearest that are not negative and sum to ``total``.

    Sort and find the one level to subtract (Duchi et al. 2008,
    https://doi.org/10.1145/1390156.1390191, figure 1).

    >>> nearest_counts(torch.tensor([[3.0, 1.0, -2.0]]), 2.0)
    tensor([[2., 0., 0.]])
    """
    high = wanted.sort(dim=1, descending=True).values
    ranks = torch.arange(1, wanted.shape[1] + 1).to(wanted)
    levels = (high.cumsum(dim=1) - total) / ranks
    kept = (high > levels).sum(dim=1, keepdim=True)
    return (wanted - levels.gather(1, kept - 1)).clamp(min=0)


def _pace(knowledge: Knowledge) -> float:
    """Return what a mean gradient was multiplied by on its way into a row."""
    if knowledge.learning_rate is None:
        raise NotApplicable("The attack needs the learning rate of the clients' local steps.")
    require_positive("learning_rate", knowledge.learning_rate)
    return knowledge.learning_rate * knowledge.steps * knowledge.n_clients


def _mean_probabilities(knowledge: Knowledge, n_classes: int) -> Tensor:
    if knowledge.prior is None:
        return torch.full((n_classes,), 1 / n_classes)
    parameter = next(knowledge.model.parameters())
    with torch.no_grad():
        outputs: Tensor = copy_of(knowledge.model)(knowledge.prior.to(parameter))
    return outputs.softmax(dim=1).mean(dim=0)

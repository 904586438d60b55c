"""What an attacker knows besides its view."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from privfl.core import Layout
from privfl.parts import Loss


class NotApplicable(ValueError):
    """An attack does not fit this view or model; the text says why. It is a verdict, not a bug."""


@dataclass(frozen=True)
class Knowledge:
    """Declare what an attacker is given besides its view. What is not given is not used.

    Attributes:
        model: the model as it was broadcast (public to every party of the round).
        loss: ``(outputs, labels) -> mean loss``, public.
        layout: which coordinates of the model make a row of the view.
        shape: of one input, such as ``(1, 28, 28)``.
        n_images: how many training images stand behind each row of the view, in all.
        labels: (rows, n_images) their labels, or None where the attacker does not know them.
        learning_rate: of the clients' local steps, or None.
        steps: local steps behind each update.
        n_clients: how many clients each row sums; each of them stepped by means over its images.
        noise_std: standard deviation of the noise on each coordinate of a row, public by the plan.
        prior: (k, *shape) public images of the same kind, or None.
    """

    model: nn.Module = field(repr=False)
    loss: Loss = field(repr=False)
    layout: Layout = field(repr=False)
    shape: tuple[int, ...]
    n_images: int
    labels: Tensor | None = field(default=None, repr=False)
    learning_rate: float | None = None
    steps: int = 1
    n_clients: int = 1
    noise_std: float = 0.0
    prior: Tensor | None = field(default=None, repr=False)

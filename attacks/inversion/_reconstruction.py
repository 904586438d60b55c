"""What an inversion attack hands back."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Hold the images an attack made out of each row of a view.

    Attributes:
        images: (rows, n_images, *shape) in [0, 1], in no particular order within a row.
        loss: (rows,) how badly they explain the row by the attack's own measure; 0 is perfectly.
        certified: (rows, n_images) bool, where the attack itself proves an image exact.
        seconds: wall time of the attack.
        strength: what the attack was allowed, in words, for the reports.
        budget: the same as a number, comparable between runs of one attack.

    >>> import torch
    >>> Reconstruction(torch.zeros(2, 1, 1, 8, 8), torch.zeros(2), torch.zeros(2, 1).bool(), 0.1)
    Reconstruction(seconds=0.1, strength='', budget=1)
    """

    images: Tensor = field(repr=False)
    loss: Tensor = field(repr=False)
    certified: Tensor = field(repr=False)
    seconds: float
    strength: str = ""
    budget: int = 1

"""All figures of a reconstruction, once the truth is at hand."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from privfl.core import require
from privfl.crypto import Stream
from privfl.evaluate._assign import assign, correlation
from privfl.evaluate._identify import AMONG, identify, identify_null
from privfl.evaluate._intervals import Estimate, difference, mean_interval
from privfl.evaluate._pool import Pool
from privfl.evaluate._psnr import blind_images, psnr, relative_error

Row = tuple[Tensor, Tensor, Tensor]  # reconstructions, images and labels behind one row


@dataclass(frozen=True, eq=False)
class Measured:
    """Hold the figures of the rows of a view; a pair is a reconstruction with its image.

    Attributes:
        psnr: (rows, pairs) in dB.
        baseline_psnr: (rows, pairs), that of the blind guess.
        relative_error: (rows, pairs).
        identified: (rows, pairs) bool, or None without a pool.
        null: (rows, draws, pairs) bool, or None without a pool.
    """

    psnr: Tensor = field(repr=False)
    baseline_psnr: Tensor = field(repr=False)
    relative_error: Tensor = field(repr=False)
    identified: Tensor | None = field(default=None, repr=False)
    null: Tensor | None = field(default=None, repr=False)

    @property
    def hits(self) -> Tensor | None:
        """Share identified of each row, the unit of a verdict: (rows,), or None."""
        return None if self.identified is None else self.identified.double().mean(dim=1)

    @property
    def nulls(self) -> Tensor | None:
        """Share identified in each draw of each row's null: (rows * draws,), or None."""
        return None if self.null is None else self.null.double().mean(dim=2).flatten()

    @property
    def gain(self) -> Estimate | None:
        """Identification less its null, with its interval, or None without a pool."""
        if self.hits is None or self.nulls is None:
            return None
        return difference(mean_interval(self.hits), mean_interval(self.nulls))


def measure(
    images: Tensor,
    truth: Tensor,
    labels: Tensor,
    generator: Stream,
    *,
    pool: Pool | None = None,
    prior: Tensor | None = None,
    among: int = AMONG,
) -> Measured:
    """Compare reconstructions with the truth, row by row.

    The blind guess is the mean of ``prior``, or mid-grey, and goes through the same assignment.

    Args:
        images: (rows, r, *shape), as an attack returned them.
        truth: (rows, k, *shape), what was behind each row.
        labels: (rows, k).
        generator: draws crowds and decoys.
        pool: for identification; without one there is none.
        prior: (m, *shape) public images, for the blind guess.
        among: how many stand in line, see `identify`.

    >>> images, labels = torch.rand(300, 1, 8, 8), torch.arange(300) % 2
    >>> x, y = images[:4].unflatten(0, (2, 2)), labels[:4].unflatten(0, (2, 2))
    >>> figures = measure(x.flip(1), x, y, Stream(), pool=Pool(images, labels))
    >>> figures.psnr.min(), figures.hits
    (tensor(200., dtype=torch.float64), tensor([1., 1.], dtype=torch.float64))
    >>> figures.gain.value > 0.9
    True
    """
    require(len(images) == len(truth) == len(labels), "Rows must be as many", len(images))
    rows = list(zip(images, truth, labels, strict=True))
    pairs = [_pair(made, true) for made, true, _ in rows]
    blind = [_pair(blind_images(made, prior), true) for made, true, _ in rows]
    return Measured(
        psnr=torch.stack([psnr(*pair) for pair in pairs]),
        baseline_psnr=torch.stack([psnr(*pair) for pair in blind]),
        relative_error=torch.stack([relative_error(*pair) for pair in pairs]),
        identified=_identified(rows, pool, generator.child("crowds"), among),
        null=_null(rows, pool, generator.child("decoys"), among),
    )


def _pair(images: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = assign(correlation(images, truth))
    return images[rows], truth[columns]


def _identified(rows: list[Row], pool: Pool | None, generator: Stream, among: int) -> Tensor | None:
    if pool is None:
        return None
    return torch.stack([identify(*row, pool, generator, among=among) for row in rows])


def _null(rows: list[Row], pool: Pool | None, generator: Stream, among: int) -> Tensor | None:
    if pool is None:
        return None
    return torch.stack([identify_null(*row, pool, generator, among=among) for row in rows])

"""The clients: few labels each, and a region that everybody may know."""

from dataclasses import dataclass

from torch import Tensor

from privfl.data import mnist_sample, shards
from privfl.sampling import Stratified

Data = tuple[Tensor, Tensor]

REGIONS = ("north", "south", "east", "west", "islands")


@dataclass(frozen=True)
class Size:
    """How much there is of everything.

    Attributes:
        n_images: over all clients.
        n_clients: a multiple of the number of regions.
        each: clients that a round draws from every region; noise hides one among all of them.
        rounds: of training.
    """

    n_images: int
    n_clients: int
    each: int
    rounds: int


FULL = Size(n_images=5000, n_clients=100, each=10, rounds=12)
SMALL = Size(n_images=1000, n_clients=20, each=1, rounds=4)


def deal(size: Size, *, seed: int) -> list[Data]:
    """Give each client images of two digits."""
    x, y = (half[: size.n_images] for half in mnist_sample().train)
    hands = shards(y, size.n_clients, labels_per_client=2, generator=seed)
    return [(x[rows], y[rows]) for rows in hands]


def by_region(n_clients: int, each: int) -> Stratified:
    """Draw the same number of clients from every region, so that no region is ever missing.

    A region is public. To group clients by the digits that they hold would balance a round better,
    and publish those digits: who is drawn with whom would follow from private data, and no noise on
    the update hides that.
    """
    return Stratified(tuple(REGIONS[k % len(REGIONS)] for k in range(n_clients)), each=each)

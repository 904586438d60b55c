"""Search by example, and how well it finds."""

from dataclasses import dataclass, field

from embedder import embed
from torch import Tensor, nn

from privfl.data import mnist_sample


@dataclass(frozen=True, eq=False)
class Search:
    """Hold images to search with and images to search in. No client has any of them."""

    queries: Tensor = field(repr=False)  # (q, 1, 28, 28)
    gallery: Tensor = field(repr=False)  # (n, 1, 28, 28)
    query_labels: Tensor = field(repr=False)  # (q,)
    gallery_labels: Tensor = field(repr=False)  # (n,)

    def hits(self, model: nn.Module, k: int) -> Tensor:
        """Return which gallery images a model finds for each query, best first: (q, k)."""
        return nearest(embed(model, self.queries), embed(model, self.gallery), k)

    def right(self, hits: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """Return which hits (m, k) of the queries in ``rows`` show the query's digit."""
        return self.gallery_labels[hits] == self.query_labels[rows, None]


def held_out() -> Search:
    """Take every other test image as a query, and search in the rest: 500 and 500."""
    x, y = mnist_sample().test
    return Search(x[::2], x[1::2], y[::2], y[1::2])


def nearest(queries: Tensor, gallery: Tensor, k: int) -> Tensor:
    """Return the rows of ``gallery`` at the smallest angle to each query: (q, d), (n, d) -> (q, k).

    Cosine similarity: an embedding's length says how sure the head would be, not what is shown.
    """
    a, b = (nn.functional.normalize(vectors.double()) for vectors in (queries, gallery))
    return (a @ b.T).topk(k).indices


def recall(right: Tensor, k: int) -> float:
    """Return the share of queries with a right image among their first ``k`` hits."""
    return float(right[:, :k].any(dim=1).double().mean())

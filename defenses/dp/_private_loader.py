"""A DataLoader whose batches privfl draws."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from privfl.core import require
from privfl.crypto import Stream
from privfl.defenses.dp._turn import Turn
from privfl.sampling import Sampling

Loader = DataLoader[Any]


class PrivateLoader(Loader):
    """Load batches that ``sampling`` draws, and tell ``turn`` of each one that is handed out.

    A pass has as many batches as go over the data once on average. An empty batch comes as tensors
    of shape (0, …). ``drop_last`` and the loader's own order have no meaning here.
    """

    def __init__(
        self,
        plain: Loader,
        sampling: Sampling,
        stream: Stream,
        turn: Turn,
        ended: Callable[[], None],
    ) -> None:
        """Take dataset, collation and workers from ``plain``; call ``ended`` after each pass."""
        n = len(plain.dataset)  # type: ignore[arg-type]
        self.plain, self.turn, self._ended = plain, turn, ended
        self._draws = _Draws(sampling, n, stream)
        workers = {
            "prefetch_factor": plain.prefetch_factor,
            "persistent_workers": plain.persistent_workers,
            "multiprocessing_context": plain.multiprocessing_context,
        }
        super().__init__(
            plain.dataset,
            batch_sampler=self._draws,
            collate_fn=_OrEmpty(plain.dataset, plain.collate_fn),
            num_workers=plain.num_workers,
            pin_memory=plain.pin_memory,
            timeout=plain.timeout,
            worker_init_fn=plain.worker_init_fn,
            generator=plain.generator,
            **(workers if plain.num_workers else {}),
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Hand out the batches of one pass."""
        self.turn.passes += 1
        left, mine = len(self._draws), self.turn.passes
        for batch in super().__iter__():
            fix = "Finish a pass before the next one"
            only = mine == self.turn.passes
            require(only, "A private loader has one pass at a time", "a second one", fix)
            self.turn.deal(self._draws.sizes.popleft(), left)
            left -= 1
            yield batch
        self._ended()


def plain_loader(loader: Loader) -> Loader:
    """Return the loader behind ``loader``; refuse one whose draws would be replaced in silence."""
    if isinstance(loader, PrivateLoader):
        return loader.plain
    require(isinstance(loader, DataLoader), "loader must be a DataLoader", type(loader).__name__)
    listed = not isinstance(loader.dataset, IterableDataset)
    wanted = "Records must be drawn by number, from a dataset with a length"
    require(listed, wanted, "an IterableDataset", "Use a map-style dataset")
    batches = loader.batch_sampler
    stock = type(batches) is BatchSampler and loader.batch_size is not None and _is_stock(loader)
    sampler = batches.sampler if type(batches) is BatchSampler else batches
    found = "no batches" if sampler is None else type(sampler).__name__
    fix = "Leave the sampler out, and say by sampling= how records are drawn"
    require(stock, "privfl draws the records, and the loader has a sampler of its own", found, fix)
    return loader


def _is_stock(loader: Loader) -> bool:
    sampler = loader.sampler
    if type(sampler) is RandomSampler:
        return not sampler.replacement and sampler.num_samples == len(loader.dataset)  # type: ignore[arg-type]
    return type(sampler) is SequentialSampler


class _Draws(Sampler[list[int]]):
    """Draw the batches of a pass, and remember their sizes in order: workers fetch ahead."""

    def __init__(self, sampling: Sampling, n: int, stream: Stream) -> None:
        self._sampling, self._n, self._stream = sampling, n, stream
        self.sizes: deque[int] = deque()

    def __len__(self) -> int:
        return self._sampling.steps_of(self._n)

    def __iter__(self) -> Iterator[list[int]]:
        self.sizes = sizes = deque[int]()
        for rows in self._sampling.draws(self._n, len(self), self._stream):
            sizes.append(len(rows))
            yield rows.tolist()


_PARTS = (Tensor, Mapping, list, tuple)


class _OrEmpty:
    """Collate; no records at all become a batch of one, cut to length zero."""

    def __init__(self, dataset: Dataset[Any], collate: Callable[[list[Any]], Any]) -> None:
        self._dataset, self._collate = dataset, collate

    def __call__(self, records: list[Any]) -> Any:
        return self._collate(records) if records else _emptied(self._collate([self._dataset[0]]))


def _emptied(batch: Any) -> Any:
    """Cut every tensor of a batch to length zero: its shapes and dtypes stay."""
    if isinstance(batch, Tensor):
        return batch[:0]
    if isinstance(batch, Mapping):
        return {key: _emptied(value) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_emptied(part) for part in batch))
    parts = isinstance(batch, list | tuple) and any(isinstance(x, _PARTS) for x in batch)
    if parts:
        return type(batch)(_emptied(part) for part in batch)
    wanted = "An empty batch can be made of tensors, in lists, tuples and mappings"
    require(isinstance(batch, list | tuple), wanted, type(batch).__name__, "Change collate_fn")
    return type(batch)()

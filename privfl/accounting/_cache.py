"""A memory that forgets by size."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Cache(Generic[Key, Value]):
    """Keep what was made last, as long as all of it fits into so many bytes.

    >>> cache = Cache[str, bytes](n_bytes=3, size=len)
    >>> [cache(word, word.encode) for word in ("ab", "c", "de")]
    [b'ab', b'c', b'de']
    >>> list(cache.kept)
    ['c', 'de']
    """

    def __init__(self, n_bytes: int, size: Callable[[Value], int]) -> None:
        """Take the limit, and what measures a value."""
        self.n_bytes, self.size = n_bytes, size
        self.kept: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def __call__(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value kept under ``key``, or make it, and keep it where it fits."""
        with self._lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        value = make()  # outside of the lock: at worst, two threads make the same
        with self._lock:
            self.kept[key] = value
            self.kept.move_to_end(key)
            while sum(map(self.size, self.kept.values())) > self.n_bytes:
                self.kept.popitem(last=False)
        return value

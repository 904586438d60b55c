"""One source of randomness for noise, shared choices and simulation."""

import builtins
import hashlib
import math
import os
import secrets
from collections.abc import Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from torch import Tensor

_BLOCK = 1 << 20  # key stream is made a megabyte at a time: it stays in cache


class Stream:
    """Draw random numbers from AES-256 in counter mode.

    ``Stream()`` takes its key from the operating system and is what noise is made of.
    ``Stream.replay(seed)`` is the same generator under a known key: a run made with it can be
    repeated, and is therefore marked ``seeded`` and never claims privacy (rule R28).

    Guarantees:
        - Equal keys give equal draws on every machine.
        - A fork does not share the operating system's key: each process draws its own numbers.
        - Children of different labels, and the stream itself, never share key stream.
        - Gaussians come from 53-bit uniforms, so their tails reach 8.5 standard deviations (R29).

    >>> Stream.replay(1).integers(10, (4,)).shape
    torch.Size([4])
    """

    def __init__(self, key: bytes | None = None, *, seeded: bool = False) -> None:
        """Start at the beginning of the stream of ``key`` (32 bytes; None: fresh)."""
        if key is not None and len(key) != 32:
            raise ValueError(f"key must be 32 bytes. Found {len(key)}.")
        self.seeded = seeded
        self._process = os.getpid() if key is None else None  # whose key the system gave
        self._start(secrets.token_bytes(32) if key is None else key)

    def _start(self, key: builtins.bytes) -> None:
        self._key = key
        counter = modes.CTR(bytes(16))
        self._cipher = Cipher(algorithms.AES(self._derive(b"draw")), counter).encryptor()

    def _after_fork(self) -> None:
        """Take a key of its own where a fork made two of one stream: they would draw alike."""
        if self._process not in (None, os.getpid()):
            self._process = os.getpid()
            self._start(secrets.token_bytes(32))

    @classmethod
    def replay(cls, seed: "int | bytes | torch.Generator") -> "Stream":
        """Make a stream that can be repeated, from a number, bytes or a ``torch.Generator``.

        A generator is asked for one number, so a second call with it gives another stream.
        """
        if isinstance(seed, torch.Generator):
            seed = int(torch.randint(2**62, (), generator=seed, device=seed.device))
        material = seed if isinstance(seed, bytes) else str(int(seed)).encode()
        return cls(hashlib.sha256(b"privfl replay" + material).digest(), seeded=True)

    @classmethod
    def of(cls, source: "Stream | torch.Generator | int | None") -> "Stream":
        """Turn what a ``generator=`` argument takes into a stream; None is the secure default."""
        if isinstance(source, Stream):
            return source
        if source is None:
            return cls()
        if isinstance(source, int | torch.Generator):
            return cls.replay(source)
        raise ValueError(
            "generator must be None, a Stream, a torch.Generator or a number. "
            f"Found {type(source).__name__}."
        )

    def child(self, label: str) -> "Stream":
        """Make an independent stream that only depends on this one's key and ``label``."""
        self._after_fork()
        made = Stream(self._derive(b"child" + label.encode()), seeded=self.seeded)
        made._process = self._process
        return made

    def bytes(self, n: int) -> builtins.bytes:
        """Draw ``n`` bytes."""
        self._after_fork()
        zeros = bytes(min(n, _BLOCK))
        blocks = (zeros[: min(_BLOCK, n - at)] for at in range(0, n, _BLOCK))
        return b"".join(self._cipher.update(block) for block in blocks)

    def uniform(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Draw from (0, 1] in steps of 2^-53: ``shape`` -> float64 (or the kind of ``like``)."""
        fractions = (self._words(math.prod(shape)) + 1.0) * 2.0**-53
        return _as(torch.from_numpy(fractions).reshape(tuple(shape)), like)

    def normal(self, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Draw standard Gaussians by Box and Muller: ``shape`` -> float64 (or kind of ``like``)."""
        half = (math.prod(shape) + 1) // 2
        radius = (-2 * self.uniform((half,)).log()).sqrt()
        angle = 2 * math.pi * self.uniform((half,))
        pair = torch.cat([radius * angle.cos(), radius * angle.sin()])
        return _as(pair[: math.prod(shape)].reshape(tuple(shape)), like)

    def integers(self, high: int, shape: Sequence[int]) -> Tensor:
        """Draw whole numbers from 0 to ``high - 1``: ``shape`` -> int64.

        The bias of scaling 53 bits is below ``high / 2^53``; keys and shares do not use this.
        """
        if not 0 < high <= 2**32:
            raise ValueError(f"high must be from 1 to 2^32. Found {high}.")
        scaled = self._words(math.prod(shape)) * 2.0**-53 * high
        return torch.from_numpy(scaled.astype(np.int64)).reshape(tuple(shape))

    def permutation(self, n: int) -> Tensor:
        """Draw an order of ``n`` things: -> (n,) int64."""
        return self.uniform((n,)).argsort(stable=True)

    def torch_generator(self) -> torch.Generator:
        """Seed a ``torch.Generator`` for simulation (shuffles, starts): 62 bits, not for noise."""
        seed = int.from_bytes(self.bytes(8), "little") >> 2
        return torch.Generator().manual_seed(seed)

    @property
    def key_of_replay(self) -> builtins.bytes:
        """The key of a seeded stream, which protects nothing and may be written down.

        Raises:
            ValueError: for a stream that is not seeded: its key is a secret.
        """
        if not self.seeded:
            raise ValueError("The key of a secure Stream is not shown. Found seeded=False.")
        return self._key

    def __repr__(self) -> str:
        """Say whether it is seeded; the key stays out of sight."""
        return f"Stream(seeded={self.seeded})"

    def __reduce__(self) -> str:
        """Refuse to be pickled: a copied key would repeat its noise."""
        raise TypeError("A Stream is not pickled: a copy of its key would repeat its noise.")

    def _derive(self, label: builtins.bytes) -> builtins.bytes:
        return hashlib.sha256(b"privfl stream" + self._key + label).digest()

    def _words(self, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        return np.frombuffer(self.bytes(8 * n), "<u8") >> np.uint64(11)


def _as(x: Tensor, like: Tensor | None) -> Tensor:
    return x if like is None else x.to(like)

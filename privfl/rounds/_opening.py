"""What the first letter of a round tells a client."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from privfl.core import Cohort, Party, ProtocolAbort, Scalar, State, encode, require
from privfl.rounds._line import Line

NONCE_BYTES = 16


@dataclass(frozen=True)
class Opening:
    """Carry the public facts of a round; each side derives the rest from its own pipeline.

    Attributes:
        fingerprint: of the pipeline, so that nobody runs another one.
        cohort: who takes part; counts and denominators are those of the whole cohort.
        present: who is still there in this pass.
        body, statistics: coordinates of the update and of the running statistics behind it.
        scalars: declared besides those of the parts.
        round, pass_index: counted from 0.
        model: hash of the weights that were broadcast, empty where the caller names none.
        nonce: fresh randomness of the round.
        public: what everybody knows of each part's past, by its place in line.
    """

    fingerprint: bytes
    cohort: Cohort
    present: tuple[Party, ...]
    body: int
    statistics: int
    scalars: tuple[Scalar, ...]
    round: int
    model: bytes
    nonce: bytes
    pass_index: int = 0
    public: Mapping[Party, State] = field(default_factory=dict, repr=False)

    @classmethod
    def fresh(
        cls,
        line: Line,
        members: Cohort | int | Sequence[Party],
        body: int,
        *,
        statistics: int = 0,
        scalars: tuple[Scalar, ...] = (),
        round: int = 0,
        model: bytes = b"",
        nonce: bytes | None = None,
        public: Mapping[Party, State] | None = None,
    ) -> "Opening":
        """Open a round with a fresh nonce, or with a given one to replay it.

        Raises:
            ValueError: for a nonce of another length, or owners of another size than ``body``.
        """
        cohort = Cohort.of(members)
        size = len(nonce) if nonce is not None else NONCE_BYTES
        require(size == NONCE_BYTES, f"A nonce has {NONCE_BYTES} bytes", size)
        if cohort.owners is not None:
            shape = tuple(cohort.owners.shape)
            require(shape[1] == body, f"owners must have shape ({len(cohort)}, {body})", shape)
        return cls(
            fingerprint=line.fingerprint,
            cohort=cohort,
            present=cohort.members,
            body=body,
            statistics=statistics,
            scalars=scalars,
            round=round,
            model=model,
            nonce=secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce,
            public=line.initial_public(cohort, body, statistics, scalars) | dict(public or {}),
        )

    def follows(self, kept: State) -> bool:
        """Tell whether this opens the next pass of ``kept`` (a state), and changes nothing else."""
        before = Opening.from_state(kept)
        same = replace(self, present=before.present, public=before.public)
        return (
            set(self.present) <= set(before.present)
            and replace(before, pass_index=before.pass_index + 1).session == same.session
        )

    @cached_property
    def session(self) -> bytes:
        """A hash that no two sums share."""
        return hashlib.sha256(encode(self.to_state())).digest()

    @cached_property
    def occasion(self) -> bytes:
        """A hash that no two rounds share, and all passes of one do."""
        first = replace(self, present=self.cohort.members, pass_index=0, public={})
        return hashlib.sha256(b"occasion" + encode(first.to_state())).digest()

    def to_state(self) -> State:
        """Return the opening as a value that can be written as bytes."""
        return (
            self.fingerprint,
            self.cohort.to_state(),
            self.present,
            (self.body, self.statistics),
            tuple((s.name, float(s.bound), float(s.share)) for s in self.scalars),
            (self.round, self.pass_index),
            self.model,
            self.nonce,
            dict(self.public),
        )

    @classmethod
    def from_state(cls, state: State) -> "Opening":
        """Read what `to_state` wrote.

        Raises:
            ProtocolAbort: for anything else.
        """
        try:
            entries = cast("tuple[Any, ...]", state)
            fingerprint, cohort, present, sizes, scalars, rounds, model, nonce, public = entries
            opening = cls(
                fingerprint=fingerprint,
                cohort=Cohort.from_state(cohort),
                present=present,
                body=sizes[0],
                statistics=sizes[1],
                scalars=tuple(Scalar(*scalar) for scalar in scalars),
                round=rounds[0],
                model=model,
                nonce=nonce,
                pass_index=rounds[1],
                public=public,
            )
            opening._require_kinds()
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            raise ProtocolAbort("An opening letter that cannot be read") from error
        return opening

    def _require_kinds(self) -> None:
        numbers = (self.body, self.statistics, self.round, self.pass_index)
        counts = all(type(x) is int and 0 <= x < 2**63 for x in numbers)  # no bool
        texts = all(isinstance(x, bytes) for x in (self.fingerprint, self.model, self.nonce))
        present = isinstance(self.present, tuple) and set(self.present) <= set(self.cohort.members)
        if not (counts and texts and present and isinstance(self.public, Mapping)):
            raise ProtocolAbort("An opening letter whose entries are of another kind")
        if len(self.nonce) != NONCE_BYTES or self.body == 0 or not self.present:
            raise ProtocolAbort("An opening letter without a nonce, a size or a client")
        owners = self.cohort.owners
        if owners is not None and owners.shape[1] != self.body:
            raise ProtocolAbort("An opening letter whose owners are of another size")

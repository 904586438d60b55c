"""What a client agrees to, whatever the server sends."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from privfl.core import Budget, ProtocolAbort, require, require_count, require_positive
from privfl.parts import Aggregator, Part, SumProtocol
from privfl.pipeline import Pipeline
from privfl.rounds import Setting


@dataclass(frozen=True)
class Policy:
    """Let the server choose numbers within bounds that are this client's own.

    The parts that the client runs must be those of its own pipeline, in the same order; their
    numbers may differ within the bounds. What is left out must be as in the client's own: its clip
    norm, its noise multiplier, its protocol. Which conditions are accepted is never the server's
    choice. Noise that the server adds is its promise, here as everywhere.

    Args:
        largest_clip: the most that an update may weigh after the client's own clip.
        smallest_noise_multiplier: of the pipeline's noise.
        largest_epsilon: the most that the client's own ledger may come to, at ``delta``.
        delta: beside ``largest_epsilon``.
        smallest_cohort: the fewest clients in a round.
        protocols: those allowed: parts with their numbers, or names for any numbers.

    >>> Policy(largest_clip=2.0, smallest_cohort=5)
    Policy(largest_clip=2.0, smallest_noise_multiplier=None, largest_epsilon=None, delta=1e-05, \
smallest_cohort=5, protocols=None)
    """

    largest_clip: float | None = None
    smallest_noise_multiplier: float | None = None
    largest_epsilon: float | None = None
    delta: float = 1e-5
    smallest_cohort: int = 1
    protocols: Iterable[SumProtocol | str] | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that bound nothing."""
        for name in ("largest_clip", "smallest_noise_multiplier"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))
        require_count("smallest_cohort", self.smallest_cohort, least=1)
        if self.protocols is not None:
            wanted = "protocols lists protocols, such as SecAgg(threshold=7), or names"
            require(not isinstance(self.protocols, str), wanted, repr(self.protocols))
            allowed = tuple(self.protocols)
            good = all(isinstance(each, SumProtocol | str) for each in allowed)
            require(good, wanted, repr(allowed))
            object.__setattr__(self, "protocols", allowed)
        if self.largest_epsilon is not None:
            _ = self.budget

    @property
    def budget(self) -> Budget | None:
        """The cap on the client's own ledger."""
        if self.largest_epsilon is None:
            return None
        return Budget(self.largest_epsilon, self.delta)

    def require_parts(self, pipeline: Pipeline, own: Pipeline) -> None:
        """Refuse a server's pipeline whose parts this client did not agree to.

        Raises:
            ProtocolAbort: with what was asked and what is allowed.
        """
        if not pipeline.accepting <= own.accepting:
            more = ", ".join(sorted(pipeline.accepting - own.accepting))
            raise ProtocolAbort(f"The server's pipeline accepts {more}, and this client does not")
        if kinds_of(pipeline) != kinds_of(own):
            asks, runs = (", ".join(kinds_of(each)) or "nothing" for each in (pipeline, own))
            raise ProtocolAbort(f"The server asks clients to run {asks}, this one runs {runs}")
        if not self._allows(pipeline.protocol, own.protocol):
            allowed = self.protocols if self.protocols is not None else (own.protocol,)
            raise ProtocolAbort(f"{pipeline.protocol!r} is not among the protocols {allowed!r}")
        for asked, mine in zip(multipliers(pipeline), multipliers(own), strict=True):
            least = self.smallest_noise_multiplier
            least = mine if least is None else least
            if asked < least:
                found = f"A noise multiplier of {asked:g}"
                raise ProtocolAbort(f"{found}, this client asks for {least:g}")

    def require_numbers(self, setting: Setting, own: Pipeline) -> None:
        """Refuse a round whose numbers this client did not agree to.

        Args:
            setting: of the server's pipeline in the round that it opens.
            own: the client's own pipeline.

        Raises:
            ProtocolAbort: with what was asked and what is allowed.
        """
        plans = setting.plans[: setting.line.protocol_at + 1]
        asked, most = min(plan.clip_norm for plan in plans), self.largest_clip  # rounding adds
        most = own.contracts()[own.protocol_at].clip_norm if most is None else most
        if not asked <= most:
            raise ProtocolAbort(f"A clip norm of {asked:g}, this client allows {most:g}")
        n = len(setting.opening.cohort)
        if n < self.smallest_cohort:
            least = self.smallest_cohort
            raise ProtocolAbort(f"A cohort of {n}, this client asks for {least}")

    def _allows(self, protocol: SumProtocol, own: SumProtocol) -> bool:
        if self.protocols is None:
            return protocol == own
        if protocol in self.protocols:
            return True
        inner = getattr(protocol, "inner", None)  # a group's own protocol is told by name too
        named = type(protocol).__name__ in self.protocols
        return named and (inner is None or self._allows(inner, own))


def kinds_of(pipeline: Pipeline) -> list[str]:
    """Return the names of the parts that were written before the protocol: clients run them."""
    return [type(part).__name__ for part in _before_protocol(pipeline)]


def multipliers(pipeline: Pipeline) -> list[float]:
    """Return the multiplier of each noise that clients add, then that of the release, or 0."""
    own = [getattr(part, "noise_multiplier", None) for part in _before_protocol(pipeline)]
    author = pipeline.contract.author("noise")
    released = getattr(author, "noise_multiplier", 0.0)
    return [float(each) for each in [*own, released] if each is not None]


def _before_protocol(pipeline: Pipeline) -> list[Part]:
    behind = (SumProtocol, Aggregator)
    return list(takewhile(lambda part: not isinstance(part, behind), pipeline.parts))

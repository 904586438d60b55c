"""What both sides of a signing protocol do alike between two letters, whatever they sum."""

from collections.abc import Mapping
from functools import cached_property
from typing import cast

from privfl.core import At, Party, Registry, State
from privfl.crypto import Identity
from privfl.parts._sum_protocol import Turn


class _Side:
    """Read what a side kept of its last turn."""

    at: At

    @cached_property
    def _kept(self) -> Mapping[Party, State]:
        return cast("Mapping[Party, State]", self.at.state or {})

    def _bytes(self, name: str) -> bytes:
        return cast("bytes", self._kept[name])


class Client(_Side):
    """A client, who signs."""

    @property
    def _identity(self) -> Identity:
        return cast("Identity", self.at.identity)  # `respond` refuses to do without

    @property
    def _registry(self) -> Registry:
        return cast("Registry", self.at.registry)


class Server(_Side):
    """A server, who rejects a reply that does not fit by name."""

    rejected: dict[Party, str]

    def _going(
        self,
        stage: str,
        letters: Mapping[Party, bytes],
        kept: Mapping[str, State],
        after: str = "",
    ) -> Turn:
        """Send letters, and keep more; ``after`` names the exchange where a stage has two."""
        more = cast("Mapping[Party, State]", kept)
        state: State = {**self._kept, **more, "after": after or stage}
        return Turn(letters, state, rejected=self.rejected, stage=stage)

    def _signed(self, who: Party, text: bytes, signature: bytes) -> bool:
        """Tell whether ``who`` signed, where this server has a registry to ask."""
        registry = self.at.registry
        return registry is None or registry.has_signed(who, text, signature)

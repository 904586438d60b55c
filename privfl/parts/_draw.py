"""Groups that nobody picks: drawn by the coins of all members."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from privfl.core import At, Party, ProtocolAbort, State, encode

COMMITMENT_BYTES = 32


@dataclass(frozen=True)
class Draw:
    """Hold the groups that a set of coins makes.

    Attributes:
        root: hash of all coins.
        groups: members of each.
    """

    root: bytes
    groups: tuple[tuple[Party, ...], ...]
    at: At = field(repr=False)

    @classmethod
    def of(cls, coins: Mapping[Party, State], size: int, at: At) -> "Draw":
        """Deal the members to ``floor(n / size)`` groups, in an order that the coins make."""
        members = [who for who in at.cohort.members if who in coins]
        root = hashlib.sha256(at.session + encode({who: coins[who] for who in members})).digest()
        order = sorted(members, key=lambda who: hashlib.sha256(root + encode(who)).digest())
        g = max(1, len(order) // size)
        places = {who: k for k, who in enumerate(at.cohort.members)}
        groups = tuple(tuple(sorted(order[k::g], key=places.__getitem__)) for k in range(g))
        return cls(root, groups, at)

    def group_of(self, me: Party) -> int:
        """Return which group ``me`` is in."""
        return next(k for k, group in enumerate(self.groups) if me in group)

    def within(self, k: int, state: State) -> At:
        """Return what a part of group ``k`` knows: a session and a cohort of its own."""
        session = hashlib.sha256(self.root + encode(k)).digest()
        return replace(
            self.at, session=session, cohort=self.at.cohort.only(self.groups[k]), state=state
        )


def check_coins(
    coins: Mapping[Party, State], commitments: Mapping[Party, State], me: Party | None, at: At
) -> None:
    """Abort unless everybody who committed shows the coin it committed to."""
    if set(coins) != set(commitments):
        late = [who for who in commitments if who not in coins]
        raise ProtocolAbort(f"Clients {late} committed to a coin and did not show it: no draw")
    for who, coin in coins.items():
        made = commitment_to(bytes_of(coin), who, at)
        if not hmac.compare_digest(made, bytes_of(commitments[who])[:COMMITMENT_BYTES]):
            whose = "My coin" if who == me else f"The coin of client {who}"
            raise ProtocolAbort(f"{whose} is not the one that was committed to")


def commit(coin: bytes, me: Party, at: At) -> bytes:
    """Commit to a coin, signed where this client has an identity: 32 bytes, or 96."""
    made = commitment_to(coin, me, at)
    return made if at.identity is None else made + at.identity.sign(made)


def commitment_to(coin: bytes, who: Party, at: At) -> bytes:
    """Hash a coin with its owner and session: -> 32 bytes."""
    return hashlib.sha256(b"privfl coin" + at.session + encode(who) + coin).digest()


def require_signed(commitment: State, who: Party, at: At) -> None:
    """Abort unless ``who`` signed its commitment, where there is a registry to ask."""
    if at.registry is None:
        return
    made = bytes_of(commitment)
    bare, signature = made[:COMMITMENT_BYTES], made[COMMITMENT_BYTES:]
    if not at.registry.has_signed(who, bare, signature):
        raise ProtocolAbort(f"Client {who} did not sign its commitment to a coin")


def fields_of(state: State) -> Mapping[Party, State]:
    """Return a letter that must be a mapping, or abort."""
    if not isinstance(state, Mapping):
        raise ProtocolAbort("A letter without the fields of its stage")
    return state


def bytes_of(state: State) -> bytes:
    """Return an entry that must be bytes, or abort."""
    if not isinstance(state, bytes):
        raise ProtocolAbort("A letter without the bytes of its stage")
    return state

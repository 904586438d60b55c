"""The laws of a protocol, each in a small world of clients."""

import itertools
import random
from collections.abc import Iterator, Mapping

import torch

from privfl.core import Party
from privfl.parts import SumProtocol
from privfl.testing._changed_letters import flipped, malformed, putting
from privfl.testing._law import Law, demand, demand_frozen
from privfl.testing._mail import TO_SERVER, Change, Mail
from privfl.testing._protocol_world import Played, World, bounded

PATTERNS = 40  # of dropouts that are played, where there are more


def is_frozen(part: SumProtocol, world: World) -> None:
    """Parameters are in the constructor; what is between letters is handed on as a value."""
    del world
    demand_frozen(part)


def everybody_is_counted(part: SumProtocol, world: World) -> None:
    """Nothing is lost, so nobody may be."""
    del part
    demand(world.full.release is not None, f"a full round gave {world.full.why}")
    counted = sorted(world.full.release.survivors) if world.full.release else []
    demand(counted == list(world.members), f"counted are {counted} of {len(world.members)}")
    world.require_mean(world.full, "a full round")


def dropouts_give_the_survivors_mean_or_an_abort(part: SumProtocol, world: World) -> None:
    """Whoever is lost, from whichever exchange on: a sum is right, or there is none."""
    del part
    for gone in _patterns(world):
        played = world.play(_losing(gone), start=min(gone.values(), default=0))
        story = f"without {_listed(gone)}"
        world.require_mean(played, story)
        counted = set(played.release.survivors) if played.release else set()
        never = {who for who, k in gone.items() if k == 0}
        demand(not counted & never, f"{story}: {sorted(counted & never)} are counted")


def both_sides_go_on_from_bytes(part: SumProtocol, world: World) -> None:
    """A server may stop and another process go on, between any two exchanges."""
    del part
    played = world.play(as_bytes=True)
    demand(played.release is not None, f"a round through bytes gave {played.why}")
    world.require_mean(played, "a round through bytes")


def order_of_replies_does_not_matter(part: SumProtocol, world: World) -> None:
    """Who answers first is chance, or the choice of an attacker."""
    del part
    played = world.play(backwards=True)
    demand(played.release is not None, f"replies in the other order gave {played.why}")
    counted = sorted(played.release.survivors) if played.release else []
    demand(counted == list(world.members), f"replies in the other order: counted are {counted}")
    world.require_mean(played, "replies in the other order")


def malformed_letters_give_an_abort_or_the_right_sum(part: SumProtocol, world: World) -> None:
    """What cannot be read is refused by name; nothing else may come of it."""
    del part
    for mail in _letters_of_one(world):
        for how, letter in malformed(mail, world.full):
            story = f"{_said(mail)} {how}"
            played = world.play(putting(mail, letter), start=mail.exchange)
            world.require_mean(played, story)
            if mail.way == TO_SERVER and played.release is not None:
                named = mail.who in {*played.release.survivors, *played.release.rejected}
                named = named or played.went_silent(mail.who)
                demand(named, f"{story}: client {mail.who} is neither counted nor named")


def flipped_bits_give_an_abort_or_a_release(part: SumProtocol, world: World) -> None:
    """No bit may crash a server or a client: only a `ProtocolAbort` leaves them."""
    del part
    for mail in _letters_of_one(world):
        for _, letter in flipped(mail, seed=mail.exchange):
            world.play(putting(mail, letter), start=mail.exchange)


def flipped_bits_change_no_sum(part: SumProtocol, world: World) -> None:
    """Where letters are signed, only its sender's own vector can be changed, as by itself."""
    del part
    for mail in _letters_of_one(world):
        if mail.asked:
            continue
        for how, letter in flipped(mail, seed=100 + mail.exchange):
            played = world.play(putting(mail, letter), start=mail.exchange)
            world.require_mean(played, f"{_said(mail)} {how}")


def answered_letters_are_refused(part: SumProtocol, world: World) -> None:
    """A server that asks twice gets two answers of one secret, or a draw that pleases it."""
    del part
    again = world.play(twice=True).repeated
    demand(not again, f"client {again[0].who} answered {_said(again[0])} twice" if again else "")


def hidden_updates_repeat_nothing(part: SumProtocol, world: World) -> None:
    """Equal updates travel as different letters, in two rounds and of two clients."""
    del part
    equal = world.but(world.updates[:1].repeat(len(world.members), 1))
    sent = [
        (mail.who, mail.letter)
        for _ in range(2)
        for mail in equal.fresh().full.mails
        if mail.asked and mail.way == TO_SERVER
    ]
    for (one, a), (other, b) in itertools.combinations(sent, 2):
        demand(a != b, f"equal updates of clients {one} and {other} are the same letter")


def rows_are_as_it_says(part: SumProtocol, world: World) -> None:
    """What the aggregator gets, and how many hide each other, is planned and reported."""
    n = len(world.members)
    fewest, count = part.min_survivors(n), part.n_rows(n)
    opened = world.full.release.opened if world.full.release else None
    if opened is not None:
        demand(len(opened.members) == count, f"{len(opened.members)} rows, said are {count}")
    for gone in _more_and_more(world):
        release = world.play(_losing(gone), start=min(gone.values())).release
        rows = release.opened.members if release and release.opened else ()
        for row in rows:
            found = f"without {_listed(gone)} a row of {len(row)}, said are at least {fewest}"
            demand(len(row) >= fewest, found)


def bytes_are_as_planned(part: SumProtocol, world: World) -> None:
    """What a user is told that a round costs is what travels, once keys that last are made."""
    lasts = type(part).carry is not SumProtocol.carry
    played = world.next.full if lasts else world.full
    plan, release = world.setting.plan, played.release
    demand(release is not None, played.why)
    if release is not None:
        found = (release.bytes_up, release.bytes_down)
        said = (plan.bytes_up, plan.bytes_down)
        demand(found == said, f"{found[0]} bytes up and {found[1]} down, planned are {said}")


def lengths_tell_nothing(part: SumProtocol, world: World) -> None:
    """Who only counts bytes learns nothing of an update: zero, sparse and full look alike."""
    del part
    zero, wanted = torch.zeros_like(world.updates), _lengths(world.full)
    sparse = zero.clone()
    sparse[:, :1] = world.updates[:, :1]
    for updates, name in ((zero, "zero"), (sparse, "sparse"), (-world.updates, "negative")):
        found = _lengths(world.but(updates).full)
        where = [mail for mail, length in wanted.items() if found.get(mail) != length]
        demand(found == wanted, f"{name} updates change the length of {where[:1]}")


PROTOCOL_LAWS: tuple[Law[SumProtocol, World], ...] = (
    Law("it is a frozen dataclass", is_frozen),
    Law("without dropouts the release is everybody's mean", everybody_is_counted),
    Law(
        "with dropouts it is the survivors' mean, or a ProtocolAbort",
        dropouts_give_the_survivors_mean_or_an_abort,
    ),
    Law("both sides go on from bytes between any two letters", both_sides_go_on_from_bytes),
    Law("the order of replies does not matter", order_of_replies_does_not_matter),
    Law(
        "a malformed letter is refused by name, or ends the round",
        malformed_letters_give_an_abort_or_the_right_sum,
    ),
    Law(
        "a flipped bit raises nothing but a ProtocolAbort",
        flipped_bits_give_an_abort_or_a_release,
    ),
    Law(
        "a flipped bit changes no sum, but in its sender's own vector",
        flipped_bits_change_no_sum,
        claimed=lambda part: part.signs,
    ),
    Law("a client refuses a letter that it has answered", answered_letters_are_refused),
    Law(
        "a hidden update is never the same letter twice",
        hidden_updates_repeat_nothing,
        claimed=lambda part: bounded(part).contract.sees != "each",
    ),
    Law("rows and survivors are as many as it says", rows_are_as_it_says),
    Law(
        "a round takes the bytes that the plan says",
        bytes_are_as_planned,
        claimed=lambda part: type(part).exchanges is not SumProtocol.exchanges,
    ),
    Law("the length of letters tells nothing of the updates", lengths_tell_nothing),
)


def _patterns(world: World) -> Iterator[Mapping[Party, int]]:
    """Yield who is gone from which exchange on: all ways, or single ones and a seeded sample."""
    n, end = len(world.members), world.full.exchanges
    every = (end + 1) ** n
    chosen: Iterator[tuple[int, ...]] = itertools.product(range(end + 1), repeat=n)
    if every > PATTERNS:
        draw = random.Random(0)
        single = [(*[end] * (n - 1), k) for k in range(end)]
        drawn = [tuple(draw.randint(0, end) for _ in range(n)) for _ in range(PATTERNS // 2)]
        late = [tuple(max(draw.choices(range(end + 1), k=4)) for _ in range(n)) for _ in drawn]
        chosen = iter([*single, *drawn, *late])
    for pattern in chosen:
        yield {who: k for who, k in zip(world.members, pattern, strict=True) if k < end}


def _more_and_more(world: World) -> Iterator[Mapping[Party, int]]:
    """Yield the first clients gone, one more each time, from each exchange on."""
    for k in range(world.full.exchanges):
        for many in range(1, len(world.members)):
            yield dict.fromkeys(world.members[:many], k)


def _losing(gone: Mapping[Party, int]) -> Change:
    def change(mail: Mail) -> bytes | None:
        return None if mail.exchange >= gone.get(mail.who, mail.exchange + 1) else mail.letter

    return change


def _letters_of_one(world: World) -> list[Mail]:
    """Return the letters to and of the last client: the others are to notice."""
    return [mail for mail in world.full.mails if mail.who == world.members[-1]]


def _lengths(played: Played) -> Mapping[tuple[int, str, Party], int]:
    return {(mail.exchange, mail.way, mail.who): len(mail.letter) for mail in played.mails}


def _said(mail: Mail) -> str:
    return f"the letter {mail.way} in exchange {mail.exchange}"


def _listed(gone: Mapping[Party, int]) -> str:
    said = [f"client {who} from exchange {k} on" for who, k in gone.items()]
    return ", ".join(said) or "nobody"

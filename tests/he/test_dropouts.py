"""Whoever vanishes wherever: the sum of the survivors, or a typed abort."""

from math import comb

import pytest
import torch

from he.every_pattern import EveryPattern
from he.kept_clients import EXACT_PUBLISHED, KEPT, LINES, PUBLISHED, Several
from privfl import Pipeline, ProtocolAbort
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS

STAGES = ("advertise", "keys", "upload", "decrypt")


def expected(n, publishes, lacking):
    """Count how patterns end, from the rules: -> released and aborted.

    At ``keys`` one client after the other is asked; where the result is published, so at
    ``decrypt``. Fewer than two at ``advertise`` or ``upload`` end the round.
    """
    released = aborted = 0
    for here in range(n + 1):
        ways = comb(n, here)
        if here < 2:
            aborted += ways
            continue
        handed = here if lacking else 1  # the first giver who is heard, of as many as are there
        aborted += ways if lacking else 0
        for left in range(here + 1):
            each = ways * handed * comb(here, left)
            if left < 2:
                aborted += each
            else:
                released += each * (left if publishes else 2**left)
                aborted += each if publishes else 0
    return released, aborted


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize(
    ("line", "lost"),
    [*[(line, "replies") for line in LINES], (KEPT, "letters"), (EXACT_PUBLISHED, "letters")],
    ids=str,
)
def test_every_pattern_of_a_first_round(line, lost, n):
    seen = EveryPattern(Several(line, n), lost)
    wanted = expected(n, line.protocol.publishes, lacking=True)
    assert (seen.released, seen.aborted) == wanted


def test_every_pattern_of_four_clients():
    seen = EveryPattern(Several(EXACT_PUBLISHED, 4), "replies")
    assert (seen.released, seen.aborted) == expected(4, publishes=True, lacking=True)


@pytest.mark.parametrize("line", [KEPT, EXACT_PUBLISHED], ids=str)
def test_every_pattern_of_a_round_whose_key_exists(line):
    clients = Several(line, 3)
    clients.round()
    seen = EveryPattern(clients, "replies")
    wanted = expected(3, line.protocol.publishes, lacking=False)
    assert (seen.released, seen.aborted) == wanted


def test_every_pattern_with_a_newcomer():
    clients = Several(PUBLISHED, 3)
    clients.round([0, 2])
    seen = EveryPattern(clients, "letters")
    assert seen.released > 0
    assert seen.aborted > 0


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("who", [0, 2])
def test_one_client_gone_for_good_from_a_stage_on(line, stage, who):
    """At ``keys`` only the first has a letter, and the next client makes the key."""
    clients = Several(line)
    release = clients.round(drop={who: stage})
    counted = (0, 1, 2) if stage == "decrypt" else tuple(w for w in range(3) if w != who)
    assert release.survivors == counted
    update = release.update if line.protocol.publishes else clients.release(1)["update"]
    clients.require_mean(update, counted)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_fewer_than_two_are_no_sum(line):
    for stage in STAGES[:3]:
        with pytest.raises(ProtocolAbort, match=r"1 clients? are left|1 clients are left"):
            Several(line).round(drop={0: stage, 1: stage})


def test_the_fewest_that_are_asked_for_must_be_left():
    for part in (CKKS(fewest=3), BFV(published=True, fewest=3)):
        clients = Several(Pipeline(Clip(100.0), part), 4)
        assert clients.round(drop={3: "upload"}).survivors == (0, 1, 2)
        with pytest.raises(ProtocolAbort, match="2 clients are left at upload, 3 are needed"):
            Several(clients.line, 4).round(drop={3: "upload", 0: "upload"})


def test_forty_clients_of_whom_many_vanish():
    clients = Several(EXACT_PUBLISHED, 40)
    gone = {who: STAGES[who % 4] for who in range(0, 40, 3)}
    release = clients.round(drop=gone)
    counted = tuple(who for who in range(40) if gone.get(who, "decrypt") == "decrypt")
    assert release.survivors == counted
    exact = torch.stack([clients.updates[who] for who in counted]).sum(dim=0)
    assert torch.equal(release.opened.sums[0].double(), exact)

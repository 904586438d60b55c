"""Where clients own coordinates, the server takes nothing else from them."""

import math

import pytest
import torch

from privfl import Pipeline
from privfl.core import Cohort, encode
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.parts import Plain
from privfl.rounds import Opening, drive, respond
from privfl.rounds import Round as ServerRound
from privfl.rounds._envelope import Envelope


def half_owned(n, d):
    """The second half of the coordinates belongs to the first client alone."""
    owners = torch.ones(n, d, dtype=torch.bool)
    owners[1:, d // 2 :] = False
    return owners


def test_local_noise_of_those_who_do_not_own_a_coordinate_stays_out():
    """Its variance there is that of one client's noise. False alarm: below 1e-6 (6 deviations)."""
    n, d, z = 16, 40_000, 0.5
    cohort = Cohort(tuple(range(n)), owners=half_owned(n, d))
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(z))
    update = shield.aggregate(torch.zeros(n, d), cohort=cohort).update.double()
    shared, single = update[: d // 2], update[d // 2 :]
    off = 6 * math.sqrt(2 / (d // 2))
    assert float(shared.square().mean()) == pytest.approx(z**2 / n, rel=off)
    assert float(single.square().mean()) == pytest.approx(z**2, rel=off)


def test_a_client_that_sends_what_it_does_not_own_is_not_counted_there():
    """It skips the client half, which would have cleared it."""
    n, d = 4, 8
    shield, owners = Pipeline(Plain()), half_owned(n, d)
    opening = Opening.fresh(shield, Cohort(tuple(range(n)), owners=owners), d)

    def deliver(letters):
        for who, letter in letters.items():
            value = 1.0 if who == 0 else 100.0
            reply, _ = respond(shield, who, letter, b"", lambda v=value: (torch.full((d,), v), {}))
            yield who, reply if who == 0 else forged(reply, d)

    release = drive(ServerRound.open(shield, opening), deliver)
    assert release.update[d // 2 :].tolist() == [1.0] * (d // 2)


def forged(reply, d):
    """Put 100 everywhere into an upload, in the envelope that it came in."""
    found = Envelope.read(reply)
    return Envelope(found.session, found.stage, encode(torch.full((d,), 100.0))).to_bytes()

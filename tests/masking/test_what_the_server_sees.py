"""What travels depends on data in one place only: the masked words, which look like noise."""

import secrets
from collections import Counter

import pytest
import torch
from scipy.stats import chi2

from masking.rounds_that_lose import EXACT
from privfl import Pipeline
from privfl.core import Scalar
from privfl.core._masking_letters import Masked
from privfl.crypto import Identity, Stream, unpack
from privfl.defenses.dp import AdaptiveClip, Clip
from privfl.defenses.masking import SecAgg
from privfl.parts import Grouped, Mean, Weigh
from privfl.rounds._envelope import Envelope

LOSS = Scalar("loss", 4.0)
LINES = [
    Pipeline(Weigh(50), Clip(1.0), SecAgg()),
    Pipeline(AdaptiveClip(0.3), SecAgg()),
    Pipeline(Weigh(50), Clip(1.0), Grouped(SecAgg(), size=3), Mean()),
]


@pytest.fixture
def same_keys(monkeypatch):
    """Draw the keys of both worlds alike, so that only data can make letters differ."""

    def start():
        stream = Stream.replay(5)
        monkeypatch.setattr(secrets, "token_bytes", lambda n=32: stream.bytes(n))
        drawn = lambda below: int.from_bytes(stream.bytes(48), "big") % below  # noqa: E731
        monkeypatch.setattr(secrets, "randbelow", drawn)
        monkeypatch.setattr(Identity, "new", lambda: Identity.of(stream.bytes(32)))

    return start


def world(shield, updates, counts, losses):
    return shield.aggregate(
        updates,
        n_examples=counts if shield.scalars else None,
        scalars={LOSS: losses},
        generator=1,
        nonce=bytes(16),
        transcript=True,
        drop={1: "mask", 4: "unmask"},
    ).transcript.posted


@pytest.mark.parametrize("shield", LINES, ids=str)
def test_two_worlds_differ_in_the_masked_words_only(shield, same_keys):
    generator = torch.Generator().manual_seed(0)
    worlds = []
    for scale, count, loss in ((1.0, 3.0, 0.1), (-7.0, 50.0, 3.9)):
        same_keys()
        updates = scale * torch.randn(7, 9, generator=generator)
        worlds.append(world(shield, updates, [count] * 7, [loss] * 7))
    assert len(worlds[0]) == len(worlds[1])
    for one, two in zip(*worlds, strict=True):
        assert (one.sender, one.receiver) == (two.sender, two.receiver)
        assert len(one.letter) == len(two.letter)
        differs = one.letter != two.letter
        is_masked = one.receiver == "server" and Envelope.read(one.letter).stage == "mask"
        assert differs == is_masked
        if is_masked:
            sent = [Masked.read(Envelope.read(x.letter).letter, 1 << 20) for x in (one, two)]
            assert sent[0].edges == sent[1].edges
            assert sent[0].signature == sent[1].signature


def words_of(transcript, bits, dim):
    """All masked words of a round: -> the list of every client's."""
    out = []
    for post in transcript.posted:
        envelope = Envelope.read(post.letter)
        if post.receiver == "server" and envelope.stage == "mask":
            packed = Masked.read(envelope.letter, 1 << 20).words
            out += unpack(packed, bits, dim, "uint32").tolist()
    return out


def test_masked_words_are_uniform_in_the_ring():
    """Chi-square over 64 equal cells; a false alarm once in a million runs."""
    shield = Pipeline(*EXACT, SecAgg())
    plan = shield.plan(n_clients=5, dim=4000)
    release = shield.aggregate(torch.ones(5, 4000), transcript=True)
    words = words_of(release.transcript, plan.ring_bits, 4000)
    counts = Counter(word >> (plan.ring_bits - 6) for word in words)
    expected = len(words) / 64
    statistic = sum((counts[cell] - expected) ** 2 / expected for cell in range(64))
    assert statistic < chi2.isf(1e-6, 63)
    assert max(words) < 2**plan.ring_bits


def test_no_secret_is_written_in_a_state_that_is_shown():
    release = Pipeline(Clip(1.0), SecAgg()).aggregate(torch.ones(4, 3), transcript=True)
    assert "secrets" not in repr(release.transcript)
    assert "letter" not in repr(release.transcript.posted[0])

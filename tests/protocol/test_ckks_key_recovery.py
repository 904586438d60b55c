"""A result that was handed out bare gives the key away; one under the planned noise does not."""

from collections.abc import Mapping

import numpy as np
import pytest
import tenseal
import torch

from privfl import Pipeline
from privfl.attacks.protocol import CKKSKeyRecovery
from privfl.attacks.protocol._ckks_key_recovery import _phase
from privfl.compression import Quantize
from privfl.core import SERVER, Vantage, decode
from privfl.core._encrypted_letters import Encrypt, Opened
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.he import BFV, CKKS
from privfl.defenses.he._key import Key
from privfl.lattice import Ring, RunningSum, coefficients, encode
from privfl.lattice import decode as slots_of
from privfl.lattice._files import body_of
from privfl.parts import Plain, Weigh
from privfl.rounds import Round, Setting
from privfl.rounds._envelope import Envelope
from privfl.views import NotApplicable, Posted, Tape, View
from protocol.weak_encryption import Bare, Flooded, FreshNoise
from rounds_for_tests import Clients, opened, through_bytes

attack = CKKSKeyRecovery()
N, DEMO = 10, 28_938  # clients and coordinates of the demo
D = 3 * 2048  # three ciphertexts


def unit(n=N, d=D):
    """Updates within the clip norm 1, of 0.9 each."""
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 0.9 * rows / rows.norm(dim=1, keepdim=True)


def rounds(line, updates, count=1, **options):
    """What the server sees in some rounds, one after the other."""
    state, views = None, []
    for _ in range(count):
        release = line.aggregate(updates, state=state, transcript=True, **options)
        state = release.state
        views.append(release.transcript.view(Vantage.SERVER))
    return views


def letters(view, kind, stage):
    """The letters of one kind in a view."""
    for post in view.letters:
        envelope = Envelope.read(post.letter)
        found = decode(envelope.letter) if envelope.stage == stage else None
        if isinstance(found, tuple) and found[0] == kind.kind():
            yield kind.read(envelope.letter, len(envelope.letter))


def planned(line, n=N, d=D):
    """The ring of a round of this line."""
    clients = Clients(line, torch.zeros(n, d))
    plan = Setting(line, opened(line, clients)).plans[line.protocol_at]
    return line.protocol.parameters(plan)


def farthest(found, updates):
    """By how much the vectors that were read are off."""
    assert set(found) == set(range(len(updates)))
    return max(float((found[who] - update).abs().max()) for who, update in enumerate(updates))


# what the attack can do


def test_one_bare_result_gives_the_whole_key_and_every_update():
    """In the ring that the demo's sums have: the noise alone is missing."""
    line, updates = Pipeline(Clip(1.0), Bare(published=3)), unit(d=DEMO)
    assert planned(line, d=DEMO) == planned(Pipeline(Clip(1.0), CKKS()), d=DEMO)
    found = attack(line, *rounds(line, updates))
    assert found.key.shape == (2048,)
    assert found.key.unique().tolist() == [-1, 0, 1]
    assert farthest(found.updates[0], updates) < 1e-6


def test_the_key_is_the_one_that_the_clients_hold():
    """Under the true key, (0, 1) decrypts to the key itself.

    SEAL's j-th slot is the value at exp(i pi 3^j / degree).
    """
    line = Pipeline(Clip(1.0), Bare(published=3))
    clients = Clients(line, unit())
    found = attack(line, seen_of(line, clients))
    ring = planned(line).ring
    one = np.stack([np.zeros(ring.degree), np.ones(ring.degree)]).astype(np.uint64)
    true = Key.of(key_in(clients.memory(0))).secret(ring).decrypt_slots(one[None])[0]
    power = [pow(3, j, 2 * ring.degree) for j in range(ring.degree // 2)]
    roots = np.exp(1j * np.pi / ring.degree * np.outer(power, np.arange(ring.degree)))
    assert np.abs(roots @ found.key.numpy() - true).max() < 1e-6


def key_in(state):
    """The key, wherever it is in what a client keeps."""
    if not isinstance(state, Mapping):
        return None
    inside = (key_in(value) for value in state.values())
    return state if "seed" in state else next((key for key in inside if key), None)


def test_the_key_opens_what_was_sent_in_other_rounds():
    line, updates = Pipeline(Clip(1.0), Bare(published=3)), unit()
    views = rounds(line, updates, count=3)
    assert len(keys_of(views)) == 1
    found = attack(line, *views)
    assert [farthest(each, updates) < 1e-6 for each in found.updates] == [True] * 3


def keys_of(views):
    return {letter.key for view in views for letter in letters(view, Encrypt, "upload")}


def test_it_opens_nothing_that_is_under_another_key():
    line, updates = Pipeline(Clip(1.0), Bare(published=3)), unit()
    views = [*rounds(line, updates), *rounds(line, updates)]
    assert len(keys_of(views)) == 2
    found = attack(line, *views)
    assert farthest(found.updates[0], updates) < 1e-6
    assert found.updates[1] == {}


@pytest.mark.parametrize(
    ("before", "options"),
    [
        ((Weigh(50), Clip(1.0)), {"n_examples": [5.0] * N}),
        ((Clip(1.0), LocalGaussianNoise(2.0)), {}),
    ],
    ids=str,
)
def test_what_it_reads_adds_up_to_the_sum(before, options):
    """Whatever stands in front: weights, and noise that is many times longer than an update."""
    line = Pipeline(*before, Bare(published=3))
    (view,) = rounds(line, unit(d=DEMO), **options)
    (read,) = attack(line, view).updates
    assert len(read) == N
    torch.testing.assert_close(sum(read.values()), view.rows.sums[0], atol=1e-4, rtol=0)


def test_a_ciphertext_with_a_word_that_has_no_inverse_is_passed_over(monkeypatch):
    line, updates = Pipeline(Clip(1.0), Bare(published=3)), unit()
    (view,) = rounds(line, updates)
    whole = RunningSum.words

    def with_a_zero(self):
        words = whole(self)
        words[0, 1, 7] = 0
        return words

    monkeypatch.setattr(RunningSum, "words", with_a_zero)
    assert farthest(attack(line, view).updates[0], updates) < 1e-6


def test_two_results_of_tenseal_give_the_key_that_its_users_share(capfd):
    """At a set of parameters that federations run with: degree 8,192, primes of 60, 40 and 40 bits.

    TenSEAL shows real parts of slots only: the values of a(x) + a(1 / x) for a polynomial a. At
    the root of word j, 1 / x is the root of word degree - 1 - j. So each result gives one equation
    for two words of the key, and two results give both.
    """
    generator = np.random.default_rng(0)
    sealed = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        8192,
        coeff_mod_bit_sizes=[60, 40, 40],
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
    )
    sealed.global_scale = scale = 2.0**40
    ring = Ring("CKKS", 8192, 60)  # of the first prime, which is enough
    updates = generator.normal(0, 0.01, (2, N, 4096))
    sent = [[tenseal.ckks_vector(sealed, each.tolist()) for each in rows] for rows in updates]
    results = [sum(vectors[1:], vectors[0]) for vectors in sent]
    equations = []
    for result in results:
        known = encode(ring, 2 * scale * np.array(result.decrypt()).astype(complex)).astype(object)
        c0, c1 = first_prime_of(result, ring).astype(object)
        equations.append((known - c0 - c0[::-1], c1, c1[::-1]))
    (r, a, b), (s, c, d) = equations
    inverse = np.array([pow(int(each), -1, ring.modulus) for each in a * d - b * c], object)
    key = ((r * d - s * b) * inverse % ring.modulus).astype(np.uint64)
    assert np.unique(coefficients(ring, key)).tolist() == [-1, 0, 1]
    for vector, update in zip(sent[1], updates[1], strict=True):
        read = slots_of(ring, _phase(ring, *first_prime_of(vector, ring), key)).real / scale
        assert np.abs(read - update).max() < 1e-6
    assert capfd.readouterr() == ("", "")


def first_prime_of(vector, ring):
    """Both polynomials of a ciphertext of TenSEAL modulo its first prime."""
    (ciphertext,) = vector.ciphertext()
    words = np.frombuffer(body_of(ciphertext)[-8 * 4 * ring.degree :], "<u8")
    return words.reshape(2, 2, ring.degree)[:, 0]


# what stops it


@pytest.mark.parametrize("count", [1, 3])
def test_results_under_the_planned_noise_give_nothing(count):
    """Of one round, and of as many as one key serves, with the same updates each time.

    The noise that a result really bears is no smaller than rule R9 asks, sqrt(12 tau) 2^(s/2) times
    the length of the error polynomial, for three rounds of three ciphertexts and s = 30. A
    coordinate has sqrt(degree / 2) times a coefficient's deviation, measured to within 1 %.
    """
    line, updates = Pipeline(Clip(1.0), CKKS(published=3)), unit()
    views = rounds(line, updates, count)
    assert len(keys_of(views)) == 1
    ring = planned(line)
    length = (N * 10.5 * ring.degree) ** 0.5
    asked = (12 * 3 * ring.ciphertexts) ** 0.5 * 2**15 * length
    for view in views:
        noise = (view.rows.sums[0] - updates.sum(dim=0)) * ring.scale / (ring.degree / 2) ** 0.5
        assert 0.95 * asked < float(noise.std())
    found = attack(line, *views)
    assert found.key is None
    assert found.updates == ({},) * count


@pytest.mark.parametrize(
    ("deviation", "reads"), [(0.0, True), (0.08, True), (1.0, False), (3.2, False), (1e3, False)]
)
def test_it_ends_where_noise_moves_a_coefficient_by_half_a_unit(deviation, reads):
    """In the ring that is planned for noise of a deviation of 10^8.

    At 0.08 half a unit is 6.25 deviations: one of three ciphertexts at least stays as it was, but
    with a chance below 1e-17. At 0.14 a ciphertext does so half of the time; from 1.0 on, with a
    chance of nothing: 2,048 coefficients would have to.
    """
    line, updates = Pipeline(Clip(1.0), Flooded(published=3, deviation=deviation)), unit()
    found = attack(line, *rounds(line, updates))
    assert (found.key is not None) is reads
    if reads:
        assert farthest(found.updates[0], updates) < 1e-6
    assert planned(Pipeline(Clip(1.0), CKKS(published=3))).flood_std > 1e8


def seen_of(line, clients, by_all=False):
    """What the server sees of a round, in which every client is asked for the result, or one."""
    tape, opening = Tape(), opened(line, clients)
    through_bytes(
        Round.open(line, opening, registry=clients.registry), tape.recording(clients.wire())
    )
    (asked,) = (
        post
        for post in tape.posted
        if post.sender == SERVER and Envelope.read(post.letter).stage == "decrypt"
    )
    for who in clients.names if by_all else ():
        if who != asked.receiver:
            reply = clients.answer(who, asked.letter)
            tape.posted += [Posted(SERVER, who, asked.letter), Posted(who, SERVER, reply)]
    return View(Vantage.SERVER, tuple(tape.posted))


@pytest.mark.parametrize(
    ("kind", "reads"), [(FreshNoise, True), (Flooded, False)], ids=["fresh", "the same"]
)
def test_asking_everybody_wears_off_only_noise_that_is_drawn_anew(kind, reads):
    """With the noise of one result, of deviation 0.3, no ciphertext is whole.

    It moves a coefficient up, or down, with a chance of 0.048. The mean of 16 is half a unit off
    when eight are: in one of 2,048 coefficients with a chance of 0.0014, in three ciphertexts of
    3e-9.
    """
    line = Pipeline(Clip(1.0), kind(published=3, deviation=0.3))
    clients = Clients(line, unit(16))
    assert attack(line, seen_of(line, clients)).key is None
    clients = Clients(line, unit(16))
    assert (attack(line, seen_of(line, clients, by_all=True)).key is not None) is reads


def test_everybody_opens_one_ciphertext_to_the_same_bytes():
    line = Pipeline(Clip(1.0), CKKS(published=3))
    view = seen_of(line, Clients(line, unit()), by_all=True)
    results = [each.result for each in letters(view, Opened, "decrypt")]
    assert len(results) == N
    assert len(set(results)) == 1
    assert attack(line, view).key is None


@pytest.mark.parametrize(
    ("parts", "d", "reason"),
    [
        ((CKKS(),), D, "handed no result"),
        ((Bare(published=3),), 100, "none that fills a ciphertext"),
        ((Quantize(16), BFV()), D, "is exact"),
        ((Plain(),), D, "must be CKKS itself"),
    ],
    ids=str,
)
def test_where_there_is_no_equation_it_says_so(parts, d, reason):
    line = Pipeline(Clip(1.0), *parts)
    with pytest.raises(NotApplicable, match=reason):
        attack(line, *rounds(line, unit(d=d)))

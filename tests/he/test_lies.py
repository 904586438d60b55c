"""Each lie of a server ends in a typed abort, or is one that the docstrings say is not stopped."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from he.kept_clients import (
    EXACT,
    EXACT_PUBLISHED,
    KEPT,
    LINES,
    PUBLISHED,
    Several,
    from_client,
    numbers_of,
    to_client,
)
from privfl import ProtocolAbort
from privfl.core import SERVER, decode
from privfl.core._encrypted_letters import (
    NO_KEY,
    Decrypt,
    Encrypt,
    Encrypted,
    Handed,
    HandOut,
    Opened,
)
from privfl.core._subset import to_bits
from privfl.crypto import Identity, Stream, public_key
from privfl.defenses.he._key import KEY_BOX_BYTES, Card, Handover, Key
from privfl.defenses.he._numbers import PROOF_BYTES, digest_of, digests_of
from privfl.lattice import RunningSum
from privfl.rounds import Round, Setting
from privfl.rounds._envelope import Envelope

SEED = bytes(range(32))


class Server:
    """Walk a round by hand: each step is honest unless a letter is given."""

    def __init__(self, clients, **options):
        self.clients = clients
        self.round = clients.open(**options)
        self.numbers = numbers_of(clients.line, self.round.setting.opening)
        self.replies = {}

    def go(self, to):
        """Go on honestly until the letters of a stage are ready."""
        while self.round.stage != to:
            self.replies = {w: self.clients.answer(w, x) for w, x in self.round.letters.items()}
            self.round = self.round.collect(self.replies.items())
        return self

    def letter(self, who, kind):
        return kind.read(Envelope.read(self.round.letters[who]).letter, 1 << 24)

    def say(self, who, letter, stage=None):
        """Send one letter, and return what the client answers."""
        session, stage = self.round.setting.session, stage or self.round.stage
        reply = self.clients.answer(who, Envelope(session, stage, letter.to_bytes()).to_bytes())
        return Envelope.read(reply).letter

    def refused(self, who, letter, words):
        before = self.clients.kept.get(who)
        with pytest.raises(ProtocolAbort, match=words):
            self.say(who, letter)
        assert self.clients.kept.get(who) == before

    def sent(self, who):
        return Encrypted.read(Envelope.read(self.replies[who]).letter, 1 << 24)

    def words_of(self, who):
        """The ciphertexts of one client, both polynomials: (ciphertexts, 2, degree) words."""
        total, found = RunningSum(self.numbers.ring), self.sent(who)
        total.add(self.numbers.unpack_fresh(found.words, found.seeds), found.seeds)
        return total.words()

    def alone(self, letter, who):
        """Put one client's ciphertexts in the place of the sum, as far as the letter has one."""
        words = self.words_of(who)
        published = self.clients.line.protocol.publishes
        return with_words(letter, self.numbers.pack(words[:, 0] if published else words))


def with_words(letter, words):
    """Other words, and their hash."""
    return replace(letter, words=words, digest=digest_of(words))


def bits(server, *who):
    return to_bits(who, server.numbers.members)


# a key of its own


def forged(server, giver, taker, identity=None):
    """An `Encrypt` that hands the server's own key out under the name of ``giver``."""
    key, seed = Key(SEED, 0), bytes(range(1, 33))
    occasion = server.numbers.occasion
    mine = Card(public_key(seed), key.id)
    mine = (
        mine.signed(giver, occasion, identity) if identity else replace(mine, signature=bytes(64))
    )
    theirs = Card.from_bytes(Envelope.read(server.replies[taker]).letter)
    box = Handover(occasion, key.id, giver, taker).seal(seed, theirs, key)
    return Encrypt(key.id, bits(server, giver), mine.to_bytes(), box)


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize("stranger", [None, Identity.new()], ids=["unsigned", "stranger's"])
def test_a_key_of_the_server_s_own_is_not_taken(line, stranger):
    server = Server(Several(line)).go("keys")
    letter = forged(server, 0, 2, stranger)
    server.round = server.round.collect(
        [(w, server.clients.answer(w, x)) for w, x in server.round.letters.items()]
    )
    server.refused(2, letter, "Client 0 did not sign its card for this sum")


def test_a_key_from_a_corrupt_member_is_taken_as_any_member_s():
    """The server with one client reads everything, and is not stopped: the docstrings say so."""
    server = Server(Several(KEPT)).go("keys")
    letter = forged(server, 0, 2, server.clients.keys[0])
    server.round = server.round.collect(
        [(w, server.clients.answer(w, x)) for w, x in server.round.letters.items()]
    )
    found = Encrypted.read(server.say(2, letter), 1 << 24)
    server.replies = {2: Envelope(b"", "upload", found.to_bytes()).to_bytes()}
    assert torch.allclose(read(server, 2, Key(SEED, 0)), server.clients.updates[2], atol=1e-4)


def read(server, who, key):
    """What the holder of a key reads of one client."""
    words = server.words_of(who)
    line = server.clients.line
    plan = Setting(line, server.round.setting.opening).plans[line.protocol_at]
    found = server.numbers.parameters
    secret = key.secret(server.numbers.ring)
    return line.protocol.opened(secret, words, found, plan, Stream.replay(0))


@pytest.mark.parametrize("line", LINES, ids=str)
def test_the_server_with_any_one_client_reads_every_update_and_without_it_none(line):
    server = Server(Several(line)).go("decrypt")
    scale = 1024 if line in (EXACT, EXACT_PUBLISHED) else 1
    for who in range(3):
        mine = server.clients.updates[who]
        corrupt = server.clients.key((who + 1) % 3)
        seen = read(server, who, corrupt).double() / scale
        assert torch.allclose(seen, mine, atol=line.plan(n_clients=3, dim=5).error * 3 + 1e-9)
        with pytest.raises(ProtocolAbort, match="does not decrypt"):
            read(server, who, Key(SEED, 0))


@pytest.mark.parametrize("line", LINES, ids=str)
def test_no_wrong_key_opens_a_small_sum(line):
    """Five numbers of a wrong key are within the bound of a sum now and then, all slots never."""
    server = Server(Several(line)).go("decrypt")
    for k in range(40):
        with pytest.raises(ProtocolAbort, match="does not decrypt"):
            read(server, 1, Key(bytes([k]) * 32, 0))


def test_a_swapped_card_gets_no_box():
    for make in (
        lambda server, card: replace(card, box_key=public_key(SEED)),
        lambda server, card: replace(card, key=b"k" * 16),
        lambda server, card: Card(public_key(SEED)).signed(
            2, server.numbers.occasion, Identity.new()
        ),
        lambda server, card: Card(public_key(SEED)).signed(
            1, server.numbers.occasion, server.clients.keys[1]
        ),
    ):
        server = Server(Several(KEPT)).go("keys")
        letter = server.letter(0, HandOut)
        cards = [letter.cards[: Card.SIZE], letter.cards[Card.SIZE :]]
        swapped = make(server, Card.from_bytes(cards[1])).to_bytes()
        server.refused(
            0, replace(letter, cards=cards[0] + swapped), "Client 2 did not sign its card"
        )


def test_a_card_of_another_session_gets_no_box():
    clients = Several(KEPT)
    first = Server(clients).go("keys")
    old = first.letter(0, HandOut)
    second = Server(clients).go("keys")
    second.refused(0, old, "Client 1 did not sign its card for this sum")
    second.say(0, second.letter(0, HandOut))


def test_a_card_whose_key_is_of_low_order_gets_no_box():
    """A point of small order would make the box's key a public one."""
    server = Server(Several(KEPT)).go("keys")
    letter = server.letter(0, HandOut)
    weak = Card(bytes(32)).signed(2, server.numbers.occasion, server.clients.keys[2])
    cards = letter.cards[: Card.SIZE] + weak.to_bytes()
    server.refused(0, replace(letter, cards=cards), "Client 2 has no key to box for")


def test_only_who_holds_a_key_hands_it_out_and_only_once():
    clients = Several(KEPT)
    clients.round([0, 1])
    server = Server(clients).go("keys")
    letter = server.letter(0, HandOut)
    server.refused(2, letter, "a key that this client does not hold")
    server.refused(0, replace(letter, key=b"k" * 16), "a key that this client does not hold")
    server.say(0, letter)
    server.refused(0, letter, "A letter that is none to encrypt")
    server.refused(0, replace(letter, key=NO_KEY), "none to encrypt")


def test_another_client_s_box_or_an_old_one_does_not_open():
    clients = Several(KEPT)
    first = Server(clients).go("upload")
    mine, other = first.letter(2, Encrypt), first.letter(1, Encrypt)
    first.refused(2, replace(mine, box=other.box), "The box with the key does not open")
    first.refused(2, replace(mine, box=bytes(KEY_BOX_BYTES)), "The box with the key does not open")
    first.refused(2, replace(mine, box=mine.box[:-1]), "bytes in a letter")
    first.refused(2, replace(mine, key=b"k" * 16), "The box with the key does not open")
    first.refused(2, replace(mine, holder=b"\x02"), "Client 1 did not sign its card")
    for holder in (b"\x00", b"\x03", b"\x07"):
        first.refused(2, replace(mine, holder=holder), "a key that this client was not given")
    clients.kept = dict.fromkeys(range(3), b"")
    second = Server(clients).go("upload")
    second.refused(2, mine, "Client 0 did not sign its card for this sum")
    card = second.letter(2, Encrypt).card
    second.refused(2, replace(mine, card=card), "The box with the key does not open")


def test_a_key_that_nobody_gave_is_not_used():
    clients = Several(KEPT)
    clients.round()
    server = Server(clients).go("upload")
    server.refused(1, Encrypt(b"k" * 16), "members in 0 bytes|was not given")


# another sum than the one that was promised


@pytest.mark.parametrize("line", LINES, ids=str)
def test_one_client_s_ciphertext_is_not_opened_as_a_sum_of_one(line):
    server = Server(Several(line)).go("decrypt")
    whole = server.letter(0, Decrypt)
    mine = whole.proofs[:PROOF_BYTES]
    one = server.alone(replace(whole, survivors=bits(server, 0), proofs=mine), 1)
    server.refused(0, one, "1 clients are left at upload, 2 are needed")
    bare = replace(one, survivors=bits(server, 0, 1, 2), proofs=b"")
    server.refused(0, bare, "0 bytes in a letter, 3 times 128 are needed")
    made_up = replace(bare, proofs=mine + bytes(2 * PROOF_BYTES))
    server.refused(0, made_up, "Client 1 did not sign what is said to be its vector")
    twice = replace(bare, proofs=3 * mine)
    server.refused(0, twice, "Client 1 did not sign what is said to be its vector")
    without = replace(bare, survivors=bits(server, 1, 2), proofs=whole.proofs[PROOF_BYTES:])
    server.refused(0, without, "The server says that I am gone, or sent something else")
    server.say(0, whole)


def test_fewer_than_the_fewest_are_not_opened_even_with_their_proofs():
    clients = Several(type(KEPT)(KEPT.parts[0], replace(KEPT.protocol, fewest=3)), 4)
    server = Server(clients).go("decrypt")
    whole = server.letter(0, Decrypt)
    two = replace(whole, survivors=bits(server, 0, 1), proofs=whole.proofs[: 2 * PROOF_BYTES])
    server.refused(0, two, "2 clients are left at upload, 3 are needed")


@pytest.mark.parametrize("line", [PUBLISHED, EXACT], ids=str)
def test_proofs_of_another_session_are_none(line):
    clients = Several(line)
    old = Server(clients).go("decrypt").letter(0, Decrypt)
    server = Server(clients).go("decrypt")
    new = server.letter(0, Decrypt)
    server.refused(0, old, "The server says that I am gone, or sent something else")
    mixed = new.proofs[:PROOF_BYTES] + old.proofs[PROOF_BYTES:]
    server.refused(0, replace(new, proofs=mixed), "Client 1 did not sign")
    server.say(0, new)


def test_proofs_under_another_key_are_none():
    """Two halves of a cohort under two keys are no sum."""
    server = Server(Several(KEPT)).go("keys")
    letter = forged(server, 0, 2, server.clients.keys[0])
    server.go("upload")
    replies = {w: server.clients.answer(w, server.round.letters[w]) for w in (0, 1)}
    found = server.say(2, letter)
    replies[2] = replace(Envelope.read(replies[0]), letter=found).to_bytes()
    proofs = b""
    for who in range(3):
        sent = Encrypted.read(Envelope.read(replies[who]).letter, 1 << 24)
        proofs += digests_of(sent.words, sent.seeds) + sent.signature
    server.replies, server.round = replies, server.round.collect(replies.items())
    assert server.round.rejected[2] == "ciphertexts that it did not sign for this sum and key"
    whole = server.letter(0, Decrypt)
    all_three = replace(whole, survivors=bits(server, 0, 1, 2), proofs=proofs)
    server.refused(0, all_three, "Client 2 did not sign what is said to be its vector")


@pytest.mark.parametrize("line", LINES, ids=str)
def test_garbled_words_are_not_opened(line):
    server = Server(Several(line)).go("decrypt")
    whole = server.letter(0, Decrypt)
    words = bytes([whole.words[0] ^ 1]) + whole.words[1:]
    server.refused(0, replace(whole, words=words), "The encrypted sum was garbled on its way")
    server.refused(0, replace(whole, digest=bytes(32)), "was garbled on its way")
    server.refused(0, replace(whole, digest=b""), "was garbled on its way")
    server.refused(0, with_words(whole, whole.words[:-1]), "another length")
    server.refused(0, with_words(whole, whole.words + b"\x00"), "another length|allowed are")
    server.refused(0, with_words(whole, b"\xff" * len(whole.words)), "outside the modulus")
    zero = bytes(len(whole.words))
    wrong = "does not decrypt" if line.protocol.publishes else "hides nothing"
    server.refused(0, with_words(whole, zero), wrong)
    half = with_words(whole, whole.words[: len(zero) // 2] + zero[len(zero) // 2 :])
    server.refused(0, half, wrong)
    server.say(0, whole)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_nothing_is_answered_twice(line):
    server = Server(Several(line)).go("upload")
    letters = {who: server.letter(who, Encrypt) for who in range(3)}
    server.go("decrypt")
    server.refused(0, letters[0], "A letter that is none to decrypt")
    whole = server.letter(0, Decrypt)
    server.say(0, whole)
    server.refused(0, whole, "A letter after the last one of a sum")
    server.refused(0, letters[0], "A letter after the last one of a sum")


# what is not stopped, and says so


SCALES = [(PUBLISHED, 1, 1e-2), (EXACT_PUBLISHED, 1024, 1e-9)]


@pytest.mark.parametrize(("line", "scale", "close"), SCALES, ids=str)
def test_of_two_published_sums_that_differ_in_one_client_its_update_is_told(line, scale, close):
    """The server is trusted to ask for one sum a round, as the notes say."""
    server = Server(Several(line)).go("decrypt")
    whole = server.letter(0, Decrypt)
    words = server.words_of(1) + server.words_of(2)
    packed = server.numbers.pack(words[:, 0] % np.uint64(server.numbers.ring.modulus))
    size = len(whole.seeds) // 3
    proofs, seeds = whole.proofs[PROOF_BYTES:], whole.seeds[size:]
    fewer = replace(whole, survivors=bits(server, 1, 2), proofs=proofs, seeds=seeds)
    opened = [
        line.protocol.from_bytes(Opened.read(reply, 1 << 24).result, server.numbers.parameters)
        for reply in (server.say(0, whole), server.say(1, with_words(fewer, packed)))
    ]
    gap = (opened[0].double() - opened[1].double()) / scale
    assert torch.allclose(gap, server.clients.updates[0], atol=close)
    said = " ".join(str(line.explain(n_clients=3, dim=5)).split())
    assert "trusted to ask for one sum a round" in said


@pytest.mark.parametrize("line", [PUBLISHED, EXACT_PUBLISHED], ids=str)
def test_a_published_sum_is_of_the_seeds_that_were_signed(line):
    """Who chose the second polynomial could have a multiple of the key opened."""
    server = Server(Several(line)).go("decrypt")
    whole = server.letter(0, Decrypt)
    size = len(whole.seeds) // 3
    parts = [whole.seeds[k * size : (k + 1) * size] for k in range(3)]
    for seeds in (
        bytes(len(whole.seeds)),
        parts[1] + parts[0] + parts[2],
        3 * parts[0],
        whole.seeds[:-1] + bytes([whole.seeds[-1] ^ 1]),
    ):
        server.refused(0, replace(whole, seeds=seeds), "Seeds that nobody signed")
    for seeds in (b"", whole.seeds[:-1], whole.seeds + bytes(64), parts[0]):
        server.refused(0, replace(whole, seeds=seeds), "bytes in a letter|allowed are")
    server.say(0, whole)


@pytest.mark.parametrize("line", [PUBLISHED, EXACT_PUBLISHED], ids=str)
def test_whatever_words_stand_before_the_signed_seeds_neither_the_key_nor_one_client_is_opened(
    line,
):
    """Of the key times the sum of all second polynomials no less than the first ones take away."""
    server = Server(Several(line)).go("decrypt")
    whole = server.letter(0, Decrypt)
    modulus = server.numbers.ring.modulus
    draw = np.random.default_rng(0)
    shape = server.words_of(1)[:, 0].shape
    lies = [
        np.zeros(shape, np.uint64),
        np.full(shape, 1 << 34 if modulus > 1 << 35 else 1 << 20, np.uint64),
        draw.integers(0, modulus, shape, dtype=np.uint64),
        server.words_of(1)[:, 0],
        (server.words_of(1) + server.words_of(0))[:, 0] % np.uint64(modulus),
    ]
    for words in lies:
        lie = with_words(whole, server.numbers.pack(words))
        server.refused(0, lie, "does not decrypt")
    server.say(0, whole)


def test_a_sum_that_is_kept_is_never_answered():
    """One client's ciphertext is opened, and the reply holds nothing of it."""
    for line in (KEPT, EXACT):
        server = Server(Several(line)).go("decrypt")
        lie = server.alone(server.letter(0, Decrypt), 1)
        assert server.say(0, lie) == Opened().to_bytes()


def test_the_same_ciphertexts_get_the_same_noise_from_whomever_and_others_another():
    """Else many answers to one question average the noise out."""
    server = Server(Several(PUBLISHED)).go("decrypt")
    whole = server.letter(0, Decrypt)
    first, second = (Opened.read(server.say(who, whole), 1 << 24).result for who in (0, 1))
    assert first == second
    again = Server(Several(PUBLISHED)).go("decrypt")
    other = Opened.read(again.say(0, again.letter(0, Decrypt)), 1 << 24).result
    assert other != first


def test_two_sums_under_one_key_have_noise_of_their_own():
    """Between two that share it, the noise would cancel: what is left is a tenth of it at most."""
    clients = Several(PUBLISHED)
    opened = [clients.round().opened.sums[0] for _ in range(2)]
    assert len(clients.keys_of(range(3))) == 1
    deviation = PUBLISHED.plan(n_clients=3, dim=5).error * 3 / 9
    assert float((opened[0] - opened[1]).abs().max()) > deviation / 100


def test_a_server_without_a_registry_leaves_forgeries_to_the_clients():
    clients = Several(KEPT)
    round_ = Round.open(KEPT, clients.open().setting.opening)
    replies = [(w, clients.answer(w, x)) for w, x in round_.letters.items()]
    card = Card.from_bytes(Envelope.read(replies[2][1]).letter)
    bad = replace(card, signature=bytes(64)).to_bytes()
    replies[2] = (2, replace(Envelope.read(replies[2][1]), letter=bad).to_bytes())
    round_ = round_.collect(replies)
    with pytest.raises(ProtocolAbort, match="Client 2 did not sign its card"):
        clients.answer(0, round_.letters[0])


# lies of a client, or of the way between


def require_rejected(release, who, words, left):
    assert words in release.rejected[who]
    assert release.survivors == left


@pytest.mark.parametrize("line", LINES, ids=str)
def test_a_forged_card_is_rejected_by_name(line):
    clients = Several(line)

    def forge(sender, receiver, letter):
        if sender == 1 and len(letter) == Card.SIZE:
            return letter[:-1] + bytes([letter[-1] ^ 1])
        return letter

    release = clients.round(change=forge)
    require_rejected(release, 1, "a card that it did not sign for this sum", (0, 2))


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda x: replace(x, words=bytes([x.words[0] ^ 1]) + x.words[1:]),
        lambda x: replace(x, seeds=bytes([x.seeds[0] ^ 1]) + x.seeds[1:]),
        lambda x: replace(x, signature=bytes(64)),
        lambda x: replace(x, signature=b""),
        lambda x: replace(x, words=x.words + x.seeds[:8], seeds=x.seeds[8:]),
    ],
)
def test_ciphertexts_changed_on_their_way_are_rejected_by_name_and_not_summed(line, make):
    clients = Several(line)
    release = clients.round(change=from_client(1, Encrypted, make))
    assert "did not sign for this sum and key" in release.rejected[1]
    assert release.survivors == (0, 2)
    update = release.update if line.protocol.publishes else clients.release(0)["update"]
    clients.require_mean(update, (0, 2))


@pytest.mark.parametrize("line", LINES, ids=str)
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: (x.words[:-1], x.seeds), "another length, or outside"),
        (lambda x: (x.words, x.seeds[:-1]), "bytes in a letter"),
        (lambda x: (x.words, x.seeds + bytes(64)), "bytes in a letter"),
        (lambda x: (b"\xff" * len(x.words), x.seeds), "another length, or outside"),
        (lambda x: (b"", b""), "bytes in a letter"),
    ],
)
def test_a_client_that_signs_what_is_no_ciphertext_is_rejected_by_name(line, make, words):
    clients = Several(line)

    def signed(x):
        new, seeds = make(x)
        numbers, key = clients.sum_of(1), clients.key(1)
        text = numbers.sent_text(1, key.id, digests_of(new, seeds))
        return Encrypted(new, seeds, clients.keys[1].sign(text))

    release = clients.round(change=from_client(1, Encrypted, signed))
    require_rejected(release, 1, words, (0, 2))
    update = release.update if line.protocol.publishes else clients.release(0)["update"]
    clients.require_mean(update, (0, 2))


@pytest.mark.parametrize("line", [PUBLISHED, EXACT_PUBLISHED], ids=str)
def test_a_result_that_was_changed_is_rejected_and_the_next_client_is_asked(line):
    for make in (
        lambda x: replace(x, result=bytes([x.result[0] ^ 1]) + x.result[1:]),
        lambda x: replace(x, signature=bytes(64)),
        lambda x: Opened(),
        lambda x: replace(x, result=x.result + bytes(8)),
    ):
        clients = Several(line)
        release = clients.round(change=from_client(0, Opened, make))
        require_rejected(release, 0, "did not sign", (0, 1, 2))
        clients.require_mean(release.update, range(3))


def test_boxes_of_a_lying_giver_end_the_round_by_name():
    clients = Several(KEPT)
    garbled = from_client(0, Handed, lambda x: replace(x, boxes=bytes(len(x.boxes))))
    with pytest.raises(ProtocolAbort, match="1 clients are left at upload"):
        clients.round(change=garbled)
    assert set(clients.aborts) == {1, 2}
    assert all("does not open" in why for why in clients.aborts.values())


def test_boxes_with_another_key_than_they_say_are_refused():
    clients = Several(KEPT)
    named = from_client(0, Handed, lambda x: replace(x, key=b"k" * 16))
    with pytest.raises(ProtocolAbort, match="0 clients are left at upload"):
        clients.round(change=named)
    asked = Several(KEPT)
    asked.round([0, 1])
    release = asked.round(change=named)
    assert "boxes of another key than it was asked for" in release.rejected[0]
    asked.require_mean(asked.release(1)["update"], release.survivors)


def test_a_box_with_another_key_than_its_giver_names_is_refused():
    """Else a corrupt client could split the others between two keys of one name."""
    server = Server(Several(KEPT)).go("keys")
    named, inside = Key(SEED, 0), Key(bytes(32), 0)
    card = Card.from_bytes(Envelope.read(server.replies[2]).letter)
    mine = Card(public_key(SEED)).signed(0, server.numbers.occasion, server.clients.keys[0])
    box = Handover(server.numbers.occasion, named.id, 0, 2).seal(SEED, card, inside)
    server.go("upload")
    letter = Encrypt(named.id, bits(server, 0), mine.to_bytes(), box)
    server.refused(2, letter, "The box holds another key than it says")


def test_a_letter_goes_to_its_stage_and_its_client_only():
    server = Server(Several(KEPT)).go("decrypt")
    letter = server.letter(1, Decrypt)
    with pytest.raises(ProtocolAbort, match="stage that this client's protocol does not have"):
        server.say(0, letter, stage="unmask")
    assert decode(letter.to_bytes())[0] == "decrypt"
    changed = to_client(0, Decrypt, lambda x: x)
    assert changed(SERVER, 1, letter.to_bytes()) == letter.to_bytes()

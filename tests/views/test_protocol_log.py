"""The log of a masked round: an honest one verifies, and each violation is found at its line."""

import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

import pytest

from privfl import Pipeline
from privfl.core import SERVER, Registry, decode, encode
from privfl.core._letter import pieces
from privfl.core._masking_letters import Mask, Masked, Share, Sign, Unmask
from privfl.core._subset import from_bits, to_bits
from privfl.crypto import Identity
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Grouped, Plain
from privfl.rounds import Round, dropping
from privfl.rounds._envelope import Envelope
from privfl.views import Posted, Rule, Tape, round_log, verify_log
from privfl.views._chain import chained
from privfl.views._letter_facts import LetterFacts
from privfl.views._masked_sum import MaskedSum
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers

ALONE = Pipeline(Clip(1.0), SecAgg())
SPARSE = Pipeline(Clip(1.0), SecAgg(neighbors=8, threshold=6, corrupt=0.0))
IN_GROUPS = Pipeline(Clip(1.0), Grouped(SecAgg(dropout=0.2), size=5), TrimmedMean(n_byzantine=0))


@dataclass
class Scene:
    """A round that was recorded, with the clients and what each kept before each of its replies."""

    line: Pipeline
    clients: Clients
    posted: list[Posted]
    survivors: tuple
    before: dict = field(default_factory=dict)

    @property
    def registry(self):
        return self.clients.registry

    def log(self, posted=None):
        return round_log(posted or self.posted, self.line, self.registry, self.survivors)

    def asked(self, kind, who):
        """The place of the letter of a kind to ``who``."""
        return next(
            k
            for k, post in enumerate(self.posted)
            if post.receiver == who and decode(inner(post))[0] == kind
        )

    def answered(self, kind, who):
        """The place of the reply to it."""
        places = range(self.asked(kind, who), len(self.posted))
        return next(k for k in places if self.posted[k].sender == who)


def inner(post):
    return Envelope.read(post.letter).letter


def with_letter(post, letter):
    """The same post around another letter."""
    old = Envelope.read(post.letter)
    made = Envelope(old.session, old.stage, letter, old.opening, old.outcome)
    return Posted(post.sender, post.receiver, made.to_bytes())


@cache
def recorded(line=ALONE, n=5, drop=()):
    clients, tape, before = Clients(line, whole_numbers(n, 3) / 9), Tape(), {}
    wire = dropping(clients.wire(), dict(drop), line.protocol.stages)

    def kept(letters):
        for who, letter in letters.items():
            before[letter, who] = clients.kept.get(who, b"")
        return wire(letters)

    first = Round.open(line, opened(line, clients), registry=clients.registry)
    release = through_bytes(first, tape.recording(kept))
    return Scene(line, clients, tape.posted, release.survivors, before)


def rules(findings):
    return {violation.rule for violation in findings.violations}


def at(findings):
    return {(violation.line, violation.rule) for violation in findings.violations}


def lines_of(log, **said):
    """The numbers of the lines that say this."""
    found = [json.loads(line) for line in log]
    return [f["line"] for f in found if all(f.get(key) == value for key, value in said.items())]


def rewritten(log, number, **changes):
    """The log with one line changed by somebody who makes the whole chain anew."""
    entries = [json.loads(line) for line in log]
    entries[number - 1] |= changes
    return [*chained({k: v for k, v in entry.items() if k != "hash"} for entry in entries)]


# an honest round


def test_a_full_round_verifies_and_tells_who_saw_which_set():
    scene = recorded()
    found = verify_log(scene.log(), scene.registry)
    assert found.violations == ()
    assert found.sound
    (one,) = found.sums
    everybody = (0, 1, 2, 3, 4)
    assert one.members == everybody
    assert one.signed == {everybody: everybody}
    assert one.anonymity == found.anonymity == 5
    # opening, end, and five exchanges of five letters each way
    assert found.lines == 2 + 5 * 2 * 5


def test_who_dropped_out_is_in_no_set_and_the_corrupt_hide_nobody():
    drop = ((1, "share"), (2, "mask"), (4, "unmask"))
    scene = recorded(Pipeline(Clip(1.0), SecAgg(dropout=0.2)), 10, drop)
    found = verify_log(scene.log(), scene.registry)
    assert found.violations == ()
    (one,) = found.sums
    counted = (0, 3, 4, 5, 6, 7, 8, 9)
    assert one.signed == {counted: (0, 3, 5, 6, 7, 8, 9)}
    assert one.corrupt == 1
    assert found.anonymity == len(counted) - 1


def test_each_group_is_a_sum_of_its_own():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    found = verify_log(scene.log(), scene.registry)
    assert found.violations == ()
    assert len({one.session for one in found.sums}) == 2
    assert sorted(who for one in found.sums for who in one.members) == list(range(11))
    assert {len(one.members) for one in found.sums} == {5, 6}
    for one in found.sums:
        ((survivors, signers),) = one.signed.items()
        assert survivors == signers == tuple(who for who in one.members if who != 3)
    assert found.anonymity == min(len(s) for one in found.sums for s in one.signed)


def test_a_sparse_graph_verifies():
    scene = recorded(SPARSE, 21, ((7, "mask"), (8, "share")))
    found = verify_log(scene.log(), scene.registry)
    assert found.violations == ()
    assert found.anonymity == 19


def test_a_round_without_a_release_has_a_log_too():
    scene = recorded()
    cut = [post for post in scene.posted if Envelope.read(post.letter).stage != "unmask"]
    found = verify_log(round_log(cut, scene.line, scene.registry), scene.registry)
    assert found.violations == ()
    assert found.anonymity is None


def test_an_answer_names_of_whom_which_secret_s_share_was_shown():
    scene = recorded(Pipeline(Clip(1.0), SecAgg(dropout=0.2)), 10, ((1, "share"), (2, "mask")))
    answers = [json.loads(x) for x in scene.log() if json.loads(x).get("what") == "shares"]
    assert len(answers) == 8
    for answer in answers:
        assert sorted(answer["self_masks"]) == [0, 3, 4, 5, 6, 7, 8, 9]
        assert answer["mask_keys"] == [2]  # 1 had sent no boxes: there is no share of it


def test_a_log_holds_no_word_no_box_and_no_share():
    scene = recorded(ALONE, 6)
    text = "\n".join(scene.log())
    secrets = []
    for post in scene.posted:
        letter, stage = inner(post), Envelope.read(post.letter).stage
        if (stage, post.sender) == ("mask", SERVER):
            secrets += pieces(Mask.read(letter, 10**6).boxes, 94, 5)
        elif post.sender == SERVER:
            continue
        elif stage == "mask":
            secrets.append(Masked.read(letter, 10**6).words)
        elif stage == "share":
            secrets += pieces(letter, 94, 5)
        elif stage == "unmask" and len(letter) != 64:  # else a signature
            secrets += pieces(letter, 33, 6)
    assert len(secrets) == 6 * (5 + 1 + 5 + 6)
    assert not [secret for secret in secrets if secret.hex() in text]


def test_each_party_knows_its_own_letters_again_by_their_hashes():
    scene = recorded()
    logged = Counter(json.loads(line).get("sha256") for line in scene.log())
    sent = Counter(sha256(post.letter).hexdigest() for post in scene.posted)
    assert sent == Counter({key: n for key, n in logged.items() if key})


# the chain


def test_every_line_that_is_changed_is_found_where_it_is():
    scene = recorded(ALONE, 3)
    log = scene.log()
    for k, line in enumerate(log):
        changed = [*log]
        changed[k] = line.replace('"bytes":', '"bytes":1', 1).replace('"kind":"', '"kind":"x', 1)
        assert (k + 1, Rule.CHAIN) in at(verify_log(changed, scene.registry))


@pytest.mark.parametrize("spaced", [" ", "\t"])
def test_a_line_has_one_spelling(spaced):
    scene = recorded(ALONE, 3)
    log = [*scene.log()]
    log[4] = log[4].replace(",", f",{spaced}", 1)
    assert at(verify_log(log, scene.registry)) == {(5, Rule.CHAIN)}


def test_every_line_that_is_taken_out_of_the_middle_is_found_where_it_was():
    scene = recorded(ALONE, 3)
    log = scene.log()
    for k in range(len(log) - 1):
        found = verify_log([*log[:k], *log[k + 1 :]], scene.registry)
        assert min(v.line for v in found.violations if v.rule == Rule.CHAIN) == k + 1


def test_every_two_lines_that_are_swapped_are_found_where_they_are():
    scene = recorded(ALONE, 3)
    log = scene.log()
    for k in range(len(log) - 1):
        swapped = [*log[:k], log[k + 1], log[k], *log[k + 2 :]]
        found = verify_log(swapped, scene.registry)
        assert {(k + 1, Rule.CHAIN), (k + 2, Rule.CHAIN)} <= at(found)


def test_a_lost_tail_is_found_by_its_missing_end_or_by_a_head_kept_elsewhere():
    scene = recorded(ALONE, 3)
    log = scene.log()
    head = verify_log(log, scene.registry).head
    assert verify_log(log, scene.registry, head=head).sound
    assert rules(verify_log(log[:-1], scene.registry)) == {Rule.END}
    # whoever lost the last answer and writes a new end is found by the head alone
    end = json.loads(log[-1])
    entries = [json.loads(line) for line in (*log[:-2], log[-1])]
    forged = [*chained({k: v for k, v in entry.items() if k != "hash"} for entry in entries)]
    assert json.loads(forged[-1])["survivors"] == end["survivors"]
    unknown = verify_log(forged, scene.registry)
    assert unknown.sound
    assert not unknown.head_known
    assert "nobody can tell" in str(unknown)
    assert rules(verify_log(forged, scene.registry, head=head)) == {Rule.END}


def test_without_a_registry_the_claimed_keys_are_taken_and_it_says_so_first():
    scene = recorded()
    found = verify_log(scene.log())
    assert found.sound
    assert not found.keys_known
    assert str(found).startswith("WARNING: checked against the keys that the log itself claims")
    strangers = Registry({who: Identity.new().public for who in scene.registry})
    assert Rule.KEYS in rules(verify_log(scene.log(), strangers))


# violations, in letters that were really sent


def test_a_client_that_answers_twice_is_found_at_its_second_answer():
    scene = recorded()
    asked, answer = scene.asked("unmask", 0), scene.answered("unmask", 0)
    posted = [*scene.posted, scene.posted[asked], scene.posted[answer]]
    log = scene.log(posted)
    assert at(verify_log(log, scene.registry)) == {(len(log) - 1, Rule.ANSWERED_TWICE)}


def again(scene, post, letter):
    """A client that was put back to before ``post`` takes another letter: both are posted."""
    who, changed = post.receiver, with_letter(post, letter)
    scene.clients.kept[who] = scene.before.get((post.letter, who)) or scene.clients.kept[who]
    return [changed, Posted(who, SERVER, scene.clients.answer(who, changed.letter))]


def other_list(scene, who, gone):
    """Show ``who``, put back, a list of survivors without ``gone``, and let it sign."""
    post = scene.posted[scene.asked("sign", who)]
    letter = Sign.read(inner(post), 10**6)
    members = scene.clients.names
    left = tuple(peer for peer in members if peer != gone)
    near = [peer for peer in members if peer != who]
    said = dict(zip(near, pieces(letter.edges, 65, len(near)), strict=True))
    edges = b"".join(said[peer] for peer in near if peer != gone)
    return again(scene, post, Sign(to_bits(left, members), edges).to_bytes())


def test_a_client_that_signs_two_lists_is_found_at_its_second_signature():
    scene = recorded()
    posted = [*scene.posted, *other_list(scene, who=0, gone=4)]
    log = scene.log(posted)
    found = verify_log(log, scene.registry)
    assert at(found) == {(len(log) - 1, Rule.TWO_LISTS)}
    assert found.sums[0].signed[0, 1, 2, 3] == (0,)


def test_clients_put_back_that_unmask_one_of_them_are_found_line_by_line():
    """What the log is for: two lists, two answers, both shares of one client are out."""
    scene = recorded()
    posted = [*scene.posted]
    for who in (0, 1, 2):
        posted += other_list(scene, who, gone=4)
    signatures = b"".join(inner(posted[k]) for k in (-5, -3, -1))
    letter = Unmask(to_bits((0, 1, 2), scene.clients.names), signatures).to_bytes()
    post = scene.posted[scene.asked("unmask", 0)]
    changed = with_letter(post, letter)
    posted += [changed, Posted(0, SERVER, scene.clients.answer(0, changed.letter))]
    log = scene.log(posted)
    n = len(log)
    assert at(verify_log(log, scene.registry)) == {
        (n - 7, Rule.TWO_LISTS),
        (n - 5, Rule.TWO_LISTS),
        (n - 3, Rule.TWO_LISTS),
        (n - 1, Rule.ANSWERED_TWICE),
        (n - 1, Rule.BOTH_KINDS),
    }


def test_an_answer_after_too_few_signatures_is_found_at_the_answer():
    scene = recorded()
    place, members = scene.asked("unmask", 0), scene.clients.names
    letter = Unmask.read(inner(scene.posted[place]), 10**6)
    signers = from_bits(letter.signers, members)[:2]
    few = Unmask(to_bits(signers, members), letter.signatures[: 2 * 64])
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], few.to_bytes())
    log = scene.log(posted)
    answer = lines_of(log, what="shares", sender=0)
    assert at(verify_log(log, scene.registry)) == {(*answer, Rule.QUORUM)}


def test_signatures_over_another_list_make_no_quorum():
    scene = recorded()
    posted = [*scene.posted]
    before = scene.asked("unmask", 0)
    others = [x for who in (1, 2) for x in other_list(scene, who, gone=4)]
    posted[before:before] = others
    letter = Unmask.read(inner(scene.posted[before]), 10**6)
    members = scene.clients.names
    assert from_bits(letter.signers, members) == (0, 1, 2)
    mixed = letter.signatures[:64] + inner(others[1]) + inner(others[3])
    posted[before + len(others)] = with_letter(
        scene.posted[before], Unmask(letter.signers, mixed).to_bytes()
    )
    log = scene.log(posted)
    (answer,) = lines_of(log, what="shares", sender=0)
    assert (answer, Rule.QUORUM) in at(verify_log(log, scene.registry))


def test_a_sum_of_too_few_is_found_at_the_answer():
    """Clients that sign what they should refuse: they have the keys, and text is text."""
    scene = recorded()
    members, posted = scene.clients.names, [*scene.posted]
    reader = LetterFacts(MaskedSum.from_fields(json.loads(scene.log()[0])))
    reader.asks(0, inner(posted[scene.asked("share", 0)]))
    text = reader.told[0].roll.survivors_text((0, 1))
    signed = {who: scene.clients.keys[who].sign(text) for who in (0, 1)}
    for who in (0, 1):
        place = scene.asked("sign", who)
        old = Sign.read(inner(posted[place]), 10**6)
        two = Sign(to_bits((0, 1), members), old.edges[:65])
        posted[place] = with_letter(posted[place], two.to_bytes())
        place = scene.answered("sign", who)
        posted[place] = with_letter(posted[place], signed[who])
        place = scene.asked("unmask", who)
        shown = Unmask(to_bits((0, 1), members), signed[0] + signed[1])
        posted[place] = with_letter(posted[place], shown.to_bytes())
    log = scene.log(posted)
    (answer,) = lines_of(log, what="shares", sender=0)
    found = verify_log(log, scene.registry)
    assert {(answer, Rule.FEWEST), (answer, Rule.QUORUM)} <= at(found)
    assert found.anonymity == 2


def test_a_signature_of_somebody_else_is_found_at_its_line():
    scene = recorded()
    place = scene.answered("sign", 1)
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], Identity.new().sign(b"another text"))
    log = scene.log(posted)
    line = lines_of(log, what="signature", sender=1)
    assert (*line, Rule.SIGNATURE) in at(verify_log(log, scene.registry))


@pytest.mark.parametrize("start", [0, 32, 64, 96])
def test_keys_that_their_owner_did_not_sign_are_found_at_their_line(start):
    scene = recorded()
    place = scene.answered("advertise", 2)
    made = bytearray(inner(scene.posted[place]))
    made[start] ^= 1
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], bytes(made))
    log = scene.log(posted)
    line = lines_of(log, what="advertisement", sender=2)
    assert (*line, Rule.KEYS) in at(verify_log(log, scene.registry))


def test_keys_that_nobody_sent_are_found_where_they_are_relayed():
    scene = recorded()
    place = scene.asked("share", 3)
    letter = Share.read(inner(scene.posted[place]), 10**6)
    other = bytes([letter.advertisements[0] ^ 1]) + letter.advertisements[1:]
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], Share(letter.present, other).to_bytes())
    log = scene.log(posted)
    (line,) = lines_of(log, what="share", receiver=3)
    assert (line, Rule.RELAYED) in at(verify_log(log, scene.registry))


def test_edges_that_nobody_said_are_found_where_they_are_relayed():
    scene = recorded()
    place = scene.asked("sign", 3)
    letter = Sign.read(inner(scene.posted[place]), 10**6)
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], Sign(letter.survivors, letter.edges[65:]).to_bytes())
    log = scene.log(posted)
    (line,) = lines_of(log, what="sign", receiver=3)
    assert at(verify_log(log, scene.registry)) == {(line, Rule.RELAYED)}


def test_two_clients_that_were_told_different_things_of_each_other_are_found():
    """Client 0 never heard of 4, and 4 masked with it: so a server isolates one of them."""
    scene = recorded()
    place, posted = scene.asked("mask", 0), [*scene.posted]
    old = Mask.read(inner(posted[place]), 10**6)
    without = Mask(to_bits((1, 2, 3), (1, 2, 3, 4)), old.boxes[: 3 * 94])
    told, said = again(scene, posted[place], without.to_bytes())
    posted[place], posted[scene.answered("mask", 0)] = told, said
    log = scene.log(posted)
    found = at(verify_log(log, scene.registry))
    for who in (0, 4):
        (signed,) = lines_of(log, what="signature", sender=who)
        assert (signed, Rule.EDGES) in found
    assert not [x for x in found if x[0] == lines_of(log, what="masked", sender=0)[0]]


def test_a_client_that_masked_with_others_than_it_was_told_is_found():
    scene = recorded()
    log = scene.log()
    (line,) = lines_of(log, what="mask", receiver=1)
    (masked,) = lines_of(log, what="masked", sender=1)
    found = at(verify_log(rewritten(log, line, senders=[0, 2, 3]), scene.registry))
    assert (masked, Rule.EDGES) in found


def test_signatures_that_nobody_sent_are_found_where_they_are_shown():
    scene = recorded()
    place, posted = scene.asked("unmask", 3), [*scene.posted]
    letter = Unmask.read(inner(posted[place]), 10**6)
    forged = Unmask(letter.signers, bytes(64) + letter.signatures[64:])
    posted[place] = with_letter(posted[place], forged.to_bytes())
    log = scene.log(posted)
    (shown,), (answer,) = (
        lines_of(log, what="unmask", receiver=3),
        lines_of(log, what="shares", sender=3),
    )
    assert at(verify_log(log, scene.registry)) == {(shown, Rule.RELAYED), (answer, Rule.QUORUM)}


# violations of whoever writes the log and makes its chain anew


def test_numbers_that_the_clients_did_not_sign_for_fit_no_signature():
    scene = recorded()
    log = scene.log()
    numbers = json.loads(log[0])["numbers"]
    for name in ("threshold", "neighbors", "quorum", "bits", "dim"):
        other = rewritten(log, 1, numbers={**numbers, name: numbers[name] + 1})
        advertised = lines_of(log, what="advertisement")
        assert {(line, Rule.KEYS) for line in advertised} <= at(verify_log(other, scene.registry))


@pytest.mark.parametrize("name", ["session", "model"])
def test_another_session_or_model_fits_no_signature(name):
    scene = recorded()
    other = rewritten(scene.log(), 1, **{name: "00" * 32})
    assert {Rule.KEYS, Rule.FORM} & rules(verify_log(other, scene.registry))


def test_a_quorum_that_the_corrupt_can_have_twice_is_found_at_the_opening():
    scene = recorded()
    log = scene.log()
    numbers = json.loads(log[0])["numbers"]
    # 3 of 5 signed each list; one client that signs two gives two quorums of 3
    one = rewritten(log, 1, numbers={**numbers, "corrupt": 1})
    assert at(verify_log(one, scene.registry)) == {(1, Rule.NUMBERS)}


def test_an_answer_that_shows_both_shares_of_one_is_found():
    scene = recorded()
    log = scene.log()
    (line,) = lines_of(log, what="shares", sender=2)
    both = rewritten(log, line, mask_keys=[4])
    assert at(verify_log(both, scene.registry)) == {(line, Rule.BOTH_KINDS), (line, Rule.SHARES)}


def test_an_answer_about_others_than_the_list_calls_for_is_found():
    scene = recorded(Pipeline(Clip(1.0), SecAgg(dropout=0.2)), 10, ((1, "share"), (2, "mask")))
    log = scene.log()
    (line,) = lines_of(log, what="shares", sender=5)
    survivors_as_gone = rewritten(log, line, self_masks=[5], mask_keys=[3])
    assert at(verify_log(survivors_as_gone, scene.registry)) == {(line, Rule.SHARES)}


def test_who_is_counted_in_the_end_was_in_a_sum_that_was_unmasked():
    scene = recorded(Pipeline(Clip(1.0), SecAgg(dropout=0.2)), 10, ((1, "share"), (2, "mask")))
    log = scene.log()
    more = rewritten(log, len(log), survivors=[0, 1])
    assert at(verify_log(more, scene.registry)) == {(len(log), Rule.END)}


def test_a_group_that_the_coins_do_not_draw_is_found_at_its_line():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    log = scene.log()
    line, other = lines_of(log, kind="group")
    members = json.loads(log[other - 1])["members"]
    assert (line, Rule.DRAW) in at(verify_log(rewritten(log, line, members=members)))


def test_a_coin_that_was_not_committed_to_is_found_at_its_line():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    log = scene.log()
    (line,) = lines_of(log, what="coin", sender=4)
    found = verify_log(rewritten(log, line, coin="00" * 32), scene.registry)
    assert (line, Rule.DRAW) in at(found)


@pytest.mark.parametrize("key", ["relayed", "coins"])
def test_what_the_server_relays_in_a_draw_is_compared(key):
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    log = scene.log()
    line = next(k for k, x in enumerate(log, 1) if key in json.loads(x) and k > 20)
    found = verify_log(rewritten(log, line, **{key: "00" * 32}), scene.registry)
    assert at(found) == {(line, Rule.RELAYED)}


JUNK = [None, [], {}, "x", "zz", -1, 1e300, True, [[]], [None], {"a": 1}, ["server"]]


def test_whatever_stands_in_a_line_is_a_finding_and_no_crash():
    for scene, step in ((recorded(ALONE, 3), 1), (recorded(IN_GROUPS, 11, ((3, "mask"),)), 6)):
        log = scene.log()
        entries = [json.loads(line) for line in log]
        first = {entry.get("what", entry["kind"]): entry["line"] for entry in reversed(entries)}
        for line in first.values():
            for key, junk in itertools.product(entries[line - 1], JUNK[::step]):
                if key not in ("hash", "line", "previous", "bytes", "sha256", "stage"):
                    verify_log(rewritten(log, line, **{key: junk}), scene.registry)


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", "[" * 100_000, '{"kind":"letter"}'])
def test_what_is_no_log_is_not_sound(text):
    assert not verify_log([text]).sound


def test_a_letter_that_nobody_can_read_breaks_no_log():
    scene = recorded()
    posted = [*scene.posted, Posted(0, SERVER, b"junk"), Posted(SERVER, 9, scene.posted[0].letter)]
    posted += [with_letter(scene.posted[0], encode(("sign", b"")))]
    log = scene.log(posted)
    assert len(lines_of(log, what="unreadable")) == 3
    assert verify_log(log, scene.registry).sound


def test_a_group_that_is_not_safe_breaks_no_log():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    place = next(k for k, p in enumerate(scene.posted) if b'"coins"' in inner(p))
    told = decode(inner(scene.posted[place]))
    who = scene.posted[place].receiver
    alone = {**told, "coins": {who: told["coins"][who]}}
    posted = [*scene.posted]
    posted[place] = with_letter(posted[place], encode(alone))
    log = scene.log(posted)
    assert lines_of(log, what="unreadable", receiver=who)
    assert verify_log(log, scene.registry).sums


def test_a_pipeline_that_masks_nothing_has_no_log():
    for line in (
        Pipeline(Clip(1.0)),
        Pipeline(Grouped(Plain(), size=3), TrimmedMean(n_byzantine=0)),
    ):
        with pytest.raises(ValueError, match=r"A log is of a round that masks\. Found Plain"):
            round_log([], line)


def test_letters_of_another_pipeline_are_refused():
    with pytest.raises(ValueError, match="letters of this pipeline"):
        round_log(recorded().posted, SPARSE)


def relinked(log, number, **changes):
    """The log with one line changed and hashed anew, and the lines behind it as they were."""
    line = json.loads(log[number - 1]) | changes
    line = {key: value for key, value in line.items() if key != "hash"}
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    line["hash"] = sha256(text.encode()).hexdigest()
    text = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return [*log[: number - 1], text, *log[number:]]


def test_a_line_that_was_hashed_anew_is_found_by_the_line_behind_it():
    scene = recorded(ALONE, 3)
    found = verify_log(relinked(scene.log(), 5, bytes=1), scene.registry)
    assert at(found) == {(6, Rule.CHAIN)}


def test_a_line_with_another_number_is_found():
    scene = recorded(ALONE, 3)
    log = scene.log()
    found = verify_log(relinked(log, len(log), line=7), scene.registry)
    assert at(found) == {(len(log), Rule.CHAIN)}


def test_edges_that_their_client_did_not_sign_are_found_at_their_line():
    scene = recorded()
    log = scene.log()
    (line,) = lines_of(log, what="masked", sender=2)
    found = verify_log(rewritten(log, line, signature="00" * 64), scene.registry)
    assert (line, Rule.SIGNATURE) in at(found)


def test_signatures_that_do_not_hold_are_counted_for_no_quorum():
    scene = recorded()
    posted, junk = [*scene.posted], bytes(64)
    for who in (1, 2):
        place = scene.answered("sign", who)
        posted[place] = with_letter(posted[place], junk)
    place = scene.asked("unmask", 0)
    letter = Unmask.read(inner(posted[place]), 10**6)
    shown = Unmask(letter.signers, letter.signatures[:64] + 2 * junk)
    posted[place] = with_letter(posted[place], shown.to_bytes())
    log = scene.log(posted)
    (answer,) = lines_of(log, what="shares", sender=0)
    assert (answer, Rule.QUORUM) in at(verify_log(log, scene.registry))


def test_the_same_list_may_be_signed_again():
    scene = recorded()
    again_ = [scene.posted[scene.asked("sign", 0)], scene.posted[scene.answered("sign", 0)]]
    place = scene.asked("unmask", 0)
    log = scene.log([*scene.posted[:place], *again_, *scene.posted[place:]])
    assert verify_log(log, scene.registry).sound


def test_a_commitment_that_its_client_did_not_sign_is_found_at_its_line():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    log = scene.log()
    (line,) = lines_of(log, what="commitment", sender=4)
    made = json.loads(log[line - 1])["commitment"]
    found = verify_log(rewritten(log, line, commitment=made[:64] + "00" * 64), scene.registry)
    assert (line, Rule.SIGNATURE) in at(found)


def test_a_coin_that_was_left_out_of_the_draw_is_found_at_the_groups():
    scene = recorded(IN_GROUPS, 11, ((3, "mask"),))
    log = scene.log()
    (line,) = lines_of(log, what="coin", sender=4)
    lost = rewritten(log, line, what="unreadable")
    found = verify_log(lost, scene.registry)
    said = [v.found for v in found.violations if v.rule == Rule.DRAW]
    assert any("clients [4] committed to a coin" in text for text in said)


def test_lines_behind_the_end_and_a_sum_that_is_opened_twice_are_found():
    scene = recorded(ALONE, 3)
    entries = [json.loads(line) for line in scene.log()]
    bare = [{k: v for k, v in entry.items() if k != "hash"} for entry in entries]
    n = len(bare)
    behind = verify_log([*chained([*bare, bare[1]])], scene.registry)
    assert at(behind) == {(n + 1, Rule.END)}
    twice = verify_log([*chained([bare[0], *bare])], scene.registry)
    assert at(twice) == {(2, Rule.FORM)}


def test_a_share_whose_box_did_not_open_is_not_said_to_be_shown():
    scene = recorded()
    place, posted = scene.answered("unmask", 0), [*scene.posted]
    unknown = inner(posted[place])[:-33] + b"\xff" * 33
    posted[place] = with_letter(posted[place], unknown)
    log = scene.log(posted)
    (line,) = lines_of(log, what="shares", sender=0)
    assert json.loads(log[line - 1])["self_masks"] == [0, 1, 2, 3]
    assert verify_log(log, scene.registry).sound

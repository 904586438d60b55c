"""The server holds ciphertexts, and neither a key nor a secret nor an update, at any exchange."""

import itertools

import pytest
import torch

from he.kept_clients import LINES, Several
from privfl import Pipeline, Vantage
from privfl.compression import Quantize
from privfl.core import Contract, decode, encode
from privfl.defenses.dp import Clip
from privfl.defenses.he import BFV, CKKS
from privfl.parts import Weigh
from privfl.rounds import Round, without_keys

UPDATES = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).double() / 10


def secrets_of(clients, members):
    """What nobody but a client may hold, in every form that comes to mind, and whose it is."""
    found = {}
    for who in members:
        kept = clients.memory(who)["protocol"]
        found[f"seed of the key, client {who}"] = kept["key"]["seed"]
        if "box seed" in kept:
            found[f"seed of the box, client {who}"] = kept["box seed"]
        key = clients.key(who)
        for k, about in enumerate(("ring", "flood", "behind")):
            found[f"stream {k} of client {who}"] = key.stream(about).bytes(32)
    return found


def plain_forms(line, updates):
    """An update as a server could find it: numbers, or integers of the grid, three in a row."""
    for x, scale in itertools.product(updates, (1.0, 2.0**10)):
        for dtype in (torch.float32, torch.float64, torch.int64, torch.int32):
            for at in range(0, len(x) - 3, 7):
                part = (x[at : at + 3] * scale).to(dtype)
                if part.abs().min() > 0:
                    yield part.numpy().tobytes()


def searched(data, needles):
    return [name for name, needle in needles.items() if needle in data]


@pytest.mark.parametrize("line", LINES, ids=str)
def test_neither_the_key_nor_a_secret_nor_an_update_is_in_what_the_server_holds(line):
    clients = Several(line, 3, 40)
    plain = list(plain_forms(line, clients.updates.values()))
    assert len(plain) > 50
    for members in ([0, 1], [0, 1, 2], [0, 1, 2]):
        held = []
        round_ = clients.open(members)
        while round_.letters:
            held.append(round_.to_bytes())
            needles = {}
            replies = []
            for who, letter in round_.letters.items():
                replies.append((who, clients.answer(who, letter)))
                if clients.memory(who)["protocol"].get("key"):
                    mine = secrets_of(clients, [who])
                    assert searched(clients.kept[who], mine)  # such a search finds them
                    needles |= mine
            held += [reply for _, reply in replies]
            round_ = Round.from_bytes(line, round_.to_bytes(), registry=clients.registry)
            round_ = round_.collect(replies)
            for data in (*held, round_.to_bytes()):
                assert searched(data, needles) == []
                if round_.release is None or not line.protocol.publishes:
                    assert not any(part in data for part in plain)
        assert len(held) > 6


@pytest.mark.parametrize("part", [CKKS(), BFV(), CKKS(published=3), BFV(published=True)], ids=str)
def test_the_view_of_a_server_holds_no_sum_unless_it_is_published(part):
    shield = Pipeline(Weigh(10), Clip(5.0), part)
    release = shield.aggregate(UPDATES, n_examples=[3, 7, 10], transcript=True)
    view = release.transcript.view(Vantage.SERVER)
    assert (view.rows is None) == (not part.publishes)
    assert set(view.states) == {"server"}
    clients = release.state["clients"]
    seed = decode(clients[0])["protocol"]["key"]["seed"]
    assert all(decode(kept)["protocol"]["key"]["seed"] == seed for kept in clients.values())
    assert seed not in encode(view.states)
    for post in view.letters:
        assert seed not in post.letter
    assert release.transcript.view(Vantage.OUTSIDER).rows is None
    assert seed not in encode({k: v for k, v in release.state.items() if k != "clients"})
    assert seed in encode(release.state["clients"])
    assert seed not in encode(without_keys(release.state))


@pytest.mark.parametrize("part", [CKKS(), BFV()], ids=str)
def test_an_unpublished_sum_is_no_release_of_the_server(part):
    clients = Several(Pipeline(Clip(100.0), Quantize(10), part) if part == BFV() else LINES[0])
    release = clients.round()
    assert release.update.numel() == 0
    assert release.opened is None
    assert release.scalars == {}
    assert release.survivors == (0, 1, 2)
    held = encode(release.state)
    opened = clients.release(0)["update"]
    assert opened.numpy().tobytes() in clients.kept[0]
    assert opened.numpy().tobytes() not in held


def test_equal_updates_travel_as_ciphertexts_that_share_nothing():
    """No sixteen bytes of one client's ciphertexts are in another's: 2^-128 each."""
    shield = Pipeline(Clip(1.0), CKKS())
    release = shield.aggregate(torch.ones(4, 50) / 8, transcript=True, generator=1)
    sent = [p.letter for p in release.transcript.posted if p.receiver == "server"]
    longest = sorted(sent, key=len)[-4:]
    assert min(map(len, longest)) > 4000
    for one, other in itertools.permutations(longest, 2):
        pieces = {one[k : k + 16] for k in range(1000, len(one) - 500, 16)}
        assert not any(piece in other for piece in pieces)


@pytest.mark.parametrize("part", [CKKS(), CKKS(published=2), BFV(), BFV(published=True)], ids=str)
def test_lengths_do_not_depend_on_updates(part):
    """In a plaintext of SEAL's own a zero at the end takes no byte."""
    lengths = []
    for updates in (torch.zeros(3, 40), UPDATES.float(), torch.eye(3, 40) / 2, -UPDATES.float()):
        release = Pipeline(Clip(5.0), part).aggregate(updates, transcript=True)
        lengths.append([len(post.letter) for post in release.transcript.posted])
    assert all(each == lengths[0] for each in lengths)


@pytest.mark.parametrize(
    ("part", "opener"),
    [(CKKS(), "clients"), (BFV(), "clients"), (CKKS(published=1), "server")],
    ids=str,
)
def test_who_opens_is_in_the_contract_and_in_what_is_explained(part, opener):
    shield = Pipeline(Clip(1.0), part)
    assert isinstance(shield.contract, Contract)
    assert shield.contract.opener == opener
    assert shield.contract.sees == "sum"
    text = str(shield.explain(n_clients=10, dim=1000))
    assert "All clients share one key" in text
    assert "the server with any one client reads every update" in " ".join(text.split())


def test_nothing_is_written_to_the_terminal(capfd):
    for line in LINES:
        clients = Several(line)
        clients.round(drop={1: "upload"})
        clients.round()
    found = capfd.readouterr()
    assert found.out == ""
    assert found.err == ""


def test_states_and_letters_are_not_shown():
    clients = Several(LINES[0])
    clients.round()
    kept = clients.memory(0)["protocol"]
    round_ = clients.open()
    shown = repr(round_) + repr(clients.key(0)) + repr(LINES[0])
    assert repr(kept["key"]["seed"])[2:-1] not in shown
    assert kept["key"]["seed"].hex() not in shown

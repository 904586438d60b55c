"""A view holds what its parties saw, and nothing else."""

from dataclasses import fields, is_dataclass

import torch

from parts_for_tests import ClientsOpen, CorrelatedNoise, MaskedSum, TopK
from privfl import Pipeline, Vantage
from privfl.core import SERVER, decode
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.parts import Mean, Plain
from privfl.views import Knowledge, Tape, View
from rounds_for_tests import whole_numbers

UPDATES = whole_numbers(4, 6)


def views(shield, **options):
    return shield.aggregate(UPDATES, transcript=True, **options).transcript.view


def ends(view):
    return {(post.sender, post.receiver) for post in view.letters}


def test_the_server_holds_every_letter_and_the_rows_it_opened():
    view = views(Pipeline())(Vantage.SERVER)
    assert ends(view) == {(SERVER, k) for k in range(4)} | {(k, SERVER) for k in range(4)}
    assert torch.equal(view.rows.sums, UPDATES)
    assert view.rows.members == ((0,), (1,), (2,), (3,))
    assert torch.equal(view.release, UPDATES.mean(dim=0))


def test_an_outsider_sees_the_release_only():
    view = views(Pipeline())(Vantage.OUTSIDER)
    assert (view.letters, view.rows, view.states) == ((), None, {})
    assert torch.equal(view.release, UPDATES.mean(dim=0))


def test_a_client_sees_its_own_letters_and_its_own_state():
    view = views(Pipeline(TopK(2)))(Vantage.client(2))
    assert ends(view) == {(SERVER, 2), (2, SERVER)}
    assert view.rows is None
    assert set(view.states) == {2}
    assert torch.equal(decode(view.states[2])["pending"][0][0], UPDATES[2])


def test_two_clients_pool_what_they_saw():
    view = views(Pipeline())(Vantage.client(1, 3))
    assert ends(view) == {(SERVER, 1), (1, SERVER), (SERVER, 3), (3, SERVER)}
    assert set(view.states) == {1, 3}


def test_a_server_with_a_client_sees_both_sides():
    view = views(Pipeline())(Vantage.SERVER | Vantage.client(0))
    assert set(view.states) == {SERVER, 0}
    assert len(view.letters) == 8
    assert view.rows is not None


def test_letters_are_in_the_order_in_which_they_crossed():
    view = views(Pipeline(MaskedSum(2)))(Vantage.client(0))
    assert [post.sender for post in view.letters] == [SERVER, 0] * 4


def test_under_a_sum_the_server_opens_one_row():
    view = views(Pipeline(MaskedSum(2)))(Vantage.SERVER)
    assert torch.allclose(view.rows.sums, UPDATES.sum(dim=0)[None])
    readable = [decode(decode(p.letter)[0]) for p in view.letters if p.sender != SERVER]
    vectors = [x for x in readable if isinstance(x, torch.Tensor)]
    assert len(vectors) == 4
    assert not any(torch.equal(x.double() / 2**20, row) for x in vectors for row in UPDATES)


def test_where_clients_open_they_see_the_sum_and_the_server_does_not():
    view = views(Pipeline(ClientsOpen()))
    assert view(Vantage.SERVER).rows is None
    assert torch.equal(view(Vantage.client(3)).rows.sums, UPDATES.sum(dim=0)[None])
    assert view(Vantage.OUTSIDER).rows is None


def test_what_the_server_sees_is_clipped_and_noised_where_the_client_did_it():
    """And not where the server did: then it saw the rows before."""
    clipped = views(Pipeline(Clip(1e-3)))(Vantage.SERVER).rows.sums
    assert clipped.norm(dim=1).max() <= 1e-3
    enforced = views(Pipeline(Plain(), Clip(1e-3)))(Vantage.SERVER).rows.sums
    assert torch.equal(enforced, UPDATES)
    noised = views(Pipeline(Clip(1.0), LocalGaussianNoise(5.0)))(Vantage.SERVER).rows.sums
    assert (noised - UPDATES).abs().max() > 1


def test_central_noise_is_between_the_servers_view_and_the_outsiders():
    view = views(Pipeline(Clip(9.0), Mean(), CentralGaussianNoise(1.0)))
    mean = view(Vantage.SERVER).rows.sums.mean(dim=0)
    assert not torch.allclose(mean, view(Vantage.OUTSIDER).release)


def test_the_servers_own_state_is_its_own():
    shield = Pipeline(Mean(), CorrelatedNoise(1.0))
    view = views(shield)
    kept = view(Vantage.SERVER).states[SERVER]["private"][shield.aggregator_at + 1]
    assert torch.allclose(view(Vantage.OUTSIDER).release - kept, UPDATES.mean(dim=0))
    assert SERVER not in view(Vantage.client(0)).states


def test_a_dropped_client_is_on_the_tape_as_far_as_it_came():
    view = views(Pipeline(MaskedSum(2)), drop={1: "mask"})
    stages = [decode(post.letter)[2] for post in view(Vantage.client(1)).letters]
    assert stages == ["advertise", "advertise", "share", "share"]


def test_without_asking_nothing_is_recorded():
    assert Pipeline().aggregate(UPDATES).transcript is None


def test_recording_changes_no_bit_of_the_release():
    shield = Pipeline(Clip(1.0), LocalGaussianNoise(1.0))
    generator = [torch.Generator().manual_seed(1) for _ in range(2)]
    a = shield.aggregate(UPDATES, generator=generator[0], nonce=bytes(16))
    b = shield.aggregate(UPDATES, generator=generator[1], nonce=bytes(16), transcript=True)
    assert torch.equal(a.update, b.update)


def test_a_view_has_no_room_for_the_truth():
    """What an attack gets: five fields, none of which the engine fills with what was not sent."""
    assert [field.name for field in fields(View)] == [
        "vantage",
        "letters",
        "rows",
        "release",
        "states",
    ]
    assert is_dataclass(Knowledge)
    assert Knowledge.__dataclass_params__.frozen
    assert View.__dataclass_params__.frozen


def test_nothing_of_a_view_is_printed():
    view = views(Pipeline(TopK(2)))(Vantage.SERVER | Vantage.client(0))
    assert "tensor" not in repr(view)
    assert "b'" not in repr(view)


def test_a_tape_is_a_wire():
    tape = Tape()
    wire = tape.recording(lambda letters: [(who, b"re:" + x) for who, x in letters.items()])
    assert list(wire({1: b"a", 2: b"b"})) == [(1, b"re:a"), (2, b"re:b")]
    assert [(p.sender, p.receiver, p.letter) for p in tape.posted] == [
        (SERVER, 1, b"a"),
        (SERVER, 2, b"b"),
        (1, SERVER, b"re:a"),
        (2, SERVER, b"re:b"),
    ]

"""A client is in one hidden sum on one model, and only on the model that it was sent."""

from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from parts_for_tests import PowerSGD
from privfl import Pipeline, ProtocolAbort
from privfl.compression import Quantize
from privfl.core import weights_hash
from privfl.defenses.dp import Clip, LocalGaussianNoise
from privfl.defenses.masking import SecAgg
from privfl.parts import Grouped, Mean
from privfl.rounds import Round, drive, dropping, respond
from rounds_for_tests import Clients, opened

MODEL, OTHER = b"m" * 32, b"o" * 32
HIDDEN = [
    Pipeline(Clip(1.0), SecAgg()),
    Pipeline(Clip(1.0), Grouped(SecAgg(), size=2), Mean()),
]
NOT_KEPT = [
    Pipeline(Clip(1.0)),  # each update is seen anyway
    Pipeline(Clip(1.0), LocalGaussianNoise(1.0), SecAgg()),  # the claim counts each release
]


def run(line, clients, model, drop=None, **options):
    opening = opened(line, clients, model=model, **options)
    wire = dropping(clients.wire(), drop or {}, line.protocol.stages)
    return drive(Round.open(line, opening, registry=clients.registry), wire)


@pytest.mark.parametrize("line", HIDDEN, ids=str)
def test_a_second_sum_on_one_model_is_refused(line):
    clients = Clients(line, torch.eye(4))
    assert len(run(line, clients, MODEL).survivors) == 4
    with pytest.raises(ProtocolAbort):
        run(line, clients, MODEL)
    aborts = {}
    opening = opened(line, clients, model=MODEL)
    with suppress(ProtocolAbort):
        drive(Round.open(line, opening, registry=clients.registry), clients.wire(aborts))
    assert set(aborts.values()) == {
        "This client has contributed to a sum on this model before (R16)"
    }
    assert len(run(line, clients, OTHER).survivors) == 4


@pytest.mark.parametrize("line", NOT_KEPT, ids=str)
def test_what_hides_nothing_or_counts_everything_may_repeat(line):
    clients = Clients(line, torch.eye(4))
    assert [len(run(line, clients, MODEL).survivors) for _ in range(2)] == [4, 4]


def test_who_names_no_model_is_not_held_to_it():
    line = HIDDEN[0]
    clients = Clients(line, torch.eye(4))
    assert [len(run(line, clients, b"").survivors) for _ in range(2)] == [4, 4]


def test_a_client_that_did_not_unmask_is_free_and_has_fresh_keys():
    line = HIDDEN[0]
    clients = Clients(line, torch.eye(5))
    with pytest.raises(ProtocolAbort):
        run(line, clients, MODEL, dict.fromkeys(range(3), "unmask"))
    kept = [clients.memory(who)["protocol"]["secrets"] for who in range(3)]
    assert run(line, clients, MODEL).survivors == (0, 1, 2, 3, 4)
    assert all(clients.memory(who)["protocol"] == {"next": "nothing"} for who in range(5))
    assert len(set(kept)) == 3


def test_the_passes_of_one_round_are_one_contribution():
    line = Pipeline(PowerSGD(1, 2), Clip(1000.0), Quantize(24), SecAgg())
    clients = Clients(line, torch.randn(4, 6))
    assert len(run(line, clients, MODEL).survivors) == 4
    assert clients.memory(0)["contributed"] == (MODEL,)
    with pytest.raises(ProtocolAbort):
        run(line, clients, MODEL)


def test_aggregate_holds_its_clients_to_the_model_from_round_to_round():
    shield, updates = HIDDEN[0], torch.eye(4)
    model = weights_hash({"w": torch.ones(3)})
    state = shield.aggregate(updates, model=model).state
    with pytest.raises(ProtocolAbort, match="contributed to a sum on this model before"):
        shield.aggregate(updates, model=model, state=state)
    assert shield.aggregate(updates, model=OTHER, state=state).state["round"] == 2


def test_a_client_refuses_an_opening_for_another_model_than_it_was_sent():
    line = HIDDEN[0]
    clients = Clients(line, torch.eye(3))
    first = Round.open(line, opened(line, clients, model=OTHER)).letters[0]
    keys = {"identity": clients.keys[0], "registry": clients.registry}
    with pytest.raises(ProtocolAbort, match="another model than it sent"):
        respond(line, 0, first, b"", lambda: (torch.ones(3), {}), model=MODEL, **keys)
    respond(line, 0, first, b"", lambda: (torch.ones(3), {}), model=OTHER, **keys)


def test_a_protocol_that_signs_asks_for_an_identity_and_a_registry():
    line = HIDDEN[0]
    clients = Clients(line, torch.eye(3))
    first = Round.open(line, opened(line, clients)).letters[0]
    with pytest.raises(ValueError, match="pass identity= and registry="):
        respond(line, 0, first, b"", lambda: (torch.ones(3), {}))


def test_a_pass_that_the_pipeline_does_not_have_is_refused():
    line = HIDDEN[0]
    clients = Clients(line, torch.eye(4))
    opening = opened(line, clients, model=MODEL)
    drive(Round.open(line, opening, registry=clients.registry), clients.wire())
    again = Round.open(line, replace(opening, pass_index=1)).letters[0]
    with pytest.raises(ProtocolAbort, match="A pass more than this client's pipeline has"):
        clients.answer(0, again)

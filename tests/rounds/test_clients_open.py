"""Who opens is a field of the contract: here the clients do, and the server learns who counts."""

import pytest
import torch

from parts_for_tests import AdaptiveClip, ClientsOpen, CorrelatedNoise, First, PowerSGD, RandomK
from privfl import CompositionError, Pipeline, ProtocolAbort, Vantage
from privfl.defenses.dp import CentralGaussianNoise, Clip
from privfl.parts import Grouped, Mean, Weigh
from privfl.rounds import Round, dropping
from privfl.views import Transcript
from rounds_for_tests import Clients, opened, through_bytes, whole_numbers


def test_the_clients_release_is_the_mean_of_those_who_are_counted():
    updates = whole_numbers(4, 6)
    release = Pipeline(ClientsOpen()).aggregate(updates, drop={2: "upload"})
    assert release.survivors == (0, 1, 3)
    assert torch.equal(release.update, updates[[0, 1, 3]].sum(dim=0) / 3)
    assert release.denominator == 3
    assert str(release) == "3 of 4"


def test_the_server_holds_no_release():
    line = Pipeline(ClientsOpen())
    clients = Clients(line, whole_numbers(3, 4))
    release = through_bytes(Round.open(line, opened(line, clients)), clients.wire())
    assert release.update.numel() == 0
    assert release.survivors == (0, 1, 2)
    assert release.opened is None


def test_a_client_keeps_its_release_in_bytes():
    line, updates = Pipeline(ClientsOpen()), whole_numbers(3, 4)
    clients = Clients(line, updates)
    through_bytes(Round.open(line, opened(line, clients)), clients.wire())
    for who in range(3):
        kept = clients.memory(who)["release"]
        assert torch.equal(kept["update"], updates.sum(dim=0) / 3)
        assert kept["survivors"] == (0, 1, 2)


def test_a_client_that_is_gone_does_not_hand_out_its_last_release():
    """What it keeps is from the round before: the release of this one is another."""
    shield = Pipeline(ClientsOpen())
    first = shield.aggregate(torch.zeros(3, 2))
    second = shield.aggregate(torch.ones(3, 2), state=first.state, drop={0: "upload"})
    assert second.update.tolist() == [1, 1]
    assert second.survivors == (1, 2)


def test_one_client_that_opens_is_enough():
    updates = whole_numbers(3, 2)
    release = Pipeline(ClientsOpen()).aggregate(updates, drop={0: "open", 2: "open"})
    assert torch.equal(release.update, updates.sum(dim=0) / 3)
    with pytest.raises(ProtocolAbort, match="No client opened the sum"):
        Pipeline(ClientsOpen()).aggregate(updates, drop=dict.fromkeys(range(3), "open"))


def test_clients_undo_what_they_did():
    updates = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    shield = Pipeline(Weigh(10), Clip(1.0), RandomK(2), ClientsOpen())
    release = shield.aggregate(updates, n_examples=[10, 5])
    weighed = torch.tensor([0.6, 0.8]) + torch.tensor([0.0, 0.5])
    assert torch.allclose(release.update, weighed / 1.5)
    assert release.scalars["n_examples"] == pytest.approx(7.5)


def test_clients_see_the_sum_and_the_server_does_not():
    updates = whole_numbers(3, 2)
    transcript = Pipeline(ClientsOpen()).aggregate(updates, transcript=True).transcript
    assert isinstance(transcript, Transcript)
    assert transcript.view(Vantage.SERVER).rows is None
    assert transcript.view(Vantage.OUTSIDER).rows is None
    assert torch.equal(transcript.view(Vantage.client(1)).rows.sums[0], updates.sum(dim=0))


def test_noise_behind_is_added_by_the_clients():
    shield = Pipeline(
        Clip(1.0), ClientsOpen(), Mean(), CentralGaussianNoise(1.0), accepting="exact_sum_to_server"
    )
    update = shield.aggregate(torch.zeros(4, 2000)).update
    assert float(update.std()) == pytest.approx(0.25, rel=0.15)


@pytest.mark.parametrize(
    "parts",
    [
        (AdaptiveClip(), ClientsOpen()),
        (PowerSGD(1, 2), ClientsOpen()),
        (ClientsOpen(), Mean(), CorrelatedNoise(1.0)),
    ],
)
def test_what_remembers_what_the_server_opens_is_refused(parts):
    with pytest.raises(CompositionError, match="nobody hands it on") as error:
        Pipeline(*parts)
    assert error.value.rule == "R33"
    assert ClientsOpen() in error.value.parts


def test_groups_of_clients_that_open_are_refused():
    with pytest.raises(CompositionError, match="each would open its own group only") as error:
        Pipeline(Grouped(ClientsOpen(), size=2))
    assert (error.value.rule, error.value.parts[0]) == ("R33", ClientsOpen())


def test_a_rule_that_compares_is_refused_a_sum():
    with pytest.raises(CompositionError) as error:
        Pipeline(ClientsOpen(), First())
    assert error.value.rule == "R8"


def test_letters_of_the_second_stage_reach_those_who_sent():
    line = Pipeline(ClientsOpen())
    clients = Clients(line, whole_numbers(3, 4))
    wire = dropping(clients.wire(), {1: "upload"}, ClientsOpen.stages)
    first = Round.open(line, opened(line, clients))
    second = first.collect(wire(first.letters))
    assert (second.stage, set(second.letters)) == ("open", {0, 2})


def test_nobody_but_who_opens_holds_the_release():
    updates = whole_numbers(3, 2)
    kept = Pipeline(ClientsOpen()).aggregate(updates, transcript=True).transcript
    assert kept.view(Vantage.SERVER).release is None
    assert kept.view(Vantage.OUTSIDER).release is None
    assert torch.equal(kept.view(Vantage.client(1)).release, updates.mean(dim=0))
    published = Pipeline().aggregate(updates, transcript=True).transcript
    assert torch.equal(published.view(Vantage.OUTSIDER).release, updates.mean(dim=0))

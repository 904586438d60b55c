"""FedPer and FedRep: what is personal stays with its client, and is nobody else's."""

import pytest
import torch
from torch import nn

from privfl import Federation, Layout, Pipeline
from privfl.crypto import Stream
from privfl.defenses.dp import Clip
from privfl.defenses.masking import SecAgg
from privfl.learning import FedOpt, FedPer, FedRep, Fleet, LocalSGD, ServerMomentum, batch_norms
from privfl.parts import Plain
from privfl.sampling import Device, FixedSize

N = 4
BODY = {"body.weight", "body.bias"}
HEAD = {"head.weight", "head.bias"}


class Net(nn.Module):
    """A body and a head, with batch normalisation between them if asked for."""

    def __init__(self, norm=False):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.body = nn.Linear(3, 4)
            self.norm = nn.BatchNorm1d(4) if norm else nn.Identity()
            self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.norm(self.body(x)))


def data(n=N):
    g = torch.Generator().manual_seed(1)
    return [(torch.randn(6, 3, generator=g), torch.randint(2, (6,), generator=g)) for _ in range(n)]


def federation(algorithm, pipeline=None, *, net=None, **options):
    options = {"loss": nn.functional.cross_entropy, "local": LocalSGD(lr=0.5, steps=2)} | options
    net = Net() if net is None else net
    return Federation(net, data(), pipeline or Pipeline(), algorithm=algorithm, **options)


def of(run, client):
    return {name: w.clone() for name, w in run.model_of(client).state_dict().items()}


def same(a, b, names):
    return all(torch.equal(a[name], b[name]) for name in names)


class Sent:
    """Stand in for the attackers of a federation, to see what every client hands over."""

    def __init__(self):
        self.rows = {}

    def poisoned(self, datasets):
        return datasets

    def corrupted(self, update_of, members):
        def noted(who):
            update, scalars = update_of(who)
            self.rows[who] = update.clone()
            return update, scalars

        return noted

    def rogues(self, pipeline, members):
        return {}


@pytest.mark.parametrize("algorithm", [FedPer(["head"]), FedRep("head")], ids=["per", "rep"])
def test_what_a_client_sends_is_its_body_and_nothing_of_its_head(algorithm):
    seen, net = Sent(), Net()
    before = Net().state_dict()
    run = federation(algorithm, net=net, adversary=seen)
    done = run.round()
    expected = torch.cat([before[name].flatten() for name in ("body.weight", "body.bias")])
    bodies = []
    for who, row in seen.rows.items():
        assert row.shape == expected.shape == done.release.update.shape
        assert not same(of(run, who), before, ["head.weight"])
        bodies.append(row)
    moved = torch.stack(bodies).mean(dim=0)
    now = run.model.state_dict()
    after = torch.cat([now[name].flatten() for name in ("body.weight", "body.bias")])
    assert torch.allclose(after, expected + moved, atol=1e-6)
    assert same(now, before, HEAD)  # nor does a head come to the server by the model


def test_no_letter_holds_a_coordinate_of_a_head(monkeypatch):
    """Every head is one number of its own: none of them is in what travels, and bodies are."""
    quiet = Pipeline.run

    def recorded(self, *args, **options):
        return quiet(self, *args, **options, transcript=True)

    def local(model, data, generator):
        mark = float(data[0][0, 0])
        with torch.no_grad():
            model.head.weight.fill_(mark)
            model.body.weight.fill_(1.0 + mark)
        return model

    monkeypatch.setattr(Pipeline, "run", recorded)
    run = federation(FedPer(["head"]), local=local)
    posted = [p for done in run.rounds(2) for p in done.release.transcript.posted]
    letters = b"".join(p.letter for p in posted)
    assert len(posted) >= 2 * 2 * N
    for who, (x, _) in enumerate(data()):
        head = run.model_of(who).head.weight.detach()
        assert (head == x[0, 0]).all()
        assert head[0, :1].numpy().tobytes() not in letters
    body = torch.full((1,), 1.0 + float(data()[0][0][0, 0])) - Net().body.weight[0, 0].detach()
    assert body.numpy().tobytes() in letters  # the control: what travels is found in this way


def test_two_clients_never_share_a_head_and_all_share_the_body():
    run = federation(FedPer(["head"]))
    for _ in run.rounds(3):
        states = [of(run, who) for who in range(N)]
        for i, a in enumerate(states):
            assert same(a, run.model.state_dict(), BODY)
            assert not any(torch.equal(a["head.weight"], b["head.weight"]) for b in states[:i])


def test_a_head_depends_on_its_own_clients_data_and_the_common_body_only():
    """In the first round everybody has the same body, so each head is training alone."""
    run = federation(FedPer(["head"]))
    run.round()
    for who, (x, y) in enumerate(data()):
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), 0.5)
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        assert torch.allclose(of(run, who)["head.weight"], net.head.weight.detach(), atol=1e-6)


def test_a_client_goes_on_from_its_own_head():
    run = federation(FedPer(["head"]), local=bump)
    list(run.rounds(3))
    for who in range(N):
        start = Net().head.weight
        assert torch.allclose(of(run, who)["head.weight"], start + 3, atol=1e-5)


def bump(model, data, generator):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    return model


def test_whose_update_was_lost_keeps_the_head_it_trained():
    lost = federation(FedPer(["head"]), Pipeline(Clip(1.0), SecAgg()))
    list(lost.rounds(1))
    before = of(lost, 2)
    lost.round(drop={2: "unmask"})  # its word is in the sum, and it is gone after
    assert not same(of(lost, 2), before, ["head.weight"])
    gone = federation(FedPer(["head"]))
    list(gone.rounds(1))
    before = of(gone, 2)
    assert 2 not in gone.round(drop={2: "upload"}).release.survivors
    assert same(of(gone, 2), before, HEAD)  # it was never asked
    assert not same(of(gone, 2), before, BODY)


def test_who_is_not_drawn_keeps_the_head_it_has():
    run = federation(FedPer(["head"]), sampling=FixedSize(size=2), generator=Stream.replay(2))
    heads = [of(run, who) for who in range(N)]
    for done in run.rounds(6):
        for who in range(N):
            drawn = who in done.release.survivors
            assert same(of(run, who), heads[who], HEAD) != drawn
            heads[who] = of(run, who)


def test_who_drops_out_of_a_fleet_keeps_the_head_it_has():
    fleet = Fleet([Device(), Device(dropout=1.0)])
    run = federation(FedPer(["head"]), fleet=fleet)
    list(run.rounds(2))
    assert same(of(run, 1), Net().state_dict(), HEAD)
    assert not same(of(run, 0), Net().state_dict(), ["head.weight"])


# local batch normalisation


def test_batch_norms_names_them_all():
    net = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    assert batch_norms(net) == ("0", "1.1")
    assert batch_norms(Net()) == ()


def test_local_batch_norm_keeps_statistics_and_counters_at_home():
    net = Net(norm=True)
    run = federation(FedPer(batch_norms(net)), net=net)
    assert (run.layout.statistics_dim, run.layout.dim) == (0, 3 * 4 + 4 + 4 * 2 + 2)
    list(run.rounds(3))
    states = [of(run, who) for who in range(N)]
    names = ["norm.running_mean", "norm.running_var", "norm.weight"]
    for name in names:
        assert not any(torch.equal(a[name], b[name]) for a in states for b in states if a is not b)
    assert [int(state["norm.num_batches_tracked"]) for state in states] == [6] * N
    common = run.model.state_dict()
    assert all(torch.equal(common[name], Net(norm=True).state_dict()[name]) for name in names)
    assert all(same(state, common, BODY | HEAD) for state in states)


def test_local_batch_norm_is_what_the_data_of_one_client_say():
    """Whole batches and a body that stands still: each statistic is that of one client."""

    def local(model, pair, generator):
        model(pair[0])
        return model

    net = Net(norm=True)
    net.norm.momentum = 1.0
    run = federation(FedPer(batch_norms(net)), net=net, local=local)
    list(run.rounds(2))
    for who, (x, _) in enumerate(data()):
        hidden = Net().body(x).detach()
        norm = run.model_of(who).norm
        assert torch.allclose(norm.running_mean, hidden.mean(dim=0), atol=1e-5)
        assert torch.allclose(norm.running_var, hidden.var(dim=0), atol=1e-5)


# the two phases of FedRep


def test_fedrep_trains_the_head_on_the_old_body_and_then_the_body_on_the_new_head():
    run = federation(FedRep(["head"], head=LocalSGD(lr=0.3, steps=3)))
    run.round()
    bodies = []
    for who, (x, y) in enumerate(data()):
        net = Net()
        for names, lr, steps in ((HEAD, 0.3, 3), (BODY, 0.5, 2)):
            for _ in range(steps):
                net.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                with torch.no_grad():
                    for name, parameter in net.named_parameters():
                        if name in names:
                            parameter -= lr * parameter.grad
        assert torch.allclose(of(run, who)["head.weight"], net.head.weight.detach(), atol=1e-6)
        bodies.append(net.body.weight.detach())
    expected = torch.stack(bodies).mean(dim=0)
    assert torch.allclose(run.model.body.weight.detach(), expected, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_fedrep_moves_one_part_at_a_time(momentum):
    """With momentum too: an optimiser steps by what is left over in a gradient."""
    seen, trained = [], LocalSGD(lr=0.5, steps=2, momentum=momentum)

    def local(model, pair, generator):
        before = {name: w.clone() for name, w in model.state_dict().items()}
        out = trained.train(model, pair, nn.functional.cross_entropy, Stream()).model
        now = out.state_dict()
        seen.append({name for name in now if not torch.equal(now[name], before[name])})
        return out

    run = federation(FedRep(["head"]), local=local)
    list(run.rounds(2))
    assert seen == [HEAD, BODY] * (2 * N)


def test_fedrep_gives_every_parameter_back_as_it_was():
    net = Net()
    net.body.bias.requires_grad_(False)
    run = federation(FedRep(["head"]), net=net)
    list(run.rounds(2))
    flags = {name: p.requires_grad for name, p in run.worker.named_parameters()}
    assert flags == {name: name != "body.bias" for name in BODY | HEAD}
    assert torch.equal(run.model.body.bias, Net().body.bias)


# what is refused, and what is kept


@pytest.mark.parametrize(
    "layout",
    [Layout.of(Net()), Layout.of(Net(), exclude=["head.bias"]), Layout.of(Net(), only=["head"])],
)
def test_a_layout_that_shares_a_personal_layer_is_refused(layout):
    with pytest.raises(ValueError, match=r"must not share personal layers.*head\.weight"):
        federation(FedPer(["head"]), layout=layout)
    federation(FedPer(["head"]), layout=Layout.of(Net(), exclude=["head"])).round()


def test_a_name_is_no_prefix_of_another_ones_name():
    net = nn.ModuleDict({"head": nn.Linear(2, 2), "header": nn.Linear(2, 2)})
    layout = FedPer(["head"]).layout(net)
    assert layout.excluded == ("head.weight", "head.bias")
    assert not FedPer(["head"])._is_personal("header.weight")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FedPer([]), "at least one layer"),
        (lambda: federation(FedPer(["tail"])), "exclude must name"),
        (lambda: federation(FedPer(["body", "head"])), "at least one floating-point"),
        (lambda: federation(FedPer(["head"])).model_of(9), "Clients are"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("algorithm", [FedPer(["norm", "head"]), FedRep("head")])
def test_a_checkpoint_keeps_every_head(algorithm, tmp_path):
    net = Net(norm=isinstance(algorithm, FedPer) and not isinstance(algorithm, FedRep))
    run = federation(algorithm, net=net, sampling=FixedSize(size=2), generator=Stream.replay(7))
    list(run.rounds(2))
    run.save(tmp_path / "half")
    again = Federation.resume(
        tmp_path / "half",
        Net(norm=isinstance(net.norm, nn.BatchNorm1d)),
        data(),
        Pipeline(),
        loss=nn.functional.cross_entropy,
        local=LocalSGD(lr=0.5, steps=2),
        algorithm=algorithm,
        sampling=FixedSize(size=2),
    )
    list(run.rounds(3))
    list(again.rounds(3))
    for who in range(N):
        assert same(of(run, who), of(again, who), of(run, who))


def test_a_server_optimiser_around_it_leaves_heads_alone():
    plain = federation(FedPer(["head"]), Pipeline(Plain()))
    inner = FedPer(["head"])
    around = federation(FedOpt(ServerMomentum(lr=1.0, momentum=0.0), inner))
    for run in (plain, around):
        list(run.rounds(2))
    for who in range(N):
        a, b = of(plain, who), of(around, who)
        assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)
    assert same(around.model.state_dict(), Net().state_dict(), HEAD)


class Tied(nn.Module):
    """A model whose first and last layer are one."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.mid = nn.Linear(3, 3, bias=False), nn.Linear(3, 3)
            self.last = nn.Linear(3, 3, bias=False)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(self.mid(self.first(x)))


@pytest.mark.parametrize("name", ["first", "last"])
def test_a_tied_layer_is_personal_under_both_of_its_names(name):
    run = federation(FedPer([name]), net=Tied())
    run.round()
    assert run.layout.excluded == ("first.weight", "last.weight")
    states = [run.model_of(who).first.weight.detach() for who in range(N)]
    assert not any(torch.equal(state, Tied().first.weight) for state in states)
    assert not any(torch.equal(a, b) for a in states for b in states if a is not b)

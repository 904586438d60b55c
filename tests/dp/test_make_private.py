import copy
import io
import math
from collections import namedtuple

import pytest
import torch
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from dp_models_for_tests import Bare, Borrowed, Following, Mixing, case, plain, rows
from oracles import dp_sgd
from privfl.accounting import epsilon_of
from privfl.core import BudgetExceeded, Charge, Relation, Unit, Vantage
from privfl.crypto import Stream
from privfl.defenses.dp import DPSGD, make_private, make_private_with_epsilon
from privfl.defenses.dp._per_sample_by import WAYS
from privfl.sampling import Everybody, FixedSize, Poisson, Shuffled

LOSS = nn.functional.cross_entropy
QUIET = 1e-9


class Book:
    """An account on a list; what passes ``limit`` steps is refused, as a budget would."""

    def __init__(self, limit=math.inf):
        self.limit, self.entries = limit, []

    def reserve(self, charges, *, pipeline="", seeded=False):
        (charge,) = charges
        if self.steps + charge.count > self.limit:
            raise BudgetExceeded(1.1, 1.0, 1e-5, "clinic-3")
        self.entries.append((charge, pipeline, seeded))

    @property
    def steps(self):
        return sum(charge.count for charge, _, _ in self.entries)

    @property
    def blocks(self):
        return [charge.count for charge, _, _ in self.entries]


class Ledger:
    """What holds accounts: charged by nobody."""

    def reserve(self, charges):
        raise AssertionError

    def dataset(self, name):
        return Book()


def flat(model):
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.cat([p.detach().flatten() for p in trained]).double()


def loader_of(x, y, **options):
    return DataLoader(TensorDataset(x, y), **{"batch_size": 4, **options})


def private(model, loader, optimizer=None, **options):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    settings = {"clip_norm": 0.5, "noise_multiplier": 1.0, "ledger": None, **options}
    return make_private(model, optimizer, loader, **settings)


def loop(model, optimizer, loader, loss=LOSS, steps=math.inf):
    """The loop that people have."""
    for taken, (x, y) in enumerate(loader, start=1):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
        if taken == steps:
            return


def small(n=20, **options):
    model, x, y = case("mlp", n=n)
    return private(model, loader_of(x, y), **options)


# the loop


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mlp", "conv", "groupnorm", "embedding", "0-d", "tied", "frozen"])
def test_the_loop_trains_as_one_record_at_a_time_would(way, name):
    model, x, y = case(name)
    momentum = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.3, momentum=0.9
    )
    expected = dp_sgd.train(
        model, 3 * [(x, y)], LOSS, lr=0.3, clip_norm=0.5, divisor=7, momentum=0.9
    )
    trained = private(
        model,
        loader_of(x, y),
        momentum,
        noise_multiplier=QUIET,
        gradients=way,
        sampling=Everybody(),
    )
    if name == "tied" and way == "ghost":
        with pytest.raises((ValueError, NotImplementedError), match=r"used again|tying"):
            loop(*trained)
        return
    for _ in range(3):
        loop(*trained)
    assert torch.allclose(flat(model), expected, atol=1e-5)


@pytest.mark.parametrize("way", [None, *WAYS])
def test_it_does_what_dpsgd_does_on_the_same_stream(way):
    model, x, y = case("mlp", n=24)
    twin = copy.deepcopy(model)
    trainer = DPSGD(lr=0.1, clip_norm=0.5, batch_size=4, gradients=way)
    trainer.train(twin, (x, y), LOSS, Stream.replay(9))
    loop(*private(model, loader_of(x, y), generator=9, gradients=way))
    assert torch.allclose(flat(model), flat(twin), atol=1e-6)


def test_the_model_is_the_same_object_with_the_same_keys_and_its_copies_are_plain():
    model, x, y = case("conv")
    keys = list(model.state_dict())
    same, optimizer, loader = private(model, loader_of(x, y), gradients="hooks")
    loop(same, optimizer, loader)
    assert same is model
    assert list(model.state_dict()) == keys
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for copied in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        LOSS(copied(x), y).backward()
        assert all(p.grad is not None for p in copied.parameters())
        assert all(not vars(p) for p in copied.parameters())
    loop(same, optimizer, loader)


def test_evaluation_passes_untouched():
    model, optimizer, loader = small()
    x = rows(5)
    plain = copy.deepcopy(model)
    with torch.no_grad():
        assert torch.equal(model(x), plain(x))
    model.eval()
    model(x).sum().backward()
    assert next(model.parameters()).grad is not None
    optimizer.zero_grad()
    model.train()
    for batch, y in loader:
        with torch.no_grad():
            model(batch)
        model.eval()
        model(batch)
        model.train()
        LOSS(model(batch), y).backward()
        optimizer.step()


def test_schedulers_closures_and_states_are_those_of_the_optimizer_inside():
    model, x, y = case("mlp", n=20)
    inside = torch.optim.Adam(model.parameters(), lr=0.1)
    model, optimizer, loader = private(model, loader_of(x, y), inside)
    assert isinstance(optimizer, torch.optim.Optimizer)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(2):
        loop(model, optimizer, loader)
        scheduler.step()
    assert inside.param_groups[0]["lr"] == pytest.approx(0.025)
    state = optimizer.state_dict()
    assert int(state["state"][0]["step"]) == 10
    optimizer.load_state_dict(state)
    again = private(model, loader_of(x, y), torch.optim.Adam(model.parameters()))[1]
    again.load_state_dict(state)
    assert again.param_groups[0]["lr"] == pytest.approx(0.025)

    model, optimizer, loader = small(sampling=Everybody())
    for x, y in loader:

        def closure(x=x, y=y):
            optimizer.zero_grad()
            value = LOSS(model(x), y)
            value.backward()
            return value

        assert float(optimizer.step(closure).detach()) > 0


# noise


@pytest.mark.parametrize("way", WAYS)
def test_noise_has_the_stated_scale_and_is_fresh_in_each_step(way):
    """Variance of 40,000 draws within 3.5 %, correlations below .025: 1e-6 each."""
    d = 40_000
    model = nn.Sequential(nn.Linear(d, 1, bias=False))
    nn.init.zeros_(model[0].weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    model, optimizer, loader = private(
        model,
        loader_of(torch.zeros(8, d), torch.zeros(8)),
        optimizer,
        clip_norm=3.0,
        noise_multiplier=0.7,
        gradients=way,
    )
    moves, last = [], flat(model)
    for x, _ in loader:
        model(x).mean().backward()
        optimizer.step()
        moves.append(flat(model) - last)
        last = flat(model)
    for moved in moves:
        spread = 5 * math.sqrt(2 / d)
        assert float(moved.var()) / (2.0 * 0.7 * 3.0 / 4) ** 2 == pytest.approx(1, abs=spread)
    assert abs(float(torch.corrcoef(torch.stack(moves))[0, 1])) < 5 / math.sqrt(d)


def test_sums_are_divided_by_the_public_batch_size():
    model = nn.Sequential(nn.Linear(1, 1, bias=False))
    nn.init.zeros_(model[0].weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    loader = loader_of(torch.ones(40, 1), torch.zeros(40))
    model, optimizer, loader = private(
        model, loader, optimizer, clip_norm=1.0, noise_multiplier=QUIET
    )
    last, seen = 0.0, set()
    for x, _ in loader:
        model(x).mean().backward()
        optimizer.step()
        now = float(model[0].weight.detach())
        moved, last = last - now, now
        assert 4 * moved == pytest.approx(len(x), abs=1e-3)
        seen.add(len(x))
    assert len(seen) > 2


@pytest.mark.parametrize("way", WAYS)
def test_a_record_whose_gradient_is_not_finite_counts_as_zero(way):
    model, x, y = case("mlp")
    x[3] = math.nan
    before, kept = flat(model), [0, 1, 2, 4, 5, 6]
    expected = dp_sgd.clipped_sum(model, x[kept], y[kept], LOSS, 0.5) / 7
    loop(
        *private(
            model,
            loader_of(x, y),
            noise_multiplier=QUIET,
            gradients=way,
            sampling=Everybody(),
        )
    )
    assert torch.allclose(before - flat(model), 0.1 * expected, atol=1e-5)


# batches


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_batch_is_a_step_that_is_charged(way):
    """A coin of 1e-9 for 7 records in some steps comes up once in 5e7 runs."""
    book, (model, x, y) = Book(), case("conv")
    before = flat(model)
    model, optimizer, loader = private(
        model, loader_of(x, y), ledger=book, gradients=way, sampling=Poisson(size=2, rate=1e-9)
    )
    for batch, labels in loader:
        assert batch.shape == (0, 1, 8, 8)
        assert (batch.dtype, labels.dtype, labels.shape) == (x.dtype, y.dtype, (0,))
        LOSS(model(batch), labels).backward()
        optimizer.step()
    assert bool((flat(model) != before).all())
    assert book.steps == len(loader) == 4


def test_empty_batches_have_the_structure_that_collation_gives():
    Pair = namedtuple("Pair", "image label")

    class Records(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, k):
            pair = Pair(torch.rand(3, 2), k)
            return {"pair": pair, "name": "somebody", "both": (torch.ones(2), 1.5)}

    loader = DataLoader(Records(), batch_size=2)
    model = nn.Linear(2, 1)
    _, _, loader = private(model, loader, sampling=Poisson(size=2, rate=1e-9))
    batch = next(iter(loader))
    assert batch["pair"].image.shape == (0, 3, 2)
    assert batch["pair"].label.dtype == torch.int64
    assert batch["name"] == []
    assert [part.shape for part in batch["both"]] == [(0, 2), (0,)]


def test_workers_load_ahead_and_sizes_still_match():
    book, (model, x, y) = Book(), case("mlp", n=24)
    loop(*private(model, loader_of(x, y, num_workers=1), ledger=book))
    assert book.steps == 6


def test_batches_are_poisson_draws_of_the_loaders_batch_size():
    """1,500 batches of 24 coins of 1/6: mean within .11, five standard errors."""
    model, x, y = case("mlp", n=24)
    x[:, 0] = torch.arange(24.0)
    _, _, loader = private(model, loader_of(x, y, shuffle=True))
    sizes = []
    for _ in range(250):
        for batch, _ in loader:
            sizes.append(float(len(batch)))
            assert len(set(batch[:, 0].tolist())) == len(batch)
    assert len(sizes) == 1500
    found = torch.tensor(sizes)
    assert float(found.mean()) == pytest.approx(4, abs=5 * math.sqrt(4 * 5 / 6 / 1500))
    assert float(found.var()) == pytest.approx(4 * 5 / 6, rel=0.2)


# what a step refuses


def test_a_second_step_on_one_batch_is_refused():
    model, optimizer, loader = small(sampling=Everybody())
    for x, y in loader:
        LOSS(model(x), y).backward()
        optimizer.step()
        before = flat(model)
        with pytest.raises(ValueError, match="fresh batch"):
            optimizer.step()
        LOSS(model(x), y).backward()
        with pytest.raises(ValueError, match="nobody accounted"):
            optimizer.step()
        assert torch.equal(flat(model), before)


def test_a_step_without_a_draw_or_a_backward_pass_is_refused():
    model, optimizer, loader = small(sampling=Everybody())
    x, y = rows(4), torch.zeros(4).long()
    LOSS(model(x), y).backward()
    with pytest.raises(ValueError, match="fresh batch"):
        optimizer.step()
    for _ in loader:
        with pytest.raises(ValueError, match="takes a backward pass"):
            optimizer.step()


def test_gradients_of_other_records_are_refused():
    model, optimizer, loader = small(sampling=Everybody())
    before = flat(model)
    for x, y in loader:
        LOSS(model(x[:7]), y[:7]).backward()
        with pytest.raises(ValueError, match="one gradient for each record"):
            optimizer.step()
    for x, y in loader:
        LOSS(model(x), y).backward()
        with pytest.raises(ValueError, match="takes one backward pass"):
            LOSS(model(x), y).backward()
    assert torch.equal(flat(model), before)


def test_gradients_that_come_past_the_output_are_refused():
    model, optimizer, loader = small(sampling=Everybody())
    for x, y in loader:
        (LOSS(model(x), y) + model[0].weight.square().sum()).backward()
        with pytest.raises(ValueError, match="weight_decay"):
            optimizer.step()
        optimizer.zero_grad()
        optimizer.step()


def test_the_backward_pass_of_an_older_forward_is_refused():
    for way in WAYS:
        model, _, loader = small(sampling=Everybody(), gradients=way)
        for x, y in loader:
            older = LOSS(model(x), y)
            LOSS(model(x), y)
            with pytest.raises(ValueError, match="belongs to the last forward"):
                older.backward()


def test_the_loader_of_another_wrap_does_not_count():
    model, x, y = case("mlp", n=20)
    model, old, before = private(model, loader_of(x, y))
    model, new, after = private(model, loader_of(x, y))
    for optimizer, loader in ((new, before), (old, after), (old, before)):
        with pytest.raises(ValueError, match=r"fresh batch|backward pass"):
            loop(model, optimizer, loader)
    loop(model, new, after)


def test_changed_settings_and_weights_are_refused_until_it_is_wrapped_again():
    model, optimizer, loader = small()
    optimizer.noise_multiplier = 0.1
    with pytest.raises(ValueError, match="Call make_private again"):
        loop(model, optimizer, loader)
    model, optimizer, loader = small()
    optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    with pytest.raises(ValueError, match="Call make_private again"):
        loop(model, optimizer, loader)


# wrapping again


def test_wrapping_again_clips_and_noises_once():
    """Variance of 40,000 draws within 3.5 % of one noise; three hooks in all after three wraps."""
    d = 40_000
    model = nn.Sequential(nn.Linear(d, 1, bias=False))
    nn.init.zeros_(model[0].weight)
    three = (
        model,
        torch.optim.SGD(model.parameters(), lr=1.0),
        loader_of(torch.ones(4, d), torch.zeros(4)),
    )
    for fresh in (False, False, True):
        if fresh:
            three = model, torch.optim.SGD(model.parameters(), lr=1.0), three[2].plain
        last = flat(model)
        three = private(*three[::2], three[1], sampling=Everybody())
        for x, _ in three[2]:
            three[0](x).mean().backward()
            three[1].step()
        moved = flat(model) - last + 0.5 / math.sqrt(d)
        spread = 5 * math.sqrt(2 / d)
        assert float(moved.var()) / (0.5 / 4) ** 2 == pytest.approx(1, abs=spread)
        assert len(model._forward_hooks) == len(model._forward_pre_hooks) == 1
        assert not model[0]._forward_hooks


@pytest.mark.parametrize("way", WAYS)
def test_a_forward_pass_that_failed_does_not_stop_the_next_one_or_another_wrap(way):
    model, x, y = case("conv")
    three = private(model, loader_of(x, y), gradients=way)
    with pytest.raises(RuntimeError):
        model(x[..., :3])
    three = private(*three[::2], three[1], gradients=way)
    with pytest.raises(RuntimeError):
        model(x[..., :3])
    loop(*three)


def test_wrapping_again_returns_the_same_optimizer_and_keeps_its_scheduler():
    model, x, y = case("mlp", n=20)
    three = private(model, loader_of(x, y))
    scheduler = torch.optim.lr_scheduler.StepLR(three[1], 1)
    for _ in range(3):
        again = private(*three[::2], three[1])
        assert again[1] is three[1]
        three = again
        loop(*three)
        scheduler.step()


def test_wrapping_again_goes_on_with_what_was_paid():
    model, x, y = case("mlp", n=40)
    book, plain = Book(), loader_of(x, y)
    three = private(model, plain, ledger=book)
    loop(*three, steps=5)
    assert book.blocks == [1, 1, 2, 4]
    three = private(model, plain, torch.optim.SGD(model.parameters(), lr=0.1), ledger=book)
    loop(*three, steps=3)
    assert book.steps == 8, "three were left"
    private(*three[::2], three[1], ledger=book, noise_multiplier=2.0)
    loop(*private(*three[::2], three[1], ledger=book, noise_multiplier=2.0), steps=1)
    assert book.entries[-1][0].event.event == GaussianDpEvent(2.0)
    assert book.entries[-1][0].count == 1


# charges


def test_a_step_is_charged_before_it_and_blocks_double_up_to_the_end_of_the_pass():
    book, (model, x, y) = Book(), case("mlp", n=40)
    model, optimizer, loader = private(model, loader_of(x, y), ledger=book)
    for passes in range(1, 4):
        for taken, (batch, labels) in enumerate(loader):
            before = flat(model)
            LOSS(model(batch), labels).backward()
            assert torch.equal(flat(model), before)
            optimizer.step()
            assert (passes - 1) * 10 + taken + 1 <= book.steps <= passes * 10
    assert book.blocks == [1, 1, 2, 4, 2, 10, 10]


def test_what_is_charged_says_what_was_done():
    book, (model, x, y) = Book(), case("mlp", n=40)
    loop(*private(model, loader_of(x, y), ledger=book, noise_multiplier=1.5))
    charge, pipeline, seeded = book.entries[0]
    assert charge == Charge(
        PoissonSampledDpEvent(0.1, GaussianDpEvent(1.5)),
        Unit.RECORD,
        Vantage.OUTSIDER,
        Relation.ZERO_OUT,
        n_units=40,
    )
    wanted = "make_private(clip_norm=0.5, noise_multiplier=1.5, sampling=Poisson(size=4))"
    assert pipeline == wanted
    assert not seeded


@pytest.mark.parametrize("generator", [3, torch.Generator(), Stream.replay(3)], ids=plain)
def test_a_seed_marks_what_is_charged(generator):
    book, (model, x, y) = Book(), case("mlp", n=20)
    loop(*private(model, loader_of(x, y), ledger=book, generator=generator))
    assert {seeded for _, _, seeded in book.entries} == {True}


def test_a_pass_that_was_left_early_is_not_charged_to_its_end_and_shuffled_ones_are():
    for sampling, blocks in ((FixedSize(size=4), [1, 1, 2, 4]), (Shuffled(size=4), [1, 1])):
        book, (model, x, y) = Book(), case("mlp", n=24)
        three = private(model, loader_of(x, y), ledger=book, sampling=sampling)
        loop(*three, steps=3)
        loop(*three, steps=3)
        assert book.blocks == blocks
        assert book.entries[0][0].event == GaussianDpEvent(1.0)


def test_shuffled_batches_are_charged_a_pass_also_when_wrapped_again():
    book, (model, x, y) = Book(), case("mlp", n=24)
    three = private(model, loader_of(x, y), ledger=book, sampling=Shuffled(size=4))
    for passes in range(1, 4):
        loop(*three)
        assert book.blocks == passes * [1]
        three = private(*three[::2], three[1], ledger=book, sampling=Shuffled(size=4))


def test_a_budget_is_used_to_the_last_step_and_the_next_one_changes_nothing():
    book, (model, x, y) = Book(limit=6), case("mlp", n=40)
    model, optimizer, loader = private(model, loader_of(x, y), ledger=book)
    before = []

    def train():
        for batch, labels in loader:
            before.append(flat(model))
            LOSS(model(batch), labels).backward()
            optimizer.step()

    with pytest.raises(BudgetExceeded):
        train()
    assert len(before) == 7, "six steps, and one that did not happen"
    assert book.blocks == [1, 1, 2, 1, 1]
    assert torch.equal(flat(model), before[-1])
    with pytest.raises(ValueError, match="fresh batch"):
        optimizer.step()


def test_an_account_is_asked_for_by_name():
    for ledger in ("clinic-3", Ledger(), 7, []):
        with pytest.raises(ValueError, match=r"Say ledger.dataset\(name\)"):
            small(ledger=ledger)
    book = Ledger().dataset("clinic-3")
    loop(*small(ledger=book))
    assert book.steps == 5


# refusals


class Stream2(IterableDataset):
    def __iter__(self):
        yield torch.ones(4), 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sampler": WeightedRandomSampler([1.0] * 7, 7)}, "WeightedRandomSampler"),
        ({"sampler": RandomSampler(range(7), replacement=True)}, "RandomSampler"),
        ({"sampler": RandomSampler(range(7), num_samples=3)}, "RandomSampler"),
        ({"sampler": [0, 1]}, "list"),
        ({"batch_size": None}, "no batches"),
        (
            {"batch_sampler": BatchSampler(WeightedRandomSampler([1.0] * 7, 7), 2, False)},
            "WeightedRandomSampler",
        ),
    ],
    ids=plain,
)
def test_a_loader_with_a_sampler_of_its_own_is_refused(options, text):
    model, x, y = case("mlp")
    if "batch_sampler" in options:
        loader = DataLoader(TensorDataset(x, y), **options)
    else:
        loader = loader_of(x, y, **options)
    with pytest.raises(ValueError, match=f"(?s){text}.*sampling="):
        private(model, loader)


def test_stock_samplers_are_replaced():
    model, x, y = case("mlp")
    for options in ({}, {"shuffle": True}, {"sampler": SequentialSampler(x)}):
        loop(*private(model, loader_of(x, y, **options)))


def test_what_is_no_loader_of_numbered_records_is_refused():
    model, x, y = case("mlp")
    with pytest.raises(ValueError, match="IterableDataset"):
        private(model, DataLoader(Stream2(), batch_size=2))
    with pytest.raises(ValueError, match="must be a DataLoader"):
        private(model, [(x, y)])
    with pytest.raises(ValueError, match="at most the 7 records"):
        private(model, loader_of(x, y, batch_size=8))


def test_optimizer_and_model_belong_together():
    model, x, y = case("mlp")
    other = torch.optim.SGD(case("mlp")[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match="weights of this model"):
        private(model, loader_of(x, y), other)


def test_what_opacus_made_private_is_refused():
    """It would be clipped and noised twice."""
    from opacus.grad_sample import GradSampleHooks, GradSampleModule
    from opacus.optimizers import DPOptimizer

    model, x, y = case("mlp")
    inside = torch.optim.SGD(model.parameters(), lr=0.1)
    theirs = DPOptimizer(inside, noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=4)
    with pytest.raises(ValueError, match="what Opacus made private"):
        private(model, loader_of(x, y), theirs)
    wrapped = GradSampleModule(case("mlp")[0])
    with pytest.raises(ValueError, match="what Opacus made private"):
        private(wrapped, loader_of(x, y))
    GradSampleHooks(model)
    with pytest.raises(ValueError, match="what Opacus made private"):
        private(model, loader_of(x, y))


def test_only_the_weights_that_are_stepped_are_clipped_and_noised():
    model, x, y = case("mlp")
    head = torch.optim.SGD(model[2].parameters(), lr=0.1)
    first = model[0].weight.detach().clone()
    trained = private(model, loader_of(x, y), head, noise_multiplier=QUIET, sampling=Everybody())
    twin = copy.deepcopy(model)
    twin[0].requires_grad_(False)
    expected = flat(twin) - 0.1 * dp_sgd.clipped_sum(twin, x, y, LOSS, 0.5) / 7
    loop(*trained)
    assert torch.equal(model[0].weight, first)
    assert torch.allclose(flat(model[2]), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "way", "text"),
    [
        (lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 3)), None, "0: BatchNorm1d"),
        (lambda: nn.Linear(4, 3).eval(), None, r"Call model.train\(\)"),
        (lambda: nn.Linear(4, 3), "hooks", r"nn.Sequential\(model\)"),
        (Bare, "ghost", r"nn.Sequential\(model\)"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), "functorch", "dropout"),
        (lambda: nn.Linear(4, 3), "ew", "gradients must be None or one of"),
    ],
)
def test_models_that_do_not_fit_are_refused(model, way, text):
    with pytest.raises(ValueError, match=text):
        private(model(), loader_of(rows(7), torch.zeros(7).long()), gradients=way)


@pytest.mark.parametrize(
    ("model", "way", "text"),
    [
        (Mixing, "functorch", "mixes the examples"),
        (Mixing, "hooks", "mixes the examples"),
        (Following, "functorch", "moved in a forward pass"),
        (Following, "hooks", "no buffers in trained layers|moved in a forward pass"),
        (Borrowed, "ghost", "used again"),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.Flatten(0)), None, "examples first"),
    ],
)
def test_models_that_turn_out_not_to_fit_are_refused_in_the_loop(model, way, text):
    three = private(
        model(), loader_of(rows(7), torch.zeros(7).long()), gradients=way, sampling=Everybody()
    )
    with pytest.raises(ValueError, match=text):
        loop(*three)


def test_the_fastest_way_fits_models_that_one_way_does_not():
    for model in (
        Bare(),
        nn.Linear(4, 3),
        nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)),
    ):
        loop(*private(model, loader_of(rows(7), torch.zeros(7).long())))


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"clip_norm": 0.0}, "clip_norm must be positive"),
        ({"noise_multiplier": 0.0}, "noise_multiplier must be positive"),
        ({"relation": "neighbours"}, "relation must be one of"),
        ({"relation": "add/remove"}, r"Poisson\(size=…, rate=…\)"),
        ({"sampling": "poisson"}, "one of privfl.sampling"),
        ({"generator": "secret"}, "generator must be"),
    ],
    ids=plain,
)
def test_other_settings_are_refused_and_leave_no_hooks(setting, text):
    model, x, y = case("mlp")
    with pytest.raises(ValueError, match=text):
        private(model, loader_of(x, y), **setting)
    assert not model._forward_hooks


# with an epsilon


@pytest.mark.parametrize(
    ("sampling", "relation"),
    [
        (None, "zero-out"),
        (Shuffled(size=8), "zero-out"),
        (Shuffled(size=8), "replace-one"),
        (Everybody(), "zero-out"),
    ],
    ids=plain,
)
def test_all_passes_of_all_rounds_cost_at_most_the_target(sampling, relation):
    book, (model, x, y) = Book(), case("mlp", n=80)
    optimizer, loader = torch.optim.SGD(model.parameters(), lr=0.1), loader_of(x, y, batch_size=8)
    for _ in range(3):
        model, optimizer, loader = make_private_with_epsilon(
            model,
            optimizer,
            loader,
            clip_norm=1.0,
            target_epsilon=2.0,
            target_delta=1e-5,
            rounds=3,
            epochs=2,
            ledger=book,
            sampling=sampling,
            relation=relation,
        )
        for _ in range(2):
            loop(model, optimizer, loader)
    (event,) = {charge.event for charge, _, _ in book.entries}
    steps = book.steps
    assert steps == {None: 60}.get(sampling, 6)
    assert epsilon_of(event, 1e-5, relation, steps).upper <= 2.0

    less = GaussianDpEvent(0.99 * optimizer.noise_multiplier)
    less = less if sampling else PoissonSampledDpEvent(0.1, less)
    assert epsilon_of(less, 1e-5, relation, steps).upper > 2.0


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"rounds": 0}, "rounds must be a whole number of at least 1"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"target_epsilon": 0.0}, "target_epsilon must be positive"),
        ({"target_delta": 0.0}, "target_delta must lie between 0 and 1"),
        ({"target_delta": 0.2}, "delta must be below 1/7"),
    ],
    ids=plain,
)
def test_targets_that_are_none_are_refused(setting, text):
    model, x, y = case("mlp")
    targets = {"target_epsilon": 1.0, "target_delta": 1e-5, "rounds": 1, "epochs": 1, **setting}
    with pytest.raises(ValueError, match=text):
        make_private_with_epsilon(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            loader_of(x, y),
            clip_norm=1.0,
            ledger=None,
            **targets,
        )


def test_a_second_pass_ends_the_first_one():
    model, x, y = case("mlp", n=20)
    _, _, loader = private(model, loader_of(x, y))
    first = iter(loader)
    next(first)
    second = iter(loader)
    next(second)
    with pytest.raises(ValueError, match="one pass at a time"):
        next(first)
    next(second)

"""Loops of state_dicts and lists of arrays: one line changed, nothing else moves."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from oracles.weighted_mean import weighted_mean
from parts_for_tests import AdaptiveClip, MaskedSum, TopK
from privfl import CompositionError, Layout, Pipeline
from privfl.core import decode, encode
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import TrimmedMean
from privfl.parts import Mean, Weigh


class Net(nn.Module):
    """A bit of everything: tied and half-precision weights, statistics, an integer buffer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(3, 2)
            self.norm = nn.BatchNorm1d(2)
            self.low = nn.Linear(2, 2).half()
            self.head = nn.Linear(2, 3)
            self.head.weight = self.embed.weight
            self.norm.running_mean += torch.randn(2)
            self.norm.num_batches_tracked += seed


def clients(n=4):
    return [Net(seed).state_dict() for seed in range(1, n + 1)]


def mean_of(states, name):
    return torch.stack([state[name].double() for state in states]).mean(dim=0)


def test_every_tensor_is_averaged_in_its_own_dtype():
    model, states = Net(), clients()
    averaged = Pipeline().average(states, model)
    assert list(averaged) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert averaged[name].dtype == tensor.dtype
        if name != "norm.num_batches_tracked":
            expected = mean_of(states, name).to(tensor.dtype)
            assert torch.allclose(averaged[name], expected, rtol=2e-3, atol=1e-6), name


def test_it_loads_and_tied_weights_stay_tied():
    model = Net()
    assert str(model.load_state_dict(Pipeline().average(clients(), model))).startswith("<All keys")
    assert model.head.weight is model.embed.weight
    assert torch.allclose(model.head.weight.double(), mean_of(clients(), "embed.weight"), atol=1e-6)


def test_integer_buffers_stay_the_models_own():
    model = Net()
    assert Pipeline().average(clients(), model)["norm.num_batches_tracked"] == 0


def test_nothing_that_comes_in_is_changed():
    model, states = Net(), clients()
    before = copy.deepcopy((model.state_dict(), states))
    averaged = Pipeline(Clip(0.1)).average(states, model)
    for old, new in zip([before[0], *before[1]], [model.state_dict(), *states], strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)
    averaged["head.bias"] += 1
    assert torch.equal(model.head.bias, before[0]["head.bias"])


def test_running_statistics_are_averaged_apart_from_the_clip():
    model, states = Net(), clients()
    averaged = Pipeline(Clip(1e-4)).average(states, model)
    for name in ("norm.running_mean", "norm.running_var"):
        assert torch.allclose(averaged[name].double(), mean_of(states, name), atol=1e-6)
    vector = Layout.of(model, only=["embed", "norm.weight", "norm.bias", "low", "head"])
    moved = vector.flatten(averaged) - vector.flatten(model)
    assert float(moved.norm()) < 1e-3


def test_local_statistics_stay_the_models_own():
    model = Net()
    layout = Layout.of(model, statistics="local")
    averaged = Pipeline(Clip(1.0), LocalGaussianNoise(1.0)).average(clients(), model, layout=layout)
    assert torch.equal(averaged["norm.running_mean"], model.norm.running_mean)


@pytest.mark.parametrize(
    "parts",
    [
        (Clip(1.0), LocalGaussianNoise(1.0)),
        (Clip(1.0), Mean(), CentralGaussianNoise(1.0)),
        (MaskedSum(2),),
    ],
    ids=str,
)
def test_running_statistics_under_a_claim_or_a_sum_are_refused_with_both_ways_out(parts):
    for build in (Pipeline(*parts).averager, lambda m: Pipeline(*parts).average(clients(), m)):
        with pytest.raises(CompositionError, match=r"statistics='local'.*GroupNorm") as error:
            build(Net())
        assert error.value.rule == "R1"
        assert "running statistics" in error.value.parts


def test_a_frozen_backbone_stays():
    model, states = Net(), clients()
    averaged = Pipeline().average(states, model, layout=Layout.of(model, only=["low"]))
    assert torch.equal(averaged["embed.weight"], model.embed.weight)
    assert torch.equal(averaged["norm.running_mean"], model.norm.running_mean)
    assert not torch.equal(averaged["low.weight"], model.low.weight)


def test_lists_of_arrays_come_back_as_lists_of_arrays():
    start = [np.zeros((2, 2), np.float32), np.zeros(1), np.array([3])]
    states = [
        [np.full((2, 2), k, np.float32), np.array([2.0 * k]), np.array([k])] for k in range(3)
    ]
    averaged = Pipeline(Clip(100.0)).average(states, start)
    assert isinstance(averaged, list)
    assert [array.dtype for array in averaged] == [np.float32, np.float64, np.int64]
    assert averaged[0].tolist() == [[1, 1], [1, 1]]
    assert averaged[1].tolist() == [2]
    assert averaged[2].tolist() == [3]


def test_a_state_dict_may_stand_for_the_model():
    model = nn.Linear(2, 1)
    states = [nn.Linear(2, 1).state_dict() for _ in range(3)]
    averaged = Pipeline().average(states, model.state_dict())
    assert torch.allclose(averaged["weight"].double(), mean_of(states, "weight"))


def test_example_counts_weigh_where_the_pipeline_says_so():
    model, states, counts = nn.Linear(2, 1), [nn.Linear(2, 1) for _ in range(3)], [10, 20, 70]
    averaged = Pipeline(Weigh(max_examples=100)).average(states, model, n_examples=counts)
    rows = [state.weight.flatten().tolist() for state in states]
    expected = torch.tensor(weighted_mean(rows, counts))
    assert torch.allclose(averaged["weight"].flatten(), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"Weigh\(max_examples=…\)"):
        Pipeline().average(states, model, n_examples=counts)


def test_a_robust_rule_averages_states_too():
    model = nn.Linear(1, 1, bias=False)
    states = [{"weight": torch.tensor([[float(x)]])} for x in (1, 2, 3, 4, 900)]
    averaged = Pipeline(TrimmedMean(n_byzantine=1)).average(states, model)
    assert averaged["weight"].item() == pytest.approx(3.0)


def test_a_client_that_diverged_is_left_out():
    model = nn.Linear(1, 1, bias=False)
    states = [{"weight": torch.tensor([[x]])} for x in (1.0, float("nan"), 3.0)]
    averager = Pipeline().averager(model)
    assert averager(states)["weight"].item() == pytest.approx(2.0)
    assert averager.release.rejected == {1: "NaN or Inf"}


# memory


def test_an_averager_follows_the_module_it_was_given():
    model = nn.Linear(1, 1, bias=False)
    averager = Pipeline(Clip(1.0)).averager(model)
    for start in (0.0, 5.0):
        with torch.no_grad():
            model.weight.fill_(start)
        averaged = averager([{"weight": torch.tensor([[start + 3.0]])}])
        assert averaged["weight"].item() == pytest.approx(start + 1.0)


def test_an_averager_of_arrays_goes_on_from_its_own_last_result():
    averager = Pipeline(Clip(1.0)).averager([np.zeros(1)])
    assert averager([[np.array([9.0])]])[0].tolist() == pytest.approx([1.0])
    assert averager([[np.array([9.0])]])[0].tolist() == pytest.approx([2.0])


def test_an_adaptive_clip_and_error_feedback_remember():
    averager = Pipeline(TopK(1)).averager([np.zeros(2)])
    averager([[np.array([3.0, 1.0])]])
    assert averager([[np.array([3.0, 1.0])]])[0].tolist() == [3.0, 2.0]  # 1 was left, and 1 is new
    adaptive = Pipeline(AdaptiveClip(1.0)).averager([np.zeros(1)])
    adaptive([[np.array([9.0])]])
    assert adaptive.release.state["public"][0] > 1.0


def test_a_stopped_averager_goes_on_where_it_was():
    shield, start = Pipeline(TopK(1)), [np.zeros(3)]
    states = [[np.array([3.0, 2.0, 1.0])], [np.array([0.0, 1.0, 5.0])]]
    whole = shield.averager(start)
    for _ in range(3):
        expected = whole(states)
    first = shield.averager(start)
    middle = first(states)
    kept = decode(encode(first.state_dict()))
    second = shield.averager(middle)
    second.load_state_dict(kept)
    second(states)
    assert second(states)[0].tolist() == expected[0].tolist()
    assert second.release.state["round"] == 3


def test_a_fresh_averager_can_be_saved():
    averager = Pipeline(TopK(1)).averager([np.zeros(2)])
    other = Pipeline(TopK(1)).averager([np.zeros(2)])
    other.load_state_dict(averager.state_dict())
    assert other([[np.array([3.0, 1.0])]])[0].tolist() == [3.0, 0.0]


def test_the_state_of_another_pipeline_is_refused():
    kept = Pipeline(TopK(1)).averager([np.zeros(2)]).state_dict()
    with pytest.raises(ValueError, match=r"of this pipeline. Found Pipeline"):
        Pipeline(TopK(2)).averager([np.zeros(2)]).load_state_dict(kept)
    with pytest.raises(ValueError, match="holds bytes"):
        Pipeline(TopK(1)).averager([np.zeros(2)]).load_state_dict(kept | {"state": 3})


def test_every_round_is_bound_to_the_weights_it_starts_from():
    seen = []

    class Spy(Pipeline):
        def aggregate(self, updates, **options):
            seen.append(options["model"])
            return super().aggregate(updates, **options)

    averager = Spy().averager([np.zeros(2)])
    for state in (np.ones(2), np.ones(2), np.zeros(2), np.ones(2)):
        averager([[state]])
    assert [len(digest) for digest in seen] == [32] * 4
    assert seen[1] == seen[2]  # both start from ones
    assert len({seen[0], seen[1]}) == 2
    assert seen[3] == seen[0]


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([], "at least one client's weights"),
        ([{"weight": torch.zeros(1, 3), "bias": torch.zeros(1)}], "weight must have shape"),
        ([{"weight": torch.zeros(1, 2)}], r"missing \['bias'\]"),
        ([nn.Linear(2, 1), nn.Linear(3, 1)], "weight must have shape"),
        ([[np.zeros((1, 2)), np.zeros(1)]], "unknown"),
        ([None], "A model is a torch module, a state_dict, or a list of arrays. Found NoneType"),
        (nn.Linear(2, 1).state_dict(), "a list with each client's weights. Found OrderedDict"),
    ],
    ids=["none", "shape", "missing", "second", "arrays", "None", "one dict"],
)
def test_states_that_do_not_fit_are_refused_in_words(states, text):
    with pytest.raises(ValueError, match=text):
        Pipeline().average(states, nn.Linear(2, 1))

"""Which coordinates make the vector, and what comes back unchanged."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from privfl.core import Layout


class Net(nn.Module):
    """A bit of everything: 0-d and half-precision parameters, statistics, an integer buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.head = nn.Linear(2, 2).half()


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(3, 2)
        self.head = nn.Linear(2, 3)
        self.head.weight = self.embed.weight


def test_the_vector_holds_parameters_in_their_order():
    layout = Layout.of(nn.Linear(2, 1))
    assert layout.dim == 3
    state = {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([3.0])}
    assert layout.flatten(state).tolist() == [1.0, 2.0, 3.0]


def test_a_0_d_parameter_counts_one():
    net = Net()
    layout = Layout.of(net, only=["scale"])
    assert layout.dim == 1
    assert layout.flatten(net).tolist() == [2.0]
    assert layout.unflatten(torch.tensor([5.0]), net)["scale"].shape == ()


def test_running_statistics_make_a_vector_of_their_own():
    net = Net()
    layout = Layout.of(net)
    assert layout.dim == 8 + 4 + 1 + 6
    assert layout.statistics_dim == 4
    assert layout.flatten_statistics(net).tolist() == [0.0, 0.0, 1.0, 1.0]
    back = layout.unflatten(layout.flatten(net), net, statistics=torch.arange(4.0))
    assert back["norm.running_mean"].tolist() == [0.0, 1.0]
    assert back["norm.running_var"].tolist() == [2.0, 3.0]


def test_local_statistics_come_back_as_they_were():
    net = Net()
    net.norm.running_mean += 7
    layout = Layout.of(net, statistics="local")
    assert layout.statistics_dim == 0
    assert {"norm.running_mean", "norm.running_var"} <= set(layout.excluded)
    assert layout.unflatten(torch.zeros(layout.dim), net)["norm.running_mean"].tolist() == [7, 7]


def test_integer_buffers_are_excluded_by_name():
    net = Net()
    net.norm.num_batches_tracked += 3
    layout = Layout.of(net)
    assert layout.excluded == ("norm.num_batches_tracked",)
    back = layout.unflatten(torch.zeros(layout.dim), net)
    assert back["norm.num_batches_tracked"] == 3
    assert back["norm.num_batches_tracked"] is not net.norm.num_batches_tracked


def test_a_bare_state_dict_knows_statistics_by_their_names():
    net = Net()
    assert Layout.of(net.state_dict()).hash == Layout.of(net).hash


def test_the_vector_is_as_wide_as_the_widest_parameter():
    assert Layout.of([np.zeros(2, np.float16)]).dtype == torch.float32
    assert Layout.of([torch.zeros(2), torch.zeros(1, dtype=torch.float64)]).dtype == torch.float64
    half = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert Layout.of([half]).flatten([half]).dtype == torch.float32


def test_every_tensor_comes_back_in_its_own_dtype():
    net = Net()
    layout = Layout.of(net)
    back = layout.unflatten(layout.flatten(net), net, statistics=layout.flatten_statistics(net))
    for name, tensor in net.state_dict().items():
        assert back[name].dtype == tensor.dtype, name
        assert torch.equal(back[name], tensor), name


def test_every_tensor_comes_back_on_its_own_device():
    layout = Layout.of(nn.Linear(2, 2))
    back = layout.unflatten(torch.zeros(6), nn.Linear(2, 2, device="meta"))
    assert {tensor.device.type for tensor in back.values()} == {"meta"}


def test_a_model_on_the_meta_device_is_as_large_as_a_real_one():
    """All its tensors have the address 0, and are not tied for that."""
    real = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert Layout.of(copy.deepcopy(real).to("meta")).hash == Layout.of(real).hash


def test_tied_weights_count_once_and_stay_tied():
    net = Tied()
    layout = Layout.of(net)
    assert layout.dim == 6 + 3
    back = layout.unflatten(torch.arange(9.0), net)
    assert back["head.weight"] is back["embed.weight"]
    net.load_state_dict(back)
    assert net.head.weight is net.embed.weight
    assert torch.equal(layout.flatten(net), torch.arange(9.0))


@pytest.mark.parametrize(
    ("options", "dim"),
    [
        ({"only": "head"}, 9),
        ({"only": "embed"}, 6),
        ({"exclude": "embed"}, 3),
        ({"exclude": "head"}, 0),
        ({"only": "head", "exclude": "embed"}, 3),
    ],
)
def test_a_tied_weight_trains_where_one_name_does_and_none_is_excluded(options, dim):
    if dim:
        layout = Layout.of(Tied(), **options)
        assert layout.dim == dim
        assert ("head.weight" in layout.excluded) == (dim == 3)
    else:
        with pytest.raises(ValueError, match="at least one floating-point parameter"):
            Layout.of(Tied(), **options)


def test_tied_weights_of_a_state_dict_are_seen_too():
    assert Layout.of(Tied().state_dict()).dim == 9


def test_equal_weights_are_not_tied():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].load_state_dict(net[0].state_dict())
    assert Layout.of(net).dim == 12


def test_a_frozen_backbone_is_no_part_of_the_vector():
    net = Net()
    layout = Layout.of(net, only=["head"])
    assert layout.dim == 6
    assert layout.statistics_dim == 0
    back = layout.unflatten(torch.zeros(6), net)
    assert torch.equal(back["body.weight"], net.body.weight)
    assert not back["head.weight"].any()


def test_a_prefix_is_a_module_and_not_a_piece_of_a_word():
    net = nn.ModuleDict({"head": nn.Linear(1, 1), "header": nn.Linear(1, 1)})
    assert Layout.of(net, only="head").dim == 2
    assert Layout.of(net, exclude="head").dim == 2


def test_exclude_leaves_out_what_only_names():
    assert Layout.of(nn.Linear(2, 1), exclude=["bias"]).dim == 2


def test_lists_of_arrays_come_back_as_lists_of_arrays():
    like = [np.ones((2, 2), np.float32), np.array(3.0), np.array([1, 2])]
    layout = Layout.of(like)
    assert layout.dim == 5
    back = layout.unflatten(torch.arange(5.0), like)
    assert isinstance(back, list)
    assert [(type(a), a.dtype, a.shape) for a in back] == [
        (np.ndarray, a.dtype, a.shape) for a in like
    ]
    assert back[0].tolist() == [[0, 1], [2, 3]]
    assert back[1] == 4
    assert back[2].tolist() == [1, 2]
    assert back[2] is not like[2]


def test_arrays_of_other_memory_are_read():
    """Flower hands out read-only arrays; files hold big-endian ones; a view may run backwards."""
    array = np.arange(4.0)
    frozen = np.frombuffer(array.tobytes())
    layout = Layout.of([array])
    for other in (frozen, array.astype(">f8"), np.arange(8.0)[::2] / 2, array[::-1][::-1]):
        assert layout.flatten([other]).tolist() == [0, 1, 2, 3]
        assert Layout.of([other]).dim == 4
    assert layout.flatten([array[::-1]]).tolist() == [3, 2, 1, 0]


def test_tensors_in_a_list_come_back_as_tensors():
    back = Layout.of([torch.zeros(2)]).unflatten(torch.ones(2), [torch.zeros(2)])
    assert isinstance(back[0], torch.Tensor)


def test_rows_are_taken_relative_to_the_start():
    layout = Layout.of([torch.zeros(2)])
    rows = layout.stack([[torch.ones(2)], [torch.full((2,), 3.0)]], minus=[torch.ones(2)])
    assert rows.tolist() == [[0, 0], [2, 2]]


def test_flattening_does_not_share_memory_with_the_model():
    net = nn.Linear(2, 1)
    before = net.weight.clone()
    vector = Layout.of(net).flatten(net)
    vector += 1
    assert not vector.requires_grad
    assert torch.equal(net.weight, before)


def test_what_is_handed_back_does_not_share_memory_with_the_vector():
    vector = torch.zeros(2)
    back = Layout.of([torch.zeros(2)]).unflatten(vector, [torch.zeros(2)])
    back[0] += 1
    assert not vector.any()


def test_the_hash_tells_layouts_apart():
    layouts = [
        Layout.of(nn.Linear(2, 3)),
        Layout.of(nn.Linear(3, 2)),
        Layout.of(nn.Linear(2, 3).double()),
        Layout.of(nn.Linear(2, 3), only="weight"),
        Layout.of(Tied()),
        Layout.of(nn.ModuleDict({"embed": nn.Embedding(3, 2), "head": nn.Linear(2, 3)})),
        Layout.of(Net()),
        Layout.of(Net(), statistics="local"),
    ]
    assert len({layout.hash for layout in layouts}) == len(layouts)
    assert Layout.of(nn.Linear(2, 3)).hash == layouts[0].hash


@pytest.mark.parametrize(
    ("model", "options", "text"),
    [
        (nn.Linear(2, 1), {"only": ["bis"]}, "only must name.*Found bis. Names are weight, bias."),
        (nn.Linear(2, 1), {"exclude": "b"}, "exclude must name.*Found b."),
        (nn.Linear(2, 1), {"only": []}, "at least one floating-point parameter"),
        (nn.Linear(2, 1), {"statistics": "drop"}, "'average' or 'local'. Found 'drop'"),
        ([], {}, "at least one floating-point parameter.*none among 0 tensors"),
        ([np.arange(3)], {}, "none among 1 tensors"),
        ([np.array(["a"])], {}, "numbers that torch knows. Found <U1"),
        ([np.zeros(1, complex)], {}, "real numbers. Found torch.complex128 at 0"),
        ([1.0, 2.0], {}, "list of arrays. Found list"),
        (3, {}, "list of arrays. Found int"),
        ({"a": torch.zeros(1), "_extra_state": 3}, {}, r"something else at \['_extra_state'\]"),
    ],
)
def test_a_model_that_makes_no_vector_is_refused(model, options, text):
    with pytest.raises(ValueError, match=text):
        Layout.of(model, **options)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"weight": torch.zeros(1, 2)}, r"missing \['bias'\], unknown \[\]"),
        (
            nn.Linear(2, 1).double().requires_grad_(False).state_dict() | {"x": 1.0},
            "something else",
        ),
        (nn.Sequential(nn.Linear(2, 1)), r"missing \['weight', 'bias'\], unknown \['0.weight'"),
        (nn.Linear(3, 1), r"weight must have shape \(1, 2\). Found shape \(1, 3\)"),
        ([np.zeros((1, 2)), np.zeros(1)], r"unknown \['0', '1'\]"),
    ],
)
def test_weights_of_another_layout_are_refused(state, text):
    layout = Layout.of(nn.Linear(2, 1))
    with pytest.raises(ValueError, match=text):
        layout.flatten(state)
    with pytest.raises(ValueError, match=text):
        layout.unflatten(torch.zeros(3), state)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\). Found \(2,\)"):
        Layout.of(nn.Linear(2, 1)).unflatten(torch.zeros(2), nn.Linear(2, 1))


def test_no_states_are_refused():
    with pytest.raises(ValueError, match=r"at least one client's weights. Found none"):
        Layout.of(nn.Linear(2, 1)).stack([])

"""A layout is a bijection between the weights that train and the vector."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from privfl.core import Layout

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@st.composite
def models(draw):
    """State dicts of parameters in any dtype, statistics and counters, in any order."""
    state = {}
    for k in range(draw(st.integers(1, 4))):
        dtype = draw(st.sampled_from(FLOATS))
        state[f"layer.{k}"] = numbers(draw(SHAPES), k).to(dtype)
    if draw(st.booleans()):
        state["norm.running_mean"] = numbers((2,), 9)
    if draw(st.booleans()):
        state["norm.num_batches_tracked"] = torch.tensor(5)
    return dict(draw(st.permutations(list(state.items()))))


def numbers(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(models())
def test_weights_survive_the_vector_to_the_bit(state):
    layout = Layout.of(state)
    statistics = layout.flatten_statistics(state)
    back = layout.unflatten(layout.flatten(state), state, statistics=statistics)
    assert list(back) == list(state)
    for name in state:
        assert back[name].dtype == state[name].dtype
        assert torch.equal(back[name], state[name])


@given(models(), st.integers(0, 99))
def test_a_vector_survives_the_weights_where_their_dtype_holds_it(state, seed):
    layout = Layout.of(state)
    vector = numbers((layout.dim,), seed).bfloat16().to(layout.dtype)  # fits in every dtype here
    vector = vector.half().to(layout.dtype)
    assert torch.equal(layout.flatten(layout.unflatten(vector, state)), vector)


@given(models())
def test_every_coordinate_belongs_to_one_place(state):
    layout = Layout.of(state)
    kinds = [layout.dim, layout.statistics_dim]
    left_out = sum(state[name].numel() for name in layout.excluded)
    assert sum(kinds) + left_out == sum(tensor.numel() for tensor in state.values())


@given(models())
def test_arrays_and_tensors_make_the_same_vector(state):
    floats = [tensor.float() for name, tensor in state.items() if name.startswith("layer")]
    arrays = [np.asarray(tensor) for tensor in floats]
    assert torch.equal(Layout.of(arrays).flatten(arrays), Layout.of(floats).flatten(floats))

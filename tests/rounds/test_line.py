"""Parts in line: the neutral ones, what is written, and what contradicts itself."""

import itertools
from dataclasses import dataclass

import pytest

from parts_for_tests import CorrelatedNoise, First, FixedPoint, MaskedSum, RandomK, TopK
from privfl import CompositionError, Pipeline
from privfl.core import Contract, Scalar
from privfl.core._accepting import CONDITIONS
from privfl.defenses.dp import CentralGaussianNoise, Clip, LocalGaussianNoise
from privfl.defenses.robust import Krum
from privfl.parts import Grouped, Mean, Plain, Trainer, Weigh, Wrapper
from privfl.rounds import Line


@dataclass(frozen=True)
class Learn(Trainer):
    """A trainer that is never asked to."""


@dataclass(frozen=True)
class Say(Wrapper):
    """A wrapper with a scalar and nothing to do."""

    name: str = "loss"
    covers_scalars = True

    @property
    def scalars(self):
        return (Scalar(self.name, 1.0),)


@pytest.mark.parametrize(
    ("parts", "lowered"),
    [
        ((), (Plain(), Mean())),
        ((Clip(1.0),), (Clip(1.0), Plain(), Mean())),
        ((Mean(),), (Plain(), Mean())),
        ((Plain(),), (Plain(), Mean())),
        ((Plain(), Clip(1.0)), (Plain(), Clip(1.0), Mean())),
        ((Krum(n_byzantine=1),), (Plain(), Krum(n_byzantine=1))),
        ((Mean(), CorrelatedNoise(1.0)), (Plain(), Mean(), CorrelatedNoise(1.0))),
        ((MaskedSum(2),), (FixedPoint(), MaskedSum(2), Mean())),
        ((FixedPoint(8), MaskedSum(2)), (FixedPoint(8), MaskedSum(2), Mean())),
        (
            (Clip(1.0), Grouped(MaskedSum(2), size=3), First()),
            (Clip(1.0), FixedPoint(), Grouped(MaskedSum(2), size=3), First()),
        ),
        ((Learn(), Clip(1.0)), (Clip(1.0), Plain(), Mean())),
    ],
    ids=str,
)
def test_what_is_missing_is_neutral_and_words_are_lowered(parts, lowered):
    assert Line(*parts).lowered == lowered


def test_it_is_written_as_it_was():
    line = Pipeline(Clip(1.0), MaskedSum(threshold=2), Mean())
    assert repr(line) == "Pipeline(Clip(clip_norm=1.0), MaskedSum(threshold=2), Mean())"
    assert repr(Line()) == "Line()"
    noises = Pipeline(Clip(1), LocalGaussianNoise(1.0, relation="replace-one"))
    assert repr(noises) == (
        "Pipeline(Clip(clip_norm=1), LocalGaussianNoise(1.0, relation='replace-one'))"
    )


@pytest.mark.parametrize("names", list(itertools.permutations(CONDITIONS)))
def test_what_is_accepted_is_written_in_one_order(names):
    """A set has another order in every process; the text, and what hangs on it, has not."""
    line = Pipeline(accepting=names)
    line.accepting = names  # as a process might order them
    assert repr(line) == (
        "Pipeline(accepting={'exact_sum_to_server', 'local_and_central_noise', 'uniform_weights'})"
    )


def test_equal_words_make_equal_lines():
    a, b = Pipeline(Clip(1.0), Mean()), Pipeline(Clip(1.0), Mean())
    assert a == b
    assert hash(a) == hash(b)
    assert a.fingerprint == b.fingerprint
    for other in (
        Pipeline(Clip(2.0), Mean()),
        Pipeline(Clip(1.0)),
        Pipeline(Clip(1.0), Mean(), accepting="uniform_weights"),
    ):
        assert a != other
        assert a.fingerprint != other.fingerprint
    assert a != "Pipeline"


def test_places_say_who_runs_a_part():
    line = Line(Clip(1.0), RandomK(2), MaskedSum(2), Mean(), CorrelatedNoise(1.0))
    assert line.client_half == (Clip(1.0), RandomK(2), FixedPoint())
    assert line.protocol == MaskedSum(2)
    assert line.aggregator == Mean()


def test_the_trainer_stands_apart():
    line = Line(Learn(), Mean())
    assert line.trainer == Learn()
    assert Line().trainer is None
    assert repr(line) == "Line(Learn(), Mean())"


def test_scalars_of_all_parts_are_the_clients_to_supply():
    line = Line(Weigh(5), Say("loss"))
    assert [scalar.name for scalar in line.scalars] == ["n_examples", "loss"]
    assert line.contracts((Scalar("more", 1.0),))[0].scalars[-1].name == "more"


def test_a_contract_is_folded_through_every_stage():
    line = Line(Clip(2.0), MaskedSum(2), Mean())
    wheres = [contract.where for contract in line.contracts()]
    assert wheres == ["client", "client", "client", "rows", "result"]
    assert line.contract.clip_norm == 2
    assert line.contract.sees == "sum"
    assert line.contract.author("sees") == MaskedSum(2)
    assert Line().contract == Contract(where="result")


@pytest.mark.parametrize(
    ("parts", "pair", "text"),
    [
        ((Plain(), MaskedSum(2)), (Plain(), MaskedSum(2)), "the same work .SumProtocol"),
        ((Mean(), Krum(n_byzantine=1)), (Mean(), Krum(n_byzantine=1)), "the same work .Aggregator"),
        ((Mean(), Plain()), (Plain(), Mean()), "Put the aggregator behind the protocol"),
        ((Clip(1.0), Learn()), (Clip(1.0), Learn()), "first in line"),
        ((Learn(), Learn()), (Learn(), Learn()), "trains at most once"),
        ((Plain(), RandomK(2)), None, "Put it before the protocol"),
        ((Plain(), Weigh(2)), None, "Put it before the protocol"),
        ((Mean(), RandomK(2)), None, "Put it before the protocol"),
        ((Weigh(2), Weigh(2)), None, "weighs already|name of its own"),
        ((Plain(), TopK(2), Mean()), (TopK(2), Plain()), "nobody hands it on"),
        ((Weigh(2), Krum(n_byzantine=1)), (Weigh(2), Krum(n_byzantine=1)), "takes no mean"),
    ],
    ids=str,
)
def test_what_no_line_can_hold_is_refused(parts, pair, text):
    with pytest.raises(ValueError, match=text) as error:
        Line(*parts)
    if isinstance(error.value, CompositionError):
        assert error.value.rule == "R33"
        assert len(error.value.parts) == 2
        assert error.value.fix
    if pair:
        assert error.value.parts == pair


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Clip, "Found the class Clip: write its brackets"),
        ("Clip", "Found 'Clip'"),
        (None, "Found None"),
        (lambda x: x, "subclass privfl.parts.Wrapper"),
    ],
)
def test_what_is_no_part_is_refused(part, text):
    with pytest.raises(ValueError, match=text):
        Line(part)


def test_two_scalars_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"name of its own. Found \['loss', 'loss'\]"):
        Line(Say(), Say())


def test_what_may_be_accepted_is_one_list():
    assert Line(accepting="uniform_weights").accepting == frozenset({"uniform_weights"})
    with pytest.raises(ValueError, match=r"exact_sum_to_server.*Found everything"):
        Line(accepting={"everything"})


def test_groups_hold_one_protocol():
    for inner in (Grouped(Plain(), size=2), Mean(), "Plain"):
        with pytest.raises(CompositionError, match="one protocol in groups") as error:
            Grouped(inner, size=2)
        assert error.value.rule == "R33"
    for size in (1, 0, 2.0, True):
        with pytest.raises(ValueError, match="size must be a whole number of at least 2"):
            Grouped(Plain(), size=size)


def test_noise_stands_where_its_name_says():
    with pytest.raises(CompositionError, match=r"LocalGaussianNoise\(1.0\)"):
        Line(Clip(1.0), CentralGaussianNoise(1.0), Mean())
    with pytest.raises(CompositionError, match=r"CentralGaussianNoise\(1.0\)"):
        Line(Clip(1.0), Mean(), LocalGaussianNoise(1.0))

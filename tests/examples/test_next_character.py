"""The keyboard example: whose text, how guesses count, and what epsilon is worth."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant

from privfl.data import kjv_sample

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/next_character"


@pytest.fixture
def few():
    """Deal the beginnings of two books."""
    from phones import deal

    books = kjv_sample().books
    return deal({name: books[name][:6000] for name in ("Genesis", "Ruth")}, 300, 20)


def test_a_phone_holds_its_piece_of_a_book_and_nobody_holds_the_end():
    from phones import deal

    codes = torch.arange(1000)
    phones, (x, y) = deal({"a book": codes}, 300, 20)
    assert [(int(p.min()), int(p.max())) for p, _ in phones] == [(0, 279), (300, 579), (600, 879)]
    assert int(x.min()) == 900  # a tenth is held out
    for inputs, follows in [*phones, (x, y)]:
        assert inputs.shape == follows.shape == (len(inputs), 20)
        assert torch.equal(follows, inputs + 1)  # what follows a character is the next one


def test_guesses_are_counted_one_by_one():
    from keyboard import scored

    g = torch.Generator().manual_seed(0)
    scores, follows = torch.randn(6, 5, 7, generator=g), torch.randint(7, (6, 5), generator=g)
    first = third = bits = 0.0
    for row, code in zip(scores.reshape(-1, 7).tolist(), follows.flatten().tolist(), strict=True):
        ranked = sorted(range(7), key=lambda k: -row[k])
        first += ranked[0] == code
        third += code in ranked[:3]
        bits -= math.log2(math.exp(row[code]) / sum(map(math.exp, row)))
    found = scored(scores, follows)
    assert found.accuracy == pytest.approx(first / 30)
    assert found.top_3 == pytest.approx(third / 30)
    assert found.bits == pytest.approx(bits / 30, rel=1e-5)


def test_the_commonest_character_is_the_space_as_often_as_it_occurs(few):
    from keyboard import commonest
    from phones import encode

    phones, ends = few
    share = float((ends[1] == int(encode(" "))).double().mean())
    assert commonest(phones, ends).accuracy == pytest.approx(share)


def test_the_keyboard_sees_what_came_before_and_nothing_of_what_follows():
    from keyboard import Keyboard

    model, codes = Keyboard(), torch.randint(38, (3, 12))
    assert model(codes).shape == (3, 12, 38)
    torch.testing.assert_close(model(codes)[:, :5], model(codes[:, :5]))
    torch.testing.assert_close(model(codes)[:1], model(codes[:1]))  # nor of another text
    other = torch.cat([(codes[:, :1] + 1) % 38, codes[:, 1:]], dim=1)
    assert not torch.allclose(model(codes)[:, 1:5], model(other)[:, 1:5])  # but what came before
    assert sum(p.numel() for p in model.parameters()) == 20_662


def test_a_completion_goes_on_by_the_likeliest_character():
    from keyboard import complete
    from phones import ALPHABET

    class Next(torch.nn.Module):
        """Take the alphabet in order."""

        def forward(self, codes):
            follows = (codes + 1) % len(ALPHABET)
            return torch.nn.functional.one_hot(follows, len(ALPHABET)).float()

    assert complete(Next(), "xyza", 4) == "xyzabcde"


def by_hand(rate, noise_multiplier, rounds, delta):
    accountant = PLDAccountant(NeighboringRelation.REPLACE_SPECIAL)
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise_multiplier)), rounds)
    return accountant.get_epsilon(delta)


def test_epsilon_of_a_phone_is_that_of_the_rounds_that_were_made(few):
    from training import DELTA, noised, train

    trained = train(noised(1.0, rate=0.3), few[0], 3, seed=0)
    assert trained.n_rounds == 3
    assert trained.epsilon == pytest.approx(by_hand(0.3, 1.0, 3, DELTA), rel=1e-2)
    assert trained.against == "outsider"


def test_training_stops_before_the_budget_is_passed(few):
    from training import BUDGET, DELTA, noised, train

    trained = train(noised(0.7, rate=0.3), few[0][:10], 100, seed=0)
    spent = [by_hand(0.3, 0.7, trained.n_rounds + k, DELTA) for k in (0, 1)]
    assert trained.n_rounds > 0
    assert spent[0] <= BUDGET.epsilon * 1.01
    assert spent[1] > BUDGET.epsilon * 0.99


def test_phones_learn_together_in_the_open_and_behind_masks(few):
    from keyboard import Keyboard, test
    from training import CENTRALISED, MASKED, PLAIN, train

    phones, ends = few
    untrained = test(Keyboard(), ends)
    often = {"plain": replace(PLAIN, rate=0.5), "masked": replace(MASKED, rate=0.5)}
    bits = {
        name: test(train(way, phones, 8, seed=0).model, ends).bits for name, way in often.items()
    }
    bits["pool"] = test(train(CENTRALISED, phones, 2, seed=0).model, ends).bits
    # seeded: the same each time, but for what the masks round
    assert all(found < untrained.bits - 1 for found in bits.values()), bits


def test_the_small_form_prints_a_row_for_each_way(capsys):
    import run

    run.main(["--small", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    names = ["untrained", "always the commonest", *run.SMALL_WAYS, "in one place"]
    for name, line in zip(names, lines[2:], strict=False):
        assert line.startswith(name)
        first, third, _, _ = (float(figure) for figure in line[22:].split()[:4])
        assert 0 <= first <= third <= 1
    assert "of a phone, against outsider, 1 rounds" in lines[6]
    assert sum(line.endswith(":") for line in lines) == len(run.SMALL_WAYS) + 1  # completions

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from privfl.data import Books, kjv_sample

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_kjv_sample.py"
OPENINGS = {
    "Genesis": "in the beginning god created the heaven and the earth.\n"
    "and the earth was without form, and void;",
    "Psalms": "blessed is the man that walketh not in the counsel of the ungodly,",
    "Ecclesiastes": "the words of the preacher, the son of david, king in jerusalem.\nvanity of",
    "John": "in the beginning was the word, and the word was with god, and the word was god.\n",
    "Revelation": "the revelation of jesus christ, which god gave unto him,",
}


@pytest.fixture(scope="module")
def sample():
    return kjv_sample()


class TestSample:
    @pytest.mark.parametrize("name", OPENINGS)
    def test_books_begin_as_they_do(self, sample, name):
        assert sample.text(name).startswith(OPENINGS[name])

    def test_short_books_are_whole(self, sample):
        assert sample.text("Ruth").endswith("and obed begat jesse, and jesse begat david.\n")
        assert sample.text("Ruth").count("\n") == 85
        assert sample.text("Ecclesiastes").count("\n") == 222

    def test_there_are_twenty_of_a_size(self, sample):
        lengths = sorted(map(len, sample.books.values()))
        assert len(lengths) == 20
        assert lengths[0] > 13_000
        assert 31_000 < lengths[2] <= lengths[-1] <= 32_000

    def test_the_alphabet_is_closed_and_in_order(self, sample):
        codes = torch.cat(list(sample.books.values()))
        assert codes.dtype == torch.int64
        assert codes.unique().tolist() == list(range(38))
        assert sample.alphabet == "".join(sorted(set(sample.alphabet)))
        assert sample.alphabet[-26:] == "abcdefghijklmnopqrstuvwxyz"

    def test_books_end_with_a_verse(self, sample):
        assert all(sample.text(name)[-2:] in {".\n", "?\n", "!\n"} for name in sample.books)

    def test_it_is_small(self):
        file = SCRIPT.parents[1] / "privfl" / "data" / "kjv_sample.npz"
        assert file.stat().st_size < 400_000

    def test_books_are_not_replaced(self, sample):
        with pytest.raises(TypeError):
            sample.books["Genesis"] = torch.zeros(1)


class TestWindows:
    books = Books({"a": torch.arange(10), "b": torch.arange(7)}, "abcdefghij")

    @pytest.mark.parametrize(
        ("length", "stride", "starts"),
        [(3, 1, range(7)), (3, 3, (0, 3, 6)), (4, 5, (0, 5)), (9, 1, (0,)), (1, 8, (0, 8))],
    )
    def test_a_window_is_a_run_and_what_follows(self, length, stride, starts):
        x, y = Books({"a": torch.arange(10)}, "abcdefghij").windows(length, stride)["a"]
        assert x.tolist() == [list(range(start, start + length)) for start in starts]
        assert y.tolist() == [start + length for start in starts]

    def test_each_book_has_its_own(self):
        found = self.books.windows(3, 3)
        assert {name: len(y) for name, (_, y) in found.items()} == {"a": 3, "b": 2}

    def test_a_book_without_a_window_is_named(self):
        with pytest.raises(ValueError, match=r"b must be longer than length = 7. Found 7 char"):
            self.books.windows(7, 1)

    @pytest.mark.parametrize(("length", "stride", "name"), [(0, 1, "length"), (1, 0, "stride")])
    def test_a_window_has_a_length_and_a_stride(self, length, stride, name):
        with pytest.raises(ValueError, match=f"{name} must be a whole number of at least 1"):
            self.books.windows(length, stride)


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


class TestScript:
    def test_a_book_stops_at_the_first_verse_that_does_not_fit(self, script):
        long = "x" * 20_000
        lines = ["Ge1:1 In A", f"Ge1:2 {long}", f"Ge1:3 {long}", "Ge1:4 short", "Ruth1:1 So"]
        found = script["beginnings"]([*lines, "Num1:1 Not taken"])
        assert found["Ge"] == f"in a\n{long}\n"
        assert found["Ruth"] == "so\n"
        assert set(found) == set(script["BOOKS"])

    def test_it_writes_what_the_package_reads(self, script, sample, tmp_path):
        """Printed back to verses and made again, the sample is itself."""
        names = script["BOOKS"].items()
        verses = {short: sample.text(name).splitlines() for short, name in names}
        lines = [f"{short}1:1 {verse}" for short in verses for verse in verses[short]]
        (tmp_path / "verses.txt").write_text("\n".join(lines))
        script["main"](tmp_path / "verses.txt", tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
            assert list(arrays) == list(sample.books)
            assert all(arrays[name].dtype == np.uint8 for name in arrays)
            assert all(arrays[n].tolist() == sample.books[n].tolist() for n in arrays)

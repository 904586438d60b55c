"""The hero strip: the pixels that were given, and words beside them."""

from itertools import combinations

import numpy as np
import pytest
import torch

from evaluate.made_up import images, pictures
from evaluate.read_png import read_png
from privfl.evaluate._lettering import _GLYPHS, lettering
from privfl.evaluate._strip import strip_png
from privfl.evaluate._table import Pictures, StripRow

PIP = (163, 51, 11)


def row(name="undefended", picked=7, **changes):
    given = {"images": images(), "accuracy": 0.9, "epsilon": "at most 3 against the server"}
    return StripRow(name, picked=picked, **{**given, **changes})


def drawn(*rows, truth=None):
    return read_png(strip_png(Pictures(truth=truth, strip=rows)))


def corner_of(page, image):
    """Where an image lies on the page, enlarged three times."""
    tile = np.round(image.numpy() * 255).repeat(3, axis=0).repeat(3, axis=1).astype(np.uint8)
    grey, size = page[..., 0], tile.shape[0]
    height, width = (length - size for length in grey.shape)
    likely = np.ones((height, width), bool)
    for y, x in ((0, 0), (2, 2), (0, 5), (5, 0), (83, 83)):
        likely &= grey[y : y + height, x : x + width] == tile[y, x]
    (corner,) = np.argwhere(likely)
    y, x = corner.tolist()
    np.testing.assert_array_equal(grey[y : y + size, x : x + size], tile)
    return y, x


def runs(line):
    """How many stretches of a line have the colour of a pip."""
    marked = (line == PIP).all(axis=-1)
    return int((marked[1:] & ~marked[:-1]).sum())


def test_every_image_is_there_pixel_by_pixel_in_its_row_and_order():
    shown = pictures()
    page = read_png(strip_png(shown))
    corners = [
        [corner_of(page, image) for image in row]
        for row in (shown.truth, *(row.images for row in shown.strip))
    ]
    assert all(len({y for y, _ in line}) == 1 for line in corners)
    assert all([x for _, x in line] == sorted({x for _, x in line}) for line in corners)
    assert [line[0][0] for line in corners] == sorted(line[0][0] for line in corners)


@pytest.mark.parametrize("picked", [0, 1, 7, 10])
def test_as_many_marks_are_coloured_as_images_were_picked_out(picked):
    page = drawn(row(picked=picked))
    assert max(runs(line) for line in page) == picked


def test_a_name_stands_left_of_its_images_and_the_outcome_right():
    page = drawn(row())
    (y, x), (_, last) = corner_of(page, images()[0]), corner_of(page, images()[9])
    assert (page[y : y + 84, :x] < 128).any()
    assert (page[y : y + 84, last + 84 :] < 128).any()


def test_images_of_another_size_are_enlarged_by_whole_pixels():
    small = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(1))
    page = drawn(row(images=small, picked=3))
    tile = np.round(small[0].numpy() * 255).astype(np.uint8).repeat(7, axis=0).repeat(7, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(page[..., 0], tile[0].shape, axis=1)
    assert (windows == tile[0]).all(axis=-1).any()


def test_a_long_text_takes_more_lines_and_no_more_width():
    short, long = drawn(row()), drawn(row(epsilon="against the server and " * 9))
    assert long.shape[1] == short.shape[1]
    assert long.shape[0] > short.shape[0]


def test_a_word_without_end_is_cut():
    assert drawn(row(name="x" * 300)).shape[1] == drawn(row()).shape[1]


def test_a_strip_without_pictures_is_refused():
    with pytest.raises(ValueError, match=r"at least one pipeline\. Found none\. Give the duel"):
        strip_png(Pictures())


def test_no_two_letters_look_the_same():
    shapes = {c: lettering(c, 20, 2.5) for c in _GLYPHS if c != "\u2019"}  # that one is a "'"
    assert all(ink.max() == 1 and ink.min() == 0 for ink in shapes.values())
    same = [a + b for a, b in combinations(shapes, 2) if np.array_equal(shapes[a], shapes[b])]
    assert same == []


@pytest.mark.parametrize("letter", "AHMOTUVWXYovwx08")
def test_a_letter_that_is_its_own_mirror_image_is_drawn_so(letter):
    ink = lettering(letter, 35, 3.0)  # five pixels a unit
    used = np.nonzero(ink.any(axis=0))[0]
    body = ink[:, used[0] : used[-1] + 1]
    assert np.abs(body - body[:, ::-1]).max() < 0.2


def test_the_whole_of_a_letter_lies_on_its_piece_of_paper():
    for letter in _GLYPHS:
        ink = lettering(letter, 21, 2.7)
        assert not ink[0].any(), letter
        assert not ink[-1].any(), letter


def test_a_text_is_its_letters_one_after_the_other():
    parts = [lettering(c, 20, 2.5) for c in "a b"]
    np.testing.assert_array_equal(lettering("a b", 20, 2.5), np.hstack(parts))


def test_a_letter_that_nobody_drew_becomes_a_box_and_an_accent_is_left_away():
    np.testing.assert_array_equal(lettering("\u6f22", 20, 2.5), lettering("\u5b57", 20, 2.5))
    np.testing.assert_array_equal(lettering("\u00e9", 20, 2.5), lettering("e", 20, 2.5))

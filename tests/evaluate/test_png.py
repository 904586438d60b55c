"""Pictures as PNG, read back by a reader that follows the specification."""

import base64

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluate.read_png import checksum, read_png
from privfl.evaluate._png import data_uri, grey, png


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(), (3,)]), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_back(height, width, channels, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), np.uint8)
    np.testing.assert_array_equal(read_png(png(pixels)), pixels)


def test_the_reader_of_these_tests_knows_the_checksum():
    """The check value that every catalogue of CRCs lists for CRC-32."""
    assert checksum(b"123456789") == 0xCBF43926


def test_a_picture_ends_with_the_chunk_that_ends_pictures():
    assert png(np.zeros((1, 1), np.uint8)).endswith(b"\0\0\0\0IEND\xae\x42\x60\x82")


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((2, 2)), np.zeros(4, np.uint8), np.zeros((2, 2, 4), np.uint8)],
    ids=["float", "flat", "four channels"],
)
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match=r"uint8 \(h, w\) or \(h, w, 3\)\. Found "):
        png(pixels)


def test_a_data_uri_holds_the_file():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    head, body = data_uri(pixels).split(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(read_png(base64.b64decode(body)), pixels)


def test_images_lie_side_by_side_in_order():
    images = torch.stack([torch.full((2, 3), value) for value in (0.0, 1.0)])
    assert grey(images).tolist() == [[0, 0, 0, 255, 255, 255]] * 2


def test_enlarging_repeats_each_pixel_both_ways():
    image = torch.tensor([[[0.0, 1.0]]])
    assert grey(image, enlarge=2).tolist() == [[0, 0, 255, 255]] * 2


def test_values_that_are_no_shade_become_one():
    image = torch.tensor([[[-1.0, 2.0, float("nan"), float("inf"), float("-inf")]]])
    assert grey(image).tolist() == [[0, 255, 0, 255, 0]]

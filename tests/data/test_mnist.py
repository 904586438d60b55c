"""The digits in the package, the reader of the full files, and the script between them."""

import gzip
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from privfl.data import Digits, mnist, mnist_sample

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_mnist_sample.py"
NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def idx(array):
    """Write bytes as the format's page says: magic, one big-endian length a dimension, data."""
    lengths = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + lengths + array.tobytes()


def digits(n, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(n, 28, 28), dtype=np.uint8)
    return images, rng.permutation(np.arange(n) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    for i, half in enumerate([digits(30, 0), digits(20, 1)]):
        for name, array in zip(NAMES[2 * i :], half, strict=False):
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


class TestSample:
    def test_every_label_has_as_many_images(self):
        sample = mnist_sample()
        assert sample.train[1].bincount().tolist() == [500] * 10
        assert sample.test[1].bincount().tolist() == [100] * 10

    def test_images_are_float32_from_zero_to_one(self):
        for x, y in (mnist_sample().train, mnist_sample().test):
            assert (x.shape[1:], x.dtype, y.dtype) == ((1, 28, 28), torch.float32, torch.int64)
            assert (x.min(), x.max()) == (0, 1)
            assert len(x) == len(y)

    def test_no_image_is_in_both_halves(self):
        sample = mnist_sample()
        train, test = ({image.numpy().tobytes() for image in x} for x, _ in vars(sample).values())
        assert not train & test

    def test_labels_come_mixed(self):
        """In runs of one label, the first client of a plain split would hold one digit."""
        assert mnist_sample().train[1][:200].unique().numel() == 10

    def test_images_belong_to_their_labels(self):
        """The nearest class mean is right for 80 % of MNIST; shuffled labels would give 10 %."""
        (x, y), (test_x, test_y) = mnist_sample().train, mnist_sample().test
        means = torch.stack([x[y == label].mean(dim=0).flatten() for label in range(10)])
        picked = torch.cdist(test_x.flatten(1), means).argmin(dim=1)
        assert 0.75 < (picked == test_y).float().mean() < 0.9

    def test_two_readings_share_no_memory(self):
        mnist_sample().train[0].zero_()
        assert mnist_sample().train[0].max() == 1

    def test_it_stays_small(self):
        path = Path(mnist_sample.__code__.co_filename).with_name("mnist_sample.npz")
        assert path.stat().st_size < 1_500_000


class TestFullFiles:
    def test_pixels_and_labels_are_those_of_the_files(self, folder):
        read = mnist(folder)
        for (x, y), (images, labels) in zip(
            (read.train, read.test), (digits(30, 0), digits(20, 1)), strict=True
        ):
            assert np.array_equal((x[:, 0] * 255).round().byte().numpy(), images)
            assert np.array_equal(y.numpy(), labels)
        assert repr(read) == "Digits(30 for training, 20 for testing)"

    def test_unpacked_files_are_read_too(self, folder):
        for name in NAMES:
            path = folder / f"{name}.gz"
            (folder / name).write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
        assert isinstance(mnist(str(folder)), Digits)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_missing_file_is_named(self, folder, name):
        (folder / f"{name}.gz").unlink()
        with pytest.raises(FileNotFoundError, match=f"must hold {name}, .*neither of the two"):
            mnist(folder)

    def test_a_missing_folder_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere must hold .* no such folder"):
            mnist(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            (NAMES[0], idx(np.zeros(30, np.uint8)), "magic number 0x0803. Found 0x0801"),
            (NAMES[1], b"", "magic number 0x0801. Found 0x0000 in 0 bytes"),
            (NAMES[1], bytes([0, 0, 8, 1, 0]), "Found 0x0801 in 5 bytes"),
            (
                NAMES[1],
                idx(np.zeros(30, np.uint8))[:-1],
                r"38 bytes for its shape \(30,\). Found 37",
            ),
            (NAMES[1], idx(np.zeros(30, np.uint8)) + b"0", "must hold 38 bytes .* Found 39"),
            (NAMES[1], idx(np.zeros(29, np.uint8)), "Found 29 labels for 30 images"),
            (NAMES[1], idx(np.full(30, 10, np.uint8)), "from 0 to 9. Found 10"),
            (NAMES[0], idx(np.zeros((30, 32, 32), np.uint8)), "28 by 28. Found shape .30, 32, 32."),
        ],
        ids=lambda value: value if isinstance(value, str) else "bytes",
    )
    def test_a_file_that_is_not_what_it_says_is_refused(self, folder, name, content, said):
        (folder / f"{name}.gz").unlink()
        (folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=said):
            mnist(folder)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda whole: whole[:-20],
            lambda _: b"<html>",
            lambda whole: whole[:10] + bytes([whole[10] | 6]) + whole[11:],  # no such kind of block
            lambda whole: whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:],  # another checksum
        ],
        ids=["cut", "not gzip", "block", "checksum"],
    )
    def test_a_damaged_gzip_file_is_refused(self, folder, damage):
        path = folder / f"{NAMES[0]}.gz"
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(ValueError, match=f"{NAMES[0]}.gz must be a whole gzip file"):
            mnist(folder)


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(SCRIPT))


class TestScript:
    def test_it_chooses_evenly_over_the_file(self, script):
        labels = (np.arange(1000) % 10).astype(np.uint8)
        rows = script["choose"](labels, 3)
        assert rows[labels[rows] == 4].tolist() == [4, 504, 994]
        assert (np.diff(rows) > 0).all()

    def test_it_writes_what_the_package_reads(self, script, tmp_path):
        for i, half in enumerate([digits(6000, 0), digits(1200, 1)]):
            for name, array in zip(NAMES[2 * i :], half, strict=False):
                (tmp_path / name).write_bytes(idx(array))
        out = tmp_path / "sample.npz"
        script["main"](tmp_path, out)
        with np.load(out, allow_pickle=False) as arrays:
            shapes = {name: (array.shape, array.dtype) for name, array in arrays.items()}
            assert np.array_equal(arrays["train_images"][0], digits(6000, 0)[0][0])
            assert np.bincount(arrays["train_labels"]).tolist() == [500] * 10
        assert shapes == {
            "train_images": ((5000, 28, 28), np.uint8),
            "train_labels": ((5000,), np.uint8),
            "test_images": ((1000, 28, 28), np.uint8),
            "test_labels": ((1000,), np.uint8),
        }

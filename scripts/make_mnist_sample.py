"""Choose the digits that ship with privfl from the full MNIST.

    python scripts/make_mnist_sample.py FOLDER [OUT]

FOLDER holds the four IDX files, packed or not. Of each label, 500 training and 100 test images are
taken, evenly spaced over the file: the first half of MNIST's test file is cleaner than the second,
so the first ones alone would be too easy. Nothing is drawn at random.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from privfl.data._idx import read_half

OUT = Path(__file__).parent.parent / "privfl" / "data" / "mnist_sample.npz"


def main(folder: Path, out: Path = OUT) -> None:
    """Read the folder and write the sample."""
    arrays = {}
    for half, name, per_label in [("train", "train", 500), ("t10k", "test", 100)]:
        images, labels = read_half(folder, half)
        rows = choose(labels, per_label)
        arrays |= {f"{name}_images": images[rows], f"{name}_labels": labels[rows]}
    np.savez_compressed(out, **arrays)


def choose(labels: npt.NDArray[np.uint8], per_label: int) -> npt.NDArray[np.intp]:
    """Take ``per_label`` evenly spaced rows of each label, in the file's order."""
    chosen = []
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        chosen.append(rows[np.linspace(0, len(rows) - 1, per_label).round().astype(int)])
    return np.sort(np.concatenate(chosen))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

"""The digits that ship with the package."""

from importlib.resources import files

import numpy as np

from privfl.data._digits import Digits, as_pair


def mnist_sample() -> Digits:
    """Read 5,000 training and 1,000 test images of MNIST, balanced by label, from the package.

    ``scripts/make_mnist_sample.py`` chose them, evenly spaced over the original files;
    ``ATTRIBUTION.md`` beside the file names their authors and licence. Nothing is downloaded.

    Guarantees:
        - Every label has 500 training and 100 test images.
        - No image is in both halves.

    >>> x, y = mnist_sample().test
    >>> x.shape, x.dtype, y.dtype
    (torch.Size([1000, 1, 28, 28]), torch.float32, torch.int64)
    """
    with (files("privfl.data") / "mnist_sample.npz").open("rb") as file:
        arrays = dict(np.load(file, allow_pickle=False))
    return Digits(
        train=as_pair(arrays["train_images"], arrays["train_labels"]),
        test=as_pair(arrays["test_images"], arrays["test_labels"]),
    )

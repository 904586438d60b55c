"""The two small models of the digits scenario."""

from torch import nn


def digits_cnn() -> nn.Module:
    """Make the convolutional model: 28,938 parameters.

    One fully connected layer only: a second one stays at chance for the first rounds.
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=5, stride=2, padding=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 10),
    )


def digits_mlp() -> nn.Module:
    """Make the fully connected twin, whose first layer is linear: 50,890 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))

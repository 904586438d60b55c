"""Small models of every kind that per-example gradients must come out right for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Case = tuple[nn.Module, Tensor, Tensor]


class Scale(nn.Module):
    """Multiply by a weight without dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.by


class Tied(nn.Module):
    """Use one matrix to read words and to score them."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Embedding(7, 4)
        self.score = nn.Linear(4, 7, bias=False)
        self.score.weight = self.read.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.read(x).mean(1))


class Words(nn.Module):
    """Average embeddings of a few words."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.score = nn.Embedding(9, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.read(x).mean(1))


class Bare(nn.Module):
    """Hold a weight of its own, outside any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.layer = nn.Parameter(torch.randn(4)), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + self.shift)


class Residual(nn.Module):
    """Run one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(torch.tanh(self.layer(x))))


class Borrowed(nn.Module):
    """Use a layer's weight past the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.layer(x), self.layer.weight)


class Mixing(nn.Module):
    """Take the mean over the batch off."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return out - out.mean(0)


class Padded(Words):
    """Read words of which one is padding, and does not train."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Embedding(9, 5, padding_idx=2)


class Following(nn.Module):
    """Keep a running mean of what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return self.layer(x)


class Drop(nn.Module):
    """Drop half, without a layer that says so."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5)


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    return model


def unused() -> nn.Module:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.idle = nn.Linear(4, 3), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    return Unused()


def images(n: int) -> Tensor:
    return torch.rand(n, 1, 8, 8)


def rows(n: int) -> Tensor:
    return 3 * torch.randn(n, 4)


def words(n: int) -> Tensor:
    return torch.randint(7, (n, 6))


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor]]] = {
    "linear": (lambda: nn.Linear(4, 3), rows),
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), rows),
    "conv": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 3)
        ),
        images,
    ),
    "groupnorm": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
        ),
        images,
    ),
    "layernorm": (
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)),
        rows,
    ),
    "embedding": (Words, words),
    "0-d": (lambda: nn.Sequential(nn.Linear(4, 5), Scale(), nn.Linear(5, 3)), rows),
    "bare": (Bare, rows),
    "tied": (Tied, words),
    "twice": (Residual, rows),
    "frozen": (frozen, rows),
    "float64": (lambda: nn.Sequential(nn.Linear(4, 3).double()), lambda n: rows(n).double()),
}


def case(name: str, n: int = 7, seed: int = 0) -> Case:
    """A model, and examples of very different gradient norms."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make, inputs = MODELS[name]
        return make(), inputs(n), torch.randint(3, (n,))


def plain(value):
    """Name a case for pytest: an object without a text of its own by its kind, never its place."""
    text = repr(value)
    return type(value).__name__ if " at 0x" in text and not isinstance(value, str) else text

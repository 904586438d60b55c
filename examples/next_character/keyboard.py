"""A keyboard: a small recurrent network that guesses the next character, and how well it does."""

import math
from dataclasses import dataclass

import torch
from phones import ALPHABET, encode
from torch import Tensor, nn

from privfl.parts import Data


class Keyboard(nn.Module):
    """Map the characters so far to scores of the next one: codes (n, t) -> (n, t, 38)."""

    def __init__(self, *, seed: int = 0, embedding: int = 24, hidden: int = 64) -> None:
        """Make 20,662 weights, the same for the same seed."""
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed = nn.Embedding(len(ALPHABET), embedding)
            self.recur = nn.GRU(embedding, hidden, batch_first=True)
            self.score = nn.Linear(hidden, len(ALPHABET))

    def forward(self, codes: Tensor) -> Tensor:
        """Read the characters in order."""
        scores: Tensor = self.score(self.recur(self.embed(codes))[0])
        return scores


def loss(scores: Tensor, follows: Tensor) -> Tensor:
    """Take the mean cross entropy of all characters: (n, t, k), (n, t) -> ()."""
    return nn.functional.cross_entropy(scores.flatten(0, 1), follows.flatten())


@dataclass(frozen=True)
class Score:
    """Say how well a model guesses.

    Attributes:
        accuracy: share of characters that are the first guess.
        top_3: share that are among the first three, which is what a keyboard shows.
        bits: per character, with the model as a compressor.
    """

    accuracy: float
    top_3: float
    bits: float


def scored(scores: Tensor, follows: Tensor) -> Score:
    """Compare scores with what follows: (..., k), (...)."""
    right = scores.topk(3, dim=-1).indices == follows.unsqueeze(-1)
    bits = loss(scores.reshape(1, -1, scores.shape[-1]), follows.reshape(1, -1)) / math.log(2)
    return Score(
        accuracy=float(right[..., 0].double().mean()),
        top_3=float(right.any(dim=-1).double().mean()),
        bits=float(bits),
    )


@torch.no_grad()
def test(model: nn.Module, data: Data) -> Score:
    """Let the model guess each character of the data."""
    x, y = data
    return scored(torch.cat([model(part) for part in x.split(200)]), y)


def commonest(phones: list[Data], data: Data) -> Score:
    """Guess the most frequent characters of all phones, whatever was typed before."""
    counts = torch.cat([y.flatten() for _, y in phones]).bincount(minlength=len(ALPHABET))
    shares = (counts + 1.0) / (counts + 1.0).sum()  # one more of each: none is impossible
    return scored(shares.log().expand(*data[1].shape, -1), data[1])


@torch.no_grad()
def complete(model: nn.Module, text: str, n: int = 24) -> str:
    """Type on with the first guess, ``n`` times."""
    codes = encode(text).unsqueeze(0)
    for _ in range(n):
        codes = torch.cat([codes, model(codes)[:, -1:].argmax(dim=-1)], dim=1)
    return "".join(ALPHABET[code] for code in codes[0].tolist())

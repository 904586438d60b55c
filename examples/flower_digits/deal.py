"""What clients and server have before they meet: images, keys, and whose keys they trust."""

import argparse
from pathlib import Path

import numpy as np

from privfl.core import Registry, write_identity
from privfl.crypto import Identity
from privfl.data import mnist_sample, quantity


def deal(root: Path, n_clients: int, *, seed: int = 0) -> list[Path]:
    """Make folders ``server``, ``client-0``, ``client-1``, …, and return the clients' folders.

    In reality each client makes its own key with ``privfl keys new``, and hands its name and its
    public key to whoever keeps the registry.
    """
    x, y = mnist_sample().train
    server, clients = root / "server", [root / f"client-{k}" for k in range(n_clients)]
    keys = {k: Identity.new() for k in range(n_clients)}
    registry = Registry({who: key.public for who, key in keys.items()})
    for folder in (server, *clients):
        folder.mkdir(parents=True)
        registry.write(folder / "registry.toml")
    hands = quantity(y, n_clients, alpha=2.0, min_size=100, generator=seed)
    for who, (folder, rows) in enumerate(zip(clients, hands, strict=True)):
        np.savez(folder / "digits.npz", images=x[rows].numpy(), labels=y[rows].numpy())
        write_identity(folder / "identity.toml", who, keys[who])
    return clients


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="the folder to make")
    parser.add_argument("--clients", type=int, default=10)
    args = parser.parse_args()
    deal(args.root, args.clients)

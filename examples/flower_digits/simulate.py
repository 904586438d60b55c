"""Train on clients that Ray simulates, through ``flwr run``."""

import argparse
import sys

from launch import launch
from link import Link

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sys.exit(
        launch(
            lambda root, _: Link(root, {"insecure": None, "simulation": None}),
            clients=args.clients,
            rounds=args.rounds,
            federation={"num-supernodes": args.clients, "client-resources-num-cpus": 1},
        )
    )

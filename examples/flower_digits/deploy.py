"""Train on a SuperLink and SuperNodes on this machine, each a process with its own folder."""

import argparse
import sys

from deployment import Deployment
from launch import launch

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--supernodes", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    sys.exit(launch(Deployment, clients=args.supernodes, rounds=args.rounds))

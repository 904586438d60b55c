"""Rounds on a SuperLink and SuperNodes on this machine."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from privfl.core import Registry, write_identity
from privfl.crypto import Identity

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "flower_digits"))

from deployment import Deployment

APP = Path(__file__).resolve().parent / "_flower_app"
ROUNDS = 3  # the first is left out: nodes introduce themselves


def loopback(
    supernodes: int, sizes: Sequence[int], pipelines: Sequence[str]
) -> Iterator[tuple[str, int, float, float]]:
    """Time the least of a plain and of guarded runs' rounds: (pipeline, d, plain, guarded)."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Deployment(root, _clients(root, supernodes)) as deployment:
            for d in sizes:
                plain = min(_run(deployment, root, "", d))
                for name in pipelines:
                    yield name, d, plain, min(_run(deployment, root, name, d))


def _clients(root: Path, n: int) -> list[Path]:
    """Give everybody a key and the registry."""
    keys = {f"client-{k}": Identity.new() for k in range(n)}
    registry = Registry({who: key.public for who, key in keys.items()})
    registry.write(root / "registry.toml")
    for who, key in keys.items():
        (root / who).mkdir()
        registry.write(root / who / "registry.toml")
        write_identity(root / who / "identity.toml", who, key)
    return [root / who for who in keys]


def _run(deployment: Deployment, root: Path, pipeline: str, d: int) -> Iterator[float]:
    settings = {"folder": str(root), "pipeline": pipeline, "parameters": d, "rounds": ROUNDS}
    run = deployment.submit(settings, app=APP)
    lines: list[str] = []
    deployment.follow(run, lines.append)
    file = root / "ends.json"
    if not file.exists():
        raise RuntimeError("\n".join([f"A run that did not end well: {run}", *lines[-20:]]))
    ends = json.loads(file.read_text(encoding="utf-8"))
    file.unlink()
    return (after - before for before, after in pairwise(ends[1:]))

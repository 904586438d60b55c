"""One round between real processes, with TLS and known keys, in which a SuperNode is killed."""

import importlib.metadata
import shutil
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from flower.exact_updates import START, but, floats, is_mean_of, leaks
from flower.faulty_grid import Fault
from flower.faulty_runs import require_charged
from flower.loopback import Loopback
from privfl import Ledger

TESTED = "1.41.0"  # older ones have other programs: what they share is tested in one process


def why_not():
    """Say why nothing can be deployed here, or nothing."""
    version = importlib.metadata.version("flwr")
    if version != TESTED:
        return f"flwr is {version}, deployments are tested with {TESTED}"
    here = Path(sys.executable).parent
    needed = [here / "flower-superlink", here / "flower-supernode", "ps"]
    lacking = [str(name) for name in needed if shutil.which(name) is None]
    if lacking:
        return f"there is no {', '.join(lacking)}"
    try:
        socket.create_server(("127.0.0.1", 0)).close()
    except OSError as error:
        return f"127.0.0.1 cannot be listened on: {error}"
    return ""


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "it can run")
def test_the_survivors_of_a_kill_at_mask_are_summed_exactly(tmp_path):
    killed = Fault("its SuperNode is killed", 3, 0, "mask")
    with Loopback(tmp_path, [killed], timeout=300.0) as deployed:
        assert deployed.run() == "finished:completed"
        (_, line), (start, model) = deployed.rounds(), deployed.models()
        written = deployed.written
    assert (line["aborted"], line["survivors"]) == ("", list(but(2)))
    np.testing.assert_array_equal(start, floats(START))
    assert is_mean_of(model - start, but(2))
    assert leaks(written, [start, model]) == []
    require_charged(Ledger(tmp_path / "server/run.db"), rounds=1)

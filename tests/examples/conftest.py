"""Examples are folders of scripts: each test file has its own importable, and forgets it."""

import sys
from pathlib import Path

import pytest

STAYS = ("offline",)  # Ultralytics reads its environment once
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def example(request, monkeypatch):
    """Make ``examples/NAME`` importable for ``test_NAME.py``: scripts there share their names."""
    folder = EXAMPLES / request.path.stem.removeprefix("test_")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for path in folder.glob("*.py"):
        if path.stem not in STAYS:
            sys.modules.pop(path.stem, None)

"""Every example in the product runs."""

import doctest
from importlib import import_module

import pytest

from guards.test_rings import MODULES

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example writes stays out of the clone
    result = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert result.failed == 0

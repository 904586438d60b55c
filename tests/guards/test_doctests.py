"""Every example in the product runs."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import privfl

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["privfl", *sorted(m.name for m in pkgutil.walk_packages(privfl.__path__, "privfl."))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what an example writes stays out of the clone
    result = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert result.failed == 0

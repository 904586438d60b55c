"""Every public name is there, is documented, and is shown in use."""

import inspect
import pkgutil
import re
from importlib import import_module

import pytest

from guards.test_rings import MODULES

PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")
# What is written into a pipeline, a duel or a loop; elsewhere the package's own example will do.
SHOWN = ("privfl", "privfl.attacks", "privfl.data", "privfl.defenses")
PUBLIC = [(name, word) for name in PACKAGES for word in getattr(import_module(name), "__all__", [])]


def home(package):
    return ".".join(package.split(".")[:2])


def docstring(thing):
    """The text somebody wrote: neither inherited nor what a dataclass writes by itself."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
    return "" if not text or text.startswith(f"{thing.__name__}(") else text


def examples(thing):
    """The doctests of a class, its methods included, or of a function."""
    members = vars(thing).values() if inspect.isclass(thing) else []
    texts = [docstring(thing), *(getattr(m, "__doc__", "") or "" for m in members)]
    return [text for text in texts if ">>> " in text]


def shown_in(package, word):
    """Whether the package's own example uses a name."""
    text = import_module(package).__doc__ or ""
    code = [line for line in text.splitlines() if line.lstrip().startswith((">>>", "..."))]
    return any(re.search(rf"\b{word}\b", line) for line in code)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_teaches_with_a_running_example_and_lists_its_names(package):
    module = import_module(package)
    assert ">>> " in (module.__doc__ or "")
    assert sorted(set(module.__all__)) == sorted(module.__all__)


@pytest.mark.parametrize(("package", "word"), PUBLIC)
def test_a_public_name_resolves_and_is_documented(package, word):
    thing = getattr(import_module(package), word)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert docstring(thing)


@pytest.mark.parametrize(("package", "word"), [p for p in PUBLIC if home(p[0]) in SHOWN])
def test_what_a_user_writes_has_an_example(package, word):
    thing = getattr(import_module(package), word)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert examples(thing) or shown_in(package, word)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_submodule_bears_the_name_of_something_public(package):
    """Else what ``from privfl.evaluate import duel`` gives depends on the order of imports."""
    module = import_module(package)
    submodules = {m.name for m in pkgutil.iter_modules(module.__path__)}
    clashes = [
        w for w in module.__all__ if w in submodules and not inspect.ismodule(getattr(module, w))
    ]
    assert clashes == []

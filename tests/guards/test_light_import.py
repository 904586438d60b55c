"""The front door and the command's help open at once: nothing heavy is loaded for them."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "scipy", "dp_accounting"}

OPENINGS = {
    "import privfl": "import privfl",
    "privfl --help": (
        "import sys; from importlib.metadata import entry_points\n"
        "(command,) = entry_points(group='console_scripts', name='privfl')\n"
        "sys.argv = ['privfl', '--help']\n"
        "try: command.load()()\n"
        "except SystemExit as end: assert not end.code"
    ),
}


@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS.keys())
def test_it_loads_nothing_heavy(opening, tmp_path):
    report = "import sys; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{opening}\n{report}"],
        cwd=tmp_path,  # in the clone ./privfl would be found before what is installed
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "privfl" in loaded
    assert HEAVY & set(loaded) == set()

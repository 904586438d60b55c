"""What is installed is what lies in the folders, and what was tested is what is pinned."""

import configparser
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

import privfl

ROOT = Path(__file__).parents[2]
HOMES = {"privfl": "privfl", "defenses": "privfl.defenses", "attacks": "privfl.attacks"}

setup = configparser.ConfigParser()
setup.read(ROOT / "setup.cfg")


def lines(section, key):
    return setup[section][key].split("\n")[1:]


PACKAGES = lines("options", "packages")
NEEDED = lines("options", "install_requires")
EXTRAS = [
    need
    for extra in setup["options.extras_require"]
    for need in lines("options.extras_require", extra)
]


def folder_of(package):
    """The folder of a package, by the longest prefix that ``package_dir`` maps."""
    mapping = dict(line.split(" = ") for line in lines("options", "package_dir"))
    prefix = max((p for p in mapping if f"{package}.".startswith(f"{p}.")), key=len)
    return ROOT / mapping[prefix] / package[len(prefix) + 1 :].replace(".", "/")


def folders():
    """Every folder with an ``__init__.py``, under the name it is installed by."""
    for home, name in HOMES.items():
        for init in (ROOT / home).rglob("__init__.py"):
            yield ".".join([name, *init.parent.relative_to(ROOT / home).parts])


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement).group().lower()


def test_the_list_of_packages_is_the_folders():
    assert sorted(PACKAGES) == sorted(folders())


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_mapped_to_its_folder(package):
    assert (folder_of(package) / "__init__.py").is_file()


def test_every_file_that_is_no_code_is_package_data():
    """A style sheet or an image that ``package_data`` does not name is missing from the wheel."""
    data = {
        package: lines("options.package_data", package) for package in setup["options.package_data"]
    }
    missing = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in folder_of(package).iterdir()
        if path.is_file() and path.suffix not in {".py", ".pyc"}
        if not any(fnmatch(path.name, pattern) for pattern in data.get(package, []))
    ]
    assert missing == []


def test_every_requirement_has_its_tested_version():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {name_of(line) for line in pins if "==" in line}
    assert [r for r in NEEDED + EXTRAS if name_of(r) not in pinned] == []


def test_hard_requirements_have_lower_bounds_only():
    assert [r for r in NEEDED if not re.fullmatch(r"[\w-]+ >= [\d.]+", r)] == []


def test_every_bound_has_its_reason_above_it():
    text = (ROOT / "setup.cfg").read_text().splitlines()
    bounds = [i for i, line in enumerate(text) if re.match(r"    [\w-]+ [>=]=", line)]
    assert len(bounds) >= len(NEEDED)
    assert [text[i] for i in bounds if not text[i - 1].startswith("    # ")] == []


def test_the_citation_names_this_version():
    assert f"\nversion: {privfl.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_command_is_installed():
    (command,) = entry_points(group="console_scripts", name="privfl")
    assert callable(command.load())


def test_the_clone_with_nothing_but_a_wheel_says_so_in_one_line(tmp_path):
    """There ``./privfl`` hides the wheel, and ``defenses`` lies beside it and not inside."""
    for home in HOMES:
        copytree(ROOT / home, tmp_path / home, ignore=ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import privfl"],  # -S: without the editable install
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert re.match(r"ImportError: .*pip install -e \..*leave", last), last


def test_the_oldest_flower_that_is_tested_is_the_one_that_is_promised():
    script = (ROOT / "scripts/oldest_flower.sh").read_text()
    (tested,) = re.findall(r"^flower=([\d.]+)$", script, flags=re.MULTILINE)
    promised = {need for need in EXTRAS if name_of(need) == "flwr" and ">=" in need}
    assert {need.split(">=")[1].strip() for need in promised} == {tested.removesuffix(".0")}

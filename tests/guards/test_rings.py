"""A room imports only what lies inside it. The table below is the house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOMES = {"privfl": "privfl", "defenses": "privfl.defenses", "attacks": "privfl.attacks"}

# From the inside out. Rooms that share a line do not know each other; rooms joined by a + are one.
RINGS = [
    ["crypto", "lattice"],
    ["core"],
    ["parts"],
    ["accounting", "data", "compression", "sampling"],
    ["rounds"],
    ["views"],
    ["pipeline+averager+calibration+explain", "defenses", "attacks"],
    ["ledger"],
    ["learning"],
    ["federation+composition+datasets+exchange+updates+history+checkpoint+charging+machines"],
    ["front door"],
    ["reading"],
    ["evaluate", "flower", "testing"],
    ["cli"],
]
RING = {room: i for i, rooms in enumerate(RINGS) for room in rooms}
ROOM = {module: room for room in RING for module in room.split("+")}
OUTERMOST_OF_FAMILIES = RING["views"]  # defences and attacks know what every part knows, no more


def modules():
    """Every module of the product: its installed name and its file."""
    for home, name in HOMES.items():
        for path in sorted((ROOT / home).rglob("*.py")):
            parts = path.relative_to(ROOT / home).with_suffix("").parts
            yield ".".join([name, *parts]).removesuffix(".__init__"), path


MODULES = dict(modules())


def place(module):
    """The word of the table for a module: ``privfl.core._plan`` -> ``core``."""
    parts = module.split(".")
    return parts[1].lstrip("_") if len(parts) > 1 else "front door"


def imported(path):
    """The modules of the product that a file imports, wherever in it: (line, name)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                known = f"{base}.{alias.name}" in MODULES
                yield node.lineno, f"{base}.{alias.name}" if known else base


def allowed(importer, target):
    here, there = ROOM[place(importer)], ROOM[place(target)]
    if here == there:
        return here != "defenses" or same_family(importer, target)
    if here in ("defenses", "attacks"):
        return RING[there] <= OUTERMOST_OF_FAMILIES
    return RING[there] < RING[here]


def same_family(importer, target):
    """One family of defences may use itself and the package above it, never a sister."""
    families = {module.split(".")[2] for module in (importer, target) if module.count(".") > 1}
    return len(families) < 2


def test_every_module_has_a_place_in_the_table():
    assert {place(module) for module in MODULES} - set(ROOM) == set()


@pytest.mark.parametrize("module", [m for m in MODULES if m != "privfl"])
def test_a_module_imports_only_what_lies_inside(module):
    """The front door alone is free: it resolves every public name when it is used."""
    bad = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {target}"
        for line, target in imported(MODULES[module])
        if target.split(".")[0] == "privfl" and not allowed(module, target)
    ]
    assert bad == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_uses_no_relative_import_and_no_name_of_the_folders(module):
    """``defenses`` and ``attacks`` are names of folders in the clone, not of packages."""
    names = [name for _, name in imported(MODULES[module])]
    assert [
        n for n in names if n.startswith(".") or n.split(".")[0] in ("defenses", "attacks")
    ] == []


@pytest.mark.parametrize(
    ("importer", "target", "fine"),
    [
        ("privfl.core._plan", "privfl.crypto", True),
        ("privfl.core._plan", "privfl.parts", False),
        ("privfl.accounting", "privfl.data", False),
        ("privfl._pipeline", "privfl._averager", True),
        ("privfl._pipeline", "privfl.defenses.dp", False),
        ("privfl.defenses.dp._clip", "privfl.views", True),
        ("privfl.defenses.dp._clip", "privfl._pipeline", False),
        ("privfl.defenses.dp._clip", "privfl.attacks", False),
        ("privfl.defenses.dp._clip", "privfl.defenses.dp._noise", True),
        ("privfl.defenses.dp._clip", "privfl.defenses.robust", False),
        ("privfl.attacks.inversion", "privfl.attacks.poisoning", True),
        ("privfl.attacks.inversion", "privfl.defenses", False),
        ("privfl.federation", "privfl.learning", True),
        ("privfl.learning", "privfl.federation", False),
        ("privfl.federation", "privfl", False),
        ("privfl.evaluate._duel", "privfl", True),
        ("privfl.evaluate._duel", "privfl.attacks.inversion", True),
        ("privfl.cli", "privfl.evaluate", True),
    ],
)
def test_the_table_says_what_the_design_says(importer, target, fine):
    assert allowed(importer, target) is fine

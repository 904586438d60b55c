"""The notebooks run, match their plain-text sources, and carry no outputs."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
SAYS = {
    "1_wrap_the_loop_you_have": ["[R5]", "expect it not to train", "10 of 10"],
    "3_how_much_budget_is_left": ["above the budget of 3", "not audited", "tampered:"],
    "2_what_a_server_sees": ["LEAK", "no meaningful guarantee", "identified 1.00"],
    "4_secure_aggregation": [
        "below one step: True",
        "ProtocolAbort: 5 clients are left",
        "LEAK",
        "10 of 10 refuse: 5 signed who is counted",
        "6 groups bear 2 attackers",
    ],
    "5_homomorphic_aggregation": [
        "server: opened nothing",
        "within 1e-7: True",
        "integers add up exactly: True",
        "PlanError: [R9] The mean of 100 updates",
        "NotApplicable: The server was handed no result",
        "Careless(published=100): a key of 4,096 coefficients, 10 of 10 updates are read",
        "10 of 10 pictures are certified",
        "\nCKKS(published=100): no key, 0 of 10 updates are read",
        "enough: True",
    ],
}


def test_every_notebook_is_known_here() -> None:
    assert set(NAMES) == set(SAYS) == {path.stem for path in FOLDER.glob("*.ipynb")}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_its_plain_text_source_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    source = jupytext.read(FOLDER / f"{name}.py")
    assert [(c.cell_type, c.source) for c in notebook.cells] == [
        (c.cell_type, c.source) for c in source.cells
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("name", NAMES)
# the kernel's own client still makes an event loop in a way that newer Pythons warn of
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_runs_and_says_what_it_promises(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    for words in SAYS[name]:
        assert words in printed

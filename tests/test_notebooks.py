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
    "6_from_the_notebook_to_a_flower_deployment": [
        "five rounds of FedAvg: accuracy 0.8",
        "below 1e-6: True",
        "[R8] FedMedian needs each reply",
        "[R2] The strategy weighs replies by 'num-examples'",
        "10 of 10 clients: A message that did not come through the guard",
        "Flower alone: 10 replies of arrays and metrics, in which are 10 of 10 models",
        "guarded: 10 replies of privfl, in which are 0 of 10 models, 10 of 10 updates",
        "masked: 60 replies of privfl, in which are 0 of 10 models, 0 of 10 updates",
        "chance is all that masks leave: True",
        "counted: [9, 9, 9, 9, 10, 10, 10]",
        "exact but for it: True",
        "the model is as before: True",
        "5 clients are left at mask, 6 are needed\ntrain: 10 of 10",
        "10 errors, 0 letters. Every client refuses. A noise multiplier of 0.1",
        "10 errors, 0 letters. Every client refuses. A clip norm of 50",
        "4 errors, 0 letters. Every client refuses. A cohort of 4",
        "2 rounds are behind us, epsilon at most 6.58",
        "epsilon would be 12.87 at delta 1e-05, above the budget of 12",
        "LedgerTampered:",
    ],
    "7_federated_image_search_with_personal_heads": [
        "each finds more than an untrained body: True",
        "names its digits better than a common one: True",
        "FedAvg: both digits of 100 of 100 clients are read from their updates",
        "FedRep: 5,744 weights travel, at home stay ['head.weight', 'head.bias']",
        "the server's head never moved: True",
        "A layout must not share personal layers. Found ['head.weight', 'head.bias']",
        "below one hundredth: True",
        "whether a client took part, against an outsider: epsilon 7.1",
        "noise finds more than no training: True",
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

"""Every block of the README does what it says."""

import re
import shlex
from pathlib import Path

import pytest
import typer

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_python_blocks_run_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # what they write stays out of the clone
    namespace: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, str(README), "exec"), namespace)
    out = capsys.readouterr().out
    assert "against server" in out
    assert "2 10 of 10" in out
    assert "LEAK" in out


def test_the_diffs_change_as_many_lines_as_they_say() -> None:
    """One line in a loop; in a Flower app three a side, one of which was there before."""
    marks = [re.findall("^[+-]", diff, flags=re.MULTILINE) for diff in blocks("diff")]
    changed = [(each.count("+"), each.count("-")) for each in marks]
    assert changed == [(1, 1), (3, 1), (3, 1)]


def test_the_commands_exist() -> None:
    from privfl.cli import app

    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    known = set(typer.main.get_command(app).commands)
    for line in "".join(blocks("console")).splitlines():
        program, what, *_ = shlex.split(line.removeprefix("$ "), comments=True)
        assert program in ("make", "privfl")
        if program == "make":
            assert re.search(rf"^{what}:", makefile, flags=re.MULTILINE), what
        else:
            assert what in known


def test_the_linked_files_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (README.parent / target).exists(), target

"""The command line: `privfl duel`, `explain`, `epsilon`, and `ledger`, `keys`, `transcript`.

Each module adds its commands to `app`; they are imported here for that.

>>> from typer.testing import CliRunner
>>> done = CliRunner().invoke(app, ["noise-multiplier", "--epsilon", "1", "--delta", "1e-5"])
>>> print(done.output.splitlines()[0])
noise multiplier 3.731
"""

from privfl.cli import (  # noqa: F401  they add commands
    _accounting,
    _duel,
    _explain,
    _keys,
    _ledger,
    _transcript,
)
from privfl.cli._app import app

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line."""
    app()

"""`privfl transcript verify`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privfl.cli._app import AsJson, app, fail

if TYPE_CHECKING:
    from privfl.views import Findings

transcript_app = typer.Typer(
    no_args_is_help=True, help="Check the log of a masked round: who saw which set of updates."
)
app.add_typer(transcript_app, name="transcript")


@transcript_app.command()
def verify(
    log: Annotated[Path, typer.Argument(help="What Transcript.write_log wrote.")],
    registry: Annotated[
        Path | None, typer.Option(help="The clients' public keys, as you know them.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="The hash of the last line, kept elsewhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check chain, signatures and answers of a round, and say who saw which set.

    Exit code 1: something is violated. Without a registry the keys are those that the log claims
    itself; without a head nobody can tell whether lines at the end are lost.

    Examples:
      privfl transcript verify round.jsonl --registry clients.toml --head $(cat head.txt)
    """
    from privfl.core import Registry
    from privfl.views import verify_log

    try:
        known = None if registry is None else Registry.read(registry)
        found = verify_log(log, known, head=head)
    except (ValueError, OSError) as error:
        fail(str(error), code=2)
    typer.echo(json.dumps(_for_machines(found), indent=1) if as_json else str(found))
    if not found.sound:
        raise typer.Exit(1)


def _for_machines(found: "Findings") -> dict[str, object]:
    return {
        "sound": found.sound,
        "keys": "registry" if found.keys_known else "claimed by the log",
        "head": found.head,
        "head_known": found.head_known,
        "lines": found.lines,
        "anonymity": found.anonymity,
        "violations": [
            {"line": v.line, "rule": v.rule.name.lower(), "says": str(v.rule), "found": v.found}
            for v in found.violations
        ],
        "sums": [
            {
                "session": one.session,
                "members": one.members,
                "corrupt": one.corrupt,
                "anonymity": one.anonymity,
                "sets": [{"set": who, "signed_by": by} for who, by in one.signed.items()],
            }
            for one in found.sums
        ],
    }

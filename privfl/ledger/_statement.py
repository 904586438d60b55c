"""One page that an auditor can keep."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from privfl.core import Vantage
from privfl.ledger._reproduce import reproduce
from privfl.ledger._standing import Standing, standings
from privfl.ledger._statement_table import escaped, mechanisms, names_of, span, table

if TYPE_CHECKING:
    from privfl.ledger._ledger import Ledger

ASSUMED = (
    "Computational: noise comes from AES-256 in counter mode under a key of the operating system, "
    "so the guarantee holds against adversaries who cannot break it.",
    "Arithmetic: noise is drawn in 53 bits and rounded to the model's precision; bounds are those "
    "of real numbers.",
    "Complete: what was released without being charged is in no ledger.",
)
DECLARED = (
    "Declared: {} of the releases rest on what a person typed, how samples were drawn included; "
    "the others on what acted."
)
WITNESSED = (
    "Witnessed: every charge was written by what acted, and samples were drawn by what charged "
    "them."
)
TRUSTED = (
    "Trusted opener: against an outsider the server is trusted, which sees the release before the "
    "noise."
)


def statement(ledgers: "Sequence[Ledger]", delta: float, *, model: bytes | None = None) -> str:
    """Write what ledgers say as one page of Markdown, after verifying them.

    Args:
        ledgers: one or more, each with a section of its own: they are never added up.
        delta: at which epsilon is stated.
        model: hash of a model's weights, to say which release it is.

    Raises:
        LedgerTampered: where a chain is broken.
        ValueError: for a delta at or above one over the number of units.

    >>> from privfl import Ledger
    >>> from dp_accounting import GaussianDpEvent
    >>> ledger = Ledger("run.db")
    >>> kinds = {"unit": "client", "vantage": "outsider", "relation": "zero-out"}
    >>> entry = ledger.charge(GaussianDpEvent(2.0), dataset="clinic-3", **kinds)
    >>> print(statement([ledger], delta=1e-5).splitlines()[8])
    | client | zero-out | clinic-3 | outsider: sees what is released | 1 | ... | not audited |
    """
    sections = [_section(ledger, delta, model) for ledger in ledgers]
    return "\n".join(["# Privacy statement", "", *sections])


def _section(ledger: "Ledger", delta: float, model: bytes | None) -> str:
    head = ledger.verify()
    found = list(standings(ledger.book(), delta))
    entries = ledger.entries
    lines = [f"## {ledger.path}", "", f"Chain head `{head}`, {len(entries)} entries, verified.", ""]
    lines += [*table(found, delta), "", "### Mechanisms", "", *mechanisms(found), ""]
    lines += ["### Assumptions", "", *(f"- {line}" for line in _assumptions(ledger, found)), ""]
    lines += ["### Provenance", "", *(f"- {line}" for line in _provenance(ledger, model)), ""]
    if found:
        lines += ["### Reproduce", "", *_reproduction(found)]
    return "\n".join(lines)


def _assumptions(ledger: "Ledger", found: Sequence[Standing]) -> list[str]:
    lines = list(ASSUMED)
    asked = {(standing.question.unit, standing.question.vantage) for standing in found}
    if any(not v.parties and (unit, Vantage.SERVER) not in asked for unit, v in asked):
        lines.append(TRUSTED)
    typed = sum({standing.dataset: standing.declared for standing in found}.values())
    if found:
        lines.append(DECLARED.format(typed) if typed else WITNESSED)
    groups = [names_of(sorted(names)) for names in ledger.book().disjoint]
    lines += [f"Disjoint, as declared: {names}." for names in sorted(groups)]
    caps = {p.claim.max_records for p in ledger.book().postings} - {None}
    lines += [
        f"A client holds at most {cap} records, as declared." for cap in sorted(map(str, caps))
    ]
    return lines


def _provenance(ledger: "Ledger", model: bytes | None) -> list[str]:
    entries = ledger.entries
    charges = [entry.fields for entry in entries if entry.kind == "charge"]
    runs: dict[str, set[str]] = {}
    for charge in charges:
        runs.setdefault(charge["dataset"], set()).add(charge["run"])
    counts = span([len(found) for found in runs.values()]) if runs else "0"
    lines = [f"Runs that charged a dataset: {counts}."]
    written = sorted({charge["pipeline"] for charge in charges} - {""})
    lines += [f"Released by `{words}`." for words in written]
    signed = {entry.fields["key"] for entry in entries if entry.kind == "signature"}
    lines += [f"Signed by the Ed25519 key `{key}`." for key in sorted(signed)]
    if not signed:
        lines.append("Not signed.")
    if model is not None:
        lines.append(_model_line(entries, model))
    if entries:
        versions = sorted({entry.fields["version"] for entry in entries})
        lines.append(f"Written by privfl {', '.join(versions)}.")
    packages = ("privfl", "dp-accounting")
    lines.append(f"Read by {', '.join(f'{name} {version(name)}' for name in packages)}.")
    return lines


def _model_line(entries: Sequence[Any], model: bytes) -> str:
    text = model.hex()
    made = [e for e in entries if e.kind == "release" and e.fields["model"]]
    hits = [k for k, entry in enumerate(made) if entry.fields["model"] == text]
    if not hits:
        return f"The model with hash `{text}` is NOT one that this ledger released."
    where = "the last" if hits[-1] == len(made) - 1 else "an earlier"
    seq = made[hits[-1]].seq
    return f"The model with hash `{text}` is {where} one that was released, entry {seq}."


def _reproduction(found: Sequence[Standing]) -> list[str]:
    from privfl.accounting import MEANINGLESS

    able = [s for s in found if s.whole.group == 1 and s.interval.upper <= MEANINGLESS]
    if not able:
        return ["None of the figures above is one that dp-accounting computes by itself.", ""]
    worst = max(able, key=lambda standing: standing.interval.upper)
    question, dataset = worst.question, escaped(worst.dataset)
    about = f"{question.unit} level, {dataset}, against {question.vantage}"
    head = f"The largest figure that dp-accounting computes by itself ({about}):"
    return [head, "", "```python", *reproduce(worst.whole), "```", ""]

"""Checking the log of a masked round, without the pipeline, the server or a client."""

from collections.abc import Iterable
from pathlib import Path

from privfl.core import ProtocolAbort, Registry
from privfl.views._audited_draw import AuditedDraw
from privfl.views._audited_sum import AuditedSum, Broken, Fields
from privfl.views._chain import Link, links
from privfl.views._findings import Findings, Rule, Violation
from privfl.views._masked_sum import MaskedSum, bytes_in, names_in
from privfl.views._round_log import FORMAT


def verify_log(
    log: str | Path | Iterable[str], registry: Registry | None = None, *, head: str | None = None
) -> Findings:
    """Check the log of a masked round: who saw which set, and whether a rule was broken.

    Checked are the chain; every signature, over texts that are made anew from the logged numbers,
    so that nobody can log other ones than the clients used; that the server relayed what the
    clients said; that each client signed one list of survivors and showed shares once, after a
    quorum had signed the same list, of as many survivors as the numbers ask for.

    Guarantees:
        - A line that is changed, moved or taken out of the middle is found, and where.
        - What only clients can sign cannot be made up by whoever writes the log, given
          ``registry``. What was never written is not found: a server that leaves out whole letters
          is caught by the client that misses its own, whose hash it knows.

    Args:
        log: a file, or its lines.
        registry: the public keys as you know them. None takes those that the log claims, which
            proves little: see `Findings.keys_known`.
        head: the hash of the last line, kept elsewhere. None: a log that lost lines at its end and
            was given another one is not told from a whole one.

    Raises:
        ValueError: for a file that is no text.
    """
    audit = _Audit(registry)
    lines = log if not isinstance(log, str | Path) else Path(log).read_text().splitlines()
    for link in links(lines):
        audit.take(link)
    return audit.findings(head)


class _Audit:
    """Hand each line to the sum that it belongs to, and keep what it violates."""

    def __init__(self, registry: Registry | None) -> None:
        self.given, self.registry = registry, registry
        self.violations: list[Violation] = []
        self.sums: dict[bytes, AuditedSum] = {}
        self.draws: dict[bytes, AuditedDraw] = {}
        self.drawn: dict[bytes, AuditedDraw] = {}  # by the session of a group
        self.last: Link | None = None
        self.ended = False

    def take(self, link: Link) -> None:
        if link.broken:
            self._violated(link, Rule.CHAIN, link.broken)
        self.last = link
        try:
            for rule, found in self._of(link.fields):
                self._violated(link, rule, found)
        except (ValueError, KeyError, TypeError, ProtocolAbort) as error:
            self._violated(link, Rule.FORM, _said(error))

    def _violated(self, link: Link, rule: Rule, found: str) -> None:
        self.violations.append(Violation(link.line, rule, found))

    def _of(self, fields: Fields) -> Broken:
        if self.ended:
            yield Rule.END, "a line behind the end"
        match fields.get("kind"):
            case "opening":
                yield from self._opening(fields)
            case "group":
                yield from self._group(fields)
            case "letter":
                yield from self._letter(fields)
            case "end":
                yield from self._end(fields)
            case other:
                raise ValueError(f"{other!r} is no kind of line")

    def _opening(self, fields: Fields) -> Broken:
        if fields.get("format") != FORMAT:
            raise ValueError(f"format {fields.get('format')!r}, and this reads {FORMAT}")
        if self.given is None:
            self.registry = _claimed(fields)
        if "group_size" in fields:
            self.draws[bytes_in(fields, "session")] = AuditedDraw(fields, self._keys)
            return
        yield from self._begun(MaskedSum.from_fields(fields))

    @property
    def _keys(self) -> Registry:
        if self.registry is None:
            raise ValueError("it comes before the opening")
        return self.registry

    def _begun(self, numbers: MaskedSum) -> Broken:
        if numbers.session in self.sums:
            raise ValueError("it opens a sum that is open")
        begun = self.sums[numbers.session] = AuditedSum(numbers, self._keys)
        yield from begun.begins()

    def _group(self, fields: Fields) -> Broken:
        numbers, draw = MaskedSum.from_fields(fields), self.draws[bytes_in(fields, "of")]
        self.drawn[numbers.session] = draw
        yield from draw.begins(numbers)
        yield from self._begun(numbers)

    def _letter(self, fields: Fields) -> Broken:
        what = fields["what"]
        if what == "unreadable":
            return
        session = bytes_in(fields, "session")
        if session in self.draws:
            yield from self.draws[session].takes(str(what), fields)
            return
        if "coins" in fields:
            yield from self.drawn[session].grouped(fields)
        yield from self.sums[session].takes(str(what), fields)

    def _end(self, fields: Fields) -> Broken:
        self.ended = True
        if fields.get("survivors") is None:
            return
        survivors = set(names_in(fields, "survivors"))
        agreed = {who for one in self.sums.values() for found in one.unmasked for who in found}
        if not survivors <= agreed:
            strangers = sorted(survivors - agreed, key=str)
            yield Rule.END, f"clients {strangers} are counted, and in no sum that was unmasked"

    def findings(self, head: str | None) -> Findings:
        line, last = (0, "") if self.last is None else (self.last.line, self.last.hash)
        violations = [*self.violations]
        if not self.ended:
            violations.append(Violation(line, Rule.END, "the log stops without an end"))
        if head is not None and head != last:
            violations.append(Violation(line, Rule.END, f"the head is {last}, and not {head}"))
        return Findings(
            tuple(violations),
            tuple(one.findings for one in self.sums.values()),
            line,
            last,
            head is not None,
            self.given is not None,
        )


def _claimed(fields: Fields) -> Registry:
    found = fields.get("claimed")
    if not isinstance(found, list):
        raise ValueError("claimed is no list of clients and keys")
    return Registry({who: bytes.fromhex(key) for who, key in found})


def _said(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)

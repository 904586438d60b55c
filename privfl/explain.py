"""What a pipeline does, in words and numbers."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from privfl.core import Charge, Plan, Unit
from privfl.core._accepting import CONDITIONS
from privfl.rounds import Opening, Setting

FAR = 50_000  # clients: beyond, a power law is followed and no plan is made
TRAINS = 5.0  # noise over the longest mean update: measured to train below, to fail at 17


@dataclass(frozen=True)
class Guarantee:
    """State one epsilon: of which unit, against whom, under which relation."""

    unit: str
    against: str
    relation: str
    epsilon: float
    text: str

    def __str__(self) -> str:
        """Say it in one line; a bare epsilon means nothing."""
        return f"{self.unit} level, {self.relation}, against {self.against}: epsilon {self.text}"


@dataclass(frozen=True)
class Forecast:
    """Foretell whether the noise lets a model train.

    Attributes:
        ratio: noise in the release (std times sqrt(d)) over the clip norm, the longest mean update.
        n_clients: how many clients would bring it to 5; None where the crowd does not help.
    """

    ratio: float = 0.0
    n_clients: int | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        if not self.ratio:
            return "no noise on the release"
        head = f"noise is {self.ratio:.2g} times the longest possible mean update"
        if self.ratio <= TRAINS / 2:
            return f"{head}: it trains"
        if self.ratio <= TRAINS:
            return f"{head}: it trains slowly"
        crowd = "more clients do not help"
        if self.n_clients is not None:
            crowd = f"{self.n_clients:,} clients would bring that to {TRAINS:g}"
        return f"{head}: expect it not to train; {crowd}"


@dataclass(frozen=True)
class Explanation:
    """Hold what `Pipeline.explain` found; ``str`` prints it, ``to_dict`` is for machines."""

    written: str
    n_clients: int
    dim: int
    rounds: int
    delta: float
    runs: tuple[tuple[str, str, str], ...]
    sees: tuple[tuple[str, str], ...]
    bound: str
    plan: Plan = field(repr=False)
    guarantees: tuple[Guarantee, ...] = ()
    forecast: Forecast = field(default_factory=Forecast)
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Print the whole explanation."""
        lines = [self.written, ""]
        for title, rows in self._sections():
            lines += [title, *(f"  {row}" for row in rows), ""]
        return "\n".join(lines).rstrip()

    def _sections(self) -> list[tuple[str, list[str]]]:
        width = max(len(who) for who, _, _ in self.runs)
        sections = [
            ("What runs", [f"{who:<{width}}  {part}: {what}" for who, part, what in self.runs]),
            ("Who sees what", [f"{who}: {what}" for who, what in self.sees]),
            ("Bounds and bytes", [self.bound, self._bytes()]),
            (f"Privacy after {_rounds(self.rounds)}, delta {self.delta:g}", self._privacy()),
            ("Forecast", [str(self.forecast)]),
        ]
        if self.accepted:
            sections.append(("Accepted knowingly", list(self.accepted)))
        if self.notes:
            sections.append(("Notes", list(self.notes)))
        return sections

    def _bytes(self) -> str:
        up, down = self.plan.bytes_up, self.plan.bytes_down
        return f"{up:,} bytes up and {down:,} down a client and round, the model itself apart"

    def _privacy(self) -> list[str]:
        if not self.guarantees:
            return ["no noise in the pipeline, no guarantee: epsilon is infinite against everybody"]
        return [str(guarantee) for guarantee in self.guarantees]

    def _repr_html_(self) -> str:
        body = "".join(
            f"<dt><b>{html.escape(title)}</b></dt>"
            + "".join(f"<dd>{html.escape(row)}</dd>" for row in rows)
            for title, rows in self._sections()
        )
        return f"<code>{html.escape(self.written)}</code><dl>{body}</dl>"

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return {
            "pipeline": self.written,
            "n_clients": self.n_clients,
            "dim": self.dim,
            "rounds": self.rounds,
            "delta": self.delta,
            "runs": [{"who": who, "part": part, "what": what} for who, part, what in self.runs],
            "sees": dict(self.sees),
            "clip_norm": _finite(self.plan.clip_norm),
            "bytes_up": self.plan.bytes_up,
            "bytes_down": self.plan.bytes_down,
            "guarantees": [{**vars(g), "epsilon": _finite(g.epsilon)} for g in self.guarantees],
            "noise_ratio": self.forecast.ratio,
            "clients_to_train": self.forecast.n_clients,
            "accepted": list(self.accepted),
            "notes": list(self.notes),
        }


def explain(
    setting: Setting, charges: Sequence[Charge], *, rounds: int, delta: float
) -> Explanation:
    """Explain a pipeline in the setting of one round, which is charged so, for ``rounds`` of them.

    The charges are the plan's, or what sampling the clients makes of them.
    """
    line, opening, contract, plan = setting.line, setting.opening, setting.contract, setting.plan
    return Explanation(
        written=repr(line),
        n_clients=len(opening.cohort),
        dim=opening.body,
        rounds=rounds,
        delta=delta,
        runs=_runs(setting),
        sees=_sees(setting),
        bound=_bound(setting),
        plan=plan,
        guarantees=tuple(_guarantee(charge, rounds, delta) for charge in charges),
        forecast=_forecast(setting),
        accepted=tuple(CONDITIONS[name] for name in sorted(contract.accepting)),
        notes=_notes(setting, charges),
    )


def _runs(setting: Setting) -> tuple[tuple[str, str, str], ...]:
    line, opener = setting.line, setting.contract.opener
    trainer, at = line.trainer, (setting.plans[0], setting.contracts[0])
    rows = [("client", repr(trainer), trainer.describe(*at))] if trainer else []
    for k, part in enumerate(line.lowered):
        if k == line.protocol_at:
            who = "both"
        else:
            who = "client" if k < line.protocol_at else opener.rstrip("s")
        rows.append((who, repr(part), part.describe(setting.plans[k], setting.contracts[k])))
    return tuple(rows)


def _sees(setting: Setting) -> tuple[tuple[str, str], ...]:
    contract, plan = setting.contract, setting.plan
    noised = " with its noise" if contract.noise == "local" else ""
    each = {
        "each": f"each client's update{noised}",
        "group": f"the sum of each of {plan.n_rows} groups, and what a sum still shows",
        "sum": "the sum of all updates, and what a sum still shows",
    }[contract.sees]
    opener = "the server" if contract.opener == "server" else "every client (key holders)"
    if contract.opener == "clients":
        return (opener, each), ("the server", "ciphertexts"), ("outsiders", "nothing")
    central = ", with its noise" if contract.noise == "central" else ""
    return (opener, each), ("clients and outsiders", f"the release{central}")


def _bound(setting: Setting) -> str:
    contract, plan = setting.contract, setting.plan
    if contract.clip_norm == math.inf:
        return "nobody bounds an update"
    server = "enforced by the server"
    who = {"client": "a promise of each client", "opener": server, "both": server}
    return f"update norm at most {plan.clip_norm:g}: {who[contract.enforced_by]}"


def _guarantee(charge: Charge, rounds: int, delta: float) -> Guarantee:
    from privfl.accounting import epsilon_of  # here: importing the accountants takes a second

    interval = epsilon_of(charge.event, delta, charge.relation, count=charge.count * rounds)
    against = str(charge.vantage)
    if not charge.vantage.parties:
        against = "those who see only the release (the server is trusted)"
    return Guarantee(
        charge.unit.value, against, charge.relation.value, interval.upper, str(interval)
    )


def _forecast(setting: Setting) -> Forecast:
    ratio = _ratio(setting)
    if not ratio:
        return Forecast()
    return Forecast(ratio, _crowd(setting))


def _crowd(setting: Setting) -> int | None:
    """Return how many clients would bring the ratio to ``TRAINS``, by Newton's steps in logs."""
    n = wanted = len(setting.opening.cohort)
    for _ in range(8):
        ratio, larger = (_ratio(_with_clients(setting, k)) for k in (n, 2 * n))
        slope = math.log2(ratio / larger)  # 1 for central noise on a mean, .5 for local, 0 for Krum
        if slope < 0.05:
            return None
        before, wanted = n, math.ceil(n * (ratio / TRAINS) ** (1 / slope) - 1e-9)
        n = min(wanted, max(before, FAR))
        if ratio <= TRAINS or n == before:
            break
    return wanted


def _ratio(setting: Setting) -> float:
    plan = setting.plan
    if not plan.release_std:
        return 0.0
    return plan.release_std * math.sqrt(plan.body) / plan.clip_norm


def _with_clients(setting: Setting, n: int) -> Setting:
    opening = setting.opening
    return Setting(
        setting.line,
        Opening.fresh(
            setting.line,
            n,
            opening.body,
            scalars=opening.scalars,
            statistics=opening.statistics,
            nonce=opening.nonce,
        ),
    )


def _notes(setting: Setting, charges: Sequence[Charge]) -> tuple[str, ...]:
    line, contract, plan = setting.line, setting.contract, setting.plan
    notes = []
    if contract.noise == "local" and not line.aggregator.linear:
        variance = plan.body * plan.row_std**2
        notes.append(
            f"Local noise adds d * std^2 = {variance:.3g} to the honest variance that the "
            f"robustness of {line.aggregator!r} multiplies (R10)."
        )
    if contract.noise == "none" and contract.clip_norm < math.inf:
        notes.append("A clip alone hides nothing: the direction of an update is unchanged.")
    hides = line.trainer is not None and line.trainer.hides_records
    if hides and not any(c.unit is Unit.RECORD for c in charges):
        notes.append(f"{line.trainer!r} hides single records: say n_records= to see how well.")
    if contract.claims_privacy and line.aggregator.linear:
        notes.append(f"Divided by the public {plan.total_weight:g}: who is absent counts as zero.")
    if contract.sees != "each":
        notes.append("A sum hides who sent what, not what was sent.")
    for k, part in enumerate(line.lowered):
        notes += part.notes(setting.plans[k], contract)
    return tuple(notes)


def _rounds(n: int) -> str:
    return "1 round" if n == 1 else f"{n:,} rounds"


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None

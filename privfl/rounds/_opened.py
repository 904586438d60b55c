"""From opened sums to a release: run by whoever opens."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from privfl.core import At, Party, ProtocolAbort, Rows, State, all_finite
from privfl.crypto import Stream
from privfl.parts import Wrapper
from privfl.rounds._apply import apply_part
from privfl.rounds._setting import Setting


@dataclass(frozen=True)
class Opened:
    """Hold what the opener made of the sums.

    ``rows`` are the sums as they were before the aggregator; ``private`` what the parts behind
    the protocol remember.
    """

    update: Tensor
    scalars: Mapping[str, float]
    statistics: Tensor
    survivors: tuple[Party, ...]
    denominator: Tensor
    realised: Tensor
    rejected: Mapping[Party, str]
    rows: Rows
    private: Mapping[Party, State]

    def release_state(self) -> State:
        """Return what a client that opened keeps of it."""
        return {
            "update": self.update,
            "scalars": dict(self.scalars),
            "statistics": self.statistics,
            "survivors": self.survivors,
            "denominator": as_number(self.denominator),
            "realised": as_number(self.realised),
            "rejected": dict(self.rejected),
            "rows": (self.rows.sums, self.rows.members, self.rows.weight),
        }


def as_number(x: Tensor) -> float | Tensor:
    """Return a number, where there is one for all coordinates."""
    return float(x) if x.numel() == 1 else x


def weighed(setting: Setting, rows: Rows) -> Rows:
    """Put the public weights of those who are counted behind each row."""
    if rows.weight is not None:
        return rows
    body = setting.opening.body
    weight = [setting.opening.cohort.weight_of(who, body) for who in rows.members]
    return rows.but(weight=torch.stack(weight))


def undo_wrappers(
    setting: Setting, rows: Rows, generator: Stream, publics: Mapping[Party, State]
) -> tuple[Rows, dict[Party, State], bool]:
    """Undo the client half in reverse: -> rows, next public state, whether another pass follows."""
    line, public = setting.line, dict(publics)
    opened_unit = setting.plans[line.protocol_at].unit
    for k in reversed(range(line.protocol_at)):
        part, at = line.client_half[k], setting.at(k, generator)
        at = _with_unit(at, opened_unit)
        tail = at.plan.dim - at.plan.body
        inner, cut = _without_tail(part, rows, tail)
        after = part.advance(inner, at)
        if after is not None:
            public[k] = after
        if k == line.multipass_at and setting.opening.pass_index + 1 < part.passes:
            return rows, public, True
        if part.passes > 1:
            at = _with_public(at, public.get(k))
        rows = _with_tail(part.undo(inner, at), cut)
    return rows, public, False


def open_rows(
    setting: Setting, rows: Rows, private: Mapping[Party, State], generator: Stream
) -> Opened:
    """Undo everything, then `finish`."""
    rows, _, _ = undo_wrappers(setting, weighed(setting, rows), generator, {})
    return finish(setting, rows, private, generator)


def finish(
    setting: Setting, rows: Rows, private: Mapping[Party, State], generator: Stream
) -> Opened:
    """Drop what is not finite, run the parts among the rows, aggregate, run those behind."""
    memory = dict(private)
    rows, rejected = _finite(setting, _owned(setting, rows))
    opened = rows
    rows = _among_rows(setting, rows, memory, generator)
    x, realised, denominator = _aggregated(setting, rows, memory, generator)
    for k in range(setting.line.aggregator_at + 1, len(setting.line.lowered)):
        part: Wrapper = setting.line.lowered[k]  # type: ignore[assignment]
        at = setting.at(k, generator, memory.get(k))
        made = apply_part(part, x, at)
        memory[k] = part.settle(x, made, at, True)
        x = made
    body, statistics, tail = _split(setting, x)
    units = zip(setting.contract.scalars, setting.plan.unit, tail.tolist(), strict=True)
    return Opened(
        update=body,
        scalars={scalar.name: value / unit * scalar.bound for scalar, unit, value in units},
        statistics=statistics,
        survivors=rows.survivors,
        denominator=denominator,
        realised=realised,
        rejected=rejected,
        rows=opened,
        private={k: state for k, state in memory.items() if state is not None},
    )


def learned(
    setting: Setting, opened: Opened, publics: Mapping[Party, State], generator: Stream
) -> dict[Party, State]:
    """Let the clients' wrappers learn from the released scalars: -> the next public state."""
    public = dict(publics)
    for k, part in enumerate(setting.line.client_half):
        at = _with_public(setting.at(k, generator), public.get(k))
        after = part.learn(opened.scalars, at)
        if after is not None:
            public[k] = after
    return public


def _owned(setting: Setting, rows: Rows) -> Rows:
    """Zero what a client sent of coordinates that it does not own, where each row is a client's.

    There it is noise, or somebody who counts where few do.
    """
    owners, body = setting.opening.cohort.owners, setting.opening.body
    if owners is None or setting.contract.rows != "each":
        return rows
    mine = owners[setting.opening.cohort.index(rows.survivors)].to(rows.sums.device)
    nothing = rows.sums.new_zeros(())
    sums = torch.cat([rows.sums[:, :body].where(mine, nothing), rows.sums[:, body:]], dim=1)
    return rows.but(sums=sums)


def _finite(setting: Setting, rows: Rows) -> tuple[Rows, dict[Party, str]]:
    """Drop rows with NaN or Inf and name them; under a privacy claim they count as zero (R17)."""
    if all_finite(rows.sums):
        return rows, {}
    good = torch.isfinite(rows.sums).all(dim=1)
    if setting.contract.claims_privacy:
        return rows.but(sums=rows.sums.where(good[:, None], torch.zeros_like(rows.sums))), {}
    keep = good.nonzero().flatten().tolist()
    if not keep:
        raise ProtocolAbort("No update is finite")
    lost = [who for k, who in enumerate(rows.members) if k not in keep]
    return rows.only(keep), {party: "NaN or Inf" for who in lost for party in who}


def _among_rows(
    setting: Setting, rows: Rows, memory: dict[Party, State], generator: Stream
) -> Rows:
    """Apply what stands between protocol and aggregator to the mean of each row."""
    line = setting.line
    for k in range(line.protocol_at + 1, line.aggregator_at):
        part: Wrapper = line.lowered[k]  # type: ignore[assignment]
        at = setting.at(k, generator, memory.get(k))
        weight = _full_weight(rows, at.plan.body + at.plan.statistics)
        means = rows.sums / weight
        made = torch.stack([apply_part(part, mean, at) for mean in means])
        rows = rows.but(sums=made * weight)
    return rows


def _aggregated(
    setting: Setting, rows: Rows, memory: dict[Party, State], generator: Stream
) -> tuple[Tensor, Tensor, Tensor]:
    """Aggregate the bodies by the rule, and everything behind them by the mean."""
    k = setting.line.aggregator_at
    plan, rule = setting.plans[k], setting.line.aggregator
    at = setting.at(k, generator, memory.get(k))
    left = len(rows.members)
    needed = 1 if rule.linear else rule.without(plan.n_rows - left).min_rows
    if left < needed:
        raise ProtocolAbort(f"{rule!r} needs at least {needed} rows, and {left} are left")
    rule, rows = rule.without(plan.n_rows - left), _with_absent(setting, rows)
    weight = rows.weight if rows.weight is not None else rows.sums.new_ones(len(rows.sums), 1)
    bodies = Rows(rows.sums[:, : plan.body], rows.members, weight)
    x = rule.apply(bodies, at)
    memory[k] = rule.settle(bodies, x, at)
    realised = weight.sum(dim=0)
    denominator = _denominator(setting, realised)
    if rule.linear:
        x = x * (realised / denominator).to(x)
    counted = len(rows.survivors)
    shrink = counted / plan.heads if setting.contract.claims_privacy else 1.0
    behind = rows.sums[:, plan.body :].double().sum(dim=0)
    heads = sum(setting.opening.cohort.weight(who) for who in rows.survivors)
    statistics = behind[: plan.statistics] / (heads or 1.0)
    tail = behind[plan.statistics :] / max(counted, 1) * shrink
    if setting.contract.weighting == "public_total":  # in clients: the counts stay private
        realised = denominator * counted / plan.heads
    return torch.cat([x, statistics.to(x), tail.to(x)]), realised, denominator


def _with_absent(setting: Setting, rows: Rows) -> Rows:
    """Count absent rows as zero where fewer rows would move the release further (rules R2, R3).

    Central noise is scaled for all rows that were planned; a trimmed mean of fewer moves more.
    """
    k, line = setting.line.aggregator_at, setting.line
    plan, absent = setting.plans[k], setting.plans[k].n_rows - len(rows.members)
    if setting.contract.noise != "central" or line.aggregator.linear or not absent:
        return rows
    relations = setting.plan.sensitivity
    bounds = [
        [line.aggregator.sensitivity(1.0, n, relation) or 0.0 for relation in relations]
        for n in (len(rows.members), plan.n_rows)
    ]
    if bounds[0] == bounds[1]:
        return rows
    zeros = rows.sums.new_zeros(absent, rows.sums.shape[1])
    weight = None
    if rows.weight is not None:
        ones = rows.weight.new_ones(absent, rows.weight.shape[1])
        weight = torch.cat([rows.weight, ones])
    return Rows(torch.cat([rows.sums, zeros]), (*rows.members, *((),) * absent), weight)


def _denominator(setting: Setting, realised: Tensor) -> Tensor:
    """Return the public constant under a privacy claim (R3), else what is really there."""
    opening, contract = setting.opening, setting.contract
    if contract.weighting == "public_total":
        return realised.new_full((1,), setting.plan.total_weight)
    if contract.claims_privacy and opening.cohort.expected is not None:
        return realised.new_full((1,), opening.cohort.expected)
    if contract.claims_privacy:
        return opening.cohort.weight_of(opening.cohort.members, opening.body).clamp(min=1e-12)
    return realised.where(realised != 0, realised.new_ones(()))


def _split(setting: Setting, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    plan = setting.plan
    sizes = [plan.body, plan.statistics, len(plan.unit)]
    body, statistics, tail = x.split(sizes)
    return body, statistics, tail


def _full_weight(rows: Rows, weighted: int) -> Tensor:
    """Return one divisor a coordinate: the weight, and the head count for the tail."""
    weight = rows.weight if rows.weight is not None else rows.sums.new_ones(len(rows.sums), 1)
    wide = weight.to(rows.sums)
    wide = wide.expand(-1, weighted) if wide.shape[1] == 1 else wide
    wide = torch.cat([wide, wide.new_ones(len(wide), weighted - wide.shape[1])], dim=1)
    heads = wide.new_tensor([[max(len(who), 1)] for who in rows.members])
    full = torch.cat([wide, heads.expand(-1, rows.sums.shape[1] - weighted)], dim=1)
    return full.where(full != 0, full.new_ones(()))


def _without_tail(part: Wrapper, rows: Rows, tail: int) -> tuple[Rows, Tensor | None]:
    if part.covers_scalars or not tail:
        return rows, None
    return rows.but(sums=rows.sums[:, :-tail]), rows.sums[:, -tail:]


def _with_tail(rows: Rows, tail: Tensor | None) -> Rows:
    if tail is None:
        return rows
    return rows.but(sums=torch.cat([rows.sums, tail.to(rows.sums)], dim=1))


def _with_unit(at: At, unit: tuple[float, ...]) -> At:
    return replace(at, plan=at.plan.but(unit=unit))


def _with_public(at: At, public: State) -> At:
    return replace(at, public=public)

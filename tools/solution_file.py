"""The solution file of a dispatch: what `bitenergy dispatch solve --json` prints, and its check.

Prices and costs pass 64 bits, so that all integers are decimal strings; units are W and 1e-24 $/Wh.
A flow counts positive from the first to the second bus of its line. A meshed network has in `nu`
the multiplier of the voltage law of each cycle, under the name of the line that closes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_check import GapBound, validate_certificate
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import DispatchProblem, single_interval
from tools.cases.case import Case
from tools.cases.fields import Entry, entries, integer_field, object_field, text_field
from vm.primitives.errors import InvalidInput, InvalidProof

UNITS_PER_DOLLAR: Final = 10**24


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the verifier says of one hour of a solution."""

    hour: int
    """Number of the hour, from 1."""
    code: str
    """Empty if the hour is accepted, otherwise why it is refused, e.g. `unbalanced`."""
    reason: str
    """The same in words."""
    bound: GapBound | None
    """The proven bound of an accepted hour."""

    @property
    def gap_ratio(self) -> float | None:
        """The proven gap as a part of the turnover."""
        return None if self.bound is None else ratio(self.bound)


def ratio(bound: GapBound) -> float:
    """Return a gap as a part of its turnover; 0 without a gap."""
    return bound.gap_twice / bound.turnover_twice if bound.gap_twice else 0.0


def selected(case: Case, hours: tuple[int, ...]) -> DispatchProblem:
    """Return the case's problem of some of its hours; raises InvalidInput for hours it lacks.

    A problem with storages is one over all its hours.
    """
    problem = case.problem
    if hours == case.hours:
        return problem
    missing = [hour for hour in hours if hour not in case.hours]
    if missing or problem.storages:
        raise InvalidInput(
            f"case {case.name} cannot be taken for these hours",
            code="unknown_hour",
            expected=f"{'all' if problem.storages else 'some'} of {case.hours[0]} to "
            f"{case.hours[-1]}",
            actual=missing or list(hours),
        )
    parts = [single_interval(problem, case.hours.index(hour)) for hour in hours]
    units = tuple(
        type(unit)(
            unit.name, unit.bus, unit.kind, tuple(part.units[number].bids[0] for part in parts)
        )
        for number, unit in enumerate(problem.units)
    )
    return DispatchProblem(problem.network, problem.interval_minutes, len(hours), units)


def objective_twice(problem: DispatchProblem, interval: int, result: IntervalResult) -> int:
    """Return twice the cost minus utility of an interval, 1e-24 $/h."""
    total = 0
    for unit, power in zip(problem.units, result.powers_w, strict=True):
        bid = unit.bids[interval]
        total += power * (bid.a * power + 2 * bid.b)
    for storage, one in zip(problem.storages, result.storages, strict=True):
        total += 2 * storage.charge_cost * one.charge_w
        total += 2 * storage.discharge_cost * one.discharge_w
    return total


def flows_of(layout: DispatchLayout, result: IntervalResult) -> tuple[int, ...]:
    """Return the flow of each line, W: as stated, or in a radial network from the balance."""
    if layout.lines:
        return result.flows_w
    balances = [0] * len(layout.places)
    for power, row in zip(result.powers_w, layout.units[0], strict=True):
        balances[row.bus] += power
    for one, place in zip(result.storages, layout.storages, strict=True):
        balances[place.bus] += one.discharge_w - one.charge_w
    flows = [0] * len(layout.branches)
    for bus, parent, _ in layout.branches:
        place_of_bus = layout.places[bus]
        flows[place_of_bus.line] = place_of_bus.direction * balances[bus]
        balances[parent] += balances[bus]
    return tuple(flows)


def write_solution(
    case: Case,
    hours: tuple[int, ...],
    method: str,
    rounds: tuple[int, ...],
    certificate: Certificate,
) -> dict[str, object]:
    """Return the solution file of a certificate for some hours of a case."""
    problem = selected(case, hours)
    layout = lay_out(problem)
    judged = {one.hour: one for one in judge(problem, hours, certificate)}
    return {
        "case": case.name,
        "limits": case.limits,
        "method": method,
        "hours": [
            {
                "hour": hour,
                "rounds": rounds[interval],
                **_result_fields(layout, certificate.intervals[interval]),
                "objective_usd_per_h": objective_twice(
                    problem, interval, certificate.intervals[interval]
                )
                / (2 * UNITS_PER_DOLLAR),
                "gap_ratio": judged[hour].gap_ratio,
            }
            for interval, hour in enumerate(hours)
        ],
    }


def read_solution(case: Case, document: Entry) -> tuple[tuple[int, ...], Certificate]:
    """Return (hours, certificate) of a solution file for a case.

    Raises InvalidInput on its form, InvalidProof `wrong_case` where it is for another case, and
    `unknown_name` or `wrong_flow` where it does not fit the case's buses, units and lines.
    """
    where = "the solution"
    for key, expected in (("case", case.name), ("limits", case.limits)):
        if text_field(document, key, where) != expected:
            raise InvalidProof(
                f"the solution is for another {key}",
                code="wrong_case",
                expected=expected,
                actual=document[key],
            )
    hours: list[int] = []
    found = []
    for entry, place in entries(document, "hours", where):
        hours.append(integer_field(entry, "hour", place))
        found.append((entry, place))
    if not hours or len(set(hours)) < len(hours):
        raise InvalidInput("a solution has each of its hours once", code="invalid_solution")
    layout = lay_out(selected(case, tuple(hours)))
    results = tuple(_read_result(layout, entry, place) for entry, place in found)
    return tuple(hours), Certificate(results)


def judge(
    problem: DispatchProblem, hours: tuple[int, ...], certificate: Certificate
) -> tuple[Judgement, ...]:
    """Return the verifier's word on each hour; with storages all hours stand or fall together."""
    if problem.storages:
        try:
            (bound,) = validate_certificate(lay_out(problem), certificate)
        except InvalidProof as error:
            return tuple(Judgement(hour, error.code, str(error), None) for hour in hours)
        return tuple(Judgement(hour, "", "", bound) for hour in hours)
    judged = []
    for interval, hour in enumerate(hours):
        layout = lay_out(single_interval(problem, interval))
        try:
            (bound,) = validate_certificate(layout, Certificate((certificate.intervals[interval],)))
        except InvalidProof as error:
            reason = str(error).replace("interval 0: ", "")
            judged.append(Judgement(hour, error.code, reason, None))
        else:
            judged.append(Judgement(hour, "", "", bound))
    return tuple(judged)


def _result_fields(layout: DispatchLayout, result: IntervalResult) -> dict[str, object]:
    problem = layout.problem
    network = problem.network
    fields: dict[str, object] = {
        "lambda": _named([bus.name for bus in network.buses], result.prices),
        "p_w": _named([unit.name for unit in problem.units], result.powers_w),
        "flow_w": _named([line.name for line in network.lines], flows_of(layout, result)),
    }
    if layout.lines:
        fields["nu"] = _named(_closing_lines(layout), result.cycle_prices)
    if layout.storages:
        fields["storages"] = {
            storage.name: {
                "charge_w": str(one.charge_w),
                "discharge_w": str(one.discharge_w),
                "store_price": str(one.store_price),
            }
            for storage, one in zip(problem.storages, result.storages, strict=True)
        }
    return fields


def _read_result(layout: DispatchLayout, entry: Entry, where: str) -> IntervalResult:
    network = layout.problem.network
    stored = object_field(entry, "storages", where) if layout.storages else {}
    storages = []
    for storage in layout.problem.storages:
        one = object_field(stored, storage.name, where)
        storages.append(
            StorageResult(
                integer_field(one, "charge_w", where),
                integer_field(one, "discharge_w", where),
                integer_field(one, "store_price", where),
            )
        )
    lines = [line.name for line in network.lines]
    flows = _numbers(entry, "flow_w", lines, where) if layout.lines or "flow_w" in entry else ()
    result = IntervalResult(
        prices=_numbers(entry, "lambda", [bus.name for bus in network.buses], where),
        powers_w=_numbers(entry, "p_w", [unit.name for unit in layout.problem.units], where),
        flows_w=flows if layout.lines else (),
        cycle_prices=_numbers(entry, "nu", _closing_lines(layout), where) if layout.lines else (),
        storages=tuple(storages),
    )
    if flows and not layout.lines and flows != (expected := flows_of(layout, result)):
        wrong = next(place for place, flow in enumerate(flows) if flow != expected[place])
        raise InvalidProof(
            f"{where}: the flow of {lines[wrong]} does not follow from the powers",
            code="wrong_flow",
            expected=expected[wrong],
            actual=flows[wrong],
        )
    return result


def _closing_lines(layout: DispatchLayout) -> list[str]:
    return [layout.problem.network.lines[cycle[0][0]].name for cycle in layout.cycles]


def _named(names: list[str], numbers: tuple[int, ...]) -> Mapping[str, str]:
    return {name: str(number) for name, number in zip(names, numbers, strict=True)}


def _numbers(entry: Entry, key: str, names: list[str], where: str) -> tuple[int, ...]:
    """Return the integers that a map of the file has for exactly these names."""
    found = object_field(entry, key, where)
    differing = sorted(set(names) ^ set(found))
    if differing:
        raise InvalidProof(
            f"{where}: {key} does not have exactly the names of the case",
            code="unknown_name",
            expected=f"{len(names)} names",
            actual=f"{differing[0]!r} too much or missing",
        )
    return tuple(integer_field(found, name, f"{where}: {key}") for name in names)

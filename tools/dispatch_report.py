"""What `bitenergy dispatch` prints of a case solved or verified."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from market.dispatch_certificate import Certificate
from market.dispatch_layout import lay_out
from tools.cases.case import Case
from tools.cases.catalog import load_sound_case
from tools.cases.fields import Entry, load_json, parse_json, text_field
from tools.cases.problem_file import write_problem
from tools.cases.result_tables import result_tables
from tools.output import note, print_json, print_lines, print_table
from tools.solution_file import (
    UNITS_PER_DOLLAR,
    Judgement,
    flows_of,
    judge,
    objective_twice,
    read_solution,
    selected,
    write_solution,
)
from vm.primitives.errors import BitenergyError, InvalidInput

PRICE_UNITS_PER_KWH: Final = UNITS_PER_DOLLAR // 1_000
MAX_ROWS: Final = 60


def run_solve(
    case: Case, hours: tuple[int, ...], method: str, *, plot: Path | None, as_json: bool
) -> int:
    """Solve some hours of a case, print the solution, and return the exit status."""
    from dispatch.solve import solve

    problem = selected(case, hours)
    solution = solve(problem, method, case.links)
    open_hours = [
        (hour, residual)
        for hour, residual in zip(hours, solution.residuals, strict=bool(solution.residuals))
        if residual is not None
    ]
    for hour, residual in open_hours:
        note(
            f"hour {hour}: {method} did not converge; mismatch {residual.mismatch_w:.3g} W, "
            f"price spread {residual.price_spread:.3g} of the largest price"
        )
    if plot is not None:
        from tools.dispatch_plot import draw_solution

        plot.write_text(draw_solution(case, hours, solution.certificate), encoding="utf-8")
        note(f"drew {plot}")
    if as_json:
        document = write_solution(
            case, hours, solution.method, solution.rounds, solution.certificate
        )
        if open_hours:
            document["not_converged"] = [
                {
                    "hour": hour,
                    "mismatch_w": residual.mismatch_w,
                    "price_spread": residual.price_spread,
                }
                for hour, residual in open_hours
            ]
        print_json(document)
    else:
        _print_hours(case, hours, solution.rounds, solution.certificate, solution.method)
    return 0


def print_result_tables(case: Case, hours: tuple[int, ...], method: str) -> int:
    """Solve some hours of a case, print tables in pandapower's columns, and return the status."""
    from dispatch.solve import solve

    problem = selected(case, hours)
    layout = lay_out(problem)
    results = solve(problem, method, case.links).certificate.intervals
    print_json(
        {
            "case": case.name,
            "hours": [
                {"hour": hour, **result_tables(layout, interval, results[interval])}
                for interval, hour in enumerate(hours)
            ],
        }
    )
    return 0


def run_convert(case_name: str, limits: str, path: Path) -> int:
    """Write a case in our own form, say what was settled, and return the exit status."""
    case = load_sound_case(case_name, limits)
    text = json.dumps(write_problem(case), indent=1) + "\n"
    path.write_text(text, encoding="utf-8")
    for words in case.notes:
        note(words)
    note(f"wrote {path}: {len(case.problem.network.buses)} buses, {len(case.problem.units)} units")
    return 0


def run_verify(case_name: str, path: Path, *, as_json: bool) -> bool:
    """Check a solution file, print the verdict on each hour, and tell whether all are accepted."""
    document = _load_document(path)
    case = load_sound_case(case_name, text_field(document, "limits", "the solution"))
    try:
        hours, certificate = read_solution(case, document)
        judged: Sequence[Judgement] = judge(selected(case, hours), hours, certificate)
    except BitenergyError as error:
        if not as_json:
            raise
        print_json(
            {
                "case": case.name,
                "accepted": False,
                "code": error.code,
                "reason": str(error),
                "hours": [],
            }
        )
        return False
    accepted = all(not one.code for one in judged)
    if as_json:
        print_json(
            {
                "case": case.name,
                "limits": case.limits,
                "accepted": accepted,
                "hours": [
                    {
                        "hour": one.hour,
                        "accepted": not one.code,
                        "code": one.code,
                        "reason": one.reason,
                        "gap_ratio": one.gap_ratio,
                    }
                    for one in judged
                ],
            }
        )
    else:
        for one in judged:
            if one.code:
                print_lines(f"hour {one.hour}: refused, {one.code}: {one.reason}")
        refused = sum(1 for one in judged if one.code)
        print_lines(
            f"{case.name}, {case.limits}: {len(judged) - refused} hours accepted, {refused} refused"
        )
    return accepted


def _load_document(path: Path) -> Entry:
    if str(path) == "-":
        return parse_json(sys.stdin.read(), "standard input")
    if not path.is_file():
        raise InvalidInput(f"there is no file {path}", code="unknown_file")
    return load_json(path)


def _print_hours(
    case: Case,
    hours: tuple[int, ...],
    rounds: tuple[int, ...],
    certificate: Certificate,
    method: str,
) -> None:
    problem = selected(case, hours)
    layout = lay_out(problem)
    rows = []
    for interval, one in enumerate(judge(problem, hours, certificate)):
        result = certificate.intervals[interval]
        full = [
            line.name
            for line, flow in zip(problem.network.lines, flows_of(layout, result), strict=True)
            if line.rating_w is not None and abs(flow) >= line.rating_w
        ]
        rows.append(
            (
                hours[interval],
                rounds[interval],
                f"{min(result.prices) / PRICE_UNITS_PER_KWH:.6f}",
                f"{max(result.prices) / PRICE_UNITS_PER_KWH:.6f}",
                f"{objective_twice(problem, interval, result) / (2 * UNITS_PER_DOLLAR):.6f}",
                " ".join(full) or "-",
                one.code or f"gap {one.gap_ratio:.1e}",
            )
        )
    print_table(
        f"{case.name}, {case.limits}, by {method}",
        (">hour", ">rounds", ">least $/kWh", ">greatest $/kWh", ">$/h", "full lines", "proof"),
        rows,
    )
    if len(hours) == 1:
        units = [
            (unit.name, unit.bus, f"{power / 1_000:.3f}")
            for unit, power in zip(problem.units, certificate.intervals[0].powers_w, strict=True)
        ]
        print_table("dispatch", ("unit", "bus", ">kW injected"), units[:MAX_ROWS])

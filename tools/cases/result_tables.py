"""A solved interval in the tables and columns that pandapower names, for scripts."""

from __future__ import annotations

from market.dispatch_certificate import IntervalResult
from market.dispatch_layout import DispatchLayout
from market.dispatch_problem import LOAD
from tools.solution_file import flows_of

W_PER_MW = 1e6
PRICE_PER_MWH = 1e-18
Table = dict[str, dict[str, float | None]]


def result_tables(
    layout: DispatchLayout, interval: int, result: IntervalResult
) -> dict[str, Table]:
    """Return `res_bus`, `res_line`, `res_gen` and `res_load` of one interval, rows by name.

    Powers are in MW, prices (`lam_p`) in dollars per MWh; `loading_percent` is of a line's rating.
    As in pandapower a bus's `p_mw` is what it draws, and a load's what it takes.
    """
    problem = layout.problem
    drawn = [0] * len(layout.places)
    for power, row in zip(result.powers_w, layout.units[interval], strict=True):
        drawn[row.bus] -= power
    buses: Table = {
        bus.name: {"p_mw": watts / W_PER_MW, "lam_p": price * PRICE_PER_MWH}
        for bus, watts, price in zip(problem.network.buses, drawn, result.prices, strict=True)
    }
    lines: Table = {
        line.name: {
            "p_from_mw": flow / W_PER_MW,
            "p_to_mw": -flow / W_PER_MW,
            "loading_percent": 100 * abs(flow) / line.rating_w if line.rating_w else None,
        }
        for line, flow in zip(problem.network.lines, flows_of(layout, result), strict=True)
    }
    tables: dict[str, Table] = {"res_bus": buses, "res_line": lines, "res_gen": {}, "res_load": {}}
    for unit, power in zip(problem.units, result.powers_w, strict=True):
        if unit.kind == LOAD:
            tables["res_load"][unit.name] = {"p_mw": -power / W_PER_MW}
        else:
            tables["res_gen"][unit.name] = {"p_mw": power / W_PER_MW}
    return tables

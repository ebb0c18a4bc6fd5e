"""Writes the cases of this folder and what other programs say of them; needs pandapower and scipy.

    python -m tests.dispatch.make_cases

The grids are those of pandapower.networks; prices and costs of the meshed ones are those of its
`rundcopp`, prices of the European low-voltage feeder with a thousand bids those of HiGHS.
"""

import importlib
import json
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from market.dispatch_findings import check_problem
from market.dispatch_layout import lay_out
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from tools.cases.case import Case
from tools.cases.fields import parse_json
from tools.cases.pandapower_file import read_pandapower
from tools.cases.problem_file import write_problem

FOLDER = Path(__file__).with_name("cases")
MESHED = ("case5", "case9", "case30", "case118")
FEEDER = "european_lv"
BIDS = 1_000


def main() -> None:
    """Write all cases with their expected results."""
    power = importlib.import_module("pandapower")
    networks = importlib.import_module("pandapower.networks")
    expected: dict[str, object] = {}
    for name in MESHED:
        net = getattr(networks, name)()
        case = read_pandapower(parse_json(power.to_json(net), name), name)
        assert check_problem(case.problem) == (), name
        save(case, name)
        power.rundcopp(net)
        constant = float(net.poly_cost.cp0_eur.sum())
        expected[name] = {
            "lam_p": {str(bus): float(value) for bus, value in net.res_bus.lam_p.items()},
            "cost_per_h": float(net.res_cost) - constant,
        }
    net = networks.ieee_european_lv_asymmetric()
    case = read_pandapower(parse_json(power.to_json(net), FEEDER), FEEDER)
    case = replace(case, problem=with_bids(case.problem), notes=())
    assert check_problem(case.problem) == (), FEEDER
    save(case, FEEDER)
    expected[FEEDER] = {"prices": solve_by_highs(case.problem)}
    text = json.dumps(expected, indent=1, sort_keys=True) + "\n"
    (FOLDER / "expected.json").write_text(text, encoding="utf-8")


def save(case: Case, name: str) -> None:
    """Write a case in our own form."""
    text = json.dumps(write_problem(replace(case, name=name)), separators=(",", ":")) + "\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


def with_bids(problem: DispatchProblem) -> DispatchProblem:
    """Return a radial network with a thousand linear bids of neighbours, and some narrow lines."""
    drawn = random.Random(7)
    network = problem.network
    buses = [bus.name for bus in network.buses]
    units = [Unit("grid", network.slack, GENERATOR, (Bid(0, 30 * 10**19, -(10**6), 10**6),))]
    for number in range(BIDS):
        price = drawn.randrange(5 * 10**19, 60 * 10**19)
        size = drawn.randrange(500, 8_000)
        sells = number % 2 == 0
        bid = Bid(0, price, 0, size) if sells else Bid(0, price, -size, 0)
        kind = GENERATOR if sells else LOAD
        units.append(Unit(f"bid.{number}", drawn.choice(buses), kind, (bid,)))
    lines = tuple(
        replace(line, rating_w=drawn.randrange(3_000, 60_000) if drawn.random() < 0.2 else None)
        for line in network.lines
    )
    return DispatchProblem(replace(network, lines=lines), 60, 1, tuple(units))


def solve_by_highs(problem: DispatchProblem) -> list[float]:
    """Return the price of each bus, 1e-24 $/Wh, as the linear programme's multipliers give it."""
    numpy = importlib.import_module("numpy")
    sparse = importlib.import_module("scipy.sparse")
    optimize = importlib.import_module("scipy.optimize")
    layout = lay_out(problem)
    buses, units = len(layout.places), len(problem.units)
    matrix = sparse.lil_matrix((buses, units + len(layout.branches)))
    for unit, row in enumerate(layout.units[0]):
        matrix[row.bus, unit] = 1.0
    limits = [(row.lo_w, row.hi_w) for row in layout.units[0]]
    for place, branch in enumerate(layout.branches):
        matrix[branch.bus, units + place] = -1.0
        matrix[branch.parent, units + place] = 1.0
        free = branch.rating_w < 0
        limits.append((None, None) if free else (-branch.rating_w, branch.rating_w))
    scale = 1e-19
    costs = [row.b * scale for row in layout.units[0]] + [0.0] * len(layout.branches)
    found = optimize.linprog(
        costs,
        A_eq=matrix.tocsr(),
        b_eq=numpy.zeros(buses),
        bounds=limits,
        method="highs-ds",
        options={"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0, found.message
    return [float(Decimal(repr(float(value)))) / scale for value in found.eqlin.marginals]


if __name__ == "__main__":
    main()

"""Reader of MATPOWER's case files (`.m`, version 2): buses, generators, branches and their costs.

The file is data in MATLAB's notation; it is read as text and never run. Read are the matrices
`bus`, `gen`, `branch` and `gencost` as MATPOWER's manual describes them (appendix B).
"""

from __future__ import annotations

import itertools
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from tools.cases.case import Case
from tools.cases.grid import CaseBuilder
from vm.primitives.errors import InvalidInput

REFERENCE: Final = 3
PIECEWISE: Final = 1
POLYNOMIAL: Final = 2
MAX_NUMBERS: Final = 5_000_000
_MATRIX = r"mpc\.{name}\s*=\s*\[(.*?)\]"
_SCALAR = r"mpc\.{name}\s*=\s*([0-9.eE+-]+)"
_COMPUTED = re.compile(r"mpc\.\w+\s*\([^)]*\)\s*=")
_COMMENT = re.compile(r"%[^\n]*")
_NAME = re.compile(r"^\s*function\s+mpc\s*=\s*(\w+)", re.MULTILINE)

Rows = list[list[Decimal]]


def read_matpower(text: str, name: str) -> Case:
    """Return the case in the text of a `.m` file; raises InvalidInput where it is none."""
    found = _NAME.search(text)
    plain = _COMMENT.sub("", text)
    if found is None or "mpc.bus" not in plain:
        raise InvalidInput(
            f"{name} is no MATPOWER case",
            code="invalid_case",
            expected="function mpc = …, with mpc.bus, mpc.gen, mpc.branch and mpc.gencost",
        )
    if _COMPUTED.search(plain):
        raise InvalidInput(
            f"{name} computes in MATLAB after its data",
            code="invalid_case",
            actual=_COMPUTED.findall(plain)[0],
            hint="Save the loaded case with savecase, which writes plain numbers.",
        )
    case = CaseBuilder(found[1])
    base = _scalar(plain, "baseMVA")
    names = _read_buses(case, _matrix(plain, "bus", 9))
    _read_generators(case, names, _matrix(plain, "gen", 10), _matrix(plain, "gencost", 5))
    _read_branches(case, names, _matrix(plain, "branch", 11))
    if base <= 0:
        raise InvalidInput(f"{name}: baseMVA is to be positive", code="invalid_case", actual=base)
    if re.search(r"mpc\.dcline\s*=", plain):
        case.note("DC lines are left out.")
    return case.finish()


def _read_buses(case: CaseBuilder, rows: Rows) -> dict[Decimal, str]:
    names: dict[Decimal, str] = {}
    for row in rows:
        if row[0] in names:
            raise InvalidInput("a bus stands twice", code="invalid_case", actual=row[0])
        bus = names[row[0]] = case.add_bus(f"{row[0]:f}")
        if row[1] == REFERENCE and not case.slack:
            case.slack = bus
        case.add_load(f"load.{bus}", bus, row[2])
        if row[4]:
            case.add_load(f"shunt.{bus}", bus, row[4])
            case.note("Shunt conductances draw their power at nominal voltage.")
    return names


def _read_generators(case: CaseBuilder, names: dict[Decimal, str], rows: Rows, costs: Rows) -> None:
    if len(costs) not in (len(rows), 2 * len(rows)):
        raise InvalidInput(
            "gencost has another number of rows than gen",
            code="invalid_case",
            expected=len(rows),
            actual=len(costs),
        )
    for number, (row, cost) in enumerate(zip(rows, costs, strict=False), 1):
        if row[7] <= 0:
            continue
        bus = _bus(names, row[0])
        low, high = row[9], row[8]
        if cost[0] == POLYNOMIAL:
            _add_polynomial(case, f"gen.{number}", bus, low, high, cost)
        elif cost[0] == PIECEWISE:
            _add_pieces(case, f"gen.{number}", bus, low, high, cost)
        else:
            raise InvalidInput("an unknown model of cost", code="invalid_case", actual=cost[0])


def _add_polynomial(
    case: CaseBuilder, name: str, bus: str, low: Decimal, high: Decimal, cost: list[Decimal]
) -> None:
    count = int(cost[3])
    terms = cost[4 : 4 + count]
    if len(terms) != count or any(terms[: max(0, count - 3)]):
        raise InvalidInput(
            "a cost of an order above two cannot be read", code="invalid_case", actual=name
        )
    quadratic, linear, constant = ([Decimal(0)] * 3 + terms)[-3:]
    if constant:
        case.note("Constant costs do not change the dispatch and are left out.")
    case.add_unit(name, bus, low_mw=low, high_mw=high, slope=2 * quadratic, cost=linear)


def _add_pieces(
    case: CaseBuilder, name: str, bus: str, low: Decimal, high: Decimal, cost: list[Decimal]
) -> None:
    """Add a unit for each piece of a convex cost: cheaper pieces are used first by themselves."""
    count = int(cost[3])
    values = cost[4 : 4 + 2 * count]
    points = list(zip(values[0::2], values[1::2], strict=True))
    if len(points) != count or count < 2:
        raise InvalidInput("a piecewise cost needs two points", code="invalid_case", actual=name)
    if low > points[0][0]:
        raise InvalidInput(
            "a unit that must inject more than its first point cannot be read piecewise",
            code="invalid_case",
            actual=name,
        )
    for number, ((start, from_cost), (end, to_cost)) in enumerate(itertools.pairwise(points), 1):
        if end <= start:
            raise InvalidInput("the points of a cost ascend", code="invalid_case", actual=name)
        price = (to_cost - from_cost) / (end - start)
        top = min(end, high)
        if top > start:
            first = low if number == 1 else Decimal(0)
            case.add_unit(
                f"{name}.{number}",
                bus,
                low_mw=first,
                high_mw=top - (start if number > 1 else Decimal(0)),
                cost=price,
            )


def _read_branches(case: CaseBuilder, names: dict[Decimal, str], rows: Rows) -> None:
    for row in rows:
        if row[10] <= 0:
            continue
        tap = row[8] or Decimal(1)
        if row[9]:
            case.note("Phase shifts are left out.")
        if row[3] <= 0:
            case.note("Reactances of zero and below count as the smallest that there is.")
        case.add_line(
            _bus(names, row[0]),
            _bus(names, row[1]),
            reactance_pu=row[3] * tap,
            rating_mw=row[5] or None,
        )


def _bus(names: dict[Decimal, str], number: Decimal) -> str:
    """Return the name of a bus; an unknown one is left for the check of the case to find."""
    return names.get(number, f"{number:f}")


def _scalar(text: str, name: str) -> Decimal:
    found = re.search(_SCALAR.format(name=name), text)
    if found is None:
        raise InvalidInput(f"mpc.{name} is missing", code="invalid_case")
    return _number(found[1])


def _matrix(text: str, name: str, columns: int) -> Rows:
    found = re.search(_MATRIX.format(name=name), text, re.DOTALL)
    if found is None:
        raise InvalidInput(f"mpc.{name} is missing", code="invalid_case")
    if len(found[1]) > 16 * MAX_NUMBERS:
        raise InvalidInput(f"mpc.{name} is too long", code="invalid_case")
    rows = []
    for line in re.split(r"[;\n]", found[1].replace("...\n", " ")):
        words = line.replace(",", " ").split()
        if words:
            rows.append([_number(word) for word in words])
    for row in rows:
        if len(row) < columns:
            raise InvalidInput(
                f"a row of mpc.{name} is too short",
                code="invalid_case",
                expected=f"at least {columns} numbers",
                actual=len(row),
            )
    return rows


def _number(word: str) -> Decimal:
    try:
        value = Decimal(word)
    except InvalidOperation as error:
        raise InvalidInput("not a number", code="invalid_case", actual=word[:40]) from error
    if not value.is_finite():
        raise InvalidInput("not a finite number", code="invalid_case", actual=word[:40])
    return value

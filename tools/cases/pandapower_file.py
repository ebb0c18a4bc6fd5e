"""Reader of pandapower's JSON files: the tables of a net, without pandapower.

Read are buses, lines, two-winding transformers, loads, static generators, generators, the external
grid, switches, and polynomial costs, with the conversions that pandapower's own DC optimal power
flow makes (its documentation, "Elements"). What it knows beyond these is noted or refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tools.cases.case import Case
from tools.cases.fields import Entry
from tools.cases.grid import CaseBuilder
from vm.primitives.errors import InvalidInput

MARK: Final = "pandapowerNet"
SQRT_3: Final = Decimal(3).sqrt()
FAR_MW: Final = Decimal(1_000_000)
"""Limit of an external grid that names none."""
_LEFT_OUT: Final = (
    "trafo3w",
    "impedance",
    "dcline",
    "ward",
    "xward",
    "storage",
    "motor",
    "pwl_cost",
    "asymmetric_load",
    "asymmetric_sgen",
)
_MUST_NOT: Final = ("pwl_cost", "trafo3w", "impedance")

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Net:
    """The tables of a net."""

    tables: Mapping[str, dict[int, Row]]
    """Rows by index, for each table."""
    base_mva: Decimal
    """Base power."""
    name: str
    """The net's name."""

    def rows(self, table: str) -> list[tuple[int, Row]]:
        """Return the rows of a table that are in service."""
        found = self.tables.get(table, {})
        return [(index, row) for index, row in found.items() if row.get("in_service") is not False]


def is_pandapower(document: Entry) -> bool:
    """Tell whether a JSON document is a net of pandapower."""
    return document.get("_class") == MARK


def read_pandapower(document: Entry, name: str) -> Case:
    """Return the case of a net; raises InvalidInput on what cannot be read."""
    net = _read_tables(document, name)
    case = CaseBuilder(net.name)
    for table in _LEFT_OUT:
        if net.rows(table):
            if table in _MUST_NOT:
                raise InvalidInput(
                    f"tables {table!r} cannot be read yet", code="invalid_case", actual=name
                )
            case.note(f"Elements of the table {table} are left out.")
    merged = _merge_buses(net)
    names = {
        index: case.add_bus(f"{index}") for index, _ in net.rows("bus") if merged[index] == index
    }
    place = {index: names[merged[index]] for index in merged}
    _read_lines(case, net, place)
    _read_transformers(case, net, place)
    _read_loads(case, net, place)
    _read_generators(case, net, place)
    return case.finish()


def _read_tables(document: Entry, name: str) -> _Net:
    content = document.get("_object")
    if not is_pandapower(document) or not isinstance(content, dict):
        raise InvalidInput(f"{name} is no net of pandapower", code="invalid_case")
    tables: dict[str, dict[int, Row]] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value.get("_class") == "DataFrame":
            tables[key] = _read_frame(value.get("_object"), f"{name}: {key}")
    title = content.get("name")
    base = content.get("sn_mva", 1)
    return _Net(tables, Decimal(str(base)), title if isinstance(title, str) and title else name)


def _read_frame(text: object, where: str) -> dict[int, Row]:
    """Return the rows of a DataFrame in pandas' form `split`, by index."""
    try:
        found = json.loads(text, parse_float=Decimal) if isinstance(text, str) else text
        columns, index, data = found["columns"], found["index"], found["data"]
        return {
            int(key): dict(zip(columns, row, strict=True))
            for key, row in zip(index, data, strict=True)
        }
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{where} is no table", code="invalid_case", expected="pandas' form `split`"
        ) from error


def _merge_buses(net: _Net) -> dict[int, int]:
    """Return for each bus the one that it is the same as, through closed switches between buses."""
    same = {index: index for index, _ in net.rows("bus")}

    def find(bus: int) -> int:
        while same[bus] != bus:
            bus = same[bus]
        return bus

    for _, row in net.rows("switch"):
        if row.get("et") == "b" and row.get("closed"):
            first, second = int(str(row["bus"])), int(str(row["element"]))
            if first in same and second in same:
                low, high = sorted((find(first), find(second)))
                same[high] = low
    return {bus: find(bus) for bus in same}


def _open_elements(net: _Net, kind: str) -> set[int]:
    return {
        int(str(row["element"]))
        for _, row in net.rows("switch")
        if row.get("et") == kind and not row.get("closed")
    }


def _read_lines(case: CaseBuilder, net: _Net, place: Mapping[int, str]) -> None:
    voltage = {index: _number(row, "vn_kv") for index, row in net.tables["bus"].items()}
    is_open = _open_elements(net, "l")
    for index, row in net.rows("line"):
        start, end = int(str(row["from_bus"])), int(str(row["to_bus"]))
        if index in is_open or start not in place or end not in place:
            continue
        parallel = _number(row, "parallel", 1)
        base = voltage[start] ** 2 / net.base_mva
        reactance = _number(row, "x_ohm_per_km") * _number(row, "length_km") / parallel
        current = _number(row, "max_i_ka") * _number(row, "df", 1) * parallel
        loading = _optional(row, "max_loading_percent")
        rating = None
        if loading is not None:
            rating = current * voltage[start] * SQRT_3 * loading / 100
        case.add_line(place[start], place[end], reactance_pu=reactance / base, rating_mw=rating)


def _read_transformers(case: CaseBuilder, net: _Net, place: Mapping[int, str]) -> None:
    is_open = _open_elements(net, "t")
    for index, row in net.rows("trafo"):
        high, low = int(str(row["hv_bus"])), int(str(row["lv_bus"]))
        if index in is_open or high not in place or low not in place:
            continue
        parallel, rated = _number(row, "parallel", 1), _number(row, "sn_mva")
        impedance = _number(row, "vk_percent") / 100
        resistance = _number(row, "vkr_percent") / 100
        reactance = (impedance**2 - resistance**2).sqrt() * net.base_mva / rated / parallel
        if _number(row, "shift_degree", 0):
            case.note("Phase shifts of transformers are left out.")
        loading = _optional(row, "max_loading_percent")
        ratio = _tap_ratio(row, net, high, low)
        rating = None if loading is None else rated * parallel * loading / 100
        case.add_line(place[high], place[low], reactance_pu=reactance * ratio, rating_mw=rating)


def _tap_ratio(row: Row, net: _Net, high: int, low: int) -> Decimal:
    """Return the off-nominal ratio by which the DC model multiplies a reactance."""
    buses = net.tables["bus"]
    ratio = (_number(row, "vn_hv_kv") / _number(row, "vn_lv_kv")) / (
        _number(buses[high], "vn_kv") / _number(buses[low], "vn_kv")
    )
    position = _optional(row, "tap_pos")
    step = _optional(row, "tap_step_percent")
    if position is not None and step is not None and row.get("tap_side") in ("hv", "lv"):
        change = 1 + (position - _number(row, "tap_neutral", 0)) * step / 100
        ratio = ratio * change if row["tap_side"] == "hv" else ratio / change
    return ratio


def _read_loads(case: CaseBuilder, net: _Net, place: Mapping[int, str]) -> None:
    for table, sign in (("load", 1), ("sgen", -1)):
        for index, row in net.rows(table):
            bus = int(str(row["bus"]))
            if bus not in place:
                continue
            scaling = _number(row, "scaling", 1)
            if row.get("controllable") is True:
                _add_flexible(case, net, table, (index, row), place[bus])
            else:
                power = sign * _number(row, "p_mw") * scaling
                case.add_load(f"{table}.{index}", place[bus], power)
    for index, row in net.rows("shunt"):
        if int(str(row["bus"])) in place and _number(row, "p_mw", 0):
            case.add_load(f"shunt.{index}", place[int(str(row["bus"]))], _number(row, "p_mw"))
            case.note("Shunt conductances draw their power at nominal voltage.")


def _read_generators(case: CaseBuilder, net: _Net, place: Mapping[int, str]) -> None:
    for index, row in net.rows("ext_grid"):
        bus = int(str(row["bus"]))
        if bus in place:
            case.slack = case.slack or place[bus]
            _add_flexible(case, net, "ext_grid", (index, row), place[bus])
    for index, row in net.rows("gen"):
        bus = int(str(row["bus"]))
        if bus not in place:
            continue
        if row.get("slack") is True and not case.slack:
            case.slack = place[bus]
        if row.get("controllable") is False:
            case.add_load(f"gen.{index}", place[bus], -_number(row, "p_mw"))
        else:
            _add_flexible(case, net, "gen", (index, row), place[bus])


def _add_flexible(
    case: CaseBuilder, net: _Net, table: str, item: tuple[int, Row], bus: str
) -> None:
    """Add a unit that has a choice, with its cost; a load's power counts as drawn."""
    index, row = item
    low, high = _optional(row, "min_p_mw"), _optional(row, "max_p_mw")
    low, high = -FAR_MW if low is None else low, FAR_MW if high is None else high
    slope, cost = _cost(case, net, table, index)
    if table == "load":
        low, high, cost = -high, -low, -cost
    case.add_unit(f"{table}.{index}", bus, low_mw=low, high_mw=high, slope=slope, cost=cost)


def _cost(case: CaseBuilder, net: _Net, table: str, index: int) -> tuple[Decimal, Decimal]:
    """Return the slope, €/MW²h, and the price at 0, €/MWh, of an element; 0 where it has none."""
    slope = cost = Decimal(0)
    for _, row in net.tables.get("poly_cost", {}).items():
        if row.get("et") == table and int(str(row.get("element"))) == index:
            if _number(row, "cp0_eur", 0):
                case.note("Constant costs do not change the dispatch and are left out.")
            slope += 2 * _number(row, "cp2_eur_per_mw2", 0)
            cost += _number(row, "cp1_eur_per_mw", 0)
    return slope, cost


def _optional(row: Row, name: str) -> Decimal | None:
    value = row.get(name)
    if value is None or isinstance(value, bool) or str(value) in ("NaN", "nan"):
        return None
    return Decimal(str(value))


def _number(row: Row, name: str, default: int | None = None) -> Decimal:
    value = _optional(row, name)
    if value is not None:
        return value
    if default is None:
        raise InvalidInput(f"the column {name!r} lacks a number", code="invalid_case")
    return Decimal(default)

"""The published figures of the dispatch cases, held against what a validator shows of a round."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Final

from tools.cases.case import Case
from tools.client import object_field
from tools.errors import Json

PRICE_UNITS_PER_KWH: Final = Decimal(10) ** 21
PRICE_UNITS_PER_PU: Final = 10**19
PRICE_TOLERANCE: Final = 1e-6
OBJECTIVE_TOLERANCE: Final = 1e-6
POWER_TOLERANCE_W: Final = 1.0
UNITS_PER_DOLLAR: Final = 10**24


@dataclass(frozen=True, slots=True)
class DemoCase:
    """One area of the demo with its case."""

    area: str
    """Name of the area."""
    case: Case
    """The published case."""
    registers: bool
    """Whether the boards register the units themselves."""


def compare(each: DemoCase, results: Sequence[Json]) -> list[str]:
    """Return where results on chain differ from the published figures."""
    if each.area == "luo16":
        return _compare_luo(results)
    return _compare_feeder(each, results)


def _compare_luo(results: Sequence[Json]) -> list[str]:
    document = json.loads(
        files("genesis").joinpath("cases", "luo16.json").read_text(encoding="utf-8")
    )
    printed = document["table1_displayed"]
    if len(results) != 1:
        return [f"{len(results)} hours of 1"]
    powers, prices = object_field(results[0], "p_w"), object_field(results[0], "lambda")
    findings = []
    for name, kilowatts in printed["P_kw"].items():
        watts = abs(int(str(powers.get(name))))
        shown = (Decimal(watts) / 1_000).quantize(Decimal("0.1"))
        if shown != Decimal(str(kilowatts)):
            findings.append(f"{name} {shown} kW, printed {kilowatts}")
    for bus, price in prices.items():
        shown = (Decimal(int(str(price))) / PRICE_UNITS_PER_KWH).quantize(Decimal("0.001"))
        if shown != Decimal(str(printed["lambda_text"])):
            findings.append(f"price at {bus} {shown}, printed {printed['lambda_text']}")
    return findings


def _compare_feeder(each: DemoCase, results: Sequence[Json]) -> list[str]:
    document = json.loads(
        files("genesis").joinpath("cases", "ieee13_gao_expected.json").read_text(encoding="utf-8")
    )
    hours = document["hours"][each.case.limits]
    if len(results) != len(hours):
        return [f"{len(results)} hours of {len(hours)}"]
    findings = []
    for place, (hour, result) in enumerate(zip(hours, results, strict=True)):
        powers = {name: int(str(p)) for name, p in object_field(result, "p_w").items()}
        for bus, price in hour["dlmp"].items():
            found = int(str(object_field(result, "lambda").get(bus))) / PRICE_UNITS_PER_PU
            if hour["dlmp_unique"] and abs(found - price) > PRICE_TOLERANCE * abs(price):
                findings.append(f"hour {hour['hour']}: price at {bus} {found}, expected {price}")
        for what, key, wanted in (
            ("power of", "p_w", hour["dispatch_kw"]),
            ("flow", "flow_w", hour["flow_kw"]),
        ):
            for name, kilowatts in wanted.items():
                watts = int(str(object_field(result, key).get(name)))
                if abs(watts - kilowatts * 1_000) > POWER_TOLERANCE_W:
                    findings.append(
                        f"hour {hour['hour']}: {what} {name} {watts} W, expected {kilowatts} kW"
                    )
        objective = _objective(each.case, place, powers)
        if abs(objective - hour["objective"]) > OBJECTIVE_TOLERANCE * abs(hour["objective"]):
            findings.append(
                f"hour {hour['hour']}: objective {objective}, expected {hour['objective']}"
            )
    return findings


def _objective(case: Case, interval: int, powers: Mapping[str, int]) -> float:
    """Return cost minus utility of an hour, $/h."""
    twice = sum(
        powers[unit.name] * (bid.a * powers[unit.name] + 2 * bid.b)
        for unit in case.problem.units
        for bid in (unit.bids[interval],)
    )
    return twice / (2 * UNITS_PER_DOLLAR)

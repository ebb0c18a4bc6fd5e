"""Our own JSON form of a dispatch case: everything the integer model holds, and nothing else.

Readers of foreign formats write it, so that a case can be kept, compared and sent without them.
Costs and prices are decimal strings, because they pass 64 bits.
"""

from __future__ import annotations

from typing import Final

from market.dispatch_problem import Bid, DispatchProblem, Storage, Unit
from market.network import Bus, Line, Network
from tools.cases.case import Case
from tools.cases.fields import (
    Entry,
    entries,
    integer_field,
    list_field,
    object_field,
    text_field,
)

SCHEMA: Final = "bitenergy-dispatch-1"
_STORAGE_NUMBERS: Final = (
    "charge_max_w",
    "discharge_max_w",
    "charge_cost",
    "discharge_cost",
    "stored_ppm",
    "drawn_ppm",
    "energy_min_milli_wh",
    "energy_max_milli_wh",
    "energy_start_milli_wh",
    "energy_end_min_milli_wh",
)


def write_problem(case: Case) -> dict[str, object]:
    """Return the JSON document of a case."""
    problem = case.problem
    network = problem.network
    return {
        "schema": SCHEMA,
        "name": case.name,
        "limits": case.limits,
        "hours": list(case.hours),
        "interval_minutes": problem.interval_minutes,
        "network": {
            "slack": network.slack,
            "buses": [bus.name for bus in network.buses],
            "lines": [
                {
                    "name": line.name,
                    "from": line.from_bus,
                    "to": line.to_bus,
                    "rating_w": line.rating_w,
                    "reactance_nano_ohm": line.reactance_nano_ohm,
                    "owner": line.owner,
                }
                for line in network.lines
            ],
        },
        "links": [list(link) for link in case.links],
        "units": [
            {
                "name": unit.name,
                "bus": unit.bus,
                "kind": unit.kind,
                "bids": [
                    {"a": str(bid.a), "b": str(bid.b), "lo_w": bid.lo_w, "hi_w": bid.hi_w}
                    for bid in unit.bids
                ],
            }
            for unit in problem.units
        ],
        "storages": [
            {
                "name": storage.name,
                "bus": storage.bus,
                **{key: str(getattr(storage, key)) for key in _STORAGE_NUMBERS},
            }
            for storage in problem.storages
        ],
        "notes": list(case.notes),
    }


def read_problem(document: Entry, limits: str) -> Case:
    """Return the case in a document that `write_problem` made; raises InvalidInput on its form."""
    where = text_field(document, "name", "the case")
    hours = tuple(int(str(hour)) for hour in list_field(document, "hours", where))
    problem = DispatchProblem(
        network=_read_network(object_field(document, "network", where), where),
        interval_minutes=integer_field(document, "interval_minutes", where),
        intervals=len(hours),
        units=tuple(_read_unit(entry, place) for entry, place in entries(document, "units", where)),
        storages=tuple(
            _read_storage(entry, place) for entry, place in entries(document, "storages", where)
        ),
    )
    links = tuple(
        (str(pair[0]), str(pair[1]))
        for pair in document.get("links", [])  # type: ignore[attr-defined]
    )
    notes = tuple(str(note) for note in document.get("notes", []))  # type: ignore[attr-defined]
    return Case(where, limits, problem, hours, links, notes)


def _read_network(entry: Entry, where: str) -> Network:
    where = f"{where}: network"
    lines = tuple(
        Line(
            text_field(line, "name", place),
            text_field(line, "from", place),
            text_field(line, "to", place),
            None if line.get("rating_w") is None else integer_field(line, "rating_w", place),
            integer_field(line, "reactance_nano_ohm", place),
            str(line.get("owner", "")),
        )
        for line, place in entries(entry, "lines", where)
    )
    buses = tuple(Bus(str(name)) for name in list_field(entry, "buses", where))
    return Network(text_field(entry, "slack", where), buses, lines)


def _read_unit(entry: Entry, where: str) -> Unit:
    return Unit(
        text_field(entry, "name", where),
        text_field(entry, "bus", where),
        text_field(entry, "kind", where),
        tuple(
            Bid(
                integer_field(bid, "a", place),
                integer_field(bid, "b", place),
                integer_field(bid, "lo_w", place),
                integer_field(bid, "hi_w", place),
            )
            for bid, place in entries(entry, "bids", where)
        ),
    )


def _read_storage(entry: Entry, where: str) -> Storage:
    numbers = [integer_field(entry, key, where) for key in _STORAGE_NUMBERS]
    return Storage(text_field(entry, "name", where), text_field(entry, "bus", where), *numbers)

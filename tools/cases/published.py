"""Readers of the published dispatch cases: Luo's 16 agents and Gao's modified IEEE 13-node feeder.

The files say what their sources left out or contradicted; here their figures become integers,
exactly. Loads of the feeder are named L646.2 and so on, as in the file of expected results.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import Bus, Line, Network
from tools.cases.case import CONGESTED, NORMAL, Case
from tools.cases.fields import (
    Entry,
    decimal_field,
    entries,
    integer_field,
    list_field,
    object_field,
    scaled,
    text_field,
)
from tools.cases.graphs import Link, ring, spanning_tree
from vm.primitives.errors import InvalidInput

MINUTES_PER_HOUR: Final = 60
QUADRATIC_DECIMALS: Final = 14
"""$/pu² h on a base of 100 kW are 1e-10 $/(W² h), which is 1e14 units of `a`."""
PRICE_DECIMALS: Final = 19
"""$/pu h are 1e-5 $/Wh, which is 1e19 units of `b`."""
KILO_DECIMALS: Final = 3
PROFILE_DECIMALS: Final = 2
FRACTION_DECIMALS: Final = 1
NANO_OHM_DECIMALS: Final = 9


def read_luo(document: Entry, limits: str, links: Sequence[Link] | None = None) -> Case:
    """Return Luo's case; its agents exchange messages along `links`, by default a ring of them.

    The thesis has no grid. Each agent is a bus of its own, named like it, and the lines of the
    problem are a spanning tree of the links without limits, so that there is one price.
    """
    where = text_field(document, "name", "the case")
    agents = [
        (text_field(entry, "name", place), entry, place)
        for entry, place in entries(
            object_field(document, "fixed_point", where), "units", f"{where}: fixed_point"
        )
    ]
    consumers = {
        text_field(entry, "name", at) for entry, at in entries(document, "consumers", where)
    }
    names = [name for name, _, _ in agents]
    chosen = ring(names) if links is None else tuple(links)
    root, tree = spanning_tree(names, chosen)
    units = tuple(
        Unit(
            name,
            name,
            LOAD if name in consumers else GENERATOR,
            (
                Bid(
                    integer_field(entry, "a", place),
                    integer_field(entry, "b", place),
                    integer_field(entry, "lo_w", place),
                    integer_field(entry, "hi_w", place),
                ),
            ),
        )
        for name, entry, place in agents
    )
    network = Network(
        root,
        tuple(Bus(name) for name in names),
        tuple(Line(f"{start}-{end}", start, end, None, 0, "") for start, end in tree),
    )
    problem = DispatchProblem(network, MINUTES_PER_HOUR, 1, units)
    return Case(where, limits, problem, (1,), links=chosen)


def read_feeder(document: Entry, limits: str) -> Case:
    """Return a feeder in the form of `ieee13_gao.json`: a day of hours, normal or congested."""
    where = text_field(document, "name", "the case")
    profile = _profile(document, "load_profile", where)
    sun = _profile(document, "pv_availability", where)
    if len(sun) != len(profile):
        raise InvalidInput(f"{where}: the two profiles differ in length", code="invalid_case")
    must_serve = decimal_field(document, "must_serve_fraction", FRACTION_DECIMALS, where)
    generators = [
        Unit(
            text_field(entry, "name", place),
            text_field(entry, "node", place),
            GENERATOR,
            tuple(
                _bid(
                    entry,
                    decimal_field(entry, "p_min_kw", KILO_DECIMALS, place),
                    _part(
                        decimal_field(entry, "p_max_kw", KILO_DECIMALS, place),
                        share if entry.get("type") == "pv" else 10**PROFILE_DECIMALS,
                        10**PROFILE_DECIMALS,
                        place,
                    ),
                    place,
                )
                for share in sun
            ),
        )
        for entry, place in entries(document, "generators", where)
    ]
    loads = []
    for entry, place in entries(document, "loads", where):
        bound = decimal_field(entry, "p_bound_kw", KILO_DECIMALS, place)
        bids = []
        for share in profile:
            lo_w = _part(bound, share, 10**PROFILE_DECIMALS, place)
            hi_w = _part(bound, share * must_serve, 10 ** (PROFILE_DECIMALS + 1), place)
            bids.append(_bid(entry, lo_w, hi_w, place))
        name = "L" + text_field(entry, "name", place)
        loads.append(Unit(name, text_field(entry, "node", place), LOAD, tuple(bids)))
    network = Network(
        text_field(document, "slack", where),
        tuple(Bus(str(name)) for name in list_field(document, "nodes", where)),
        tuple(
            _line(entry, document, limits, place)
            for entry, place in entries(document, "lines", where)
        ),
    )
    problem = DispatchProblem(network, MINUTES_PER_HOUR, len(profile), tuple(generators + loads))
    return Case(where, limits, problem, tuple(range(1, len(profile) + 1)))


def _profile(document: Entry, key: str, where: str) -> list[int]:
    """Return the hours' shares in hundredths."""
    return [
        scaled(value, PROFILE_DECIMALS, f"{where}: {key}")
        for value in list_field(document, key, where)
    ]


def _bid(entry: Entry, lo_w: int, hi_w: int, where: str) -> Bid:
    return Bid(
        decimal_field(entry, "a", QUADRATIC_DECIMALS, where),
        decimal_field(entry, "b", PRICE_DECIMALS, where),
        lo_w,
        hi_w,
    )


def _part(power_w: int, numerator: int, denominator: int, where: str) -> int:
    """Return a part of a power that must be a whole number of watts."""
    whole, rest = divmod(power_w * numerator, denominator)
    if rest:
        raise InvalidInput(
            f"{where}: its limit in an hour is no whole number of watts",
            code="invalid_case",
            actual=f"{power_w} W times {numerator}/{denominator}",
        )
    return whole


def _line(entry: Entry, document: Entry, limits: str, where: str) -> Line:
    start, end = text_field(entry, "from", where), text_field(entry, "to", where)
    reactance = Decimal(str(entry.get("x_ohm", 0))).scaleb(NANO_OHM_DECIMALS)
    return Line(
        f"{start}-{end}",
        start,
        end,
        _rating(entry, document, limits, f"{start}-{end}", where),
        int(reactance.to_integral_value()),
        "",
    )


def _rating(entry: Entry, document: Entry, limits: str, name: str, where: str) -> int | None:
    """Return a line's rating in watts under one of the file's cases, None without limits."""
    if limits == NORMAL:
        return None
    rules = object_field(object_field(document, "cases", where), CONGESTED, where)
    overrides = object_field(rules, "overrides", where)
    chosen = overrides.get(name, rules.get("line_limit_kw_default"))
    rating_w = scaled(chosen, KILO_DECIMALS, where)
    stated = entry.get("limit_kw_congested")
    if stated is not None and scaled(stated, KILO_DECIMALS, where) != rating_w:
        raise InvalidInput(
            f"{where}: the line's limit and the case's contradict each other",
            code="invalid_case",
            expected=f"{rating_w} W",
            actual=f"{stated} kW",
        )
    return rating_w

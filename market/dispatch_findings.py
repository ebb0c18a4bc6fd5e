"""Everything that is wrong with a dispatch problem, found at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from market.dispatch_problem import (
    GENERATOR,
    LOAD,
    MAX_BIDS,
    MAX_DRAWN_PPM,
    MAX_INTERVAL_MINUTES,
    MAX_INTERVALS,
    MAX_POWER_W,
    MAX_PRICE,
    MAX_QUADRATIC,
    MAX_STORAGES,
    MAX_UNITS,
    PPM,
    Bid,
    DispatchProblem,
    Storage,
)
from market.network import NetworkFinding, check_network, orient
from vm.primitives.address import check_name
from vm.primitives.errors import InvalidInput
from vm.primitives.integers import MAX_AMOUNT

MAX_LISTED: Final = 50


def check_problem(problem: DispatchProblem) -> tuple[NetworkFinding, ...]:
    """Return everything that is wrong with `problem`; an empty tuple if it is sound.

    Codes: those of `check_network` (`unknown_bus`, `island`, `duplicate`, `rating`, ...), and
    `size`, `unknown_kind`, `wrong_intervals`, `not_convex`, `out_of_range`, `limits`, `infeasible`.
    In a meshed network, and where there are storages, `infeasible` is found for whole intervals
    only; what slips through has no dispatch that a certificate could prove.
    """
    findings = [*check_network(problem.network), *_check_sizes(problem)]
    buses = {bus.name for bus in problem.network.buses}
    seen: dict[str, int] = {}
    for unit in problem.units:
        seen[unit.name] = seen.get(unit.name, 0) + 1
        what = f"unit {unit.name[:40]!r}"
        if unit.bus not in buses:
            findings.append(_unknown_bus(what, unit.name, unit.bus))
        if unit.kind not in (GENERATOR, LOAD):
            findings.append(
                NetworkFinding("unknown_kind", unit.name, f"{what} is of no kind we know")
            )
        if len(unit.bids) != problem.intervals:
            message = f"{what} has {len(unit.bids)} bids for {problem.intervals} intervals"
            findings.append(NetworkFinding("wrong_intervals", unit.name, message))
        for number, bid in enumerate(unit.bids):
            findings += _check_bid(unit.name, f"{what}, interval {number}", unit.kind, bid)
    for storage in problem.storages:
        seen[storage.name] = seen.get(storage.name, 0) + 1
        if storage.bus not in buses:
            findings.append(_unknown_bus(f"storage {storage.name!r}", storage.name, storage.bus))
        findings += _check_storage(storage, f"storage {storage.name[:40]!r}")
    for name, count in seen.items():
        if not check_name(name):
            findings.append(NetworkFinding("invalid_name", name, f"{name[:40]!r} is not a name"))
        if count > 1:
            findings.append(
                NetworkFinding("duplicate", name, f"unit {name[:40]!r} occurs {count} times")
            )
    return tuple(findings) if findings else tuple(_check_feasible(problem))


def validate_problem(problem: DispatchProblem) -> None:
    """Raise InvalidInput `invalid_problem`, which lists all findings, unless there are none."""
    findings = check_problem(problem)
    if findings:
        listed = "; ".join(finding.message for finding in findings[:MAX_LISTED])
        raise InvalidInput(
            f"the dispatch problem is not sound: {listed}",
            code="invalid_problem",
            expected="no findings",
            actual=f"{len(findings)} findings",
        )


def _unknown_bus(what: str, name: str, bus: str) -> NetworkFinding:
    return NetworkFinding("unknown_bus", name, f"{what} is at {bus[:40]!r}, which is no bus")


def _check_sizes(problem: DispatchProblem) -> Iterator[NetworkFinding]:
    if not 1 <= problem.intervals <= MAX_INTERVALS:
        yield NetworkFinding("size", "", f"a problem has 1 to {MAX_INTERVALS} intervals")
    if not 1 <= problem.interval_minutes <= MAX_INTERVAL_MINUTES:
        yield NetworkFinding("size", "", f"an interval has 1 to {MAX_INTERVAL_MINUTES} minutes")
    if len(problem.units) > MAX_UNITS or len(problem.units) * problem.intervals > MAX_BIDS:
        message = f"a problem has at most {MAX_UNITS} units and {MAX_BIDS} bids"
        yield NetworkFinding("size", "", message)
    if len(problem.storages) > MAX_STORAGES:
        yield NetworkFinding("size", "", f"a problem has at most {MAX_STORAGES} storages")


def _check_bid(name: str, what: str, kind: str, bid: Bid) -> Iterator[NetworkFinding]:
    if bid.a < 0:
        yield NetworkFinding("not_convex", name, f"{what}: its marginal cost falls (a < 0)")
    elif bid.a > MAX_QUADRATIC or abs(bid.b) > MAX_PRICE:
        yield NetworkFinding("out_of_range", name, f"{what}: its cost is out of range")
    if not -MAX_POWER_W <= bid.lo_w <= bid.hi_w <= MAX_POWER_W:
        message = f"{what}: its limits {bid.lo_w} to {bid.hi_w} W are crossed or out of range"
        yield NetworkFinding("limits", name, message)
    elif kind == LOAD and bid.hi_w > 0:
        yield NetworkFinding("limits", name, f"{what}: a load cannot inject {bid.hi_w} W")


def _check_storage(storage: Storage, what: str) -> Iterator[NetworkFinding]:
    if not (0 <= storage.charge_max_w <= MAX_POWER_W) or not (
        0 <= storage.discharge_max_w <= MAX_POWER_W
    ):
        yield NetworkFinding("limits", storage.name, f"{what}: a power is out of range")
    if not (0 <= storage.charge_cost <= MAX_PRICE) or not (
        0 <= storage.discharge_cost <= MAX_PRICE
    ):
        yield NetworkFinding("out_of_range", storage.name, f"{what}: a cost is out of range")
    if not 1 <= storage.stored_ppm <= PPM or not PPM <= storage.drawn_ppm <= MAX_DRAWN_PPM:
        yield NetworkFinding("out_of_range", storage.name, f"{what}: it would gain energy")
    low, high = storage.energy_min_milli_wh, storage.energy_max_milli_wh
    if not (
        0 <= low <= storage.energy_start_milli_wh <= high <= MAX_AMOUNT
        and low <= storage.energy_end_min_milli_wh <= high
    ):
        yield NetworkFinding("limits", storage.name, f"{what}: its levels are crossed")


def _check_feasible(problem: DispatchProblem) -> Iterator[NetworkFinding]:
    """Yield each interval in which no dispatch exists, of a problem that is sound otherwise."""
    network = problem.network
    number = {bus.name: place for place, bus in enumerate(network.buses)}
    places = orient(network)
    upward = sorted(range(len(places)), key=lambda bus: -places[bus].depth)
    for interval in range(problem.intervals):
        low, high = [0] * len(places), [0] * len(places)
        for unit in problem.units:
            low[number[unit.bus]] += unit.bids[interval].lo_w
            high[number[unit.bus]] += unit.bids[interval].hi_w
        for storage in problem.storages:
            low[number[storage.bus]] -= storage.charge_max_w
            high[number[storage.bus]] += storage.discharge_max_w
        for bus in upward:
            place = places[bus]
            if place.depth == 0:
                if not low[bus] <= 0 <= high[bus]:
                    yield _infeasible(network.slack, interval, low[bus], high[bus])
                continue
            rating = network.lines[place.line].rating_w
            if problem.is_radial and rating is not None:
                if low[bus] > rating or high[bus] < -rating:
                    yield _infeasible(network.buses[bus].name, interval, low[bus], high[bus])
                    break
                low[bus], high[bus] = max(low[bus], -rating), min(high[bus], rating)
            low[place.parent] += low[bus]
            high[place.parent] += high[bus]


def _infeasible(bus: str, interval: int, low: int, high: int) -> NetworkFinding:
    message = (
        f"interval {interval}: what lies behind bus {bus!r} injects {low} to {high} W, "
        "which no dispatch can balance within the limits"
    )
    return NetworkFinding("infeasible", bus, message)

"""The tree method as one bus performs it: what it tells its parent, and what it then tells others.

A bus knows its own units, its children and the ratings of its own lines. Upward it sends the curve
of all that lies behind its line, held within the line's rating; downward it gets the price before
its line and the whole watts that its line is to carry, and shares them out among its units and
children. So each unit ends with its optimum rounded to a watt, and the balance is exact everywhere
without anybody having seen the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dispatch.exact_curves import (
    Curve,
    add_curves,
    clamp_curve,
    clearing_price,
    price_behind_line,
    share_out,
    span,
    unit_curve,
)
from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_check import verify_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import Bid, DispatchProblem
from market.network import orient


@dataclass(frozen=True, slots=True)
class BusView:
    """What a bus knows of the network: its own part."""

    bus: str
    """Its name."""
    parent: str | None
    """The next bus towards the slack bus, or where else curves meet; None there."""
    rating_w: int | None
    """What the line to it carries; None for no limit, and where curves meet."""
    children: tuple[str, ...]
    """Names of the buses behind it, in the network's order."""
    child_ratings_w: tuple[int | None, ...]
    """What the lines to them carry."""
    units: tuple[tuple[str, tuple[Bid, ...]], ...]
    """Its units: names, and bids for each interval."""


@dataclass(frozen=True, slots=True)
class BusOutcome:
    """What a bus ends with in one interval."""

    price: int
    """Its price, 1e-24 $/Wh."""
    powers_w: tuple[int, ...]
    """Injections of its units, in their order."""
    child_flows_w: tuple[int, ...]
    """What its children are to deliver, in their order."""


def meeting_bus(problem: DispatchProblem) -> str | None:
    """Return the bus at which curves meet: that of the storages, or without any the slack bus.

    The board of a storage answers the prices of all hours at once, so it has to know them all.
    None where storages are at several buses: then nobody stands where all hours could be settled.
    """
    buses = {storage.bus for storage in problem.storages}
    if len(buses) > 1:
        return None
    return buses.pop() if buses else problem.network.slack


def views_of(problem: DispatchProblem) -> dict[str, BusView]:
    """Return every bus's own part of a radial problem, as seen from where curves meet."""
    network = replace(problem.network, slack=meeting_bus(problem) or problem.network.slack)
    places = orient(network)
    names = [bus.name for bus in network.buses]
    children: dict[str, list[tuple[str, int | None]]] = {name: [] for name in names}
    for name, place in zip(names, places, strict=True):
        if place.depth:
            children[names[place.parent]].append((name, network.lines[place.line].rating_w))
    units: dict[str, list[tuple[str, tuple[Bid, ...]]]] = {name: [] for name in names}
    for unit in problem.units:
        units[unit.bus].append((unit.name, unit.bids))
    return {
        name: BusView(
            name,
            names[place.parent] if place.depth else None,
            network.lines[place.line].rating_w if place.depth else None,
            tuple(child for child, _ in children[name]),
            tuple(rating for _, rating in children[name]),
            tuple(units[name]),
        )
        for name, place in zip(names, places, strict=True)
    }


def combine(
    view: BusView, child_curves: Mapping[str, Sequence[Curve]], intervals: int
) -> list[Curve]:
    """Return for each interval the curve of a bus and all behind it, its own line not counted."""
    return [
        add_curves(
            [unit_curve(bids[interval]) for _, bids in view.units]
            + [child_curves[child][interval] for child in view.children]
        )
        for interval in range(intervals)
    ]


def tell_parent(view: BusView, own: Sequence[Curve]) -> list[Curve]:
    """Return the curves that a bus sends its parent."""
    return [clamp_curve(curve, view.rating_w) for curve in own]


def settle_bus(
    view: BusView,
    own: Curve,
    child_curves: Mapping[str, Curve],
    interval: int,
    told: tuple[int, int] | None,
) -> BusOutcome:
    """Return what a bus ends with, `told` by its parent its price and what to deliver.

    Where curves meet `told` is None, unless storages there set the price. Raises ValueError where
    what it was told cannot be.
    """
    if told is None:
        price, flow_w = clearing_price(own), 0
    else:
        before, flow_w = told
        price = price_behind_line(own, before, view.rating_w)
    spans = [span(unit_curve(bids[interval]), price) for _, bids in view.units]
    spans += [span(child_curves[child], price) for child in view.children]
    powers = share_out(spans, flow_w)
    count = len(view.units)
    return BusOutcome(price, tuple(powers[:count]), tuple(powers[count:]))


@dataclass(frozen=True, slots=True)
class Subtree:
    """What is known of one bus and all behind it once it is settled, for each interval."""

    prices: dict[str, list[int]]
    """Prices by bus, 1e-24 $/Wh."""
    powers_w: dict[str, list[int]]
    """Injections by unit."""


def subtree_curves(
    views: Mapping[str, BusView], bus: str, intervals: int
) -> dict[str, list[Curve]]:
    """Return the curves that a bus and each one behind it would send their parents."""
    order = [bus]
    for name in order:
        order += views[name].children
    sent: dict[str, list[Curve]] = {}
    for name in reversed(order):
        view = views[name]
        children = {child: sent[child] for child in view.children}
        sent[name] = tell_parent(view, combine(view, children, intervals))
    return sent


def settle_subtree(
    views: Mapping[str, BusView],
    bus: str,
    sent: Mapping[str, Sequence[Curve]],
    told: Sequence[tuple[int, int]] | None,
    intervals: int,
) -> Subtree:
    """Return what a bus and all behind it end with; `told` as the parent tells each interval."""
    found = Subtree({}, {})
    queue: list[tuple[str, Sequence[tuple[int, int]] | None]] = [(bus, told)]
    for name, words in queue:
        view = views[name]
        children = {child: sent[child] for child in view.children}
        own = combine(view, children, intervals)
        outcomes = [
            settle_bus(
                view,
                own[interval],
                {child: curves[interval] for child, curves in children.items()},
                interval,
                None if words is None else words[interval],
            )
            for interval in range(intervals)
        ]
        found.prices[name] = [outcome.price for outcome in outcomes]
        for place, (unit, _) in enumerate(view.units):
            found.powers_w[unit] = [outcome.powers_w[place] for outcome in outcomes]
        for place, child in enumerate(view.children):
            queue.append((child, [(each.price, each.child_flows_w[place]) for each in outcomes]))
    return found


def answer_all_hours(
    problem: DispatchProblem, own: Sequence[Curve], attempt: int
) -> tuple[list[tuple[int, int]], Sequence[tuple[StorageResult, ...]]]:
    """Return what the bus where curves meet is told by its storages, and what these do.

    `own` are its curves without them. Raises InvalidInput `no_solution`.
    """
    # Numbers of floats are needed where there are storages, and by their boards alone.
    from dispatch.storage_plan import plan_storages

    rows = lay_out(problem).storages
    plan = plan_storages(own, rows, problem.interval_minutes, attempt)
    told = [(price, -plan.injection_w(interval)) for interval, price in enumerate(plan.prices)]
    return told, plan.results


def solve_exactly(problem: DispatchProblem) -> Certificate:
    """Return the certificate of a sound radial problem, as one computer finds it.

    Message for message what the boards do together. The solver for one computer takes over where
    storages are at several buses, or their whole watts fit nothing that boards can share out.
    Raises InvalidInput `no_solution`, `no_rounding` where there are storages.
    """
    views = views_of(problem)
    root = meeting_bus(problem)
    if root is None:
        return _solve_on_one_computer(problem)
    sent = subtree_curves(views, root, problem.intervals)
    if not problem.storages:
        return certificate_of(problem, settle_subtree(views, root, sent, None, problem.intervals))
    children = {child: sent[child] for child in views[root].children}
    own = combine(views[root], children, problem.intervals)
    told, storages = answer_all_hours(problem, own, 0)
    try:
        found = settle_subtree(views, root, sent, told, problem.intervals)
        certificate = certificate_of(problem, found, storages)
    except ValueError:
        return _solve_on_one_computer(problem)
    if verify_certificate(lay_out(problem), certificate):
        return certificate
    return _solve_on_one_computer(problem)


def _solve_on_one_computer(problem: DispatchProblem) -> Certificate:
    from dispatch.storage import solve_with_storages

    return solve_with_storages(lay_out(problem))


def certificate_of(
    problem: DispatchProblem, found: Subtree, storages: Sequence[tuple[StorageResult, ...]] = ()
) -> Certificate:
    """Return the certificate of a whole network; raises KeyError where a part is missing."""
    return Certificate(
        tuple(
            IntervalResult(
                tuple(found.prices[bus.name][interval] for bus in problem.network.buses),
                tuple(found.powers_w[unit.name][interval] for unit in problem.units),
                storages=tuple(storages[interval]) if storages else (),
            )
            for interval in range(problem.intervals)
        )
    )

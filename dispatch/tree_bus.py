"""The tree method as one bus performs it: what it tells its parent, and what it then tells others.

A bus knows its own units, its children and the ratings of its own lines. Upward it sends the curve
of all that lies behind its line, held within the line's rating; downward it gets the price before
its line and the whole watts that its line is to carry, and shares them out among its units and
children. So each unit ends with its optimum rounded to a watt, and the balance is exact everywhere
without anybody having seen the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_problem import Bid, DispatchProblem
from market.network import orient


@dataclass(frozen=True, slots=True)
class BusView:
    """What a bus knows of the network: its own part."""

    bus: str
    """Its name."""
    parent: str | None
    """The next bus towards the slack bus; None at the slack bus."""
    rating_w: int | None
    """What the line to it carries; None for no limit, and at the slack bus."""
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


def views_of(problem: DispatchProblem) -> dict[str, BusView]:
    """Return every bus's own part of a radial problem."""
    network = problem.network
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

    At the slack bus `told` is None. Raises ValueError where what it was told cannot be.
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


def solve_exactly(problem: DispatchProblem) -> Certificate:
    """Return the certificate of a sound radial problem without storages, as one computer finds it.

    Message for message what the boards do together.
    """
    views = views_of(problem)
    slack = problem.network.slack
    sent = subtree_curves(views, slack, problem.intervals)
    return certificate_of(problem, settle_subtree(views, slack, sent, None, problem.intervals))


def certificate_of(problem: DispatchProblem, found: Subtree) -> Certificate:
    """Return the certificate of a whole network; raises KeyError where a part is missing."""
    return Certificate(
        tuple(
            IntervalResult(
                tuple(found.prices[bus.name][interval] for bus in problem.network.buses),
                tuple(found.powers_w[unit.name][interval] for unit in problem.units),
            )
            for interval in range(problem.intervals)
        )
    )

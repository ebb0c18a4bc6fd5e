"""The verifier of dispatch results: what is submitted is feasible, and proves itself optimal.

For *any* prices the dual function bounds the optimum from below (weak duality). The verifier takes
the submitted prices, sums over units, lines and storages what each could still gain at them, and
accepts if that sum is a vanishing part of the turnover. Powers are whole watts, so what a unit
loses by standing within a watt of its best power is not held against the submitter, only reported.
No solver runs here: the work is linear in the size of the network, in integers, and each division
rounds against the submitter. `docs/dispatch.md` has the proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from market.dispatch_certificate import Certificate, IntervalResult
from market.dispatch_layout import UNLIMITED, DispatchLayout, UnitRow
from market.dispatch_problem import MAX_PRICE
from vm.primitives.errors import InvalidProof

TOLERANCE_RADIAL: Final = 10**12
"""A radial dispatch is accepted if its gap is at most the turnover divided by this."""
TOLERANCE_MESHED: Final = 10**9
"""The same where flows are rounded to watts under the voltage law."""


@dataclass(frozen=True, slots=True)
class GapBound:
    """How far from the optimum an accepted dispatch can be."""

    gap_twice: int
    """Twice the bound of cost minus optimum, 1e-24 $/h: the sum of all terms 2g."""
    turnover_twice: int
    """Twice the turnover of the units that have a choice, 1e-24 $/h."""
    granularity_twice: int
    """The part of the gap that whole watts explain: units within a watt of their best power, levels
    of storages within a watt of their bounds, and what the voltage law misses, at most a watt for
    each line of a cycle, 1e-24 $/h. It needs no turnover."""


def verify_certificate(layout: DispatchLayout, certificate: Certificate) -> bool:
    """Tell whether `certificate` proves an optimal dispatch of the problem laid out."""
    try:
        gaps = _examine(layout, certificate)
    except InvalidProof:
        return False
    tolerance = tolerance_of(layout)
    for gap, intervals in gaps:
        if gap and not _is_covered(layout, certificate, intervals, gap * tolerance):
            return False
    return True


def validate_certificate(layout: DispatchLayout, certificate: Certificate) -> tuple[GapBound, ...]:
    """Return the proven bound for each interval (with storages: one bound for all together).

    Raises InvalidProof with one of the codes `wrong_length`, `price_range`, `unit_limit`,
    `unbalanced`, `line_limit`, `price_differs`, `voltage_law`, `storage_limit`, `store_level`,
    `gap`; its `actual` begins with the interval, counted from 0.
    """
    tolerance = tolerance_of(layout)
    bounds = []
    for gap, intervals in _examine(layout, certificate):
        turnover = sum(_turnover(layout, certificate, interval) for interval in intervals)
        if gap * tolerance > turnover:
            raise InvalidProof(
                f"{_where(intervals[0])}the dispatch is not proved optimal at its prices",
                code="gap",
                expected=f"a gap of at most 1/{tolerance} of the turnover {turnover}",
                actual=gap,
            )
        granularity = _granularity(layout, certificate, intervals)
        bounds.append(GapBound(gap + granularity, turnover, granularity))
    return tuple(bounds)


def tolerance_of(layout: DispatchLayout) -> int:
    """Return the number by which the turnover is divided to give the largest accepted gap."""
    return TOLERANCE_MESHED if layout.lines else TOLERANCE_RADIAL


def _examine(layout: DispatchLayout, certificate: Certificate) -> list[tuple[int, tuple[int, ...]]]:
    """Return the sums of 2g beyond what whole watts explain, each with the intervals it is for."""
    results = certificate.intervals
    if len(results) != layout.problem.intervals:
        raise InvalidProof(
            "the certificate is for another number of intervals",
            code="wrong_length",
            expected=layout.problem.intervals,
            actual=len(results),
        )
    gaps = [_examine_interval(layout, interval, result) for interval, result in enumerate(results)]
    if not layout.storages:
        return [(gap, (interval,)) for interval, gap in enumerate(gaps)]
    return [(sum(gaps) + _examine_levels(layout, results), tuple(range(len(gaps))))]


def _examine_interval(layout: DispatchLayout, interval: int, result: IntervalResult) -> int:
    """Return the sum of 2g over units, storages' powers and lines; raises InvalidProof."""
    _validate_lengths(layout, interval, result)
    prices = result.prices
    balances = [0] * len(prices)
    gap = _examine_units(layout.units[interval], interval, result, balances)
    if layout.storages:
        gap += _examine_storages(layout, interval, result, balances)
    if layout.lines:
        return gap + _examine_mesh(layout, interval, result, balances)
    for bus, parent, rating_w in layout.branches:
        flow = balances[bus]
        balances[parent] += flow
        if prices[bus] == prices[parent]:
            if rating_w >= 0 and not -rating_w <= flow <= rating_w:
                raise _line_limit(interval, bus, rating_w, flow)
        elif rating_w == UNLIMITED:
            raise InvalidProof(
                f"{_where(interval)}two prices meet at a line without a limit",
                code="price_differs",
                expected=prices[parent],
                actual=prices[bus],
            )
        else:
            if not -rating_w <= flow <= rating_w:
                raise _line_limit(interval, bus, rating_w, flow)
            difference = prices[bus] - prices[parent]
            gap += 2 * (difference * flow + abs(difference) * rating_w)
    if balances[layout.root]:
        raise _unbalanced(interval, layout.root, balances[layout.root])
    return gap


def _examine_units(
    rows: Sequence[UnitRow], interval: int, result: IntervalResult, balances: list[int]
) -> int:
    """Add each unit's power to its bus and return the sum of what units could gain, as 2g."""
    gap = 0
    prices = result.prices
    for power, (bus, a, b, lo_w, hi_w, at_lo, at_hi) in zip(result.powers_w, rows, strict=True):
        margin = prices[bus] - b
        if margin <= at_lo:
            if power != lo_w:
                if not lo_w <= power <= hi_w:
                    raise _unit_limit(interval, power, lo_w, hi_w)
                gap += (power - lo_w) * (a * (power + lo_w) - 2 * margin)
        elif margin >= at_hi:
            if power != hi_w:
                if not lo_w <= power <= hi_w:
                    raise _unit_limit(interval, power, lo_w, hi_w)
                gap += (power - hi_w) * (a * (power + hi_w) - 2 * margin)
        else:
            if not lo_w <= power <= hi_w:
                raise _unit_limit(interval, power, lo_w, hi_w)
            error = a * power - margin
            if not -a <= error <= a:
                gap -= -error * error // a
        balances[bus] += power
    return gap


def _examine_storages(
    layout: DispatchLayout, interval: int, result: IntervalResult, balances: list[int]
) -> int:
    """Add each storage's power to its bus and return what its powers could gain, as 2g."""
    gap = 0
    for row, one in zip(layout.storages, result.storages, strict=True):
        storage = row.storage
        if not -MAX_PRICE <= one.store_price <= MAX_PRICE:
            raise _price_range(interval, one.store_price)
        if not (
            0 <= one.charge_w <= storage.charge_max_w
            and 0 <= one.discharge_w <= storage.discharge_max_w
        ):
            raise InvalidProof(
                f"{_where(interval)}storage {storage.name} passes a limit of its power",
                code="storage_limit",
                expected=f"at most {storage.charge_max_w} and {storage.discharge_max_w} W",
                actual=f"{one.charge_w} and {one.discharge_w} W",
            )
        price = result.prices[row.bus]
        margin = price - storage.discharge_cost - storage.drawn_ppm * one.store_price
        unused = storage.discharge_max_w - one.discharge_w
        gap += 2 * margin * unused if margin > 0 else -2 * margin * one.discharge_w
        margin = storage.stored_ppm * one.store_price - storage.charge_cost - price
        unused = storage.charge_max_w - one.charge_w
        gap += 2 * margin * unused if margin > 0 else -2 * margin * one.charge_w
        balances[row.bus] += one.discharge_w - one.charge_w
    return gap


def _examine_levels(layout: DispatchLayout, results: Sequence[IntervalResult]) -> int:
    """Return what the storages could gain by other levels, as 2g; raises InvalidProof.

    A level that lies within one watt of its bound, over one interval, counts as lying at it.
    """
    minutes = layout.problem.interval_minutes
    gap = 0
    for number, row in enumerate(layout.storages):
        near = minutes * row.storage.drawn_ppm
        for distance, fall in _distances(layout, results, number):
            if distance > near:
                gap -= -2 * abs(fall) * (distance - near) // minutes
    return gap


def _distances(
    layout: DispatchLayout, results: Sequence[IntervalResult], number: int
) -> list[tuple[int, int]]:
    """Return for each interval (a level's distance from the bound it is drawn to, fall of price).

    Raises InvalidProof where a level of the storage passes a bound.
    """
    row = layout.storages[number]
    storage = row.storage
    level = row.start
    found = []
    for interval, result in enumerate(results):
        one = result.storages[number]
        level += layout.problem.interval_minutes * (
            storage.stored_ppm * one.charge_w - storage.drawn_ppm * one.discharge_w
        )
        least = row.end_least if interval + 1 == len(results) else row.least
        if not least <= level <= row.greatest:
            raise InvalidProof(
                f"{_where(interval)}storage {storage.name} passes a bound of its level",
                code="store_level",
                expected=f"{least} to {row.greatest}",
                actual=level,
            )
        fall = _fall_of_price(results, number, interval)
        found.append((level - least if fall > 0 else row.greatest - level, fall))
    return found


def _fall_of_price(results: Sequence[IntervalResult], number: int, interval: int) -> int:
    """Return by how much the value of stored energy falls after an interval; at the end, to 0."""
    here = results[interval].storages[number].store_price
    if interval + 1 == len(results):
        return here
    return here - results[interval + 1].storages[number].store_price


def _examine_mesh(
    layout: DispatchLayout, interval: int, result: IntervalResult, balances: list[int]
) -> int:
    """Return what the lines could gain under the voltage law, as 2g; raises InvalidProof."""
    prices, flows = result.prices, result.flows_w
    gains = []
    for flow, (start, end, rating_w, _) in zip(flows, layout.lines, strict=True):
        if not -rating_w <= flow <= rating_w:
            raise _line_limit(interval, start, rating_w, flow)
        balances[start] -= flow
        balances[end] += flow
        gains.append(prices[start] - prices[end])
    for bus, balance in enumerate(balances):
        if balance:
            raise _unbalanced(interval, bus, balance)
    for multiplier, cycle in zip(result.cycle_prices, layout.cycles, strict=True):
        if not -MAX_PRICE <= multiplier <= MAX_PRICE:
            raise _price_range(interval, multiplier)
        allowed = 0
        for line, direction in cycle:
            reactance = layout.lines[line].reactance_nano_ohm
            allowed += reactance
            gains[line] += direction * reactance * multiplier
        drop = _drop(layout, cycle, flows)
        if abs(drop) > allowed:
            raise InvalidProof(
                f"{_where(interval)}the voltage law does not hold around a cycle",
                code="voltage_law",
                expected=f"at most {allowed} nano-ohm watts",
                actual=drop,
            )
    gap = 0
    for gain, flow, line_row in zip(gains, flows, layout.lines, strict=True):
        if gain:
            gap += 2 * (gain * flow + abs(gain) * line_row.rating_w)
    return gap


def _drop(layout: DispatchLayout, cycle: Sequence[tuple[int, int]], flows: Sequence[int]) -> int:
    """Return by how much flows miss the voltage law around a cycle, nano-ohm watts."""
    return sum(
        direction * layout.lines[line].reactance_nano_ohm * flows[line] for line, direction in cycle
    )


def _turnover(layout: DispatchLayout, certificate: Certificate, interval: int) -> int:
    """Return twice the turnover of the units that have a choice, 1e-24 $/h."""
    return sum(
        abs(power * (a * power + 2 * b))
        for power, (_, a, b, lo_w, hi_w, _, _) in zip(
            certificate.intervals[interval].powers_w, layout.units[interval], strict=True
        )
        if lo_w < hi_w
    )


def _is_covered(
    layout: DispatchLayout, certificate: Certificate, intervals: Sequence[int], needed: int
) -> bool:
    """Tell whether twice the turnover reaches `needed`; looks no further once it does."""
    for interval in intervals:
        powers = certificate.intervals[interval].powers_w
        for power, (_, a, b, lo_w, hi_w, _, _) in zip(powers, layout.units[interval], strict=True):
            if lo_w < hi_w:
                needed -= abs(power * (a * power + 2 * b))
                if needed <= 0:
                    return True
    return False


def _granularity(layout: DispatchLayout, certificate: Certificate, intervals: Sequence[int]) -> int:
    """Return what `_examine` left out, as 2g: what whole watts explain."""
    total = 0
    results = certificate.intervals
    for interval in intervals:
        prices = results[interval].prices
        for power, (bus, a, b, _, _, at_lo, at_hi) in zip(
            results[interval].powers_w, layout.units[interval], strict=True
        ):
            margin = prices[bus] - b
            error = a * power - margin
            if at_lo < margin < at_hi and -a <= error <= a:
                total -= -error * error // a
        missed = sum(
            price * _drop(layout, cycle, results[interval].flows_w)
            for price, cycle in zip(results[interval].cycle_prices, layout.cycles, strict=True)
        )
        total += 2 * abs(missed)
    minutes = layout.problem.interval_minutes
    for number, row in enumerate(layout.storages):
        for distance, fall in _distances(layout, results, number):
            near = min(distance, minutes * row.storage.drawn_ppm)
            total -= -2 * abs(fall) * near // minutes
    return total


def _validate_lengths(layout: DispatchLayout, interval: int, result: IntervalResult) -> None:
    expected = (
        len(layout.places),
        len(layout.units[interval]),
        len(layout.lines),
        len(layout.cycles),
        len(layout.storages),
    )
    actual = (
        len(result.prices),
        len(result.powers_w),
        len(result.flows_w),
        len(result.cycle_prices),
        len(result.storages),
    )
    if actual != expected:
        raise InvalidProof(
            f"{_where(interval)}prices, powers, flows, cycle prices and storages are of another "
            "number",
            code="wrong_length",
            expected=expected,
            actual=actual,
        )
    lowest, highest = min(result.prices), max(result.prices)
    if lowest < -MAX_PRICE or highest > MAX_PRICE:
        raise _price_range(interval, lowest if lowest < -MAX_PRICE else highest)


def _where(interval: int) -> str:
    return f"interval {interval}: "


def _unit_limit(interval: int, power_w: int, lo_w: int, hi_w: int) -> InvalidProof:
    return InvalidProof(
        f"{_where(interval)}a unit passes its limits",
        code="unit_limit",
        expected=f"{lo_w} to {hi_w} W",
        actual=f"{power_w} W",
    )


def _line_limit(interval: int, bus: int, rating_w: int, flow_w: int) -> InvalidProof:
    return InvalidProof(
        f"{_where(interval)}a line at bus number {bus} passes its rating",
        code="line_limit",
        expected=f"at most {rating_w} W",
        actual=f"{flow_w} W",
    )


def _unbalanced(interval: int, bus: int, balance_w: int) -> InvalidProof:
    return InvalidProof(
        f"{_where(interval)}the balance is not exact at bus number {bus}",
        code="unbalanced",
        expected="0 W",
        actual=f"{balance_w} W",
    )


def _price_range(interval: int, price: int) -> InvalidProof:
    return InvalidProof(
        f"{_where(interval)}a price is out of range",
        code="price_range",
        expected=f"within {MAX_PRICE}",
        actual=price,
    )

"""Rounds: the problem built from network, units and bids; opened, proved, fallen back, deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from market.dispatch_certificate import Certificate
from market.dispatch_check import GapBound
from market.dispatch_codec import TAG_PROBLEM, decode_problem, encode_problem
from market.dispatch_fallback import clearing_gas, uniform_price
from market.dispatch_findings import MAX_LISTED, check_problem
from market.dispatch_gas import GAS_PROBLEM_BYTE, ending_gas, validate_closable
from market.dispatch_layout import DispatchLayout, fundamental_cycles
from market.dispatch_levels import move_levels, storage_of, tell_kept, tell_pending
from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Storage, Unit
from market.dispatch_records import (
    ARREARS_SPACE,
    CLEARING,
    FALLEN_BACK,
    LAST_PRICES,
    MONEY_SPACE,
    OPEN,
    OPEN_KEY,
    OWNERS_SPACE,
    PROBLEM_PART_BYTES,
    PROVED,
    SEQUENCE_SPACE,
    STORAGE_KIND,
    UNIT_INDEX,
    Area,
    AreaMoney,
    ResultRecord,
    Round,
    UnitRecord,
    area_key,
    bid_key,
    decode_area,
    decode_bid,
    decode_money,
    decode_result,
    decode_round,
    decode_unit,
    delete_bid,
    part_key,
    result_key,
    round_key,
    unit_key,
)
from market.dispatch_results import result_of, result_root
from market.network import Bus, Line, Network, NetworkFinding, orient
from market.records import bus_key, decode_bus, decode_line, decode_market, line_key, market_key
from vm.context import CallContext
from vm.primitives.address import account_id
from vm.primitives.codec import encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.hashing import tagged_hash
from vm.system.accounts import ACTIVE, load_account
from vm.system.members import load_member

DISPATCH_ACCOUNT: Final = account_id(b"bitenergy/dispatch")
"""Holds the pots and the congestion accounts; no key leads to this id."""

MAX_OPEN_ROUNDS: Final = 64
GAS_BID: Final = 80
"""A bid that enters a problem: read, checked, hashed."""
GAS_PLACE: Final = 60
"""A bus or line that enters a problem."""
GAS_ITEM: Final = 60
"""A figure of an accepted result: hashed and kept."""
MAX_ROUND_GAS: Final = 1_500_000
"""Most that a problem's bids and a result's figures may cost, so that whatever becomes of a round
fits into what one due item may use."""

DEADLINE: Final = 0
OPENING: Final = 1
SETTLEMENT: Final = 2
BUILDING: Final = 3
FORGETTING: Final = 4
MS_PER_MINUTE: Final = 60_000


@dataclass(frozen=True, slots=True)
class Built:
    """A problem as it was built, and who owns its units."""

    problem: DispatchProblem
    """The problem."""
    numbers: tuple[int, ...]
    """Numbers of its units."""
    owners: tuple[bytes, ...]
    """Accounts of the owners of its units, then of its storages."""


def load_area(ctx: CallContext, name: str) -> Area:
    """Return the area called `name`; raises CallError `unknown_area`."""
    data = ctx.get(area_key(name))
    if data is None:
        raise CallError("unknown_area", "there is no such dispatch area", actual=name)
    return decode_area(data)


def load_money(ctx: CallContext, area: Area) -> AreaMoney:
    """Return a working copy of an area's money and counters."""
    return decode_money(ctx.get(MONEY_SPACE + area.prefix))


def save_money(ctx: CallContext, area: Area, money: AreaMoney) -> None:
    """Write an area's money and counters."""
    ctx.put(MONEY_SPACE + area.prefix, money.encode())


def load_units(ctx: CallContext, area: Area) -> list[tuple[int, UnitRecord]]:
    """Return the registered units with their numbers, in order."""
    prefix = UNIT_INDEX + area.prefix
    numbers = [
        int.from_bytes(key[len(prefix) :], "big")
        for key, _ in ctx.scan(prefix, prefix + b"\xff" * 5)
    ]
    found = []
    for number in numbers:
        data = ctx.get(unit_key(area.prefix, number))
        if data is None:
            raise InvariantViolation(f"area {area.name!r} lost unit {number}")
        found.append((number, decode_unit(data)))
    return found


def load_open(ctx: CallContext) -> list[int]:
    """Return the numbers of the open rounds."""
    data = ctx.get(OPEN_KEY)
    return [] if data is None else [int(str(number)) for number in unpack_trusted(data)]  # type: ignore[union-attr]


def open_round(ctx: CallContext, area: Area, first_interval: int, *, by_itself: bool) -> int:
    """Publish the problem of an area's next round and return the round's number.

    Where demand must be served that no dispatch can serve, nothing can be proved: a call is
    refused, a round that opens by itself says so and falls back. Raises CallError
    `invalid_problem`, with all findings, or `too_many_rounds`.
    """
    opened = load_open(ctx)
    if len(opened) >= MAX_OPEN_ROUNDS:
        raise CallError(
            "too_many_rounds", "too many rounds are open", expected=f"at most {MAX_OPEN_ROUNDS}"
        )
    built = _build_problem(ctx, area, first_interval)
    unserved = _validate_sound(built.problem, by_itself=by_itself)
    problem = built.problem
    network = problem.network
    items = len(network.buses) + len(network.lines) + len(problem.units) + len(problem.storages)
    items += 0 if problem.is_radial else _cycle_places(network)
    _charge_size(ctx, len(problem.units) * area.intervals, items * area.intervals)
    for number in built.numbers:
        for interval in range(first_interval, first_interval + area.intervals):
            if first_interval and ctx.get(bid_key(area.prefix, number, interval)) is not None:
                delete_bid(ctx, area.prefix, number, interval)
    number = ctx.next_number("dispatch_round")
    data = encode_problem(problem)
    validate_closable(problem, len(data))
    found = Round(
        number=number,
        area=area.name,
        first_interval=first_interval,
        intervals=area.intervals,
        opened_ms=ctx.time_ms,
        deadline_ms=ctx.time_ms + area.deadline_ms,
        status=OPEN,
        problem_hash=tagged_hash(TAG_PROBLEM, data),
        problem_bytes=len(data),
        items=items,
        refused=0,
        submitter=b"",
        root=b"",
        gap_twice=b"",
        turnover_twice=b"",
        reward_micro=0,
        price_source=0,
    )
    if area.settles:
        ctx.put(OWNERS_SPACE + number.to_bytes(8, "big"), b"".join(built.owners))
    _write_round(ctx, area, found, data)
    ctx.put(OPEN_KEY, encode_trusted((*opened, number)))
    ctx.schedule(found.deadline_ms, encode_trusted((DEADLINE, number)))
    ctx.emit(
        "open_round",
        area.name,
        number,
        first_interval,
        area.intervals,
        found.deadline_ms,
        found.problem_hash,
    )
    tell_pending(ctx, found, opened, problem)
    for finding in unserved:
        ctx.emit("infeasible", area.name, number, finding.subject, finding.message)
    return number


def accept_result(
    ctx: CallContext,
    area: Area,
    found: Round,
    layout: DispatchLayout,
    certificate: Certificate,
    bounds: tuple[GapBound, ...],
) -> Round:
    """Write a proved result; return the round as it is now."""
    ctx.charge(GAS_ITEM * found.items * found.intervals)
    results = [
        result_of(layout, interval, result) for interval, result in enumerate(certificate.intervals)
    ]
    money = load_money(ctx, area)
    reward = min(area.reward_micro, money.pot_micro)
    money.pot_micro -= reward
    money.last_proved = found.number
    save_money(ctx, area, money)
    closed = _write_results(ctx, found, layout.problem, results)
    gap = sum(bound.gap_twice for bound in bounds)
    turnover = sum(bound.turnover_twice for bound in bounds)
    closed = closed._replace(
        status=PROVED,
        submitter=ctx.caller,
        gap_twice=encode_integer(gap),
        turnover_twice=encode_integer(turnover),
        reward_micro=reward,
    )
    ctx.put(round_key(found.number), closed.encode())
    _forget_open(ctx, found.number)
    ctx.emit(
        "prove",
        area.name,
        found.number,
        ctx.caller,
        closed.root,
        closed.gap_twice,
        closed.turnover_twice,
        reward,
    )
    move_levels(ctx, area, found, layout, certificate)
    if area.settles:
        ctx.schedule(ctx.time_ms + 1, encode_trusted((SETTLEMENT, found.number)))
    return closed


def pass_deadline(ctx: CallContext, number: int) -> None:
    """Let a round without a proof fall back; uniform clearing goes on in batches."""
    data = ctx.get(round_key(number))
    if data is None:
        return
    found = decode_round(data)
    if found.status not in (OPEN, CLEARING):
        return
    area = load_area(ctx, found.area)
    problem = load_problem(ctx, found)
    if found.status == OPEN:
        _forget_open(ctx, number)
        last = load_money(ctx, area).last_proved if area.fallback == LAST_PRICES else 0
        results = _last_results(ctx, last, problem)
        if results is not None:
            found = found._replace(price_source=last)
            _close_fallen(ctx, _write_results(ctx, found, problem, results), problem)
            return
        found = found._replace(status=CLEARING)
        ctx.put(round_key(number), found.encode())
    _clear(ctx, found, problem)


def load_problem(ctx: CallContext, found: Round) -> DispatchProblem:
    """Return a round's problem from its parts."""
    parts = []
    for part in range(-(-found.problem_bytes // PROBLEM_PART_BYTES)):
        data = ctx.get(part_key(found.number, part))
        if data is None:
            raise InvariantViolation(f"round {found.number} lost part {part} of its problem")
        ctx.charge(GAS_PROBLEM_BYTE * len(data))
        parts.append(data)
    return decode_problem(b"".join(parts))


def next_opening(area: Area, now_ms: int) -> tuple[int, int]:
    """Return (first interval, opening time in ms) of the next round that opens by itself."""
    length_ms = area.interval_minutes * area.intervals * MS_PER_MINUTE
    opens_ms = area.opens_minutes * MS_PER_MINUTE
    block = (now_ms + opens_ms) // length_ms + 1
    return block * area.intervals, max(0, block * length_ms - opens_ms)


def schedule_opening(ctx: CallContext, area: Area) -> None:
    """Schedule the next round of an area that opens them by itself."""
    if area.opens_minutes:
        first, due_ms = next_opening(area, ctx.time_ms)
        ctx.schedule(due_ms, encode_trusted((OPENING, area.name, first)))


def _cycle_places(network: Network) -> int:
    """Return how many lines all cycles run over, which a verifier passes in each interval."""
    return sum(len(cycle) for cycle in fundamental_cycles(network, orient(network)))


def _validate_sound(problem: DispatchProblem, *, by_itself: bool) -> tuple[NetworkFinding, ...]:
    """Return what says that no dispatch exists, if that alone may be; raises CallError."""
    findings = check_problem(problem)
    if by_itself and all(each.code == "infeasible" for each in findings):
        return findings[:MAX_LISTED]
    if findings:
        listed = "; ".join(f"{each.code}: {each.message}" for each in findings[:MAX_LISTED])
        raise CallError(
            "invalid_problem",
            f"the dispatch problem is not sound: {listed}",
            expected="no findings",
            actual=f"{len(findings)} findings",
        )
    return ()


def _write_round(ctx: CallContext, area: Area, found: Round, problem: bytes) -> None:
    """Write a new round and its problem, and count it."""
    for part, start in enumerate(range(0, len(problem), PROBLEM_PART_BYTES)):
        ctx.put(part_key(found.number, part), problem[start : start + PROBLEM_PART_BYTES])
    ctx.put(round_key(found.number), found.encode())
    money = load_money(ctx, area)
    money.rounds += 1
    save_money(ctx, area, money)
    _remember(ctx, area, money.rounds, found.number)


def _build_problem(ctx: CallContext, area: Area, first_interval: int) -> Built:
    network = _load_network(ctx, area)
    units: list[tuple[int, bytes, Unit]] = []
    storages: list[tuple[bytes, Storage]] = []
    for number, record in load_units(ctx, area):
        account = load_account(ctx, record.owner)
        arrears = ctx.get(ARREARS_SPACE + area.prefix + record.owner)
        if account.status != ACTIVE or arrears is not None:
            ctx.emit("leave_out", area.name, record.name, record.owner)
            continue
        if record.kind == STORAGE_KIND:
            storages.append((record.owner, storage_of(ctx, area, number, record)))
            continue
        bids = tuple(
            _bid_of(ctx, area, number, record, place, first_interval)
            for place in range(area.intervals)
        )
        kind = (GENERATOR, LOAD)[record.kind]
        units.append((number, record.owner, Unit(record.name, record.bus, kind, bids)))
    problem = DispatchProblem(
        network,
        area.interval_minutes,
        area.intervals,
        tuple(unit for _, _, unit in units),
        tuple(storage for _, storage in storages),
    )
    owners = [owner for _, owner, _ in units] + [owner for owner, _ in storages]
    return Built(problem, tuple(number for number, _, _ in units), tuple(owners))


def _bid_of(
    ctx: CallContext, area: Area, number: int, record: UnitRecord, place: int, first_interval: int
) -> Bid:
    """Return a unit's bid for the interval at `place`: a standing one, or what it registered."""
    if first_interval:
        data = ctx.get(bid_key(area.prefix, number, first_interval + place))
        if data is not None:
            return decode_bid(data)
    return Bid(*record.bids[place if len(record.bids) > 1 else 0])


def _load_network(ctx: CallContext, area: Area) -> Network:
    """Return the network of the area's market, with the ratings in force."""
    data = ctx.get(market_key(area.market))
    if data is None:
        raise CallError("unknown_market", "the area's market is gone", actual=area.market)
    market = decode_market(data)
    ctx.charge(GAS_PLACE * (market.buses + market.lines))
    buses, slack, lines = [], "", []
    for number in range(1, market.buses + 1):
        bus = decode_bus(_leaf(ctx, bus_key(market.prefix, number)))
        buses.append(Bus(bus.name))
        if not bus.parent:
            slack = bus.name
    for number in range(1, market.lines + 1):
        line = decode_line(_leaf(ctx, line_key(market.prefix, number)))
        owner = line.owner or market.edc
        lines.append(
            Line(
                line.name,
                buses[line.from_bus - 1].name,
                buses[line.to_bus - 1].name,
                line.rating_w,
                line.reactance_nano_ohm,
                load_member(ctx, owner).name if owner else "",
            )
        )
    return Network(slack, tuple(buses), tuple(lines))


def _leaf(ctx: CallContext, key: bytes) -> bytes:
    data = ctx.get(key)
    if data is None:
        raise InvariantViolation(f"the market lost a place at {key.hex()}")
    return data


def _write_results(
    ctx: CallContext, found: Round, problem: DispatchProblem, results: list[ResultRecord]
) -> Round:
    for interval, result in enumerate(results):
        ctx.put(result_key(found.number, interval), result.encode())
    return found._replace(root=result_root(problem, results))


def _last_results(
    ctx: CallContext, last: int, problem: DispatchProblem
) -> list[ResultRecord] | None:
    """Return the prices of the last proved round again; None where they do not fit."""
    data = ctx.get(round_key(last)) if last else None
    if data is None or decode_round(data).intervals != problem.intervals:
        return None
    results = []
    for interval in range(problem.intervals):
        leaf = ctx.get(result_key(last, interval))
        if leaf is None or len(prices := decode_result(leaf).prices) != len(problem.network.buses):
            return None
        results.append(ResultRecord(prices, (), ()))
    return results


def _clear(ctx: CallContext, found: Round, problem: DispatchProblem) -> None:
    """Clear as many intervals as gas allows; schedule the rest, or close the round."""
    gas = clearing_gas(problem)
    buses = len(problem.network.buses)
    most = load_area(ctx, found.area).max_price
    closing = ending_gas(problem)
    for interval in range(problem.intervals):
        if ctx.get(result_key(found.number, interval)) is not None:
            continue
        if ctx.gas_limit - ctx.gas_used < gas + closing:
            ctx.schedule(ctx.time_ms + 1, encode_trusted((DEADLINE, found.number)))
            return
        ctx.charge(gas)
        # Where must-serve demand passes what there is, no price would clear.
        price = encode_integer(max(-most, min(most, uniform_price(problem, interval))))
        ctx.put(result_key(found.number, interval), ResultRecord((price,) * buses, (), ()).encode())
    results = [
        decode_result(_leaf(ctx, result_key(found.number, interval)))
        for interval in range(problem.intervals)
    ]
    _close_fallen(ctx, found._replace(root=result_root(problem, results)), problem)


def _close_fallen(ctx: CallContext, found: Round, problem: DispatchProblem) -> None:
    ctx.put(round_key(found.number), found._replace(status=FALLEN_BACK).encode())
    ctx.emit("fall_back", found.area, found.number, found.price_source, found.root)
    tell_kept(ctx, found, problem)


def _charge_size(ctx: CallContext, bids: int, figures: int) -> None:
    """Charge for a problem's bids and figures; raises CallError `too_large` beyond the bound."""
    gas = GAS_BID * bids + GAS_ITEM * figures
    if gas > MAX_ROUND_GAS:
        raise CallError(
            "too_large",
            "the problem is too large for one round on chain",
            expected=f"at most {MAX_ROUND_GAS} gas",
            actual=gas,
            hint="Let a round have fewer intervals.",
        )
    ctx.charge(gas)


def _forget_open(ctx: CallContext, number: int) -> None:
    ctx.put(OPEN_KEY, encode_trusted([each for each in load_open(ctx) if each != number]))


def _remember(ctx: CallContext, area: Area, count: int, number: int) -> None:
    """Note an area's newest round, and delete the one that is to be kept no longer."""
    ctx.put(SEQUENCE_SPACE + area.prefix + count.to_bytes(8, "big"), number.to_bytes(8, "big"))
    if count <= area.keep_rounds:
        return
    key = SEQUENCE_SPACE + area.prefix + (count - area.keep_rounds).to_bytes(8, "big")
    old = decode_round(_leaf(ctx, round_key(int.from_bytes(_leaf(ctx, key), "big"))))
    owners = OWNERS_SPACE + old.number.to_bytes(8, "big")
    is_unpaid = old.status == PROVED and ctx.get(owners) is not None
    if is_unpaid or old.status in (OPEN, CLEARING):
        raise CallError(
            "too_many_rounds",
            "the area's oldest round is not closed and paid for yet",
            expected=f"at most {area.keep_rounds} rounds",
        )
    ctx.delete(key)
    for part in range(-(-old.problem_bytes // PROBLEM_PART_BYTES)):
        ctx.delete(part_key(old.number, part))
    for interval in range(old.intervals):
        ctx.delete(result_key(old.number, interval))
    if area.settles:
        ctx.delete(owners)
    ctx.delete(round_key(old.number))

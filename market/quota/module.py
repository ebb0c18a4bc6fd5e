"""The module of charging quotas: announce, demand, bid, offer, record, withdraw.

A round is one charging period. The DSO announces its capacity; stations demand power against a
deposit; when demands end each gets its part and pays the service fee; then they trade quotas in a
double auction, charge, and pay a penalty for what the meters show above their quota. The stages
change at their times, without anybody's call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.orders import BUY, SELL
from market.meters.proving import Reading
from market.meters.readings import validate_metered, validate_unmetered
from market.quota.contract_interface import quota_interfaces
from market.quota.debts import forgive, pay_debts
from market.quota.governing import changed_terms
from market.quota.metering import is_read, validate_period
from market.quota.records import (
    DELIVERY,
    DEMAND,
    MARK,
    NO_ORDER,
    SETTLED,
    STAGE_NAMES,
    STATION_SPACE,
    TERMS_KEY,
    TRADE,
    Round,
    Station,
    load_round,
    load_station,
    load_terms,
    load_terms_of,
    round_key,
    save_changed_terms,
    save_station,
    station_index_key,
    station_key,
)
from market.quota.rules import bid_reserve_micro, deposit_micro
from market.quota.section import read_section
from market.quota.settlement import allocate, settle, trade
from vm.arguments import ACCOUNT, UINT63, Argument, integer
from vm.context import CallContext, read_last_number
from vm.module import Interfaces, Module, Section, method
from vm.primitives.codec import Encodable, Value, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.accounts import load_account, save_account

STATION_ROLES: Final = ("consumer", "prosumer", "aggregator")
MAX_STATIONS: Final = 200
"""Stations of one round: its stages are one step each, within the gas of one due item."""
MAX_POWER_W: Final = 10**12
MAX_AHEAD_MS: Final = 400 * 24 * 3_600_000
"""How far ahead a round may end."""
MAX_PERIOD_MS: Final = 24 * 3_600_000

ROUND_COUNTER: Final = "quota"

POWER = integer(1, MAX_POWER_W)


class QuotaModule(Module):
    """Charging power quotas; nothing where genesis has no section for them."""

    name = "quota"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms; raises InvalidGenesis."""
        if section:
            ctx.put(TERMS_KEY, read_section(section).encode())

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `quota`."""
        return quota_interfaces()

    @method(
        Argument("capacity_w", POWER),
        Argument("price_micro_per_kwh", UINT63),
        Argument("demand_until_ms", UINT63),
        Argument("trade_until_ms", UINT63),
        Argument("start_ms", UINT63),
        Argument("end_ms", UINT63),
        Argument("readings_until_ms", UINT63),
        roles=("dso",),
    )
    def announce(
        self,
        ctx: CallContext,
        capacity_w: int,
        price_micro_per_kwh: int,
        demand_until_ms: int,
        trade_until_ms: int,
        start_ms: int,
        end_ms: int,
        readings_until_ms: int,
    ) -> Encodable:
        """Announce the capacity of a charging period and its gates; returns the round's number."""
        load_terms(ctx)
        times = (demand_until_ms, trade_until_ms, start_ms, end_ms, readings_until_ms)
        in_order = (
            ctx.time_ms < demand_until_ms < trade_until_ms <= start_ms < end_ms <= readings_until_ms
        )
        near = readings_until_ms <= ctx.time_ms + MAX_AHEAD_MS
        if not (in_order and near and end_ms - start_ms <= MAX_PERIOD_MS):
            raise CallError(
                "wrong_times",
                "the times of a round follow one another",
                expected="now < demand < trade <= start < end <= readings, a day, 400 days ahead",
                actual=", ".join(map(str, (ctx.time_ms, *times))),
            )
        validate_period(ctx, start_ms, end_ms, readings_until_ms)
        number = ctx.next_number(ROUND_COUNTER)
        found = Round(
            ctx.caller,
            capacity_w,
            price_micro_per_kwh,
            *times,
            stage=DEMAND,
            stations=0,
            demand_w=0,
        )
        ctx.put(round_key(number), found.encode())
        for due_ms in (demand_until_ms, trade_until_ms, readings_until_ms):
            ctx.schedule(due_ms, encode_trusted((number,)))
        ctx.emit("announce", number, ctx.caller, capacity_w, price_micro_per_kwh, *times)
        return number

    @method(Argument("round", UINT63), Argument("power_w", POWER), roles=STATION_ROLES)
    def demand(self, ctx: CallContext, number: int, power_w: int) -> Encodable:
        """Demand power against a deposit, which is set aside; returns the deposit."""
        terms = load_terms_of(ctx, number)
        found = _round_in(ctx, number, DEMAND, found_until="demand_until_ms")
        validate_metered(ctx)
        if ctx.get(station_key(number, ctx.caller)) is not None:
            raise CallError(
                "already_demanded",
                "the station has a demand in this round",
                hint="Withdraw it first.",
            )
        if found.stations >= MAX_STATIONS:
            raise CallError(
                "too_many_stations", "the round is full", expected=f"at most {MAX_STATIONS}"
            )
        pay_debts(ctx, number)
        deposit = deposit_micro(
            power_w,
            price=found.price_micro_per_kwh,
            billed_minutes=terms.billed_minutes,
            percent=terms.deposit_percent,
        )
        leaf = load_account(ctx, ctx.caller)
        leaf.reserve_money(deposit)
        save_account(ctx, ctx.caller, leaf)
        station = Station(power_w, deposit, 0, NO_ORDER, 0, 0, 0, 0, None)
        save_station(ctx, number, ctx.caller, station)
        ctx.put(station_index_key(number, ctx.caller), MARK)
        found.stations += 1
        found.demand_w += power_w
        ctx.put(round_key(number), found.encode())
        ctx.emit("demand", number, ctx.caller, power_w, deposit)
        return deposit

    @method(
        Argument("round", UINT63),
        Argument("power_w", POWER),
        Argument("max_price_micro_per_kwh", UINT63),
        roles=STATION_ROLES,
    )
    def bid(
        self,
        ctx: CallContext,
        number: int,
        power_w: int,
        max_price_micro_per_kwh: int,
    ) -> Encodable:
        """Want more quota, at most at a price, in place of an earlier order; sets money aside."""
        return _place(ctx, number, BUY, power_w, max_price_micro_per_kwh)

    @method(
        Argument("round", UINT63),
        Argument("power_w", POWER),
        Argument("min_price_micro_per_kwh", UINT63),
        roles=STATION_ROLES,
    )
    def offer(
        self,
        ctx: CallContext,
        number: int,
        power_w: int,
        min_price_micro_per_kwh: int,
    ) -> Encodable:
        """Offer some of the caller's quota, at least at a price; replaces an earlier order."""
        return _place(ctx, number, SELL, power_w, min_price_micro_per_kwh)

    @method(Argument("round", UINT63))
    def cancel(self, ctx: CallContext, number: int) -> Encodable:
        """Take the caller's order back, until quotas are traded."""
        _round_in(ctx, number, TRADE, found_until="trade_until_ms")
        station = load_station(ctx, number, ctx.caller)
        if station.side == NO_ORDER:
            raise CallError("no_order", "the station has no order in this round")
        leaf = load_account(ctx, ctx.caller)
        leaf.release_money(station.order_reserve_micro)
        save_account(ctx, ctx.caller, leaf)
        station.side, station.order_reserve_micro = NO_ORDER, 0
        save_station(ctx, number, ctx.caller, station)
        ctx.emit("cancel", number, ctx.caller)
        return None

    @method(
        Argument("round", UINT63),
        Argument("station", ACCOUNT),
        Argument("energy_milli_wh", UINT63),
        roles=("meter",),
    )
    def record(
        self,
        ctx: CallContext,
        number: int,
        station: bytes,
        energy_milli_wh: int,
    ) -> Encodable:
        """Record what a station charged in the period, once, before readings end.

        Where genesis has meters, theirs are the readings, and nobody records any.
        """
        validate_unmetered(ctx)
        found = load_round(ctx, number)
        if not found.end_ms <= ctx.time_ms < found.readings_until_ms:
            raise CallError(
                "wrong_time",
                "readings come after the period and before their deadline",
                expected=f"{found.end_ms} to {found.readings_until_ms} ms",
                actual=ctx.time_ms,
            )
        leaf = load_station(ctx, number, station)
        if leaf.measured_milli_wh is not None:
            raise CallError(
                "duplicate_reading", "the station was read", actual=leaf.measured_milli_wh
            )
        leaf.measured_milli_wh = energy_milli_wh
        save_station(ctx, number, station, leaf)
        ctx.emit("record", number, station, energy_milli_wh, leaf.quota_w)
        return None

    @method(Argument("round", UINT63))
    def withdraw(self, ctx: CallContext, number: int) -> Encodable:
        """Get back what is left of the deposit: with the demand before it counts, or at the end."""
        found = load_round(ctx, number)
        station = load_station(ctx, number, ctx.caller)
        takes_back = found.stage == DEMAND and ctx.time_ms < found.demand_until_ms
        if not takes_back and found.stage != SETTLED:
            raise CallError(
                "round_running",
                "a deposit is free before demands end and after penalties are taken",
                expected="before demand ends, or settled",
                actual=STAGE_NAMES[found.stage],
            )
        amount = station.deposit_micro
        leaf = load_account(ctx, ctx.caller)
        leaf.release_money(amount)
        save_account(ctx, ctx.caller, leaf)
        ctx.delete(station_key(number, ctx.caller))
        ctx.delete(station_index_key(number, ctx.caller))
        found.stations -= 1
        if takes_back:
            found.demand_w -= station.demand_w
        if found.stage == SETTLED and not found.stations:
            ctx.delete(round_key(number))
        else:
            ctx.put(round_key(number), found.encode())
        ctx.emit("withdraw", number, ctx.caller, amount)
        return amount

    @method(Argument("station", ACCOUNT), roles=("dso",))
    def forgive(self, ctx: CallContext, station: bytes) -> Encodable:
        """Set a station free of the penalties that it owes the caller; returns how much."""
        amount = forgive(ctx, station)
        ctx.emit("forgive", ctx.caller, station, amount)
        return amount

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set deposit and penalty of the rounds that are announced from now on."""
        if subject:
            raise CallError("unknown_subject", "charging quotas have no parts", actual=subject)
        known, since = load_terms(ctx), read_last_number(ctx.state, ROUND_COUNTER) + 1
        save_changed_terms(ctx, known, changed_terms(known, values, since))

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Take a round to its next stage."""
        match unpack_trusted(payload):
            case (int(number),):
                found, reading = load_round(ctx, number), Reading()
            case (int(number), int(step), bytes(resume), int(unproved)):
                found, reading = load_round(ctx, number), Reading(step, resume, unproved)
            case _:
                raise InvariantViolation(f"quota scheduled something else: {payload.hex()[:80]}")
        if found.stage == DELIVERY and not is_read(ctx, number, found, reading):
            return
        stages = (allocate, trade, settle)
        stages[found.stage](ctx, load_terms_of(ctx, number), number, found)
        ctx.emit("stage", number, STAGE_NAMES[found.stage])

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a station again from its leaf."""
        if key[:2] == STATION_SPACE:
            ctx.put(station_index_key(int.from_bytes(key[2:10], "big"), key[10:]), MARK)


def _round_in(ctx: CallContext, number: int, stage: int, *, found_until: str) -> Round:
    """Return a round that is in a stage; raises CallError `gate_closed`, `too_early`."""
    found = load_round(ctx, number)
    until_ms: int = getattr(found, found_until)
    if found.stage < stage:
        raise CallError(
            "too_early",
            "the round is not there yet",
            expected=STAGE_NAMES[stage],
            actual=STAGE_NAMES[found.stage],
        )
    if found.stage > stage or ctx.time_ms >= until_ms:
        raise CallError(
            "gate_closed",
            "the gate of this stage is closed",
            expected=f"{STAGE_NAMES[stage]} before {until_ms} ms",
            actual=f"{STAGE_NAMES[found.stage]} at {ctx.time_ms} ms",
        )
    return found


def _place(ctx: CallContext, number: int, side: int, power_w: int, price: int) -> Encodable:
    terms = load_terms_of(ctx, number)
    _round_in(ctx, number, TRADE, found_until="trade_until_ms")
    station = load_station(ctx, number, ctx.caller)
    if side == SELL and power_w > station.quota_w:
        raise CallError(
            "insufficient_quota",
            "the station has less quota than it offers",
            expected=station.quota_w,
            actual=power_w,
        )
    reserve = bid_reserve_micro(power_w, price, terms.billed_minutes) if side == BUY else 0
    leaf = load_account(ctx, ctx.caller)
    leaf.release_money(station.order_reserve_micro)
    leaf.reserve_money(reserve)
    save_account(ctx, ctx.caller, leaf)
    station.side, station.order_w, station.order_price_micro_per_kwh = side, power_w, price
    station.order_number = ctx.next_number("quota_order")
    station.order_reserve_micro = reserve
    save_station(ctx, number, ctx.caller, station)
    ctx.emit("order", number, ctx.caller, side, power_w, price)
    return None

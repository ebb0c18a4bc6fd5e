"""What happens to a quota round by itself: allocation, trade and penalties, each when it is due."""

from __future__ import annotations

from collections.abc import Mapping

from market.auction.orders import BUY, Order
from market.intervals import MS_PER_MINUTE
from market.meters.records import load_config
from market.quota.debts import owe
from market.quota.records import (
    DELIVERY,
    NO_ORDER,
    SETTLED,
    TRADE,
    QuotaTerms,
    Round,
    Station,
    load_stations,
    round_key,
    save_station,
)
from market.quota.rules import (
    clear_quotas,
    excess_penalty_micro,
    first_quotas_w,
    quota_energy_milli_wh,
    quota_power_w,
    service_fee_micro,
)
from market.working_accounts import WorkingAccounts
from vm.context import CallContext
from vm.primitives.integers import MAX_AMOUNT


def allocate(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Give the first quotas and take the service fees from the deposits."""
    stations = load_stations(ctx, number)
    accounts = WorkingAccounts(ctx)
    quotas = first_quotas_w([each.demand_w for each in stations.values()], found.capacity_w)
    for (account, station), quota_w in zip(stations.items(), quotas, strict=True):
        fee = service_fee_micro(
            station.demand_w,
            found.capacity_w,
            found.demand_w,
            price=found.price_micro_per_kwh,
            billed_minutes=terms.billed_minutes,
        )
        station.quota_w = quota_w
        station.deposit_micro -= fee
        accounts.pay_reserved(account, found.dso, number, fee)
        save_station(ctx, number, account, station)
        ctx.emit("allocate", number, account, station.demand_w, quota_w, fee)
    accounts.save()
    found.stage = TRADE
    ctx.put(round_key(number), found.encode())


def trade(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Clear the double auction of quotas; what it leaves over in fractions goes to the DSO."""
    stations = load_stations(ctx, number)
    orders = _orders(stations, terms.billed_minutes)
    clearing = clear_quotas(orders, terms.pricing)
    accounts = WorkingAccounts(ctx)
    paid_to_dso = clearing.surplus_micro
    for order, award in zip(orders, clearing.awards, strict=True):
        station = stations[order.owner]
        power_w = quota_power_w(award.energy_milli_wh, terms.billed_minutes)
        amount = award.amount_micro
        account = accounts.account(order.owner)
        if order.side == BUY:
            account.spend_reserved_money(amount)
            account.release_money(station.order_reserve_micro - amount)
            station.quota_w += power_w
            event = "bought"
        else:
            account.earn(amount)
            station.quota_w -= power_w
            event = "sold"
        station.side, station.order_reserve_micro = NO_ORDER, 0
        save_station(ctx, number, order.owner, station)
        ctx.emit(event, number, order.owner, power_w, amount, station.quota_w)
    if paid_to_dso:
        accounts.account(found.dso).earn(paid_to_dso)
        ctx.emit("surplus", number, found.dso, paid_to_dso)
    accounts.save()
    found.stage = DELIVERY
    ctx.put(round_key(number), found.encode())


def settle(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Take the penalties: from the deposit, then from free money; the rest is owed."""
    accounts = WorkingAccounts(ctx)
    meters = load_config(ctx)
    duration_ms = found.end_ms - found.start_ms
    if meters is not None:
        duration_ms = duration_ms * MS_PER_MINUTE // meters.minute_ms
    for account, station in load_stations(ctx, number).items():
        if station.measured_milli_wh is None:
            ctx.emit("unread", number, account)
            continue
        penalty = excess_penalty_micro(
            station.measured_milli_wh,
            station.quota_w,
            duration_ms=duration_ms,
            penalty_price=terms.penalty_price_micro_per_kwh,
        )
        penalty = min(penalty, MAX_AMOUNT)  # more than anybody can pay, and than an event can tell
        if not penalty:
            continue
        from_deposit = min(penalty, station.deposit_micro)
        station.deposit_micro -= from_deposit
        leaf = accounts.account(account)
        more = min(penalty - from_deposit, leaf.money_micro)
        leaf.reserve_money(more)
        accounts.pay_reserved(account, found.dso, number, from_deposit + more)
        save_station(ctx, number, account, station)
        unpaid = penalty - from_deposit - more
        ctx.emit("penalty", number, account, penalty, unpaid)
        if unpaid:
            owe(ctx, account, found.dso, unpaid)
    accounts.save()
    found.stage = SETTLED
    if found.stations:
        ctx.put(round_key(number), found.encode())
    else:
        ctx.delete(round_key(number))


def _orders(stations: Mapping[bytes, Station], billed_minutes: int) -> list[Order]:
    return [
        Order(
            station.order_number,
            account,
            station.side,
            quota_energy_milli_wh(station.order_w, billed_minutes),
            station.order_price_micro_per_kwh,
            station.order_number,
        )
        for account, station in stations.items()
        if station.side != NO_ORDER
    ]

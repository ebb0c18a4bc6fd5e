"""What happens to a quota round by itself: allocation, trade and penalties, each when it is due."""

from __future__ import annotations

from collections.abc import Mapping

from market.auction.orders import BUY, Order
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
from vm.context import CallContext
from vm.system.accounts import Account, load_account, save_account


class Ledger:
    """Working copies of the accounts that a stage of a round moves money between."""

    __slots__ = ("_accounts", "_ctx")

    def __init__(self, ctx: CallContext) -> None:
        self._ctx = ctx
        self._accounts: dict[bytes, Account] = {}

    def account(self, account: bytes) -> Account:
        """Return the working copy of an account."""
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = load_account(self._ctx, account)
        return found

    def pay_reserved(self, payer: bytes, payee: bytes, number: int, amount_micro: int) -> None:
        """Pay from money that was set aside."""
        if amount_micro:
            self.account(payer).spend_reserved_money(amount_micro)
            self.account(payee).earn(amount_micro)
            self._ctx.emit("pay", number, payer, payee, amount_micro)

    def save(self) -> None:
        """Write all accounts."""
        for account, leaf in self._accounts.items():
            save_account(self._ctx, account, leaf)


def allocate(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Give the first quotas and take the service fees from the deposits."""
    stations = load_stations(ctx, number)
    ledger = Ledger(ctx)
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
        ledger.pay_reserved(account, found.dso, number, fee)
        save_station(ctx, number, account, station)
        ctx.emit("allocate", number, account, station.demand_w, quota_w, fee)
    ledger.save()
    found.stage = TRADE
    ctx.put(round_key(number), found.encode())


def trade(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Clear the double auction of quotas; what it leaves over in fractions goes to the DSO."""
    stations = load_stations(ctx, number)
    orders = _orders(stations, terms.billed_minutes)
    clearing = clear_quotas(orders, terms.pricing)
    ledger = Ledger(ctx)
    paid_to_dso = clearing.surplus_micro
    for order, award in zip(orders, clearing.awards, strict=True):
        station = stations[order.owner]
        power_w = quota_power_w(award.energy_milli_wh, terms.billed_minutes)
        amount = award.amount_micro
        account = ledger.account(order.owner)
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
        ledger.account(found.dso).earn(paid_to_dso)
        ctx.emit("surplus", number, found.dso, paid_to_dso)
    ledger.save()
    found.stage = DELIVERY
    ctx.put(round_key(number), found.encode())


def settle(ctx: CallContext, terms: QuotaTerms, number: int, found: Round) -> None:
    """Take the penalties: from the deposit, then from free money, as far as there is any."""
    ledger = Ledger(ctx)
    for account, station in load_stations(ctx, number).items():
        if station.measured_milli_wh is None:
            ctx.emit("unread", number, account)
            continue
        penalty = excess_penalty_micro(
            station.measured_milli_wh,
            station.quota_w,
            duration_ms=found.end_ms - found.start_ms,
            penalty_price=terms.penalty_price_micro_per_kwh,
        )
        if not penalty:
            continue
        from_deposit = min(penalty, station.deposit_micro)
        station.deposit_micro -= from_deposit
        leaf = ledger.account(account)
        more = min(penalty - from_deposit, leaf.money_micro)
        leaf.reserve_money(more)
        ledger.pay_reserved(account, found.dso, number, from_deposit + more)
        save_station(ctx, number, account, station)
        ctx.emit("penalty", number, account, penalty, penalty - from_deposit - more)
    ledger.save()
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

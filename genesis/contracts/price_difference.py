"""Contracts for difference: two members fix the price of energy that both trade in a day market.

The buyer of a contract is sure of paying the agreed price: where a gate clears above it, the seller
pays the difference, where it clears below, the buyer does. No energy is delivered by it. Both lay
down the most that they can owe, to the tariffs, between which the market's prices lie. When the
interval is settled, anybody has the contract settled too; where the gate traded nothing there was
no price, and both get back what they laid down. Who is owed something settles within ten days: then
the market has forgotten the price.
"""

import bank
import block
import day
from fixed import trade_amount
from math import mul_div

OFFERED = 1
AGREED = 2
SETTLED = 3
CANCELLED = 4
KWH = 1_000_000
MAX_ENERGY = 10**12

Difference = record(
    buyer=address, seller=address, market=str, interval=int, gate=int, energy_milli_wh=int,
    price_micro_per_kwh=int, buyer_deposit_micro=int, seller_deposit_micro=int, status=int
)

last_difference: int
differences: map[int, Difference]

Changed = event(number=int, buyer=address, seller=address, status=int)
Paid = event(number=int, price_micro_per_kwh=int, seller_paid_micro=int, buyer_paid_micro=int)


@export
def offer(
    seller: address, market: str, interval: int, gate: int, energy_milli_wh: int,
    price_micro_per_kwh: int
) -> int:
    require(seller != caller(), "a contract is between two members")
    require(0 < energy_milli_wh <= MAX_ENERGY, "energy is positive, and at most a million kWh")
    require(is_to_come(market, interval), "the interval has begun")
    require(0 <= gate < day.gates(market), "the market has no such gate")
    retail, feed_in, penalty = day.tariffs(market, interval)
    require(feed_in <= price_micro_per_kwh <= retail, "the price is beyond the tariffs")
    made = Difference(
        caller(), seller, market, interval, gate, energy_milli_wh, price_micro_per_kwh,
        trade_amount(energy_milli_wh, price_micro_per_kwh - feed_in),
        trade_amount(energy_milli_wh, retail - price_micro_per_kwh), OFFERED
    )
    collect(made.buyer_deposit_micro)
    number = self.last_difference + 1
    self.last_difference = number
    change(number, made, OFFERED)
    return number


@export
def cancel(number: int):
    found = self.differences[number]
    require(found.status == OFFERED, "it was accepted already")
    require(caller() == found.buyer, "only who offered it takes it back")
    change(number, found, CANCELLED)
    pay(found.buyer, found.buyer_deposit_micro)


@export
def accept(number: int):
    found = self.differences[number]
    require(found.status == OFFERED, "it is not on offer")
    require(caller() == found.seller, "it was offered to another member")
    require(is_to_come(found.market, found.interval), "the interval has begun")
    require(day.result(found.market, found.interval, found.gate)[0] < 0, "the gate has cleared")
    collect(found.seller_deposit_micro)
    change(number, found, AGREED)


@export
def settle(number: int):
    found = self.differences[number]
    require(found.status == AGREED, "nothing is to be settled")
    require(day.is_settled(found.market, found.interval), "the interval is not settled")
    volume, amount, buyers, sellers = day.result(found.market, found.interval, found.gate)
    price = found.price_micro_per_kwh
    if volume > 0:
        price = mul_div(amount, KWH, volume)
    above = max(0, price - found.price_micro_per_kwh)
    below = max(0, found.price_micro_per_kwh - price)
    seller_pays = min(trade_amount(found.energy_milli_wh, above), found.seller_deposit_micro)
    buyer_pays = min(trade_amount(found.energy_milli_wh, below), found.buyer_deposit_micro)
    change(number, found, SETTLED)
    emit(Paid(number, price, seller_pays, buyer_pays))
    pay(found.buyer, found.buyer_deposit_micro + seller_pays - buyer_pays)
    pay(found.seller, found.seller_deposit_micro + buyer_pays - seller_pays)


def is_to_come(market: str, interval: int) -> bool:
    return day.start_ms(market, interval) > block.time_ms()


def collect(amount: int):
    if amount > 0:
        bank.collect(amount)


def pay(to: address, amount: int):
    if amount > 0:
        bank.transfer(to, amount)


def change(number: int, found: Difference, status: int):
    self.differences[number] = found.replace(status=status)
    emit(Changed(number, found.buyer, found.seller, status))


@view
def difference_of(number: int) -> Difference:
    return self.differences[number]

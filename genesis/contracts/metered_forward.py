"""A forward that the seller's meter settles: what its connection injects in fixed intervals.

The seller lays down a deposit, the buyer the whole price. When the readings of the last interval are
final, anybody has it settled: the buyer pays for what the meter shows, at most what was agreed, and
gets the rest back; what is missing costs the seller a penalty from the deposit. What was only
estimated, because the meter sent no later register, counts as missing. So does everything if the
seller, who lets the contract read its meter beforehand (`meters.allow_reader`), forbids it again.
"""

import bank
import readings
from fixed import trade_amount

OFFERED = 1
AGREED = 2
SETTLED = 3
CANCELLED = 4
MAX_PRICE = 10**12
MAX_INTERVALS = 96
INTERPOLATED = 2

Forward = record(
    seller=address, buyer=address, energy_milli_wh=int, price_micro_per_kwh=int,
    penalty_price_micro_per_kwh=int, deposit_micro=int, first_interval=int, intervals=int, status=int
)

last_forward: int
forwards: map[int, Forward]

Changed = event(number=int, seller=address, buyer=address, status=int)
Paid = event(number=int, paid_micro=int, penalty_micro=int)


@export
def offer(
    buyer: address, energy_milli_wh: int, price_micro_per_kwh: int,
    penalty_price_micro_per_kwh: int, first_interval: int, intervals: int
) -> int:
    require(buyer != caller(), "a forward is between two members")
    require(energy_milli_wh > 0, "energy is positive")
    require(0 <= price_micro_per_kwh <= MAX_PRICE, "the price is out of range")
    require(0 <= penalty_price_micro_per_kwh <= MAX_PRICE, "the penalty is out of range")
    require(1 <= intervals <= MAX_INTERVALS, "too many intervals or none")
    require(not readings.is_closed(first_interval), "the intervals are past")
    require(readings.has_meter(caller()), "the seller has no meter")
    require(readings.may_read(caller()), "the seller lets the contract read its meter")
    deposit = trade_amount(energy_milli_wh, penalty_price_micro_per_kwh)
    if deposit > 0:
        bank.collect(deposit)
    number = self.last_forward + 1
    self.last_forward = number
    made = Forward(
        caller(), buyer, energy_milli_wh, price_micro_per_kwh, penalty_price_micro_per_kwh, deposit,
        first_interval, intervals, OFFERED
    )
    change(number, made, OFFERED)
    return number


@export
def cancel(number: int):
    found = self.forwards[number]
    require(found.status == OFFERED, "it was accepted already")
    require(caller() == found.seller, "only its seller takes it back")
    change(number, found, CANCELLED)
    pay(found.seller, found.deposit_micro)


@export
def accept(number: int):
    found = self.forwards[number]
    require(found.status == OFFERED, "it is not on offer")
    require(caller() == found.buyer, "it was offered to another member")
    require(not readings.is_closed(found.first_interval), "its time has come already")
    price = trade_amount(found.energy_milli_wh, found.price_micro_per_kwh)
    if price > 0:
        bank.collect(price)
    change(number, found, AGREED)


@export
def settle(number: int):
    found = self.forwards[number]
    require(found.status == AGREED, "nothing is to be settled")
    last = found.first_interval + found.intervals - 1
    require(readings.is_final(last), "the readings are not final")
    energy = min(delivered(found), found.energy_milli_wh)
    price = trade_amount(found.energy_milli_wh, found.price_micro_per_kwh)
    paid = min(trade_amount(energy, found.price_micro_per_kwh), price)
    missing = found.energy_milli_wh - energy
    penalty = min(
        trade_amount(missing, found.penalty_price_micro_per_kwh), found.deposit_micro
    )
    change(number, found, SETTLED)
    emit(Paid(number, paid, penalty))
    pay(found.seller, paid + found.deposit_micro - penalty)
    pay(found.buyer, price - paid + penalty)


def delivered(found: Forward) -> int:
    energy = 0
    if not readings.may_read(found.seller):
        return 0
    for interval in range(found.first_interval, found.first_interval + found.intervals):
        quality = readings.quality(found.seller, interval, 1)
        if 0 < quality <= INTERPOLATED:
            energy += readings.injected_milli_wh(found.seller, interval, 1)
    return energy


def pay(to: address, amount: int):
    if amount > 0:
        bank.transfer(to, amount)


def change(number: int, found: Forward, status: int):
    self.forwards[number] = found.replace(status=status)
    emit(Changed(number, found.seller, found.buyer, status))


@view
def forward_of(number: int) -> Forward:
    return self.forwards[number]

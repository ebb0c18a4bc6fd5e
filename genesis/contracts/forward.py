"""A bilateral forward: two members fix energy, price and time of a delivery, and stand for it.

Both lay down the same deposit. The seller delivers the energy to the contract within the window, the
buyer pays for it until the pay-by time and gets it; then both get their deposits back. Who fails
loses the deposit to the other.
"""

import bank
import block
from fixed import trade_amount

OFFERED = 1
AGREED = 2
DELIVERED = 3
SETTLED = 4
CANCELLED = 5
SELLER_FAILED = 6
BUYER_FAILED = 7
MAX_PRICE = 10**12

Forward = record(
    seller=address, buyer=address, energy_milli_wh=int, price_micro_per_kwh=int, deposit_micro=int,
    from_ms=int, until_ms=int, pay_by_ms=int, status=int
)

last_forward: int
forwards: map[int, Forward]

Changed = event(number=int, seller=address, buyer=address, status=int)


@export
def offer(
    buyer: address, energy_milli_wh: int, price_micro_per_kwh: int, deposit_micro: int,
    from_ms: int, until_ms: int, pay_by_ms: int
) -> int:
    require(buyer != caller(), "a forward is between two members")
    require(energy_milli_wh > 0 and deposit_micro > 0, "energy and deposit are positive")
    require(0 <= price_micro_per_kwh <= MAX_PRICE, "the price is out of range")
    require(block.time_ms() < from_ms < until_ms < pay_by_ms, "the times are in order and to come")
    bank.collect(deposit_micro)
    number = self.last_forward + 1
    self.last_forward = number
    made = Forward(
        caller(), buyer, energy_milli_wh, price_micro_per_kwh, deposit_micro, from_ms, until_ms,
        pay_by_ms, OFFERED
    )
    change(number, made, OFFERED)
    return number


@export
def cancel(number: int):
    found = self.forwards[number]
    require(found.status == OFFERED, "it was accepted already")
    require(caller() == found.seller, "only its seller takes it back")
    change(number, found, CANCELLED)
    bank.transfer(found.seller, found.deposit_micro)


@export
def accept(number: int):
    found = self.forwards[number]
    require(found.status == OFFERED, "it is not on offer")
    require(caller() == found.buyer, "it was offered to another member")
    require(block.time_ms() < found.from_ms, "its time has come already")
    bank.collect(found.deposit_micro)
    change(number, found, AGREED)


@export
def deliver(number: int):
    found = self.forwards[number]
    require(found.status == AGREED, "nothing is to be delivered")
    require(caller() == found.seller, "the seller delivers")
    require(found.from_ms <= block.time_ms() < found.until_ms, "not within the window")
    bank.collect_energy(found.energy_milli_wh)
    change(number, found, DELIVERED)


@export
def pay(number: int):
    found = self.forwards[number]
    require(found.status == DELIVERED, "nothing was delivered")
    require(caller() == found.buyer, "the buyer pays")
    require(block.time_ms() < found.pay_by_ms, "too late")
    amount = price_of(found)
    if amount > 0:
        bank.collect(amount)
    change(number, found, SETTLED)
    bank.transfer_energy(found.buyer, found.energy_milli_wh)
    bank.transfer(found.seller, amount + found.deposit_micro)
    bank.transfer(found.buyer, found.deposit_micro)


@export
def claim(number: int):
    found = self.forwards[number]
    now = block.time_ms()
    if found.status == AGREED and now >= found.until_ms:
        change(number, found, SELLER_FAILED)
        bank.transfer(found.buyer, 2 * found.deposit_micro)
    elif found.status == DELIVERED and now >= found.pay_by_ms:
        change(number, found, BUYER_FAILED)
        bank.transfer_energy(found.seller, found.energy_milli_wh)
        bank.transfer(found.seller, 2 * found.deposit_micro)
    else:
        fail("nobody has failed")


def change(number: int, found: Forward, status: int):
    self.forwards[number] = found.replace(status=status)
    emit(Changed(number, found.seller, found.buyer, status))


def price_of(found: Forward) -> int:
    return trade_amount(found.energy_milli_wh, found.price_micro_per_kwh)


@view
def forward_of(number: int) -> Forward:
    return self.forwards[number]


@view
def amount_of(number: int) -> int:
    return price_of(self.forwards[number])

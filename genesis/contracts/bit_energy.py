"""The Bit-Energy market: sellers post energy, a buyer takes the cheapest, pairs have limits.

An offer's energy lies with the contract until it is sold or withdrawn; a buyer attaches the money
that the purchase may cost. Energy beyond the limit of a pair is not sold (`SKIP`), costs a penalty
more (`PENALTY`), or is sold like any other (`IGNORE`). An offer competes at its price with the
penalty in it; at equal prices the one that waited longest goes first.
"""

import bank
from fixed import trade_amount

IGNORE = 0
SKIP = 1
PENALTY = 2
MAX_OFFERS = 256
MAX_PRICE = 10**12

Offer = record(seller=address, energy_milli_wh=int, price=int)
Fill = record(
    offer_number=int, seller=address, energy_milli_wh=int, price=int, penalty=int, amount_micro=int
)
Standing = record(offer_number=int, seller=address, energy_milli_wh=int, price=int)

owner: address
policy: int
penalty_price: int
penalty_payee: address
last_offer: int
book: list[int]
offers: map[int, Offer]
limits: map[tuple[address, address], int]
traded: map[tuple[address, address], int]

Posted = event(seller=address, offer_number=int, energy_milli_wh=int, price=int)
Withdrawn = event(seller=address, offer_number=int, energy_milli_wh=int)
Traded = event(
    buyer=address, seller=address, offer_number=int, energy_milli_wh=int, price=int, amount_micro=int
)


@init
def start(line_policy: int, penalty_price_micro: int, payee: address):
    require(IGNORE <= line_policy <= PENALTY, "the policy is 0 (ignore), 1 (skip) or 2 (penalty)")
    require(0 <= penalty_price_micro <= MAX_PRICE, "the penalty is not negative")
    self.owner = caller()
    self.policy = line_policy
    self.penalty_price = penalty_price_micro
    self.penalty_payee = payee


@export(only=owner)
def set_pair_limit(first: address, second: address, limit_milli_wh: int):
    require(first != second, "a pair is two different members")
    require(limit_milli_wh >= 0, "a limit is not negative")
    self.limits[(first, second)] = limit_milli_wh
    self.limits[(second, first)] = limit_milli_wh


@export
def post(energy_milli_wh: int, price: int) -> int:
    require(energy_milli_wh > 0, "energy is positive")
    require(0 <= price <= MAX_PRICE, "a price is not negative")
    numbers = self.book
    require(len(numbers) < MAX_OFFERS, "the book is full")
    bank.collect_energy(energy_milli_wh)
    number = self.last_offer + 1
    self.last_offer = number
    self.offers[number] = Offer(caller(), energy_milli_wh, price)
    place = len(numbers)
    while place > 0 and self.offers[numbers[place - 1]].price > price:
        place -= 1
    self.book = numbers[0:place] + [number] + numbers[place:]
    emit(Posted(caller(), number, energy_milli_wh, price))
    return number


@export
def withdraw(offer_number: int):
    offer = self.offers[offer_number]
    require(offer.seller == caller(), "the offer belongs to another member")
    remove(offer_number)
    bank.transfer_energy(caller(), offer.energy_milli_wh)
    emit(Withdrawn(caller(), offer_number, offer.energy_milli_wh))


@export
def buy(energy_milli_wh: int, max_price: int, allow_partial: bool) -> list[Fill]:
    require(energy_milli_wh > 0, "energy is positive")
    wanted = energy_milli_wh
    rooms: dict[address, int] = {}
    fills: list[Fill] = []
    paid = 0
    while wanted > 0:
        number, price = best_offer(max_price, rooms)
        if number == 0:
            break
        offer = self.offers[number]
        taken = min(wanted, offer.energy_milli_wh)
        room = rooms[offer.seller]
        if 0 < room < taken and self.policy != IGNORE:
            taken = room
        rooms[offer.seller] = room - taken
        wanted -= taken
        amount = trade_amount(taken, price)
        fills.append(Fill(number, offer.seller, taken, price, price - offer.price, amount))
        paid += amount
        if taken == offer.energy_milli_wh:
            remove(number)
        else:
            self.offers[number] = offer.replace(energy_milli_wh=offer.energy_milli_wh - taken)
    bought = energy_milli_wh - wanted
    require(bought > 0 and (wanted == 0 or allow_partial), "the offers do not cover the purchase")
    if paid > 0:
        bank.collect(paid)
    for fill in fills:
        pay(fill)
        pair = (caller(), fill.seller)
        used = self.traded.get(pair, 0) + fill.energy_milli_wh
        self.traded[pair] = used
        self.traded[(fill.seller, caller())] = used
        emit(
            Traded(
                caller(),
                fill.seller,
                fill.offer_number,
                fill.energy_milli_wh,
                fill.price,
                fill.amount_micro,
            )
        )
    bank.transfer_energy(caller(), bought)
    return fills


def best_offer(max_price: int, rooms: dict[address, int]) -> tuple[int, int]:
    best = 0
    best_price = max_price
    for number in self.book:
        offer = self.offers[number]
        if offer.price > best_price:
            break
        if offer.seller == caller():
            continue
        if offer.seller not in rooms:
            rooms[offer.seller] = room_of(offer.seller)
        price = offer.price
        if rooms[offer.seller] <= 0 and self.policy != IGNORE:
            if self.policy == SKIP:
                continue
            price += self.penalty_price
        if price < best_price or (price == best_price and (best == 0 or number < best)):
            best = number
            best_price = price
    return best, best_price


def room_of(seller: address) -> int:
    pair = (caller(), seller)
    if pair not in self.limits:
        return 2**80
    return self.limits[pair] - self.traded.get(pair, 0)


def pay(fill: Fill):
    amount = fill.amount_micro
    if fill.penalty > 0 and self.penalty_payee != address():
        own = trade_amount(fill.energy_milli_wh, fill.price - fill.penalty)
        if amount > own:
            bank.transfer(self.penalty_payee, amount - own)
        amount = own
    if amount > 0:
        bank.transfer(fill.seller, amount)


def remove(offer_number: int):
    self.book = [number for number in self.book if number != offer_number]
    del self.offers[offer_number]


@view
def standing() -> list[Standing]:
    found: list[Standing] = []
    for number in self.book:
        offer = self.offers[number]
        found.append(Standing(number, offer.seller, offer.energy_milli_wh, offer.price))
    return found


@view
def traded_between(first: address, second: address) -> int:
    return self.traded.get((first, second), 0)

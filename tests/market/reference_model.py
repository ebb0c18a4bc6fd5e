"""The market as simply as it can be said: no index, no heap, every offer looked at every time."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction


class Refused(Exception):
    """A call that fails; its argument is the code."""


class ReferenceMarket:
    """One market in one interval. Members are names; amounts are integers in base units."""

    def __init__(self, people, policy, penalty, payee, lines, hours):
        self.money = {name: money for name, money, _, _ in people}
        self.free = {name: energy for name, _, energy, _ in people}
        self.bus = {name: bus for name, _, _, bus in people}
        self.policy, self.penalty, self.payee = policy, penalty, payee
        self.lines, self.hours = lines, hours  # name -> [from, to, rating_w or None, owner]
        self.pair_limits, self.default_limit, self.inactive = {}, None, set()
        self.min_energy, self.max_offers, self.max_fills = 1, 1_000, 200
        self.offers, self.flow, self.traded, self.numbers = {}, {}, {}, 0

    def number(self):
        self.numbers += 1
        return self.numbers

    def post(self, who, energy, price):
        if energy < self.min_energy:
            raise Refused("energy_too_small")
        if energy > self.free[who]:
            raise Refused("insufficient_energy")
        if sum(offer[0] == who for offer in self.offers.values()) == self.max_offers:
            raise Refused("too_many_offers")
        self.free[who] -= energy
        number = self.number()
        self.offers[number] = [who, self.bus[who], energy, price, number]
        return number

    def update(self, who, number, energy, price):
        offer = self.own(who, number)
        more = energy - offer[2]
        if more and energy < self.min_energy:
            raise Refused("energy_too_small")
        if more > self.free[who]:
            raise Refused("insufficient_energy")
        self.free[who] -= more
        if more > 0 or price != offer[3] or self.bus[who] != offer[1]:
            offer[4] = self.number()
        offer[1:4] = [self.bus[who], energy, price]

    def withdraw(self, who, number):
        self.free[who] += self.own(who, number)[2]
        del self.offers[number]

    def own(self, who, number):
        if number not in self.offers:
            raise Refused("unknown_offer")
        if self.offers[number][0] != who:
            raise Refused("not_your_offer")
        return self.offers[number]

    def path(self, start, end, before=None):
        """The lines from one bus to another, each with 1 if passed forwards, else -1."""
        if start == end:
            return []
        for name, (left, right, _, _) in self.lines.items():
            for here, there, sign in ((left, right, 1), (right, left, -1)):
                if here == start and name != before:
                    rest = self.path(there, end, name)
                    if rest is not None:
                        return [(name, sign), *rest]
        return None

    def limits(self, buyer, seller, bus):
        """What is left of each limit between seller and buyer, and whose it is."""
        for name, sign in self.path(bus, self.bus[buyer]):
            rating, owner = self.lines[name][2:]
            if rating is not None:
                yield int(rating * 1000 * self.hours) - sign * self.flow.get(name, 0), owner
        pair = tuple(sorted((buyer, seller)))
        limit = self.pair_limits.get(pair, self.default_limit)
        if limit is not None and seller != buyer:
            yield limit - self.traded.get(pair, 0), "EDC"

    def buy(self, buyer, wanted, max_price, partial):
        if wanted < self.min_energy:
            raise Refused("energy_too_small")
        start, saved = wanted, deepcopy(self.__dict__)
        fills: list[tuple] = []
        mine = False
        while wanted:
            usable = []
            for number, (seller, bus, energy, price, time) in self.offers.items():
                left = list(self.limits(buyer, seller, bus)) if self.policy != "ignore" else []
                reached = [owner for rest, owner in left if rest <= 0]
                if seller in self.inactive or (reached and self.policy == "skip"):
                    continue
                true_price = price + self.penalty * len(reached)
                if seller == buyer:
                    mine = mine or true_price <= max_price
                    continue
                most = min([wanted, energy, *(rest for rest, _ in left if rest > 0)])
                usable.append((true_price, time, number, most, reached))
            if not usable or min(usable)[0] > max_price:
                break
            if len(fills) == self.max_fills:
                if partial:
                    break
                self.__dict__ = saved
                raise Refused("too_many_fills")
            price, _, number, energy, reached = min(usable)
            fills.append(self.fill(buyer, number, energy, price, reached))
            wanted -= energy
        if wanted and not (partial and fills):
            self.__dict__ = saved
            raise Refused("own_offer" if mine and wanted == start else "not_enough_offers")
        if self.money[buyer] < 0:
            self.__dict__ = saved
            raise Refused("insufficient_money")
        return fills

    def fill(self, buyer, number, energy, price, reached):
        offer = self.offers[number]
        seller, bus, _, base_price, _ = offer
        amount = round(Fraction(energy * price, 10**6))
        self.money[buyer] -= amount
        self.free[buyer] += energy
        share = 0
        if reached and self.payee == "edc":
            share = (amount - round(Fraction(energy * base_price, 10**6))) // len(reached)
            for owner in reached:
                self.money[owner] += share
        self.money[seller] += amount - share * len(reached)
        for name, sign in self.path(bus, self.bus[buyer]):
            self.flow[name] = self.flow.get(name, 0) + sign * energy
        pair = tuple(sorted((buyer, seller)))
        if self.pair_limits.get(pair, self.default_limit) is not None:
            self.traded[pair] = self.traded.get(pair, 0) + energy
        offer[2] -= energy
        if not offer[2]:
            del self.offers[number]
        return number, seller, energy, price, price - base_price, amount

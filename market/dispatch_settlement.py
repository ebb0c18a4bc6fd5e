"""Settlement of an accepted result at nodal prices, and the congestion account.

Each unit's amount is its price times its energy, summed over the round's intervals as one exact
rational and rounded down once: who pays, pays the micro-token that is left over. So what comes in
covers what goes out, but for what members do not have. The owners of the lines get the congestion
revenue, price difference times flow, rounded down alike; the rest stays in the area's congestion
account. Nothing is made and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from market.dispatch_gas import GAS_FIGURE
from market.dispatch_problem import DispatchProblem
from market.dispatch_records import (
    ARREARS_SPACE,
    OWNERS_SPACE,
    Area,
    AreaMoney,
    ResultRecord,
    Round,
    decode_result,
    result_key,
)
from market.dispatch_results import load_round
from market.dispatch_rounds import (
    DISPATCH_ACCOUNT,
    load_area,
    load_money,
    load_problem,
    save_money,
)
from vm.context import MAX_EVENTS, CallContext
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import decode_integer
from vm.primitives.errors import InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import Account, load_account, save_account
from vm.system.members import NAME_SPACE

PRICE_SCALE: Final = 10**24
"""Nodal prices are in 1e-24 $/Wh."""
MINUTES_PER_HOUR: Final = 60
SPARE_EVENTS: Final = 8


def nodal_amount_micro(price_watts: int, interval_minutes: int, micro_per_dollar: int) -> int:
    """Return what power sold at nodal prices earns, micro-tokens, rounded down once.

    `price_watts` is the sum over intervals of price (1e-24 $/Wh) times power (W).
    """
    return price_watts * interval_minutes * micro_per_dollar // (MINUTES_PER_HOUR * PRICE_SCALE)


def earned_micro(
    problem: DispatchProblem, results: Sequence[ResultRecord], micro_per_dollar: int
) -> list[int]:
    """Return what each unit, then each storage, earns over a round; negative for what it pays."""
    number = {bus.name: place for place, bus in enumerate(problem.network.buses)}
    places = [number[unit.bus] for unit in problem.units]
    places += [number[storage.bus] for storage in problem.storages]
    sums = [0] * len(places)
    for result in results:
        prices = [decode_integer(price) for price in result.prices]
        for place, (bus, power) in enumerate(zip(places, result.powers_w, strict=True)):
            sums[place] += prices[bus] * power
    return [nodal_amount_micro(each, problem.interval_minutes, micro_per_dollar) for each in sums]


def congestion_revenue_micro(
    problem: DispatchProblem, results: Sequence[ResultRecord], micro_per_dollar: int
) -> list[int]:
    """Return what each line earns over a round by what prices differ at its ends, at least 0."""
    number = {bus.name: place for place, bus in enumerate(problem.network.buses)}
    ends = [(number[line.from_bus], number[line.to_bus]) for line in problem.network.lines]
    sums = [0] * len(ends)
    for result in results:
        prices = [decode_integer(price) for price in result.prices]
        for place, ((start, end), flow) in enumerate(zip(ends, result.flows_w, strict=True)):
            sums[place] += (prices[end] - prices[start]) * flow
    return [
        max(0, nodal_amount_micro(each, problem.interval_minutes, micro_per_dollar))
        for each in sums
    ]


def settle_round(ctx: CallContext, number: int) -> None:
    """Pay for an accepted result."""
    found = load_round(ctx, number)
    area = load_area(ctx, found.area)
    problem = load_problem(ctx, found)
    ctx.charge(GAS_FIGURE * found.items * found.intervals)
    results = [_result(ctx, number, interval) for interval in range(found.intervals)]
    amounts = earned_micro(problem, results, area.micro_per_dollar)
    _Settlement(ctx, area, found, problem).run(
        amounts, congestion_revenue_micro(problem, results, area.micro_per_dollar)
    )
    # So it is known that the round is paid for.
    ctx.delete(OWNERS_SPACE + number.to_bytes(8, "big"))


class _Settlement:
    """One round's payments, with a working copy of every account that takes part."""

    def __init__(
        self, ctx: CallContext, area: Area, found: Round, problem: DispatchProblem
    ) -> None:
        self._ctx = ctx
        self._area = area
        self._round = found
        self._problem = problem
        self._accounts: dict[bytes, Account] = {}
        owners = ctx.get(OWNERS_SPACE + found.number.to_bytes(8, "big"))
        if owners is None:
            raise InvariantViolation(f"round {found.number} lost the owners of its units")
        self._owners = [
            owners[start : start + ACCOUNT_ID_BYTES]
            for start in range(0, len(owners), ACCOUNT_ID_BYTES)
        ]
        self._names = [unit.name for unit in problem.units]
        self._names += [storage.name for storage in problem.storages]

    def run(self, amounts: Sequence[int], revenues: Sequence[int]) -> None:
        """Collect, pay out, share the congestion revenue, and book the rest."""
        money = load_money(self._ctx, self._area)
        before = money.congestion_micro
        collected = self._collect(amounts)
        left = self._pay_units(amounts, before + collected)
        paid = before + collected - left
        left = self._pay_lines(revenues, left)
        self._book(money, left)
        self._ctx.emit(
            "settle_round",
            self._area.name,
            self._round.number,
            collected,
            paid,
            before + collected - paid - left,
            left - before,
        )

    def _collect(self, amounts: Sequence[int]) -> int:
        """Take what units owe, as far as their owners have it; the rest becomes arrears."""
        collected = 0
        for place, amount in enumerate(amounts):
            if amount >= 0:
                continue
            owner = self._owners[place]
            leaf = self._account(owner)
            taken = min(-amount, leaf.money_micro)
            leaf.pay(taken)
            collected += taken
            self._tell(place, -taken)
            if taken < -amount:
                self._owe(owner, -amount - taken)
        return collected

    def _pay_units(self, amounts: Sequence[int], available: int) -> int:
        """Pay what units earned; all alike less where there is not enough. Return what is left."""
        owed = sum(amount for amount in amounts if amount > 0)
        covered = min(available, owed)
        left = available
        for place, amount in enumerate(amounts):
            if amount > 0:
                paid = self._earn(self._owners[place], amount * covered // owed)
                left -= paid
                self._tell(place, paid)
        return left

    def _pay_lines(self, revenues: Sequence[int], available: int) -> int:
        """Pay the lines' owners what is there of their revenue; return what is left."""
        left = available
        for line, revenue in zip(self._problem.network.lines, revenues, strict=True):
            owner = self._ctx.get(NAME_SPACE + line.owner.encode()) if line.owner else None
            if owner is None or not revenue:
                continue
            paid = self._earn(owner, min(revenue, left))
            left -= paid
            if len(self._ctx.events) < MAX_EVENTS - SPARE_EVENTS:
                self._ctx.emit(
                    "congestion_rent", self._area.name, self._round.number, line.name, owner, paid
                )
        return left

    def _book(self, money: AreaMoney, left: int) -> None:
        """Write the congestion account and all accounts."""
        held = self._account(DISPATCH_ACCOUNT)
        held.money_micro += left - money.congestion_micro
        money.congestion_micro = left
        save_money(self._ctx, self._area, money)
        for account, leaf in self._accounts.items():
            save_account(self._ctx, account, leaf)

    def _account(self, account: bytes) -> Account:
        found = self._accounts.get(account)
        if found is None:
            found = self._accounts[account] = load_account(self._ctx, account)
        return found

    def _earn(self, account: bytes, amount_micro: int) -> int:
        """Pay an account as much as it can hold; return how much that is."""
        leaf = self._account(account)
        room = MAX_AMOUNT - leaf.money_micro - leaf.money_reserved_micro
        paid = min(amount_micro, room)
        leaf.earn(paid)
        return paid

    def _owe(self, owner: bytes, amount_micro: int) -> None:
        """Note what a member did not have: until it is paid its units stay out of rounds.

        Prices are bounded by no amount of money: a debt is at most what an account can hold.
        """
        amount_micro = min(amount_micro, MAX_AMOUNT)
        key = ARREARS_SPACE + self._area.prefix + owner
        total = int.from_bytes(self._ctx.get(key) or b"", "big") + amount_micro
        self._ctx.put(key, min(total, MAX_AMOUNT).to_bytes(8, "big"))
        if len(self._ctx.events) < MAX_EVENTS - SPARE_EVENTS:
            self._ctx.emit("arrears", self._area.name, self._round.number, owner, amount_micro)

    def _tell(self, place: int, amount_micro: int) -> None:
        if amount_micro and len(self._ctx.events) < MAX_EVENTS - SPARE_EVENTS:
            self._ctx.emit(
                "settle",
                self._area.name,
                self._round.number,
                self._names[place],
                self._owners[place],
                amount_micro,
            )


def _result(ctx: CallContext, number: int, interval: int) -> ResultRecord:
    data = ctx.get(result_key(number, interval))
    if data is None:
        raise InvariantViolation(f"round {number} lost the result of interval {interval}")
    return decode_result(data)

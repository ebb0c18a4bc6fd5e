"""The runner: carries traders through the gates of delivery intervals, in the order of time.

For each interval it places orders when the first gate opens, opens commitments between a sealed
gate's closing and its clearing, lets agents respond once the first gate has cleared, reads the
meters when the interval is over, and lets the strategies learn when it is settled.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from market.auction.orders import BUY, SELL
from tools.agents.channel import Channel, Told
from tools.agents.homes import Tariffs
from tools.agents.terms import load_tariffs
from tools.agents.trader import DayTerms, Trader
from tools.client import integer_field, text_field
from tools.wallet import Signer
from vm.primitives.address import decode_address
from vm.runtime import Call

MAX_CALLS: Final = 48
"""Calls of one transaction: so many orders of several steps fit its bytes."""
BID: Final = 0
OPEN: Final = 1
RESPOND: Final = 2
DELIVER: Final = 3
FIRST_GATE: Final = 0
PAUSE_S: Final = 0.02

Progress = Callable[[Told], None]
"""Told each event of the market, in order."""


class Runner:
    """Carries traders of one market through its intervals."""

    def __init__(
        self, channel: Channel, terms: DayTerms, traders: Sequence[Trader], progress: Progress
    ) -> None:
        self._channel = channel
        self._terms = terms
        self._traders = list(traders)
        self._by_account = {trader.signer.account: trader for trader in traders}
        self._progress = progress
        self._due: list[tuple[int, int, int]] = []
        self._prices: dict[int, int] = {}
        self._unsettled: dict[int, bool] = {}

    def run(self, intervals: Iterable[int]) -> None:
        """Play intervals, in their order, until the last of them is settled."""
        calendar, upcoming = self._terms.calendar, iter(intervals)
        following = next(upcoming, None)
        while following is not None or self._due or self._unsettled:
            self.read()
            now_ms = time.time_ns() // 1_000_000
            while following is not None and calendar.windows(following)[0].opens_ms <= now_ms:
                self._plan(following)
                following = next(upcoming, None)
            while self._due and self._due[0][0] <= now_ms:
                self._carry_out(now_ms)
            time.sleep(PAUSE_S)

    def bid(self, intervals: Sequence[int]) -> int:
        """Place, or commit to, all orders of intervals; return the number of transactions."""
        is_sealed = self._terms.calendar.gates[FIRST_GATE].sealed
        # A vote may have changed them since the last time.
        tariffs = {each: self._tariffs_of(each) for each in intervals}
        sent: list[tuple[Trader, list[int]]] = []
        orders: list[tuple[Signer, list[Call | None]]] = []
        for trader in self._traders:
            calls = {
                each: trader.bid(each, tariffs[each], is_sealed=is_sealed) for each in intervals
            }
            orders.append((trader.signer, trader.joining(list(calls.values()))))
            sent.append((trader, [each for each, call in calls.items() if call is not None]))
        ids = self._send(orders)
        if is_sealed:
            self._note_numbers(sent, ids)
        return sum(map(len, ids))

    def open(self, intervals: Sequence[int]) -> int:
        """Open the commitments of intervals; return the number of transactions."""
        orders = [
            (trader.signer, [trader.open(each) for each in intervals]) for trader in self._traders
        ]
        return sum(map(len, self._send(orders)))

    def deliver(self, intervals: Sequence[int]) -> int:
        """Let intervals pass, and send what meters read; return the number of transactions."""
        orders: list[tuple[Signer, list[Call | None]]] = []
        for trader in self._traders:
            calls = [trader.deliver(each) for each in intervals]
            if trader.meter is not None:
                orders.append((trader.meter, calls))
        return sum(map(len, self._send(orders)))

    def _tariffs_of(self, interval: int) -> Tariffs:
        return load_tariffs(self._channel.client, self._terms.name, interval)

    def _plan(self, interval: int) -> None:
        """Note what is to be done for an interval, and when."""
        self._unsettled[interval] = True
        calendar = self._terms.calendar
        windows = calendar.windows(interval)
        heapq.heappush(self._due, (windows[0].opens_ms, BID, interval))
        if calendar.gates[FIRST_GATE].sealed:
            heapq.heappush(self._due, (windows[0].closes_ms + 1, OPEN, interval))
        if len(windows) > 1:
            # Half of the time is for the awards to be written down, half for the responses.
            middle_ms = (windows[0].clears_ms + windows[1].closes_ms) // 2
            heapq.heappush(self._due, (middle_ms, RESPOND, interval))
        heapq.heappush(self._due, (calendar.start_ms(interval + 1), DELIVER, interval))

    def _carry_out(self, now_ms: int) -> None:
        """Do what is due of the most urgent kind, for all intervals for which it is."""
        _, kind, first = heapq.heappop(self._due)
        intervals = [first]
        while self._due and self._due[0][0] <= now_ms and self._due[0][1] == kind:
            intervals.append(heapq.heappop(self._due)[2])
        actions = {BID: self.bid, OPEN: self.open, RESPOND: self.respond, DELIVER: self.deliver}
        actions[kind](intervals)

    def _note_numbers(
        self, sent: Sequence[tuple[Trader, Sequence[int]]], ids: Sequence[Sequence[str]]
    ) -> None:
        for (trader, intervals), transactions in zip(sent, ids, strict=True):
            # Who only joined has no order, but a transaction.
            numbers = [n for values in self._channel.values(transactions) for n in values]
            for interval, number in zip(intervals, numbers, strict=False):
                if isinstance(number, int):
                    trader.played[interval].order = number

    def respond(self, intervals: Sequence[int]) -> int:
        """Let agents give up energy, once the first gate has cleared.

        Returns the number of transactions.
        """
        orders: list[tuple[Signer, list[Call | None]]] = []
        for trader in self._traders:
            calls: list[Call | None] = []
            for interval in intervals:
                price = self._prices.get(interval)
                if price is not None:
                    calls.append(trader.respond(interval, price))
            orders.append((trader.signer, calls))
        return sum(map(len, self._send(orders)))

    def _send(self, orders: Iterable[tuple[Signer, Sequence[Call | None]]]) -> list[list[str]]:
        """Send each member's calls in as few transactions as hold them; return their ids."""
        cut: list[tuple[Signer, Sequence[Call]]] = []
        counts: list[int] = []
        for signer, wanted in orders:
            calls = [call for call in wanted if call is not None]
            parts = [calls[at : at + MAX_CALLS] for at in range(0, len(calls), MAX_CALLS)]
            cut += [(signer, part) for part in parts]
            counts.append(len(parts))
        ids = iter(self._channel.submit(cut))
        return [[next(ids) for _ in range(count)] for count in counts]

    def read(self) -> None:
        """Take in what the chain told since the last time."""
        for told in self._channel.read():
            if told.module == "day":
                self._hear(told)
            self._progress(told)

    def _hear(self, told: Told) -> None:
        fields = told.fields
        if fields.get("market") != self._terms.name:
            return
        interval = integer_field(fields, "interval")
        if told.name in ("bought", "sold"):
            trader = self._by_account.get(decode_address(text_field(fields, "member")))
            if trader is not None:
                side = BUY if told.name == "bought" else SELL
                energy = integer_field(fields, "energy_milli_wh")
                trader.award(interval, side, energy, integer_field(fields, "amount_micro"))
        elif told.name in ("clear", "price"):
            price = fields.get(
                "buyer_price_half_micro_per_kwh", fields.get("price_half_micro_per_kwh")
            )
            if isinstance(price, int):
                self._prices[interval] = price // 2
                for trader in self._traders:
                    trader.last_price_micro = price // 2
        elif told.name == "settle" and self._unsettled.pop(interval, False):
            for trader in self._traders:
                trader.finish(interval)

"""Random market days: orders, forfeits, meter faults, debts, leaving, standstills; all conserved.

`python -m tests.market.day.random_days --days 1000` is the campaign; the suite runs a few days.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from market.day.lines import KIND_NAMES, Contracts, Flow, settle_member
from market.day.records import POSITION_SPACE, STANDING_SPACE, Standing, decode_leaf
from market.day.settlement import DAY_ACCOUNT
from market.day.settlement_records import (
    CORRECTED,
    FIRST,
    PAGE_SPACE,
    decode_page,
    decode_totals,
    read_settlement,
    totals_key,
)
from tests.market.day.day_world import MINUTE, TERMS, DayWorld
from tests.market.support import tokens
from vm.primitives.errors import CallError
from vm.primitives.integers import MILLI_WH_PER_KWH
from vm.system.accounts import read_account

HOUR = 60 * MINUTE
NETWORK = {
    "slack": "n1",
    "buses": ["n1", "n2", "n3"],
    "lines": [
        {"name": "L1", "from": "n2", "to": "n1", "rating_w": 6_000},
        {"name": "L2", "from": "n3", "to": "n2", "rating_w": 4_000},
    ],
}
METERS = {
    "interval_minutes": 60,
    "deadline_minutes": 60,
    "correction_minutes": 360,
    "retention_days": 3,
    "mean_days": 1,
}


@dataclass
class Tally:
    """What happened in one or more days."""

    days: int = 0
    orders: int = 0
    traded: int = 0
    cancelled: int = 0
    forfeited: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    corrections: int = 0
    indebted: int = 0
    gone: int = 0
    standstills: int = 0

    def add(self, other: Tally) -> None:
        """Add another's counts."""
        for name in ("days", "orders", "traded", "cancelled", "forfeited", "corrections"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.indebted += other.indebted
        self.gone += other.gone
        self.standstills += other.standstills
        self.refused += other.refused
        self.lines += other.lines

    def share(self) -> float:
        """Return the part of the orders that traded, of those that were open at a gate."""
        return self.traded / max(1, self.orders - self.cancelled)


class RandomDay(DayWorld):
    """A day of a random market: its gates, members and what they do all follow from the seed."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.tally = Tally(days=1)
        zonal = rng.random() < 0.15
        names = tuple(f"H{number}" for number in range(rng.randrange(8, 15)))
        super().__init__(
            {**TERMS, **self._terms(zonal=zonal), "members": list(names[:-1])},
            names=names,
            metered=[name for name in names if rng.random() < 0.93],
            markets={"markets": [{"name": "grid", "network": NETWORK}]},
            buses={name: rng.choice(("n1", "n2", "n3")) for name in names},
            balance=rng.choice(("40", "1000", "5000")),
            meters=METERS,
        )
        calendar = self.local.calendar
        self.day = calendar.intervals_of(calendar.day_of(self.time_ms // HOUR) + 1)
        self.sellers = names[: len(names) // 2]
        self.plans: dict[tuple[str, int], int] = {}
        self.sent = dict.fromkeys(self.metered, self.time_ms // HOUR)
        self.ends = {name: {self.time_ms // HOUR - 1: (0, 0)} for name in self.metered}
        self.sealed: dict[tuple[int, int], tuple[str, tuple[Any, ...]]] = {}
        self.placed: list[tuple[str, int, int]] = []
        self.chance = random.Random(seed ^ 0x1EA5E)
        if rng.random() < 0.1:
            self.call("U", "transfer", self.ids["O"], tokens("99990"), "", module="accounts")

    def _terms(self, *, zonal: bool) -> dict[str, Any]:
        rng = self.rng
        gates: list[dict[str, Any]] = []
        for kind in ("day_ahead", "intraday", "real_time"):
            if kind != "intraday" and rng.random() < 0.3:
                continue
            choices = ("uniform",) if zonal else ("uniform", "midpoint", "pay_as_bid", "huang")
            mechanism = rng.choice(choices)
            times: dict[str, Any] = {"minutes": {"intraday": 120, "real_time": 30}.get(kind)}
            if kind == "day_ahead":
                times = {"opens": "08:00", "closes": "12:00"}
            gate: dict[str, Any] = {
                "kind": kind,
                "mechanism": mechanism,
                "rationing": rng.choice(("pro_rata", "time")),
            }
            sealed = mechanism == "huang" or (mechanism != "pay_as_bid" and rng.random() < 0.3)
            if sealed:
                gate |= {"sealed": True, "opening_minutes": 15, "deposit": rng.choice(("0", "1"))}
            gates.append(gate | times)
        return {
            "interval_minutes": 60,
            "gates": gates,
            "feeder": "grid" if zonal else "",
            "penalty": rng.choice(("0", "4", "0.000001")),
            "max_energy_kwh": rng.choice(("20", "6")),
            "keep_days": 30,
        }

    def run(self) -> Tally:
        """Run the day to its last correction, and check what came of it."""
        end = (self.day.stop + 9) * HOUR
        while self.time_ms < end:
            self.act()
            self.come_and_go()
            if self.chance.random() < 0.005:
                # The chain stands still; then all that was due comes in one block.
                self.advance(self.chance.randrange(1, 6) * HOUR)
                self.tally.standstills += 1
            self.go(self.time_ms + self.rng.choice((10, 15, 20)) * MINUTE)
            self.conserve()
        self.check()
        return self.tally

    def act(self) -> None:
        """Trade in the intervals whose gates are open, open commitments, send readings."""
        rng, calendar = self.rng, self.local.calendar
        for interval in self.day:
            windows = calendar.windows(interval)
            for window in windows:
                gate = calendar.gates[window.number]
                if window.opens_ms <= self.time_ms < window.closes_ms and rng.random() < 0.12:
                    for name in self.names:
                        known = (name, interval) in self.plans
                        if rng.random() < (0.12 if known else 0.85):
                            self.trade(name, interval, sealed=gate.sealed)
                if window.closes_ms <= self.time_ms < window.clears_ms:
                    self.open_all(interval)
        for name, interval, number in rng.sample(self.placed, min(2, len(self.placed))):
            if rng.random() < 0.2 and not self.attempt(name, "cancel", "local", interval, number):
                self.tally.cancelled += 1
        if rng.random() < 0.1:
            self.attempt(
                rng.choice(self.names), "pay_arrears", "local", self.ids[rng.choice(self.names)]
            )
        for name in self.metered:
            self.read(name)

    def come_and_go(self) -> None:
        """Let a member leave the market, or one that left join it again."""
        name = self.chance.choice(self.names)
        if self.chance.random() < 0.05:
            self.attempt(name, "leave", "local")
        elif self.chance.random() < 0.05:
            self.attempt(name, "join", "local")

    def away(self) -> dict[Any, list[range]]:
        """Return in which intervals members were out of the market, as it told."""
        found: dict[Any, list[range]] = {}
        for module, name, values in self.events:
            if (module, name) == ("day", "leave"):
                _, account, end = tuple[Any, ...](values)
                found.setdefault(account, []).append(range(end, 2**62))
            elif (module, name) == ("day", "join"):
                _, account, since = tuple[Any, ...](values)
                if account in found:
                    found[account][-1] = range(found[account][-1].start, since)
        return found

    def attempt(self, name: str, *arguments: Any) -> str:
        """Call as a member; return the code if it was refused."""
        try:
            self.result = self.ask(name, *arguments)
        except CallError as error:
            self.tally.refused[error.code] += 1
            return error.code
        return ""

    def trade(self, name: str, interval: int, *, sealed: bool) -> None:
        """Place an order, or commit to one, for what a member plans."""
        rng = self.rng
        side = "sell" if name in self.sellers else "buy"
        if rng.random() < 0.03:
            side = rng.choice(("sell", "buy"))
        large = rng.randrange(1_200_000, 2_000_000)
        energy = self.plans.setdefault((name, interval), rng.choice((1, 999, *[large] * 10)))
        low, high = tokens("10"), tokens("30")
        price = (
            rng.randrange(low, tokens("17"))
            if side == "sell"
            else rng.randrange(tokens("16"), high)
        )
        price = rng.choice((price, price, price, tokens("16.5"), low if side == "sell" else high))
        steps: tuple[tuple[int, int], ...] = ((energy, price),)
        if energy > 2 and rng.random() < 0.3:
            other = (
                rng.randrange(price + 1, high)
                if side == "sell"
                else rng.randrange(low, price)
                if price > low
                else 0
            )
            if low <= other <= high and other != price:
                steps = ((energy - energy // 2, price), (energy // 2, other))
        last = rng.choice((255, 255, 255, rng.randrange(3)))
        if not sealed:
            if not self.attempt(name, "place", "local", interval, side, steps, last):
                self.tally.orders += 1
                self.placed.append((name, interval, self.result))
            return
        self.interval = interval
        try:
            arguments = self.seal(
                name, side, steps, cover=rng.choice(("200", "30")), last_gate=last
            )
        except CallError as error:
            self.tally.refused[error.code] += 1
            return
        self.sealed[interval, arguments[2]] = name, arguments

    def open_all(self, interval: int) -> None:
        """Open most of what was committed to for an interval."""
        for key in [key for key in self.sealed if key[0] == interval]:
            name, arguments = self.sealed.pop(key)
            if self.rng.random() < 0.93 and not self.attempt(name, "open", *arguments):
                self.tally.orders += 1
                self.placed.append((name, interval, arguments[2]))

    def read(self, name: str) -> None:
        """Let a meter count, and tell its registers as meters do: or late, twice, or nonsense."""
        rng = self.rng
        ends = self.ends[name]
        now = self.time_ms // HOUR
        for interval in range(max(ends) + 1, now):
            planned = self.plans.get((name, interval), rng.choice((0, 0, 400_000)))
            factor = rng.choice((100, 100, 100, 100, 95, 130, 0))
            energy = planned * factor // 100
            own = rng.choice((0, 0, 0, 1, 150_000))
            before = ends[interval - 1]
            flows = (energy, own) if name in self.sellers else (own, energy)
            ends[interval] = before[0] + flows[0], before[1] + flows[1]
        first = self.sent[name]
        fault = rng.random()
        if fault < 0.1:
            first = max(min(ends) + 1, first - rng.randrange(4))  # told before
        elif fault < 0.13:
            first = max(first, now - 1)  # a gap
        if first >= now or rng.random() < 0.4:
            return
        registers = [ends[interval] for interval in range(first, now)]
        if rng.random() < 0.03:
            registers[-1] = registers[-1][0] // 2, registers[-1][1]
        if rng.random() < 0.02:
            first += 1  # of an interval that has not ended
        try:
            self.call("M" + name, "submit", first, tuple(registers), module="meters")
        except CallError as error:
            self.tally.refused[error.code] += 1
            if error.code == "too_late":
                self.sent[name] = first + 1
            return
        if registers[-1] == ends.get(first + len(registers) - 1):
            self.sent[name] = now

    def check(self) -> None:
        """Check energy and money of every interval, and that nothing is left set aside."""
        market = self.local
        traded = {
            values[:2] + values[3:4] for name in ("bought", "sold") for values in self.told(name)
        }
        self.tally.traded = len(traded)
        self.tally.forfeited = len(self.told("forfeit"))
        for interval in self.day:
            for part in (FIRST, CORRECTED):
                sums = read_settlement(self.overlay, market, interval, part)
                assert sums is not None, f"interval {interval} is not settled"
                upstream = sums.from_upstream_milli_wh - sums.to_upstream_milli_wh
                self.tally.corrections += part == CORRECTED and sums.members > 0
                assert upstream == sums.withdrawn_milli_wh - sums.injected_milli_wh + self.trued(
                    interval, part
                )
                assert sums.surplus_micro >= 0
                assert 0 <= sums.left_micro <= sums.members
        self.check_lines()
        self.tally.gone = len(self.told("left"))
        for name in self.ids:
            assert self.account(name).money_reserved_micro == 0, name
        pot = read_account(self.overlay, DAY_ACCOUNT)
        assert pot is not None
        keys = [key for key in self.state.values if key[:2] == POSITION_SPACE]
        last = market.prefix(self.day.stop)
        assert [key for key in keys if key[2:12] < last] == []
        for key, value in self.state.values.items():
            if key[:2] == STANDING_SPACE and decode_leaf(Standing, value).owed_micro:
                self.tally.indebted += 1

    def trued(self, interval: int, part: int) -> int:
        """Return the energy of older intervals that an interval's lines bring to account."""
        return sum(
            record.flow.trued_withdrawn_milli_wh - record.flow.trued_injected_milli_wh
            for record in self.records(interval, part)
        )

    def records(self, interval: int, part: int) -> list[Any]:
        """Return the records of a part of an interval's settlement."""
        start = PAGE_SPACE + self.local.prefix(interval) + bytes([part])
        pages = sorted(key for key in self.state.values if key.startswith(start))
        return [record for key in pages for record in decode_page(self.state.values[key])]

    def check_lines(self) -> None:
        """Check each member's lines against one rational, and its totals against its lines."""
        market = self.local
        totals: dict[tuple[bytes, int], list[int]] = {}
        away: dict[Any, list[range]] = self.away()
        count = self.time_ms // HOUR
        for interval in range(min(self.day) - 30, count):
            bought = sold = 0
            for part in (FIRST, CORRECTED):
                for record in self.records(interval, part):
                    out = away.get(record.account, ())
                    assert not any(interval in each for each in out), "it had left"
                    lines = record.lines(market, part)
                    self.tally.lines.update(KIND_NAMES[line.kind] for line in lines)
                    key = record.account, market.calendar.month_of(interval)
                    own = totals.setdefault(key, [0] * len(KIND_NAMES))
                    for line in lines:
                        own[line.kind] += line.amount_micro
                    check_sum(self, record.contracts, record.flow)
                    if part == FIRST:
                        bought += record.contracts.bought_milli_wh
                        sold += record.contracts.sold_milli_wh
            assert bought == sold, "contracts have two sides"
        for (account, month), amounts in totals.items():
            found = decode_totals(self.overlay.get(totals_key(market, account, month)))
            assert found.amounts_micro == tuple(amounts)


def check_sum(world: DayWorld, contracts: Contracts, flow: Flow) -> None:
    """Check that a member's lines come to one rational, rounded up once."""
    market = world.local
    retail, feed_in = market.retail_micro_per_kwh, market.feed_in_micro_per_kwh
    net = contracts.bought_milli_wh - contracts.sold_milli_wh
    beyond = flow.withdrawn_milli_wh - max(net, 0)
    over = flow.injected_milli_wh - max(-net, 0)
    from_upstream = max(beyond, 0) + max(-over, 0) + flow.trued_withdrawn_milli_wh
    to_upstream = max(over, 0) + max(-beyond, 0) + flow.trued_injected_milli_wh
    exact = Fraction(contracts.bought_value - contracts.sold_value, 2)
    exact += from_upstream * retail - to_upstream * feed_in
    exact /= MILLI_WH_PER_KWH
    lines = settle_member(market, contracts, flow)
    paid = sum(
        line.amount_micro
        for line in lines
        if KIND_NAMES[line.kind] not in ("penalty", "misstatement")
    )
    both = contracts.bought_milli_wh and contracts.sold_milli_wh
    assert exact <= paid < exact + (2 if both else 1)


def run_days(count: int, seed: int, *, report: bool = False) -> Tally:
    """Run so many days from a seed on; return what happened."""
    tally = Tally()
    begun = time.monotonic()
    for number in range(count):
        try:
            tally.add(RandomDay(seed + number).run())
        except BaseException:
            print(f"day {seed + number} failed", file=sys.stderr)
            raise
        if report and (number + 1) % max(1, count // 50) == 0:
            print(
                f"{number + 1} of {count} days, {tally.orders:,} orders, {tally.share():.1%} traded"
                f", {time.monotonic() - begun:.0f} s",
                flush=True,
            )
    return tally


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tally = run_days(options.days, options.seed, report=True)
    print(f"{tally.days} days: money and energy conserved in every block")
    print(f"orders {tally.orders:,}, traded {tally.traded:,} ({tally.share():.1%})")
    print(f"cancelled {tally.cancelled:,}, not opened {tally.forfeited:,}")
    print(f"intervals corrected {tally.corrections:,}, in debt or with claims {tally.indebted}")
    print(f"members that left {tally.gone:,}, standstills {tally.standstills:,}")
    print("lines:", ", ".join(f"{name} {count:,}" for name, count in tally.lines.most_common()))
    print("refused:", ", ".join(f"{name} {count:,}" for name, count in tally.refused.most_common()))
    if tally.share() < 0.7:
        sys.exit("less than 70 % of the orders traded")


if __name__ == "__main__":
    main()

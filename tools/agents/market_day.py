"""A market day: homes with meters and agents trade on a network of four validators of their own.

The network is made for the day, its clock compressed. One process holds all agents; each member
and each meter has a key of its own, and everything goes through the nodes' API.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from market.day.section import read_section
from market.network import Network
from tools import calls
from tools.agents.channel import Channel, Told
from tools.agents.day_certificates import PlantFigures, plant_figures
from tools.agents.day_report import DayRecord, MemberFigures, add_truth, bill_of
from tools.agents.day_template import (
    BALANCE,
    CORRECTION_MINUTES,
    DEADLINE_MINUTES,
    MARKET,
    OPERATOR,
    SUMMER_DAY,
    SUPPLIER,
    TARIFFS,
    WINTER_DAY,
    DayPlan,
    feeder_network,
    make_template,
    meter_name,
    street_of,
)
from tools.agents.homes import Home, draw_homes
from tools.agents.profiles import load_profiles
from tools.agents.runner import MAX_CALLS, Runner
from tools.agents.strategies import STRATEGY_NAMES, make_strategy
from tools.agents.trader import DayTerms, Trader
from tools.amounts import parse_tokens
from tools.client import integer_field, object_field, text_field
from tools.demo_network import DemoNetwork, demo_network
from tools.errors import NodeTimeout, ToolError, TransactionFailed
from tools.output import note
from vm.primitives.address import account_id, encode_address
from vm.primitives.errors import InvalidInput

START_MS: Final = (8_000, 40_000, 120_000)
"""Time given to four validators to answer, at the first attempt and at further ones."""
START_MS_PER_HOME: Final = 25
"""What each home adds to that: its keys, and its meter's registration."""
ORDER_MS: Final = 1.0
"""For placing one order, before the first gate closes."""
LEAST_MINUTE_MS: Final = 60
MINUTE_MS_PER_HUNDRED_HOMES: Final = 60
NOTE_EVERY: Final = 8
INTERVAL_MINUTES: Final = 15
MAX_FEEDER_HOMES: Final = 4_000
"""Homes whose steps fit a book that clears over the feeder; more trade without its limits."""
DEADLINE_S: Final = 60.0


class NotReady(ToolError):
    """A network that was not up when its day began."""

    default_code = "too_slow"


@dataclass(frozen=True, slots=True)
class DayOptions:
    """What day is wanted."""

    members: int
    """Homes."""
    mechanism: str
    """`uniform`, `midpoint`, `huang` or `pay_as_bid`."""
    profile: str
    """`summer`, `winter`, or a date of simbench."""
    strategy: str
    """One of STRATEGY_NAMES for all, or `mixed` for all of them in turn."""
    intervals: int
    """How many intervals, 96 for the whole day."""
    first_hour: int
    """Hour at which they begin; 0 for a whole day."""
    minute_ms: int
    """Length of a minute on the chain's clock."""
    error_percent: int
    """How far readings are from forecasts at most."""
    margin_percent: int
    """How far homes stay away from their forecasts when they trade."""
    seed: int
    """Draws homes, strategies and errors."""


@dataclass(frozen=True, slots=True)
class DayResult:
    """What a day came to."""

    plan: DayPlan
    """What was played."""
    record: DayRecord
    """The figures of each interval."""
    network: Network | None
    """The feeder, where the market cleared over one."""
    members: tuple[MemberFigures, ...]
    """The figures of each home."""
    plants: tuple[PlantFigures, ...]
    """What each plant was issued."""
    validators: tuple[dict[str, object], ...]
    """Name, height and state root of each validator."""
    failures: dict[str, int]
    """Transactions that failed, by code."""
    transactions: int
    """Final transactions."""
    money_before_micro: int
    """All money when it began."""
    money_after_micro: int
    """All money when it ended."""
    ecoin_milli_wh: int
    """Energy tokens that came into being."""
    wall_s: float
    """Seconds from the first order until all was settled."""


def play_day(options: DayOptions, *, keep: bool, quiet: bool) -> DayResult:
    """Play a day on a network of its own; raises a ClientError where the network fails."""
    with open_day(options, keep=keep, quiet=quiet) as day:
        return day.play()


@contextmanager
def open_day(options: DayOptions, *, keep: bool, quiet: bool) -> Iterator[DaySession]:
    """Make a network for a day and have it ready for the first orders.

    When the day begins stands in genesis, before anybody knows how long the validators take to
    start. Where they took too long, a network with more time is made. Raises ToolError if that
    does not help either.
    """
    homes = draw_homes(
        load_profiles(options.profile), TARIFFS, count=options.members, seed=options.seed
    )
    for start_ms in START_MS:
        plan = make_plan(options, start_ms)
        template = make_template(homes, plan)
        try:
            with demo_network(template, name="day", keep=keep, quiet=quiet) as demo:
                urls = [node.api_url for node in demo.network.nodes]
                channel = Channel(urls, demo.network.genesis)
                try:
                    # What a market settled is shown to the DSO and auditors alone.
                    channel.client.sign_as(demo.session.open_signer(OPERATOR))
                    day = DaySession(options, plan, homes, demo, channel)
                    day.prepare()
                    note(
                        f"{len(homes)} homes are ready; the first of {plan.intervals} intervals "
                        f"begins in {day.lead_s():.0f} s"
                    )
                    yield day
                    return
                finally:
                    channel.close()
        except NotReady:
            note(f"the validators took over {start_ms / 1000:.0f} s to start")
    raise ToolError(
        "the network was never ready before the first gate",
        code="too_slow",
        hint="Choose a greater --minute-ms, or fewer --members.",
    )


def default_minute_ms(members: int) -> int:
    """Return a length of a minute in which this many homes settle with time to spare."""
    return max(LEAST_MINUTE_MS, members * MINUTE_MS_PER_HUNDRED_HOMES // 100)


def make_plan(options: DayOptions, start_ms: int) -> DayPlan:
    """Return when on the chain's clock the day is: soon enough, late enough to be ready."""
    length_ms = INTERVAL_MINUTES * options.minute_ms
    if options.intervals * INTERVAL_MINUTES + options.first_hour * 60 > 24 * 60:
        raise InvalidInput("the intervals go beyond the day", hint="Choose fewer of them.")
    date = WINTER_DAY if options.profile == "winter" else SUMMER_DAY
    plan = DayPlan(
        options.mechanism,
        options.minute_ms,
        0,
        options.first_hour * 60,
        options.intervals,
        options.profile if options.profile[:1].isdigit() else date,
        options.mechanism == "uniform" and options.members <= MAX_FEEDER_HOMES,
    )
    ready_ms = start_ms + START_MS_PER_HOME * options.members
    ready_ms += round(ORDER_MS * options.members * options.intervals)
    first_ms = time.time_ns() // 1_000_000 + ready_ms + plan.lead_minutes * options.minute_ms
    return replace(plan, first_interval=-(-first_ms // length_ms))


class DaySession:
    """A day under way, on a network that is ready for it."""

    def __init__(
        self,
        options: DayOptions,
        plan: DayPlan,
        homes: Sequence[Home],
        demo: DemoNetwork,
        channel: Channel,
    ) -> None:
        self.demo = demo
        self.channel = channel
        self._options = options
        self._plan = plan
        self._homes = homes
        self._network = feeder_network(len(homes)) if plan.over_feeder else None
        self.terms = self._read_terms()
        self.intervals = range(plan.first_interval, plan.first_interval + plan.intervals)
        calendar = self.terms.calendar
        self._record = DayRecord(
            MARKET,
            {each: calendar.local_text(each)[11:16] for each in self.intervals},
            plan.interval_minutes * plan.minute_ms,
        )
        self._traders = [self._trader(number, home) for number, home in enumerate(homes)]
        self.runner = Runner(channel, self.terms, self._traders, self._hear)
        self._before_micro = 0
        self._listeners: list[Callable[[Told], None]] = []

    def prepare(self) -> None:
        """Register meters and plants; raises NotReady if the first gate is about to close."""
        self._validate_ready()
        self._before_micro = self._money_micro()
        self._register_meters()
        self._register_plants()
        self._validate_ready()

    def lead_s(self) -> float:
        """Return how long it is until the first interval begins."""
        return self.terms.calendar.start_ms(self.intervals[0]) / 1000 - time.time()

    def listen(self, listener: Callable[[Told], None]) -> None:
        """Have each event told to somebody else too."""
        self._listeners.append(listener)

    def final_ms(self, interval: int) -> int:
        """Return when the readings of an interval are final."""
        return self.deadline_ms(interval) + CORRECTION_MINUTES * self._plan.minute_ms

    def deadline_ms(self, interval: int) -> int:
        """Return until when the readings of an interval are taken without an estimate."""
        calendar = self.terms.calendar
        return calendar.start_ms(interval + 1) + DEADLINE_MINUTES * calendar.minute_ms

    def play(self) -> DayResult:
        """Play the day and gather its figures."""
        start_s = time.monotonic()
        self.runner.run(self.intervals)
        self._await_end()
        wall_s = time.monotonic() - start_s
        buses = {home.name: street_of(number, home) for number, home in enumerate(self._homes)}
        for figures in self._record.intervals.values():
            add_truth(figures, self._traders, self._network, buses, INTERVAL_MINUTES)
        money = {home.name: self._account(home.name) for home in self._homes}
        return DayResult(
            self._plan,
            self._record,
            self._network,
            tuple([self._bill(trader, money[trader.home.name][0]) for trader in self._traders]),
            plant_figures(self.channel.client, self._traders),
            tuple(self._validators()),
            self.channel.failures,
            self.channel.transactions,
            self._before_micro,
            self._money_micro(),
            sum([energy for _, energy in money.values()]),
            wall_s,
        )

    def _read_terms(self) -> DayTerms:
        """Return the market's terms as genesis states them."""
        template = make_template(self._homes, self._plan)
        modules = template["modules"]
        section = modules["day"] if isinstance(modules, dict) else {}
        ((market, _),) = read_section(section, lambda name: account_id(name.encode()), lambda _: 1)
        return DayTerms(MARKET, market.calendar)

    def _trader(self, number: int, home: Home) -> Trader:
        session, seed = self.demo.session, self._options.seed * 1_000_003 + number
        return Trader(
            home,
            make_strategy(self._strategy_of(number), seed),
            session.open_signer(home.name),
            session.open_signer(meter_name(home)),
            self.terms,
            Random(f"trader {seed}"),
            self._options.error_percent,
            self._options.margin_percent,
        )

    def _strategy_of(self, number: int) -> str:
        chosen = self._options.strategy
        return STRATEGY_NAMES[number % len(STRATEGY_NAMES)] if chosen == "mixed" else chosen

    def _register_meters(self) -> None:
        signer = self.demo.session.open_signer(OPERATOR)
        wanted = [
            calls.register_meter(
                trader.meter.account, trader.signer.account, self._plan.first_interval, (0, 0), 0
            )
            for trader in self._traders
            if trader.meter is not None
        ]
        parts = [wanted[at : at + MAX_CALLS] for at in range(0, len(wanted), MAX_CALLS)]
        try:
            self.channel.values(self.channel.submit([(signer, part) for part in parts]))
        except TransactionFailed as failed:
            if failed.code != "wrong_interval":
                raise
            raise NotReady(
                "the first interval closed before its meters were registered"
            ) from failed

    def _register_plants(self) -> None:
        """Register the plants of homes, and have every home earn and lose coins."""
        signer = self.demo.session.open_signer(OPERATOR)
        wanted = [
            calls.register_plant(
                home.name, trader.signer.account, trader.signer.account, "solar", max(home.plant_w)
            )
            for home, trader in zip(self._homes, self._traders, strict=True)
            if any(home.plant_w)
        ]
        parts = [wanted[at : at + MAX_CALLS] for at in range(0, len(wanted), MAX_CALLS)]
        ids = self.channel.submit([(signer, part) for part in parts])
        enrolling = [(trader.signer, [calls.enrol_for_coins()]) for trader in self._traders]
        self.channel.values([*ids, *self.channel.submit(enrolling)])

    def _validate_ready(self) -> None:
        """Raise NotReady if the first gate is about to close before the orders are there."""
        closes_ms = self.terms.calendar.windows(self._plan.first_interval)[0].closes_ms
        needed_ms = round(ORDER_MS * len(self._homes) * self._plan.intervals)
        if time.time_ns() // 1_000_000 + needed_ms > closes_ms:
            raise NotReady("the network was not ready before the first gate")

    def _hear(self, told: Told) -> None:
        self._record.hear(told)
        for listener in self._listeners:
            listener(told)
        if told.module != "day" or told.name != "settle":
            return
        done = sum([figures.is_settled for figures in self._record.intervals.values()])
        if done % NOTE_EVERY == 0 and told.fields.get("part") == 0 and done:
            note(f"{done} of {self._plan.intervals} intervals settled")

    def _await_end(self) -> None:
        """Wait until every interval is corrected, and its coins are settled."""
        deadline = (
            time.monotonic() + DEADLINE_S + 2 * INTERVAL_MINUTES * self._plan.minute_ms / 1000
        )
        while not all(figures.is_over for figures in self._record.intervals.values()):
            for told in self.channel.read():
                self._record.hear(told)
            if time.monotonic() > deadline:
                raise NodeTimeout("an interval was not corrected, or its coins settled, in time")
            time.sleep(0.05)

    def _bill(self, trader: Trader, money_micro: int) -> MemberFigures:
        strategy = self._strategy_of(self._traders.index(trader))
        who = encode_address(trader.signer.account)
        coins = self.channel.client.get(f"/certificates/coins/{who}")
        paid_micro = parse_tokens(BALANCE) - money_micro
        return bill_of(trader, strategy, paid_micro, integer_field(coins, "balance_micro"))

    def _account(self, name: str) -> tuple[int, int]:
        """Return all money and energy of an account."""
        found = self.channel.client.account(name)
        money, energy = (
            integer_field(found, field) + integer_field(found, reserved)
            for field, reserved in (
                ("money_micro", "money_reserved_micro"),
                ("energy_milli_wh", "energy_reserved_milli_wh"),
            )
        )
        return money, energy

    def _money_micro(self) -> int:
        names = [OPERATOR, SUPPLIER, *[home.name for home in self._homes]]
        return sum([self._account(name)[0] for name in names])

    def _validators(self) -> list[dict[str, object]]:
        """Return what each validator says of one height that all have reached."""
        clients = self.channel.clients
        height = max([integer_field(client.status(), "final_height") for client in clients])
        self.channel.wait_height(height)
        found: list[dict[str, object]] = []
        for node, client in zip(self.demo.network.nodes, clients, strict=True):
            header = object_field(client.get(f"/blocks/{height}"), "header")
            root = text_field(header, "state_root")
            found.append({"name": node.name, "height": height, "state_root": root})
        return found

"""A trader: one home's agent in a day market, its orders, its meter, and what became of them.

It knows the market's terms and what the chain tells, and answers with calls; sending them is the
runner's. So one process can hold one trader, or a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

from market.auction.orders import BUY, SELL, SIDE_NAMES, Step
from market.auction.records import HUANG
from market.day.gates import TO_THE_LAST, Calendar
from market.day.orders import commitment_of
from tools import calls
from tools.agents.homes import SLOT_MINUTES, Flow, Home, Need, Tariffs, gain_micro
from tools.agents.strategies import Offered, Outcome, Strategy, View
from tools.wallet import Signer
from vm.primitives.integers import divide_up
from vm.runtime import Call

MINUTES_PER_DAY: Final = 1_440
MINUTES_PER_HOUR: Final = 60
SALT_BYTES: Final = 32
MILLI_WH_PER_KWH: Final = 1_000_000
RESPONSE_PERCENT: Final = 120
"""The response price over the market price, as the default of the chain's rounds is."""
PERCENT: Final = 100
NO_ORDER: Final = -1
ERRORS_OF_A_NEED: Final = 4
"""A reading may be two errors above what was stated: half of such a need, which is tolerated."""


@dataclass(frozen=True, slots=True)
class DayTerms:
    """What a trader needs to know of a day market."""

    name: str
    """The market's name."""
    calendar: Calendar
    """Its intervals and gates."""

    @property
    def is_one_price(self) -> bool:
        """Whether a gate is `huang`, in which a member is one trader on one side."""
        return any(gate.mechanism == HUANG for gate in self.calendar.gates)

    @property
    def slots(self) -> int:
        """Quarters of an hour in an interval."""
        return self.calendar.interval_minutes // SLOT_MINUTES

    def first_slot(self, interval: int) -> int:
        """Return the quarter of an hour of the local day at which an interval begins."""
        utc = self.calendar.utc_minute(interval)
        return self.calendar.zone.local_minute(utc) % MINUTES_PER_DAY // SLOT_MINUTES


@dataclass(slots=True)  # mutable: filled as the interval is played
class Played:
    """One interval as a trader plays it."""

    view: View
    """What it knew when it bid."""
    steps: tuple[Step, ...]
    """What it bid."""
    salt: bytes = b""
    """Of its commitment, where the gate is sealed."""
    order: int = NO_ORDER
    """The order's number, where it has to be opened."""
    bought_milli_wh: int = 0
    """What it bought."""
    sold_milli_wh: int = 0
    """What it sold."""
    paid_micro: int = 0
    """What it paid, less what it got."""
    first_gain_micro: int = 0
    """What the first stage brought at true prices."""
    flow: Flow | None = None
    """What its meter read; None before delivery."""

    @property
    def traded_milli_wh(self) -> int:
        """What it traded on its home's side, less what it traded back."""
        net = self.bought_milli_wh - self.sold_milli_wh
        return net if self.view.need.side == BUY else -net

    @property
    def gain_micro(self) -> int:
        """What the trades brought at true prices, against upstream."""
        paid = self.paid_micro if self.view.need.side == BUY else -self.paid_micro
        return gain_micro(self.view.need, self.traded_milli_wh, paid)


@dataclass(slots=True)  # mutable: a meter counts on
class Registers:
    """A meter's cumulative registers."""

    injected_milli_wh: int = 0
    """From the home into the grid."""
    withdrawn_milli_wh: int = 0
    """From the grid into the home."""


@dataclass(slots=True)  # mutable: a trader's memory
class Trader:
    """A home's agent."""

    home: Home
    """Whom it trades for."""
    strategy: Strategy
    """How it bids."""
    signer: Signer
    """The member's key."""
    meter: Signer | None
    """The meter's key, where this process reads the meter too."""
    terms: DayTerms
    """The market."""
    random: Random
    """Draws the salts and the errors of the forecast."""
    error_percent: int
    """How far a reading is from the forecast at most, in percent of load and plant."""
    margin_percent: int
    """How far it stays away from its forecast when it trades, in percent of load and plant."""
    played: dict[int, Played] = field(default_factory=dict)
    """By interval."""
    registers: Registers = field(default_factory=Registers)
    """What its meter shows."""
    has_joined: bool = False
    """Whether it belongs to the market by what it sent."""
    last_price_micro: int | None = None
    """The last price that it heard of."""

    def bid(self, interval: int, tariffs: Tariffs, *, is_sealed: bool) -> Call | None:
        """Return the call that places, or commits to, its order of an interval; None for none.

        `tariffs` are those of the interval, between which its prices lie.
        """
        first_slot = self.terms.first_slot(interval)
        need = self._need(first_slot, tariffs)
        hour = first_slot * SLOT_MINUTES // MINUTES_PER_HOUR
        view = View(hour, need, tariffs, self.last_price_micro)
        steps = self.strategy.bid(view) if need.parts else ()
        played = self.played[interval] = Played(view, steps)
        if not steps:
            return None
        if not is_sealed:
            return calls.place_day_order(
                self.terms.name, interval, SIDE_NAMES[need.side], steps, TO_THE_LAST
            )
        played.salt = self.random.randbytes(SALT_BYTES)
        commitment = commitment_of(
            self.terms.name,
            interval,
            self.signer.account,
            need.side,
            [(step.energy_milli_wh, step.price_micro_per_kwh) for step in steps],
            TO_THE_LAST,
            played.salt,
        )
        cover = _cover_micro(need.energy_milli_wh, tariffs)
        return calls.commit_day_order(self.terms.name, interval, commitment, len(steps), cover)

    def joining(self, orders: list[Call | None]) -> list[Call | None]:
        """Return its first orders, or, where it has none yet, the call that joins the market.

        A first order joins by itself; without either its meter would not be settled there.
        """
        if self.has_joined or not orders:
            return orders
        self.has_joined = True
        if any(order is not None for order in orders):
            return orders
        return [calls.join_day_market(self.terms.name)]

    def open(self, interval: int) -> Call | None:
        """Return the call that opens its commitment of an interval; None if it has none."""
        played = self.played.get(interval)
        if played is None or played.order == NO_ORDER:
            return None
        side = SIDE_NAMES[played.view.need.side]
        return calls.open_day_order(
            self.terms.name,
            interval,
            played.order,
            side,
            played.steps,
            TO_THE_LAST,
            played.salt,
        )

    def respond(self, interval: int, price_micro: int) -> Call | None:
        """Return the call that offers what it gives up for others; None for none."""
        played = self.played.get(interval)
        if played is None:
            return None
        played.first_gain_micro = played.gain_micro
        if played.view.need.side != BUY or not played.bought_milli_wh:
            return None
        retail = played.view.tariffs.retail_micro_per_kwh
        response = min(retail, price_micro * RESPONSE_PERCENT // PERCENT)
        offered = Offered(played.bought_milli_wh, price_micro, response)
        step = self.strategy.respond(played.view, offered)
        if step is None:
            return None
        side = SIDE_NAMES[SELL]
        return calls.place_day_order(self.terms.name, interval, side, [step], TO_THE_LAST)

    def award(self, interval: int, side: int, energy_milli_wh: int, amount_micro: int) -> None:
        """Note what one of its orders traded."""
        played = self.played.get(interval)
        if played is None:
            return
        if side == BUY:
            played.bought_milli_wh += energy_milli_wh
            played.paid_micro += amount_micro
        else:
            played.sold_milli_wh += energy_milli_wh
            played.paid_micro -= amount_micro

    def deliver(self, interval: int) -> Call | None:
        """Let the interval pass; return the call with which its meter tells its registers."""
        played = self.played.get(interval)
        if played is None:
            return None
        played.flow = self.home.flow(
            self.terms.first_slot(interval),
            self.terms.slots,
            traded_milli_wh=played.traded_milli_wh,
            need=played.view.need,
            error_percent=self.error_percent,
            random=self.random,
        )
        self.registers.injected_milli_wh += played.flow.injected_milli_wh
        self.registers.withdrawn_milli_wh += played.flow.withdrawn_milli_wh
        if self.meter is None:
            return None
        registers = self.registers
        pair = (registers.injected_milli_wh, registers.withdrawn_milli_wh)
        return calls.submit_registers(interval, [pair])

    def finish(self, interval: int) -> None:
        """Learn from an interval that is over."""
        played = self.played.get(interval)
        if played is not None and played.steps:
            first = played.first_gain_micro
            self.strategy.learn(Outcome(first, played.gain_micro - first))

    def _need(self, first_slot: int, tariffs: Tariffs) -> Need:
        """Return what the home wants to trade.

        In `huang` all of an owner's energy trades at its least favourable price, and what its meter
        does not bear out costs a penalty. So there it states one price, means what it states, and
        stays away where its forecast is too uncertain.
        """
        slots, percent = self.terms.slots, self.margin_percent
        need = self.home.need(first_slot, slots, tariffs, margin_percent=percent)
        if not self.terms.is_one_price:
            return need
        least = ERRORS_OF_A_NEED * self.home.error_milli_wh(first_slot, slots, percent)
        return need.as_one() if need.energy_milli_wh >= least else Need(need.side, ())


def _cover_micro(energy_milli_wh: int, tariffs: Tariffs) -> int:
    """Return what covers any order of so much energy, so that it tells no side and no price."""
    return divide_up(energy_milli_wh * 2 * tariffs.retail_micro_per_kwh, MILLI_WH_PER_KWH)

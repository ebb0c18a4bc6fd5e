"""What readers of foreign formats share: per-unit networks become integers in one way.

The voltage law knows only the ratios of reactances, so they are referred to a voltage at which the
smallest is some 10^5 nano-ohms: coarse enough that its multipliers, which are prices per nano-ohm,
are rounded without harm, fine enough to keep the ratios. Power is in watts; costs in dollars (or
euros) per MWh become 1e-24 of them per Wh.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from market.dispatch_problem import GENERATOR, LOAD, Bid, DispatchProblem, Unit
from market.network import MAX_RATING_W, Bus, Line, Network
from tools.cases.case import NORMAL, Case

SMALLEST_NANO_DIGITS: Final = 5
"""The smallest reactance of a case becomes 10^5 to 10^6 nano-ohms."""
W_PER_MW: Final = Decimal(10) ** 6
PRICE_PER_MWH: Final = Decimal(10) ** 18
SLOPE_PER_MW2H: Final = Decimal(10) ** 12
_ALLOWED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


@dataclass(slots=True)
class CaseBuilder:
    """A case in the making: names made unique, numbers made whole, what was settled noted."""

    name: str
    """Name of the case."""
    slack: str = ""
    """Name of the slack bus."""
    buses: list[Bus] = field(default_factory=list)
    lines: list[tuple[Line, Decimal]] = field(default_factory=list)
    """Each with its reactance per unit."""
    units: list[Unit] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _taken: set[str] = field(default_factory=set)

    def add_bus(self, name: str) -> str:
        """Add a bus and return its name in the model."""
        found = self.unique(name)
        self.buses.append(Bus(found))
        return found

    def add_line(
        self, start: str, end: str, *, reactance_pu: Decimal, rating_mw: Decimal | None
    ) -> str:
        """Add a line between two buses and return its name; no rating is no limit."""
        name = self.unique(f"{start}-{end}"[:28])
        rating = None if rating_mw is None else whole(rating_mw * W_PER_MW)
        if rating is not None and rating > MAX_RATING_W:
            rating = None
            self.note("Ratings beyond all power that there is count as none.")
        self.lines.append((Line(name, start, end, rating, 1, ""), reactance_pu))
        return name

    def add_unit(
        self,
        name: str,
        bus: str,
        *,
        low_mw: Decimal,
        high_mw: Decimal,
        slope: Decimal = Decimal(0),
        cost: Decimal = Decimal(0),
    ) -> None:
        """Add a unit that injects `low_mw` to `high_mw` and costs slope/2 P² + cost P an hour."""
        low, high = whole(low_mw * W_PER_MW), whole(high_mw * W_PER_MW)
        bid = Bid(whole(slope * SLOPE_PER_MW2H), whole(cost * PRICE_PER_MWH), low, high)
        kind = LOAD if high <= 0 else GENERATOR
        self.units.append(Unit(self.unique(name), bus, kind, (bid,)))

    def add_load(self, name: str, bus: str, power_mw: Decimal) -> None:
        """Add a load that must be served; a negative one injects whatever happens."""
        if power_mw:
            self.add_unit(name, bus, low_mw=-power_mw, high_mw=-power_mw)

    def note(self, words: str) -> None:
        """Remember what was left out or settled, once."""
        if words not in self.notes:
            self.notes.append(words)

    def unique(self, name: str) -> str:
        """Return a name of the model's alphabet that nothing else has."""
        plain = "".join(letter if letter in _ALLOWED else "." for letter in name)[:32] or "x"
        found, number = plain, 2
        while found in self._taken:
            found = f"{plain[:27]}.{number}"
            number += 1
        self._taken.add(found)
        return found

    def finish(self) -> Case:
        """Return the case; whether its problem is sound is another question."""
        smallest = min((each for _, each in self.lines if each > 0), default=Decimal(1))
        scale = Decimal(10) ** (SMALLEST_NANO_DIGITS - smallest.adjusted())
        lines = tuple(
            replace(line, reactance_nano_ohm=max(1, whole(reactance * scale)))
            for line, reactance in self.lines
        )
        network = Network(self.slack, tuple(self.buses), lines)
        problem = DispatchProblem(network, 60, 1, tuple(self.units))
        return Case(self.name, NORMAL, problem, (1,), (), tuple(self.notes))


def whole(value: Decimal) -> int:
    """Return the nearest integer, halves to even."""
    return int(value.to_integral_value(rounding=ROUND_HALF_EVEN))

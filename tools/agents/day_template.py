"""The network of a market day: a genesis template of homes with meters, a supplier and a DSO.

The homes hang on a small radial feeder: a station, and three streets behind it, of which the last
two are behind one another. With `uniform` the market clears over its lines. The day has the gates
of a real one, close together, since a compressed clock makes waiting no shorter than it has to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.auction.records import HUANG, MECHANISM_NAMES, PAY_AS_BID
from market.network import Bus, Line, Network
from tools.agents.homes import Home, Tariffs

MARKET: Final = "local"
FEEDER: Final = "streets"
OPERATOR: Final = "DSO"
SUPPLIER: Final = "EDC"
RETAIL: Final = "28"
FEED_IN: Final = "8"
PENALTY: Final = "5"
PENALTY_MICRO_PER_KWH: Final = 5_000_000
TARIFFS: Final = Tariffs(28_000_000, 8_000_000)
BALANCE: Final = "100000"
SUPPLIER_BALANCE: Final = "10000000"
MAX_ENERGY_KWH: Final = "20"
HUANG_TOLERANCE_PERCENT: Final = 60
"""What homes can do without is part of what they state, and is not drawn where it did not trade."""
STATION: Final = "Station"
STREETS: Final = ("North", "East", "Lane")
LINE_FROM: Final = {"North": STATION, "East": STATION, "Lane": "East"}
LINE_W_PER_HOME: Final = {"North": 200, "East": 150, "Lane": 100}
"""Rating of the line to each street, for each home of the market."""
REACTANCE: Final = 60_000_000
MINUTES_PER_DAY: Final = 1_440
DAY_AHEAD_OPENS: Final = "12:00"
DAY_AHEAD_CLOSES: Final = "22:30"
DAY_LEAD_MINUTES: Final = 90
OPENING_MINUTES: Final = 30
FIRST_GATE_MINUTES: Final = 60
"""How long before an interval the first gate closes where a part of a day is played."""
LAST_GATE_MINUTES: Final = 15
DEADLINE_MINUTES: Final = 45
CORRECTION_MINUTES: Final = 15
SUMMER_DAY: Final = "2026-06-21"
WINTER_DAY: Final = "2026-12-21"

CERTIFICATE_MILLI_WH: Final = 100_000
"""So small that a roof gets some in every interval: each is the work of a day of larger ones."""
CERTIFICATES: Final[Mapping[str, object]] = {
    "unit_kwh": "0.1",
    "period_intervals": 1,
    "coins": {"market": MARKET},
}


@dataclass(frozen=True, slots=True)
class DayPlan:
    """Which day is played, and when on the chain's clock."""

    mechanism: str
    """Of all gates: `uniform`, `midpoint`, `huang` or `pay_as_bid`."""
    minute_ms: int
    """Length of a minute on the chain's clock."""
    first_interval: int
    """The first interval, on the chain's clock."""
    first_minute: int
    """Minute of the day at which it begins."""
    intervals: int
    """How many are played."""
    date: str
    """The day, for wall clocks: 2026-06-21."""
    over_feeder: bool
    """Whether the market clears over the feeder's lines."""
    interval_minutes: int = 15
    """Length of an interval."""

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole day, which has a day-ahead gate."""
        return self.intervals * self.interval_minutes == MINUTES_PER_DAY

    @property
    def lead_minutes(self) -> int:
        """How long before the first interval its first gate closes, at most."""
        return DAY_LEAD_MINUTES if self.is_whole else FIRST_GATE_MINUTES


def make_template(homes: Sequence[Home], plan: DayPlan) -> dict[str, object]:
    """Return the genesis template of a network on which the homes trade by a plan."""
    count = len(homes)
    members: list[dict[str, object]] = [
        {"name": OPERATOR, "roles": ["operator", "dso"], "balance": "0"},
        {"name": SUPPLIER, "roles": ["supplier", "edc"], "balance": SUPPLIER_BALANCE},
    ]
    for number, home in enumerate(homes):
        members.append(
            {
                "name": home.name,
                "roles": ["prosumer", "consumer"],
                "bus": street_of(number, home),
                "balance": BALANCE,
            }
        )
        members.append({"name": meter_name(home), "roles": ["meter"], "balance": "0"})
    clock = {"interval_minutes": plan.interval_minutes, "minute_ms": plan.minute_ms}
    return {
        "about": "A market day of homes with meters. `bitenergy market day` makes it.",
        "chain": "market-day",
        "engine": {"name": "poa", "parameters": {}},
        "parameters": {},
        "roles": [
            "operator", "validator", "edc", "dso", "prosumer", "consumer", "meter", "board",
            "aggregator", "supplier",
        ],
        "members": members,
        "modules": {
            "market": {"markets": [_feeder(count)]},
            "meters": {
                **clock,
                "deadline_minutes": DEADLINE_MINUTES,
                "correction_minutes": CORRECTION_MINUTES,
            },
            "day": {"markets": [_day_market(plan, clock)]},
            "certificates": CERTIFICATES,
        },
    }  # fmt: skip


def feeder_network(count: int) -> Network:
    """Return the feeder of a market of `count` homes."""
    lines = [
        Line(
            f"to{street}", LINE_FROM[street], street, LINE_W_PER_HOME[street] * count, REACTANCE, ""
        )
        for street in STREETS
    ]
    return Network(STATION, tuple([Bus(name) for name in (STATION, *STREETS)]), tuple(lines))


def street_of(number: int, home: Home) -> str:
    """Return the bus of the home with a number: roofs of the lane face south, and carry plants."""
    if any(home.plant_w):
        return "North" if number % len(STREETS) == 0 else "Lane"
    return "East" if number % len(STREETS) == 0 else "North"


def meter_name(home: Home) -> str:
    """Return the name of a home's meter."""
    return f"{home.name}-meter"


def _feeder(count: int) -> dict[str, object]:
    found = feeder_network(count)
    lines = [
        {
            "name": line.name,
            "from": line.from_bus,
            "to": line.to_bus,
            "rating_w": line.rating_w,
            "reactance_nano_ohm": line.reactance_nano_ohm,
        }
        for line in found.lines
    ]
    network = {"slack": found.slack, "buses": [bus.name for bus in found.buses], "lines": lines}
    return {"name": FEEDER, "line_policy": "ignore", "interval_minutes": 15, "network": network}


def _day_market(plan: DayPlan, clock: Mapping[str, object]) -> dict[str, object]:
    mechanism = MECHANISM_NAMES.index(plan.mechanism)
    common: dict[str, object] = {"mechanism": plan.mechanism}
    if mechanism == HUANG:
        common |= {"sealed": True, "opening_minutes": OPENING_MINUTES, "deposit": "1"}
    if mechanism == PAY_AS_BID:
        common |= {"rationing": "time"}
    last = {**common, "kind": "real_time", "minutes": LAST_GATE_MINUTES}
    if mechanism == HUANG:
        last |= {"minutes": LAST_GATE_MINUTES + 5, "opening_minutes": LAST_GATE_MINUTES}
    first: dict[str, object] = {**common, "kind": "intraday", "minutes": FIRST_GATE_MINUTES}
    if plan.is_whole:
        first = {**common, "kind": "day_ahead", "opens": "00:00", "closes": DAY_AHEAD_CLOSES}
    hours, minutes = divmod(plan.first_minute, 60)
    return {
        "name": MARKET,
        "account": OPERATOR,
        "upstream": SUPPLIER,
        **clock,
        "epoch": {"interval": plan.first_interval, "utc": f"{plan.date}T{hours:02}:{minutes:02}"},
        "retail": RETAIL,
        "feed_in": FEED_IN,
        "penalty": PENALTY,
        "tolerance_percent": HUANG_TOLERANCE_PERCENT,
        "max_energy_kwh": MAX_ENERGY_KWH,
        "feeder": FEEDER if plan.over_feeder else "",
        "gates": [first, last],
    }

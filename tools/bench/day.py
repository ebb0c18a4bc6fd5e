"""`bitenergy bench day`: one delivery interval of many homes, and how fast a whole day can be.

One interval is timed stage by stage, on four validators: orders, clearing, readings, settlement
with its penalties and with the certificates of what plants produced, then, when readings are final,
coins and corrections; each until it is final on all of them. Between the stages the clock of the
market is waited for, which is not counted. Homes there sell all that they forecast, so that some
fall short.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from tools.agents.channel import Told
from tools.agents.market_day import DayOptions, DaySession, default_minute_ms, open_day, play_day
from tools.bench.machine import measure_yardstick, memory_bytes
from tools.client import integer_field
from tools.demo_day import check_day
from tools.errors import EXIT_FAILED, EXIT_OK, NodeTimeout
from tools.output import note, print_fields, print_json, waiting

STAGE_S: Final = 120.0
PAUSE_S: Final = 0.01
STAGE_MINUTE_MS: Final = 250
"""Minutes of the interval that is timed: a quarter of an hour is 3.75 s."""
SEED: Final = 1


@dataclass(frozen=True, slots=True)
class IntervalFigures:
    """One interval, stage by stage: seconds until final on all four validators."""

    orders_s: float
    """From sending the first order."""
    clearing_s: float
    """From the gate's closing, until all contracts are written down."""
    readings_s: float
    """From sending the first reading."""
    settlement_s: float
    """From the deadline of readings, until bills, penalties and certificates are settled."""
    coins_s: float
    """From when readings are final, until coins are earned and lost and corrections settled."""
    total_s: float
    """All of them."""
    orders: int
    """Orders placed."""
    trades: int
    """Orders that traded."""
    readings: int
    """Readings taken."""
    penalties_micro: int
    """Penalties of those who fell short."""
    plants: int
    """Plants that were credited what they produced."""
    certificates: int
    """Certificates issued for it."""
    coin_members: int
    """Members whose coins were settled."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """A whole day."""

    intervals: int
    """Intervals played."""
    wall_s: float
    """From the first order until the last correction."""
    times_real_time: float
    """The day's length over that."""
    transactions: int
    """Final transactions."""
    penalties_micro: int
    """Penalties of those who fell short."""
    plants: int
    """Plants that were credited what they produced."""
    certificates: int
    """Certificates issued for it."""
    ecoin_milli_wh: int
    """Energy tokens that came into being."""
    coins_micro: int
    """Green-choice coins that members have in the end."""
    findings: tuple[str, ...]
    """What did not end as it has to; empty if all did, the same state everywhere included."""


def run_bench(*, members: int, intervals: int, minute_ms: int | None, as_json: bool) -> int:
    """Measure and print; the exit status is 0 only if the day ended as it has to."""
    with waiting("measuring the machine", quiet=as_json):
        yardstick = measure_yardstick()
    interval, rss_mb = _measure_interval(members)
    note(f"one interval in {interval.total_s:.2f} s")
    figures: dict[str, object] = {
        "members": members,
        "v_per_s": yardstick.v_per_s,
        "w_per_s": yardstick.w_per_s,
        "interval": asdict(interval),
        "rss_mb_max": rss_mb,
    }
    day: DayFigures | None = None
    if intervals:
        day = _measure_day(members, intervals, minute_ms or default_minute_ms(members))
        figures["day"] = asdict(day)
    if as_json:
        print_json(figures)
    else:
        print_fields("bench day", [(name, str(value)) for name, value in figures.items()])
    return EXIT_FAILED if day is not None and day.findings else EXIT_OK


def _measure_day(members: int, intervals: int, minute_ms: int) -> DayFigures:
    # Without a margin some fall short, so that the day has penalties as well.
    options = DayOptions(members, "uniform", "summer", "mixed", intervals, 0, minute_ms, 3, 0, SEED)
    result = play_day(options, keep=False, quiet=True)
    length_s = intervals * result.plan.interval_minutes * 60
    return DayFigures(
        intervals,
        round(result.wall_s, 1),
        round(length_s / result.wall_s, 1),
        result.transactions,
        sum([each.penalties_micro for each in result.record.intervals.values()]),
        len(result.plants),
        sum([plant.issued for plant in result.plants]),
        result.ecoin_milli_wh,
        sum([member.coins_micro for member in result.members]),
        tuple(check_day(result)),
    )


def _measure_interval(members: int) -> tuple[IntervalFigures, float]:
    options = DayOptions(
        members,
        "uniform",
        "summer",
        "truthful",
        1,
        12,
        STAGE_MINUTE_MS,
        3,
        0,
        SEED,
    )
    with open_day(options, keep=False, quiet=True) as day:
        figures = _Stages(day).measure()
        memory = max(memory_bytes(node.mark) for node in day.demo.network.nodes)
        return figures, round(memory / 1e6, 1)


class _Stages:
    """The stages of one interval under a stop watch."""

    def __init__(self, day: DaySession) -> None:
        self._day = day
        self._interval = day.intervals[0]
        self._told: dict[str, int] = {}
        self._penalties_micro = 0
        self._trades_milli_wh = [0, 0]
        self._plants = 0
        self._certificates = 0
        self._coin_members = 0
        day.listen(self._hear)

    def measure(self) -> IntervalFigures:
        """Carry the interval through its stages."""
        day, interval = self._day, self._interval
        day.runner.read()
        before = day.channel.transactions
        start_s = time.monotonic()
        sent = day.runner.bid([interval])
        self._wait(lambda: day.channel.transactions >= before + sent)
        orders_s = time.monotonic() - start_s
        windows = day.terms.calendar.windows(interval)
        clearing_s = self._due(windows[0].clears_ms, self._is_cleared)
        self._sleep_until(windows[-1].clears_ms)
        self._sleep_until(day.terms.calendar.start_ms(interval + 1))
        start_s = time.monotonic()
        read = day.runner.deliver([interval])
        expected = before + sent + read
        self._wait(lambda: day.channel.transactions >= expected)
        readings_s = time.monotonic() - start_s
        settlement_s = self._due(day.deadline_ms(interval), self._is_settled)
        coins_s = self._due(day.final_ms(interval), self._is_final)
        total_s = orders_s + clearing_s + readings_s + settlement_s + coins_s
        return IntervalFigures(
            round(orders_s, 3),
            round(clearing_s, 3),
            round(readings_s, 3),
            round(settlement_s, 3),
            round(coins_s, 3),
            round(total_s, 3),
            sent,
            self._told.get("bought", 0) + self._told.get("sold", 0),
            read,
            self._penalties_micro,
            self._plants,
            self._certificates,
            self._coin_members,
        )

    def _hear(self, told: Told) -> None:
        if told.module == "certificates":
            self._hear_certificates(told)
            return
        if told.module != "day" or told.fields.get("interval") != self._interval:
            return
        self._told[told.name] = self._told.get(told.name, 0) + 1
        if told.name in ("clear", "bought"):
            place = told.name == "bought"
            self._trades_milli_wh[place] += integer_field(told.fields, "energy_milli_wh")
        elif told.name == "settle":
            self._penalties_micro += integer_field(told.fields, "penalties_micro")

    def _hear_certificates(self, told: Told) -> None:
        # A period is one interval.
        if told.name == "credit" and told.fields.get("period") == self._interval:
            self._plants = integer_field(told.fields, "plants")
        elif told.name == "issue":
            self._certificates += integer_field(told.fields, "count")
        elif told.name == "coins" and told.fields.get("interval") == self._interval:
            self._coin_members = integer_field(told.fields, "members")

    def _is_settled(self) -> bool:
        return self._told.get("settle", 0) > 0 and self._plants > 0

    def _is_final(self) -> bool:
        return self._told.get("settle", 0) > 1 and self._coin_members > 0

    def _is_cleared(self) -> bool:
        """Tell whether all that the gate cleared is written down."""
        cleared, written = self._trades_milli_wh
        return "clear" in self._told and cleared == written

    def _due(self, due_ms: int, is_done: Callable[[], bool]) -> float:
        """Wait for something due; return the seconds that it took from its time on."""
        self._sleep_until(due_ms)
        return self._wait(is_done)

    def _wait(self, is_done: Callable[[], bool]) -> float:
        """Return the seconds until something is final on all validators; raises NodeTimeout."""
        start_s = time.monotonic()
        while not is_done():
            self._day.runner.read()
            if time.monotonic() - start_s > STAGE_S:
                raise NodeTimeout("a stage of the interval did not end", actual=self._told)
            time.sleep(PAUSE_S)
        self._day.channel.wait_height(self._day.channel.height)
        return time.monotonic() - start_s

    def _sleep_until(self, time_ms: int) -> None:
        time.sleep(max(0.0, time_ms / 1000 - time.time()))

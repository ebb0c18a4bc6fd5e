"""From files of readings to what a meter submits: registers at the ends of intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tools.green_button import IntervalEnergy, read_green_button
from tools.obis_file import FileError, RegisterReading, read_registers, wrong

MAX_BATCH: Final = 96
"""Readings of one submission."""
Registers = dict[int, tuple[int, int]]
"""Injection and withdrawal by the interval at whose end they stood."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Registers at the ends of consecutive intervals."""

    first_interval: int
    """The first of the intervals."""
    registers: tuple[tuple[int, int], ...]
    """Injection and withdrawal at the end of each, milliwatt-hours."""


@dataclass(frozen=True, slots=True)
class Known:
    """Where a meter's registers stand on the chain."""

    interval_ms: int
    """Length of an interval on the chain's clock."""
    interval_minutes: int
    """The same in the minutes of the files."""
    latest: int
    """First interval after the last register that is known."""
    registers: tuple[int, int]
    """Injection and withdrawal there, milliwatt-hours."""
    rollover_milli_wh: int
    """Where registers begin again at 0; 0 if they never do."""


def batches_of_file(data: bytes, known: Known) -> tuple[list[Batch], int]:
    """Return what to submit of a file, and how many of its readings are known; raises FileError.

    Registers go as they are; energies of a Green Button file are added to the latest register.
    """
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        found, passed = _add_up(read_green_button(data), known)
    else:
        found, passed = _place(read_registers(data), known)
    return list(_batch(found)), passed


def _place(readings: Sequence[RegisterReading], known: Known) -> tuple[Registers, int]:
    """Return registers by the interval at whose end they stood."""
    found: Registers = {}
    for each in readings:
        bound, rest = divmod(each.time_ms, known.interval_ms)
        if rest:
            raise wrong(
                each.line,
                "is not at the end of an interval",
                f"multiples of {known.interval_ms} ms",
                each.time_ms,
            )
        if bound > known.latest:
            found[bound - 1] = (each.injected_milli_wh, each.withdrawn_milli_wh)
    return found, len(readings) - len(found)


def _add_up(energies: Sequence[IntervalEnergy], known: Known) -> tuple[Registers, int]:
    """Return registers by interval: the latest known ones and the energies after them."""
    flows: dict[int, dict[str, int]] = {}
    passed = 0
    for each in energies:
        interval, rest = divmod(each.start_ms, known.interval_ms)
        if rest or each.duration_ms != known.interval_minutes * 60_000:
            raise wrong(
                each.line,
                "is no interval of this chain",
                f"{known.interval_minutes} minutes from a multiple of them on",
                f"{each.duration_ms} ms from {each.start_ms} ms on",
            )
        if interval < known.latest:
            passed += 1
            continue
        own = flows.setdefault(interval, {})
        if each.direction in own:
            raise wrong(each.line, "states an interval twice", "once each way", "")
        own[each.direction] = each.energy_milli_wh
    found: Registers = {}
    injected, withdrawn = known.registers
    for interval in sorted(flows):
        if interval != known.latest + len(found):
            raise FileError(
                "the file's energies do not follow on what is known of the meter",
                expected=f"interval {known.latest + len(found)}",
                actual=f"interval {interval}",
                hint="Energies are added up, so none may be missing; registers may.",
            )
        injected += flows[interval].get("injected", 0)
        withdrawn += flows[interval].get("withdrawn", 0)
        if known.rollover_milli_wh:
            injected %= known.rollover_milli_wh
            withdrawn %= known.rollover_milli_wh
        found[interval] = (injected, withdrawn)
    return found, passed


def _batch(found: Registers) -> Iterable[Batch]:
    first, registers = -1, [(0, 0)][:0]
    for interval in sorted(found):
        if registers and (interval != first + len(registers) or len(registers) == MAX_BATCH):
            yield Batch(first, tuple(registers))
            registers = []
        if not registers:
            first = interval
        registers.append(found[interval])
    if registers:
        yield Batch(first, tuple(registers))

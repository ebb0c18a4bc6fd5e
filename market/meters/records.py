"""The leaves of meters: what genesis says, the meters, members' connections, and their energies.

Keys, numbers big-endian:

    Mt                  the terms               Mc                    how far intervals are closed
    Mm meter            a meter                 Mn member             a member's connection
    Md member slot(2)   24 intervals' energies  Ma slot(2)            an interval's sums when closed
    Mg member           how many may read it    Mg member account     this account may
    Mx member slot(2)   what of true-ups      Mp member           what a connection can carry
                        belongs to which gap  iM member           estimates are made for it

The energies of a member are a ring of chunks: a new one takes the place of the oldest, so that
forgetting is no work. Leaves are arrays `[type, version, fields...]`; index entries hold one byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final, TypeVar

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

TERMS_KEY: Final = b"Mt"
PROGRESS_KEY: Final = b"Mc"
METER_SPACE: Final = b"Mm"
CONNECTION_SPACE: Final = b"Mn"
CHUNK_SPACE: Final = b"Md"
SUMS_SPACE: Final = b"Ma"
GAPS_SPACE: Final = b"Mx"
LIMITS_SPACE: Final = b"Mp"
CONSENT_SPACE: Final = b"Mg"
WATCH_INDEX: Final = INDEX_SPACE + b"M"
MARK: Final = b"\x01"

TERMS_TYPE: Final = 120
PROGRESS_TYPE: Final = 121
METER_TYPE: Final = 122
CONNECTION_TYPE: Final = 123
CHUNK_TYPE: Final = 124
SUMS_TYPE: Final = 135
GAPS_TYPE: Final = 136
LIMITS_TYPE: Final = 139
VERSION: Final = 1

CHUNK_INTERVALS: Final = 24
"""Intervals of a chunk: its leaf fits a proof whatever the energies are."""
GAS_CHUNK: Final = 100
"""For decoding and encoding a chunk, beside what reading and writing costs."""

MILLI_WH_PER_WATT_MINUTE: Final = (1_000, 60)
"""A watt for a minute, as a fraction."""
MINUTES_PER_DAY: Final = 1_440

NONE: Final = 0
"""No energy: no meter then, or no reading yet."""
MEASURED: Final = 1
"""The difference of two registers at the interval's bounds."""
INTERPOLATED: Final = 2
"""A part of the difference of two registers that lie further apart."""
MEAN: Final = 3
"""The mean of comparable past intervals."""
ZERO: Final = 4
"""Nothing, for want of comparable intervals."""
QUALITY_NAMES: Final = ("none", "measured", "interpolated", "mean", "zero")

_QUALITY: Final = 0b111
_END_IS_KNOWN: Final = 0b1000
_METER_BEGINS: Final = 0b10000

Pair = tuple[int, int]
"""Injection and withdrawal."""


@dataclass(frozen=True, slots=True)
class MetersConfig:
    """What genesis says about meters."""

    interval_minutes: int
    """Length of an interval."""
    minute_ms: int
    """Length of a minute on the chain's clock; 60,000 unless a day is compressed."""
    deadline_minutes: int
    """How long after an interval its readings are due."""
    correction_minutes: int
    """How long after that readings still correct its estimates."""
    retention_days: int
    """How long an interval's energies can be read."""
    mean_days: int
    """On how many days before an estimate looks for comparable intervals."""
    max_power_w: int
    """What a connection can carry at most, either way."""
    mean_days_before: int = 0
    """`mean_days` of intervals before `mean_since`."""
    mean_since: int = 0
    """First interval for which a vote set `mean_days`."""

    @property
    def interval_ms(self) -> int:
        """Length of an interval on the chain's clock."""
        return self.interval_minutes * self.minute_ms

    @property
    def intervals_per_day(self) -> int:
        """Intervals of a day of 24 hours."""
        return MINUTES_PER_DAY // self.interval_minutes

    @property
    def slots(self) -> int:
        """Chunks of a member's ring."""
        return -(-self.retention_days * self.intervals_per_day // CHUNK_INTERVALS) + 1

    @property
    def max_energy_milli_wh(self) -> int:
        """What a connection can carry in an interval."""
        energy, minutes = MILLI_WH_PER_WATT_MINUTE
        return -(-self.max_power_w * self.interval_minutes * energy // minutes)

    def mean_days_of(self, interval: int) -> int:
        """Return on how many days before an interval its estimate looks."""
        return self.mean_days if interval >= self.mean_since else self.mean_days_before

    def interval_of(self, time_ms: int) -> int:
        """Return the interval in which a time lies."""
        return time_ms // self.interval_ms

    def start_ms(self, interval: int) -> int:
        """Return when an interval begins."""
        return interval * self.interval_ms

    def end_ms(self, interval: int) -> int:
        """Return when an interval ends."""
        return (interval + 1) * self.interval_ms

    def deadline_ms(self, interval: int) -> int:
        """Return when missing readings of an interval are estimated."""
        return self.end_ms(interval) + self.deadline_minutes * self.minute_ms

    def correction_ms(self, interval: int) -> int:
        """Return from when on an interval is final."""
        return self.deadline_ms(interval) + self.correction_minutes * self.minute_ms

    def oldest_retained(self, time_ms: int) -> int:
        """Return the first interval whose energies a ring still holds for certain."""
        chunk = self.interval_of(time_ms) // CHUNK_INTERVALS
        return max(0, chunk - self.slots + 1) * CHUNK_INTERVALS


@dataclass(frozen=True, slots=True)
class Sums:
    """What the connections moved together in an interval, as it was when the interval closed.

    Corrections leave it as it is: from the difference one could tell a single member's.
    """

    interval: int
    """The interval."""
    connections: int = 0
    """Connections that were measured or estimated."""
    estimated: int = 0
    """Those of them that were not measured."""
    injected_milli_wh: int = 0
    """Energy that they injected."""
    withdrawn_milli_wh: int = 0
    """Energy that they withdrew."""
    injecting: int = 0
    """Connections that were measured and injected something."""
    withdrawing: int = 0
    """Connections that were measured and withdrew something."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far intervals are closed: their missing readings estimated."""

    interval: int
    """First interval that is not closed."""
    resume: bytes
    """The last connection that was looked at for it; empty before the first."""
    is_running: bool
    """Whether there are connections, so that the next closing is scheduled."""


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter that was registered."""

    member: bytes
    """The member whose connection it measures."""
    is_revoked: bool
    """Whether its readings are refused."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Connection:
    """A working copy of a member's connection, and of how far its meter was read."""

    meter: bytes
    """The meter's account; the last one's if there is none now."""
    since: int
    """First interval of the connection."""
    start: int
    """First interval that this meter measures."""
    end: int | None
    """First interval without a meter; None while there is one."""
    rollover_milli_wh: int
    """Value at which the meter's registers begin again at 0; 0 if they never do."""
    latest: int
    """First interval after the last register that is known."""
    latest_injected_milli_wh: int
    """That register of injection."""
    latest_withdrawn_milli_wh: int
    """That register of withdrawal."""
    estimated_injected_milli_wh: int
    """Injection estimated for intervals from `latest` on."""
    estimated_withdrawn_milli_wh: int
    """Withdrawal estimated for intervals from `latest` on."""
    true_up_injected_milli_wh: int
    """Injection that registers showed beyond intervals that were final; signed."""
    true_up_withdrawn_milli_wh: int
    """Withdrawal of the same kind; signed."""
    is_watched: bool
    """Whether estimates are made for it."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Chunk:
    """A working copy of the energies of 24 consecutive intervals."""

    number: int
    """First interval divided by 24."""
    marks: bytearray = field(default_factory=lambda: bytearray(CHUNK_INTERVALS))
    """Of each interval its quality, whether the register at its end is known, and whether a meter
    begins with it."""
    injected: list[int] = field(default_factory=lambda: [0] * CHUNK_INTERVALS)
    """Energy injected in each interval."""
    withdrawn: list[int] = field(default_factory=lambda: [0] * CHUNK_INTERVALS)
    """Energy withdrawn in each interval."""

    def quality(self, place: int) -> int:
        """Return the quality of an interval's energy."""
        return self.marks[place] & _QUALITY

    def end_is_known(self, place: int) -> bool:
        """Tell whether the register at an interval's end is known."""
        return bool(self.marks[place] & _END_IS_KNOWN)

    def begins(self, place: int) -> bool:
        """Tell whether the register at an interval's beginning is known, as its meter's first."""
        return bool(self.marks[place] & _METER_BEGINS)

    def set_energy(self, place: int, quality: int, energy: Pair) -> None:
        """Set an interval's energy; what is known of its bounds stays."""
        self.marks[place] = self.marks[place] & ~_QUALITY | quality
        self.injected[place], self.withdrawn[place] = energy

    def know_end(self, place: int) -> None:
        """Remember that the register at an interval's end is known."""
        self.marks[place] |= _END_IS_KNOWN

    def begin(self, place: int) -> None:
        """Remember that a meter begins with an interval."""
        self.marks[place] |= _METER_BEGINS

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        values = (bytes(self.marks), tuple(self.injected), tuple(self.withdrawn))
        return encode_trusted((CHUNK_TYPE, VERSION, self.number, *values))


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of power that were registered for a connection."""

    entries: tuple[tuple[int, int], ...]
    """From which interval on, ascending, and the power, watts."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Gaps:
    """A working copy of what gaps that end in 24 consecutive intervals have beyond their energies.

    Part of a gap may have been final when its later register came: then the energies of the
    intervals between two registers and what is kept here are the difference of the registers.
    """

    number: int
    """First interval divided by 24."""
    beyond: dict[int, Pair] = field(default_factory=dict)
    """By the interval at whose end a gap's register is, signed energies."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        entries = [(place, *energy) for place, energy in sorted(self.beyond.items())]
        return encode_trusted((GAPS_TYPE, VERSION, self.number, tuple(entries)))


Leaf = MetersConfig | Progress | Meter | Connection | Sums | Limits
_Leaf = TypeVar("_Leaf", MetersConfig, Progress, Meter, Connection, Sums, Limits)
LEAF_TYPES: Final[dict[type, int]] = {
    MetersConfig: TERMS_TYPE,
    Progress: PROGRESS_TYPE,
    Meter: METER_TYPE,
    Connection: CONNECTION_TYPE,
    Sums: SUMS_TYPE,
    Chunk: CHUNK_TYPE,
    Gaps: GAPS_TYPE,
    Limits: LIMITS_TYPE,
}

_FIELD_NAMES: Final[dict[type, tuple[str, ...]]] = {
    kind: tuple([each.name for each in fields(kind)]) for kind in LEAF_TYPES
}


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the canonical bytes of a leaf."""
    values = [getattr(leaf, name) for name in _FIELD_NAMES[type(leaf)]]
    return encode_trusted((LEAF_TYPES[type(leaf)], VERSION, *values))


def decode_leaf(kind: type[_Leaf], data: bytes) -> _Leaf:
    """Return the leaf of its bytes."""
    value = unpack_trusted(data)
    count = len(_FIELD_NAMES[kind]) + 2
    if (
        not isinstance(value, tuple)
        or value[:2] != (LEAF_TYPES[kind], VERSION)
        or len(value) != count
    ):
        raise InvariantViolation(f"not a leaf of {kind.__name__}: {data.hex()[:80]}")
    make: Callable[..., _Leaf] = kind
    return make(*value[2:])


def decode_chunk(data: bytes) -> Chunk:
    """Return the chunk of a leaf's bytes."""
    match unpack_trusted(data):
        case (124, 1, int(number), bytes(marks), tuple(injected), tuple(withdrawn)):
            return Chunk(number, bytearray(marks), list(injected), list(withdrawn))  # type: ignore[arg-type]
    raise InvariantViolation(f"not a chunk of readings: {data.hex()[:80]}")


def decode_gaps(data: bytes) -> Gaps:
    """Return the gaps of a leaf's bytes."""
    match unpack_trusted(data):
        case (136, 1, int(number), tuple(entries)):
            return Gaps(number, {each[0]: (each[1], each[2]) for each in entries})  # type: ignore[index, misc]
    raise InvariantViolation(f"not gaps of readings: {data.hex()[:80]}")


def read_config(state: StateReader) -> MetersConfig | None:
    """Return the terms without gas, for readers; None where genesis has no meters."""
    data = state.get(TERMS_KEY)
    return None if data is None else decode_leaf(MetersConfig, data)


def load_config(ctx: CallContext) -> MetersConfig | None:
    """Return the terms; None where genesis has no meters."""
    data = ctx.get(TERMS_KEY)
    return None if data is None else decode_leaf(MetersConfig, data)


def load_terms(ctx: CallContext) -> MetersConfig:
    """Return the terms; raises CallError `no_meters`."""
    config = load_config(ctx)
    if config is None:
        raise CallError(
            "no_meters",
            "this network has no meters",
            hint="Genesis brings them in with a section 'meters'.",
        )
    return config


def load_progress(ctx: CallContext) -> Progress:
    """Return how far intervals are closed."""
    return _progress(ctx.get(PROGRESS_KEY))


def read_progress(state: StateReader) -> Progress:
    """Return how far intervals are closed without gas, for readers."""
    return _progress(state.get(PROGRESS_KEY))


def _progress(data: bytes | None) -> Progress:
    return Progress(0, b"", False) if data is None else decode_leaf(Progress, data)


def load_meter(ctx: CallContext, meter: bytes) -> Meter | None:
    """Return a meter; None if it was never registered."""
    data = ctx.get(METER_SPACE + meter)
    return None if data is None else decode_leaf(Meter, data)


def load_connection(ctx: CallContext, member: bytes) -> Connection | None:
    """Return a member's connection; None if it never had a meter."""
    data = ctx.get(CONNECTION_SPACE + member)
    return None if data is None else decode_leaf(Connection, data)


def read_connection(state: StateReader, member: bytes) -> Connection | None:
    """Return a member's connection without gas, for readers."""
    data = state.get(CONNECTION_SPACE + member)
    return None if data is None else decode_leaf(Connection, data)


def save_connection(ctx: CallContext, member: bytes, connection: Connection) -> None:
    """Write a connection's leaf."""
    ctx.put(CONNECTION_SPACE + member, encode_leaf(connection))


def chunk_key(config: MetersConfig, member: bytes, number: int) -> bytes:
    """Return the key of the slot that a chunk has in its member's ring."""
    return CHUNK_SPACE + member + (number % config.slots).to_bytes(2, "big")


def gaps_key(config: MetersConfig, member: bytes, number: int) -> bytes:
    """Return the key of what gaps that end in a chunk have beyond its energies."""
    return GAPS_SPACE + member + (number % config.slots).to_bytes(2, "big")


def sums_key(config: MetersConfig, interval: int) -> bytes:
    """Return the key of the slot that an interval's sums have in their ring."""
    slots = config.retention_days * config.intervals_per_day
    return SUMS_SPACE + (interval % slots).to_bytes(2, "big")


def read_sums(state: StateReader, config: MetersConfig, interval: int) -> Sums | None:
    """Return an interval's sums without gas, for readers; None if it is not closed, or too old."""
    data = state.get(sums_key(config, interval))
    found = None if data is None else decode_leaf(Sums, data)
    return None if found is None or found.interval != interval else found


def consent_key(member: bytes, reader: bytes) -> bytes:
    """Return the key that is there while a member lets an account read its energies."""
    return CONSENT_SPACE + member + reader

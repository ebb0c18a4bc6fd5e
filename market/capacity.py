"""What is left of the limits between sellers and one buyer in one interval.

On a tree every energy that flows to one buyer runs along a line in the same direction, whoever
sells it. So during one `buy` what is left of each line, and of each pair of members, only falls.
"""

from __future__ import annotations

from typing import Final

from market.network import line_capacity_milli_wh
from market.records import (
    IGNORE,
    LINE_FLOW,
    LINE_SPACE,
    MARK,
    PAIR_LIMIT_SPACE,
    PAIR_USAGE,
    USAGE_INDEX,
    USAGE_SPACE,
    BusRecord,
    MarketConfig,
    bus_key,
    decode_bus,
    decode_line,
    interval_prefix,
    pair_of,
)
from vm.context import CallContext
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT

UNLIMITED: Final = 1 << 80
GAS_OF_BUS: Final = 60
"""For each bus on the way to the slack bus, beside reading it."""
GAS_OF_LINE: Final = 120
"""For each line or pair looked at first, beside reading it."""
GAS_OF_USAGE: Final = 30
"""For each line or pair whose use is saved, beside writing it."""


class Limit:
    """One limit in the direction of one buyer: a line, or the buyer and one seller."""

    __slots__ = ("added_milli_wh", "known", "left_milli_wh", "owner", "sign", "tail", "used")

    def __init__(
        self,
        tail: bytes,
        left_milli_wh: int,
        used: int,
        sign: int,
        owner: bytes,
        usage: bytes | None,
    ) -> None:
        self.tail = tail
        """What its usage leaf's key ends with."""
        self.left_milli_wh = left_milli_wh
        """Energy that still fits; not above 0 where the limit is reached."""
        self.used = used
        """Usage as stored: a pair's energy, or a line's signed flow, milliwatt-hours."""
        self.sign = sign
        """How energy for this buyer counts in `used`: 1 or -1."""
        self.owner = owner
        """Account that owns the line; empty for the market's distribution company."""
        self.known = usage is not None
        """Whether the usage leaf is there already."""
        self.added_milli_wh = 0
        """Energy bought through it now."""


class Limits:
    """The limits that one buyer meets, read when first needed."""

    __slots__ = (
        "_below",
        "_buyer",
        "_config",
        "_ctx",
        "_group",
        "_lines",
        "_pairs",
        "_paths",
        "_trunk",
    )

    def __init__(
        self, ctx: CallContext, config: MarketConfig, interval: int, *, buyer: bytes, bus: int
    ) -> None:
        self._ctx = ctx
        self._config = config
        self._group = interval_prefix(config.prefix, interval)
        self._buyer = buyer
        self._lines: dict[int, Limit] = {}
        self._pairs: dict[bytes, Limit | None] = {}
        self._paths: dict[bytes, tuple[Limit, ...]] = {}
        # The lines from the buyer up to the slack bus, and how many of them lie below each bus.
        self._trunk: list[Limit] = []
        self._below: dict[int, int] = {}
        if config.buses:
            self._below[bus] = 0
            record = self._bus(bus)
            while record.parent:
                self._trunk.append(self._line(record.line, -record.direction))
                self._below[record.parent] = len(self._trunk)
                record = self._bus(record.parent)

    def path(self, bus: bytes) -> tuple[Limit, ...]:
        """Return the lines between `bus` (4 bytes) and the buyer; none without a network."""
        path = self._paths.get(bus)
        if path is None:
            path = self._paths[bus] = (
                self._find_path(int.from_bytes(bus, "big")) if self._below else ()
            )
        return path

    def pair(self, seller: bytes) -> Limit | None:
        """Return the limit between the buyer and `seller`; None if they have none."""
        pairs = self._pairs
        if seller in pairs:
            return pairs[seller]
        config, ctx = self._config, self._ctx
        ctx.charge(GAS_OF_LINE)
        pair = pair_of(self._buyer, seller)
        most = config.default_pair_limit_milli_wh
        if config.pair_limits:
            own = ctx.get(PAIR_LIMIT_SPACE + config.prefix + pair)
            if own is not None:
                most = int.from_bytes(own, "big")
        found = None
        if most is not None:
            tail = PAIR_USAGE + pair
            data = ctx.get(USAGE_SPACE + self._group + tail)
            used = int.from_bytes(data or b"", "big")
            found = Limit(tail, most - used, used, 1, b"", data)
        pairs[seller] = found
        return found

    def save(self) -> None:
        """Write the usage of all limits through which energy was bought."""
        for line in self._lines.values():
            if line.added_milli_wh:
                self._save(line, signed=True)
        for pair in self._pairs.values():
            if pair is not None and pair.added_milli_wh:
                self._save(pair, signed=False)

    def _find_path(self, bus: int) -> tuple[Limit, ...]:
        up: list[Limit] = []
        shared = self._below.get(bus)
        while shared is None:
            record = self._bus(bus)
            if not record.parent:
                raise InvariantViolation(f"bus {bus} has no way to the slack bus")
            up.append(self._line(record.line, record.direction))
            bus = record.parent
            shared = self._below.get(bus)
        return (*up, *self._trunk[:shared])

    def _save(self, limit: Limit, *, signed: bool) -> None:
        used = limit.used + limit.sign * limit.added_milli_wh
        if abs(used) > MAX_AMOUNT:
            raise CallError("overflow", "a line or pair has carried too much energy", actual=used)
        key = self._group + limit.tail
        self._ctx.charge(GAS_OF_USAGE)
        self._ctx.put(USAGE_SPACE + key, used.to_bytes(8, "big", signed=signed))
        if not limit.known:
            self._ctx.put(USAGE_INDEX + key, MARK)

    def _bus(self, number: int) -> BusRecord:
        self._ctx.charge(GAS_OF_BUS)
        data = self._ctx.get(bus_key(self._config.prefix, number))
        if data is None:
            raise InvariantViolation(f"market {self._config.name!r} lost bus {number}")
        return decode_bus(data)

    def _line(self, number: int, sign: int) -> Limit:
        line = self._lines.get(number)
        if line is None:
            config, ctx = self._config, self._ctx
            ctx.charge(GAS_OF_LINE)
            place = number.to_bytes(4, "big")
            data = ctx.get(LINE_SPACE + config.prefix + place)
            if data is None:
                raise InvariantViolation(f"market {config.name!r} lost line {number}")
            record = decode_line(data)
            tail = LINE_FLOW + place
            usage = ctx.get(USAGE_SPACE + self._group + tail)
            flow = int.from_bytes(usage or b"", "big", signed=True)
            left = UNLIMITED
            if record.rating_w is not None and config.policy != IGNORE:
                left = line_capacity_milli_wh(record.rating_w, config.interval_minutes)
                left -= sign * flow
            line = self._lines[number] = Limit(tail, left, flow, sign, record.owner, usage)
        return line

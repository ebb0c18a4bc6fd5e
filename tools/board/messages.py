"""What boards say to each other: curves up, prices down, reports up, and when to look closer.

In a meshed network rounds of steps take the place of curves and prices.

    message  [95, 1, kind, round, attempt, hops, body]
    CURVES   [[[price, power nW]...]...]        for each interval: what the sender would deliver
    PRICES   [[price, flow W]...]               for each interval: its price, what to deliver
    REPORT   [[[bus, [price...]]...], [[unit, [power W...]]...]]   what the sender's part ends with
    RESULT   certificate bytes                  the whole result, for anyone to submit
    AUDIT    nothing                            up: nothing comes of this attempt; down: begin
                                                again, and check what your children say
    ACK      kind                               the message of this kind, round and attempt arrived
    STEP     [calm, [[[flow nW, angle nW]...]...]]  for each line between the two, each interval;
                                                calm: a bit for each round lately, the last lowest
    PART     [[[line, [flow mW...]]...], [[unit, [power mW...]]...]]  where a mesh's part ended

Prices and nanowatts are byte strings of minimal two's complement. Boards hear what they subscribed
to: a topic is `data/consumer/L1` or `data/generator/DG1`, and a subscription to a higher level
holds for everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from dispatch.exact_curves import Curve
from dispatch.mesh_bus import MAX_TOLD, MeshPart, Told
from dispatch.tree_bus import Subtree
from vm.primitives.codec import (
    Value,
    decode,
    decode_integer,
    encode_integer,
    encode_trusted,
    has_types,
)
from vm.primitives.errors import DecodeError

MESSAGE_TYPE: Final = 95
VERSION: Final = 1
CURVES: Final = 0
PRICES: Final = 1
REPORT: Final = 2
RESULT: Final = 3
AUDIT: Final = 4
ACK: Final = 5
STEP: Final = 6
PART: Final = 7
KIND_NAMES: Final = ("curves", "prices", "report", "result", "audit", "ack", "step", "part")
MAX_MESSAGE_BYTES: Final = 4_000_000
MAX_MESSAGE_ITEMS: Final = 1_000_000
MAX_TOPIC_BYTES: Final = 128
MAX_HOPS: Final = 2**31
MAX_MILLI_W: Final = 2**53


@dataclass(frozen=True, slots=True)
class Message:
    """One message between neighbours."""

    kind: int
    """One of the kinds above."""
    round: int
    """Number of the dispatch round that it belongs to."""
    attempt: int
    """Which attempt at the round, from 0."""
    hops: int
    """Longest way that what it rests on has come, in messages."""
    body: Value
    """What the kind carries."""

    def encode(self) -> bytes:
        """Return the bytes that travel."""
        return encode_trusted(
            (MESSAGE_TYPE, VERSION, self.kind, self.round, self.attempt, self.hops, self.body)
        )


def decode_message(data: bytes) -> Message:
    """Return the message in `data`; raises DecodeError."""
    value = decode(data, max_bytes=MAX_MESSAGE_BYTES, max_items=MAX_MESSAGE_ITEMS)
    match value:
        case (95, 1, int(kind), int(number), int(attempt), int(hops), body) if (
            has_types(value[:6], (int,) * 6)
            and 0 <= kind <= PART
            and 0 <= number < 2**63
            and 0 <= attempt < 256
            and 0 <= hops < MAX_HOPS
        ):
            return Message(kind, number, attempt, hops, body)
    raise DecodeError("not a message between boards of this version")


def curves_body(curves: list[Curve]) -> Value:
    """Return curves as a message carries them."""
    return tuple(
        tuple((encode_integer(price), encode_integer(power)) for price, power in curve)
        for curve in curves
    )


def read_curves(body: Value, intervals: int) -> list[Curve]:
    """Return the curves of a message; raises DecodeError unless each rises and none is empty."""
    if not isinstance(body, tuple) or len(body) != intervals:
        raise DecodeError("curves for another number of intervals", expected=intervals)
    found = []
    for entry in body:
        curve = tuple(_pair(point) for point in _array(entry))
        if not curve or any(
            after[0] < before[0] or after[1] < before[1] for before, after in pairwise(curve)
        ):
            raise DecodeError("a curve is empty or falls")
        found.append(curve)
    return found


def prices_body(told: list[tuple[int, int]]) -> Value:
    """Return prices and flows as a message carries them."""
    return tuple((encode_integer(price), encode_integer(flow)) for price, flow in told)


def read_prices(body: Value, intervals: int) -> list[tuple[int, int]]:
    """Return the prices and flows of a message; raises DecodeError."""
    entries = _array(body)
    if len(entries) != intervals:
        raise DecodeError("prices for another number of intervals", expected=intervals)
    return [_pair(entry) for entry in entries]


def report_body(part: Subtree) -> Value:
    """Return a part of the result as a message carries it."""
    return (
        tuple((bus, tuple(map(encode_integer, prices))) for bus, prices in part.prices.items()),
        tuple((unit, tuple(powers)) for unit, powers in part.powers_w.items()),
    )


def read_report(body: Value, intervals: int) -> Subtree:
    """Return the part of the result in a message; raises DecodeError."""
    found = Subtree({}, {})
    sections = _array(body)
    if len(sections) != 2:
        raise DecodeError("a report has prices and powers")
    for entry in _array(sections[0]):
        name, prices = _named(entry, intervals)
        found.prices[name] = [_wide(price) for price in prices]
    for entry in _array(sections[1]):
        name, powers = _named(entry, intervals)
        if any(type(power) is not int for power in powers):
            raise DecodeError("a power is an integer")
        found.powers_w[name] = [int(str(power)) for power in powers]
    return found


def step_body(calm: int, lines: Sequence[Sequence[Told]]) -> Value:
    """Return a step as a message carries it."""
    return (
        encode_integer(calm),
        tuple(
            tuple((encode_integer(flow), encode_integer(angle)) for flow, angle in told)
            for told in lines
        ),
    )


def read_step(body: Value, lines: int, intervals: int) -> tuple[int, list[list[Told]]]:
    """Return the bits and, for each line, what a step tells; raises DecodeError."""
    parts = _array(body)
    if len(parts) != 2:
        raise DecodeError("a step has bits and lines")
    found = [[_pair(entry) for entry in _array(line)] for line in _array(parts[1])]
    if len(found) != lines or any(len(line) != intervals for line in found):
        raise DecodeError("a step for other lines or intervals", expected=(lines, intervals))
    if any(abs(number) > MAX_TOLD for line in found for told in line for number in told):
        raise DecodeError("a step tells what no line carries")
    return _wide(parts[0]), found


def part_body(part: MeshPart) -> Value:
    """Return where a mesh's part ended as a message carries it."""
    return (
        tuple((line, tuple(flows)) for line, flows in part.flows_milli_w.items()),
        tuple((unit, tuple(powers)) for unit, powers in part.powers_milli_w.items()),
    )


def read_part(body: Value, intervals: int) -> MeshPart:
    """Return the part of a mesh in a message; raises DecodeError."""
    sections = _array(body)
    if len(sections) != 2:
        raise DecodeError("a part has flows and powers")
    return MeshPart(_figures(sections[0], intervals), _figures(sections[1], intervals))


def covers(subscription: str, topic: str) -> bool:
    """Tell whether a subscription to a topic or a higher level of it covers `topic`."""
    return topic == subscription or topic.startswith(subscription + "/")


def _figures(section: Value, intervals: int) -> dict[str, list[int]]:
    found = {}
    for entry in _array(section):
        name, figures = _named(entry, intervals)
        if any(type(figure) is not int or abs(figure) > MAX_MILLI_W for figure in figures):
            raise DecodeError("a flow or power is an integer that a network carries")
        found[name] = [int(str(figure)) for figure in figures]
    return found


def _named(entry: Value, intervals: int) -> tuple[str, tuple[Value, ...]]:
    match entry:
        case (str(name), tuple(figures)) if len(figures) == intervals:
            return name, figures
    raise DecodeError("a report names a bus or unit with a figure for each interval")


def _pair(entry: Value) -> tuple[int, int]:
    parts = _array(entry)
    if len(parts) != 2:
        raise DecodeError("a point has two numbers")
    return _wide(parts[0]), _wide(parts[1])


def _wide(value: Value) -> int:
    if type(value) is not bytes:
        raise DecodeError("a wide number is a byte string")
    return decode_integer(value)


def _array(value: Value) -> tuple[Value, ...]:
    if type(value) is not tuple:
        raise DecodeError("this is no array", actual=type(value).__name__)
    return value

"""The network model: buses, lines and the slack bus, in integers, with checks that find everything.

It is the one model of a grid in this project: markets trade over it, dispatch rounds are computed
and proved on it, and readers of foreign formats produce it. What trades need of a radial network
is its orientation: each bus's parent on the way to the slack bus, so that the path between two
buses is found in steps of their depth, not of the size of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vm.primitives.address import check_name
from vm.primitives.errors import InvalidInput

MAX_BUSES: Final = 200_000
MAX_LINES: Final = 400_000
MAX_RATING_W: Final = 2**43
"""Highest rating, so that an interval's capacity in milliwatt-hours stays below 2^63."""
MAX_REACTANCE_NANO_OHM: Final = 2**62
MINUTES_WITHOUT_INTERVAL: Final = 60
"""Length that stands for 'no delivery interval': a line then carries its rating over one hour."""

SLACK_PARENT: Final = -1


@dataclass(frozen=True, slots=True)
class Bus:
    """A point of the network to which members connect."""

    name: str
    """Its name, unique in the network."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line or transformer between two buses; flow counts positive from `from_bus` to `to_bus`."""

    name: str
    """Its name, unique in the network."""
    from_bus: str
    """Name of the bus at its beginning."""
    to_bus: str
    """Name of the bus at its end."""
    rating_w: int | None
    """Power it may carry in either direction, watts; None for a line without a limit."""
    reactance_nano_ohm: int
    """Reactance, referred to one voltage for the whole network; radial trading does not use it."""
    owner: str
    """Name of the member that owns it; empty if that is the distribution company of the market."""


@dataclass(frozen=True, slots=True)
class Network:
    """Buses and lines in a fixed order, which numbers them from 0."""

    slack: str
    """Name of the slack bus, where the network meets the grid above."""
    buses: tuple[Bus, ...]
    """All buses."""
    lines: tuple[Line, ...]
    """All lines."""


@dataclass(frozen=True, slots=True)
class NetworkFinding:
    """One thing that is wrong with a network."""

    code: str
    """What kind of thing, e.g. `unknown_bus`."""
    subject: str
    """Name of the bus or line."""
    message: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bus stands in a radial network."""

    parent: int
    """Number of the next bus towards the slack bus; SLACK_PARENT at the slack bus itself."""
    line: int
    """Number of the line to the parent; SLACK_PARENT at the slack bus."""
    direction: int
    """1 if that line runs from this bus to the parent, -1 if the other way, 0 at the slack bus."""
    depth: int
    """Number of lines between this bus and the slack bus."""


def check_network(network: Network) -> tuple[NetworkFinding, ...]:
    """Return everything that is wrong with `network`, meshed or radial."""
    findings: list[NetworkFinding] = []
    if not 1 <= len(network.buses) <= MAX_BUSES:
        findings.append(_finding("size", "", f"a network has 1 to {MAX_BUSES} buses"))
    if len(network.lines) > MAX_LINES:
        findings.append(_finding("size", "", f"a network has at most {MAX_LINES} lines"))
    buses = [bus.name for bus in network.buses]
    findings += _check_names("bus", buses)
    findings += _check_names("line", [line.name for line in network.lines])
    known = {name: number for number, name in enumerate(buses)}
    if network.slack not in known:
        findings.append(
            _finding("unknown_bus", network.slack, f"the slack bus {network.slack!r} is no bus")
        )
    for line in network.lines:
        findings += _check_line(line, known)
    return tuple(findings + _check_islands(network, known))


def check_radial(network: Network) -> tuple[NetworkFinding, ...]:
    """Return everything that is wrong with `network` as one whose lines form a tree."""
    known = {bus.name: number for number, bus in enumerate(network.buses)}
    groups = _Groups(len(network.buses))
    closing = [
        _finding("cycle", line.name, f"line {line.name!r} closes a cycle; a radial one has none")
        for line in network.lines
        if line.from_bus in known
        and line.to_bus in known
        and line.from_bus != line.to_bus
        and not groups.join(known[line.from_bus], known[line.to_bus])
    ]
    return (*check_network(network), *closing)


def validate_network(network: Network, *, radial: bool) -> None:
    """Raise InvalidInput `invalid_network`, which lists all findings, unless there are none."""
    findings = check_radial(network) if radial else check_network(network)
    if findings:
        raise InvalidInput(
            "the network is not sound: " + "; ".join(finding.message for finding in findings[:50]),
            code="invalid_network",
            expected="no findings",
            actual=f"{len(findings)} findings",
        )


def orient(network: Network) -> tuple[Place, ...]:
    """Return the place of every bus of a radial network that was checked, in the buses' order."""
    known = {bus.name: number for number, bus in enumerate(network.buses)}
    neighbours: list[list[tuple[int, int, int]]] = [[] for _ in network.buses]
    for number, line in enumerate(network.lines):
        start, end = known[line.from_bus], known[line.to_bus]
        neighbours[start].append((end, number, -1))
        neighbours[end].append((start, number, 1))
    root = known[network.slack]
    places = {root: Place(SLACK_PARENT, SLACK_PARENT, 0, 0)}
    reached = [root]
    for bus in reached:
        for other, line_number, direction in neighbours[bus]:
            if other not in places:
                places[other] = Place(bus, line_number, direction, places[bus].depth + 1)
                reached.append(other)
    return tuple(places[number] for number in range(len(network.buses)))


def line_capacity_milli_wh(rating_w: int, interval_minutes: int) -> int:
    """Return the energy that a line carries in one delivery interval, milliwatt-hours.

    `interval_minutes` 0 stands for a market without intervals: the rating over one hour.
    """
    return rating_w * 1_000 * (interval_minutes or MINUTES_WITHOUT_INTERVAL) // 60


class _Groups:
    """Sets of connected buses (union-find)."""

    __slots__ = ("_parents",)

    def __init__(self, size: int) -> None:
        self._parents = list(range(size))

    def find(self, member: int) -> int:
        """Return the representative of the group of `member`."""
        parents = self._parents
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    def join(self, left: int, right: int) -> bool:
        """Make one group of two; False if they were one already."""
        left, right = self.find(left), self.find(right)
        self._parents[max(left, right)] = min(left, right)
        return left != right


def _finding(code: str, subject: str, message: str) -> NetworkFinding:
    return NetworkFinding(code, subject, message)


def _check_names(kind: str, names: Sequence[str]) -> list[NetworkFinding]:
    findings = []
    seen: dict[str, int] = {}
    for name in names:
        if not check_name(name):
            findings.append(_finding("invalid_name", name, f"{kind} {name[:40]!r} is not a name"))
        seen[name] = seen.get(name, 0) + 1
    findings += [
        _finding("duplicate", name, f"{kind} {name!r} occurs {count} times")
        for name, count in seen.items()
        if count > 1
    ]
    return findings


def _check_line(line: Line, known: dict[str, int]) -> list[NetworkFinding]:
    what = f"line {line.name!r}"
    findings = [
        _finding("unknown_bus", line.name, f"{what} ends at {end!r}, which is no bus")
        for end in (line.from_bus, line.to_bus)
        if end not in known
    ]
    if line.from_bus == line.to_bus:
        findings.append(_finding("loop", line.name, f"{what} begins and ends at the same bus"))
    if line.rating_w is not None and not 0 <= line.rating_w <= MAX_RATING_W:
        findings.append(
            _finding("rating", line.name, f"{what} has a rating beyond 0 to {MAX_RATING_W} W")
        )
    if not 0 <= line.reactance_nano_ohm <= MAX_REACTANCE_NANO_OHM:
        findings.append(_finding("reactance", line.name, f"{what} has a reactance out of range"))
    if line.owner and not check_name(line.owner):
        findings.append(_finding("invalid_name", line.name, f"{what}: its owner is not a name"))
    return findings


def _check_islands(network: Network, known: dict[str, int]) -> list[NetworkFinding]:
    if network.slack not in known:
        return []
    groups = _Groups(len(network.buses))
    for line in network.lines:
        if line.from_bus in known and line.to_bus in known:
            groups.join(known[line.from_bus], known[line.to_bus])
    slack = groups.find(known[network.slack])
    return [
        _finding("island", name, f"bus {name!r} is not connected to the slack bus")
        for name, number in known.items()
        if groups.find(number) != slack
    ]

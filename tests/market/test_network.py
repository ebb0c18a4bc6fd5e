"""The network model: findings all at once, orientation, capacities."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from market.network import (
    MAX_RATING_W,
    Bus,
    Line,
    Network,
    check_network,
    check_radial,
    line_capacity_milli_wh,
    orient,
    validate_network,
)
from vm.primitives.errors import InvalidInput
from vm.primitives.integers import MAX_AMOUNT


def line(name: str, start: str, end: str, rating_w: int | None = 1) -> Line:
    return Line(name, start, end, rating_w, 0, "")


def network(buses: str, *lines: Line, slack: str = "a") -> Network:
    return Network(slack, tuple(Bus(name) for name in buses.split()), lines)


def codes(findings: Sequence[object]) -> list[tuple[str, str]]:
    return [(finding.code, finding.subject) for finding in findings]  # type: ignore[attr-defined]


def test_a_sound_network_has_no_findings() -> None:
    found = network("a b c", line("1", "a", "b"), line("2", "c", "b", None))
    assert check_radial(found) == ()
    validate_network(found, radial=True)


def test_everything_that_is_wrong_is_found_at_once() -> None:
    found = Network(
        "nowhere else",
        (Bus("a"), Bus("b"), Bus("a"), Bus("no name")),
        (
            line("1", "a", "x"),
            line("1", "b", "b"),
            Line("2", "a", "b", -1, -1, "no owner"),
            line("3", "a", "b", MAX_RATING_W + 1),
        ),
    )
    assert codes(check_network(found)) == [
        ("invalid_name", "no name"),
        ("duplicate", "a"),
        ("duplicate", "1"),
        ("unknown_bus", "nowhere else"),
        ("unknown_bus", "1"),
        ("loop", "1"),
        ("rating", "2"),
        ("reactance", "2"),
        ("invalid_name", "2"),
        ("rating", "3"),
    ]
    with pytest.raises(InvalidInput, match="begins and ends") as caught:
        validate_network(found, radial=False)
    assert caught.value.code == "invalid_network"
    assert caught.value.actual == "10 findings"


def test_islands_are_found_bus_by_bus() -> None:
    found = network("a b c d", line("1", "a", "b"), line("2", "c", "d"))
    assert codes(check_network(found)) == [("island", "c"), ("island", "d")]


def test_a_cycle_is_fine_in_a_meshed_network_only() -> None:
    ring = network("a b c", line("1", "a", "b"), line("2", "b", "c"), line("3", "c", "a"))
    assert check_network(ring) == ()
    assert codes(check_radial(ring)) == [("cycle", "3")]
    parallel = network("a b", line("1", "a", "b"), line("2", "b", "a"))
    assert codes(check_radial(parallel)) == [("cycle", "2")]


def test_an_empty_network_is_refused() -> None:
    assert ("size", "") in codes(check_network(Network("a", (), ())))


@pytest.mark.parametrize("seed", range(20))
def test_every_bus_finds_its_way_to_the_slack_bus(seed: int) -> None:
    random = Random(seed)
    print(f"seed {seed}")
    size = random.randint(1, 40)
    names = [f"b{number}" for number in range(size)]
    lines = []
    for number in range(1, size):
        ends = [names[number], names[random.randrange(number)]]
        random.shuffle(ends)
        lines.append(line(f"l{number}", ends[0], ends[1]))
    random.shuffle(lines)
    found = Network(random.choice(names), tuple(map(Bus, names)), tuple(lines))
    places = orient(found)
    for number, place in enumerate(places):
        if place.depth == 0:
            assert names[number] == found.slack
            continue
        used = found.lines[place.line]
        assert (names[number], names[place.parent]) == (
            (used.from_bus, used.to_bus) if place.direction == 1 else (used.to_bus, used.from_bus)
        )
        assert places[place.parent].depth == place.depth - 1


def test_a_feeder_of_thirteen_thousand_buses_is_checked_and_oriented() -> None:
    names = [f"b{number}" for number in range(13_000)]
    lines = tuple(line(f"l{n}", names[n], names[n - 1]) for n in range(1, len(names)))
    found = Network(names[0], tuple(map(Bus, names)), lines)
    assert check_radial(found) == ()
    assert orient(found)[-1].depth == 12_999


def test_capacity_is_the_rating_over_the_interval_or_over_an_hour_without_one() -> None:
    assert line_capacity_milli_wh(5_000, 60) == 5_000_000
    assert line_capacity_milli_wh(5_000, 0) == 5_000_000
    assert line_capacity_milli_wh(5_000, 15) == 1_250_000
    assert line_capacity_milli_wh(1, 30) == 500
    assert line_capacity_milli_wh(MAX_RATING_W, 60) <= MAX_AMOUNT

"""Registers of a meter as they come in, and what the chain makes of them: leaves and events."""

from __future__ import annotations

from market.meters.records import CHUNK_SPACE, CONNECTION_SPACE, GAPS_SPACE
from tests.market.meters.world import SECTION, Metered
from tests.vectors.kinds import Json, to_json
from tests.vectors.primitive_inputs import Inputs

ROLLOVER = 1_000_000

Step = list[Json]


def meter_inputs() -> Inputs:
    """Return sequences of `[until, interval]`, `[deadline, interval]` and `[submit, …]`.

    Intervals count from the meter's first one; registers are injection and withdrawal.
    """
    gap: list[Step] = [["until", 3], ["submit", 3, [[999_900 - ROLLOVER + 1_103, 7]]]]
    accepted: dict[str, list[Step]] = {
        "in time": [["until", 1], ["submit", 0, [[999_950, 0], [999_960, 30]]]],
        "roll-over in a gap": gap,
        "split gap": [*gap, ["submit", 1, [[401, 7]]]],
        "late batch": [
            ["deadline", 6],
            ["submit", 6, [[700, 70]]],
            ["submit", 1, [[0, 1], [100, 2], [100, 3], [222, 4]]],
        ],
        "true-up": [["until", 20], ["submit", 20, [[2_000, 40]]]],
        "register below final energies": [
            ["until", 14],
            ["submit", 14, [[1_400, 0]]],
            ["until", 17],
            ["submit", 9, [[100, 0]]],
        ],
        "mean of a day before": [
            ["until", 1],
            ["submit", 0, [[999_950, 0], [999_960, 30]]],
            ["deadline", 97],
        ],
    }
    refused: dict[str, list[Step]] = {
        "future": [["until", 0], ["submit", 0, [[0, 0], [0, 0]]]],
        "too late": [["until", 20], ["submit", 3, [[0, 0]]]],
        "twice": [*gap, ["submit", 3, [[1_003, 7]]]],
        "other registers": [*gap, ["submit", 3, [[1_004, 7]]]],
        "falling": [*gap, ["submit", 1, [[1_004, 7]]]],
        "above the roll-over": [["until", 0], ["submit", 0, [[ROLLOVER, 0]]]],
        "too much": [["until", 0], ["submit", 0, [[999_900, 800_000]]]],
    }
    return [_case(*item) for item in accepted.items()], [_case(*item) for item in refused.items()]


def _case(name: str, steps: list[Step]) -> dict[str, Json]:
    section = {**SECTION, "meters": [], "max_power_w": 3_000}
    registered = [999_900, 0, ROLLOVER]
    return {"name": name, "section": section, "registered": registered, "steps": steps}


def run_meters(case: dict[str, Json]) -> Json:
    """Return the connection's leaf, its chunks, and what the module told."""
    world = Metered(section=case["section"])
    ids = world.ids
    world.ask("DSO", "register", ids["M1"], ids["H1"], world.first, *case["registered"])
    for name, place, *rest in case["steps"]:
        if name == "submit":
            world.submit("M1", place, *[tuple(register) for register in rest[0]])
        elif name == "until":
            world.until_end_of(place)
        else:
            world.until_deadline_of(place)
    world.commit()
    return {
        "connection": world.state.values[CONNECTION_SPACE + ids["H1"]].hex(),
        "chunks": _slots(world, CHUNK_SPACE),
        "gaps": _slots(world, GAPS_SPACE),
        "events": [to_json(event[1:]) for event in world.events if event[0] == "meters"],
    }


def _slots(world: Metered, space: bytes) -> Json:
    """Return the leaves of the member's ring in a space, by slot."""
    own = space + world.ids["H1"]
    return {
        key[-2:].hex(): value.hex()
        for key, value in sorted(world.state.values.items())
        if key.startswith(own)
    }

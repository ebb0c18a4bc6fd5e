"""Inputs of the vectors for leaving a day market: steps of members, and what stays of them.

The network is that of `tests/market/day/day_world.py`: members A to E with meters in the market
`local`, of quarters of an hour that are settled an hour and final three hours after their end. In
the output are the leaves of members and of how far the market is, and what it told of members.
"""

from __future__ import annotations

from tests.market.day.day_world import QUARTER, DayWorld, step
from tests.market.support import kwh, tokens
from tests.vectors.kinds import Json, to_json
from tests.vectors.primitive_inputs import Inputs

KEYS = (b"Dm", b"Dk", b"Dx", b"Df")
EVENTS = ("join", "leave", "left", "pay_arrears")
FINAL = 14
"""Quarters after an interval's beginning in which it is corrected, and the next ones settled."""


def run_leaving(case: dict[str, Json]) -> Json:
    """From steps to what the market told of members, and its leaves of them."""
    world = DayWorld(balance=str(case["balance"]))
    now = world.time_ms // QUARTER
    for what, *arguments in case["steps"]:
        if what == "quarters":
            world.go(world.time_ms + arguments[0] * QUARTER)
        elif what == "trade":
            for name, side in zip(arguments, ("buy", "sell"), strict=True):
                world.place(name, side, step("1", "20"))
        elif what == "withdraw":
            name, energy = arguments
            first = world.time_ms // QUARTER - 2
            registers = ((0, 0), (0, kwh(energy)))
            world.call("M" + name, "submit", first, registers, module="meters")
        elif what == "give":
            call = (world.ids[arguments[0]], tokens("1000"), "")
            world.call("U", "transfer", *call, module="accounts")
        elif what == "pay_arrears":
            world.ask(arguments[0], what, "local", world.ids[arguments[0]])
        else:
            world.ask(arguments[0], what, "local")
    world.commit()
    return {
        "first_interval": now,
        "told": [
            [name, *[to_json(value) for value in values]]  # type: ignore[arg-type]
            for module, name, values in world.events
            if module == "day" and name in EVENTS
        ],
        "state": {
            key.hex(): value.hex()
            for key, value in sorted(world.state.values.items())
            if key[:2] in KEYS
        },
    }


def leaving_inputs() -> Inputs:
    """Members that leave; refused is the last step of each of the others."""
    owing: list[Json] = [
        ["quarters", 1],
        ["leave", "A"],
        ["quarters", 1],
        ["withdraw", "A", "9"],
        ["quarters", FINAL],
    ]
    accepted: list[Json] = [
        {"name": "at once", "steps": [["leave", "A"]]},
        {"name": "and is gone", "steps": [["leave", "A"], ["quarters", FINAL]]},
        {"name": "and joins again", "steps": [["leave", "A"], ["quarters", FINAL], ["join", "A"]]},
        {
            "name": "after its contract was delivered",
            "steps": [["trade", "A", "B"], ["quarters", 10], ["leave", "A"], ["quarters", FINAL]],
        },
        {"name": "and stays while it owes", "steps": owing},
        {
            "name": "and is gone once it has paid",
            "steps": [*owing, ["give", "A"], ["pay_arrears", "A"], ["quarters", 2]],
        },
    ]
    refused: list[Json] = [
        {"name": "twice", "steps": [["leave", "A"], ["leave", "A"]]},
        {"name": "joins too early", "steps": [["leave", "A"], ["join", "A"]]},
        {"name": "joins though it is in", "steps": [["join", "A"]]},
        {"name": "with orders", "steps": [["trade", "A", "B"], ["leave", "B"]]},
        {"name": "no member", "steps": [["leave", "U"]]},
        {"name": "orders while it leaves", "steps": [["leave", "A"], ["trade", "A", "B"]]},
    ]
    return [{"balance": 200} | case for case in accepted], [
        {"balance": 200} | case for case in refused
    ]

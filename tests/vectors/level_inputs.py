"""A storage's level from round to round: certificates that are proved, rounds that fall back.

At bus B of two stand a plant that is cheap in the first hour and dear in the second, a load of
100 W, and a storage; nothing but the storage's numbers and the steps differs.
"""

from __future__ import annotations

from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_codec import encode_certificate
from market.dispatch_levels import level_key
from market.dispatch_records import decode_area
from tests.market.dispatch_world import DispatchWorld
from tests.vectors.kinds import Json, to_json
from tests.vectors.primitive_inputs import Inputs
from vm.primitives.codec import encode_integer
from vm.primitives.errors import CallError

PRICE = 10**17
NUMBERS = [50, 50, 0, 0, 950_001, 1_050_000, 0, 100_000, 20_000, 20_000]
NIGHT, DAY = 10 * PRICE, 90 * PRICE
STORE_PRICE = DAY // 1_050_000
ROUND_MS = 20_000

Step = list[Json]


def level_inputs() -> Inputs:
    """Return sequences of `[prove, certificate]`, `[fall_back]`, `[register, ten numbers]`."""
    day: Step = ["prove", _certificate(50, 45)]
    stated = [*NUMBERS[:8], 40_000, 20_000]
    accepted: dict[str, list[Step]] = {
        "one day": [day],
        "two days: what rounding down left is not lost": [day, day],
        "a day without a proof": [day, ["fall_back"], day],
        "registered anew with the same numbers": [day, ["register", list(NUMBERS)], day],
        "registered anew with other numbers": [day, ["register", list(stated)]],
    }
    refused: dict[str, list[Step]] = {
        "idle is no optimum": [["prove", _certificate(0, 0)]],
        "below what a day must leave": [["prove", _certificate(50, 50)]],
        "ends with more than it begins with": [
            ["register", [*NUMBERS[:8], 10_000, 20_000]],
        ],
    }
    return (
        [{"name": name, "storage": NUMBERS, "steps": steps} for name, steps in accepted.items()],
        [{"name": name, "storage": NUMBERS, "steps": steps} for name, steps in refused.items()],
    )


def run_levels(case: dict[str, Json]) -> Json:
    """Return the leaf after each step, what the next round begins with, and what was told."""
    world = DispatchWorld(intervals=2)
    world.register("gas", "B", "generator", (0, NIGHT, 0, 1_000), (0, DAY, 0, 1_000))
    world.register("house", "B", "load", (0, 9_000 * PRICE, -100, -100))
    _register(world, case["storage"])
    prefix = decode_area(world.overlay.get(b"dagrid") or b"").prefix
    leaves: list[Json] = []
    for name, *rest in case["steps"]:
        if name == "register":
            _register(world, rest[0])
        else:
            found = world.open()
            if name == "prove":
                certificate = bytes.fromhex(rest[0])
                answer = world.send("board", found.number, found.problem_hash, certificate)
                if answer != (True, ""):
                    raise CallError(answer[1], "the certificate was refused")
            else:
                world.advance(ROUND_MS)
        leaf = world.overlay.get(level_key(prefix, 3))
        leaves.append(None if leaf is None else leaf.hex())
    (storage,) = world.problem(world.open().number).storages
    told = ("move_levels", "keep_levels", "levels_pending")
    return {
        "leaves": leaves,
        "next_milli_wh": storage.energy_start_milli_wh,
        "events": [[event, to_json(values)] for _, event, values in world.events if event in told],
    }


def _register(world: DispatchWorld, numbers: list[int]) -> None:
    wide = tuple(encode_integer(number) for number in numbers)
    owner = world.ids["house"]
    world.act("operator", "register", "grid", "cellar", owner, "B", "storage", (), wide)


def _certificate(charge_w: int, discharge_w: int) -> str:
    return encode_certificate(
        Certificate(
            (
                IntervalResult(
                    (NIGHT, NIGHT),
                    (100 + charge_w, -100),
                    storages=(StorageResult(charge_w, 0, STORE_PRICE),),
                ),
                IntervalResult(
                    (DAY, DAY),
                    (100 - discharge_w, -100),
                    storages=(StorageResult(0, discharge_w, STORE_PRICE),),
                ),
            )
        )
    ).hex()

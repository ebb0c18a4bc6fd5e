"""A network with every mechanism: the built-in one and auctions, quotas, response, dispatch."""

from __future__ import annotations

import json
import time
from importlib.resources import files
from pathlib import Path
from typing import Final

from market.auction.orders import BUY, SELL
from tests.e2e.support import KWH, TOKEN, Commands, Json
from tools.calls import (
    announce_quota,
    call_response,
    demand_quota,
    enrol_response,
    open_response,
    order_response,
    place_order,
    submit_registers,
)
from tools.rule_changes import parse_changes, proposal_call, vote_call
from tools.session import Session
from vm.runtime import Call

HOSTILE: Final = "<img src=x onerror=alert(1)>\u202egnp.exe"
"""What members may write, and browsers must not take for markup."""
SOLUTION: Final = Path(__file__).with_name("feeder_solution.json")
"""What `bitenergy dispatch solve` gives for the area's first round."""
OFFERED: Final = ((2 * KWH, 8 * TOKEN), (3 * KWH, 11 * TOKEN))
WANTED: Final = ((3 * KWH, 20 * TOKEN), (2 * KWH, 10 * TOKEN))
HOUR_MS: Final = 3_600_000
METERED_HOURS: Final = 4
DAY_TERMS: Final = {
    "name": "homes",
    "account": "EDC",
    "upstream": "S1",
    "interval_minutes": 60,
    "retail": "35",
    "feed_in": "8",
    "gates": [{"kind": "real_time", "minutes": 5}],
    "members": ["P1"],
}
REGISTERS: Final = ((KWH, 0), (3 * KWH, KWH // 2), (3 * KWH, 2 * KWH))
"""Of P1's meter at the ends of its first hours: injected and withdrawn so far."""
QUICK_MS: Final = 1_500
DEADLINE_S: Final = 30.0

AUCTIONS: Final = (
    {
        "name": "day-ahead",
        "mechanism": "uniform",
        "sealed": False,
        "market": "feeder",
        "account": "EDC",
        "interval_minutes": 60,
        "gate_minutes": 30,
        "max_price": "35",
    },
    {
        "name": "quick",
        "mechanism": "uniform",
        "sealed": False,
        "account": "EDC",
        "minute_ms": 100,
        "gate_minutes": 5,
        "max_price": "35",
    },
    {
        "name": "quick-sealed",
        "mechanism": "huang",
        "account": "EDC",
        "minute_ms": 1_000,
        "gate_minutes": 10,
        "opening_minutes": 8,
        "deposit": "5",
        "max_price": "35",
    },
    {
        "name": "sealed",
        "mechanism": "huang",
        "account": "EDC",
        "gate_minutes": 40,
        "opening_minutes": 30,
        "deposit": "5",
        "max_price": "35",
    },
)
"""One over the feeder, one whose quarter of an hour lasts 1.5 s, and two with sealed orders."""
METERS: Final = {"M1": "P1", "M2": "P2", "M3": "C1", "M4": "C2"}
"""Who is metered; only the first meter is read."""
HOURS: Final = 24
DEAR: Final = 300 * 10**18
CHEAP: Final = 90 * 10**18


def write_template(path: Path, *, engine: str = "poa") -> None:
    """Write the template to `path`, for `bitenergy testnet init --genesis`."""
    template: Json = json.loads(files("genesis").joinpath("testnet.json").read_text("utf-8"))
    modules = template["modules"]
    assert isinstance(modules, dict)
    modules["auction"] = {"auctions": list(AUCTIONS)}
    modules["quota"] = {"penalty_price": "224"}
    modules["response"] = {"account": "EDC", "upstream_price": "35", "past_intervals": 3}
    modules["dispatch"] = {"areas": [_area()]}
    members = template["members"]
    assert isinstance(members, list)
    members += [{"name": meter, "roles": ["meter"]} for meter in METERS]
    meters = [{"meter": meter, "member": member} for meter, member in METERS.items()]
    modules["meters"] = {"interval_minutes": 60, "meters": meters}
    modules["day"] = {"markets": [DAY_TERMS]}
    plant = {"plant": "roof", "member": "P1", "technology": "solar", "capacity_w": 20_000}
    modules["certificates"] = {"unit_kwh": 1, "period_intervals": 1, "plants": [plant]}
    # Some hours before now, so that there are intervals to read meters for.
    template["time_ms"] = time.time_ns() // 1_000_000 - METERED_HOURS * HOUR_MS
    if engine == "pos":
        modules["staking"] = {
            "token": "money",
            "block_reward": "1",
            "unbonding_minutes": 420,
            "min_stake": "10",
        }
    path.write_text(json.dumps(template | {"engine": {"name": engine, "parameters": {}}}), "utf-8")


def _area() -> Json:
    """Return a day of dispatch: the sun at N3, loads at N2 and N4, the rest upstream."""
    hours = range(HOURS)
    return {
        "name": "feeder",
        "market": "feeder",
        "intervals": HOURS,
        "deadline_ms": 600_000,
        "reward": "2",
        "bond": "1",
        "pot": "10",
        "units": [
            _unit("grid", "S1", "Station", "generator", [(0, 20_000)] * HOURS, DEAR),
            _unit("sun", "P2", "N3", "generator", [(0, _sun_w(hour)) for hour in hours], CHEAP),
            _unit("home1", "C1", "N2", "load", [(-_load_w(hour), 0) for hour in hours], 4 * DEAR),
            _unit("home2", "C2", "N4", "load", [(-_load_w(hour), 0) for hour in hours], 2 * DEAR),
        ],
    }


def _unit(
    name: str, owner: str, bus: str, kind: str, ranges_w: list[tuple[int, int]], price: int
) -> Json:
    bids = [
        {"a": str(10**15), "b": str(price), "lo_w": low, "hi_w": high} for low, high in ranges_w
    ]
    return {"name": name, "owner": owner, "bus": bus, "kind": kind, "bids": bids}


def _sun_w(hour: int) -> int:
    return max(0, 9_000 - 250 * (hour - 12) ** 2)


def _load_w(hour: int) -> int:
    return 3_000 + 350 * (12 - abs(hour - 19))


def play(commands: Commands) -> None:
    """Let members do something with each mechanism; what runs stays open for an hour at least.

    Each member's calls are one transaction: first who opens rounds, then who takes part.
    """
    home = Path(commands.settings["BITENERGY_HOME"])
    session = Session(home, timeout_s=DEADLINE_S, as_json=True)
    now_ms = time.time_ns() // 1_000_000
    later = [(now_ms // HOUR_MS + hours) * HOUR_MS for hours in (2, 3, 4, 5, 6)]
    day, quick = now_ms // HOUR_MS + 3, now_ms // QUICK_MS + 4
    times = (later[0], later[1], later[3], later[4])
    called = call_response("down", (KWH, 2 * KWH), 5 * TOKEN, 2 * TOKEN, times)
    change = parse_changes(["market.spot.penalty_price=0.25"])[0]
    acts: tuple[tuple[str, tuple[Call, ...]], ...] = (
        ("EDC", (announce_quota(12_000, 6 * TOKEN, later),)),
        (
            "operator",
            (
                open_response(later[0], later[1]),
                called,
                proposal_call(change, 100_000, HOSTILE),
                ("dispatch", "open", ("feeder", 0)),
            ),
        ),
        ("operator", (vote_call(1, "yes"),)),
        (
            "P1",
            (
                place_order(
                    "day-ahead", day, "sell", ((2 * KWH, 8 * TOKEN), (3 * KWH, 11 * TOKEN))
                ),
                place_order("quick", quick, "sell", ((2 * KWH, 8 * TOKEN),)),
                order_response(SELL, 1, 2 * KWH, 8 * TOKEN),
            ),
        ),
        (
            "C1",
            (
                place_order(
                    "day-ahead", day, "buy", ((3 * KWH, 20 * TOKEN), (2 * KWH, 10 * TOKEN))
                ),
                place_order("quick", quick, "buy", ((KWH, 12 * TOKEN),)),
                demand_quota(1, 7_000),
                order_response(BUY, 1, 3 * KWH, 30 * TOKEN),
            ),
        ),
        ("M1", (submit_registers(now_ms // HOUR_MS - METERED_HOURS, REGISTERS),)),
        ("C2", (demand_quota(1, 11_000), enrol_response(1, (KWH // 2, KWH)))),
    )
    try:
        for name, calls in acts:
            session.send(session.open_signer(name), calls)
    finally:
        session.client().close()
    commands.run("dispatch", "submit", "1", str(SOLUTION), "--from", "P2")

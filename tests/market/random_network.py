"""The network in which `tests.market.random_calls` draws: members, markets, and terms of votes."""

from __future__ import annotations

from typing import Any

MINUTE = 60_000
QUARTER = 15 * MINUTE
HOMES = tuple(f"H{number}" for number in range(8))
ROLES = (
    "operator",
    "validator",
    "edc",
    "dso",
    "prosumer",
    "consumer",
    "meter",
    "board",
    "aggregator",
    "supplier",
)
NETWORK = {
    "slack": "n1",
    "buses": ["n1", "n2", "n3"],
    "lines": [
        {"name": "L1", "from": "n2", "to": "n1", "rating_w": 6_000},
        {"name": "L2", "from": "n3", "to": "n2", "rating_w": 4_000},
    ],
}
INTRADAY = {"kind": "intraday", "minutes": 60}
REAL_TIME = {"kind": "real_time", "minutes": 5}
DAY = {
    "account": "Op",
    "upstream": "U",
    "zone": {"offset_minutes": 60, "rule": "eu"},
    "retail": "30",
    "feed_in": "10",
    "penalty": "4",
    "max_energy_kwh": "20",
    "keep_days": 1,
}
SEALED = {"sealed": True, "deposit": "0.5"}
MODULES_SECTIONS: dict[str, Any] = {
    "market": {"markets": [{"name": "grid", "network": NETWORK}]},
    "meters": {
        "deadline_minutes": 15,
        "correction_minutes": 60,
        "retention_days": 3,
        "mean_days": 1,
        "meters": [{"meter": "M" + name, "member": name} for name in HOMES[:6]],
    },
    "quota": {"penalty_price": "224.3", "billed_minutes": 15},
    "auction": {
        "auctions": [
            {"name": "bids", "account": "Op", "mechanism": "pay_as_bid", "sealed": False},
            {"name": "zones", "account": "Op", "sealed": False, "market": "grid"},
            {"name": "huang", "account": "Op", "mechanism": "huang", "deposit": "0.1"},
        ]
    },
    "response": {"upstream_price": "0.5", "account": "Op", "past_intervals": 1},
    "day": {
        "markets": [
            {"name": "local", **DAY, "members": list(HOMES[:3]), "gates": [INTRADAY, REAL_TIME]},
            {
                "name": "sealed",
                **DAY,
                "gates": [{**INTRADAY, **SEALED, "mechanism": "huang"}, REAL_TIME],
            },
            {"name": "wires", **DAY, "feeder": "grid", "gates": [REAL_TIME]},
        ]
    },
    "certificates": {
        "unit_kwh": "0.1",
        "period_intervals": 2,
        "validity_days": 1,
        "technologies": ["solar"],
        "coins": {"market": "local", "earned": "1", "lost": "1"},
        "plants": [
            {
                "plant": "roof",
                "owner": "H0",
                "member": "H0",
                "technology": "solar",
                "capacity_w": 9_000,
            }
        ],
    },
    "governance": {
        "voters": {"operator": 1},
        "quorum": [1, 2],
        "threshold": [1, 2],
        "voting_period_ms": 10 * MINUTE,
        "notice_blocks": 1,
    },
}
TERMS = {
    ("day", "local"): {
        "retail_micro_per_kwh": (10_000_000, 60_000_000),
        "keep_days": (1, 3),
        "penalty_micro_per_kwh": (0, 9_000_000),
        "max_energy_milli_wh": (10**6, 3 * 10**7),
    },
    ("certificates", ""): {"validity_days": (1, 3), "unit_milli_wh": (1, 10**6)},
    ("quota", ""): {"penalty_price_micro_per_kwh": (0, 10**9)},
}
CALLED = ("accounts", "market", "meters", "quota", "auction", "response", "day", "certificates")


TRADERS = ("prosumer", "consumer")
ACCOUNTS = (
    *("to", "member", "account", "station", "reader"),
    *("owner", "first", "second", "beneficiary"),
)
"""Arguments that are accounts."""
COUNTERS = {"event": "response_event", "lot": "certificate_lot", "offer_id": "offer"}
"""Arguments that are numbers of what was counted, and the counters."""
PROFILES = ("profile_milli_wh", "promised_milli_wh", "measured_milli_wh")
NUMBERS = (0, 1, 7, 1_000, 10**5, 10**6, 10**6, 20 * 10**6, 2**63 - 1)
VALUES: dict[str, tuple[Any, ...]] = {
    "market": ("local", "sealed", "wires"),
    "auction": ("bids", "zones", "huang"),
    "order": tuple(range(1, 9)),
    "side": ("buy", "sell"),
    "steps": tuple([((e, p * 10**6),) for e in (1, 10**6) for p in (12, 20, 28)]),
    "last_gate": (0, 1, 255, 255),
    "memo": ("",),
    "purpose": ("",),
    "direction": ("down", "up"),
    "registers": (((1, 1),),),
    "final": ((),),
    "plant": ("roof", "PH1", "PH2"),
    "technology": ("solar",),
    "line": ("L1",),
    "policy": ("ignore", "skip", "penalty"),
    "penalty_payee": ("seller",),
    "allow_partial": (True, True, False),
    "past_milli_wh": (((0,),),),
    "count": (1, 1, 2, 5),
    "most_steps": (1,),
}
"""What other arguments may be; those that are not here are one of NUMBERS."""
SENDERS = (*HOMES, "U", "D", "Op")


def roles_of(name: str) -> tuple[str, ...]:
    """Return the roles with which a member begins."""
    own = {"O": "operator", "V": "validator", "U": "supplier", "M": "meter"}.get(name[0])
    if own is not None:
        return (own,)
    return ("dso", "operator") if name == "D" else ("prosumer", "consumer", "aggregator")

"""Votes on a chain with a day market, and the shadow of one: what changes, and from when on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market.day.bills import find_record
from market.day.lines import RETAIL
from market.day.records import read_market, read_version
from market.day.settlement_records import FIRST
from tests.ledger.support import TIME_MS, genesis_document, id_of, key_of
from tests.node.api import support
from tests.node.api.support import KWH, TOKEN, FakeNode
from tests.tools.test_shadow import bill_changes, compare
from vm.runtime import Call

MINUTE_MS = 20
INTERVAL_MS = 15 * MINUTE_MS
PER_DAY = 96
HOMES = ("A", "B", "C")
START = TIME_MS // INTERVAL_MS
PER_BLOCK = 1_000 // INTERVAL_MS + 1
TERMS = {
    "name": "local",
    "account": "Op",
    "upstream": "Sup",
    "minute_ms": MINUTE_MS,
    "retail": "30",
    "feed_in": "10",
    "max_energy_kwh": "20",
    "gates": [{"kind": "real_time", "minutes": 5}],
    "members": list(HOMES),
}
LATE = START + 2 * PER_DAY
"""An interval of the day after tomorrow, which has not opened when the chain begins."""


def make_document() -> bytes:
    """Return the genesis of a network with a day market of three homes, on a clock of its own."""
    meters = {
        "minute_ms": MINUTE_MS,
        "deadline_minutes": 150,
        "correction_minutes": 60,
        "meters": [{"meter": "M" + name, "member": name} for name in HOMES],
    }
    votes = {"voters": {"operator": 1}, "voting_period_ms": 2_000, "notice_blocks": 1}
    modules = {"meters": meters, "day": {"markets": [TERMS]}, "governance": votes}
    known = genesis_document()["roles"]
    assert isinstance(known, list)
    document: dict[str, Any] = genesis_document(
        modules=modules, roles=[*known, "meter", "supplier"]
    )
    people = {"Sup": "supplier", **dict.fromkeys(HOMES, "prosumer")}
    people |= {"M" + name: "meter" for name in HOMES}
    document["members"] += [
        {"name": name, "roles": [role], "balance": "1000", "key": key_of(name).hex()}
        for name, role in people.items()
    ]
    return json.dumps(document).encode()


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    monkeypatch.setattr(support, "make_document", make_document)
    fake = FakeNode(tmp_path / "node")
    yield fake
    fake.store.close()


def go(node: FakeNode, interval: int) -> None:
    """Make blocks until an interval has begun."""
    while time_ms(node) < interval * INTERVAL_MS:
        node.grow()


def time_ms(node: FakeNode) -> int:
    head = node.store.head(node.store.height)
    assert head is not None
    return head.header.time_ms


def place(node: FakeNode, name: str, interval: int, side: str, price: int) -> str:
    """Place an order of a kilowatt-hour; return the code of its receipt."""
    call = ("day", "place", ("local", interval, side, ((KWH, price * TOKEN),), 255))
    return send(node, {name: call})[0]


def send(node: FakeNode, calls: dict[str, Call]) -> list[str]:
    """Send a call of each of some members in one block; return the codes."""
    executed = node.grow(*[node.transaction(*each) for each in calls.items()]).executed
    own = executed.receipts[executed.first_transaction :]
    return [receipt.code for receipt in own[: len(calls)]]


def settle(node: FakeNode, interval: int, *, turn: int = 0) -> None:
    """Have A and B trade, C withdraw 2 kWh from upstream, and go until all is paid."""
    go(node, interval - 8)
    step = ((KWH, 20 * TOKEN),)
    orders: dict[str, Call] = {
        name: ("day", "place", ("local", interval, side, step, 255))
        for name, side in (("A", "buy"), ("B", "sell"))
    }
    assert send(node, orders) == ["", ""]
    go(node, interval + 1)
    readings = {"A": (0, KWH), "B": (KWH, 0), "C": (0, 2 * KWH)}
    calls: dict[str, Call] = {
        "M" + name: (
            "meters",
            "submit",
            (interval - 1, tuple([(count * into, count * out) for count in (turn, turn + 1)])),
        )
        for name, (into, out) in readings.items()
    }
    assert send(node, calls) == [""] * 3
    go(node, interval + 16)


def retail_paid(node: FakeNode, name: str, interval: int) -> int:
    """Return what a member paid upstream for an interval."""
    market = read_market(node.store, "local")
    assert market is not None
    found = find_record(node.store, market, interval, FIRST, id_of(name))
    assert found is not None
    lines = found[1].lines(read_version(node.store, market, interval), FIRST)
    return sum(line.amount_micro for line in lines if line.kind == RETAIL)


def test_a_vote_holds_for_intervals_that_have_not_opened(node: FakeNode) -> None:
    values = (("retail_micro_per_kwh", 40 * TOKEN),)
    proposal = ("day", "local", values, node.store.height + 6, "")
    assert send(node, {"Op": ("governance", "propose_parameters", proposal)}) == [""]
    vote: Call = ("governance", "vote", (1, "yes"))
    assert send(node, {"Op": vote, "Op2": vote}) == ["", ""]
    while node.store.height < 8:
        node.grow()
    market = read_market(node.store, "local")
    assert market is not None and market.retail_micro_per_kwh == 40 * TOKEN
    opened = market.since - 1
    # It came into force with the block before height 6; the first gate opens a day ahead.
    assert market.since == (TIME_MS + 5_000) // INTERVAL_MS + PER_DAY + 1
    assert place(node, "A", opened, "buy", 35) == "price_out_of_range"
    settle(node, opened)
    assert retail_paid(node, "C", opened) == 60 * TOKEN
    settle(node, LATE, turn=1)
    assert retail_paid(node, "C", LATE) == 80 * TOKEN
    assert place(node, "A", LATE + 40, "buy", 35) == ""


def test_a_shadow_bills_intervals_that_had_not_opened_at_other_tariffs(
    node: FakeNode, tmp_path: Path
) -> None:
    settle(node, START + 12)
    settle(node, LATE, turn=1)
    root = node.store.head(node.store.height).header.state_root  # type: ignore[union-attr]
    report, _ = compare(node, tmp_path, "day.local.retail=40")
    assert report["live_state_root"] == root.hex()
    assert report["broken_invariants"] == report["broken_invariants_live"] == []
    assert report["shadow"]["failures"] == {}
    assert bill_changes(report) == {"C": 20 * TOKEN, "A": 0, "B": 0}
    assert [entry["live"]["day_micro"] for entry in report["members"]] == [
        120 * TOKEN,
        40 * TOKEN,
        -40 * TOKEN,
    ]
    same, _ = compare(node, tmp_path / "late", "day.local.retail=40", first=node.store.height)
    assert bill_changes(same) == {}, "nothing is billed after the fork"

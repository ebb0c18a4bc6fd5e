"""The shadow of a small chain: what it checks, what it finds, and what it reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.module import MarketModule
from node.modules import MODULES
from node.upgrades import Support
from tests.ledger.support import id_of
from tests.node.api import support
from tests.node.api.support import KWH, TOKEN, FakeNode
from tools.rule_changes import change_words, parse_changes, proposal_call
from tools.shadow.drawing import draw_bills
from tools.shadow.replay import LiveReplay, ShadowReplay
from tools.shadow.report import Comparison, Stores, report_json
from tools.shadow.run import _compare
from tools.shadow.tally import check_conservation, read_day_bills
from vm.context import CallContext
from vm.primitives.errors import BitenergyError, CallError, InvalidInput
from vm.system.account_leaf import load_account, read_account, save_account
from vm.system.governance_records import Change


class LeakingMarket(MarketModule):
    """A next version with a bug: whoever buys finds money on the road."""

    def end_block(self, ctx: CallContext) -> None:
        leaf = load_account(ctx, id_of("P2"))
        leaf.money_micro += 1
        save_account(ctx, id_of("P2"), leaf)


class FallingMarket(MarketModule):
    """A next version with a worse bug."""

    def end_block(self, ctx: CallContext) -> None:
        raise ZeroDivisionError("energy without hours")


def with_market(version: type[MarketModule]) -> Support:
    """Return a software that has `version` as the market's second."""
    return Support(modules={**MODULES, "market": {**MODULES["market"], 2: lambda _: version()}})


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeNode]:
    """A chain in which P2 bought 1 kWh beyond its limit with P1."""
    fake = FakeNode(tmp_path / "node")
    fake.trade()
    buy = ("market", "buy", ("local", 0, KWH // 4, 11 * TOKEN, False))
    fake.grow(fake.transaction("P2", buy))
    fake.grow(fake.transaction("P2", ("accounts", "transfer", (id_of("P1"), 5, ""))))
    yield fake
    fake.store.close()


def block_of(node: FakeNode, height: int) -> tuple[bytes, bytes, bytes]:
    """Return a block as the API gives it."""
    head, body = node.store.head_bytes(height), node.store.body_bytes(height)
    assert head is not None and body is not None
    return head[0], head[1], body


def compare(
    node: FakeNode, folder: Path, *texts: str, first: int = 1, support: Support | None = None
) -> tuple[dict, Comparison]:
    """Return the report on the whole chain of `node`."""
    changes = parse_changes(texts)
    live = LiveReplay(folder / "live", node.genesis, support or Support())
    found = Comparison(changes, first)
    shadow: ShadowReplay | None = None
    for height in range(1, node.store.height + 1):
        if height == first:
            shadow = live.fork(folder / "shadow", changes)
            found.day_bills = read_day_bills(live.chain.store)
        block = live.take(*block_of(node, height))
        if shadow is not None and not _compare(found, block, shadow):
            break
    assert shadow is not None
    report = report_json(found, Stores(live.chain.store, shadow.chain.store))
    live.close()
    shadow.close()
    return report, found


def bill_changes(report: dict) -> dict[str, int]:
    """Return by how much each member's bill differs."""
    return {entry["name"]: entry["bill_change_micro"] for entry in report["members"]}


def test_a_dearer_penalty_changes_the_bills_of_those_beyond_the_limit(
    node: FakeNode, tmp_path: Path
) -> None:
    root = node.store.head(node.store.height).header.state_root
    report, _ = compare(node, tmp_path, "market.local.penalty_price=0.5")
    assert report["live_state_root"] == root.hex()
    assert bill_changes(report) == {"P1": -100_000, "P2": 100_000}, "0.25 kWh at 0.4 more"
    assert report["markets"][0]["live"]["energy_milli_wh"] == KWH * 5 // 4
    assert report["broken_invariants"] == []
    drawn = draw_bills(report)
    assert ">P2<" in drawn and "+0.10<" in drawn and "-0.10<" in drawn
    later, _ = compare(node, tmp_path / "late", "market.local.penalty_price=0.5", first=4)
    assert bill_changes(later) == {}, "the trade lies before the fork"
    assert "No bill would change" in draw_bills(later)


def test_what_the_shadow_refuses_leaves_no_gap_behind_it(node: FakeNode, tmp_path: Path) -> None:
    report, found = compare(node, tmp_path, "market.local.line_policy=skip")
    assert report["shadow"]["failures"] == {"not_enough_offers": 1}
    assert found.shadow.transactions == found.live.transactions == 5
    priced, found = compare(node, tmp_path / "fee", "chain.gas_price_micro=1")
    assert priced["shadow"]["failures"] == {"refused: max_fee": 5}
    assert found.shadow.transactions == 0


def test_a_version_that_makes_money_is_found_out(node: FakeNode, tmp_path: Path) -> None:
    support = with_market(LeakingMarket)
    report, _ = compare(node, tmp_path, "module.market=2", support=support)
    [broken] = report["broken_invariants"]
    assert "money of all accounts" in broken
    assert report["broken_invariants_live"] == check_conservation(node.store) == []


def test_a_version_that_falls_over_is_reported_with_its_height(
    node: FakeNode, tmp_path: Path
) -> None:
    support = with_market(FallingMarket)
    report, _ = compare(node, tmp_path, "module.market=2", first=3, support=support)
    [broken] = report["broken_invariants"]
    assert "stopped at height 3" in broken and "energy without hours" in broken


def test_a_node_that_lies_is_not_believed(node: FakeNode, tmp_path: Path) -> None:
    header, certificate, body = block_of(node, 1)
    other = block_of(node, 2)
    lies = [
        (header, b"", body),
        (header, certificate[:-1] + bytes([certificate[-1] ^ 1]), body),
        (header, other[1], body),
        (header, certificate, other[2]),
        other,
        (header[:-1], certificate, body),
    ]
    live = LiveReplay(tmp_path / "live", node.genesis)
    for lie in lies:
        with pytest.raises(BitenergyError):
            live.take(*lie)
    assert live.take(header, certificate, body).header.height == 1
    live.close()


def test_changes_that_cannot_be_made_are_refused(node: FakeNode, tmp_path: Path) -> None:
    for text in ("market.local.line_policy=x", "chain.gas_price_micro=9999999999", "engine=pow"):
        with pytest.raises(CallError):
            compare(node, tmp_path / text, text)


@pytest.mark.parametrize(
    ("texts", "change"),
    [
        (
            ["market.a.b.penalty_price=0.2", "market.a.b.default_pair_limit_kwh=none"],
            Change(
                "parameters",
                "market",
                "a.b",
                (("default_pair_limit_milli_wh", None), ("penalty_price_micro_per_kwh", 200_000)),
            ),
        ),
        (["governance.quorum=1/2"], Change("parameters", "governance", "", (("quorum", "1/2"),))),
        (["engine.b=2", "engine=x", "engine.a=1"], Change("engine", "x", "", (("a", 1), ("b", 2)))),
        (
            ["day.local.retail=30.5", "day.local.deposit=1", "day.local.max_energy_kwh=20"],
            Change(
                "parameters",
                "day",
                "local",
                (
                    ("deposit_micro", 1_000_000),
                    ("max_energy_milli_wh", 20_000_000),
                    ("retail_micro_per_kwh", 30_500_000),
                ),
            ),
        ),
        (
            ["certificates.unit_kwh=0.5", "certificates.validity_days=9"],
            Change(
                "parameters",
                "certificates",
                "",
                (("unit_milli_wh", 500_000), ("validity_days", 9)),
            ),
        ),
        (
            ["response.upstream_price=35", "response.highest=2"],
            Change(
                "parameters",
                "response",
                "",
                (("highest", 2), ("upstream_price_micro_per_kwh", 35_000_000)),
            ),
        ),
        (
            ["auction.noon.max_price=35", "auction.noon.max_energy_kwh=0.5"],
            Change(
                "parameters",
                "auction",
                "noon",
                (("max_energy_milli_wh", 500_000), ("max_price_micro_per_kwh", 35_000_000)),
            ),
        ),
        (["module.market=2"], Change("module", "market", "", (("version", 2),))),
    ],
)
def test_changes_as_people_write_them(texts: list[str], change: Change) -> None:
    assert parse_changes(texts) == (change,)
    module, _, arguments = proposal_call(change, 9, "why")
    assert module == "governance" and arguments[-2:] == (9, "why")
    written = change_words(change.kind, change.name, change.subject, dict(change.values)).split()
    assert parse_changes(written) == (change,), "what is shown can be typed"


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "x=", "=1", "chain=1", "chain.a=b", "market.spot=1", "market.spot.weather=1"),
        *("engine.a=1", "module.market=two", "market.spot.max_price=cheap", "a.b=1"),
        *("day.local=1", "day.local.zone=1", "certificates.coins=1", "certificates.roof.earned=1"),
    ],
)
def test_what_is_no_change_is_refused_with_words(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_changes([text])
    assert str(caught.value)
    with pytest.raises(InvalidInput):
        parse_changes(["chain.a=1", "chain.a=1"])


def test_the_makers_of_blocks_earn_in_the_shadow_what_they_earned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reward and the fees of a block go to who made the live one."""
    document = json.loads(support.make_document())
    document["modules"]["reward"] = {"block": "2.5"}
    monkeypatch.setattr(support, "make_document", lambda: json.dumps(document).encode())
    fake = FakeNode(tmp_path / "node")
    fake.trade()
    maker = fake.store.head(1).header.proposer
    earned = read_account(fake.store, maker).money_micro
    assert earned >= fake.store.height * 2_500_000
    report, found = compare(fake, tmp_path, "chain.max_expiry_blocks=90000")
    assert report["broken_invariants"] == [] and not any(bill_changes(report).values())
    assert found.shadow.transactions == found.live.transactions > 0
    live = LiveReplay(tmp_path / "again", fake.genesis, Support())
    shadow = live.fork(tmp_path / "shade", parse_changes(["chain.max_expiry_blocks=90000"]))
    for height in range(1, fake.store.height + 1):
        shadow.take(live.take(*block_of(fake, height)))
    assert read_account(shadow.chain.store, maker).money_micro == earned
    live.close()
    shadow.close()
    fake.store.close()

"""The two sides beside each other, as one JSON object and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.store import Store
from tools.amounts import format_kwh, format_tokens
from tools.output import print_lines, print_table
from tools.rule_changes import change_words
from tools.shadow.tally import (
    MarketSums,
    MemberSums,
    Tally,
    check_conservation,
    read_day_bills,
)
from vm.primitives.address import encode_address
from vm.system.accounts import read_account
from vm.system.governance_records import Change
from vm.system.members import read_member


@dataclass(slots=True)  # mutable: it grows with the blocks
class Comparison:
    """The live chain and its shadow, from the fork on."""

    changes: Sequence[Change]
    """What the shadow does otherwise."""
    first: int
    """First height under the other rules."""
    live: Tally = field(default_factory=Tally)
    """What happened."""
    shadow: Tally = field(default_factory=Tally)
    """What would have happened."""
    broken: list[str] = field(default_factory=list)
    """Invariants that the shadow broke."""
    day_bills: dict[bytes, int] = field(default_factory=dict)
    """What day markets had billed each member before the fork, micro-tokens."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The two final states."""

    live: Store
    """As the network decided."""
    shadow: Store
    """As it would be."""


def report_json(found: Comparison, stores: Stores) -> dict[str, object]:
    """Return all of a comparison."""
    broken = [*found.broken, *check_conservation(stores.shadow)]
    head = stores.live.head(stores.live.height)
    return {
        "changes": [
            change_words(change.kind, change.name, change.subject, dict(change.values))
            for change in found.changes
        ],
        "from": found.first,
        "to": stores.live.height,
        "live_state_root": (head.header.state_root if head else b"").hex(),
        "live": _totals(found.live),
        "shadow": _totals(found.shadow),
        "markets": [
            {
                "market": name,
                "live": _market(found.live.markets.get(name, MarketSums())),
                "shadow": _market(found.shadow.markets.get(name, MarketSums())),
            }
            for name in sorted({*found.live.markets, *found.shadow.markets})
        ],
        "members": _members(found, stores),
        "broken_invariants": broken,
        "broken_invariants_live": check_conservation(stores.live),
    }


def print_report(report: dict[str, object]) -> None:
    """Print a comparison as tables."""
    print_lines(
        f"Shadow of heights {report['from']} to {report['to']} under: "
        + "; ".join(map(str, _list(report, "changes"))),
        "The live chain was executed beside it; all its roots are those of its headers.",
    )
    live, shadow = _object(report, "live"), _object(report, "shadow")
    rows = [
        [name, live[name], shadow[name]] for name in ("blocks", "transactions", "failed", "gas")
    ]
    failures = sorted({*_object(live, "failures"), *_object(shadow, "failures")})
    for code in failures:
        counts = [_object(side, "failures").get(code, 0) for side in (live, shadow)]
        rows.append([f"  {code}", *counts])
    print_table("Blocks", ["", ">live", ">shadow"], rows)
    print_table(
        "Markets",
        ["market", "", ">live", ">shadow"],
        [row for entry in _list(report, "markets") for row in _market_rows(entry)],
    )
    print_table(
        "Bills of members (below 0: earned more than paid)",
        ["member", ">live", ">shadow", ">change", ">balance live", ">balance shadow"],
        [
            [
                entry["name"],
                *(_tokens(entry["live"]["bill_micro"]), _tokens(entry["shadow"]["bill_micro"])),
                _tokens(entry["bill_change_micro"], signed=True),
                *(_tokens(entry[side]["balance_micro"]) for side in ("live", "shadow")),
            ]
            for entry in _list(report, "members")
        ],
    )
    broken = _list(report, "broken_invariants")
    print_lines(
        *(f"BROKEN in the shadow: {words}" for words in broken),
        *([] if broken else ["Tokens and energy are conserved in the shadow."]),
    )


def _totals(tally: Tally) -> dict[str, object]:
    return {
        "blocks": tally.blocks,
        "transactions": tally.transactions,
        "failed": sum(tally.failures.values()),
        "failures": dict(sorted(tally.failures.items())),
        "gas": tally.gas,
    }


def _market(sums: MarketSums) -> dict[str, object]:
    return {
        "trades": sums.trades,
        "energy_milli_wh": sums.energy_milli_wh,
        "amount_micro": sums.amount_micro,
        "penalty_micro": sums.penalty_micro,
        "mean_price_micro_per_kwh": sums.mean_price_micro_per_kwh,
    }


def _members(found: Comparison, stores: Stores) -> list[dict[str, object]]:
    """Return the members who traded or paid on either side, the most changed bill first."""
    for tally, store in ((found.live, stores.live), (found.shadow, stores.shadow)):
        for account, billed in read_day_bills(store).items():
            billed -= found.day_bills.get(account, 0)
            if billed or account in tally.members:
                tally.members.setdefault(account, MemberSums()).day_micro = billed
    entries: list[tuple[int, str, dict[str, object]]] = []
    for account in {**found.live.members, **found.shadow.members}:
        live = found.live.members.get(account, MemberSums())
        shadow = found.shadow.members.get(account, MemberSums())
        member = read_member(stores.live, account) or read_member(stores.shadow, account)
        name = member.name if member else encode_address(account)
        change = shadow.bill_micro - live.bill_micro
        entry: dict[str, object] = {
            "name": name,
            "address": encode_address(account),
            "live": _member(live, stores.live, account),
            "shadow": _member(shadow, stores.shadow, account),
            "bill_change_micro": change,
        }
        entries.append((-abs(change), name, entry))
    return [entry for _, _, entry in sorted(entries, key=lambda found: found[:2])]


def _member(sums: MemberSums, store: Store, account: bytes) -> dict[str, object]:
    leaf = read_account(store, account)
    return {
        "paid_micro": sums.paid_micro,
        "earned_micro": sums.earned_micro,
        "fees_micro": sums.fees_micro,
        "day_micro": sums.day_micro,
        "bill_micro": sums.bill_micro,
        "bought_milli_wh": sums.bought_milli_wh,
        "sold_milli_wh": sums.sold_milli_wh,
        "balance_micro": leaf.money_micro + leaf.money_reserved_micro if leaf else 0,
        "energy_milli_wh": leaf.energy_milli_wh + leaf.energy_reserved_milli_wh if leaf else 0,
    }


def _market_rows(entry: dict) -> list[list[object]]:
    rows: list[list[object]] = []
    for words, name, show in (
        ("trades", "trades", str),
        ("kWh", "energy_milli_wh", format_kwh),
        ("price per kWh", "mean_price_micro_per_kwh", format_tokens),
        ("paid", "amount_micro", format_tokens),
        ("penalties to owners", "penalty_micro", format_tokens),
    ):
        rows.append([entry["market"], words, *(show(entry[s][name]) for s in ("live", "shadow"))])
    return rows


def _tokens(micro: object, *, signed: bool = False) -> str:
    if not isinstance(micro, int):
        return str(micro)
    sign = "-" if micro < 0 else "+" if signed and micro else ""
    return sign + format_tokens(abs(micro))


def _list(report: dict[str, object], name: str) -> list:
    found = report[name]
    return found if isinstance(found, list) else []


def _object(report: dict[str, object], name: str) -> dict[str, object]:
    found = report[name]
    return found if isinstance(found, dict) else {}

"""`bitenergy auction demo`: a sealed strategy-proof auction on four validators, with a forfeit.

Members commit, one of them never opens. What every validator tells is compared with the same
auction computed here, beside the chain.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from market.auction.huang import clear_huang
from market.auction.orders import BUY, SELL, SIDE_NAMES, Order
from market.auction.rounds import commitment_of
from tools import calls
from tools.amounts import format_kwh, format_tokens, parse_energy, parse_price, parse_tokens
from tools.client import integer_field, list_field, object_field, text_field
from tools.demo_network import DemoNetwork, agree, demo_network, settled_validators
from tools.errors import EXIT_FAILED, EXIT_OK, Json
from tools.output import print_json, print_lines, print_table

TEMPLATE: Final = "sealed-auction.json"
AUCTION: Final = "sealed"
ORDERS: Final = (
    ("B1", BUY, (("4kWh", "34"),)),
    ("B2", BUY, (("3kWh", "30"), ("1kWh", "28"))),
    ("B3", BUY, (("2kWh", "22"),)),
    ("S1", SELL, (("5kWh", "9"),)),
    ("S2", SELL, (("3kWh", "12"),)),
    ("S3", SELL, (("4kWh", "20"),)),
)
FORFEITS: Final = "B4"
"""The member that commits and does not open."""
COVER: Final = ("200", "10kWh")
"""Money and energy that buyers and sellers set aside with a commitment."""
SALT_BYTES: Final = 32


def run_demo(*, stage_s: float, leave: bool, as_json: bool) -> int:
    """Hold the auction; return 0 only if every figure is as it has to be."""
    template: Json = json.loads(files("genesis").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    terms = list_field(object_field(object_field(template, "modules"), "auction"), "auctions")[0]
    before = {
        text_field(member, "name"): parse_tokens(text_field(member, "balance"))
        for member in list_field(template, "members")
    }
    with demo_network(template, name="auction", keep=not leave, quiet=as_json) as demo:
        accounts = _play(demo, terms, stage_s)
        validators = settled_validators(demo, list(before))
    events = validators[0].pop("events")
    told = [
        (text_field(event, "event"), object_field(event, "fields"))
        for event in (events if isinstance(events, list) else [])
        if event.get("module") == "auction"
    ]
    for other in validators[1:]:
        if other.pop("events") != events:
            other["state_root"] = "other events"
    summary = next(fields for name, fields in told if name == "clear")
    rows = sorted(
        [
            fields["member_name"],
            "buys" if name == "bought" else "sells",
            fields["energy_milli_wh"],
            fields["amount_micro"],
        ]
        for name, fields in told
        if name in ("bought", "sold")
    )
    forfeits = [fields["member_name"] for name, fields in told if name == "forfeit"]
    expected, surplus = _expected(accounts, bytes.fromhex(text_field(summary, "seed")))
    money = validators[0]["money_micro"]
    conserved = isinstance(money, dict) and sum(money.values()) == sum(before.values())
    ok = (
        agree(validators)
        and conserved
        and rows == expected
        and forfeits == [FORFEITS]
        and integer_field(summary, "surplus_micro") == surplus
    )
    answer = {
        "ok": ok,
        "buyer_price": _price(summary, "buyer_price_half_micro_per_kwh"),
        "seller_price": _price(summary, "seller_price_half_micro_per_kwh"),
        "surplus": format_tokens(surplus),
        "orders": rows,
        "forfeits": forfeits,
        "money_conserved": conserved,
        "validators": validators,
    }
    if as_json:
        print_json(answer)
    else:
        _print(answer, rows, validators)
    return EXIT_OK if ok else EXIT_FAILED


def _play(demo: DemoNetwork, terms: Json, stage_s: float) -> dict[str, bytes]:
    """Commit, open all but one, and wait for the clearing; return the members' accounts."""
    minute_ms = integer_field(terms, "minute_ms")
    length_ms = integer_field(terms, "interval_minutes") * minute_ms
    gate_ms = integer_field(terms, "gate_minutes") * minute_ms
    now_ms = time.time_ns() // 1_000_000
    interval = (now_ms + round(stage_s * 1000) + gate_ms) // length_ms + 1
    money, energy = parse_tokens(COVER[0]), parse_energy(COVER[1])
    accounts = {name: demo.session.resolve(name) for name, _, _ in ORDERS}
    accounts[FORFEITS] = demo.session.resolve(FORFEITS)
    salts = {name: secrets.token_bytes(SALT_BYTES) for name in accounts}
    commitments = [
        (
            name,
            [
                calls.commit_order(
                    AUCTION,
                    interval,
                    commitment_of(
                        AUCTION, interval, accounts[name], side, _steps(steps), salts[name]
                    ),
                    money if side == BUY else 0,
                    energy if side == SELL else 0,
                )
            ],
        )
        for name, side, steps in (*ORDERS, (FORFEITS, *ORDERS[0][1:]))
    ]
    receipts = demo.send_all(commitments)
    numbers = {
        name: receipt["values"][0] for (name, _), receipt in zip(commitments, receipts, strict=True)
    }
    time.sleep(max(0.0, (interval * length_ms - gate_ms) / 1000 - time.time()))
    demo.send_all(
        [
            (
                name,
                [
                    calls.open_order(
                        AUCTION,
                        interval,
                        numbers[name],
                        SIDE_NAMES[side],
                        _steps(steps),
                        salts[name],
                    )
                ],
            )
            for name, side, steps in ORDERS
        ]
    )
    demo.wait_for("auction", "clear", interval=interval)
    return accounts


def _expected(accounts: Mapping[str, bytes], seed: bytes) -> tuple[list[list[object]], int]:
    """Return the awards by member and the surplus, computed beside the chain."""
    orders: list[Order] = []
    owners: list[str] = []
    for name, side, steps in ORDERS:
        for step in _steps(steps):
            place = len(orders)
            orders.append(Order(place, accounts[name], side, *step, place))
            owners.append(name)
    clearing = clear_huang(orders, seed)
    found: dict[str, list[int]] = {name: [0, 0] for name, _, _ in ORDERS}
    for name, award in zip(owners, clearing.awards, strict=True):
        found[name][0] += award.energy_milli_wh
        found[name][1] += award.amount_micro
    rows = [[name, "buys" if side == BUY else "sells", *found[name]] for name, side, _ in ORDERS]
    return sorted(rows), clearing.surplus_micro


def _steps(steps: Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(parse_energy(energy), parse_price(price)) for energy, price in steps]


def _price(fields: Json, name: str) -> str:
    return format_tokens(integer_field(fields, name) // 2)


def _print(
    answer: Mapping[str, object],
    rows: Sequence[Sequence[object]],
    validators: Sequence[Mapping[str, object]],
) -> None:
    print_table(
        f"Sealed auction: buyers pay {answer['buyer_price']}, sellers get "
        f"{answer['seller_price']} tokens per kWh; surplus {answer['surplus']}",
        ["member", "", ">kWh", ">tokens"],
        [
            [name, what, format_kwh(int(str(energy))), format_tokens(int(str(amount)))]
            for name, what, energy, amount in rows
        ],
    )
    print_lines(
        f"Not opened, deposit forfeited: {', '.join(map(str, list(answer['forfeits'])))}",  # type: ignore[call-overload]
        *(f"{v['name']}  height {v['height']}  state {v['state_root']}" for v in validators),
        "",
        "Every figure is as computed." if answer["ok"] else "Figures differ.",
    )

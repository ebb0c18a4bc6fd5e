"""`bitenergy response demo`: two settlements and an event of demand response on four validators.

Four homes want more than a photovoltaic plant supplies. What every validator tells is compared with
the same rules computed here, beside the chain.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from market.auction.orders import BUY, SELL, Order
from market.response.stages import response_price_half_micro, settle_first, settle_second
from tools import calls
from tools.amounts import format_kwh, format_tokens, parse_energy, parse_price, parse_tokens
from tools.client import integer_field, list_field, object_field, text_field
from tools.demo_network import DemoNetwork, agree, demo_network, settled_validators
from tools.errors import EXIT_FAILED, EXIT_OK, Json
from tools.output import print_json, print_lines, print_table

TEMPLATE: Final = "demand-response.json"
ORDERS: Final = (
    ("H1", BUY, "4kWh", "34"),
    ("H2", BUY, "3kWh", "32"),
    ("H3", BUY, "3kWh", "31"),
    ("H4", BUY, "2kWh", "30"),
    ("PV1", SELL, "8kWh", "12"),
)
RESPONSES: Final = (("H1", "2kWh", "20"), ("H2", "1kWh", "25"))
"""Energy that members give up, and their lowest price for it."""
PROFILE: Final = ("3kWh", "3kWh")
PROMISES: Final = {"H1": ("2kWh", "2kWh"), "H2": ("1kWh", "1kWh")}
PAST: Final = {"H1": ("4kWh", "5kWh", "6kWh"), "H2": ("3kWh", "3kWh", "3kWh")}
MEASURED: Final = {"H1": ("3kWh", "2.5kWh"), "H2": ("3kWh", "2.5kWh")}
REWARDS: Final = {"H1": ("40.00", "0.00"), "H2": ("5.00", "26.00")}
"""Reward and penalty of each. H1 delivers 2 and 2 kWh. H2 delivers 0 and 0.5 of 1 and 1 kWh; a
tenth of each is tolerated, so 0.9 and 0.4 kWh are missing."""
REWARD_PRICE: Final = "10"
PENALTY_PRICE: Final = "20"
EVENT_MS: Final = 1_000


def run_demo(*, stage_s: float, leave: bool, as_json: bool) -> int:
    """Run a round and an event; return 0 only if every figure is as it has to be."""
    template: Json = json.loads(files("genesis").joinpath(TEMPLATE).read_text(encoding="utf-8"))
    terms = object_field(object_field(template, "modules"), "response")
    before = {
        text_field(member, "name"): parse_tokens(text_field(member, "balance"))
        for member in list_field(template, "members")
    }
    with demo_network(template, name="response", keep=not leave, quiet=as_json) as demo:
        _play_round(demo, round(stage_s * 1000))
        _play_event(demo, round(stage_s * 1000))
        validators = settled_validators(demo, list(before))
    events = validators[0].pop("events")
    told = events if isinstance(events, list) else []
    for other in validators[1:]:
        if other.pop("events") != events:
            other["state_root"] = "other events"
    expected = _expected(terms)
    settlements, prices, rewards = _told(told)
    money = validators[0]["money_micro"]
    conserved = isinstance(money, dict) and sum(money.values()) == sum(before.values())
    found = {
        "price": _price(integer_field(prices, "price_half_micro_per_kwh")),
        "response_price": _price(integer_field(prices, "response_price_half_micro_per_kwh")),
        **{stage: sorted(rows) for stage, rows in settlements.items()},
    }
    ok = (
        agree(validators)
        and conserved
        and all(found[name] == expected[name] for name in found)
        and rewards == {name: list(each) for name, each in REWARDS.items()}
    )
    answer = {
        "ok": ok,
        **found,
        "welfare_first": expected["welfare_first"],
        "welfare_second": expected["welfare_second"],
        "event_rewards_and_penalties": rewards,
        "money_conserved": conserved,
        "validators": validators,
    }
    if as_json:
        print_json(answer)
    else:
        _print(answer, settlements, rewards, validators)
    return EXIT_OK if ok else EXIT_FAILED


def _play_round(demo: DemoNetwork, stage_ms: int) -> None:
    now_ms = time.time_ns() // 1_000_000
    receipt = demo.send("DSO", calls.open_response(now_ms + stage_ms, now_ms + 2 * stage_ms))
    number = _number(receipt)
    demo.send_all(
        [
            (name, [calls.order_response(side, number, parse_energy(energy), parse_price(price))])
            for name, side, energy, price in ORDERS
        ]
    )
    demo.wait_for("response", "price", round=number)
    demo.send_all(
        [
            (name, [calls.reduce_demand(number, parse_energy(energy), parse_price(price))])
            for name, energy, price in RESPONSES
        ]
    )
    demo.wait_for("response", "settled", round=number)


def _play_event(demo: DemoNetwork, stage_ms: int) -> None:
    start_ms = time.time_ns() // 1_000_000 + stage_ms
    end_ms = start_ms + EVENT_MS
    receipt = demo.send(
        "DSO",
        calls.call_response(
            "down",
            [parse_energy(each) for each in PROFILE],
            parse_price(REWARD_PRICE),
            parse_price(PENALTY_PRICE),
            [start_ms - 1, start_ms, end_ms, end_ms + stage_ms],
        ),
    )
    number = _number(receipt)
    demo.send_all(
        [
            (name, [calls.enrol_response(number, _energies(promised))])
            for name, promised in PROMISES.items()
        ]
    )
    members = {name: demo.session.resolve(name) for name in PROMISES}
    demo.send(
        "meters",
        *(
            calls.record_past_response(number, members[name], [_energies(past)] * len(PROFILE))
            for name, past in PAST.items()
        ),
    )
    time.sleep(max(0.0, end_ms / 1000 - time.time()))
    demo.send(
        "meters",
        *(
            calls.record_response(number, members[name], _energies(measured))
            for name, measured in MEASURED.items()
        ),
    )
    demo.wait_for("response", "ended", number=number)


def _expected(terms: Json) -> dict[str, object]:
    """Return what both settlements come to by the rules, computed beside the chain."""
    orders = [
        Order(place, name.encode(), side, parse_energy(energy), parse_price(price), place)
        for place, (name, side, energy, price) in enumerate(ORDERS)
    ]
    first = settle_first(orders)
    price = response_price_half_micro(
        first.buyer_price_half_micro_per_kwh,
        alpha_percent=integer_field(terms, "alpha_percent"),
        upstream_price_micro=parse_price(text_field(terms, "upstream_price")),
    )
    wanted = [
        order._replace(
            energy_milli_wh=award.residual_milli_wh,
            price_micro_per_kwh=parse_price(text_field(terms, "upstream_price")),
        )
        for order, award in zip(orders, first.awards, strict=True)
        if order.side == BUY and award.residual_milli_wh
    ]
    given_up = [
        Order(-1 - place, name.encode(), SELL, parse_energy(energy), parse_price(least), place)
        for place, (name, energy, least) in enumerate(RESPONSES)
    ]
    second = settle_second(wanted, given_up, price)
    rows: dict[str, object] = {
        "price": _price(first.buyer_price_half_micro_per_kwh or 0),
        "response_price": _price(price),
        "welfare_first": format_tokens(first.welfare_pico // 10**6),
        "welfare_second": format_tokens(second.welfare_pico // 10**6),
    }
    for stage, book, clearing in (
        ("first", orders, first),
        ("second", [*wanted, *given_up], second),
    ):
        rows[stage] = sorted(
            [
                order.owner.decode(),
                "buys" if order.side == BUY else "sells",
                award.energy_milli_wh,
                award.amount_micro,
            ]
            for order, award in zip(book, clearing.awards, strict=True)
            if award.energy_milli_wh
        )
    return rows


def _told(
    told: Sequence[Json],
) -> tuple[dict[str, list[list[object]]], Json, dict[str, list[str]]]:
    """Return both settlements' rows, the prices, and rewards with penalties, from events."""
    settlements: dict[str, list[list[object]]] = {
        stage: [
            [fields["member_name"], _sign(name), fields["energy_milli_wh"], fields["amount_micro"]]
            for name, fields in _named(told)
            if name in (f"{stage}_bought", f"{stage}_sold")
        ]
        for stage in ("first", "second")
    }
    prices = next(fields for name, fields in _named(told) if name == "price")
    rewards = {
        str(fields["member_name"]): [
            format_tokens(integer_field(fields, "reward_micro")),
            format_tokens(integer_field(fields, "penalty_micro")),
        ]
        for name, fields in _named(told)
        if name == "settle"
    }
    return settlements, prices, rewards


def _named(events: Sequence[Json]) -> list[tuple[str, Json]]:
    return [
        (text_field(event, "event"), object_field(event, "fields"))
        for event in events
        if event.get("module") == "response"
    ]


def _print(
    answer: Mapping[str, object],
    settlements: Mapping[str, Sequence[Sequence[object]]],
    rewards: Mapping[str, Sequence[str]],
    validators: Sequence[Mapping[str, object]],
) -> None:
    for stage, rows in settlements.items():
        price = answer["price" if stage == "first" else "response_price"]
        welfare = answer[f"welfare_{stage}"]
        print_table(
            f"{stage.capitalize()} settlement at {price} tokens per kWh, welfare {welfare} tokens",
            ["member", "", ">kWh", ">tokens"],
            [
                [name, what, format_kwh(int(str(energy))), format_tokens(int(str(amount)))]
                for name, what, energy, amount in rows
            ],
        )
    print_table(
        "Event: reward and penalty against the baseline",
        ["member", ">reward", ">penalty"],
        [[name, *pair] for name, pair in rewards.items()],
    )
    print_lines(
        *(f"{v['name']}  height {v['height']}  state {v['state_root']}" for v in validators),
        "",
        "Every figure is as computed." if answer["ok"] else "Figures differ.",
    )


def _number(receipt: Json) -> int:
    values = receipt.get("values")
    return values[0] if isinstance(values, list) else 0


def _energies(texts: Sequence[str]) -> list[int]:
    return [parse_energy(each) for each in texts]


def _sign(event: str) -> str:
    return "buys" if event.endswith("bought") else "sells"


def _price(half_micro: int) -> str:
    return format_tokens(half_micro // 2)

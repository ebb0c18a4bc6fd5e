"""`bitenergy ev demo`: the published charging quotas, on four validators, beside the print.

The eight stations demand, pay the service fee, trade quotas and charge; one charges more than its
quota. What every validator says is compared with Tables 2 and 4 of the case file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.resources import files
from typing import Final

from tools import calls
from tools.amounts import parse_price
from tools.client import integer_field, list_field, object_field, text_field
from tools.demo_network import DemoNetwork, agree, demo_network, settled_validators
from tools.errors import EXIT_FAILED, EXIT_OK, Json
from tools.output import print_json, print_lines, print_table

CASE_FILE: Final = "ev_quota.json"
TEMPLATE: Final = "ev-quota.json"
W_PER_KW: Final = 1_000
CHARGING_MS: Final = 1_000
EXCESS_MILLI_WH: Final = 1_000_000
GREEDY: Final = "A"
"""The station that charges a kilowatt-hour more than its quota."""


def run_demo(*, pricing: str, stage_s: float, leave: bool, as_json: bool) -> int:
    """Run the round and print the tables; return 0 only if every figure is as it has to be."""
    case = _read(f"cases/{CASE_FILE}")
    template = _read(TEMPLATE)
    object_field(object_field(template, "modules"), "quota")["pricing"] = pricing
    before = {
        text_field(member, "name"): parse_price(text_field(member, "balance"))
        for member in list_field(template, "members")
    }
    with demo_network(template, name="ev", keep=not leave, quiet=as_json) as demo:
        _play(demo, case, stage_s)
        validators = settled_validators(demo, list(before))
    events = validators[0].pop("events")
    for other in validators[1:]:
        if other.pop("events") != events:
            other["state_root"] = "other events"
    rows = _rows(case, _figures(events if isinstance(events, list) else []), pricing)
    money = validators[0]["money_micro"]
    conserved = isinstance(money, dict) and sum(money.values()) == sum(before.values())
    ok = agree(validators) and conserved and all(_is_right(row) for row in rows)
    answer = {
        "ok": ok,
        "pricing": pricing,
        "stations": rows,
        "unbalanced_in_print": [row["station"] for row in rows if not row["payment_as_printed"]],
        "printed_payments_sum": str(sum(Decimal(str(row["printed_payment"])) for row in rows)),
        "payments_sum": str(sum(Decimal(str(row["payment"])) for row in rows)),
        "money_conserved": conserved,
        "validators": validators,
    }
    if as_json:
        print_json(answer)
    else:
        _print(answer, rows, validators)
    return EXIT_OK if ok else EXIT_FAILED


def _read(name: str) -> Json:
    found: Json = json.loads(files("genesis").joinpath(name).read_text(encoding="utf-8"))
    return found


def _play(demo: DemoNetwork, case: Json, stage_s: float) -> None:
    """Take a round through all of its stages."""
    stage_ms = round(stage_s * 1000)
    now_ms = time.time_ns() // 1_000_000
    demand_until, trade_until = now_ms + stage_ms, now_ms + 2 * stage_ms
    end = trade_until + CHARGING_MS
    capacity_w = _watts(text_field(case, "capacity_kw"))
    receipt = demo.send(
        "DSO",
        calls.announce_quota(
            capacity_w,
            _price_of(case),
            [demand_until, trade_until, trade_until, end, end + stage_ms],
        ),
    )
    number = _number(receipt)
    demands = object_field(case, "demand_kw")
    names = sorted(demands)
    demo.send_all(
        [(name, [calls.demand_quota(number, _watts(text_field(demands, name)))]) for name in names]
    )
    demo.wait_for("quota", "stage", round=number, stage="trade")
    orders = []
    for book, side in (("bids", "bid"), ("offers", "offer")):
        found = object_field(case, book)
        for name in sorted(found):
            power, price = found[name]
            call = calls.order_quota(side, number, _watts(power), parse_price(price))
            orders.append((name, [call]))
    demo.send_all(orders)
    demo.wait_for("quota", "stage", round=number, stage="delivery")
    quotas = {
        text_field(event, "station_name"): integer_field(event, "quota_w")
        for event in demo.told("quota", ("allocate", "bought", "sold"))
    }
    time.sleep(max(0.0, end / 1000 - time.time()))
    readings = []
    for name in names:
        energy = quotas[name] * CHARGING_MS // 3_600
        energy += EXCESS_MILLI_WH if name == GREEDY else 0
        readings.append(calls.record_charge(number, demo.session.resolve(name), energy))
    demo.send("meters", *readings)
    demo.wait_for("quota", "stage", round=number, stage="settled")
    demo.send_all([(name, [calls.withdraw_deposit(number)]) for name in names])


def _figures(events: Sequence[Json]) -> dict[str, dict[str, int]]:
    """Return what the chain told of each station; amounts in micro-tokens, powers in watts."""
    found: dict[str, dict[str, int]] = {}
    for event in events:
        if event.get("module") != "quota" or "station_name" not in event["fields"]:
            continue
        fields = object_field(event, "fields")
        own = found.setdefault(
            text_field(fields, "station_name"), {"payment": 0, "penalty": 0, "unpaid": 0}
        )
        match event.get("event"):
            case "allocate":
                own["first"] = own["last"] = integer_field(fields, "quota_w")
                own["fee"] = integer_field(fields, "fee_micro")
            case "bought" | "sold" as name:
                sign = 1 if name == "bought" else -1
                own["payment"] = sign * integer_field(fields, "amount_micro")
                own["last"] = integer_field(fields, "quota_w")
            case "penalty":
                own["penalty"] = integer_field(fields, "amount_micro")
    return found


def _rows(
    case: Json, found: Mapping[str, Mapping[str, int]], pricing: str
) -> list[dict[str, object]]:
    balanced = object_field(object_field(case, "balanced_auction_payment_token"), pricing)
    printed = object_field(case, "printed_auction_payment_token")
    rows: list[dict[str, object]] = []
    for name in sorted(object_field(case, "demand_kw")):
        own = found.get(name, {})
        payment = _rounded(own.get("payment", 0), 6, "0.1")
        rows.append(
            {
                "station": name,
                "demand_kw": text_field(object_field(case, "demand_kw"), name),
                "first_quota_kw": _rounded(own.get("first", 0), 3, "0.01"),
                "printed_first_quota_kw": text_field(object_field(case, "initial_quota_kw"), name),
                "service_fee": _rounded(own.get("fee", 0), 6, "0.01"),
                "printed_service_fee": text_field(object_field(case, "service_fee_token"), name),
                "payment": payment,
                "balanced_payment": text_field(balanced, name),
                "printed_payment": text_field(printed, name),
                "payment_as_printed": Decimal(payment) == Decimal(text_field(printed, name)),
                "quota_kw": str(Decimal(own.get("last", 0)) / W_PER_KW),
                "penalty": _rounded(own.get("penalty", 0), 6, "0.01"),
            }
        )
    return rows


def _is_right(row: Mapping[str, object]) -> bool:
    pairs = (
        ("first_quota_kw", "printed_first_quota_kw"),
        ("service_fee", "printed_service_fee"),
        ("payment", "balanced_payment"),
    )
    same = all(Decimal(str(row[ours])) == Decimal(str(row[theirs])) for ours, theirs in pairs)
    return same and (Decimal(str(row["penalty"])) > 0) == (row["station"] == GREEDY)


def _print(
    answer: Mapping[str, object],
    rows: Sequence[Mapping[str, object]],
    validators: Sequence[Mapping[str, object]],
) -> None:
    columns = [name for name in rows[0] if name not in ("payment_as_printed", "balanced_payment")]
    print_table(
        f"Charging quotas, price rule {answer['pricing']} (kW, tokens)",
        [f">{name}" for name in columns],
        [[row[name] for name in columns] for row in rows],
    )
    print_lines(
        *(f"{v['name']}  height {v['height']}  state {v['state_root']}" for v in validators),
        "",
        f"Printed payments that differ: {answer['unbalanced_in_print']}; the print adds up to "
        f"{answer['printed_payments_sum']}, ours to {answer['payments_sum']}.",
        "Every figure that balances is the printed one." if answer["ok"] else "Figures differ.",
    )


def _price_of(case: Json) -> int:
    """Return the tariff of the hour in which the period begins, in micro-tokens per kWh."""
    start = text_field(case, "delivery").split("-")[0]
    for entry in list_field(case, "tariff"):
        first, last = text_field(entry, "hours").split("-")
        if first <= start < last if first < last else start >= first or start < last:
            return parse_price(text_field(entry, "price"))
    raise ValueError(f"the case has no tariff for {start}")


def _number(receipt: Json) -> int:
    values = receipt.get("values")
    return values[0] if isinstance(values, list) else 0


def _watts(kilowatts: str) -> int:
    return int(Decimal(kilowatts) * W_PER_KW)


def _rounded(number: int, decimals: int, digits: str) -> str:
    return str(Decimal(number).scaleb(-decimals).quantize(Decimal(digits), ROUND_HALF_EVEN))

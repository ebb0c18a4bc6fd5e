"""What a final transaction did, for scripts and for people."""

from __future__ import annotations

from tools.commands.options import as_kwh, as_text, as_tokens, print_records
from tools.errors import FinalTransaction, Json
from tools.output import note, print_json, print_lines
from tools.session import Session


def print_outcome(session: Session, done: str, final: FinalTransaction, **more: object) -> None:
    """Print the id, height and receipt of a transaction that succeeded."""
    if session.as_json:
        print_json({"id": final.id, "height": final.height, "receipt": dict(final.receipt), **more})
        return
    waits = _approvals_missing(final)
    if waits:
        print_lines(f"approved; {waits}", f"transaction {final.id} in block {final.height}")
        note("Other operators must run the same command before it takes effect.")
        return
    if _is_late_approval(final):
        print_lines("enough operators had asked before; this call changed nothing")
        print_lines(f"transaction {final.id} in block {final.height}")
        note("See how things stand now. To make the same change again, all have to ask again.")
        return
    print_lines(done, f"transaction {final.id} in block {final.height}")


def events(receipt: Json, name: str) -> list[Json]:
    """Return the receipt's events called `name`, in order: `fields` by name, `values` in order."""
    listed = receipt.get("events")
    return [
        event
        for event in (listed if isinstance(listed, list) else [])
        if isinstance(event, dict) and event.get("event") == name
    ]


def print_trades(final: FinalTransaction) -> None:
    """Print what a purchase bought from whom, at which prices, and what it cost in all."""
    fills = [event.get("fields") for event in events(final.receipt, "trade")]
    trades = [fields for fields in fills if isinstance(fields, dict)]
    print_records(
        "Bought",
        trades,
        [
            ("from", ("seller_name", "seller"), as_text),
            (">energy kWh", ("energy_milli_wh",), as_kwh),
            (">price per kWh", ("price_micro_per_kwh",), as_tokens),
            (">penalty in it", ("penalty_micro_per_kwh",), as_tokens),
            (">paid", ("amount_micro",), as_tokens),
        ],
    )
    energy = sum(_number(fields, "energy_milli_wh") for fields in trades)
    paid = sum(_number(fields, "amount_micro") for fields in trades)
    print_lines(f"{as_kwh(energy)} kWh for {as_tokens(paid)} tokens")


def call_line(call: object) -> str:
    """Return a call, or an event, of an answer on one line: `accounts.transfer to=… amount=…`."""
    if not isinstance(call, dict):
        return str(call)
    named = call.get("arguments", call.get("fields"))
    words = [f"{call.get('module')}.{call.get('method', call.get('event'))}"]
    if isinstance(named, dict):
        # Where a name stands beside an address, the name says it.
        words += [
            f"{name}={named.get(f'{name}_name', value)}"
            for name, value in named.items()
            if not (name.endswith("_name") and name.removesuffix("_name") in named)
        ]
    return " ".join(words)


def return_values(final: FinalTransaction) -> list[object]:
    """Return what each call of the transaction returned."""
    values = final.receipt.get("values", final.receipt.get("returns"))
    return values if isinstance(values, list) else []


def _approvals_missing(final: FinalTransaction) -> str:
    """Return how far the operators' approval has come, empty once there is enough of it."""
    for event in events(final.receipt, "approval"):
        match event.get("values"):
            case [_, int(reached), int(needed)] if reached < needed:
                return f"{reached} of {needed} operators have asked for this"
    return ""


def _is_late_approval(final: FinalTransaction) -> bool:
    """Tell whether the call approved of what was carried out without it: it returned false."""
    return bool(events(final.receipt, "approval")) and return_values(final)[:1] == [False]


def _number(fields: Json, name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0

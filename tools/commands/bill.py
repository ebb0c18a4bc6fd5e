"""`bitenergy bill show`: what a member paid and got in a day market, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    as_kwh,
    as_text,
    as_tokens,
    from_option,
    json_option,
    pass_session,
    print_records,
)
from tools.session import Session

if TYPE_CHECKING:
    from tools.bills import Bill, CheckedBill

_VALUE_PER_PRICE = 2


@click.group("bill")
def bill_command() -> None:
    """Bills of a day market by member and month."""


@bill_command.command("show")
@click.argument("who", metavar="NAME")
@click.option("--month", required=True, metavar="YYYY-MM", help="The month: 2026-06.")
@click.option("--market", metavar="NAME", help="The day market; not needed if there is one only.")
@click.option("--proof", is_flag=True, help="Check every line against the chain, from genesis on.")
@from_option
@json_option
@pass_session
def show(
    session: Session,
    who: str,
    month: str,
    market: str | None,
    proof: bool,  # as click passes a flag
    signer: str | None,
) -> None:
    """Show the bill of NAME: every line of a month, and its totals.

    Bills are personal data: the request is signed by --from, which is NAME itself, whom it
    allowed, its DSO or an auditor.
    """
    from market.day.bills import parse_month
    from tools import bills
    from tools.output import note, print_json

    if parse_month(month) is None:
        raise click.BadParameter("a month is written 2026-06", param_hint="--month")
    names = session.wallet.names()
    opened = session.open_signer(signer or (who if who in names else None))
    session.client().sign_as(opened)
    bill = bills.fetch_bill(session, bills.choose_market(session, market), who, month)
    checked: CheckedBill | None = None
    if proof:

        def tell(done: int, total: int) -> None:
            if done % 100 == 0 or done == total:
                note(f"checked {done} of {total} intervals")

        checked = bills.check_bill(session, bill, tell)
    if session.as_json:
        found: dict[str, object] = {
            "market": bill.market,
            "month": bill.month,
            "totals": dict(bill.totals),
            "lines": [dict(line) for line in bill.lines],
        }
        if checked is not None:
            found["proved"] = {
                "lines": checked.lines,
                "height": checked.height,
                "complete": checked.totals_are_proved,
            }
        print_json(found)
        return
    _print(bill, who, checked)


def _print(bill: Bill, who: str, checked: CheckedBill | None) -> None:
    from tools.amounts import format_tokens
    from tools.client import integer_field, list_field
    from tools.output import print_lines

    print_records(
        f"Bill of {who} in {bill.market}, {bill.month}",
        [{**line, "price": _price(line)} for line in bill.lines],
        [
            ("interval", ("local_start",), as_text),
            ("part", ("part",), as_text),
            ("line", ("kind",), as_text),
            (">kWh", ("energy_milli_wh",), as_kwh),
            (">price", ("price",), as_text),
            (">amount", ("amount_micro",), as_tokens),
        ],
    )
    print_records(
        "Totals",
        list_field(bill.totals, "kinds"),
        [
            ("line", ("kind",), as_text),
            (">kWh", ("energy_milli_wh",), as_kwh),
            (">amount", ("amount_micro",), as_tokens),
        ],
    )
    amount = integer_field(bill.totals, "amount_micro")
    words = "to pay" if amount >= 0 else "to get"
    print_lines(f"{words}: {format_tokens(abs(amount))} tokens")
    if checked is not None:
        whole = (
            "and add up to the totals in the state"
            if checked.totals_are_proved
            else ("but the totals hold more: lines are kept for a while only")
        )
        print_lines(f"all {checked.lines} lines are proved up to block {checked.height}, {whole}")


def _price(line: Mapping[str, object]) -> str:
    """Return the mean price of a line, in tokens per kWh."""
    from tools.amounts import format_tokens

    energy, value = line["energy_milli_wh"], int(str(line["value"]))
    if not isinstance(energy, int) or not energy:
        return "–"
    return format_tokens(abs(value) // (_VALUE_PER_PRICE * abs(energy)))

"""`bitenergy market`: the order book, trades and lines of a market."""

from __future__ import annotations

import click

from tools.commands.market_files import FILE_COMMANDS
from tools.commands.markets import (
    choose_interval,
    choose_market,
    interval_option,
    interval_words,
    market_name,
    market_option,
    market_path,
)
from tools.commands.offer import OFFER_COLUMNS
from tools.commands.options import (
    as_kwh,
    as_text,
    as_tokens,
    before_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.output import print_json
from tools.session import Session


@click.group("market")
def market_command() -> None:
    """The order book, trades and lines of a market."""


@market_command.command("book")
@interval_option
@market_option
@limit_option
@click.option("--after", metavar="PLACE", help="The place that the last answer ended with.")
@json_option
@pass_session
def book(
    session: Session, interval: str | None, market: str | None, limit: int, after: str | None
) -> None:
    """Show the offers of one delivery interval in the order in which they are bought."""
    from tools.client import list_field

    chosen = choose_market(session, market)
    number = choose_interval(chosen, interval)
    answer = session.client().get(
        market_path(chosen, "offers"), interval=number, limit=limit, after=after
    )
    if session.as_json:
        print_json({"market": dict(chosen), "interval": number, **answer})
        return
    print_records(
        f"{market_name(chosen)}, {interval_words(chosen, number)}",
        list_field(answer, "offers"),
        OFFER_COLUMNS,
    )
    print_more(answer, "--after")


@market_command.command("trades")
@market_option
@limit_option
@before_option
@json_option
@pass_session
def trades(session: Session, market: str | None, limit: int, before: str | None) -> None:
    """List trades, the newest first."""
    from tools.client import list_field

    chosen = choose_market(session, market)
    answer = session.client().get(market_path(chosen, "trades"), limit=limit, before=before)
    if session.as_json:
        print_json(answer)
        return
    print_records(
        f"Trades in {market_name(chosen)}",
        list_field(answer, "trades"),
        [
            (">height", ("height",), as_text),
            (">interval", ("interval",), as_text),
            ("buyer", ("buyer_name", "buyer"), as_text),
            ("seller", ("seller_name", "seller"), as_text),
            (">energy kWh", ("energy_milli_wh",), as_kwh),
            (">price per kWh", ("price_micro_per_kwh",), as_tokens),
            (">penalty in it", ("penalty_micro_per_kwh",), as_tokens),
            (">paid", ("amount_micro",), as_tokens),
        ],
    )
    print_more(answer, "--before")


@market_command.command("lines")
@interval_option
@market_option
@json_option
@pass_session
def lines(session: Session, interval: str | None, market: str | None) -> None:
    """Show how far lines, and limits between members, are used in one delivery interval."""
    from tools.client import list_field

    chosen = choose_market(session, market)
    number = choose_interval(chosen, interval)
    answer = session.client().get(market_path(chosen, "lines"), interval=number)
    if session.as_json:
        print_json(answer)
        return
    print_records(
        f"Lines of {market_name(chosen)}, {interval_words(chosen, number)}",
        list_field(answer, "lines"),
        [
            ("line", ("name",), as_text),
            ("from", ("from_bus",), as_text),
            ("to", ("to_bus",), as_text),
            (">limit kWh", ("limit_milli_wh",), as_kwh),
            (">flow kWh", ("flow_milli_wh",), as_kwh),
            ("owner", ("owner_name", "owner"), as_text),
        ],
    )
    print_records(
        "Limits between members",
        list_field(answer, "pairs"),
        [
            ("member", ("first_name", "first"), as_text),
            ("member", ("second_name", "second"), as_text),
            (">limit kWh", ("limit_milli_wh",), as_kwh),
            (">used kWh", ("used_milli_wh",), as_kwh),
        ],
    )


for _command in FILE_COMMANDS:
    market_command.add_command(_command)

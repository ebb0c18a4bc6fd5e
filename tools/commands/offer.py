"""`bitenergy offer`: sell energy."""

from __future__ import annotations

import click

from tools.commands.markets import (
    choose_interval,
    choose_market,
    interval_option,
    market_name,
    market_option,
    market_path,
)
from tools.commands.options import (
    ENERGY,
    PRICE,
    as_kwh,
    as_text,
    as_tokens,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome, return_values
from tools.output import print_json
from tools.session import Session

OFFER_COLUMNS = [
    (">offer", ("id", "offer_id"), as_text),
    ("seller", ("seller_name", "seller"), as_text),
    (">interval", ("interval",), as_text),
    (">energy kWh", ("energy_milli_wh",), as_kwh),
    (">price per kWh", ("price_micro_per_kwh",), as_tokens),
]


@click.group("offer")
def offer_command() -> None:
    """Sell energy: post, update, withdraw and list offers."""


@offer_command.command("post")
@click.option("--energy", type=ENERGY, required=True, help="How much: 6kWh.")
@click.option("--price", type=PRICE, required=True, help="Tokens per kWh: 9.82.")
@interval_option
@market_option
@from_option
@json_option
@pass_session
def post(
    session: Session,
    energy: int,
    price: int,
    interval: str | None,
    market: str | None,
    signer: str | None,
) -> None:
    """Offer energy for sale; it is set aside until it is sold or withdrawn."""
    from tools import calls

    chosen = choose_market(session, market)
    call = calls.post_offer(market_name(chosen), choose_interval(chosen, interval), energy, price)
    final = session.send(session.open_signer(signer), [call])
    offer = next((value for value in return_values(final) if isinstance(value, int)), None)
    more = {} if offer is None else {"offer_id": offer}
    print_outcome(
        session, "offer posted" if offer is None else f"offer {offer} posted", final, **more
    )


@offer_command.command("update")
@click.argument("offer", type=click.IntRange(min=0))
@click.option("--energy", type=ENERGY, required=True, help="How much from now on: 5kWh.")
@click.option("--price", type=PRICE, required=True, help="Tokens per kWh from now on: 9.90.")
@market_option
@from_option
@json_option
@pass_session
def update(
    session: Session, offer: int, energy: int, price: int, market: str | None, signer: str | None
) -> None:
    """Change energy and price of your standing OFFER."""
    from tools import calls

    name = market_name(choose_market(session, market))
    call = calls.update_offer(name, offer, energy, price)
    print_outcome(
        session, f"offer {offer} changed", session.send(session.open_signer(signer), [call])
    )


@offer_command.command("withdraw")
@click.argument("offer", type=click.IntRange(min=0))
@market_option
@from_option
@json_option
@pass_session
def withdraw(session: Session, offer: int, market: str | None, signer: str | None) -> None:
    """Take your standing OFFER back."""
    from tools import calls

    call = calls.withdraw_offer(market_name(choose_market(session, market)), offer)
    print_outcome(
        session, f"offer {offer} withdrawn", session.send(session.open_signer(signer), [call])
    )


@offer_command.command("list")
@click.option("--seller", metavar="WHO", help="Only the offers of this member.")
@interval_option
@market_option
@limit_option
@click.option("--after", metavar="PLACE", help="The place that the last answer ended with.")
@json_option
@pass_session
def list_(
    session: Session,
    seller: str | None,
    interval: str | None,
    market: str | None,
    limit: int,
    after: str | None,
) -> None:
    """List standing offers, the cheapest first."""
    from tools.client import list_field

    chosen = choose_market(session, market)
    answer = session.client().get(
        market_path(chosen, "offers"),
        interval=None if interval is None else choose_interval(chosen, interval),
        seller=seller,
        limit=limit,
        after=after,
    )
    if session.as_json:
        print_json(answer)
        return
    print_records(f"Offers in {market_name(chosen)}", list_field(answer, "offers"), OFFER_COLUMNS)
    print_more(answer, "--after")

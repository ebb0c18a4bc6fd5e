"""`bitenergy buy`: buy energy, cheapest first."""

from __future__ import annotations

import click

from tools.commands.markets import (
    choose_interval,
    choose_market,
    interval_option,
    market_name,
    market_option,
)
from tools.commands.options import (
    ENERGY,
    PRICE,
    from_option,
    json_option,
    pass_session,
)
from tools.commands.outcome import print_outcome, print_trades
from tools.session import Session


@click.command("buy")
@click.option("--energy", type=ENERGY, required=True, help="How much: 8kWh.")
@click.option("--max-price", type=PRICE, required=True, help="Most tokens per kWh: 10.")
@click.option("--partial", is_flag=True, help="Also take less, if there is not enough.")
@interval_option
@market_option
@from_option
@json_option
@pass_session
def buy_command(
    session: Session,
    energy: int,
    max_price: int,
    partial: bool,
    interval: str | None,
    market: str | None,
    signer: str | None,
) -> None:
    """Buy energy at no more than a price: all of it or nothing, unless --partial is given."""
    from tools import calls

    chosen = choose_market(session, market)
    call = calls.buy(
        market_name(chosen),
        choose_interval(chosen, interval),
        energy,
        max_price,
        allow_partial=partial,
    )
    final = session.send(session.open_signer(signer), [call])
    if not session.as_json:
        print_trades(final)
    print_outcome(session, "bought", final)

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
    exit_option,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome
from tools.output import print_json
from tools.session import Session

PART_BEGINS = 11
"""Hour at which a part of a day begins unless another is wished."""


@click.group("market")
def market_command() -> None:
    """The order book, trades and lines of a market; days, and belonging to one."""


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


@market_command.command("day")
@click.option(
    "--members", type=click.IntRange(2, 5_000), default=100, show_default=True, help="Homes."
)
@click.option(
    "--mechanism",
    type=click.Choice(["uniform", "midpoint", "huang", "pay_as_bid"]),
    default="uniform",
    show_default=True,
)
@click.option(
    "--profile",
    default="summer",
    show_default=True,
    help="summer, winter, or a date of 2016, which needs the extra 'profiles'.",
)
@click.option(
    "--strategy",
    type=click.Choice(["mixed", "truthful", "zero_intelligence", "q_learning"]),
    default="mixed",
    show_default=True,
    help="How the agents bid.",
)
@click.option(
    "--intervals", type=click.IntRange(1, 96), default=96, show_default=True, help="How many."
)
@click.option(
    "--from-hour",
    "first_hour",
    type=click.IntRange(0, 23),
    help="Hour at which a part of a day begins.  [default: 11]",
)
@click.option(
    "--minute-ms",
    type=click.IntRange(1, 60_000),
    help="Milliseconds that a minute lasts.  [default: by the number of homes]",
)
@click.option(
    "--error",
    "error_percent",
    type=click.IntRange(0, 50),
    default=3,
    show_default=True,
    help="How far readings are from forecasts at most, in percent.",
)
@click.option(
    "--margin",
    "margin_percent",
    type=click.IntRange(0, 50),
    help="How far homes stay away from their forecasts when they trade; below the error some fall "
    "short.  [default: the error]",
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--plot", metavar="FILE.svg", help="Draw prices, energies and welfare.")
@exit_option
@json_option
@pass_session
def day(
    session: Session,
    members: int,
    mechanism: str,
    profile: str,
    strategy: str,
    intervals: int,
    first_hour: int | None,
    minute_ms: int | None,
    error_percent: int,
    margin_percent: int | None,
    seed: int,
    plot: str | None,
    leave: bool,
) -> int:
    """Play one market day on four validators of its own, with an agent in each home.

    The exit status is 0 only if all validators have one state, money and energy are conserved, and
    no home pays more than at the retail and feed-in tariffs.
    """
    from tools.agents.market_day import DayOptions, default_minute_ms
    from tools.demo_day import run_day

    options = DayOptions(
        members,
        mechanism,
        profile,
        strategy,
        intervals,
        _first_hour(intervals, first_hour),
        minute_ms or default_minute_ms(members),
        error_percent,
        error_percent if margin_percent is None else margin_percent,
        seed,
    )
    return run_day(options, leave=leave, plot=plot, as_json=session.as_json)


@market_command.command("join")
@click.argument("name")
@from_option
@json_option
@pass_session
def join(session: Session, name: str, signer: str | None) -> None:
    """Belong to the day market NAME: your meter is settled there from the next interval on."""
    from tools import calls

    final = session.send(session.open_signer(signer), [calls.join_day_market(name)])
    print_outcome(session, f"you belong to {name} from the next interval on", final)


@market_command.command("leave")
@click.argument("name")
@from_option
@json_option
@pass_session
def leave(session: Session, name: str, signer: str | None) -> None:
    """Leave the day market NAME after the interval that runs.

    You may join again once all before that is corrected and nothing is owed.
    """
    from tools import calls

    final = session.send(session.open_signer(signer), [calls.leave_day_market(name)])
    print_outcome(session, f"you leave {name} after the interval that runs", final)


def _first_hour(intervals: int, chosen: int | None) -> int:
    """Return the hour at which the intervals begin: 0 for a whole day, else 11 if that fits."""
    if chosen is not None:
        return chosen
    return max(0, min(PART_BEGINS, 24 - -(-intervals // 4)))


for _command in FILE_COMMANDS:
    market_command.add_command(_command)

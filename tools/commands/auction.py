"""`bitenergy auction`: call auctions by delivery interval, open and sealed."""

from __future__ import annotations

from collections.abc import Callable

import click

from tools.commands.options import (
    ENERGY,
    PRICE,
    TOKENS,
    exit_option,
    from_option,
    json_option,
    pass_session,
    stage_option,
)
from tools.commands.outcome import print_outcome, return_values
from tools.errors import FinalTransaction
from tools.session import Session


@click.group("auction")
def auction_command() -> None:
    """Call auctions: place orders, or commit to them and open them later."""


@auction_command.command("demo")
@stage_option(4.0)
@exit_option
@json_option
@pass_session
def demo(session: Session, stage_s: float, leave: bool) -> int:
    """Hold a sealed strategy-proof auction on four validators; one member does not open.

    The exit status is 0 only if every figure is as computed beside the chain, on each of them.
    """
    from tools import demo_auction

    return demo_auction.run_demo(stage_s=stage_s, leave=leave, as_json=session.as_json)


_auction = click.argument("auction")
_interval = click.argument("interval", type=click.IntRange(1, 2**63 - 1))


def _order_options(command: Callable[..., object]) -> Callable[..., object]:
    """Add the options that state an order: its side and its steps."""
    side = click.option("--side", type=click.Choice(["buy", "sell"]), required=True)
    steps = click.option(
        "--step",
        "steps",
        type=(ENERGY, PRICE),
        multiple=True,
        required=True,
        help="Energy and price per kWh of a step: 2kWh 9.50. The best for others first.",
    )
    return side(steps(command))


@auction_command.command("place")
@_auction
@_interval
@_order_options
@from_option
@json_option
@pass_session
def place(
    session: Session,
    auction: str,
    interval: int,
    side: str,
    steps: tuple[tuple[int, int], ...],
    signer: str | None,
) -> None:
    """Place an order in an open auction; what it needs is set aside.

    INTERVAL is the start of delivery divided by the length of an interval.
    """
    from tools import calls

    final = session.send(
        session.open_signer(signer), [calls.place_order(auction, interval, side, steps)]
    )
    number = _number(final)
    print_outcome(session, f"order {number} placed", final, order=number)


@auction_command.command("commit")
@_auction
@_interval
@_order_options
@click.option("--cover", type=TOKENS, default="0", help="Money to set aside: 30.")
@click.option("--cover-energy", type=ENERGY, default=None, help="Energy to set aside: 5kWh.")
@from_option
@json_option
@pass_session
def commit(
    session: Session,
    auction: str,
    interval: int,
    side: str,
    steps: tuple[tuple[int, int], ...],
    cover: int,
    cover_energy: int | None,
    signer: str | None,
) -> None:
    """Commit to an order of a sealed auction; it stays in your home folder until you open it.

    The cover is at least what the order needs; more tells less of it.
    """
    from tools import calls, sealed_orders

    opened = session.open_signer(signer)
    order = sealed_orders.seal(session.home, auction, interval, opened.account, side, steps)
    call = calls.commit_order(auction, interval, order.commitment, cover, cover_energy or 0)
    final = session.send(opened, [call])
    number = _number(final)
    sealed_orders.note_number(session.home, order, number)
    print_outcome(session, f"order {number} committed", final, order=number)


@auction_command.command("open")
@_auction
@_interval
@from_option
@json_option
@pass_session
def open_sealed(session: Session, auction: str, interval: int, signer: str | None) -> None:
    """Open your commitments for an interval, after its gate; one not opened loses its deposit."""
    from tools import calls, sealed_orders

    opened = session.open_signer(signer)
    found = sealed_orders.find(session.home, auction, interval, opened.account)
    final = session.send(
        opened,
        [
            calls.open_order(auction, interval, order.number, order.side, order.steps, order.salt)
            for order in found
        ],
    )
    numbers = [order.number for order in found]
    words = ", ".join(map(str, numbers))
    print_outcome(session, f"order {words} opened", final, orders=numbers)


@auction_command.command("cancel")
@_auction
@_interval
@click.argument("order", type=click.IntRange(min=0))
@from_option
@json_option
@pass_session
def cancel(session: Session, auction: str, interval: int, order: int, signer: str | None) -> None:
    """Take an order or a commitment back before the gate."""
    from tools import calls, sealed_orders

    opened = session.open_signer(signer)
    final = session.send(opened, [calls.cancel_order(auction, interval, order)])
    sealed_orders.forget(session.home, auction, interval, opened.account, order)
    print_outcome(session, f"order {order} cancelled", final)


def _number(final: FinalTransaction) -> int:
    return next(value for value in return_values(final) if isinstance(value, int))

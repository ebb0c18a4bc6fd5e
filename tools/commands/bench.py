"""`bitenergy bench`: what this machine reaches."""

from __future__ import annotations

import click

from tools.commands.options import json_option, pass_session
from tools.session import Session

traffic_option = click.option(
    "--traffic",
    type=click.Choice(["market", "contract"]),
    default="market",
    show_default=True,
    help="Posts, purchases and transfers, or transfers of a token's contract.",
)


@click.group("bench")
def bench_command() -> None:
    """Measure this machine."""


@bench_command.command("chain")
@click.option("--validators", type=click.IntRange(1, 64), default=4, show_default=True)
@click.option(
    "--transactions", type=click.IntRange(100, 10_000_000), default=100_000, show_default=True
)
@traffic_option
@json_option
@pass_session
def chain(session: Session, validators: int, transactions: int, traffic: str) -> int:
    """Finalised transactions per second, and how long one takes to be final."""
    from tools.bench.chain import run_bench

    return run_bench(
        validators=validators, transactions=transactions, kind=traffic, as_json=session.as_json
    )


@bench_command.command("stages")
@click.option(
    "--transactions", type=click.IntRange(1_500, 1_000_000), default=30_000, show_default=True
)
@traffic_option
@json_option
@pass_session
def stages(session: Session, transactions: int, traffic: str) -> int:
    """What each stage of a transaction costs one validator, beside its signature."""
    from tools.bench import stages as bench_stages

    return bench_stages.run_bench(transactions=transactions, kind=traffic, as_json=session.as_json)


@bench_command.command("tree")
@click.option("--leaves", type=click.IntRange(1_000, 2_000_000), default=100_000, show_default=True)
@json_option
@pass_session
def tree(session: Session, leaves: int) -> int:
    """What the state tree costs a changed leaf, and what its arity costs a proof."""
    from tools.bench import tree as bench_tree

    return bench_tree.run_bench(leaves=leaves, as_json=session.as_json)


@bench_command.command("book")
@json_option
@pass_session
def book(session: Session) -> int:
    """What a purchase costs in a small book, in a large one, and behind limits."""
    from tools.bench import book as bench_book

    return bench_book.run_bench(as_json=session.as_json)


@bench_command.command("idle")
@click.option(
    "--accounts", type=click.IntRange(1_000, 1_000_000), default=100_000, show_default=True
)
@json_option
@pass_session
def idle(session: Session, accounts: int) -> int:
    """Memory, start and rest of a validator with many accounts."""
    from tools.bench import idle as bench_idle

    return bench_idle.run_bench(accounts=accounts, as_json=session.as_json)


@bench_command.command("join")
@click.option(
    "--transactions", type=click.IntRange(100, 10_000_000), default=50_000, show_default=True
)
@json_option
@pass_session
def join(session: Session, transactions: int) -> int:
    """Transactions per second by block sync, with all signatures checked and without."""
    from tools.bench import join as bench_join

    return bench_join.run_bench(transactions=transactions, as_json=session.as_json)


@bench_command.command("snapshot")
@click.option(
    "--accounts", type=click.IntRange(1_000, 10_000_000), default=1_000_000, show_default=True
)
@json_option
@pass_session
def snapshot(session: Session, accounts: int) -> int:
    """A snapshot of many accounts: taken, moved to another node, and proved."""
    from tools.bench import snapshot as bench_snapshot

    return bench_snapshot.run_bench(accounts=accounts, as_json=session.as_json)


@bench_command.command("auctions")
@click.option("--plot", metavar="FILE.svg", help="Draw the welfare of `huang` by traders.")
@json_option
@pass_session
def auctions(session: Session, plot: str | None) -> int:
    """Orders cleared per second by each mechanism, and the welfare that `huang` reaches."""
    from tools.bench import auctions as bench_auctions

    return bench_auctions.run_bench(plot=plot, as_json=session.as_json)


@bench_command.command("interval")
@click.option("--members", type=click.IntRange(10, 1_000), default=1_000, show_default=True)
@click.option(
    "--mechanism",
    type=click.Choice(["uniform", "midpoint", "huang", "pay_as_bid"]),
    default="uniform",
    show_default=True,
)
@json_option
@pass_session
def interval(session: Session, members: int, mechanism: str) -> int:
    """What an interval of a day market costs a validator, from its orders to its settlement."""
    from tools.bench import interval as bench_interval

    return bench_interval.run_bench(members=members, mechanism=mechanism, as_json=session.as_json)


@bench_command.command("pages")
@click.option("--blocks", type=click.IntRange(3_000, 1_000_000), default=100_000, show_default=True)
@click.option("--offers", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True)
@json_option
@pass_session
def pages(session: Session, blocks: int, offers: int) -> int:
    """How long a node takes to answer what each page of the explorer asks, on a long chain."""
    from tools.bench import pages as bench_pages

    return bench_pages.run_bench(blocks=blocks, offers=offers, as_json=session.as_json)


@bench_command.command("contract")
@json_option
@pass_session
def contract(session: Session) -> int:
    """Loops, arithmetic, storage and a token's transfer in contracts."""
    from tools.bench import contract as bench_contract

    return bench_contract.run_bench(as_json=session.as_json)


@bench_command.command("dispatch")
@click.option(
    "--case",
    "cases",
    metavar="CASE",
    multiple=True,
    help="Also a bundled case or a case file of any form; may be given several times.",
)
@json_option
@pass_session
def dispatch(session: Session, cases: tuple[str, ...]) -> int:
    """Solving and verifying dispatch on feeders of 13 to 130,000 buses, beside Clarabel."""
    from tools.bench import dispatch as bench_dispatch

    return bench_dispatch.run_bench(cases, as_json=session.as_json)


@bench_command.command("readers")
@click.option("--readers", type=click.IntRange(1, 256), default=200, show_default=True)
@click.option("--seconds", type=click.IntRange(2, 3_600), default=30, show_default=True)
@json_option
@pass_session
def readers(session: Session, readers: int, seconds: int) -> int:
    """What WebSocket readers cost a validator at work, and whether its blocks come later."""
    from tools.bench import readers as bench_readers

    return bench_readers.run_bench(readers=readers, seconds=seconds, as_json=session.as_json)


@bench_command.command("day")
@click.option("--members", type=click.IntRange(2, 5_000), default=1_000, show_default=True)
@click.option(
    "--intervals",
    type=click.IntRange(0, 96),
    default=96,
    show_default=True,
    help="Of the day; 0 for one interval by itself only.",
)
@click.option(
    "--minute-ms",
    type=click.IntRange(1, 60_000),
    help="Milliseconds that a minute of the day lasts.  [default: by the number of homes]",
)
@json_option
@pass_session
def day(session: Session, members: int, intervals: int, minute_ms: int | None) -> int:
    """One interval of many homes, stage by stage, and how fast a whole day can be."""
    from tools.bench import day as bench_day

    return bench_day.run_bench(
        members=members, intervals=intervals, minute_ms=minute_ms, as_json=session.as_json
    )

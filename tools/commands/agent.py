"""`bitenergy agent`: a prosumer's agent, which trades every interval of a day market by itself."""

from __future__ import annotations

import click

from tools.commands.options import from_option, json_option, pass_session
from tools.session import Session


@click.group("agent")
def agent_command() -> None:
    """A prosumer's agent, and the strategies that agents bid by."""


@agent_command.command("run")
@click.option(
    "--strategy",
    type=click.Choice(["truthful", "zero_intelligence", "q_learning"]),
    default="truthful",
    show_default=True,
    help="How it bids.",
)
@click.option(
    "--profile",
    default="summer",
    show_default=True,
    help="summer, winter, or a date of 2016, which needs the extra 'profiles'.",
)
@click.option("--load", metavar="KIND", default="family", show_default=True, help="The household.")
@click.option("--plant", metavar="KIND", default="south", show_default=True, help="Its plant.")
@click.option(
    "--kwp", type=click.IntRange(0, 1_000), default=0, show_default=True, help="The plant's size."
)
@click.option("--market", metavar="NAME", help="The day market; not needed if there is one only.")
@click.option(
    "--meter", metavar="KEY", help="The wallet's key of the home's meter; it is read too."
)
@click.option(
    "--first",
    type=click.IntRange(1),
    help="The first interval; without it, the next whose gate is open.",
)
@click.option(
    "--intervals", type=click.IntRange(1), help="End after so many; without it, go on and on."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@from_option
@json_option
@pass_session
def run(
    session: Session,
    strategy: str,
    profile: str,
    load: str,
    plant: str,
    kwp: int,
    market: str | None,
    meter: str | None,
    first: int | None,
    intervals: int | None,
    seed: int,
    signer: str | None,
) -> int:
    """Trade for a home from its profile, interval by interval, until stopped.

    It bids at every interval's first gate, opens sealed bids, offers up what others need more, and
    tells of each settled interval what it traded and at which price, as a line of JSON with --json.
    """
    from tools.agents.single import AgentOptions, run_agent

    options = AgentOptions(
        strategy, profile, load, plant, kwp, market, meter, first, intervals, seed
    )
    return run_agent(session, options, signer)


@agent_command.command("learn")
@click.option(
    "--members", type=click.IntRange(2, 200), default=10, show_default=True, help="Homes."
)
@click.option("--days", type=click.IntRange(1, 10_000), default=30, show_default=True)
@click.option("--profile", default="summer", show_default=True, help="As for `agent run`.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@json_option
@pass_session
def learn(session: Session, members: int, days: int, profile: str, seed: int) -> int:
    """Let homes meet day after day in memory, and show what each strategy earns.

    The mean gain of a home and day, against upstream, of homes that all learn, all bid the truth,
    and all bid by chance.
    """
    from tools.agents.learning import show_learning

    return show_learning(
        members=members, days=days, profile=profile, seed=seed, as_json=session.as_json
    )

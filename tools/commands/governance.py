"""`bitenergy governance`: propose changes of the network's rules, and vote on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    as_text,
    as_time,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome, return_values
from tools.output import print_fields, print_json, print_lines
from tools.session import Session

if TYPE_CHECKING:
    from tools.errors import Json


@click.group("governance")
def governance_command() -> None:
    """Changes of the network's rules: propose them, vote, and see what is in force."""


@governance_command.command("propose")
@click.argument("changes", metavar="NAME=VALUE...", nargs=-1, required=True)
@click.option("--height", type=click.IntRange(min=1), help="First height at which it holds.")
@click.option(
    "--in", "ahead", type=click.IntRange(min=1), metavar="BLOCKS", help="Or: so many blocks ahead."
)
@click.option("--about", default="", help="What it is for, in a few words.")
@from_option
@json_option
@pass_session
def propose(
    session: Session,
    changes: Sequence[str],
    height: int | None,
    ahead: int | None,
    about: str,
    signer: str | None,
) -> None:
    """Propose a change of the rules, for example market.spot.penalty_price=0.2.

    \b
    chain.NAME=NUMBER          a parameter of the chain
    market.MARKET.NAME=VALUE   a market's rule, as in the genesis file
    day.MARKET.NAME=VALUE      a day market's: retail, feed_in, penalty, …
    auction.AUCTION.NAME=VALUE deposit, min_price, max_price, max_energy_kwh
    certificates.NAME=VALUE    unit_kwh, validity_days, earned, lost
    meters.NAME=VALUE          mean_days
    quota.NAME=VALUE           penalty_price, deposit_percent
    response.NAME=VALUE        alpha_percent, upstream_price, tolerance_percent, …
    governance.NAME=VALUE      quorum, threshold, voting_period_ms, notice_blocks
    module.NAME=VERSION        the next version of a module
    engine=NAME                another engine; engine.NAME=NUMBER are its numbers

    Several of one market, module or engine make one proposal. Look at what it would do
    with `bitenergy shadow run` first.
    """
    from tools.client import integer_field
    from tools.rule_changes import parse_changes, proposal_call

    if (height is None) == (ahead is None):
        raise click.UsageError("Give either --height HEIGHT or --in BLOCKS.")
    parsed = parse_changes(changes)
    if len(parsed) != 1:
        raise click.UsageError("One proposal changes one thing; make a proposal of each.")
    if height is None:
        height = integer_field(session.client().status(), "height") + (ahead or 0)
    call = proposal_call(parsed[0], height, about)
    final = session.send(session.open_signer(signer), [call])
    [number] = return_values(final)
    print_outcome(
        session,
        f"proposal {number}: vote with `bitenergy governance vote {number} yes`",
        final,
        proposal=number,
    )


@governance_command.command("vote")
@click.argument("proposal", type=click.IntRange(min=1))
@click.argument("choice", type=click.Choice(("yes", "no", "abstain")))
@from_option
@json_option
@pass_session
def vote(session: Session, proposal: int, choice: str, signer: str | None) -> None:
    """Vote on a PROPOSAL; until voting ends a later vote replaces it."""
    from tools.rule_changes import vote_call

    final = session.send(session.open_signer(signer), [vote_call(proposal, choice)])
    print_outcome(session, f"voted {choice} on proposal {proposal}", final)


@governance_command.command("show")
@click.argument("proposal", type=click.IntRange(min=1))
@json_option
@pass_session
def show(session: Session, proposal: int) -> None:
    """Show a PROPOSAL, with the votes so far as long as voting lasts."""
    from tools.client import list_field

    answer = session.client().get(f"/proposals/{proposal}")
    if session.as_json:
        print_json(answer)
        return
    tally = answer.get("tally")
    counts = tally if isinstance(tally, dict) else {}
    print_fields(
        f"Proposal {proposal}",
        [
            ("change", _words(answer)),
            ("about", answer.get("about") or "–"),
            ("proposed by", answer.get("proposer_name") or answer.get("proposer")),
            ("from height", answer.get("height")),
            ("status", " ".join(filter(None, (_text(answer, "status"), _text(answer, "result"))))),
            ("voting ends", as_time(answer.get("ends_ms"))),
            *((f"weight of {choice}", counts.get(choice)) for choice in ("yes", "no", "abstain")),
            ("weight of all voters", answer.get("eligible")),
        ],
    )
    ballots = list_field(answer, "ballots")
    if ballots:
        print_records(
            "Votes",
            ballots,
            [
                ("member", ("account_name", "account"), as_text),
                ("vote", ("choice",), as_text),
                (">weight", ("weight",), as_text),
            ],
        )


@governance_command.command("list")
@limit_option
@click.option("--before", type=click.IntRange(min=1), help="Only proposals with a lower number.")
@json_option
@pass_session
def list_(session: Session, limit: int, before: int | None) -> None:
    """List proposals, the newest first, and what is in force."""
    from tools.client import list_field, object_field

    answer = session.client().get("/proposals", limit=limit, before=before)
    if session.as_json:
        print_json(answer)
        return
    settings, engine = object_field(answer, "settings"), object_field(answer, "engine")
    voters, versions = object_field(settings, "voters"), object_field(answer, "module_versions")
    later = [f"{name} in version {number}" for name, number in versions.items() if number != 1]
    listed = ", ".join(f"{role} ({weight})" for role, weight in voters.items())
    print_lines(
        f"engine {engine.get('name')}" + "".join(f", {words}" for words in later),
        f"voting: {listed}; a quorum is {_part(settings, 'quorum')} of all weight, "
        f"{_part(settings, 'threshold')} of yes and no must be yes",
    )
    rows = [{**entry, "change": _words(entry)} for entry in list_field(answer, "proposals")]
    print_records(
        "Proposals",
        rows,
        [
            (">number", ("number",), as_text),
            ("change", ("change",), as_text),
            (">from height", ("height",), as_text),
            ("status", ("status",), as_text),
            ("voting ends", ("ends_ms",), as_time),
            (">votes", ("votes",), as_text),
            ("by", ("proposer_name", "proposer"), as_text),
        ],
    )
    print_more(answer, "--before")


def _words(proposal: Json) -> str:
    from tools.rule_changes import change_words

    values = proposal.get("values")
    return change_words(
        _text(proposal, "kind"),
        _text(proposal, "name"),
        _text(proposal, "subject"),
        values if isinstance(values, dict) else {},
    )


def _part(settings: Json, name: str) -> str:
    part = settings.get(name)
    return "/".join(map(str, part)) if isinstance(part, list) else "–"


def _text(answer: Json, name: str) -> str:
    return str(answer.get(name, ""))

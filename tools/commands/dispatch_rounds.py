"""`bitenergy dispatch rounds|show|open|submit|prove`: dispatch rounds on chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tools.commands.options import as_text, as_tokens, json_option, pass_session, print_records
from tools.errors import EXIT_FAILED, EXIT_OK, AnswerInvalid, Json
from tools.session import Session

if TYPE_CHECKING:
    from tools.cases.case import Case

PRICE_UNITS_PER_KWH: Final = 10**21

_from_option = click.option(
    "--from", "sender", metavar="NAME", help="The wallet's key; its only one by default."
)
_ROUND_COLUMNS: Final = [
    (">round", ("number",), as_text),
    ("area", ("area",), as_text),
    ("status", ("status",), as_text),
    (">intervals", ("intervals",), as_text),
    ("proved by", ("submitter_name", "submitter"), as_text),
    (">reward", ("reward_micro",), as_tokens),
    (">refused", ("refused",), as_text),
]


@click.command("rounds")
@click.option("--area", metavar="NAME", help="Only rounds of this area.")
@click.option(
    "--status",
    type=click.Choice(["open", "proved", "clearing", "fallen_back"]),
    help="Only rounds that stand so.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@json_option
@pass_session
def rounds(session: Session, area: str | None, status: str | None, limit: int) -> None:
    """List dispatch rounds, the newest first."""
    from tools.client import list_field
    from tools.output import print_json

    answer = session.client().get("/dispatch/rounds", area=area, status=status, limit=limit)
    if session.as_json:
        print_json(dict(answer))
        return
    print_records("Dispatch rounds", list_field(answer, "rounds"), _ROUND_COLUMNS)


@click.command("show")
@click.argument("number", metavar="ROUND", type=click.IntRange(1))
@click.option(
    "--case",
    "case_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the round's problem there as a case, for `bitenergy dispatch solve`.",
)
@json_option
@pass_session
def show(session: Session, number: int, case_path: Path | None) -> None:
    """Show a round: how it stands, and prices and powers per interval once it is closed."""
    from tools.client import list_field, object_field
    from tools.output import note, print_json, print_lines, print_table

    answer = session.client().get(f"/dispatch/rounds/{number}")
    if case_path is not None:
        from tools.cases.problem_file import write_problem

        text = json.dumps(write_problem(_case_of(number, answer)), indent=1)
        case_path.write_text(text + "\n", encoding="utf-8")
        note(f"wrote {case_path}; solve it with: bitenergy dispatch solve {case_path} --json")
    if session.as_json:
        print_json(dict(answer))
        return
    print_records(f"Round {number}", [object_field(answer, "round")], _ROUND_COLUMNS)
    results = list_field(answer, "results")
    if not results:
        print_lines("no result yet")
        return
    names = list(object_field(results[0], "lambda"))
    print_table(
        "Prices, $/kWh",
        ["interval", *(f">{name}" for name in names)],
        [
            [str(place), *(_price(object_field(each, "lambda")[name]) for name in names)]
            for place, each in enumerate(results)
        ],
    )


@click.command("open")
@click.argument("area", metavar="AREA")
@click.option(
    "--first-interval",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Its first delivery interval; 0 for a round that is for no time.",
)
@_from_option
@json_option
@pass_session
def open_round(session: Session, area: str, first_interval: int, sender: str | None) -> None:
    """Open a round of AREA, as an operator: publish its problem and wait for a proof."""
    from tools.commands.outcome import print_outcome, return_values

    final = session.send(
        session.open_signer(sender), [("dispatch", "open", (area, first_interval))]
    )
    number = return_values(final)[0]
    print_outcome(session, f"round {number} of {area} is open", final, round=number)


@click.command("submit")
@click.argument("number", metavar="ROUND", type=click.IntRange(1))
@click.argument("solution", metavar="SOLUTION", type=click.Path(path_type=Path, exists=True))
@click.option("--unchecked", is_flag=True, help="Submit also what does not verify; costs the bond.")
@_from_option
@json_option
@pass_session
def submit(
    session: Session,
    number: int,
    solution: Path,
    unchecked: bool,  # as click passes a flag
    sender: str | None,
) -> int:
    """Submit a solution file for a round; the first that is proved earns the reward.

    It is verified here first, so that no bond is lost by mistake. Exit status 1 if refused.
    """
    from market.dispatch_check import validate_certificate
    from market.dispatch_codec import encode_certificate, hash_problem
    from market.dispatch_commitments import commitment_of
    from market.dispatch_layout import lay_out
    from tools.cases.fields import load_json
    from tools.commands.outcome import print_outcome, return_values
    from tools.solution_file import read_solution

    case = _case_of(number, session.client().get(f"/dispatch/rounds/{number}"))
    _, certificate = read_solution(case, load_json(solution))
    if not unchecked:
        validate_certificate(lay_out(case.problem), certificate)
    signer = session.open_signer(sender)
    data = encode_certificate(certificate)
    # Committed to in a block before, the result cannot be taken by who reads it on its way.
    commitment = commitment_of(signer.account, number, data)
    session.send(signer, [("dispatch", "commit", (number, commitment))])
    final = session.send(
        signer, [("dispatch", "submit", (number, hash_problem(case.problem), data))]
    )
    outcome = return_values(final)[0]
    accepted = isinstance(outcome, list) and outcome[:1] == [True]
    code = str(outcome[1]) if isinstance(outcome, list) and len(outcome) == 2 else ""
    words = "accepted: the result is proved" if accepted else f"refused with {code}"
    print_outcome(session, words, final, accepted=accepted, code=code)
    return EXIT_OK if accepted else EXIT_FAILED


@click.command("prove")
@click.argument("number", metavar="ROUND", type=click.IntRange(1))
@click.argument("name", metavar="NAME")
@click.option(
    "--kind",
    type=click.Choice(["price", "power", "flow"]),
    default="price",
    show_default=True,
    help="What of it: the price of a bus, the power of a unit, the flow of a line.",
)
@click.option("--interval", type=click.IntRange(0), default=0, show_default=True)
@json_option
@pass_session
def prove(session: Session, number: int, name: str, kind: str, interval: int) -> None:
    """Prove one figure of a closed round from the network's genesis on, and show it.

    The node is not believed: the figure leads to the round's root, the root stands in the round's
    leaf, and the leaf in a state that the validators signed.
    """
    from tools.output import print_json, print_lines
    from tools.round_proof import fetch_figure

    found = fetch_figure(session, number, kind, interval, name)
    if session.as_json:
        print_json(
            {
                "round": number,
                "kind": kind,
                "interval": interval,
                "name": name,
                "figure": str(found.figure),
                "height": found.height,
                "verified": True,
            }
        )
        return
    unit = "1e-24 $/Wh" if kind == "price" else "W"
    print_lines(
        f"{kind} of {name} in interval {interval} of round {number}: {found.figure} {unit}",
        f"proved in the state of block {found.height}",
    )


def _case_of(number: int, answer: Json) -> Case:
    """Return a round's problem as a case; raises AnswerInvalid unless it has the round's hash."""
    from market.dispatch_codec import decode_problem, hash_problem
    from tools.cases.case import NORMAL, Case
    from tools.client import base64_field, hex_field, object_field

    problem = decode_problem(base64_field(answer, "problem_bytes"))
    if hash_problem(problem) != hex_field(object_field(answer, "round"), "problem_hash", 32):
        raise AnswerInvalid("the node shows another problem than the round's")
    return Case(f"round-{number}", NORMAL, problem, tuple(range(1, problem.intervals + 1)))


def _price(value: object) -> str:
    from decimal import Decimal

    return f"{Decimal(int(str(value))) / PRICE_UNITS_PER_KWH:.6f}"


ROUND_COMMANDS: Final = (rounds, show, open_round, submit, prove)
"""What belongs to `bitenergy dispatch` besides solving and verifying."""

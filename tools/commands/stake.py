"""`bitenergy stake`: stake behind validators, what it earns, and who validates with how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    TOKENS,
    as_text,
    as_time,
    as_tokens,
    from_option,
    json_option,
    pass_session,
    print_records,
)
from tools.commands.outcome import print_outcome
from tools.output import print_fields, print_json
from tools.session import Session
from vm.primitives.address import encode_address

if TYPE_CHECKING:
    from vm.runtime import Call


@click.group("stake")
def stake_command() -> None:
    """Stake behind validators: bond, delegate, take back, and draw what it earned.

    On a network with the engine pos a validator's votes weigh as much as the stake behind it.
    """


@stake_command.command("bond")
@click.argument("amount", type=TOKENS)
@from_option
@json_option
@pass_session
def bond(session: Session, amount: int, signer: str | None) -> None:
    """Put AMOUNT behind yourself as a validator."""
    from tools import calls

    _send(session, calls.bond(amount), signer, f"{as_tokens(amount)} bonded")


@stake_command.command("delegate")
@click.argument("validator")
@click.argument("amount", type=TOKENS)
@from_option
@json_option
@pass_session
def delegate(session: Session, validator: str, amount: int, signer: str | None) -> None:
    """Put AMOUNT behind VALIDATOR, for a share of its rewards and of its faults."""
    from tools import calls

    call = calls.delegate(session.resolve(validator), amount)
    _send(session, call, signer, f"{as_tokens(amount)} put behind {validator}")


@stake_command.command("unbond")
@click.argument("validator")
@click.argument("amount", type=TOKENS)
@from_option
@json_option
@pass_session
def unbond(session: Session, validator: str, amount: int, signer: str | None) -> None:
    """Take AMOUNT back from VALIDATOR (which may be you); it is free after a while."""
    from tools import calls

    call = calls.unbond(session.resolve(validator), amount)
    _send(session, call, signer, f"{as_tokens(amount)} on its way out: bitenergy stake show")


@stake_command.command("withdraw")
@click.argument("validator")
@from_option
@json_option
@pass_session
def withdraw(session: Session, validator: str, signer: str | None) -> None:
    """Draw what your stake behind VALIDATOR earned; as the validator, your commission too."""
    from tools import calls

    call = calls.withdraw_rewards(session.resolve(validator))
    _send(session, call, signer, "rewards withdrawn")


@stake_command.command("commission")
@click.argument("percent", type=click.IntRange(0, 100))
@from_option
@json_option
@pass_session
def commission(session: Session, percent: int, signer: str | None) -> None:
    """Keep PERCENT of the rewards of the stake behind you, from now on."""
    from tools import calls

    _send(session, calls.set_commission(percent), signer, f"commission is {percent} % now")


@stake_command.command("grant")
@click.argument("who")
@click.argument("points", type=TOKENS)
@from_option
@json_option
@pass_session
def grant(session: Session, who: str, points: int, signer: str | None) -> None:
    """Grant WHO points for what it did for the grid (operators only)."""
    from tools import calls

    call = calls.grant_points(session.resolve(who), points)
    _send(session, call, signer, f"{as_tokens(points)} points granted to {who}")


@stake_command.command("show")
@click.argument("who", required=False)
@json_option
@pass_session
def show(session: Session, who: str | None) -> None:
    """Show what WHO staked, what that earned, and what is on its way out."""
    from tools.client import list_field

    address = encode_address(session.account_of(who))
    answer = session.client().get(f"/stakes/{address}")
    if session.as_json:
        print_json(answer)
        return
    print_fields(
        "Stakes",
        [
            ("name", answer.get("name") or "–"),
            ("address", address),
            ("free points", as_tokens(answer.get("points_micro"))),
            ("commission due", as_tokens(answer.get("commission_micro")) + " tokens"),
        ],
    )
    print_records(
        "Behind validators",
        list_field(answer, "stakes"),
        [
            ("validator", ("validator_name", "validator"), as_text),
            (">stake", ("stake_micro",), as_tokens),
            (">earned tokens", ("reward_micro",), as_tokens),
        ],
    )
    print_records(
        "On its way out",
        list_field(answer, "unbondings"),
        [
            ("validator", ("validator_name", "validator"), as_text),
            (">amount", ("amount_micro",), as_tokens),
            (">lost by a fault", ("slashed_micro",), as_tokens),
            ("free at", ("due_ms",), as_time),
        ],
    )


@stake_command.command("validators")
@json_option
@pass_session
def validators(session: Session) -> None:
    """List the validators of the next height with their power, and all who staked for it."""
    from tools.client import list_field, object_field

    client = session.client()
    staking, voting = client.get("/staking"), client.get("/validators")
    if session.as_json:
        print_json({**staking, "deciding": voting})
        return
    terms = object_field(staking, "terms")
    if terms.get("token") == "none":
        print_records(
            f"Validators of height {voting.get('height')}; nothing is staked here",
            list_field(voting, "validators"),
            [("validator", ("name", "address"), as_text), (">power", ("power",), as_text)],
        )
        return
    print_records(
        f"Validators by stake ({terms.get('token')}) for height {voting.get('height')}",
        list_field(staking, "validators"),
        [
            ("validator", ("validator_name", "validator"), as_text),
            (">stake", ("stake_micro",), as_tokens),
            (">power", ("power",), as_text),
            (">commission %", ("commission_percent",), as_text),
            (">out since a fault at", ("slashed_height",), as_text),
        ],
    )


def _send(session: Session, call: Call, signer: str | None, done: str) -> None:
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, done, final)

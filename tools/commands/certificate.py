"""`bitenergy certificate`: plants, guarantees of origin, and green-choice coins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    Column,
    as_kwh,
    as_option,
    as_text,
    as_time,
    as_tokens,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome, return_values
from tools.output import print_json, print_lines

if TYPE_CHECKING:
    from tools.errors import Json
    from tools.session import Session

COUNT = click.IntRange(min=1)
LOT_COLUMNS = [
    (">lot", ("lot",), as_text),
    ("owner", ("owner_name", "owner"), as_text),
    ("plant", ("plant",), as_text),
    ("technology", ("technology",), as_text),
    (">certificates", ("count",), as_text),
    (">kWh each", ("unit_milli_wh",), as_kwh),
    (">serial", ("first_serial",), as_text),
    ("produced until", ("produced_until_ms",), as_time),
    ("expires", ("expires_ms",), as_time),
]
PLANT_COLUMNS = [
    (">number", ("number",), as_text),
    ("plant", ("plant",), as_text),
    ("owner", ("owner_name", "owner"), as_text),
    ("at", ("member_name", "member"), as_text),
    ("technology", ("technology",), as_text),
    (">W", ("capacity_w",), as_text),
    (">issued", ("issued",), as_text),
    (">until interval", ("end",), as_text),
]


@click.group("certificate")
def certificate_command() -> None:
    """Guarantees of origin: list, transfer and retire them; plants; green-choice coins."""


@certificate_command.command("list")
@click.option("--owner", metavar="WHO", help="Only those of this member.")
@limit_option
@click.option("--after", type=click.IntRange(min=0), help="Only lots behind this number.")
@json_option
@pass_session
def list_(session: Session, owner: str | None, limit: int, after: int | None) -> None:
    """List certificates that stand, the oldest first."""
    answer = session.client().get("/certificates", owner=owner, limit=limit, after=after)
    _print_page(session, answer, "certificates", "Certificates", LOT_COLUMNS)


@certificate_command.command("plants")
@limit_option
@click.option("--after", type=click.IntRange(min=0), help="Only plants behind this number.")
@json_option
@pass_session
def plants(session: Session, limit: int, after: int | None) -> None:
    """List the plants that were registered, the oldest first."""
    answer = session.client().get("/certificates/plants", limit=limit, after=after)
    _print_page(session, answer, "plants", "Plants", PLANT_COLUMNS)


@certificate_command.command("transfer")
@click.argument("lot", type=COUNT)
@click.option("--to", required=True, metavar="WHO", help="Who gets them.")
@click.option("--count", type=COUNT, help="How many; all of the lot without it.")
@from_option
@json_option
@pass_session
def transfer(session: Session, lot: int, to: str, count: int | None, signer: str | None) -> None:
    """Give certificates of a LOT to a member."""
    from tools import calls

    chosen = _count(session, lot, signer, count)
    call = calls.transfer_certificates(lot, chosen, session.resolve(to))
    final = session.send(session.open_signer(signer), [call])
    into = next((value for value in return_values(final) if isinstance(value, int)), lot)
    done = f"{chosen} certificates are {to}'s, in lot {into}"
    print_outcome(session, done, final, count=chosen, lot=into)


@certificate_command.command("retire")
@click.argument("lot", type=COUNT)
@click.option("--count", type=COUNT, help="How many; all of the lot without it.")
@click.option("--for", "member", metavar="WHO", help="The member whose consumption they cover.")
@click.option("--named", metavar="TEXT", help="Whom they are used for, where it is no member.")
@click.option("--purpose", default="", metavar="TEXT", help="What they are used for.")
@from_option
@json_option
@pass_session
def retire(
    session: Session,
    lot: int,
    count: int | None,
    member: str | None,
    named: str | None,
    purpose: str,
    signer: str | None,
) -> None:
    """Use up certificates of a LOT for good: for a member, or for somebody named."""
    from tools import calls

    if (member is None) == (named is None):
        raise click.UsageError("say whom they are used for: --for MEMBER, or --named TEXT")
    beneficiary = session.resolve(member) if member is not None else named or ""
    chosen = _count(session, lot, signer, count)
    call = calls.retire_certificates(lot, chosen, beneficiary, purpose)
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{chosen} certificates of lot {lot} are retired", final, count=chosen)


@certificate_command.command("register")
@click.argument("plant")
@click.option("--member", required=True, metavar="WHO", help="Whose connection it feeds.")
@click.option("--owner", metavar="WHO", help="Who gets its certificates; the member without it.")
@click.option("--technology", required=True, help="solar, wind, hydro, …")
@click.option("--capacity-w", type=COUNT, required=True, help="Its nominal power in watts.")
@from_option
@json_option
@pass_session
def register(
    session: Session,
    plant: str,
    member: str,
    owner: str | None,
    technology: str,
    capacity_w: int,
    signer: str | None,
) -> None:
    """Register a PLANT at a member's connection; for DSOs and operators."""
    from tools import calls

    account = session.resolve(member)
    owned = account if owner is None else session.resolve(owner)
    call = calls.register_plant(plant, owned, account, technology, capacity_w)
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"plant {plant} is registered", final)


@certificate_command.command("close")
@click.argument("plant")
@from_option
@json_option
@pass_session
def close(session: Session, plant: str, signer: str | None) -> None:
    """End the registration of a PLANT; for DSOs and operators."""
    from tools import calls

    final = session.send(session.open_signer(signer), [calls.close_plant(plant)])
    print_outcome(session, f"plant {plant} is closed", final)


@certificate_command.command("enrol")
@from_option
@json_option
@pass_session
def enrol(session: Session, signer: str | None) -> None:
    """Have what you consume count for green-choice coins from the next interval on."""
    from tools import calls

    final = session.send(session.open_signer(signer), [calls.enrol_for_coins()])
    print_outcome(session, "what you consume counts from the next interval on", final)


@certificate_command.command("leave")
@from_option
@json_option
@pass_session
def leave(session: Session, signer: str | None) -> None:
    """Let what you consume count no more; your coins stay."""
    from tools import calls

    final = session.send(session.open_signer(signer), [calls.leave_coins()])
    print_outcome(session, "what you consume counts no more", final)


@certificate_command.command("coins")
@click.argument("who", required=False)
@as_option
@json_option
@pass_session
def coins(session: Session, who: str | None, signer: str | None) -> None:
    """Show the green-choice coins of WHO; without it, of the wallet's only key.

    They change by what WHO consumes: the node tells how many there are to those whom its readings
    concern. The request is signed by the key of --as, or that of WHO where the wallet has it.
    """
    from vm.primitives.address import encode_address

    address = encode_address(session.account_of(who))
    if signer is not None or who is None or who in session.wallet.names():
        session.client().sign_as(session.open_signer(signer or who))
    answer = session.client().get(f"/certificates/coins/{address}")
    if session.as_json:
        print_json(answer)
        return
    name = answer.get("member_name") or address
    enrolled = answer.get("since") is not None and answer.get("end") is None
    state = "its consumption counts" if enrolled else "its consumption does not count"
    balance = answer.get("balance_micro")
    known = "an untold number of (--as)" if balance is None else as_tokens(balance)
    print_lines(f"{name} has {known} green-choice coins; {state}")


def _count(session: Session, lot: int, signer: str | None, count: int | None) -> int:
    """Return how many certificates are meant: all of a lot of the signer unless it was said."""
    from tools.client import list_field
    from tools.errors import ToolError
    from vm.primitives.address import encode_address

    if count is not None:
        return count
    owner = encode_address(session.account_of(signer))
    answer = session.client().get("/certificates", owner=owner, limit=1, after=lot - 1)
    for found in list_field(answer, "certificates"):
        whole = found.get("count")
        if found.get("lot") == lot and isinstance(whole, int):
            return whole
    raise ToolError(
        f"lot {lot} is not yours, or nothing is left of it",
        code="unknown_lot",
        hint="`bitenergy certificate list --owner YOU` shows your lots.",
    )


def _print_page(
    session: Session, answer: Json, field: str, title: str, columns: Sequence[Column]
) -> None:
    from tools.client import list_field

    if session.as_json:
        print_json(answer)
        return
    print_records(title, list_field(answer, field), columns)
    print_more(answer, "--after")

"""`bitenergy member`: the registry of members."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from tools.commands.options import (
    as_list,
    as_text,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome
from tools.errors import ToolError
from tools.output import print_json
from tools.session import Session

if TYPE_CHECKING:
    from vm.runtime import Call


@click.group("member")
def member_command() -> None:
    """The registry of members: operators admit, suspend and remove; members rotate their keys."""


@member_command.command("add")
@click.argument("name")
@click.option("--key", metavar="HEX", help="The member's public key, as wallet list shows it.")
@click.option("--wallet-key", metavar="KEY", help="Or: the key of this name in the wallet.")
@click.option("--role", "roles", multiple=True, required=True, help="May be given several times.")
@click.option("--bus", default="", help="Where the member is connected to the grid.")
@click.option("--node-key", metavar="HEX", default="", help="Key of the member's node.")
@click.option("--node-proof", metavar="HEX", default="", help="Proof that comes with it.")
@click.option("--vote-key", metavar="HEX", default="", help="A validator's vote key.")
@from_option
@json_option
@pass_session
def add(
    session: Session,
    name: str,
    key: str | None,
    wallet_key: str | None,
    roles: Sequence[str],
    bus: str,
    node_key: str,
    node_proof: str,
    vote_key: str,
    signer: str | None,
) -> None:
    """Admit a member called NAME (operators only).

    Keys of a node and of its votes are shown by `bitenergy node keys` on the member's machine.
    """
    from tools import calls

    if (key is None) == (wallet_key is None):
        raise click.UsageError("Give either --key HEX or --wallet-key KEY.")
    if wallet_key is not None:
        public = session.wallet.describe(wallet_key).public_key
    else:
        public = _key_bytes(key or "", "--key", 32)
    call = calls.admit_member(
        public,
        name,
        role_mask(session, roles),
        bus=bus,
        node_key=_key_bytes(node_key, "--node-key", 32, optional=True),
        node_proof=_key_bytes(node_proof, "--node-proof", 64, optional=True),
        vote_key=_key_bytes(vote_key, "--vote-key", 32, optional=True),
    )
    final = session.send(session.open_signer(signer), [call])
    print_outcome(session, f"{name} is a member", final)


@member_command.command("list")
@click.option("--role", help="Only members with this role.")
@limit_option
@click.option("--after", metavar="NAME", help="Only what comes after this one.")
@json_option
@pass_session
def list_(session: Session, role: str | None, limit: int, after: str | None) -> None:
    """List the members."""
    from tools.client import list_field

    answer = session.client().get("/members", role=role, limit=limit, after=after)
    if session.as_json:
        print_json(answer)
        return
    print_records(
        "Members",
        list_field(answer, "members"),
        [
            ("name", ("name",), as_text),
            ("address", ("address",), as_text),
            ("roles", ("roles",), as_list),
            ("bus", ("bus",), as_text),
            ("status", ("status",), as_text),
        ],
    )
    print_more(answer, "--after")


@member_command.command("suspend")
@click.argument("who")
@from_option
@json_option
@pass_session
def suspend(session: Session, who: str, signer: str | None) -> None:
    """Keep WHO from transacting, peering and validating (operators only)."""
    from tools import calls

    _change(session, calls.suspend_member(session.resolve(who)), signer, f"{who} is suspended")


@member_command.command("reinstate")
@click.argument("who")
@from_option
@json_option
@pass_session
def reinstate(session: Session, who: str, signer: str | None) -> None:
    """End the suspension of WHO (operators only)."""
    from tools import calls

    _change(session, calls.reinstate_member(session.resolve(who)), signer, f"{who} is active again")


@member_command.command("remove")
@click.argument("who")
@click.option("--yes", is_flag=True, help="Do not ask.")
@from_option
@json_option
@pass_session
def remove(session: Session, who: str, yes: bool, signer: str | None) -> None:
    """Remove WHO for good (operators only)."""
    from tools import calls

    account = session.resolve(who)
    if not yes:
        _confirm(f"Remove {who} for good?")
    _change(session, calls.remove_member(account), signer, f"{who} is removed")


def _confirm(question: str) -> None:
    """Go on only after a yes; raises Abort, or UsageError where there is nobody to ask."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("There is nobody to ask whether you are sure; give --yes.") from None
    if not agreed:
        raise click.Abort


@member_command.command("rotate")
@click.argument("name", required=False)
@click.option("--reset", "lost", metavar="WHO", help="Operators: replace the lost key of WHO.")
@click.option("--new-key", metavar="HEX", help="With --reset: the member's new public key.")
@from_option
@json_option
@pass_session
def rotate(
    session: Session, name: str | None, lost: str | None, new_key: str | None, signer: str | None
) -> None:
    """Replace your key called NAME by a new one; the account and its address stay.

    The new key is on disk before anything is sent, so a rotation that is cut short goes on when
    the command is run again. The old key's file is kept beside it.
    """
    from tools import calls

    if lost is not None:
        if new_key is None or name is not None:
            raise click.UsageError("Write: member rotate --reset WHO --new-key HEX")
        call = calls.reset_key(session.resolve(lost), _key_bytes(new_key, "--new-key", 32))
        _change(session, call, signer, f"{lost} has a new key")
        return
    if new_key is not None:
        raise click.UsageError("--new-key goes with --reset; your own new key is made for you.")
    _rotate_own(session, name or signer)


@member_command.command("set")
@click.argument("who", required=False)
@click.option("--vote-key", metavar="HEX", default="", help="Your validator's new vote key.")
@click.option("--node-key", metavar="HEX", default="", help="The key of your node.")
@click.option("--node-proof", metavar="HEX", default="", help="The proof that comes with it.")
@click.option("--role", "roles", multiple=True, help="Operators: the roles WHO has from now on.")
@click.option("--bus", help="Operators: where WHO is connected to the grid.")
@from_option
@json_option
@pass_session
def set_(
    session: Session,
    who: str | None,
    vote_key: str,
    node_key: str,
    node_proof: str,
    roles: Sequence[str],
    bus: str | None,
    signer: str | None,
) -> None:
    """Change what the registry says: of your own node and votes, or (operators) of WHO.

    Keys of a node and of its votes are shown by `bitenergy node keys` on its machine.
    """
    from tools import calls

    if bool(who) != bool(roles or bus is not None):
        raise click.UsageError("--role and --bus go with WHO, and WHO with one of them.")
    wanted: list[Call] = []
    if vote_key:
        wanted.append(calls.set_vote_key(_key_bytes(vote_key, "--vote-key", 32)))
    if node_key or node_proof:
        key = _key_bytes(node_key, "--node-key", 32)
        wanted.append(calls.set_node_key(key, _key_bytes(node_proof, "--node-proof", 64)))
    if who:
        account = session.resolve(who)
        if roles:
            wanted.append(calls.set_roles(account, role_mask(session, roles)))
        if bus is not None:
            wanted.append(calls.set_bus(account, bus))
    if not wanted:
        raise click.UsageError("Say what to change: see --help.")
    final = session.send(session.open_signer(signer), wanted)
    print_outcome(session, "the registry is changed", final)


@member_command.command("credit")
@click.argument("who")
@click.option("--money", metavar="TOKENS", help="Money to bring into being, e.g. 100.50")
@click.option("--energy", metavar="ENERGY", help="Energy that was produced, e.g. 6kWh")
@from_option
@json_option
@pass_session
def credit(
    session: Session, who: str, money: str | None, energy: str | None, signer: str | None
) -> None:
    """Credit WHO with money paid outside or with energy (operators only)."""
    from tools import calls
    from tools.amounts import parse_energy, parse_tokens

    account = session.resolve(who)
    wanted: list[Call] = []
    if money is not None:
        wanted.append(calls.mint(account, parse_tokens(money)))
    if energy is not None:
        wanted.append(calls.mint_energy(account, parse_energy(energy)))
    if not wanted:
        raise click.UsageError("Give --money or --energy, or both.")
    final = session.send(session.open_signer(signer), wanted)
    print_outcome(session, f"{who} is credited", final)


def role_mask(session: Session, roles: Sequence[str]) -> int:
    """Return the bit mask of `roles` by the network's own list; raises ToolError."""
    known = session.client().get("/genesis").get("roles")
    if not isinstance(known, list):
        raise ToolError("the node's genesis lists no roles", code="invalid_answer")
    unknown = [role for role in roles if role not in known]
    if unknown:
        raise ToolError(
            f"this network has no role {', '.join(unknown)}",
            code="unknown_role",
            expected=f"some of {', '.join(map(str, known))}",
        )
    return sum(1 << place for place, role in enumerate(known) if role in roles)


def _rotate_own(session: Session, name: str | None) -> None:
    from tools import calls
    from tools.client import hex_field
    from vm.primitives.address import encode_address
    from vm.primitives.signatures import public_key

    wallet = session.wallet
    old = session.open_signer(name)
    new = wallet.prepare_rotation(old, session.password)
    public = public_key(new.seed)
    account = session.client().account(encode_address(old.account))
    if hex_field(account, "key", 32) == public:
        kept = wallet.finish_rotation(old.name, 0)
        if session.as_json:
            print_json({"name": old.name, "public_key": public.hex(), "old_key": str(kept)})
        else:
            click.echo("the interrupted rotation is finished")
        return
    final = session.send(old, [calls.rotate_key(public)])
    kept = wallet.finish_rotation(old.name, final.height)
    print_outcome(
        session,
        f"{old.name} signs with a new key; the old one is kept in {kept}",
        final,
        public_key=public.hex(),
        old_key=str(kept),
    )


def _change(session: Session, call: Call, signer: str | None, done: str) -> None:
    print_outcome(session, done, session.send(session.open_signer(signer), [call]))


def _key_bytes(text: str, option: str, size: int, *, optional: bool = False) -> bytes:
    if optional and not text:
        return b""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise click.UsageError(f"{option} takes {2 * size} hexadecimal digits.")
    return value

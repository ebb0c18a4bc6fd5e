"""`bitenergy wallet`: keys, balances, history and transfers."""

from __future__ import annotations

from pathlib import Path

import click

from tools.commands.options import (
    ENERGY,
    TOKENS,
    as_kwh,
    as_list,
    as_option,
    as_outcome,
    as_text,
    as_time,
    as_tokens,
    before_option,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_more,
    print_records,
)
from tools.commands.outcome import print_outcome
from tools.output import note, print_fields, print_json, print_lines
from tools.session import Session
from vm.primitives.address import encode_address


@click.group("wallet")
def wallet_command() -> None:
    """Keys, balances and transfers."""


@wallet_command.command("create")
@click.argument("name")
@json_option
@pass_session
def create(session: Session, name: str) -> None:
    """Make a new key called NAME, encrypted with a password.

    An operator admits it to the network with `bitenergy member add`.
    """
    wallet = session.wallet
    _refuse_existing(session, name)
    key_file = wallet.create(name, session.password(prompt="New password", confirm=True))
    _print_key(session, name, key_file.account, key_file.public_key)


@wallet_command.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@pass_session
def import_(session: Session, name: str, file: Path) -> None:
    """Bring a key into the wallet as NAME, from FILE (mode 0600).

    FILE is a key file of this program, or 64 hexadecimal digits: the seed. The password opens
    FILE, if it is encrypted, and encrypts the wallet's copy.
    """
    from node.keyfile import open_key
    from node.keyfile_format import KeyFileError, decode_key_file
    from node.private_file import read_private_file

    _refuse_existing(session, name)
    data = read_private_file(file, max_bytes=4096)
    account: bytes | None = None
    if data.lstrip()[:1] == b"{":
        key_file = decode_key_file(data, name=str(file))
        if key_file.purpose != "account":
            raise KeyFileError(
                f"{file} is no account's key", expected="account", actual=key_file.purpose
            )
        password = session.password(prompt=f"Password of {file}") if key_file.encrypted else ""
        seed, account = open_key(key_file, password), key_file.account
    else:
        try:
            seed = bytes.fromhex(data.decode("ascii"))
        except ValueError:
            seed = b""
        if len(seed) != 32:
            raise KeyFileError(
                f"{file} is neither a key file nor a seed", expected="64 hexadecimal digits"
            )
    password = session.password(prompt="New password", confirm=True)
    stored = session.wallet.add(name, seed, password, account=account)
    _print_key(session, name, stored.account, stored.public_key)


@wallet_command.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
@pass_session
def export(session: Session, name: str, file: Path) -> None:
    """Write the key NAME to FILE as the explorer's wallet reads it, under a new password.

    A password that browsers can work with guards it: choose a long one.
    """
    from node.keyfile import save_browser_key

    signer = session.open_signer(name)
    password = session.password(prompt="Password of the file", confirm=True)
    key_file = save_browser_key(file, signer.seed, password, account=signer.account)
    _print_key(session, name, key_file.account, key_file.public_key, exported=file)


@wallet_command.command("list")
@json_option
@pass_session
def list_(session: Session) -> None:
    """List the keys of the wallet; needs no password and no node."""
    wallet = session.wallet
    keys = []
    for name in wallet.names():
        key_file = wallet.describe(name)
        keys.append(
            {
                "name": name,
                "address": encode_address(key_file.account),
                "public_key": key_file.public_key.hex(),
                "encrypted": key_file.encrypted,
            }
        )
    if session.as_json:
        print_json({"keys": keys})
    else:
        print_records(
            f"Keys in {wallet.folder}",
            keys,
            [
                ("name", ("name",), as_text),
                ("address", ("address",), as_text),
                ("public key", ("public_key",), as_text),
            ],
        )


@wallet_command.command("balance")
@click.argument("who", required=False)
@as_option
@json_option
@pass_session
def balance(session: Session, who: str | None, signer: str | None) -> None:
    """Show money and energy of WHO: a member's name, an address, or a key of the wallet.

    The energy of a member with a meter is told to whom its readings concern: to the key of --as, or
    to its own in the wallet if that needs no password.
    """
    if signer is not None:
        session.client().sign_as(session.open_signer(signer))
    address = encode_address(session.account_of(who))
    account = session.client().account(address)
    if account.get("energy_milli_wh") is None and signer is None:
        own = _find_open_key(session, address)
        if own is not None:
            session.client().sign_as(session.open_signer(own))
            account = session.client().account(address)
    if session.as_json:
        print_json(account)
        return
    energy = account.get("energy_milli_wh")
    fields = [
        ("name", account.get("name") or "–"),
        ("address", account.get("address")),
        ("roles", as_list(account.get("roles", []))),
        ("status", account.get("status")),
        ("money", as_tokens(account.get("money_micro")) + " tokens"),
        ("  set aside", as_tokens(account.get("money_reserved_micro")) + " tokens"),
        ("energy", "personal (--as)" if energy is None else as_kwh(energy) + " kWh"),
        ("  in offers", as_kwh(account.get("energy_reserved_milli_wh")) + " kWh"),
        ("next nonce", account.get("next_nonce", account.get("nonce"))),
    ]
    print_fields("Account", fields)


@wallet_command.command("history")
@click.argument("who", required=False)
@limit_option
@before_option
@json_option
@pass_session
def history(session: Session, who: str | None, limit: int, before: str | None) -> None:
    """Show what happened to the account of WHO, the newest first."""
    from tools.client import list_field

    address = encode_address(session.account_of(who))
    answer = session.client().get(f"/accounts/{address}/history", limit=limit, before=before)
    if session.as_json:
        print_json(answer)
        return
    print_records(
        f"History of {who or address}",
        list_field(answer, "history"),
        [
            (">height", ("height",), as_text),
            ("time", ("time_ms",), as_time),
            ("what", ("what",), as_text),
            (">money", ("money_micro",), as_tokens),
            (">energy kWh", ("energy_milli_wh",), as_kwh),
            ("outcome", ("code",), as_outcome),
            ("transaction", ("transaction_id",), as_text),
        ],
    )
    print_more(answer, "--before")


@wallet_command.command("transfer")
@click.argument("to")
@click.argument("amount", type=TOKENS, required=False)
@click.option("--energy", type=ENERGY, help="Energy instead of, or beside, money: 6kWh.")
@click.option("--memo", default="", help="A note of at most 64 bytes; everybody can read it.")
@from_option
@json_option
@pass_session
def transfer(
    session: Session, to: str, amount: int | None, energy: int | None, memo: str, signer: str | None
) -> None:
    """Move AMOUNT tokens, or energy, to TO: a member's name or an address."""
    from tools import calls

    if amount is None and energy is None:
        raise click.UsageError("Say what to transfer: an AMOUNT of tokens, or --energy 6kWh.")
    receiver = session.resolve(to)
    asked = [] if amount is None else [calls.transfer(receiver, amount, memo)]
    if energy is not None:
        asked.append(calls.transfer_energy(receiver, energy))
    final = session.send(session.open_signer(signer), asked)
    # A name is the node's word for an account, so the account itself is shown.
    print_outcome(session, f"transferred to {to}, account {encode_address(receiver)}", final)


@wallet_command.command("open-orders")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@from_option
@json_option
@pass_session
def open_orders(session: Session, file: Path, signer: str | None) -> int:
    """Open the sealed orders that a browser's wallet exported to FILE, after their gate.

    The exit status is 0 if none that stands sealed was refused.
    """
    from tools import browser_orders
    from tools.errors import TransactionFailed

    opened = session.open_signer(signer)
    found: list[dict[str, object]] = []
    for order in browser_orders.read_orders(file.read_bytes(), opened):
        number = browser_orders.find_number(session.client(), order, opened.account)
        shown: dict[str, object] = {"market": order.name, "interval": order.interval}
        found.append(shown | {"order": number, "state": "not sealed", "id": None})
        if number is None:
            continue
        try:
            final = session.send(opened, [order.opening(number)])
            found[-1] |= {"state": "opened", "id": final.id}
        except TransactionFailed as error:
            found[-1] |= {"state": error.code, "id": error.final.id}
    if session.as_json:
        print_json({"orders": found})
    else:
        names = ("market", "interval", "order", "state", "id")
        columns = [(name, (name,), as_text) for name in names]
        print_records("sealed orders", found, columns)
    return int(any(each["state"] not in ("opened", "not sealed") for each in found))


def _find_open_key(session: Session, address: str) -> str | None:
    """Return the name of an account's key in the wallet that opens without a password."""
    wallet = session.wallet
    for name in wallet.names():
        found = wallet.describe(name)
        if not found.encrypted and encode_address(found.account) == address:
            return name
    return None


def _refuse_existing(session: Session, name: str) -> None:
    """Refuse a taken name before anybody types a password."""
    from node.keyfile_format import KeyFileError

    path = session.wallet.path(name)
    if path.exists():
        raise KeyFileError(
            f"the wallet has a key called {name} already",
            code="file_exists",
            hint="Choose another name.",
        )


def _print_key(
    session: Session, name: str, account: bytes, public: bytes, *, exported: Path | None = None
) -> None:
    address = encode_address(account)
    if session.as_json:
        print_json({"name": name, "address": address, "public_key": public.hex()})
        return
    print_lines(f"{name}  {address}", f"public key {public.hex()}")
    if exported is not None:
        note(
            f"Import {exported} in the explorer's wallet, then delete it: whoever has it and its "
            f"password signs as {name}."
        )
        return
    note(
        f"Back up {session.wallet.path(name)} and remember its password: nobody can restore it.\n"
        f"To join a network, an operator runs: "
        f"bitenergy member add {name} --key {public.hex()} --role prosumer"
    )

"""`bitenergy tx`, `block` and `proof`: look at the chain, and check its word."""

from __future__ import annotations

from pathlib import Path

import click

from tools.commands.options import (
    Command,
    as_kwh,
    as_option,
    as_outcome,
    as_text,
    as_time,
    as_tokens,
    json_option,
    pass_session,
    print_records,
)
from tools.commands.outcome import call_line
from tools.errors import EXIT_FAILED, EXIT_OK, Json, ToolError
from tools.output import print_fields, print_json, print_lines
from tools.session import Session


@click.group("tx")
def tx_command() -> None:
    """Look at a transaction."""


@click.group("block")
def block_command() -> None:
    """Look at a block."""


@click.group("proof")
def proof_command() -> None:
    """Check the chain's word without trusting a node."""


@tx_command.command("show")
@click.argument("id", metavar="ID")
@json_option
@pass_session
def show_transaction(session: Session, id: str) -> int:
    """Show transaction ID and its receipt; the exit status is 0 only if it is final and did
    what it asked for.
    """
    answer = session.client().get(f"/transactions/{_hex_id(id)}")
    receipt = answer.get("receipt")
    receipt = receipt if isinstance(receipt, dict) else {}
    done = answer.get("status") == "final" and receipt.get("code") == ""
    if session.as_json:
        print_json(answer)
        return EXIT_OK if done else EXIT_FAILED
    transaction = answer.get("transaction")
    transaction = transaction if isinstance(transaction, dict) else {}
    fields: list[tuple[str, object]] = [
        ("id", id),
        ("status", answer.get("status")),
        ("block", answer.get("height") if answer.get("height") is not None else "–"),
        ("sender", transaction.get("sender_name") or transaction.get("sender") or "–"),
        ("nonce", transaction.get("nonce", "–")),
    ]
    if receipt:
        fields += [
            ("outcome", receipt.get("code") or "ok"),
            *([("why", receipt["message"])] if receipt.get("message") else []),
            ("gas used", receipt.get("gas_used")),
            ("fee", as_tokens(receipt.get("fee_micro")) + " tokens"),
        ]
    print_fields("Transaction", fields)
    _print_values("calls", transaction.get("calls"))
    _print_values("events", receipt.get("events"))
    return EXIT_OK if done else EXIT_FAILED


@block_command.command("show")
@click.argument("height", metavar="HEIGHT|latest")
@json_option
@pass_session
def show_block(session: Session, height: str) -> None:
    """Show the block at HEIGHT, or the latest."""
    if height != "latest" and not (height.isascii() and height.isdigit()):
        raise click.UsageError("HEIGHT is a number, or latest.")
    answer = session.client().get(f"/blocks/{height}")
    if session.as_json:
        print_json(answer)
        return
    inner = answer.get("header")
    header: Json = inner if isinstance(inner, dict) else answer
    print_fields(
        f"Block {header.get('height', height)}",
        [
            ("id", answer.get("block_id") or answer.get("id") or header.get("id")),
            ("time", as_time(header.get("time_ms"))),
            ("proposer", header.get("proposer_name") or header.get("proposer")),
            ("parent", header.get("parent")),
            ("state root", header.get("state_root")),
            ("gas used", header.get("gas_used")),
        ],
    )
    found = answer.get("transactions")
    if isinstance(found, list):
        records = [each if isinstance(each, dict) else {"id": each} for each in found]
        print_records(
            "Transactions",
            records,
            [
                ("id", ("id",), as_text),
                ("sender", ("sender_name", "sender"), as_text),
                ("outcome", ("code",), as_outcome),
            ],
        )


def proof_options(command: Command) -> Command:
    """Add what the commands about proofs share."""
    for option in (
        click.option(
            "--verify", is_flag=True, help="Check it against the pinned network's validators."
        ),
        click.option(
            "--file",
            "file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Keep the proof's bytes in this file; with --verify and --offline, read them "
            "from it.",
        ),
        click.option("--offline", is_flag=True, help="Ask no node: the proof is in --file."),
        click.option(
            "--genesis",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="The network's genesis file; without it the node is asked for it, and its hash "
            "checked.",
        ),
        click.option(
            "--from",
            "begin",
            type=click.IntRange(min=0),
            metavar="HEIGHT",
            help="Begin the proof at this block, for a reader who trusts that block's id instead "
            "of genesis.",
        ),
    ):
        command = option(command)
    return command


@proof_command.command("account")
@click.argument("who")
@as_option
@proof_options
@json_option
@pass_session
def account(
    session: Session,
    who: str,
    signer: str | None,
    verify: bool,
    file: Path | None,
    offline: bool,
    genesis: Path | None,
    begin: int | None,
) -> None:
    """Fetch the proof of WHO's account: a member's name, an address, or a key of the wallet.

    Of a member with a meter the node gives it to whom its readings concern: the request is signed
    by the key of --as, if there is one.

    With --verify nothing that the node says is believed: the account's leaf must lead to the
    state root of a header, the header must carry the signatures of more than two thirds of the
    validators' power, and the validators must follow from the pinned genesis.
    """
    from tools import proofs
    from vm.primitives.address import encode_address
    from vm.system.accounts import STATUS_NAMES

    kept = _kept_file(verify, file, offline, begin)
    if kept is not None:
        fetched = proofs.FetchedProof(proofs.load_proof(kept), b"")
    else:
        if signer is not None:
            session.client().sign_as(session.open_signer(signer))
        fetched = proofs.fetch_account_proof(session, who, begin=begin)
        if file is not None:
            file.write_bytes(fetched.account)
    size = len(fetched.account)
    if not verify:
        _print_unverified(session, fetched.account, file)
        return
    found = proofs.verify_account_proof(
        session, fetched, who, genesis_file=genesis, offline=offline
    )
    if session.as_json:
        print_json({"verified": True, "bytes": size, **found.as_json()})
        return
    header, leaf = found.header, found.leaf
    fields: list[tuple[str, object]] = [
        ("address", encode_address(found.account)),
        ("block", header.block_id().hex()),
        ("state root", header.state_root.hex()),
        ("as of", as_time(header.time_ms)),
    ]
    if leaf is None:
        fields.append(("account", "does not exist"))
    else:
        fields += [
            ("roles", ", ".join(found.roles)),
            ("status", STATUS_NAMES[leaf.status]),
            ("money", as_tokens(leaf.money_micro) + " tokens"),
            ("  set aside", as_tokens(leaf.money_reserved_micro) + " tokens"),
            ("energy", as_kwh(leaf.energy_milli_wh) + " kWh"),
            ("  in offers", as_kwh(leaf.energy_reserved_milli_wh) + " kWh"),
        ]
    print_fields(f"Proved: block {header.height}, signed by {found.signers} validators", fields)


@proof_command.command("reading")
@click.argument("member")
@click.argument("interval", type=click.IntRange(0, 2**63 - 1))
@as_option
@proof_options
@json_option
@pass_session
def reading(
    session: Session,
    member: str,
    interval: int,
    signer: str | None,
    verify: bool,
    file: Path | None,
    offline: bool,
    genesis: Path | None,
    begin: int | None,
) -> None:
    """Fetch the proof of what the meter of MEMBER showed in INTERVAL.

    The node gives it to the member, its meter, whom it allowed, the DSO and auditors: the request
    is signed by the key of --as, or the wallet's only one.
    """
    from tools import proofs

    kept = _kept_file(verify, file, offline, begin)
    if kept is not None:
        data = proofs.load_proof(kept)
    else:
        session.client().sign_as(session.open_signer(signer))
        data = proofs.fetch_reading_proof(
            session, session.account_of(member), interval, begin=begin
        )
        if file is not None:
            file.write_bytes(data)
    if not verify:
        _print_unverified(session, data, file)
        return
    found = proofs.verify_reading_proof(
        session,
        data,
        session.account_of(member),
        interval,
        genesis_file=genesis,
        offline=offline,
    )
    if session.as_json:
        print_json({"verified": True, "bytes": len(data), **found.as_json()})
        return
    print_fields(
        f"Proved: block {found.header.height}, signed by {found.signers} validators",
        [
            ("member", member),
            ("interval", interval),
            ("injected", as_kwh(found.injected_milli_wh) + " kWh"),
            ("withdrawn", as_kwh(found.withdrawn_milli_wh) + " kWh"),
            ("quality", found.quality),
            ("as of", as_time(found.header.time_ms)),
        ],
    )


@proof_command.command("transaction")
@click.argument("id", metavar="ID")
@as_option
@proof_options
@json_option
@pass_session
def transaction(
    session: Session,
    id: str,
    signer: str | None,
    verify: bool,
    file: Path | None,
    offline: bool,
    genesis: Path | None,
    begin: int | None,
) -> None:
    """Fetch the proof that transaction ID is final, and of its receipt: a trade, for example."""
    from tools import proofs
    from vm.primitives.address import encode_address

    kept = _kept_file(verify, file, offline, begin)
    if kept is not None:
        data = proofs.load_proof(kept)
    else:
        if signer is not None:
            session.client().sign_as(session.open_signer(signer))
        data = proofs.fetch_transaction_proof(session, _hex_id(id), begin=begin)
        if file is not None:
            file.write_bytes(data)
    if not verify:
        _print_unverified(session, data, file)
        return
    found = proofs.verify_transaction_proof(
        session, data, _hex_id(id), genesis_file=genesis, offline=offline
    )
    if session.as_json:
        print_json({"verified": True, "bytes": len(data), **found.as_json()})
        return
    print_fields(
        f"Proved: block {found.header.height}, signed by {found.signers} validators",
        [
            ("transaction", found.transaction.id.hex()),
            ("sender", encode_address(found.transaction.sender)),
            ("outcome", found.receipt.code or "ok"),
            ("block", found.header.block_id().hex()),
            ("as of", as_time(found.header.time_ms)),
        ],
    )


def _kept_file(verify: bool, file: Path | None, offline: bool, begin: int | None) -> Path | None:
    """Return the file to read the proof from; None where the node is to be asked."""
    if offline and (file is None or not verify):
        raise click.UsageError("--offline goes with --verify and --file FILE.")
    if verify and begin is not None:
        raise click.UsageError(
            "--verify begins at genesis. What begins at a block is checked with verify_proof.py."
        )
    return file if offline else None


def _print_unverified(session: Session, data: bytes, file: Path | None) -> None:
    if session.as_json:
        print_json({"proof": data.hex(), "bytes": len(data), "verified": False})
    else:
        print_lines(f"{len(data)} bytes, not verified" + (f", in {file}" if file else ""))


def _hex_id(text: str) -> str:
    try:
        size = len(bytes.fromhex(text))
    except ValueError:
        size = 0
    if size != 32:
        raise ToolError(
            "not the id of a transaction",
            code="usage",
            expected="64 hexadecimal digits",
            actual=text[:80],
        )
    return text.lower()


def _print_values(title: str, values: object) -> None:
    if isinstance(values, list) and values:
        print_lines(f"{title}:", *(f"  {call_line(value)}" for value in values))

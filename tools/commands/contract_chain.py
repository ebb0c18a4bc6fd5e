"""The commands of `bitenergy contract` that reach a network: deploy, call, view, and the rest."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tools.commands.options import (
    ENERGY,
    TOKENS,
    as_text,
    from_option,
    json_option,
    limit_option,
    pass_session,
    print_records,
)
from tools.commands.outcome import print_outcome, return_values
from tools.errors import EXIT_FAILED, EXIT_OK, Json, ToolError
from tools.output import print_fields, print_json, print_lines
from tools.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vm.contract.code_object import Code, Function, FunctionKind
    from vm.contract.value_types import ValueType
    from vm.primitives.codec import Value

SOURCE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_VALUES: Final = (
    "numbers and true or false as they are, text, members' names or addresses, bytes as "
    "hexadecimal digits; lists and the like as JSON"
)


@click.command("deploy")
@click.argument("file", type=SOURCE)
@click.argument("values", nargs=-1)
@click.option("--name", help="The contract's name on the network; without it that of the file.")
@from_option
@json_option
@pass_session
def deploy(
    session: Session, file: Path, values: tuple[str, ...], name: str | None, signer: str | None
) -> None:
    """Compile FILE and deploy it, with VALUES for the arguments of its `@init`."""
    from tools import calls
    from tools.contract.source_file import load_artefact
    from vm.contract.code_object import FunctionKind

    artefact = load_artefact(file)
    arguments = _first_arguments(session, artefact.code, FunctionKind.INIT, values)
    chosen = name or file.stem
    call = calls.deploy_contract(chosen, artefact.raw, artefact.source, arguments)
    final = session.send(session.open_signer(signer), [call])
    address = next((value for value in return_values(final) if isinstance(value, str)), "")
    more = {"address": address, "name": chosen, "code_hash": artefact.code.code_hash.hex()}
    print_outcome(session, f"contract {chosen} deployed at {address}", final, **more)


@click.command("upgrade")
@click.argument("contract")
@click.argument("file", type=SOURCE)
@click.argument("values", nargs=-1)
@from_option
@json_option
@pass_session
def upgrade(
    session: Session, contract: str, file: Path, values: tuple[str, ...], signer: str | None
) -> None:
    """Replace the code of your CONTRACT by that of FILE, with VALUES for its `@upgrade`."""
    from tools import calls
    from tools.contract.source_file import load_artefact
    from vm.contract.code_object import FunctionKind

    artefact = load_artefact(file)
    arguments = _first_arguments(session, artefact.code, FunctionKind.UPGRADE, values)
    call = calls.upgrade_contract(
        session.resolve(contract), artefact.raw, artefact.source, arguments
    )
    final = session.send(session.open_signer(signer), [call])
    code_hash = artefact.code.code_hash.hex()
    print_outcome(session, f"contract {contract} upgraded", final, code_hash=code_hash)


@click.command("call")
@click.argument("contract")
@click.argument("function")
@click.argument("values", nargs=-1)
@click.option("--money", type=TOKENS, default="0", help="Tokens that it may take: 9.82.")
@click.option("--energy", type=ENERGY, default="0Wh", help="Energy that it may take: 6kWh.")
@from_option
@json_option
@pass_session
def call(
    session: Session,
    contract: str,
    function: str,
    values: tuple[str, ...],
    money: int,
    energy: int,
    signer: str | None,
) -> None:
    """Call a FUNCTION of a CONTRACT, with VALUES for its arguments."""
    from tools import calls

    address, code = _load(session, contract)
    found = _entry(code, function)
    made = calls.call_contract(
        address,
        function,
        _read_values(session, found.parameters, values),
        money_micro=money,
        energy_milli_wh=energy,
    )
    final = session.send(session.open_signer(signer), [made])
    print_outcome(session, f"{contract}.{function} done", final)
    if not session.as_json:
        shown = return_values(final)
        if shown and shown[0] is not None:
            print_lines(f"returned {json.dumps(shown[0])}")


@click.command("view")
@click.argument("contract")
@click.argument("function")
@click.argument("values", nargs=-1)
@click.option("--caller", metavar="WHO", help="Who the view sees as its caller.")
@json_option
@pass_session
def view(
    session: Session, contract: str, function: str, values: tuple[str, ...], caller: str | None
) -> None:
    """Read the result of a view of a CONTRACT."""
    from vm.contract.abi import to_json

    _, code = _load(session, contract)
    parameters = _entry(code, function).parameters
    arguments = _read_values(session, parameters, values)
    given = [to_json(kind, value) for (_, kind), value in zip(parameters, arguments, strict=True)]
    path = f"/contracts/{contract}/view/{function}"
    answer = session.client().get(path, arguments=json.dumps(given), caller=caller)
    if session.as_json:
        print_json(answer)
    else:
        print_lines(json.dumps(answer.get("result"), indent=1))


@click.command("list")
@limit_option
@click.option("--after", type=click.IntRange(min=0), help="Only contracts behind this number.")
@json_option
@pass_session
def list_(session: Session, limit: int, after: int | None) -> None:
    """List the contracts of the network, the oldest first."""
    from tools.client import list_field

    answer = session.client().get("/contracts", limit=limit, after=after)
    if session.as_json:
        print_json(answer)
        return
    columns = [
        (">number", ("number",), as_text),
        ("name", ("name",), as_text),
        ("address", ("address",), as_text),
        ("owner", ("owner_name", "owner"), as_text),
        (">stored bytes", ("data_bytes",), as_text),
        ("frozen", ("frozen",), as_text),
    ]
    print_records("Contracts", list_field(answer, "contracts"), columns)


@click.command("show")
@click.argument("contract")
@click.option("--source", is_flag=True, help="Print its source and nothing else.")
@json_option
@pass_session
def show(session: Session, contract: str, source: bool) -> None:
    """Show a CONTRACT: owner, code, deposit, functions."""
    from tools.client import text_field

    answer = session.client().get(f"/contracts/{contract}")
    if source:
        click.echo(text_field(answer, "source"), nl=False)
    elif session.as_json:
        print_json(answer)
    else:
        hidden = ("source", "code", "abi", "account")
        fields = [(name, value) for name, value in answer.items() if name not in hidden]
        print_fields(f"contract {contract}", fields)
        print_lines("functions: " + ", ".join(_load(session, contract)[1].entries))


@click.command("events")
@click.argument("contract")
@limit_option
@json_option
@pass_session
def events(session: Session, contract: str, limit: int) -> None:
    """List what a CONTRACT told, the newest first."""
    from tools.client import list_field
    from tools.commands.outcome import call_line

    answer = session.client().get(f"/contracts/{contract}/events", limit=limit)
    if session.as_json:
        print_json(answer)
        return
    for event in list_field(answer, "events"):
        print_lines(f"{event.get('height')}  {call_line(event)}")


@click.command("freeze")
@click.argument("contract")
@from_option
@json_option
@pass_session
def freeze(session: Session, contract: str, signer: str | None) -> None:
    """Give up for good that the code of your CONTRACT can be replaced."""
    from tools import calls

    made = calls.freeze_contract(session.resolve(contract))
    final = session.send(session.open_signer(signer), [made])
    print_outcome(session, f"contract {contract} is frozen", final)


@click.command("give")
@click.argument("contract")
@click.argument("owner")
@from_option
@json_option
@pass_session
def give(session: Session, contract: str, owner: str, signer: str | None) -> None:
    """Make OWNER the owner of your CONTRACT."""
    from tools import calls

    made = calls.set_contract_owner(session.resolve(contract), session.resolve(owner))
    final = session.send(session.open_signer(signer), [made])
    print_outcome(session, f"contract {contract} belongs to {owner}", final)


@click.command("remove")
@click.argument("contract")
@from_option
@json_option
@pass_session
def remove(session: Session, contract: str, signer: str | None) -> None:
    """Remove your CONTRACT, which holds nothing any more; its deposit comes back."""
    from tools import calls

    made = calls.remove_contract(session.resolve(contract))
    final = session.send(session.open_signer(signer), [made])
    print_outcome(session, f"contract {contract} is removed", final)


@click.command("verify-source")
@click.argument("contract")
@json_option
@pass_session
def verify_source(session: Session, contract: str) -> int:
    """Compile the source that a CONTRACT shows and compare the result with the code that runs."""
    from tools.client import text_field
    from tools.contract.compiler import compile_source
    from tools.contract.source_error import SourceError

    answer = session.client().get(f"/contracts/{contract}")
    raw = base64.b64decode(text_field(answer, "code"))
    try:
        made = compile_source(text_field(answer, "source")).raw
        reason = "" if made == raw else "the source compiles to other code"
    except SourceError as error:
        reason = f"the source does not compile: {error}"
    if session.as_json:
        code_hash = text_field(answer, "code_hash")
        print_json({"ok": not reason, "reason": reason, "code_hash": code_hash})
    else:
        print_lines(reason or "the source is that of the code that runs")
    return EXIT_FAILED if reason else EXIT_OK


CHAIN_COMMANDS: Final = (
    deploy, call, view, list_, show, events, upgrade, freeze, give, remove, verify_source,
)  # fmt: skip


def _load(session: Session, contract: str) -> tuple[bytes, Code]:
    """Return address and code of a contract; the code is checked as a node checks it."""
    from tools.client import text_field
    from vm.contract.verifier import decode_code
    from vm.primitives.address import decode_address

    answer: Json = session.client().get(f"/contracts/{contract}")
    code = decode_code(base64.b64decode(text_field(answer, "code")))
    return decode_address(text_field(answer, "address")), code


def _entry(code: Code, function: str) -> Function:
    found = code.entries.get(function)
    if found is None:
        raise ToolError(
            "the contract has no such function",
            code="unknown_method",
            expected=", ".join(code.entries),
            actual=function,
        )
    return found


def _first_arguments(
    session: Session, code: Code, kind: FunctionKind, values: Sequence[str]
) -> tuple[Value, ...]:
    """Return the arguments of what code runs when it comes."""
    for function in code.functions:
        if function.kind is kind:
            return _read_values(session, function.parameters, values)
    return _read_values(session, (), values)


def _read_values(
    session: Session, parameters: Sequence[tuple[str, ValueType]], values: Sequence[str]
) -> tuple[Value, ...]:
    """Return the values of a command line in the form of the chain."""
    if len(parameters) != len(values):
        raise ToolError(
            "too many values or too few",
            code="usage",
            expected=", ".join(f"{name}: {kind}" for name, kind in parameters) or "none",
            actual=len(values),
            hint=f"Give {_VALUES}.",
        )
    return tuple(
        [
            _read_value(session, name, kind, text)
            for (name, kind), text in zip(parameters, values, strict=True)
        ]
    )


def _read_value(session: Session, name: str, kind: ValueType, text: str) -> Value:
    from vm.contract.abi import from_json
    from vm.contract.value_types import Kind
    from vm.primitives.errors import BitenergyError

    if kind.kind is Kind.ADDRESS:
        return session.resolve(text)
    data: object = text
    if kind.kind not in (Kind.STR, Kind.BYTES, Kind.INT):
        try:
            data = json.loads(text)
        except ValueError:
            data = None
    try:
        return from_json(kind, data)
    except BitenergyError as error:
        raise ToolError(
            f"the value of {name} does not fit",
            code="usage",
            expected=str(kind),
            actual=text[:80],
            hint=f"Give {_VALUES}.",
        ) from error

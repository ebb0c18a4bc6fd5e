"""What the API says of contracts: code, source and interface, views, events, storage, proofs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Final

from node import proving
from node.api.answers import Answer, ApiError, JsonObject, JsonValue
from node.api.chain_pages import last_finality
from node.api.context import ApiContext
from node.api.member_pages import find_places
from node.api.parameters import Arguments, ParameterKind
from node.api.privacy import Withheld
from node.api.render import event_json, is_event_of, to_base64
from node.ledger.execution import read_parameters
from vm.context import BlockContext, CallContext
from vm.contract.abi import describe_code, from_json, to_json
from vm.contract.code_object import Code, FunctionKind
from vm.contract.limits import MAX_ARGUMENT_BYTES
from vm.contract.value_types import ValueType
from vm.overlay import Overlay, StateReader
from vm.primitives.address import encode_address
from vm.primitives.codec import Value, encode_trusted, unpack_trusted
from vm.primitives.errors import BitenergyError, InvalidInput, InvariantViolation
from vm.system.contract_records import (
    CONTRACT_INDEX,
    DATA_SPACE,
    Contract,
    index_key,
    read_contract,
    read_source,
)
from vm.system.contracts import ContractsModule

VIEW_GAS: Final = 1_000_000
"""Gas of one view for a reader: it runs on the event loop, some 40 ms at most."""
MAX_VALUES_LETTERS: Final = 4 * MAX_ARGUMENT_BYTES
_READER: Final = bytes(20)


def _parse_json(text: str) -> str | None:
    if len(text) > MAX_VALUES_LETTERS:
        return None
    try:
        json.loads(text, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return text


def _refuse(text: str) -> object:
    raise ValueError(text)


JSON: Final = ParameterKind(
    "JSON without fractions: large numbers and addresses as text, bytes as hexadecimal digits",
    _parse_json,
    {"type": "string"},
)


async def list_contracts(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /contracts: in the order in which they were deployed."""
    store = context.facade.store
    limit = arguments.number("limit")
    start = index_key(arguments.number("after") + 1)
    found = list(islice(store.scan(start, CONTRACT_INDEX + b"\xff" * 9), limit + 1))
    contracts: list[JsonObject] = []
    for _, address in found[:limit]:
        contracts.append(_short_json(context, address, _record(context, address)))
    following = contracts[-1]["number"] if len(found) > limit else None
    return Answer({"height": store.height, "contracts": contracts, "next": following})


async def show_contract(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /contracts/{who}: all that is known of a contract, its source included."""
    address, record, code = _find(context, arguments)
    store = context.facade.store
    account = context.account(address, arguments.viewer)
    return Answer(
        {
            **_short_json(context, address, record),
            "account": account,
            "code": to_base64(code.raw),
            "source": read_source(store, address).decode("utf-8", "replace"),
            "abi": describe_code(code),
            "final_height": store.height,
        }
    )


async def view_contract(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /contracts/{who}/view/{function}: run on the state after the last final block."""
    address, _, code = _find(context, arguments)
    function = code.entries.get(arguments.text("function"))
    if function is None or function.kind is not FunctionKind.VIEW:
        names = [found.name for found in code.functions if found.kind is FunctionKind.VIEW]
        raise ApiError(
            404,
            "unknown_view",
            "the contract has no such view",
            expected=", ".join(names) or "none",
            actual=arguments.text("function"),
        )
    given = json.loads(arguments.text("arguments") or "[]")
    values = _values(function.parameters, given)
    who = arguments.text("caller")
    caller = context.resolve(who) if who else _READER
    viewer, state = arguments.viewer, context.facade.store
    is_proved = not who or caller == viewer.account or viewer.sees_all
    ctx = _reading_context(context, state if is_proved else Withheld(state))
    ctx.caller = caller
    result = _module(context).view(ctx, address, function.name, values)
    return Answer(
        {
            "height": context.facade.store.height,
            "address": encode_address(address),
            "function": function.name,
            "result": to_json(function.result, result),
            "gas_used": ctx.gas_used,
        }
    )


async def list_contract_events(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /contracts/{who}/events: what it told, the newest first."""
    address = context.resolve(arguments.text("who"))
    _record(context, address)
    limit = arguments.number("limit")
    places = find_places(context, address, arguments.cursor("before"), limit + 1)
    events: list[JsonObject] = []
    pace = context.pace()
    read = 0
    for height, number in places[:limit]:
        block = context.reader.block(height)
        transaction = block.transaction(number)
        for event in reversed(block.receipt(number).events):
            if is_event_of(event, address):
                events.append(
                    {
                        "height": height,
                        "index": number,
                        "time_ms": block.header.time_ms,
                        "transaction_id": transaction.id.hex(),
                        **event_json(event, context.names, arguments.viewer),
                    }
                )
        read += 1
        if not await pace.may_go_on():
            break
    following = None
    if read < len(places):
        height, number = places[read - 1]
        following = f"{height}.{number}"
    return Answer(
        {
            "address": encode_address(address),
            "events": events,
            "next": following,
            "base_height": context.facade.store.base,
        }
    )


async def prove_storage(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/contract/{who}/{variable}: a stored value, or that there is none."""
    address, _, code = _find(context, arguments)
    name = arguments.text("variable")
    number = next((place for place, slot in enumerate(code.slots) if slot.name == name), -1)
    if number < 0:
        names = ", ".join(slot.name for slot in code.slots)
        raise ApiError(
            404,
            "unknown_variable",
            "the contract stores no such thing",
            expected=names,
            actual=name,
        )
    slot = code.slots[number]
    text = arguments.text("key")
    if (slot.key is None) != (not text):
        raise ApiError(
            400,
            "invalid_parameter",
            "a map is asked with a key, a variable without",
            expected="no key" if slot.key is None else str(slot.key),
            actual=text,
        )
    key = DATA_SPACE + address + bytes([number])
    if slot.key is not None:
        key += encode_trusted(_value("key", slot.key, json.loads(text)))
    store = context.facade.store
    data = store.get(key)
    header = context.reader.header(store.height)
    proof = proving.prove_key(store, last_finality(context), key)
    return Answer(
        {
            "proof": to_base64(proof.encode()),
            "key": key.hex(),
            "height": header.height,
            "block_id": header.block_id().hex(),
            "state_root": header.state_root.hex(),
            "exists": data is not None,
            "value": None if data is None else to_json(slot.value, unpack_trusted(data)),
        }
    )


def _module(context: ApiContext) -> ContractsModule:
    module = context.facade.runtime.modules[ContractsModule.name]
    if not isinstance(module, ContractsModule):
        raise InvariantViolation("the runtime has no module of contracts")
    return module


def _record(context: ApiContext, address: bytes) -> Contract:
    record = read_contract(context.facade.store, address)
    if record is None:
        raise ApiError(
            404,
            "unknown_contract",
            "there is no contract at this address",
            actual=encode_address(address),
        )
    return record


def _find(context: ApiContext, arguments: Arguments) -> tuple[bytes, Contract, Code]:
    address = context.resolve(arguments.text("who"))
    record = _record(context, address)
    return address, record, _module(context).read_code(context.facade.store, address, record)


def _reading_context(context: ApiContext, state: StateReader) -> CallContext:
    """Return a context over the last final state as it may be read, of which nothing is kept."""
    store = context.facade.store
    header = context.reader.header(store.height)
    block = BlockContext(
        header.genesis, header.height, header.time_ms, read_parameters(store), header.proposer
    )
    return CallContext(block, Overlay(state), VIEW_GAS)


def _short_json(context: ApiContext, address: bytes, record: Contract) -> JsonObject:
    names = context.names
    return {
        "address": encode_address(address),
        "name": names.find(address),
        "number": record.number,
        "owner": encode_address(record.owner),
        "owner_name": names.find(record.owner),
        "deployer": encode_address(record.deployer),
        "deployer_name": names.find(record.deployer),
        "code_hash": record.code_hash.hex(),
        "approved_code_hash": record.approved.hex() or None,
        "frozen": record.is_frozen,
        "revision": record.revision,
        "height": record.height,
        "code_bytes": record.code_bytes,
        "source_bytes": record.source_bytes,
        "data_bytes": record.data_bytes,
        "deposit_micro": record.deposit_micro,
    }


def _values(parameters: Sequence[tuple[str, ValueType]], given: JsonValue) -> tuple[Value, ...]:
    if not isinstance(given, list) or len(given) != len(parameters):
        raise ApiError(
            400,
            "invalid_arguments",
            "the arguments are a list of as many values as the function takes",
            expected=", ".join(f"{name}: {kind}" for name, kind in parameters) or "none",
        )
    return tuple(
        [_value(name, kind, value) for (name, kind), value in zip(parameters, given, strict=True)]
    )


def _value(name: str, kind: ValueType, given: object) -> Value:
    try:
        return from_json(kind, given)
    except BitenergyError as error:
        raise InvalidInput(
            f"argument {name!r} does not fit", code="invalid_arguments", expected=str(kind)
        ) from error

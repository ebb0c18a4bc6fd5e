"""What calls would do: executed on the last final state and undone, for pages that ask first."""

from __future__ import annotations

import json
import time
from binascii import a2b_base64
from dataclasses import replace
from typing import Final

from node.api.answers import Answer, ApiError
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.privacy import Withheld, is_measured, validate_attempt
from node.api.render import receipt_json
from node.ledger.receipt import Receipt
from node.ledger.transaction import decode_calls
from vm.context import BlockContext, CallContext
from vm.overlay import Overlay
from vm.primitives.errors import CallError
from vm.system.accounts import account_key, read_account

MAX_GAS: Final = 500_000
"""Some twenty milliseconds of the event loop."""
ENOUGH_MILLI_WH: Final = 10**15
"""What a sender is taken to hold whose energy is a reading: more than a home will ever make."""
_SHAPE: Final = '{"sender": "be…", "calls": "<base64>"}'


async def show_preview(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer POST /preview: the receipt that the calls would have now."""
    sender, data = _read_body(arguments.body)
    account = context.resolve(sender)
    leaf = read_account(context.facade.store, account)
    if leaf is None:
        raise ApiError(404, "unknown_account", "there is no such account", actual=sender)
    calls = decode_calls(data)
    validate_attempt(calls)
    store = context.facade.store
    header = context.reader.header(store.height)
    block = BlockContext(
        context.facade.genesis.digest,
        store.height + 1,
        max(header.time_ms + 1, time.time_ns() // 1_000_000),
        context.facade.parameters(),
    )
    state = Overlay(Withheld(store))
    if is_measured(store, account):
        # Else offers of more and more energy would tell how much there is.
        state.put(account_key(account), replace(leaf, energy_milli_wh=ENOUGH_MILLI_WH).encode())
    call_context = CallContext(block, state, MAX_GAS)
    call_context.caller, call_context.roles = account, leaf.roles
    try:
        values = [context.facade.runtime.run_call(call_context, call) for call in calls]
    except CallError as error:
        gas = min(call_context.gas_used, MAX_GAS)
        receipt = Receipt(b"", error.code, gas, 0, (), (error.message,))
    else:
        receipt = Receipt(
            b"", "", call_context.gas_used, 0, tuple(call_context.events), tuple(values)
        )
    return Answer(receipt_json(receipt, context.names, arguments.viewer))


def _read_body(body: bytes) -> tuple[str, bytes]:
    """Return sender and bytes of the calls; raises ApiError."""
    try:
        document = json.loads(body)
        sender, calls = document["sender"], document["calls"]
        data = a2b_base64(calls, strict_mode=True)
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ApiError(
            400, "invalid_body", "the body is not an attempt", expected=_SHAPE, actual=error
        ) from error
    if set(document) != {"sender", "calls"} or not isinstance(sender, str):
        raise ApiError(400, "invalid_body", "the body is not an attempt", expected=_SHAPE)
    return sender, data

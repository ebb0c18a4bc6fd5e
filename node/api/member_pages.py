"""What the API says of members: the registry, accounts, and what happened to an account."""

from __future__ import annotations

from itertools import islice
from typing import Final

from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.event_fields import moved
from node.api.event_search import MARK_DUE, find_events
from node.api.parameters import Arguments
from node.api.privacy import Viewer, may_see_energy
from node.api.render import account_json, event_json
from node.ledger.receipt import decode_receipt
from vm.primitives.address import encode_address
from vm.primitives.errors import InvariantViolation
from vm.system.accounts import read_account
from vm.system.members import NAME_SPACE, read_member

MAX_EXAMINED: Final = 1_000
"""How many members, or entries of a history, one request looks at; what is rare among them may
need several requests."""
MAX_HISTORY_READ: Final = 16_384


async def list_members(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /members: in the order of their names, those of one role if it is given."""
    facade = context.facade
    store, runtime = facade.store, facade.runtime
    role, limit = arguments.text("role"), arguments.number("limit")
    if role and role not in runtime.roles:
        raise ApiError(
            404,
            "unknown_role",
            "this network has no such role",
            expected=", ".join(runtime.roles),
            actual=role,
        )
    mask = runtime.role_mask((role,)) if role else -1
    after = arguments.text("after")
    start = NAME_SPACE + after.encode() + (b"\x00" if after else b"")
    found = list(islice(store.scan(start, NAME_SPACE + b"\xff"), MAX_EXAMINED + 1))
    members: list[JsonObject] = []
    last = ""
    examined = 0
    pace = context.pace()
    for key, account in found[:MAX_EXAMINED]:
        leaf, member = read_account(store, account), read_member(store, account)
        if leaf is None or member is None:
            raise InvariantViolation(f"the name {key[1:]!r} leads to no account")
        fits = leaf.roles & mask if role else True
        if fits and len(members) >= limit:
            break
        examined += 1
        last = member.name
        if fits:
            shown = may_see_energy(store, account, arguments.viewer)
            members.append(account_json(account, leaf, member, runtime, with_energy=shown))
        if not await pace.may_go_on():
            break
    return Answer({"members": members, "next": last if examined < len(found) else None})


async def show_account(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /accounts/{who}."""
    account = context.resolve(arguments.text("who"))
    shown = context.account(account, arguments.viewer)
    return Answer(
        {
            **shown,
            "next_nonce": context.facade.next_nonce(account),
            "height": context.facade.store.height,
        }
    )


async def list_history(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /accounts/{who}/history: the newest first."""
    account = context.resolve(arguments.text("who"))
    if read_account(context.facade.store, account) is None:
        raise ApiError(404, "unknown_account", "there is no such account", actual=account)
    limit, module = arguments.number("limit"), arguments.text("what")
    # Of one module there may be few among many, so that more is looked at than is asked for.
    wanted = max(limit, MAX_EXAMINED) if module else limit
    places = find_places(context, account, arguments.cursor("before"), wanted + 1)
    entries: list[JsonObject] = []
    pace = context.pace()
    examined = 0
    for height, number in places[:wanted]:
        examined += 1
        entry = _entry(context, account, (height, number), arguments.viewer)
        if not module or str(entry["what"]).partition(".")[0] == module:
            entries.append(entry)
        if len(entries) == limit or not await pace.may_go_on():
            break
    following = None
    if examined < len(places):
        height, number = places[examined - 1]
        following = f"{height}.{number}"
    return Answer(
        {
            "address": encode_address(account),
            "history": entries,
            "next": following,
            "base_height": context.facade.store.base,
        }
    )


async def list_unasked(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /accounts/{who}/unasked: the newest first."""
    account = context.resolve(arguments.text("who"))
    if read_account(context.facade.store, account) is None:
        raise ApiError(404, "unknown_account", "there is no such account", actual=account)

    def read(block: StoredBlock) -> list[JsonObject]:
        return _unasked_of(context, block, account, arguments.viewer)

    entries, following = await find_events(context, arguments, (MARK_DUE, account), read)
    return Answer(
        {
            "address": encode_address(account),
            "unasked": entries,
            "next": following,
            "base_height": context.facade.store.base,
        }
    )


def _unasked_of(
    context: ApiContext, block: StoredBlock, account: bytes, viewer: Viewer
) -> list[JsonObject]:
    """Return what the receipts of things that were due tell of an account, one entry each."""
    found: list[JsonObject] = []
    for data in block.system_receipts():
        if account not in data:
            continue
        receipt = decode_receipt(data)
        mine = [event for event in receipt.events if account in event[2]]
        if not mine:
            continue
        money, energy = moved(account, receipt.events)
        found.append(
            {
                "height": block.height,
                "time_ms": block.header.time_ms,
                "what": f"{mine[-1][0]}.{mine[-1][1]}",
                "money_micro": money,
                "energy_milli_wh": energy,
                "events": [event_json(event, context.names, viewer) for event in mine],
            }
        )
    return found


def find_places(
    context: ApiContext, account: bytes, cursor: tuple[int, int] | None, count: int
) -> list[tuple[int, int]]:
    """Return up to `count` places (height, number) before the cursor, the newest first.

    A place is passed over only with its whole block, so a busy block is read some way again.
    """
    store = context.facade.store
    if cursor is None:
        return store.history(account, before=store.height + 1, limit=count)
    height, number = min(cursor, (store.height + 1, 0))
    asked = count
    while True:
        before = height + 1 if number else height
        found = store.history(account, before=before, limit=asked)
        places = [place for place in found if place < (height, number)]
        if len(places) >= count or len(found) < asked or asked >= MAX_HISTORY_READ:
            return places[:count]
        asked *= 4


def _entry(
    context: ApiContext, account: bytes, place: tuple[int, int], viewer: Viewer
) -> JsonObject:
    height, number = place
    block = context.reader.block(height)
    transaction, receipt = block.transaction(number), block.receipt(number)
    mine = [
        event_json(event, context.names, viewer) for event in receipt.events if account in event[2]
    ]
    money, energy = moved(account, receipt.events)
    module, method, _ = transaction.calls[0]
    sent = transaction.sender == account
    return {
        "height": height,
        "index": number,
        "time_ms": block.header.time_ms,
        "transaction_id": transaction.id.hex(),
        "sender": encode_address(transaction.sender),
        "sender_name": context.names.find(transaction.sender),
        "what": f"{module}.{method}",
        "calls": len(transaction.calls),
        "code": receipt.code,
        "fee_micro": receipt.fee_micro if sent else 0,
        "money_micro": money,
        "energy_milli_wh": energy,
        "events": mine,
    }

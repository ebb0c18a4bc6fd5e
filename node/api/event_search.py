"""A search of final blocks, from the newest back, for what their receipts tell, in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_reader import StoredBlock
from node.api.context import ApiContext
from node.api.event_fields import EVENT_FIELDS
from node.api.parameters import Arguments
from node.api.privacy import Viewer
from node.api.render import event_json
from node.ledger.receipt import Receipt, decode_receipt

MARK_TEXT: Final = 0xA0
"""First byte of a text of up to 31 bytes in canonical form, less its length."""
MARK_DUE: Final = Receipt(b"", "", 0, 0, (), ()).encode()[:5]
"""How the receipt of something that was due begins, up to its empty id."""
_KNOWN_EVENTS: Final = frozenset(name for _, name in EVENT_FIELDS)


def mark_of(text: str) -> bytes:
    """Return how a short text stands in a receipt's bytes."""
    data = text.encode("ascii")
    return bytes([MARK_TEXT + len(data)]) + data if len(data) < 32 else data


async def find_events(
    context: ApiContext,
    arguments: Arguments,
    marks: tuple[bytes, ...],
    read: Callable[[StoredBlock], list[JsonObject]],
    *,
    within: range | None = None,
) -> tuple[list[JsonObject], str | None]:
    """Return up to `limit` of what `read` finds before the cursor `before`, and where to go on.

    The newest comes first. `read` returns what one block holds, in order; a block is read only if
    its receipts hold all `marks`, and only at heights `within`, where these are given.
    """
    head = context.facade.store.height
    if within is not None:
        head = min(head, within.stop - 1)
    height, number = min(arguments.cursor("before") or (head + 1, 0), (head + 1, 0))
    limit = arguments.number("limit")
    entries: list[JsonObject] = []
    pace = context.pace()
    if not number:
        height, number = height - 1, -1
    oldest = max(0, context.facade.store.base - 1, within.start - 1 if within else 0)
    while height > oldest:
        if number < 0:
            height = context.reader.skip_quiet(height, oldest, marks)
            if height <= oldest:
                break
        found = read(context.reader.block(height))
        if number >= 0:
            found = found[:number]
        room = limit - len(entries)
        if len(found) > room:
            entries += reversed(found[len(found) - room :])
            return entries, f"{height}.{len(found) - room}"
        entries += reversed(found)
        height, number = height - 1, -1
        if not await pace.may_go_on():
            break
    return entries, str(height + 1) if height > oldest else None


async def list_module_events(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /modules/{module}/events: what a module told, the newest first."""
    module, event = arguments.text("module"), arguments.text("event")
    if module not in context.facade.runtime.modules:
        raise ApiError(
            404,
            "unknown_module",
            "this network has no such module",
            expected=", ".join(context.facade.runtime.modules),
            actual=module,
        )
    # The longest stretch without some marks is remembered, so these must be few.
    if event and event not in _KNOWN_EVENTS:
        raise ApiError(404, "unknown_event", "no module tells of this", actual=event)
    marks = (mark_of(module), *((mark_of(event),) if event else ()))

    def read(block: StoredBlock) -> list[JsonObject]:
        return _events_of(context, block, (module, event), marks, arguments.viewer)

    events, following = await find_events(context, arguments, marks, read)
    return Answer({"events": events, "next": following, "base_height": context.facade.store.base})


def _events_of(
    context: ApiContext,
    block: StoredBlock,
    wanted: tuple[str, str],
    marks: Iterable[bytes],
    viewer: Viewer,
) -> list[JsonObject]:
    module, event = wanted
    found: list[JsonObject] = []
    for place, data in enumerate(block.receipts):
        if not all(mark in data for mark in marks):
            continue
        receipt = decode_receipt(data)
        for each in receipt.events:
            if each[0] == module and event in ("", each[1]):
                found.append(
                    {
                        "height": block.height,
                        "index": place - block.first if receipt.transaction_id else None,
                        "time_ms": block.header.time_ms,
                        "transaction_id": receipt.transaction_id.hex() or None,
                        **event_json(each, context.names, viewer),
                    }
                )
    return found

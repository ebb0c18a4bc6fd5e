"""Following the chain: blocks as WebSocket messages, and requests that wait for a final one.

A block becomes bytes once for all readers with the same topics, with the frames' own headers, so
that a reader costs one write to its socket per block. A reader that does not keep up is dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Final

from node.api.answers import JsonObject, encode_json
from node.api.chain_reader import Pace
from node.api.event_fields import TRADE
from node.api.limits import ApiLimits
from node.api.render import Names, trade_fields
from node.api.reorganisation import reorganisation_json
from node.facade import ChainEvent, FinalBlock, NodeFacade, Reorganisation, UndecidedBlock
from vm.context import Event
from vm.primitives.address import ACCOUNT_ID_BYTES

TOPICS: Final = ("block", "transaction", "trade")
BLOCK, TRANSACTION, TRADES = (1 << place for place in range(3))
RESTART_S: Final = 1.0
_GOING_AWAY = b"\x88\x02\x03\xe9"

_log = logging.getLogger("bitenergy.api")


class Reader:
    """One WebSocket that follows."""

    __slots__ = ("account", "topics", "transport")

    def __init__(self, transport: asyncio.Transport, topics: int, account: bytes) -> None:
        self.transport = transport
        self.topics = topics
        """Bit mask over TOPICS."""
        self.account = account
        """Only transactions and trades of this account; empty for all."""


def topic_mask(names: Iterable[str]) -> int:
    """Return the bit mask of topics by name."""
    return sum(1 << TOPICS.index(name) for name in names)


def frame(text: bytes) -> bytes:
    """Return a text message as one WebSocket frame of a server."""
    size = len(text)
    if size < 126:
        return b"\x81" + bytes([size]) + text
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text


class BlockFrames:
    """The messages of one block as bytes, made when first asked for.

    The block's own comes first, then its transactions', then its trades'.
    """

    __slots__ = ("_block", "_by_account", "_final", "_made", "_names")

    def __init__(self, block: FinalBlock | UndecidedBlock, names: Names) -> None:
        self._block = block
        self._final = isinstance(block, FinalBlock)
        self._names = names
        self._made: dict[int, bytes] = {}
        self._by_account: dict[int, dict[bytes, list[bytes]]] = {}

    def get(self, topics: int, account: bytes) -> bytes:
        """Return the frames of `topics`, transactions and trades of one account if it is given."""
        parts = [
            self._of_account(topic, account) if account and topic != BLOCK else self._all(topic)
            for topic in (BLOCK, TRANSACTION, TRADES)
            if topics & topic
        ]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _all(self, topic: int) -> bytes:
        found = self._made.get(topic)
        if found is None:
            if topic == BLOCK:
                found = self._block_frame()
            else:
                found = b"".join([data for data, _ in self._entries(topic)])
            self._made[topic] = found
        return found

    def _of_account(self, topic: int, account: bytes) -> bytes:
        index = self._by_account.get(topic)
        if index is None:
            index = self._by_account[topic] = {}
            for data, accounts in self._entries(topic):
                for each in accounts:
                    index.setdefault(each, []).append(data)
        return b"".join(index.get(account, ()))

    def _block_frame(self) -> bytes:
        block = self._block.block
        return frame(
            encode_json(
                {
                    "type": "block",
                    "height": block.header.height,
                    "id": block.block_id.hex(),
                    "time_ms": block.header.time_ms,
                    "committed_ms": self._block.time_ms if self._final else None,
                    "transactions": len(block.transactions),
                    "final": self._final,
                }
            )
        )

    def _entries(self, topic: int) -> Iterable[tuple[bytes, Iterable[bytes]]]:
        """Yield each frame of a topic with the accounts that it concerns."""
        block = self._block.block
        height, first = block.header.height, block.executed.first_transaction
        final = json.dumps(self._final)
        if topic == TRANSACTION:
            for number, transaction in enumerate(block.transactions):
                receipt = block.executed.receipts[first + number]
                code = json.dumps(receipt.code) if receipt.code else '""'
                text = (
                    f'{{"type":"transaction","id":"{transaction.id.hex()}","height":{height},'
                    f'"index":{number},"code":{code},"final":{final}}}'
                )
                accounts = [value for event in receipt.events for value in _accounts(event)]
                yield frame(text.encode("ascii")), dict.fromkeys([transaction.sender, *accounts])
            return
        for place, receipt in enumerate(block.executed.receipts):
            for event in receipt.events:
                if event[:2] == TRADE:
                    identity = receipt.transaction_id
                    trade: JsonObject = {"type": "trade", "final": self._final}
                    trade["height"] = height
                    trade["index"] = place - first if identity else None
                    trade["transaction_id"] = identity.hex() or None
                    trade |= trade_fields(event, self._names)
                    yield frame(encode_json(trade)), dict.fromkeys(_accounts(event))


class _SameForAll:
    """A message that every reader gets, whatever it follows: what it was told may be undone."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get(self, topics: int, account: bytes) -> bytes:
        """Return the message's frame."""
        return self._data


def _accounts(event: Event) -> list[bytes]:
    return [
        value for value in event[2] if isinstance(value, bytes) and len(value) == ACCOUNT_ID_BYTES
    ]


class EventHub:
    """Everybody who follows or waits; one subscription to the node serves all."""

    def __init__(self, facade: NodeFacade, names: Names, limits: ApiLimits) -> None:
        self._facade = facade
        self._names = names
        self._limits = limits
        self._readers: set[Reader] = set()
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None
        self.dropped_total = 0
        """Readers dropped because they did not keep up."""

    @property
    def readers(self) -> int:
        """How many readers there are."""
        return len(self._readers)

    @property
    def waiters(self) -> int:
        """How many requests wait for a transaction."""
        return self._waiters

    def start(self) -> asyncio.Task[None]:
        """Follow the node; returns the task, which ends only by a bug or `stop`."""
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="api-events")
        return self._task

    async def stop(self) -> None:
        """Tell all readers to go, let all who wait look once more, and stop following."""
        for reader in self._readers:
            reader.transport.write(_GOING_AWAY)
            reader.transport.close()
        self._readers.clear()
        self._wake(list(self._waiting))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def enter(self, reader: Reader) -> None:
        """Have a reader follow from the next block on."""
        self._readers.add(reader)

    def leave(self, reader: Reader) -> None:
        """End a reader's following; harmless to repeat."""
        self._readers.discard(reader)

    def expect(self, transaction_id: bytes) -> asyncio.Future[None]:
        """Return a future that is done when a final block holds the transaction.

        It must be given back with `give_up`, whatever came of it.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(transaction_id, []).append(future)
        self._waiters += 1
        return future

    def give_up(self, transaction_id: bytes, future: asyncio.Future[None]) -> None:
        """Take back a future of `expect`."""
        self._waiters -= 1
        found = self._waiting.get(transaction_id)
        if found is not None and future in found:
            found.remove(future)
            if not found:
                del self._waiting[transaction_id]

    async def push(self, event: ChainEvent) -> None:
        """Tell all who wait and follow, in slices that let others run."""
        waiting = self._waiting
        if waiting and isinstance(event, FinalBlock):
            self._wake([tx.id for tx in event.block.transactions if tx.id in waiting])
        if not self._readers:
            return
        frames: BlockFrames | _SameForAll
        if isinstance(event, Reorganisation):
            frames = _SameForAll(frame(encode_json(reorganisation_json(event, self._names))))
        else:
            frames = BlockFrames(event, self._names)
        most, most_in_all = (
            self._limits.max_reader_buffer_bytes,
            self._limits.max_readers_buffer_bytes,
        )
        total = 0
        slow: list[Reader] = []
        pace = Pace(0)
        for reader in list(self._readers):
            await pace.may_go_on()
            transport = reader.transport
            if transport.is_closing():
                slow.append(reader)
                continue
            data = frames.get(reader.topics, reader.account)
            if not data:
                continue
            waits = transport.get_write_buffer_size()
            if waits and (waits + len(data) > most or total + waits + len(data) > most_in_all):
                slow.append(reader)
                continue
            transport.write(data)
            total += transport.get_write_buffer_size()
        for reader in slow:
            self._drop(reader)

    def _drop(self, reader: Reader) -> None:
        self._readers.discard(reader)
        if not reader.transport.is_closing():
            self.dropped_total += 1
        reader.transport.abort()

    def _wake(self, transaction_ids: Iterable[bytes]) -> None:
        for transaction_id in transaction_ids:
            for future in self._waiting.pop(transaction_id):
                if not future.done():
                    future.set_result(None)

    async def _follow(self) -> None:
        while True:
            subscription = self._facade.subscribe()
            try:
                while (event := await subscription.queue.get()) is not None:
                    await self.push(event)
            finally:
                subscription.close()
            # Dropped by the node, so blocks are missing: readers begin anew, waiters look again.
            _log.warning("the API did not keep up with the chain", extra={"readers": self.readers})
            for reader in list(self._readers):
                self._drop(reader)
            self._wake(list(self._waiting))
            await asyncio.sleep(RESTART_S)

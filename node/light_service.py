"""The full node's side of light nodes: hands out headers and proofs, and takes transactions in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from node.api.chain_reader import ChainReader
from node.api.privacy import PERSONAL_SPACES, is_personal
from node.chain import Chain
from node.gossip import TransactionGossip
from node.ledger.block import MAX_HEADER_BYTES, decode_header
from node.ledger.certificate import MAX_CERTIFICATE_BYTES
from node.ledger.chain_rules import Candidate
from node.ledger.proofs import MAX_KEY_BYTES, Finality
from node.light_wire import (
    ANSWER,
    ASK_STATE,
    ASK_SUBMIT,
    ASK_TRANSACTION,
    HEADERS,
    MAX_HEADERS_BYTES,
    Question,
    Reply,
    decode_header_range,
    decode_question,
    encode_headers,
    encode_reply,
)
from node.p2p.service import PeerService
from node.peer_guard import PeerGuard
from node.proving import prove_key, prove_transaction, read_finality
from node.store import Store
from vm.overlay import INDEX_SPACE
from vm.system.validators import MAX_VALIDATORS_BYTES

_PERSONAL: Final = "readings are given out by the API of full nodes, for signed requests"
_CERTIFIED_BYTES: Final = MAX_HEADER_BYTES + MAX_CERTIFICATE_BYTES + MAX_VALIDATORS_BYTES


class LightService:
    """Answers light nodes, each within the allowance of its peer."""

    def __init__(
        self,
        chain: Chain,
        gossip: TransactionGossip,
        guard: PeerGuard,
        peers: PeerService,
        *,
        spawn: Callable[[Awaitable[None]], None],
        above: Callable[[], Sequence[Candidate]],
    ) -> None:
        """`spawn` runs a task whose failure stops the node; `above` returns what is not final yet.

        That is: the preferred blocks above the last final one, lowest first.
        """
        self._chain = chain
        self._reader = ChainReader(chain.store)
        self._gossip = gossip
        self._guard = guard
        self._peers = peers
        self._spawn = spawn
        self._above = above

    def on_light(self, peer: bytes, payload: bytes) -> None:
        """Spare a light node what only full nodes need."""
        self._peers.keep_quiet(peer)

    def on_get_headers(self, peer: bytes, payload: bytes) -> None:
        """Send final headers."""
        first, count = decode_header_range(payload)
        if self._guard.may_ask(peer):
            entries = read_headers(self._chain, first, count)
            for block in self._above():
                if block.header.height == first + len(entries) and len(entries) < count:
                    entries.append(Finality(block.header.encode(), b"", b""))
            self._send(peer, HEADERS, encode_headers(entries))

    def on_ask(self, peer: bytes, payload: bytes) -> None:
        """Answer a question."""
        question = decode_question(payload)
        if not self._guard.may_ask(peer):
            reply = Reply(question.number, "busy", "this node answers you again in a moment", b"")
            self._send(peer, ANSWER, encode_reply(reply))
        elif question.kind == ASK_SUBMIT:
            self._spawn(self._submit(peer, question))
        else:
            self._send(peer, ANSWER, encode_reply(self._reply(question)))

    async def _submit(self, peer: bytes, question: Question) -> None:
        found = (await self._gossip.submit([question.argument], source=peer))[0]
        reply = Reply(question.number, found.code, found.message, b"")
        self._send(peer, ANSWER, encode_reply(reply))

    def _reply(self, question: Question) -> Reply:
        store, number, argument = self._chain.store, question.number, question.argument
        if question.kind == ASK_STATE:
            if not 1 <= len(argument) <= MAX_KEY_BYTES or argument.startswith(INDEX_SPACE):
                return Reply(number, "not_provable", "no such key is in the state's tree", b"")
            if argument.startswith(PERSONAL_SPACES):
                return Reply(number, "personal_data", _PERSONAL, b"")
            finality = read_finality(store, self._chain.height)
            if finality is not None:
                return Reply(number, "", "", prove_key(store, finality, argument).encode())
        elif question.kind == ASK_TRANSACTION:
            place = store.find_transaction(argument)
            if place is None:
                return Reply(number, "unknown_transaction", "no final block here holds it", b"")
            finality = read_finality(store, place[0])
            if finality is not None and store.body_bytes(place[0]) is not None:
                block = self._reader.block(place[0])
                if is_personal(block.transaction(place[1]), block.receipt(place[1])):
                    return Reply(number, "personal_data", _PERSONAL, b"")
                proof = prove_transaction(block, finality, place[1])
                return Reply(number, "", "", proof.encode())
        return Reply(number, "not_provable", "this node cannot prove it", b"")

    def _send(self, peer: bytes, kind: int, payload: bytes) -> None:
        self._guard.served(peer, len(payload))
        self._peers.send(peer, kind, payload)


def read_headers(chain: Chain, first: int, count: int) -> list[Finality]:
    """Return up to `count` final headers from `first` on, within the size of one message."""
    store: Store = chain.store
    entries: list[Finality] = []
    size = _CERTIFIED_BYTES  # for the last one
    for height in range(first, min(first + count, chain.height + 1)):
        stored = store.head_bytes(height)
        if stored is None or size + _CERTIFIED_BYTES > MAX_HEADERS_BYTES:
            break
        header = decode_header(stored[0])
        entry: Finality | None = None
        if header.next_validators != header.validators:
            entry = read_finality(store, height)
            size += _CERTIFIED_BYTES
        entries.append(entry or Finality(stored[0], b"", b""))
        size += MAX_HEADER_BYTES
    if entries:
        last = read_finality(store, first + len(entries) - 1)
        entries[-1] = last or entries[-1]
    return entries

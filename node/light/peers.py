"""The full nodes that a light node asks: whom to ask next, and who lied.

Nothing that a peer says is believed; what it says wrongly costs it the connection, and what it does
not say is asked of others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from node.ledger.proofs import Finality
from node.light_wire import (
    ANSWER,
    ASK,
    GET_HEADERS,
    HEADERS,
    LIGHT,
    MAX_HEADERS,
    Question,
    Reply,
    decode_headers,
    decode_reply,
    encode_header_range,
    encode_question,
)
from node.p2p.hello import Disconnect
from node.p2p.peers import Peer
from node.p2p.service import PeerService
from node.wire import HEIGHT, decode_height
from vm.primitives.errors import BitenergyError, InvalidProof

_log = logging.getLogger("bitenergy.light")

ANSWER_DEADLINE_S: Final = 10.0
LIAR_BAN_S: Final = 60.0
PASSED_OVER_S: Final = 10.0
MAX_REMEMBERED: Final = 256

Found = TypeVar("Found")


class NobodyAnswered(BitenergyError):
    """No connected full node gave what was asked."""

    default_code = "no_answer"


class Withheld(BitenergyError):
    """A peer did not give what it claims to have; that is no lie yet."""

    default_code = "withheld"


# mutable: what a peer has done so far
@dataclass(slots=True)
class _Record:
    """How a peer has served us, beyond its connections."""

    failures: int = 0
    """Times it lied, or did not give what it claimed."""
    ask_after_s: float = 0.0
    """From when on it may be asked, seconds of the loop's time."""


class FullNodes:
    """Handler of the peers' messages, and the way to ask them."""

    def __init__(
        self, *, on_height: Callable[[], None], on_fatal: Callable[[BaseException], None]
    ) -> None:
        """`on_height` is called when a peer told its height; `connect` completes it."""
        self._on_height = on_height
        self._fatal = on_fatal
        self._claims: dict[bytes, int] = {}
        self._records: dict[bytes, _Record] = {}
        self._headers: dict[bytes, asyncio.Future[tuple[Finality, ...]]] = {}
        self._questions: dict[int, tuple[bytes, asyncio.Future[Reply]]] = {}
        self._numbers = 0

    def connect(self, service: PeerService) -> None:
        """Take the transport."""
        self._service = service

    # --- PeerHandler -------------------------------------------------------------------------

    def on_connected(self, peer: Peer) -> None:
        """Say what we are."""
        self._claims[peer.key] = peer.height
        self._service.send(peer.key, LIGHT, b"")
        self._on_height()

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        """Take what was asked for and heights; what full nodes tell each other is passed over."""
        if kind == HEIGHT:
            self._claims[key] = decode_height(payload)
            self._on_height()
        elif kind == HEADERS:
            waiting = self._headers.get(key)
            if waiting is not None and not waiting.done():
                waiting.set_result(decode_headers(payload))
        elif kind == ANSWER:
            reply = decode_reply(payload)
            asked, future = self._questions.get(reply.number, (b"", None))
            if asked == key and future is not None and not future.done():
                future.set_result(reply)

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        """Let those who wait for the peer ask another one."""
        self._claims.pop(key, None)
        waiting = [self._headers.pop(key)] if key in self._headers else []
        replies = [future for asked, future in self._questions.values() if asked == key]
        for future in (*waiting, *replies):
            if not future.done():
                future.set_exception(Withheld(f"the connection ended: {reason}"))

    def on_fatal(self, error: BaseException) -> None:
        """Stop the node because of `error`."""
        self._fatal(error)

    # --- asking ------------------------------------------------------------------------------

    def claimed_height(self) -> int:
        """Return the highest height that a connected peer claims."""
        return max(self._claims.values(), default=0)

    def connected(self) -> dict[bytes, int]:
        """Return the heights that connected peers claim."""
        return dict(self._claims)

    def ranked(self, *, above: int = -1) -> list[bytes]:
        """Return the peers that may be asked, the best first, only those that claim more."""
        now_s = asyncio.get_running_loop().time()
        able = [
            (self._record(key).failures, -height, key)
            for key, height in self._claims.items()
            if height > above and self._record(key).ask_after_s <= now_s
        ]
        return [key for _, _, key in sorted(able)]

    def next_turn_s(self) -> float | None:
        """Return in how many seconds a peer that was passed over may be asked again."""
        now_s = asyncio.get_running_loop().time()
        waits = [self._record(key).ask_after_s - now_s for key in self._claims]
        return min((wait for wait in waits if wait > 0), default=None)

    async def get_headers(self, peer: bytes, first: int) -> tuple[Finality, ...]:
        """Return headers from height `first` on, not verified; raises Withheld or DecodeError."""
        future: asyncio.Future[tuple[Finality, ...]] = asyncio.get_running_loop().create_future()
        self._headers[peer] = future
        request = encode_header_range(first, MAX_HEADERS)
        if not self._service.send(peer, GET_HEADERS, request):
            raise Withheld("the peer is gone")
        return await self._in_time(future)

    async def ask(self, peer: bytes, kind: int, argument: bytes) -> Reply:
        """Return one peer's reply; raises Withheld where none comes."""
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._questions[number] = (peer, future)
        try:
            if not self._service.send(peer, ASK, encode_question(Question(number, kind, argument))):
                raise Withheld("the peer is gone")
            return await self._in_time(future)
        finally:
            del self._questions[number]

    async def ask_until(
        self, kind: int, argument: bytes, read: Callable[[bytes, Reply], Awaitable[Found]]
    ) -> Found:
        """Return the first answer that `read` takes, of the peers in turn; raises NobodyAnswered.

        `read` raises Withheld for what is no answer, and another BitenergyError for a lie.
        """
        reasons: list[str] = []
        for peer in self.ranked():
            try:
                return await read(peer, await self.ask(peer, kind, argument))
            except Withheld as error:
                reasons.append(str(error))
                self._record(peer).failures += error.code == "withheld"
            except BitenergyError as error:
                reasons.append(str(error))
                self.note_lie(peer, error)
        raise NobodyAnswered(
            "no full node gave a proof that holds",
            actual="; ".join(dict.fromkeys(reasons)) or "no full node is connected",
            hint="Name more nodes as peers in node.toml, and look at the log.",
        )

    def note_lie(self, peer: bytes, error: BitenergyError) -> None:
        """Drop a peer whose words do not hold, and refuse it for a while."""
        _log.warning("a peer lies: dropped", extra={"peer": peer, "reason": str(error)})
        self.pass_over(peer)
        self._service.ban(peer, f"what it says does not hold: {error}"[:200], LIAR_BAN_S)

    def pass_over(self, peer: bytes) -> None:
        """Ask others first for a while."""
        record = self._record(peer)
        record.failures += 1
        record.ask_after_s = asyncio.get_running_loop().time() + PASSED_OVER_S

    async def _in_time(self, future: asyncio.Future[Found]) -> Found:
        try:
            return await asyncio.wait_for(future, ANSWER_DEADLINE_S)
        except TimeoutError as error:
            raise Withheld("the peer did not answer in time") from error

    def _record(self, peer: bytes) -> _Record:
        record = self._records.get(peer)
        if record is None:
            if len(self._records) >= MAX_REMEMBERED:
                del self._records[next(iter(self._records))]
            record = self._records[peer] = _Record()
        return record


def refuse_unanswered(reply: Reply) -> None:
    """Raise Withheld for a reply that is no answer: what a peer cannot know is no lie of it."""
    if reply.code:
        raise Withheld(reply.message or "no answer", code=reply.code)
    if not reply.data:
        raise InvalidProof("the peer answered with nothing")

"""What a board does in any round: sends until it is heard, holds a proved result, passes it on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.dispatch_certificate import Certificate
from market.dispatch_check import verify_certificate
from market.dispatch_codec import decode_certificate, encode_certificate
from market.dispatch_layout import lay_out
from market.dispatch_problem import DispatchProblem
from tools.board.messages import ACK, RESULT, Message
from vm.primitives.codec import Value
from vm.primitives.errors import BitenergyError, DecodeError

NEVER_MS: Final = 2**62


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a board waits for what, milliseconds."""

    resend_ms: int = 250
    """Until a message that was not acknowledged is sent again."""
    neighbour_ms: int = 1_500
    """For a neighbour's message, for each level that it depends on itself."""
    alone_ms: int = 12_000
    """Until a board that has no result goes on alone."""
    turn_ms: int = 1_000
    """Between the turns of boards that may submit the same result, first the slack bus."""
    stall_ms: int = 4_000
    """In a mesh: until the slack bus goes on alone because no round of messages got complete."""
    together_ms: int = 60_000
    """In a mesh: until it does because rounds of messages led to nothing."""


@dataclass(slots=True)  # mutable
class Waiting:
    """A message that was not acknowledged yet."""

    message: Message
    last_ms: int


class Participant(ABC):
    """A board in a round. `take_outgoing` gives what to send after messages and ticks came in."""

    def __init__(
        self,
        number: int,
        problem: DispatchProblem,
        bus: str,
        parent: str | None,
        children: Sequence[str],
        patience: Patience | None,
    ) -> None:
        """Begin with nothing; results come from the `parent`, None at their source."""
        self.number = number
        self._problem = problem
        self._layout = lay_out(problem)
        self._patience = patience or Patience()
        self._parent, self._children = parent, tuple(children)
        order = [place.name for place in problem.network.buses]
        self._turn = 0 if parent is None else 1 + order.index(bus)
        self._neighbours = self._children if parent is None else (*self._children, parent)
        self._attempt_number = 0
        self._outgoing: list[tuple[str, Message]] = []
        self._waiting: dict[tuple[str, int], Waiting] = {}
        self.result: Certificate | None = None
        """The verified result, once this board has it."""
        self.result_ms = 0
        """When it had it."""
        self.result_hops = 0
        """Rounds of messages between neighbours that prices took to reach every bus."""
        self.distrusted: set[str] = set()
        """Children that were found to lie."""
        self.substituted: set[str] = set()
        """Children whose part was computed for them."""
        self.alone = False
        """True if the board computed the result by itself."""

    @abstractmethod
    def receive(self, neighbour: str, message: Message, now_ms: int) -> None:
        """Take a message of a neighbour; raises DecodeError on one that has no right form."""

    @abstractmethod
    def tick(self, now_ms: int) -> None:
        """Notice what has not come in time, and send again what was not acknowledged."""

    def take_outgoing(self) -> list[tuple[str, Message]]:
        """Return the messages to send now, with their neighbours."""
        found, self._outgoing = self._outgoing, []
        return found

    def may_submit(self, now_ms: int) -> bool:
        """Tell whether this board has a verified result and its turn to submit it has come."""
        if self.result is None:
            return False
        if self.alone:
            return now_ms >= self.result_ms + self._turn * self._patience.turn_ms
        first = self.result_ms if self._turn == 0 else self.result_ms + 2 * self._patience.turn_ms
        return now_ms >= first + self._turn * self._patience.turn_ms

    def _hold(self, certificate: Certificate, hops: int, now_ms: int) -> bool:
        """Keep a result if it verifies, and give it to the children; tell whether it does."""
        if not verify_certificate(self._layout, certificate):
            return False
        self.result, self.result_ms = certificate, now_ms
        self.result_hops = 0 if self.alone else hops
        self._waiting.clear()
        body = encode_certificate(certificate)
        for child in self._children:
            self._send(child, RESULT, hops, body, now_ms)
        return True

    def _take_result(self, neighbour: str, message: Message, now_ms: int) -> None:
        if self.result is not None or neighbour != self._parent:
            return
        if not isinstance(message.body, bytes):
            raise DecodeError("a result is a byte string")
        try:
            certificate = decode_certificate(message.body)
        except BitenergyError as error:
            raise DecodeError("the result has no right form") from error
        self._hold(certificate, message.hops, now_ms)

    def _send(self, neighbour: str, kind: int, hops: int, body: Value, now_ms: int) -> None:
        message = Message(kind, self.number, self._attempt_number, hops, body)
        self._waiting[neighbour, kind] = Waiting(message, now_ms)
        self._outgoing.append((neighbour, message))

    def _send_again(self, messages: Mapping[tuple[str, int], Waiting], now_ms: int) -> None:
        for (neighbour, _), waiting in messages.items():
            if now_ms - waiting.last_ms >= self._patience.resend_ms:
                waiting.last_ms = now_ms
                self._outgoing.append((neighbour, waiting.message))

    def _acknowledge(self, neighbour: str, message: Message) -> None:
        ack = Message(ACK, self.number, message.attempt, 0, message.kind)
        self._outgoing.append((neighbour, ack))

    def _take_ack(self, neighbour: str, message: Message) -> None:
        if not isinstance(message.body, int):
            raise DecodeError("an acknowledgement names a kind")
        waiting = self._waiting.get((neighbour, message.body))
        if waiting is not None and waiting.message.attempt == message.attempt:
            del self._waiting[neighbour, message.body]

"""Simulated links between boards: a clock that the test moves, loss, delay, repetition, lies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from market.dispatch_certificate import Certificate
from market.dispatch_problem import DispatchProblem
from tools.board.messages import Message, decode_message
from tools.board.participant import Patience
from tools.board.rounds import begin_round
from vm.primitives.errors import DecodeError

STEP_MS = 20
Lie = Callable[[Message], Message]


class Links:
    """All boards of a problem, and the messages under way between them."""

    def __init__(
        self,
        problem: DispatchProblem,
        *,
        seed: int = 1,
        loss: float = 0.0,
        repeat: float = 0.0,
        lies: dict[str, Lie] | None = None,
        stops: dict[str, int] | None = None,
        patience: Patience | None = None,
        delay_ms: int = 200,
    ) -> None:
        self.problem = problem
        self.random = random.Random(seed)
        self.loss, self.repeat = loss, repeat
        self.lies, self.stops = lies or {}, stops or {}
        self.delay_ms = delay_ms
        self.now_ms = 0
        self.sent: list[tuple[str, str, Message]] = []
        self.refused: list[str] = []
        self._flying: list[tuple[int, int, str, str, bytes]] = []
        self.boards = {
            bus.name: begin_round(1, problem, bus.name, 0, patience)
            for bus in problem.network.buses
        }
        for name in self.boards:
            self._collect(name)

    def run(self, until_ms: int) -> Certificate | None:
        """Move the clock until a board may submit; return what it would submit."""
        while self.now_ms < until_ms:
            self.now_ms += STEP_MS
            due = sorted(each for each in self._flying if each[0] <= self.now_ms)
            self._flying = [each for each in self._flying if each[0] > self.now_ms]
            for _, _, sender, receiver, data in due:
                if self._stands(receiver):
                    self._deliver(sender, receiver, data)
            for name, board in self.boards.items():
                if self._stands(name):
                    board.tick(self.now_ms)
                    self._collect(name)
            ready = self.submitters()
            if ready:
                return self.boards[ready[0]].result
        return None

    def submitters(self) -> Sequence[str]:
        """Return the honest boards that stand and may submit now."""
        return [
            name
            for name, board in self.boards.items()
            if self._stands(name) and name not in self.lies and board.may_submit(self.now_ms)
        ]

    def _stands(self, name: str) -> bool:
        return self.now_ms < self.stops.get(name, 10**12)

    def _deliver(self, sender: str, receiver: str, data: bytes) -> None:
        try:
            self.boards[receiver].receive(sender, decode_message(data), self.now_ms)
        except DecodeError:
            self.refused.append(sender)
        self._collect(receiver)

    def _collect(self, name: str) -> None:
        for receiver, message in self.boards[name].take_outgoing():
            told = self.lies[name](message) if name in self.lies else message
            self.sent.append((name, receiver, told))
            for _ in range(2 if self.random.random() < self.repeat else 1):
                if self.random.random() >= self.loss:
                    due_ms = self.now_ms + self.random.randrange(1, self.delay_ms)
                    place = len(self.sent)
                    self._flying.append((due_ms, place, name, receiver, told.encode()))

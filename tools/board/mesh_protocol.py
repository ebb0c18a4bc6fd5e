"""One board's part in a round of a meshed network, without I/O: messages and time in and out.

There is no tree along which to add up, so boards step together: in each round of messages a board
tells the other end of each line a flow and an angle, and steps on once it has heard all others'.
A step that comes proves that the one before arrived, and is sent again until such a proof comes.
So loss and repetition change nothing, to the bit. Each step also carries which of the last rounds
found all boards calm, as far as the sender knows; after as many rounds as news takes to get
everywhere, all boards know of the same round, and stop in the same one. Then what they have goes to
the slack bus, which settles it exactly, verifies it as a validator would, and passes the result
down.

Nobody can stand in for a board here, whose steps depend on all its lines. Where one is silent all
come to stand, the slack bus computes the result from the public problem, and the others do if that
keeps silent too. So they do where there are storages: these need all hours and all buses at once.
"""

from __future__ import annotations

from typing import Final

from dispatch.mesh_bus import (
    MeshBus,
    MeshPart,
    MeshView,
    Told,
    mesh_views_of,
    settle_mesh,
    solve_mesh_alone,
)
from market.dispatch_certificate import Certificate
from market.dispatch_problem import DispatchProblem
from tools.board.messages import (
    ACK,
    PART,
    RESULT,
    STEP,
    Message,
    part_body,
    read_part,
    read_step,
    step_body,
)
from tools.board.participant import Participant, Patience, Waiting
from vm.primitives.errors import InvalidInput

MAX_STEPS: Final = 2_000
"""Rounds of messages after which nothing will come of more."""


class MeshRound(Participant):
    """One board in one round of a meshed network."""

    def __init__(
        self,
        number: int,
        problem: DispatchProblem,
        bus: str,
        now_ms: int,
        patience: Patience | None = None,
    ) -> None:
        """Begin the round `number` at `now_ms` for the board at `bus`.

        The problem is sound and meshed.
        """
        self.view: MeshView = mesh_views_of(problem)[bus]
        super().__init__(number, problem, bus, self.view.parent, self.view.children, patience)
        self._mesh = MeshBus(self.view)
        self._lines: dict[str, list[int]] = {}
        for place, end in enumerate(self.view.ends):
            self._lines.setdefault(end.neighbour, []).append(place)
        self._began_ms = self._moved_ms = now_ms
        self._step = 0
        self._calm = 0
        self._stopped = False
        self._heard: dict[tuple[int, str], tuple[int, list[list[Told]]]] = {}
        self._steps: dict[tuple[str, int], Waiting] = {}
        self._parts: dict[str, MeshPart] = {}
        self._reported = False
        self._gave_up = False
        self._is_coupled = bool(problem.storages)
        """True where boards do not step together, and the slack bus computes the whole at once."""
        if not self._is_coupled:
            self._say(now_ms)

    def receive(self, neighbour: str, message: Message, now_ms: int) -> None:
        """Take a message of a neighbour; raises DecodeError on one that has no right form."""
        if message.round != self.number or neighbour not in self._lines:
            return
        if message.kind == STEP and self._is_coupled:
            return
        if message.kind == STEP:
            self._take_step(neighbour, message)
        elif message.kind == ACK and message.body == STEP:
            self._forget_steps(neighbour, message.hops)
        elif message.kind == ACK:
            self._take_ack(neighbour, message)
        elif message.kind == RESULT:
            self._acknowledge(neighbour, message)
            self._take_result(neighbour, message, now_ms)
        elif message.kind == PART and neighbour in self._children:
            self._acknowledge(neighbour, message)
            if neighbour not in self._parts:
                self._parts[neighbour] = read_part(message.body, self._problem.intervals)
                self._moved_ms = now_ms
        self._advance(now_ms)

    def tick(self, now_ms: int) -> None:
        """Notice what has not come in time, and send again what was not heard."""
        if self.result is None and not self._gave_up:
            patience = self._patience
            waited_ms, longer_ms = now_ms - self._moved_ms, now_ms - self._began_ms
            stall_ms = 0 if self._is_coupled else patience.stall_ms
            later_ms = 0 if self._turn == 0 else patience.alone_ms
            if waited_ms >= stall_ms + later_ms or longer_ms >= patience.together_ms + later_ms:
                self._go_alone(now_ms)
        if self.result is None and not self._gave_up:
            self._send_again(self._steps, now_ms)
        self._send_again(self._waiting, now_ms)

    # Inside.

    def _take_step(self, neighbour: str, message: Message) -> None:
        """Keep a neighbour's step of this round of messages or the next."""
        if self._stopped and message.hops <= self._step:
            ack = Message(ACK, self.number, 0, self._step, STEP)
            self._outgoing.append((neighbour, ack))
            return
        if not self._step <= message.hops <= self._step + 1:
            return
        lines = len(self._lines[neighbour])
        words = read_step(message.body, lines, self._problem.intervals)
        self._heard.setdefault((message.hops, neighbour), words)
        # Who says this one has heard the one before.
        self._forget_steps(neighbour, message.hops - 1)

    def _forget_steps(self, neighbour: str, last: int) -> None:
        for key in [key for key in self._steps if key[0] == neighbour and key[1] <= last]:
            del self._steps[key]

    def _advance(self, now_ms: int) -> None:
        """Step on as far as what was heard allows, then report."""
        if self.result is not None or self._gave_up or self._is_coupled:
            return
        while not self._stopped and all((self._step, each) in self._heard for each in self._lines):
            self._agree(now_ms)
        if self._stopped and not self._reported and set(self._parts) == set(self._children):
            self._report(now_ms)

    def _agree(self, now_ms: int) -> None:
        """End a round of messages: take what all neighbours told, and begin the next."""
        told: list[list[Told]] = [[] for _ in self.view.ends]
        calm = self._calm
        for neighbour, places in self._lines.items():
            theirs, words = self._heard.pop((self._step, neighbour))
            calm &= theirs
            for place, line in zip(places, words, strict=True):
                told[place] = line
        is_calm = self._mesh.hear(told)
        self._calm = (calm << 1 | is_calm) & (2 << self.view.reach) - 1
        self._moved_ms = now_ms
        if self._calm >> self.view.reach or self._step + 1 == MAX_STEPS:
            # All stop here; of what did not settle, the slack bus sees that it proves nothing.
            self._stopped = True
            for neighbour in self._lines:
                self._outgoing.append((neighbour, Message(ACK, self.number, 0, self._step, STEP)))
        else:
            self._step += 1
            self._say(now_ms)

    def _say(self, now_ms: int) -> None:
        """Tell each neighbour this board's step."""
        told = self._mesh.tell()
        for neighbour, places in self._lines.items():
            body = step_body(self._calm, [told[place] for place in places])
            message = Message(STEP, self.number, 0, self._step, body)
            self._steps[neighbour, self._step] = Waiting(message, now_ms)
            self._outgoing.append((neighbour, message))

    def _report(self, now_ms: int) -> None:
        """Pass on what this part ended with; at the slack bus, settle it."""
        self._reported = True
        whole = self._mesh.part()
        for part in self._parts.values():
            whole.flows_milli_w.update(part.flows_milli_w)
            whole.powers_milli_w.update(part.powers_milli_w)
        if self._parent is not None:
            self._send(self._parent, PART, self._step, part_body(whole), now_ms)
            return
        try:
            certificate = settle_mesh(self._problem, whole)
        except (InvalidInput, KeyError, ValueError):
            # Somebody lied, or a watt is too coarse for what they found.
            certificate = Certificate(())
        if not self._hold(certificate, self._step + 1, now_ms):
            self._go_alone(now_ms)

    def _go_alone(self, now_ms: int) -> None:
        """Compute the whole result from the public problem."""
        try:
            certificate = solve_mesh_alone(self._problem)
        except InvalidInput:
            # No dispatch, or none in whole watts. The round falls back.
            self._gave_up = True
            return
        self.alone = True
        self._hold(certificate, 0, now_ms)

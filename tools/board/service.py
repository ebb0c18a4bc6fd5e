"""A board as a process: follows the chain, speaks with its neighbours, submits what it proves."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TextIO

from market.dispatch_findings import check_problem
from market.dispatch_problem import LOAD
from node.keyfile import load_key
from node.p2p.certificates import make_certificate
from tools.board.chain import BoardChain, OpenRound
from tools.board.config import BoardArea, BoardConfig
from tools.board.light import LightProcess
from tools.board.links import HEARTBEAT_S, BoardLinks
from tools.board.messages import Message, decode_message
from tools.board.participant import Participant, Patience
from tools.board.rounds import begin_round, can_take_part
from tools.errors import ClientError, ToolError, TransactionFailed
from vm.primitives.errors import BitenergyError

_log = logging.getLogger("bitenergy.board")

POLL_S: Final = 0.3
TICK_S: Final = 0.05
RETRY_S: Final = 0.5
START_TIMEOUT_S: Final = 60.0


@dataclass(slots=True)  # mutable
class _Running:
    """A round in which the board takes part."""

    found: OpenRound
    board: Participant
    area: BoardArea
    topic: str
    submitted: bool = False
    members: dict[str, str] = field(default_factory=dict)
    """Members by the names of their buses."""
    buses: dict[str, str] = field(default_factory=dict)
    """The other way round."""


class Board:
    """One board at work."""

    def __init__(self, config: BoardConfig) -> None:
        self._config = config
        self._chain = BoardChain(config)
        # A client serves one thread, and a submission waits for its block.
        self._sending = BoardChain(config)
        self._areas = {area.name: area for area in config.areas}
        self._rounds: dict[int, _Running] = {}
        self._passed: set[int] = set()
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._traffic: TextIO | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._light = LightProcess()
        self._links: BoardLinks

    async def run(self) -> None:
        """Work until told to stop; raises ToolError where the board cannot begin."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        config = self._config
        if config.traffic_log is not None:
            self._traffic = config.traffic_log.open("a", encoding="utf-8")
        if config.light_config is not None:
            await self._light.start(config.light_config)
        identity = make_certificate(load_key(config.node_key, purpose="node"))
        self._links = BoardLinks(
            identity,
            config.genesis,
            self._deliver,
            on_fatal=self._fail,
            traffic=self._traffic,
        )
        try:
            if config.light_config is not None:
                await self._await_light()
            await self._links.start(config.host, config.port, await self._find_neighbours())
            await asyncio.to_thread(self._register)
            _log.info("board %s takes part", config.member)
            await asyncio.gather(self._follow(), self._tick(), self._beat())
        finally:
            await self._links.stop()
            await self._light.stop()
            for task in self._tasks:
                task.cancel()
            self._chain.close()
            self._sending.close()
            if self._traffic is not None:
                self._traffic.close()
        if self._failure is not None:
            raise self._failure

    async def _find_neighbours(self) -> dict[str, tuple[bytes, bytes, str, int]]:
        """Return the registered keys and configured addresses of all neighbours, by member."""
        wanted = {each.member: each for area in self._config.areas for each in area.neighbours}
        keys = await self._patiently(lambda: self._chain.registered_keys(sorted(wanted)))
        missing = [name for name in wanted if name not in keys]
        if missing:
            raise ToolError(
                "neighbours have no node key in the registry",
                code="unknown_neighbour",
                actual=", ".join(missing),
                hint="Their owners register it with members.set_node_key.",
            )
        return {
            name: (*keys[name], neighbour.host, neighbour.port)
            for name, neighbour in wanted.items()
        }

    async def _await_light(self) -> None:
        """Wait until the board's own light node follows the chain."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._stopping.is_set():
            try:
                if await asyncio.to_thread(self._chain.height) > 0:
                    return
            except ClientError as error:
                if time.monotonic() >= end_s:
                    raise
                _log.debug("the light node is not ready: %s", error)
            await self._pause(RETRY_S)

    async def _patiently(
        self, ask: Callable[[], Mapping[str, tuple[bytes, bytes]]]
    ) -> Mapping[str, tuple[bytes, bytes]]:
        """Ask until a node answers."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return await asyncio.to_thread(ask)
            except ClientError:
                if time.monotonic() >= end_s or self._stopping.is_set():
                    raise
                await self._pause(RETRY_S)

    def _register(self) -> None:
        for area in self._config.areas:
            self._sending.register_units(area)

    async def _follow(self) -> None:
        """Take part in rounds as they open, and leave them as they close."""
        while not self._stopping.is_set():
            try:
                opened = await asyncio.to_thread(self._chain.open_rounds)
                for found in opened:
                    if found.number not in self._rounds and found.number not in self._passed:
                        await self._enter(found)
                numbers = {found.number for found in opened}
                for number in [each for each in self._rounds if each not in numbers]:
                    # Kept until now: others may still have asked for what this board knows.
                    del self._rounds[number]
                    self._passed.add(number)
            except BitenergyError as error:
                _log.warning("cannot follow the chain: %s", error)
            await self._pause(POLL_S)

    async def _enter(self, found: OpenRound) -> None:
        area = self._areas.get(found.area)
        if area is None:
            self._passed.add(found.number)
            return
        problem = await asyncio.to_thread(self._chain.problem_of, found)
        if not can_take_part(problem, area.bus):
            _log.warning("round %d is none that boards can do here", found.number)
            self._passed.add(found.number)
            return
        if check_problem(problem):
            self._passed.add(found.number)
            return
        # Going on alone takes time too, and nothing counts after the deadline.
        patience = Patience(together_ms=found.lasts_ms // 2)
        board = begin_round(found.number, problem, area.bus, _now_ms(), patience)
        kinds = {unit.kind for unit in problem.units if unit.bus == area.bus}
        is_consumer = kinds == {LOAD}
        kind = "consumer" if is_consumer else "generator"
        running = _Running(found, board, area, f"data/{kind}/{self._config.member}")
        running.members = {each.bus: each.member for each in area.neighbours}
        running.buses = {each.member: each.bus for each in area.neighbours}
        self._rounds[found.number] = running
        _log.info("round %d of %s: %s", found.number, found.area, area.bus)
        self._flush(running)

    async def _tick(self) -> None:
        while not self._stopping.is_set():
            now_ms = _now_ms()
            for running in list(self._rounds.values()):
                running.board.tick(now_ms)
                self._flush(running)
                self._consider(running, now_ms)
            await self._pause(TICK_S)

    async def _beat(self) -> None:
        silent: list[str] = []
        while not self._stopping.is_set():
            self._links.beat()
            now = self._links.silent()
            if now != silent:
                _log.info("silent neighbours: %s", ", ".join(now) or "none")
                silent = now
            await self._pause(HEARTBEAT_S)

    def _deliver(self, member: str, topic: str, data: bytes) -> None:
        """Take a neighbour's publication; raises DecodeError."""
        message = decode_message(data)
        running = self._rounds.get(message.round)
        if running is None or member not in running.buses:
            return
        now_ms = _now_ms()
        running.board.receive(running.buses[member], message, now_ms)
        self._flush(running)
        self._consider(running, now_ms)

    def _flush(self, running: _Running) -> None:
        for bus, message in running.board.take_outgoing():
            self._publish(running, bus, message)

    def _publish(self, running: _Running, bus: str, message: Message) -> None:
        member = running.members.get(bus)
        if member is not None:
            self._links.publish(member, running.topic, message.encode())

    def _consider(self, running: _Running, now_ms: int) -> None:
        """Submit a result when this board has one and its turn has come."""
        if running.submitted or not self._config.submits or not running.board.may_submit(now_ms):
            return
        running.submitted = True
        task = asyncio.get_running_loop().create_task(self._submit(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _submit(self, running: _Running) -> None:
        number, board = running.found.number, running.board
        result = board.result
        if result is None:
            return
        try:
            accepted, code = await asyncio.to_thread(self._sending.submit, running.found, result)
        except TransactionFailed as error:
            _log.info("round %d needs no result: %s", number, error.code)
        except ClientError as error:
            _log.warning("round %d: cannot submit, will try again: %s", number, error)
            running.submitted = False
        else:
            _log.info(
                "round %d: %s after %d rounds of messages, %s",
                number,
                "accepted" if accepted else f"refused with {code}",
                board.result_hops,
                "alone" if board.alone else "together",
            )
            self._note(
                {
                    "round": number,
                    "accepted": accepted,
                    "code": code,
                    "message_rounds": board.result_hops,
                    "alone": board.alone,
                }
            )

    def _note(self, outcome: dict[str, object]) -> None:
        """Write what became of a submission into the traffic log."""
        if self._traffic is not None:
            self._traffic.write(json.dumps(outcome) + "\n")
            self._traffic.flush()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stopping.set()


def run_board(config: BoardConfig) -> None:
    """Run one board until it is told to stop."""

    async def work() -> None:
        await Board(config).run()

    asyncio.run(work())


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

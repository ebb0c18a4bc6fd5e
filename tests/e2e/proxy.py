"""Lines between nodes that tests can cut, hold and slow down: TCP proxies in one thread.

Each node dials each other one through a line of its own, so a pair has two, of which the nodes
keep one connection. Nothing here takes rights: where links can be set down, see `namespaces`.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from tests.e2e.nodes import Nodes

CHUNK = 65_536
T = TypeVar("T")


class Way(enum.Enum):
    """What becomes of bytes."""

    OPEN = "they pass"
    HELD = "they wait, as when every packet is lost and repeated"
    CUT = "connections break, and new ones are refused"


class Line:
    """From one node to the port of another: the bytes of connections that the first one dials."""

    def __init__(self, source: str, target: str, port: int) -> None:
        self.source = source
        self.target = target
        self._port = port
        self._forth = Way.OPEN
        self._back = Way.OPEN
        self._delay_s = 0.0
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self.moved = 0

    def set_ways(self, forth: Way, back: Way, delay_s: float) -> None:
        """Have the bytes of dialer to dialed go `forth`, the others `back`."""
        self._forth, self._back, self._delay_s = forth, back, delay_s
        if Way.CUT in (forth, back):
            self.break_all()
        self._changed.set()
        self._changed = asyncio.Event()

    def break_all(self) -> None:
        """End the connections that stand."""
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a connection until one side ends it."""
        self._writers.add(writer)
        try:
            while Way.HELD in (self._forth, self._back):
                await self._changed.wait()  # a handshake takes both ways
            if Way.CUT in (self._forth, self._back):
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers.add(far_writer)
            try:
                await asyncio.gather(
                    self._carry(reader, far_writer, lambda: self._forth),
                    self._carry(far_reader, writer, lambda: self._back),
                )
            finally:
                self._writers.discard(far_writer)
                far_writer.transport.abort()
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Callable[[], Way],
    ) -> None:
        while data := await reader.read(CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            while way() is Way.HELD:
                await self._changed.wait()
            self.moved += len(data)
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


class Lines:
    """All lines of a network; made before its nodes start."""

    def __init__(self, nodes: Nodes, free_port: Callable[[], int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines")
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._faults: dict[int, tuple[frozenset[tuple[str, str]], Way, float]] = {}
        self._numbers = itertools.count()
        self._lines = [
            (Line(source, target, nodes.node(target).p2p_port), free_port())
            for source, target in itertools.permutations(nodes.names, 2)
        ]
        for name in nodes.names:
            config = nodes.node(name).folder / "node.toml"
            text = config.read_text()
            for line, port in self._lines:
                if line.source == name:
                    real = f"@127.0.0.1:{nodes.node(line.target).p2p_port}"
                    assert real in text, f"{name} has no peer {line.target}"
                    text = text.replace(real, f"@127.0.0.1:{port}")
            config.write_text(text)

    def __enter__(self) -> Lines:
        self._thread.start()
        self._call(self._open)
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def begin(self, pairs: Iterable[tuple[str, str]], way: Way, delay_s: float = 0.0) -> int:
        """Have what goes from the first to the second of each pair go this way; return a number."""
        number = next(self._numbers)
        self._faults[number] = frozenset(pairs), way, delay_s
        self._call(self._apply)
        return number

    def end(self, number: int) -> None:
        """Take back what `begin` did."""
        self._faults.pop(number, None)
        self._call(self._apply)

    def heal(self) -> None:
        """Let everything pass again."""
        self._faults.clear()
        self._call(self._apply)

    @property
    def moved(self) -> int:
        """How many bytes went over the lines."""
        return sum(line.moved for line, _ in self._lines)

    def _way(self, source: str, target: str) -> tuple[Way, float]:
        found = [
            (way, delay_s)
            for pairs, way, delay_s in self._faults.values()
            if (source, target) in pairs
        ]
        order = (Way.CUT, Way.HELD, Way.OPEN)
        way = min((way for way, _ in found), key=order.index, default=Way.OPEN)
        return way, max((delay_s for _, delay_s in found), default=0.0)

    async def _apply(self) -> None:
        for line, _ in self._lines:
            forth, delay_s = self._way(line.source, line.target)
            back, back_delay_s = self._way(line.target, line.source)
            line.set_ways(forth, back, max(delay_s, back_delay_s))

    async def _open(self) -> None:
        for line, port in self._lines:
            self._servers.append(await asyncio.start_server(line.accept, "127.0.0.1", port))

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for line, _ in self._lines:
            line.break_all()
        await asyncio.sleep(0.05)
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _call(self, function: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(function(), self._loop).result(10)  # type: ignore[arg-type]


def apart(names: Iterable[str], others: Iterable[str]) -> list[tuple[str, str]]:
    """Return all pairs between two groups, both ways."""
    pairs = [(a, b) for a in names for b in others]
    return pairs + [(b, a) for a, b in pairs]

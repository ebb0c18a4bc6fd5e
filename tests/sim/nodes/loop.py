"""A simulated event loop: time passes only when nothing else is left to do, in one thread."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from tests.sim.nodes.disk import ProcessKilled

DISK_S = 0.002


class Life:
    """One run of a simulated process: its tasks, and whether it still goes on."""

    def __init__(self, on_kill: Callable[[], None]) -> None:
        self.alive = True
        self.on_kill = on_kill
        self.tasks: list[asyncio.Task[Any]] = []

    def add(self, task: asyncio.Task[Any]) -> None:
        """Take note of a task of this process."""
        if len(self.tasks) > 256:
            self.tasks = [other for other in self.tasks if not other.done()]
        self.tasks.append(task)

    def end(self) -> None:
        """Cancel all that it does; it reaches nothing and nobody any more."""
        self.alive = False
        for task in self.tasks:
            if not task.done():
                task.cancel()
        self.tasks.clear()


LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class Stalled(Exception):
    """Nothing is left to happen."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """An event loop without sockets, threads or a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self
        self._clock_resolution = 1e-9
        self.steps = 0

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass to the next timer (what a selector would wait for)."""
        self.steps += 1
        if timeout is None:
            raise Stalled
        if timeout > 0:
            self._now_s = max(self._now_s, self._scheduled[0]._when)
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> Any:
        task: asyncio.Task[Any] = asyncio.Task(
            coro, loop=self, name=name or "task", context=context
        )
        life = LIFE.get() if context is None else context.get(LIFE)
        if life is not None:
            life.add(task)
            if not life.alive:
                task.cancel()
        return task

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Run a write a little later; a crash in the midst of it takes the process with it."""
        future: asyncio.Future[Any] = self.create_future()
        self.call_later(DISK_S, self._run_write, future, LIFE.get(), func, args)
        return future

    def _run_write(
        self, future: asyncio.Future[Any], life: Life | None, func: Any, args: Any
    ) -> None:
        if life is not None and not life.alive:
            return
        try:
            result = func(*args)
        except ProcessKilled:
            if life is not None:
                life.on_kill()
            return
        except Exception as error:
            if not future.done():
                future.set_exception(error)
            return
        if not future.done():
            future.set_result(result)

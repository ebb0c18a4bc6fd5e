"""A simulated event loop: time passes only when nothing else is left to do, in one thread."""

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context, ContextVar
from heapq import heapify, heappop, heappush
from typing import Any

from tests.sim.nodes.disk import ProcessKilled

DISK_S = 0.002
CLOCK_RESOLUTION_S = 1e-9
MANY_TIMERS = 100
"""From so many on those cancelled are cleared away, once they are more than half."""


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
        self._timers: list[tuple[float, TimerHandle]] = []

    def time(self) -> float:
        return self._now_s

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> TimerHandle:
        timer = TimerHandle(when, callback, args, self, context)
        timer._scheduled = True
        heappush(self._timers, (when, timer))
        return timer

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def _run_once(self) -> None:
        """Let time pass to the next timer if nothing else is left, and run what is due."""
        timers, ready = self._timers, self._ready
        if len(timers) > MANY_TIMERS and 2 * self._timer_cancelled_count > len(timers):
            timers[:] = [timer for timer in timers if not timer[1].cancelled()]
            heapify(timers)
            self._timer_cancelled_count = 0
        while timers and timers[0][1].cancelled():
            heappop(timers)
            self._timer_cancelled_count -= 1
        if not ready and not self._stopping:
            if not timers:
                raise Stalled
            self._now_s = max(self._now_s, timers[0][0])
        due_s = self._now_s + CLOCK_RESOLUTION_S
        while timers and timers[0][0] < due_s:
            timer = heappop(timers)[1]
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def close(self) -> None:
        self._timers.clear()
        super().close()

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

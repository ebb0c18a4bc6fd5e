"""The verifier: checks signatures in worker processes, in batches, each once."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.transaction import Transaction
from node.verify_worker import MAX_BATCH

Batch = tuple[bytes, "asyncio.Future[bytes]"]


class VerifierFailure(Exception):
    """A worker process died: the node cannot check signatures and stops."""


@dataclass(frozen=True, slots=True)
class _Worker:
    process: Process
    tasks: tuple[asyncio.Task[None], ...]


class Verifier:
    """A pool of workers behind one queue of batches."""

    def __init__(self, workers: int | None = None) -> None:
        """Use `workers` processes; by default half as many as there are processors."""
        self._count = workers or max(1, (os.cpu_count() or 1) // 2)
        self._queue: asyncio.Queue[Batch] = asyncio.Queue()
        self._workers: list[_Worker] = []
        self._failure: VerifierFailure | None = None
        self.checked = 0

    async def start(self) -> None:
        """Start the workers."""
        for _ in range(self._count):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "node.verify_worker", stdin=PIPE, stdout=PIPE
            )
            serve = asyncio.create_task(self._serve(process))
            self._workers.append(_Worker(process, (serve,)))

    async def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            for task in worker.tasks:
                task.cancel()
        self._fail(VerifierFailure("the verifier stopped"))
        for worker in self._workers:
            if worker.process.stdin is not None:
                worker.process.stdin.close()
        for worker in self._workers:
            await asyncio.gather(*worker.tasks, return_exceptions=True)
            await worker.process.wait()
        self._workers.clear()

    def failures(self) -> Sequence[asyncio.Task[None]]:
        """Return the tasks whose end means that a worker died."""
        return [task for worker in self._workers for task in worker.tasks]

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Tell for each transaction whether its signature holds."""
        waiting: list[asyncio.Future[bytes]] = []
        loop = asyncio.get_running_loop()
        if self._failure is not None:
            raise self._failure
        for start in range(0, len(transactions), MAX_BATCH // 16):
            part = transactions[start : start + MAX_BATCH // 16]
            records = b"".join([tx.key + tx.digest + tx.signature for tx in part])
            answer: asyncio.Future[bytes] = loop.create_future()
            self._queue.put_nowait((len(part).to_bytes(4, "big") + records, answer))
            waiting.append(answer)
        flags = b"".join(await asyncio.gather(*waiting))
        self.checked += len(transactions)
        return [flag == 1 for flag in flags]

    async def _serve(self, process: Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise VerifierFailure("a worker has no pipes")
        while True:
            request, answer = await self._queue.get()
            try:
                process.stdin.write(request)
                await process.stdin.drain()
                flags = await process.stdout.readexactly(int.from_bytes(request[:4], "big"))
            except (OSError, asyncio.IncompleteReadError) as error:
                failure = VerifierFailure("a signature worker died; restart the node")
                self._fail(failure, answer)
                raise failure from error
            if not answer.done():
                answer.set_result(flags)

    def _fail(self, failure: VerifierFailure, *answers: asyncio.Future[bytes]) -> None:
        """Let nobody wait for an answer that will not come."""
        self._failure = self._failure or failure
        waiting = [*answers]
        while not self._queue.empty():
            waiting.append(self._queue.get_nowait()[1])
        for answer in waiting:
            if not answer.done():
                answer.set_exception(failure)

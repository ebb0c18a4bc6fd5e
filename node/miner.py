"""The miner: has one worker process search the seals of this node's blocks."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consensus.work import NONCE_BYTES, encode_seal, seal_target
from node.ledger.block import Header, with_seal
from node.mine_worker import ANSWER, NO_NONCE
from vm.primitives.hashing import HASH_BYTES, TAG_HEADER

RATE_WINDOW_S: Final = 2.0

Found = Callable[[Header], None]
"""Takes the header with its seal."""


class MinerFailure(Exception):
    """The worker process died: the node cannot mine and stops."""


class Sealer(Protocol):
    """Searches seals, one at a time."""

    hashes: int
    """How many hashes it computed since it began."""
    hashes_per_s: int
    """How many it computes in a second, of late."""

    async def start(self) -> None:
        """Begin to be of use."""

    async def stop(self) -> None:
        """End."""

    def failures(self) -> Sequence[asyncio.Task[None]]:
        """Return the tasks whose end means that it cannot go on."""

    def search(self, header: Header, difficulty: int, found: Found) -> None:
        """Search a seal for `header`; what was searched before is given up."""

    def cancel(self) -> None:
        """Give up what is searched."""


class Miner:
    """A worker process in a share of one core (Sealer)."""

    def __init__(self, percent: int) -> None:
        """Use at most `percent` of one core."""
        self._percent = percent
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._number = 0
        self._job: tuple[Header, int, Found] | None = None
        self._counted: tuple[int, float] = (0, 0.0)
        self.hashes = 0
        self.hashes_per_s = 0

    async def start(self) -> None:
        """Start the worker."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.mine_worker", str(self._percent), stdin=PIPE, stdout=PIPE
        )
        self._task = asyncio.create_task(self._listen(self._process))
        if self._job is not None:
            self.search(*self._job)

    async def stop(self) -> None:
        """End the worker."""
        self._job = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process is not None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            await self._process.wait()

    def failures(self) -> Sequence[asyncio.Task[None]]:
        """Return the task whose end means that the worker died."""
        return [] if self._task is None else [self._task]

    def search(self, header: Header, difficulty: int, found: Found) -> None:
        """Search a seal for `header`; what was searched before is given up."""
        self._job = (header, difficulty, found)
        sealed = with_seal(header, encode_seal(difficulty, 0)).encode()
        data = TAG_HEADER + sealed[:-NONCE_BYTES]
        self._tell(seal_target(difficulty), data)

    def cancel(self) -> None:
        """Give up what is searched."""
        if self._job is not None:
            self._job = None
            self._tell(0, b"")

    def _tell(self, target: int, data: bytes) -> None:
        self._number = (self._number + 1) % 2**32
        if self._process is not None and self._process.stdin is not None:
            head = self._number.to_bytes(4, "big") + len(data).to_bytes(4, "big")
            self._process.stdin.write(head + target.to_bytes(HASH_BYTES, "big") + data)

    def _count(self, hashes: int) -> None:
        self.hashes += hashes
        counted, since_s = self._counted
        now_s = asyncio.get_running_loop().time()
        if now_s - since_s >= RATE_WINDOW_S:
            if since_s:
                self.hashes_per_s = int((self.hashes - counted) / (now_s - since_s))
            self._counted = (self.hashes, now_s)

    async def _listen(self, process: Process) -> None:
        if process.stdout is None:
            raise MinerFailure("the miner's worker has no pipes")
        while True:
            try:
                answer = await process.stdout.readexactly(ANSWER)
            except (OSError, asyncio.IncompleteReadError) as error:
                raise MinerFailure("the miner's worker died; restart the node") from error
            self._count(int.from_bytes(answer[12:], "big"))
            nonce = int.from_bytes(answer[4:12], "big")
            is_current = int.from_bytes(answer[:4], "big") == self._number
            if is_current and nonce != NO_NONCE and self._job is not None:
                (header, difficulty, found), self._job = self._job, None
                found(with_seal(header, encode_seal(difficulty, nonce)))

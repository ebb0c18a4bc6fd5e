"""A process that searches seals within a share of one core.

Reads jobs from standard input: a number of 4 bytes, the length of the header's bytes in 4, the
target in 32, then the header's bytes up to the nonce. A length of 0 ends the search. Writes the
job's number, a nonce of 8 bytes and how many hashes it computed since it last wrote, in 8: once
when it finds a seal, and every second without one, then with a nonce of ones.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from hashlib import sha256
from typing import Final

JOB: Final = 40
ANSWER: Final = 20
NO_NONCE: Final = 2**64 - 1
SLICE_HASHES: Final = 2_048
REPORT_S: Final = 1.0


def search(data: bytes, target: bytes, first: int, count: int) -> int | None:
    """Return the first of `count` nonces from `first` on that seals the header, or None."""
    begun = sha256(data)
    for nonce in range(first, first + count):
        attempt = begun.copy()
        attempt.update(nonce.to_bytes(8, "big"))
        if attempt.digest() <= target:
            return nonce
    return None


class _Worker:
    """The search that is under way, and the processor time that it may use."""

    def __init__(self, percent: int) -> None:
        self._percent = percent
        self._number = b""
        self._data = b""
        self._target = b""
        self._nonce = 0
        self._hashes = 0
        self._reported_s = time.monotonic()
        self._resting_until_s = 0.0

    def run(self) -> None:
        """Search until the input ends."""
        while True:
            rest_s = self._resting_until_s - time.monotonic() if self._data else None
            ready, _, _ = select.select(
                [sys.stdin.fileno()], [], [], rest_s if rest_s is None else max(rest_s, 0.0)
            )
            if ready:
                if not self._read_job():
                    return
            elif self._data:
                self._search_slice()

    def _read_job(self) -> bool:
        head = _read(JOB)
        if len(head) < JOB:
            return False
        self._number, self._target, self._nonce = head[:4], head[8:], 0
        size = int.from_bytes(head[4:8], "big")
        self._data = _read(size)
        return len(self._data) == size

    def _search_slice(self) -> None:
        begun_s = time.process_time()
        found = search(self._data, self._target, self._nonce, SLICE_HASHES)
        self._hashes += SLICE_HASHES if found is None else found - self._nonce + 1
        self._nonce += SLICE_HASHES
        used_s = time.process_time() - begun_s
        # The rest is owed also by the next job: whoever changes jobs often gains nothing.
        now_s = time.monotonic()
        self._resting_until_s = now_s + used_s * (100 - self._percent) / self._percent
        if found is not None:
            self._data = b""
            self._answer(found)
        elif now_s - self._reported_s >= REPORT_S:
            self._answer(NO_NONCE)

    def _answer(self, nonce: int) -> None:
        answer = self._number + nonce.to_bytes(8, "big") + self._hashes.to_bytes(8, "big")
        self._hashes = 0
        self._reported_s = time.monotonic()
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


def _read(size: int) -> bytes:
    """Read exactly `size` bytes, unbuffered so that `select` tells the truth; fewer at the end."""
    found = b""
    while len(found) < size:
        piece = os.read(sys.stdin.fileno(), size - len(found))
        if not piece:
            break
        found += piece
    return found


def main() -> None:
    """Search until the node closes the input."""
    # The node ends us by closing the input: a signal to the whole group must not come before that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # it was killed: nobody waits for the answer
    _Worker(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()

"""A process that checks signatures, so that neither the event loop nor its lock waits for them.

Reads batches from standard input (a count of 4 bytes, then for each key, digest and signature in
128 bytes) and answers each on standard output with one byte per signature, 1 where it holds.
"""

from __future__ import annotations

import signal
import sys
from typing import Final

from vm.primitives.signatures import verify_signature

RECORD_BYTES: Final = 128
MAX_BATCH: Final = 4_096


def check_batch(records: bytes) -> bytes:
    """Return one byte per record of 128 bytes: 1 where its signature holds, else 0."""
    return bytes(
        verify_signature(
            records[at : at + 32], records[at + 32 : at + 64], records[at + 64 : at + RECORD_BYTES]
        )
        for at in range(0, len(records), RECORD_BYTES)
    )


def main() -> None:
    """Answer batches until the input ends."""
    # The node ends us by closing the input: a signal to the whole group must not come before that.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # it was killed: nobody waits for the answer
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(4)) == 4:
        size = int.from_bytes(head, "big") * RECORD_BYTES
        records = source.read(size)
        if len(records) < size:
            break
        sink.write(check_batch(records))
        sink.flush()


if __name__ == "__main__":
    main()

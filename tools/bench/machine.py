"""The yardstick: how many signatures a second this machine verifies, on one core and on all."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.processes import ProcessMark
from vm.primitives.signatures import public_key, sign, verify_signature

MEASURED_S: Final = 1.0
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Signature verifications a second."""

    v_per_s: int
    """On one core."""
    w_per_s: int
    """On all cores at once."""
    cores: int
    """How many that is."""


def measure_yardstick() -> Yardstick:
    """Return the machine's verification rates; takes about two seconds."""
    cores = os.cpu_count() or 1
    single = _verify_for(MEASURED_S)
    context = multiprocessing.get_context("spawn")
    with context.Pool(cores) as pool:
        pool.map(_verify_for, [0.05] * cores, chunksize=1)
        rates = pool.map(_verify_for, [MEASURED_S] * cores, chunksize=1)
    return Yardstick(int(single), int(sum(rates)), cores)


def _verify_for(seconds: float) -> float:
    seed = bytes(32)
    key, message = public_key(seed), bytes(32)
    signature = sign(seed, message)
    count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(_BATCH):
            verify_signature(key, message, signature)
        count += _BATCH
    return count / elapsed


def memory_bytes(mark: ProcessMark | None) -> int:
    """Return the anonymous resident memory of a process and its children, bytes."""
    if mark is None:
        return 0
    children = Path(f"/proc/{mark.pid}/task/{mark.pid}/children").read_text(encoding="ascii")
    return sum(_anonymous_bytes(pid) for pid in [mark.pid, *map(int, children.split())])


def _anonymous_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0

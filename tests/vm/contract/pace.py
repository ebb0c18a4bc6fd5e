"""The pace of the machine that runs a test, for limits of time that hold on any machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

COUNTING_S = 0.012
"""What `_count` takes on the machine that the limits are for."""
MAKING_S = 0.007
"""What `_make` takes there."""


@dataclass(frozen=True, slots=True)
class _Thing:
    name: str
    items: tuple[int, ...]
    first: Callable[[], int]


def machine_factor() -> float:
    """Return how much slower this machine is just now than the one that limits are for.

    Counting and making objects slow down apart: a neighbour on the same processor takes the
    memory's pace and leaves that of registers.
    """
    return max(1.0, _seconds(_count) / COUNTING_S, _seconds(_make) / MAKING_S)


@contextmanager
def collected_as_in_a_node() -> Iterator[None]:
    """Collect garbage as seldom as a node does (`node/app.py`), whatever else the tests hold."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _count() -> None:
    total = 0
    for number in range(200_000):
        total += number % 7


def _make() -> None:
    known: dict[tuple[str, tuple[int, ...]], _Thing] = {}
    for number in range(3_000):
        items = tuple([number + place for place in range(5)])
        thing = _Thing(f"t{number}", items, lambda items=items: items[0])  # type: ignore[misc]
        known[thing.name, items] = thing
        sum([max(item, 1) for item in thing.items])

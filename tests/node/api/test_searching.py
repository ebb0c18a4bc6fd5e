"""What a search passes over: blocks without receipts, and stretches in which nothing was found."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.api import busy_blocks
from node.api.busy_blocks import BusyBlocks
from node.api.chain_reader import ChainReader


class Receipts:
    """What a store holds of blocks from 1 up, of which some have a trade."""

    base = 0

    def __init__(self, trades: list[bool]) -> None:
        self.trades = trades
        self.height = len(trades)
        self.read = 0

    def receipts_from(self, height: int) -> Iterator[tuple[int, bytes]]:
        for each in range(height, 0, -1):
            self.read += 1
            yield each, b"\x91\xc4\x05trade" if self.trades[each - 1] else b"\x90"


@given(st.lists(st.booleans(), max_size=40), st.data())
def test_skipping_finds_what_looking_at_every_block_finds(
    trades: list[bool], data: st.DataObject
) -> None:
    store = Receipts(trades)
    store.height = data.draw(st.integers(0, len(trades)))
    reader = ChainReader(store)  # type: ignore[arg-type]
    for _ in range(10):
        store.height = newest = data.draw(st.integers(store.height, len(trades)))
        for _ in range(data.draw(st.integers(0, 3))):
            reader.busy.look()
        height = data.draw(st.integers(0, newest))
        lowest = data.draw(st.integers(0, height))
        marks = data.draw(st.sampled_from([(), (b"trade",), (b"other",)]))
        fits = [each for each in range(lowest + 1, height + 1) if trades[each - 1]]
        expected = lowest if marks == (b"other",) or not fits else fits[-1]
        assert reader.skip_quiet(height, lowest, marks) == expected


@given(st.lists(st.booleans(), max_size=40))
def test_skipping_in_slices_finds_all_and_remembers(trades: list[bool]) -> None:
    store = Receipts([*trades, *[False] * 60])
    reader = ChainReader(store)  # type: ignore[arg-type]
    with patch("node.api.chain_reader.SLICE_MS", -1):
        found, height = [], len(store.trades)
        while (height := reader.skip_quiet(height, 0)) > 0:
            found.append(height)
            height -= 1
        # Each call looked at one block.
        assert [each for each in found if store.trades[each - 1]] == [
            each for each in range(len(trades), 0, -1) if trades[each - 1]
        ]
        store.read = 0
        reader.skip_quiet(len(store.trades), 0)
        assert store.read <= 2


def look_at_all(busy: BusyBlocks) -> None:
    while busy.look():
        pass


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 3))
def test_blocks_without_receipts_are_passed_over_whatever_the_marks(
    trades: list[bool], later: int
) -> None:
    store = Receipts([*trades, True, *[False] * 60, True, *[False] * 60])
    reader = ChainReader(store)  # type: ignore[arg-type]
    with patch("node.api.busy_blocks.SLICE_MS", -1):
        look_at_all(reader.busy)
    assert store.read == len(store.trades)
    store.trades += [False] * later
    store.height += later
    store.read = 0
    # A slice that a busy machine does not cut short: how much is read is what counts.
    with patch("node.api.chain_reader.SLICE_MS", 60_000):
        assert reader.skip_quiet(store.height, 0, (b"other",)) == 0
    assert store.read <= later + 2 + 4 + 2 * len(trades)


@pytest.mark.parametrize("limit", ["MAX_BUSY", "MAX_LOOKED_BYTES"])
def test_what_is_known_of_blocks_is_bounded(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_blocks, limit, 8)
    monkeypatch.setattr(busy_blocks, "SLICE_MS", -1)
    store = Receipts([True] * 200)
    store.height = 100
    busy = BusyBlocks(store)  # type: ignore[arg-type]
    look_at_all(busy)
    assert 1 <= store.read <= 8
    assert not busy.knows(90) and busy.knows(100)
    store.height = 200
    look_at_all(busy)
    assert busy.knows(200)
    assert busy.knows(150) == (limit != "MAX_BUSY")
    assert [busy.at_most(height) for height in (199, 193)] == [199, 193]

"""What the store keeps in memory is bounded, however large entries are."""

from __future__ import annotations

import tracemalloc

from node.store_caches import MISSING, RecentEntries


def test_large_entries_take_no_more_than_the_cache_may() -> None:
    cache = RecentEntries(16_384, 1_000_000)
    tracemalloc.start()
    try:
        for number in range(2_000):
            cache.put(number.to_bytes(8, "big"), bytes(65_536))
        assert tracemalloc.get_traced_memory()[0] < 1_500_000
    finally:
        tracemalloc.stop()
    assert cache.get((1_999).to_bytes(8, "big")) == bytes(65_536)
    assert cache.get((0).to_bytes(8, "big")) is MISSING

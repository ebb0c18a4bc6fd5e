"""The small machines without I/O: queue, buckets, waits, the gate for unproved connections."""

from __future__ import annotations

import dataclasses
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from node.p2p.admission import AddressGate, address_group
from node.p2p.framing import Priority
from node.p2p.limits import Backoff, TokenBucket, TransportLimits
from node.p2p.outbox import Outbox

LIMITS = dataclasses.replace(
    TransportLimits(),
    max_unauthenticated=4,
    max_unauthenticated_per_address=2,
    address_connections_per_s=1.0,
    address_burst_connections=3.0,
)


def test_a_healed_network_is_connected_again_within_five_seconds() -> None:
    """Beyond the silence after which a cut line is given up, which a longer cut has behind it."""
    limits = TransportLimits()
    backoff = Backoff(limits.dial_first_delay_s, limits.dial_max_delay_s, Random(1))
    hour_of_attempts = [backoff.next_delay_s() for _ in range(1_000)]
    assert max(hour_of_attempts) + limits.dial_timeout_s <= 5
    # Shorter than it, the kernel's own repetition is the only one, and it waits as long again.
    assert limits.idle_timeout_s <= 10
    assert 3 * limits.ping_interval_s < limits.idle_timeout_s


def test_urgent_frames_pass_all_others() -> None:
    outbox = Outbox(100)
    assert outbox.put(b"bulk", Priority.BULK)
    assert outbox.put(b"note", Priority.NORMAL)
    assert outbox.put(b"vote1", Priority.URGENT)
    assert outbox.put(b"vote2", Priority.URGENT)
    assert outbox.take(12) == b"vote1vote2"
    assert outbox.take(1) == b"note"
    assert outbox.take(100) == b"bulk"
    assert outbox.take(100) == b"" and outbox.queued_bytes == 0


def test_a_full_queue_drops_the_lowest_first() -> None:
    outbox = Outbox(10)
    assert outbox.put(b"bulk", Priority.BULK) and outbox.put(b"note", Priority.NORMAL)
    assert not outbox.put(b"more", Priority.BULK)
    assert outbox.dropped_frames == 1
    assert outbox.put(b"more", Priority.NORMAL)
    assert outbox.dropped_frames == 2 and outbox.queued_bytes == 8
    assert outbox.put(b"vote567", Priority.URGENT)
    assert outbox.take(100) == b"vote567" and outbox.dropped_frames == 4
    assert not outbox.put(bytes(11), Priority.URGENT)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(Priority), st.integers(0, 40)),
            st.tuples(st.none(), st.integers(1, 50)),
        )
    )
)
def test_the_queue_never_holds_more_than_its_bound(
    steps: list[tuple[Priority | None, int]],
) -> None:
    outbox = Outbox(100)
    put_bytes = taken_bytes = 0
    for priority, size in steps:
        if priority is None:
            taken_bytes += len(outbox.take(size))
        elif outbox.put(bytes(size), priority):
            put_bytes += size
        assert 0 <= outbox.queued_bytes <= 100
    while outbox.queued_bytes:
        taken_bytes += len(outbox.take(1_000))
    assert taken_bytes <= put_bytes


def test_a_bucket_goes_into_debt_once_and_waits_for_it() -> None:
    bucket = TokenBucket(10.0, 20.0, 0.0)
    bucket.take(50.0, 0.0)
    assert bucket.wait_s(0.0) == 3.0
    assert not bucket.try_take(1.0, 1.0)
    assert bucket.wait_s(3.0) == 0.0
    assert bucket.try_take(20.0, 100.0) and not bucket.try_take(1.0, 100.0)
    assert not bucket.try_take(1.0, 0.0)


def test_waits_double_up_to_the_cap_and_are_spread() -> None:
    backoff = Backoff(1.0, 8.0, Random(3))
    waits = [backoff.next_delay_s() for _ in range(200)]
    for wait_s, full_s in zip(waits, [1.0, 2.0, 4.0, *[8.0] * 197], strict=True):
        assert full_s / 2 <= wait_s <= full_s
    assert len(set(waits)) == 200
    backoff.reset()
    assert backoff.next_delay_s() <= 1.0


def test_the_gate_lets_newcomers_in_for_the_oldest() -> None:
    gate = AddressGate(LIMITS)
    assert gate.enter(1, "10.0.0.1", 0.0).evicted is None
    assert gate.enter(2, "10.0.0.1", 0.0).evicted is None
    assert gate.enter(3, "10.0.0.1", 0.0).evicted == 1
    assert not gate.enter(4, "10.0.0.1", 0.0).admitted
    assert gate.enter(5, "10.0.0.2", 0.0).evicted is None
    assert gate.enter(6, "10.0.0.3", 0.0).evicted is None
    assert gate.waiting == 4
    assert gate.enter(7, "10.0.0.4", 0.0).evicted == 2
    gate.leave(5)
    gate.leave(99)
    assert gate.waiting == 3
    assert gate.enter(8, "10.0.0.1", 5.0).admitted


def test_an_address_is_a_group() -> None:
    assert address_group("2001:db8::1") == address_group("2001:db8::ffff:2")
    assert address_group("2001:db8::1") != address_group("2001:db8:0:1::1")
    assert address_group("::ffff:10.0.0.1") == address_group("10.0.0.1") == "10.0.0.1"
    assert address_group("fe80::1%eth0") == "fe80::/64"
    assert address_group("?") == "?"


def test_remembered_addresses_are_bounded() -> None:
    gate = AddressGate(LIMITS)
    for number in range(10_000):
        gate.enter(number, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(gate._rates) == 4_096 and gate.waiting == 4

"""Members that misbehave: what they send is bounded, what they do not read is bounded."""

from __future__ import annotations

import asyncio

import pytest

from tests.node.p2p.harness import (
    BLOCK,
    NOTE,
    TABLE,
    VOTE,
    Client,
    Node,
    ordered_identities,
    run,
    running,
    until,
)

A, B, C = ordered_identities(3)
ALL = (A, B, C)


async def greeted(node: Node) -> Client:
    client = await Client.open(B, node)
    await client.greet()
    await until(lambda: bool(node.recorder.connected))
    return client


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff\xff\xff\xff\x10", b"got 4294967295"),
        ((1_001).to_bytes(4, "big") + bytes([VOTE]) + bytes(1_001), b"at most 1000"),
        (b"\x00\x00\x00\x00\xc8", b"kind that this node does not know"),
        (TABLE.encode(0, b"again"), b"hello twice"),
        (TABLE.encode(1, b"short"), b"expected 8 bytes"),
        (TABLE.encode(2, b"\xff" * 8), b"never sent"),
        (TABLE.encode(3, b"\xc1"), b"MessagePack"),
    ],
)
def test_bad_frames_close_the_connection_and_later_ones_are_not_read(
    data: bytes, text: bytes
) -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, c = await nodes.make(A, ALL), await nodes.make(C, ALL)
            c.dial(a)
            await until(lambda: a.is_connected_to(c))
            client = await greeted(a)
            client.writer.write(TABLE.encode(NOTE, b"before") + data + TABLE.encode(NOTE, b"after"))
            goodbye = await client.frame_of(3)
            assert goodbye is not None and text in goodbye
            assert await client.frame() is None
            assert [payload for _, _, payload in a.recorder.messages] == [b"before"]
            await until(lambda: a.recorder.codes == ["bad_frame"])
            assert a.is_connected_to(c)
            await client.close()

    run(scenario())


def test_a_flood_of_messages_is_read_at_the_allowed_rate() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, peer_messages_per_s=200.0, peer_burst_messages=50.0)
            client = await greeted(a)
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            client.writer.write(TABLE.encode(NOTE, b"x") * 150)
            await until(lambda: len(a.recorder.messages) >= 40)
            assert len(a.recorder.messages) <= 60
            await until(lambda: len(a.recorder.messages) == 150)
            assert loop.time() - begun_s >= 0.45
            assert a.service.peers()
            await client.close()

    run(scenario())


def test_a_flood_of_bytes_is_read_at_the_allowed_rate() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, peer_bytes_per_s=4e6, peer_burst_bytes=1e6)
            client = await greeted(a)
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            client.writer.write(TABLE.encode(BLOCK, bytes(300_000)) * 10)
            await until(lambda: len(a.recorder.messages) == 10)
            assert 0.4 <= loop.time() - begun_s <= 5
            await client.close()

    run(scenario())


def test_a_peer_that_never_reads_costs_bounded_memory_and_is_dropped() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, stall_timeout_s=0.3, peer_queue_bytes=2_000_000)
            client = await greeted(a)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            taken = 0
            while a.service.send(B.node_key, BLOCK, bytes(400_000)):
                taken += 1
                assert taken < 100
                await asyncio.sleep(0)
            assert 0 < a.service.peers()[0].queued_bytes <= 2_000_000
            assert a.service.peers()[0].frames_dropped == 1
            assert a.service.send(B.node_key, VOTE, b"votes make room")
            await until(lambda: a.recorder.codes == ["slow_reader"])
            await until(lambda: a.service.sockets == 0)
            await client.close()

    run(scenario())


def test_votes_that_nobody_reads_end_the_connection() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, peer_queue_bytes=500_000)
            client = await greeted(a)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for number in range(100_000):
                if not a.service.send(B.node_key, VOTE, bytes(1_000)):
                    break
                if number % 100 == 0:
                    await asyncio.sleep(0)
            await until(lambda: a.recorder.codes == ["slow_reader"])
            await until(lambda: a.service.sockets == 0)
            await client.close()

    run(scenario())


def test_a_silent_peer_is_dropped_at_the_idle_deadline() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, idle_timeout_s=0.3)
            client = await greeted(a)
            assert await client.frame_of(1) is not None
            await until(lambda: a.recorder.codes == ["idle"])
            assert await client.frame_of(3) is not None
            await client.close()

    run(scenario())


def test_dripping_a_frame_does_not_count_as_life() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, frame_timeout_s=0.3)
            client = await greeted(a)
            client.writer.write((1_000).to_bytes(4, "big") + bytes([VOTE]))
            while not a.recorder.disconnected:
                if not client.writer.is_closing():
                    client.writer.write(b"\x00")
                await asyncio.sleep(0.01)
            assert a.recorder.codes == ["slow_sender"]
            await client.close()

    run(scenario())


def test_a_large_frame_over_a_slow_line_counts_as_life() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, idle_timeout_s=0.4)
            client = await greeted(a)
            client.writer.write((100).to_bytes(4, "big") + bytes([NOTE]))
            for _ in range(100):
                client.writer.write(b"\x00")
                await asyncio.sleep(0.01)
            await until(lambda: [kind for _, kind, _ in a.recorder.messages] == [NOTE])
            assert a.recorder.codes == []
            await client.close()

    run(scenario())


def test_answered_pings_keep_a_quiet_connection() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, idle_timeout_s=0.25, ping_interval_s=0.05)
            b = await nodes.make(B, ALL, idle_timeout_s=0.25, ping_interval_s=0.05)
            a.dial(b)
            await until(lambda: bool(a.service.peers()) and a.service.peers()[0].connected_s > 0.8)
            assert a.recorder.order == b.recorder.order == ["connected"]
            rtt_ms = a.service.peers()[0].rtt_ms
            assert rtt_ms is not None and 0 < rtt_ms < 1_000

    run(scenario())


def test_small_frames_of_one_turn_leave_in_one_write() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL)
            client = await greeted(a)
            before = a.service.peers()[0].bytes_out
            for _ in range(1_000):
                a.service.send(B.node_key, VOTE, b"twelve bytes")
            for _ in range(1_000):
                assert await client.frame_of(VOTE) == b"twelve bytes"
            # 17 bytes a frame; a TLS record of its own would add 22 to each.
            assert a.service.peers()[0].bytes_out - before < 18_000
            await client.close()

    run(scenario())


def test_ten_thousand_frames_both_ways_arrive_in_order() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            a.dial(b)
            await until(lambda: a.is_connected_to(b) and b.is_connected_to(a))
            for number in range(10_000):
                assert a.service.send(B.node_key, NOTE, number.to_bytes(4, "big"))
                assert b.service.send(A.node_key, NOTE, number.to_bytes(4, "big"))
            await until(lambda: len(a.recorder.messages) == len(b.recorder.messages) == 10_000)
            for node in (a, b):
                got = [int.from_bytes(payload, "big") for _, _, payload in node.recorder.messages]
                assert got == [*range(10_000)]

    run(scenario())

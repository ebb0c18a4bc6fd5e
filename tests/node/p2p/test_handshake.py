"""Who gets in: members with the right key, TLS and genesis, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from node.p2p.peers import Direction, PeerAddress
from node.p2p.tls import client_context
from tests.node.p2p.harness import (
    GENESIS,
    NOTE,
    Client,
    identity,
    ordered_identities,
    raw_exchange,
    run,
    running,
    until,
)
from vm.primitives.errors import InvalidInput

A, B, C = ordered_identities(3)


def test_members_connect_and_talk() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, (A, B)), await nodes.make(B, (A, B))
            a.dial(b)
            await until(lambda: a.is_connected_to(b) and b.is_connected_to(a))
            assert a.recorder.connected[0].direction is Direction.OUTGOING
            assert b.recorder.connected[0].direction is Direction.INCOMING
            assert b.recorder.connected[0].height == 7
            assert a.service.send(b.key, NOTE, b"to b")
            assert b.service.send(a.key, NOTE, b"to a")
            await until(lambda: bool(a.recorder.messages and b.recorder.messages))
            assert a.recorder.messages == [(b.key, NOTE, b"to a")]
            assert b.recorder.messages == [(a.key, NOTE, b"to b")]
            await until(lambda: all(n.service.peers()[0].rtt_ms is not None for n in (a, b)))
            figures = a.service.peers()[0]
            assert figures.key == b.key and figures.address == f"127.0.0.1:{b.port}"
            assert figures.bytes_in > 500 and figures.bytes_out > 500
            assert figures.frames_in >= 2 and figures.connected_s >= 0
            await a.service.stop()
            await until(lambda: bool(b.recorder.disconnected))
            assert b.recorder.disconnected[0][1].code == "stopping"
            assert a.recorder.codes == ["stopping"]

    run(scenario())


@pytest.mark.parametrize("known", ["to neither", "to the dialer only"])
def test_an_unknown_key_is_refused(known: str) -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A,))
            b = await nodes.make(B, (A, B) if known == "to the dialer only" else (B,))
            b.dial(a)
            if known == "to neither":
                await asyncio.sleep(0)
                assert b.counter("dial_failed") == 0
                return
            await until(lambda: b.counter("ended.not_a_member") > 0)
            await until(lambda: a.counter("ended.unknown_key") > 0)
            assert not a.recorder.connected and not b.recorder.connected

    run(scenario())


def test_the_wrong_key_at_a_configured_address_is_refused_by_the_dialer() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, (A, B, C)), await nodes.make(B, (A, B, C))
            a.service.configure_peers([PeerAddress(C.node_key, b.host, b.port)])
            await until(lambda: a.counter("ended.wrong_key") > 0)
            assert not a.recorder.connected and not b.recorder.connected

    run(scenario())


async def refused_code(context: ssl.SSLContext) -> tuple[str, bool]:
    """Connect with `context` to a node; return its verdict and whether we got a hello."""
    async with running() as nodes:
        a = await nodes.make(A, (A, B))
        got = b""
        try:
            reader, writer = await asyncio.open_connection(a.host, a.port, ssl=context)
            got = await reader.read(100)
            writer.transport.abort()
        except (ssl.SSLError, OSError):
            pass
        await until(lambda: a.counter("refused") == 1 and a.service.sockets == 0)
        (code,) = (name for name in a.service.counters() if name.startswith("ended."))
        assert not a.recorder.connected
        return code, bool(got)


def test_no_client_certificate_is_refused() -> None:
    context = client_context(B, A.der)
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.load_verify_locations(cadata=A.der)
    assert run(refused_code(bare)) == ("ended.unknown_key", False)
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_tls_1_2_is_refused() -> None:
    context = client_context(B, A.der)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert run(refused_code(context)) == ("ended.not_tls", False)


def test_the_nodes_own_key_is_refused() -> None:
    assert run(refused_code(client_context(A, A.der))) == ("ended.unknown_key", False)


def test_wrong_genesis_is_named_on_both_sides() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B))
            b = await nodes.make(B, (A, B), genesis=b"\xff" * 32)
            b.dial(a)
            await until(lambda: a.counter("ended.wrong_genesis") > 0)
            await until(lambda: b.counter("ended.wrong_genesis") > 0)
            assert not a.recorder.connected and not b.recorder.connected
            client = await Client.open(B, a)
            await client.greet(genesis=b"\xee" * 32)
            said = await client.frame_of(3)
            assert said is not None and GENESIS.hex().encode() in said and b"ee" * 32 in said
            await client.close()

    run(scenario())


@pytest.mark.parametrize(
    ("kind", "payload"), [(NOTE, b"early"), (1, bytes(8)), (0, b"nonsense"), (200, b"")]
)
def test_anything_but_a_hello_first_is_refused(kind: int, payload: bytes) -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B))
            client = await Client.open(B, a)
            await client.frame()
            client.send(kind, payload)
            assert await client.frame_of(3) is not None
            assert await client.frame() is None
            assert a.counter("ended.bad_frame") == 1 and not a.recorder.connected
            await client.close()

    run(scenario())


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00" * 5_000,
        b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000,
        b"\x16\x03\x01\x00\x05hello",
        b"SSH-2.0-x\r\n",
    ],
)
def test_garbage_before_tls_only_closes_its_connection(data: bytes) -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, (A, B)), await nodes.make(B, (A, B))
            await raw_exchange(a, data)
            await until(lambda: a.counter("refused") == 1 and a.service.sockets == 0)
            a.dial(b)
            await until(lambda: a.is_connected_to(b))

    run(scenario())


def test_a_dripping_handshake_ends_at_its_absolute_deadline() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B), handshake_timeout_s=0.3)
            reader, writer = await asyncio.open_connection(a.host, a.port)
            loop = asyncio.get_running_loop()
            begun_s = loop.time()
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            while a.service.sockets:
                if not writer.is_closing():
                    writer.write(b"\x00")
                await asyncio.sleep(0.02)
                assert loop.time() - begun_s < 3
            assert a.counter("ended.handshake_timeout") == 1
            writer.transport.abort()
            # Also behind a complete TLS handshake: no hello, no connection.
            client = await Client.open(B, a)
            assert await client.frame_of(3) is not None
            await until(lambda: a.counter("ended.handshake_timeout") == 2)
            await client.close()
            del reader

    run(scenario())


def test_a_thousand_idle_connections_do_not_keep_a_member_out() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B), max_unauthenticated_per_address=16)
            b = await nodes.make(B, (A, B))
            idlers: list[socket.socket] = []
            for _ in range(20):
                for _ in range(50):
                    idler = socket.socket()
                    idler.setblocking(False)
                    idler.connect_ex((a.host, a.port))
                    idlers.append(idler)
                opened = len(idlers)
                await until(lambda n=opened: a.counter("ended.evicted") == max(0, n - 16))  # type: ignore[misc]
                await until(lambda: a.service.sockets <= 16)
            b.dial(a)
            await until(lambda: b.is_connected_to(a))
            assert a.service.sockets <= 17
            assert b.counter("dial_failed") == 0
            for idler in idlers:
                idler.close()

    run(scenario())


def test_an_address_that_connects_too_often_is_refused() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(
                A, (A, B), address_burst_connections=5, address_connections_per_s=0.001
            )
            for _ in range(8):
                await raw_exchange(a, b"not tls at all\r\n")
            assert a.counter("ended.refused") == 3

    run(scenario())


def test_malformed_configuration_is_refused() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B))
            for key, host, port in [(b"short", "h", 1), (B.node_key, "", 1), (B.node_key, "h", 0)]:
                with pytest.raises(InvalidInput, match="configured peer"):
                    a.service.configure_peers([PeerAddress(key, host, port)])
            with pytest.raises(InvalidInput, match="queue is smaller than one message"):
                await nodes.make(B, (A, B), peer_queue_bytes=1_000)
            a.service.configure_peers([a.address])
            await asyncio.sleep(0)
            assert a.counter("dial_failed") == 0
            assert identity(1).node_key in {A.node_key, B.node_key, C.node_key}

    run(scenario())

"""The service: one connection per member, dialing again, the registry's changes, the handler."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from node.p2p.hello import Disconnect
from node.p2p.peers import Direction, PeerAddress
from node.p2p.tls import client_context
from tests.node.p2p.harness import (
    BLOCK,
    NOTE,
    QUICK,
    VOTE,
    Client,
    Node,
    ordered_identities,
    registry,
    run,
    running,
    until,
)
from vm.primitives.errors import InvalidInput, InvalidTransaction, InvariantViolation

A, B, C, D = ordered_identities(4)
ALL = (A, B, C, D)


def connected(*nodes: Node) -> bool:
    return all(one.is_connected_to(two) for one in nodes for two in nodes if one is not two)


def test_two_that_dial_at_once_keep_the_connection_of_the_smaller_key() -> None:
    async def scenario() -> None:
        for _ in range(5):
            async with running() as nodes:
                a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
                b.dial(a)
                a.dial(b)
                await until(lambda a=a, b=b: connected(a, b))  # type: ignore[misc]
                await until(lambda a=a, b=b: a.service.sockets == b.service.sockets == 1)  # type: ignore[misc]
                (at_a,), (at_b,) = a.service.peers(), b.service.peers()
                assert {at_a.direction, at_b.direction} == set(Direction)
                for node in (a, b):
                    ups_and_downs = node.recorder.order
                    assert ups_and_downs[::2] == ["connected"] * len(ups_and_downs[::2])
                    assert ups_and_downs[1::2] == ["disconnected"] * len(ups_and_downs[1::2])
                assert a.service.send(B.node_key, NOTE, b"still there")
                await until(lambda b=b: bool(b.recorder.messages))  # type: ignore[misc]

    run(scenario())


@pytest.mark.parametrize("smaller_is_tested", [True, False])
def test_the_tie_break_is_the_same_whichever_comes_first(smaller_is_tested: bool) -> None:
    """The tested node has an incoming connection and then dials: only the smaller key's stays."""
    own, other = (A, B) if smaller_is_tested else (B, A)

    async def scenario() -> None:
        async with running() as nodes:
            node = await nodes.make(own, ALL)
            client = await Client.open(other, node)
            await client.greet()
            await until(lambda: len(node.recorder.connected) == 1)
            peer = await nodes.make(other, ALL)
            await _force_dial(node, peer)
            if smaller_is_tested:
                await until(
                    lambda: node.recorder.order == ["connected", "disconnected"] * 1 + ["connected"]
                )
                assert node.recorder.codes == ["replaced"]
                assert node.service.peers()[0].direction is Direction.OUTGOING
                assert await client.frame_of(3) is not None
            else:
                await until(lambda: node.counter("ended.duplicate") == 1)
                assert node.recorder.order == ["connected"]
                assert node.service.peers()[0].direction is Direction.INCOMING
            await client.close()

    run(scenario())


async def _force_dial(node: Node, peer: Node) -> None:
    """Open a connection to `peer` though one stands, as happens when both dial at once."""
    connection = node.service.outgoing_connection(peer.address, peer.identity.der)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, peer.host, peer.port)
    await connection.settled.wait()


def test_a_peer_that_comes_back_replaces_its_stale_connection() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL)
            first = await Client.open(B, a)
            await first.greet()
            await until(lambda: len(a.recorder.connected) == 1)
            second = await Client.open(B, a)
            await second.greet()
            await until(lambda: len(a.recorder.connected) == 2)
            assert a.recorder.order == ["connected", "disconnected", "connected"]
            assert a.recorder.codes == ["replaced"]
            assert len(a.service.peers()) == 1
            second.send(NOTE, b"new")
            await until(lambda: a.recorder.messages == [(B.node_key, NOTE, b"new")])
            await first.close()
            await second.close()

    run(scenario())


def test_a_dialer_comes_back_when_its_peer_does(caplog: pytest.LogCaptureFixture) -> None:
    def told() -> int:
        return sum("cannot reach" in record.message for record in caplog.records)

    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            a.dial(b)
            await until(lambda: connected(a, b))
            for absences in (1, 2):
                failed = a.counter("dial_failed")
                await b.service.stop()
                await until(lambda: not a.service.peers())
                await until(lambda: a.counter("dial_failed") >= failed + 3)  # noqa: B023
                assert told() == absences  # once, however often it is dialed
                b = await nodes.make(B, ALL, port=b.port)
                await until(lambda: connected(a, b))  # noqa: B023
            order = ["connected", *["disconnected", "connected"] * 2]
            assert a.recorder.order == order

    run(scenario())


def test_a_removed_member_is_dropped_at_once_and_an_added_one_gets_in() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, (A, B))
            b = await nodes.make(B, ALL)
            c = await nodes.make(C, ALL)
            b.dial(a)
            c.dial(a)
            await until(lambda: connected(a, b))
            await until(lambda: c.counter("ended.not_a_member") >= 1)
            a.service.update_registry(registry(A, C))
            assert not a.service.peers()
            await until(lambda: connected(a, c))
            assert a.recorder.codes == ["removed"]
            await until(lambda: bool(b.recorder.disconnected))
            assert b.recorder.disconnected[0] == (
                A.node_key,
                Disconnect("removed", "the registry does not hold this node's key", remote=True),
            )
            await until(lambda: b.counter("ended.not_a_member") >= 1)
            assert not b.service.peers()

    run(scenario())


def test_a_member_removed_during_its_handshake_does_not_get_in() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL)
            client = await Client.open(B, a)
            assert (await client.frame()) is not None
            a.service.update_registry(registry(A, C))
            assert await client.frame_of(3) is not None
            await client.close()
            # A socket accepted before the change has a context that still trusts C: the handshake
            # passes, the look at the registry behind it does not.
            reader, writer = await asyncio.open_connection(a.host, a.port)
            await until(lambda: a.service.sockets == 1)
            a.service.update_registry(registry(A))
            await writer.start_tls(client_context(C, A.der))
            late = Client(reader, writer)
            goodbye = await late.frame()
            assert goodbye is not None and goodbye[0] == 3 and b"unknown_key" in goodbye[1]
            await late.close()
            assert not a.recorder.connected

    run(scenario())


def test_a_joiner_pins_its_configured_peers_until_its_registry_is_new() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            established = await nodes.make(A, (A, B))
            joiner = await nodes.make(B, (), joining=True)
            joiner.dial(established)
            await until(lambda: connected(established, joiner))
            joiner.service.update_registry(registry(A, B))
            assert connected(established, joiner)
            joiner.service.update_registry(registry(B), joining=True)
            await until(lambda: joiner.recorder.codes == ["removed"])
            assert not joiner.service.should_dial(A.node_key)

    run(scenario())


def test_a_joiner_refuses_another_key_at_the_configured_address() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            impostor = await nodes.make(C, (B, C))
            joiner = await nodes.make(B, (), joining=True)
            joiner.service.configure_peers([PeerAddress(A.node_key, impostor.host, impostor.port)])
            await until(lambda: joiner.counter("dial_failed") >= 2)
            assert not joiner.recorder.connected and not impostor.recorder.connected

    run(scenario())


@pytest.mark.parametrize("error", [InvalidTransaction("no such thing"), KeyError("a bug")])
def test_a_handler_that_complains_drops_only_that_peer(error: Exception) -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            b.dial(a)
            await until(lambda: connected(a, b))

            def react(key: bytes, kind: int, payload: bytes) -> None:
                if payload == b"bad":
                    raise error

            a.recorder.react = react
            heard: list[object] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
            client = await Client.open(C, a)
            await client.greet()
            for payload in (b"good", b"bad", b"never seen"):
                client.send(NOTE, payload)
            assert isinstance(error, KeyError) or await client.frame_of(3) is not None
            while await client.frame() is not None:
                pass
            assert heard == ([error] if isinstance(error, KeyError) else [])
            assert [payload for _, _, payload in a.recorder.messages] == [b"good", b"bad"]
            await until(lambda: bool(a.recorder.disconnected))
            assert a.recorder.disconnected[0][0] == C.node_key
            assert connected(a, b) and not a.recorder.fatal
            await client.close()

    run(scenario())


def test_a_broken_invariant_stops_everything() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b, c = [await nodes.make(who, ALL) for who in (A, B, C)]
            b.dial(a)
            c.dial(a)
            await until(lambda: a.is_connected_to(b) and a.is_connected_to(c))

            def react(key: bytes, kind: int, payload: bytes) -> None:
                raise InvariantViolation("the books do not balance")

            a.recorder.react = react
            for payload in (b"1", b"2"):
                b.service.send(A.node_key, NOTE, payload)
            await until(lambda: bool(a.recorder.fatal))
            await until(lambda: a.service.sockets == 0)
            assert len(a.recorder.fatal) == len(a.recorder.messages) == 1
            assert not a.service.peers()

    run(scenario())


def test_a_banned_peer_stays_out_for_as_long_as_said() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            a.dial(b)
            b.dial(a)
            await until(lambda: connected(a, b))
            a.service.ban(B.node_key, "testing", 0.3)
            assert not a.service.peers() and not a.service.should_dial(B.node_key)
            await until(lambda: a.counter("ended.banned") >= 2)
            await until(lambda: connected(a, b))
            a.service.drop(B.node_key, "testing")
            a.service.drop(C.node_key, "not connected")
            await until(lambda: "dropped" in a.recorder.codes)
            await until(lambda: connected(a, b))

    run(scenario())


def test_broadcast_reaches_all_but_the_excluded() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b, c, d = [await nodes.make(who, ALL) for who in ALL]
            a.dial(b, c, d)
            await until(lambda: len(a.service.peers()) == 3)
            assert a.service.broadcast(NOTE, b"news", exclude=[C.node_key]) == 2
            assert a.service.broadcast(VOTE, b"vote") == 3
            await until(lambda: len(b.recorder.messages) == len(d.recorder.messages) == 2)
            await until(lambda: c.recorder.messages == [(A.node_key, VOTE, b"vote")])
            assert not b.service.send(C.node_key, NOTE, b"nobody there")
            with pytest.raises(InvalidInput, match="too long to send"):
                a.service.broadcast(VOTE, bytes(1_001))

    run(scenario())


def test_a_quiet_peer_gets_only_what_is_meant_for_it() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            a.dial(b)
            await until(lambda: connected(a, b))
            a.service.keep_quiet(C.node_key)  # nobody of that name is connected
            a.service.keep_quiet(B.node_key)
            assert not a.service.is_quiet(C.node_key)
            assert a.service.broadcast(NOTE, b"not for it") == 0
            assert a.service.broadcast(NOTE, b"for all", also_quiet=True) == 1
            assert a.service.send(B.node_key, NOTE, b"answer")
            await until(lambda: len(b.recorder.messages) == 2)
            a.service.drop(B.node_key, "test")
            await until(lambda: a.recorder.order.count("connected") == 2)
            assert not a.service.is_quiet(B.node_key)

    run(scenario())


def test_votes_pass_blocks_and_order_within_a_kind_stays() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)
            a.dial(b)
            await until(lambda: connected(a, b))
            for number in range(20):
                assert a.service.send(B.node_key, BLOCK, bytes([number]) * 1_000)
            assert a.service.send(B.node_key, VOTE, b"first")
            await until(lambda: len(b.recorder.messages) == 21)
            assert b.recorder.messages[0] == (A.node_key, VOTE, b"first")
            assert [p[0] for _, kind, p in b.recorder.messages if kind == BLOCK] == [*range(20)]

    run(scenario())


def test_a_full_node_still_takes_its_configured_peers() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a = await nodes.make(A, ALL, max_peers=1)
            b, c, d = [await nodes.make(who, ALL) for who in (B, C, D)]
            b.dial(a)
            await until(lambda: connected(a, b))
            c.dial(a)
            await until(lambda: a.counter("ended.full") >= 1)
            assert not a.is_connected_to(c)
            a.dial(d)
            await until(lambda: connected(a, d))

    run(scenario())


def test_a_handler_may_send_and_drop_from_within() -> None:
    async def scenario() -> None:
        async with running() as nodes:
            a, b = await nodes.make(A, ALL), await nodes.make(B, ALL)

            def react(key: bytes, kind: int, payload: bytes) -> None:
                a.service.send(key, NOTE, b"answer")
                a.service.drop(key, "enough")
                assert not a.service.send(key, NOTE, b"too late")
                assert not a.recorder.disconnected

            a.recorder.react = react
            b.dial(a)
            await until(lambda: connected(a, b))
            b.service.send(A.node_key, NOTE, b"1")
            b.service.send(A.node_key, NOTE, b"2")
            await until(lambda: a.recorder.codes == ["dropped"])
            await until(lambda: bool(b.recorder.disconnected))
            assert b.recorder.messages == [(A.node_key, NOTE, b"answer")]
            assert len(a.recorder.messages) == 1

    run(scenario())


def test_the_limits_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        QUICK.max_peers = 1  # type: ignore[misc]

"""A light node follows headers and validators, proves its answers, goes on after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.ledger.proof_paths import TrustedBlock
from node.light.node import LightNode
from node.light.peers import NobodyAnswered
from node.light.state_file import STATE_NAME, LightStateDamaged
from node.wire import VOTE
from tests.node.light.support import FOUR, in_network, light_node, until_followed
from tests.node.network import Network, account_of, advance, make_transaction
from vm.system.accounts import account_key, decode_account

pytestmark = pytest.mark.network


def test_headers_and_changes_of_the_validators_are_followed(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        async with light_node(net, [net.address_of("V0"), net.address_of("V1")]) as node:
            await until_followed(net, node)
            await net.stop("V3")
            suspend = net.next("V0", ("members", "suspend", (account_of("V3"),)))
            await net.accept("V0", suspend)
            await net.until_final(suspend)
            await advance(net)
            await until_followed(net, node)
            assert len(node.headers.epochs) == 2
            reinstate = net.next("V0", ("members", "reinstate", (account_of("V3"),)))
            await net.accept("V0", reinstate)
            await net.until_final(reinstate)
            await advance(net)
            await until_followed(net, node)
            assert len(node.headers.epochs) == 3
            assert node.headers.epochs[0][1] == node.headers.epochs[2][1]
        kept = (net.base / "L" / STATE_NAME).read_bytes()
        async with light_node(net, []) as node:  # nobody to ask: what was kept is all there is
            assert (node.headers.height, node.headers.head_id) == (
                net.nodes["V0"].chain.height,
                net.nodes["V0"].chain.block_id,
            )
            assert len(node.headers.epochs) == 3
        assert (net.base / "L" / STATE_NAME).read_bytes() == kept

    in_network(tmp_path, scenario)


def test_a_whole_history_is_followed_from_its_beginning(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        for height in (1, 5, 9):
            head = net.nodes["V0"].chain.store.head(height)
            assert head is not None
            trust = TrustedBlock(height, head.header.block_id())
            async with light_node(net, [net.address_of("V0")], trust=trust) as node:
                await until_followed(net, node)
                assert node.headers.validators_at(height) is None
                assert node.headers.validators_at(height + 1) is not None

    in_network(tmp_path, scenario, blocks=12)


def test_values_are_proved_present_and_absent(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        async with light_node(net, [net.address_of("V0")]) as node:
            await until_followed(net, node)
            found = await node.prove(account_key(account_of("m1")))
            assert found.value is not None
            assert decode_account(found.value).nonce == 3
            assert found.header.height == net.nodes["V0"].chain.height
            assert (await node.prove(account_key(bytes(20)))).value is None
            # A state that is newer than our last header brings the headers with it.
            await advance(net)
            found = await node.prove(account_key(account_of("m1")))
            assert decode_account(found.value or b"").nonce >= 3
            assert node.proofs_verified == 3
            with pytest.raises(NobodyAnswered, match="no such key"):
                await node.prove(b"i" + bytes(20))

    in_network(tmp_path, scenario)


async def submit_and_prove(net: Network, node: LightNode) -> None:
    transaction = net.next("m2")
    assert (await node.submit(transaction.raw)).code == ""
    assert node.next_nonce(account_of("m2"), 0) == 1
    found = await node.wait_final(transaction.id, 20)
    assert found is not None
    assert (found.transaction, found.receipt.code) == (transaction, "")
    assert transaction.id not in node.submitted
    await net.until_final(transaction)


def test_transactions_are_handed_on_and_proved_final(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        async with light_node(net, [net.address_of("V0"), net.address_of("V2")]) as node:
            await until_followed(net, node)
            await submit_and_prove(net, node)
            raw = make_transaction(net.genesis, "m3", 0).raw
            forged = raw[:-1] + bytes([raw[-1] ^ 1])
            late = make_transaction(net.genesis, "m3", 10_000).raw
            codes = [(await node.submit(raw)).code for raw in (b"junk", forged, late)]
            assert codes == ["invalid_encoding", "bad_signature", "nonce_too_far"]
            # What is refused here never reached those who would ban us for it.
            assert len(node.full_nodes.connected()) == 2
            assert await node.wait_final(bytes(32), 0.05) is None
            await net.stop("V0")
            await net.until(lambda: len(node.full_nodes.connected()) == 1)
            await submit_and_prove_next(net, node)

    async def submit_and_prove_next(net: Network, node: LightNode) -> None:
        transaction = net.next("m4")
        assert (await node.submit(transaction.raw)).code == ""
        assert await node.wait_final(transaction.id, 20) is not None

    in_network(tmp_path, scenario)


def test_what_only_full_nodes_need_is_not_sent(tmp_path: Path) -> None:
    async def scenario(net: Network) -> None:
        heard: list[int] = []
        async with light_node(net, [net.address_of("V0")]) as node:
            await until_followed(net, node)
            listen = node.full_nodes.on_message

            def note(key: bytes, kind: int, payload: bytes) -> None:
                heard.append(kind)
                listen(key, kind, payload)

            node.full_nodes.on_message = note  # type: ignore[method-assign]
            for _ in range(5):
                await advance(net)
            await until_followed(net, node)
        assert heard
        assert VOTE not in heard
        assert len(set(heard)) == 2  # heights and headers
        assert all(net.nodes[name]._sync.sources.best_height() < 10**6 for name in FOUR)

    in_network(tmp_path, scenario)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, place: int) -> None:
    async def scenario(net: Network) -> None:
        async with light_node(net, [net.address_of("V0")]) as node:
            await until_followed(net, node)
        path = net.base / "L" / STATE_NAME
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(LightStateDamaged, match="delete it"):
            async with light_node(net, []):
                pass
        path.unlink()
        async with light_node(net, [net.address_of("V0")]) as node:
            await until_followed(net, node)

    in_network(tmp_path, scenario, blocks=1)

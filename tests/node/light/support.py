"""Light nodes beside a network of real nodes, and full nodes that lie to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random

from node.config import LIGHT, Address, NodeConfig
from node.ledger.proof_paths import Trust, TrustedBlock
from node.ledger.proofs import Finality
from node.light.facts import GenesisFacts
from node.light.node import LightNode
from node.light.state_file import load_state
from node.light_service import read_headers
from node.light_wire import GET_HEADERS, HEADERS, LIGHT_KINDS, decode_header_range, encode_headers
from node.p2p.hello import Disconnect
from node.p2p.peers import Peer, PeerAddress
from node.p2p.service import PeerService
from node.wire import HEIGHT, KINDS, encode_height
from tests.node.network import ROLES, Network, advance, network, node_identity

FOUR = ("V0", "V1", "V2", "V3")


def facts_of(net: Network) -> GenesisFacts:
    """Return what a light node knows of the network's genesis."""
    first = net.nodes["V0"].chain.store.head(1) or net.nodes["V0"].chain.store.head(0)
    assert first is not None
    return GenesisFacts(net.genesis.digest, "test", "poa", ROLES, (), first.header.validators)


@contextlib.asynccontextmanager
async def light_node(
    net: Network,
    peers: Sequence[PeerAddress],
    *,
    name: str = "L",
    trust: TrustedBlock | None = None,
    facts: GenesisFacts | None = None,
) -> AsyncIterator[LightNode]:
    """Run a member's light node that dials `peers`; `facts` are those of the network's genesis."""
    config = NodeConfig(
        name=name,
        genesis=net.base / "genesis.json",
        data=net.base / name,
        log_level="info",
        node_key=net.base / "unused",
        vote_key=None,
        p2p=Address("127.0.0.1", 0),
        peers=tuple(peers),
        api=Address("127.0.0.1", 0),
        api_hosts=(),
        api_origins=(),
        workers=1,
        verify_synced_signatures=True,
        mode=LIGHT,
        trust=trust,
    )
    config.data.mkdir(exist_ok=True)
    facts = facts or facts_of(net)
    begin = trust or Trust(facts.genesis, facts.validators, 1)
    headers = load_state(config.data, facts.genesis, begin)
    node = LightNode(config, facts, headers, node_identity(name))
    await node.start()
    try:
        yield node
        if node.failed.done():
            node.failed.result()
    finally:
        await node.stop()


async def until_followed(net: Network, node: LightNode) -> None:
    """Wait until the light node has verified the network's last header."""
    await net.until(
        lambda: node.headers.height == net.nodes["V0"].chain.height,
        what=f"the light node at {node.headers.height}",
    )
    assert node.headers.head_id == net.nodes["V0"].chain.block_id


class FalseNode:
    """A member's full node that claims a height and answers as a test says."""

    def __init__(self, net: Network, name: str, height: int) -> None:
        self.net = net
        self.identity = node_identity(name)
        self.height = height
        self.asked: list[int] = []
        self.ended: list[Disconnect] = []
        self.answers: dict[int, Callable[[bytes, bytes], None]] = {}
        self.address = PeerAddress(self.identity.node_key, "127.0.0.1", 1)

    async def start(self, *readers: str) -> None:
        """Listen for the light nodes of members."""
        self.service = PeerService(
            identity=self.identity,
            genesis=self.net.genesis.digest,
            kinds=(*KINDS, *LIGHT_KINDS),
            handler=self,
            height=lambda: self.height,
            random=Random(1),
        )
        identities = [node_identity(name) for name in readers]
        self.service.update_registry({each.node_key: each.proof for each in identities})
        _, port = await self.service.listen("127.0.0.1", 0)
        self.address = PeerAddress(self.identity.node_key, "127.0.0.1", port)

    def give_headers(self, change: Callable[[list[Finality], int], list[Finality]]) -> None:
        """Answer with the true headers, changed; `change` gets them and the first height."""

        def answer(key: bytes, payload: bytes) -> None:
            first, count = decode_header_range(payload)
            true = read_headers(self.net.nodes["V0"].chain, first, count)
            self.service.send(key, HEADERS, encode_headers(change(true, first)))

        self.answers[GET_HEADERS] = answer

    def on_connected(self, peer: Peer) -> None:
        self.service.send(peer.key, HEIGHT, encode_height(self.height))

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        self.asked.append(kind)
        if kind in self.answers:
            self.answers[kind](key, payload)

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        self.ended.append(reason)

    def on_fatal(self, error: BaseException) -> None:
        raise error


@contextlib.asynccontextmanager
async def false_node(
    net: Network, name: str = "F", *, height: int = 10**6
) -> AsyncIterator[FalseNode]:
    """Run a false node that light node L may dial."""
    found = FalseNode(net, name, height)
    await found.start("L")
    try:
        yield found
    finally:
        await found.service.stop()


def in_network(
    tmp_path: Path,
    scenario: Callable[[Network], object],
    *,
    blocks: int = 3,
    **options: object,
) -> None:
    """Run a scenario in a network of four validators with some blocks; L and F may join it."""

    async def run() -> None:
        async with network(tmp_path, *FOUR, followers=("L", "F"), **options) as net:
            for _ in range(blocks):
                await advance(net)
            await scenario(net)  # type: ignore[misc]

    asyncio.run(run())

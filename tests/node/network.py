"""A network of real nodes within one event loop: its members, their transactions, and its liars."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from node.config import Address, NodeConfig
from node.facade import FinalBlock
from node.ledger.genesis import Genesis, decode_genesis
from node.ledger.transaction import Transaction, sign_transaction
from node.machine import Machine
from node.miner import Sealer
from node.node import Node, NodeKeys
from node.p2p.certificates import NodeCertificate, make_certificate
from node.p2p.hello import Disconnect
from node.p2p.peers import Peer, PeerAddress
from node.p2p.service import PeerService
from node.snapshot.wire import SNAPSHOT_KINDS
from node.submission import Submission
from node.upgrades import SUPPORT, Support
from node.wire import KINDS
from vm.primitives.address import account_id
from vm.primitives.signatures import public_key
from vm.runtime import Call
from vm.system.members import read_node_registry

DEADLINE_S = 30.0
ROLES = ("operator", "validator", "prosumer")
QUICK_ENGINE = {"propose_timeout_ms": 600, "vote_timeout_ms": 200, "resend_ms": 200}
QUICK_PARAMETERS = {"block_interval_ms": 20, "heartbeat_ms": 600_000}


def seed(text: str) -> bytes:
    """Return the secret that belongs to a name."""
    return text.encode().ljust(32, b".")


def account_of(name: str) -> bytes:
    """Return the account id of a member."""
    return account_id(public_key(seed(f"account {name}")))


def node_identity(name: str) -> NodeCertificate:
    """Return the identity of a member's node."""
    return make_certificate(seed(f"node {name}"))


def vote_key(name: str) -> bytes:
    """Return a validator's public vote key."""
    return public_key(seed(f"vote {name}"))


def genesis_document(
    validators: Sequence[str],
    *,
    members: int = 20,
    followers: Sequence[str] = (),
    parameters: dict[str, int] | None = None,
    engine: dict[str, int] | None = None,
    engine_name: str = "poa",
    time_ms: int | None = None,
    modules: dict[str, object] | None = None,
) -> bytes:
    """Return a genesis file: validators that are operators too, followers with a node, members."""
    entries: list[dict[str, object]] = []
    for name in [*validators, *followers, *(f"m{number}" for number in range(members))]:
        entry: dict[str, object] = {
            "name": name,
            "roles": ["prosumer"],
            "balance": "1000.0",
            "key": public_key(seed(f"account {name}")).hex(),
        }
        if name in validators or name in followers:
            identity = node_identity(name)
            entry["node_key"] = identity.node_key.hex()
            entry["node_proof"] = identity.proof.hex()
        if name in validators:
            entry["roles"] = ["operator", "validator"]
            entry["vote_key"] = vote_key(name).hex()
        entries.append(entry)
    document = {
        "chain": "test",
        "time_ms": time.time_ns() // 1_000_000 if time_ms is None else time_ms,
        "engine": {"name": engine_name, "parameters": {**QUICK_ENGINE, **(engine or {})}},
        "parameters": {**QUICK_PARAMETERS, **(parameters or {})},
        "roles": list(ROLES),
        "members": entries,
        "modules": modules or {},
    }
    return json.dumps(document).encode()


def make_transaction(
    genesis: Genesis,
    name: str,
    nonce: int,
    *calls: Call,
    expiry_height: int = 10_000,
    gas_limit: int = 1_000_000,
    max_fee_micro: int = 0,
) -> Transaction:
    """Return a member's signed transaction; without calls a transfer of 1 to `m0`."""
    secret = seed(f"account {name}")
    return sign_transaction(
        secret,
        genesis=genesis.digest,
        sender=account_of(name),
        key=public_key(secret),
        nonce=nonce,
        gas_limit=gas_limit,
        max_fee_micro=max_fee_micro,
        expiry_height=expiry_height,
        calls=calls or (("accounts", "transfer", (account_of("m0"), 1, "")),),
    )


async def until(
    condition: Callable[[], object],
    *,
    deadline_s: float = DEADLINE_S,
    what: Callable[[], str] = str,
) -> None:
    """Wait until `condition` holds; fail at the deadline."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + deadline_s
    while not condition():
        if loop.time() >= end_s:
            raise AssertionError(f"not within {deadline_s} s: {what()}")
        await asyncio.sleep(0.005)


class Network:
    """Nodes by the names of their members."""

    def __init__(self, base: Path, document: bytes) -> None:
        self.base = base
        self.document = document
        self.genesis = decode_genesis(document)
        self.nodes: dict[str, Node] = {}
        self.failures: dict[str, BaseException] = {}
        self.loop_errors: list[dict[str, Any]] = []
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._nonces: dict[str, int] = {}

    async def start(
        self,
        name: str,
        *,
        peers: Sequence[str] | None = None,
        votes: bool = True,
        verify_signatures: bool = True,
        vote_seed: bytes | None = None,
        clock_ms: Callable[[], int] | None = None,
        sealer: Sealer | None = None,
        support: Support = SUPPORT,
        **settings: Any,
    ) -> Node:
        """Start a member's node with more `settings`; it dials the `peers`, else all that run."""
        targets = list(self.nodes) if peers is None else peers
        config = NodeConfig(
            name=name,
            genesis=self.base / "genesis.json",
            data=self.base / name,
            log_level="info",
            node_key=self.base / "unused",
            vote_key=None,
            p2p=Address("127.0.0.1", 0),
            peers=tuple(self.address_of(target) for target in targets),
            api=Address("127.0.0.1", 0),
            api_hosts=(),
            api_origins=(),
            workers=1,
            verify_synced_signatures=verify_signatures,
            **settings,
        )
        secret = (vote_seed or seed(f"vote {name}")) if votes else None
        keys = NodeKeys(node_identity(name), secret)
        machine = Machine()
        if clock_ms is not None:
            machine.clock_ms = clock_ms
        if sealer is not None:
            machine.make_sealer = lambda _: sealer
        node = Node(config, self.genesis, keys, machine=machine, support=support)
        await node.start()
        self.nodes[name] = node
        self._watchers[name] = asyncio.ensure_future(self._watch(name, node))
        return node

    async def start_all(self, *names: str, **options: Any) -> None:
        """Start validators, each dialing those before it, and wait until all are connected."""
        for name in names:
            await self.start(name, **options)
        await self.until_connected(*names)

    async def until_connected(self, *names: str) -> None:
        """Wait until each of `names` has the others as peers."""
        keys = {node_identity(name).node_key for name in names}
        await self.until(
            lambda: all(
                keys - {peer.node_key for peer in self.nodes[name].peers()}
                == {node_identity(name).node_key}
                for name in names
            ),
            what="connections",
        )

    async def stop(self, name: str) -> None:
        """Stop a node as on a signal."""
        self._watchers.pop(name).cancel()
        await self.nodes.pop(name).stop()

    async def stop_all(self) -> None:
        """Stop all nodes; raise the first failure that nobody looked at."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))
        self.nodes.clear()

    def address_of(self, name: str) -> PeerAddress:
        """Return where a running node listens."""
        return PeerAddress(
            node_identity(name).node_key, "127.0.0.1", self.nodes[name].p2p_address[1]
        )

    async def until(
        self, condition: Callable[[], object], *, deadline_s: float = DEADLINE_S, what: str = ""
    ) -> None:
        """Wait until `condition` holds; fail at the deadline or when a node fails."""

        def holds() -> object:
            for name, error in self.failures.items():
                raise AssertionError(f"node {name} failed") from error
            return condition()

        await until(holds, deadline_s=deadline_s, what=lambda: f"{what} {self.describe()}")

    async def until_height(self, height: int, *names: str) -> None:
        """Wait until the nodes (all by default) have reached a final height."""
        await self.until(
            lambda: all(
                self.nodes[name].chain.height >= height for name in names or list(self.nodes)
            ),
            what=f"height {height}",
        )

    async def until_equal(self, *names: str) -> int:
        """Wait until the nodes have the same head and empty mempools; return its height."""
        chosen = names or tuple(self.nodes)
        await self.until(
            lambda: (
                len({self.nodes[name].chain.block_id for name in chosen}) == 1
                and not any(len(self.nodes[name]._mempool) for name in chosen)
            ),
            what="equal heads",
        )
        return self.nodes[chosen[0]].chain.height

    async def until_final(self, *transactions: Transaction) -> None:
        """Wait until every node has the transactions in final blocks."""
        await self.until(
            lambda: all(
                node.store.find_transaction(transaction.id)
                for node in self.nodes.values()
                for transaction in transactions
            ),
            what="final transactions",
        )

    def next(self, name: str, *calls: Call, **limits: int) -> Transaction:
        """Return the member's next transaction, as if all before it were taken in."""
        nonce = self._nonces.get(name, 0)
        self._nonces[name] = nonce + 1
        return make_transaction(self.genesis, name, nonce, *calls, **limits)

    async def submit(self, name: str, *transactions: Transaction) -> list[Submission]:
        """Hand transactions to a node."""
        return list(await self.nodes[name].submit([item.raw for item in transactions]))

    async def accept(self, name: str, *transactions: Transaction) -> None:
        """Hand transactions to a node, which takes all of them."""
        refused = [item for item in await self.submit(name, *transactions) if item.code]
        assert not refused, refused[0]

    def roots(self) -> set[tuple[int, bytes]]:
        """Return the heights and state roots of the nodes."""
        return {(node.chain.height, node.chain.header.state_root) for node in self.nodes.values()}

    def describe(self) -> str:
        """Return where the nodes stand, for failures."""
        return str(
            {name: (node.chain.height, node.engine_view()) for name, node in self.nodes.items()}
        )

    async def _watch(self, name: str, node: Node) -> None:
        try:
            await node.wait_failed()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failures[name] = error


@contextlib.asynccontextmanager
async def network(
    base: Path, *validators: str, members: int = 20, **options: Any
) -> AsyncIterator[Network]:
    """Run a network of the validators; nothing is left of it, and nothing went wrong unseen."""
    net = Network(base, genesis_document(validators, members=members, **options))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: net.loop_errors.append(context))
    before = asyncio.all_tasks()
    try:
        await net.start_all(*validators)
        yield net
        for name, error in net.failures.items():
            raise AssertionError(f"node {name} failed") from error
    finally:
        await net.stop_all()
        loop.set_exception_handler(None)
    left = asyncio.all_tasks() - before
    await asyncio.wait(left, timeout=2) if left else None
    assert not [task for task in left if not task.done()]
    assert not net.loop_errors, net.loop_errors


class Liar:
    """A member's node key in the hands of somebody who speaks the transport's language."""

    def __init__(self, net: Network, name: str) -> None:
        self.net = net
        self.identity = node_identity(name)
        self.key = self.identity.node_key
        self.heard: list[tuple[bytes, int, bytes]] = []
        self.connected: list[bytes] = []
        self.ended: list[tuple[bytes, Disconnect]] = []
        self.answer: Callable[[bytes, int, bytes], None] = lambda key, kind, payload: None
        self.claims = 0
        self.service: PeerService | None = None

    async def dial(self, *names: str, deadline_s: float = DEADLINE_S) -> None:
        """Connect to nodes, and wait until they have us."""
        service = PeerService(
            identity=self.identity,
            genesis=self.net.genesis.digest,
            kinds=(*KINDS, *SNAPSHOT_KINDS),
            handler=self,
            height=lambda: self.claims,
            random=Random(1),
        )
        self.service = service
        registry = read_node_registry(self.net.nodes[names[0]].store)
        service.update_registry(registry | {self.key: self.identity.proof})
        service.configure_peers([self.net.address_of(name) for name in names])
        keys = {node_identity(name).node_key for name in names}
        await self.net.until(
            lambda: (
                keys <= {peer.key for peer in service.peers()}
                and all(self.is_known_to(name) for name in names)
            ),
            deadline_s=deadline_s,
            what="the liar's connections",
        )

    def is_known_to(self, name: str) -> bool:
        """Tell whether a node has us as a peer."""
        return any(peer.node_key == self.key for peer in self.net.nodes[name].peers())

    def send(self, name: str, kind: int, payload: bytes) -> bool:
        """Send a message to a node."""
        assert self.service is not None
        return self.service.send(node_identity(name).node_key, kind, payload)

    async def until_dropped_by(self, name: str) -> None:
        """Wait until a node closed the connection."""
        key = node_identity(name).node_key
        await self.net.until(lambda: any(peer == key for peer, _ in self.ended), what="the drop")

    async def stop(self) -> None:
        """Hang up."""
        if self.service is not None:
            await self.service.stop()

    def on_connected(self, peer: Peer) -> None:
        self.connected.append(peer.key)

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        self.heard.append((key, kind, payload))
        self.answer(key, kind, payload)

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        self.ended.append((key, reason))

    def on_fatal(self, error: BaseException) -> None:
        raise error


@contextlib.asynccontextmanager
async def liar(net: Network, name: str, *targets: str, claims: int = 0) -> AsyncIterator[Liar]:
    """Connect a liar with a member's node key to nodes."""
    peer = Liar(net, name)
    peer.claims = claims
    try:
        await peer.dial(*targets)
        yield peer
    finally:
        await peer.stop()


async def advance(net: Network, *names: str) -> None:
    """Have a transaction made final: the honest nodes go on."""
    item = net.next("m1")
    await net.accept(names[0] if names else next(iter(net.nodes)), item)
    await net.until_final(item)


def blocks_of(node: Node, first: int = 1) -> list[tuple[int, int]]:
    """Return (height, transactions) of a node's final blocks."""
    found = []
    for height in range(first, node.chain.height + 1):
        body = node.store.body(height)
        assert body is not None
        found.append((height, len(body.transactions)))
    return found


async def next_block(queue: asyncio.Queue[FinalBlock | None]) -> FinalBlock:
    """Return the next final block that a node tells of."""
    block = await asyncio.wait_for(queue.get(), DEADLINE_S)
    assert block is not None
    return block

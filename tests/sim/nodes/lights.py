"""Light nodes of a simulated network: they follow headers, ask for proofs, and hand things on."""

import contextvars
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from node.config import Address, NodeConfig
from node.ledger.chain_rules import build_genesis
from node.ledger.proof_paths import Trust
from node.ledger.proofs import Finality
from node.light.facts import GenesisFacts
from node.light.headers import HeaderChain
from node.light.node import LightNode
from node.light.peers import NobodyAnswered
from node.modules import make_runtime
from node.p2p.hello import Disconnect
from node.p2p.peers import PeerAddress
from tests.sim.nodes.links import SimulatedPeers
from tests.sim.nodes.loop import LIFE, Life
from tests.sim.nodes.people import MARKET, identity, person
from tests.sim.nodes.process import DATA
from tests.sim.world import Violation
from vm.primitives.errors import BitenergyError
from vm.system.account_leaf import ACCOUNT_SPACE

ASK_S = 2.5
CRASH_PER_ASK = 20
"""One in so many times a light node loses power instead, and what it had not saved."""


@dataclass(frozen=True, slots=True)
class _Saved:
    """What a light node keeps on its card."""

    head: Any
    epochs: tuple[tuple[int, bytes], ...]


class LightProcess:
    """A board that runs a light node; what it says is compared with what was final."""

    def __init__(self, world: Any, name: str) -> None:
        self._world = world
        self.name = name
        self._random = Random(f"light {world.scenario.seed} {name}")
        self._saved: _Saved | None = None
        self._life: Life | None = None
        self._peers: SimulatedPeers | None = None
        self.node: LightNode | None = None
        genesis = world.genesis
        block = build_genesis(make_runtime(genesis.roles), genesis)
        self._facts = GenesisFacts(
            genesis.digest,
            genesis.chain,
            genesis.engine,
            genesis.roles,
            (MARKET,),
            block.header.next_validators,
        )
        self.proved = 0

    @property
    def height(self) -> int:
        """The last height that it verified."""
        return 0 if self.node is None else self.node.headers.height

    def start(self) -> None:
        """Begin, or go on from what was saved."""
        world = self._world
        self._life = Life(lambda: None)
        world.network.note("start", self.name)
        begin = Trust(self._facts.genesis, self._facts.validators, 1)
        headers = HeaderChain(self._facts.genesis, begin)
        if self._saved is not None:
            headers.restore(self._saved.head, self._saved.epochs)
        self._watch(headers)
        context = contextvars.copy_context()
        context.run(LIFE.set, self._life)
        world.loop.create_task(self._run(headers), context=context)

    def _watch(self, headers: HeaderChain) -> None:
        """Look that no headers take the node back."""
        extend = headers.extend

        def watched(entries: Sequence[Finality]) -> None:
            before = headers.height
            try:
                extend(entries)
            finally:
                if headers.height < before:
                    self._world.on_bug(Violation(f"light: {self.name} goes back from {before}"))

        headers.extend = watched  # type: ignore[method-assign]

    def stop(self) -> None:
        """Lose power."""
        life, self._life, self.node = self._life, None, None
        if self._peers is not None:
            self._peers.hang_up(Disconnect("lost", "the connection is lost"))
        if life is not None:
            life.end()

    def _make_peers(
        self, *, identity: Any, genesis: bytes, kinds: Any, handler: Any, height: Any, random: Any
    ) -> Any:
        self._peers = SimulatedPeers(
            self._world.network,
            key=identity.node_key,
            kinds=kinds,
            handler=handler,
            height=height,
        )
        return self._peers

    async def _run(self, headers: HeaderChain) -> None:
        world = self._world
        config = NodeConfig(
            name=self.name,
            genesis=DATA / "genesis.json",
            data=DATA / self.name,
            log_level="error",
            node_key=DATA / "unused",
            vote_key=None,
            p2p=Address("127.0.0.1", 1),
            peers=tuple(PeerAddress(identity(name).node_key, "h", 1) for name in world.names),
            api=Address("127.0.0.1", 1),
            api_hosts=(),
            api_origins=(),
            workers=1,
            verify_synced_signatures=True,
            mode="light",
        )
        try:
            node = LightNode(
                config, self._facts, headers, identity(self.name), make_service=self._make_peers
            )
            node._save = self._keep  # type: ignore[method-assign]
            self.node = node
            await node.start()
            await node.service.listen("", 0)
            world.loop.call_later(ASK_S, self._ask_later, self._life)
            await node.failed
        except Exception as error:
            world.on_bug(error)

    def _keep(self) -> None:
        node = self.node
        if node is not None and node.headers.head is not None:
            self._saved = _Saved(node.headers.head, tuple(node.headers.epochs))

    def _ask_later(self, life: Life) -> None:
        if not life.alive or self.node is None:
            return
        if self._random.randrange(CRASH_PER_ASK) == 0:
            self.stop()
            self._world.loop.call_later(1.0, self.start)
            return
        self._world.loop.call_later(ASK_S, self._ask_later, life)
        context = contextvars.copy_context()
        context.run(LIFE.set, life)
        self._world.loop.create_task(self._ask(self.node), context=context)

    async def _ask(self, node: LightNode) -> None:
        """Ask for an account and a transaction; what is proved has to be what was final."""
        world = self._world
        try:
            self._check_headers(node)
            name = self._random.choice(("P0", "P1", "T0"))
            await self._ask_account(node, person(name).account)
            made = list(world.clients.made)
            if made:
                await self._ask_transaction(node, self._random.choice(made))
                sent = world.clients.made[self._random.choice(made[-9:])]
                await node.submit(sent.raw)
        except NobodyAnswered:
            pass
        except BitenergyError as error:
            world.on_bug(Violation(f"light: {self.name} gives up on {error}"))
        except Violation as violation:
            world.on_bug(violation)

    def _check_headers(self, node: LightNode) -> None:
        self._look()
        known = self._world.checks.final.get(node.headers.height)
        if known is not None and node.headers.head_id != known:
            raise Violation(f"light: {self.name} believes another block {node.headers.height}")
        for first, validators in node.headers.epochs:
            block = self._world.checks.candidates.get(first)
            if block is not None and block.header.validators != validators:
                raise Violation(f"light: {self.name} believes other validators at {first}")

    async def _ask_account(self, node: LightNode, account: bytes) -> None:
        proved = await node.prove(ACCOUNT_SPACE + account)
        self._look()
        wanted = self._world.checks.leaves.get((proved.header.height, account))
        if wanted is not None and proved.value != wanted:
            raise Violation(f"light: {self.name} believes what an account never held")
        self.proved += 1

    async def _ask_transaction(self, node: LightNode, transaction_id: bytes) -> None:
        found = await node.find_transaction(transaction_id)
        if found is None:
            return
        self._look()
        block = self._world.checks.candidates.get(found.header.height)
        if block is None:
            return
        receipts = block.executed.receipts[block.executed.first_transaction :]
        if transaction_id not in [item.id for item in block.transactions]:
            raise Violation(f"light: {self.name} believes in a block that does not hold it")
        if receipts[found.index].encode() != found.receipt.encode():
            raise Violation(f"light: {self.name} believes another receipt")
        self.proved += 1

    def _look(self) -> None:
        self._world.checks.looks["light"] += 1

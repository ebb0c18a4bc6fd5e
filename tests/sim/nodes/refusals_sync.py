"""What a node refuses of what its peers tell it of the past: blocks it lacks, votes of its own."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from consensus.messages import Vote, VoteKind
from node.ledger.block import decode_body, decode_header
from node.ledger.certificate import decode_certificate, encode_certificate, encode_vote
from node.ledger.proof_paths import TrustedBlock
from node.ledger.transaction import decode_transaction
from node.wire import BLOCK, BLOCKS, VOTE, VOTES, SyncedBlock, decode_blocks, encode_blocks
from tests.sim.nodes.people import identity
from tests.sim.nodes.scenario import ENGINES
from tests.sim.nodes.simulation import CATCH_UP_S
from tests.sim.nodes.work import sealed
from vm.primitives.codec import encode_trusted
from vm.primitives.merkle import merkle_root

AWAY_BLOCKS = 4
Twist = Callable[[list[SyncedBlock]], list[SyncedBlock]]


class Away:
    """A follower that was away, and peers that all answer it with something else."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._process = world.processes[-1]
        self._key = identity(self._process.name).node_key
        self._lies = True
        self._twist: Twist = lambda blocks: blocks
        self._reasons: list[str] = []

    async def leave(self) -> None:
        """Be away for some blocks, and come back."""
        world, process = self._world, self._process
        world.faults.down_until[process.index] = world.loop.time() + 10**6
        process.crash()
        depth = ENGINES[world.scenario.engine].parameters.get("finality_depth", 0)
        goal = world._reached() + AWAY_BLOCKS + 2 * depth
        await world._until(lambda: world._reached() >= goal, CATCH_UP_S, "progress: blocks to miss")
        for other in world.processes[:-1]:
            self._change_words(other.peers)
        self._twist = lambda blocks: []
        process.start()
        await world._until(lambda: process.node is not None, CATCH_UP_S, "progress: a start")
        watched = process.node._sync
        drop = watched._drop

        def note(peer: bytes, reason: str) -> None:
            self._reasons.append(reason)
            drop(peer, reason)

        watched._drop = note

    def _change_words(self, peers: Any) -> None:
        transmit = peers.transmit

        def changed(connection: Any, key: bytes, kind: int, payload: bytes) -> None:
            if key == self._key and kind == BLOCK and self._lies:
                return  # what is on the way to be final would come piece by piece
            if key == self._key and kind == BLOCKS:
                payload = encode_blocks(self._twist(list(decode_blocks(payload))))
            transmit(connection, key, kind, payload)

        peers.transmit = changed

    async def refuse(self, words: str, twist: Twist) -> None:
        """Have all peers answer so; the node has to find out, and drop them."""
        self._reasons.clear()
        self._twist = twist
        await self._world._until(
            lambda: any(words in reason for reason in self._reasons),
            CATCH_UP_S,
            f"refusal: {words!r} was expected of block sync, {self._reasons} came",
        )
        self._world.refused.append(words)

    async def come_back(self) -> None:
        """Let the peers tell the truth; all that was missed comes."""
        world, process = self._world, self._process
        self._lies = False
        self._twist = lambda blocks: blocks
        goal = world._reached()
        chain = process.node.chain
        await world._until(lambda: chain.tip.height >= goal, CATCH_UP_S, "progress: block sync")


async def refuse_synced_blocks(world: Any) -> None:
    """Blocks that are others, not whole, not decided, or not signed."""
    away = Away(world)
    await away.leave()
    await away.refuse("not the block asked for", lambda blocks: blocks[1:])
    await away.refuse("the parts of a block are not those", _with_other_body)
    sync = world.processes[-1].node._sync
    sync._trusted = TrustedBlock(world.processes[-1].node.chain.height + 1, bytes(32))
    await away.refuse("the block is not the trusted one", lambda blocks: blocks)
    sync._trusted = None
    if world.checks.work is None:
        await away.refuse("the certificate does not decide the block", _with_one_signer)
    else:
        await away.refuse("a signature in the block is wrong", partial(_with_unsigned, world))
    await away.come_back()


def _with_other_body(blocks: list[SyncedBlock]) -> list[SyncedBlock]:
    return [replace(block, body=encode_trusted([3, 1, b"", [b"x"], []])) for block in blocks]


def _with_one_signer(blocks: list[SyncedBlock]) -> list[SyncedBlock]:
    found = decode_certificate(blocks[0].certificate)
    forged = replace(found, signatures=found.signatures[:1])
    return [replace(blocks[0], certificate=encode_certificate(forged)), *blocks[1:]]


def _with_unsigned(world: Any, blocks: list[SyncedBlock]) -> list[SyncedBlock]:
    """A miner's block, sealed well, with a transaction that nobody signed."""
    header, body = decode_header(blocks[0].header), decode_body(blocks[0].body)
    raws = (*body.transactions, world.make_transaction("O2", 5).raw[:-64] + bytes(64))
    ids = [decode_transaction(raw).id for raw in raws]
    changed = replace(header, transactions_root=merkle_root(ids))
    changed = sealed(changed, int.from_bytes(header.seal[:8], "big"))
    return [SyncedBlock(changed.encode(), b"", replace(body, transactions=raws).encode())]


async def refuse_told_votes(world: Any) -> None:
    """A peer tells a validator that has just started of votes that it never signed."""
    if world.checks.work is not None:
        return  # nobody votes
    process = world.processes[2]
    process.crash()
    await world._until(lambda: process.node is not None, CATCH_UP_S, "progress: a start")
    vote = Vote(VoteKind.PREVOTE, process.node.chain.height + 1, 0, b"", 2, bytes(64))
    payload = encode_trusted([68, 1, [[VOTE, encode_vote(vote)]]])
    await world.expect(
        "a message told as ours is not signed by us", lambda: world.tell(process, VOTES, payload)
    )


SYNC_REFUSALS = (refuse_synced_blocks, refuse_told_votes)

"""A dishonest miner: its pace is that of any other, and what it finds it uses against the rest.

It keeps blocks back and shows a branch at once, mines on old tips, seals what executing does not
give, dates blocks ahead, and sends headers with too little work or none.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from consensus.work import encode_seal
from node.ledger.block import Header, with_seal
from node.ledger.chain_rules import Candidate
from node.wire import (
    ANNOUNCE,
    BLOCK,
    BLOCKS,
    GET_BLOCK,
    GET_BLOCKS,
    GET_TRANSACTIONS,
    HEIGHT,
    TRANSACTIONS,
    VOTE,
    SyncedBlock,
    decode_blocks,
    decode_compact_block,
    encode_blocks,
    encode_compact_block,
    encode_height,
    encode_range,
    encode_transactions,
)
from tests.sim.nodes.liar import FAR_AHEAD, Liar, compact
from tests.sim.nodes.liar_service import SERVICE_KINDS, twist_service
from tests.sim.nodes.people import MAX_DRIFT_MS
from tests.sim.nodes.work import Found, SimulatedSealer, sealed

PLANS = ("honest", "honest", "withheld", "withheld", "old tip", "invalid", "invalid", "ahead")
LEAST_KEPT_S, MOST_KEPT_S = 0.5, 9.0


class LyingSealer(SimulatedSealer):
    """The search of a miner that lies: what it finds goes where the liar wants it."""

    liar: "WorkLiar | None" = None

    def take(self, header: Header, difficulty: int, found: Found) -> None:
        """Use up a seal's time for something else, or for the block that it was meant for."""
        if self.liar is None or not self.liar.use_work(header, difficulty, found):
            super().take(header, difficulty, found)


class WorkLiar(Liar):
    """The connections of a miner that lies."""

    def arm(self, node: Any, seed: bytes, name: str, style: int, random: Random) -> None:
        """Take the node whose words are twisted."""
        super().arm(node, seed, name, style, random)
        self._kept: set[bytes] = set()

    def use_work(self, header: Header, difficulty: int, found: Found) -> bool:
        """Do something with a found seal; false leaves it to the block that was asked for."""
        if not self._is_validator():
            return False
        plan = self._random.choice(PLANS)
        if plan == "withheld":
            block = sealed(header, difficulty)
            self._keep(block.block_id())
            found(block)
        elif plan == "old tip":
            self._mine_on_old_tip()
        elif plan == "invalid":
            shown = self._show(self._build_invalid())
            if shown is not None and self._random.randrange(2):
                self._show(_child(shown))
        elif plan == "ahead":
            self._show(self._build(MAX_DRIFT_MS + self._random.randrange(8_000)))
        else:
            return False
        return True

    def _keep(self, block_id: bytes) -> None:
        """Say nothing of a block for a while."""
        self._kept.add(block_id)
        wait_s = LEAST_KEPT_S + (MOST_KEPT_S - LEAST_KEPT_S) * self._random.random()
        self.network.loop.call_later(wait_s, self._reveal, block_id)

    def _reveal(self, block_id: bytes) -> None:
        self._kept.discard(block_id)
        block = self._node._pool.block(block_id)
        if block is not None and self.is_listening:
            payload = encode_compact_block(block.compact())
            for key, connection in list(self.open.items()):
                super().transmit(connection, key, BLOCK, payload)

    def _mine_on_old_tip(self) -> None:
        chain = self._node.chain
        stack = list(self._node.undecided())
        tip = chain._tip
        chain._tip = self._random.choice([None, *stack[:-1]])
        try:
            block = self._build(1)
        finally:
            chain._tip = tip
        self._show(block)

    def _show(self, block: Candidate | None) -> Candidate | None:
        """Seal a block that somebody else may stumble over, and give it to all."""
        if block is None:
            return None
        needed = self._needed(block)
        if needed is None:
            return None
        header = sealed(block.header, needed)
        changed = replace(block, header=header, block_id=header.block_id())
        self._offer(changed)
        for key, connection in list(self.open.items()):
            super().transmit(connection, key, BLOCK, compact(changed))
        return changed

    def _needed(self, block: Candidate) -> int | None:
        """Return the difficulty of a block on its parent; None where that is not known."""
        gate = self._node._gate
        parent = gate._find(block.header.parent)
        return None if parent is None else gate._needed(parent)

    # --- what the node says ----------------------------------------------------------------------

    def _twist(self, key: bytes, kind: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        if kind == BLOCK:
            said = decode_compact_block(payload)
            if said.header.block_id() in self._kept or self._is_mute:
                return
            if said.header.proposer == self._account and self._random.randrange(12) == 0:
                payload = encode_compact_block(replace(said, ids=said.ids[:-1]))
            yield kind, payload
        elif kind == BLOCKS and self._random.randrange(3):
            yield kind, self._twist_blocks(payload)
        elif kind == HEIGHT and self._is_mute:
            yield kind, encode_height(FAR_AHEAD)
        elif kind == HEIGHT and self._style % 4 == 1:
            height = self._random.choice((0, self._node.chain.height + 9, FAR_AHEAD))
            yield kind, encode_height(height)
        elif kind in SERVICE_KINDS and (self._means.is_smooth or self._random.randrange(3)):
            said = twist_service(self._random, kind, payload, self._means)
            if said is not None:
                yield kind, said
        else:
            yield kind, payload

    def _twist_blocks(self, payload: bytes) -> bytes:
        blocks = list(decode_blocks(payload))
        if not blocks:
            return payload
        style = self._random.randrange(6)
        last = blocks[-1]
        if style == 0:
            return encode_blocks(())
        if style == 1:
            return encode_blocks(blocks[1:])
        if style == 2:
            blocks[-1] = SyncedBlock(last.header, b"", blocks[0].body)
        elif style == 3:
            blocks[0] = SyncedBlock(last.header, b"", last.body)
        elif style == 4:
            blocks[-1] = SyncedBlock(last.header, self._random.randbytes(60), last.body)
        else:
            block = self._build(7)
            if block is not None:
                blocks = [SyncedBlock(block.header.encode(), b"", block.body.encode())]
        return encode_blocks(blocks)

    # --- what nobody asked for -------------------------------------------------------------------

    def _send_blocks(self, key: bytes) -> None:
        """Send a chain of cheap headers that stands on nothing."""
        block = self._build(5)
        parent = self._random.randbytes(32)
        for step in range(12 if block is not None and key in self.open else 0):
            header = replace(block.header, parent=parent, height=block.header.height + step)
            cheap = self._cheap(replace(block, header=header))
            parent = cheap.block_id
            super().transmit(self.open[key], key, BLOCK, compact(cheap))

    def _cheap(self, block: Candidate) -> Candidate:
        """Seal a block with as little as may pass where its parent is not known."""
        height = max(block.header.height, self._node.chain.height + 1)
        header = sealed(block.header, self._node._gate._floor(height))
        return replace(block, header=header, block_id=header.block_id())

    def _junk(self) -> tuple[int, bytes]:
        random = self._random
        chain = self._node.chain
        style = random.randrange(16)
        if style < 6:
            return self._low_work(style)
        if style == 6:
            ids = [block.block_id for block in self._node.undecided()]
            return GET_BLOCK, random.choice([random.randbytes(32), *ids])
        if style == 7:
            return GET_BLOCKS, encode_range(random.choice((1, chain.height + 1, 10**6)), 64)
        if style == 8:
            return ANNOUNCE, random.randbytes(32 * random.randrange(1, 40))
        if style == 9:
            return TRANSACTIONS, encode_transactions([self._stolen().raw])
        if style == 10:
            return GET_TRANSACTIONS, random.randbytes(32 * random.randrange(1, 40))
        if style == 11:
            return random.choice((BLOCK, BLOCKS)), random.randbytes(40)
        if style == 12:
            return VOTE, self._junk_vote()
        if style == 13:
            return HEIGHT, encode_height(random.choice((0, chain.height + 30, FAR_AHEAD)))
        return BLOCKS, encode_blocks(())

    def _low_work(self, style: int) -> tuple[int, bytes]:
        """A header with less work than it needs or says, or too far ahead for anybody."""
        random = self._random
        block = self._build(2)
        if block is None:
            return HEIGHT, encode_height(self._node.chain.height)
        header = block.header
        if style == 0:
            nonce = random.randrange(2**60)
            needed = self._needed(block) or 2**40
            header = with_seal(header, encode_seal(2**40 if nonce % 3 == 0 else needed, nonce))
        elif style == 1:
            header = sealed(header, 8)
        elif style == 2:
            header = with_seal(header, random.randbytes(random.randrange(24)))
        elif style == 3:
            ahead = replace(header, height=header.height + 60, parent=random.randbytes(32))
            header = self._cheap(replace(block, header=ahead)).header
        elif style == 4:
            orphan = replace(header, height=self._node.chain.height + 1, parent=b"\5" * 32)
            header = self._cheap(replace(block, header=orphan)).header
        else:
            header = sealed(replace(header, height=header.height + 1), 16)
        return BLOCK, compact(replace(block, header=header, block_id=header.block_id()))


def _child(block: Candidate) -> Candidate:
    """Return a block of the same transactions on another one."""
    header = block.header
    child = replace(
        header, parent=block.block_id, height=header.height + 1, time_ms=header.time_ms + 1_500
    )
    return replace(block, header=child)

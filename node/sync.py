"""Block sync: brings a node that was away to the height of its peers, block by block.

Every certificate is checked, and every signature unless the configuration trusts the certificate
for them. While one batch is being applied the next one is under way. A peer that promises blocks
and does not give them is passed over for a while, and asked last from then on, whatever height it
claims; so is one that always answers at the last moment.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from consensus.messages import CommitCertificate
from node.block_pool import CompleteBlock
from node.chain import Chain
from node.driver import Driver
from node.driver_ports import RestartEngine, SyncedInput
from node.ledger.block import MAX_HEADER_BYTES, decode_body, decode_header
from node.ledger.certificate import decode_certificate, validate_certificate
from node.ledger.chain_rules import body_matches
from node.ledger.transaction import decode_transaction
from node.p2p.service import PeerService
from node.verifier import Verifier
from node.wire import (
    GET_BLOCKS,
    SYNC_BATCH_BLOCKS,
    SYNC_BATCH_BYTES,
    SyncedBlock,
    decode_blocks,
    encode_range,
)
from node.work_gate import WorkGate
from vm.primitives.errors import BitenergyError, InvalidBlock

_log = logging.getLogger("bitenergy.sync")

ANSWER_DEADLINE_S: Final = 10.0
SLOW_ANSWER_S: Final = 3.0
PATIENCE_S: Final = 1.0
PASSED_OVER_S: Final = 30.0
MAX_REMEMBERED: Final = 1_024


# mutable: what a peer has done so far
@dataclass(slots=True)
class _Record:
    """How a peer has served us, beyond its connections."""

    failures: int = 0
    """Times it gave nothing, gave what does not hold, or was slow."""
    ask_after_s: float = 0.0
    """From when on it may be asked, seconds of the loop's time."""


class BlockSync:
    """Follows the heights that peers claim, and fetches what is missing here."""

    def __init__(
        self,
        chain: Chain,
        driver: Driver,
        verifier: Verifier,
        peers: PeerService,
        *,
        verify_signatures: bool,
        gate: WorkGate | None = None,
    ) -> None:
        """`gate` is that of proof of work, where no certificate decides."""
        self._chain = chain
        self._driver = driver
        self._verifier = verifier
        self._peers = peers
        self._verify_signatures = verify_signatures or gate is not None
        self._gate = gate
        self._claims: dict[bytes, int] = {}
        self._records: dict[bytes, _Record] = {}
        self._wake = asyncio.Event()
        self._answer: asyncio.Future[tuple[SyncedBlock, ...] | None] | None = None
        self._asked = b""
        self.is_syncing = False

    def peer_height(self, peer: bytes, height: int) -> None:
        """Take note of a peer's final height."""
        self._claims[peer] = height
        if height > self._reached:
            self._wake.set()

    @property
    def _reached(self) -> int:
        """Up to where nothing is missing: blocks above the last final one count too."""
        return self._chain.tip.height

    def peer_gone(self, peer: bytes) -> None:
        """Forget a peer."""
        self._claims.pop(peer, None)
        if peer == self._asked and self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def look(self) -> None:
        """Look soon whether somebody is ahead."""
        self._wake.set()

    def on_blocks(self, peer: bytes, payload: bytes) -> None:
        """Take the answer to what was asked; anything else is dropped."""
        if peer == self._asked and self._answer is not None and not self._answer.done():
            self._answer.set_result(decode_blocks(payload))

    def claimed_height(self, peer: bytes) -> int:
        """Return the height that a peer claims; 0 if it claims none."""
        return self._claims.get(peer, 0)

    def told_heights(self) -> dict[bytes, int]:
        """Return the final heights that connected peers told, without those of whom claimed
        blocks and did not give them.
        """
        now_s = asyncio.get_running_loop().time()
        return {
            peer: height
            for peer, height in self._claims.items()
            if peer not in self._records or self._records[peer].ask_after_s <= now_s
        }

    def best_height(self) -> int:
        """Return the highest height that a connected peer claims."""
        return max(self._claims.values(), default=0)

    async def run(self) -> None:
        """Sync whenever somebody is ahead, until cancelled."""
        while True:
            await self._wait()
            if self._best_peer(ahead=2) is None:
                # One block behind is what consensus itself mends; only if it does not, sync does.
                start = self._reached
                await asyncio.sleep(PATIENCE_S)
                if self._best_peer(ahead=1) is None:
                    continue
                if self._reached > start:
                    self._wake.set()
                    continue
            start = self._reached
            self.is_syncing = True
            try:
                while await self._fetch_and_apply():
                    pass
            finally:
                self.is_syncing = False
                self._driver.feed(RestartEngine())
            if self._reached > start:
                _log.info("synced", extra={"from_height": start, "height": self._reached})

    async def _wait(self) -> None:
        """Wait until something changed, or until one that is ahead may be asked again."""
        now_s = asyncio.get_running_loop().time()
        ahead = [peer for peer, height in self._claims.items() if height > self._reached]
        waits = [self._record(peer).ask_after_s - now_s for peer in ahead]
        try:
            async with asyncio.timeout(max(min(waits), 0.01) if waits else None):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _best_peer(self, *, ahead: int) -> bytes | None:
        """Return who served best of those ahead; among equals the one that claims most."""
        now_s = asyncio.get_running_loop().time()
        best: bytes | None = None
        best_rank = (0, 0)
        for peer, height in self._claims.items():
            record = self._record(peer)
            if height < self._reached + ahead or record.ask_after_s > now_s:
                continue
            rank = (-record.failures, height)
            if best is None or rank > best_rank:
                best, best_rank = peer, rank
        return best

    async def _fetch_and_apply(self) -> bool:
        """Bring the chain up from one peer; tell whether to look for another."""
        peer = self._best_peer(ahead=1)
        if peer is None:
            return False
        following: asyncio.Task[tuple[SyncedBlock, ...]] | None = None
        first, start = self._chain.height + 1, self._reached
        try:
            blocks = await self._request(peer, first)
            while blocks:
                after = first + len(blocks)
                is_more = self._claims.get(peer, 0) >= after and self._best_peer(ahead=1) == peer
                following = asyncio.ensure_future(self._request(peer, after)) if is_more else None
                await self._apply(first, blocks)
                if following is None:
                    break
                first, blocks = after, await following
            if self._gate is not None and self._reached <= start:
                self._pass_over(peer)  # what it gave is no heavier than what is here
        except BitenergyError as error:
            _log.warning("a peer's blocks do not hold", extra={"peer": peer, "reason": str(error)})
            self._pass_over(peer)
            self._peers.drop(peer, "its blocks do not hold")
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        return True

    async def _request(self, peer: bytes, first: int) -> tuple[SyncedBlock, ...]:
        """Return blocks from height `first` on; none if the peer is gone.

        Raises BitenergyError where the peer does not keep what it claims.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self._asked = peer
        self._answer = loop.create_future()
        if not self._peers.send(peer, GET_BLOCKS, encode_range(first, SYNC_BATCH_BLOCKS)):
            self._pass_over(peer)
            return ()
        try:
            blocks = await asyncio.wait_for(self._answer, ANSWER_DEADLINE_S)
        except TimeoutError as error:
            raise InvalidBlock("the peer did not answer in time") from error
        finally:
            self._answer = None
        if loop.time() - began_s > SLOW_ANSWER_S:
            self._record(peer).failures += 1
        if blocks is None:
            return ()
        if not blocks:
            raise InvalidBlock("the peer has not got the blocks that it claims", actual=first)
        return blocks

    async def _apply(self, first: int, blocks: tuple[SyncedBlock, ...]) -> None:
        for height, synced in enumerate(blocks, first):
            if height <= self._chain.height:
                continue  # became final here meanwhile
            block, certificate = await self._decode(synced, height)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._driver.feed(SyncedInput(block, certificate, done))
            await done
        if self._gate is not None:
            await self._driver.settled()

    async def _decode(
        self, synced: SyncedBlock, height: int
    ) -> tuple[CompleteBlock, CommitCertificate | None]:
        """Return a block whose certificate, body and signatures hold; raises BitenergyError."""
        header, body = decode_header(synced.header), decode_body(synced.body)
        if header.height != height:
            raise InvalidBlock("not the block asked for", expected=height, actual=header.height)
        block_id = header.block_id()
        certificate: CommitCertificate | None = None
        if self._gate is not None:
            self._gate.validate(header, block_id)
        else:
            certificate = decode_certificate(synced.certificate)
            validate_certificate(
                certificate,
                self._chain.genesis.digest,
                self._chain.validators,
                height=height,
                block_id=block_id,
            )
        transactions = tuple([decode_transaction(raw) for raw in body.transactions])
        if not body_matches(header, body, [transaction.id for transaction in transactions]):
            raise InvalidBlock("the parts of a block are not those of its header", actual=block_id)
        if self._verify_signatures and not all(await self._verifier.check(transactions)):
            raise InvalidBlock("a signature in the block is wrong", actual=block_id)
        return CompleteBlock(block_id, header, body, transactions), certificate

    def _record(self, peer: bytes) -> _Record:
        record = self._records.get(peer)
        if record is None:
            if len(self._records) >= MAX_REMEMBERED:
                del self._records[next(iter(self._records))]
            record = self._records[peer] = _Record()
        return record

    def _pass_over(self, peer: bytes) -> None:
        record = self._record(peer)
        record.failures += 1
        record.ask_after_s = asyncio.get_running_loop().time() + PASSED_OVER_S


def read_range(chain: Chain, first: int, count: int) -> list[SyncedBlock]:
    """Return up to `count` final blocks from `first` on, within the size of one message."""
    blocks: list[SyncedBlock] = []
    size = 0
    for height in range(first, min(first + count, chain.height + 1)):
        head, body = chain.store.head_bytes(height), chain.store.body_bytes(height)
        if head is None or body is None:
            break
        size += len(body) + MAX_HEADER_BYTES
        if blocks and size > SYNC_BATCH_BYTES:
            break
        blocks.append(SyncedBlock(head[0], head[1], body))
    return blocks

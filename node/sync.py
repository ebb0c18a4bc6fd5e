"""Block sync: brings a node that was away to the height of its peers, block by block.

A pipeline: blocks are fetched from several peers at once, decoded and their signatures checked in
worker processes, and applied, each stage while the next blocks are in the one before. Every commit
certificate is checked. Where it decides a block under the known validators it may stand for the
signatures of the transactions: more than two thirds of the validators have checked those.
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
from node.driver_inputs import RestartEngine, SyncedInput
from node.ledger.block import MAX_HEADER_BYTES, decode_body, decode_header
from node.ledger.certificate import decode_certificate, validate_certificate
from node.ledger.chain_rules import body_matches
from node.ledger.proof_paths import TrustedBlock
from node.ledger.transaction import decode_transaction
from node.p2p.service import PeerService
from node.sync_fetch import Batch, Fetcher
from node.sync_peers import SyncPeers
from node.verifier import Verifier
from node.wire import SYNC_BATCH_BYTES, SyncedBlock
from node.work_gate import WorkGate
from vm.primitives.errors import BitenergyError, InvalidBlock

_log = logging.getLogger("bitenergy.sync")

PATIENCE_S: Final = 1.0
PREPARED_BLOCKS: Final = 4
"""Blocks decoded and in examination ahead of the one being applied."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A block whose body matches its header."""

    peer: bytes
    block: CompleteBlock
    certificate: CommitCertificate | None
    signatures: asyncio.Task[list[bool]] | None


class _PeerFault(Exception):
    """What a peer gave does not hold."""

    def __init__(self, peer: bytes, reason: str) -> None:
        super().__init__(reason)
        self.peer = peer


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
        trusted: TrustedBlock | None = None,
    ) -> None:
        """`gate` is that of proof of work: no certificate decides there, and there is nothing
        that could stand for the signatures.
        """
        self._chain = chain
        self._driver = driver
        self._verifier = verifier
        self._peers = peers
        self._verify_signatures = verify_signatures or gate is not None
        self._gate = gate
        self._trusted = trusted
        self.sources = SyncPeers()
        self._fetcher = Fetcher(peers, self.sources, on_fault=self._drop)
        self._wake = asyncio.Event()
        self.is_syncing = False

    def peer_height(self, peer: bytes, height: int) -> None:
        """Take note of a peer's final height."""
        self.sources.note_height(peer, height)
        if height > self._reached:
            self._wake.set()

    @property
    def _reached(self) -> int:
        """Up to where nothing is missing: blocks above the last final one count too."""
        return self._chain.tip.height

    def peer_base(self, peer: bytes, base: int) -> None:
        """Take note of the lowest height whose block a peer still has."""
        self.sources.note_base(peer, base)
        self._wake.set()

    def peer_gone(self, peer: bytes) -> None:
        """Forget a peer."""
        self.sources.forget(peer)
        self._fetcher.peer_gone(peer)

    def look(self) -> None:
        """Look soon whether somebody is ahead."""
        self._wake.set()

    def on_blocks(self, peer: bytes, payload: bytes) -> None:
        """Take the answer to what was asked; anything else is dropped."""
        self._fetcher.on_blocks(peer, payload)

    async def run(self) -> None:
        """Sync whenever somebody is ahead, until cancelled."""
        while True:
            await self._wait()
            if not self._is_anybody_ahead(2):
                # One block behind is what consensus itself mends; only if it does not, sync does.
                start = self._reached
                await asyncio.sleep(PATIENCE_S)
                if not self._is_anybody_ahead(1):
                    continue
                if self._reached > start:
                    self._wake.set()
                    continue
            start = self._reached
            self.is_syncing = True
            try:
                while self._is_anybody_ahead(1):
                    before = self._reached
                    await self._advance()
                    if self._gate is not None and self._reached == before:
                        await asyncio.sleep(PATIENCE_S)  # their blocks are no heavier than ours
            finally:
                self._fetcher.close()
                self.is_syncing = False
                self._driver.feed(RestartEngine())
            if self._reached > start:
                _log.info("synced", extra={"from_height": start, "height": self._reached})

    async def _wait(self) -> None:
        """Wait until something changed, or until one that is ahead may be asked again."""
        try:
            async with asyncio.timeout(self.sources.wait_s(self._reached)):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _is_anybody_ahead(self, blocks: int) -> bool:
        return self.sources.pick(self._chain.height + 1, self._reached + blocks) is not None

    def _drop(self, peer: bytes, reason: str) -> None:
        _log.warning("a peer's blocks do not hold", extra={"peer": peer, "reason": reason})
        self.sources.pass_over(peer)
        self._fetcher.discard(peer)
        self._peers.drop(peer, "its blocks do not hold")

    # --- the pipeline ------------------------------------------------------------------------

    async def _advance(self) -> None:
        """Fetch, prepare and apply until nobody can give more, or somebody gives what is bad."""
        prepared: asyncio.Queue[_Prepared | None] = asyncio.Queue(PREPARED_BLOCKS)
        preparing = asyncio.ensure_future(self._prepare_all(prepared))
        waiting: asyncio.Future[_Prepared | None] | None = None
        try:
            while True:
                waiting = asyncio.ensure_future(prepared.get())
                await asyncio.wait({waiting, preparing}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    preparing.result()
                item = await waiting
                if item is None:
                    return
                await self._apply(item)
        except _PeerFault as fault:
            self._drop(fault.peer, str(fault))
        finally:
            left = [preparing] if waiting is None else [preparing, waiting]
            while not prepared.empty():
                item = prepared.get_nowait()
                if item is not None and item.signatures is not None:
                    left.append(item.signatures)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _prepare_all(self, prepared: asyncio.Queue[_Prepared | None]) -> None:
        """Put the blocks after the head into the queue, None after the last."""
        height = self._chain.height + 1
        while (batch := await self._fetcher.take(height)) is not None:
            for synced in batch.blocks:
                await prepared.put(self._prepare(batch, synced, height))
                height += 1
        await prepared.put(None)

    def _prepare(self, batch: Batch, synced: SyncedBlock, height: int) -> _Prepared:
        """Return a block whose parts match; raises _PeerFault."""
        try:
            block, certificate = self._decode(synced, height)
        except BitenergyError as error:
            raise _PeerFault(batch.peer, str(error)) from error
        checking: asyncio.Task[list[bool]] | None = None
        if self._verify_signatures:
            checking = asyncio.ensure_future(self._verifier.check(block.transactions))
        return _Prepared(batch.peer, block, certificate, checking)

    def _decode(
        self, synced: SyncedBlock, height: int
    ) -> tuple[CompleteBlock, CommitCertificate | None]:
        header, body = decode_header(synced.header), decode_body(synced.body)
        block_id = header.block_id()
        if header.height != height:
            raise InvalidBlock("not the block asked for", expected=height, actual=header.height)
        trusted = self._trusted
        if trusted is not None and trusted.height == height and trusted.block_id != block_id:
            raise InvalidBlock(
                "the block is not the trusted one", expected=trusted.block_id, actual=block_id
            )
        certificate = decode_certificate(synced.certificate) if self._gate is None else None
        transactions = tuple([decode_transaction(raw) for raw in body.transactions])
        if not body_matches(header, body, [transaction.id for transaction in transactions]):
            raise InvalidBlock("the parts of a block are not those of its header", actual=block_id)
        return CompleteBlock(block_id, header, body, transactions), certificate

    async def _apply(self, item: _Prepared) -> None:
        """Have the driver apply a block; raises _PeerFault where it is not the decided one."""
        block, header = item.block, item.block.header
        if header.height <= self._chain.height:
            return  # became final here meanwhile
        try:
            if item.certificate is not None:
                validate_certificate(
                    item.certificate,
                    self._chain.genesis.digest,
                    self._chain.validators,
                    height=header.height,
                    block_id=block.block_id,
                )
            if self._gate is not None:
                self._gate.validate(header, block.block_id)
            if item.signatures is not None and not all(await item.signatures):
                raise InvalidBlock("a signature in the block is wrong", actual=block.block_id)
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._driver.feed(SyncedInput(block, item.certificate, done))
            await done
            if self._gate is not None:
                await self._driver.settled()
        except BitenergyError as error:
            raise _PeerFault(item.peer, str(error)) from error


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

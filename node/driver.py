"""The driver: gives a consensus engine its inputs and executes its outputs, in order.

One task takes inputs from one queue, so that nothing happens between an engine's outputs. Blocks
are built and checked in slices by a second task, so that votes are heard meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from consensus import interface as engine_io
from consensus.interface import Engine, Output
from consensus.messages import (
    CommitCertificate,
    Evidence,
    Message,
    Proposal,
    SigningState,
    Status,
    Vote,
)
from consensus.validator_set import ValidatorSet
from consensus.work import proved_work
from node.block_pool import BlockPool, CompleteBlock
from node.block_work import BlockWork
from node.chain import Chain
from node.driver_inputs import MoveHead, ReleaseVote, RestartEngine, SyncedInput
from node.driver_ports import KeyedValidator, Network
from node.evidence_pool import EvidencePool
from node.ledger.certificate import (
    encode_certificate,
    encode_proposal,
    encode_vote,
)
from node.ledger.chain_rules import Candidate
from node.mempool import Mempool
from node.signer import Signer
from node.undecided import UndecidedChain
from node.wire import (
    BLOCK,
    CERTIFICATE,
    EVIDENCE,
    PROPOSAL,
    STATUS,
    VOTE,
    encode_compact_block,
    encode_status,
)
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidBlock, InvariantViolation
from vm.system.governance_records import EngineChoice
from vm.system.validators import signers_of

_log = logging.getLogger("bitenergy.driver")


QueueItem = engine_io.Input | SyncedInput | RestartEngine | ReleaseVote | MoveHead


class Driver:
    """Runs one engine on one chain."""

    def __init__(
        self,
        make_engine: Callable[[ChainParameters, bytes | None], Engine],
        chain: Chain,
        pool: BlockPool,
        mempool: Mempool,
        network: Network,
        *,
        signer: Signer | None,
        on_final: Callable[[Candidate], None],
        clock_ms: Callable[[], int],
        is_held: bool = False,
        undecided: UndecidedChain | None = None,
    ) -> None:
        """`make_engine` takes the parameters and the account that votes here, or None.

        `signer` is None for a node that only follows. One that `is_held` follows until `release`.
        `undecided` is there for engines that decide by depth: its blocks stack above the final one.
        """
        self._make_engine = make_engine
        self._chain = chain
        self._pool = pool
        self._mempool = mempool
        self._network = network
        self._signer = signer
        self._on_final = on_final
        self._clock_ms = clock_ms
        self._queue: asyncio.Queue[QueueItem] = asyncio.Queue()
        self._timers: dict[engine_io.Timer, asyncio.TimerHandle] = {}
        self._due: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self.evidence = EvidencePool(chain)
        self._saved_pending: set[bytes] = set()
        self._syncing = False
        self._is_held = is_held
        self._undecided = undecided
        self._basis = self._find_basis()
        self.engine = make_engine(*self._basis[:2])
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._work = BlockWork(
            chain, pool, mempool, answer=self.feed, on_error=self._fail, clock_ms=clock_ms
        )

    @property
    def executed(self) -> int:
        """How many transactions were executed, also for blocks that were not taken."""
        return self._work.executed

    @property
    def account(self) -> bytes | None:
        """The validator's account that this node votes for at present, or None."""
        return self._basis[1]

    @property
    def is_held(self) -> bool:
        """Whether it signs nothing as yet."""
        return self._is_held

    @property
    def vote_key(self) -> bytes | None:
        """The public key with which this node votes, or None."""
        return self._signer.vote_key if self._signer is not None else None

    def knows(self, message: Proposal | Vote) -> bool:
        """Tell whether our signing file accounts for a message that our key signed."""
        return self._signer is None or self._signer.knows(message)

    def release(self) -> None:
        """Vote from now on: validators told that this chain is not behind theirs."""
        if self._is_held:
            self._is_held = False
            self.feed(ReleaseVote())

    def start(self) -> None:
        """Queue the first input: the height after the last final block."""
        resume = self._signer.state if self._signer else None
        self.feed(self._started(resume))
        for block_id in self._chain.store.pending():
            block = self._pool.block(block_id)
            if block is not None:
                self._saved_pending.add(block_id)
                self.block_arrived(block)
        self._look_for_work()

    def feed(self, item: QueueItem) -> None:
        """Queue an input."""
        self._queue.put_nowait(item)

    def block_arrived(self, block: CompleteBlock) -> None:
        """Tell the engine that a block is complete."""
        self.feed(self._arrived(block))

    def work_available(self) -> None:
        """Tell the engine that there is something to put into a block."""
        self.feed(engine_io.WorkAvailable(self._clock_ms()))

    def add_evidence(self, evidence: Evidence) -> None:
        """Keep evidence for a block of ours and tell peers of it, unless it counted or expired."""
        data = self.evidence.add(evidence)
        if data is not None:
            self._network.broadcast(EVIDENCE, data)
            self.work_available()

    async def run(self) -> None:
        """Take inputs until cancelled; any error here stops the node."""
        while True:
            item = await self._queue.get()
            if isinstance(item, SyncedInput):
                await self._apply_synced(item)
            elif isinstance(item, RestartEngine):
                if self._syncing:
                    self._syncing = False
                    await self._begin_height()
            elif isinstance(item, ReleaseVote):
                if not self._syncing and self._basis[1] != self._voter():
                    self._cancel_timers()
                    self._work.cancel()
                    await self._begin_height()
            elif isinstance(item, MoveHead):
                await self._move_head(item)
            elif not self._syncing:
                await self._handle(item)
            self._queue.task_done()

    async def stop(self) -> None:
        """Cancel timers and work, after `run` ended; wait for what is being written."""
        self._cancel_timers()
        self._work.cancel()
        if self._due is not None:
            self._due.cancel()
        if self._writing is not None:
            await asyncio.wait({self._writing})

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def _handle(self, item: engine_io.Input) -> None:
        for output in self.engine.handle(item):
            await self._execute(output)

    async def _execute(self, output: Output) -> None:
        match output:
            case engine_io.Persist():
                await self._persist(output)
            case engine_io.SignVote(vote):
                signed_vote = Vote(
                    vote.kind,
                    vote.height,
                    vote.round,
                    vote.block_id,
                    vote.validator_index,
                    self._own_signer().sign(vote),
                )
                self.feed(engine_io.VoteArrived(signed_vote))
            case engine_io.SignProposal(proposal):
                signed = Proposal(
                    proposal.height,
                    proposal.round,
                    proposal.block_id,
                    proposal.pol_round,
                    proposal.validator_index,
                    self._own_signer().sign(proposal),
                )
                self.feed(engine_io.ProposalArrived(signed, self._clock_ms()))
            case engine_io.Broadcast(message):
                self._send_message(message, None)
            case engine_io.Send(peer, message):
                self._send_message(message, peer)
            case engine_io.ScheduleTimeout():
                self._schedule(output)
            case engine_io.BuildBlock(height, round_):
                self._work.build(height, round_, self.account, self.evidence.ripe())
            case engine_io.CheckBlock(block_id):
                self._work.check(block_id)
            case engine_io.Finalised():
                await self._finalise(output)
            case engine_io.ReportEvidence(evidence):
                self.add_evidence(evidence)
                _log.warning(
                    "a validator contradicted itself", extra={"height": evidence.first.height}
                )
            case engine_io.FetchBlock(block_id, sources):
                self._network.fetch_block(block_id, sources)
            case engine_io.PeerBehind():
                pass
            case engine_io.BlocksMissing(peer, height):
                self._network.blocks_missing(peer, height)
            case engine_io.QuorumConflict(certificate):
                raise InvariantViolation(
                    f"a quorum decided block {certificate.block_id.hex()} at height "
                    f"{certificate.height}, which this node found invalid: its software or its "
                    "state differs from the others'"
                )
            case engine_io.ShareBlock(block_id):
                self._send_block(block_id, None)
            case engine_io.SealBlock(block_id, work):
                self._stacked().seal(block_id, work, self.feed)
            case engine_io.AdoptBranch(ancestor, block_ids):
                self._stacked().adopt(ancestor, block_ids)

    # --- signing and sending -----------------------------------------------------------------

    def _own_signer(self) -> Signer:
        if self._signer is None:
            raise InvariantViolation("the engine asked a node without vote key to sign")
        return self._signer

    async def _persist(self, output: engine_io.Persist) -> None:
        state = output.state
        for block_id in (state.locked_block, state.valid_block):
            block = self._pool.block(block_id) if block_id else None
            if block is not None and block_id not in self._saved_pending:
                self._saved_pending.add(block_id)
                header, body = block.header.encode(), block.body.encode()
                save = partial(self._chain.store.save_pending, block_id, header, body)
                await self._in_thread(save)
        await self._in_thread(partial(self._own_signer().persist, state))

    async def _in_thread(self, write: Callable[[], None]) -> None:
        """Run a write in a thread; it runs to its end even if we are cancelled meanwhile."""
        self._writing = asyncio.get_running_loop().run_in_executor(None, write)
        await asyncio.shield(self._writing)

    def _send_message(self, message: Message, peer: bytes | None) -> None:
        match message:
            case Proposal():
                self._send_block(message.block_id, peer)
                self._emit(PROPOSAL, encode_proposal(message), peer)
            case Vote():
                self._emit(VOTE, encode_vote(message), peer)
            case Status():
                self._emit(STATUS, encode_status(message), peer)
            case CommitCertificate():
                self._emit(CERTIFICATE, encode_certificate(message), peer)

    def _send_block(self, block_id: bytes, peer: bytes | None) -> None:
        block = self._pool.block(block_id)
        if block is not None:
            self._emit(BLOCK, encode_compact_block(block.compact()), peer)

    def _emit(self, kind: int, payload: bytes, peer: bytes | None) -> None:
        if peer is None:
            self._network.broadcast(kind, payload)
        else:
            self._network.send(peer, kind, payload)

    # --- time --------------------------------------------------------------------------------

    def _schedule(self, timeout: engine_io.ScheduleTimeout) -> None:
        running = self._timers.pop(timeout.timer, None)
        if running is not None:
            running.cancel()
        fired = engine_io.TimeoutFired(timeout.height, timeout.round, timeout.timer)
        loop = asyncio.get_running_loop()
        self._timers[timeout.timer] = loop.call_later(timeout.delay_ms / 1000, self.feed, fired)

    def _cancel_timers(self) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()

    def _look_for_work(self) -> None:
        """Tell the engine of waiting transactions, or wake up when something is due."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        due_ms = self._chain.next_due_ms
        if self._mempool.has_ready() or self.evidence.ripe():
            self.work_available()
        elif due_ms is not None:
            delay_ms = max(0, due_ms - self._clock_ms())
            loop = asyncio.get_running_loop()
            self._due = loop.call_later(min(delay_ms / 1000 + 0.001, 3600), self._look_again)

    def _look_again(self) -> None:
        self._due = None
        due_ms = self._chain.next_due_ms
        if due_ms is not None and due_ms <= self._clock_ms():
            self.work_available()
        else:
            self._look_for_work()

    # --- blocks ------------------------------------------------------------------------------

    async def _finalise(self, output: engine_io.Finalised) -> None:
        candidate = self._pool.candidate(output.block_id)
        if candidate is None:
            raise InvariantViolation("the engine finalised a block that was never checked")
        await self._commit(candidate, output.certificate)
        await self._begin_height()

    def _stacked(self) -> UndecidedChain:
        if self._undecided is None:
            raise InvariantViolation("this engine asks for what only proof of work asks for")
        return self._undecided

    async def settled(self) -> None:
        """Wait until all that was fed has been worked through."""
        await self._queue.join()
        while await self._work.wait():
            await self._queue.join()

    async def _apply_synced(self, item: SyncedInput) -> None:
        if self._undecided is not None:
            # No certificate says that it is final: it counts as any other block does, by its work.
            self._pool.add_complete(item.block)
            await self._handle(self._arrived(item.block))
            item.done.set_result(None)
            return
        if item.block.header.height != self._chain.height + 1:
            if not item.done.done():
                item.done.set_result(None)
            return
        self._syncing = True
        self._cancel_timers()
        self._work.cancel()
        try:
            candidate = await self._work.execute(item.block)
        except InvalidBlock as error:
            if item.certificate is not None:
                raise InvariantViolation(
                    f"a quorum decided block {item.block.block_id.hex()}, which this node found "
                    f"invalid: its software or its state differs from the others': {error}"
                ) from error
            item.done.set_exception(error)
            return
        await self._commit(candidate, item.certificate)
        if not item.done.done():
            item.done.set_result(None)

    async def _move_head(self, item: MoveHead) -> None:
        if item.move():
            self._cancel_timers()
            self._work.cancel()
            self._chain.validate_supported()
            self._forget_messages()
            self._pool.forget(self._chain.height)
            await self._begin_height()
        if not item.done.done():
            item.done.set_result(None)

    async def _commit(self, candidate: Candidate, certificate: CommitCertificate | None) -> None:
        self._cancel_timers()
        self._work.cancel()
        signers = signers_of(self._chain.validators)
        keep = () if self._undecided is None else self._undecided.ids()
        await self._in_thread(partial(self._chain.write, candidate, certificate, keep))
        self._chain.advance(candidate, certificate)
        if signers_of(self._chain.validators) != signers:
            self._forget_messages()
        context = self._chain.next_context()
        self._mempool.remove(candidate.transactions)
        senders = dict.fromkeys(transaction.sender for transaction in candidate.transactions)
        self._mempool.prune(list(senders), context)
        self._mempool.prune_some(context)
        self.evidence.prune()
        self._pool.forget(candidate.header.height)
        self._saved_pending.clear()
        self._on_final(candidate)
        if self._undecided is not None:
            self._undecided.settle(candidate)
        # Before anything of the next height is signed: this software may lack what it needs.
        self._chain.validate_supported()

    # --- inputs ------------------------------------------------------------------------------

    async def _begin_height(self) -> None:
        """Give the engine its next height, and the blocks that it may not know of."""
        basis = self._find_basis()
        resume: SigningState | None = None
        if basis != self._basis:
            # Who votes here, the pace or the kind changed: a new one, that knows what was signed.
            self._basis = basis
            self.engine = self._make_engine(*basis[:2])
            resume = self._signer.state if self._signer else None
            if self._undecided is not None:
                for output in self._undecided.tell(self.engine, self._started(None), self._arrived):
                    await self._execute(output)
                for block in self._pool.blocks_above(self._chain.height):
                    self.block_arrived(block)  # on other branches, or not checked as yet
                return
        await self._handle(self._started(resume))
        for block in self._pool.blocks_at(self._chain.height + 1):
            self.block_arrived(block)
        self._look_for_work()

    def _find_basis(self) -> tuple[ChainParameters, bytes | None, EngineChoice | None]:
        """Return what an engine is made for: as long as it stays, so does the engine."""
        return self._chain.parameters, self._voter(), self._chain.engine

    def _voter(self) -> bytes | None:
        return None if self._is_held else self.find_account()

    def find_account(self) -> bytes | None:
        """Return the validator's account to which our vote key belongs, or None."""
        if self._signer is not None:
            for validator in self._chain.validators:
                if validator.vote_key == self._signer.vote_key:
                    return validator.account
        return None

    def _forget_messages(self) -> None:
        """Drop what was checked against the keys of a set that is no more; peers say it again."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for item in waiting:
            self._queue.task_done()
            if not isinstance(
                item,
                engine_io.VoteArrived | engine_io.ProposalArrived | engine_io.CertificateArrived,
            ):
                self._queue.put_nowait(item)

    def _started(self, resume: SigningState | None) -> engine_io.Started:
        return engine_io.Started(
            self._chain.height + 1,
            ValidatorSet(
                KeyedValidator(validator.account, validator.power, validator.vote_key)
                for validator in self._chain.validators
            ),
            self._chain.block_id,
            self._chain.header.time_ms,
            self._clock_ms(),
            resume,
            proved_work(self._chain.block_id, self._chain.header.seal),
            self._chain.interval_ms,
        )

    def _arrived(self, block: CompleteBlock) -> engine_io.BlockArrived:
        header = block.header
        work = proved_work(block.block_id, header.seal)
        return engine_io.BlockArrived(
            block.block_id, header.parent, header.height, header.time_ms, self._clock_ms(), work
        )

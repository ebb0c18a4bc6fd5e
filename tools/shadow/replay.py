"""Two executions of one chain: the live one, checked root by root, and its shadow.

The live one is a chain of its own on disk, grown from genesis by the blocks of a node: their
certificates and roots are checked, so that what is compared with is what the network decided. The
shadow begins as a copy of its state and takes the same transactions in the same order, under other
rules. Its roots differ, so they are not checked; a nonce is taken as the shadow's account has it,
because a transaction that the shadow refused leaves no gap in the sender's own order.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from node.chain import Chain
from node.ledger.block import Body, Header, decode_body, decode_header
from node.ledger.certificate import decode_certificate, validate_certificate
from node.ledger.chain_rules import Candidate, body_matches, read_equivocation
from node.ledger.execution import (
    BlockExecution,
    CandidateState,
    Equivocation,
    Executed,
    StateView,
    read_parameters,
)
from node.ledger.genesis import Genesis
from node.ledger.receipt import Receipt
from node.ledger.state_tree import update_tree
from node.ledger.transaction import Transaction, decode_transaction
from node.store import Store
from node.upgrades import SUPPORT, Support
from vm.context import BlockContext, CallContext
from vm.overlay import Overlay
from vm.primitives.errors import (
    BitenergyError,
    InvalidBlock,
    InvalidTransaction,
    InvariantViolation,
)
from vm.primitives.merkle import merkle_root
from vm.system.accounts import read_account
from vm.system.changes import carry_out
from vm.system.governance_records import Change, read_versions

FORK_GAS: Final = 10**12


@dataclass(frozen=True, slots=True)
class Done:
    """What one execution made of a block's transactions."""

    receipts: tuple[Receipt, ...]
    """Receipts of all that happened."""
    refused: tuple[InvalidTransaction, ...]
    """Why transactions could not stand in the block at all; live there are none."""


class LiveReplay:
    """The live chain, executed again and checked."""

    def __init__(self, folder: Path, genesis: Genesis, support: Support = SUPPORT) -> None:
        """Begin with block 0; nothing is in `folder` yet."""
        self._folder = folder
        self._genesis = genesis
        self._support = support
        self.chain = self._open()

    def take(self, header_bytes: bytes, certificate_bytes: bytes, body_bytes: bytes) -> Candidate:
        """Check, execute and keep the next block; raises BitenergyError."""
        chain = self.chain
        header, body = decode_header(header_bytes), decode_body(body_bytes)
        block_id = header.block_id()
        if header.height != chain.height + 1:
            raise InvalidBlock(
                "not the next block", expected=chain.height + 1, actual=header.height
            )
        if not certificate_bytes:
            raise InvalidBlock(
                "the block has no commit certificate",
                hint="A shadow follows engines with instant finality.",
            )
        certificate = decode_certificate(certificate_bytes)
        validate_certificate(
            certificate,
            self._genesis.digest,
            chain.validators,
            height=header.height,
            block_id=block_id,
        )
        transactions = [decode_transaction(raw) for raw in body.transactions]
        if not body_matches(header, body, [transaction.id for transaction in transactions]):
            raise InvalidBlock("the parts of a block are not those of its header", actual=block_id)
        checking = chain.checking(header, body, transactions)
        for _ in checking.steps(slice_size=1_000_000):
            pass
        if checking.candidate is None:
            raise InvariantViolation("a block was checked without result")
        chain.write(checking.candidate, certificate)
        chain.advance(checking.candidate, certificate)
        return checking.candidate

    def fork(self, folder: Path, changes: Sequence[Change]) -> ShadowReplay:
        """Return a shadow that goes on from here under other rules; raises BitenergyError."""
        self.chain.store.close()
        shutil.copytree(self._folder, folder)
        self.chain = self._open()
        return ShadowReplay(folder, self._genesis, changes, self.chain, self._support)

    def close(self) -> None:
        """Close the database."""
        self.chain.store.close()

    def _open(self) -> Chain:
        runtime = self._support.runtime(self._genesis.roles, {})
        return Chain(Store(self._folder), runtime, self._genesis, support=self._support)


class ShadowReplay:
    """The same transactions under other rules."""

    def __init__(
        self,
        folder: Path,
        genesis: Genesis,
        changes: Sequence[Change],
        live: Chain,
        support: Support,
    ) -> None:
        runtime = support.runtime(genesis.roles, {})
        self.chain = Chain(Store(folder), runtime, genesis, support=support)
        self._live = live
        # Until the first block is kept, the changed rules are a layer above the copied state.
        try:
            self._fork: CandidateState | None = self._apply(changes)
            self.chain.runtime = support.runtime(genesis.roles, read_versions(self._fork))
        except BitenergyError:
            self.close()
            raise

    def take(self, block: Candidate) -> Done:
        """Execute what a live block holds; any error but a BitenergyError is a finding."""
        chain, header = self.chain, block.header
        parent: StateView = self._fork or chain.store
        context = BlockContext(
            header.genesis, header.height, header.time_ms, read_parameters(parent), header.proposer
        )
        execution = BlockExecution(chain.runtime, parent, block=context, proposer=header.proposer)
        execution.begin(self._equivocations(block, context, parent))
        taken: list[Transaction] = []
        refused: list[InvalidTransaction] = []
        nonces: dict[bytes, int] = {}
        for transaction in block.transactions:
            sender = transaction.sender
            nonce = nonces.get(sender)
            if nonce is None:
                nonce = _nonce_of(parent, sender)
            try:
                execution.run(replace(transaction, nonce=nonce))
                taken.append(transaction)
                nonces[sender] = nonce + 1
            except InvalidTransaction as error:
                refused.append(error)
        executed = execution.finish()
        if self._fork is not None:
            executed, self._fork = _joined(chain.store, self._fork, executed), None
        kept = _candidate(chain, block, taken, executed)
        chain.write(kept, None)
        chain.advance(kept, None)
        return Done(executed.receipts, tuple(refused))

    def close(self) -> None:
        """Close the database."""
        self.chain.store.close()

    def _apply(self, changes: Sequence[Change]) -> CandidateState:
        chain = self.chain
        overlay = Overlay(chain.store)
        context = BlockContext(
            chain.genesis.digest, chain.height, chain.header.time_ms, chain.parameters
        )
        ctx = CallContext(context, overlay, FORK_GAS)
        for change in changes:
            carry_out(ctx, chain.runtime.modules, change)
        update = update_tree(chain.store.page, overlay.changes)
        return CandidateState(chain.store, overlay, update.pages)

    def _equivocations(
        self, block: Candidate, context: BlockContext, state: StateView
    ) -> list[Equivocation]:
        found: list[Equivocation] = []
        for data in block.body.evidence:
            try:
                at = self._live.store.validators_at
                found.append(read_equivocation(data, context, state, at))
            except BitenergyError:
                continue  # it counted already, or is too old, under the other rules
        return found


def _nonce_of(state: StateView, account: bytes) -> int:
    leaf = read_account(state, account)
    return 0 if leaf is None else leaf.nonce


def _joined(store: Store, fork: CandidateState, executed: Executed) -> Executed:
    """Return what a block came to with the changes of the fork in it, for one write of both."""
    overlay = Overlay(store)
    for layer in (fork.overlay, executed.state.overlay):
        for key, value in layer.changes.items():
            overlay.put(key, value)
    pages = {**fork.pages, **executed.state.pages}
    return replace(executed, state=CandidateState(store, overlay, pages))


def _candidate(
    chain: Chain, live: Candidate, taken: Sequence[Transaction], executed: Executed
) -> Candidate:
    """Return the shadow's block: the live one's place and time, its own contents and roots."""
    body = Body(b"", (), tuple(transaction.raw for transaction in taken))
    header: Header = replace(
        live.header,
        parent=chain.block_id,
        transactions_root=merkle_root([transaction.id for transaction in taken]),
        state_root=executed.state_root,
        receipts_root=executed.receipts_root,
        validators=chain.header.next_validators,
        next_validators=executed.next_validators,
        parameters=executed.parameters,
        gas_used=executed.gas_used,
    )
    return Candidate(header, header.block_id(), body, tuple(taken), executed)

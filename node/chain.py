"""The chain: its final head, the tip above it, and the one place where a block becomes final."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from consensus.messages import CommitCertificate
from node.ledger.block import Body, Header
from node.ledger.certificate import decode_certificate, validate_certificate
from node.ledger.chain_rules import (
    BlockBuilding,
    BlockChecking,
    Candidate,
    Parent,
    build_genesis,
    read_equivocation,
)
from node.ledger.execution import read_next_due_ms, read_parameters
from node.ledger.genesis import Genesis, engine_of
from node.ledger.transaction import Transaction
from node.store import StorageFailure, Store
from node.upgrades import SUPPORT, Support, UpgradeNeeded, upgrade_needed, with_engine
from vm.context import BlockContext
from vm.overlay import StateReader
from vm.parameters import ChainParameters
from vm.primitives.errors import (
    BitenergyError,
    InvalidBlock,
    InvalidGenesis,
    InvariantViolation,
)
from vm.runtime import Runtime
from vm.system.changes import ENGINES_BY_DEPTH
from vm.system.governance import GovernanceModule
from vm.system.governance_records import EngineChoice, read_engine, read_versions
from vm.system.validators import Validator, read_validators


class Chain:
    """The blocks that are final, and how the next one is built, checked and committed."""

    def __init__(
        self, store: Store, runtime: Runtime, genesis: Genesis, *, support: Support = SUPPORT
    ) -> None:
        """Open the chain in `store`, or begin it; raises StorageFailure or InvalidGenesis.

        `runtime` is that of the first versions of the modules, `support` all that there is.
        """
        self.store = store
        self.runtime = runtime
        self.genesis = genesis
        self._support = support
        if store.is_empty:
            store.commit(build_genesis(runtime, genesis), None)
        self.reload()

    def reload(self) -> None:
        """Read the head from the store; raises StorageFailure unless its state is whole."""
        store, genesis = self.store, self.genesis
        store.verify_root()
        found = store.head(store.height)
        if found is None:
            raise StorageFailure("the last final block is missing: bitenergy node resync")
        if found.header.genesis != genesis.digest:
            raise StorageFailure(
                f"the data directory belongs to network {found.header.genesis.hex()}, the genesis "
                f"file to {genesis.digest.hex()}: give each network its own directory"
            )
        self.header = found.header
        self.block_id = found.header.block_id()
        self.certificate = found.certificate
        self.parameters: ChainParameters = read_parameters(store)
        self.validators: tuple[Validator, ...] = read_validators(store)
        self.next_due_ms = read_next_due_ms(store)
        self._tip: Candidate | None = None
        self._tip_validators: tuple[Validator, ...] = ()
        self._next_context = self._make_context()
        self.engine: EngineChoice | None = None
        """Engine that decides the next block; None for the one that genesis names."""
        self._versions: dict[str, int] = {}
        self._upgrade_needed: UpgradeNeeded | None = None
        self._follow_votes()

    @property
    def height(self) -> int:
        """The height of the last final block."""
        return self.header.height

    def parent(self) -> Parent:
        """Return the last final block as what the next one stands on."""
        return Parent(self.header, self.block_id, self.store)

    @property
    def tip(self) -> Header:
        """The header of the preferred branch's last block; the final one's if nothing is above."""
        return self.header if self._tip is None else self._tip.header

    @property
    def interval_ms(self) -> int:
        """The time between the last final block and the one before."""
        before = self.store.head(self.height - 1) if self.height else None
        return 0 if before is None else self.header.time_ms - before.header.time_ms

    def prefer(self, tip: Candidate) -> None:
        """Build on `tip` from now on, an executed block above the last final one."""
        self._tip = tip
        self._tip_validators = read_validators(tip.executed.state)
        self._next_context = self._make_context()

    def may_propose(self, account: bytes) -> bool:
        """Tell whether a block of this validator may stand on the tip."""
        validators = self._tip_validators or self.validators
        return any(validator.account == account for validator in validators)

    def next_context(self) -> BlockContext:
        """Return the next block's context, as admission to the mempool sees it: one per tip."""
        return self._next_context

    def _make_context(self) -> BlockContext:
        parameters = self.parameters
        if self._tip is not None:
            parameters = read_parameters(self._tip.executed.state)
        tip = self.tip
        return BlockContext(self.genesis.digest, tip.height + 1, tip.time_ms + 1, parameters)

    def engine_genesis(self) -> Genesis:
        """Return genesis as if it named the engine that decides the next block."""
        return with_engine(self.genesis, self.engine)

    def runtime_at(self, state: StateReader) -> Runtime:
        """Return the modules in the versions in force after a block; raises UpgradeNeeded."""
        versions = read_versions(state)
        if versions == self._versions:
            return self.runtime
        try:
            return self._support.runtime(self.genesis.roles, versions)
        except InvalidGenesis as error:
            raise upgrade_needed(self.height + 1, error) from error

    def validate_supported(self) -> None:
        """Raise UpgradeNeeded where this software lacks what the next height needs."""
        if self._upgrade_needed is not None:
            raise self._upgrade_needed

    def validate_proposal(self, transaction: Transaction) -> None:
        """Raise InvalidTransaction where it proposes what this software does not have."""
        if any(call[0] == GovernanceModule.name for call in transaction.calls):
            self._support.validate_proposal(transaction, self.engine_genesis(), self.parameters)

    def coming_upgrades(self) -> list[UpgradeNeeded]:
        """Return what was voted for, is still to come, and is not in this software."""
        return self._support.missing(self.store, self.engine_genesis(), self.parameters)

    @property
    def is_by_depth(self) -> bool:
        """Whether blocks are final by what stands on them: they carry a seal, and no votes."""
        return self.genesis.engine in ENGINES_BY_DEPTH

    def building(
        self, *, time_ms: int, proposer: bytes, evidence: Sequence[bytes]
    ) -> BlockBuilding:
        """Return the next block in the making."""
        self.validate_supported()
        parent = self.parent() if self._tip is None else self._tip.as_parent()
        return BlockBuilding(
            self.runtime_at(parent.state),
            parent,
            time_ms=time_ms,
            proposer=proposer,
            last_commit=self.last_commit(),
            evidence=() if self.is_by_depth else evidence,
            validators_at=self.store.validators_at,
        )

    def checking(
        self,
        header: Header,
        body: Body,
        transactions: Sequence[Transaction],
        *,
        stands_on: Candidate | None = None,
    ) -> BlockChecking:
        """Return a block in examination; raises InvalidBlock at once where that needs no work.

        Its parent is the last final block, or one above it.
        """
        self.validate_supported()
        self._validate_last_commit(body)
        if body.evidence and self.is_by_depth:
            # Who judged it would need the same final height as everybody else.
            raise InvalidBlock("evidence where nobody votes", actual=len(body.evidence))
        if header.seal and not self.is_by_depth:
            raise InvalidBlock("a seal where none is sought", actual=header.seal)
        parent, validators = self.parent(), self.validators
        if stands_on is not None:
            parent = stands_on.as_parent()
            validators = read_validators(parent.state)
        if all(validator.account != header.proposer for validator in validators):
            raise InvalidBlock("the proposer is no validator", actual=header.proposer)
        return BlockChecking(
            self.runtime_at(parent.state),
            parent,
            header=header,
            body=body,
            transactions=transactions,
            validators_at=self.store.validators_at,
        )

    def has_place_for(self, evidence: bytes) -> bool:
        """Tell whether evidence may stand in the next block: proved, not counted, not expired."""
        try:
            read_equivocation(evidence, self.next_context(), self.store, self.store.validators_at)
        except BitenergyError:
            return False
        return True

    def last_commit(self) -> bytes:
        """Return the bytes of the head's certificate, as the next body carries them."""
        found = self.store.head_bytes(self.height)
        return found[1] if found else b""

    def write(
        self,
        block: Candidate,
        certificate: CommitCertificate | None,
        keep_pending: Collection[bytes] = (),
    ) -> None:
        """Write a checked block to disk, in any thread; raises StorageFailure."""
        if block.header.parent != self.block_id:
            raise InvariantViolation(f"block {block.header.height} does not stand on the head")
        self.store.write_block(block, certificate, keep_pending)

    def advance(self, block: Candidate, certificate: CommitCertificate | None) -> None:
        """Make the block that was just written the head."""
        self.store.advance(block)
        if self._tip is not None and self._tip.block_id == block.block_id:
            self._tip = None
            self._tip_validators = ()
        self.header = block.header
        self.block_id = block.block_id
        self.certificate = certificate
        self.parameters = read_parameters(self.store)
        self.validators = read_validators(self.store)
        self.next_due_ms = read_next_due_ms(self.store)
        self._next_context = self._make_context()
        self._follow_votes()

    def _follow_votes(self) -> None:
        """Take up the module versions and the engine in force from the next height on."""
        versions, engine = read_versions(self.store), read_engine(self.store)
        if engine is not None and engine == engine_of(self.genesis):
            engine = None
        try:
            if versions != self._versions:
                self.runtime = self._support.runtime(self.genesis.roles, versions)
                self._versions = versions
            if engine != self.engine:
                self.engine = engine
                self._support.validate_engine(self.engine_genesis(), self.parameters)
        except InvalidGenesis as error:
            self._upgrade_needed = upgrade_needed(self.height + 1, error)

    def _validate_last_commit(self, body: Body) -> None:
        own = self.last_commit()
        if body.last_commit == own:
            return
        if not own:
            raise InvalidBlock("a certificate where none can be", actual=body.last_commit[:40])
        try:
            certificate = decode_certificate(body.last_commit)
            validators = self.store.validators_at(self.height)
            if validators is None:
                raise InvariantViolation("the validators of the head are not stored")
            validate_certificate(
                certificate,
                self.genesis.digest,
                validators,
                height=self.height,
                block_id=self.block_id,
            )
        except BitenergyError as error:
            raise InvalidBlock(f"the parent's certificate does not hold: {error}") from error

"""The rules by which blocks follow one another: genesis, building a block, checking a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consensus.messages import Evidence
from node.ledger.block import (
    MAX_EVIDENCE,
    MAX_EVIDENCE_BYTES,
    Body,
    Header,
    hash_or_empty,
)
from node.ledger.certificate import MAX_CERTIFICATE_BYTES, decode_evidence, verify_message
from node.ledger.execution import (
    EVIDENCE_SPACE,
    BlockExecution,
    CandidateState,
    Equivocation,
    Executed,
    StateView,
    read_parameters,
)
from node.ledger.genesis import Genesis, engine_of
from node.ledger.receipt import Receipt
from node.ledger.state_tree import update_tree
from node.ledger.transaction import Transaction
from vm.context import BlockContext, CallContext
from vm.overlay import Overlay
from vm.parameters import PARAMETERS_KEY
from vm.primitives.codec import encode
from vm.primitives.errors import (
    BitenergyError,
    CallError,
    InvalidBlock,
    InvalidGenesis,
    InvalidTransaction,
    InvariantViolation,
)
from vm.primitives.hashing import EMPTY_HASH, TAG_CERTIFICATE, TAG_EVIDENCE, tagged_hash
from vm.primitives.merkle import merkle_root
from vm.runtime import Runtime
from vm.system.accounts import change_supply
from vm.system.changes import ENGINES_BY_DEPTH
from vm.system.governance import GovernanceModule
from vm.system.governance_records import ENGINE_KEY, SETTINGS_KEY
from vm.system.members import MembersModule
from vm.system.staking import StakingModule, answers_for_faults
from vm.system.staking_terms import EQUAL_KEY, NO_TOKEN, STAKE_ENGINE, read_terms
from vm.system.validators import VALIDATORS_KEY, Validator, validators_hash
from vm.system.voters import read_settings

GENESIS_GAS: Final = 10**15
SLICE_GAS: Final = 500_000
"""Gas after which a slice of work ends: some 20 ms."""

ValidatorsAt = Callable[[int], Sequence[Validator] | None]
"""Returns the validators of a height, or None where they are not known any more."""
Steps = Iterator[None]
"""Work in slices: between two of them a driver may turn to something else."""


@dataclass(frozen=True, slots=True)
class Parent:
    """What a block stands on."""

    header: Header
    """Header of the block before."""
    block_id: bytes
    """Its id, 32 bytes."""
    state: StateView
    """The state after it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A block whose execution is known."""

    header: Header
    """Its header."""
    block_id: bytes
    """Its id, 32 bytes."""
    body: Body
    """Its body."""
    transactions: tuple[Transaction, ...]
    """Its transactions, decoded."""
    executed: Executed
    """What executing it came to."""

    def as_parent(self) -> Parent:
        """Return the block as what the next one stands on."""
        return Parent(self.header, self.block_id, self.executed.state)


class _Slices:
    """Tells when a slice of work is over: by number of transactions, or by their gas."""

    __slots__ = ("_count", "_execution", "_gas", "_size")

    def __init__(self, execution: BlockExecution, size: int) -> None:
        self._execution = execution
        self._size = size
        self._count = 0
        self._gas = 0

    def is_over(self) -> bool:
        """Count one more transaction, and tell whether the slice ends with it."""
        self._count += 1
        gas = self._execution.gas_used
        if self._count < self._size and gas - self._gas < SLICE_GAS:
            return False
        self._count, self._gas = 0, gas
        return True


class _EmptyState:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(())

    def page(self, path: str) -> bytes | None:
        return None


def build_genesis(runtime: Runtime, genesis: Genesis) -> Candidate:
    """Return block 0 with the state that a network begins with; raises InvalidGenesis."""
    overlay = Overlay(_EmptyState())
    context = BlockContext(genesis.digest, 0, genesis.time_ms, genesis.parameters)
    ctx = CallContext(context, overlay, GENESIS_GAS)
    overlay.put(PARAMETERS_KEY, genesis.parameters.encode())
    members = runtime.modules.get("members")
    if not isinstance(members, MembersModule):
        raise InvariantViolation("a chain has the module 'members'")
    try:
        _enter_members(ctx, members, genesis)
        _init_modules(runtime, genesis, ctx)
    except CallError as error:
        raise InvalidGenesis(f"the genesis file contradicts itself: {error}") from error
    overlay.forget_journal()
    update = update_tree(_EmptyState().page, overlay.changes)
    validators = validators_hash(overlay.get(VALIDATORS_KEY) or b"")
    receipts = (Receipt(b"", "", 0, 0, tuple(ctx.events), ()),) if ctx.events else ()
    encoded = tuple(receipt.encode() for receipt in receipts)
    executed = Executed(
        CandidateState(_EmptyState(), overlay, update.pages),
        receipts,
        encoded,
        len(receipts),
        0,
        update.root,
        merkle_root(encoded),
        validators,
        genesis.parameters.digest(),
    )
    body = Body(b"", (), ())
    header = Header(
        genesis.digest,
        0,
        genesis.time_ms,
        EMPTY_HASH,
        EMPTY_HASH,
        merkle_root(()),
        merkle_root(()),
        update.root,
        executed.receipts_root,
        validators,
        validators,
        executed.parameters,
        0,
        bytes(20),
        b"",
    )
    return Candidate(header, header.block_id(), body, (), executed)


def _enter_members(ctx: CallContext, members: MembersModule, genesis: Genesis) -> None:
    section = genesis.modules.get(GovernanceModule.name)
    if section is not None:  # who votes is counted as members enter
        ctx.put(SETTINGS_KEY, read_settings(section, genesis.roles).encode())
    if genesis.engine in ENGINES_BY_DEPTH:  # from which no vote leads away
        ctx.put(ENGINE_KEY, engine_of(genesis).encode())
    ctx.module = members.name
    for entry in genesis.members:
        members.enter(ctx, entry.account, entry.member)
    change_supply(
        ctx,
        money_micro=sum(entry.account.money_micro for entry in genesis.members),
        energy_milli_wh=sum(entry.account.energy_milli_wh for entry in genesis.members),
    )


def _init_modules(runtime: Runtime, genesis: Genesis, ctx: CallContext) -> None:
    """Let each module write what its section of genesis says."""
    unknown = [name for name in genesis.modules if name not in runtime.modules]
    if unknown:
        raise InvalidGenesis("unknown modules", expected=list(runtime.modules), actual=unknown)
    if genesis.engine != STAKE_ENGINE and "token" in genesis.modules.get(StakingModule.name, {}):
        ctx.put(EQUAL_KEY, b"\1")
    for name, module in runtime.modules.items():
        ctx.module = name
        module.init_genesis(ctx, genesis.modules.get(name, {}))
    if genesis.engine == STAKE_ENGINE and read_terms(ctx.state).token == NO_TOKEN:
        raise InvalidGenesis(
            "the engine pos weighs votes by stake, and the file has none",
            expected="modules.staking with `token` and `stakes`",
            hint="genesis/README.md explains them.",
        )


class BlockBuilding:
    """A block in the making: `steps` does the work, `candidate` is the result."""

    def __init__(
        self,
        runtime: Runtime,
        parent: Parent,
        *,
        time_ms: int,
        proposer: bytes,
        last_commit: bytes,
        evidence: Sequence[bytes],
        validators_at: ValidatorsAt,
    ) -> None:
        self._parent = parent
        self._parameters = read_parameters(parent.state)
        before = parent.header
        height, time_ms = before.height + 1, max(time_ms, before.time_ms + 1)
        self._context = BlockContext(before.genesis, height, time_ms, self._parameters, proposer)
        self._execution = BlockExecution(
            runtime, parent.state, block=self._context, proposer=proposer
        )
        self._proposer = proposer
        self._last_commit = last_commit
        self._evidence: list[bytes] = []
        equivocations: dict[bytes, Equivocation] = {}
        for data in evidence:
            try:
                found = read_equivocation(data, self._context, parent.state, validators_at)
            except BitenergyError:
                continue
            if len(equivocations) < MAX_EVIDENCE and found.identity not in equivocations:
                equivocations[found.identity] = found
                self._evidence.append(data)
        self._equivocations = list(equivocations.values())
        self.dropped: list[tuple[Transaction, InvalidTransaction]] = []
        self.candidate: Candidate | None = None

    def steps(self, waiting: Iterable[Transaction], *, slice_size: int) -> Steps:
        """Execute those of `waiting` that fit, in their order, and make the block of them.

        Those that cannot stand in it are collected in `dropped` with the reason.
        """
        self._execution.begin(self._equivocations)
        taken: list[Transaction] = []
        size = 0
        slices = _Slices(self._execution, slice_size)
        for transaction in waiting:
            size += len(transaction.raw)
            if size > self._parameters.max_block_bytes:
                break
            try:
                self._execution.run(transaction)
                taken.append(transaction)
            except InvalidTransaction as error:
                if error.code == "block_full":
                    break
                self.dropped.append((transaction, error))
                size -= len(transaction.raw)
            if slices.is_over():
                yield
        yield
        executed = self._execution.finish()
        body = Body(
            self._last_commit,
            tuple(self._evidence),
            tuple(transaction.raw for transaction in taken),
        )
        header = _header(
            self._parent, self._context, body, [tx.id for tx in taken], executed, self._proposer
        )
        self.candidate = Candidate(header, header.block_id(), body, tuple(taken), executed)


class BlockChecking:
    """A block in examination: `steps` does the work, `candidate` is the result.

    Commit certificate of the parent and signatures of the transactions are the caller's part.
    """

    def __init__(
        self,
        runtime: Runtime,
        parent: Parent,
        *,
        header: Header,
        body: Body,
        transactions: Sequence[Transaction],
        validators_at: ValidatorsAt,
    ) -> None:
        self._runtime = runtime
        self._parent = parent
        self._header = header
        self._body = body
        self._transactions = tuple(transactions)
        self._validators_at = validators_at
        self.candidate: Candidate | None = None

    def steps(self, *, slice_size: int) -> Steps:
        """Execute the block and compare; raises InvalidBlock with expected and actual."""
        header, parent = self._header, self._parent
        parameters = read_parameters(parent.state)
        validate_header(header, parent)
        validate_body_limits(self._body)
        size = sum(len(raw) for raw in self._body.transactions)
        if size > parameters.max_block_bytes:
            raise InvalidBlock(
                "the block is too large", expected=parameters.max_block_bytes, actual=size
            )
        maker = header.proposer
        context = BlockContext(header.genesis, header.height, header.time_ms, parameters, maker)
        execution = BlockExecution(
            self._runtime, parent.state, block=context, proposer=header.proposer
        )
        try:
            execution.begin(
                [
                    read_equivocation(data, context, parent.state, self._validators_at)
                    for data in self._body.evidence
                ]
            )
            slices = _Slices(execution, slice_size)
            for transaction in self._transactions:
                execution.run(transaction)
                if slices.is_over():
                    yield
        except InvalidBlock:
            raise
        except BitenergyError as error:
            raise InvalidBlock(f"the block holds something invalid: {error}") from error
        yield
        executed = execution.finish()
        ids = [transaction.id for transaction in self._transactions]
        actual = _header(parent, context, self._body, ids, executed, header.proposer)
        actual = replace(actual, seal=header.seal)
        for name in Header.__slots__:
            claimed, found = getattr(header, name), getattr(actual, name)
            if claimed != found:
                raise InvalidBlock(
                    f"header field {name!r} is wrong at height {header.height}",
                    expected=found,
                    actual=claimed,
                )
        self.candidate = Candidate(
            header, header.block_id(), self._body, self._transactions, executed
        )


def apply_block(
    runtime: Runtime,
    parent: Parent,
    *,
    header: Header,
    body: Body,
    transactions: Sequence[Transaction],
    validators_at: ValidatorsAt,
) -> Candidate:
    """Return the block as executed on `parent`, which stays untouched; raises InvalidBlock."""
    checking = BlockChecking(
        runtime,
        parent,
        header=header,
        body=body,
        transactions=transactions,
        validators_at=validators_at,
    )
    for _ in checking.steps(slice_size=1_000_000):
        pass
    if checking.candidate is None:
        raise InvariantViolation("a block was checked without result")
    return checking.candidate


def validate_header(header: Header, parent: Parent) -> None:
    """Raise InvalidBlock unless `header` follows the parent's; execution is not looked at."""
    before = parent.header
    for name, expected in (
        ("genesis", before.genesis),
        ("height", before.height + 1),
        ("parent", parent.block_id),
        ("validators", before.next_validators),
    ):
        actual = getattr(header, name)
        if actual != expected:
            raise InvalidBlock(
                f"header field {name!r} does not follow the parent's",
                expected=expected,
                actual=actual,
            )
    if header.time_ms <= before.time_ms:
        raise InvalidBlock(
            "the block's time is not above its parent's",
            expected=f"more than {before.time_ms}",
            actual=header.time_ms,
        )


def validate_body_limits(body: Body) -> None:
    """Raise InvalidBlock where a body could not be decoded again: it would be final, and unread."""
    sizes = [len(piece) for piece in body.evidence]
    if len(sizes) > MAX_EVIDENCE or max(sizes, default=0) > MAX_EVIDENCE_BYTES:
        raise InvalidBlock(
            "the block holds too much evidence",
            expected=f"{MAX_EVIDENCE} pieces of {MAX_EVIDENCE_BYTES} bytes",
            actual=f"{len(sizes)} pieces, the longest of {max(sizes, default=0)} bytes",
        )
    if len(body.last_commit) > MAX_CERTIFICATE_BYTES:
        raise InvalidBlock(
            "the parent's certificate is too long",
            expected=MAX_CERTIFICATE_BYTES,
            actual=len(body.last_commit),
        )


def body_matches(header: Header, body: Body, ids: Sequence[bytes]) -> bool:
    """Tell whether a body is the one that the header commits to.

    A body that is not says nothing about the header's block: the right one may still come.
    """
    return (
        header.last_commit == hash_or_empty(TAG_CERTIFICATE, body.last_commit)
        and header.evidence_root == merkle_root(body.evidence)
        and header.transactions_root == merkle_root(ids)
    )


def read_equivocation(
    data: bytes, block: BlockContext, state: StateView, validators_at: ValidatorsAt
) -> Equivocation:
    """Return the contradiction that a piece of evidence proves; raises InvalidBlock.

    It is from a past height, not too old, not yet counted, and both its signatures hold.
    """
    evidence: Evidence = decode_evidence(data)
    height = evidence.first.height
    oldest = block.height - block.parameters.evidence_max_age_blocks
    if not oldest <= height < block.height:
        raise InvalidBlock(
            "the evidence is expired or from the future",
            expected=f"{oldest} to {block.height - 1}",
            actual=height,
        )
    validators = validators_at(height)
    if validators is None:
        raise InvalidBlock("the validators of the evidence's height are not known", actual=height)
    for message in (evidence.first, evidence.second):
        if not verify_message(block.genesis, message, validators):
            raise InvalidBlock("a signature of the evidence is wrong", actual=height)
    account = validators[evidence.first.validator_index].account
    if not answers_for_faults(state, account):
        raise InvalidBlock("there is nothing left to lose for this validator", actual=account)
    # Once per validator and height: rounds are without end, a height's fault is one.
    identity = tagged_hash(TAG_EVIDENCE, encode([account, height]))
    if state.get(EVIDENCE_SPACE + identity) is not None:
        raise InvalidBlock("this evidence already counted", actual=identity)
    return Equivocation(identity, account, height, int(evidence.kind))


def _header(
    parent: Parent,
    context: BlockContext,
    body: Body,
    ids: Sequence[bytes],
    executed: Executed,
    proposer: bytes,
) -> Header:
    return Header(
        context.genesis,
        context.height,
        context.time_ms,
        parent.block_id,
        hash_or_empty(TAG_CERTIFICATE, body.last_commit),
        merkle_root(body.evidence),
        merkle_root(ids),
        executed.state_root,
        executed.receipts_root,
        parent.header.next_validators,
        executed.next_validators,
        executed.parameters,
        executed.gas_used,
        proposer,
        b"",
    )

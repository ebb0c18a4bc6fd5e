"""Execution of a block: what its transactions and due items do to a state that stays untouched.

Three fates. A failed call gives a receipt with a code, and the block stands. A bad block raises
InvalidBlock. A bug of ours raises InvariantViolation (or any error outside the tree) and stops
the node before anything is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from node.ledger.receipt import Receipt
from node.ledger.state_tree import update_tree
from node.ledger.transaction import Transaction
from vm.context import BlockContext, CallContext, Event, decode_due
from vm.module import Module
from vm.overlay import QUEUE_SPACE, Overlay, StateReader
from vm.parameters import PARAMETERS_KEY, ChainParameters, decode_parameters, parameters_hash
from vm.primitives.errors import CallError, InvalidBlock, InvalidTransaction, InvariantViolation
from vm.primitives.merkle import merkle_root
from vm.runtime import Runtime
from vm.system.accounts import ACCOUNT_SPACE, ACTIVE, STATUS_NAMES, Account, decode_account
from vm.system.staking import answers_for_faults
from vm.system.staking_account import STAKING_ACCOUNT
from vm.system.staking_terms import read_terms, weighs_by_stake
from vm.system.validator_history import HISTORY_KEY, read_history
from vm.system.validators import VALIDATORS_KEY, validators_hash

GAS_TRANSACTION: Final = 1_000
"""Gas of any transaction before its calls: signature, nonce, receipt."""
GAS_DUE_ITEM: Final = 2_000_000
"""Gas limit of one due item; what needs more schedules itself again."""
EVIDENCE_SPACE: Final = b"e"
CONSENSUS_MODULE: Final = "consensus"


class StateView(StateReader, Protocol):
    """A state with its tree: the final one on disk, or a candidate above it."""

    def page(self, path: str) -> bytes | None:
        """Return the stored page of the state tree at a path of hexadecimal digits."""


class CandidateState:
    """The state after a block that is not final yet: changes over the state before it.

    That may itself be the state after such a block: candidates stack.
    """

    __slots__ = ("overlay", "pages", "parent")

    def __init__(self, parent: StateView, overlay: Overlay, pages: dict[str, bytes | None]) -> None:
        self.parent = parent
        self.overlay = overlay
        self.pages = pages

    def settle(self, final: StateView) -> None:
        """Read from `final` instead, the last final state, which holds these changes by now.

        So what is stacked above lets go of the states below.
        """
        self.parent = final
        self.overlay = Overlay(final)
        self.pages = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        # In one loop: under proof of work a dozen blocks stand on one another.
        state: StateView = self
        while type(state) is CandidateState:
            changes = state.overlay.changes
            if key in changes:
                return changes[key]
            state = state.parent
        return state.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) ascending in [start, end)."""
        return self.overlay.scan(start, end)

    def page(self, path: str) -> bytes | None:
        """Return the page of the state tree at `path`."""
        state: StateView = self
        while type(state) is CandidateState:
            if path in state.pages:
                return state.pages[path]
            state = state.parent
        return state.page(path)


@dataclass(frozen=True, slots=True)
class Executed:
    """What executing a block came to."""

    state: CandidateState
    """The state after the block."""
    receipts: tuple[Receipt, ...]
    """Receipts: due items first, then transactions in order, then what the block's end did."""
    encoded_receipts: tuple[bytes, ...]
    """The same as canonical bytes."""
    first_transaction: int
    """Place of the first transaction's receipt."""
    gas_used: int
    """Gas that the transactions used."""
    state_root: bytes
    """Root of the state tree, 32 bytes."""
    receipts_root: bytes
    """Merkle root of the receipts, 32 bytes."""
    next_validators: bytes
    """Hash of the next block's validators, 32 bytes."""
    parameters: bytes
    """Hash of the parameters, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A contradiction of a validator, its evidence already checked."""

    identity: bytes
    """What is remembered so that it counts once, 32 bytes."""
    account: bytes
    """The validator, 20 bytes."""
    height: int
    """Height at which it contradicted itself."""
    kind: int
    """What it said twice, as in the evidence."""


class BlockExecution:
    """One block in execution: `begin`, then `run` for each transaction, then `finish`."""

    def __init__(
        self, runtime: Runtime, parent: StateView, *, block: BlockContext, proposer: bytes
    ) -> None:
        self._runtime = runtime
        self._parent = parent
        self._block = block
        self._proposer = proposer
        self._overlay = Overlay(parent)
        self._gas_price = block.parameters.gas_price_micro
        self._receipts: list[Receipt] = []
        self._first_transaction = 0
        self._fees_micro = 0
        self.gas_used = 0

    def begin(self, equivocations: Sequence[Equivocation] = ()) -> None:
        """Record evidence, run what is due, then the modules' `begin_block`."""
        for equivocation in equivocations:
            self._record(equivocation)
        self._run_due()
        for module in self._runtime.modules.values():
            if type(module).begin_block is not Module.begin_block:
                self._run_hook(module, at_end=False)
        self._first_transaction = len(self._receipts)

    def run(self, transaction: Transaction) -> Receipt:
        """Execute one transaction; raises InvalidTransaction if it cannot stand in this block."""
        overlay = self._overlay
        overlay.forget_journal()
        data = overlay.get(ACCOUNT_SPACE + transaction.sender)
        account = None if data is None else decode_account(data)
        validate_admission(transaction, account, self._block)
        if account is None:
            raise InvariantViolation("admission let a sender without account pass")
        if account.nonce != transaction.nonce:
            raise InvalidTransaction(
                "the nonce is not the account's next",
                code="wrong_nonce",
                expected=account.nonce,
                actual=transaction.nonce,
            )
        if self.gas_used + transaction.gas_limit > self._block.parameters.max_block_gas:
            raise InvalidTransaction(
                "the block has no gas left for it",
                code="block_full",
                expected=self._block.parameters.max_block_gas - self.gas_used,
                actual=transaction.gas_limit,
            )
        account.nonce += 1
        deposit_micro = transaction.gas_limit * self._gas_price
        account.money_micro -= deposit_micro
        overlay.put(ACCOUNT_SPACE + transaction.sender, account.encode())
        receipt = self._run_calls(transaction, account.roles)
        if deposit_micro:
            self._settle_fee(transaction.sender, deposit_micro, receipt.fee_micro)
        self.gas_used += receipt.gas_used
        self._receipts.append(receipt)
        return receipt

    def finish(self) -> Executed:
        """Run the modules' `end_block`, pay the fees and compute the roots."""
        for module in self._runtime.modules.values():
            if type(module).end_block is not Module.end_block:
                self._run_hook(module, at_end=True)
        if self._fees_micro:
            self._credit_fees()
        overlay = self._overlay
        next_validators = validators_hash(overlay.get(VALIDATORS_KEY) or b"")
        if overlay.get(VALIDATORS_KEY) != self._parent.get(VALIDATORS_KEY):
            history = read_history(overlay).after(self._block.height, next_validators)
            overlay.put(HISTORY_KEY, history.encode())
        overlay.forget_journal()
        update = update_tree(self._parent.page, overlay.changes)
        encoded = tuple([receipt.encode() for receipt in self._receipts])
        return Executed(
            CandidateState(self._parent, overlay, update.pages),
            tuple(self._receipts),
            encoded,
            self._first_transaction,
            self.gas_used,
            update.root,
            merkle_root(encoded),
            next_validators,
            parameters_hash(_parameters_bytes(overlay)),
        )

    def _run_calls(self, transaction: Transaction, roles: int) -> Receipt:
        ctx = CallContext(self._block, self._overlay, transaction.gas_limit)
        ctx.gas_used = GAS_TRANSACTION + len(transaction.raw)
        ctx.caller = transaction.sender
        ctx.roles = roles
        mark = self._overlay.mark()
        code = ""
        values: list[object] = []
        try:
            for call in transaction.calls:
                values.append(self._runtime.run_call(ctx, call))
        except CallError as error:
            self._overlay.undo(mark)
            code = error.code
            gas = min(ctx.gas_used, transaction.gas_limit)
            return Receipt(transaction.id, code, gas, gas * self._gas_price, (), (error.message,))
        gas = ctx.gas_used
        return Receipt(
            transaction.id,
            code,
            gas,
            gas * self._gas_price,
            tuple(ctx.events),
            tuple(values),  # type: ignore[arg-type]
        )

    def _settle_fee(self, sender: bytes, deposit_micro: int, fee_micro: int) -> None:
        data = self._overlay.get(ACCOUNT_SPACE + sender)
        if data is None:
            raise InvariantViolation("the sender's account is gone after its transaction")
        account = decode_account(data)
        account.money_micro += deposit_micro - fee_micro
        self._overlay.put(ACCOUNT_SPACE + sender, account.encode())
        self._fees_micro += fee_micro

    def _credit_fees(self) -> None:
        data = self._overlay.get(ACCOUNT_SPACE + self._proposer)
        if data is None:
            raise InvalidBlock("the proposer has no account", actual=self._proposer)
        payee = self._proposer
        if read_terms(self._overlay).share_fees and weighs_by_stake(self._overlay):
            payee = STAKING_ACCOUNT  # which shares them out with the next block
            data = self._overlay.get(ACCOUNT_SPACE + payee)
            if data is None:
                raise InvariantViolation("fees are shared and there is no account for them")
        account = decode_account(data)
        account.earn(self._fees_micro)
        self._overlay.put(ACCOUNT_SPACE + payee, account.encode())

    def _record(self, equivocation: Equivocation) -> None:
        key = EVIDENCE_SPACE + equivocation.identity
        if self._overlay.get(key) is not None:
            raise InvalidBlock("this evidence already counted", actual=equivocation.identity)
        self._overlay.put(key, equivocation.account)
        event = (equivocation.account, equivocation.height, equivocation.kind)
        events: list[Event] = [(CONSENSUS_MODULE, "equivocation", event)]
        # An earlier piece of this block may have taken all there was to lose.
        is_charged = answers_for_faults(self._overlay, equivocation.account)
        for module in self._runtime.modules.values() if is_charged else ():
            if type(module).on_equivocation is not Module.on_equivocation:
                events += self._charge_for(module, equivocation)
        self._receipts.append(Receipt(b"", "", 0, 0, tuple(events), ()))

    def _charge_for(self, module: Module, equivocation: Equivocation) -> list[Event]:
        """Have a module make a contradiction cost what genesis says, as far as it can."""
        self._overlay.forget_journal()
        ctx = CallContext(self._block, self._overlay, self._block.parameters.due_gas_per_block)
        ctx.module = module.name
        try:
            module.on_equivocation(ctx, equivocation.account, equivocation.height)
        except CallError:
            self._overlay.undo(0)
            return []
        return ctx.events

    def _run_due(self) -> None:
        gas_left = self._block.parameters.due_gas_per_block
        limit = min(GAS_DUE_ITEM, gas_left)
        start, end = QUEUE_SPACE, QUEUE_SPACE + (self._block.time_ms + 1).to_bytes(8, "big")
        # Each item gets its full limit or waits: what others used must not make it fail.
        while gas_left >= limit:
            # From the last one on: those taken are not passed again, nor is what they schedule
            # at once taken before the next block.
            found = next(self._overlay.scan(start, end), None)
            if found is None:
                return
            key, value = found
            start = key + b"\x00"
            _, module, payload = decode_due(key, value)
            self._overlay.put(key, None)
            self._overlay.forget_journal()
            ctx = CallContext(self._block, self._overlay, limit)
            ctx.module = module
            code = ""
            try:
                self._runtime.run_due(ctx, module, payload)
            except CallError as error:
                self._overlay.undo(0)
                code = error.code
            events = () if code else tuple(ctx.events)
            self._receipts.append(Receipt(b"", code, ctx.gas_used, 0, events, ()))
            gas_left -= max(ctx.gas_used, 1)

    def _run_hook(self, module: Module, *, at_end: bool) -> None:
        self._overlay.forget_journal()
        ctx = CallContext(self._block, self._overlay, self._block.parameters.due_gas_per_block)
        ctx.module = module.name
        code = ""
        try:
            (module.end_block if at_end else module.begin_block)(ctx)
        except CallError as error:
            self._overlay.undo(0)
            code = error.code
        if code or ctx.events:
            events = () if code else tuple(ctx.events)
            self._receipts.append(Receipt(b"", code, ctx.gas_used, 0, events, ()))


def validate_admission(
    transaction: Transaction, account: Account | None, block: BlockContext
) -> None:
    """Raise InvalidTransaction unless the transaction may wait for, or stand in, `block`.

    All that can be told without executing a call and without the signature; the block path and
    the mempool both ask here. The nonce may lie ahead.
    """
    if transaction.genesis != block.genesis:
        raise InvalidTransaction(
            "the transaction is for another network",
            code="wrong_network",
            expected=block.genesis,
            actual=transaction.genesis,
        )
    if account is None:
        raise InvalidTransaction(
            "the sender is no member",
            code="unknown_account",
            actual=transaction.sender,
            hint="An operator admits members with `bitenergy member add`.",
        )
    if account.status != ACTIVE:
        raise InvalidTransaction(
            "the sender is not active", code="not_active", actual=STATUS_NAMES[account.status]
        )
    if account.key != transaction.key:
        raise InvalidTransaction(
            "the key is not the account's current one",
            code="wrong_key",
            expected=account.key,
            actual=transaction.key,
        )
    if transaction.nonce < account.nonce:
        raise InvalidTransaction(
            "the nonce was used before",
            code="wrong_nonce",
            expected=account.nonce,
            actual=transaction.nonce,
        )
    _validate_limits(transaction, account, block)


def _validate_limits(transaction: Transaction, account: Account, block: BlockContext) -> None:
    parameters = block.parameters
    latest = block.height + parameters.max_expiry_blocks
    if not block.height <= transaction.expiry_height <= latest:
        raise InvalidTransaction(
            "the expiry height is past or too far ahead",
            code="expired" if transaction.expiry_height < block.height else "expiry_too_far",
            expected=f"{block.height} to {latest}",
            actual=transaction.expiry_height,
        )
    size = len(transaction.raw)
    if size > parameters.max_transaction_bytes:
        raise InvalidTransaction(
            "the transaction is too long",
            code="too_long",
            expected=parameters.max_transaction_bytes,
            actual=size,
        )
    least, most = GAS_TRANSACTION + size, parameters.max_transaction_gas
    if not least <= transaction.gas_limit <= most:
        raise InvalidTransaction(
            "the gas limit is out of range",
            code="gas_limit",
            expected=f"{least} to {most}",
            actual=transaction.gas_limit,
        )
    fee_micro = transaction.gas_limit * parameters.gas_price_micro
    if fee_micro > transaction.max_fee_micro:
        raise InvalidTransaction(
            "the fee may pass what the transaction allows",
            code="max_fee",
            expected=fee_micro,
            actual=transaction.max_fee_micro,
        )
    if fee_micro > account.money_micro:
        raise InvalidTransaction(
            "the account cannot pay the fee",
            code="insufficient_money",
            expected=fee_micro,
            actual=account.money_micro,
        )


def read_parameters(state: StateReader) -> ChainParameters:
    """Return the parameters in force after the block whose state this is."""
    return decode_parameters(_parameters_bytes(state))


def _parameters_bytes(state: StateReader) -> bytes:
    data = state.get(PARAMETERS_KEY)
    if data is None:
        raise InvariantViolation("the state has no parameters")
    return data


def read_next_due_ms(state: StateReader) -> int | None:
    """Return when something is due next, milliseconds UTC; None if nothing is."""
    found = next(state.scan(QUEUE_SPACE, QUEUE_SPACE + b"\xff" * 8), None)
    return None if found is None else decode_due(*found)[0]

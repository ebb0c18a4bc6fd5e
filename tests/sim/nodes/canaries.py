"""Canaries: the node with one thing wrong each; the checkers must catch every one of them.

They exist in the tests alone: a canary takes the place of a function while a simulation runs, and
the function comes back after it. `CANARIES` maps a name to the fault and to the promises that it
may break; one that no seed catches means that a checker is blind or a fault never happens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from consensus import tendermint
from consensus.block_book import BlockBook
from consensus.interface import Started
from consensus.poa import PoaEngine
from consensus.rules import TendermintRules
from consensus.validator_set import ValidatorSet
from consensus.vote_keeper import VoteKeeper
from node import block_pool, inbox, sync
from node.block_pool import BlockPool
from node.chain import Chain
from node.driver import Driver
from node.gossip import TransactionGossip
from node.ledger import certificate, chain_rules, execution
from node.ledger.chain_rules import BlockChecking
from node.ledger.execution import BlockExecution
from node.signer import Signer
from node.store import Store
from node.sync import BlockSync
from tests.sim.nodes.canaries_life import LIFE_CANARIES
from tests.sim.nodes.disk import Database, SimulatedDisk
from tests.sim.nodes.garden import Canary, Garden, Plant
from tests.sim.nodes.process import InlineVerifier
from vm.overlay import Overlay
from vm.system.account_leaf import ACCOUNT_SPACE, Account, decode_account


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a canary while the block runs."""
    garden = Garden()
    try:
        CANARIES[name].plant(garden)
        yield
    finally:
        garden.clear()


# --- blocks and their execution -----------------------------------------------


def _nonce_not_bumped(garden: Garden) -> None:
    run = BlockExecution.run

    def mutant(self: Any, transaction: Any) -> Any:
        receipt = run(self, transaction)
        key = ACCOUNT_SPACE + transaction.sender
        account = decode_account(self._overlay.get(key))
        account.nonce -= 1
        self._overlay.put(key, account.encode())
        return receipt

    garden.put(BlockExecution, "run", mutant)


def _nonce_unchecked(garden: Garden) -> None:
    run = BlockExecution.run

    def mutant(self: Any, transaction: Any) -> Any:
        key = ACCOUNT_SPACE + transaction.sender
        data = self._overlay.get(key)
        if data is not None:
            account = decode_account(data)
            account.nonce = transaction.nonce
            self._overlay.put(key, account.encode())
        return run(self, transaction)

    garden.put(BlockExecution, "run", mutant)


def _fee_not_taken(garden: Garden) -> None:
    def mutant(self: Any, sender: bytes, deposit_micro: int, fee_micro: int) -> None:
        account = decode_account(self._overlay.get(ACCOUNT_SPACE + sender))
        account.money_micro += deposit_micro
        self._overlay.put(ACCOUNT_SPACE + sender, account.encode())
        self._fees_micro += fee_micro

    garden.put(BlockExecution, "_settle_fee", mutant)


def _fee_lost(garden: Garden) -> None:
    garden.put(BlockExecution, "_credit_fees", lambda self: None)


def _failed_call_leaks(garden: Garden) -> None:
    garden.put(Overlay, "undo", lambda self, mark: None)


def _fee_free_on_failure(garden: Garden) -> None:
    calls = BlockExecution._run_calls

    def mutant(self: Any, transaction: Any, roles: int) -> Any:
        receipt = calls(self, transaction, roles)
        return replace(receipt, fee_micro=0) if receipt.code else receipt

    garden.put(BlockExecution, "_run_calls", mutant)


def _transfer_unpaid(garden: Garden) -> None:
    pay = Account.pay

    def mutant(self: Any, amount_micro: int) -> None:
        money = self.money_micro
        pay(self, amount_micro)
        self.money_micro = money

    garden.put(Account, "pay", mutant)


def _overdraft(garden: Garden) -> None:
    def mutant(self: Any, amount_micro: int) -> None:
        self.money_micro -= min(amount_micro, self.money_micro)

    garden.put(Account, "pay", mutant)


def _energy_twice(garden: Garden) -> None:
    def mutant(self: Any, energy_milli_wh: int) -> None:
        self.energy_reserved_milli_wh += energy_milli_wh

    garden.put(Account, "reserve_energy", mutant)


def _tree_stale(garden: Garden) -> None:
    update = execution.update_tree

    def mutant(read_page: Any, changes: Any) -> Any:
        kept = dict(list(changes.items())[:-1]) if len(changes) > 4 else changes
        return update(read_page, kept)

    garden.put(execution, "update_tree", mutant)


def _field_not_compared(name: str) -> Plant:
    def plant(garden: Garden) -> None:
        steps, make = BlockChecking.steps, chain_rules._header
        checking: list[Any] = []

        def mutant(self: Any, *, slice_size: int) -> Iterator[None]:
            work = steps(self, slice_size=slice_size)
            while True:
                checking.append(self)
                try:
                    next(work)
                except StopIteration:
                    return
                finally:
                    checking.pop()
                yield

        def header(*arguments: Any) -> Any:
            found = make(*arguments)
            if not checking:
                return found
            return replace(found, **{name: getattr(checking[-1]._header, name)})

        garden.put(BlockChecking, "steps", mutant)
        garden.put(chain_rules, "_header", header)

    return plant


def _time_not_above_parent(garden: Garden) -> None:
    validate = chain_rules.validate_header

    def mutant(header: Any, parent: Any) -> None:
        validate(replace(header, time_ms=parent.header.time_ms + 1), parent)

    def begin(self: Any, **fields: Any) -> None:
        make(self, **{**fields, "parent_time_ms": 0})

    make = BlockBook.__init__  # the engine looks at it as well
    garden.put(BlockBook, "__init__", begin)
    garden.put(chain_rules, "validate_header", mutant)


def _last_commit_unchecked(garden: Garden) -> None:
    garden.put(Chain, "_validate_last_commit", lambda self, body: None)


def _evidence_unchecked(garden: Garden) -> None:
    garden.put(chain_rules, "verify_message", lambda genesis, message, validators: True)


def _evidence_repeated(garden: Garden) -> None:
    def mutant(self: Any, equivocation: Any) -> None:
        record(self, equivocation)
        self._overlay.put(execution.EVIDENCE_SPACE + equivocation.identity, None)

    record = BlockExecution._record
    garden.put(BlockExecution, "_record", mutant)


def _body_unmatched(garden: Garden) -> None:
    for place in (block_pool, sync):
        garden.put(place, "body_matches", lambda header, body, ids: True)


# --- consensus ----------------------------------------------------------------


def _timestamp_unchecked(garden: Garden) -> None:
    garden.put(TendermintRules, "_is_timely", lambda self, state, block_id: True)


def _quorum_off_by_one(garden: Garden) -> None:
    garden.put(
        ValidatorSet,
        "is_quorum",
        lambda self, weight: (weight + 1) * 3 > self.total_power * 2,
    )


def _quorum_at_two_thirds(garden: Garden) -> None:
    garden.put(ValidatorSet, "is_quorum", lambda self, weight: weight * 3 >= self.total_power * 2)


def _vote_counted_twice(garden: Garden) -> None:
    add = VoteKeeper.add

    def mutant(self: Any, vote: Any, *, current_round: int) -> Any:
        new, evidence = add(self, vote, current_round=current_round)
        if not new:
            tally = self.tally(vote.kind, vote.round)
            power = self._validators.power_of(vote.validator_index)
            tally.weights[vote.block_id] = tally.weights.get(vote.block_id, 0) + power
            tally.weight_any += power
        return new, evidence

    garden.put(VoteKeeper, "add", mutant)


def _resume_ignored(garden: Garden) -> None:
    handle = PoaEngine.handle

    def mutant(self: Any, event: Any) -> Any:
        if isinstance(event, Started):
            event = replace(event, resume=None)
        return handle(self, event)

    garden.put(PoaEngine, "handle", mutant)


def _block_unchecked(garden: Garden) -> None:
    def mutant(self: Any, state: Any, block_id: bytes) -> bool | None:
        found = verdict(self, state, block_id)
        return None if found is None else True

    verdict = TendermintRules._verdict
    garden.put(TendermintRules, "_verdict", mutant)


def _repeated_signer(garden: Garden) -> None:
    def mutant(found: Any, validators: ValidatorSet) -> list[str]:
        weight = sum(validators.power_of(index) for index, _ in found.signatures)
        return [] if found.block_id and validators.is_quorum(weight) else ["too little power"]

    for place in (tendermint, certificate):
        garden.put(place, "check_certificate", mutant)


def _certificate_unsigned(garden: Garden) -> None:
    def mutant(found: Any, genesis: Any, validators: Any, *, height: int, block_id: bytes) -> None:
        if (found.height, found.block_id) != (height, block_id):
            real(found, genesis, validators, height=height, block_id=block_id)
        if certificate.check_certificate(found, certificate.validator_set(validators)):
            real(found, genesis, validators, height=height, block_id=block_id)

    real = certificate.validate_certificate
    for place in (inbox, sync):
        garden.put(place, "validate_certificate", mutant)


def _certificate_of_a_third(garden: Garden) -> None:
    def mutant(found: Any, validators: ValidatorSet) -> list[str]:
        return [] if found.block_id and found.signatures else ["nobody signed"]

    for place in (tendermint, certificate):
        garden.put(place, "check_certificate", mutant)


def _vote_signature_unchecked(garden: Garden) -> None:
    garden.put(inbox, "verify_message", lambda genesis, message, validators: True)


def _any_proposer(garden: Garden) -> None:
    garden.put(
        tendermint.TendermintEngine,
        "_is_well_formed",
        lambda self, state, proposal: proposal.block_id != b"",
    )


def _resend_omitted(garden: Garden) -> None:
    garden.put(tendermint.TendermintEngine, "_resend", lambda self, state: None)


# --- what reaches the disk ----------------------------------------------------


def _signing_guard_skipped(garden: Garden) -> None:
    def mutant(self: Any, state: Any) -> None:
        self.state = state

    garden.put(Signer, "persist", mutant)


def _signing_not_synced(garden: Garden) -> None:
    garden.put(SimulatedDisk, "sync", lambda self, file: None)


def _newest_slot_ignored(garden: Garden) -> None:
    load = Signer._load

    def mutant(self: Any, path: Any) -> None:
        load(self, path)
        if self.state is not None and self._sequence > 1:
            self.state = replace(
                self.state, prevote_block=None, precommit_block=None, proposal_block=None
            )

    garden.put(Signer, "_load", mutant)


def _block_not_synced(garden: Garden) -> None:
    batch = Database.write_batch

    def mutant(self: Any, *, transaction: bool = False, sync: bool = False) -> Any:
        return batch(self, transaction=transaction, sync=False)

    garden.put(Database, "write_batch", mutant)


def _block_not_written(garden: Garden) -> None:
    write = Store.write_block

    def mutant(self: Any, block: Any, *arguments: Any, **named: Any) -> None:
        if self.is_empty or block.header.height % 4:
            write(self, block, *arguments, **named)

    garden.put(Store, "write_block", mutant)


def _index_left_out(garden: Garden) -> None:
    garden.put(Store, "find_transaction", lambda self, transaction_id: None)


def _write_error_ignored(garden: Garden) -> None:
    write = Store._write

    def mutant(self: Any, *arguments: Any, **named: Any) -> None:
        try:
            write(self, *arguments, **named)
        except Exception:
            self._failed = False

    garden.put(Store, "_write", mutant)


# --- peers, sync and the door -------------------------------------------------


def _transaction_signature_unchecked(garden: Garden) -> None:
    garden.put(InlineVerifier, "_holds", lambda self, item: True)


def _synced_certificate_unchecked(garden: Garden) -> None:
    garden.put(sync, "validate_certificate", lambda *arguments, **named: None)


def _hold_skipped(garden: Garden) -> None:
    garden.put(inbox, "is_chain_current", lambda validators, own, heights, height: True)


def _sync_left_out(garden: Garden) -> None:
    garden.put(BlockSync, "_is_anybody_ahead", lambda self, blocks: False)


def _junk_kept(garden: Garden) -> None:
    garden.put(BlockPool, "_has_place", lambda self, source: True)


def _work_not_told(garden: Garden) -> None:
    garden.put(Driver, "_look_for_work", lambda self: None)
    garden.put(Driver, "work_available", lambda self: None)


def _gossip_left_out(garden: Garden) -> None:
    garden.put(TransactionGossip, "_check_and_add", _refuse_all)


async def _refuse_all(self: Any, transactions: Any, *_: Any) -> list[Any]:
    for transaction in transactions:
        self._in_check.pop(transaction.id, None)
    return []


def _seller_unpaid(garden: Garden) -> None:
    garden.put(Account, "earn", lambda self, amount_micro: None)


_SAFETY = ("agreement", "certificate", "commit", "node")
_LIVENESS = ("progress",)
_MONEY = ("conservation", "fee", "model")

CANARIES: dict[str, Canary] = {
    "nonce-not-bumped": Canary(_nonce_not_bumped, ("nonce", *_LIVENESS)),
    "nonce-unchecked": Canary(_nonce_unchecked, ("nonce",), (4,)),
    "fee-not-taken": Canary(_fee_not_taken, _MONEY),
    "fee-lost": Canary(_fee_lost, _MONEY),
    "fee-free-on-failure": Canary(_fee_free_on_failure, _MONEY),
    "failed-call-leaks": Canary(_failed_call_leaks, _MONEY),
    "transfer-unpaid": Canary(_transfer_unpaid, _MONEY),
    "overdraft": Canary(_overdraft, _MONEY),
    "energy-twice": Canary(_energy_twice, _MONEY),
    "seller-unpaid": Canary(_seller_unpaid, _MONEY),
    "tree-stale": Canary(_tree_stale, ("tree", "replay", "node")),
    "state-root-not-compared": Canary(_field_not_compared("state_root"), ("header",), (8,)),
    "receipts-root-not-compared": Canary(_field_not_compared("receipts_root"), ("header",), (4,)),
    "gas-used-not-compared": Canary(_field_not_compared("gas_used"), ("header",), (3,)),
    "time-not-above-parent": Canary(_time_not_above_parent, ("time",), (3,)),
    "timestamp-unchecked": Canary(_timestamp_unchecked, ("time",)),
    "last-commit-unchecked": Canary(_last_commit_unchecked, ("commit", "node"), (12,)),
    "evidence-unchecked": Canary(_evidence_unchecked, ("evidence",), (3,)),
    "evidence-repeated": Canary(_evidence_repeated, ("evidence",)),
    "body-unmatched": Canary(_body_unmatched, ("replay", "node", *_SAFETY), (2,)),
    "quorum-off-by-one": Canary(_quorum_off_by_one, _SAFETY),
    "quorum-at-two-thirds": Canary(_quorum_at_two_thirds, _SAFETY, (12,)),
    "vote-counted-twice": Canary(_vote_counted_twice, _SAFETY),
    "resume-ignored": Canary(_resume_ignored, ("double sign", "node"), (13,)),
    "block-unchecked": Canary(_block_unchecked, ("header", "node"), (2,)),
    "repeated-signer": Canary(_repeated_signer, _SAFETY, (2,)),
    "certificate-unsigned": Canary(_certificate_unsigned, _SAFETY, (2,)),
    "certificate-of-one": Canary(_certificate_of_a_third, _SAFETY),
    "vote-signature-unchecked": Canary(_vote_signature_unchecked, ("evidence", *_SAFETY)),
    "any-proposer": Canary(_any_proposer, ("evidence", *_SAFETY, *_LIVENESS), (7,)),
    "resend-omitted": Canary(_resend_omitted, _LIVENESS),
    "signing-guard-skipped": Canary(_signing_guard_skipped, ("double sign", "disk")),
    "signing-not-synced": Canary(_signing_not_synced, ("double sign", "disk"), (11,)),
    "newest-slot-ignored": Canary(_newest_slot_ignored, ("double sign", "node", *_LIVENESS), (1,)),
    "block-not-synced": Canary(_block_not_synced, ("heights", "acknowledged")),
    "block-not-written": Canary(_block_not_written, ("heights", "acknowledged", "node")),
    "index-left-out": Canary(_index_left_out, ("acknowledged",)),
    "write-error-ignored": Canary(_write_error_ignored, ("heights", "acknowledged", "node"), (14,)),
    "transaction-signature-unchecked": Canary(_transaction_signature_unchecked, ("forged",)),
    "synced-certificate-unchecked": Canary(_synced_certificate_unchecked, _SAFETY, (7,)),
    "hold-skipped": Canary(_hold_skipped, ("double sign", *_SAFETY), (53,)),
    "sync-left-out": Canary(_sync_left_out, _LIVENESS),
    "junk-kept": Canary(_junk_kept, ("queues",), (4,)),
    "work-not-told": Canary(_work_not_told, _LIVENESS),
    "gossip-left-out": Canary(_gossip_left_out, _LIVENESS),
    **LIFE_CANARIES,
}

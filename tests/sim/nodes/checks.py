"""The checkers of whole networks: each holds one promise, and raises Violation if it is broken.

What they know they work out on their own: money of payers with a model of ten lines, certificates
with their own count and the signature library, and nothing with the code that is being judged.
"""

from random import Random
from typing import Any

from consensus.messages import CommitCertificate, Proposal, Vote, VoteKind
from node.facade import FinalBlock
from node.ledger.certificate import decode_certificate, message_digest
from node.ledger.chain_rules import Candidate
from node.ledger.transaction import Transaction
from tests.sim.nodes.disk import SimulatedDisk
from tests.sim.nodes.people import (
    MAX_DRIFT_MS,
    PAYERS,
    START_MS,
    Clients,
    person,
)
from tests.sim.nodes.replay import execute_again
from tests.sim.nodes.scenario import ENGINES, Scenario
from tests.sim.nodes.work import WorkChecks
from tests.sim.world import Violation
from vm.primitives.codec import unpack_trusted
from vm.primitives.signatures import verify_signature
from vm.system.account_leaf import ACCOUNT_SPACE, Account, decode_account
from vm.system.accounts import SUPPLY_KEY

MAX_QUEUE = 4_000
MAX_POOL = 100
MAX_POOL_OF_BRANCHES = 320
"""Under proof of work the last final blocks stay, for those who come from other branches."""
MAX_WAITING = 2_000
CLOCK_SLACK_MS = 1_000
_VOTED = ("certificate", "commit", "double sign", "evidence")
_WORKED = ("branch", "undone", "work")
SOMETIMES = ("joined", "light", "pruned")
"""Looked at where the scenario has such nodes."""
CHECKS = (
    "agreement",
    "acknowledged",
    "conservation",
    "fee",
    "forged",
    "header",
    "heights",
    "model",
    "nonce",
    "queues",
    "switch",
    "time",
    "tree",
)


def checks_of(engine: str) -> set[str]:
    """Return the names of what is looked at in networks of an engine."""
    return {*CHECKS, *(_VOTED if ENGINES[engine].has_certificates else _WORKED)}


class Checks:
    """All checkers of one network, and what they learnt."""

    def __init__(
        self, scenario: Scenario, names: list[str], clients: Clients, genesis: Any
    ) -> None:
        self.scenario = scenario
        self.affairs: Any = None
        """What members decide; there before the first block."""
        self.clients = clients
        self.genesis = genesis
        self.names = names
        self.engine = ENGINES[scenario.engine]
        self.looks: dict[str, int] = dict.fromkeys(
            (*sorted(checks_of(scenario.engine)), *SOMETIMES), 0
        )
        self.work = None if self.engine.has_certificates else WorkChecks(self, genesis)
        self.final: dict[int, bytes] = {}
        """Block ids by height."""
        self.candidates: dict[int, Candidate] = {}
        self.leaves: dict[tuple[int, bytes], bytes] = {}
        """What accounts held after each block, where a light node asks for it."""
        self.heights: dict[str, int] = {}
        """The last height that a node acknowledged, by name."""
        self.accused: set[tuple[bytes, int]] = set()
        self.failed = self.succeeded = 0
        self._signed: dict[tuple[str, int, int, int], bytes] = {}
        self._signed_heights: dict[str, int] = {}
        self._nonces: dict[bytes, int] = {}
        self._payers = {person(f"P{n}").account: 0 for n in range(PAYERS)}
        self._dishonest = {person(names[index]).account for index in sorted(scenario.dishonest)}
        self._accounts: list[bytes] = []
        self._verified: dict[tuple[bytes, bytes, bytes], bool] = {}
        self._proposers: dict[bytes, int] = {}

    def _look(self, name: str) -> None:
        self.looks[name] += 1

    # --- a node's life -------------------------------------------------------------------------

    def on_open(self, name: str, chain: Any, entries: dict[bytes, bytes]) -> None:
        """Final heights never fall, also across restarts; what was acknowledged is there."""
        self._look("heights")
        known = self.heights.get(name, 0)
        if chain.height < known:
            raise Violation(f"heights: {name} restarts at {chain.height}, acknowledged {known}")
        self._look("acknowledged")
        for height in range(max(1, known - 3, chain.store.base), known + 1):
            head = chain.store.head(height)
            if head is None or head.header.block_id() != self.final[height]:
                raise Violation(f"acknowledged: {name} lost block {height}")
            known_block = self.candidates.get(height)
            for transaction in known_block.transactions if known_block is not None else ():
                if chain.store.find_transaction(transaction.id) is None:
                    raise Violation(f"acknowledged: {name} lost a transaction of block {height}")
        if not self._accounts:
            self._learn_genesis(chain, entries)
        if self.work is not None:
            self.work.on_open(name)

    def _learn_genesis(self, chain: Any, entries: dict[bytes, bytes]) -> None:
        space = b"s" + ACCOUNT_SPACE
        self._accounts = sorted(key[2:] for key in entries if key.startswith(space))
        if chain.height:
            raise Violation("heights: the first node to start has blocks already")
        for account in self._payers:
            self._payers[account] = self._account(chain.store, account).money_micro
        for account in self._accounts:
            self._proposers[account] = self._account(chain.store, account).money_micro

    def forget(self, name: str) -> None:
        """An operator removed a node's database: it begins anew."""
        self.heights.pop(name, None)

    def set_back(self, name: str, height: int) -> None:
        """An old copy of a node's data directory stands in its place."""
        self.heights[name] = min(height, self.heights.get(name, 0))

    def on_signed(self, name: str, message: Vote | Proposal) -> None:
        """An honest validator signs one thing per height, round and kind."""
        self._look("double sign")
        self._signed_heights[name] = max(self.signed_height(name), message.height)
        kind = 0 if isinstance(message, Proposal) else int(message.kind)
        key = (name, message.height, message.round, kind)
        said = message.block_id
        if isinstance(message, Proposal):
            said += b"%d" % message.pol_round
        if self._signed.setdefault(key, said) != said:
            raise Violation(f"double sign: {name} signs {message} and something else")

    def signed_height(self, name: str) -> int:
        """Return the last height at which a validator signed anything."""
        return self._signed_heights.get(name, 0)

    def check_queues(self, name: str, node: Any) -> None:
        """What waits in a node is bounded, whatever it is sent."""
        self._look("queues")
        node.engine_view()  # people look at any time
        if self.work is not None:
            node._driver.engine.work_view()
        driver, pool = node._driver, node._pool
        most = MAX_POOL if self.work is None else MAX_POOL_OF_BRANCHES
        sizes = {
            "inputs": (driver._queue.qsize(), MAX_QUEUE),
            "blocks": (len(pool._complete) + len(pool._partial), most),
            "wanted": (len(pool._requested), MAX_QUEUE),
            "waiting": (len(node._mempool), MAX_WAITING),
            "in check": (len(node._gossip._in_check), MAX_WAITING),
            "evidence": (len(waiting_evidence(driver)), 64),
            "engine blocks": _engine_size(driver.engine),
        }
        for what, (size, limit) in sizes.items():
            if size > limit:
                raise Violation(f"queues: {name} keeps {size} {what}, at most {limit}")

    # --- a final block -------------------------------------------------------------------------

    def on_final(
        self, name: str, node: Any, final: FinalBlock, now_ms: int, *, is_readable: bool
    ) -> None:
        """A node says that a block is final; where its disk is damaged, others show what it did."""
        block = final.block
        header = block.header
        height = header.height
        self._look("heights")
        if height <= self.heights.get(name, 0):
            raise Violation(f"heights: {name} acknowledges {height} after {self.heights[name]}")
        self.heights[name] = height
        self._look("agreement")
        if self.final.setdefault(height, block.block_id) != block.block_id:
            raise Violation(f"agreement: {name} has another block {height}")
        if self.work is None:
            self._check_certificate(name, node.chain)
        else:
            self.work.check_final(name, block, self.candidates.get(height - 1))
        self._look("switch")
        self.affairs.check_engine(name, node, height)
        self._look("header")
        executed = block.executed
        if (header.state_root, header.receipts_root, header.gas_used) != (
            executed.state_root,
            executed.receipts_root,
            executed.gas_used,
        ):
            raise Violation(f"header: {name}: block {height} is not what executing it gives")
        if height in self.candidates or not is_readable:
            return
        if height > 1 and height - 1 not in self.candidates:
            self._make_up(node.chain, height, now_ms)
        self._check_block(block, node.chain, now_ms)
        self.candidates[height] = block

    def _make_up(self, chain: Any, height: int, now_ms: int) -> None:
        """Check blocks below `height` that were written, but told by nobody before a crash."""
        for _, block in execute_again(self.genesis, chain.store, SimulatedDisk(Random(0))):
            if block.header.height < height and block.header.height not in self.candidates:
                self._check_block(block, chain, now_ms)
                self.candidates[block.header.height] = block

    def _check_certificate(self, name: str, chain: Any) -> None:
        self._look("certificate")
        if not self._decides(chain.certificate, chain.height, chain.block_id, chain):
            raise Violation(f"certificate: {name}: none decides block {chain.height}")

    def _decides(
        self, certificate: CommitCertificate | None, height: int, block_id: bytes, chain: Any
    ) -> bool:
        """Weigh the signers of a certificate, each once, with the signature library itself."""
        if certificate is None or (certificate.height, certificate.block_id) != (height, block_id):
            return False
        vote = Vote(VoteKind.PRECOMMIT, height, certificate.round, block_id, 0)
        digest = message_digest(self.genesis.digest, vote)
        validators = chain.store.validators_at(height)
        signers = {
            index
            for index, signature in certificate.signatures
            if index < len(validators)
            and self._is_signed(validators[index].vote_key, digest, signature)
        }
        power = sum(validators[index].power for index in sorted(signers))
        return power * 3 > sum(validator.power for validator in validators) * 2

    def _is_signed(self, key: bytes, digest: bytes, signature: bytes) -> bool:
        place = (key, digest, signature)
        if place not in self._verified:
            self._verified[place] = verify_signature(key, digest, signature)
        return self._verified[place]

    def _check_block(self, block: Candidate, chain: Any, now_ms: int) -> None:
        header = block.header
        self._look("time")
        latest = now_ms + MAX_DRIFT_MS + CLOCK_SLACK_MS
        before = self.candidates.get(header.height - 1)
        earliest = before.header.time_ms + 1 if before else START_MS
        if not earliest <= header.time_ms <= latest:
            raise Violation(
                f"time: block {header.height} is {header.time_ms - now_ms} ms ahead, "
                f"{header.time_ms - earliest} ms after its parent"
            )
        if header.height > 1 and self.work is None:
            self._look("commit")
            commit = decode_certificate(block.body.last_commit)
            if not self._decides(commit, header.height - 1, header.parent, chain):
                raise Violation(f"commit: block {header.height} carries no proof of its parent")
        state = block.executed.state
        fees = self._check_transactions(block)
        self._check_evidence(block)
        self._check_conservation(state)
        self._look("model")
        for account, money in self._payers.items():
            actual = self._account(state, account).money_micro
            if actual != money:
                raise Violation(
                    f"model: block {header.height}: a payer has {actual}, should have {money}"
                )
        self._look("fee")
        proposer = header.proposer
        earned = self._account(state, proposer).money_micro - self._proposers[proposer]
        senders = [transaction.sender for transaction in block.transactions]
        if earned != fees + self.engine.reward_micro and proposer not in senders:
            raise Violation(f"fee: the proposer earned {earned}, fees are {fees}")
        for account in (proposer, *senders):
            self._proposers[account] = self._account(state, account).money_micro
        if self.scenario.lights:
            for account in self._accounts:
                self.leaves[header.height, account] = state.get(ACCOUNT_SPACE + account)
        self.affairs.on_block(header.height, block.transactions, state)

    def _check_transactions(self, block: Candidate) -> int:
        state, executed = block.executed.state, block.executed
        receipts = executed.receipts[executed.first_transaction :]
        price = self.affairs.price_at(block.header.height)
        fees = 0
        for transaction, receipt in zip(block.transactions, receipts, strict=False):
            self._look("forged")
            known = self.clients.made.get(transaction.id)
            if known is None:
                raise Violation(f"forged: nobody made transaction {transaction.id.hex()}")
            self._look("nonce")
            expected = self._nonces.get(transaction.sender, 0)
            if transaction.nonce != expected:
                raise Violation(f"nonce: {transaction.nonce} final, {expected} was next")
            self._nonces[transaction.sender] = expected + 1
            self._look("fee")
            gas = receipt.gas_used
            if receipt.fee_micro != gas * price or not 0 < gas <= transaction.gas_limit:
                raise Violation(f"fee: {receipt.fee_micro} for {gas} gas at {price}")
            fees += receipt.fee_micro
            if transaction.sender in self._payers:
                self._pay(transaction, receipt.code, receipt.fee_micro, price)
            self.failed += bool(receipt.code)
            self.succeeded += not receipt.code
            self.clients.on_final(transaction)
        for sender in {transaction.sender: None for transaction in block.transactions}:
            if self._account(state, sender).nonce != self._nonces[sender]:
                raise Violation("nonce: an account stands at another one than was final")
        return fees

    def _pay(self, transaction: Transaction, code: str, fee: int, price: int) -> None:
        """The model: transfers among payers, all of a transaction's or none."""
        money = dict(self._payers)
        deposit = transaction.gas_limit * price
        money[transaction.sender] -= deposit
        is_paid = True
        for _, _, arguments in transaction.calls:
            to, amount, _ = arguments
            if amount > money[transaction.sender]:
                is_paid = False
                break
            money[transaction.sender] -= amount
            money[to] += amount
        if is_paid == bool(code):
            raise Violation(f"model: a transfer has code {code!r}, could be paid: {is_paid}")
        if is_paid:
            money[transaction.sender] += deposit
            self._payers = money
        self._payers[transaction.sender] -= fee

    def _check_evidence(self, block: Candidate) -> None:
        for receipt in block.executed.receipts:
            for module, name, values in receipt.events:
                if (module, name) != ("consensus", "equivocation"):
                    continue
                self._look("evidence")
                account, height = values[0], values[1]
                if account not in self._dishonest:
                    raise Violation("evidence: an honest validator is accused in a final block")
                if (account, height) in self.accused:
                    raise Violation("evidence: counted twice")
                self.accused.add((account, height))

    def check_report(self, name: str, account: bytes, evidence: Any) -> None:
        """Nobody honest is accused, be it by one node alone."""
        self._look("evidence")
        if account not in self._dishonest:
            raise Violation(f"evidence: {name} accuses an honest validator: {evidence}")

    def _check_conservation(self, state: Any) -> None:
        self._look("conservation")
        money = energy = 0
        for account in self._accounts:
            leaf = self._account(state, account)
            money += leaf.money_micro + leaf.money_reserved_micro
            energy += leaf.energy_milli_wh + leaf.energy_reserved_milli_wh
        supply = unpack_trusted(state.get(SUPPLY_KEY))
        if tuple(supply) != (money, energy):
            raise Violation(f"conservation: accounts hold {money}, {energy}; supply is {supply}")

    def account_keys(self) -> list[bytes]:
        """Return the state's keys of all accounts that genesis made."""
        return [ACCOUNT_SPACE + account for account in self._accounts]

    def _account(self, state: Any, account: bytes) -> Account:
        return decode_account(state.get(ACCOUNT_SPACE + account))


def waiting_evidence(driver: Any) -> list[bytes]:
    """Return the evidence that a driver keeps for a block of its own."""
    return list(driver.evidence._kept.values())


def _engine_size(engine: Any) -> tuple[int, int]:
    state = getattr(engine, "_state", None)
    if state is None:
        return 0, 0
    return state.votes.size() // 8 + state.blocks.size(), 120 * len(state.validators) // 8 + 80

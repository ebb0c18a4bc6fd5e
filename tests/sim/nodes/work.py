"""Proof of work in simulated time: who finds a seal when, and what the checkers know of it.

A seal is found after a drawn time, as long on average as the difficulty takes at the miner's pace;
only then is it searched, at a difficulty that takes hundreds of hashes.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import sha256
from math import ceil, floor
from random import Random
from typing import Any

from consensus.work import encode_seal, seal_target
from node.ledger.block import Header, with_seal
from node.ledger.chain_rules import Candidate, Parent, apply_block
from node.mine_worker import search
from tests.sim.nodes.loop import LIFE
from tests.sim.nodes.people import BLOCK_INTERVAL_MS, HASHES_PER_S
from tests.sim.world import Violation
from vm.primitives.hashing import HASH_BYTES, TAG_HEADER

MOST_LUCK = 3.0
"""No seal takes longer than so many times the mean: a promise in time needs a bound."""
MOST_AHEAD = 4
"""A miner finds at most so many more than its pace gives: final is what no streak overturns."""
EXAMINED = 3
"""One reorganisation of so many is executed anew."""

Found = Callable[[Header], None]


def sealed(header: Header, difficulty: int, first: int = 0) -> Header:
    """Return a header with a seal of a difficulty, searched from the nonce `first` on."""
    data = TAG_HEADER + with_seal(header, encode_seal(difficulty, 0)).encode()[:-8]
    target = seal_target(difficulty).to_bytes(HASH_BYTES, "big")
    nonce = search(data, target, first, 2**63)
    if nonce is None:
        raise Violation("work: no nonce seals the header")
    return with_seal(header, encode_seal(difficulty, nonce))


class SimulatedSealer:
    """Finds seals at a pace (Sealer); its luck is drawn for each parent."""

    def __init__(self, loop: Any, random: Random) -> None:
        self._loop = loop
        self._random = random
        self._life = LIFE.get()
        self._parent = b""
        self._due_s = 0.0
        self._earned_s = 0.0
        self._handle: Any = None
        self.hashes = self.hashes_per_s = 0

    async def start(self) -> None:
        """Do nothing: there is no worker."""

    async def stop(self) -> None:
        """Give up what is searched."""
        self.cancel()

    def failures(self) -> Sequence[Any]:
        """Return no tasks."""
        return []

    def search(self, header: Header, difficulty: int, found: Found) -> None:
        """Find a seal for `header` when its time has come; what was searched before is given up."""
        self.cancel()
        now_s = self._loop.time()
        if header.parent != self._parent:
            mean_s = difficulty / HASHES_PER_S
            luck = min(self._random.expovariate(1.0), MOST_LUCK)
            self._parent = header.parent
            self._due_s = max(now_s + luck * mean_s, self._earned_s - MOST_AHEAD * mean_s)
        wait_s = max(self._due_s - now_s, 0.0)
        self._handle = self._loop.call_later(wait_s, self._find, header, difficulty, found)

    def cancel(self) -> None:
        """Give up what is searched."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _find(self, header: Header, difficulty: int, found: Found) -> None:
        self._handle = None
        if self._life is None or self._life.alive:
            self._parent = b""  # the next search of this parent has luck of its own
            self._earned_s = max(self._earned_s, self._loop.time()) + difficulty / HASHES_PER_S
            self.take(header, difficulty, found)

    def take(self, header: Header, difficulty: int, found: Found) -> None:
        """Seal a header whose time has come; those who lie do something else here."""
        found(sealed(header, difficulty))


class WorkChecks:
    """What holds of work and of branches that may still be undone."""

    def __init__(self, checks: Any, genesis: Any) -> None:
        self._checks = checks
        self._genesis = genesis
        self._least = genesis.engine_parameters["min_difficulty"]
        self._first = genesis.engine_parameters["initial_difficulty"]
        self._branches: dict[str, list[bytes]] = {}
        self.reorganisations = self.undone_transactions = 0

    def on_open(self, name: str) -> None:
        """A node starts: it tells its branch anew."""
        self._branches[name] = []

    def check_final(self, name: str, block: Candidate, before: Candidate | None) -> None:
        """The lowest block of the branch that was told is what becomes final, and it was worked."""
        self._look("branch")
        branch = self._branches[name]
        if not branch or branch.pop(0) != block.block_id:
            raise Violation(f"branch: {name} finalises what it never told of")
        self._look("work")
        header = block.header
        difficulty = int.from_bytes(header.seal[:8], "big")
        hashed = int.from_bytes(sha256(TAG_HEADER + header.encode()).digest(), "big")
        if len(header.seal) != 16 or hashed * difficulty >= 2**256:
            raise Violation(f"work: block {header.height} proves none")
        if header.height <= 2:
            wanted = self._first
        elif before is not None:
            grand = self._checks.candidates.get(header.height - 2)
            if grand is None:
                return
            wanted = self._demanded(before.header, before.header.time_ms - grand.header.time_ms)
        else:
            return
        if difficulty != wanted:
            raise Violation(f"work: block {header.height} has {difficulty}, it needs {wanted}")

    def _demanded(self, parent: Header, interval_ms: int) -> int:
        """The rule of docs/consensus.md, in fractions."""
        difficulty = int.from_bytes(parent.seal[:8], "big")
        target = BLOCK_INTERVAL_MS
        counted = min(max(interval_ms, 0), 6 * target)
        change = Fraction(difficulty * (target - counted), 16 * target)
        return max(difficulty + (ceil(change) if change > 0 else floor(change)), self._least)

    def on_undecided(self, name: str, block: Candidate, head: bytes) -> None:
        """Each block applied stands on the one before, the lowest on the final head."""
        self._look("branch")
        branch = self._branches[name]
        if block.header.parent != (branch[-1] if branch else head):
            raise Violation(f"branch: {name} applies block {block.header.height} on another one")
        branch.append(block.block_id)

    def on_reorganisation(self, name: str, node: Any, undone: Sequence[Candidate]) -> None:
        """What is undone was applied, and it leaves nothing behind."""
        self.reorganisations += 1
        self._look("branch")
        branch = self._branches[name]
        ids = [block.block_id for block in undone]
        if branch[len(branch) - len(ids) :] != ids:
            raise Violation(f"branch: {name} undoes what it never applied")
        del branch[len(branch) - len(ids) :]
        adopted = node.undecided()[len(branch) :]
        if _work_of(adopted) <= _work_of(undone):
            raise Violation(f"branch: {name} goes over to one that has no more work")
        if self.reorganisations % EXAMINED == 1:
            self._check_state(name, node)
            self._check_waiting(name, node, undone)

    def _check_state(self, name: str, node: Any) -> None:
        """The tip's state is that of its branch executed anew: undone blocks leave nothing."""
        self._look("undone")
        chain = node.chain
        parent: Parent = chain.parent()
        for block in node.undecided():
            again = apply_block(
                chain.runtime_at(parent.state),
                parent,
                header=block.header,
                body=block.body,
                transactions=block.transactions,
                validators_at=chain.store.validators_at,
            )
            parent = again.as_parent()
        tip = node._mempool._state
        for key in self._checks.account_keys():
            if parent.state.get(key) != tip.get(key):
                raise Violation(f"undone: {name} keeps an account of a branch that was undone")

    def _check_waiting(self, name: str, node: Any, undone: Sequence[Candidate]) -> None:
        """Transactions of blocks undone are in the new branch, replaced, or wait again."""
        for block in undone:
            for transaction in block.transactions:
                self.undone_transactions += 1
                if node.next_nonce(transaction.sender) <= transaction.nonce:
                    raise Violation(f"undone: {name} forgot a transaction of an undone block")

    def _look(self, name: str) -> None:
        self._checks.looks[name] += 1


def _work_of(blocks: Sequence[Candidate]) -> int:
    return sum(int.from_bytes(block.header.seal[:8], "big") for block in blocks)

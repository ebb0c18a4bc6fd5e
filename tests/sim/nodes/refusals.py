"""What whole nodes refuse, provoked on purpose: seeds come to some refusals too seldom.

A network of each engine runs as in any seed, with its checkers. Peers, clients and makers of blocks
then do one wrong thing after the other, and each has to be refused with the words that belong to
it. `refusals_disk` does the same with what a node finds on its disk.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from consensus.messages import CommitCertificate, Evidence, EvidenceKind, Vote, VoteKind
from node import gossip
from node.block_pool import CompleteBlock
from node.ledger.block import MAX_EVIDENCE, Body, hash_or_empty
from node.ledger.certificate import (
    decode_evidence,
    encode_certificate,
    encode_evidence,
    encode_vote,
    message_digest,
)
from node.ledger.chain_rules import Candidate
from node.ledger.transaction import Transaction, sign_transaction
from node.light_wire import HEADERS
from node.wire import (
    ANNOUNCE,
    BLOCK,
    CERTIFICATE,
    EVIDENCE,
    GET_TRANSACTIONS,
    GET_VOTES,
    MAX_TRANSACTIONS_PER_MESSAGE,
    PROPOSAL,
    VOTE,
    encode_compact_block,
)
from tests.sim.nodes.garden import Garden
from tests.sim.nodes.links import _in_life
from tests.sim.nodes.people import GAS_LIMIT, identity, person, vote_seed
from tests.sim.nodes.process import Process
from tests.sim.nodes.refusals_disk import DISK_REFUSALS
from tests.sim.nodes.refusals_sync import SYNC_REFUSALS
from tests.sim.nodes.refusals_work import WORK_REFUSALS
from tests.sim.nodes.scenario import ENGINES, Scenario
from tests.sim.nodes.simulation import CATCH_UP_S, TRAFFIC_S, Simulation
from tests.sim.nodes.work import sealed
from tests.sim.world import Violation
from vm.overlay import Overlay
from vm.primitives.codec import encode_trusted
from vm.primitives.hashing import HASH_BYTES, TAG_CERTIFICATE
from vm.primitives.merkle import merkle_root
from vm.primitives.signatures import sign
from vm.runtime import Call
from vm.system.governance_records import VERSIONS_KEY, encode_versions

BEGIN_HEIGHT = 3
GAS_OF_BLOCK = 2_000_000
"""What one transaction may ask for at most: the second asks for more than is left."""
BEGIN_WITHIN_S = 120.0
LIAR = "V3"
"""It contradicts itself once, and is honest but for that."""
Act = Callable[[], Awaitable[Any] | Any]


class Refusals(Simulation):
    """A network in which every wrong thing is done once."""

    def __init__(self, engine: str, log: Callable[[str], None] | None = None) -> None:
        price = 0 if ENGINES[engine].has_stakes else 1
        tight = not ENGINES[engine].has_certificates
        network = Scenario(0, engine, 4, 1, price, trusts_certificates=False, faults=())
        network = replace(network, tight=tight, max_block_gas=GAS_OF_BLOCK)
        super().__init__(network, log)
        self.refused: list[str] = []
        self.wrong = Random("wrong")
        self.checks._dishonest.add(person(LIAR).account)

    @property
    def process(self) -> Process:
        """The node that all is done to."""
        return self.processes[0]

    @property
    def node(self) -> Any:
        return self.process.node

    async def expect(self, words: str, act: Act) -> None:
        """Do something that has to be refused with these words."""
        try:
            result = act()
            if isinstance(result, Awaitable):
                result = await result
        except Exception as error:  # whatever is raised is looked at
            said = str(error)
        else:
            said = (
                ", ".join(item.code for item in result) if isinstance(result, list) else "nothing"
            )
        if words not in said:
            raise Violation(f"refusal: {words!r} was expected, {said!r} was the answer")
        self.refused.append(words)

    async def _play(self) -> float:
        for process in self.processes:
            process.start()
        self.loop.call_later(TRAFFIC_S, self._send_traffic)
        await self._until(lambda: self._least() >= BEGIN_HEIGHT, BEGIN_WITHIN_S, "progress")
        for kind, payload, words in self._messages():
            await self.expect(words, lambda k=kind, p=payload: self._tell(k, p))
        await self._refuse_transactions()
        if self.checks.work is None:
            await self._refuse_evidence()
        await self._refuse_blocks()
        by_depth = WORK_REFUSALS if self.checks.work is not None else ()
        for provoke in (*by_depth, *DISK_REFUSALS, *SYNC_REFUSALS):
            await provoke(self)
        least = self._least()
        await self._until(lambda: self._least() > least, CATCH_UP_S, "progress")
        return 0.0

    # --- messages --------------------------------------------------------------------------------

    def tell(self, process: Process, kind: int, payload: bytes, teller: str = "F0") -> None:
        """Send a node a message, as the follower unless somebody else is named."""
        source = identity(teller).node_key
        _in_life(process.life, process.peers.handler.on_message, source, kind, payload)

    def _tell(self, kind: int, payload: bytes) -> None:
        self.tell(self.process, kind, payload)

    def _messages(self) -> Iterator[tuple[int, bytes, str]]:
        too_many = self.wrong.randbytes(HASH_BYTES * (MAX_TRANSACTIONS_PER_MESSAGE + 1))
        yield ANNOUNCE, too_many, "too many transactions announced"
        yield GET_TRANSACTIONS, too_many, "too many transactions asked for"
        yield HEADERS, b"", "an unknown kind of message"
        yield GET_VOTES, b"short", "a vote key has 32 bytes"
        yield CERTIFICATE, encode_trusted([4, 2]), "not a commit certificate of this version"
        short = encode_trusted([4, 1, 5, 0, bytes(32), [[0, b"short"]]])
        yield CERTIFICATE, short, "a signer is an index and a signature of 64 bytes"
        yield VOTE, encode_trusted([6, 1, 9, 5, 0, b"", 0, bytes(64)]), "not a vote of this version"
        proposal = encode_trusted([7, 1, 5, 0, bytes(32), 3, 0, bytes(64)])
        yield PROPOSAL, proposal, "not a proposal of this version"
        if self.checks.work is None:
            yield from self._evidences()
            for _ in range(100):
                number = self.wrong.randrange(4)
                vote = Vote(VoteKind.PREVOTE, self.node.chain.height + 1, 0, b"", number, bytes(64))
                self._tell_quietly(VOTE, encode_vote(vote))
            bad = Vote(VoteKind.PREVOTE, self.node.chain.height + 1, 0, b"", 0, b"\1" * 64)
            yield VOTE, encode_vote(bad), "too many messages with wrong signatures"
        block = self.make_block().as_compact()
        if self.checks.work is not None:
            difficulty = self.node._driver.engine.work_view().difficulty
            block = replace(block, header=sealed(block.header, difficulty))
        twice = replace(block, ids=(bytes(32), bytes(32)))
        yield BLOCK, encode_compact_block(twice), "a block names a transaction twice"
        many = replace(block, ids=tuple(n.to_bytes(32, "big") for n in range(9_000)))
        yield BLOCK, encode_compact_block(many), "a block names more transactions than fit"
        yield BLOCK, encode_compact_block(replace(block, ids=(bytes(32),))), "the parts of a block"

    def _evidences(self) -> Iterator[tuple[int, bytes, str]]:
        yield EVIDENCE, encode_trusted([9, 1, 7, b"", b""]), "not evidence of this version"
        one = Vote(VoteKind.PREVOTE, 1, 0, b"\1" * 32, 3, bytes(64))
        other = replace(one, kind=VoteKind.PRECOMMIT, block_id=b"\2" * 32)
        for kind, first, second, words in (
            (1, one, one, "the two messages do not contradict each other"),
            (2, one, replace(one, block_id=b"\2" * 32), "names another kind than its votes"),
            (1, one, other, "a prevote and a precommit do not contradict each other"),
        ):
            data = encode_trusted([9, 1, kind, encode_vote(first), encode_vote(second)])
            yield EVIDENCE, data, words

    def _tell_quietly(self, kind: int, payload: bytes) -> None:
        try:
            self._tell(kind, payload)
        except Exception as error:  # the last of them is what is looked at
            if "too many" not in str(error):
                raise

    # --- transactions ----------------------------------------------------------------------------

    def make_transaction(self, name: str, nonce: int, **changes: Any) -> Transaction:
        """Return a member's transaction, right in all but `changes`."""
        member = person(name)
        fields: dict[str, Any] = {
            "genesis": self.genesis.digest,
            "sender": member.account,
            "key": member.key,
            "nonce": nonce,
            "gas_limit": GAS_LIMIT,
            "max_fee_micro": 4 * GAS_LIMIT,
            "expiry_height": 900,
            "calls": (self._payment(1),),
            **changes,
        }
        transaction = sign_transaction(member.seed, **fields)
        self.clients.made[transaction.id] = transaction
        return transaction

    def _payment(self, amount: int, words: str = "") -> Call:
        return "accounts", "transfer", (person("O1").account, amount, words)

    async def _refuse_transactions(self) -> None:
        node, make = self.node, self.make_transaction
        price = self.scenario.gas_price_micro
        wrong: list[tuple[str, Transaction]] = [
            ("wrong_network", make("O2", 0, genesis=bytes(32))),
            ("unknown_account", make("nobody", 0)),
            ("wrong_key", make("O2", 0, key=person("O1").key)),
            ("expired", make("O2", 0, expiry_height=1)),
            ("expiry_too_far", make("O2", 0, expiry_height=10**6)),
            ("too_long", make("O2", 0, calls=(self._payment(1, "x" * 230),) * 64)),
            ("gas_limit", make("O2", 0, gas_limit=10)),
            ("nonce_too_far", make("O2", 10**6)),
        ]
        if price:
            wrong.append(("max_fee", make("O2", 0, max_fee_micro=1)))
            spent = make("F0", 0, calls=(self._payment(9_000_000),))
            await node.submit([spent.raw])
            await self.finalise(spent)
            dear = {"gas_limit": 2_000_000, "max_fee_micro": 2_000_000}
            wrong.append(("insufficient_money", make("F0", 1, **dear)))
        for code, transaction in wrong:
            await self.expect(code, lambda raw=transaction.raw: node.submit([raw]))
        await self._refuse_more_transactions()

    async def _refuse_more_transactions(self) -> None:
        """What is refused for what waits already, and for who sent it."""
        node, make, pool = self.node, self.make_transaction, self.node._mempool
        first = make("O2", 0)
        await node.submit([first.raw])
        cheap = make("O2", 0, calls=(self._payment(2),))
        await self.expect("replacement", lambda: node.submit([cheap.raw]))
        next_one = make("O2", 1)
        with self.narrow(pool, "_max_sender_bytes", 10):
            await self.expect("sender_full", lambda: node.submit([next_one.raw]))
        with self.narrow(pool, "_max_bytes", 10):
            await self.expect("mempool_full", lambda: node.submit([next_one.raw]))
        with self.narrow(gossip, "MAX_IN_CHECK", 0):
            await self.expect("busy", lambda: node.submit([next_one.raw]))
        await self.finalise(first)
        await self.expect("wrong_nonce", lambda: node.submit([cheap.raw]))
        suspended = person("O2").account
        await self.finalise(self.clients.order("O0", (("members", "suspend", (suspended,)),)))
        await self.expect("not_active", lambda: node.submit([next_one.raw]))
        most = {"gas_limit": 2_000_000, "max_fee_micro": 8_000_000}
        full = [make("O1", nonce, **most) for nonce in range(3)]
        await node.submit([transaction.raw for transaction in full])
        await self.finalise(full[-1])

    async def finalise(self, transaction: Transaction) -> None:
        """Wait until a transaction is final."""
        await self._until(
            lambda: transaction.id in self.clients.final, CATCH_UP_S, "progress: a transaction"
        )

    def narrow(self, place: Any, name: str, value: int) -> "Narrow":
        """Give a bound another value for a while."""
        return Narrow(place, name, value)

    # --- evidence --------------------------------------------------------------------------------

    def make_evidence(self, height: int) -> bytes:
        """Return a contradiction that a validator really signed."""
        votes = []
        for block_id in (b"\1" * 32, b"\2" * 32):
            validators = self.node.chain.store.validators_at(height)
            place = [item.account for item in validators].index(person(LIAR).account)
            vote = Vote(VoteKind.PREVOTE, height, 0, block_id, place)
            digest = message_digest(self.genesis.digest, vote)
            votes.append(replace(vote, signature=sign(vote_seed(LIAR), digest)))
        return encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, *votes))

    async def _refuse_evidence(self) -> None:
        """A contradiction counts once, whoever repeats it and wherever."""
        height = self.node.chain.height
        data = self.make_evidence(height)
        await self.expect("already counted", lambda: self.execute(evidence=(data, data)))
        self._tell(EVIDENCE, data)
        place = (person(LIAR).account, height)
        await self._until(
            lambda: place in self.checks.accused and not self.node.chain.has_place_for(data),
            CATCH_UP_S,
            "progress: evidence",
        )
        again = "nothing left to lose" if self.scenario.has_stakes else "already counted"
        await self.expect(again, lambda: self.execute(evidence=(data,)))
        future = self.make_evidence(self.node.chain.height)
        future_block = self.make_block()
        await self.expect(
            "expired or from the future",
            lambda: self.execute(future_block, evidence=(_at_height(future, 10**6),)),
        )
        forged = bytearray(self.make_evidence(height))
        forged[-1] ^= 1
        await self.expect(
            "signature of the evidence", lambda: self.execute(evidence=(bytes(forged),))
        )

    # --- blocks ----------------------------------------------------------------------------------

    def make_block(self, waiting: tuple[Any, ...] = ()) -> Any:
        """Return a right block on the tip."""
        node = self.node
        building = node.chain.building(
            time_ms=node._clock_ms() + 5, proposer=person("V0").account, evidence=()
        )
        for _ in building.steps(waiting, slice_size=10_000):
            pass
        assert building.candidate is not None
        return Made(building.candidate)

    def execute(self, made: Any = None, *, evidence: tuple[bytes, ...] = (), **changes: Any) -> Any:
        """Have the node execute a block that is wrong in what is given, as block sync would."""
        block = (made or self.make_block()).candidate
        body = replace(block.body, evidence=evidence)
        body = changes.pop("body", body)
        transactions = changes.pop("transactions", block.transactions)
        header = replace(block.header, evidence_root=merkle_root(body.evidence), **changes)
        complete = CompleteBlock(header.block_id(), header, body, tuple(transactions))
        return self.node._driver._work.execute(complete)

    async def _refuse_blocks(self) -> None:
        header = self.make_block().candidate.header
        is_by_depth = self.checks.work is not None
        if is_by_depth:
            data = bytes(100)
            await self.expect("evidence where nobody votes", lambda: self.execute(evidence=(data,)))
            body = Body(b"something", (), ())
            await self.expect("a certificate where none can be", lambda: self.execute(body=body))
        else:
            seal = bytes(16)
            await self.expect("a seal where none is sought", lambda: self.execute(seal=seal))
            await self._refuse_certificates(header.parent)
        other = person("P1").account
        await self.expect("the proposer is no validator", lambda: self.execute(proposer=other))
        for name, value in (("height", header.height + 9), ("parent", bytes(32))):
            await self.expect("does not follow", lambda n=name, v=value: self.execute(**{n: v}))
        early = self.node.chain.tip.time_ms
        await self.expect("not above its parent's", lambda: self.execute(time_ms=early))
        await self.expect("field 'state_root' is wrong", lambda: self.execute(state_root=bytes(32)))
        if not is_by_depth:
            pieces = (bytes(10),) * (MAX_EVIDENCE + 1)
            await self.expect("too much evidence", lambda: self.execute(evidence=pieces))
        later = Overlay(self.node.chain.store)
        later.put(VERSIONS_KEY, encode_versions({"market": 99}))
        await self.expect("version 99", lambda: self.node.chain.runtime_at(later))
        large = Body(self.make_block().candidate.body.last_commit, (), (bytes(600_000),))
        await self.expect("the block is too large", lambda: self.execute(body=large))
        used = self.make_transaction("P0", 0)
        await self.expect("holds something invalid", lambda: self.execute(transactions=[used]))

    async def _refuse_certificates(self, parent: bytes) -> None:
        """A block brings a certificate of its parent that decides nothing, or another block."""
        height = self.node.chain.height
        found = self.node.chain.certificate
        place, signature = found.signatures[0]
        for signatures, block_id, words in (
            (found.signatures, b"\1" * 32, "the certificate is for another block"),
            (((place, signature),), parent, "does not decide the block"),
            ([(place, bytes(64)), *found.signatures[1:]], parent, "a signature of the certificate"),
        ):
            forged = CommitCertificate(height, found.round, block_id, tuple(signatures))
            commit = encode_certificate(forged)
            body, digest = Body(commit, (), ()), hash_or_empty(TAG_CERTIFICATE, commit)
            await self.expect(words, lambda b=body, d=digest: self.execute(body=b, last_commit=d))


class Made:
    """A block of our own making."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate

    def as_compact(self) -> Any:
        """Return what travels of it."""
        block = self.candidate
        complete = CompleteBlock(block.block_id, block.header, block.body, block.transactions)
        return complete.compact()


class Narrow:
    """A bound with another value."""

    def __init__(self, place: Any, name: str, value: int) -> None:
        self._garden = Garden()
        self._planted = (place, name, value)

    def __enter__(self) -> None:
        self._garden.put(*self._planted)

    def __exit__(self, *_: object) -> None:
        self._garden.clear()


def _at_height(data: bytes, height: int) -> bytes:
    """Return evidence as if of another height."""
    found = decode_evidence(data)
    messages = [replace(each, height=height) for each in (found.first, found.second)]
    return encode_evidence(Evidence(found.kind, *messages))


def provoke(engine: str) -> list[str]:
    """Run the network of an engine; return the words of what was refused."""
    world = Refusals(engine)
    world.run()
    return world.refused

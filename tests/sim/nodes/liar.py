"""A dishonest validator: a whole node whose words are twisted on their way out.

It holds its own keys and nobody else's, knows what its node knows, and tells each peer what suits
it: two blocks for one round, votes for anything, blocks that are not what executing them gives,
certificates with one signer three times. What it signs is signed well.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
    Evidence,
    EvidenceKind,
    Proposal,
    Status,
    Vote,
    VoteKind,
)
from node.block_pool import CompleteBlock
from node.ledger.block import Body, hash_or_empty
from node.ledger.certificate import (
    decode_proposal,
    decode_vote,
    encode_certificate,
    encode_evidence,
    encode_proposal,
    encode_vote,
    message_digest,
)
from node.ledger.chain_rules import Candidate
from node.ledger.transaction import decode_transaction
from node.wire import (
    ANNOUNCE,
    BLOCK,
    BLOCKS,
    CERTIFICATE,
    EVIDENCE,
    GET_TRANSACTIONS,
    HEIGHT,
    PROPOSAL,
    STATUS,
    TRANSACTIONS,
    VOTE,
    SyncedBlock,
    decode_blocks,
    decode_compact_block,
    encode_blocks,
    encode_compact_block,
    encode_height,
    encode_status,
    encode_transactions,
)
from tests.sim.nodes.checks import waiting_evidence
from tests.sim.nodes.liar_service import SERVICE_KINDS, Means, held_part, twist_service
from tests.sim.nodes.links import Connection, SimulatedPeers
from tests.sim.nodes.people import GAS_LIMIT, person
from vm.primitives.errors import BitenergyError
from vm.primitives.hashing import TAG_CERTIFICATE
from vm.primitives.merkle import merkle_root
from vm.primitives.signatures import sign

JUNK_S = 0.9
MANY_BLOCKS = 120
FAR_AHEAD = 10**9
PLANS = (
    "two faces",
    "two faces",
    "two faces",
    "withheld",
    "silent",
    "maimed",
    "invalid",
    "invalid",
    "invalid",
    "honest",
)
VOTES = ("honest", "two faces", "anything", "nil")


class Plan:
    """What it does with one of its own proposals."""

    def __init__(self, style: str, other: Candidate | None, victims: set[bytes]) -> None:
        self.style = style
        self.other = other
        self.victims = victims


class Liar(SimulatedPeers):
    """The connections of a node that lies."""

    def arm(self, node: Any, seed: bytes, name: str, style: int, random: Random) -> None:
        """Take the node whose words are twisted, and its vote key."""
        self._node = node
        self._seed = seed
        self._account = person(name).account
        self._random = random
        self._style = style
        self._plans: dict[bytes, Plan] = {}
        self._votes: dict[tuple[int, int, int], str] = {}
        self._means = Means(
            lambda height, block_id: self._forged(height, 0, block_id),
            lambda height, path: held_part(node, height, path),
            is_smooth=style % 3 == 0,
            offers_truly=style % 3 == 1,
        )
        self._is_busy = False
        self._is_mute = style % 8 == 5
        """It has no part in any decision, and claims to be far ahead."""
        if self._is_mute:
            self.height = lambda: FAR_AHEAD
        self._junk_s = JUNK_S * (1 + style % 3)
        self.network.loop.call_later(self._junk_s, self._send_junk)

    def transmit(self, connection: Connection, key: bytes, kind: int, payload: bytes) -> None:
        """Say something else, or nothing."""
        if not self._is_validator():
            super().transmit(connection, key, kind, payload)
            return
        try:
            said = list(self._twist(key, kind, payload))
        except BitenergyError:
            said = [(kind, payload)]
        for word, content in said:
            super().transmit(connection, key, word, content)

    # --- what the node says ----------------------------------------------------------------------

    def _twist(self, key: bytes, kind: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        if kind == BLOCK:
            said = decode_compact_block(payload)
            block_id = said.header.block_id()
            if said.header.proposer == self._account:
                plan = self._plan(block_id)
                if plan.style in ("withheld", "silent") or self._is_mute:
                    return
                if plan.style == "maimed" and key in plan.victims:
                    payload = encode_compact_block(replace(said, ids=said.ids[:-1]))
                if plan.other is not None and key in plan.victims:
                    yield BLOCK, compact(plan.other)
                    return
            yield kind, payload
        elif kind == PROPOSAL:
            yield from self._twist_proposal(key, payload)
        elif kind == VOTE:
            if not self._is_mute:
                yield from self._twist_vote(key, payload)
        elif kind == BLOCKS and self._random.randrange(3):
            yield kind, self._twist_blocks(payload)
        elif kind == HEIGHT and self._is_mute:
            yield kind, encode_height(FAR_AHEAD)
        elif kind == HEIGHT and self._style % 4 == 1:
            height = self._random.choice((0, self._node.chain.height + 9, 10**9))
            yield kind, encode_height(height)
        elif kind in SERVICE_KINDS and (self._means.is_smooth or self._random.randrange(3)):
            said = twist_service(self._random, kind, payload, self._means)
            if said is not None:
                yield kind, said
        else:
            yield kind, payload

    def _is_validator(self) -> bool:
        """Tell whether its word counts: not before its start, nor after it was expelled."""
        node = getattr(self, "_node", None)
        return node is not None and any(
            validator.account == self._account for validator in node.chain.validators
        )

    def _index(self) -> int:
        validators = self._node.chain.validators
        return [validator.account for validator in validators].index(self._account)

    def _plan(self, block_id: bytes) -> Plan:
        plan = self._plans.get(block_id)
        if plan is None:
            random = self._random
            style = random.choice(PLANS)
            other = None
            if style == "two faces":
                other = self._build(1)
            elif style == "invalid":
                other = self._build_invalid()
            keys = sorted(self.open)
            victims = {key for key in keys if style == "invalid" or random.randrange(2)}
            plan = self._plans[block_id] = Plan(style, other, victims)
        return plan

    def _twist_proposal(self, key: bytes, payload: bytes) -> Iterator[tuple[int, bytes]]:
        proposal = decode_proposal(payload)
        if proposal.validator_index != self._index():
            yield PROPOSAL, payload
            return
        plan = self._plan(proposal.block_id)
        if plan.style == "silent" or self._is_mute:
            return
        if plan.other is not None and key in plan.victims:
            block_id = plan.other.block_id
            proposal = replace(proposal, block_id=block_id, pol_round=NO_ROUND)
            yield PROPOSAL, encode_proposal(self._signed(proposal))
            for kind in VoteKind:
                yield VOTE, self._vote(kind, proposal.height, proposal.round, block_id)
            if self._random.randrange(3) == 0:
                yield CERTIFICATE, self._forged(proposal.height, proposal.round, block_id)
            return
        yield PROPOSAL, payload

    def _twist_vote(self, key: bytes, payload: bytes) -> Iterator[tuple[int, bytes]]:
        vote = decode_vote(payload)
        if vote.validator_index != self._index():
            yield VOTE, payload
            return
        random = self._random
        place = (vote.height, vote.round, int(vote.kind))
        style = self._votes.setdefault(place, random.choice(VOTES))
        known = [block.block_id for block in self._node._pool.blocks_at(vote.height)] + [
            plan.other.block_id for plan in self._plans.values() if plan.other is not None
        ]
        plan = self._plans.get(vote.block_id)
        if plan is not None and plan.other is not None and key in plan.victims:
            yield VOTE, self._vote(vote.kind, vote.height, vote.round, plan.other.block_id)
        elif style == "nil":
            yield VOTE, self._vote(vote.kind, vote.height, vote.round, NIL)
        elif style == "anything":
            choice = random.choice([NIL, random.randbytes(32), vote.block_id, *known[-3:]])
            yield VOTE, self._vote(vote.kind, vote.height, vote.round, choice)
        elif style == "two faces":
            for block_id in random.sample([NIL, vote.block_id or random.randbytes(32)], 2):
                yield VOTE, self._vote(vote.kind, vote.height, vote.round, block_id)
        else:
            yield VOTE, payload
            if random.randrange(4) == 0:
                yield VOTE, payload

    def _twist_blocks(self, payload: bytes) -> bytes:
        """Answer a node that asks for final blocks with something else."""
        blocks = list(decode_blocks(payload))
        if not blocks:
            return payload
        style = self._random.randrange(6)
        last = blocks[-1]
        if style == 0:
            return encode_blocks(())
        if style == 1:
            return encode_blocks(blocks[1:])
        if style == 2:
            forged = self._forged(self._node.chain.height, 0, self._node.chain.block_id)
            blocks[-1] = SyncedBlock(last.header, forged, last.body)
        elif style == 3:
            blocks[0] = SyncedBlock(blocks[0].header, last.certificate, blocks[0].body)
        elif style == 4:
            blocks[-1] = SyncedBlock(last.header, last.certificate, blocks[0].body)
        else:
            candidate = self._build(7)
            if candidate is not None:
                forged = self._forged(candidate.header.height, 0, candidate.block_id)
                body = candidate.body.encode()
                blocks.append(SyncedBlock(candidate.header.encode(), forged, body))
        return encode_blocks(blocks)

    # --- what it makes up ------------------------------------------------------------------------

    def _build(
        self,
        later_ms: int,
        waiting: tuple[Any, ...] | None = None,
        evidence: tuple[bytes, ...] = (),
    ) -> Candidate | None:
        """Build a block of its own on the head, right in all but what the caller changes."""
        if self._is_busy:
            return None
        self._is_busy = True
        node = self._node
        try:
            building = node.chain.building(
                time_ms=node._clock_ms() + later_ms,
                proposer=self._account,
                evidence=[*evidence, *waiting_evidence(node._driver)],
            )
            taken = list(node._mempool.ready())[: self._random.randrange(12)]
            for _ in building.steps(taken if waiting is None else waiting, slice_size=10_000):
                pass
            if building.candidate is not None:
                self._offer(building.candidate)
            return building.candidate
        finally:
            self._is_busy = False

    def _offer(self, candidate: Candidate) -> None:
        """Have the node give a block to those who ask for it or its parts."""
        block = CompleteBlock(
            candidate.block_id, candidate.header, candidate.body, candidate.transactions
        )
        self._node._pool._complete.setdefault(candidate.block_id, block)

    def _build_invalid(self) -> Candidate | None:
        """Build a block that no honest validator may take."""
        random = self._random
        style = random.randrange(11)
        node = self._node
        if style == 0:
            return self._build(random.choice((60_000, 3_600_000)))
        if style == 1:
            return self._build(0, self._repeated() if random.randrange(2) else (self._stolen(),))
        if style == 2 and node.chain.height:
            past = random.randrange(max(1, node.chain.height - 3), node.chain.height + 1)
            return self._build(0, None, (self._false_evidence(past),))
        candidate = self._build(3, () if style == 9 else None)
        if candidate is None:
            return None
        header, body = candidate.header, candidate.body
        if style in (2, 10):
            header = replace(header, state_root=random.randbytes(32))
        elif style == 3:
            header = replace(header, receipts_root=random.randbytes(32))
        elif style == 4:
            header = replace(header, gas_used=header.gas_used + 1)
        elif style == 5:
            header = replace(header, next_validators=random.randbytes(32))
        elif style == 6:
            header = replace(header, parameters=random.randbytes(32))
        elif style == 7:
            forged = self._forged(header.height - 1, 0, header.parent)
            body = Body(forged, body.evidence, body.transactions)
            header = replace(header, last_commit=hash_or_empty(TAG_CERTIFICATE, forged))
        elif style == 8:
            evidence = (*body.evidence, self._false_evidence(header.height - 1))
            body = Body(body.last_commit, evidence, body.transactions)
            header = replace(header, evidence_root=merkle_root(evidence))
        else:
            header = replace(header, time_ms=node.chain.header.time_ms - random.randrange(2))
        changed = replace(candidate, header=header, body=body, block_id=header.block_id())
        self._offer(changed)
        return changed

    def _repeated(self) -> tuple[Any, ...]:
        """A transaction that is final already."""
        clients = self.network_clients
        return tuple(clients.made[key] for key in sorted(clients.final)[:1])

    def _stolen(self) -> Any:
        """A payer's money, signed by somebody else."""
        node = self._node
        victim = person("P1")
        calls = (("accounts", "transfer", (self._account, 1_000_000, "")),)
        clients = self.network_clients
        nonce = node.next_nonce(victim.account)
        honest = clients.sign(victim.name, nonce, calls)
        fields = honest.raw[:-64] + self._random.randbytes(64)
        return type(honest)(
            *(getattr(honest, name) for name in ("genesis", "sender", "key", "nonce")),
            GAS_LIMIT,
            honest.max_fee_micro,
            honest.expiry_height,
            honest.calls,
            fields[-64:],
            fields,
            _transaction_id(fields),
            honest.digest,
        )

    def _false_evidence(self, height: int) -> bytes:
        """Evidence against somebody honest, its second signature made up."""
        validators = self._node.chain.validators
        others = [n for n in range(len(validators)) if n != self._index()]
        index = self._random.choice(others)
        first = Vote(VoteKind.PREVOTE, height, 0, b"\1" * 32, index, self._random.randbytes(64))
        second = replace(first, block_id=b"\2" * 32, signature=self._random.randbytes(64))
        return encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, first, second))

    def _true_evidence(self, height: int) -> bytes:
        """A contradiction of its own, signed well."""
        index = self._index()
        votes = [
            self._signed(Vote(VoteKind.PREVOTE, height, 0, block_id, index))
            for block_id in (b"\1" * 32, b"\2" * 32)
        ]
        return encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, *votes))

    def _forged(self, height: int, round_: int, block_id: bytes) -> bytes:
        """A certificate with one signer: three times, or under the names of others."""
        validators = len(self._node.chain.validators)
        index = self._index()
        own = self._signed(Vote(VoteKind.PRECOMMIT, height, round_, block_id, index)).signature
        style = self._random.randrange(4)
        if style == 0:
            signatures = tuple((index, own) for _ in range(validators))
        elif style == 1:
            signatures = tuple((other, own) for other in range(validators))
        elif style == 2:
            signatures = ((index, own),)
        else:
            head = self._node.chain.certificate
            signatures = head.signatures if head is not None else ((index, own),)
        return encode_certificate(CommitCertificate(height, round_, block_id, signatures))

    def _signed(self, message: Any) -> Any:
        digest = message_digest(self._node.genesis.digest, message)
        return replace(message, signature=sign(self._seed, digest))

    def _vote(self, kind: VoteKind, height: int, round_: int, block_id: bytes) -> bytes:
        return encode_vote(self._signed(Vote(kind, height, round_, block_id, self._index())))

    def _junk_vote(self, height: int = 1, round_: int = 0) -> bytes:
        kind = self._random.choice(list(VoteKind))
        return self._vote(kind, height, round_, self._random.choice((NIL, b"\3" * 32)))

    # --- what nobody asked for -------------------------------------------------------------------

    def _send_junk(self) -> None:
        if not self.is_listening:
            return
        self.network.loop.call_later(self._junk_s, self._send_junk)
        if self.open and self._is_validator():
            key = self._random.choice(sorted(self.open))
            if self._random.randrange(40) == 0:
                self._send_blocks(key)
            kind, payload = self._junk()
            super().transmit(self.open[key], key, kind, payload)

    def _send_blocks(self, key: bytes) -> None:
        """Send more blocks than anybody asked for."""
        candidate = self._build(5)
        if candidate is not None and key in self.open:
            for _ in range(MANY_BLOCKS):
                header = replace(candidate.header, state_root=self._random.randbytes(32))
                other = replace(candidate, header=header, block_id=header.block_id())
                super().transmit(self.open[key], key, BLOCK, compact(other))

    def _junk(self) -> tuple[int, bytes]:
        random = self._random
        chain = self._node.chain
        height = chain.height + 1
        view = self._node.engine_view()
        style = random.randrange(24)
        if style < 4:
            known = [block.block_id for block in self._node._pool.blocks_at(height)]
            block_id = random.choice(known) if known else random.randbytes(32)
            return CERTIFICATE, self._forged(height, view.round, block_id)
        if style < 6 and chain.certificate is not None:
            return CERTIFICATE, encode_certificate(chain.certificate)
        if style < 8:
            past = max(1, height - random.randrange(1, 4))
            return EVIDENCE, self._true_evidence(past)
        if style == 8:
            return EVIDENCE, self._false_evidence(max(1, height - 1))
        if style == 9:
            return EVIDENCE, self._true_evidence(height + 50)
        if style < 12:
            far = height + random.choice((0, 1, 2, 10**6))
            round_ = view.round + random.choice((0, 1, 5, 10**6))
            return VOTE, self._junk_vote(far, round_)
        if style == 12:
            others = [n for n in range(len(chain.validators)) if n != self._index()]
            known = [block.block_id for block in self._node._pool.blocks_at(height)]
            block_id = random.choice([NIL, *known])
            kind = random.choice(list(VoteKind))
            vote = Vote(kind, height, view.round, block_id, random.choice(others))
            return VOTE, encode_vote(self._signed(vote))
        if style < 15:
            status = Status(height + random.choice((-1, 0, 0, 1, 500)), view.round, 0, 0, False)
            return STATUS, encode_status(replace(status, height=max(1, status.height)))
        if style < 17:
            return ANNOUNCE, random.randbytes(32 * random.randrange(1, 40))
        if style == 17:
            return TRANSACTIONS, encode_transactions([self._stolen().raw])
        if style == 18:
            return GET_TRANSACTIONS, random.randbytes(32 * random.randrange(1, 40))
        if style == 19:
            proposal = Proposal(height, view.round, random.randbytes(32), NO_ROUND, self._index())
            return PROPOSAL, encode_proposal(self._signed(proposal))
        if style == 20:
            return random.choice((VOTE, BLOCK, BLOCKS, EVIDENCE)), random.randbytes(40)
        if style == 21:
            return BLOCKS, encode_blocks(())
        if style == 22:
            return HEIGHT, encode_height(random.choice((0, height + 30, 10**9)))
        candidate = self._build_invalid()
        if candidate is None:
            return HEIGHT, encode_height(height)
        return BLOCK, compact(candidate)


def compact(candidate: Candidate) -> bytes:
    """Return the payload that names a block's transactions."""
    block = CompleteBlock(
        candidate.block_id, candidate.header, candidate.body, candidate.transactions
    )
    return encode_compact_block(block.compact())


def _transaction_id(raw: bytes) -> bytes:
    return decode_transaction(raw).id

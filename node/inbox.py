"""The inbox: takes what peers say, checks that it may count, and hands it to whom it concerns.

It is also how the driver reaches the network, because what it asks for comes back here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from consensus.interface import CertificateArrived, ProposalArrived, VoteArrived
from consensus.interface import PeerStatus as PeerStatusInput
from consensus.messages import NO_ROUND, Proposal, Step, Vote
from node.block_pool import BlockPool, PartialBlock
from node.chain import Chain
from node.directory import Directory
from node.driver import Driver
from node.gossip import TransactionGossip
from node.ledger.certificate import (
    decode_certificate,
    decode_evidence,
    decode_proposal,
    decode_vote,
    message_digest,
    validate_certificate,
    verify_message,
)
from node.ledger.transaction import Transaction
from node.light_service import LightService
from node.light_wire import ASK, GET_HEADERS, LIGHT
from node.mempool import Mempool
from node.own_votes import HeardVotes, decode_votes
from node.p2p.hello import Disconnect
from node.p2p.peers import Peer
from node.p2p.service import PeerService
from node.peer_guard import PeerGuard
from node.snapshot.service import Snapshots
from node.store import StorageFailure
from node.sync import BlockSync, read_range
from node.vote_guard import is_chain_current
from node.wire import (
    ANNOUNCE,
    BASE,
    BLOCK,
    BLOCKS,
    CERTIFICATE,
    EVIDENCE,
    GET_BLOCK,
    GET_BLOCKS,
    GET_TRANSACTIONS,
    GET_VOTES,
    HEIGHT,
    MAX_TRANSACTIONS_PER_MESSAGE,
    PROPOSAL,
    STATUS,
    TRANSACTIONS,
    VOTE,
    VOTES,
    CompactBlock,
    decode_compact_block,
    decode_height,
    decode_range,
    decode_status,
    encode_blocks,
    encode_compact_block,
    encode_height,
    encode_transactions,
    split_ids,
)
from node.work_gate import WorkGate
from vm.primitives.errors import InvalidBlock, InvalidInput
from vm.primitives.hashing import HASH_BYTES
from vm.primitives.signatures import verify_signature

_log = logging.getLogger("bitenergy.inbox")

MAX_ANSWER_BYTES: Final = 4_000_000
MAX_MISSES: Final = 2_048
"""After so many transactions that are not here the rest of a request is not looked for."""
VOTE_KEY_BYTES: Final = 32
MAX_PROPOSED: Final = 256
"""How many blocks are remembered as a validator's."""


class Inbox:
    """Handler of the peers' messages, and the driver's network."""

    def __init__(
        self,
        chain: Chain,
        pool: BlockPool,
        mempool: Mempool,
        directory: Directory,
        guard: PeerGuard,
        *,
        on_fatal: Callable[[BaseException], None],
        clock_ms: Callable[[], int],
        gate: WorkGate | None = None,
    ) -> None:
        """`connect` completes it before the first message; `gate` is that of proof of work."""
        self._chain = chain
        self._pool = pool
        self._mempool = mempool
        self._directory = directory
        self._guard = guard
        self._fatal = on_fatal
        self._clock_ms = clock_ms
        self._gate = gate
        self._fetches = 0
        self._proposed: dict[bytes, None] = {}
        self._heard = HeardVotes()
        self._answered: set[bytes] = set()
        self._signed_height = 0
        self.refused = 0

    def connect(
        self,
        peers: PeerService,
        driver: Driver,
        gossip: TransactionGossip,
        sync: BlockSync,
        light: LightService,
        snapshots: Snapshots,
    ) -> None:
        """Take the parts that need the inbox themselves."""
        self._peers = peers
        self._driver = driver
        self._gossip = gossip
        self._sync = sync
        self._light = light
        self._snapshots = snapshots

    # --- the driver's network ----------------------------------------------------------------

    def broadcast(self, kind: int, payload: bytes) -> None:
        """Send to all peers."""
        self._peers.broadcast(kind, payload)

    def send(self, peer: bytes, kind: int, payload: bytes) -> None:
        """Send to one peer."""
        self._peers.send(peer, kind, payload)

    def fetch_block(self, block_id: bytes, sources: tuple[int, ...]) -> None:
        """Ask for a block, or for what is missing of it."""
        block = self._pool.block(block_id)
        if block is not None:  # it came while the engine was at another height
            self._driver.block_arrived(block)
            return
        self._pool.want(block_id)
        partial_block = self._pool.partial(block_id)
        connected = [peer.key for peer in self._peers.peers()]
        wanted = [
            self._chain.validators[place].account
            for place in sources
            if place < len(self._chain.validators)
        ]
        nodes = [
            key for key, account in self._directory.validator_nodes.items() if account in wanted
        ]
        targets = [key for key in nodes if key in connected] or connected
        self._fetches += 1  # not always the same two: they may be those who withhold it
        turn = self._fetches % max(len(targets), 1)
        for peer in [*targets[turn:], *targets[:turn]][:2]:
            if partial_block is None:
                self._peers.send(peer, GET_BLOCK, block_id)
            else:
                self._request_missing(partial_block, peer)

    def _request_missing(self, block: PartialBlock, peer: bytes) -> None:
        """Ask for what is not here and not being checked already."""
        ids = [item for item in sorted(block.missing) if not self._gossip.is_in_check(item)]
        for start in range(0, len(ids), MAX_TRANSACTIONS_PER_MESSAGE):
            part = ids[start : start + MAX_TRANSACTIONS_PER_MESSAGE]
            self._peers.send(peer, GET_TRANSACTIONS, b"".join(part))

    def blocks_missing(self, peer: bytes | None, height: int) -> None:
        """Have block sync look whether others are ahead."""
        if peer is not None and height > 0:
            self._sync.peer_height(peer, height - 1)
        self._sync.look()

    # --- what peers say ----------------------------------------------------------------------

    def on_fatal(self, error: BaseException) -> None:
        """Stop the node because of `error`."""
        self._fatal(error)

    def on_connected(self, peer: Peer) -> None:
        """Tell a new peer where we stand."""
        self._sync.peer_height(peer.key, peer.height)
        self.tell_base(peer.key)
        self._peers.send(peer.key, HEIGHT, encode_height(self._chain.height))
        self._ask_votes(peer.key)
        self._gossip.announce_to(peer.key)
        self._tell_evidence(peer.key, peer.height)
        self.consider_release()

    def _ask_votes(self, peer: bytes) -> None:
        """Ask what our vote key said, while we hold back and the peer has not answered."""
        key = self._driver.vote_key
        if self._driver.is_held and key and peer not in self._answered:
            self._peers.send(peer, GET_VOTES, key)

    def _tell_evidence(self, peer: bytes, height: int) -> None:
        """Tell a peer of what waits for a block; it takes what is of final heights of its own."""
        waiting = self._driver.evidence.ripe(up_to=height)
        if waiting and self._guard.may_ask(peer):
            for data in waiting:
                self._peers.send(peer, EVIDENCE, data)

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        """Forget a peer."""
        self._sync.peer_gone(key)
        self._snapshots.peer_gone(key)
        self.consider_release()

    def consider_release(self) -> None:
        """Let a validator that has just started vote or mine, once its chain is no old one."""
        account = self._driver.find_account()
        if not self._driver.is_held or account is None:
            return
        if self._chain.height < self._signed_height:
            return
        nodes = self._directory.validator_nodes
        told = self._sync.sources.told_heights(self._chain.height)
        heights = {nodes[peer]: height for peer, height in told.items() if peer in nodes}
        answered = {
            nodes[peer]: height
            for peer, height in told.items()
            if peer in nodes and peer in self._answered
        }
        validators, reached = self._chain.validators, self._chain.tip.height
        is_young = self._gate is not None and self._gate.may_mine(self._clock_ms())
        if is_young or all(
            is_chain_current(validators, account, known, reached) for known in (heights, answered)
        ):
            self._driver.release()

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        """Take a peer's message; raises BitenergyError on a bad one, which drops the peer."""
        if self._snapshots.concerns(kind):
            self._snapshots.on_message(key, kind, payload)
            return
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise InvalidInput("an unknown kind of message", actual=kind)
        try:
            handler(self, key, payload)
        except StorageFailure as error:
            self._fatal(error)

    def _on_vote(self, peer: bytes, payload: bytes) -> None:
        vote = decode_vote(payload)
        if self._concerns(vote) and self._verify(vote, VOTE, payload, peer):
            self._driver.feed(VoteArrived(vote))

    def _on_proposal(self, peer: bytes, payload: bytes) -> None:
        proposal = decode_proposal(payload)
        if self._concerns(proposal) and self._verify(proposal, PROPOSAL, payload, peer):
            self._driver.feed(ProposalArrived(proposal, self._clock_ms()))

    def _on_status(self, peer: bytes, payload: bytes) -> None:
        status = decode_status(payload)
        if not self._guard.may_tell_status(peer):
            return
        self._ask_votes(peer)  # question or answer may have been lost, and all may wait for us
        if status.round != NO_ROUND and peer not in self._directory.validator_nodes:
            # Only validators begin a height: else any member could have empty blocks made.
            view = self._driver.engine.view()
            if view.height == status.height and view.step is Step.NEW_HEIGHT:
                return
        self._driver.feed(PeerStatusInput(peer, status))

    def _on_certificate(self, peer: bytes, payload: bytes) -> None:
        certificate = decode_certificate(payload)
        if certificate.height != self._chain.height + 1:
            return
        if not self._guard.was_checked(payload):
            validate_certificate(
                certificate,
                self._chain.genesis.digest,
                self._chain.validators,
                height=certificate.height,
                block_id=certificate.block_id,
            )
            self._guard.note_checked(payload)
        self._driver.feed(CertificateArrived(certificate))

    def _on_block(self, peer: bytes, payload: bytes) -> None:
        compact = decode_compact_block(payload)
        if self._gate is not None and not self._is_worth(compact):
            return
        found = self._pool.add_compact(
            compact,
            peer,
            self._chain.height,
            max_block_bytes=self._chain.parameters.max_block_bytes,
        )
        if found is None:
            return
        if found.block_id in self._proposed or self._pool.is_wanted(found.block_id):
            self._relay(BLOCK, payload, peer)
        if found.missing:
            self._request_missing(found, peer)
            return
        block = self._pool.block(found.block_id)
        if block is not None:
            self._driver.block_arrived(block)

    def _is_worth(self, compact: CompactBlock) -> bool:
        """Tell whether to look further than a header's work; raises InvalidBlock on a wrong one."""
        block_id = compact.header.block_id()
        if self._pool.find_header(block_id) is not None or self._gate is None:
            return False
        try:
            return self._gate.admit(compact.header, block_id)
        except InvalidBlock:
            self.refused += 1
            raise

    def _on_get_block(self, peer: bytes, payload: bytes) -> None:
        block = self._pool.block(payload)
        if block is not None and self._guard.may_ask(peer):
            self._answer(peer, BLOCK, encode_compact_block(block.compact()))

    def _on_get_transactions(self, peer: bytes, payload: bytes) -> None:
        found: list[bytes] = []
        size = misses = 0
        if len(payload) > MAX_TRANSACTIONS_PER_MESSAGE * HASH_BYTES:
            raise InvalidInput("too many transactions asked for", actual=len(payload))
        if not self._guard.may_ask(peer):
            return
        self._guard.served(peer, len(payload))
        for transaction_id in dict.fromkeys(split_ids(payload)):
            transaction = self._mempool.get(transaction_id) or self._pool.find_transaction(
                transaction_id
            )
            if transaction is None:
                misses += 1
                if misses > MAX_MISSES:
                    break
                continue
            size += len(transaction.raw) + 8
            if size > MAX_ANSWER_BYTES or len(found) >= MAX_TRANSACTIONS_PER_MESSAGE:
                break
            found.append(transaction.raw)
        if found:
            self._answer(peer, TRANSACTIONS, encode_transactions(found))

    def _answer(self, peer: bytes, kind: int, payload: bytes) -> None:
        self._guard.served(peer, len(payload))
        self._peers.send(peer, kind, payload)

    def _on_transactions(self, peer: bytes, payload: bytes) -> None:
        self._gossip.on_transactions(
            peer, payload, from_validator=peer in self._directory.validator_nodes
        )

    def on_checked(self, transactions: Sequence[Transaction]) -> None:
        """Put transactions whose signatures hold into the blocks that wait for them."""
        for block in self._pool.fill(transactions):
            self._driver.block_arrived(block)

    def _on_announce(self, peer: bytes, payload: bytes) -> None:
        if self._guard.may_announce(peer, len(payload) // HASH_BYTES):
            self._gossip.on_announce(peer, payload)

    def _on_get_blocks(self, peer: bytes, payload: bytes) -> None:
        first, count = decode_range(payload)
        if self._guard.may_ask(peer):
            self._answer(peer, BLOCKS, encode_blocks(read_range(self._chain, first, count)))

    def _on_blocks(self, peer: bytes, payload: bytes) -> None:
        self._sync.on_blocks(peer, payload)

    def _on_get_votes(self, peer: bytes, payload: bytes) -> None:
        if len(payload) != VOTE_KEY_BYTES:
            raise InvalidInput("a vote key has 32 bytes", actual=len(payload))
        if self._guard.may_tell_status(peer):
            self._heard.forget(self._chain.height)
            self._answer(peer, VOTES, self._heard.encode(payload))

    def _on_votes(self, peer: bytes, payload: bytes) -> None:
        """Take what a peer heard of our vote key before this process started."""
        key, messages = self._driver.vote_key, decode_votes(payload)
        if key is None or not self._driver.is_held:
            return
        for message in messages:
            digest = message_digest(self._chain.genesis.digest, message)
            if not verify_signature(key, digest, message.signature):
                raise InvalidInput("a message told as ours is not signed by us")
            if not self._driver.knows(message) and message.height > self._signed_height:
                self._signed_height = message.height
                _log.error(
                    "this directory was set back: its vote key signed what the signing file does "
                    "not know of; nothing is signed until that height is final",
                    extra={"height": message.height, "round": message.round},
                )
        self._answered.add(peer)
        self.consider_release()

    def _on_evidence(self, peer: bytes, payload: bytes) -> None:
        if self._gate is not None:
            return  # nobody votes under proof of work
        evidence = decode_evidence(payload)
        height = evidence.first.height
        if height > self._chain.height or self._guard.was_checked(payload):
            return
        if self._driver.evidence.holds(evidence):
            return
        validators = self._chain.store.validators_at(height)
        if validators is None:
            return
        for message in (evidence.first, evidence.second):
            if not verify_message(self._chain.genesis.digest, message, validators):
                raise InvalidInput("a signature of the evidence is wrong")
        self._guard.note_checked(payload)
        self._driver.add_evidence(evidence)

    def _on_height(self, peer: bytes, payload: bytes) -> None:
        height = decode_height(payload)
        self._sync.peer_height(peer, height)
        self._tell_evidence(peer, height)
        self.consider_release()

    def _on_base(self, peer: bytes, payload: bytes) -> None:
        self._sync.peer_base(peer, decode_height(payload))

    def tell_base(self, peer: bytes | None = None) -> None:
        """Tell a peer, or all, which blocks are not here any more."""
        payload = encode_height(self._chain.store.base)
        if peer is None:
            self._peers.broadcast(BASE, payload)
        else:
            self._peers.send(peer, BASE, payload)

    def _concerns(self, message: Vote | Proposal) -> bool:
        if message.height > self._chain.height + 2:
            self._sync.look()
        return 0 < message.height - self._chain.height <= 2

    def _verify(self, message: Vote | Proposal, kind: int, payload: bytes, peer: bytes) -> bool:
        """Tell whether a message is signed as it says; new ones go on to others."""
        if self._guard.was_checked(payload):
            return True
        if verify_message(self._chain.genesis.digest, message, self._chain.validators):
            self._guard.note_checked(payload)
            validator = self._chain.validators[message.validator_index]
            self._heard.note(validator.vote_key, message, payload)
            if isinstance(message, Proposal):
                self._note_proposed(message.block_id, peer)
            self._relay(kind, payload, peer)
            return True
        self.refused += 1
        self._guard.note_bad_signature(peer)
        return False

    def _note_proposed(self, block_id: bytes, source: bytes) -> None:
        """Hand on a block that came before its proposal: only now it is known to be no junk."""
        if block_id in self._proposed:
            return
        self._proposed[block_id] = None
        if len(self._proposed) > MAX_PROPOSED:
            del self._proposed[next(iter(self._proposed))]
        compact = self._pool.find_compact(block_id)
        if compact is not None:
            self._relay(BLOCK, encode_compact_block(compact), source)

    def _relay(self, kind: int, payload: bytes, source: bytes) -> None:
        """Hand on to those who are no validators' nodes: validators' nodes reach one another."""
        for peer in self._peers.peers():
            is_validator = peer.key in self._directory.validator_nodes
            if peer.key != source and not is_validator and not self._peers.is_quiet(peer.key):
                self._peers.send(peer.key, kind, payload)


_HANDLERS: Mapping[int, Callable[[Inbox, bytes, bytes], None]] = {
    VOTE: Inbox._on_vote,
    PROPOSAL: Inbox._on_proposal,
    STATUS: Inbox._on_status,
    CERTIFICATE: Inbox._on_certificate,
    BLOCK: Inbox._on_block,
    GET_BLOCK: Inbox._on_get_block,
    GET_TRANSACTIONS: Inbox._on_get_transactions,
    TRANSACTIONS: Inbox._on_transactions,
    ANNOUNCE: Inbox._on_announce,
    GET_BLOCKS: Inbox._on_get_blocks,
    BLOCKS: Inbox._on_blocks,
    EVIDENCE: Inbox._on_evidence,
    HEIGHT: Inbox._on_height,
    LIGHT: lambda inbox, peer, payload: inbox._light.on_light(peer, payload),
    GET_HEADERS: lambda inbox, peer, payload: inbox._light.on_get_headers(peer, payload),
    ASK: lambda inbox, peer, payload: inbox._light.on_ask(peer, payload),
    BASE: Inbox._on_base,
    GET_VOTES: Inbox._on_get_votes,
    VOTES: Inbox._on_votes,
}

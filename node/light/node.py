"""A light node: follows headers, proves what it answers, and hands transactions on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from node.config import NodeConfig
from node.ledger.block import Header, decode_header
from node.ledger.proofs import (
    Finality,
    decode_account_proof,
    decode_transaction_proof,
    validate_state_inclusion,
    validate_transaction_inclusion,
)
from node.ledger.receipt import Receipt, decode_receipt
from node.ledger.transaction import Transaction, decode_transaction
from node.light.facts import GenesisFacts
from node.light.headers import HeaderChain
from node.light.peers import FullNodes, NobodyAnswered, Withheld, refuse_unanswered
from node.light.state_file import save_state, save_work
from node.light.work_headers import Branch, Parted, WorkHeaders
from node.light_wire import (
    ASK_STATE,
    ASK_SUBMIT,
    ASK_TRANSACTION,
    LIGHT_KINDS,
    MAX_HEADERS,
    Reply,
)
from node.p2p.certificates import NodeCertificate
from node.p2p.service import PeerService
from node.submission import Submission
from node.wire import BLOCKS, GET_BLOCKS, KINDS
from vm.primitives.errors import BitenergyError, InvalidProof, InvalidTransaction
from vm.primitives.signatures import verify_signature

_log = logging.getLogger("bitenergy.light")

SAVE_INTERVAL_S: Final = 60.0
"""How often, at most, the file is written: boards run on SD cards."""
MAX_LAG_BLOCKS: Final = 16
"""How far behind our head a peer's state may be: more is an old truth."""
MAX_SUBMITTED: Final = 1_024
HANDED_TO: Final = 2
"""How many full nodes get each transaction, so that one alone cannot keep it back."""
LEAST_SOURCES: Final = 2
"""How many peers have to show their chains under proof of work, so that one cannot show a light
one of its own."""


@dataclass(frozen=True, slots=True)
class ProvedValue:
    """What the state holds at a key, proved."""

    value: bytes | None
    """The value; None where its absence was proved."""
    header: Header
    """The final header whose state holds it."""


@dataclass(frozen=True, slots=True)
class ProvedTransaction:
    """A final transaction, proved."""

    transaction: Transaction
    """The transaction."""
    receipt: Receipt
    """What became of it."""
    header: Header
    """The header of its block."""
    index: int
    """Its place in the block."""


class LightNode:
    """One light node of one network."""

    def __init__(
        self,
        config: NodeConfig,
        network: GenesisFacts,
        headers: HeaderChain | WorkHeaders,
        identity: NodeCertificate,
        *,
        make_service: Callable[..., PeerService] = PeerService,
    ) -> None:
        """Compose the parts, inside a running event loop; raises BitenergyError.

        `make_service` makes the connections to others.
        """
        self.network = network
        self.config = config
        self.headers = headers
        self._saved_height = self.headers.height
        self._asked: dict[bytes, int] = {}
        self._was_warned = False
        self.proofs_verified = 0
        self.submitted: dict[bytes, Transaction] = {}
        """Transactions that were handed on and are not proved final yet, by id."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Has the error that stops the node, once there is one."""
        self._wake = asyncio.Event()
        self._advanced = asyncio.Condition()
        self._lock = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self.full_nodes = FullNodes(on_height=self._wake.set, on_fatal=self.on_fatal)
        # Whole blocks are of no use here, and as long as all memory that a board gives us.
        kinds = [kind for kind in KINDS if kind.number not in (BLOCKS, GET_BLOCKS)]
        self.service = make_service(
            identity=identity,
            genesis=network.genesis,
            kinds=(*kinds, *LIGHT_KINDS),
            handler=self.full_nodes,
            height=lambda: 0,  # nobody is to ask us for blocks
            random=Random(),
        )
        self.full_nodes.connect(self.service)

    # --- life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Dial the configured peers, trusted by their keys alone, and follow."""
        self.service.update_registry({}, joining=True)
        self.service.configure_peers(self.config.peers)
        for work in (self._follow(), self._save_now_and_then()):
            task = asyncio.ensure_future(work)
            task.add_done_callback(self._task_done)
            self._tasks.append(task)
        _log.info("started", extra={"height": self.headers.height, "genesis": self.network.genesis})
        if len(self.config.peers) < LEAST_SOURCES:
            self._warn()

    async def stop(self) -> None:
        """Stop following, hang up, and keep what was verified."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.service.stop()
        self._save()

    def on_fatal(self, error: BaseException) -> None:
        """Stop the node because of `error`."""
        if not self.failed.done():
            self.failed.set_exception(error)

    def chain_sources(self) -> int:
        """Return how many of the connected peers gave headers that hold."""
        return sum(peer in self._asked for peer in self.full_nodes.connected())

    def warnings(self) -> list[str]:
        """Return why what this node takes for final may not be so."""
        heard = self.chain_sources()
        if isinstance(self.headers, HeaderChain) or heard >= LEAST_SOURCES:
            return []
        text = (
            f"{heard} peers show this node their chain: under proof of work a peer that is heard "
            f"alone can show a chain of its own, so name at least {LEAST_SOURCES} of different "
            "members as peers in node.toml"
        )
        return [text]

    def _warn(self) -> None:
        """Log the warnings, once until there are none."""
        found = self.warnings()
        if found and not self._was_warned:
            _log.warning(found[0])
        self._was_warned = bool(found)

    def is_syncing(self) -> bool:
        """Tell whether full nodes claim to be ahead."""
        return self.full_nodes.claimed_height() > self.headers.height

    def _task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.on_fatal(error)

    # --- following ---------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            peers = self._to_ask()
            if not peers:
                try:
                    async with asyncio.timeout(self.full_nodes.next_turn_s()):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                self._wake.clear()
                continue
            claim = self.full_nodes.connected()[peers[0]]
            try:
                await self._extend_from(peers[0])
                self._asked[peers[0]] = claim
            except Withheld as error:
                _log.info("no headers", extra={"peer": peers[0], "reason": str(error)})
                self.full_nodes.pass_over(peers[0])
            except BitenergyError as error:
                self.full_nodes.note_lie(peers[0], error)

    def _to_ask(self) -> list[bytes]:
        """Return who may know more than we do, the best first.

        Where work decides, that is everybody who told of a new height: any of them may have the
        heavier chain.
        """
        if isinstance(self.headers, HeaderChain):
            return self.full_nodes.ranked(above=self.headers.height)
        claims = self.full_nodes.connected()
        self._asked = {peer: told for peer, told in self._asked.items() if peer in claims}
        ranked = self.full_nodes.ranked()
        return [peer for peer in ranked if self._asked.get(peer) != claims[peer]]

    async def _extend_from(self, peer: bytes) -> None:
        """Verify the next headers, as one peer gives them; raises BitenergyError."""
        async with self._lock:
            before = self.headers.height
            try:
                if isinstance(self.headers, HeaderChain):
                    self.headers.extend(await self._get_headers(peer, before + 1))
                else:
                    await self._follow_branch(peer, self.headers)
            finally:
                if self.headers.height > before:
                    async with self._advanced:
                        self._advanced.notify_all()

    async def _get_headers(self, peer: bytes, first: int) -> Sequence[Finality]:
        entries = await self.full_nodes.get_headers(peer, first)
        if not entries:
            # Perhaps it keeps only the last ones: it is asked again, but after the others.
            raise Withheld(
                f"the peer has no headers from height {first} on; if it has deleted them, an "
                "archive node has them, or `trust` in node.toml lets this node begin later"
            )
        return entries

    async def _follow_branch(self, peer: bytes, headers: WorkHeaders) -> None:
        """Verify the branch that a peer has, from where it leaves what is remembered here."""
        branch: Branch | None = None
        first, back = headers.next_height(), 1
        while True:
            entries = await self._get_headers(peer, first)
            if branch is None:
                try:
                    branch = headers.start(entries)
                except Parted:
                    first = max(first - back, headers.begin.height + 1)
                    back *= 4
                    continue
            if not headers.extend(branch, entries) or len(entries) < MAX_HEADERS:
                return
            first = branch.height + 1

    async def _reach(self, height: int, peer: bytes) -> None:
        """Verify headers up to a height that a peer spoke of; raises if it gives none."""
        while self.headers.height < height:
            before = self.headers.height
            await self._extend_from(peer)
            if self.headers.height == before:
                raise Withheld("the peer speaks of a block that its headers do not make final")

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_INTERVAL_S)
            self._save()
            self._warn()

    def _save(self) -> None:
        if self.headers.height > self._saved_height:
            if isinstance(self.headers, HeaderChain):
                save_state(self.config.data, self.headers)
            else:
                save_work(self.config.data, self.headers)
            self._saved_height = self.headers.height

    # --- proofs ------------------------------------------------------------------------------

    async def prove(self, key: bytes) -> ProvedValue:
        """Return what the state holds at `key`; raises NobodyAnswered."""
        least = self.headers.height - MAX_LAG_BLOCKS

        async def read(peer: bytes, reply: Reply) -> ProvedValue:
            refuse_unanswered(reply)
            proof = decode_account_proof(reply.data)
            header = await self._final_header(peer, proof.finality)
            if header.height < least:
                raise Withheld("the peer is behind and knows an old state only")
            if proof.key != key:
                raise InvalidProof("the proof is of another key", expected=key, actual=proof.key)
            validate_state_inclusion(proof, header)
            self.proofs_verified += 1
            return ProvedValue(proof.value, header)

        return await self.full_nodes.ask_until(ASK_STATE, key, read)

    async def find_transaction(self, transaction_id: bytes) -> ProvedTransaction | None:
        """Return a final transaction, proved; None where no peer can prove that it is final."""

        async def read(peer: bytes, reply: Reply) -> ProvedTransaction:
            refuse_unanswered(reply)
            proof = decode_transaction_proof(reply.data)
            header = await self._final_header(peer, proof.finality)
            validate_transaction_inclusion(proof, header)
            transaction = decode_transaction(proof.transaction)
            if transaction.id != transaction_id:
                raise InvalidProof("the proof is of another transaction", actual=transaction.id)
            self.proofs_verified += 1
            self.submitted.pop(transaction_id, None)
            receipt = decode_receipt(proof.receipt)
            return ProvedTransaction(transaction, receipt, header, proof.transaction_path.index)

        try:
            return await self.full_nodes.ask_until(ASK_TRANSACTION, transaction_id, read)
        except NobodyAnswered:
            return None

    async def wait_final(self, transaction_id: bytes, timeout_s: float) -> ProvedTransaction | None:
        """Return a transaction once it is proved final; None if it is not in time."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + timeout_s
        while True:
            height = self.headers.height
            found = await self.find_transaction(transaction_id)
            if found is not None or loop.time() >= end_s:
                return found
            try:
                async with asyncio.timeout_at(end_s), self._advanced:
                    await self._advanced.wait_for(lambda: self.headers.height > height)  # noqa: B023
            except TimeoutError:
                pass

    async def _final_header(self, peer: bytes, finality: Finality) -> Header:
        """Return the header of a proof once it is verified; raises BitenergyError."""
        await self._reach(decode_header(finality.header).height, peer)
        return self.headers.validate_final(finality)

    # --- transactions ------------------------------------------------------------------------

    async def submit(self, raw: bytes) -> Submission:
        """Hand a transaction to full nodes; what is malformed is refused here."""
        try:
            transaction = decode_transaction(raw)
            if transaction.genesis != self.network.genesis:
                raise InvalidTransaction(
                    "the transaction is for another network",
                    code="wrong_network",
                    expected=self.network.genesis,
                    actual=transaction.genesis,
                )
            if not verify_signature(transaction.key, transaction.digest, transaction.signature):
                raise InvalidTransaction("the signature is wrong", code="bad_signature")
        except BitenergyError as error:
            return Submission(b"", error.code, str(error))
        refusal = Submission(transaction.id, "no_peers", "no full node is connected")
        handed = 0
        for peer in self.full_nodes.ranked():
            try:
                reply = await self.full_nodes.ask(peer, ASK_SUBMIT, raw)
            except BitenergyError as error:
                refusal = Submission(transaction.id, error.code, str(error))
                continue
            if reply.code:
                refusal = Submission(transaction.id, reply.code, reply.message)
                continue
            handed += 1
            if handed == HANDED_TO:
                break
        if not handed:
            return refusal
        self._remember(transaction)
        return Submission(transaction.id, "", "")

    def next_nonce(self, account: bytes, proved: int) -> int:
        """Return the nonce after an account's final transactions and those handed on here."""
        waiting = [each.nonce + 1 for each in self.submitted.values() if each.sender == account]
        return max([proved, *waiting])

    def _remember(self, transaction: Transaction) -> None:
        for known, each in list(self.submitted.items()):
            if each.expiry_height < self.headers.height or len(self.submitted) >= MAX_SUBMITTED:
                del self.submitted[known]
        self.submitted[transaction.id] = transaction

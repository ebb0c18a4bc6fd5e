"""A node in memory for tests of its API: a real store and real blocks, no peers and no engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from consensus.interface import EngineView
from consensus.messages import Step
from node.facade import FinalBlock, Finding, MempoolInfo, PeerInfo
from node.ledger.certificate import encode_certificate
from node.ledger.chain_rules import BlockBuilding, Candidate, Parent, build_genesis
from node.ledger.execution import read_parameters
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import Transaction, decode_transaction, sign_transaction
from node.modules import make_runtime
from node.store import Store
from node.submission import Submission
from tests.ledger.support import certify, genesis_document, id_of, key_of, seed
from vm.parameters import ChainParameters
from vm.primitives.errors import BitenergyError
from vm.runtime import Call
from vm.system.accounts import read_account
from vm.system.validators import read_validators

KWH = 1_000_000
TOKEN = 1_000_000
MARKETS = [
    {
        "name": "local",
        "line_policy": "penalty",
        "penalty_price": "0.1",
        "penalty_payee": "seller",
        "pair_limits_kwh": {"P1-P2": "1"},
    },
    {
        "name": "feeder",
        "line_policy": "skip",
        "interval_minutes": 60,
        "gate_closure_minutes": 5,
        "network": {
            "slack": "S",
            "buses": ["S", "N1", "N2"],
            "lines": [
                {"name": "L1", "from": "S", "to": "N1", "rating_w": 5000},
                {"name": "L2", "from": "N1", "to": "N2", "rating_w": 3000, "owner": "V1"},
            ],
        },
    },
]

AREA = {
    "name": "feeder",
    "market": "feeder",
    "reward": "2",
    "bond": "1",
    "pot": "10",
    "units": [
        {
            "name": "G1",
            "owner": "P1",
            "bus": "N1",
            "kind": "generator",
            "bids": [{"a": "0", "b": "100000000000000000000", "lo_w": 0, "hi_w": 4000}],
        },
        {
            "name": "H1",
            "owner": "P2",
            "bus": "N2",
            "kind": "load",
            "bids": [{"a": "0", "b": "300000000000000000000", "lo_w": -9000, "hi_w": 0}],
        },
    ],
}


def make_document() -> bytes:
    """Return the genesis file of the tests' network: two markets, a dispatch area, contracts."""
    modules = {
        "market": {"markets": MARKETS},
        "dispatch": {"areas": [AREA]},
        "contracts": {"deploy_roles": ["prosumer"]},
    }
    document = genesis_document(modules=modules)
    members = document["members"]
    assert isinstance(members, list)
    for member, bus in zip(members[-2:], ("N1", "N2"), strict=True):
        member["bus"] = bus
    return json.dumps(document).encode()


class Following:
    """A subscription as the facade promises it."""

    def __init__(self, node: FakeNode) -> None:
        self.queue: asyncio.Queue[FinalBlock | None] = asyncio.Queue()
        self._node = node
        node.followers.append(self)

    def close(self) -> None:
        if self in self._node.followers:
            self._node.followers.remove(self)


class FakeNode:
    """A NodeFacade whose chain moves only when a test says so."""

    def __init__(self, folder: Path, document: bytes = b"") -> None:
        self.genesis_document = document or make_document()
        self.genesis = decode_genesis(self.genesis_document)
        self.runtime = make_runtime(self.genesis.roles)
        self.store = Store(folder)
        self.name = "V1"
        self.followers: list[Following] = []
        self.submitted: list[bytes] = []
        self.waiting: dict[bytes, Transaction] = {}
        self.accepting = True
        self.branch: list[Candidate] = []
        self.failure: BaseException | None = None
        first = build_genesis(self.runtime, self.genesis)
        self.store.commit(first, None)
        self._parent = Parent(first.header, first.block_id, self.store)
        self._certificate = b""
        self._nonces: dict[str, int] = {}

    # --- moving the chain --------------------------------------------------------------------

    def transaction(self, name: str, *calls: Call, signer: str = "") -> Transaction:
        """Return the next signed transaction of a member."""
        account = read_account(self.store, id_of(name))
        nonce = max(self._nonces.get(name, 0), account.nonce if account else 0)
        self._nonces[name] = nonce + 1
        return sign_transaction(
            seed(signer or name),
            genesis=self.genesis.digest,
            sender=id_of(name),
            key=key_of(name),
            nonce=nonce,
            gas_limit=2_000_000,
            max_fee_micro=0,
            expiry_height=1_000,
            calls=calls,
        )

    def grow(self, *transactions: Transaction) -> Candidate:
        """Make the next block final and tell those who follow."""
        building = BlockBuilding(
            self.runtime,
            self._parent,
            time_ms=self._parent.header.time_ms + 1_000,
            proposer=id_of("V1"),
            last_commit=self._certificate,
            evidence=(),
            validators_at=lambda _: read_validators(self.store),
        )
        for _ in building.steps(transactions, slice_size=1_000):
            pass
        block = building.candidate
        assert block is not None
        assert not building.dropped
        certificate = certify(
            self.genesis.digest,
            block.header.height,
            block.block_id,
            read_validators(self.store),
        )
        self.store.commit(block, certificate)
        self._certificate = encode_certificate(certificate)
        self._parent = Parent(block.header, block.block_id, self.store)
        for transaction in transactions:
            self.waiting.pop(transaction.id, None)
        for follower in list(self.followers):
            follower.queue.put_nowait(FinalBlock(block, block.header.time_ms + 5))
        return block

    def grow_until(self, time_ms: int) -> None:
        """Make blocks until one is not before a time."""
        while self._parent.header.time_ms < time_ms:
            self.grow()

    def trade(self) -> Candidate:
        """Let P1 post two offers and P2 buy from both, in two blocks; return the second."""
        self.grow(
            self.transaction("P1", ("market", "post", ("local", 0, KWH // 2, 9 * TOKEN))),
            self.transaction("P1", ("market", "post", ("local", 0, KWH, 10 * TOKEN))),
        )
        buy = ("market", "buy", ("local", 0, KWH, 11 * TOKEN, False))
        return self.grow(self.transaction("P2", buy))

    # --- NodeFacade --------------------------------------------------------------------------

    def parameters(self) -> ChainParameters:
        return read_parameters(self.store)

    def engine_view(self) -> EngineView:
        return EngineView(self.store.height + 1, 0, Step.PROPOSE, 1, 0, -1, (2,), (2, 9))

    def is_syncing(self) -> bool:
        return False

    def peers(self) -> Sequence[PeerInfo]:
        return [PeerInfo(key_of("V2", "node"), "V2", "127.0.0.1:8421", "out", 3, 100, 200, -1)]

    def mempool(self) -> MempoolInfo:
        return MempoolInfo(
            len(self.waiting), sum(len(tx.raw) for tx in self.waiting.values()), 1_000_000
        )

    def find_waiting(self, transaction_id: bytes) -> Transaction | None:
        if self.failure is not None:
            raise self.failure
        return self.waiting.get(transaction_id)

    def next_nonce(self, account: bytes) -> int:
        found = read_account(self.store, account)
        waiting = [tx.nonce + 1 for tx in self.waiting.values() if tx.sender == account]
        return max([found.nonce if found else 0, *waiting])

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[Submission]:
        self.submitted.extend(transactions)
        results = []
        for raw in transactions:
            try:
                transaction = decode_transaction(raw)
            except BitenergyError as error:
                results.append(Submission(b"", error.code, str(error)))
                continue
            if self.accepting:
                self.waiting[transaction.id] = transaction
                results.append(Submission(transaction.id, "", ""))
            else:
                results.append(Submission(transaction.id, "mempool_full", "no room"))
        return results

    def undecided(self) -> Sequence[Candidate]:
        return self.branch

    def subscribe(self) -> Following:
        return Following(self)

    def doctor(self) -> Sequence[Finding]:
        return [Finding("warning", "validators", "V3 does not vote.")]

    def metrics(self) -> Mapping[str, int]:
        return {"height": self.store.height, "blocks_total": 7}

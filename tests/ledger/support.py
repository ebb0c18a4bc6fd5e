"""A small network in memory for tests: known keys, a genesis, a chain that grows by the block.

Everything follows from names: the seed of a key is the hash of what the key is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from consensus.messages import CommitCertificate, Proposal, Vote, VoteKind
from node.ledger.block import Body, Header
from node.ledger.certificate import encode_certificate, message_digest
from node.ledger.chain_rules import BlockBuilding, Candidate, Parent, apply_block, build_genesis
from node.ledger.genesis import Genesis, decode_genesis
from node.ledger.receipt import Receipt
from node.ledger.state_tree import update_tree
from node.ledger.transaction import Transaction, sign_transaction
from node.p2p.certificates import make_certificate
from vm.module import Module
from vm.overlay import ORDERED_SPACES, StateReader
from vm.primitives.address import account_id
from vm.primitives.errors import InvalidTransaction
from vm.primitives.signatures import public_key, sign
from vm.runtime import Call, Runtime
from vm.system.accounts import Account, AccountsModule, read_account
from vm.system.members import MembersModule
from vm.system.validators import Validator, read_validators

ROLES = ("operator", "validator", "edc", "dso", "prosumer", "consumer")
TIME_MS = 1_700_000_000_000
PARAMETERS: Mapping[str, int] = {
    "gas_price_micro": 0,
    "max_block_gas": 2_000_000_000,
    "max_block_bytes": 1_000_000,
    "max_transaction_bytes": 16_384,
    "max_transaction_gas": 20_000_000,
    "max_expiry_blocks": 100_000,
    "max_drift_ms": 10_000,
    "block_interval_ms": 250,
    "heartbeat_ms": 60_000,
    "due_gas_per_block": 50_000_000,
    "operator_threshold": 1,
    "evidence_max_age_blocks": 100_000,
}
"""All of them, so that what a chain takes where genesis is silent plays no part in tests."""
MEMBERS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "Op": (("operator",), "0", "0"),
    "Op2": (("operator",), "0", "0"),
    "V1": (("validator",), "0", "0"),
    "V2": (("validator",), "0", "0"),
    "V3": (("validator",), "0", "0"),
    "V4": (("validator",), "0", "0"),
    "P1": (("prosumer",), "1000", "5"),
    "P2": (("prosumer", "consumer"), "500.5", "2.25"),
}
"""Name to roles, tokens and kWh."""


def seed(name: str, purpose: str = "account") -> bytes:
    """Return the seed of a member's key for `purpose`, 32 bytes."""
    return sha256(f"{purpose} of {name}".encode()).digest()


def key_of(name: str, purpose: str = "account") -> bytes:
    """Return a member's public key for `purpose`, 32 bytes."""
    return public_key(seed(name, purpose))


def node_proof(name: str, purpose: str = "node") -> bytes:
    """Return the proof of a member's node key for `purpose`, 64 bytes."""
    return make_certificate(seed(name, purpose)).proof


def id_of(name: str) -> bytes:
    """Return the account id that a member's first key opened, 20 bytes."""
    return account_id(key_of(name))


def genesis_document(**changes: object) -> dict[str, object]:
    """Return a genesis file as JSON gives it; `changes` replace fields, or single parameters."""
    members = []
    for name, (roles, balance, energy) in MEMBERS.items():
        member: dict[str, object] = {
            "name": name,
            "roles": list(roles),
            "balance": balance,
            "energy": energy,
            "key": key_of(name).hex(),
        }
        if "validator" in roles:
            member["vote_key"] = key_of(name, "vote").hex()
            member["node_key"] = key_of(name, "node").hex()
            member["node_proof"] = node_proof(name).hex()
        members.append(member)
    document: dict[str, object] = {
        "chain": "unit-test",
        "time_ms": TIME_MS,
        "engine": {"name": "poa", "parameters": {}},
        "parameters": dict(PARAMETERS),
        "roles": list(ROLES),
        "members": members,
        "modules": {},
        "about": "Keys follow from names; never use them.",
    }
    parameters = changes.pop("parameters", {})
    return document | changes | {"parameters": dict(PARAMETERS) | dict(parameters)}


def genesis_bytes(**changes: object) -> bytes:
    """Return the same as the bytes of a file."""
    return json.dumps(genesis_document(**changes)).encode()


class MemoryState:
    """A whole state in a dictionary, with its tree."""

    def __init__(self, entries: Mapping[bytes, bytes]) -> None:
        self.entries = dict(entries)
        update = update_tree(lambda path: None, self.entries)
        self.root = update.root
        self.pages = update.pages

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key in sorted(self.entries):
            if start <= key < end and key[0] in ORDERED_SPACES:
                yield key, self.entries[key]

    def page(self, path: str) -> bytes | None:
        return self.pages.get(path)

    def after(self, changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
        """Return the entries after `changes`."""
        merged = self.entries | dict(changes)
        return {key: value for key, value in merged.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Built:
    """A block that a chain built, and what could not stand in it."""

    candidate: Candidate
    """The block."""
    dropped: list[tuple[Transaction, InvalidTransaction]]
    """What was left out, with the reason."""

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """The receipts of the block's transactions."""
        executed = self.candidate.executed
        return executed.receipts[executed.first_transaction :]

    @property
    def codes(self) -> list[str]:
        """Their codes."""
        return [receipt.code for receipt in self.receipts]


class Chain:
    """A chain in memory that only moves when a test says so."""

    def __init__(self, *modules: Module, **changes: object) -> None:
        self.genesis: Genesis = decode_genesis(genesis_bytes(**changes))
        base: list[Module] = [AccountsModule(), MembersModule(self.genesis.roles)]
        self.runtime = Runtime([*base, *modules], self.genesis.roles)
        self.first = build_genesis(self.runtime, self.genesis)
        self.entries: dict[bytes, bytes] = {
            key: value
            for key, value in self.first.executed.state.overlay.changes.items()
            if value is not None
        }
        self.parent = self.first.as_parent()
        self.certificate = b""

    @property
    def state(self) -> StateReader:
        """The state after the last block."""
        return self.parent.state

    @property
    def height(self) -> int:
        """The height of the next block."""
        return self.parent.header.height + 1

    def account(self, name: str) -> Account:
        """Return a member's account."""
        found = read_account(self.state, id_of(name))
        if found is None:
            raise LookupError(name)
        return found

    def nonce(self, name: str) -> int:
        """Return the nonce of a member's next transaction."""
        return self.account(name).nonce

    def transaction(
        self,
        name: str,
        *calls: Call,
        nonce: int | None = None,
        signer: str | None = None,
        gas_limit: int = 1_000_000,
        max_fee_micro: int = 0,
        expiry_height: int = 1_000,
        genesis: bytes | None = None,
        seed_purpose: str = "account",
    ) -> Transaction:
        """Return a transaction of the member `name`, by default one that holds now."""
        seed_ = seed(signer or name, seed_purpose)
        return sign_transaction(
            seed_,
            genesis=self.genesis.digest if genesis is None else genesis,
            sender=id_of(name),
            key=public_key(seed_),
            nonce=self.nonce(name) if nonce is None else nonce,
            gas_limit=gas_limit,
            max_fee_micro=max_fee_micro,
            expiry_height=expiry_height,
            calls=calls or (("accounts", "transfer", (id_of("Op"), 1, "")),),
        )

    def build(
        self,
        transactions: Iterable[Transaction] = (),
        *,
        time_ms: int | None = None,
        evidence: Sequence[bytes] = (),
        proposer: str = "V1",
    ) -> Built:
        """Return the next block with those of `transactions` that can stand in it."""
        building = BlockBuilding(
            self.runtime,
            self.parent,
            time_ms=self.parent.header.time_ms + 1_000 if time_ms is None else time_ms,
            proposer=id_of(proposer),
            last_commit=self.certificate,
            evidence=evidence,
            validators_at=self.validators_at,
        )
        for _ in building.steps(transactions, slice_size=3):
            pass
        if building.candidate is None:
            raise AssertionError("building ended without a block")
        return Built(building.candidate, building.dropped)

    def check(
        self,
        block: Candidate,
        *,
        header: Header | None = None,
        body: Body | None = None,
        transactions: Sequence[Transaction] | None = None,
        parent: Parent | None = None,
    ) -> Candidate:
        """Check a block, or a changed copy of it, as another node would."""
        return apply_block(
            self.runtime,
            parent or self.parent,
            header=header or block.header,
            body=body or block.body,
            transactions=block.transactions if transactions is None else transactions,
            validators_at=self.validators_at,
        )

    def grow(self, *transactions: Transaction, **options: object) -> Built:
        """Build the next block, check it as another node would, and stand on it."""
        built = self.build(transactions, **options)
        checked = self.check(built.candidate)
        if checked.executed.receipts != built.candidate.executed.receipts:
            raise AssertionError("building and checking disagree")
        self.certificate = encode_certificate(self.certify(built.candidate))
        self.parent = checked.as_parent()
        for key, value in checked.executed.state.overlay.changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        return built

    def run(self, name: str, *calls: Call, **options: object) -> Receipt:
        """Grow by one transaction and return its receipt."""
        return self.grow(self.transaction(name, *calls, **options)).receipts[0]

    def validators_at(self, height: int) -> Sequence[Validator]:
        """Return the validators of any height: those of the last state."""
        return read_validators(self.state)

    def sign_message(self, message: Vote | Proposal, name: str) -> bytes:
        """Return a validator's signature of a vote or proposal."""
        return sign(seed(name, "vote"), message_digest(self.genesis.digest, message))

    def certify(
        self, block: Candidate, *, signers: Sequence[int] | None = None
    ) -> CommitCertificate:
        """Return the commit certificate of a block, signed by those at the places `signers`."""
        return certify(
            self.genesis.digest, block.header.height, block.block_id, self.validators_at(0), signers
        )


def certify(
    genesis: bytes,
    height: int,
    block_id: bytes,
    validators: Sequence[Validator],
    signers: Sequence[int] | None = None,
) -> CommitCertificate:
    """Return a commit certificate of round 0, by default signed by all of MEMBERS."""
    names = {key_of(name, "vote"): name for name in MEMBERS}
    vote = Vote(VoteKind.PRECOMMIT, height, 0, block_id, 0)
    digest = message_digest(genesis, vote)
    places = range(len(validators)) if signers is None else signers
    signatures = tuple(
        (place, sign(seed(names[validators[place].vote_key], "vote"), digest))
        for place in places
        if validators[place].vote_key in names
    )
    return CommitCertificate(height, 0, block_id, signatures)

"""Checking the chain's word about an account without trusting the node that passes it on.

The trust begins at the network's pinned genesis hash: the genesis file that has this hash names
the first validators; each later set was named by a header that the set before it signed. The
node only carries the bytes from which all this is checked. A proof's file holds those headers too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from market.meters.records import CHUNK_INTERVALS, CHUNK_SPACE, QUALITY_NAMES, decode_chunk
from node.ledger.block import Header, decode_header
from node.ledger.certificate import decode_certificate
from node.ledger.genesis import Genesis, decode_genesis
from node.ledger.proof_paths import (
    MAX_PROOF_FILE_BYTES,
    MAX_STEPS,
    FollowedProof,
    Trust,
    decode_proof,
    validate_proof,
)
from node.ledger.proofs import AccountProof, Finality, TransactionProof
from node.ledger.receipt import Receipt, decode_receipt
from node.ledger.transaction import Transaction, decode_transaction
from tools.client import base64_field
from tools.errors import ToolError
from tools.session import Session
from vm.primitives.address import TEXT_LENGTH, account_id, decode_address, encode_address
from vm.primitives.errors import InvalidProof
from vm.system.accounts import STATUS_NAMES, Account, account_key, decode_account
from vm.system.changes import ENGINES_BY_DEPTH
from vm.system.members import NAME_SPACE

FIRST_CERTIFIED_HEIGHT: Final = 1


@dataclass(frozen=True, slots=True)
class FetchedProof:
    """What a node hands out when it is asked for an account's proof."""

    account: bytes
    """Bytes of the proof of the account's leaf, as its file holds them."""
    name: bytes
    """Bytes of the proof of the name's leaf; empty if the node gave none."""


@dataclass(frozen=True, slots=True)
class VerifiedTransaction:
    """A final transaction as the network's validators signed it."""

    transaction: Transaction
    """What was asked for."""
    receipt: Receipt
    """What became of it."""
    header: Header
    """The header of its block."""
    signers: int
    """How many validators signed the block."""

    def as_json(self) -> dict[str, object]:
        """Return what was proved, in short; `tx show` tells the rest."""
        return {
            "id": self.transaction.id.hex(),
            "code": self.receipt.code,
            "sender": encode_address(self.transaction.sender),
            "height": self.header.height,
            "time_ms": self.header.time_ms,
            "block_id": self.header.block_id().hex(),
            "signers": self.signers,
        }


@dataclass(frozen=True, slots=True)
class VerifiedReading:
    """A member's reading as the network's validators signed it."""

    member: bytes
    """The member whose connection was measured, 20 bytes."""
    interval: int
    """The delivery interval."""
    injected_milli_wh: int
    """Energy that went into the network."""
    withdrawn_milli_wh: int
    """Energy that came out of the network."""
    quality: str
    """How it is known."""
    header: Header
    """The header whose state holds it."""
    signers: int
    """How many validators signed the header's block."""

    def as_json(self) -> dict[str, object]:
        """Return all that was proved, amounts in base units."""
        return {
            "address": encode_address(self.member),
            "interval": self.interval,
            "injected_milli_wh": self.injected_milli_wh,
            "withdrawn_milli_wh": self.withdrawn_milli_wh,
            "quality": self.quality,
            "height": self.header.height,
            "time_ms": self.header.time_ms,
            "block_id": self.header.block_id().hex(),
            "state_root": self.header.state_root.hex(),
            "signers": self.signers,
        }


@dataclass(frozen=True, slots=True)
class VerifiedAccount:
    """An account as the network's validators signed it."""

    account: bytes
    """Account id, 20 bytes."""
    leaf: Account | None
    """Its leaf; None where its absence was proved."""
    roles: tuple[str, ...]
    """Names of its roles."""
    header: Header
    """The header whose state holds it."""
    signers: int
    """How many validators signed the header's block."""

    def as_json(self) -> dict[str, object]:
        """Return all that was proved, amounts in base units."""
        found: dict[str, object] = {
            "address": encode_address(self.account),
            "exists": self.leaf is not None,
            "height": self.header.height,
            "time_ms": self.header.time_ms,
            "block_id": self.header.block_id().hex(),
            "state_root": self.header.state_root.hex(),
            "signers": self.signers,
        }
        if self.leaf is not None:
            found |= {
                "key": self.leaf.key.hex(),
                "roles": list(self.roles),
                "status": STATUS_NAMES[self.leaf.status],
                "nonce": self.leaf.nonce,
                "money_micro": self.leaf.money_micro,
                "money_reserved_micro": self.leaf.money_reserved_micro,
                "energy_milli_wh": self.leaf.energy_milli_wh,
                "energy_reserved_milli_wh": self.leaf.energy_reserved_milli_wh,
            }
        return found


def fetch_account_proof(session: Session, who: str, *, begin: int | None = None) -> FetchedProof:
    """Return the proof of the account of `who` as the node gives it; nothing is verified.

    It leads there from genesis, or from the block at the height `begin`.
    """
    wallet = session.wallet
    asked = encode_address(wallet.describe(who).account) if who in wallet.names() else who
    answer = session.client().get(f"/proofs/account/{quote(asked, safe='')}")
    proof = decode_proof(base64_field(answer, "proof")).proof
    steps = _collect_steps(session, proof.finality, begin)
    name = b""
    if answer.get("name_proof"):
        inner = decode_proof(base64_field(answer, "name_proof")).proof
        name = FollowedProof(steps, inner).encode()
    return FetchedProof(FollowedProof(steps, proof).encode(), name)


def fetch_transaction_proof(
    session: Session, transaction_id: str, *, begin: int | None = None
) -> bytes:
    """Return the proof of a final transaction as the node gives it; nothing is verified."""
    answer = session.client().get(f"/proofs/transaction/{transaction_id}")
    proof = decode_proof(base64_field(answer, "proof")).proof
    return FollowedProof(_collect_steps(session, proof.finality, begin), proof).encode()


def fetch_reading_proof(
    session: Session, member: bytes, interval: int, *, begin: int | None = None
) -> bytes:
    """Return the proof of a member's reading as the node gives it; nothing is verified.

    The node gives it to requests that are signed by those whom the reading concerns.
    """
    answer = session.client().get(f"/proofs/reading/{encode_address(member)}/{interval}")
    proof = decode_proof(base64_field(answer, "proof")).proof
    return FollowedProof(_collect_steps(session, proof.finality, begin), proof).encode()


def load_proof(path: Path) -> bytes:
    """Return the proof that an earlier command kept in `path`."""
    with path.open("rb") as handle:
        return handle.read(MAX_PROOF_FILE_BYTES + 1)


def verify_transaction_proof(
    session: Session,
    data: bytes,
    transaction_id: str,
    *,
    genesis_file: Path | None = None,
    offline: bool = False,
) -> VerifiedTransaction:
    """Return the transaction that the proof shows; raises InvalidProof, DecodeError or ToolError.

    `genesis_file` is read instead of asking the node; with `offline` no node is asked at all.
    """
    genesis = _pinned_genesis(session, genesis_file, offline=offline)
    header = validate_proof(decode_proof(data), _trust(genesis))
    proof = decode_proof(data).proof
    if not isinstance(proof, TransactionProof):
        raise InvalidProof("the proof is of an account, not of a transaction")
    transaction = decode_transaction(proof.transaction)
    if transaction.id.hex() != transaction_id:
        raise InvalidProof(
            "the proof is of another transaction",
            expected=transaction_id,
            actual=transaction.id,
            hint="The node answered with another transaction's proof: do not trust it.",
        )
    signers = len(decode_certificate(proof.finality.certificate).signatures)
    return VerifiedTransaction(transaction, decode_receipt(proof.receipt), header, signers)


def verify_account_proof(
    session: Session,
    fetched: FetchedProof,
    who: str,
    *,
    genesis_file: Path | None = None,
    offline: bool = False,
) -> VerifiedAccount:
    """Return the account that the proof shows; raises InvalidProof, DecodeError or ToolError.

    `genesis_file` is read instead of asking the node; with `offline` no node is asked at all.
    """
    genesis = _pinned_genesis(session, genesis_file, offline=offline)
    proof, header = _validate_state(fetched.account, genesis)
    account = _account_meant(session, genesis, who) or _account_named(genesis, fetched.name, who)
    if proof.key != account_key(account) or len(account) != 20:
        raise InvalidProof(
            f"the proof is not of the account of {who}",
            expected=account_key(account),
            actual=proof.key,
            hint="The node answered with another account's proof: do not trust it.",
        )
    leaf = None if proof.value is None else decode_account(proof.value)
    mask = 0 if leaf is None else leaf.roles
    return VerifiedAccount(
        account,
        leaf,
        tuple(name for place, name in enumerate(genesis.roles) if mask >> place & 1),
        header,
        len(decode_certificate(proof.finality.certificate).signatures),
    )


def verify_reading_proof(
    session: Session,
    data: bytes,
    member: bytes,
    interval: int,
    *,
    genesis_file: Path | None = None,
    offline: bool = False,
) -> VerifiedReading:
    """Return the reading that the proof shows; raises InvalidProof, DecodeError or ToolError.

    `genesis_file` is read instead of asking the node; with `offline` no node is asked at all.
    """
    genesis = _pinned_genesis(session, genesis_file, offline=offline)
    proof, header = _validate_state(data, genesis)
    number, place = divmod(interval, CHUNK_INTERVALS)
    is_members = proof.key[:-2] == CHUNK_SPACE + member and proof.value is not None
    chunk = decode_chunk(proof.value) if is_members and proof.value is not None else None
    if chunk is None or chunk.number != number:
        raise InvalidProof(
            "the proof is not of this reading",
            expected=f"interval {interval} of {encode_address(member)}",
            actual=proof.key,
            hint="The node answered with another proof: do not trust it.",
        )
    return VerifiedReading(
        member,
        interval,
        chunk.injected[place],
        chunk.withdrawn[place],
        QUALITY_NAMES[chunk.quality(place)],
        header,
        len(decode_certificate(proof.finality.certificate).signatures),
    )


class StateVerifier:
    """Checks a node's proofs of the state, each followed from the pinned network's genesis."""

    __slots__ = ("_session", "_steps", "_trust")

    def __init__(self, session: Session) -> None:
        """Work out who validates first; raises ToolError."""
        self._session = session
        self._trust = _trust(_pinned_genesis(session, None, offline=False))
        self._steps: dict[bytes, tuple[Finality, ...]] = {}

    def verify(self, data: bytes, key: bytes) -> tuple[bytes | None, Header]:
        """Return what a proof shows that the state holds at `key`, and in which block's state.

        Raises InvalidProof, DecodeError or ToolError.
        """
        proof = decode_proof(data).proof
        validators = decode_header(proof.finality.header).validators
        steps = self._steps.get(validators)
        if steps is None:
            steps = _collect_steps(self._session, proof.finality, None)
            self._steps[validators] = steps
        followed = FollowedProof(steps, proof)
        header = validate_proof(followed, self._trust)
        if not isinstance(proof, AccountProof):
            raise InvalidProof("the proof is of a transaction, not of the state")
        if proof.key != key:
            raise InvalidProof("the proof is of another key", expected=key, actual=proof.key)
        return proof.value, header


def verify_state_proof(session: Session, data: bytes, key: bytes) -> tuple[bytes | None, Header]:
    """Return what one proof shows that the state holds at `key`; see StateVerifier."""
    return StateVerifier(session).verify(data, key)


def first_validators(genesis: Genesis) -> bytes:
    """Return the hash of the validators of block 1, 32 bytes: all of genesis is worked out."""
    from node.ledger.chain_rules import build_genesis
    from node.modules import make_runtime

    return build_genesis(make_runtime(genesis.roles), genesis).header.next_validators


def _trust(genesis: Genesis) -> Trust:
    if genesis.engine in ENGINES_BY_DEPTH:
        raise ToolError(
            "nobody signs blocks under proof of work, so genesis alone proves nothing",
            code="not_provable",
            hint="Give tools/verify_proof.py the proof's block as HEIGHT:ID, as a light node or "
            "another node that you trust tells it, or run a light node: it proves what it shows.",
        )
    return Trust(genesis.digest, first_validators(genesis), FIRST_CERTIFIED_HEIGHT)


def _validate_state(data: bytes, genesis: Genesis) -> tuple[AccountProof, Header]:
    followed = decode_proof(data)
    header = validate_proof(followed, _trust(genesis))
    if not isinstance(followed.proof, AccountProof):
        raise InvalidProof("the proof is of a transaction, not of an account")
    return followed.proof, header


def _collect_steps(session: Session, finality: Finality, begin: int | None) -> tuple[Finality, ...]:
    """Return the node's headers from genesis, or the block at `begin`, to a proof's validators.

    Nothing of it is believed: whoever checks the proof checks the steps. Raises InvalidProof where
    they cannot lead anywhere.
    """
    last = decode_header(finality.header)
    if begin == last.height or (begin is None and not finality.certificate):
        return ()  # the proof begins at the trusted block itself
    if not finality.certificate:
        raise ToolError(
            "under proof of work a proof begins at its own block",
            expected=last.height,
            actual=begin,
            code="usage",
        )
    if begin is not None and begin > last.height:
        raise ToolError(
            "the proof cannot begin behind its own block",
            expected=f"at most {last.height}",
            actual=begin,
            code="usage",
        )
    steps: list[Finality] = []
    if begin is None:
        low = min(FIRST_CERTIFIED_HEIGHT, last.height)
        current = decode_header(_fetch_header(session, low).header).validators
    else:
        low = begin + 1
        first = _fetch_header(session, begin).header
        steps.append(Finality(first, b"", b""))
        current = decode_header(first).next_validators
    while current != last.validators:
        if len(steps) >= MAX_STEPS:
            raise InvalidProof("the validators changed too often to follow", expected=MAX_STEPS)
        low, step = _last_of_set(session, low, last.height, current)
        steps.append(step)
        low, current = low + 1, decode_header(step.header).next_validators
    return tuple(steps)


def _last_of_set(session: Session, low: int, high: int, current: bytes) -> tuple[int, Finality]:
    """Return where, from `low` to below `high`, the set `current` ends, and the header there."""
    while high - low > 1:
        middle = (low + high) // 2
        if decode_header(_fetch_header(session, middle).header).validators == current:
            low = middle
        else:
            high = middle
    step = _fetch_header(session, low)
    header = decode_header(step.header)
    if header.validators != current or header.next_validators == current:
        raise InvalidProof(
            "the node's headers contradict each other on who validates",
            hint="Ask another node with --node.",
        )
    return low, step


def _fetch_header(session: Session, height: int) -> Finality:
    answer = session.client().get(f"/headers/{height}")
    return Finality(
        base64_field(answer, "header"),
        base64_field(answer, "certificate"),
        base64_field(answer, "validators"),
    )


def _account_meant(session: Session, genesis: Genesis, who: str) -> bytes | None:
    """Return the account of `who` from what we know ourselves; None if only the chain knows."""
    if len(who) == TEXT_LENGTH:
        return decode_address(who)
    if who in session.wallet.names():
        return session.wallet.describe(who).account
    for entry in genesis.members:
        if entry.member.name == who:
            # Names are never given twice, and an account keeps its id when its key changes.
            return account_id(entry.account.key)
    return None


def _account_named(genesis: Genesis, data: bytes, who: str) -> bytes:
    """Return the account that a proof of the name's leaf shows; raises InvalidProof without one."""
    if not data:
        raise InvalidProof(
            f"nothing proves whose account {who} is",
            hint="Neither the wallet nor genesis knows the name: give the account's address.",
        )
    proof, _ = _validate_state(data, genesis)
    if proof.key != NAME_SPACE + who.encode() or proof.value is None:
        raise InvalidProof(f"the proof is not of the name {who}", actual=proof.key)
    return proof.value


def _pinned_genesis(session: Session, path: Path | None, *, offline: bool) -> Genesis:
    """Return the genesis that has the pinned hash; raises ToolError."""
    pinned = session.network()
    if path is not None:
        # It brings the engines along, which no other proof needs.
        from node.genesis_file import reading_genesis

        with reading_genesis(path):
            genesis = decode_genesis(path.read_bytes())
        if pinned is not None and genesis.digest != pinned.genesis:
            raise ToolError(
                f"{path} is not the genesis of the pinned network",
                expected=pinned.genesis,
                actual=genesis.digest,
                code="wrong_network",
            )
        return genesis
    if pinned is None:
        raise ToolError(
            "no network is pinned here, so there is nothing to check a proof against",
            code="no_pin",
            hint="Name the network's genesis file, from its operator, with --genesis.",
        )
    if offline:
        raise ToolError("offline, the genesis file is needed", hint="Name it with --genesis.")
    document = session.client().get("/genesis/document")
    genesis = decode_genesis(json.dumps(document).encode())
    if genesis.digest == pinned.genesis:
        return genesis
    raise ToolError(
        "the node's genesis file does not have the pinned hash",
        expected=pinned.genesis,
        actual=genesis.digest,
        code="wrong_network",
        hint="Ask another node, or name the file with --genesis.",
    )

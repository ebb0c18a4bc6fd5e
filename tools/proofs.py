"""Checking the chain's word about an account without trusting the node that passes it on.

The trust begins at the network's pinned genesis hash: the genesis file that has this hash names
the first validators; each later set was named by a header that the set before it signed. The
node only carries the bytes from which all this is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from node.ledger.block import Header
from node.ledger.certificate import decode_certificate
from node.ledger.genesis import Genesis, decode_genesis
from node.ledger.proofs import (
    MAX_ACCOUNT_PROOF_BYTES,
    Finality,
    decode_account_proof,
    validate_account_proof,
    validate_finality,
)
from tools.client import base64_field
from tools.errors import ToolError
from tools.session import Session
from vm.primitives.address import TEXT_LENGTH, account_id, decode_address, encode_address
from vm.primitives.errors import InvalidProof
from vm.system.accounts import STATUS_NAMES, Account, account_key, decode_account
from vm.system.members import NAME_SPACE

MAX_SET_CHANGES: Final = 10_000


@dataclass(frozen=True, slots=True)
class FetchedProof:
    """What a node hands out when it is asked for an account's proof."""

    account: bytes
    """Canonical bytes of the proof of the account's leaf."""
    name: bytes
    """Canonical bytes of the proof of the name's leaf; empty if the node gave none."""


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
    name_is_proved: bool
    """Whether it is also proved that the account is the one called by the name that was given."""

    def as_json(self) -> dict[str, object]:
        """Return all that was proved, amounts in base units."""
        found: dict[str, object] = {
            "address": encode_address(self.account),
            "name_proved": self.name_is_proved,
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


def fetch_account_proof(session: Session, who: str) -> FetchedProof:
    """Return the proof of the account of `who` as the node gives it; nothing is verified."""
    wallet = session.wallet
    asked = encode_address(wallet.describe(who).account) if who in wallet.names() else who
    answer = session.client().get(f"/proofs/account/{quote(asked, safe='')}")
    name = base64_field(answer, "name_proof") if answer.get("name_proof") else b""
    return FetchedProof(base64_field(answer, "proof"), name)


def load_proof(path: Path) -> FetchedProof:
    """Return the account's proof that an earlier command kept in `path`; raises ToolError."""
    with path.open("rb") as handle:
        data = handle.read(MAX_ACCOUNT_PROOF_BYTES + 1)
    return FetchedProof(data, b"")


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
    proof = decode_account_proof(fetched.account)
    validators = _Trust(session, genesis, offline=offline).validators_for(proof.finality)
    header = validate_account_proof(proof, genesis=genesis.digest, validators=validators)
    account, proved = _account_meant(session, genesis, who), True
    if account is None:
        account, proved = _account_named(session, genesis, fetched.name, who), bool(fetched.name)
    if account is None:
        account = proof.key[1:]
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
        proved,
    )


def first_validators(genesis: Genesis) -> bytes:
    """Return the hash of the validators of block 1, 32 bytes: all of genesis is worked out."""
    from node.ledger.chain_rules import build_genesis
    from node.modules import make_runtime

    return build_genesis(make_runtime(genesis.roles), genesis).header.next_validators


class _Trust:
    """The validators that follow from genesis, step by step as far as a proof needs."""

    def __init__(self, session: Session, genesis: Genesis, *, offline: bool) -> None:
        self._session = session
        self._genesis = genesis
        self._offline = offline
        self._validators = first_validators(genesis)
        self._height = 1
        """A height that the trusted set decided."""

    def validators_for(self, finality: Finality) -> bytes:
        """Return the hash of the set that may decide the header; raises InvalidProof."""
        # Not believed yet: it says only how far the trust must be carried.
        claimed = _header_of(finality)
        for _ in range(MAX_SET_CHANGES):
            if claimed.validators == self._validators or claimed.height <= self._height:
                return self._validators
            if self._offline:
                raise InvalidProof(
                    "the validators have changed since genesis, which cannot be followed offline",
                    hint="Leave --offline away: the changes are fetched, and checked.",
                )
            self._step(claimed.height)
        raise InvalidProof("the validators changed too often to follow", expected=MAX_SET_CHANGES)

    def _step(self, height: int) -> None:
        """Carry the trust over the next change of the set, which lies below `height`."""
        low, high = self._height, height
        while high - low > 1:
            middle = (low + high) // 2
            if _header_of(self._fetch(middle)).validators == self._validators:
                low = middle
            else:
                high = middle
        header = validate_finality(
            self._fetch(low), genesis=self._genesis.digest, validators=self._validators
        )
        if header.height != low or header.next_validators == self._validators:
            raise InvalidProof(
                "the node's headers contradict each other on who validates",
                hint="Ask another node with --node.",
            )
        self._validators, self._height = header.next_validators, low + 1

    def _fetch(self, height: int) -> Finality:
        answer = self._session.client().get(f"/headers/{height}")
        return Finality(
            base64_field(answer, "header"),
            base64_field(answer, "certificate"),
            base64_field(answer, "validators"),
        )


def _header_of(finality: Finality) -> Header:
    from node.ledger.block import decode_header

    return decode_header(finality.header)


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


def _account_named(session: Session, genesis: Genesis, data: bytes, who: str) -> bytes | None:
    """Return the account that a proof of the name's leaf shows; None without such a proof."""
    if not data:
        return None
    proof = decode_account_proof(data)
    validators = _Trust(session, genesis, offline=False).validators_for(proof.finality)
    validate_account_proof(proof, genesis=genesis.digest, validators=validators)
    if proof.key != NAME_SPACE + who.encode() or proof.value is None:
        raise InvalidProof(f"the proof is not of the name {who}", actual=proof.key)
    return proof.value


def _pinned_genesis(session: Session, path: Path | None, *, offline: bool) -> Genesis:
    """Return the genesis that has the pinned hash; raises ToolError."""
    pinned = session.network()
    if path is not None:
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

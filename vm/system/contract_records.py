"""What the state holds of contracts: the terms, and for each its record, code and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.hashing import TAG_CONTRACT, tagged_hash

CONTRACT_SPACE: Final = b"x"
TERMS_KEY: Final = CONTRACT_SPACE + b"s"
RECORD_SPACE: Final = CONTRACT_SPACE + b"c"
CODE_SPACE: Final = CONTRACT_SPACE + b"k"
SOURCE_SPACE: Final = CONTRACT_SPACE + b"t"
DATA_SPACE: Final = CONTRACT_SPACE + b"d"
CONTRACT_INDEX: Final = INDEX_SPACE + b"x"
"""Number of each contract to its address."""
TERMS_TYPE: Final = 74
RECORD_TYPE: Final = 75
VERSION: Final = 1
CONTRACT_COUNTER: Final = "contract"
ENTRY_BYTES: Final = 64
"""Counted for each stored entry beside its key and value."""


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """Who may deploy contracts on this network, and what stored bytes cost."""

    deploy_roles: int
    """Bit mask of the roles of which a deployer needs one."""
    deposit_micro_per_byte: int
    """Money set aside for each stored byte, micro-tokens, and given back when it goes."""
    upgrade_needs_vote: bool
    """Whether new code needs a vote through governance beside its contract's owner."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                TERMS_TYPE,
                VERSION,
                self.deploy_roles,
                self.deposit_micro_per_byte,
                self.upgrade_needs_vote,
            )
        )


@dataclass(slots=True)  # mutable: a working copy, saved when it is right
class Contract:
    """A working copy of a contract's record; save it to make changes stand."""

    number: int
    """Its place among all contracts of the chain, from 1."""
    deployer: bytes
    """Account that deployed it, 20 bytes."""
    owner: bytes
    """Account that may upgrade, freeze and remove it, 20 bytes."""
    code_hash: bytes
    """Tagged hash of its code, 32 bytes."""
    code_bytes: int
    """Length of its code."""
    source_bytes: int
    """Length of its source."""
    data_bytes: int
    """Bytes of its storage: keys, values, and 64 for each entry."""
    deposit_micro: int
    """What its account has set aside for the bytes, micro-tokens."""
    revision: int
    """How often its code was replaced."""
    height: int
    """Height of the block that deployed its code."""
    is_frozen: bool
    """Whether its code can never be replaced again."""
    approved: bytes
    """Hash of the code for which a vote made way, 32 bytes; empty for none."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted(
            (
                RECORD_TYPE,
                VERSION,
                self.number,
                self.deployer,
                self.owner,
                self.code_hash,
                self.code_bytes,
                self.source_bytes,
                self.data_bytes,
                self.deposit_micro,
                self.revision,
                self.height,
                self.is_frozen,
                self.approved,
            )
        )

    @property
    def stored_bytes(self) -> int:
        """All bytes that a deposit is for."""
        return self.code_bytes + self.source_bytes + self.data_bytes


def contract_address(deployer: bytes, number: int) -> bytes:
    """Return the address of a deployer's contract with this number of the chain, 20 bytes."""
    return tagged_hash(TAG_CONTRACT, deployer + number.to_bytes(8, "big"))[:ACCOUNT_ID_BYTES]


def index_key(number: int) -> bytes:
    """Return the key by which contracts are listed in the order of their numbers."""
    return CONTRACT_INDEX + number.to_bytes(8, "big")


def decode_terms(data: bytes) -> ContractTerms:
    """Return the terms of a leaf's bytes."""
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (TERMS_TYPE, VERSION):
        raise InvariantViolation(f"not the terms of contracts: {data.hex()[:80]}")
    return ContractTerms(*value[2:])  # type: ignore[arg-type]


def decode_contract(data: bytes) -> Contract:
    """Return the record of a leaf's bytes."""
    value = unpack_trusted(data)
    if not isinstance(value, tuple) or value[:2] != (RECORD_TYPE, VERSION):
        raise InvariantViolation(f"not a contract of this version: {data.hex()[:80]}")
    return Contract(*value[2:])  # type: ignore[arg-type]


def read_terms(state: StateReader) -> ContractTerms | None:
    """Return the terms without gas, for readers; None where the network has no contracts."""
    data = state.get(TERMS_KEY)
    return None if data is None else decode_terms(data)


def load_terms(ctx: CallContext) -> ContractTerms:
    """Return the terms; raises CallError `no_contracts` where the network has none."""
    data = ctx.get(TERMS_KEY)
    if data is None:
        raise CallError(
            "no_contracts",
            "this network takes no contracts",
            hint="Its genesis names who may deploy them in the section `contracts`.",
        )
    return decode_terms(data)


def load_contract(ctx: CallContext, address: bytes) -> Contract:
    """Return a working copy of a contract's record; raises CallError `unknown_contract`."""
    data = ctx.get(RECORD_SPACE + address)
    if data is None:
        raise CallError("unknown_contract", "there is no contract at this address", actual=address)
    return decode_contract(data)


def save_contract(ctx: CallContext, address: bytes, record: Contract) -> None:
    """Write a contract's record."""
    ctx.put(RECORD_SPACE + address, record.encode())


def read_contract(state: StateReader, address: bytes) -> Contract | None:
    """Return a contract's record without gas, for readers; None if there is none."""
    data = state.get(RECORD_SPACE + address)
    return None if data is None else decode_contract(data)


def read_code(state: StateReader, address: bytes) -> bytes:
    """Return the bytes of a contract's code without gas; empty if there is none."""
    return state.get(CODE_SPACE + address) or b""


def read_source(state: StateReader, address: bytes) -> bytes:
    """Return the UTF-8 bytes of a contract's source without gas; empty if there is none."""
    return state.get(SOURCE_SPACE + address) or b""

"""The chain's parameters: limits and prices that genesis sets and governance may change."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vm.primitives.codec import decode, encode, has_types
from vm.primitives.errors import DecodeError, InvalidGenesis
from vm.primitives.hashing import TAG_PARAMETERS, tagged_hash

PARAMETERS_KEY = b"p"
PARAMETERS_TYPE = 12
VERSION = 1
MAX_PARAMETERS_BYTES = 4_096
MAX_BLOCK_BYTES = 8_000_000
"""Bound of `max_block_bytes`: with certificate and evidence a body stays within 8 MiB."""
_LEAST = {
    "max_block_gas": 1,
    "max_block_bytes": 1,
    "max_transaction_gas": 1,
    "operator_threshold": 1,
    # What one due item may use: with less, a clearing that fits would be undone and gone.
    "due_gas_per_block": 2_000_000,
}
_AT_MOST = (
    ("max_transaction_bytes", "max_block_bytes"),
    ("max_transaction_gas", "max_block_gas"),
)


@dataclass(frozen=True, slots=True)
class ChainParameters:
    """Numbers that all nodes of a network agree on; each is a whole number."""

    gas_price_micro: int = 0
    """Fee per unit of gas, in micro-tokens."""
    max_block_gas: int = 40_000_000
    """Gas that the transactions of one block may ask for together."""
    max_block_bytes: int = 524_288
    """Bytes of all transactions of one block."""
    max_transaction_bytes: int = 16_384
    """Bytes of one transaction."""
    max_transaction_gas: int = 2_000_000
    """Gas limit that one transaction may ask for."""
    max_expiry_blocks: int = 100_000
    """How far ahead of the chain's height a transaction's expiry may lie."""
    max_drift_ms: int = 10_000
    """How far a block's time may lie ahead of a validator's own clock."""
    block_interval_ms: int = 250
    """Shortest time between two blocks under load."""
    heartbeat_ms: int = 60_000
    """Longest time between two blocks while nothing happens."""
    due_gas_per_block: int = 10_000_000
    """Gas that things due may use in one block; the rest waits for the next."""
    operator_threshold: int = 1
    """Number of operators that must ask for the same change of the registry."""
    evidence_max_age_blocks: int = 100_000
    """How old evidence of equivocation may be."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the parameters."""
        return encode([PARAMETERS_TYPE, VERSION, *[getattr(self, name) for name in _NAMES]])

    def digest(self) -> bytes:
        """Return the hash that headers carry, 32 bytes."""
        return parameters_hash(self.encode())


_NAMES = tuple(field.name for field in fields(ChainParameters))
_TYPES = (int,) * (len(_NAMES) + 2)


def parameters_hash(data: bytes) -> bytes:
    """Return the hash of encoded parameters, as headers carry it: 32 bytes."""
    return tagged_hash(TAG_PARAMETERS, data)


def decode_parameters(data: bytes) -> ChainParameters:
    """Return the parameters that `data` encodes; raises DecodeError."""
    value = decode(data, max_bytes=MAX_PARAMETERS_BYTES)
    if (
        not isinstance(value, tuple)
        or not has_types(value, _TYPES)
        or value[:2] != (PARAMETERS_TYPE, VERSION)
    ):
        raise DecodeError("not the parameters of this version", expected=len(_TYPES))
    return validate_parameters(dict(zip(_NAMES, value[2:], strict=True)))


def validate_parameters(values: dict[str, object]) -> ChainParameters:
    """Return parameters from a mapping of names to whole numbers; raises InvalidGenesis."""
    numbers: dict[str, int] = {}
    for name, number in values.items():
        if name not in _NAMES:
            raise InvalidGenesis(
                f"unknown parameter {name!r}", hint=f"Known are: {', '.join(_NAMES)}."
            )
        if type(number) is not int or not 0 <= number < 2**53:
            raise InvalidGenesis(
                f"parameter {name!r} is a whole number", expected="0 to 2^53", actual=number
            )
        numbers[name] = number
    parameters = ChainParameters(**numbers)
    for name, least in _LEAST.items():
        asked = getattr(parameters, name)
        if asked < least:
            raise InvalidGenesis(
                f"parameter {name!r} is too small", expected=f"at least {least}", actual=asked
            )
    for low, high in _AT_MOST:
        most, asked = getattr(parameters, high), getattr(parameters, low)
        if asked > most:
            raise InvalidGenesis(
                f"parameter {low!r} may not pass {high!r}", expected=f"at most {most}", actual=asked
            )
    if parameters.max_block_bytes > MAX_BLOCK_BYTES:
        raise InvalidGenesis(
            "parameter 'max_block_bytes' is too large",
            expected=f"at most {MAX_BLOCK_BYTES}",
            actual=parameters.max_block_bytes,
        )
    return parameters

"""The standard library of contracts: functions of values alone, with types and prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from math import gcd, isqrt
from typing import Final

from vm.contract.failures import (
    division_by_zero,
    invalid_text,
    out_of_range,
    overflow,
    too_long,
)
from vm.contract.limits import MAX_BYTES, MAX_INT, MIN_INT
from vm.contract.metering import LETTER_BYTES, OBJECT_BYTES
from vm.contract.value_types import ADDRESS, BOOL, BYTES, INT, STR, ValueType
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.hashing import tag, tagged_hash
from vm.primitives.integers import MILLI_WH_PER_KWH, divide_half_even

SCALE: Final = 1_000_000
MAX_DIGITS: Final = 78
"""Decimal digits that an integer of 256 bits may have."""


@dataclass(frozen=True, slots=True)
class LibraryFunction:
    """A function of the standard library."""

    number: int
    """Its byte in instructions."""
    module: str
    """Its module in sources; empty for a function or method that needs no import."""
    name: str
    """Its name there."""
    parameters: tuple[ValueType, ...]
    """Types of its arguments."""
    result: ValueType
    """Type of its result."""
    gas: int
    """Its price; an eighth more for each letter or byte of its arguments, see `sizes`."""
    run: Callable[..., object]
    """Computes it; raises CallError."""
    memory: int = 0
    """Bytes that it allocates; where `sizes`, four more for each byte of its arguments."""
    sizes: bool = False
    """Whether its work grows with the length of its arguments."""


def checked(value: int) -> int:
    """Return `value`; raises CallError `overflow` beyond 256 bits."""
    if not MIN_INT <= value <= MAX_INT:
        raise overflow()
    return value


def _isqrt(number: int) -> int:
    if number < 0:
        raise out_of_range("the square root of a negative number")
    return isqrt(number)


def _gcd(left: int, right: int) -> int:
    return checked(gcd(left, right))


def _mul_div(left: int, right: int, divisor: int) -> int:
    if divisor == 0:
        raise division_by_zero()
    return checked(left * right // divisor)


def _mul_div_half_even(left: int, right: int, divisor: int) -> int:
    if divisor == 0:
        raise division_by_zero()
    product = left * right
    if divisor < 0:
        product, divisor = -product, -divisor
    return checked(divide_half_even(product, divisor))


def _fixed_mul(left: int, right: int) -> int:
    return checked(divide_half_even(left * right, SCALE))


def _fixed_div(left: int, right: int) -> int:
    return _mul_div_half_even(left, SCALE, right)


def _trade_amount(energy_milli_wh: int, price_micro_per_kwh: int) -> int:
    return checked(divide_half_even(energy_milli_wh * price_micro_per_kwh, MILLI_WH_PER_KWH))


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def _tagged(name: str, data: bytes) -> bytes:
    if not 1 <= len(name) <= 32 or not name.isascii():
        raise out_of_range("a tag has 1 to 32 ASCII letters")
    # The first word keeps contracts' hashes apart from all that the chain itself hashes.
    return tagged_hash(tag("contract/" + name), data)


def _text_of(number: int) -> str:
    return str(number)


def _number_of(text: str) -> int:
    digits = text[1:] if text[:1] == "-" else text
    if not 1 <= len(digits) <= MAX_DIGITS or not digits.isascii() or not digits.isdigit():
        raise invalid_text()
    return checked(int(text))


def _to_bytes(number: int, length: int) -> bytes:
    if not 0 <= length <= 32:
        raise out_of_range("an integer becomes 0 to 32 bytes")
    if number < 0 or number.bit_length() > 8 * length:
        raise overflow()
    return number.to_bytes(length, "big")


def _from_bytes(data: bytes) -> int:
    if len(data) > 32:
        raise out_of_range("an integer is made of 0 to 32 bytes")
    return checked(int.from_bytes(data, "big"))


def _encode(text: str) -> bytes:
    data = text.encode()
    if len(data) > MAX_BYTES:
        raise too_long()
    return data


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise invalid_text() from None


def _hex(data: bytes) -> str:
    if 2 * len(data) > MAX_BYTES:
        raise too_long()
    return data.hex()


def _address(data: bytes) -> bytes:
    if len(data) != ACCOUNT_ID_BYTES:
        raise out_of_range("an address has 20 bytes")
    return data


def _address_bytes(account: bytes) -> bytes:
    return account


_TEXT_BYTES: Final = OBJECT_BYTES + LETTER_BYTES * (MAX_DIGITS + 1)
_TWO: Final = (INT, INT)
_THREE: Final = (INT, INT, INT)

LIBRARY: Final = (
    LibraryFunction(1, "math", "isqrt", (INT,), INT, 40, _isqrt),
    LibraryFunction(2, "math", "gcd", _TWO, INT, 150, _gcd),
    LibraryFunction(3, "math", "mul_div", _THREE, INT, 24, _mul_div),
    LibraryFunction(4, "math", "mul_div_half_even", _THREE, INT, 28, _mul_div_half_even),
    LibraryFunction(5, "math", "bit_length", (INT,), INT, 5, int.bit_length),
    LibraryFunction(6, "fixed", "mul", _TWO, INT, 18, _fixed_mul),
    LibraryFunction(7, "fixed", "div", _TWO, INT, 18, _fixed_div),
    LibraryFunction(8, "fixed", "trade_amount", _TWO, INT, 18, _trade_amount),
    LibraryFunction(9, "hashing", "sha256", (BYTES,), BYTES, 44, _sha256, 96, sizes=True),
    LibraryFunction(10, "hashing", "tagged", (STR, BYTES), BYTES, 60, _tagged, 96, sizes=True),
    LibraryFunction(11, "", "str", (INT,), STR, 20, _text_of, _TEXT_BYTES),
    LibraryFunction(12, "", "int", (STR,), INT, 20, _number_of, sizes=True),
    LibraryFunction(13, "", "to_bytes", _TWO, BYTES, 8, _to_bytes, 96),
    LibraryFunction(14, "", "from_bytes", (BYTES,), INT, 8, _from_bytes),
    LibraryFunction(15, "", "encode", (STR,), BYTES, 6, _encode, OBJECT_BYTES, sizes=True),
    LibraryFunction(16, "", "decode", (BYTES,), STR, 6, _decode, OBJECT_BYTES, sizes=True),
    LibraryFunction(17, "", "hex", (BYTES,), STR, 6, _hex, OBJECT_BYTES, sizes=True),
    LibraryFunction(18, "", "startswith", (STR, STR), BOOL, 6, str.startswith, sizes=True),
    LibraryFunction(19, "", "endswith", (STR, STR), BOOL, 6, str.endswith, sizes=True),
    LibraryFunction(20, "", "startswith", (BYTES, BYTES), BOOL, 6, bytes.startswith, sizes=True),
    LibraryFunction(21, "", "endswith", (BYTES, BYTES), BOOL, 6, bytes.endswith, sizes=True),
    LibraryFunction(22, "", "address", (BYTES,), ADDRESS, 5, _address),
    LibraryFunction(23, "", "address_bytes", (ADDRESS,), BYTES, 4, _address_bytes, OBJECT_BYTES),
)

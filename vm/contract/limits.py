"""The limits and prices of contracts: consensus rules, the same on every node."""

from __future__ import annotations

from typing import Final

MAX_INT: Final = 2**255 - 1
MIN_INT: Final = -(2**255)
MAX_CODE_BYTES: Final = 32_768
"""Bytes of one contract's code."""
MAX_CODE_ITEMS: Final = 16_384
"""Values in one contract's code, as its encoding counts them."""
MAX_FUNCTIONS: Final = 128
MAX_PARAMETERS: Final = 16
MAX_REGISTERS: Final = 250
MAX_CONSTANTS: Final = 1_024
MAX_TYPES: Final = 128
MAX_SLOTS: Final = 64
MAX_EVENTS: Final = 64
MAX_IMPORTS: Final = 64
MAX_NAME_BYTES: Final = 32
MAX_TYPE_DEPTH: Final = 6
MAX_TYPE_NODES: Final = 48
"""Types that one type is made of, itself included."""
MAX_INTERFACE_NODES: Final = 4_096
"""Types in the interface: of storage, imports and functions that are entered, all written out."""
MAX_TUPLE_ITEMS: Final = 24
MAX_BYTES: Final = 8_192
"""Bytes of one byte string, letters of one text."""
MAX_ITEMS: Final = 1_024
"""Items of one list or dictionary."""
MAX_STORED_BYTES: Final = 4_096
"""Encoded bytes of one stored value."""
MAX_KEY_BYTES: Final = 224
"""Encoded bytes of one key of a map: with contract and slot before it, it stays provable."""
MAX_ARGUMENT_BYTES: Final = 8_192
"""Encoded bytes of the arguments, or of the result, of one call."""
MAX_MEMORY_BYTES: Final = 8_000_000
"""Bytes, by the rules of `memory.py`, that one transaction's contract calls may allocate."""
MAX_CALL_DEPTH: Final = 64
"""Functions that may wait for one another in one transaction, over all its contracts."""

GAS_CODE_BYTE: Final = 20
"""Gas of a byte of code that a transaction runs: a node may have to verify and prepare it again,
which takes 0.4 to 1 us a byte, and gas is at least 20 a microsecond everywhere."""
CODE_BYTE_BYTES: Final = 128
"""Bytes of memory that a byte of code counts for which a transaction brings to run."""
GAS_BLOCK: Final = 3
"""Gas of entering a basic block, beside its instructions."""
GAS_FUNCTION: Final = 16
"""Gas of calling a function, beside its registers."""
GAS_FRESH_VALUE: Final = 3
"""Gas of each value that is made anew for a register that begins as a list, or holds one."""
GAS_CONTRACT_CALL: Final = 200
"""Gas of a call to another contract or to a built-in interface, beside what runs there."""

"""The table of all operations of contract code, by their byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vm.contract import (
    chain_operations,
    collection_operations,
    flow_operations,
    integer_operations,
    sequence_operations,
)
from vm.contract.operation import Operation

OPERATIONS: Final[Mapping[int, Operation]] = {
    operation.number: operation
    for table in (
        integer_operations.OPERATIONS,
        flow_operations.OPERATIONS,
        sequence_operations.OPERATIONS,
        collection_operations.OPERATIONS,
        chain_operations.OPERATIONS,
    )
    for operation in table
}
BY_NAME: Final[Mapping[str, Operation]] = {found.name: found for found in OPERATIONS.values()}
OPERAND_BYTES: Final[Mapping[str, int]] = {"i": 2, "k": 2, "t": 2}
"""Bytes of an operand, where it is not one."""


def encode_instruction(operation: Operation, operands: tuple[int, ...]) -> bytes:
    """Return the bytes of an instruction; `v` takes all operands that are left."""
    made = bytearray([operation.number])
    left = list(operands)
    for letter in operation.operands:
        if letter == "v":
            made += bytes([len(left), *left])
            left = []
        else:
            made += left.pop(0).to_bytes(OPERAND_BYTES.get(letter, 1), "big", signed=letter == "i")
    return bytes(made)

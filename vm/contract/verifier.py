"""The verifier: from any bytes to code that is safe to run, in one pass, or a refusal.

Registers have declared types, which their first values have too, so that each instruction can be
checked by itself: nothing depends on the way by which it is reached. What is left to running code
are bounds: of integers, sizes, indices, gas.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from struct import Struct
from typing import Final

from vm.contract.chain_operations import CALL
from vm.contract.code_format import CodeForm, FunctionForm, decode_form
from vm.contract.code_object import (
    Block,
    Body,
    Code,
    EventForm,
    Function,
    FunctionKind,
    Import,
    Slot,
)
from vm.contract.comparing import equal_of
from vm.contract.flow_operations import FINAL
from vm.contract.host import Meter
from vm.contract.limits import GAS_BLOCK, GAS_FRESH_VALUE, GAS_FUNCTION
from vm.contract.metering import OBJECT_BYTES
from vm.contract.operation import (
    ADDRESS_N,
    NONE_N,
    CodeScope,
    FunctionHead,
    Operands,
    Operation,
    Scope,
    expect,
    not_well_formed,
)
from vm.contract.operations import OPERATIONS
from vm.contract.value_types import SIMPLE, ValueType
from vm.contract.wire import Misfit, Wire, wire_from, wire_of
from vm.primitives.errors import DecodeError
from vm.primitives.hashing import TAG_CODE, tagged_hash

Instruction = tuple[Operation, Operands]


# mutable: the verifier's own, for values that no transaction pays for
class _FreeMeter:
    """A meter without end, for constants, whose size the code's size bounds."""

    def __init__(self) -> None:
        self.gas_used = 0
        self.gas_limit = 2**62
        self.memory_used = -(2**62)
        self.call_depth = 0


class CodeCache:
    """Decoded code by hash: the last that were asked for, up to a number and a size.

    A byte of code takes some 70 bytes of memory once decoded, and at most 170.
    """

    def __init__(self, limit: int, limit_bytes: int = 262_144) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._codes: OrderedDict[bytes, Code] = OrderedDict()

    def get(self, code_hash: bytes, raw: bytes) -> Code:
        """Return the code of these bytes, whose hash is `code_hash`; raises DecodeError."""
        found = self._codes.get(code_hash)
        if found is None:
            found = self._codes[code_hash] = decode_code(raw)
            self._bytes += len(raw)
            while len(self._codes) > self._limit or self._bytes > self._limit_bytes:
                _, dropped = self._codes.popitem(last=False)
                self._bytes -= len(dropped.raw)
        else:
            self._codes.move_to_end(code_hash)
        return found

    def find(self, code_hash: bytes) -> Code | None:
        """Return the code of a hash if it is remembered, so that its bytes need not be read."""
        found = self._codes.get(code_hash)
        if found is not None:
            self._codes.move_to_end(code_hash)
        return found


def code_hash(raw: bytes) -> bytes:
    """Return the hash by which code is known, 32 bytes."""
    return tagged_hash(TAG_CODE, raw)


def decode_code(raw: bytes) -> Code:
    """Return the verified code of `raw`; raises DecodeError `invalid_code` or `invalid_encoding`.

    The work is linear in the length of `raw`.
    """
    form = decode_form(raw)
    scope = _code_scope(form)
    functions = tuple(
        _decode_function(number, function, scope) for number, function in enumerate(form.functions)
    )
    kinds = [function.kind for function in functions]
    for kind in (FunctionKind.INIT, FunctionKind.UPGRADE):
        expect(kinds.count(kind) <= 1, "at most one function of init and one of upgrade")
    return Code(
        raw,
        code_hash(raw),
        form.types,
        scope.constants,
        scope.slots,
        scope.events,
        scope.imports,
        functions,
        {found.name: found for found in functions if found.kind is not FunctionKind.INTERNAL},
    )


def _code_scope(form: CodeForm) -> CodeScope:
    types = form.types
    wires, equals = list(_SIMPLE_WIRES), list(_SIMPLE_EQUALS)
    for kind, parts in zip(types[len(SIMPLE) :], form.parts[len(SIMPLE) :], strict=True):
        wires.append(wire_from(kind, tuple([wires[number] for number in parts])))
        equals.append(equal_of(kind, tuple([equals[number] for number in parts])))
    return CodeScope(
        types,
        form.parts,
        _constants(form, tuple(wires)),
        tuple(number for number, _ in form.constants),
        tuple(
            Slot(name, None if key == -1 else types[key], types[value])
            for name, key, value in form.slots
        ),
        tuple((key, value) for _, key, value in form.slots),
        tuple(EventForm(name, _named(fields, types)) for name, fields in form.events),
        tuple(tuple([number for _, number in fields]) for _, fields in form.events),
        tuple(
            Import(where, method, tuple([types[n] for n in parameters]), types[result], is_view)
            for where, method, parameters, result, is_view in form.imports
        ),
        tuple((parameters, result) for _, _, parameters, result, _ in form.imports),
        tuple(_head(function, wires) for function in form.functions),
        tuple(Body(number=number) for number in range(len(form.functions))),
        tuple(wires),
        tuple(equals),
        tuple([wire.make_first() for wire in wires]),
    )


_SIMPLE_WIRES: Final = tuple(map(wire_of, SIMPLE))
_SIMPLE_EQUALS: Final = tuple(equal_of(kind, ()) for kind in SIMPLE)


def _constants(form: CodeForm, wires: tuple[Wire, ...]) -> tuple[object, ...]:
    meter: Meter = _FreeMeter()
    try:
        return tuple(wires[number].copy_in(meter, value) for number, value in form.constants)
    except Misfit as error:
        raise DecodeError(
            "a constant is not of its type", code="invalid_code", expected=error.expected
        ) from None


def _named(
    fields: tuple[tuple[str, int], ...], types: tuple[ValueType, ...]
) -> tuple[tuple[str, ValueType], ...]:
    return tuple((name, types[number]) for name, number in fields)


def _head(function: FunctionForm, wires: list[Wire]) -> FunctionHead:
    # A new list or dictionary, or a tuple of them, for each register that begins as one.
    fresh = sum([wires[n].first_size for n in function.registers if wires[n].is_shared])
    return FunctionHead(
        tuple(number for _, number in function.parameters),
        function.result,
        function.mutates,
        function.kind is FunctionKind.INTERNAL,
        GAS_FUNCTION + len(function.parameters) + len(function.registers) + GAS_FRESH_VALUE * fresh,
    )


def _check_head(form: FunctionForm, scope: CodeScope) -> None:
    is_entry = form.kind in (FunctionKind.EXPORT, FunctionKind.VIEW)
    expect(form.kind is not FunctionKind.VIEW or not form.mutates, "a view that changes nothing")
    if not is_entry:
        expect(
            not form.roles and form.only == -1 and not form.reentrant,
            "conditions of entry on functions that are entered",
        )
    if form.kind in (FunctionKind.INIT, FunctionKind.UPGRADE):
        expect(form.result == NONE_N, "no result of init and upgrade")
    if form.only != -1:
        expect(0 <= form.only < len(scope.slots), "the variable of the only caller")
        expect(scope.slot_types[form.only] == (-1, ADDRESS_N), "a variable that is an address")


def _decode_function(number: int, form: FunctionForm, code: CodeScope) -> Function:
    _check_head(form, code)
    arguments = tuple([kind for _, kind in form.parameters])
    scope = Scope(code, (NONE_N, *arguments, *form.registers), form.result, form.mutates)
    body = code.bodies[number]
    body.blocks = _prepare(form.body, scope)
    body.rest = tuple([code.firsts[kind] for kind in form.registers])
    body.fresh = tuple(
        [
            (place, code.wires[kind].make_first)
            for place, kind in enumerate(form.registers, 1 + len(arguments))
            if code.wires[kind].is_shared
        ]
    )
    fresh = [code.wires[kind].first_size for kind in form.registers if code.wires[kind].is_shared]
    body.fresh_bytes = OBJECT_BYTES * sum(fresh)
    return Function(
        number,
        form.name,
        form.kind,
        form.mutates,
        form.reentrant,
        form.roles,
        form.only,
        _named(form.parameters, code.types),
        code.types[form.result],
        tuple([code.wires[kind].copy_in for kind in arguments]),
        code.wires[form.result],
        code.heads[number].gas,
        body,
    )


def decode_instructions(body: bytes) -> Iterator[Instruction]:
    """Yield the instructions of a function's body; raises DecodeError if it is cut or unknown."""
    position, size = 0, len(body)
    try:
        while position < size:
            operation, fixed, has_list = _LAYOUTS[body[position]]
            operands: Operands = fixed.unpack_from(body, position + 1)
            position += 1 + fixed.size
            if has_list:
                count = body[position]
                position += 1 + count
                operands += tuple(body[position - count : position])
            yield operation, operands
    except (KeyError, IndexError, struct.error):
        raise not_well_formed("a known operation, with all its operands") from None
    expect(position == size, "instructions that end with the function")


def _count_blocks(body: bytes) -> int:
    """Return the number of basic blocks of a function's body; raises DecodeError."""
    position, size, count = 0, len(body), 0
    operation = None
    try:
        while position < size:
            operation, fixed, has_list = _LAYOUTS[body[position]]
            position += 1 + fixed.size
            if has_list:
                position += 1 + body[position]
            if operation.make_end is not None:
                count += 1
    except (KeyError, IndexError):
        raise not_well_formed("a known operation, with all its operands") from None
    expect(
        operation is not None and operation.number in FINAL,
        "a function that ends with a jump, a return or a failure",
    )
    # A block costs more to prepare than the byte that may end it.
    expect(2 * count <= size + 4, "at most half as many basic blocks as bytes")
    return count


def _check_registers(operation: Operation, operands: Operands, count: int) -> None:
    """Check that the registers among the operands are there."""
    read, optional, listed = _REGISTERS[operation.number]
    for place in read:
        if not 0 < operands[place] < count:
            raise not_well_formed("registers that the function has")
    for place in optional:
        expect(operands[place] < count, "registers that the function has")
    if listed != -1:
        for register in operands[listed:]:
            expect(0 < register < count, "its registers")


def _register_places(operation: Operation) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Return the places of registers, of those that may be none, and of a list of them, or -1."""
    letters = operation.operands
    read = tuple(place for place, letter in enumerate(letters) if letter == "r")
    optional = tuple(place for place, letter in enumerate(letters) if letter == "d")
    return read, optional, letters.find("v")


_REGISTERS: Final = {number: _register_places(each) for number, each in OPERATIONS.items()}


def _layout(operation: Operation) -> tuple[Operation, Struct, bool]:
    """Return how an operation's operands lie: the fixed ones, and whether a list follows."""
    fixed = operation.operands.rstrip("v")
    letters = "".join(_STRUCT_LETTERS.get(letter, "B") for letter in fixed)
    return operation, Struct(">" + letters), fixed != operation.operands


_STRUCT_LETTERS: Final = {"i": "h", "k": "H", "t": "H"}
_LAYOUTS: Final = {number: _layout(operation) for number, operation in OPERATIONS.items()}


def _prepare(body: bytes, scope: Scope) -> tuple[Block, ...]:
    """Return the basic blocks of a function, each with its gas, checked and ready to run.

    One pass, so that instructions do not live on: many objects at a time cost collections of them.
    """
    count, registers = _count_blocks(body), len(scope.registers)
    blocks: tuple[Block, ...] = tuple([[] for _ in range(count)])
    place, gas = 0, GAS_BLOCK
    operators = []
    for operation, operands in decode_instructions(body):
        _check_registers(operation, operands, registers)
        operation.check(scope, operands)
        gas += operation.gas
        if operation.number == CALL:
            gas += scope.code.heads[operands[1]].gas
        if operation.make is not None:
            operators.append(operation.make(scope, operands))
        elif operation.make_end is not None:
            if operation.operands.endswith("t"):
                expect(operands[-1] < count, "a jump to a block of the function")
            following = blocks[min(place + 1, count - 1)]
            ender = operation.make_end(operands, blocks, following)
            blocks[place].extend((gas, tuple(operators), ender))
            place, gas, operators = place + 1, GAS_BLOCK, []
    return blocks

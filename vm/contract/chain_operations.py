"""Operations that reach out of a function: storage, events, calls, the library, the block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vm.contract.code_object import Activation, Registers
from vm.contract.failures import too_deep
from vm.contract.host import Meter
from vm.contract.library import LIBRARY, LibraryFunction
from vm.contract.limits import (
    GAS_CONTRACT_CALL,
    GAS_FRESH_VALUE,
    MAX_ARGUMENT_BYTES,
    MAX_CALL_DEPTH,
    MAX_KEY_BYTES,
    MAX_STORED_BYTES,
)
from vm.contract.metering import OBJECT_BYTES, allocate, charge
from vm.contract.operation import (
    ADDRESS_N,
    BOOL_N,
    INT_N,
    NONE_N,
    CodeScope,
    Make,
    Operands,
    Operation,
    Operator,
    Scope,
    expect,
    typed,
)
from vm.contract.wire import Inner, Misfit
from vm.primitives.codec import Encodable, Value, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

CONTRACT_CALL_DEPTH: Final = 4
"""Functions that a call to another contract counts for, since the chain stands between."""
_FUNCTIONS: Final[dict[int, LibraryFunction]] = {found.number: found for found in LIBRARY}

MakeKey = Callable[[Registers], bytes]


def _slot_types(scope: Scope, slot: int, *, is_map: bool) -> tuple[int, int]:
    expect(slot < len(scope.code.slots), "a storage slot that is there")
    key, value = scope.code.slot_types[slot]
    expect((key != -1) == is_map, "a map" if is_map else "a variable")
    return key, value


def _check_load(scope: Scope, operands: Operands) -> None:
    into, slot = operands
    _, value = _slot_types(scope, slot, is_map=False)
    expect(scope.registers[into] == value, "a register of the variable's type")


def _check_store(scope: Scope, operands: Operands) -> None:
    slot, value = operands
    expect(scope.mutates, "nothing that changes storage, in a function that changes nothing")
    _check_load(scope, (value, slot))


def _check_map_load(scope: Scope, operands: Operands) -> None:
    into, slot, key = operands
    key_type, value_type = _slot_types(scope, slot, is_map=True)
    expect(scope.registers[key] == key_type, "a key of the map's type")
    expect(scope.registers[into] == value_type, "a register of the map's type")


def _check_map_load_or(scope: Scope, operands: Operands) -> None:
    _check_map_load(scope, operands[:3])
    expect(scope.registers[operands[3]] == scope.registers[operands[0]], "a value of the same type")


def _check_map_store(scope: Scope, operands: Operands) -> None:
    slot, key, value = operands
    expect(scope.mutates, "nothing that changes storage, in a function that changes nothing")
    _check_map_load(scope, (value, slot, key))


def _check_map_delete(scope: Scope, operands: Operands) -> None:
    slot, key = operands
    expect(scope.mutates, "nothing that changes storage, in a function that changes nothing")
    key_type, _ = _slot_types(scope, slot, is_map=True)
    expect(scope.registers[key] == key_type, "a key of the map's type")


def _check_map_has(scope: Scope, operands: Operands) -> None:
    into, slot, key = operands
    key_type, _ = _slot_types(scope, slot, is_map=True)
    expect(scope.registers[key] == key_type, "a key of the map's type")
    expect(scope.registers[into] == BOOL_N, "a boolean for the answer")


def _key_of(scope: Scope, slot: int, key: int) -> MakeKey:
    """Return what makes the storage key of an entry: the slot's byte, then the key's encoding."""
    wire = scope.code.wires[scope.code.slot_types[slot][0]]
    prefix, measure, copy_out = bytes([slot]), wire.measure, wire.copy_out

    def make_key(r: Registers) -> bytes:
        value = r[key]
        measure(r[0].meter, value, MAX_KEY_BYTES)
        return prefix + encode_trusted(copy_out(value))

    return make_key


def _decoder(scope: Scope, slot: int) -> Callable[[Registers, bytes], Inner]:
    copy_in = scope.code.wires[scope.code.slot_types[slot][1]].copy_in

    def decode(r: Registers, raw: bytes) -> Inner:
        meter = r[0].meter
        charge(meter, len(raw) >> 1)
        try:
            return copy_in(meter, unpack_trusted(raw))
        except Misfit as error:
            raise InvariantViolation(f"storage holds no {error.expected}") from error

    return decode


def _encoder(scope: Scope, slot: int, value: int) -> MakeKey:
    wire = scope.code.wires[scope.code.slot_types[slot][1]]
    measure, copy_out = wire.measure, wire.copy_out

    def encode(r: Registers) -> bytes:
        measure(r[0].meter, r[value], MAX_STORED_BYTES)
        return encode_trusted(copy_out(r[value]))

    return encode


def _load(scope: Scope, operands: Operands) -> Operator:
    into, slot = operands
    key, decode = bytes([slot]), _decoder(scope, slot)
    wire = scope.code.wires[scope.code.slot_types[slot][1]]
    make_first, size = wire.make_first, wire.first_size

    def load(r: Registers) -> None:
        raw = r[0].host.load(key)
        if raw is not None:
            r[into] = decode(r, raw)
            return
        if size > 1:
            allocate(r[0].meter, GAS_FRESH_VALUE * size, OBJECT_BYTES * size)
        r[into] = make_first()

    return load


def _store(scope: Scope, operands: Operands) -> Operator:
    slot, value = operands
    key, encode = bytes([slot]), _encoder(scope, slot, value)

    def store(r: Registers) -> None:
        r[0].host.save(key, encode(r))

    return store


def _map_load(scope: Scope, operands: Operands) -> Operator:
    into, slot, key = operands
    make_key, decode = _key_of(scope, slot, key), _decoder(scope, slot)
    name = scope.code.slots[slot].name

    def map_load(r: Registers) -> None:
        raw = r[0].host.load(make_key(r))
        if raw is None:
            raise CallError("key_missing", f"the key is not in {name}")
        r[into] = decode(r, raw)

    return map_load


def _map_load_or(scope: Scope, operands: Operands) -> Operator:
    into, slot, key, default = operands
    make_key, decode = _key_of(scope, slot, key), _decoder(scope, slot)

    def map_load_or(r: Registers) -> None:
        raw = r[0].host.load(make_key(r))
        r[into] = r[default] if raw is None else decode(r, raw)

    return map_load_or


def _map_store(scope: Scope, operands: Operands) -> Operator:
    slot, key, value = operands
    make_key, encode = _key_of(scope, slot, key), _encoder(scope, slot, value)

    def map_store(r: Registers) -> None:
        r[0].host.save(make_key(r), encode(r))

    return map_store


def _map_delete(scope: Scope, operands: Operands) -> Operator:
    slot, key = operands
    make_key = _key_of(scope, slot, key)

    def map_delete(r: Registers) -> None:
        r[0].host.remove(make_key(r))

    return map_delete


def _map_has(scope: Scope, operands: Operands) -> Operator:
    into, slot, key = operands
    make_key = _key_of(scope, slot, key)

    def map_has(r: Registers) -> None:
        r[into] = r[0].host.load(make_key(r)) is not None

    return map_has


def _check_emit(scope: Scope, operands: Operands) -> None:
    event, places = operands[0], operands[1:]
    expect(scope.mutates, "no event, in a function that changes nothing")
    expect(event < len(scope.code.events), "an event that is there")
    expect(
        scope.code.event_types[event] == tuple(scope.registers[place] for place in places),
        "values of the event's types",
    )


def _copy_out_all(code: CodeScope, types: tuple[int, ...], places: Operands, room: int) -> CopyAll:
    """Return the measure and copy of several registers, which together must find `room`."""
    wires = [code.wires[number] for number in types]
    steps = [
        (place, wire.measure, wire.copy_out) for place, wire in zip(places, wires, strict=True)
    ]

    def copy_out_all(r: Registers) -> tuple[Encodable, ...]:
        left, meter = room, r[0].meter
        for place, measure, _ in steps:
            left = measure(meter, r[place], left)
        return tuple([copy_out(r[place]) for place, _, copy_out in steps])

    return copy_out_all


CopyAll = Callable[[Registers], tuple[Encodable, ...]]


def _emit(scope: Scope, operands: Operands) -> Operator:
    event, places = operands[0], operands[1:]
    name = scope.code.events[event].name
    copy_out = _copy_out_all(scope.code, scope.code.event_types[event], places, MAX_STORED_BYTES)

    def emit(r: Registers) -> None:
        r[0].host.emit(name, copy_out(r))

    return emit


def _check_result(scope: Scope, into: int, result: int) -> None:
    if into == 0:
        expect(result == NONE_N, "a register for the result")
    else:
        expect(scope.registers[into] == result, "a register of the result's type")


def _check_call(scope: Scope, operands: Operands) -> None:
    into, number, places = operands[0], operands[1], operands[2:]
    expect(number < len(scope.code.heads), "a function that is there")
    head = scope.code.heads[number]
    expect(head.is_internal, "an internal function")
    expect(scope.mutates or not head.mutates, "a function that changes nothing")
    expect(
        head.parameters == tuple(scope.registers[place] for place in places),
        "arguments of the function's types",
    )
    _check_result(scope, into, head.result)


def _call(scope: Scope, operands: Operands) -> Operator:
    into, number, places = operands[0], operands[1], operands[2:]
    body = scope.code.bodies[number]

    def call(r: Registers) -> None:
        activation: Activation = r[0]
        meter = activation.meter
        depth = meter.call_depth
        if depth >= MAX_CALL_DEPTH:
            raise too_deep()
        meter.call_depth = depth + 1
        if body.fresh:
            allocate(meter, 0, body.fresh_bytes)
        inner: Registers = [activation, *[r[place] for place in places], *body.rest]
        for place, make in body.fresh:
            inner[place] = make()
        result = activation.run(body, inner)
        if into:
            r[into] = result
        meter.call_depth = depth

    return call


def _check_import(scope: Scope, operands: Operands, *, is_interface: bool) -> None:
    into, number, places = operands[0], operands[1], operands[2:]
    expect(number < len(scope.code.imports), "an import that is there")
    found = scope.code.imports[number]
    expect(bool(found.interface) == is_interface, "an import of the right kind")
    expect(scope.mutates or found.is_view, "a view, in a function that changes nothing")
    parameters, result = scope.code.import_types[number]
    expect(
        parameters == tuple(scope.registers[place] for place in places),
        "arguments of the import's types",
    )
    _check_result(scope, into, result)


def _check_call_contract(scope: Scope, operands: Operands) -> None:
    into, number, contract, *places = operands
    expect(scope.registers[contract] == ADDRESS_N, "an address")
    _check_import(scope, (into, number, *places), is_interface=False)


def _check_call_interface(scope: Scope, operands: Operands) -> None:
    _check_import(scope, operands, is_interface=True)


def _take_result(scope: Scope, number: int) -> Callable[[Registers, Encodable], Inner]:
    """Return the checked copy of what a call outside gave."""
    result = scope.code.import_types[number][1]
    copy_in = scope.code.wires[result].copy_in

    def take(r: Registers, value: Encodable) -> Inner:
        try:
            return copy_in(r[0].meter, value)  # type: ignore[arg-type]
        except Misfit as error:
            raise CallError(
                "invalid_result", f"a call gave something else than {error.expected}"
            ) from None

    return take


def _go_deeper(r: Registers) -> int:
    """Count a call out of the contract; return the depth to go back to."""
    meter: Meter = r[0].meter
    depth = meter.call_depth
    if depth + CONTRACT_CALL_DEPTH > MAX_CALL_DEPTH:
        raise too_deep()
    meter.call_depth = depth + CONTRACT_CALL_DEPTH
    return depth


def _call_contract(scope: Scope, operands: Operands) -> Operator:
    into, number, contract, *places = operands
    found, types = scope.code.imports[number], scope.code.import_types[number][0]
    copy_out = _copy_out_all(scope.code, types, tuple(places), MAX_ARGUMENT_BYTES)
    method, is_view, take = found.method, found.is_view, _take_result(scope, number)

    def call_contract(r: Registers) -> None:
        activation: Activation = r[0]
        where: bytes = r[contract]
        arguments: tuple[Value, ...] = copy_out(r)  # type: ignore[assignment]
        depth = _go_deeper(r)
        result = take(r, activation.host.call_contract(where, method, arguments, is_view=is_view))
        activation.meter.call_depth = depth
        if into:
            r[into] = result

    return call_contract


def _call_interface(scope: Scope, operands: Operands) -> Operator:
    into, number, places = operands[0], operands[1], operands[2:]
    found, types = scope.code.imports[number], scope.code.import_types[number][0]
    copy_out = _copy_out_all(scope.code, types, places, MAX_ARGUMENT_BYTES)
    interface, method, take = found.interface, found.method, _take_result(scope, number)

    def call_interface(r: Registers) -> None:
        activation: Activation = r[0]
        arguments: tuple[Value, ...] = copy_out(r)  # type: ignore[assignment]
        depth = _go_deeper(r)
        result = take(r, activation.host.call_interface(interface, method, arguments))
        activation.meter.call_depth = depth
        if into:
            r[into] = result

    return call_interface


def _check_library(scope: Scope, operands: Operands) -> None:
    into, number, places = operands[0], operands[1], operands[2:]
    expect(number in _FUNCTIONS, "a library function that is there")
    found = _FUNCTIONS[number]
    types = scope.code.types
    expect(
        found.parameters == tuple(types[scope.registers[place]] for place in places),
        "arguments of the library function's types",
    )
    expect(types[scope.registers[into]] == found.result, "a register of the result's type")


def _call_library(scope: Scope, operands: Operands) -> Operator:
    into, number, places = operands[0], operands[1], operands[2:]
    found = _FUNCTIONS[number]
    run, gas, memory = found.run, found.gas, found.memory
    sized = tuple(place for place in places if scope.registers[place] != INT_N and found.sizes)

    if not memory and not sized:

        def compute(r: Registers) -> None:
            charge(r[0].meter, gas)
            r[into] = run(*[r[place] for place in places])

        return compute

    def call_library(r: Registers) -> None:
        size = sum([len(r[place]) for place in sized])
        allocate(r[0].meter, gas + (size >> 3), memory + 4 * size)
        r[into] = run(*[r[place] for place in places])

    return call_library


def _reading(attribute: str) -> Make:
    """Return what makes the operator that reads a fact of the call or of the block."""

    def make(scope: Scope, operands: Operands) -> Operator:
        into = operands[0]

        def read(r: Registers) -> None:
            r[into] = getattr(r[0].host, attribute)

        return read

    return make


CALL: Final = 111
"""The call of a function of the same code; entering that function costs its own gas beside."""

OPERATIONS: Final = (
    Operation(100, "load", "rs", _check_load, 10, _load),
    Operation(101, "store", "sr", _check_store, 10, _store),
    Operation(102, "map_load", "rsr", _check_map_load, 20, _map_load),
    Operation(103, "map_load_or", "rsrr", _check_map_load_or, 20, _map_load_or),
    Operation(104, "map_store", "srr", _check_map_store, 20, _map_store),
    Operation(105, "map_delete", "sr", _check_map_delete, 20, _map_delete),
    Operation(106, "map_has", "rsr", _check_map_has, 20, _map_has),
    Operation(110, "emit", "ev", _check_emit, 20, _emit),
    Operation(CALL, "call", "dfv", _check_call, 4, _call),
    Operation(
        112, "call_contract", "dmrv", _check_call_contract, GAS_CONTRACT_CALL, _call_contract
    ),
    Operation(
        113, "call_interface", "dmv", _check_call_interface, GAS_CONTRACT_CALL, _call_interface
    ),
    Operation(114, "call_library", "rlv", _check_library, 8, _call_library),
    Operation(115, "caller", "r", typed(ADDRESS_N), 3, _reading("caller")),
    Operation(116, "contract", "r", typed(ADDRESS_N), 3, _reading("contract")),
    Operation(117, "height", "r", typed(INT_N), 3, _reading("height")),
    Operation(118, "time_ms", "r", typed(INT_N), 3, _reading("time_ms")),
)

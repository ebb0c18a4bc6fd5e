"""The bytes of a contract's code, as tables: what the compiler writes and the verifier reads.

`[90, 1, types, constants, slots, events, imports, functions]`, canonical. Types are numbered: the
simple ones from 0 (None, int, bool, bytes, str, address), then those of the table `types` in order;
each refers to earlier ones only, and none stands twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from vm.contract.code_object import FunctionKind
from vm.contract.limits import (
    MAX_CODE_BYTES,
    MAX_CODE_ITEMS,
    MAX_CONSTANTS,
    MAX_EVENTS,
    MAX_FUNCTIONS,
    MAX_IMPORTS,
    MAX_INTERFACE_NODES,
    MAX_NAME_BYTES,
    MAX_PARAMETERS,
    MAX_REGISTERS,
    MAX_SLOTS,
    MAX_TUPLE_ITEMS,
    MAX_TYPE_DEPTH,
    MAX_TYPE_NODES,
    MAX_TYPES,
)
from vm.contract.operation import expect, not_well_formed
from vm.contract.value_types import SIMPLE, Kind, ValueType, is_key_type
from vm.primitives.address import check_name
from vm.primitives.codec import Encodable, Value, decode, encode, has_types

CODE_TYPE: Final = 90
VERSION: Final = 1
_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_CONSTANT_KINDS: Final = (Kind.INT, Kind.BYTES, Kind.STR, Kind.ADDRESS)
_DIGITS: Final = frozenset("0123456789")

Table = tuple[Value, ...]
Parts = tuple[tuple[int, ...], ...]
Named = tuple[tuple[str, int], ...]
"""Names, each with the number of its type."""


@dataclass(frozen=True, slots=True)
class FunctionForm:
    """A function as the bytes have it."""

    name: str
    """Its name."""
    kind: FunctionKind
    """Through which door it is entered."""
    mutates: bool
    """Whether it may change anything."""
    reentrant: bool
    """Whether it may be entered while its contract waits."""
    roles: tuple[str, ...]
    """Roles of which the caller needs one."""
    only: int
    """Slot of the only allowed caller, or -1."""
    parameters: Named
    """Its arguments."""
    result: int
    """Number of its result's type."""
    registers: bytes
    """Numbers of the types of the registers behind the arguments."""
    body: bytes
    """Its instructions."""


@dataclass(frozen=True, slots=True)
class CodeForm:
    """A contract's code as tables."""

    types: tuple[ValueType, ...]
    """All its types, by number, the simple ones first."""
    parts: Parts
    """The numbers of the items of each type."""
    constants: tuple[tuple[int, Value], ...]
    """Number of the type, and value in the canonical form, of each constant."""
    slots: tuple[tuple[str, int, int], ...]
    """Name, number of the key's type (-1 for a variable) and of the value's."""
    events: tuple[tuple[str, Named], ...]
    """Names and fields."""
    imports: tuple[tuple[str, str, tuple[int, ...], int, bool], ...]
    """Interface, method, numbers of the types of arguments and result, and whether it is a view."""
    functions: tuple[FunctionForm, ...]
    """The functions."""


def is_identifier(text: str) -> bool:
    """Tell whether `text` is a name in a contract: ASCII letters, digits and underscores."""
    return 1 <= len(text) <= MAX_NAME_BYTES and _LETTERS.issuperset(text) and text[0] not in _DIGITS


def parts_of(types: tuple[ValueType, ...]) -> Parts:
    """Return the numbers of the items of each of `types`, which holds them all."""
    numbers = {kind: number for number, kind in enumerate(types)}
    return tuple([tuple([numbers[item] for item in kind.items]) for kind in types])


def encode_form(form: CodeForm) -> bytes:
    """Return the bytes of a code; the same tables give the same bytes."""
    types: list[Encodable] = [
        (int(kind.kind), numbers, kind.name, kind.fields)
        for kind, numbers in zip(form.types, form.parts, strict=True)
        if kind not in SIMPLE
    ]
    functions: list[Encodable] = [
        (
            function.name,
            int(function.kind),
            function.mutates,
            function.reentrant,
            function.roles,
            function.only,
            function.parameters,
            function.result,
            function.registers,
            function.body,
        )
        for function in form.functions
    ]
    return encode(
        (
            CODE_TYPE,
            VERSION,
            types,
            form.constants,
            form.slots,
            form.events,
            form.imports,
            functions,
        )
    )


def decode_form(raw: bytes) -> CodeForm:
    """Return the tables of a code; raises DecodeError unless each is well formed by itself."""
    value = decode(raw, max_bytes=MAX_CODE_BYTES, max_items=MAX_CODE_ITEMS)
    wanted = (int, int, tuple, tuple, tuple, tuple, tuple, tuple)
    expect(has_types(value, wanted), "an array of 8 fields")
    head = cast("tuple[int, int, Table, Table, Table, Table, Table, Table]", value)
    number, version, types, constants, slots, events, imports, functions = head
    expect((number, version) == (CODE_TYPE, VERSION), f"[{CODE_TYPE}, {VERSION}, …]")
    kinds, parts = _decode_types(types)
    form = CodeForm(
        kinds,
        parts,
        _decode_constants(constants),
        _decode_slots(slots, kinds),
        _decode_events(events, kinds),
        _decode_imports(imports, kinds),
        _decode_functions(functions, kinds),
    )
    _check_interface(form)
    return form


def _check_interface(form: CodeForm) -> None:
    """Bound what the code's interface comes to with all types written out, as readers ask for."""
    nodes: list[int] = []
    for parts in form.parts:
        nodes.append(1 + sum([nodes[number] for number in parts]))
    total = 0
    for _, key, value in form.slots:
        total += nodes[value] + (nodes[key] if key != -1 else 0)
    for _, _, parameters, result, _ in form.imports:
        total += nodes[result] + sum([nodes[number] for number in parameters])
    for function in form.functions:
        if function.kind is not FunctionKind.INTERNAL:
            total += nodes[function.result]
            total += sum([nodes[number] for _, number in function.parameters])
    expect(
        total <= MAX_INTERFACE_NODES,
        f"an interface of at most {MAX_INTERFACE_NODES} types, each with those it is made of",
    )


def _count(table: Table, limit: int, what: str) -> None:
    expect(len(table) <= limit, f"at most {limit} {what}")


def _type_number(value: Value, kinds: tuple[ValueType, ...] | list[ValueType]) -> int:
    """Return the number of a type that values may have."""
    number = value if type(value) is int else -1
    expect(0 < number < len(kinds), "the number of a type of values")
    return number


def _name(value: Value) -> str:
    name = value if type(value) is str else ""
    expect(is_identifier(name), "a name of ASCII letters, digits and underscores")
    return name


# Made once: a code of many types asks for each of them for every type.
_COMPOUND: Final = {int(kind): kind for kind in (Kind.LIST, Kind.TUPLE, Kind.DICT)}
_ITEMS: Final = f"at most {MAX_TUPLE_ITEMS} items"
_DEPTH: Final = f"types at most {MAX_TYPE_DEPTH} deep"
_NODES: Final = f"types of at most {MAX_TYPE_NODES} types"


def _decode_types(table: Table) -> tuple[tuple[ValueType, ...], Parts]:
    """Return the types by number, and the numbers of the items of each.

    Sizes are computed and types compared by these numbers: written out, types that share parts
    are far larger than their bytes.
    """
    _count(table, MAX_TYPES, "types")
    kinds, parts = list(SIMPLE), [()] * len(SIMPLE)  # type: list[ValueType], list[tuple[int, ...]]
    sizes = [(1, 1)] * len(SIMPLE)
    known: dict[tuple[Value, ...], None] = {}
    for entry in table:
        expect(has_types(entry, (int, tuple, str, tuple)), "a type as 4 fields")
        kind, items, name, fields = cast("tuple[int, Table, str, Table]", entry)
        expect(len(items) <= MAX_TUPLE_ITEMS, _ITEMS)
        numbers = tuple([_type_number(item, kinds) for item in items])
        made_by = _COMPOUND.get(kind)
        if made_by is None:
            raise not_well_formed("a list, tuple or dictionary")
        names = tuple([_name(field) for field in fields])
        found = ValueType(made_by, tuple([kinds[n] for n in numbers]), name, names)
        _check_type(found)
        within = [sizes[number] for number in numbers]
        depth = 1 + max([size[0] for size in within])
        nodes = 1 + sum([size[1] for size in within])
        expect(depth <= MAX_TYPE_DEPTH, _DEPTH)
        expect(nodes <= MAX_TYPE_NODES, _NODES)
        key = (kind, numbers, name, names)
        expect(key not in known, "each type once")
        known[key] = None
        kinds.append(found)
        parts.append(numbers)
        sizes.append((depth, nodes))
    return tuple(kinds), tuple(parts)


def _check_type(kind: ValueType) -> None:
    count = len(kind.items)
    if kind.kind is Kind.LIST:
        expect(count == 1, "a list of one type")
    elif kind.kind is Kind.DICT:
        expect(count == 2 and not kind.items[0].items, "a dictionary with simple keys")
        expect(is_key_type(kind.items[0]), "a dictionary with simple keys")
    else:
        expect(1 <= count <= MAX_TUPLE_ITEMS, _ITEMS)
    if kind.name or kind.fields:
        expect(kind.kind is Kind.TUPLE and is_identifier(kind.name), "a record with a name")
        expect(len(kind.fields) == count, "a record with a name for each field")
        expect(len(dict.fromkeys(kind.fields)) == count, "a record with each field once")


def _decode_constants(table: Table) -> tuple[tuple[int, Value], ...]:
    _count(table, MAX_CONSTANTS, "constants")
    found: list[tuple[int, Value]] = []
    for entry in table:
        number, value = entry if type(entry) is tuple and len(entry) == 2 else (0, None)
        if type(number) is not int or number not in _CONSTANT_KINDS:
            raise not_well_formed("a constant that is an integer, bytes, text or an address")
        found.append((number, value))
    return tuple(found)


def _decode_slots(table: Table, kinds: tuple[ValueType, ...]) -> tuple[tuple[str, int, int], ...]:
    _count(table, MAX_SLOTS, "storage declarations")
    found: dict[str, tuple[str, int, int]] = {}
    for entry in table:
        expect(has_types(entry, (str, int, int)), "a storage declaration as 3 fields")
        name, key, value = cast("tuple[str, int, int]", entry)
        if key != -1:
            expect(is_key_type(kinds[_type_number(key, kinds)]), "a map with keys of simple types")
        found[_name(name)] = (name, key, _type_number(value, kinds))
    expect(len(found) == len(table), "each storage declaration once")
    return tuple(found.values())


def _decode_named(value: Value, kinds: tuple[ValueType, ...]) -> Named:
    fields = value if type(value) is tuple else ()
    expect(type(value) is tuple and len(fields) <= MAX_PARAMETERS, "a list of names and types")
    found: dict[str, int] = {}
    for field in fields:
        expect(has_types(field, (str, int)), "a name and the number of a type")
        name, number = cast("tuple[str, int]", field)
        found[_name(name)] = _type_number(number, kinds)
    expect(len(found) == len(fields), "each name once")
    return tuple(found.items())


def _decode_events(table: Table, kinds: tuple[ValueType, ...]) -> tuple[tuple[str, Named], ...]:
    _count(table, MAX_EVENTS, "events")
    found: dict[str, tuple[str, Named]] = {}
    for entry in table:
        expect(has_types(entry, (str, tuple)), "an event as 2 fields")
        name, members = cast("tuple[str, Table]", entry)
        fields = _decode_named(members, kinds)
        expect(all(number < len(SIMPLE) for _, number in fields), "an event of simple values")
        found[_name(name)] = (name, fields)
    expect(len(found) == len(table), "each event once")
    return tuple(found.values())


def _decode_imports(
    table: Table, kinds: tuple[ValueType, ...]
) -> tuple[tuple[str, str, tuple[int, ...], int, bool], ...]:
    _count(table, MAX_IMPORTS, "imports")
    found = []
    for entry in table:
        expect(has_types(entry, (str, str, tuple, int, bool)), "an import as 5 fields")
        interface, method, parameters, result, is_view = cast(
            "tuple[str, str, Table, int, bool]", entry
        )
        expect(interface == "" or is_identifier(interface), "the name of an interface")
        expect(len(parameters) <= MAX_PARAMETERS, f"at most {MAX_PARAMETERS} arguments")
        numbers = tuple([_type_number(number, kinds) for number in parameters])
        outcome = 0 if result == 0 else _type_number(result, kinds)
        found.append((interface, _name(method), numbers, outcome, is_view))
    return tuple(found)


def _decode_functions(table: Table, kinds: tuple[ValueType, ...]) -> tuple[FunctionForm, ...]:
    _count(table, MAX_FUNCTIONS, "functions")
    wanted = (str, int, bool, bool, tuple, int, tuple, int, bytes, bytes)
    found: dict[str, FunctionForm] = {}
    for entry in table:
        expect(has_types(entry, wanted), "a function as 10 fields")
        name, kind, mutates, reentrant, roles, only, parameters, result, registers, body = cast(
            "tuple[str, int, bool, bool, tuple[str, ...], int, Table, int, bytes, bytes]", entry
        )
        expect(0 <= kind <= max(FunctionKind), "a kind of function")
        expect(
            len(roles) <= 32 and all(type(role) is str and check_name(role) for role in roles),
            "a list of roles",
        )
        arguments = _decode_named(parameters, kinds)
        expect(all(0 < number < len(kinds) for number in registers), "registers with types")
        expect(
            len(arguments) + len(registers) <= MAX_REGISTERS,
            f"at most {MAX_REGISTERS} registers",
        )
        outcome = 0 if result == 0 else _type_number(result, kinds)
        found[_name(name)] = FunctionForm(
            name,
            FunctionKind(kind),
            mutates,
            reentrant,
            roles,
            only,
            arguments,
            outcome,
            registers,
            body,
        )
    expect(len(found) == len(table), "each function once")
    return tuple(found.values())

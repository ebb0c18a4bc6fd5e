"""The compiler of contracts: from a source to code, its source map and its interface."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tools.contract.declarations import Declarations, read_declarations
from tools.contract.parsing import parse_source
from tools.contract.source_error import SourceError, at
from tools.contract.statements import Statements
from tools.contract.tables import CodeTables
from vm.contract.abi import Json, describe_code
from vm.contract.code_format import CodeForm, FunctionForm, encode_form, parts_of
from vm.contract.code_object import Code, FunctionKind
from vm.contract.interfaces import Signatures
from vm.contract.limits import (
    MAX_CODE_BYTES,
    MAX_CONSTANTS,
    MAX_EVENTS,
    MAX_FUNCTIONS,
    MAX_IMPORTS,
    MAX_TYPES,
)
from vm.contract.value_types import SIMPLE
from vm.contract.verifier import decode_code
from vm.primitives.errors import DecodeError, InvariantViolation


@dataclass(frozen=True, slots=True)
class Artefact:
    """What the compiler makes of a source."""

    raw: bytes
    """The code, as the chain carries it."""
    source: str
    """The source, as the chain carries it."""
    source_map: tuple[tuple[int, ...], ...]
    """For each function by number, the source line of each of its instructions."""
    code: Code
    """The decoded code."""

    @property
    def abi(self) -> dict[str, Json]:
        """Return the contract's interface as JSON."""
        return describe_code(self.code)


def compile_source(source: str | bytes, signatures: Signatures | None = None) -> Artefact:
    """Return the code of a source; raises SourceError with line, column and what to write.

    `signatures` are the built-in interfaces, by default those of this software.
    """
    text, tree = parse_source(source)
    if signatures is None:
        # Only here: a runtime without the chain's modules compiles what uses none of them.
        from node.modules import contract_signatures

        signatures = contract_signatures()
    declared = read_declarations(tree, signatures)
    tables = CodeTables()
    slots = tuple(
        (name, -1 if key is None else tables.type_number(key), tables.type_number(value))
        for name, (key, value) in declared.slots.items()
    )
    events = tuple(
        (name, tuple((field, tables.type_number(kind)) for field, kind in fields))
        for name, fields in declared.events.items()
    )
    compiled = [Statements(heading, declared, tables) for heading in declared.functions.values()]
    for function in compiled:
        function.compile()
    mutating = _find_mutating(declared, compiled)
    forms, source_map = [], []
    for function in compiled:
        form, lines = _finish(function, mutating)
        forms.append(form)
        source_map.append(lines)
    form = CodeForm(
        tables.types,
        parts_of(tables.types),
        tables.constants,
        slots,
        events,
        tables.imports,
        tuple(forms),
    )
    _check_limits(form, tree)
    raw = encode_form(form)
    if len(raw) > MAX_CODE_BYTES:
        raise SourceError(
            1, 1, f"the code has {len(raw)} bytes, at most {MAX_CODE_BYTES}; divide the contract"
        )
    try:
        code = decode_code(raw)
    except DecodeError as error:
        raise InvariantViolation(f"the compiler made code that is refused: {error}") from error
    return Artefact(raw, text, tuple(source_map), code)


def _check_limits(form: CodeForm, tree: ast.Module) -> None:
    for count, limit, what in (
        (len(form.types) - len(SIMPLE), MAX_TYPES, "types"),
        (len(form.constants), MAX_CONSTANTS, "constants"),
        (len(form.events), MAX_EVENTS, "events"),
        (len(form.imports), MAX_IMPORTS, "functions of others"),
        (len(form.functions), MAX_FUNCTIONS, "functions"),
    ):
        if count > limit:
            raise at(tree, f"the contract uses {count} {what}, at most {limit}; divide it")


def _find_mutating(declared: Declarations, compiled: list[Statements]) -> dict[str, ast.AST]:
    """Return the functions that change something, each with where; raises SourceError for views."""
    found = {
        function.heading.node.name: function.change
        for function in compiled
        if function.change is not None
    }
    grew = True
    while grew:
        grew = False
        for function in compiled:
            name = function.heading.node.name
            if name in found:
                continue
            for callee, place in function.calls.items():
                if callee in found:
                    found[name], grew = place, True
                    break
    for name, heading in declared.functions.items():
        if heading.kind is FunctionKind.VIEW and name in found:
            raise at(found[name], f"`{name}` is a view and changes nothing; make it an `@export`")
    return found


def _finish(
    function: Statements, mutating: dict[str, ast.AST]
) -> tuple[FunctionForm, tuple[int, ...]]:
    heading, tables = function.heading, function.tables
    body, lines = function.asm.assemble()
    registers = function.asm.register_types[len(heading.parameters) :]
    form = FunctionForm(
        heading.node.name,
        heading.kind,
        heading.node.name in mutating,
        heading.reentrant,
        heading.roles,
        function.slot_numbers[heading.only] if heading.only else -1,
        tuple((name, tables.type_number(kind)) for name, kind in heading.parameters),
        tables.type_number(heading.result),
        bytes(tables.type_number(kind) for kind in registers),
        body,
    )
    return form, lines

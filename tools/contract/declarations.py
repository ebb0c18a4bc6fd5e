"""The second stage: what a file declares besides the bodies of its functions."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from tools.contract.annotations import SIMPLE_NAMES, read_storage_type, read_type
from tools.contract.folding import Literal, fold
from tools.contract.functions import FunctionHeading, read_function
from tools.contract.source_error import at
from vm.contract.code_format import is_identifier
from vm.contract.interfaces import Signatures
from vm.contract.library import LIBRARY
from vm.contract.limits import MAX_PARAMETERS, MAX_SLOTS, MAX_TUPLE_ITEMS, MAX_TYPE_NODES
from vm.contract.value_types import NONE, ValueType, nodes_of, record_of

MODULES: Final = (*dict.fromkeys(found.module for found in LIBRARY if found.module), "block")
BLOCK_FUNCTIONS: Final = ("height", "time_ms")
RESERVED: Final = frozenset(
    "self caller this require fail emit len abs min max sum any all sorted reversed str int bool "
    "bytes range enumerate list dict tuple map record event interface export view init upgrade "
    "address True False None".split()
)


@dataclass(frozen=True, slots=True)
class RemoteFunction:
    """A function of another contract."""

    parameters: tuple[ValueType, ...]
    """Types of its arguments."""
    result: ValueType
    """Type of its result."""
    is_view: bool
    """Whether it changes nothing."""


@dataclass(slots=True)
class Declarations:
    """Everything that a file declares, by name."""

    signatures: Signatures
    """The built-in interfaces that there are."""
    constants: dict[str, Literal] = field(default_factory=dict)
    """Constants."""
    slots: dict[str, tuple[ValueType | None, ValueType]] = field(default_factory=dict)
    """Storage: types of key (None for a variable) and value."""
    records: dict[str, ValueType] = field(default_factory=dict)
    """Records."""
    events: dict[str, tuple[tuple[str, ValueType], ...]] = field(default_factory=dict)
    """Events."""
    interfaces: dict[str, dict[str, RemoteFunction]] = field(default_factory=dict)
    """Interfaces of other contracts."""
    modules: dict[str, str] = field(default_factory=dict)
    """Names of imported modules."""
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Names imported from modules: module and name there."""
    functions: dict[str, FunctionHeading] = field(default_factory=dict)
    """Functions, in the order of the file."""

    def declare(self, node: ast.AST, name: str) -> None:
        """Refuse a name that stands for something already."""
        tables = (
            self.constants, self.slots, self.records, self.events, self.interfaces, self.modules,
            self.imported, self.functions,
        )  # fmt: skip
        if name in RESERVED or name == "_":
            raise at(node, f"`{name}` has a meaning of its own; choose another name")
        if any(name in table for table in tables):
            raise at(node, f"`{name}` is declared twice; rename one")
        if not is_identifier(name):
            raise at(node, "a declared name has 1 to 32 ASCII letters, digits and underscores")


def read_declarations(tree: ast.Module, signatures: Signatures) -> Declarations:
    """Return what a file declares; raises SourceError."""
    found = Declarations(signatures)
    functions: list[ast.FunctionDef] = []
    for place, statement in enumerate(tree.body):
        if isinstance(statement, ast.FunctionDef):
            functions.append(statement)
        elif not (place == 0 and _is_text(statement)):
            _read_statement(statement, found)
    # Functions come last: their types may name records that stand further down.
    for function in functions:
        found.declare(function, function.name)
        found.functions[function.name] = read_function(function, found.records, found.slots)
    if not found.functions:
        raise at(tree, "a contract has at least one function")
    return found


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _read_statement(statement: ast.stmt, found: Declarations) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        _read_import(statement, found)
    elif isinstance(statement, ast.AnnAssign):
        _read_storage(statement, found)
    elif (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    ):
        _read_assignment(statement, statement.targets[0].id, found)
    elif not isinstance(statement, ast.Pass):
        raise at(
            statement,
            "outside functions a file only declares: imports, constants, storage, records, "
            "events, interfaces and functions",
        )


def _read_import(statement: ast.Import | ast.ImportFrom, found: Declarations) -> None:
    known = (*MODULES, *found.signatures)
    module = statement.module if isinstance(statement, ast.ImportFrom) else None
    for alias in statement.names:
        name = module or alias.name
        if name not in known or (isinstance(statement, ast.ImportFrom) and statement.level):
            raise at(statement, f"there is no module `{name}`; there are {', '.join(known)}")
        if alias.asname is not None:
            raise at(statement, "`as` is not part of the language; use the name as it is")
        found.declare(statement, alias.name)
        if module is None:
            found.modules[name] = name
        else:
            names = names_of_module(module, found.signatures)
            if alias.name not in names:
                raise at(statement, f"`{module}` has no `{alias.name}`; it has {', '.join(names)}")
            found.imported[alias.name] = (module, alias.name)


def names_of_module(module: str, signatures: Signatures) -> tuple[str, ...]:
    """Return what a module of the library, or a built-in interface, offers."""
    if module == "block":
        return BLOCK_FUNCTIONS
    if module in signatures:
        return tuple(signatures[module])
    names = [entry.name for entry in LIBRARY if entry.module == module]
    return tuple(dict.fromkeys([*names, "SCALE"] if module == "fixed" else names))


def _read_storage(statement: ast.AnnAssign, found: Declarations) -> None:
    if not isinstance(statement.target, ast.Name):
        raise at(statement, "a storage declaration is `name: type`")
    name = statement.target.id
    if statement.value is not None:
        raise at(
            statement,
            f"storage has no first value here: write `{name}: …` alone and set `self.{name}` in "
            f"the function with `@init`; a constant is `{name} = …` without a type",
        )
    found.declare(statement, name)
    found.slots[name] = read_storage_type(statement.annotation, found.records)
    if len(found.slots) > MAX_SLOTS:
        raise at(statement, f"a contract declares at most {MAX_SLOTS} variables and maps")


def _read_assignment(statement: ast.Assign, name: str, found: Declarations) -> None:
    found.declare(statement, name)
    value = statement.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        maker = value.func.id
        if maker == "record":
            fields = _read_fields(value, found, MAX_TUPLE_ITEMS)
            made = record_of(name, fields)
            if not fields:
                raise at(value, "a record has at least one field")
            if nodes_of(made) > MAX_TYPE_NODES:
                raise at(value, "this record is made of too many types")
            found.records[name] = made
            return
        if maker == "event":
            fields = _read_fields(value, found, MAX_PARAMETERS)
            if any(kind not in SIMPLE_NAMES.values() for _, kind in fields):
                raise at(value, "an event's values are int, bool, bytes, str or address")
            found.events[name] = fields
            return
        if maker == "interface":
            found.interfaces[name] = _read_interface(value, found)
            return
    found.constants[name] = fold(value, found.constants, needed=True)


def _read_fields(
    call: ast.Call, found: Declarations, most: int
) -> tuple[tuple[str, ValueType], ...]:
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise at(call, "name each field with its type: `amount=int`")
    if len(call.keywords) > most:
        raise at(call, f"at most {most} fields")
    fields: dict[str, ValueType] = {}
    for keyword in call.keywords:
        name = keyword.arg or ""
        if name in fields or not is_identifier(name) or name.startswith("_"):
            raise at(keyword, f"`{name}` cannot be the name of a field here")
        fields[name] = read_type(keyword.value, found.records)
    return tuple(fields.items())


def _read_interface(call: ast.Call, found: Declarations) -> dict[str, RemoteFunction]:
    functions: dict[str, RemoteFunction] = {}
    for keyword in call.keywords:
        value = keyword.value
        if (
            keyword.arg is None
            or not is_identifier(keyword.arg)
            or not isinstance(value, ast.Call)
            or not isinstance(value.func, ast.Name)
            or value.func.id not in ("export", "view")
        ):
            raise at(
                keyword,
                "an interface names functions: `transfer=export(address, int, returns=bool)`",
            )
        parameters = tuple([read_type(node, found.records) for node in value.args])
        result = NONE
        for option in value.keywords:
            if option.arg != "returns":
                raise at(option, "the only option here is `returns=type`")
            result = read_type(option.value, found.records)
        if len(parameters) > MAX_PARAMETERS:
            raise at(value, f"at most {MAX_PARAMETERS} arguments")
        functions[keyword.arg] = RemoteFunction(parameters, result, value.func.id == "view")
    if call.args or not functions:
        raise at(call, "an interface names at least one function")
    return functions

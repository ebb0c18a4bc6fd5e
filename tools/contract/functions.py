"""The headings of functions: decorators, arguments, result."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from tools.contract.annotations import read_type
from tools.contract.source_error import at
from vm.contract.code_object import FunctionKind
from vm.contract.limits import MAX_PARAMETERS
from vm.contract.value_types import ADDRESS, NONE, ValueType
from vm.primitives.address import check_name

_KINDS = {
    "export": FunctionKind.EXPORT,
    "view": FunctionKind.VIEW,
    "init": FunctionKind.INIT,
    "upgrade": FunctionKind.UPGRADE,
}
Slots = Mapping[str, tuple[ValueType | None, ValueType]]


@dataclass(frozen=True, slots=True)
class FunctionHeading:
    """What a function says of itself."""

    node: ast.FunctionDef
    """Where it stands."""
    kind: FunctionKind
    """Through which door it is entered."""
    reentrant: bool
    """Whether it may be entered while its contract waits."""
    roles: tuple[str, ...]
    """Roles of which the caller needs one."""
    only: str
    """Variable that holds the only allowed caller, or empty."""
    parameters: tuple[tuple[str, ValueType], ...]
    """Names and types of its arguments."""
    result: ValueType
    """Type of its result."""


def read_function(
    node: ast.FunctionDef, records: Mapping[str, ValueType], slots: Slots
) -> FunctionHeading:
    """Return what a function says of itself; raises SourceError."""
    kind, options = _read_decorators(node)
    roles: tuple[str, ...] = ()
    only, reentrant = "", False
    for option in options:
        if kind not in (FunctionKind.EXPORT, FunctionKind.VIEW):
            raise at(option, "only `@export` and `@view` take options")
        if option.arg == "roles":
            roles = _read_roles(option.value)
        elif option.arg == "only":
            only = _read_only(option.value, slots)
        elif option.arg == "reentrant" and isinstance(option.value, ast.Constant):
            reentrant = option.value.value is True
        else:
            raise at(option, 'options are `only=owner`, `roles=["operator"]`, `reentrant=True`')
    parameters = _read_parameters(node, records)
    result = NONE
    if node.returns is not None and not _is_none(node.returns):
        result = read_type(node.returns, records)
    if result != NONE and kind in (FunctionKind.INIT, FunctionKind.UPGRADE):
        raise at(node, "`@init` and `@upgrade` return nothing")
    return FunctionHeading(node, kind, reentrant, roles, only, parameters, result)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _read_decorators(node: ast.FunctionDef) -> tuple[FunctionKind, list[ast.keyword]]:
    if not node.decorator_list:
        return FunctionKind.INTERNAL, []
    if len(node.decorator_list) > 1:
        raise at(node.decorator_list[1], "a function has one decorator")
    decorator = node.decorator_list[0]
    options: list[ast.keyword] = []
    if isinstance(decorator, ast.Call):
        if decorator.args:
            raise at(decorator, "options have names: `@export(only=owner)`")
        options, decorator = decorator.keywords, decorator.func
    if not isinstance(decorator, ast.Name) or decorator.id not in _KINDS:
        raise at(decorator, "decorators are `@export`, `@view`, `@init` and `@upgrade`")
    return _KINDS[decorator.id], options


def _read_roles(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.List | ast.Tuple) and 1 <= len(node.elts) <= 32:
        names = [item.value for item in node.elts if isinstance(item, ast.Constant)]
        if len(names) == len(node.elts) and all(
            isinstance(name, str) and check_name(name) for name in names
        ):
            return tuple(names)
    raise at(node, 'roles are a list of names: `roles=["operator"]`')


def _read_only(node: ast.expr, slots: Slots) -> str:
    if isinstance(node, ast.Name) and slots.get(node.id) == (None, ADDRESS):
        return node.id
    raise at(node, "`only` names a storage variable of type `address`: `@export(only=owner)`")


def _read_parameters(
    node: ast.FunctionDef, records: Mapping[str, ValueType]
) -> tuple[tuple[str, ValueType], ...]:
    given = node.args
    if given.vararg or given.kwarg or given.kwonlyargs or given.posonlyargs:
        raise at(node, "arguments are plain: `name: type`, separated by commas")
    if given.defaults or given.kw_defaults:
        raise at(node, "arguments have no default values; write two functions")
    parameters: dict[str, ValueType] = {}
    for argument in given.args:
        if argument.annotation is None:
            raise at(argument, f"say the type of `{argument.arg}`: `{argument.arg}: int`")
        if argument.arg == "self":
            raise at(argument, "`self` is always there and is not an argument")
        if len(argument.arg) > 32 or argument.arg == "_":
            raise at(argument, "an argument's name has 1 to 32 letters")
        parameters[argument.arg] = read_type(argument.annotation, records)
    if len(parameters) > MAX_PARAMETERS:
        raise at(node, f"a function has at most {MAX_PARAMETERS} arguments")
    return tuple(parameters.items())

"""Rules about what names bytes: structure types, hash domains, spaces of the state.

Each stands for one thing in the whole tree, so that no bytes can be taken for another kind's.
"""

import ast
from collections.abc import Iterable, Iterator

from tests.house.source import Finding, Source, dotted_name, is_within

STATE = ("market", "node.ledger", "vm")
"""Packages whose keys lie in the one key space of the state."""
SPACE_SUFFIXES = ("_SPACE", "_KEY", "_PREFIX")

Place = tuple[Source, ast.AST]


def structure_types(sources: Iterable[Source]) -> Iterator[tuple[int, str, Place]]:
    """Every number that begins a structure: constants of modules whose names end with `_TYPE`."""
    for source in sources:
        if source.is_production:
            for name, value, node in _constants(source):
                if name.endswith("_TYPE") and type(value) is int:
                    yield value, name, (source, node)


def find_shared_types(sources: Iterable[Source]) -> Iterator[Finding]:
    """Structure types that two structures have."""
    first: dict[int, str] = {}
    for number, name, (source, node) in structure_types(sources):
        known = first.setdefault(number, f"{source.module}.{name}")
        if known != f"{source.module}.{name}":
            yield source.finding(
                node,
                f"structure type {number} belongs to `{known}`",
                'take a number that is not in the table of docs/protocol.md, "Encoding"',
            )


def domains(sources: Iterable[Source]) -> Iterator[tuple[str, bool, Place]]:
    """Every hash domain: how its name begins, whether anything follows, its place."""
    for source in sources:
        if source.is_production:
            for node in source.nodes:
                if isinstance(node, ast.Call) and dotted_name(node.func).split(".")[-1] == "tag":
                    name, is_open = _domain(node)
                    yield name, is_open, (source, node)


def find_shared_domains(sources: Iterable[Source]) -> Iterator[Finding]:
    """Hash domains that are made twice, or that a domain with an open end may become."""
    closed: dict[str, Place] = {}
    openings: dict[str, Place] = {}
    for name, is_open, (source, node) in domains(sources):
        known = openings if is_open else closed
        if name in known or not name:
            what = f"the domain `{name}` is made elsewhere" if name else "a domain of any name"
            yield source.finding(node, what, "give each kind of object a domain of its own")
        known[name] = (source, node)
    for opening in openings:
        for name, (source, node) in closed.items():
            if name.startswith(opening):
                yield source.finding(
                    node,
                    f"`{name}` may also be made by whoever chooses what follows `{opening}`",
                    f"choose a name that does not begin with `{opening}`",
                )


def spaces(sources: Iterable[Source]) -> Iterator[tuple[bytes, str, Place]]:
    """Every beginning of the state's keys that is written out."""
    for source in sources:
        if is_within(source.module, STATE):
            for name, value, node in _constants(source):
                if name.endswith(SPACE_SUFFIXES) and type(value) is bytes:
                    yield value, name, (source, node)


def find_shared_spaces(sources: Iterable[Source]) -> Iterator[Finding]:
    """Spaces of the state of which one is, or begins, another."""
    known: dict[bytes, str] = {}
    for value, name, (source, node) in spaces(sources):
        for other, owner in known.items():
            if value.startswith(other) or other.startswith(value):
                yield source.finding(
                    node,
                    f"the keys of `{name}` ({value!r}) lie among those of `{owner}`",
                    "choose a first byte of its own; docs/protocol.md lists those taken",
                )
        known[value] = f"{source.module}.{name}"


def _domain(call: ast.Call) -> tuple[str, bool]:
    """The constant beginning of a domain's name, and whether anything follows it."""
    node: ast.AST | None = call.args[0] if call.args else None
    is_open = isinstance(node, ast.BinOp)
    while isinstance(node, ast.BinOp):
        node = node.left
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value, is_open
    return "", True


def _constants(source: Source) -> Iterator[tuple[str, object, ast.AST]]:
    """Names, values and places of a module's constants that are written out."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target: ast.AST = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant):
            yield target.id, node.value.value, node

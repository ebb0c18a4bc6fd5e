"""What the pure floors may not do: floats, true division, hash(), id(), I/O, coroutines."""

import ast
from collections.abc import Iterator

from tests.house.layers import MATH
from tests.house.source import Finding, Source, dotted_name

INTEGERS = "compute in integers and round once, with a function of vm/primitives/integers.py"
CODE_BUILTINS = ("__import__", "compile", "eval", "exec")
IO_BUILTINS = ("breakpoint", "globals", "input", "open", "print", "vars")
IDENTITY = ("hash", "id")


def find_floats(source: Source) -> Iterator[Finding]:
    """Float and complex literals, the names `float` and `complex`, float members of math."""
    if not source.is_pure:
        return
    refusals = _type_tests(source)
    for node in source.nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield source.finding(node, f"the float literal {node.value!r}", INTEGERS)
        elif isinstance(node, ast.Name) and node.id in ("float", "complex"):
            if node not in refusals:
                yield source.finding(node, f"`{node.id}` in a pure module", INTEGERS)
        elif isinstance(node, ast.Attribute) and dotted_name(node).startswith("math."):
            if node.attr not in MATH:
                yield source.finding(node, f"`math.{node.attr}` computes in floats", INTEGERS)


def _type_tests(source: Source) -> set[ast.AST]:
    """The nodes inside `isinstance(x, …)`, `type(x) is …` and `case …():`, which only ask."""
    asked: set[ast.AST] = set()
    for node in source.nodes:
        if isinstance(node, ast.Call) and dotted_name(node.func) in ("isinstance", "issubclass"):
            asked.update(inner for argument in node.args[1:] for inner in ast.walk(argument))
        elif isinstance(node, ast.Compare):
            asked.update(inner for side in node.comparators for inner in ast.walk(side))
        elif isinstance(node, ast.MatchClass):
            asked.add(node.cls)
    return asked


def find_true_division(source: Source) -> Iterator[Finding]:
    """`/`, `/=`, `operator.truediv` and negative powers, all of which give floats."""
    if not source.is_pure:
        return
    for node in source.nodes:
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield source.finding(node, "true division", f"use // where it is exact, or {INTEGERS}")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            if isinstance(node.right, ast.UnaryOp) and isinstance(node.right.op, ast.USub):
                yield source.finding(node, "a negative power", INTEGERS)
        elif isinstance(node, ast.Name | ast.Attribute):
            if dotted_name(node).split(".")[-1] in ("truediv", "itruediv", "__truediv__"):
                yield source.finding(node, "`truediv`", INTEGERS)
        elif isinstance(node, ast.ImportFrom):
            if any(alias.name in ("truediv", "itruediv") for alias in node.names):
                yield source.finding(node, "`truediv`", INTEGERS)


def find_identity_and_io(source: Source) -> Iterator[Finding]:
    """hash() and id(), which differ per process, and builtins with side effects."""
    if not source.is_pure:
        return
    bound = _bound_names(source)
    called = {node.func for node in source.nodes if isinstance(node, ast.Call)}
    for node in source.nodes:
        if isinstance(node, ast.Attribute) and node.attr == "__hash__":
            yield source.finding(node, "`__hash__` in a pure module", _IDENTITY_MEND)
        if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
            continue
        if node.id in IDENTITY and (node in called or node.id not in bound):
            yield source.finding(node, f"`{node.id}` in a pure module", _IDENTITY_MEND)
        elif node.id in IO_BUILTINS and node.id not in bound:
            yield source.finding(
                node, f"`{node.id}` in a pure module", "take data as arguments, return the result"
            )


_IDENTITY_MEND = "it differs between processes: use a key, an encoding or tagged_hash"


def _bound_names(source: Source) -> set[str]:
    """Every name that the module itself binds, as variable, parameter, function or import."""
    names: set[str] = set()
    for node in source.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def find_coroutines(source: Source) -> Iterator[Finding]:
    """Coroutines in a pure floor."""
    if not source.is_pure:
        return
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    for node in source.nodes:
        if isinstance(node, kinds):
            yield source.finding(
                node, "a coroutine in a pure module", "return outputs that `node` carries out"
            )


def find_code_execution(source: Source) -> Iterator[Finding]:
    """compile, eval, exec and `__import__` below `tools`."""
    if not source.is_below_tools:
        return
    for node in source.nodes:
        name = ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            name = node.id
        elif isinstance(node, ast.Attribute) and dotted_name(node.value) in (
            "builtins",
            "__builtins__",
        ):
            name = node.attr
        if name in CODE_BUILTINS:
            yield source.finding(
                node,
                f"`{name}` below `tools`",
                "the chain runs contracts in our own interpreter; nothing else runs made code",
            )

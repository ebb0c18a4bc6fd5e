"""The first stage: from bytes or text to a bounded syntax tree of allowed kinds of nodes."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from typing import Final

from tools.contract.source_error import SourceError, at

MAX_SOURCE_BYTES: Final = 65_536
MAX_DEPTH: Final = 90
"""Levels of the syntax tree; later stages walk it by recursion."""

_ALLOWED: Final = frozenset(
    (
        ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Delete, ast.Assign,
        ast.AugAssign, ast.AnnAssign, ast.For, ast.While, ast.If, ast.Assert, ast.Import,
        ast.ImportFrom, ast.alias, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.BoolOp,
        ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.ListComp, ast.DictComp,
        ast.comprehension, ast.Compare, ast.Call, ast.keyword, ast.FormattedValue, ast.JoinedStr,
        ast.Constant, ast.Attribute, ast.Subscript, ast.Name, ast.List, ast.Tuple, ast.Slice,
        ast.Load, ast.Store, ast.Del,
    )
)  # fmt: skip
_INSTEAD: Final[Mapping[type[ast.AST], str]] = {
    ast.AsyncFunctionDef: "`async` is not part of the language; write a plain `def`",
    ast.ClassDef: "classes are not part of the language; use functions, and `record(…)` for data",
    ast.Lambda: "`lambda` is not part of the language; write a function",
    ast.Try: "`try` is not part of the language; a failure undoes the whole transaction, so test "
    "first with `require`",
    ast.Raise: '`raise` is not part of the language; write `fail("why")`',
    ast.With: "`with` is not part of the language",
    ast.Global: "`global` is not part of the language; storage is reached as `self.name`",
    ast.Nonlocal: "`nonlocal` is not part of the language; pass values as arguments",
    ast.Yield: "generators are not part of the language; return a list",
    ast.YieldFrom: "generators are not part of the language; return a list",
    ast.GeneratorExp: "generators are not part of the language; write a list: `[… for …]`",
    ast.Await: "`await` is not part of the language",
    ast.Set: "sets are not part of the language; use a dictionary with values `True`",
    ast.SetComp: "sets are not part of the language; use a dictionary with values `True`",
    ast.Starred: "`*` before a value is not part of the language; name each value",
    ast.NamedExpr: "`:=` is not part of the language; assign on a line of its own",
    ast.Match: "`match` is not part of the language; write `if` and `elif`",
}


def parse_source(source: str | bytes) -> tuple[str, ast.Module]:
    """Return the text of a source and its syntax tree; raises SourceError."""
    text = _decode(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except SyntaxError as error:
        raise SourceError(
            error.lineno or 1, max(error.offset or 1, 1), f"this is not Python: {error.msg}"
        ) from None
    except (ValueError, RecursionError, MemoryError, OverflowError):
        raise SourceError(1, 1, "Python cannot parse this: it nests too deeply") from None
    _check_nodes(tree)
    return text, tree


def _decode(source: str | bytes) -> str:
    try:
        raw = source.encode() if isinstance(source, str) else source
        text = raw.decode()
    except UnicodeError:
        raise SourceError(1, 1, "a source is text in UTF-8") from None
    if len(raw) > MAX_SOURCE_BYTES:
        raise SourceError(1, 1, f"a source has at most {MAX_SOURCE_BYTES} bytes, this {len(raw)}")
    for number, line in enumerate(text.split("\n"), 1):
        for column, letter in enumerate(line, 1):
            if (letter < " " and letter not in "\t\r") or letter in "\x7f\ufeff":
                raise SourceError(number, column, "a control character; remove it")
    return text


def _check_nodes(tree: ast.Module) -> None:
    """Walk without recursion: the tree may be deeper than Python's stack."""
    pending: list[tuple[ast.AST, ast.AST, int]] = [(tree, tree, 0)]
    while pending:
        node, near, depth = pending.pop()
        near = node if hasattr(node, "lineno") else near
        if depth > MAX_DEPTH:
            raise at(near, "this nests too deeply; give its parts names")
        kind = type(node)
        if kind not in _ALLOWED and not isinstance(
            node, ast.operator | ast.unaryop | ast.boolop | ast.cmpop
        ):
            raise at(near, _INSTEAD.get(kind, f"`{kind.__name__}` is not part of the language"))
        if isinstance(node, ast.Name | ast.arg):
            _check_name(near, node.id if isinstance(node, ast.Name) else node.arg)
        pending.extend((child, near, depth + 1) for child in ast.iter_child_nodes(node))


def _check_name(node: ast.AST, name: str) -> None:
    if not name.isascii():
        raise at(node, f"the name {name!r} has letters beyond ASCII; rename it")
    if name.startswith("_") and name != "_":
        raise at(node, f"names do not begin with an underscore; rename {name!r}")
    if len(name) > 64:
        raise at(node, "a name has at most 64 letters")

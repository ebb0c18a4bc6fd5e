"""How code of the house behaves: guards that stay, errors that are heard, sizes, docstrings."""

import ast
import re
from collections.abc import Iterator

from tests.house.source import Finding, Source, dotted_name

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
BROAD_ERRORS = ("Exception", "BaseException")
MUTABLE_MARK = re.compile(r"#\s*mutable:\s*\S.{7,}")


def find_missing_docstrings(source: Source) -> Iterator[Finding]:
    """Modules that do not say what they are."""
    if not (ast.get_docstring(source.tree) or "").strip():
        yield source.finding(
            1, "no module docstring", "say in its first sentence what the module is"
        )


def find_asserts(source: Source) -> Iterator[Finding]:
    """`assert` and `__debug__` in code whose guards must survive `python -O`."""
    if not source.is_below_tools:
        return
    for node in source.nodes:
        is_debug = isinstance(node, ast.Name) and node.id == "__debug__"
        if isinstance(node, ast.Assert) or is_debug:
            yield source.finding(
                node,
                "`__debug__`" if is_debug else "`assert` as a guard, which vanishes under -O",
                "raise InvariantViolation for our own bug, an InvalidInput for bad input",
            )


def find_long_files(source: Source) -> Iterator[Finding]:
    """Files that are more than one thing."""
    if len(source.lines) > MAX_FILE_LINES:
        yield source.finding(
            MAX_FILE_LINES + 1,
            f"{len(source.lines)} lines, at most {MAX_FILE_LINES}",
            "split the module by subject, or justify it in tests/house/exceptions.py",
        )


def find_long_functions(source: Source) -> Iterator[Finding]:
    """Functions too long to be read at once; their docstring and decorators do not count."""
    for node in source.nodes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node) is not None:
            first = node.body[0]
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > MAX_FUNCTION_LINES:
            yield source.finding(
                node,
                f"`{node.name}` has {lines} lines beside its docstring, at most "
                f"{MAX_FUNCTION_LINES}",
                "give its parts names, or justify it in tests/house/exceptions.py",
                node.name,
            )


def find_swallowed_errors(source: Source) -> Iterator[Finding]:
    """`except:`, `except Exception:` and `suppress(Exception)` that let an error vanish."""
    if not source.is_production:
        return
    for node in source.nodes:
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _reraises(node):
            yield source.finding(
                node,
                "a broad `except` that does not raise again",
                "name the errors that are expected here; everything else is a bug that must be "
                "heard, so raise it again after cleaning up",
            )
        elif isinstance(node, ast.Call) and dotted_name(node.func).endswith("suppress"):
            if any(_is_broad(argument) for argument in node.args):
                yield source.finding(
                    node, "`suppress` of every error", "name the errors that are expected here"
                )


def _is_broad(kind: ast.expr | None) -> bool:
    if isinstance(kind, ast.Tuple):
        return any(_is_broad(element) for element in kind.elts)
    return kind is None or dotted_name(kind).split(".")[-1] in BROAD_ERRORS


def _reraises(handler: ast.ExceptHandler) -> bool:
    """Whether a handler raises, other than in a function that it merely defines."""
    pending: list[ast.AST] = list(handler.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Raise):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending.extend(ast.iter_child_nodes(node))
    return False


def find_mutable_records(source: Source) -> Iterator[Finding]:
    """Dataclasses of pure floors without slots, or changeable without saying why."""
    if not source.is_pure:
        return
    for node in source.nodes:
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if dotted_name(call).split(".")[-1] != "dataclass":
                continue
            if not _is_switched_on(decorator, "slots"):
                yield source.finding(
                    node, f"dataclass `{node.name}` without slots", "add slots=True", node.name
                )
            if not _is_switched_on(decorator, "frozen") and not _is_marked(source, node, decorator):
                yield source.finding(
                    node,
                    f"dataclass `{node.name}` is not frozen",
                    "add frozen=True; for a working record, put `# mutable: why` on the "
                    "decorator's line or the line above",
                    node.name,
                )


def _is_switched_on(decorator: ast.expr, option: str) -> bool:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return any(
        keyword.arg == option
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in keywords
    )


def _is_marked(source: Source, node: ast.ClassDef, decorator: ast.expr) -> bool:
    around = source.lines[max(0, decorator.lineno - 2) : node.lineno]
    return any(MUTABLE_MARK.search(line) for line in around)


def find_unfinished_code(source: Source) -> Iterator[Finding]:
    """Code that stands for code to come."""
    unfinished = "NotImplemented" + "Error"
    if not source.is_production:
        return
    for node in source.nodes:
        if isinstance(node, ast.Name | ast.Attribute):
            if dotted_name(node).split(".")[-1] == unfinished:
                yield source.finding(
                    node, f"`{unfinished}`", "build it, or declare it abstract with abc or Protocol"
                )

"""The files of the repository as the house rules read them: text, syntax tree, place.

A rule is a function from sources to findings. A finding names file, line, what is wrong and
how to mend it, so that nobody has to read the rule to satisfy it.
"""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FLOORS = ("consensus", "dispatch", "genesis", "market", "node", "tools", "vm")
# Sources of contracts, in a language of their own, and their tests: data to every rule here.
CONTRACTS = "genesis/contracts/"
PURE = ("consensus", "market", "node.ledger", "vm")


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place."""

    path: str
    line: int
    what: str
    mend: str
    subject: str = ""
    """What an exception would name: a function, a class, or nothing for the whole file."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}. Mend: {self.mend}"


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree, walked once for all rules."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def module(self) -> str:
        """The dotted name by which it is imported."""
        parts = self.path.removesuffix(".py").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def is_production(self) -> bool:
        return self.path.split("/")[0] in FLOORS

    @property
    def is_pure(self) -> bool:
        return is_within(self.module, PURE)

    @property
    def is_below_tools(self) -> bool:
        return self.is_production and not is_within(self.module, ("tools",))

    def finding(self, where: ast.AST | int, what: str, mend: str, subject: str = "") -> Finding:
        """A finding in this file, at a syntax node or a line number."""
        line = where if isinstance(where, int) else getattr(where, "lineno", 1)
        return Finding(self.path, line, what, mend, subject)


@dataclass(frozen=True, slots=True)
class ImportedName:
    """One imported dotted name: `from a.b import c` imports `a.b.c`, `import a.b` `a.b`."""

    name: str
    line: int
    is_from: bool
    is_for_types: bool
    """Stands under `if TYPE_CHECKING:` and never runs."""
    is_deferred: bool
    """Stands inside a function and runs only when that is called."""


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def imports_of(source: Source) -> Iterator[ImportedName]:
    """Every absolute import of a file, those inside functions and type checks too."""
    yield from _imports_in(source.tree, is_for_types=False, is_deferred=False)


def _imports_in(node: ast.AST, *, is_for_types: bool, is_deferred: bool) -> Iterator[ImportedName]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield ImportedName(alias.name, child.lineno, False, is_for_types, is_deferred)
        elif isinstance(child, ast.ImportFrom) and child.level == 0 and child.module:
            for alias in child.names:
                name = f"{child.module}.{alias.name}"
                yield ImportedName(name, child.lineno, True, is_for_types, is_deferred)
        elif isinstance(child, ast.If) and dotted_name(child.test).endswith("TYPE_CHECKING"):
            for statement in child.body:
                wrapped = ast.Module([statement], [])
                yield from _imports_in(wrapped, is_for_types=True, is_deferred=is_deferred)
            rest = ast.Module(child.orelse, [])
            yield from _imports_in(rest, is_for_types=is_for_types, is_deferred=is_deferred)
        else:
            inside = is_deferred or isinstance(
                child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
            )
            yield from _imports_in(child, is_for_types=is_for_types, is_deferred=inside)


def dotted_name(node: ast.AST) -> str:
    """`a.b.c` for a chain of names, or "" for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted_name(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


@cache
def repository_files() -> tuple[str, ...]:
    """Every file that is or would be committed, as paths from the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        names = listing.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
        names = [name for name in names if not _is_left_behind(name)]
    return tuple(sorted({name for name in names if name and (ROOT / name).is_file()}))


def _is_left_behind(name: str) -> bool:
    """Whether a path of a tree without git is an environment, a cache or a build."""
    hidden = any(part.startswith(".") and part != ".ci" for part in name.split("/"))
    return hidden or "__pycache__" in name or ".egg-info" in name or name.startswith("build/")


@cache
def repository_sources() -> tuple[Source, ...]:
    """Every Python file of the repository."""
    names = (
        name
        for name in repository_files()
        if name.endswith(".py") and not name.startswith(CONTRACTS)
    )
    return tuple(Source(name, (ROOT / name).read_text(encoding="utf-8")) for name in names)

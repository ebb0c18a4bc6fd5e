"""Which floor may import what: the architecture's table as data, and the rules that read it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house.source import FLOORS, Finding, Source, imports_of, is_within


@dataclass(frozen=True, slots=True)
class Floor:
    """What the modules of one folder may import besides the standard library."""

    internal: tuple[str, ...]
    third_party: tuple[str, ...] = ()


# The longest matching name counts: `node.ledger` has rules of its own inside `node`.
TABLE = {
    "consensus": Floor(("consensus",)),
    "vm": Floor(("vm",), ("msgpack", "nacl")),
    "vm.primitives": Floor(("vm.primitives",), ("msgpack", "nacl")),
    "market": Floor(("market", "vm")),
    "dispatch": Floor(("dispatch", "market", "vm.primitives"), ("numba", "numpy")),
    "node": Floor(
        ("node", "vm", "consensus", "market"),
        ("aiohttp", "cryptography", "msgpack", "nacl", "plyvel"),
    ),
    "node.ledger": Floor(("node.ledger", "vm", "consensus", "market"), ("msgpack", "nacl")),
    "tools": Floor(FLOORS, ("aiohttp", "click", "rich")),
    # The optional extra `bench`: another solver on the same problems.
    "tools.bench.clarabel_reference": Floor(("market",), ("clarabel", "numpy", "scipy")),
    # Copied alone to an auditor's machine.
    "tools.verify_proof": Floor((), ("nacl",)),
    "genesis": Floor(()),
}

# The pure floors may use these of the standard library and nothing else. What is missing here
# has a clock, entropy, I/O, process state or a Unicode table in it.
PURE_STDLIB = (
    "__future__ abc array base64 binascii bisect collections contextlib dataclasses enum fractions "
    "functools hashlib heapq itertools math operator string struct types typing"
).split()
# Genesis is a JSON file; its reader refuses floats.
LEDGER_STDLIB = ["json"]
# The members of `math` that take and give integers.
MATH = "comb factorial gcd isqrt lcm perm prod".split()
# Parts of libsodium's binding that draw random numbers.
NACL_BANNED = ("nacl.hash", "nacl.public", "nacl.pwhash", "nacl.secret", "nacl.utils")
NACL_RANDOM = ("crypto_box_keypair", "crypto_kx_keypair", "crypto_sign_keypair", "randombytes")

# Below `tools` nothing parses or runs code, nor reads formats that do.
CODE_MODULES = "ast code codeop dis imp marshal pickle runpy shelve symtable".split()
# `dispatch` computes and does no I/O.
IO_MODULES = (
    "asyncio fcntl http io logging mmap multiprocessing os pathlib select selectors shutil signal "
    "socket socketserver sqlite3 ssl subprocess tempfile threading urllib"
).split()


def floor_of(module: str) -> tuple[str, Floor] | None:
    """The most specific floor a module lies on, with its name."""
    names = [name for name in TABLE if is_within(module, (name,))]
    return (name := max(names, key=len), TABLE[name]) if names else None


def find_imports_across_floors(source: Source) -> Iterator[Finding]:
    """Imports of a floor above, of a package the floor has no use for, or of an unknown one."""
    found = floor_of(source.module)
    if found is None:
        return
    name, floor = found
    for imported in imports_of(source):
        top = imported.name.split(".")[0]
        if top in FLOORS or top == "tests":
            if not is_within(imported.name, floor.internal):
                yield source.finding(
                    imported.line,
                    f"`{name}` imports `{imported.name}`",
                    f"`{name}` may import only {_listed(floor.internal)} of this project; "
                    "pass the value in as an argument or move the code to a higher floor",
                )
        elif top not in sys.stdlib_module_names and top not in floor.third_party:
            yield source.finding(
                imported.line,
                f"`{name}` imports the package `{top}`",
                f"`{name}` may use {_listed(floor.third_party)} of other people's packages; "
                "put the use behind a module of a floor that may",
            )


def find_impure_imports(source: Source) -> Iterator[Finding]:
    """Imports by which a clock, entropy, I/O or process state would enter a pure floor."""
    if not source.is_pure:
        return
    allowed = PURE_STDLIB + (LEDGER_STDLIB if is_within(source.module, ("node.ledger",)) else [])
    for imported in imports_of(source):
        top, _, rest = imported.name.partition(".")
        if top in sys.stdlib_module_names and top not in allowed:
            yield source.finding(
                imported.line,
                f"a pure module imports `{top}`",
                "time, height, randomness and settings come in as arguments; if the module is "
                "free of clock, entropy, I/O and process state, add it to PURE_STDLIB",
            )
        elif top == "math" and imported.is_from and rest not in MATH:
            yield source.finding(
                imported.line,
                f"a pure module imports `{imported.name}`, which computes in floats",
                f"use integers; of math only {_listed(MATH)}",
            )
        elif is_within(imported.name, NACL_BANNED) or rest.split(".")[-1] in NACL_RANDOM:
            yield source.finding(
                imported.line,
                f"a pure module imports `{imported.name}`, which can draw random numbers",
                "take the seed as an argument and use nacl.bindings",
            )


def find_code_and_io_imports(source: Source) -> Iterator[Finding]:
    """Imports that parse or load code below `tools`, and I/O in `dispatch`."""
    if not source.is_below_tools:
        return
    is_dispatch = is_within(source.module, ("dispatch",))
    for imported in imports_of(source):
        top = imported.name.split(".")[0]
        is_loader = top == "importlib" and not is_within(
            imported.name, ("importlib.metadata", "importlib.resources")
        )
        if top in CODE_MODULES or is_loader:
            yield source.finding(
                imported.line,
                f"`{imported.name}` is imported below `tools`",
                "nothing below `tools` parses, loads or unpickles code; use our own codec and "
                "plain imports",
            )
        elif is_dispatch and top in IO_MODULES:
            yield source.finding(
                imported.line,
                f"`dispatch` imports `{top}`",
                "`dispatch` does no I/O: take the data as an argument and return the result",
            )


def find_relative_imports(source: Source) -> Iterator[Finding]:
    """Imports that begin with a dot."""
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            target = "." * node.level + (node.module or "")
            yield source.finding(
                node, f"relative import from `{target}`", "name the package in full"
            )


def find_code_in_packages(source: Source) -> Iterator[Finding]:
    """Anything but a docstring in an `__init__`, and modules where only data belongs."""
    if source.path.startswith("genesis/") and source.path != "genesis/__init__.py":
        yield source.finding(1, "`genesis` holds data only", "move the code to `tools` or `node`")
    if not source.is_package:
        return
    for statement in source.tree.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        yield source.finding(
            statement,
            "code in an `__init__`",
            "keep the docstring only; import from the module that defines the name",
        )


def find_misnamed_modules(source: Source) -> Iterator[Finding]:
    """Modules and packages named like one of the standard library's, and homeless files."""
    if not source.is_production:
        if source.path.split("/")[0] != "tests":
            yield source.finding(
                1, "a Python file on no floor", f"put it into {_listed(FLOORS)} or tests"
            )
        return
    name = source.module.split(".")[-1]
    if name in sys.stdlib_module_names and name != "__main__":
        yield source.finding(
            1,
            f"`{source.module}` is named like the standard library's `{name}`",
            "choose a name that says more",
        )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"

"""Planted violations: every rule of the house catches what it is for, and nothing else.

Each entry of `PLANTED` must be found by the rule and on the line that carries the sign; each
entry of `INNOCENT` is near a rule and must pass it.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.house import exceptions, rules, texts
from tests.house.rules import RULES
from tests.house.source import Finding, Source

SIGN = "#!"
LATER = "TO" + "DO"
UNBUILT = "NotImplemented" + "Error"


@dataclass(frozen=True, slots=True)
class Plant:
    """A file to plant: the rule that must see or pass it, where it lies, what it holds."""

    rule: str
    path: str
    code: str


PLANTED = [
    Plant("imports across floors", "consensus/a.py", "import vm.primitives.codec  #!"),
    Plant("imports across floors", "consensus/a.py", "import msgpack  #!"),
    Plant("imports across floors", "vm/a.py", "from market import network  #!"),
    Plant("imports across floors", "vm/a.py", "import plyvel  #!"),
    Plant("imports across floors", "vm/primitives/a.py", "from vm import context  #!"),
    Plant("imports across floors", "market/a.py", "from dispatch.solver import solve  #!"),
    Plant("imports across floors", "market/a.py", "import nacl.bindings  #!"),
    Plant("imports across floors", "dispatch/a.py", "from vm.context import CallContext  #!"),
    Plant("imports across floors", "dispatch/a.py", "import scipy.optimize  #!"),
    Plant("imports across floors", "node/a.py", "def f():\n    import dispatch.solver  #!"),
    Plant("imports across floors", "node/a.py", "import rich  #!"),
    Plant("imports across floors", "node/a.py", "import tools.cli  #!"),
    Plant("imports across floors", "node/ledger/a.py", "from node import store  #!"),
    Plant("imports across floors", "node/ledger/a.py", "import plyvel  #!"),
    Plant("imports across floors", "tools/a.py", "import numpy  #!"),
    Plant("imports across floors", "tools/a.py", "import tests.conftest  #!"),
    Plant("impure imports", "vm/a.py", "import time  #!"),
    Plant("impure imports", "consensus/a.py", "from random import Random  #!"),
    Plant("impure imports", "market/a.py", "import secrets, datetime  #! #!"),
    Plant("impure imports", "node/ledger/a.py", "import os.path  #!"),
    Plant("impure imports", "vm/a.py", "def f():\n    import asyncio  #!"),
    Plant("impure imports", "vm/a.py", "try:\n    import logging  #!\nfinally:\n    pass"),
    Plant("impure imports", "market/a.py", "import threading  #!\nimport socket  #!"),
    Plant("impure imports", "vm/a.py", "import sys  #!\nimport re  #!\nimport unicodedata  #!"),
    Plant("impure imports", "vm/a.py", "import json  #!"),
    Plant("impure imports", "vm/a.py", "import decimal  #!"),
    Plant("impure imports", "vm/a.py", "from math import sqrt  #!"),
    Plant("impure imports", "vm/a.py", "from nacl.utils import random  #!"),
    Plant("impure imports", "vm/a.py", "from nacl.bindings import randombytes  #!"),
    Plant("code and i/o imports", "vm/a.py", "import ast  #!"),
    Plant("code and i/o imports", "node/a.py", "from pickle import loads  #!"),
    Plant("code and i/o imports", "node/a.py", "import importlib  #!"),
    Plant("code and i/o imports", "dispatch/a.py", "from pathlib import Path  #!"),
    Plant("relative imports", "market/a.py", "from . import b  #!"),
    Plant("relative imports", "tests/vm/a.py", "from ..helpers import b  #!"),
    Plant("code in packages", "vm/__init__.py", '"""Doc."""\nfrom vm.gas import Meter  #!'),
    Plant("code in packages", "vm/__init__.py", '"""Doc."""\n__all__ = []  #!'),
    Plant("code in packages", "genesis/reader.py", "#!"),
    Plant("misnamed modules", "node/queue.py", "#!"),
    Plant("misnamed modules", "vm/types/__init__.py", "#!"),
    Plant("misnamed modules", "scripts/run.py", "#!"),
    Plant("floats", "vm/a.py", "HALF = 0.5  #!"),
    Plant("floats", "market/a.py", "BIG = 1e6  #!"),
    Plant("floats", "market/a.py", "ROOT = 2j  #!"),
    Plant("floats", "vm/a.py", "x = float(3)  #!"),
    Plant("floats", "vm/a.py", "def f(x: float):  #!\n    pass"),
    Plant("floats", "vm/a.py", "y = list(map(float, (1, 2)))  #!"),
    Plant("floats", "vm/a.py", "import math\ny = math.floor(3)  #!"),
    Plant("true division", "consensus/a.py", "x = 6 / 3  #!"),
    Plant("true division", "vm/a.py", "x = 6\nx /= 3  #!"),
    Plant("true division", "vm/a.py", "import operator\nf = operator.truediv  #!"),
    Plant("true division", "vm/a.py", "x = 10 ** -2  #!"),
    Plant("identity and i/o", "vm/a.py", "x = hash(b'a')  #!"),
    Plant("identity and i/o", "vm/a.py", "x = id(object())  #!"),
    Plant("identity and i/o", "vm/a.py", "x = sorted([3], key=id)  #!"),
    Plant("identity and i/o", "vm/a.py", "x = (3).__hash__()  #!"),
    Plant("identity and i/o", "vm/a.py", "print('paid')  #!"),
    Plant("identity and i/o", "node/ledger/a.py", "x = open('genesis')  #!"),
    Plant("coroutines", "consensus/a.py", "async def f():  #!\n    pass"),
    Plant("code execution", "vm/a.py", "eval('1')  #!"),
    Plant("code execution", "node/a.py", "exec('x = 1')  #!"),
    Plant("code execution", "dispatch/a.py", "compile('1', '', 'eval')  #!"),
    Plant("code execution", "node/a.py", "run = eval  #!"),
    Plant("code execution", "node/a.py", "import builtins\nbuiltins.exec('1')  #!"),
    Plant("code execution", "node/a.py", "__import__('numpy')  #!"),
    Plant("set iteration", "vm/a.py", "for x in {1, 2}:  #!\n    pass"),
    Plant("set iteration", "vm/a.py", "x = [y for y in {1, 2}]  #!"),
    Plant("set iteration", "vm/a.py", "x = {y: 1 for y in set('ab')}  #!"),
    Plant("set iteration", "vm/a.py", "x = list({1} | {2})  #!"),
    Plant("set iteration", "vm/a.py", "x = b''.join({b'a'})  #!"),
    Plant("set iteration", "vm/a.py", "x = (*{1, 2},)  #!"),
    Plant("set iteration", "vm/a.py", "x = {1: 2}.keys() - {1: 1}.keys()\ny = tuple(x)  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: set[int]):\n    return next(iter(s))  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: frozenset[int] | None):\n    return list(s)  #!"),
    Plant("set iteration", "vm/a.py", "def f(a):\n    s = set(a)\n    return s.pop()  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: set[int]):\n    a, b = s  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: set[int]):\n    yield from s  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: set[int]):\n    return min(s, key=str)  #!"),
    Plant("set iteration", "vm/a.py", "def f(s: set[int]):\n    return sorted(s, key=str)  #!"),
    Plant("set iteration", "vm/a.py", "def f(d: dict[int, set[int]]):\n    return list(d[1])  #!"),
    Plant(
        "set iteration",
        "market/a.py",
        """
        class Book:
            open: set[bytes]

            def walk(self):
                for item in self.open:  #!
                    yield item
        """,
    ),
    Plant(
        "set iteration",
        "consensus/a.py",
        """
        def voters() -> set[bytes]:
            return set()

        def first():
            return [voter for voter in voters()]  #!
        """,
    ),
    Plant("missing docstrings", "market/a.py", "x = 1  #!"),
    Plant("missing docstrings", "market/a.py", '""" """  #!'),
    Plant("asserts", "vm/a.py", "def f(x):\n    assert x > 0  #!"),
    Plant("asserts", "node/a.py", "if __debug__:  #!\n    pass"),
    Plant("long files", "node/a.py", "x = 1\n" * 500 + "x = 2  #!"),
    Plant("long functions", "node/a.py", "def f():  #!\n" + "    x = 1\n" * 60),
    Plant("swallowed errors", "node/a.py", "try:\n    f()\nexcept:  #!\n    pass"),
    Plant("swallowed errors", "node/a.py", "try:\n    f()\nexcept Exception:  #!\n    x = 1"),
    Plant(
        "swallowed errors",
        "tools/a.py",
        "try:\n    f()\nexcept (ValueError, Exception):  #!\n    1",
    ),
    Plant(
        "swallowed errors",
        "node/a.py",
        """
        try:
            f()
        except BaseException:  #!
            def later():
                raise
        """,
    ),
    Plant("swallowed errors", "node/a.py", "with contextlib.suppress(Exception):  #!\n    f()"),
    Plant("mutable records", "vm/a.py", "@dataclass\nclass A:  #! #!\n    x: int"),
    Plant("mutable records", "vm/a.py", "@dataclass(frozen=True)\nclass A:  #!\n    x: int"),
    Plant(
        "mutable records", "vm/a.py", "@dataclass(slots=True)  # mutable:\nclass A:  #!\n    x: int"
    ),
    Plant("unfinished code", "vm/a.py", f"raise {UNBUILT}  #!"),
    Plant("unfinished code", "tools/a.py", f"def f():\n    raise {UNBUILT}('x')  #!"),
    Plant("shared structure types", "vm/a.py", "A_TYPE: Final = 7\n_B_TYPE = 7  #!"),
    Plant("shared hash domains", "vm/a.py", "A = tag('a')\nB = hashing.tag('a')  #!"),
    Plant("shared hash domains", "vm/a.py", "A = tag('a/b')  #!\nB = tag('a/' + name)"),
    Plant("shared hash domains", "vm/a.py", "A = tag(name)  #!"),
    Plant("shared spaces of the state", "market/a.py", "A_SPACE = b'k'\nB_KEY: Final = b'kx'  #!"),
]

INNOCENT = [
    Plant("imports across floors", "tools/a.py", "import click, dispatch.solver, node.app"),
    Plant(
        "imports across floors", "dispatch/a.py", "from vm.primitives import codec\nimport numpy"
    ),
    Plant("imports across floors", "node/ledger/a.py", "import vm.runtime, market.book, nacl"),
    Plant(
        "impure imports", "vm/a.py", "from collections.abc import Iterator\nfrom math import gcd"
    ),
    Plant("impure imports", "node/ledger/a.py", "import json"),
    Plant("impure imports", "node/clock.py", "import time, random, asyncio"),
    Plant("impure imports", "vm/a.py", "from nacl.bindings import crypto_sign_seed_keypair"),
    Plant("code and i/o imports", "tools/a.py", "import ast, importlib"),
    Plant("code and i/o imports", "node/a.py", "from importlib.resources import files"),
    Plant("relative imports", "market/a.py", "from market import b"),
    Plant("code in packages", "vm/__init__.py", '"""Doc."""'),
    Plant("misnamed modules", "tests/queue.py", ""),
    Plant("misnamed modules", "tools/__main__.py", ""),
    Plant(
        "floats", "vm/a.py", "def f(x):\n    return isinstance(x, (int, float)) or type(x) is float"
    ),
    Plant("floats", "dispatch/a.py", "x = 0.5"),
    Plant("true division", "vm/a.py", "x = 6 // 3\ny = 2 ** 8"),
    Plant("true division", "node/a.py", "x = path / 'data'"),
    Plant("identity and i/o", "vm/a.py", "def f(id: bytes, hash: bytes):\n    return id + hash"),
    Plant("identity and i/o", "node/a.py", "x = id(object())"),
    Plant("coroutines", "node/a.py", "async def f():\n    pass"),
    Plant("code execution", "tools/a.py", "compile('1', '', 'eval')"),
    Plant("code execution", "node/a.py", "pattern.compile('x')"),
    Plant("set iteration", "vm/a.py", "for x in sorted({1, 2}):\n    pass"),
    Plant("set iteration", "vm/a.py", "x = sorted(y + 1 for y in {1, 2})"),
    Plant("set iteration", "vm/a.py", "x = {y + 1 for y in {1, 2}}\nz = len(x), 1 in x, min(x)"),
    Plant("set iteration", "vm/a.py", "def f(s: list[int]):\n    return list(s), s.pop()"),
    Plant("set iteration", "node/a.py", "for x in {1, 2}:\n    pass"),
    Plant(
        "set iteration",
        "vm/a.py",
        """
        class Held:
            items: set[bytes]

        class Listed:
            items: tuple[bytes, ...]

        def walk(one: Listed):
            return list(one.items)
        """,
    ),
    Plant("missing docstrings", "market/a.py", '"""A book."""'),
    Plant("asserts", "tests/a.py", "assert True"),
    Plant("asserts", "tools/a.py", "assert True"),
    Plant("long files", "node/a.py", "x = 1\n" * 500),
    Plant("long functions", "node/a.py", "def f():\n" + "    x = 1\n" * 59),
    Plant(
        "long functions",
        "node/a.py",
        'def f():\n    """A.\n' + "\n" * 40 + '    """\n' + "    x = 1\n" * 55,
    ),
    Plant("swallowed errors", "node/a.py", "try:\n    f()\nexcept Exception:\n    g()\n    raise"),
    Plant("swallowed errors", "node/a.py", "try:\n    f()\nexcept OSError:\n    pass"),
    Plant(
        "mutable records", "vm/a.py", "@dataclass(frozen=True, slots=True)\nclass A:\n    x: int"
    ),
    Plant(
        "mutable records",
        "vm/a.py",
        "@dataclass(slots=True)  # mutable: one call's working copy\nclass A:\n    x: int",
    ),
    Plant("mutable records", "node/a.py", "@dataclass\nclass A:\n    x: int"),
    Plant("unfinished code", "vm/a.py", "def __eq__(self, o):\n    return NotImplemented"),
    Plant("shared structure types", "vm/a.py", "A_TYPE = 7\nB_TYPE = 8\nC_TYPE = 'x'\nD = 7"),
    Plant("shared hash domains", "vm/a.py", "A = tag('a/b')\nB = tag('b/' + name)"),
    Plant("shared spaces of the state", "vm/a.py", "A_SPACE = b'ka'\nB_SPACE = b'kb'\nC = b'k'"),
]

WEIGHTS = {"weight of the daemon": "node.app", "weight of the command line": "tools.cli"}


def sources(*files: tuple[str, str]) -> list[Source]:
    return [Source(path, textwrap.dedent(code)) for path, code in files]


def lines_of(findings: Iterable[Finding]) -> list[int]:
    return sorted(finding.line for finding in findings)


def signed_lines(code: str) -> list[int]:
    """The line numbers of the signs in a file, a line with two signs twice."""
    lines = code.splitlines()
    return [number for number, line in enumerate(lines, 1) for _ in range(line.count(SIGN))]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: f"{plant.rule}: {plant.path}")
def test_planted_violation_is_caught(plant: Plant) -> None:
    (source,) = sources((plant.path, plant.code))
    found = list(RULES[plant.rule]([source]))
    assert lines_of(found) == signed_lines(source.text), [str(finding) for finding in found]
    assert all(one.path == plant.path and one.what and one.mend for one in found)


@pytest.mark.parametrize("plant", INNOCENT, ids=lambda plant: f"{plant.rule}: {plant.path}")
def test_innocent_code_passes(plant: Plant) -> None:
    found = list(RULES[plant.rule](sources((plant.path, plant.code))))
    assert not found, [str(finding) for finding in found]


def test_every_rule_has_a_plant_and_an_innocent() -> None:
    assert {plant.rule for plant in PLANTED} == RULES.keys() - WEIGHTS.keys()
    assert {plant.rule for plant in INNOCENT} == RULES.keys() - WEIGHTS.keys()


@pytest.mark.parametrize(("rule", "root"), WEIGHTS.items())
def test_heavy_import_is_found_through_others(rule: str, root: str) -> None:
    start = root.replace(".", "/") + ".py"
    found = list(
        RULES[rule](
            sources(
                (start, "from market import book"),
                ("market/__init__.py", ""),
                ("market/book.py", "import dispatch.solver as solver"),
                ("dispatch/solver.py", "import math\nfrom numpy import linalg"),
                ("dispatch/unused.py", "import numba"),
            )
        )
    )
    assert [(one.path, one.line) for one in found] == [("dispatch/solver.py", 2)]
    assert f"{root} → market.book → dispatch.solver" in found[0].what


def test_heavy_import_in_a_package_docstring_file_is_found() -> None:
    files = sources(
        ("node/app.py", "import vm.a.b"), ("vm/a/__init__.py", "import numba"), ("vm/a/b.py", "")
    )
    assert [one.path for one in RULES["weight of the daemon"](files)] == ["vm/a/__init__.py"]


def test_deferred_import_weighs_on_the_daemon_only() -> None:
    code = "def solve():\n    import numpy"
    assert lines_of(RULES["weight of the daemon"](sources(("node/app.py", code)))) == [2]
    assert not list(RULES["weight of the command line"](sources(("tools/cli.py", code))))


def test_import_for_types_weighs_nothing() -> None:
    code = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy"
    assert not list(RULES["weight of the daemon"](sources(("node/app.py", code))))


@pytest.mark.parametrize(("rule", "root"), WEIGHTS.items())
def test_missing_root_is_a_finding(rule: str, root: str) -> None:
    assert [f"`{root}` is missing" in one.what for one in RULES[rule]([])] == [True]


def test_set_facts_reach_across_modules() -> None:
    files = sources(
        ("consensus/votes.py", "class Votes:\n    voters: frozenset[bytes]"),
        ("consensus/engine.py", "def f(votes):\n    return list(votes.voters)"),
    )
    assert [(one.path, one.line) for one in RULES["set iteration"](files)] == [
        ("consensus/engine.py", 2)
    ]


def test_exception_excuses_one_function_only(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "def {}():\n" + "    x = 1\n" * 80
    found = list(
        RULES["long functions"](sources(("node/a.py", long.format("f") + long.format("g"))))
    )
    key = ("long functions", "node/a.py", "f")
    monkeypatch.setitem(exceptions.EXCEPTIONS, key, "a table of states, read as one")
    standing, excused = rules.excuse("long functions", found)
    assert [one.subject for one in standing] == ["g"]
    assert [one.subject for one in excused] == ["f"]


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        (f"# {LATER}: the rest", True),
        ("# FIX" + "ME", True),
        ("key = 'X" + "XX'", True),
        ("mastodon, METHOD", False),
    ],
)
def test_unfinished_marks(line: str, is_wrong: bool) -> None:
    text = texts.Text("docs/protocol.md", ("fine", line))
    assert lines_of(texts.find_unfinished_marks([text])) == ([2] if is_wrong else [])


@pytest.mark.parametrize(
    ("line", "is_wrong"),
    [
        ("see /" + "work/main/README.md", True),
        ("cd /tmp/" + "spec", True),
        ("python = /tmp/" + "v/bin/python", True),
        ("read ../" + "shared/cases", True),
        ("found with ." + "library/search", True),
        ("asked a sub" + "agent", True),
        ("pip install --index" + "-url x", True),
        ("see SPEC" + ".md", True),
        ("network/work/lines, a.work/b", False),
        ("self.library, /tmp/speculative", False),
    ],
)
def test_machine_places(line: str, is_wrong: bool) -> None:
    text = texts.Text("Makefile", ("fine", line))
    assert lines_of(texts.find_machine_places([text])) == ([2] if is_wrong else [])


PYPROJECT = """
[tool.setuptools]
packages = ["vm", "genesis", "node.gone"]
[tool.setuptools.package-data]
genesis = ["*.json", "cases/*.json"]
"""


def test_packaging_gaps() -> None:
    files = [
        "vm/__init__.py",
        "vm/system/rules.py",
        "vm/table.csv",
        "genesis/__init__.py",
        "genesis/testnet.json",
        "genesis/cases/a.json",
        "genesis/other/a.json",
        "docs/notes.md",
    ]
    found = [(one.path, one.what) for one in texts.find_packaging_gaps(PYPROJECT, files)]
    assert found == [
        ("pyproject.toml", "`node.gone` has no module but is in the package list"),
        ("pyproject.toml", "`vm.system` is missing from the package list"),
        ("vm/system/__init__.py", "missing"),
        ("vm/table.csv", "not installed with the program"),
        ("genesis/other/a.json", "not installed with the program"),
    ]

"""Sources that are no contracts are refused, with line, column and what to write instead."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vm.contract.generator import generate
from tools.contract.compiler import compile_source
from tools.contract.source_error import SourceError

PAGE = Path(__file__).parents[3] / "docs" / "contracts.md"


def refusal(source: str | bytes) -> SourceError:
    """Return the refusal of a source."""
    with pytest.raises(SourceError) as caught:
        compile_source(source, {})
    error = caught.value
    assert error.line >= 1 and error.column >= 1 and error.message
    assert str(error).startswith(f"{error.line}:{error.column}: ")
    return error


def inside(*lines: str) -> str:
    """Return a contract with these lines in its function, from line 3 on."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"@export\ndef main(n: int, s: str, xs: list[int]):\n{body}"


# What stands in the function, and a part of what the compiler says.
ESCAPES = {
    "__import__('os')": "underscore",
    "x = (1, 2).__class__.__bases__": "no `__class__`",
    "x = s.__class__": "no `__class__`",
    "s.format(n)": "format specifications",
    "s = '{0.__class__}'.format(s)": "format specifications",
    "s = f'{n:>1000000000}'": "format specifications",
    "s = f'{s!r}'": "format specifications",
    "eval('1')": "runs only what it was deployed with",
    "exec('1')": "runs only what it was deployed with",
    "open('/etc/passwd')": "reaches nothing",
    "compile('1', '', 'eval')": "there is no function",
    "getattr(s, 'x')": "named in the source",
    "globals()": "there is no function",
    "print(n)": "`emit` an event",
    "hash(s)": "sha256",
    "x = lambda: 1": "`lambda`",
    "x = 1.5": "no floats",
    "x = 1j": "no floats",
    "x = n / 2": "gives a float",
    "x = 1e1000": "no floats",
    "x = None": "`None` is no value",
    "x = ...": "is no value",
    "x = {1, 2}": "sets",
    "x = {*xs}": "sets",
    "x = [*xs]": "`*`",
    "x = (i for i in xs)": "generators",
    "x = yield 1": "generators",
    "x = await s": "`await`",
    "x = (y := 1)": "`:=`",
    "import os": "only its statements",
    "from math import isqrt": "only its statements",
    "global n": "`global`",
    "nonlocal n": "`nonlocal`",
    "raise n": "`raise`",
    "del n": "`del` removes an entry",
    "n is n": "does nothing",
    "x = n is n": "`is`",
    "x = xs[::2]": "no step",
    "xs[0:1] = [1]": "a slice cannot be assigned",
    "s.x = 1": "does not change",
    "n()": "there is no function `n`",
    "xs.sort()": "append, extend, pop and copy",
    "s.upper()": "no method `upper`",
    "x = xs.gi_frame": "no `gi_frame`",
    "self.x = 1": "no storage `x`",
    "x = self": "not declared",
    "if n: pass": "a condition has to be `bool`",
    "while xs: pass": "a condition has to be `bool`",
    "x = not n": "has to be `bool`",
    "x = n and n": "a condition has to be `bool`",
    "x = n + s": "only text can be added to text",
    "x = s + n": "write `str(…)`",
    "x = n + True": "does not take",
    "x = n == s": "cannot be compared",
    "x = xs < xs": "no order",
    "x = 2 ** 255": "leaves 256 bits",
    "x = 1 // 0": "division by zero",
    "x = 1 << 300": "0 to 255",
    "x = y": "not declared",
    "n = s": "needs another name",
    "x = []": "say what the empty list holds",
    "x = {}": "say what the empty dictionary holds",
    "x = ()": "1 to 24 items",
    "x = [1, 'a']": "an item of this list",
    "x: float = 1": "no floats",
    "x: list = [1]": "say what it holds",
    "x: int": "first value",
    "return n": "returns nothing",
    "break": "outside of every loop",
    "for i in range(n, n, n): pass": "a constant other than 0",
    "for i in n: pass": "a loop walks over",
    "for i in xs: pass\nelse: pass": "no `else`",
    "def inner(): pass": "only its statements",
    "class X: pass": "classes",
    "try: pass\nexcept: pass": "test first with `require`",
    "with s: pass": "`with`",
    "match n:\n case 1: pass": "`match`",
    "async def f(): pass": "`async`",
    "n == 1": "does nothing",
    "len(xs, xs)": "one argument",
    "main(n, s, xs)": "from outside only",
    "emit(n)": "one declared event",
    "require()": "require(condition",
    "require(n > 0, n)": "the reason has to be `str`",
    "caller = 1": "stands for something else",
    "x = xs.pop(0)": "takes 0 arguments",
}


@pytest.mark.parametrize("text", ESCAPES)
def test_what_is_not_of_the_language(text: str) -> None:
    error = refusal(inside(*text.split("\n")))
    assert ESCAPES[text] in error.message
    assert error.line in (3, 4)


FILES = {
    "": (1, "at least one function"),
    "x = 1\n": (1, "at least one function"),
    "import os\n": (1, "no module `os`"),
    "from . import os\n": (1, "no module"),
    "from os import system\n": (1, "no module `os`"),
    "import math as m\n": (1, "`as`"),
    "from math import sin\n": (1, "`math` has no `sin`"),
    "class X:\n    pass\n": (1, "classes"),
    "print(1)\n": (1, "only declares"),
    "x: int = 5\n": (1, "no first value"),
    "x = f()\n": (1, "a constant is made of literals"),
    "x: map[list[int], int]\n": (1, "a map's key"),
    "x: map[int]\n": (1, "a key and a value"),
    "x: dict[tuple[int, int], int]\n": (1, "a dictionary's key"),
    "def f(a): pass\n": (1, "say the type of `a`"),
    "def f(a: int = 1): pass\n": (1, "no default values"),
    "def f(*a: int): pass\n": (1, "plain"),
    "def f(self: int): pass\n": (1, "`self`"),
    "def f() -> int: pass\n": (1, "may end without `return`"),
    "@staticmethod\ndef f(): pass\n": (1, "decorators are"),
    "@export(only=owner)\ndef f(): pass\n": (1, "storage variable"),
    "@export(roles=[1])\ndef f(): pass\n": (1, "list of names"),
    "@init\ndef f() -> int:\n    return 1\n": (2, "return nothing"),
    "def f(): pass\ndef f(): pass\n": (2, "declared twice"),
    "def len(): pass\n": (1, "a meaning of its own"),
    "def _f(): pass\n@export\ndef g():\n    _f()\n": (4, "underscore"),
    "x: int\n@view\ndef f():\n    self.x = 1\n": (4, "is a view"),
    "x: int\ndef g():\n    self.x = 1\n@view\ndef f():\n    g()\n": (6, "is a view"),
    "x: list[int]\n@export\ndef f():\n    self.x.append(1)\n": (4, "would change a copy"),
    "x: list[int]\n@export\ndef f():\n    self.x[0] = 1\n": (4, "would change a copy"),
    "@export\ndef f(n: int):\n    if n > 0:\n        x = 1\n    y = x\n": (5, "no value here"),
    "@export\ndef f(é: int): pass\n": (2, "beyond ASCII"),
    "\ufeff@export\ndef f(): pass\n": (1, "control character"),
    "@export\ndef f(): pass\x00\n": (2, "control character"),
    "@export\ndef f():\n    s = '\\ud800'\n": (3, "half of a letter"),
    "def f(:\n": (1, "not Python"),
    "@export\ndef f():\n" + "    x = " + "(" * 300 + "1" + ")" * 300 + "\n": (3, ""),
    "@export\ndef f():\n    x = " + "-" * 5_000 + "1\n": (1, "nests too deeply"),
    "@export\ndef f():\n    x = " + "1 + " * 500 + "1\n": (3, "nests too deeply"),
    "x = 1\n" * 20_000: (1, "at most 65536 bytes"),
}


@pytest.mark.parametrize("source", FILES)
def test_files_that_are_no_contracts(source: str) -> None:
    line, part = FILES[source]
    error = refusal(source)
    assert part in error.message
    assert error.line == line or not part


def test_bytes_that_are_no_text() -> None:
    assert "UTF-8" in refusal(b"\xff\xfe").message
    assert "UTF-8" in refusal("\ud800").message


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_any_bytes(source: str | bytes) -> None:
    try:
        compile_source(source, {})
    except SourceError as error:
        assert error.line >= 1 and error.column >= 1


def test_changed_sources_are_compiled_or_refused() -> None:
    pieces = re.findall(r"\w+|\s+|[^\w\s]", PAGE.read_text(encoding="utf-8"))
    refused = 0
    for seed in range(400):
        rng = random.Random(seed)
        parts = re.findall(r"\w+|\s+|[^\w\s]", generate(seed % 40).source)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(parts))
            parts[place] = rng.choice((rng.choice(parts), rng.choice(pieces), ""))
        try:
            compile_source("".join(parts), {})
        except SourceError:
            refused += 1
    assert 100 < refused < 400

"""Resource attacks: contracts that want more time or memory than their gas pays for."""

from __future__ import annotations

from typing import Final

_LOOPS: Final[dict[str, tuple[str, str]]] = {
    # name: (before the loop, in the loop)
    "empty loop": ("", "pass"),
    "counting": ("i = 0", "i += 1"),
    "additions": ("a = 2 ** 250\nb = -(2 ** 250)", "c = a + b"),
    "products": ("a = 2 ** 127 - 1", "b = a * a"),
    "quotients": ("a = 2 ** 254\nb = 2 ** 127 + 1", "c = a // b"),
    "remainders": ("a = 2 ** 254\nb = 2 ** 127 + 1", "c = a % b"),
    "powers": ("a = 1\nb = 255", "c = a ** b"),
    "larger powers": ("a = 3\nb = 160", "c = a ** b"),
    "shifts": ("a = 1\nb = 254", "c = a << b"),
    "roots": ("a = 2 ** 254 + 12345", "b = math.isqrt(a)"),
    "divisors": (
        "a = 2880067194370816120 * 2 ** 100\nb = 4660046610375530309 * 3 ** 60",
        "c = math.gcd(a, b)",
    ),
    "wide products": ("a = 2 ** 254", "b = math.mul_div(a, a, a)"),
    "roundings": ("a = 2 ** 254", "b = math.mul_div_half_even(a, a, a - 1)"),
    "decimal texts": ("a = 2 ** 254", "b = str(a)"),
    "decimal numbers": ("a = str(2 ** 254)", "b = int(a)"),
    "hashes": ("a = b\"x\" * 8192", "b = sha256(a)"),
    "short hashes": ("a = b\"x\"", "b = sha256(a)"),
    "encodings": ("a = \"é\" * 4000", "b = a.encode()"),
    "decodings": ("a = (\"é\" * 4000).encode()", "b = a.decode()"),
    "hex": ("a = b\"x\" * 4096", "b = a.hex()"),
    "joined texts": ("a = \"é\" * 4000", "b = a + a"),
    "joined bytes": ("a = b\"x\" * 4000", "b = a + a"),
    "repeated texts": ("a = \"é\"", "b = a * 8192"),
    "slices": ("a = \"é\" * 8192", "b = a[1:8192]"),
    "searches": ("a = b\"a\" * 8192\nc = b\"a\" * 2048 + b\"b\" + b\"a\" * 2047", "b = c in a"),
    "text searches": ("a = \"ab\" * 4096\nc = \"ab\" * 1024 + \"b\"", "b = c in a"),
    "comparisons": ("a = b\"x\" * 8192\nc = b\"x\" * 8191 + b\"y\"", "b = a == c"),
    "orders": ("a = \"é\" * 8192\nc = \"é\" * 8191", "b = a < c"),
    "lists": ("a = [1] * 1024", "b = a + []\nc = b.copy()"),
    "list searches": ("a = [2 ** 200 + i for i in range(1000)]\nc = 2 ** 200 - 1", "b = c in a"),
    "sorting": ("a = [(i * 7919) % 1024 for i in range(1024)]", "b = sorted(a)"),
    "sorting texts": (
        "a = [\"a\" * 3000 + str((i * 7919) % 1024) for i in range(100)]",
        "b = sorted(a)",
    ),
    "sums": ("a = [2 ** 240] * 1024", "b = sum(a)"),
    "extremes": ("a = [2 ** 240 + i for i in range(1024)]", "b = max(a)"),
    "reversing": ("a = [1] * 1024", "b = reversed(a)"),
    "appending and popping": ("a: list[int] = []", "a.append(1)\nb = a.pop()"),
    "keys": ("a = {i: i for i in range(1000)}", "b = a.keys()"),
    "items": ("a = {i: i for i in range(1000)}", "b = a.items()"),
    "look-ups": ("a = {i: i for i in range(1000)}", "b = a[7]"),
    "colliding look-ups": (
        # The same places of a table of 2048, by the rule by which CPython probes.
        "a = {(i << 40): i for i in range(1000)}\nc = 999 << 40",
        "b = a[c]",
    ),
    "entries": ("a = {1: 1}", "a[2] = 3\ndel a[2]"),
    "copied dictionaries": ("a = {i: i for i in range(1000)}", "b = a.copy()"),
    "tuples": ("a = (1, 2, 3, 4, 5, 6, 7, 8)", "b = (a, a, a)\nc = b[0]"),
    "deep comparisons": (
        "x = [1] * 1000\na = [x] * 1000\nb = [x.copy()] * 1000",
        "c = a == b",
    ),
    "empty lists compared": (
        "e: list[int] = []\na = [e] * 1024\nb = [e] * 1024",
        "c = a == b",
    ),
    "tuples searched": ("a = [((1,), (1,))] * 1024\nf = ((1,), (2,))", "c = f in a"),
    "nested tuples compared": (
        "a = [((((1,),),),)] * 1024\nb = [((((1,),),),)] * 1024",
        "c = a == b",
    ),
    "storing empty lists": ("e: list[int] = []\na = [[e] * 1000]", "self.deep = a"),
    "loading empty lists": ("e: list[int] = []\nself.deep = [[e] * 1000]", "a = self.deep"),
    "storing": ("", "self.number += 1"),
    "storing lists": ("a = [1000] * 1000", "self.numbers = a"),
    "loading lists": ("self.numbers = [1000] * 1000", "a = self.numbers"),
    "storing in a map": ("i = 0", "self.table[i] = i\ni += 1"),
    "loading from a map": ("", "a = self.table.get(5, 0)"),
    "long keys": ("a = \"é\" * 100", "b = a in self.words"),
    "events": ("", "emit(Told(1, \"x\"))"),
    "function calls": ("", "a = identity(5)"),
    "wide functions": ("", "a = wide(1)"),
    "formatted texts": ("a = 2 ** 250", "b = f\"{a}{a}{a}\""),
    "addresses": ("a = b\"x\" * 20", "b = address(a)"),
    "other contracts": ("", "a = Other(this()).answer(1)"),
    "branches": ("a = 1", "if a == 2:\n    a = 3\nelif a == 3:\n    a = 2"),
    "loops over lists": ("a = [1] * 1000", "for x in a:\n    pass"),
}  # fmt: skip

_GROWTH: Final[dict[str, str]] = {
    "a billion letters": "a = \"a\" * 10 ** 9",
    "25 squarings": "a = 3\nfor i in range(25):\n    a = a * a",
    "25 doublings of a text": "a = \"é\"\nfor i in range(25):\n    a = a + a",
    "25 doublings of a list": "a = [1]\nfor i in range(25):\n    a.extend(a)",
    "a tower of powers": "a = 2 ** 200\nb = a ** 255",
    "lists of lists of lists": (
        "a = [1] * 1024\nb = [a] * 1024\nc = [b] * 1024\nself.deep = c"
    ),
    "lists of lists of lists compared": (
        "a = [1] * 1024\nb = [a] * 1024\nc = [b] * 1024\nd = [b] * 1024\n"
        "d.append(b)\nd.pop()\nrequire(c == d, \"x\")"
    ),
    "a comprehension of comprehensions": (
        "a = [[[i * j * k for i in range(1000)] for j in range(1000)] for k in range(1000)]"
    ),
    "many texts": "a: list[str] = []\nwhile True:\n    a.append(\"x\" * 8000 + str(len(a)))",
    "many lists": "a: list[list[int]] = []\nwhile True:\n    a.append([len(a)] * 1000)",
    "many large integers": (
        "a: list[list[int]] = []\nwhile True:\n    a.append([2 ** 254 + i for i in range(1000)])"
    ),
    "many dictionaries": (
        "a: list[dict[int, int]] = []\nwhile True:\n    a.append({i: i for i in range(1000)})"
    ),
    "many pairs": (
        "a: list[list[tuple[int, int]]] = []\nb = {i: i for i in range(1000)}\n"
        "while True:\n    a.append(b.items())"
    ),
    "a growing text": "a = \"\"\nwhile True:\n    a = a + \"éé\"",
    "endless recursion": "a = forever(1)",
    "mutual recursion": "a = ping(1)",
    "branching recursion": "a = tree(60)",
    "recursion that holds lists": "a = holding([1] * 1000)",
    "contracts that call one another": "a = Other(this()).again(1)",
    "a loop in a loop in a loop": (
        "for i in range(10 ** 30):\n    for j in range(10 ** 30):\n"
        "        for k in range(10 ** 30):\n            pass"
    ),
}  # fmt: skip

_HEADER: Final = """\
import math
from hashing import sha256

number: int
numbers: list[int]
deep: list[list[list[int]]]
table: map[int, int]
words: map[str, int]
Told = event(n=int, s=str)
Other = interface(answer=view(int, returns=int), again=export(int, returns=int))

def identity(n: int) -> int:
    return n

def wide(n: int) -> int:
    a0: list[int] = []
    a1: list[int] = []
    a2: dict[int, int] = {}
    a3: dict[int, int] = {}
    a4: list[list[int]] = []
    return n

def forever(n: int) -> int:
    return forever(n + 1) + 1

def ping(n: int) -> int:
    return pong(n) + 1

def pong(n: int) -> int:
    return ping(n) + 1

def tree(n: int) -> int:
    if n <= 0:
        return 1
    return tree(n - 1) + tree(n - 2)

def holding(items: list[int]) -> int:
    return holding(items + [1]) + holding(items.copy())

@view(reentrant=True)
def answer(n: int) -> int:
    return n

@export(reentrant=True)
def again(n: int) -> int:
    return Other(this()).again(n + 1)

@export
def main():
"""


def _body(text: str, depth: int) -> str:
    return "".join(f"{'    ' * depth}{line}\n" for line in text.split("\n") if line)


def attack_sources() -> dict[str, str]:
    """Return the source of each attack; its `main` is called without arguments."""
    found = {
        name: _HEADER + _body(before, 1) + "    while True:\n" + _body(inside, 2)
        for name, (before, inside) in _LOOPS.items()
    }
    return found | {name: _HEADER + _body(text, 1) for name, text in _GROWTH.items()}

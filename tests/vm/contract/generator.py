"""A generator of well-typed contracts: the same seed gives the same source and arguments."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.vm.contract.expressions import (
    ADDRESS,
    BOOL,
    BYTES,
    DICT,
    GRID,
    INT,
    LIST,
    PAIR,
    STR,
    TEXTS,
    TYPES,
    WORDS,
    ExpressionWriter,
    Helper,
)
from vm.primitives.codec import Value

HEADER = """\
import block
import math
import fixed
from hashing import sha256

LIMIT = 7 * 3
Pair = record(a=int, b=str)
Told = event(n=int, s=str, flag=bool, data=bytes, who=address)
count: int
words: str
held: list[int]
totals: map[int, int]
names: map[tuple[str, bool], bytes]
pairs: map[bytes, Pair]
"""
PARAMETERS = (("p", INT), ("q", INT), ("flag", BOOL), ("data", BYTES), ("text", STR), ("xs", LIST))


@dataclass(frozen=True, slots=True)
class Program:
    """A generated contract and the arguments of its calls of `main`."""

    source: str
    """The contract."""
    calls: tuple[tuple[Value, ...], ...]
    """Arguments of each call."""


def generate(seed: int) -> Program:
    """Return the program of a seed."""
    rng = random.Random(seed)
    writer = Writer(rng)
    lines = [HEADER]
    for number in range(rng.randrange(4)):
        lines.append(writer.helper(number))
    lines.append(writer.main())
    calls = tuple(_arguments(rng) for _ in range(rng.randrange(1, 4)))
    return Program("\n".join(lines), calls)


def _arguments(rng: random.Random) -> tuple[Value, ...]:
    def number() -> int:
        return rng.choice((0, 1, -1, 2, 3, 7, 255, 256, -300, 2**31, 2**62, rng.randrange(100)))

    return (
        number(),
        number(),
        rng.random() < 0.5,
        rng.randbytes(rng.randrange(6)),
        "".join(rng.choice("abcé→0189-") for _ in range(rng.randrange(6))),
        tuple(number() for _ in range(rng.randrange(6))),
    )


class Writer(ExpressionWriter):
    """Writes functions."""

    # Functions

    def helper(self, number: int) -> str:
        """Return an internal function."""
        rng = self.rng
        parameters = tuple(rng.choice(TYPES) for _ in range(rng.randrange(1, 4)))
        self.result = rng.choice(TYPES)
        name = f"h{number}"
        self.scopes = [{f"a{place}": kind for place, kind in enumerate(parameters)}]
        self.fixed, self.budget, self.weight = set(), rng.randrange(1, 6), 20
        heading = ", ".join(f"a{place}: {kind}" for place, kind in enumerate(parameters))
        body = self.block(1)
        if rng.random() < 0.2 and parameters[0] == INT:
            again = ", ".join(["a0 - 1", *[f"a{n}" for n in range(1, len(parameters))]])
            stop = rng.choice((0, 0, -40))
            body = [
                f"    if a0 > {stop} and a0 < 70:",
                f"        return {name}({again})",
                *body,
            ]
        lines = [f"def {name}({heading}) -> {self.result}:", *body]
        lines.append(f"    return {self.expression(self.result, 2)}")
        self.helpers.append(Helper(name, parameters, self.result))
        return "\n".join([*lines, ""])

    def main(self) -> str:
        """Return the exported function."""
        rng = self.rng
        self.result = rng.choice(TYPES)
        self.scopes = [dict(PARAMETERS)]
        self.fixed, self.weight = set(), 1
        self.budget = rng.choice((4, 8, 12, 20))
        heading = ", ".join(f"{name}: {kind}" for name, kind in PARAMETERS)
        lines = ["@export", f"def main({heading}) -> {self.result}:"]
        lines += self.block(1)
        if rng.random() < 0.01:
            lines += self.long_loop()
        lines.append(f"    return {self.expression(self.result, 3)}")
        return "\n".join([*lines, ""])

    def long_loop(self) -> list[str]:
        """Return a loop of up to some hundred thousand instructions."""
        turns = self.rng.choice((1_000, 10_000, 60_000, 160_000))
        return [
            "    s = 1",
            "    r = 0",
            f"    while r < {turns}:",
            "        r += 1",
            f"        s = (s * {self.rng.randrange(3, 99)} + r) % 1000003",
            "        if s & 1 == 0:",
            "            s ^= r",
            "    self.count = s",
        ]

    # Statements

    def block(self, depth: int) -> list[str]:
        """Return statements."""
        lines: list[str] = []
        self.scopes.append({})
        for _ in range(self.rng.randrange(1, 5)):
            if self.budget <= 0:
                break
            self.budget -= 1
            lines += self.statement(depth)
        self.scopes.pop()
        pad = "    " * depth
        return [pad + line for line in lines] if depth == 1 else lines or ["pass"]

    def statement(self, depth: int) -> list[str]:
        """Return one statement."""
        choices = (
            (self.assign, 8), (self.change, 5), (self.branch, 4), (self.for_range, 3),
            (self.for_items, 3), (self.while_loop, 2), (self.mutate, 5), (self.store, 5),
            (self.tell, 1), (self.demand, 1), (self.leave, 1), (self.swap, 1),
        )  # fmt: skip
        kinds, weights = zip(*choices, strict=True)
        return self.rng.choices(kinds, weights)[0](depth)

    def assign(self, depth: int) -> list[str]:
        """A new or an old name."""
        kind = self.rng.choice(TYPES)
        old = self.names(kind, writable=True)
        text = self.expression(kind, 3)
        if old and self.rng.random() < 0.5:
            return [f"{self.rng.choice(old)} = {text}"]
        name = self.new_name()
        self.scopes[-1][name] = kind
        note = f": {kind}" if text in ("[]", "{}") or self.rng.random() < 0.2 else ""
        return [f"{name}{note} = {text}"]

    def swap(self, depth: int) -> list[str]:
        """Several names at once."""
        old = self.names(INT, writable=True)
        if len(old) < 2:
            return self.assign(depth)
        left, right = self.rng.sample(old, 2)
        return [f"{left}, {right} = {right}, {self.expression(INT, 2)}"]

    def change(self, depth: int) -> list[str]:
        """An augmented assignment."""
        kind = self.rng.choice((INT, INT, INT, STR, BYTES, LIST))
        old = self.names(kind, writable=True)
        if not old:
            return self.assign(depth)
        operator = self.rng.choice(("+", "-", "*", "//", "%", "^", "|", "&"))
        return [
            f"{self.rng.choice(old)} {operator if kind == INT else '+'}= {self.expression(kind, 2)}"
        ]

    def branch(self, depth: int) -> list[str]:
        """An `if`."""
        lines = [f"if {self.expression(BOOL, 3)}:", *self.inner(depth)]
        if self.rng.random() < 0.3:
            lines += [f"elif {self.expression(BOOL, 2)}:", *self.inner(depth)]
        if self.rng.random() < 0.5:
            lines += ["else:", *self.inner(depth)]
        return lines

    def inner(self, depth: int) -> list[str]:
        """An indented block."""
        return ["    " + line for line in self.block(depth + 1)]

    def looping(self, depth: int, turns: int, names: dict[str, str]) -> list[str]:
        """The body of a loop; nested loops stay short."""
        weight, self.weight = self.weight, self.weight * turns
        self.loops += 1
        self.scopes.append(names)
        lines = self.inner(depth)
        self.scopes.pop()
        self.loops -= 1
        self.weight = weight
        return lines

    def for_range(self, depth: int) -> list[str]:
        """A loop over numbers."""
        turns = self.rng.randrange(1, 12)
        if self.weight * turns > 400:
            return self.assign(depth)
        name = self.new_name()
        start = self.rng.randrange(-3, 4)
        step = self.rng.choice((1, 1, 2, 3, -1, -2))
        bounds = self.rng.choice(
            (f"{turns}", f"{start}, {start + turns}", f"{start}, {start + turns * step}, {step}")
        )
        return [f"for {name} in range({bounds}):", *self.looping(depth, turns, {name: INT})]

    def for_items(self, depth: int) -> list[str]:
        """A loop over a list or dictionary."""
        if self.weight > 40:
            return self.assign(depth)
        kind, item = self.rng.choice(((LIST, INT), (TEXTS, STR), (DICT, INT), (WORDS, STR)))
        source = self.expression(kind, 1)
        if kind in (LIST, TEXTS):
            source += "[:6]"
        name = self.new_name()
        if kind == DICT and self.rng.random() < 0.5:
            other = self.new_name()
            found = {name: INT, other: INT}
            heading = f"for {name}, {other} in {self._whole(source)}.items():"
        elif kind in (LIST, TEXTS) and self.rng.random() < 0.3:
            other = self.new_name()
            found = {other: INT, name: item}
            heading = f"for {other}, {name} in enumerate({source}):"
        else:
            found = {name: item}
            heading = f"for {name} in {source}:"
        return [heading, *self.looping(depth, 6, found)]

    def while_loop(self, depth: int) -> list[str]:
        """A loop with a counter that its body cannot change."""
        turns = self.rng.randrange(1, 9)
        if self.weight * turns > 400:
            return self.assign(depth)
        name = self.new_name()
        self.fixed.add(name)
        self.scopes[-1][name] = INT
        condition = f"{name} < {turns}"
        if self.rng.random() < 0.3:
            condition += f" and {self.expression(BOOL, 2)}"
        return [
            f"{name} = 0",
            f"while {condition}:",
            f"    {name} += 1",
            *self.looping(depth, turns, {}),
        ]

    def leave(self, depth: int) -> list[str]:
        """An end of a loop or of the function."""
        if self.loops and self.rng.random() < 0.7:
            word = self.rng.choice(("break", "continue"))
        else:
            word = f"return {self.expression(self.result, 2)}"
        return [f"if {self.expression(BOOL, 2)}:", f"    {word}"]

    def demand(self, depth: int) -> list[str]:
        """A requirement that mostly holds."""
        condition = f"{self.expression(BOOL, 2)} or {self.expression(INT, 1)} != 3"
        if self.rng.random() < 0.5:
            return [f'require({condition}, f"no {{{self._plain(INT)}}}")']
        return [f'assert {condition}, "not so"']

    def tell(self, depth: int) -> list[str]:
        """An event."""
        values = [self.expression(kind, 2) for kind in (INT, STR, BOOL, BYTES, ADDRESS)]
        return [f"emit(Told({', '.join(values)}))"]

    def mutate(self, depth: int) -> list[str]:
        """A change of a list or dictionary."""
        kind = self.rng.choice((LIST, LIST, TEXTS, DICT, WORDS, GRID))
        names = self.names(kind)
        if not names:
            return self.assign(depth)
        name = self.rng.choice(names)
        item = {LIST: INT, TEXTS: STR, DICT: INT, WORDS: INT, GRID: LIST}[kind]
        if kind in (DICT, WORDS):
            key = self.key(INT if kind == DICT else STR)
            return self.rng.choice(
                (
                    [f"{name}[{key}] = {self.expression(item, 2)}"],
                    [f"{name}[{key}] = {name}.get({key}, 0) + {self.expression(INT, 1)}"],
                    [f"if {key} in {name}:", f"    del {name}[{key}]"],
                )
            )
        choices = [
            [f"{name}.append({self.expression(item, 2)})"],
            [
                f"if len({name}) > 0:",
                f"    {name}[{self.index(name)}] = {self.expression(item, 2)}",
            ],
            [f"if len({name}) > 2:", f"    {self.expression_statement(name, item)}"],
        ]
        if kind == LIST:
            choices.append([f"if len({name}) > 1:", f"    {name}[1] += {self.expression(INT, 2)}"])
            choices.append([f"{name}.extend({self.expression(LIST, 1)}[:5])"])
        return self.rng.choice(choices)

    def expression_statement(self, name: str, item: str) -> str:
        """A pop, which may be thrown away."""
        return f"{name}.pop()"

    def store(self, depth: int) -> list[str]:
        """A change of storage."""
        key = self.key(INT)
        number = self.expression(INT, 2)
        name = f"({self.expression(STR, 1)}, {self.expression(BOOL, 1)})"
        stored = f"self.names[{name}] = {self.expression(BYTES, 2)}"
        return self.rng.choice(
            (
                [f"self.count = {number}"],
                [f"self.count += {number}"],
                [stored],
                [f"self.words = {self.expression(STR, 2)}"],
                [f"self.held = {self.expression(LIST, 2)}"],
                [f"self.totals[{key}] = {number}"],
                [f"if {key} in self.totals:", f"    self.totals[{key}] -= {number}"],
                [f"self.pairs[{self.expression(BYTES, 1)}] = {self.expression(PAIR, 2)}"],
                [f"del self.totals[{key}]"],
            )
        )

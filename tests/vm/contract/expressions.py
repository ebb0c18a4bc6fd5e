"""Random expressions of given types, in the language of contracts."""

from __future__ import annotations

import random
from dataclasses import dataclass

INT, BOOL, STR, BYTES, ADDRESS = "int", "bool", "str", "bytes", "address"
LIST, TEXTS, DICT, WORDS, PAIR, TUPLE, GRID = (
    "list[int]", "list[str]", "dict[int, int]", "dict[str, int]", "Pair", "tuple[int, bool]",
    "list[list[int]]",
)  # fmt: skip
TYPES = (INT, BOOL, STR, BYTES, ADDRESS, LIST, TEXTS, DICT, WORDS, PAIR, TUPLE, GRID)


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that programs may call."""

    name: str
    parameters: tuple[str, ...]
    result: str


class ExpressionWriter:
    """Writes expressions; knows the names in scope with their types."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.scopes: list[dict[str, str]] = []
        self.helpers: list[Helper] = []
        self.fixed: set[str] = set()
        self.fresh = 0
        self.loops = 0
        self.weight = 1
        self.budget = 0
        self.result = INT

    def names(self, kind: str, *, writable: bool = False) -> list[str]:
        """Return the names in scope of a type."""
        found = {name: held for scope in self.scopes for name, held in scope.items()}
        return [
            name
            for name, held in found.items()
            if held == kind and not (writable and name in self.fixed)
        ]

    def new_name(self) -> str:
        """Return a name that was not used."""
        self.fresh += 1
        return f"v{self.fresh}"

    @staticmethod
    def _whole(text: str) -> str:
        return text if text.isidentifier() else f"({text})"

    def key(self, kind: str) -> str:
        """A key that is often the same."""
        if kind == INT:
            small = self.rng.choice(("0", "1", "2", "-5", "LIMIT"))
            return small if self.rng.random() < 0.7 else f"({self.expression(INT, 1)}) % 1000"
        return self.rng.choice(('"a"', '"b"', '""', self.expression(STR, 1)))

    def index(self, name: str) -> str:
        """An index that mostly fits."""
        if self.rng.random() < 0.05:
            return self.expression(INT, 1)
        return f"({self.expression(INT, 1)}) % len({name})"

    def expression(self, kind: str, depth: int) -> str:
        """Return an expression of a type."""
        rng = self.rng
        names = self.names(kind)
        if names and (depth <= 0 or rng.random() < 0.35):
            return rng.choice(names)
        if depth <= 0 or rng.random() < 0.12:
            return self.literal(kind)
        if rng.random() < 0.08:
            fitting = [helper for helper in self.helpers if helper.result == kind]
            if fitting and self.weight <= 60:
                helper = rng.choice(fitting)
                values = [self.expression(k, depth - 1) for k in helper.parameters]
                return f"{helper.name}({', '.join(values)})"
        if rng.random() < 0.06:
            first, second = self.expression(kind, depth - 1), self.expression(kind, depth - 1)
            if "[]" not in (first, second) and "{}" not in (first, second):
                return f"({first} if {self.expression(BOOL, depth - 1)} else {second})"
        maker = {
            INT: self._int, BOOL: self._bool, STR: self._str, BYTES: self._bytes,
            ADDRESS: self._address, LIST: self._list, TEXTS: self._texts, DICT: self._dict,
            WORDS: self._words, PAIR: self._pair, TUPLE: self._tuple, GRID: self._grid,
        }[kind]  # fmt: skip
        return maker(depth - 1)

    def literal(self, kind: str) -> str:
        """Return a literal of a type."""
        rng = self.rng
        number = rng.choice(
            (0, 1, 2, 3, 5, 10, 100, -1, -7, 2**16, 2**40, -(2**63), 2**127, 2**254)
        )
        return {
            INT: f"({number})" if number < 0 else str(number),
            BOOL: rng.choice(("True", "False")),
            STR: rng.choice(('""', '"a"', '"b"', '"é→"', '"12"', '"-7"')),
            BYTES: rng.choice(('b""', 'b"a"', 'b"\\x00\\xff"', 'b"abcd"')),
            ADDRESS: rng.choice(("address()", "caller()", "this()")),
            LIST: rng.choice(("[1]", "[1, 2, 3]", "[5, -5, 0, 2 ** 70]")),
            TEXTS: rng.choice(('["a"]', '["b", "a", ""]')),
            DICT: rng.choice(("{1: 2}", "{3: 1, 1: 2, -1: 0}")),
            WORDS: rng.choice(('{"a": 1}', '{"b": 2, "a": 1}')),
            PAIR: 'Pair(1, "x")',
            TUPLE: rng.choice(("(1, True)", "(-3, False)")),
            GRID: rng.choice(("[[1], [2, 3]]", "[[0]]")),
        }[kind]

    def _int(self, depth: int) -> str:
        rng = self.rng
        left, right = self.expression(INT, depth), self.expression(INT, depth)
        return rng.choice(
            (
                lambda: f"({left} {rng.choice(('+', '-', '*', '+', '-'))} {right})",
                lambda: f"({left} {rng.choice(('&', '|', '^'))} {right})",
                lambda: f"({left} {rng.choice(('//', '%'))} {right})",
                lambda: f"({left} {rng.choice(('//', '%'))} ({right} | 1))",
                lambda: f"({left} {rng.choice(('<<', '>>'))} ({right} % 20))",
                lambda: f"({left} ** ({right} % 5))",
                lambda: f"({rng.choice(('-', '~'))}{left})",
                lambda: f"abs({left})",
                lambda: f"{rng.choice(('min', 'max'))}({left}, {right})",
                lambda: f"len({self.expression(rng.choice((STR, BYTES, LIST, DICT)), depth)})",
                lambda: f"{rng.choice(('sum', 'sum'))}({self.expression(LIST, depth)})",
                lambda: f"{rng.choice(('max', 'min'))}({self._filled(depth)})",
                lambda: self._from_list(depth),
                lambda: f"{self._whole(self.expression(DICT, depth))}.get({left}, {right})",
                lambda: f"{self._whole(self.expression(DICT, depth))}[{self.key(INT)}]",
                lambda: f"self.totals[{self.key(INT)}]",
                lambda: f"{self._whole(self.expression(PAIR, depth))}.a",
                lambda: f"{self._whole(self.expression(TUPLE, depth))}[0]",
                lambda: rng.choice(("self.count", "self.totals.get(1, 4)", "len(self.held)")),
                lambda: rng.choice(("block.height()", "block.time_ms()", "fixed.SCALE", "LIMIT")),
                lambda: f"math.{rng.choice(('gcd', 'gcd'))}({left}, {right})",
                lambda: f"math.isqrt(abs({left}))",
                lambda: f"math.mul_div({left}, {right}, {self.expression(INT, depth)})",
                lambda: f"math.mul_div_half_even({left}, {right}, {self.expression(INT, 0)})",
                lambda: f"math.bit_length({left})",
                lambda: f"fixed.{rng.choice(('mul', 'div'))}({left}, {right})",
                lambda: f"int.from_bytes({self.expression(BYTES, depth)}[:30])",
                lambda: f"int(str({left}))",
            )
        )()

    def _filled(self, depth: int) -> str:
        return f"{self.expression(LIST, depth)} + [{self.expression(INT, 0)}]"

    def _from_list(self, depth: int) -> str:
        names = self.names(LIST)
        if names:
            name = self.rng.choice(names)
            return f"({name}[{self.index(name)}] if len({name}) > 0 else {self.literal(INT)})"
        return f"{self.literal(LIST)}[{self.rng.choice(('0', '-1'))}]"

    def _bool(self, depth: int) -> str:
        rng = self.rng
        left, right = self.expression(INT, depth), self.expression(INT, depth)
        order = ("<", "<=", ">", ">=", "==", "!=")

        def same() -> str:
            kind = rng.choice(TYPES)
            return (
                f"({self.expression(kind, depth)} {rng.choice(('==', '!='))} "
                f"{self.expression(kind, depth)})"
            )

        return rng.choice(
            (
                lambda: f"({left} {rng.choice(order)} {right})",
                lambda: f"({left} {rng.choice(order)} {rng.randrange(-3, 300)})",
                lambda: f"({left} <= {right} < {self.expression(INT, depth)})",
                same,
                lambda: f"(not {self.expression(BOOL, depth)})",
                lambda: f"({self.expression(BOOL, depth)} and {self.expression(BOOL, depth)})",
                lambda: f"({self.expression(BOOL, depth)} or {self.expression(BOOL, depth)})",
                lambda: f"({left} {rng.choice(('in', 'not in'))} {self.expression(LIST, depth)})",
                lambda: f"({left} in {self.expression(DICT, depth)})",
                lambda: f"({self.expression(STR, depth)} in {self.expression(STR, depth)})",
                lambda: f"({self.expression(STR, 0)} in {self.expression(WORDS, depth)})",
                lambda: f"({self.key(INT)} in self.totals)",
                lambda: f"({self.expression(STR, depth)} < {self.expression(STR, depth)})",
                lambda: f"({self.expression(BYTES, depth)} >= {self.expression(BYTES, depth)})",
                lambda: f"{self._whole(self.expression(TUPLE, depth))}[1]",
                lambda: (
                    f"{self._whole(self.expression(STR, depth))}.startswith("
                    f"{self.expression(STR, 0)})"
                ),
                lambda: f"any([{left} > 2, {self.expression(BOOL, depth)}])",
                lambda: f"all([n > {left} for n in {self.expression(LIST, depth)}])",
            )
        )()

    def _str(self, depth: int) -> str:
        rng = self.rng
        text = self.expression(STR, depth)
        return rng.choice(
            (
                lambda: f"({text} + {self.expression(STR, depth)})",
                lambda: f"str({self.expression(INT, depth)})",
                lambda: f'f"{{{self._plain(INT)}}}-{{{self._plain(STR)}}}"',
                lambda: f"({text} * ({self.expression(INT, 0)} % 4))",
                lambda: f"{self._whole(text)}[{rng.randrange(-3, 3)}:{rng.randrange(-2, 5)}]",
                lambda: f"{self._whole(self.expression(PAIR, depth))}.b",
                lambda: f"{self._whole(self.expression(BYTES, depth))}[:50].hex()",
                lambda: "self.words",
                lambda: f"({text})[{rng.randrange(-2, 2)}]",
            )
        )()

    def _plain(self, kind: str) -> str:
        """An expression without quotes, for older Pythons' formatted texts."""
        names = self.names(kind)
        return self.rng.choice(names) if names else "LIMIT"

    def _bytes(self, depth: int) -> str:
        rng = self.rng
        data = self.expression(BYTES, depth)
        return rng.choice(
            (
                lambda: f"({data} + {self.expression(BYTES, depth)})",
                lambda: f"{self._whole(self.expression(STR, depth))}.encode()",
                lambda: f"sha256({data})",
                lambda: f"({self.expression(INT, depth)} % 65536).to_bytes(2)",
                lambda: f"{self._whole(data)}[{rng.randrange(-3, 3)}:]",
                lambda: f"self.names.get(({self.expression(STR, 0)}, True), {data})",
                lambda: "caller().to_bytes()",
            )
        )()

    def _address(self, depth: int) -> str:
        if self.rng.random() < 0.3:
            return f"address(sha256({self.expression(BYTES, depth)})[:20])"
        return self.literal(ADDRESS)

    def _list(self, depth: int) -> str:
        rng = self.rng
        items = self.expression(LIST, depth)
        name, listing = self.new_name(), rng.choice(("keys", "values"))

        def comprehension() -> str:
            self.scopes.append({name: INT})
            weight, self.weight = self.weight, self.weight * 6
            inner = self.expression(INT, depth - 1)
            condition = f" if {self.expression(BOOL, 0)}" if rng.random() < 0.4 else ""
            self.scopes.pop()
            self.weight = weight
            source = rng.choice((f"{items}[:6]", f"range({rng.randrange(6)})"))
            return f"[{inner} for {name} in {source}{condition}]"

        return rng.choice(
            (
                comprehension,
                comprehension,
                lambda: f"[{self.expression(INT, depth)}, {self.expression(INT, depth)}]",
                lambda: f"({items} + {self.expression(LIST, depth)})",
                lambda: f"{items}[{rng.randrange(-3, 3)}:{rng.randrange(-2, 5)}]",
                lambda: f"sorted({items})",
                lambda: f"reversed({items})",
                lambda: f"{self._whole(self.expression(DICT, depth))}.{listing}()",
                lambda: f"{self._whole(items)}.copy()",
                lambda: "self.held",
                lambda: f"({items} * ({self.expression(INT, 0)} % 3))",
            )
        )()

    def _texts(self, depth: int) -> str:
        return self.rng.choice(
            (
                lambda: f"[{self.expression(STR, depth)}, {self.expression(STR, depth)}]",
                lambda: f"sorted({self.expression(TEXTS, depth)})",
                lambda: f"[str(n) for n in {self.expression(LIST, depth)}]",
                lambda: f"{self._whole(self.expression(WORDS, depth))}.keys()",
            )
        )()

    def _dict(self, depth: int) -> str:
        number = self.expression(INT, depth)
        return self.rng.choice(
            (
                lambda: f"{{1: {number}, 4: {self.expression(INT, depth)}}}",
                lambda: f"{{n % 50: n for n in {self.expression(LIST, depth)}}}",
                lambda: f"{self._whole(self.expression(DICT, depth))}.copy()",
            )
        )()

    def _words(self, depth: int) -> str:
        return self.rng.choice(
            (
                lambda: f"{{{self.expression(STR, depth)}: {self.expression(INT, depth)}}}",
                lambda: f"{{s: len(s) for s in {self.expression(TEXTS, depth)}}}",
            )
        )()

    def _pair(self, depth: int) -> str:
        number, text = self.expression(INT, depth), self.expression(STR, depth)
        return self.rng.choice(
            (
                lambda: f"Pair({number}, {text})",
                lambda: f"Pair(b={text}, a={number})",
                lambda: f"{self._whole(self.expression(PAIR, depth))}.replace(a={number})",
                lambda: f"self.pairs.get({self.expression(BYTES, depth)}, Pair({number}, {text}))",
            )
        )()

    def _tuple(self, depth: int) -> str:
        return f"({self.expression(INT, depth)}, {self.expression(BOOL, depth)})"

    def _grid(self, depth: int) -> str:
        return f"[{self.expression(LIST, depth)}, {self.expression(LIST, depth)}]"

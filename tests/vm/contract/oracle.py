"""An oracle of what contracts do: their source run by Python itself, with our rules of integers.

For tests alone. The source is rewritten so that each operation that can fail asks a function of
this module, which knows the limits; nothing of the compiler or of the interpreter is used.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

MOST, LEAST = 2**255 - 1, -(2**255)
MAX_TEXT, MAX_ITEMS, MAX_STORED, MAX_KEY = 8_192, 1_024, 4_096, 224
MAX_DEPTH, MAX_RESULT = 64, 8_192


class Failed(Exception):
    """A failure of the contract."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def fit(value: Any) -> Any:
    """Return a value within its limits."""
    kind = type(value)
    if kind is int and not LEAST <= value <= MOST:
        raise Failed("overflow")
    if kind in (str, bytes) and len(value) > MAX_TEXT:
        raise Failed("too_long")
    if kind in (list, dict) and len(value) > MAX_ITEMS:
        raise Failed("too_long")
    return value


def operate(name: str, left: Any, right: Any) -> Any:
    """Return what an operator gives."""
    if name in ("Pow", "LShift", "RShift") and not 0 <= right <= 255:
        raise Failed("out_of_range")
    if name in ("FloorDiv", "Mod") and right == 0:
        raise Failed("division_by_zero")
    if name == "Mult" and type(left) is not int:
        if len(left) * max(right, 0) > (MAX_ITEMS if type(left) is list else MAX_TEXT):
            raise Failed("too_long")
        return left * max(min(right, 2**20), 0)
    return fit(OPERATORS[name](left, right))


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mult": lambda a, b: a * b,
    "FloorDiv": lambda a, b: a // b,
    "Mod": lambda a, b: a % b,
    "Pow": lambda a, b: a**b,
    "LShift": lambda a, b: a << b,
    "RShift": lambda a, b: a >> b,
    "BitAnd": lambda a, b: a & b,
    "BitOr": lambda a, b: a | b,
    "BitXor": lambda a, b: a ^ b,
}


def change(name: str, left: Any, right: Any) -> Any:
    """Return what an augmented assignment gives: lists change in place."""
    if name == "Add" and type(left) is list:
        fit(left + right)
        left += right
        return left
    return operate(name, left, right)


def negative(value: int) -> int:
    """Return the negative of an integer."""
    return fit(-value)


def item(value: Any, key: Any) -> Any:
    """Return an item, as the language gives it."""
    try:
        return value[key]
    except IndexError:
        raise Failed("index_out_of_range") from None
    except KeyError:
        raise Failed("key_missing") from None


def set_item(value: Any, held: Any, key: Any) -> None:
    """Change an item of a list, dictionary or map."""
    if type(held) is dict:
        if type(key) is int and not -(2**63) <= key < 2**63:
            raise Failed("out_of_range")
        if key not in held and len(held) >= MAX_ITEMS:
            raise Failed("too_long")
    try:
        held[key] = value
    except IndexError:
        raise Failed("index_out_of_range") from None


def del_item(held: Any, key: Any) -> None:
    """Delete an entry."""
    try:
        del held[key]
    except KeyError:
        raise Failed("key_missing") from None


def walked(value: Any) -> Any:
    """Return what a loop walks over."""
    return list(value) if type(value) is dict else value


def made_dict(*pairs: Any) -> dict:
    """Return a dictionary of pairs."""
    made: dict = {}
    for key, value in pairs:
        set_item(value, made, key)
    return made


def method(value: Any, name: str, *arguments: Any, **named: Any) -> Any:
    """Call a method, as the language has it."""
    if isinstance(value, Map | SimpleNamespace | Record | type):
        if name == "from_bytes":
            return from_bytes(*arguments)
        return getattr(value, name)(*arguments, **named)
    if name == "append" and len(value) >= MAX_ITEMS:
        raise Failed("too_long")
    if name == "extend":
        fit([*value, *arguments[0]])
    if name == "pop" and type(value) is list and not value:
        raise Failed("index_out_of_range")
    if name in ("keys", "values", "items"):
        return list(getattr(value, name)())
    if name == "to_bytes" and type(value) is int:
        if value < 0 or value.bit_length() > 8 * arguments[0]:
            raise Failed("overflow")
        return value.to_bytes(arguments[0], "big")
    if name == "to_bytes":
        return bytes(value)
    if name == "copy":
        return copy.copy(value)
    return fit(getattr(value, name)(*arguments))


def from_bytes(data: bytes) -> int:
    """Return the integer of bytes."""
    if len(data) > 32:
        raise Failed("out_of_range")
    return fit(int.from_bytes(data, "big"))


class Record(tuple):
    """A record; its names are those of its class."""

    names: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            raise AttributeError(name)
        return self[self.names.index(name)]

    def replace(self, **changed: Any) -> Any:
        """Return another with some fields changed."""
        return type(self)(
            [changed.get(name, value) for name, value in zip(self.names, self, strict=True)]
        )


def record(**fields: Any) -> Callable[..., Record]:
    """Return what makes records."""
    kind = type("Made", (Record,), {"names": tuple(fields)})

    def make(*values: Any, **named: Any) -> Record:
        given = dict(zip(fields, values, strict=False)) | named
        return kind([given[name] for name in fields])

    return make


def size_of(value: Any) -> int:
    """Return an upper bound of a value's encoded bytes, as the chain counts it."""
    if type(value) is bool:
        return 1
    if type(value) is int:
        if -32 <= value < 128:
            return 1
        return 3 if -(2**15) <= value < 2**15 else 9 if -(2**63) <= value < 2**63 else 34
    if isinstance(value, Address):
        return 22
    if type(value) is str:
        return 5 + len(value.encode())
    if type(value) is bytes:
        return 5 + len(value)
    if type(value) is dict:
        return 3 + sum(1 + size_of(k) + size_of(v) for k, v in value.items())
    return 3 + sum(map(size_of, value))


class Address(bytes):
    """An address, which is not bytes."""


def stored(value: Any, most: int = MAX_STORED) -> Any:
    """Return the copy of a value that is stored."""
    if size_of(value) > most:
        raise Failed("too_long")
    return copy.deepcopy(value)


class Map:
    """A storage map."""

    def __init__(self) -> None:
        self.entries: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        stored(key, MAX_KEY)
        return copy.deepcopy(self.entries[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        stored(key, MAX_KEY)
        self.entries[key] = stored(value)

    def __delitem__(self, key: Any) -> None:
        stored(key, MAX_KEY)
        self.entries.pop(key, None)

    def __contains__(self, key: Any) -> bool:
        stored(key, MAX_KEY)
        return key in self.entries

    def get(self, key: Any, default: Any) -> Any:
        """Return a value, or what is given."""
        stored(key, MAX_KEY)
        return copy.deepcopy(self.entries[key]) if key in self.entries else default


class Storage:
    """The storage, `self` of a contract."""

    def __init__(self, first: dict[str, Any]) -> None:
        object.__setattr__(self, "cells_", first)

    def __getattr__(self, name: str) -> Any:
        value = self.cells_[name]
        return value if isinstance(value, Map) else copy.deepcopy(value)

    def __setattr__(self, name: str, value: Any) -> None:
        self.cells_[name] = stored(value)


class Rewriter(ast.NodeTransformer):
    """Lets functions of this module do what can fail."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        """Count the depth of calls, and forget annotations."""
        node.decorator_list = [ast.Name("function_", ast.Load())]
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        """Keep the assignment."""
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign([node.target], node.value))

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        """Check what operators give."""
        self.generic_visit(node)
        return _call("operate", ast.Constant(type(node.op).__name__), node.left, node.right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        """Check negatives."""
        self.generic_visit(node)
        return _call("negative", node.operand) if isinstance(node.op, ast.USub) else node

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Read, compute, write."""
        self.generic_visit(node)
        name = ast.Constant(type(node.op).__name__)
        if not isinstance(node.target, ast.Subscript):
            old = copy.deepcopy(node.target)
            old.ctx = ast.Load()
            return ast.Assign([node.target], _call("change", name, old, node.value))
        held, key = ast.Name("held_", ast.Store()), ast.Name("key_", ast.Store())
        read_held, read_key = ast.Name("held_", ast.Load()), ast.Name("key_", ast.Load())
        old = _call("item", read_held, read_key)
        return [
            ast.Assign([held], node.target.value),
            ast.Assign([key], node.target.slice),
            ast.Expr(
                _call("set_item", _call("operate", name, old, node.value), read_held, read_key)
            ),
        ]

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Check what is stored in lists and dictionaries."""
        self.generic_visit(node)
        target = node.targets[0]
        if isinstance(target, ast.Subscript):
            return ast.Expr(_call("set_item", node.value, target.value, target.slice))
        return node

    def visit_For(self, node: ast.For) -> Any:
        """Walk over dictionaries as they are when the loop begins."""
        self.generic_visit(node)
        node.iter = _call("walked", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> Any:
        """Walk over dictionaries as they are when the loop begins."""
        self.generic_visit(node)
        node.iter = _call("walked", node.iter)
        return node

    def visit_Delete(self, node: ast.Delete) -> Any:
        """Check what is deleted."""
        self.generic_visit(node)
        return [ast.Expr(_call("del_item", one.value, one.slice)) for one in node.targets]  # type: ignore[attr-defined]

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        """Check indices and keys."""
        self.generic_visit(node)
        if isinstance(node.ctx, ast.Load) and not isinstance(node.slice, ast.Slice):
            return _call("item", node.value, node.slice)
        return node

    def visit_Dict(self, node: ast.Dict) -> Any:
        """Check keys."""
        self.generic_visit(node)
        pairs = zip(node.keys, node.values, strict=True)
        return _call("made_dict", *[ast.Tuple([k, v], ast.Load()) for k, v in pairs])  # type: ignore[list-item]

    def visit_Call(self, node: ast.Call) -> Any:
        """Check what methods give."""
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute):
            name = ast.Constant(node.func.attr)
            return ast.Call(
                ast.Name("method", ast.Load()), [node.func.value, name, *node.args], node.keywords
            )
        return node

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Keep assertions under -O too."""
        self.generic_visit(node)
        return ast.If(ast.UnaryOp(ast.Not(), node.test), [ast.Expr(_call("fail", node.msg))], [])  # type: ignore[arg-type]

    def visit_Import(self, node: ast.Import) -> Any:
        """Modules are given."""
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        """Modules are given."""
        return None


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


class Oracle:
    """A contract of the generator, run by Python."""

    def __init__(self, source: str, caller: bytes, here: bytes, height: int, time_ms: int) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.storage = Storage(
            {
                "count": 0, "words": "", "held": [], "totals": Map(), "names": Map(),
                "pairs": Map(),
            }
        )  # fmt: skip
        self.depth = 0
        tree = ast.fix_missing_locations(Rewriter().visit(ast.parse(source)))
        self.names = self._names(caller, here, height, time_ms)
        exec(compile(tree, "contract", "exec"), self.names)

    def call(self, *arguments: Any) -> Any:
        """Run `main`; raises Failed, and then nothing has changed."""
        before = copy.deepcopy(self.storage.cells_), list(self.events)
        self.depth = 0
        try:
            result = self.names["main"](*copy.deepcopy(list(arguments)))
            if size_of(result) > MAX_RESULT:
                raise Failed("too_long")
            return result
        except Failed:
            self.storage.__dict__["cells_"], self.events = before
            raise

    def _function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            if self.depth >= MAX_DEPTH:
                raise Failed("too_deep")
            self.depth += 1
            result = function(*arguments)
            self.depth -= 1
            return result

        return counted

    def _emit(self, values: tuple[Any, ...]) -> None:
        if sum(map(size_of, values)) > MAX_STORED:
            raise Failed("too_long")
        self.events.append(values)

    def _names(self, caller: bytes, here: bytes, height: int, time_ms: int) -> dict[str, Any]:
        def require(condition: bool, message: str) -> None:
            if not condition:
                fail(message)

        return {
            "operate": operate, "change": change, "negative": negative, "item": item,
            "set_item": set_item, "walked": walked, "del_item": del_item, "method": method,
            "record": record,
            "made_dict": made_dict, "function_": self._function, "self": self.storage,
            "require": require, "fail": fail, "emit": self._emit,
            "event": lambda **fields: lambda *values: values,
            "caller": lambda: Address(caller), "this": lambda: Address(here),
            "address": address, "sum": lambda items: fit(sum(items)),
            "min": extreme(min), "max": extreme(max), "abs": lambda n: fit(abs(n)),
            "reversed": lambda items: list(items)[::-1], "str": str, "int": number_of,
            "sha256": lambda data: hashlib.sha256(data).digest(),
            "block": SimpleNamespace(height=lambda: height, time_ms=lambda: time_ms),
            "math": SimpleNamespace(
                gcd=lambda a, b: fit(math.gcd(a, b)), isqrt=math.isqrt,
                bit_length=lambda n: n.bit_length(), mul_div=mul_div,
                mul_div_half_even=half_even,
            ),
            "fixed": SimpleNamespace(
                SCALE=10**6, mul=lambda a, b: half_even(a, b, 10**6),
                div=lambda a, b: half_even(a, 10**6, b),
            ),
        }  # fmt: skip


def fail(message: str) -> None:
    """Fail as `require` does."""
    raise Failed("requirement_failed", message[:200])


def extreme(choose: Callable[..., int]) -> Callable[..., int]:
    """Return min or max, of a list or of two."""

    def chosen(*values: Any) -> int:
        if len(values) == 1 and not values[0]:
            raise Failed("out_of_range")
        return choose(*values)

    return chosen


class number_of(int):  # noqa: N801
    """The function `int`, which is also what `from_bytes` is taken from."""

    def __new__(cls, text: str) -> Any:
        """Return the integer of a text."""
        digits = text.removeprefix("-")
        if not (1 <= len(digits) <= 78 and set(digits) <= set("0123456789")):
            raise Failed("invalid_text")
        return fit(int(text))


def address(data: bytes = bytes(20)) -> Address:
    """Return an address."""
    if len(data) != 20:
        raise Failed("out_of_range")
    return Address(data)


def mul_div(left: int, right: int, divisor: int) -> int:
    """Return left * right // divisor."""
    if divisor == 0:
        raise Failed("division_by_zero")
    return fit(left * right // divisor)


def half_even(left: int, right: int, divisor: int) -> int:
    """Return left * right / divisor to the nearest, halves to even."""
    from fractions import Fraction

    if divisor == 0:
        raise Failed("division_by_zero")
    return fit(round(Fraction(left * right, divisor)))

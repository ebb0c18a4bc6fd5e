"""Inputs of the vectors for contracts: code that is well formed or not, and calls of functions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.vectors.kinds import Json, from_json, to_json
from tests.vectors.primitive_inputs import Inputs
from tests.vm.contract.generator import generate
from tests.vm.contract.hosts import BOB, HERE, MemoryChain
from tools.contract.compiler import compile_source
from vm.contract.abi import describe_code
from vm.contract.code_format import CodeForm, FunctionForm, decode_form, encode_form, parts_of
from vm.contract.code_object import FunctionKind
from vm.contract.interpreter import Door
from vm.contract.operations import BY_NAME, encode_instruction
from vm.contract.value_types import BOOL, INT, NONE, SIMPLE, STR, Kind, ValueType, list_of
from vm.contract.verifier import code_hash, decode_code
from vm.primitives.codec import Value, encode, encode_integer, unpack_trusted

_PAGE = Path(__file__).parents[2] / "docs" / "contracts.md"
_FAILING = """
import math

number: int
words: map[str, int]
Told = event(n=int)

@export
def count(turns: int) -> int:
    i = 0
    while i < turns:
        i += 1
    return i

@export
def divide(a: int, b: int) -> int:
    return a // b

@export
def add(a: int, b: int) -> int:
    self.number = a + b
    emit(Told(self.number))
    return self.number

@export
def item(xs: list[int], place: int) -> int:
    return xs[place]

@export
def lookup(key: str) -> int:
    return self.words[key]

@export
def remember(key: str, n: int):
    self.words[key] = n

@export
def text(n: int) -> str:
    return f"{n}!"

@export
def power(a: int, b: int) -> int:
    return a ** b

@export
def repeat(s: str, n: int) -> str:
    return s * n

@export
def check(ok: bool):
    require(ok, "not so")

@export
def parse(data: bytes) -> int:
    return int(data.decode())

@export(roles=["operator"])
def govern() -> int:
    return 1

def forever(n: int) -> int:
    return forever(n) + 1

@export
def deep() -> int:
    return forever(1)

@export
def fill() -> int:
    a: list[list[int]] = []
    while True:
        a.append([1] * 1000)

@view
def told() -> int:
    return self.number
"""


def _token() -> bytes:
    source = re.search(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if source is None:
        raise LookupError("the page about contracts has no example")
    return compile_source(source[1], {}).raw


def _line(name: str, *operands: int) -> bytes:
    return encode_instruction(BY_NAME[name], operands)


def _form(body: bytes, **changes: Any) -> CodeForm:
    """Return code with one exported function of an integer and a text."""
    head: dict[str, Any] = {
        "name": "f", "kind": FunctionKind.EXPORT, "mutates": True, "reentrant": False,
        "roles": (), "only": -1, "parameters": (("n", 1), ("s", 4)), "result": 0,
        "registers": bytes([1, 2, 6]), "body": body,
    }  # fmt: skip
    function = FunctionForm(**(head | changes))
    types = (*SIMPLE, list_of(INT))
    return CodeForm(types, parts_of(types), ((1, 5),), (("v", -1, 1), ("m", 4, 1)),
                    (("E", (("n", 1),)),), (("", "g", (1,), 1, True),), (function,))  # fmt: skip


_END = _line("return_nothing")


def _bad_bodies() -> Iterator[tuple[str, bytes]]:
    yield "no instruction", b""
    yield "no end", _line("load_number", 1, 5)
    yield "an unknown operation", b"\xff" + _END
    yield "cut operands", _END + b"\x05\x01"
    yield "a cut list of registers", _END + bytes([60, 5, 9, 1])
    yield "register 0", _line("load_number", 0, 5) + _END
    yield "a register too many", _line("load_number", 6, 5) + _END
    yield "text for an integer", _line("add", 1, 1, 2) + _END
    yield "an integer for text", _line("fail", 1)
    yield "a constant that is not there", _line("load_constant", 1, 1) + _END
    yield "a constant of another type", _line("load_constant", 2, 0) + _END
    yield "a jump beyond", _line("jump", 1)
    yield "a conditional jump at the end", _line("if_true", 4, 0)
    yield "a condition that is an integer", _line("if_true", 1, 0) + _END
    yield "a result that is not promised", _line("return_value", 1)
    yield "a slot that is not there", _line("load", 1, 2) + _END
    yield "a map as a variable", _line("load", 1, 1) + _END
    yield "a key of another type", _line("map_load", 1, 1, 1) + _END
    yield "an event that is not there", _line("emit", 1, 1) + _END
    yield "an event of another type", _line("emit", 0, 2) + _END
    yield "a function that is not there", _line("call", 0, 1, 1) + _END
    yield "a function that is entered from outside", _line("call", 0, 0, 1, 2) + _END
    yield "an import that is not there", _line("call_contract", 1, 1, 2, 1) + _END
    yield "an address that is text", _line("call_contract", 1, 0, 2, 1) + _END
    yield "a library function that is not there", _line("call_library", 1, 0, 1) + _END
    yield "a library function of other types", _line("call_library", 1, 1, 2) + _END
    yield "a boolean of 2", bytes([3, 4, 2]) + _END
    yield "a list of other items", _line("new_list", 5, 2) + _END
    yield "an item of another type", _line("item", 2, 5, 1) + _END
    yield "an order of lists", _line("less_text", 4, 5, 5) + _END


def _bad_forms() -> Iterator[tuple[str, CodeForm]]:
    for name, body in _bad_bodies():
        yield name, _form(body)
    good = _form(_END)
    function = good.functions[0]
    store = _line("store", 0, 1) + _END
    yield "a view that changes", _form(store, kind=FunctionKind.VIEW, mutates=False)
    yield "a view that says so", _form(_END, kind=FunctionKind.VIEW)
    yield "a function that hides a change", _form(store, mutates=False)
    yield "an init with a result", _form(_END, kind=FunctionKind.INIT, result=1)
    yield "an init with roles", _form(_END, kind=FunctionKind.INIT, roles=("operator",))
    yield "an internal function with an owner", _form(_END, kind=FunctionKind.INTERNAL, only=0)
    yield "an owner that is an integer", _form(_END, only=0)
    yield "an owner that is not there", _form(_END, only=9)
    yield "a name with a space", _form(_END, name="f g")
    yield "no name", _form(_END, name="")
    yield "an argument twice", _form(_END, parameters=(("n", 1), ("n", 1)))
    yield "an argument of type None", _form(_END, parameters=(("n", 0),))
    yield "an argument of an unknown type", _form(_END, parameters=(("n", 7),))
    yield "a register of type None", _form(_END, registers=bytes([0]))
    yield "too many registers", _form(_END, registers=bytes([1]) * 250)
    yield "a role with a space", _form(_END, roles=("an operator",))
    yield "a function twice", replace(good, functions=(function, function))
    inits = [replace(function, name=n, kind=FunctionKind.INIT) for n in ("a", "b")]
    yield "two inits", replace(good, functions=tuple(inits))
    yield "a slot twice", replace(good, slots=(("v", -1, 1), ("v", -1, 1)))
    yield "a map of lists", replace(good, slots=(("v", 6, 1),))
    yield "an event of lists", replace(good, events=(("E", (("xs", 6),)),))
    yield "a constant that is text for an integer", replace(good, constants=((1, "x"),))
    yield "a constant beyond 256 bits", replace(good, constants=((1, b"\x01" * 40),))
    yield "a small constant as bytes", replace(good, constants=((1, b"\x05"),))
    yield "a boolean constant", replace(good, constants=((2, True),))


def _bad_types() -> Iterator[tuple[str, ValueType]]:
    yield "a list of two types", ValueType(Kind.LIST, (INT, STR))
    yield "an empty tuple", ValueType(Kind.TUPLE)
    yield "a list of None", ValueType(Kind.LIST, (NONE,))
    yield "a record without names", ValueType(Kind.TUPLE, (INT,), "R", ())
    yield "a record with a name twice", ValueType(Kind.TUPLE, (INT, INT), "R", ("a", "a"))
    yield "names without a record", ValueType(Kind.TUPLE, (INT,), "", ("a",))
    yield "a dictionary with keys of lists", ValueType(Kind.DICT, (list_of(INT), INT))
    yield "the same type again", list_of(INT)
    yield "a type of another kind", ValueType(Kind.BOOL, (INT,))
    yield "a tuple of too many", ValueType(Kind.TUPLE, (BOOL,) * 25)


def contract_code_inputs() -> Inputs:
    """Return codes."""
    accepted = [{"name": "the token of the page", "code": _token().hex()}]
    accepted += [
        {"name": f"generated {seed}", "code": compile_source(generate(seed).source, {}).raw.hex()}
        for seed in (2, 3, 4, 5, 6)
    ]
    accepted.append({"name": "one return", "code": encode_form(_form(_END)).hex()})
    refused = [{"name": name, "code": encode_form(form).hex()} for name, form in _bad_forms()]
    good = _form(_END)
    for name, kind in _bad_types():
        raw = unpack_trusted(encode_form(good))
        numbers = {known: number for number, known in enumerate(good.types)}
        entry = (int(kind.kind), tuple(numbers[i] for i in kind.items), kind.name, kind.fields)
        refused.append(
            {"name": name, "code": encode((*raw[:2], (*raw[2], entry), *raw[3:])).hex()}  # type: ignore[index,misc]
        )
    whole = encode_form(good)
    refused += [
        {"name": "nothing", "code": ""},
        {"name": "cut", "code": whole[:-1].hex()},
        {"name": "bytes behind", "code": (whole + b"\x00").hex()},
        {"name": "another type of structure", "code": (whole[:1] + b"\x5b" + whole[2:]).hex()},
        {"name": "another version", "code": (whole[:2] + b"\x02" + whole[3:]).hex()},
        {"name": "an integer in a longer form", "code": (b"\x98\xcc\x5a" + whole[2:]).hex()},
    ]
    return accepted, refused


def run_contract_code(case: dict[str, Json]) -> Json:
    """Return the hash and the interface of a code."""
    raw = bytes.fromhex(case["code"])
    code = decode_code(raw)
    if encode_form(decode_form(raw)) != raw:
        raise LookupError("the code does not encode to itself")
    return {"code_hash": code_hash(raw).hex(), "interface": describe_code(code)}


def _calls(*calls: tuple[str, tuple[Value, ...]], gas: int = 200_000) -> dict[str, Json]:
    return {
        "code": compile_source(_FAILING, {}).raw.hex(),
        "gas": gas,
        "calls": [[name, to_json(arguments)] for name, arguments in calls],
    }


def contract_call_inputs() -> Inputs:
    """Return calls, one after the other on one state; the last one's outcome is the output."""
    most = encode_integer(2**255 - 1)
    good = {
        "a loop": (("count", (100,)),),
        "a division": (("divide", (-7, 2)),),
        "a large sum": (("add", (2**62, 2**62)),),
        "a negative sum": (("add", (-5, 3)), ("told", ())),
        "an item from the end": (("item", ((1, 2, 3), -1)),),
        "a map": (("remember", ("é", 5)), ("lookup", ("é",))),
        "a text": (("text", (encode_integer(2**200),)),),
        "a power": (("power", (-2, 255)),),
        "a repetition": (("repeat", ("ab", 3)),),
        "a requirement": (("check", (True,)),),
        "a number": (("parse", (b"-12",)),),
    }
    bad = {
        "a division by zero": (("divide", (1, 0)),),
        "an overflow": (("add", (most, 1)),),
        "an index": (("item", ((1, 2), 2)),),
        "a missing key": (("lookup", ("é",)),),
        "an exponent": (("power", (2, 256)),),
        "a power too large": (("power", (3, 255)),),
        "a text too long": (("repeat", ("ab", 5_000)),),
        "a requirement": (("check", (False,)),),
        "no number": (("parse", (b"1x",)),),
        "no text": (("parse", (b"\xff",)),),
        "a role": (("govern", ()),),
        "too deep": (("deep", ()),),
        "no function": (("absent", ()),),
        "an internal function": (("forever", (1,)),),
        "too few arguments": (("divide", (1,)),),
        "a boolean for an integer": (("divide", (True, 1)),),
        "a small integer as bytes": (("divide", (b"\x01", 1)),),
        "an integer beyond 256 bits": (("divide", (b"\x01" * 33, 1)),),
        "text for bytes": (("parse", ("1",)),),
        "an array that is no list of integers": (("item", ((1, "x"), 0)),),
        "out of gas": (("count", (100_000,)),),
    }
    accepted = [{"name": name} | _calls(*calls) for name, calls in good.items()]
    refused = [{"name": name} | _calls(*calls) for name, calls in bad.items()]
    refused.append({"name": "out of memory"} | _calls(("fill", ()), gas=10**9))
    refused.append({"name": "no gas"} | _calls(("told", ()), gas=0))
    return accepted, refused


def run_contract_calls(case: dict[str, Json]) -> Json:
    """Return result, gas, storage and events after calls, on a host that charges as tests' does."""
    code = decode_code(bytes.fromhex(case["code"]))
    chain = MemoryChain({HERE: code})
    result: Json = None
    for name, arguments in case["calls"]:
        values = from_json(arguments)
        if not isinstance(values, tuple):
            raise LookupError("arguments are a list")
        result = chain.call(name, *values, caller=BOB, door=Door.CALL, gas=case["gas"])
    return {
        "result": to_json(result),
        "gas": chain.gas_used,
        "stored": sorted([key.hex(), value.hex()] for (_, key), value in chain.stored.items()),
        "events": [[name, to_json(values)] for _, name, values in chain.events],  # type: ignore[arg-type]
    }

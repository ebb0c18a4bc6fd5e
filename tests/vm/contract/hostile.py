"""Hostile code: random bytes, valid code with changes, random instructions that are well formed.

Each is refused, or runs safely with the gas that it is given. `python -m
tests.vm.contract.hostile --cases 1000000` is the campaign.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from tests.vm.contract.generator import generate
from tests.vm.contract.hosts import HERE, MemoryChain
from tools.contract.compiler import compile_source
from tools.contract.source_error import SourceError
from vm.contract.abi import describe_code
from vm.contract.code_format import CodeForm, FunctionForm, decode_form, encode_form, parts_of
from vm.contract.code_object import Code, FunctionKind
from vm.contract.interpreter import Door
from vm.contract.limits import MAX_INT, MIN_INT
from vm.contract.operation import Scope
from vm.contract.operations import OPERATIONS, encode_instruction
from vm.contract.value_types import SIMPLE, Kind, ValueType
from vm.contract.verifier import _code_scope, decode_code
from vm.primitives.codec import Value, encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, DecodeError

GAS = 20_000


def random_code(rng: random.Random) -> bytes:
    """Return well-formed code of random instructions whose operands have the right types."""
    types = (*SIMPLE, ValueType(Kind.LIST, (SIMPLE[1],)), ValueType(Kind.DICT, SIMPLE[1:3]),
             ValueType(Kind.TUPLE, SIMPLE[1:4]), ValueType(Kind.LIST, (SIMPLE[4],)),
             ValueType(Kind.LIST, (SIMPLE[2],)))  # fmt: skip
    registers = bytes([1, 1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10])
    empty = FunctionForm("a", FunctionKind.EXPORT, True, True, (), -1, (), 0, registers, b"\x39")
    inner = FunctionForm(
        "b", FunctionKind.INTERNAL, True, False, (), -1, (), 1, registers, b"8\x01"
    )
    form = CodeForm(
        types,
        parts_of(types),
        ((1, 5), (4, "x"), (3, b"y" * 30)),
        (("s", -1, 1), ("m", 1, 6), ("t", 4, 2)),
        (("E", (("n", 1), ("x", 4))),),
        (("", "a", (), 0, False),),
        (empty, inner),
    )
    scope = _code_scope(form)
    bodies = []
    for function in form.functions:
        kinds = (0, *registers)
        body = bytearray()
        for _ in range(rng.randrange(1, 25)):
            body += random_instruction(rng, Scope(scope, kinds, function.result, mutates=True))
        bodies.append(bytes(body) + function.body)
    functions = tuple(replace(f, body=b) for f, b in zip(form.functions, bodies, strict=True))
    return encode_form(replace(form, functions=functions))


def random_instruction(rng: random.Random, scope: Scope) -> bytes:
    """Return an instruction with operands in small ranges, mostly of the right types."""
    made = b""
    for _ in range(200):
        operation = OPERATIONS[rng.choice(_NUMBERS)]
        operands = random_operands(rng, operation.operands, len(scope.registers) - 1)
        made = encode_instruction(operation, operands)
        if rng.random() < 0.002:
            break
        try:
            operation.check(scope, operands)
        except (DecodeError, IndexError):
            continue
        break
    return made


def random_operands(rng: random.Random, letters: str, registers: int) -> tuple[int, ...]:
    """Return operands."""
    found: list[int] = []
    for letter in letters:
        if letter == "v":
            found += [rng.randrange(1, registers + 1) for _ in range(rng.randrange(4))]
        elif letter == "i":
            found.append(rng.randrange(-300, 300))
        elif letter == "r":
            found.append(rng.randrange(1, registers + 1))
        elif letter == "l":
            found.append(rng.randrange(1, 24))
        else:
            found.append(rng.randrange(4 if letter in "kt" else 3))
    return tuple(found)


_NUMBERS = sorted(OPERATIONS)


def changed_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Return code with some bytes changed, dropped or repeated."""
    data = bytearray(raw)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(data))
        way = rng.randrange(3)
        if way == 0:
            data[place] = rng.randrange(256)
        elif way == 1:
            del data[place : place + rng.randrange(1, 5)]
        else:
            data[place:place] = data[place : place + rng.randrange(1, 9)]
        if not data:
            break
    return bytes(data)


def changed_leaf(rng: random.Random, raw: bytes) -> bytes:
    """Return code in which one value of its tables is another, in canonical encoding again."""
    return encode_trusted(_changed(rng, unpack_trusted(raw)))


def _changed(rng: random.Random, value: Value) -> Any:
    if type(value) is tuple and value and rng.random() < 0.95:
        place = rng.randrange(len(value))
        return (*value[:place], _changed(rng, value[place]), *value[place + 1 :])
    if type(value) is bool:
        return not value
    if type(value) is int:
        return rng.choice((min(value + 1, 2**63), max(value - 1, -(2**63)), 0, 255, -1, 2**40))
    if type(value) is bytes:
        return changed_bytes(rng, value) if value else b"\x01"
    if type(value) is str:
        return rng.choice((value + "x", "", "é", "a" * 40))
    return rng.choice(((), None, 0, (1, 2)))


def argument_of(rng: random.Random, kind: ValueType) -> Value:
    """Return a value of a type, now and then of another."""
    if rng.random() < 0.03:
        return rng.choice((None, 3, b"", "x", (), True, (((),),), {1: 2}))
    if kind.kind is Kind.INT:
        number = rng.choice((0, 1, -1, 7, 255, 2**62, MAX_INT, MIN_INT))
        return number if -(2**63) <= number < 2**63 else encode_integer(number)
    if kind.kind is Kind.LIST:
        return tuple(argument_of(rng, kind.items[0]) for _ in range(rng.randrange(4)))
    if kind.kind is Kind.TUPLE:
        return tuple(argument_of(rng, item) for item in kind.items)
    if kind.kind is Kind.DICT:
        return ((argument_of(rng, kind.items[0]), argument_of(rng, kind.items[1])),)
    return {
        Kind.BOOL: True,
        Kind.BYTES: rng.randbytes(rng.randrange(9)),
        Kind.STR: "é" * rng.randrange(4),
        Kind.ADDRESS: HERE,
    }[kind.kind]


def run_safely(rng: random.Random, code: Code) -> str:
    """Run every function of code that was accepted; only CallError may come out."""
    describe_code(code)
    chain = MemoryChain({HERE: code})
    ends = []
    for name, function in code.entries.items():
        arguments = tuple(argument_of(rng, kind) for _, kind in function.parameters)
        door = {"INIT": Door.INIT, "UPGRADE": Door.UPGRADE}.get(function.kind.name, Door.CALL)
        try:
            chain.call(name, *arguments, door=door, gas=GAS)
            ends.append("done")
        except CallError as error:
            ends.append(error.code)
    return ends[0] if ends else "no function"


class Hostile:
    """Makes cases, and counts what becomes of them."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self._valid: list[bytes] = []

    def valid(self, rng: random.Random) -> bytes:
        """Return the code of some generated contract."""
        while len(self._valid) < 40:
            try:
                self._valid.append(compile_source(generate(len(self._valid) + 100).source, {}).raw)
            except SourceError:
                self._valid.append(self._valid[-1])
        return rng.choice(self._valid)

    def run(self, seed: int) -> None:
        """Try one case; whatever is raised but a refusal is a hole."""
        rng = random.Random(seed)
        way = rng.randrange(4)
        if way == 0:
            raw = rng.randbytes(rng.randrange(80))
        elif way == 1:
            raw = changed_bytes(rng, self.valid(rng))
        elif way == 2:
            raw = changed_leaf(rng, self.valid(rng))
        else:
            raw = random_code(rng)
        try:
            code = decode_code(raw)
        except DecodeError:
            self.ends[f"{way} refused"] += 1
            return
        assert encode_form(decode_form(raw)) == raw
        self.ends[f"{way} ran: {run_safely(rng, code)}"] += 1


def main(arguments: list[str]) -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args(arguments)
    hostile, began, shown = Hostile(), time.monotonic(), 0.0
    for number in range(options.cases):
        try:
            hostile.run(options.first + number)
        except BaseException:
            print(f"seed {options.first + number}", flush=True)
            raise
        if time.monotonic() - shown >= 10:
            shown = time.monotonic()
            print(f"{number + 1} of {options.cases}, {shown - began:.0f} s", flush=True)
    for end, count in sorted(hostile.ends.items()):
        print(f"{count:8} {end}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every resource attack is refused or runs out of what it paid for, in 100 ms and 10 MB."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from tests.vm.contract.attacks import attack_sources
from tests.vm.contract.hosts import HERE, MemoryChain
from tests.vm.contract.pace import collected_as_in_a_node, machine_factor
from tools.contract.compiler import compile_source
from vm.contract.abi import describe_code
from vm.contract.code_format import CodeForm, FunctionForm, encode_form, parts_of
from vm.contract.code_object import Code, FunctionKind
from vm.contract.limits import GAS_CODE_BYTE
from vm.contract.operations import BY_NAME, encode_instruction
from vm.contract.value_types import INT, SIMPLE, list_of, tuple_of
from vm.contract.verifier import decode_code
from vm.primitives.codec import Encodable, encode
from vm.primitives.errors import CallError, DecodeError

LIMIT_S = 0.1
LIMIT_BYTES = 10_000_000
MOST_S_OF_GAS = 75e-9
"""Time of a unit of gas: half as much again as prices are set for, for what runs beside."""
ENDS = ("out_of_gas", "out_of_memory", "too_long", "too_deep", "overflow")
SOURCES = attack_sources()


def run(code: Code) -> str:
    """Run an attack with the greatest gas limit of a transaction; return how it ended."""
    try:
        MemoryChain({HERE: code}).call("main")
    except CallError as error:
        return error.code
    return "done"


@pytest.mark.parametrize("name", SOURCES)
def test_an_attack_ends_in_time(name: str) -> None:
    code = compile_source(SOURCES[name], {}).code
    seconds = []
    for _ in range(5):
        factor = machine_factor()
        began = time.process_time()
        assert run(code) in ENDS
        seconds.append((time.process_time() - began) / factor)
        if seconds[-1] < LIMIT_S:
            return
    pytest.fail(f"{name} takes {min(seconds) * 1000:.0f} ms")


@pytest.mark.parametrize("name", [name for name in SOURCES if name.startswith(("many", "lists"))])
def test_an_attack_ends_in_bounds_of_memory(name: str) -> None:
    code = compile_source(SOURCES[name], {}).code
    tracemalloc.start()
    try:
        run(code)
        assert tracemalloc.get_traced_memory()[1] < LIMIT_BYTES
    finally:
        tracemalloc.stop()


LISTS = tuple_of(*[list_of(INT)] * 23)
"""A type as wide as types may be: each first value makes 24 objects."""


def form_of(*functions: tuple[FunctionKind, int, list[int], bytes]) -> bytes:
    """Return code of functions of kind, result, registers and body, whose type 7 is LISTS."""
    forms = [
        FunctionForm(f"f{place}", kind, False, False, (), -1, (), result, bytes(registers), body)
        for place, (kind, result, registers, body) in enumerate(functions)
    ]
    types = (*SIMPLE, list_of(INT), LISTS)
    return encode_form(CodeForm(types, parts_of(types), (), (), (), (), tuple(forms)))


def instruction(name: str, *operands: int) -> bytes:
    """Return the bytes of an instruction."""
    return encode_instruction(BY_NAME[name], operands)


def test_first_values_of_registers_are_paid_for() -> None:
    nothing = instruction("return_nothing")
    wide = (FunctionKind.INTERNAL, 0, [7] * 240, nothing)
    body = instruction("call", 0, 0) + instruction("jump", 0)
    code = decode_code(form_of(wide, (FunctionKind.EXPORT, 0, [], body)))
    chain = MemoryChain({HERE: code})
    with pytest.raises(CallError) as caught:
        chain.call("f1")
    assert caught.value.code == "out_of_memory"
    # 47 values, of 3 gas and 64 bytes, for each register: as many calls as the memory has room for.
    calls = 8_000_000 // (240 * 47 * 64) + 1
    assert calls * 240 * 47 * 3 < chain.gas_used < calls * 240 * 47 * 6


@pytest.mark.parametrize("what", ["registers", "comparisons"])
def test_verified_code_takes_memory_by_its_bytes_alone(what: str) -> None:
    nothing = instruction("return_nothing")
    if what == "registers":
        raw = form_of(*[(FunctionKind.INTERNAL, 0, [7] * 245, nothing)] * 100)
    else:
        body = instruction("equal", 1, 2, 3) * 6_000 + nothing
        raw = form_of((FunctionKind.EXPORT, 0, [2, 7, 7], body))
    tracemalloc.start()
    try:
        code = decode_code(raw)
        assert tracemalloc.get_traced_memory()[0] < 200 * len(code.raw)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("line", ["self.deep = a", "b = Other(this()).take(a)"])
def test_empty_lists_take_room_too(line: str) -> None:
    source = f"""
deep: list[list[list[int]]]
Other = interface(take=view(list[list[list[int]]], returns=int))

@export
def main() -> None:
    e: list[int] = []
    a = [[e] * 1024] * 5
    {line}
"""
    chain = MemoryChain({HERE: compile_source(source, {}).code})
    with pytest.raises(CallError) as caught:
        chain.call("main")
    assert caught.value.code == "too_long"


@pytest.mark.parametrize("count", [19, 128])
def test_an_interface_written_out_is_small(count: int) -> None:
    types = (*SIMPLE, tuple_of(*[INT] * 6), tuple_of(*[tuple_of(*[INT] * 6)] * 6))
    wide = tuple((f"p{place}", 7) for place in range(4))
    forms = [
        FunctionForm(
            f"f{place}", FunctionKind.EXPORT, False, False, (), -1, wide, 7, b"",
            instruction("return_value", 1),
        )
        for place in range(count)
    ]  # fmt: skip
    raw = encode_form(CodeForm(types, parts_of(types), (), (), (), (), tuple(forms)))
    if count == 19:
        assert len(json.dumps(describe_code(decode_code(raw)))) < 400_000
        return
    with pytest.raises(DecodeError) as caught:
        decode_code(raw)
    assert caught.value.code == "invalid_code"


def test_memory_is_counted_across_contracts() -> None:
    source = """
Other = interface(fill=view(int, returns=int))

@view(reentrant=True)
def fill(n: int) -> int:
    a = [[i] * 1000 for i in range(20)]
    return len(a) + Other(this()).fill(n + 1)
"""
    chain = MemoryChain({HERE: compile_source(source, {}).code})
    with pytest.raises(CallError) as caught:
        chain.call("fill", 1)
    assert caught.value.code == "out_of_memory"


def crowded_codes() -> dict[str, bytes]:
    """Return codes that say much in few bytes."""
    types = ((6, (1,), "", ()), (7, (6,) * 10, "", ()),
             *[(7, (7, 7), f"R{number}", ("a", "b")) for number in range(120)])  # fmt: skip
    end = b"\x39"

    def function(name: str, registers: bytes, body: bytes) -> tuple[Encodable, ...]:
        return name, 1, False, False, (), -1, (), 0, registers, body

    def code(kinds: Encodable, slots: Encodable, *functions: Encodable) -> bytes:
        return encode((90, 1, kinds, (), slots, (), (), functions))

    wide = [function(f"f{number}", bytes([10]) * 250, end) for number in range(110)]
    slots = [(f"s{number}", -1, 10 + number) for number in range(60)]
    return {
        "types that share parts": code(types, (), function("f", b"", end)),
        "registers of large types": code(types, (), *wide),
        "storage of large types": code(types, slots, function("f", b"", end)),
        "short instructions": code((), (), function("f", b"\x01", b"\x01\x01\x01" * 10_000 + end)),
        "short blocks": code(
            (), (), function("f", b"\x01", (b"\x01\x01\x01" + b"\x28") * 7_500 + end)
        ),
        "long lists of registers": code(
            types, (), function("f", b"\x06\x01", (b"\x3c\x01\xff" + b"\x02" * 255) * 120 + end)
        ),
    }


@pytest.mark.parametrize("name", crowded_codes())
def test_decoding_takes_time_by_the_bytes_of_code(name: str) -> None:
    raw = crowded_codes()[name]
    rates = []
    for _ in range(5):
        with collected_as_in_a_node():
            factor = machine_factor()
            began = time.process_time()
            decode_code(raw)
            rates.append((time.process_time() - began) / factor / len(raw))
        if rates[-1] < GAS_CODE_BYTE * MOST_S_OF_GAS:
            return
    pytest.fail(f"{min(rates) * 1e6:.1f} us a byte")

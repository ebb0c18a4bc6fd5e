"""A transaction that brings as much forgotten code to run as its gas pays for."""

from __future__ import annotations

import time
import tracemalloc

from node.ledger.receipt import Receipt
from tests.ledger.support import Chain
from tests.vm.contract.deployed import call, chain_with, deploy
from tests.vm.contract.pace import collected_as_in_a_node, machine_factor
from tests.vm.contract.test_attacks import LIMIT_BYTES, LIMIT_S, MOST_S_OF_GAS
from vm.contract.code_format import CodeForm, FunctionForm, encode_form, parts_of
from vm.contract.code_object import FunctionKind
from vm.contract.limits import CODE_BYTE_BYTES, GAS_CODE_BYTE, MAX_MEMORY_BYTES
from vm.contract.value_types import SIMPLE

GAS = 2_000_000
CALLER = """
Other = interface(f=export())

@export
def main(others: list[address]):
    for other in others:
        Other(other).f()
"""


def short_blocks(number: int) -> bytes:
    """Return code of the shape that takes longest to prepare and most room, about 12,000 bytes."""
    registers = bytes([1]) * (2 + number)
    body = (b"\x01\x01\x02" + b"\x28") * 3_000 + b"\x39"
    one = FunctionForm("f", FunctionKind.EXPORT, False, False, (), -1, (), 0, registers, body)
    return encode_form(CodeForm(SIMPLE, parts_of(SIMPLE), (), (), (), (), (one,)))


def attacked(count: int, first: int) -> tuple[Chain, bytes, list[bytes], int]:
    """Return a chain with a caller and `count` contracts, and the bytes of each one's code."""
    chain = chain_with({"deploy_roles": ["prosumer"], "deposit_per_byte": "0"})
    caller, _ = deploy(chain, CALLER)
    addresses = []
    for number in range(first, first + count):
        raw = short_blocks(number)
        arguments = (f"c{number}", raw, "", ())
        receipt = chain.run(
            "P1", ("contracts", "deploy", arguments), gas_limit=GAS, max_fee_micro=GAS
        )
        assert receipt.code == "", receipt
        addresses.append(receipt.values[0])
    return chain, caller, addresses, len(raw)


def run(chain: Chain, caller: bytes, addresses: list[bytes]) -> Receipt:
    """Have the caller call all of them."""
    return call(chain, caller, "main", tuple(addresses), gas_limit=GAS)


def test_forgotten_code_is_paid_for_in_time() -> None:
    rates = []
    for attempt in range(5):
        chain, caller, addresses, size = attacked(4, 10 * attempt)
        with collected_as_in_a_node():
            factor = machine_factor()
            began = time.process_time()
            receipt = run(chain, caller, addresses)
            seconds = (time.process_time() - began) / factor
        assert receipt.code == "" and receipt.gas_used > 4 * size * GAS_CODE_BYTE
        rates.append(seconds / receipt.gas_used)
        if rates[-1] < MOST_S_OF_GAS:
            return
    raise AssertionError(f"a unit of gas takes {min(rates) * 1e9:.0f} ns: {LIMIT_S} s want 50")


def test_code_is_paid_for_once_in_a_transaction() -> None:
    chain, _, addresses, size = attacked(1, 0)
    one = ("contracts", "call", (addresses[0], "f", (), 0, 0))
    gas = [
        chain.run("P1", *[one] * calls, gas_limit=GAS, max_fee_micro=GAS).gas_used
        for calls in (1, 2, 64)
    ]
    assert gas[0] > size * GAS_CODE_BYTE
    assert gas[1] - gas[0] < size * GAS_CODE_BYTE
    assert gas[2] - gas[1] > 61 * (gas[1] - gas[0])


def test_forgotten_code_fits_into_the_memory_of_a_transaction() -> None:
    most = MAX_MEMORY_BYTES // (CODE_BYTE_BYTES * 12_000)
    chain, caller, addresses, _ = attacked(most + 1, 0)
    tracemalloc.start()
    try:
        assert run(chain, caller, addresses).code == "out_of_memory"
        assert tracemalloc.get_traced_memory()[1] < 1.3 * LIMIT_BYTES
    finally:
        tracemalloc.stop()
    assert run(chain, caller, addresses[:-1]).code == ""

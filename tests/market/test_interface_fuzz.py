"""Every method of every built-in interface, called by a contract with any values at all."""

from __future__ import annotations

from pathlib import Path
from random import Random

from node.modules import contract_signatures
from tests.market.test_contract_interface import NETWORK
from tools.contract.world import CallFailed, Member, World
from vm.contract.interfaces import Signature
from vm.contract.value_types import NONE, Kind, ValueType

ROUNDS = 12
NUMBERS = (0, 1, -1, 2, 32, 10**6, 2**31, 2**63 - 1, -(2**63), 2**63, 2**200, -(2**255))
TEXTS = ("", "local", "feeder", "L1", "ann", "operator", "\0", "ü" * 40, "x" * 500, "local\n")


def source_of(interface: str, name: str, signature: Signature) -> str:
    """Return a contract that hands its arguments on to one method."""
    kind = "view" if signature.is_view else "export"
    heading = ", ".join(f"a{place}: {kind}" for place, (_, kind) in enumerate(signature.parameters))
    given = ", ".join(f"a{place}" for place in range(len(signature.parameters)))
    result = "" if signature.result == NONE else f" -> {signature.result}"
    back = "return " if result else ""
    body = f"    {back}{interface}.{name}({given})\n"
    return f"import {interface}\n\n@{kind}\ndef f({heading}){result}:\n{body}"


def drawn(random: Random, kind: ValueType, people: list[Member]) -> object:
    """Return any value of a simple type."""
    if kind.kind is Kind.INT:
        return random.choice(NUMBERS)
    if kind.kind is Kind.STR:
        return random.choice(TEXTS)
    if kind.kind is Kind.BOOL:
        return random.random() < 0.5
    return random.choice([*people, bytes(20), b"\xff" * 20])


def test_nothing_that_a_contract_asks_of_a_module_is_a_bug(tmp_path: Path) -> None:
    random = Random(1)
    world = World(tmp_path, NETWORK)
    ann = world.member("ann", money="1000", energy="1000kWh")
    done = 0
    for interface, methods in contract_signatures().items():
        for name, signature in methods.items():
            path = tmp_path / f"{interface}_{name}.py"
            path.write_text(source_of(interface, name, signature))
            contract = world.deploy(path.name, by=ann, name=f"{interface}.{name}")
            world.give_roles(contract, "prosumer", "consumer")
            for _ in range(ROUNDS):
                values = [drawn(random, kind, [ann]) for _, kind in signature.parameters]
                try:
                    contract.f(*values, by=ann, money=10**6, energy=10**6, gas=500_000)
                    done += 1
                except CallFailed as failure:
                    assert failure.code.isascii() and failure.code
    assert done > 20

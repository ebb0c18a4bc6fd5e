"""The page of the protocol lists every operation and library function with its price."""

from __future__ import annotations

import re
from pathlib import Path

from vm.contract.library import LIBRARY
from vm.contract.limits import GAS_BLOCK, GAS_CODE_BYTE, GAS_FUNCTION, MAX_CODE_BYTES
from vm.contract.operations import OPERATIONS

PAGE = Path(__file__).parents[3] / "docs" / "protocol.md"


def section() -> str:
    """Return the section about contract code."""
    page = PAGE.read_text(encoding="utf-8")
    return page[page.index("## Contract code") : page.index("## Worked example")]


def test_operations_stand_with_their_price() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| ([^|]*) \| (\d+) \|$", section(), re.MULTILINE)
    found = {int(number): (name, operands, int(gas)) for number, name, operands, gas in rows}
    assert list(found) == list(OPERATIONS)
    for number, (name, operands, gas) in found.items():
        operation = OPERATIONS[number]
        assert (name, gas) == (operation.name, operation.gas)
        count = 0 if operands == "–" else len(operands.split(", "))
        assert count == len(operation.operands)


def test_library_functions_stand_with_their_price() -> None:
    rows = re.findall(
        r"^\| (\d+) \| `([\w.]+)` \| [^|]* \| \w+ \| (\d+)( \+ bytes ÷ 8)? \|$",
        section(),
        re.MULTILINE,
    )
    found = [(int(number), name, int(gas), bool(sizes)) for number, name, gas, sizes in rows]
    assert found == [
        (entry.number, ".".join(filter(None, (entry.module, entry.name))), entry.gas, entry.sizes)
        for entry in LIBRARY
    ]


def test_prices_and_limits_in_the_text() -> None:
    text = " ".join(section().split())
    assert f"Entering a block costs {GAS_BLOCK} " in text
    assert f"entering a function {GAS_FUNCTION} and 1 for each register" in text
    assert f"Code costs {GAS_CODE_BYTE} a byte" in text
    assert f"at most {MAX_CODE_BYTES:,} bytes" in text

"""The example of the page about contracts does what the page says."""

import re
from pathlib import Path

import pytest

from tests.vm.contract.hosts import ALICE, BOB, HERE, MemoryChain
from vm.contract.limits import GAS_CODE_BYTE
from vm.primitives.errors import CallError

PAGE = Path(__file__).parents[3] / "docs" / "contracts.md"


def token() -> MemoryChain:
    """Return a chain with the page's token."""
    source = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert source is not None
    chain = MemoryChain()
    chain.deploy(source[1], HERE, "Sun", 1_000)
    return chain


def test_transfers_move_what_is_there() -> None:
    chain = token()
    assert chain.call("transfer", BOB, 300) is True
    assert chain.call("balance_of", ALICE) == 700
    assert chain.call("balance_of", BOB) == 300
    assert chain.events == [(HERE, "Transfer", (ALICE, BOB, 300))]
    with pytest.raises(CallError, match="more than there is") as caught:
        chain.call("transfer", ALICE, 301, caller=BOB)
    assert caught.value.code == "requirement_failed"
    assert chain.call("balance_of", BOB) == 300


def test_allowances_and_owners() -> None:
    chain = token()
    chain.call("approve", BOB, 50)
    assert chain.call("transfer_from", ALICE, BOB, 20, caller=BOB) is True
    with pytest.raises(CallError, match="more than was allowed"):
        chain.call("transfer_from", ALICE, BOB, 31, caller=BOB)
    with pytest.raises(CallError) as caught:
        chain.call("mint", BOB, 1, caller=BOB)
    assert caught.value.code == "wrong_caller"
    chain.call("mint", BOB, 1)
    assert chain.call("balance_of", BOB) == 21
    with pytest.raises(CallError, match="cannot be more"):
        chain.call("mint", BOB, 10**15)


def test_the_price_of_code_is_the_one_charged() -> None:
    words = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"costs {GAS_CODE_BYTE} for each byte of its code" in words

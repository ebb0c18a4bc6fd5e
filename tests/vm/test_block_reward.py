"""The block reward comes into being with each block and goes to who made it."""

import pytest

from tests.ledger.support import Chain
from vm.primitives.codec import unpack_trusted
from vm.primitives.errors import InvalidGenesis
from vm.system.accounts import SUPPLY_KEY
from vm.system.block_reward import BlockRewardModule


def supply(chain: Chain) -> object:
    return unpack_trusted(chain.state.get(SUPPLY_KEY) or b"")


def test_the_maker_of_a_block_is_paid_and_money_comes_into_being() -> None:
    chain = Chain(BlockRewardModule(), modules={"reward": {"block": "2.5"}})
    money, energy = supply(chain)
    before = chain.account("V1").money_micro
    for count in range(1, 4):
        block = chain.grow().candidate
        maker = block.header.proposer
        assert block.executed.receipts[-1].events == (("reward", "mint", (maker, 2_500_000)),)
        assert supply(chain) == (money + count * 2_500_000, energy)
    assert chain.account("V1").money_micro == before + 3 * 2_500_000


def test_without_a_reward_nothing_happens() -> None:
    for modules in ({}, {"reward": {}}, {"reward": {"block": "0"}}):
        chain = Chain(BlockRewardModule(), modules=modules)
        assert chain.grow().candidate.executed.receipts == ()


def test_money_never_passes_its_bound() -> None:
    chain = Chain(BlockRewardModule(), modules={"reward": {"block": "9223372036854"}})
    money = supply(chain)
    (receipt,) = chain.grow().candidate.executed.receipts
    assert receipt.code == "overflow"
    assert supply(chain) == money


@pytest.mark.parametrize(
    "section", [{"block": "-1"}, {"block": 1}, {"block": "1.0000001"}, {"perblock": "1"}]
)
def test_a_section_that_says_something_else_is_refused(section: dict) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(BlockRewardModule(), modules={"reward": section})

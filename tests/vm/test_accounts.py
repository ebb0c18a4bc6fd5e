"""Money and energy move exactly, through signed transactions, and only their owners move them."""

import pytest

from tests.ledger.support import Chain, id_of
from vm.primitives.codec import unpack
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import SUPPLY_KEY, Account

P1_MICRO, P2_MICRO = 1_000_000_000, 500_500_000
P1_MWH, P2_MWH = 5_000_000, 2_250_000


def transfer(to: str, amount: object, memo: object = "") -> tuple:
    """Return a call."""
    return ("accounts", "transfer", (id_of(to), amount, memo))


def money(chain: Chain, *names: str) -> list[int]:
    """Return what members have."""
    return [chain.account(name).money_micro for name in names]


def supply(chain: Chain) -> tuple[int, int]:
    """Return all money and all energy there is."""
    return unpack(chain.state.get(SUPPLY_KEY) or b"")


def test_a_transfer_moves_exactly_its_amount() -> None:
    chain = Chain()
    receipt = chain.run("P1", transfer("P2", 1, "one micro-token"))
    assert receipt.code == ""
    assert money(chain, "P1", "P2") == [P1_MICRO - 1, P2_MICRO + 1]
    assert receipt.events == (
        ("accounts", "transfer", (id_of("P1"), id_of("P2"), 1, "one micro-token")),
    )


def test_energy_moves_exactly() -> None:
    chain = Chain()
    assert chain.run("P1", ("accounts", "transfer_energy", (id_of("P2"), 7))).code == ""
    assert chain.account("P1").energy_milli_wh == P1_MWH - 7
    assert chain.account("P2").energy_milli_wh == P2_MWH + 7


@pytest.mark.parametrize("amount", [0, -1, 2**63, True, "1", b"\1", None])
def test_amounts_that_are_no_amounts(amount: object) -> None:
    chain = Chain()
    assert chain.run("P1", transfer("P2", amount)).code == "invalid_arguments"
    assert money(chain, "P1", "P2") == [P1_MICRO, P2_MICRO]


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (transfer("P2", P1_MICRO + 1), "insufficient_money"),
        (transfer("P1", P1_MICRO + 1), "insufficient_money"),
        (transfer("X", 1), "unknown_account"),
        (transfer("P2", 1, "m" * 65), "invalid_arguments"),
        (("accounts", "transfer_energy", (id_of("P2"), P1_MWH + 1)), "insufficient_energy"),
        (("accounts", "transfer_energy", (id_of("X"), 1)), "unknown_account"),
        (("accounts", "burn", (P1_MICRO + 1,)), "insufficient_money"),
        (("accounts", "burn_energy", (P1_MWH + 1,)), "insufficient_energy"),
        (("accounts", "mint", (id_of("P1"), 1)), "wrong_role"),
        (("accounts", "mint_energy", (id_of("P1"), 1)), "wrong_role"),
    ],
)
def test_what_cannot_be_done_changes_nothing_but_the_nonce(call: tuple, code: str) -> None:
    chain = Chain()
    before = dict(chain.entries)
    receipt = chain.run("P1", call)
    assert (receipt.code, receipt.events) == (code, ())
    assert chain.nonce("P1") == 1
    changed = {key for key in chain.entries if chain.entries[key] != before.get(key)}
    assert changed == {b"a" + id_of("P1")}
    assert money(chain, "P1", "P2") == [P1_MICRO, P2_MICRO]


def test_the_whole_balance_to_oneself_with_a_fee() -> None:
    """Threat 20: neither the transfer nor the fee is counted twice or lost."""
    chain = Chain(parameters={"gas_price_micro": 1})
    total = supply(chain)
    gas = 5_000
    options = {"gas_limit": gas, "max_fee_micro": gas}
    whole = chain.run("P1", transfer("P1", P1_MICRO), **options)
    assert whole.code == "insufficient_money", "the fee is set aside first"
    spent = whole.fee_micro
    rest = P1_MICRO - spent - gas
    receipt = chain.run("P1", transfer("P1", rest), **options)
    assert receipt.code == ""
    spent += receipt.fee_micro
    assert money(chain, "P1", "V1") == [P1_MICRO - spent, spent]
    assert supply(chain) == total


def test_minting_and_burning_change_the_supply_and_nothing_else_does() -> None:
    chain = Chain()
    start = supply(chain)
    assert start == (P1_MICRO + P2_MICRO, P1_MWH + P2_MWH)
    chain.run("P1", transfer("P2", 5))
    chain.run("P1", ("accounts", "transfer_energy", (id_of("P2"), 5)))
    assert supply(chain) == start
    assert chain.run("Op", ("accounts", "mint", (id_of("P1"), 11))).values == (True,)
    assert chain.run("Op", ("accounts", "mint_energy", (id_of("P1"), 12))).values == (True,)
    assert supply(chain) == (start[0] + 11, start[1] + 12)
    chain.run("P1", ("accounts", "burn", (1,)))
    chain.run("P1", ("accounts", "burn_energy", (2,)))
    assert supply(chain) == (start[0] + 10, start[1] + 10)


@pytest.mark.parametrize("method", ["mint", "mint_energy"])
def test_no_more_is_minted_than_can_be_counted(method: str) -> None:
    chain = Chain()
    money_micro, energy = supply(chain)
    room = MAX_AMOUNT - (money_micro if method == "mint" else energy)
    assert chain.run("Op", ("accounts", method, (id_of("Op"), room + 1))).code == "overflow"
    assert chain.run("Op", ("accounts", method, (id_of("Op"), room))).code == ""
    assert chain.run("Op", ("accounts", method, (id_of("Op"), 1))).code == "overflow"


def test_nothing_goes_to_members_who_are_not_active() -> None:
    chain = Chain()
    chain.run("Op", ("members", "suspend", (id_of("P2"),)))
    for call in (transfer("P2", 1), ("accounts", "transfer_energy", (id_of("P2"), 1))):
        assert chain.run("P1", call).code == "not_active"
    assert chain.run("Op", ("accounts", "mint", (id_of("P2"), 1))).code == "not_active"
    assert money(chain, "P2") == [P2_MICRO]


def test_calls_of_one_transaction_stand_or_fall_together() -> None:
    chain = Chain()
    receipt = chain.run("P1", transfer("P2", 5), transfer("P2", 6), ("accounts", "burn", (10**18,)))
    assert (receipt.code, receipt.events) == ("insufficient_money", ())
    assert money(chain, "P1", "P2") == [P1_MICRO, P2_MICRO]
    receipt = chain.run("P1", transfer("P2", 5), transfer("P2", 6))
    assert (receipt.code, len(receipt.events), receipt.values) == ("", 2, (None, None))
    assert money(chain, "P1", "P2") == [P1_MICRO - 11, P2_MICRO + 11]


def test_reserves_hold_what_they_hold() -> None:
    leaf = Account(bytes(32), 0, 0, 0, 0, 0, 10, 0)
    leaf.reserve_energy(7)
    assert (leaf.energy_milli_wh, leaf.energy_reserved_milli_wh) == (3, 7)
    leaf.release_energy(2)
    leaf.spend_reserved_energy(5)
    assert (leaf.energy_milli_wh, leaf.energy_reserved_milli_wh) == (5, 0)

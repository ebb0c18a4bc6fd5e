"""The life of contracts on a chain: who may do what, what is undone, and what every byte costs."""

from __future__ import annotations

import pytest

from node.ledger.proofs import MAX_KEY_BYTES
from node.ledger.receipt import decode_receipt
from tests.ledger.support import ROLES, Chain, genesis_bytes, id_of, key_of
from tests.vm.contract.deployed import (
    PRICE_MICRO,
    call,
    chain_with,
    check_books,
    deploy,
    made,
    others,
    record_of,
)
from tools.rule_changes import parse_changes, proposal_call
from vm.primitives.codec import encode_integer
from vm.primitives.errors import CallError, InvalidGenesis
from vm.system.accounts import read_account
from vm.system.contract_records import ENTRY_BYTES, ContractTerms
from vm.system.contract_terms import changed_terms

NOTES = '''"""Notes under keys, and what goes wrong on purpose."""
import bank

owner: address
notes: map[int, bytes]
Noted = event(key=int, who=address)

@init
def start():
    self.owner = caller()

@export
def note(key: int, data: bytes):
    self.notes[key] = data
    emit(Noted(key, caller()))

@export
def erase(key: int):
    del self.notes[key]

@export
def note_and_fail(key: int):
    self.notes[key] = b"gone"
    fail("on purpose")

@export
def spin():
    n = 0
    while True:
        n += 1

@export
def take(amount: int):
    bank.collect(amount)

@export
def give(to: address, amount: int):
    bank.transfer(to, amount)

@export(roles=["prosumer"])
def by_role() -> bool:
    return True

@view
def read(key: int) -> bytes:
    return self.notes.get(key, b"")
'''
FEE = {"gas_limit": 1_000_000, "max_fee_micro": 1_000_000}
MORE = NOTES.replace(
    "@init", "count: int\n\n@upgrade\ndef again(n: int):\n    self.count = n\n\n@init"
)


@pytest.fixture
def chain() -> Chain:
    return chain_with()


def test_without_the_section_nothing_changes_and_nobody_deploys() -> None:
    chain = chain_with({})
    assert chain.first.header.state_root == Chain().first.header.state_root
    _, receipt = deploy(chain, NOTES)
    assert receipt.code == "no_contracts"


@pytest.mark.parametrize(
    "section",
    [
        {"deploy_roles": []},
        {"deploy_roles": ["nobody"]},
        {"deploy_roles": ["prosumer"], "deposit_per_byte": 5},
        {"deploy_roles": ["prosumer"], "deposit_per_byte": "-1"},
        {"deploy_roles": ["prosumer"], "upgrade_needs_vote": 1},
        {"deploy_roles": ["prosumer"], "other": 1},
    ],
)
def test_sections_that_do_not_fit_are_refused(section: dict) -> None:
    with pytest.raises(InvalidGenesis):
        chain_with(section)


def test_who_deploys_is_a_matter_of_roles(chain: Chain) -> None:
    assert deploy(chain, NOTES, by="Op")[1].code == "wrong_role"
    address, receipt = deploy(chain, NOTES)
    assert receipt.code == "" and record_of(chain, address).owner == id_of("P1")
    assert deploy(chain, NOTES, by="P2")[1].code == "name_taken"
    assert deploy(chain, NOTES, by="P2", name="P1")[1].code == "name_taken"
    check_books(chain)


def test_deposits_come_with_bytes_and_go_with_them(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    paid = record_of(chain, address).deposit_micro
    assert paid == PRICE_MICRO * record_of(chain, address).stored_bytes
    before = chain.account("P2").money_micro
    call(chain, address, "note", 1, b"x" * 100, by="P2")
    entry = 64 + 2 + len(b"\xc4d" + b"x" * 100)
    assert chain.account("P2").money_micro == before - PRICE_MICRO * entry
    check_books(chain)
    call(chain, address, "note", 1, b"y" * 40, by="P2")
    check_books(chain)
    call(chain, address, "erase", 1, by="P2")
    assert chain.account("P2").money_micro == before
    check_books(chain)


def test_who_cannot_pay_the_deposit_stores_nothing(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    before = others(chain, without=("V1",))
    receipt = call(chain, address, "note", 1, b"x", by="V1")
    assert receipt.code == "insufficient_money"
    assert others(chain, without=("V1",)) == before


@pytest.mark.parametrize(
    ("function", "arguments", "code"),
    [
        ("note_and_fail", (1,), "requirement_failed"),
        ("spin", (), "out_of_gas"),
        ("take", (1,), "not_allowed"),
        ("give", (b"P" * 20, 1), "insufficient_money"),
        ("nothing", (), "unknown_method"),
        ("start", (), "unknown_method"),
        ("note", (), "invalid_arguments"),
        ("note", (1,), "invalid_arguments"),
        ("note", ("a", b""), "invalid_arguments"),
        ("note", (True, b""), "invalid_arguments"),
        ("note", (b"\x00\x01", b""), "invalid_arguments"),
        ("note", (None, ((((),),),)), "invalid_arguments"),
        ("note", ({1: 2}, b""), "invalid_arguments"),
        ("note", (1, b"x" * 5_000), "too_long"),
        ("by_role", (), "wrong_role"),
    ],
)
def test_a_failed_call_changes_nothing_but_the_fee(
    function: str, arguments: tuple, code: str
) -> None:
    chain = chain_with(parameters={"gas_price_micro": 1})
    address, _ = deploy(chain, NOTES)
    chain.run("P1", ("accounts", "transfer", (id_of("Op2"), 100 * 10**6, "")), **FEE)
    before, money = others(chain, without=("Op2", "V1")), chain.account("Op2").money_micro
    receipt = call(chain, address, function, *arguments, by="Op2", gas_limit=50_000)
    assert receipt.code == code
    assert receipt.events == ()
    assert others(chain, without=("Op2", "V1")) == before
    assert chain.account("Op2").money_micro == money - receipt.fee_micro
    assert receipt.fee_micro == receipt.gas_used >= 1_000


def test_at_each_gas_limit_all_or_nothing_stands(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    call(chain, address, "note", 0, b"x" * 20)
    whole = call(chain, address, "note", 2, b"x" * 20).gas_used - 100
    for limit in range(1_500, whole, max((whole - 1_500) // 12, 1)):
        before = others(chain, without=("P1",))
        receipt = call(chain, address, "note", 1, b"x" * 20, gas_limit=limit)
        assert receipt.code == "out_of_gas", limit
        assert others(chain, without=("P1",)) == before


def test_money_is_taken_only_as_far_as_it_is_attached(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    assert call(chain, address, "take", 8, money=7).code == "not_allowed"
    assert call(chain, address, "take", -8, money=7).code == "not_allowed"
    assert call(chain, address, "take", encode_integer(2**64), money=7).code == "invalid_arguments"
    assert call(chain, address, "take", 7, money=7).code == ""
    assert call(chain, address, "give", id_of("P2"), 8).code == "insufficient_money"
    assert call(chain, address, "give", id_of("P2"), 7).code == ""
    check_books(chain)


def test_its_owner_upgrades_and_freezes(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    call(chain, address, "note", 1, b"kept")
    new = made(MORE)

    def upgrade(by: str, *arguments: int) -> str:
        values = (address, new.raw, new.source, arguments)
        return chain.run(by, ("contracts", "upgrade", values)).code

    assert upgrade("P2", 5) == "not_your_contract"
    assert upgrade("P1") == "invalid_arguments"
    assert record_of(chain, address).revision == 0
    assert upgrade("P1", 5) == ""
    check_books(chain)
    assert record_of(chain, address).revision == 1
    old = made(NOTES)
    back = ("contracts", "upgrade", (address, old.raw, old.source, ()))
    assert chain.run("P1", back).code == "cannot_follow"
    assert chain.run("P1", ("contracts", "set_owner", (address, id_of("P2")))).code == ""
    assert chain.run("P1", ("contracts", "freeze", (address,))).code == "not_your_contract"
    assert chain.run("P2", ("contracts", "freeze", (address,))).code == ""
    assert upgrade("P2", 6) == "frozen"
    assert call(chain, address, "note", 2, b"still").code == ""


def test_an_upgrade_that_stores_as_much_as_its_source_sheds_is_counted(chain: Chain) -> None:
    old = made(NOTES)
    new = made(
        NOTES.replace("@init", '@upgrade\ndef again():\n    self.notes[1] = b"kept"\n\n@init')
    )
    entry_bytes = ENTRY_BYTES + len(b"\x01\x01") + len(b"\xc4\x04kept")
    padding = "#" * (entry_bytes + len(new.raw) - len(old.raw))
    address, receipt = deploy(chain, NOTES)
    assert receipt.code == ""
    padded = ("contracts", "upgrade", (address, old.raw, padding, ()))
    assert chain.run("P1", padded).code == ""
    held = record_of(chain, address).data_bytes
    upgrade = ("contracts", "upgrade", (address, new.raw, "", ()))
    assert chain.run("P1", upgrade).code == ""
    assert record_of(chain, address).data_bytes == held + entry_bytes
    check_books(chain)
    assert call(chain, address, "erase", 1).code == ""
    assert record_of(chain, address).data_bytes == held
    check_books(chain)


def test_a_contract_is_removed_when_it_holds_nothing(chain: Chain) -> None:
    before = chain.account("P1").money_micro
    address, _ = deploy(chain, NOTES)
    remove = ("contracts", "remove", (address,))
    assert chain.run("P1", remove).code == "not_empty"  # it stores its owner
    empty, _ = deploy(chain, "@export\ndef nothing():\n    pass\n", name="e")
    left = chain.account("P1").money_micro
    assert chain.run("P1", ("contracts", "remove", (empty,))).code == ""
    assert chain.account("P1").money_micro > left
    assert call(chain, empty, "nothing").code == "unknown_contract"
    check_books(chain)
    assert before - chain.account("P1").money_micro == record_of(chain, address).deposit_micro


def test_a_vote_makes_way_for_an_upgrade_where_genesis_says_so() -> None:
    chain = chain_with(
        {"deploy_roles": ["prosumer"], "upgrade_needs_vote": True},
        modules={
            "governance": {"voters": {"operator": 1}, "voting_period_ms": 3_500, "notice_blocks": 1}
        },
    )
    address, _ = deploy(chain, NOTES)
    new = made(MORE)
    upgrade = ("contracts", "upgrade", (address, new.raw, new.source, (1,)))
    assert chain.run("P1", upgrade).code == "not_voted_for"
    (change,) = parse_changes([f"contracts.c.code_hash={new.code.code_hash.hex()}"])
    height = chain.height + 9
    assert chain.run("Op", proposal_call(change, height, "more")).code == ""
    number = 1
    for name in ("Op", "Op2"):
        assert chain.run(name, ("governance", "vote", (number, "yes"))).code == ""
    while chain.height <= height:
        chain.grow()
    assert chain.run("P1", upgrade).code == ""
    assert record_of(chain, address).approved == b""


def test_votes_change_the_terms() -> None:
    terms = ContractTerms(1, 5, upgrade_needs_vote=True)
    (change,) = parse_changes(
        [
            "contracts.deploy_roles=edc,dso",
            "contracts.deposit_micro_per_byte=7",
            "contracts.upgrade_needs_vote=0",
        ]
    )
    changed = changed_terms(terms, ROLES, dict(change.values))
    assert changed == ContractTerms(0b1100, 7, upgrade_needs_vote=False)
    for name, value in (
        ("deploy_roles", ""),
        ("deploy_roles", "edc,nobody"),
        ("deploy_roles", 3),
        ("deposit_micro_per_byte", -1),
        ("deposit_micro_per_byte", 10**12 + 1),
        ("deposit_micro_per_byte", True),
        ("upgrade_needs_vote", 2),
        ("owner", 1),
    ):
        with pytest.raises(CallError, match="does not fit"):
            changed_terms(terms, ROLES, {name: value})


def test_operators_suspend_a_contract_and_cannot_take_it_over(chain: Chain) -> None:
    address, _ = deploy(chain, NOTES)
    assert chain.run("Op", ("members", "reset_key", (address, b"\x01" * 32))).code != ""
    assert chain.run("Op", ("members", "reset_key", (address, key_of("V1", "x")))).code == "no_key"
    assert chain.run("Op", ("members", "set_roles", (address, 1))).code == "no_key"
    assert chain.run("Op", ("members", "suspend", (address,))).code == ""
    assert call(chain, address, "note", 1, b"").code == "not_active"
    assert chain.run("Op", ("members", "reinstate", (address,))).code == ""
    assert call(chain, address, "note", 1, b"").code == ""


@pytest.mark.parametrize("raw", [b"\x00", b"\x90", b"\xff" * 100, bytes(range(256)) * 20])
def test_code_of_any_bytes_is_refused(chain: Chain, raw: bytes) -> None:
    before = others(chain, without=("P1",))
    receipt = chain.run("P1", ("contracts", "deploy", ("c", raw, "", ())))
    assert receipt.code in ("invalid_code", "invalid_encoding", "malformed")
    assert others(chain, without=("P1",)) == before


def test_every_flipped_byte_of_code_is_refused_or_runs_within_its_gas(chain: Chain) -> None:
    raw = made(NOTES).raw
    for place in range(0, len(raw), 7):
        flipped = raw[:place] + bytes([raw[place] ^ 0x41]) + raw[place + 1 :]
        name = f"f{place}"
        receipt = chain.run("P2", ("contracts", "deploy", (name, flipped, "", ())))
        if not receipt.code:
            address = receipt.values[0]
            assert isinstance(address, bytes)
            for function in ("note", "spin", "read"):
                call(chain, address, function, 1, b"x", by="P2", gas_limit=60_000)
    check_books(chain)


def test_a_receipt_stays_readable_whatever_a_contract_tells() -> None:
    chain = chain_with()
    loud = """
Told = event(what=bytes)

@export
def tell(data: bytes, times: int):
    for _ in range(times):
        emit(Told(data))
"""
    address, _ = deploy(chain, loud)
    data = b"x" * 4_000
    receipt = call(chain, address, "tell", data, 90, gas_limit=2_000_000)
    assert receipt.code == "" and decode_receipt(receipt.encode()) == receipt
    assert call(chain, address, "tell", data, 110, gas_limit=4_000_000).code == "too_many_events"


@pytest.mark.parametrize(
    ("name", "arguments", "calls"),
    [("many", (), 12), ("long", (), 64), ("letters", ("\U0001f600" * 1_000, 300), 1)],
)
def test_results_and_wide_letters_leave_a_receipt_readable(
    name: str, arguments: tuple, calls: int
) -> None:
    chain = chain_with()
    loud = """
Told = event(what=str)

@export
def many() -> list[list[int]]:
    return [[0] * 1000] * 8

@export
def long() -> bytes:
    return b"x" * 8000

@export
def letters(what: str, times: int):
    for _ in range(times):
        emit(Told(what))
"""
    address, _ = deploy(chain, loud)
    one = ("contracts", "call", (address, name, arguments, 0, 0))
    few = chain.run("P1", one) if calls > 1 else call(chain, address, name, *arguments[:1], 3)
    assert few.code == "" and decode_receipt(few.encode()) == few
    receipt = chain.run("P1", *[one] * calls, gas_limit=2_000_000, max_fee_micro=2_000_000)
    assert decode_receipt(receipt.encode()) == receipt
    assert receipt.code == "too_many_events"


def test_every_key_that_can_be_stored_can_be_proved() -> None:
    chain = chain_with()
    keyed = """
data: map[bytes, int]

@export
def put(key: bytes):
    self.data[key] = 1
"""
    address, _ = deploy(chain, keyed)
    longest = 0
    for size in range(200, 300):
        if not call(chain, address, "put", b"k" * size).code:
            longest = size
    keys = [key for key in chain.entries if key[:22] == b"xd" + address]
    assert max(map(len, keys)) <= MAX_KEY_BYTES
    assert longest > 200


def test_money_given_to_itself_is_not_made() -> None:
    chain = chain_with()
    address, _ = deploy(chain, NOTES)
    call(chain, address, "take", 1_000, money=1_000)
    assert call(chain, address, "give", address, 1_000).code == ""
    assert call(chain, address, "give", address, 1_001).code == "insufficient_money"
    check_books(chain)


def test_genesis_of_before_has_the_root_of_before() -> None:
    assert b"contracts" not in genesis_bytes()
    found = chain_with({})
    assert all(key[:1] != b"x" for key in found.entries)
    assert read_account(found.state, id_of("P1")) is not None

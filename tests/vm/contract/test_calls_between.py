"""Contracts that call one another: copies, re-entrancy, depth, and what a failure undoes."""

from __future__ import annotations

from tests.ledger.support import id_of
from tests.vm.contract.deployed import call, chain_with, check_books, deploy, others

STORE = """
value: int
callers: list[address]

@export
def put(n: int) -> int:
    require(n >= 0, "not negative")
    self.value = n
    self.callers = self.callers + [caller()]
    return n + 1

@export(roles=["prosumer"])
def for_members():
    self.value = 77

@view
def get() -> int:
    return self.value
"""
USER = """
import bank
Store = interface(put=export(int, returns=int), get=view(returns=int), for_members=export())
Back = interface(enter=export(address), enter_allowed=export(address))

count: int

@export
def use(where: address, n: int) -> int:
    self.count += 1
    return Store(where).put(n)

@export
def use_then_fail(where: address):
    Store(where).put(5)
    fail("after all")

@export
def pretend(where: address):
    Store(where).for_members()

@export
def as_view(where: address) -> int:
    return Store(where).get()

@export
def enter(where: address):
    self.count += 1
    Back(where).enter(this())

@export(reentrant=True)
def enter_allowed(where: address):
    self.count += 1
    if self.count < 6:
        Back(where).enter_allowed(this())

@export
def deep(where: address):
    Back(where).enter_allowed(where)
"""


def test_the_caller_is_the_contract_and_results_come_back() -> None:
    chain = chain_with()
    store, _ = deploy(chain, STORE, name="store")
    user, _ = deploy(chain, USER, name="user")
    assert call(chain, user, "use", store, 41).values == (42,)
    assert call(chain, user, "as_view", store).values == (41,)
    assert chain.entries[b"xd" + store + b"\x01"].find(user) > 0
    check_books(chain)


def test_a_failure_anywhere_undoes_everything() -> None:
    chain = chain_with()
    store, _ = deploy(chain, STORE, name="store")
    user, _ = deploy(chain, USER, name="user")
    for function, arguments, code in (
        ("use_then_fail", (store,), "requirement_failed"),
        ("use", (store, -1), "requirement_failed"),
        ("use", (id_of("P1"), 1), "unknown_contract"),
        ("use", (b"\0" * 20, 1), "unknown_contract"),
        ("use", (user, 1), "reentered"),
        ("pretend", (store,), "wrong_role"),
    ):
        before = others(chain, without=("P1",))
        assert call(chain, user, function, *arguments).code == code, function
        assert others(chain, without=("P1",)) == before


def test_entering_again_takes_a_function_that_allows_it() -> None:
    chain = chain_with()
    first, _ = deploy(chain, USER, name="first")
    second, _ = deploy(chain, USER, name="second")
    assert call(chain, first, "enter", second).code == "reentered"
    assert call(chain, first, "enter_allowed", second).code == ""


def test_calls_nest_only_so_deep() -> None:
    chain = chain_with()
    first, _ = deploy(chain, USER.replace("self.count < 6", "True"), name="first")
    second, _ = deploy(chain, USER.replace("self.count < 6", "True"), name="second")
    before = others(chain, without=("P1",))
    assert call(chain, first, "enter_allowed", second).code == "too_deep"
    assert others(chain, without=("P1",)) == before

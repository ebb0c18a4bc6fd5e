"""Operators agree on the record: who counts, for how long, and what a late word does (nothing)."""

import pytest

from tests.ledger.support import ROLES, Chain, id_of, key_of
from vm.primitives.codec import unpack
from vm.system import approvals
from vm.system.accounts import ACTIVE, SUSPENDED

OPERATOR, DSO = 1 << ROLES.index("operator"), 1 << ROLES.index("dso")
MINT = ("accounts", "mint", (id_of("P1"), 5))
SUSPEND = ("members", "suspend", (id_of("P1"),))
SET_BUS = ("members", "set_bus", (id_of("P1"), "b"))


def council(*more: str) -> Chain:
    """Return a chain with the operators Op, Op2 and `more`, of whom two must agree."""
    chain = Chain(parameters={"operator_threshold": 2})
    for name in more:
        agree(chain, ("members", "admit", (key_of(name), name, OPERATOR, "", b"", b"", b"")))
    return chain


def agree(chain: Chain, call: tuple, *names: str) -> None:
    """Have two operators carry `call` out."""
    assert [ask(chain, name, call) for name in names or ("Op", "Op2")][-1] is not False


def ask(chain: Chain, name: str, call: tuple) -> object:
    """Return what `call` by `name` returned."""
    receipt = chain.run(name, call)
    assert receipt.code == "", receipt
    return receipt.values[0]


def minted(chain: Chain) -> int:
    """Return how much P1 got since genesis."""
    return chain.account("P1").money_micro - 1_000_000_000


def leaves(chain: Chain) -> list[tuple]:
    """Return what the state holds of approvals."""
    return [unpack(chain.entries[key]) for key in sorted(chain.entries) if key[:1] == b"g"]


def test_two_operators_must_agree_where_the_threshold_is_two() -> None:
    chain = council()
    first = chain.run("Op", SUSPEND)
    assert (first.code, first.values) == ("", (False,))
    assert first.events == (("members", "approval", ("members.suspend", 1, 2)),)
    assert chain.run("Op", SUSPEND).values == (False,), "one operator counts once"
    assert chain.run("Op", SUSPEND, SUSPEND).values == (False, False)
    assert chain.account("P1").status == ACTIVE
    other = ("members", "suspend", (id_of("P2"),))
    assert ask(chain, "Op2", other) is False, "another action"
    assert chain.account("P1").status == ACTIVE
    second = chain.run("Op2", SUSPEND)
    assert (second.code, second.values) == ("", (True,))
    assert chain.account("P1").status == SUSPENDED
    assert ask(chain, "Op", other) is True


def test_a_threshold_guards_money_too() -> None:
    chain = council()
    assert ask(chain, "Op", MINT) is False
    assert minted(chain) == 0
    assert ask(chain, "Op2", ("accounts", "mint", (id_of("P1"), 6))) is False
    assert ask(chain, "Op2", MINT) is True
    assert minted(chain) == 5
    assert ask(chain, "Op2", MINT) is False, "an agreement is used up"
    assert ask(chain, "Op2", MINT) is False
    assert minted(chain) == 5
    assert ask(chain, "Op", MINT) is True, "both asked for a second time"
    assert minted(chain) == 10


def test_a_late_approval_is_a_word_on_what_is_done() -> None:
    chain = council("Op3")
    agree(chain, MINT)
    late = chain.run("Op3", MINT)
    assert late.values == (False,)
    assert late.events == (("accounts", "approval", ("accounts.mint", 2, 2)),)
    assert ask(chain, "Op", MINT) is False, "nobody's word lies there for the next"
    assert minted(chain) == 5
    assert ask(chain, "Op3", MINT) is True, "this one is for the second round"
    assert minted(chain) == 10


def test_who_is_late_for_several_rounds_is_late_for_each() -> None:
    chain = council("Op3")
    for _ in range(3):
        agree(chain, MINT)
    for _ in range(3):
        assert ask(chain, "Op3", MINT) is False
    assert ask(chain, "Op", MINT) is False
    assert minted(chain) == 15
    assert ask(chain, "Op3", MINT) is True
    assert minted(chain) == 20


def test_a_late_approval_that_comes_in_the_next_round_is_still_late() -> None:
    chain = council("Op3")
    agree(chain, MINT)
    assert ask(chain, "Op", MINT) is False
    assert ask(chain, "Op3", MINT) is False
    assert minted(chain) == 5


@pytest.mark.parametrize(
    "change",
    [
        ("members", "suspend", (id_of("Op3"),)),
        ("members", "remove", (id_of("Op3"),)),
        ("members", "set_roles", (id_of("Op3"), 0)),
        ("members", "set_roles", (id_of("Op3"), DSO)),
    ],
)
def test_who_left_or_lost_the_role_does_not_count(change: tuple) -> None:
    chain = council("Op3")
    assert ask(chain, "Op3", MINT) is False
    agree(chain, change)
    receipt = chain.run("Op", MINT)
    assert receipt.values == (False,)
    assert receipt.events[0][2] == ("accounts.mint", 1, 2)
    assert minted(chain) == 0
    assert ask(chain, "Op2", MINT) is True


def test_who_comes_back_counts_again() -> None:
    chain = council("Op3")
    assert ask(chain, "Op3", MINT) is False
    agree(chain, ("members", "suspend", (id_of("Op3"),)))
    agree(chain, ("members", "reinstate", (id_of("Op3"),)))
    assert ask(chain, "Op", MINT) is True


def test_a_word_given_anew_with_another_role_counts() -> None:
    chain = council("Op3")
    assert ask(chain, "Op3", SET_BUS) is False
    agree(chain, ("members", "set_roles", (id_of("Op3"), DSO)))
    assert ask(chain, "Op3", SET_BUS) is False
    assert ask(chain, "Op", SET_BUS) is True


def test_approvals_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "APPROVAL_BLOCKS", 3)
    chain = council("Op3")
    assert ask(chain, "Op", MINT) is False
    began = chain.height - 1
    assert ask(chain, "Op", MINT) is False, "asking again does not prolong it"
    assert [leaf[0] for leaf in leaves(chain) if not leaf[1]] == [began]
    for _ in range(2):
        chain.grow()
    assert chain.height == began + 4
    assert ask(chain, "Op2", MINT) is False
    assert minted(chain) == 0
    for _ in range(2):
        chain.grow()
    assert chain.height == began + 4 + 3
    assert ask(chain, "Op", MINT) is True, "to the last block"
    assert minted(chain) == 5
    for _ in range(3):
        chain.grow()
    assert ask(chain, "Op3", MINT) is False, "what was done is forgotten: this begins anew"
    assert ask(chain, "Op", MINT) is True


def test_lapsed_approvals_leave_the_state_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "APPROVAL_BLOCKS", 3)
    chain = council("Op3")
    before = {key for key in chain.entries if key[:1] in b"gq"}
    assert ask(chain, "Op", MINT) is False
    began = chain.parent.header.height

    def grow_by_heartbeats(count: int) -> None:
        for _ in range(count):
            chain.grow(time_ms=chain.parent.header.time_ms + 60_000)

    grow_by_heartbeats(2)
    assert ask(chain, "Op2", MINT) is True, "the round that began is the last word"
    done = chain.parent.header.height
    grow_by_heartbeats(3)
    assert chain.parent.header.height == done + 3
    own = {key for key in chain.entries if key[:1] in b"gq"} - before
    assert [key[:1] for key in sorted(own)] == [b"g", b"q"], "still remembered, once in the queue"
    grow_by_heartbeats(5)
    assert {key for key in chain.entries if key[:1] in b"gq"} <= before
    assert ask(chain, "Op3", MINT) is False, "this begins anew"
    assert began < done


def test_the_height_is_that_of_the_open_round_or_of_the_last_end() -> None:
    chain = council()
    assert ask(chain, "Op", MINT) is False
    chain.grow()
    assert ask(chain, "Op2", MINT) is True
    assert [leaf[0] for leaf in leaves(chain)] == [chain.height - 1], "where the round ended"
    chain.grow()
    assert ask(chain, "Op2", MINT) is False
    assert [leaf[0] for leaf in leaves(chain)] == [chain.height - 1], "where the next began"
    chain.run("Op", ("members", "suspend", (id_of("P2"),)))
    assert ask(chain, "Op2", MINT) is False
    assert min(leaf[0] for leaf in leaves(chain)) == chain.height - 3, "not where one asked again"


def test_a_leaf_has_one_entry_for_each_who_still_counts() -> None:
    chain = council("Op3")
    for _ in range(2):
        agree(chain, MINT)
    for _ in range(5):
        ask(chain, "Op3", MINT)
    agree(chain, ("members", "remove", (id_of("Op3"),)))
    ask(chain, "Op", MINT)
    (leaf,) = [leaf for leaf in leaves(chain) if leaf[1] == 2]
    assert sorted(leaf[2]) == sorted([(id_of("Op"), OPERATOR, 3), (id_of("Op2"), OPERATOR, 2)])

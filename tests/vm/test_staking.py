"""Stake: who may validate by it, what it earns, and how it leaves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import ROLES, Chain, MemoryState, genesis_document, id_of, key_of
from tests.vectors.chain_inputs import double_vote
from tests.vm.stakes import (
    BASE,
    STAKES,
    TOKEN,
    UNBONDING_MS,
    check_books,
    events,
    powers,
    stake,
    staked,
)
from vm.context import BlockContext, CallContext
from vm.overlay import Overlay
from vm.primitives.errors import InvalidGenesis
from vm.system.incentives import IncentivesModule
from vm.system.stake_moves import MAX_UNBONDINGS
from vm.system.stake_pool import (
    DELEGATION_SPACE,
    SCALE_BITS,
    read_pool,
)
from vm.system.staking import StakingModule
from vm.system.staking_account import STAKING_ACCOUNT, read_pot
from vm.system.staking_terms import parse_terms
from vm.system.validators import read_validators

# --- the set ---------------------------------------------------------------------------------


def test_power_follows_stake_from_the_next_height_on() -> None:
    chain = staked()
    assert powers(chain) == dict.fromkeys(STAKES, 100)
    assert chain.account("P1").money_micro == 1_000 * TOKEN  # stakes are beside the balances
    built = chain.grow(chain.transaction("P1", stake("delegate", id_of("V2"), 50 * TOKEN)))
    found = built.candidate
    assert powers(chain) == {"V1": 100, "V2": 150, "V3": 100, "V4": 100}
    assert found.header.next_validators != found.header.validators
    ((account, power, key, height),) = events(found.executed.receipts, "validator")
    assert (account, power, key) == (id_of("V2"), 150, key_of("V2", "vote"))
    assert height == found.header.height + 1
    check_books(chain)


def test_less_than_the_least_stake_validates_nothing() -> None:
    chain = staked(min_stake="60")
    assert chain.run("V3", stake("unbond", id_of("V3"), 41 * TOKEN)).code == ""
    assert powers(chain) == {"V1": 100, "V2": 100, "V4": 100}
    chain.run("P1", stake("delegate", id_of("V3"), TOKEN))
    assert powers(chain)["V3"] == 60
    check_books(chain)


def test_only_the_strongest_validate() -> None:
    chain = staked(max_validators=3, stakes={**STAKES, "V4": "99"})
    assert powers(chain) == {"V1": 100, "V2": 100, "V3": 100}
    chain.run("P1", stake("delegate", id_of("V4"), 2 * TOKEN))
    while powers(chain).get("V4") is None or len(powers(chain)) > 3:
        chain.grow()
    assert "V4" in powers(chain) and len(powers(chain)) == 3
    check_books(chain)


def test_a_block_changes_a_third_of_the_power_at_most() -> None:
    chain = staked(stakes={**STAKES, "V1": "50"})
    sent = [
        chain.transaction(name, stake("unbond", id_of(name), 100 * TOKEN)) for name in ("V2", "V3")
    ]
    chain.grow(*sent)
    assert len(powers(chain)) == 3
    assert any(key[:1] == b"q" for key in chain.entries)  # a reason for the next block
    chain.grow()
    assert powers(chain) == {"V1": 50, "V4": 100}
    check_books(chain)


def test_the_set_is_never_empty() -> None:
    chain = staked(stakes={"V1": "10"})
    chain.run("V1", stake("unbond", id_of("V1"), 10 * TOKEN))
    assert powers(chain) == {"V1": 10}
    chain.run("Op", ("accounts", "mint", (id_of("V2"), 30 * TOKEN)))
    assert chain.run("V2", stake("bond", 30 * TOKEN)).code == ""
    chain.grow()
    assert powers(chain) == {"V2": 30}
    check_books(chain)


@pytest.mark.parametrize("change", ["suspend", "remove"])
def test_who_is_no_active_member_validates_nothing(change: str) -> None:
    chain = staked()
    chain.run("Op", ("members", change, (id_of("V4"),)))
    assert set(powers(chain)) == {"V1", "V2", "V3"}
    if change == "suspend":
        chain.run("Op", ("members", "reinstate", (id_of("V4"),)))
        assert powers(chain)["V4"] == 100
    check_books(chain)


def test_a_vote_key_rotates_with_its_power() -> None:
    chain = staked()
    new = key_of("V2", "second vote")
    assert chain.run("V2", ("members", "set_vote_key", (new,))).code == ""
    (found,) = [one for one in read_validators(chain.state) if one.account == id_of("V2")]
    assert (found.vote_key, found.power) == (new, 100)
    taken = ("members", "set_vote_key", (key_of("V1", "vote"),))
    assert chain.run("V3", taken).code == "key_taken"


@pytest.mark.parametrize(
    ("who", "call", "code"),
    [
        ("P1", stake("bond", TOKEN), "wrong_role"),
        ("P1", stake("delegate", id_of("P2"), TOKEN), "unknown_validator"),
        ("P1", stake("delegate", id_of("V1"), 1_001 * TOKEN), "insufficient_money"),
        ("P1", stake("delegate", id_of("V1"), 0), "invalid_arguments"),
        ("P1", stake("unbond", id_of("V1"), 1), "no_stake"),
        ("P1", stake("withdraw", id_of("V1")), "no_stake"),
        ("V1", stake("withdraw", id_of("V1")), "no_rewards"),
        ("V1", stake("unbond", id_of("V1"), 101 * TOKEN), "insufficient_stake"),
        ("V1", stake("set_commission", 101), "invalid_arguments"),
        ("P1", ("accounts", "transfer", (STAKING_ACCOUNT, 1, "")), "not_active"),
    ],
)
def test_what_cannot_be_done_changes_nothing(who: str, call: tuple, code: str) -> None:
    chain = staked()
    before = dict(chain.entries)
    assert chain.run(who, call).code == code
    changed = {key for key in chain.entries if chain.entries[key] != before.get(key)}
    assert changed == {b"a" + id_of(who)}


def test_nothing_is_staked_under_poa() -> None:
    chain = Chain(StakingModule(ROLES), IncentivesModule())
    assert chain.run("P1", stake("delegate", id_of("V1"), 1)).code == "no_staking"
    assert not [key for key in chain.entries if key[:1] == b"b"]


# --- leaving ---------------------------------------------------------------------------------


def test_stake_leaves_after_its_period_and_not_before() -> None:
    chain = staked()
    chain.run("P1", stake("delegate", id_of("V1"), 10 * TOKEN))
    left = chain.run("P1", stake("unbond", id_of("V1"), 4 * TOKEN))
    assert events((left,), "unbond")[0][2] == 4 * TOKEN
    assert chain.account("P1").money_micro == 990 * TOKEN
    asked_ms = chain.parent.header.time_ms
    for _ in range(8):
        chain.grow(time_ms=chain.parent.header.time_ms + 1)
    chain.grow(time_ms=asked_ms + UNBONDING_MS - 1)
    assert chain.account("P1").money_micro == 990 * TOKEN
    built = chain.grow(time_ms=asked_ms + UNBONDING_MS)
    assert events(built.candidate.executed.receipts, "unbonded") == [
        (id_of("P1"), id_of("V1"), 4 * TOKEN, 0)
    ]
    assert chain.account("P1").money_micro == 994 * TOKEN
    check_books(chain)


def test_stake_whose_time_is_over_waits_until_evidence_of_its_votes_expires() -> None:
    chain = staked()
    chain.run("V1", stake("unbond", id_of("V1"), 40 * TOKEN))
    left_at = chain.parent.header.height
    chain.grow(time_ms=chain.parent.header.time_ms + UNBONDING_MS)
    fault = double_vote(chain, left_at)
    while chain.height < left_at + 8:
        chain.grow(time_ms=chain.parent.header.time_ms + UNBONDING_MS)
        assert chain.account("V1").money_micro == 0
    # In the last block that may hold the evidence it is judged first.
    later = chain.parent.header.time_ms + 8 * 60_000
    built = chain.grow(evidence=[fault], time_ms=later)
    assert events(built.candidate.executed.receipts, "unbonded") == [
        (id_of("V1"), id_of("V1"), 38 * TOKEN, 2 * TOKEN)
    ]
    check_books(chain)


def test_unbonding_shorter_than_evidence_lives_is_refused() -> None:
    with pytest.raises(InvalidGenesis, match="'unbonding_minutes' of at least 417"):
        staked(parameters={"evidence_max_age_blocks": 100_000})
    staked(parameters={"evidence_max_age_blocks": 100_000}, unbonding_minutes=417)


def test_unbondings_that_wait_are_bounded() -> None:
    chain = staked()
    for _ in range(MAX_UNBONDINGS):
        assert chain.run("V1", stake("unbond", id_of("V1"), 1)).code == ""
    assert chain.run("V1", stake("unbond", id_of("V1"), 1)).code == "too_many_unbondings"
    chain.grow(time_ms=chain.parent.header.time_ms + UNBONDING_MS)
    assert chain.run("V1", stake("unbond", id_of("V1"), 1)).code == ""
    check_books(chain)


# --- rewards ---------------------------------------------------------------------------------


def test_rewards_go_by_power_commission_and_shares_to_the_last_micro_token() -> None:
    chain = staked(block_reward="7", stakes={**STAKES, "V2": "300"})
    chain.run("V2", stake("set_commission", 10))
    chain.run("P1", stake("delegate", id_of("V2"), 100 * TOKEN))
    for _ in range(50):
        chain.grow()
    check_books(chain)
    paid = {}
    for name, validator in (("V1", "V1"), ("V2", "V2"), ("P1", "V2")):
        paid[name] = chain.run(name, stake("withdraw", id_of(validator))).values[0]
        check_books(chain)
    # Some 52 blocks of 7 tokens: V2's pool has 400 of 700, and P1 a quarter of that less 10 %.
    assert abs(paid["P1"] - 50 * 7 * TOKEN * 400 // 700 // 4 * 9 // 10) < 3 * TOKEN
    assert abs(paid["V1"] - 52 * 7 * TOKEN * 100 // 690) < 3 * TOKEN
    assert chain.run("P1", stake("withdraw", id_of("V2"))).code == ""


def test_fees_are_shared_where_genesis_says_so() -> None:
    for share, field in ((True, "V2"), (False, "V1")):
        chain = staked(share_fees=share, parameters={"gas_price_micro": 1_000})
        paid = chain.transaction("P1", gas_limit=5_000, max_fee_micro=5_000_000)
        fee = chain.grow(paid).receipts[0].fee_micro
        chain.grow()
        check_books(chain)
        if share:
            pot, pool = read_pot(chain.state), read_pool(chain.state, id_of(field))
            assert pool is not None and pool.power * pot.per_power >> SCALE_BITS == fee // 4
            assert chain.account("V1").money_micro == 0
        else:
            assert chain.account("V1").money_micro == fee  # V1 proposes all blocks here


def test_the_cost_of_a_block_does_not_grow_with_delegators() -> None:
    chain = staked(block_reward="1")
    writes = []
    for round_ in range(2):
        built = chain.build()
        writes.append(len(built.candidate.executed.state.overlay.changes))
        if not round_:
            for name in ("P1", "P2", "Op"):
                chain.run("P1", ("accounts", "transfer", (id_of(name), TOKEN, "")))
                chain.run(name, stake("delegate", id_of("V1"), TOKEN))
    assert writes[0] == writes[1] <= 3


def test_the_last_rewards_are_paid_when_a_delegation_ends() -> None:
    chain = staked(block_reward="9")
    chain.run("P1", stake("delegate", id_of("V1"), 100 * TOKEN))
    chain.grow()
    chain.grow()
    receipt = chain.run("P1", stake("unbond", id_of("V1"), 100 * TOKEN))
    assert events((receipt,), "withdraw")[0][2] > 0
    assert DELEGATION_SPACE + id_of("V1") + id_of("P1") not in chain.entries
    check_books(chain)


# --- genesis ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "section",
    [
        {"token": "gold"},
        {"token": "money"},
        {"token": "money", "stakes": {"nobody": "1"}},
        {"token": "money", "stakes": {"P1": "100"}},
        {"token": "money", "stakes": {"V1": "0.5"}},
        {"token": "money", "stakes": {"V1": 5}},
        {"token": "money", "stakes": {"V1": "0"}},
        {"stakes": {"V1": "100"}},
        {"block_reward": "1"},
        {"token": "money", "stakes": {"V1": "9"}, "min_stake": "0.9"},
        {"token": "money", "stakes": {"V1": "9"}, "slash_percent": 101},
        {"token": "money", "stakes": {"V1": "9"}, "max_validators": 0},
        {"token": "money", "stakes": {"V1": "9"}, "expel": 1},
        {"token": "money", "stakes": {"V1": "9"}, "other": 1},
    ],
)
def test_sections_that_contradict_themselves_are_refused(section: dict) -> None:
    with pytest.raises(InvalidGenesis):
        Chain(
            StakingModule(ROLES),
            IncentivesModule(),
            engine={"name": "pos", "parameters": {}},
            modules={"staking": section},
        )


def test_the_engine_pos_needs_stakes() -> None:
    with pytest.raises(InvalidGenesis, match="stake"):
        Chain(StakingModule(ROLES), engine={"name": "pos", "parameters": {}})
    assert "staking" not in genesis_document()["modules"]  # type: ignore[operator]


def test_terms_come_back_from_their_leaf() -> None:
    terms, _ = parse_terms({**BASE, "fine": "2", "block_reward": "0.1"})
    chain = staked(fine="2", block_reward="0.1")
    assert chain.entries[b"bc"] == terms.encode()


def test_the_indices_can_be_rebuilt_from_the_leaves() -> None:
    chain = staked()
    chain.run("P1", stake("delegate", id_of("V1"), 3 * TOKEN))
    chain.run("P1", stake("unbond", id_of("V1"), TOKEN))
    known = {k: v for k, v in chain.entries.items() if k[:2] == b"ib"}
    assert len(known) == 4 + 5 + 1 + 1
    leaves = {k: v for k, v in chain.entries.items() if k[:1] != b"i"}
    overlay = Overlay(MemoryState(leaves))
    context = BlockContext(chain.genesis.digest, 1, 1, chain.genesis.parameters)
    ctx = CallContext(context, overlay, 10**9)
    for key, value in leaves.items():
        StakingModule(ROLES).rebuild_index(ctx, key, value)
    assert overlay.changes == known


# --- whatever happens --------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(
        st.sampled_from(["delegate", "unbond", "bond"]),
        st.sampled_from(["P1", "P2", "V1", "V2"]),
        st.sampled_from(["V1", "V2", "V3"]),
        st.integers(1, 120 * TOKEN),
    ),
    st.tuples(st.just("withdraw"), st.sampled_from(["P1", "V1", "V2"]), st.just("V1"), st.just(0)),
    st.tuples(st.just("commission"), st.just("V1"), st.just("V1"), st.integers(0, 100)),
    st.tuples(st.just("fault"), st.sampled_from(["V1", "V2"]), st.just("V1"), st.integers(0, 9)),
    st.tuples(st.just("wait"), st.just("V1"), st.just("V1"), st.integers(1, 90_000)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEP, min_size=3, max_size=14), st.sampled_from(["0", "1.000001", "0.333333"]))
def test_the_books_hold_whatever_happens(steps: list[tuple], reward: str) -> None:
    chain = staked(block_reward=reward, parameters={"gas_price_micro": 3}, share_fees=True)
    for name in ("V1", "V2"):
        gift = ("accounts", "transfer", (id_of(name), 100 * TOKEN, ""))
        sent = chain.transaction("P1", gift, gas_limit=100_000, max_fee_micro=300_000)
        assert chain.grow(sent).codes[0] == ""
    for what, who, validator, number in steps:
        if what == "wait":
            chain.grow(time_ms=chain.parent.header.time_ms + number)
        elif what == "fault":
            places = [one.account for one in read_validators(chain.state)]
            fits = id_of(who) in places and chain.parent.header.height
            fault = 1 + number % max(chain.parent.header.height, 1)
            chain.grow(evidence=[double_vote(chain, fault, name=who)] if fits else [])
        else:
            call = {
                "delegate": stake("delegate", id_of(validator), number),
                "unbond": stake("unbond", id_of(validator), number),
                "bond": stake("bond", number),
                "withdraw": stake("withdraw", id_of(validator)),
                "commission": stake("set_commission", number),
            }[what]
            if chain.account(who).money_micro >= 300_000:
                sent = chain.transaction(who, call, gas_limit=100_000, max_fee_micro=300_000)
                chain.grow(sent)
            else:
                chain.grow()
        check_books(chain)

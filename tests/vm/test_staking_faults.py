"""Faults: what a proved contradiction costs, with stakes and without."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus.messages import Evidence, EvidenceKind, Vote, VoteKind
from node.ledger.certificate import encode_evidence
from tests.ledger.support import ROLES, Chain, id_of, key_of
from tests.vectors.chain_inputs import double_vote
from tests.vm.stakes import (
    TOKEN,
    UNBONDING_MS,
    check_books,
    events,
    powers,
    stake,
    staked,
)
from vm.system.fresh_stake import MAX_OWN_NOTES
from vm.system.governance import GovernanceModule
from vm.system.incentives import read_points, read_points_total
from vm.system.stake_pool import decode_delegation, delegation_key, read_pool
from vm.system.staking import StakingModule
from vm.system.validators import read_validators
from vm.system.voters import VOTERS_KEY


def test_a_contradiction_costs_validator_delegators_and_stake_on_its_way_out() -> None:
    chain = staked()
    chain.run("P1", stake("delegate", id_of("V1"), 100 * TOKEN))
    chain.run("P2", stake("delegate", id_of("V1"), 40 * TOKEN))
    chain.run("P2", stake("unbond", id_of("V1"), 20 * TOKEN))  # at height 3: before the fault
    chain.grow()
    fault = chain.parent.header.height
    chain.run("P2", stake("unbond", id_of("V1"), 20 * TOKEN))  # after it
    asked_ms = chain.parent.header.time_ms
    built = chain.grow(evidence=[double_vote(chain, fault)])
    receipts = built.candidate.executed.receipts
    assert events(receipts, "slash") == [(id_of("V1"), fault, 10 * TOKEN)]
    assert "V1" not in powers(chain)
    pool = read_pool(chain.state, id_of("V1"))
    assert pool is not None and pool.stake_micro == 190 * TOKEN
    check_books(chain)
    chain.grow(time_ms=asked_ms + UNBONDING_MS)
    assert chain.account("P2").money_micro == 500_500_000 - TOKEN
    check_books(chain)
    # What is taken back after the slash was slashed with the pool, and not again.
    chain.run("P1", stake("unbond", id_of("V1"), 95 * TOKEN))
    chain.grow(time_ms=chain.parent.header.time_ms + UNBONDING_MS)
    assert chain.account("P1").money_micro == 995 * TOKEN
    check_books(chain)


def test_who_came_after_the_fault_does_not_pay_for_it() -> None:
    chain = staked()
    chain.run("P1", stake("delegate", id_of("V1"), 100 * TOKEN))
    chain.grow()
    fault = chain.parent.header.height
    chain.run("P2", stake("delegate", id_of("V1"), 60 * TOKEN))
    chain.run("P1", stake("delegate", id_of("V1"), 30 * TOKEN))
    chain.run("P2", stake("unbond", id_of("V1"), 20 * TOKEN))
    left_ms = chain.parent.header.time_ms
    built = chain.grow(evidence=[double_vote(chain, fault)])
    slashed = events(built.candidate.executed.receipts, "slash")
    assert slashed == [(id_of("V1"), fault, 10 * TOKEN)], (
        "five of a hundred of the validator and P1"
    )
    check_books(chain)
    assert chain.run("P2", stake("unbond", id_of("V1"), 40 * TOKEN + 1)).code
    assert chain.run("P2", stake("unbond", id_of("V1"), 40 * TOKEN)).code == ""
    assert chain.run("P1", stake("unbond", id_of("V1"), 125 * TOKEN + 1)).code
    assert chain.run("P1", stake("unbond", id_of("V1"), 100 * TOKEN)).code == ""
    check_books(chain)
    assert chain.run("P1", stake("unbond", id_of("V1"), 25 * TOKEN)).code == ""
    check_books(chain)
    for wait_ms in (left_ms + UNBONDING_MS, chain.parent.header.time_ms + UNBONDING_MS):
        chain.grow(time_ms=wait_ms)
    assert chain.account("P2").money_micro == 500_500_000
    assert chain.account("P1").money_micro == 995 * TOKEN
    check_books(chain)


def test_what_leaves_is_what_came_first() -> None:
    chain = staked()
    chain.run("P1", stake("delegate", id_of("V1"), 10 * TOKEN))
    chain.grow()
    fault = chain.parent.header.height
    chain.run("P1", stake("delegate", id_of("V1"), 10 * TOKEN))
    chain.run("P1", stake("unbond", id_of("V1"), 15 * TOKEN))  # ten answer
    left_ms = chain.parent.header.time_ms
    chain.grow(evidence=[double_vote(chain, fault)])
    built = chain.grow(time_ms=left_ms + UNBONDING_MS)
    ((_, _, free_micro, cut_micro),) = events(built.candidate.executed.receipts, "unbonded")
    assert (free_micro, cut_micro) == (14_500_000, 500_000)
    assert chain.run("P1", stake("unbond", id_of("V1"), 5 * TOKEN)).code == ""
    check_books(chain)


def test_heights_of_fresh_stake_are_bounded_and_old_ones_go() -> None:
    chain = staked(parameters={"evidence_max_age_blocks": 100})
    for _ in range(MAX_OWN_NOTES + 3):
        chain.run("P1", stake("delegate", id_of("V1"), TOKEN))
    single = tuple((height, TOKEN) for height in range(1, MAX_OWN_NOTES))
    assert _notes(chain, "V1", "P1") == (*single, (MAX_OWN_NOTES, 4 * TOKEN))
    check_books(chain)
    for _ in range(100):
        chain.grow()
    chain.run("P1", stake("delegate", id_of("V1"), TOKEN))
    assert _notes(chain, "V1", "P1") == ((chain.parent.header.height, TOKEN),)
    check_books(chain)


def _notes(chain: Chain, validator: str, delegator: str) -> tuple[tuple[int, int], ...]:
    key = delegation_key(id_of(validator), id_of(delegator))
    return decode_delegation(chain.entries[key]).fresh


@pytest.mark.parametrize(("late", "burned"), [(0, 5), (1, 5), (2, 0)])
def test_stake_that_left_answers_while_its_votes_still_count(late: int, burned: int) -> None:
    chain = staked()
    everybody = read_validators(chain.state)
    chain.run("V3", stake("unbond", id_of("V3"), 10 * TOKEN))
    chain.grow()
    sent = [
        chain.transaction(name, stake("unbond", id_of(name), chain_stake * TOKEN))
        for name, chain_stake in (("V2", 100), ("V3", 90), ("V1", 100))
    ]
    chain.grow(*sent)
    asked_ms = chain.parent.header.time_ms
    left_at = chain.parent.header.height
    leaving = [name for name in ("V1", "V2", "V3") if name in powers(chain)]
    assert len(leaving) == 2  # the bound lets one go
    last = "V3"
    while last in powers(chain):
        chain.grow(time_ms=chain.parent.header.time_ms + 1)
    gone_at = chain.parent.header.height
    assert gone_at > left_at
    pool = read_pool(chain.state, id_of(last))
    assert pool is not None
    assert (pool.excess_from, pool.excess_until) == (left_at, gone_at)
    places = [one.account for one in everybody]
    chain.validators_at = lambda height: everybody  # type: ignore[method-assign]
    fault = left_at + late if late < 2 else gone_at + 1
    chain.grow(time_ms=chain.parent.header.time_ms + 1)
    chain.grow(time_ms=chain.parent.header.time_ms + 1)
    votes = [
        replace(bare, signature=chain.sign_message(bare, last))
        for bare in (
            Vote(VoteKind.PREVOTE, fault, 0, block * 32, places.index(id_of(last)))
            for block in (b"a", b"b")
        )
    ]
    piece = encode_evidence(Evidence(EvidenceKind.DOUBLE_PREVOTE, *votes))
    assert chain.grow(evidence=[piece]).candidate.body.evidence == (piece,)
    for _ in range(8):
        chain.grow(time_ms=chain.parent.header.time_ms + 1)
    built = chain.grow(time_ms=asked_ms + UNBONDING_MS)
    cuts = {
        (account, free // TOKEN): cut * 100 // (free + cut)
        for account, _, free, cut in events(built.candidate.executed.receipts, "unbonded")
        if account == id_of(last)
    }
    assert sorted(cuts.values()) == sorted([0, burned])
    check_books(chain)


def test_who_contradicted_itself_is_out_for_good_and_slashed_once() -> None:
    chain = staked(fine="1")
    chain.run("P1", ("accounts", "transfer", (id_of("V3"), 9 * TOKEN, "")))
    for _ in range(2):
        chain.grow()
    pieces = [double_vote(chain, height, name="V3") for height in (1, 2)]
    late = double_vote(chain, 3, name="V3")
    built = chain.grow(evidence=pieces)
    assert len(events(built.candidate.executed.receipts, "slash")) == 1
    assert len(events(built.candidate.executed.receipts, "equivocation")) == 2
    assert chain.account("V3").money_micro == 8 * TOKEN  # and fined once
    assert chain.build(evidence=[late]).candidate.body.evidence == ()  # nothing left to lose
    for who, call in (
        ("V3", stake("bond", TOKEN)),
        ("P1", stake("delegate", id_of("V3"), TOKEN)),
    ):
        assert chain.run(who, call).code in ("slashed", "insufficient_money")
    chain.run("Op", ("members", "suspend", (id_of("V3"),)))
    chain.run("Op", ("members", "reinstate", (id_of("V3"),)))
    assert "V3" not in powers(chain)
    check_books(chain)


@pytest.mark.parametrize("percent", [0, 100])
def test_nothing_or_everything_may_be_lost(percent: int) -> None:
    chain = staked(slash_percent=percent)
    chain.run("P1", stake("delegate", id_of("V2"), 10 * TOKEN))
    chain.grow()
    chain.grow(evidence=[double_vote(chain, 2, name="V2")])
    assert "V2" not in powers(chain)
    receipt = chain.run("P1", stake("unbond", id_of("V2"), 10 * TOKEN))
    assert receipt.code == ("insufficient_stake" if percent else "")
    check_books(chain)


def test_a_fault_of_all_leaves_the_set_as_it_is() -> None:
    chain = staked(stakes={"V1": "10", "V2": "10"})
    chain.grow()
    chain.grow(evidence=[double_vote(chain, 1, name=name) for name in ("V1", "V2")])
    for _ in range(3):
        chain.grow()
        assert powers(chain)
    check_books(chain)


def test_under_poa_a_fault_costs_what_genesis_says() -> None:
    section = {"expel": True, "fine": "0.5"}
    chain = Chain(StakingModule(ROLES), modules={"staking": section})
    chain.run("P1", ("accounts", "transfer", (id_of("V2"), 3 * TOKEN, "")))
    built = chain.grow(evidence=[double_vote(chain, 1, name="V2")])
    receipts = built.candidate.executed.receipts
    assert events(receipts, "burn") == [(id_of("V2"), TOKEN // 2)]
    assert events(receipts, "expel") == [(id_of("V2"),)]
    assert events(receipts, "validator") == [(id_of("V2"), 0, key_of("V2", "vote"), 3)]
    assert chain.account("V2").money_micro == 2_500_000
    assert id_of("V2") not in [one.account for one in read_validators(chain.state)]
    chain.grow()
    assert chain.build(evidence=[double_vote(chain, 2, name="V1")]).candidate.body.evidence
    # An operator may trust it again.
    role = 1 << ROLES.index("validator")
    assert chain.run("Op", ("members", "set_roles", (id_of("V2"), role))).code == ""
    assert id_of("V2") in [one.account for one in read_validators(chain.state)]


def test_who_is_expelled_counts_no_more_among_the_voters() -> None:
    staking = StakingModule(ROLES)
    chain = Chain(
        staking,
        GovernanceModule(ROLES, [staking]),
        modules={"staking": {"expel": True}, "governance": {"voters": {"validator": 1}}},
    )

    def voters() -> int:
        return int.from_bytes(chain.entries[VOTERS_KEY], "big")

    chain.grow()
    counted = voters()
    chain.grow(evidence=[double_vote(chain, 1, name="V2")])
    assert voters() == counted - 1
    role = 1 << ROLES.index("validator")
    assert chain.run("Op", ("members", "set_roles", (id_of("V2"), role))).code == ""
    assert voters() == counted


def test_two_of_four_are_expelled_one_block_after_the_other() -> None:
    chain = Chain(StakingModule(ROLES), modules={"staking": {"expel": True}})
    chain.grow()
    chain.grow(evidence=[double_vote(chain, 1, name=name) for name in ("V1", "V2", "V3", "V4")])
    counts = [len(read_validators(chain.state))]
    for _ in range(5):
        chain.grow()
        counts.append(len(read_validators(chain.state)))
    assert counts == [3, 2, 1, 1, 1, 1]  # and the last one stays
    assert not [key for key in chain.entries if key[:1] == b"q"]


# --- incentives ------------------------------------------------------------------------------


def test_points_earned_for_the_grid_are_the_stake() -> None:
    chain = staked(token="incentives", block_reward="1")
    assert read_points_total(chain.state) == 400 * TOKEN
    grant = ("incentives", "grant", (id_of("P1"), 30 * TOKEN))
    assert chain.run("P2", grant).code == "wrong_role"
    assert chain.run("Op", grant).code == ""
    assert chain.run("P1", stake("delegate", id_of("V1"), 31 * TOKEN)).code == "insufficient_points"
    assert chain.run("P1", stake("delegate", id_of("V1"), 30 * TOKEN)).code == ""
    assert powers(chain)["V1"] == 130 and read_points(chain.state, id_of("P1")) == 0
    assert chain.account("P1").money_micro == 1_000 * TOKEN
    chain.grow()
    chain.grow(evidence=[double_vote(chain, chain.parent.header.height)])
    assert read_points_total(chain.state) == 430 * TOKEN - 6_500_000
    chain.run("P1", stake("unbond", id_of("V1"), 28_500_000))
    chain.grow(time_ms=chain.parent.header.time_ms + UNBONDING_MS)
    assert read_points(chain.state, id_of("P1")) == 28_500_000
    assert chain.run("P1", ("accounts", "burn", (1,))).code == ""
    check_books(chain)

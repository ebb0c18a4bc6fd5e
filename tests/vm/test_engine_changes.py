"""A vote from one vote each to votes by stake, and back: what becomes of the set and the pools."""

from __future__ import annotations

from typing import Any

import pytest

from node.ledger.execution import read_parameters
from node.ledger.receipt import Receipt
from tests.ledger.support import ROLES, Chain, id_of
from tests.vectors.chain_inputs import double_vote
from tests.vm.stakes import BASE, SHORT, STAKES, TOKEN, check_books, events, powers, stake
from vm.system.governance import GovernanceModule
from vm.system.governance_records import STATUS_NAMES, read_engine, read_proposal
from vm.system.incentives import IncentivesModule
from vm.system.staking import StakingModule

PERIOD_MS = 3_500
EQUAL = dict.fromkeys(("V1", "V2", "V3", "V4"), 1)
VOTES = {"voters": {"operator": 1}, "voting_period_ms": PERIOD_MS, "notice_blocks": 3}


def chain_of(engine: str, **section: object) -> Chain:
    """Return a chain with something to stake, whose operators vote."""
    parts = [StakingModule(ROLES), IncentivesModule()]
    return Chain(
        *parts,
        GovernanceModule(ROLES, parts),
        engine={"name": engine, "parameters": {}},
        modules={"staking": {**BASE, **section}, "governance": VOTES},
        parameters=SHORT,
    )


def propose(chain: Chain, engine: str) -> Receipt:
    call = ("governance", "propose_engine", (engine, (), chain.height + 10, ""))
    return chain.run("Op", call)


def switch(chain: Chain, engine: str) -> tuple[Receipt, ...]:
    """Have the operators vote for an engine; return the receipts of the block before its height."""
    height = chain.height + 11
    number = propose(chain, engine).values[0]
    assert isinstance(number, int)
    for name in ("Op", "Op2"):
        chain.run(name, ("governance", "vote", (number, "yes")))
    while chain.height < height - 2:
        chain.grow()
    built = chain.grow()
    proposal = read_proposal(chain.state, number)
    assert proposal is not None and STATUS_NAMES[proposal.status] == "applied", proposal
    choice = read_engine(chain.state)
    assert choice is not None and choice.name == engine
    return built.candidate.executed.receipts


def test_stakes_weigh_from_the_height_on_and_not_before() -> None:
    chain = chain_of("poa", stakes={"V1": "300", "V2": "100"}, block_reward="4")
    assert powers(chain) == EQUAL
    assert chain.run("P1", ("accounts", "transfer", (id_of("V3"), 50 * TOKEN, ""))).code == ""
    assert chain.run("V3", stake("bond", 50 * TOKEN)).code == ""
    assert chain.run("P1", stake("delegate", id_of("V2"), 10 * TOKEN)).code == ""
    assert powers(chain) == EQUAL
    told = {values[0]: values[1:] for values in events(switch(chain, "pos"), "validator")}
    assert powers(chain) == {"V1": 300, "V2": 110, "V3": 50}
    first_height = chain.height
    assert {account: (power, at) for account, (power, _, at) in told.items()} == {
        id_of("V1"): (300, first_height),
        id_of("V2"): (110, first_height),
        id_of("V3"): (50, first_height),
        id_of("V4"): (0, first_height),
    }
    check_books(chain)
    chain.grow()
    assert chain.run("V1", stake("withdraw", id_of("V1"))).code == ""
    check_books(chain)


def test_back_to_one_vote_each_the_stakes_stay_and_answer() -> None:
    chain = chain_of("pos", stakes={"V1": "300", "V2": "100", "V3": "100"}, block_reward="4")
    assert powers(chain) == {"V1": 300, "V2": 100, "V3": 100}
    switch(chain, "poa")
    assert powers(chain) == {"V1": 1, "V2": 1, "V3": 1}
    assert chain.run("P1", ("accounts", "transfer", (id_of("V1"), 9 * TOKEN, ""))).code == ""
    money = chain.account("V1").money_micro
    assert chain.run("V1", stake("bond", 7 * TOKEN)).code == ""
    assert powers(chain) == {"V1": 1, "V2": 1, "V3": 1}
    assert chain.account("V1").money_micro == money - 7 * TOKEN
    assert chain.run("V1", stake("withdraw", id_of("V1"))).code == ""
    assert chain.run("V1", stake("withdraw", id_of("V1"))).code == "no_rewards"
    # An operator gives a seat as on any network with one vote each.
    roles = chain.account("V4").roles
    assert chain.run("Op", ("members", "set_roles", (id_of("V4"), roles))).code == ""
    assert powers(chain) == EQUAL
    # A fault still costs stake.
    chain.grow()
    chain.grow(evidence=[double_vote(chain, chain.height - 1, name="V2")])
    assert chain.run("P1", stake("delegate", id_of("V2"), TOKEN)).code == "slashed"
    switch(chain, "pos")
    assert powers(chain) == {"V1": 307, "V3": 100}
    check_books(chain)


def test_expulsion_follows_the_engine_in_force() -> None:
    chain = chain_of("poa", expel=True)
    chain.grow()
    chain.grow(evidence=[double_vote(chain, chain.height - 1, name="V2")])
    assert powers(chain) == {"V1": 1, "V3": 1, "V4": 1}


def test_fees_go_to_the_maker_while_each_has_one_vote() -> None:
    chain = Chain(
        StakingModule(ROLES),
        IncentivesModule(),
        engine={"name": "poa", "parameters": {}},
        modules={"staking": {**BASE, "share_fees": True, "block_reward": "3"}},
        parameters={**SHORT, "gas_price_micro": 1_000},
    )
    assert read_parameters(chain.state).gas_price_micro == 1_000
    before = {name: chain.account(name).money_micro for name in STAKES}
    paid = chain.transaction("P1", gas_limit=5_000, max_fee_micro=5_000_000)
    receipt = chain.grow(paid).receipts[0]
    gained = [chain.account(name).money_micro - before[name] for name in STAKES]
    assert sum(gained) == receipt.fee_micro > 0 and gained.count(0) == 3
    assert not events(chain.grow().candidate.executed.receipts, "mint")


@pytest.mark.parametrize(
    ("section", "engine", "code"),
    [
        ({"token": "none", "stakes": {}}, "pos", "no_stakes"),
        ({"stakes": {}}, "pos", "no_stakes"),
        ({"stakes": {"V1": "5"}, "min_stake": "50"}, "pos", "no_stakes"),
        ({}, "pow", "unknown_engine"),
    ],
)
def test_what_leads_nowhere_is_refused_when_it_is_proposed(
    section: dict[str, Any], engine: str, code: str
) -> None:
    chain = chain_of("poa", **section)
    refused = propose(chain, engine)
    assert refused.code == code and refused.values
    assert powers(chain) == EQUAL


def test_stakes_that_left_before_the_height_make_the_proposal_void() -> None:
    chain = chain_of("poa", stakes={"V1": "5"})
    number = propose(chain, "pos").values[0]
    assert isinstance(number, int)
    for name in ("Op", "Op2"):
        chain.run(name, ("governance", "vote", (number, "yes")))
    assert chain.run("V1", stake("unbond", id_of("V1"), 5 * TOKEN)).code == ""
    for _ in range(12):
        chain.grow()
    proposal = read_proposal(chain.state, number)
    assert proposal is not None
    assert (STATUS_NAMES[proposal.status], proposal.result) == ("void", "no_stakes")
    assert powers(chain) == EQUAL and read_engine(chain.state) is None

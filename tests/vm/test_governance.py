"""Votes on the rules: who may propose, whose word counts, what comes into force and when."""

from typing import Any

import pytest

from market.module import MarketModule
from market.views import find_market
from node.ledger.execution import read_parameters
from node.ledger.receipt import Receipt
from tests.ledger.support import Chain, MemoryState, id_of, key_of
from vm import parameters
from vm.primitives.errors import InvalidGenesis
from vm.system.governance import GovernanceModule
from vm.system.governance_records import (
    OPEN_KEY,
    STATUS_NAMES,
    VOTE_SPACE,
    VOTER_SPACE,
    Proposal,
    read_engine,
    read_proposal,
    read_versions,
)
from vm.system.voters import VOTERS_KEY

PERIOD_MS = 60_000
SECTION = {
    "voters": {"operator": 2, "prosumer": 1},
    "quorum": [1, 2],
    "threshold": [2, 3],
    "voting_period_ms": PERIOD_MS,
    "notice_blocks": 3,
}
MARKET = {
    "markets": [
        {"name": "spot", "line_policy": "ignore", "penalty_price": "0.1", "max_price": "1000"}
    ]
}
PRICE = (("gas_price_micro", 7),)


def council(section: dict[str, Any] | None = None, **changes: Any) -> Chain:
    """Return a chain whose operators (weight 2 each) and prosumers (1 each) vote: 6 in all."""
    roles = ("operator", "validator", "edc", "dso", "prosumer", "consumer")
    market = MarketModule()
    modules = {"market": MARKET, "governance": SECTION | (section or {})}
    return Chain(market, GovernanceModule(roles, [market]), modules=modules, **changes)


def propose(chain: Chain, name: str = "Op", *, at: int | None = None, **change: Any) -> Receipt:
    """Propose a change of a parameter, by default the price of gas."""
    height = chain.height + 10 if at is None else at
    module, subject = change.get("module", "chain"), change.get("subject", "")
    arguments = (module, subject, change.get("values", PRICE), height, "why")
    return chain.run(name, ("governance", "propose_parameters", arguments))


def number_of(receipt: Receipt) -> int:
    """Return the number of the proposal that a receipt tells of."""
    assert receipt.code == "", receipt
    number = receipt.values[0]
    assert isinstance(number, int)
    return number


def vote(chain: Chain, number: int, **choices: str) -> None:
    """Have members vote, one after the other."""
    for name, choice in choices.items():
        receipt = chain.run(name, ("governance", "vote", (number, choice)))
        assert receipt.code == "", receipt


def end_voting(chain: Chain) -> None:
    """Grow past the end of every vote."""
    chain.grow(time_ms=chain.parent.header.time_ms + PERIOD_MS + 1)


def until(chain: Chain, height: int) -> None:
    """Grow until the next block is that of `height`."""
    while chain.height < height:
        chain.grow()


def found(chain: Chain, number: int) -> Proposal:
    """Return a proposal as the state has it."""
    proposal = read_proposal(chain.state, number)
    assert proposal is not None
    return proposal


def status(chain: Chain, number: int) -> tuple[str, str]:
    """Return the status of a proposal and its result."""
    proposal = found(chain, number)
    return STATUS_NAMES[proposal.status], proposal.result


def test_a_change_is_in_force_from_its_height_on_and_the_header_before_commits_to_it() -> None:
    chain = council()
    height = chain.height + 10
    number = number_of(propose(chain, at=height))
    vote(chain, number, Op="yes", P1="yes", P2="no", Op2="yes")
    end_voting(chain)
    assert status(chain, number) == ("passed", "")
    assert found(chain, number).tally == (5, 1, 0)
    assert found(chain, number).eligible == 6
    until(chain, height - 1)
    before = chain.parent.header.parameters
    assert read_parameters(chain.state).gas_price_micro == 0
    built = chain.grow()
    assert chain.height == height
    assert read_parameters(chain.state).gas_price_micro == 7
    assert chain.parent.header.parameters == read_parameters(chain.state).digest() != before
    assert status(chain, number) == ("applied", "")
    last = built.candidate.executed.receipts[-1]
    applied = ("governance", "apply", (number, height, "parameters", "chain", ""))
    assert last.events == (applied,)
    assert chain.run("P1", max_fee_micro=10_000_000, expiry_height=100).fee_micro > 0


def test_votes_leave_nothing_behind_but_the_tally() -> None:
    chain = council()
    number = number_of(propose(chain))
    vote(chain, number, Op="yes", Op2="yes", P1="abstain", P2="no")
    spaces = (VOTE_SPACE, VOTER_SPACE)
    assert sum(key.startswith(spaces) for key in chain.entries) == 8
    end_voting(chain)
    assert not [key for key in chain.entries if key.startswith((*spaces, OPEN_KEY))]
    assert found(chain, number).votes == found(chain, number).counted == 4
    assert MemoryState(chain.entries).root == chain.parent.header.state_root


def test_the_last_word_of_a_member_counts() -> None:
    chain = council()
    number = number_of(propose(chain))
    vote(chain, number, Op="yes", Op2="yes")
    vote(chain, number, Op="no")
    vote(chain, number, Op="abstain")
    end_voting(chain)
    assert found(chain, number).tally == (2, 0, 2)
    assert status(chain, number) == ("passed", "")


@pytest.mark.parametrize(
    ("choices", "outcome"),
    [
        ({}, ("expired", "no_quorum")),
        ({"Op": "yes"}, ("expired", "no_quorum")),
        ({"Op": "yes", "P1": "yes"}, ("passed", "")),
        ({"Op": "yes", "P1": "no"}, ("passed", "")),
        ({"Op": "yes", "P1": "no", "P2": "no"}, ("failed", "voted_down")),
        ({"Op": "abstain", "P1": "abstain"}, ("failed", "voted_down")),
        ({"Op": "no", "Op2": "no"}, ("failed", "voted_down")),
    ],
)
def test_quorum_is_of_all_weight_and_threshold_of_yes_and_no(
    choices: dict[str, str], outcome: tuple[str, str]
) -> None:
    chain = council()
    number = number_of(propose(chain))
    vote(chain, number, **choices)
    end_voting(chain)
    assert status(chain, number) == outcome
    until(chain, found(chain, number).height)
    assert read_parameters(chain.state).gas_price_micro == (7 if outcome[0] == "passed" else 0)


def test_who_was_removed_or_lost_the_role_before_the_count_does_not_count() -> None:
    chain = council()
    number = number_of(propose(chain))
    vote(chain, number, Op="yes", P1="yes", P2="yes", Op2="yes")
    assert chain.run("Op", ("members", "remove", (id_of("P1"),))).code == ""
    assert chain.run("Op", ("members", "set_roles", (id_of("P2"), 0))).code == ""
    assert chain.run("Op", ("members", "suspend", (id_of("Op2"),))).code == ""
    end_voting(chain)
    assert found(chain, number).tally == (2, 0, 0)
    assert found(chain, number).eligible == 2 == int.from_bytes(chain.entries[VOTERS_KEY], "big")


def test_who_has_no_vote_neither_proposes_nor_votes() -> None:
    chain = council()
    assert propose(chain, "V1").code == "no_vote"
    number = number_of(propose(chain))
    assert chain.run("V1", ("governance", "vote", (number, "yes"))).code == "no_vote"
    assert chain.run("P1", ("governance", "vote", (number + 1, "yes"))).code == "unknown_proposal"
    assert chain.run("P1", ("governance", "vote", (number, "perhaps"))).code == "invalid_arguments"
    end_voting(chain)
    assert chain.run("P1", ("governance", "vote", (number, "yes"))).code == "voting_ended"


def test_without_a_section_the_operators_vote_and_two_thirds_decide() -> None:
    roles = ("operator", "validator", "edc", "dso", "prosumer", "consumer")
    chain = Chain(GovernanceModule(roles, []))
    assert VOTERS_KEY not in chain.entries, "nothing changed for a network that does not ask"
    assert propose(chain, "P1", at=500).code == "no_vote"
    number = number_of(propose(chain, at=500))
    vote(chain, number, Op="yes")
    chain.grow(time_ms=chain.parent.header.time_ms + 86_400_001)
    assert status(chain, number) == ("expired", "no_quorum")
    assert found(chain, number).eligible == 2


def test_fewer_than_a_change_of_the_registry_needs_do_not_change_the_rules() -> None:
    chain = council(parameters={"operator_threshold": 2})
    number = number_of(propose(chain))
    vote(chain, number, Op="yes", Op2="abstain")
    end_voting(chain)
    assert status(chain, number) == ("failed", "too_few_supporters")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"values": (("gas_price_micro", -1),)}, "invalid_parameters"),
        ({"values": (("gas_price_micro", 2**60),)}, "invalid_parameters"),
        ({"values": (("gas_price_micro", "7"),)}, "invalid_parameters"),
        ({"values": (("gas_price_micro", None),)}, "invalid_parameters"),
        ({"values": (("max_transaction_gas", 1),)}, "invalid_parameters"),
        ({"values": (("max_transaction_bytes", 10_000_000),)}, "invalid_parameters"),
        ({"values": (("operator_threshold", 3),)}, "invalid_parameters"),
        ({"values": (("no_such", 1),)}, "invalid_parameters"),
        ({"values": (("b", 1), ("a", 1))}, "invalid_arguments"),
        ({"values": (("a", 1), ("a", 1))}, "invalid_arguments"),
        ({"values": ()}, "invalid_arguments"),
        ({"subject": "spot"}, "unknown_subject"),
        ({"module": "nothing"}, "unknown_module"),
        ({"module": "accounts"}, "unknown_module"),
        ({"module": "market", "subject": "none"}, "unknown_market"),
        ({"module": "market", "subject": "spot"}, "unknown_parameter"),
        (
            {"module": "market", "subject": "spot", "values": (("line_policy", "free"),)},
            "invalid_parameters",
        ),
        (
            {
                "module": "market",
                "subject": "spot",
                "values": (("line_policy", "penalty"), ("penalty_payee", "edc")),
            },
            "invalid_parameters",
        ),
        (
            {
                "module": "market",
                "subject": "spot",
                "values": (("max_price_micro_per_kwh", 1), ("min_price_micro_per_kwh", 2_000)),
            },
            "invalid_parameters",
        ),
        ({"module": "governance", "values": (("quorum", "3/2"),)}, "invalid_parameters"),
        ({"module": "governance", "values": (("voters", 1),)}, "invalid_parameters"),
        ({"values": tuple((f"{n:x}" * 32, 2**60) for n in range(12))}, "change_too_long"),
        ({"at": 3}, "too_soon"),
    ],
)
def test_what_could_not_be_carried_out_is_refused_at_once(change: dict, code: str) -> None:
    chain = council()
    entries = dict(chain.entries)
    assert propose(chain, **change).code == code
    changed = {key for key in chain.entries if chain.entries[key] != entries.get(key)}
    assert changed == {b"a" + id_of("Op")}, "nothing but the nonce"


def test_a_market_and_governance_itself_take_other_parameters() -> None:
    chain = council()
    height = chain.height + 20
    spot = {"line_policy": "penalty", "penalty_price_micro_per_kwh": 250_000}
    first = propose(
        chain, module="market", subject="spot", values=tuple(sorted(spot.items())), at=height
    )
    own = (("quorum", "1/1"), ("voting_period_ms", 9_000))
    second = propose(chain, "P1", module="governance", values=own, at=height)
    for receipt in (first, second):
        vote(chain, number_of(receipt), Op="yes", Op2="yes")
    end_voting(chain)
    until(chain, height)
    market = find_market(chain.state, "spot")
    assert (market.policy, market.penalty_price_micro_per_kwh) == (2, 250_000)
    later = number_of(propose(chain))
    assert found(chain, later).ends_ms == chain.parent.header.time_ms + 9_000
    vote(chain, later, Op="yes", Op2="yes", P1="yes")
    end_voting(chain)
    assert status(chain, later) == ("expired", "no_quorum"), "P2 did not vote"


def test_what_became_impossible_is_void_and_changes_nothing() -> None:
    chain = council()
    height = chain.height + 20
    number = number_of(propose(chain, values=(("operator_threshold", 2),), at=height))
    fine = number_of(propose(chain, at=height))
    for each in (number, fine):
        vote(chain, each, Op="yes", Op2="yes")
    end_voting(chain)
    assert chain.run("Op", ("members", "remove", (id_of("Op2"),))).code == ""
    until(chain, height)
    assert status(chain, number) == ("void", "invalid_parameters")
    assert read_parameters(chain.state).operator_threshold == 1
    assert status(chain, fine) == ("applied", ""), "one's failure does not touch another"


def test_a_vote_that_ends_after_its_height_comes_too_late() -> None:
    chain = council()
    number = number_of(propose(chain, at=chain.height + 4))
    vote(chain, number, Op="yes", Op2="yes")
    until(chain, 6)
    end_voting(chain)
    assert status(chain, number) == ("expired", "too_late")


def test_modules_go_from_version_to_version_and_engines_by_depth_are_refused() -> None:
    chain = council()

    def upgrade(module: str, version: int) -> Receipt:
        call = ("governance", "propose_module", (module, version, chain.height + 10, ""))
        return chain.run("Op", call)

    def engine(name: str, *numbers: tuple[str, object]) -> Receipt:
        call = ("governance", "propose_engine", (name, numbers, chain.height + 10, ""))
        return chain.run("P1", call)

    assert upgrade("market", 3).code == "unknown_version"
    assert upgrade("market", 1).code == "invalid_arguments"
    assert upgrade("nothing", 2).code == "unknown_module"
    refused = engine("pow")
    assert refused.code == "unknown_engine"
    assert "finality by depth" in str(refused.values[0])
    for number in (-1, 0, 2**40, None):
        assert engine("pos", ("resend_ms", number)).code == "invalid_parameters"
    numbers = [number_of(upgrade("market", 2)), number_of(engine("pos", ("resend_ms", 500)))]
    assert (read_versions(chain.state), read_engine(chain.state)) == ({}, None), "only a trial"
    for number in numbers:
        vote(chain, number, Op="yes", Op2="yes")
    end_voting(chain)
    until(chain, 40)
    assert read_versions(chain.state) == {"market": 2}
    choice = read_engine(chain.state)
    assert choice is not None
    assert (choice.name, choice.parameters) == ("pos", (("resend_ms", 500),))
    assert upgrade("market", 2).code == "unknown_version"


def test_no_vote_leads_away_from_an_engine_with_finality_by_depth() -> None:
    chain = council(engine={"name": "pow", "parameters": {"resend_ms": 700}})
    choice = read_engine(chain.state)
    assert choice is not None and choice.name == "pow"
    call = ("governance", "propose_engine", ("poa", (), chain.height + 10, ""))
    refused = chain.run("Op", call)
    assert refused.code == "unknown_engine"
    assert "finality by depth" in str(refused.values[0])


def test_open_proposals_are_bounded_for_a_member() -> None:
    chain = council()
    for _ in range(4):
        number_of(propose(chain))
    assert propose(chain).code == "too_many_proposals"
    number_of(propose(chain, "P1"))
    end_voting(chain)
    number_of(propose(chain))


def test_a_height_takes_eight_changes() -> None:
    chain = council()
    numbers = [
        number_of(propose(chain, name, at=100)) for name in ("Op", "Op2", "P1") for _ in range(3)
    ]
    for number in numbers:
        vote(chain, number, Op="yes", Op2="yes")
    while found(chain, numbers[-1]).status < 2:
        end_voting(chain)
    outcomes = [status(chain, number) for number in numbers]
    assert outcomes == [("passed", "")] * 8 + [("expired", "height_full")]


def test_counting_goes_on_over_blocks_where_gas_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    # Less than genesis allows: so a few hundred votes take more than a block's.
    monkeypatch.setitem(parameters._LEAST, "due_gas_per_block", 1)
    chain = council(parameters={"due_gas_per_block": 100_000})
    role = 1 << 4
    names = [f"m{place}" for place in range(400)]
    admissions = [
        ("members", "admit", (key_of(name), name, role, "", b"", b"", b"")) for name in names
    ]
    for first in range(0, len(admissions), 50):
        receipt = chain.run("Op", *admissions[first : first + 50])
        assert receipt.code == "", receipt
    number = number_of(propose(chain, at=200))
    chain.grow(
        *(
            chain.transaction(name, ("governance", "vote", (number, "yes")), nonce=0)
            for name in names
        )
    )
    end_voting(chain)
    assert status(chain, number)[0] == "counting"
    late = chain.run("P1", ("governance", "vote", (number, "no")))
    assert late.code == "voting_ended"
    while status(chain, number)[0] == "counting":
        chain.grow()
    assert found(chain, number).tally == (400, 0, 0)
    assert found(chain, number).eligible == 406
    assert status(chain, number) == ("passed", "")


@pytest.mark.parametrize(
    "section",
    [
        {"voters": {}},
        {"voters": {"nobody": 1}},
        {"voters": {"operator": 0}},
        {"quorum": [0, 1]},
        {"quorum": [3, 2]},
        {"threshold": [1]},
        {"threshold": [True, True]},
        {"voting_period_ms": 0},
        {"notice_blocks": "5"},
        {"more": 1},
    ],
)
def test_a_genesis_section_that_makes_no_sense_is_refused(section: dict) -> None:
    with pytest.raises(InvalidGenesis):
        council(section)

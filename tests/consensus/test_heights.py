"""One engine through heights, crashes and bad input.

Scenarios, in the order of this file:
  heights: idle start, interval, heartbeat, early messages, followers
  signing: persist before sign, one sync for proposal and prevote, resume after a crash
  bad input: range, duplicates, other heights, floods, equivocation, peers, odd validator sets
"""

from dataclasses import replace

import pytest

from consensus import interface as api
from consensus.messages import (
    NIL,
    NO_ROUND,
    EngineMisuse,
    EvidenceKind,
    Proposal,
    SigningState,
    Status,
    Step,
    Validator,
    Vote,
    check_succession,
    covers,
)
from consensus.poa import PoaEngine
from consensus.validator_set import ValidatorSet
from tests.consensus.bench import CONFIG, FOUR, PRECOMMIT, PREVOTE, T0, Bench

A, B = b"A", b"B"


# --- heights --------------------------------------------------------------------------------


def test_an_idle_height_begins_with_nothing_but_timers() -> None:
    bench = Bench(start=False)
    assert [type(out).__name__ for out in bench.out] == ["ScheduleTimeout", "Broadcast"]
    assert bench.engine.view().step is Step.NEW_HEIGHT


@pytest.mark.parametrize("what", ["heartbeat", "vote", "proposal", "status"])
def test_an_idle_height_is_woken(what: str) -> None:
    bench = Bench(start=False)
    if what == "heartbeat":
        bench.timeout(api.Timer.HEARTBEAT)
    elif what == "vote":
        bench.vote(PREVOTE, NIL, 0)
    elif what == "proposal":
        bench.propose(A)
    else:
        bench.feed(api.PeerStatus(b"p", Status(4, 0)))
    assert bench.engine.view().step > Step.NEW_HEIGHT


def test_work_waits_for_the_minimum_interval() -> None:
    config = replace(CONFIG, min_block_interval_ms=1_500)
    bench = Bench(config=config)
    assert bench.engine.view().step is Step.NEW_HEIGHT
    bench.timeout(api.Timer.INTERVAL)
    assert bench.engine.view().step is Step.PROPOSE


def test_messages_for_the_next_height_wait_for_it() -> None:
    bench = Bench()
    bench.feed(api.BlockArrived(b"C", A, 5, T0 + 950, T0 + 1_000))
    bench.feed(api.ProposalArrived(Proposal(5, 0, b"C", NO_ROUND, 1, b"s1"), T0 + 1_000))
    bench.block(A)
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    bench.feed(api.BlockChecked(A, True))
    bench.feed(api.Started(5, FOUR, A, T0 + 900, T0 + 1_000))
    assert api.CheckBlock(b"C") in bench.out


def test_messages_for_the_next_height_go_when_the_set_changes() -> None:
    bench = Bench()
    bench.feed(api.ProposalArrived(Proposal(5, 0, b"C", NO_ROUND, 1, b"s1"), T0 + 1_000))
    other = ValidatorSet([*FOUR.members, Validator(b"v9", 1)])
    bench.feed(api.Started(5, other, A, T0 + 900, T0 + 1_000))
    assert bench.engine.view().step is Step.NEW_HEIGHT


def test_messages_for_the_next_height_stay_when_powers_change() -> None:
    bench = Bench()
    bench.feed(api.ProposalArrived(Proposal(5, 0, b"C", NO_ROUND, 1, b"s1"), T0 + 1_000))
    stronger = ValidatorSet(replace(member, power=7) for member in FOUR.members)
    bench.feed(api.Started(5, stronger, A, T0 + 900, T0 + 1_000))
    assert bench.engine.view().step is Step.PROPOSE


def test_a_follower_decides_and_signs_nothing() -> None:
    bench = Bench(None)
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 1, 2)
    assert bench.of(api.Persist) == [] and bench.signed() == []
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    assert len(bench.of(api.Finalised)) == 1


def test_heights_only_rise() -> None:
    bench = Bench()
    with pytest.raises(EngineMisuse, match="starts after"):
        bench.engine.handle(api.Started(4, FOUR, A, T0, T0))
    with pytest.raises(EngineMisuse, match="first input"):
        PoaEngine(CONFIG, None).handle(api.WorkAvailable(T0))


# --- signing --------------------------------------------------------------------------------


def test_every_signature_is_covered_by_the_persist_before_it() -> None:
    for bench in (Bench(0), Bench(3)):
        state = None
        bench.propose(A)
        for output in bench.out:
            if isinstance(output, api.Persist):
                state = output.state
            elif isinstance(output, api.SignVote):
                assert state is not None and covers(state, output.vote)


def test_after_a_crash_the_same_is_said_again() -> None:
    before = Bench()
    before.propose(A)
    before.vote(PREVOTE, A, 0, 1)
    state = before.of(api.Persist)[-1].state
    after = Bench(resume=state, start=False)
    assert after.signed() == [(PREVOTE, 0, A), (PRECOMMIT, 0, A)]
    assert after.of(api.Persist) == [api.Persist(state)]
    after.to_round(1)
    after.propose(B, round_=1)
    assert after.signed() == [(PREVOTE, 1, NIL)]


def test_after_a_crash_a_proposer_proposes_nothing_else() -> None:
    before = Bench(0)
    before.feed(api.BlockBuilt(4, 0, A, T0 + 500))
    state = before.of(api.Persist)[-1].state
    after = Bench(0, resume=state)
    assert after.of(api.BuildBlock) == []
    after.feed(api.BlockBuilt(4, 0, B, T0 + 500))
    assert after.of(api.SignProposal) == []


def test_whoever_signed_a_later_height_is_silent() -> None:
    bench = Bench(resume=SigningState(9, 0, Step.PREVOTE, prevote_block=NIL))
    bench.propose(A)
    assert bench.of(api.Persist) == [] and bench.signed() == []


def test_the_signers_guard_refuses_to_go_back() -> None:
    state = SigningState(4, 1, Step.PREVOTE, prevote_block=A)
    assert check_succession(None, state) == [] == check_succession(state, state)
    assert check_succession(state, replace(state, step=Step.PRECOMMIT, precommit_block=A)) == []
    for bad in (
        replace(state, height=3),
        replace(state, round=0),
        replace(state, step=Step.PROPOSE),
        replace(state, prevote_block=B),
        replace(state, prevote_block=None),
    ):
        assert check_succession(state, bad), bad


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vote",
    [
        Vote(PREVOTE, 4, 0, A, 4, b"s"),
        Vote(PREVOTE, 4, 0, A, -1, b"s"),
        Vote(PREVOTE, 4, -1, A, 0, b"s"),
        Vote(PREVOTE, 4, 2**31, A, 0, b"s"),
        Vote(PREVOTE, 3, 0, A, 0, b"s"),
        Vote(PREVOTE, 10**9, 0, A, 0, b"s"),
    ],
)
def test_votes_out_of_range_do_nothing(vote: Vote) -> None:
    bench = Bench()
    assert bench.feed(api.VoteArrived(vote)) == []


def test_a_repeated_vote_weighs_once() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 0, 0, 0)
    assert bench.signed() == []


def test_an_equivocator_is_reported_once_per_kind() -> None:
    bench = Bench()
    bench.vote(PREVOTE, A, 1)
    bench.vote(PREVOTE, B, 1, 1)
    bench.vote(PREVOTE, NIL, 1)
    assert bench.of(api.ReportEvidence) == []
    bench.vote(PRECOMMIT, A, 1)
    bench.vote(PRECOMMIT, B, 1)
    (report,) = bench.of(api.ReportEvidence)
    assert report.evidence.kind is EvidenceKind.DOUBLE_PRECOMMIT
    assert (report.evidence.first.block_id, report.evidence.second.block_id) == (A, B)


def test_a_double_proposal_is_reported_once() -> None:
    bench = Bench()
    bench.propose(A)
    bench.propose(B)
    (report,) = bench.of(api.ReportEvidence)
    assert report.evidence.kind is EvidenceKind.DOUBLE_PROPOSAL
    bench.propose(b"C")
    assert bench.of(api.ReportEvidence) == []


def test_junk_of_an_equivocator_does_not_hide_a_quorum() -> None:
    bench = Bench()
    bench.propose(A)
    for junk in (b"x", b"y", b"z"):
        bench.vote(PREVOTE, junk, 1)
    bench.vote(PREVOTE, A, 0)
    bench.vote(PREVOTE, A, 1)
    assert bench.signed() == [(PRECOMMIT, 0, A)]


def test_a_flood_of_rounds_and_blocks_stays_bounded() -> None:
    bench = Bench()
    for round_ in range(1, 2_000):
        bench.vote(PREVOTE, NIL, 1, round_=round_)
        bench.block(b"junk%d" % round_)
    state = bench.engine._state
    assert state is not None
    assert state.votes.size() <= 4 and state.blocks.size() <= CONFIG.blocks_kept + 1
    assert bench.round == 0


def test_a_peer_is_sent_what_it_misses() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 1)
    bench.feed(api.PeerStatus(b"p", Status(4, 0, prevotes=0b0011)))
    kinds = [(type(out.message).__name__, out.message.validator_index)
             for out in bench.of(api.Send)]  # fmt: skip
    assert kinds == [("Proposal", 0), ("Vote", 3), ("Vote", 3)]


def test_peers_on_other_heights_are_named() -> None:
    bench = Bench()
    assert bench.feed(api.PeerStatus(b"p", Status(2, 0))) == [api.PeerBehind(b"p", 2)]
    assert bench.feed(api.PeerStatus(b"p", Status(7, 0))) == [api.BlocksMissing(b"p", 7)]


def test_a_peer_one_height_behind_gets_the_certificate() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    (final,) = bench.of(api.Finalised)
    bench.feed(api.Started(5, FOUR, A, T0 + 900, T0 + 1_000))
    out = bench.feed(api.PeerStatus(b"p", Status(4, 0)))
    assert out == [api.Send(b"p", final.certificate)]


def test_votes_of_a_later_height_by_a_third_ask_for_blocks() -> None:
    bench = Bench()
    assert bench.feed(api.VoteArrived(Vote(PREVOTE, 10**9, 0, A, 0, b"s"))) == []
    out = bench.feed(api.VoteArrived(Vote(PREVOTE, 8, 0, A, 1, b"s")))
    assert out == [api.BlocksMissing(None, 8)]


def test_quorums_are_exact_with_unequal_powers() -> None:
    six = ValidatorSet([Validator(b"a", 1), Validator(b"b", 2), Validator(b"c", 3)])
    assert [six.is_quorum(w) for w in (4, 5)] == [False, True]
    assert [six.is_honest_part(w) for w in (2, 3)] == [False, True]
    huge = ValidatorSet([Validator(b"a", 2**62), Validator(b"b", 2**61), Validator(b"c", 1)])
    assert huge.is_quorum(2**62 + 1) and not huge.is_quorum(2**62)


@pytest.mark.parametrize("members", [[], [(b"a", 0)], [(b"a", -1)], [(b"a", 1), (b"a", 1)]])
def test_impossible_validator_sets_are_refused(members: list) -> None:
    with pytest.raises(EngineMisuse):
        ValidatorSet(Validator(*member) for member in members)

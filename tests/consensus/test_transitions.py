"""One engine, transition by transition; tests are named after the lines of the paper.

Scenarios, in the order of this file:
  round start (lines 11 to 21): proposer builds, re-proposes its valid block, others wait
  proposals (22 to 33): valid, invalid, late, wrong parent, locked, with and without proof
  votes (34 to 48): timers, polka, nil polka, lock and valid block, quorum without decision
  decisions (49 to 54): current round, earlier round, missing body, invalid block, certificate
  rounds (55 to 67): skipping, timeouts, caps, stalls

The life of a height, signing and bad input are in `test_heights`.
"""

from dataclasses import replace

import pytest

from consensus import interface as api
from consensus.messages import (
    NIL,
    NO_ROUND,
    CommitCertificate,
)
from consensus.validator_set import check_certificate
from tests.consensus.bench import FOUR, PRECOMMIT, PREVOTE, T0, Bench

A, B = b"A", b"B"


def locked_on_a() -> Bench:
    """Validator 3, locked on A in round 0, now in round 1."""
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 1)
    assert bench.signed() == [(PRECOMMIT, 0, A)]
    bench.to_round(1)
    assert bench.round == 1
    return bench


# --- lines 11 to 21 -------------------------------------------------------------------------


def test_line_18_a_proposer_without_valid_block_builds_one() -> None:
    bench = Bench(0)
    assert bench.of(api.BuildBlock) == [api.BuildBlock(4, 0)]


def test_line_19_a_built_block_is_proposed_and_prevoted_under_one_sync() -> None:
    bench = Bench(0)
    bench.feed(api.BlockBuilt(4, 0, A, T0 + 500))
    assert [type(out).__name__ for out in bench.out] == [
        "Persist", "SignProposal", "SignVote", "Broadcast", "Broadcast",
    ]  # fmt: skip
    assert bench.signed() == [(PREVOTE, 0, A)]


def test_line_19_a_block_built_too_late_is_not_proposed() -> None:
    bench = Bench(0)
    bench.timeout(api.Timer.PROPOSE)
    bench.feed(api.BlockBuilt(4, 0, A, T0 + 500))
    assert bench.of(api.SignProposal) == []


def test_line_16_a_proposer_with_a_valid_block_proposes_it_with_its_round() -> None:
    bench = locked_on_a()
    bench.to_round(3)
    (sign,) = bench.of(api.SignProposal)
    assert (sign.proposal.block_id, sign.proposal.pol_round) == (A, 0)


def test_line_21_others_wait_longer_each_round_up_to_the_cap() -> None:
    bench = Bench()
    assert (api.Timer.PROPOSE, 0, 1_000) in bench.timers()
    bench.to_round(1)
    assert (api.Timer.PROPOSE, 1, 1_300) in bench.timers()
    bench.to_round(1_000)
    assert (api.Timer.PROPOSE, 1_000, 3_000) in bench.timers()


# --- lines 22 to 33 -------------------------------------------------------------------------


def test_line_24_a_valid_proposal_is_prevoted() -> None:
    bench = Bench()
    bench.propose(A)
    assert bench.signed() == [(PREVOTE, 0, A)]


@pytest.mark.parametrize("case", [{"valid": False}, {"time_ms": T0 + 10_000}, {"time_ms": T0}])
def test_line_26_an_invalid_or_untimely_proposal_gets_nil(case: dict) -> None:
    bench = Bench()
    bench.propose(A, **case)
    assert bench.signed() == [(PREVOTE, 0, NIL)]


PUNCTUAL = api.EngineConfig(
    heartbeat_ms=10_000, max_drift_ms=100, propose_timeout_ms=200, timeout_step_ms=50
)


@pytest.mark.parametrize(
    ("time_ms", "block_id"),
    [(T0 + 699, NIL), (T0 + 700, A), (T0 + 1_100, A), (T0 + 1_101, NIL)],
)
def test_line_24_a_fresh_block_is_dated_near_the_clock(time_ms: int, block_id: bytes) -> None:
    """Behind it by the drift and the round's propose timeout at most: else gates would not hold."""
    bench = Bench(config=PUNCTUAL)
    bench.propose(A, time_ms=time_ms)
    assert bench.signed() == [(PREVOTE, 0, block_id)]


def test_line_24_later_rounds_wait_longer_for_a_blocks_date_too() -> None:
    bench = Bench(config=PUNCTUAL)
    bench.to_round(2)
    bench.propose(A, round_=2, time_ms=T0 + 600)
    assert bench.signed() == [(PREVOTE, 2, A)]


def test_line_30_an_old_block_with_the_proof_of_a_lock_is_prevoted() -> None:
    bench = Bench(config=PUNCTUAL)
    bench.vote(PREVOTE, A, 0, 1, 2)
    bench.to_round(1)
    bench.propose(A, round_=1, pol=0, time_ms=T0 + 1)
    assert bench.signed() == [(PREVOTE, 1, A)]


def test_line_36_a_quorum_is_never_refused_for_its_blocks_date() -> None:
    bench = Bench(config=PUNCTUAL)
    bench.propose(A, time_ms=T0 + 1)
    bench.vote(PREVOTE, A, 0, 1, 2)
    assert bench.signed() == [(PRECOMMIT, 0, A)]


def test_line_26_a_block_on_another_parent_is_invalid_unasked() -> None:
    bench = Bench()
    bench.block(A, parent=b"other")
    bench.propose(A, body=False)
    assert bench.of(api.CheckBlock) == [] and bench.signed() == [(PREVOTE, 0, NIL)]


def test_line_26_a_locked_validator_prevotes_nil_for_another_block() -> None:
    bench = locked_on_a()
    bench.propose(B, round_=1)
    assert bench.signed() == [(PREVOTE, 1, NIL)]


def test_line_23_a_locked_validator_prevotes_its_block_again() -> None:
    bench = locked_on_a()
    bench.propose(A, round_=1)
    assert bench.signed() == [(PREVOTE, 1, A)]


def test_line_28_a_pol_round_without_its_prevotes_is_not_believed() -> None:
    bench = locked_on_a()
    bench.to_round(2)
    bench.propose(B, round_=2, pol=1)
    assert bench.signed() == []


def test_line_30_a_later_proof_unlocks() -> None:
    bench = locked_on_a()
    bench.vote(PREVOTE, B, 0, 1, 2, round_=1)
    bench.to_round(2)
    bench.propose(B, round_=2, pol=1)
    assert bench.signed() == [(PREVOTE, 2, B)]


def test_line_32_an_earlier_proof_does_not_unlock() -> None:
    bench = locked_on_a()
    bench.propose(A, round_=1, pol=0)
    bench.vote(PREVOTE, A, 0, 1, round_=1)
    assert bench.engine.view().locked_round == 1
    bench.to_round(2)
    bench.vote(PREVOTE, B, 0, 1, 2, round_=0)
    bench.propose(B, round_=2, pol=0)
    assert bench.signed() == [(PREVOTE, 2, NIL)]


@pytest.mark.parametrize("by, pol", [(1, NO_ROUND), (0, 0), (0, 5), (0, -2)])
def test_line_22_proposals_of_others_or_with_an_odd_proof_are_dropped(by: int, pol: int) -> None:
    bench = Bench()
    bench.propose(A, by=by, pol=pol)
    assert bench.signed() == []


# --- lines 34 to 48 -------------------------------------------------------------------------


def test_line_35_a_quorum_of_mixed_prevotes_sets_the_timer_once() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, NIL, 0, 1)
    assert bench.timers() == [(api.Timer.PREVOTE, 0, 400)]
    bench.vote(PREVOTE, B, 2)
    assert bench.timers() == []


def test_line_36_to_43_a_polka_locks_and_precommits() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0)
    assert bench.signed() == []
    bench.vote(PREVOTE, A, 1)
    assert bench.signed() == [(PRECOMMIT, 0, A)]
    (persist,) = bench.of(api.Persist)
    assert (persist.state.locked_round, persist.state.locked_block) == (0, A)
    assert (persist.state.valid_round, persist.state.valid_block) == (0, A)
    assert [index for index, _ in persist.state.valid_proof] == [0, 1, 3]


def test_line_36_a_polka_waits_for_the_blocks_check() -> None:
    bench = Bench()
    bench.timeout(api.Timer.PROPOSE)
    bench.vote(PREVOTE, A, 0, 1, 2)
    assert bench.signed() == []
    bench.block(A)
    assert bench.signed() == [(PRECOMMIT, 0, A)]


def test_line_42_a_polka_after_the_precommit_sets_the_valid_block_only() -> None:
    bench = Bench()
    bench.propose(A)
    bench.timeout(api.Timer.PREVOTE)
    bench.vote(PREVOTE, A, 0, 1)
    assert bench.signed() == [] and bench.engine.view().locked_round == NO_ROUND
    bench.to_round(3)
    assert [sign.proposal.block_id for sign in bench.of(api.SignProposal)] == [A]


def test_line_42_a_polka_of_a_round_left_behind_sets_the_valid_block() -> None:
    bench = Bench()
    bench.propose(A)
    bench.to_round(1)
    bench.vote(PREVOTE, A, 0, 1)
    bench.to_round(3)
    assert [sign.proposal.pol_round for sign in bench.of(api.SignProposal)] == [0]


def test_line_45_a_nil_polka_precommits_nil() -> None:
    bench = Bench()
    bench.timeout(api.Timer.PROPOSE)
    bench.vote(PREVOTE, NIL, 0, 1)
    assert bench.signed() == [(PRECOMMIT, 0, NIL)]


def test_line_48_a_quorum_of_mixed_precommits_sets_the_timer_and_relays_the_polka() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 1)
    bench.vote(PRECOMMIT, NIL, 0, 1)
    assert bench.timers() == [(api.Timer.PRECOMMIT, 0, 400)]
    relayed = {out.message.validator_index for out in bench.of(api.Broadcast)}
    assert relayed == {0, 1, 3}


def test_after_line_46_two_nil_quorums_end_the_round_at_once() -> None:
    bench = Bench()
    bench.timeout(api.Timer.PROPOSE)
    bench.vote(PREVOTE, NIL, 0, 1)
    bench.vote(PRECOMMIT, NIL, 0, 1)
    assert bench.round == 1


# --- lines 49 to 54 -------------------------------------------------------------------------


def test_line_49_a_quorum_of_precommits_decides() -> None:
    bench = Bench()
    bench.propose(A)
    bench.vote(PREVOTE, A, 0, 1)
    bench.vote(PRECOMMIT, A, 0, 1)
    (final,) = bench.of(api.Finalised)
    assert (final.height, final.block_id) == (4, A)
    assert final.certificate.signatures == ((0, b"s0"), (1, b"s1"), (3, b"s3"))
    assert check_certificate(final.certificate, FOUR) == []


def test_line_49_an_earlier_rounds_quorum_decides() -> None:
    bench = Bench()
    bench.propose(A)
    bench.to_round(7)
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    assert [final.certificate.round for final in bench.of(api.Finalised)] == [0]


def test_line_49_without_the_body_it_is_fetched_from_who_voted_for_it() -> None:
    bench = Bench()
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    assert bench.of(api.FetchBlock) == [api.FetchBlock(A, (0, 1, 2))]
    bench.timeout(api.Timer.RESEND)
    assert bench.of(api.FetchBlock) == [api.FetchBlock(A, (0, 1, 2))]
    bench.block(A)
    assert len(bench.of(api.Finalised)) == 1


def test_line_50_a_quorum_for_an_invalid_block_stops_the_node() -> None:
    bench = Bench()
    bench.vote(PRECOMMIT, A, 0, 1, 2)
    bench.block(A, valid=False)
    assert len(bench.of(api.QuorumConflict)) == 1 and bench.of(api.Finalised) == []


def test_line_49_two_votes_of_three_do_not_decide() -> None:
    bench = Bench(None)
    bench.propose(A)
    bench.vote(PRECOMMIT, A, 0, 1)
    assert bench.of(api.Finalised) == []


def test_line_49_a_certificate_stands_for_its_votes() -> None:
    bench = Bench(start=False)
    good = CommitCertificate(4, 2, A, ((0, b"s"), (1, b"s"), (3, b"s")))
    bench.block(A, check=False)
    for bad in (
        replace(good, signatures=good.signatures[:2]),
        replace(good, signatures=((0, b"s"),) * 3),
        replace(good, signatures=((1, b"s"), (0, b"s"), (3, b"s"))),
        replace(good, signatures=((0, b"s"), (1, b"s"), (4, b"s"))),
        replace(good, block_id=NIL),
        replace(good, height=5),
    ):
        assert bench.feed(api.CertificateArrived(bad)) == []
    assert bench.feed(api.CertificateArrived(good)) == [api.CheckBlock(A)]
    assert bench.feed(api.BlockChecked(A, True)) == [api.Finalised(4, A, good)]


# --- lines 55 to 67 -------------------------------------------------------------------------


def test_line_55_one_validator_ahead_moves_nobody() -> None:
    bench = Bench()
    bench.vote(PREVOTE, NIL, 1, round_=9)
    assert bench.round == 0


def test_line_56_more_than_a_third_ahead_are_followed() -> None:
    bench = Bench()
    bench.vote(PREVOTE, NIL, 1, round_=9)
    bench.vote(PRECOMMIT, NIL, 2, round_=6)
    assert bench.round == 6


def test_line_57_the_propose_timeout_prevotes_nil_once() -> None:
    bench = Bench()
    bench.timeout(api.Timer.PROPOSE)
    assert bench.signed() == [(PREVOTE, 0, NIL)]
    bench.timeout(api.Timer.PROPOSE)
    assert bench.signed() == []


def test_line_61_the_prevote_timeout_precommits_nil() -> None:
    bench = Bench()
    bench.propose(A)
    bench.timeout(api.Timer.PREVOTE)
    assert bench.signed() == [(PRECOMMIT, 0, NIL)]


def test_line_65_the_precommit_timeout_starts_the_next_round() -> None:
    bench = Bench()
    bench.timeout(api.Timer.PRECOMMIT)
    assert bench.round == 1
    bench.timeout(api.Timer.PRECOMMIT)
    assert bench.round == 1


def test_line_65_a_decision_that_waits_for_its_body_starts_no_round() -> None:
    bench = Bench()
    bench.vote(PREVOTE, NIL, 0, 1, 2)
    bench.vote(PRECOMMIT, A, 0, 1)
    bench.vote(PRECOMMIT, NIL, 3)
    assert (api.Timer.PRECOMMIT, 0, 400) in bench.timers()
    bench.vote(PRECOMMIT, A, 2)
    bench.timeout(api.Timer.PRECOMMIT)
    assert bench.round == 0 and bench.out == []
    bench.block(A)
    assert len(bench.of(api.Finalised)) == 1


def test_a_stalled_round_is_left_when_somebody_is_further() -> None:
    bench = Bench()
    bench.vote(PREVOTE, NIL, 1, round_=9)
    for _ in range(20):
        bench.timeout(api.Timer.RESEND)
    assert bench.round == 1

"""Catching up: the messages that bring a peer of the same height to where this node is.

The paper assumes that what one honest process has received reaches every other one. Here a
peer says where it stands and gets what it misses of the round it is in, and what made this
node leave that round: so a lost message is replaced, by whoever has it.
"""

from collections.abc import Iterator

from consensus.height_state import HeightState
from consensus.messages import NO_ROUND, Message, Proposal, Status, Step, Vote, VoteKind


def own_messages(state: HeightState) -> Iterator[Proposal | Vote]:
    """Yield this validator's signed messages of the current round."""
    index = state.own_index
    if index is None:
        return
    proposal = state.proposals.get(state.rounds.round)
    if proposal is not None and proposal.validator_index == index:
        yield proposal
    for kind in VoteKind:
        vote = state.votes.tally(kind, state.rounds.round).first.get(index)
        if vote is not None:
            yield vote


def own_status(state: HeightState) -> Status:
    """Return where this node stands."""
    round_ = state.rounds.round
    if state.rounds.step is Step.NEW_HEIGHT:
        return Status(state.height, NO_ROUND)
    return Status(
        height=state.height,
        round=round_,
        prevotes=state.votes.tally(VoteKind.PREVOTE, round_).mask(),
        precommits=state.votes.tally(VoteKind.PRECOMMIT, round_).mask(),
        has_proposal=round_ in state.proposals,
    )


def missing_messages(state: HeightState, status: Status) -> Iterator[Message]:
    """Yield what a peer with `status`, at this height and begun, should be sent.

    At most one certificate, two proposals and five rounds' votes of one kind.
    """
    if state.committed is not None:
        yield state.committed
        return
    proposal = state.proposals.get(status.round)
    if proposal is not None:
        if not status.has_proposal:
            yield proposal
        if proposal.pol_round != NO_ROUND:
            yield from state.votes.tally(VoteKind.PREVOTE, proposal.pol_round).votes()
    yield from _unseen(state, VoteKind.PREVOTE, status.round, status.prevotes)
    yield from _unseen(state, VoteKind.PRECOMMIT, status.round, status.precommits)
    current = state.rounds.round
    if status.round < current:
        if status.round < current - 1:
            yield from state.votes.tally(VoteKind.PRECOMMIT, current - 1).votes()
        newest = state.proposals.get(current)
        if newest is not None:
            yield newest
        for kind in VoteKind:
            yield from state.votes.tally(kind, current).votes()


def _unseen(state: HeightState, kind: VoteKind, round_: int, mask: int) -> Iterator[Vote]:
    """Yield the votes of a round by validators that are not in the peer's mask."""
    for vote in state.votes.tally(kind, round_).votes():
        if not mask >> vote.validator_index & 1:
            yield vote

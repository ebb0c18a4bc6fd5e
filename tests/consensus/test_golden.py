"""Whole conversations, kept as text; `BITENERGY_REWRITE_GOLDEN=1 pytest …` writes them anew.

Conversations: a height without trouble, a proposer that is away, a lock that survives its round
and is proposed again, a validator that crashes after it locked, a double vote.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import interface as api
from consensus.messages import Vote, VoteKind
from tests.consensus.bench import T0
from tests.consensus.conversation import Conversation

FOLDER = Path(__file__).parent / "golden"
WORK = api.WorkAvailable(T0 + 1_000)


def no_trouble() -> Conversation:
    talk = Conversation()
    talk.settle()
    talk.tell(0, WORK)
    talk.settle()
    return talk


def proposer_away() -> Conversation:
    talk = Conversation(without=(0,))
    for index in (1, 2, 3):
        talk.tell(index, WORK)
    talk.settle()
    talk.note("nobody proposes")
    talk.fire(api.Timer.PROPOSE)
    return talk


def lock_is_proposed_again() -> Conversation:
    talk = Conversation()
    talk.drop = lambda source, target, message: (
        isinstance(message, Vote) and message.kind is VoteKind.PRECOMMIT and message.round == 0
    )
    talk.tell(0, WORK)
    talk.settle()
    talk.note("no precommit of round 0 arrived; they are sent again, one of them a nil")
    talk.drop = lambda source, target, message: False
    talk.tell(1, api.VoteArrived(Vote(VoteKind.PRECOMMIT, 4, 0, b"", 2, b"s2")))
    talk.tell(1, api.VoteArrived(Vote(VoteKind.PRECOMMIT, 4, 0, b"", 3, b"s3")))
    talk.settle()
    talk.fire(api.Timer.PRECOMMIT)
    return talk


def crash_after_lock() -> Conversation:
    talk = Conversation()
    talk.drop = lambda source, target, message: (
        isinstance(message, Vote) and message.kind is VoteKind.PRECOMMIT
    )
    talk.tell(0, WORK)
    talk.settle()
    talk.note("validator 1 crashes and comes back")
    talk.drop = lambda source, target, message: False
    talk.start(1)
    talk.settle()
    talk.note("what was lost is sent again")
    talk.fire(api.Timer.RESEND)
    return talk


def double_vote() -> Conversation:
    talk = Conversation()
    talk.drop = lambda source, target, message: isinstance(message, Vote)
    talk.tell(0, WORK)
    talk.settle()
    vote = Vote(VoteKind.PREVOTE, 4, 0, b"other", 3, b"s3")
    talk.tell(1, api.VoteArrived(vote))
    talk.tell(1, api.VoteArrived(replace(vote, block_id=b"another")))
    talk.settle()
    return talk


CONVERSATIONS: list[Callable[[], Conversation]] = [
    no_trouble,
    proposer_away,
    lock_is_proposed_again,
    crash_after_lock,
    double_vote,
]


@pytest.mark.parametrize("converse", CONVERSATIONS, ids=lambda c: c.__name__)
def test_conversation_is_as_written_down(converse: Callable[[], Conversation]) -> None:
    said = "\n".join(converse().lines) + "\n"
    path = FOLDER / f"{converse.__name__}.txt"
    if os.environ.get("BITENERGY_REWRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(said)
    assert path.is_file(), f"no transcript {path.name}; BITENERGY_REWRITE_GOLDEN=1 writes it"
    assert said == path.read_text()


def test_the_conversations_end_as_they_should() -> None:
    for converse in (no_trouble, proposer_away, crash_after_lock):
        finals = [line for line in converse().lines if "> Finalised" in line]
        assert len(finals) >= 3, converse.__name__
        assert len({line.split("> ")[1].split(" by ")[0] for line in finals}) == 1
    assert any("DOUBLE_PREVOTE of 3" in line for line in double_vote().lines)


def test_every_golden_file_has_its_conversation() -> None:
    names = {converse.__name__ for converse in CONVERSATIONS}
    assert {path.stem for path in FOLDER.glob("*.txt")} == names

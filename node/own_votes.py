"""What validators said of heights that are not final: remembered, so that one can ask for its own.

A validator whose directory was set back within the very height being decided cannot know what it
signed since. Its peers do: before it votes again it asks them, and where one shows a signature
that its signing file does not know of, it votes no more until that height is final.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Final

from consensus.messages import Proposal, Vote
from node.ledger.certificate import MAX_VOTE_BYTES, decode_proposal, decode_vote
from node.wire import PROPOSAL, VOTE
from vm.primitives.codec import decode, encode_trusted
from vm.primitives.errors import DecodeError
from vm.system.validators import MAX_VALIDATORS

MAX_KEPT: Final = 8
"""Messages remembered of one vote key: those of the last rounds."""
MAX_VOTES_BYTES: Final = MAX_KEPT * (MAX_VOTE_BYTES + 8) + 16
VOTES_TYPE: Final = 68
VERSION: Final = 1

_Entry = tuple[int, int, int, bytes]
"""Height, round, kind of message, canonical bytes."""


class HeardVotes:
    """The last messages of each vote key about heights that are not final."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, list[_Entry]] = {}

    def note(self, vote_key: bytes, message: Vote | Proposal, payload: bytes) -> None:
        """Remember a message whose signature holds."""
        kind = VOTE if isinstance(message, Vote) else PROPOSAL
        entries = self._by_key.setdefault(vote_key, [])
        insort(entries, (message.height, message.round, kind, payload))
        del entries[:-MAX_KEPT]
        if len(self._by_key) > 2 * MAX_VALIDATORS:
            del self._by_key[next(iter(self._by_key))]

    def forget(self, height: int) -> None:
        """Forget what is about heights up to the final one `height`."""
        for key, entries in list(self._by_key.items()):
            left = [entry for entry in entries if entry[0] > height]
            if left:
                self._by_key[key] = left
            else:
                del self._by_key[key]

    def encode(self, vote_key: bytes) -> bytes:
        """Return the payload that tells what was heard of a key."""
        entries = [[kind, payload] for _, _, kind, payload in self._by_key.get(vote_key, [])]
        return encode_trusted([VOTES_TYPE, VERSION, entries])


def decode_votes(payload: bytes) -> Sequence[Vote | Proposal]:
    """Return the messages of a payload, their signatures unchecked; raises DecodeError."""
    found: list[Vote | Proposal] = []
    match decode(payload, max_bytes=MAX_VOTES_BYTES, max_items=64, max_depth=3):
        case (68, 1, tuple(entries)):
            for entry in entries:
                match entry:
                    case (int(kind), bytes(data)) if kind in (VOTE, PROPOSAL):
                        found.append(decode_vote(data) if kind == VOTE else decode_proposal(data))
                    case _:
                        raise DecodeError("a heard message is [kind, bytes]")
            return found
    raise DecodeError("not heard messages of this version")

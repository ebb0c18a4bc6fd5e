"""The vote keeper holds the votes of one height, weighs them, and notices contradictions.

A validator counts once towards "any" votes of a round, and once towards each block it voted
for: as in the paper, where a message counts for what it says. Two quorums for different blocks
still share an honest validator, so that is safe, and it lets a node follow a quorum that an
equivocator belongs to. Of an equivocator's votes two are kept, and beyond them those for blocks
that more than a third of the power voted for: so junk neither fills memory nor hides a quorum.
"""

from collections.abc import Callable, Iterator

from consensus.messages import (
    NO_ROUND,
    CommitCertificate,
    Evidence,
    EvidenceKind,
    Vote,
    VoteKind,
)
from consensus.validator_set import ValidatorSet

_EVIDENCE_KIND = {
    VoteKind.PREVOTE: EvidenceKind.DOUBLE_PREVOTE,
    VoteKind.PRECOMMIT: EvidenceKind.DOUBLE_PRECOMMIT,
}


class Tally:
    """The votes of one kind in one round."""

    __slots__ = ("_validators", "first", "others", "weight_any", "weights")

    def __init__(self, validators: ValidatorSet) -> None:
        """Start empty."""
        self._validators = validators
        self.first: dict[int, Vote] = {}
        self.others: dict[tuple[int, bytes], Vote] = {}
        self.weights: dict[bytes, int] = {}
        self.weight_any = 0

    def add(self, vote: Vote) -> tuple[bool, Vote | None]:
        """Count a vote; return whether it was new, and the vote it contradicts, if any."""
        index = vote.validator_index
        power = self._validators.power_of(index)
        weight = self.weights.get(vote.block_id, 0)
        earlier = self.first.get(index)
        if earlier is None:
            self.first[index] = vote
            self.weight_any += power
        else:
            known = earlier.block_id == vote.block_id or (index, vote.block_id) in self.others
            surplus = self.contradicts(index) and not self._validators.is_honest_part(weight)
            if known or surplus:
                return False, None
            self.others[(index, vote.block_id)] = vote
        self.weights[vote.block_id] = weight + power
        return True, earlier

    def contradicts(self, index: int) -> bool:
        """Return whether a second vote of the validator is held."""
        return any(other == index for other, _block_id in self.others)

    def remove(self, index: int) -> None:
        """Forget a validator's votes."""
        power = self._validators.power_of(index)
        if self.first.get(index) is not None:
            self.weight_any -= power
        gone = [vote for vote in self.votes() if vote.validator_index == index]
        for vote in gone:
            self.weights[vote.block_id] -= power
            self.others.pop((index, vote.block_id), None)
        self.first.pop(index, None)

    def quorum_block(self) -> bytes | None:
        """Return the block (or `NIL`) that a quorum voted for, or None."""
        for block_id, weight in self.weights.items():
            if self._validators.is_quorum(weight):
                return block_id
        return None

    def votes(self) -> Iterator[Vote]:
        """Yield all votes, by validator index, contradicting ones last."""
        for index in sorted(self.first):
            yield self.first[index]
        for key in sorted(self.others):
            yield self.others[key]

    def mask(self) -> int:
        """Return the bit mask of the validators that voted."""
        return sum(1 << index for index in self.first)


class VoteKeeper:
    """All votes of one height that are worth keeping."""

    __slots__ = ("_reported", "_rounds", "_rounds_ahead", "_seen", "_validators")

    def __init__(self, validators: ValidatorSet, *, rounds_ahead: int) -> None:
        """Start empty; of one validator at most `rounds_ahead` later rounds are kept."""
        self._validators = validators
        self._rounds_ahead = rounds_ahead
        self._rounds: dict[int, dict[VoteKind, Tally]] = {}
        self._seen = [NO_ROUND] * len(validators)
        self._reported: set[tuple[VoteKind, int]] = set()

    def tally(self, kind: VoteKind, round_: int) -> Tally:
        """Return the tally of a kind and round; an empty one if there are no votes."""
        found = self._rounds.get(round_)
        return Tally(self._validators) if found is None else found[kind]

    def add(self, vote: Vote, *, current_round: int) -> tuple[bool, Evidence | None]:
        """Keep a vote whose index and round are in range.

        Returns whether it was new, and evidence if it contradicts an earlier vote: at most
        once per validator and kind.
        """
        self.note_round(vote.validator_index, vote.round)
        if vote.round > current_round and not self._make_room(vote, current_round):
            return False, None
        if vote.round not in self._rounds:
            self._rounds[vote.round] = {kind: Tally(self._validators) for kind in VoteKind}
        new, earlier = self._rounds[vote.round][vote.kind].add(vote)
        if earlier is None or (vote.kind, vote.validator_index) in self._reported:
            return new, None
        self._reported.add((vote.kind, vote.validator_index))
        return new, Evidence(_EVIDENCE_KIND[vote.kind], earlier, vote)

    def _make_room(self, vote: Vote, current_round: int) -> bool:
        """Drop the voter's lowest later round if it has too many; False if that is this one."""
        index = vote.validator_index
        ahead = sorted(
            round_
            for round_, tallies in self._rounds.items()
            if round_ > current_round and any(index in t.first for t in tallies.values())
        )
        if vote.round in ahead or len(ahead) < self._rounds_ahead:
            return True
        if vote.round < ahead[0]:
            return False
        for tally in self._rounds[ahead[0]].values():
            tally.remove(index)
        return True

    def note_round(self, index: int, round_: int) -> None:
        """Remember that a validator has been in a round."""
        self._seen[index] = max(self._seen[index], round_)

    def highest_round_seen(self) -> int:
        """Return the highest round any validator has been in, or `NO_ROUND`."""
        return max(self._seen)

    def round_of_honest_part(self) -> int:
        """Return the highest round that more than a third of the power reached (f + 1)."""
        return self._validators.reached_by_honest_part(self._seen)

    def certificate(self, height: int, round_: int, block_id: bytes) -> CommitCertificate:
        """Return the certificate made of the round's precommits for a block."""
        signatures = self.signatures(VoteKind.PRECOMMIT, round_, block_id)
        return CommitCertificate(height, round_, block_id, signatures)

    def signatures(
        self, kind: VoteKind, round_: int, block_id: bytes
    ) -> tuple[tuple[int, bytes], ...]:
        """Return index and signature of each vote for a block, indices ascending."""
        votes = self.tally(kind, round_).votes()
        found = {v.validator_index: v.signature for v in votes if v.block_id == block_id}
        return tuple(sorted(found.items()))

    def prune(self, keep: Callable[[int], bool]) -> None:
        """Forget the rounds that `keep` does not want."""
        for round_ in [round_ for round_ in self._rounds if not keep(round_)]:
            del self._rounds[round_]

    def size(self) -> int:
        """Return how many votes are held."""
        return sum(
            len(tally.first) + len(tally.others)
            for tallies in self._rounds.values()
            for tally in tallies.values()
        )

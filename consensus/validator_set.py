"""A validator set is the ordered list of who votes on a height, and with which power.

Quorums are integer comparisons: with at most f of the power dishonest and a total of 3f + 1,
`is_quorum` is the paper's 2f + 1 and `is_honest_part` its f + 1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from consensus.messages import CommitCertificate, EngineMisuse, Validator


class ValidatorSet:
    """An immutable validator set; a validator's index is its position in the given order."""

    __slots__ = ("_index", "members", "total_power")

    def __init__(self, members: Iterable[Validator]) -> None:
        """Take the members in the order that fixes their indices.

        Raises EngineMisuse for an empty set, a repeated id or a power below 1.
        """
        self.members = tuple(members)
        self.total_power = sum(member.power for member in self.members)
        self._index = {member.id: index for index, member in enumerate(self.members)}
        if not self.members:
            raise EngineMisuse("a validator set needs at least one validator, got none")
        if len(self._index) != len(self.members):
            raise EngineMisuse("a validator set names each validator once; an id is repeated")
        if any(member.power < 1 for member in self.members):
            raise EngineMisuse("every validator needs a voting power of at least 1")

    def __len__(self) -> int:
        """Return how many validators there are."""
        return len(self.members)

    def __eq__(self, other: object) -> bool:
        """Return whether both sets hold the same validators in the same order."""
        return isinstance(other, ValidatorSet) and self.members == other.members

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return a short description for error messages and transcripts."""
        return f"ValidatorSet({len(self.members)} validators, power {self.total_power})"

    def has_same_signers(self, other: "ValidatorSet") -> bool:
        """Return whether both sets hold the same validators in the same order, powers apart.

        Then a message that was checked against one set holds in the other.
        """
        return len(self) == len(other) and all(
            replace(mine, power=theirs.power) == theirs
            for mine, theirs in zip(self.members, other.members, strict=True)
        )

    def index_of(self, validator_id: bytes) -> int | None:
        """Return a validator's index, or None if it is no member."""
        return self._index.get(validator_id)

    def power_of(self, index: int) -> int:
        """Return the power of the validator at `index`, or 0 if there is none."""
        return self.members[index].power if 0 <= index < len(self.members) else 0

    def is_quorum(self, weight: int) -> bool:
        """Return whether `weight` is more than two thirds of the power (2f + 1)."""
        return weight * 3 > self.total_power * 2

    def is_honest_part(self, weight: int) -> bool:
        """Return whether `weight` is more than a third, so that some of it is honest (f + 1)."""
        return weight * 3 > self.total_power

    def reached_by_honest_part(self, reached: Sequence[int]) -> int:
        """Return the highest of numbers, one per validator, that more than a third reached."""
        weight = found = 0
        for index in sorted(range(len(reached)), key=reached.__getitem__, reverse=True):
            weight += self.power_of(index)
            found = reached[index]
            if self.is_honest_part(weight):
                break
        return found


def check_certificate(certificate: CommitCertificate, validators: ValidatorSet) -> list[str]:
    """Return everything wrong with a certificate's form and weight; signatures apart.

    The caller verifies the signatures (each is a precommit of the certificate's height, round
    and block) and that the height and block are the ones it wants.
    """
    findings = []
    if certificate.height < 1 or certificate.round < 0:
        findings.append(f"height {certificate.height}, round {certificate.round} out of range")
    if not certificate.block_id:
        findings.append("a certificate is for a block, not for nil")
    weight = 0
    previous = -1
    for index, _signature in certificate.signatures:
        if index <= previous:
            findings.append(f"validator index {index} after {previous}: must ascend")
        elif index >= len(validators):
            findings.append(f"validator index {index} outside a set of {len(validators)}")
        else:
            weight += validators.power_of(index)
        previous = max(previous, index)
    if not validators.is_quorum(weight):
        findings.append(f"power {weight} of {validators.total_power} is not more than two thirds")
    return findings

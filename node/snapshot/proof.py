"""Which header a joiner may believe, when it knows genesis or one trusted header alone.

The validators are followed from genesis over every block that changed them; each such block, and
the snapshot's own, is signed by the set in force at its height. A trusted header pins that path:
whoever holds the keys of validators of long ago cannot lead past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.ledger.block import Header, decode_header
from node.ledger.certificate import decode_certificate, validate_certificate
from node.ledger.proof_paths import TrustedBlock
from node.snapshot.format import Manifest
from node.snapshot.wire import ValidatorChange
from vm.primitives.errors import InvalidProof
from vm.system.validator_history import ValidatorHistory
from vm.system.validators import Validator, decode_validators, validators_hash


@dataclass(frozen=True, slots=True)
class _Reign:
    """A set of validators and where it begins to decide."""

    first: int
    digest: bytes
    validators: tuple[Validator, ...]


class ValidatorPath:
    """The sets of validators from genesis on, as far as they are proved."""

    def __init__(self, genesis: Header, validators: Sequence[Validator]) -> None:
        """Begin with the set that genesis names."""
        self._genesis = genesis.genesis
        self._reigns = [_Reign(1, genesis.next_validators, tuple(validators))]
        self.changes: list[ValidatorChange] = []

    @property
    def height(self) -> int:
        """The height of the last change followed, 0 at genesis."""
        return self._reigns[-1].first - 1

    def follow(self, change: ValidatorChange) -> None:
        """Take the next change; raises InvalidProof or DecodeError."""
        header = decode_header(change.header)
        if header.height <= self.height or header.next_validators == header.validators:
            raise InvalidProof("not the next change of validators", actual=header.height)
        self._validate(header, change.certificate)
        digest = validators_hash(change.validators)
        if digest != header.next_validators:
            raise InvalidProof(
                "the validators are not those that the header names",
                expected=header.next_validators,
                actual=digest,
            )
        validators = decode_validators(change.validators)
        self._reigns.append(_Reign(header.height + 1, digest, validators))
        self.changes.append(change)

    def validate_head(
        self, manifest: Manifest, trusted: TrustedBlock | None, pinned: Header | None
    ) -> None:
        """Raise InvalidProof unless the snapshot's block is final.

        `pinned` is the trusted header, as a peer gave it.
        """
        header = manifest.header
        if header.genesis != self._genesis:
            raise InvalidProof("the snapshot is of another network", expected=self._genesis)
        if not manifest.certificate:
            if trusted is None or header.block_id() != trusted.block_id:
                raise InvalidProof(
                    "a snapshot without commit certificate is believed where it is of the trusted "
                    "header itself",
                    actual=header.height,
                )
            return
        if trusted is not None:
            self._validate_trust(header, trusted, pinned)
        self._validate(header, manifest.certificate)

    def validate_history(self, header: Header, proved: ValidatorHistory) -> None:
        """Raise InvalidProof if a change up to a snapshot's block was left out.

        `proved` is what the block's state says. Changes that cancel out would else pass unseen, and
        the joiner would judge evidence of their time by other validators than everybody else.
        """
        history = ValidatorHistory()
        for change in self.changes:
            step = decode_header(change.header)
            history = history.after(step.height, step.next_validators)
        if header.next_validators != header.validators:
            history = history.after(header.height, header.next_validators)
        if history != proved:
            raise InvalidProof(
                "not all changes of the validators were told",
                expected=f"{proved.digest.hex()}, the last at {proved.height}",
                actual=f"{history.digest.hex()}, the last at {history.height}",
            )

    def _validate_trust(self, header: Header, trusted: TrustedBlock, pinned: Header | None) -> None:
        if header.height < trusted.height:
            raise InvalidProof(
                "the snapshot is older than the trusted header",
                expected=f"at least {trusted.height}",
                actual=header.height,
            )
        if pinned is None or (pinned.height, pinned.block_id()) != (
            trusted.height,
            trusted.block_id,
        ):
            raise InvalidProof("the trusted header is not on the chain", actual=trusted.height)
        if header.height == trusted.height and header != pinned:
            raise InvalidProof("the snapshot is of another block than the trusted header")
        reign = self._reign_at(trusted.height)
        if trusted.height and reign.digest != pinned.validators:
            raise InvalidProof("the validators do not lead to the trusted header")
        if self._reign_at(trusted.height + 1).digest != pinned.next_validators:
            raise InvalidProof("the validators do not lead on from the trusted header")

    def _validate(self, header: Header, certificate: bytes) -> None:
        reign = self._reign_at(header.height)
        if header.genesis != self._genesis:
            raise InvalidProof("the header is of another network", expected=self._genesis)
        if header.validators != reign.digest:
            raise InvalidProof(
                f"block {header.height} names other validators than those in force",
                expected=reign.digest,
                actual=header.validators,
            )
        validate_certificate(
            decode_certificate(certificate),
            self._genesis,
            reign.validators,
            height=header.height,
            block_id=header.block_id(),
        )

    def _reign_at(self, height: int) -> _Reign:
        for reign in reversed(self._reigns):
            if reign.first <= height:
                return reign
        return self._reigns[0]

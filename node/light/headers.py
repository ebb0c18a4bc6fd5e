"""The chain of headers as a light node trusts it: verified from a beginning on, step by step.

Headers are chained by their parents' ids, so one certificate proves all headers before it that the
same validators decided. A header that names other validators needs a certificate of its own: those
whom it names are trusted only because those before them signed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from node.ledger.block import Header, decode_header
from node.ledger.proof_paths import Trust, TrustedBlock, trust_after
from node.ledger.proofs import Finality, validate_finality
from vm.primitives.errors import InvalidProof

MAX_EPOCHS: Final = 4_096
"""How many sets of validators are remembered; what the forgotten ones decided is not provable."""


class HeaderChain:
    """What is trusted: the last verified header, and who decided which heights."""

    def __init__(self, genesis: bytes, begin: Trust | TrustedBlock) -> None:
        """Begin with the validators of genesis, or with one trusted block that is still to come."""
        self.genesis = genesis
        self.begin = begin
        self.head: Header | None = None
        self.head_id = b""
        self.epochs: list[tuple[int, bytes]] = []
        """First height and hash of each set, ascending."""
        if isinstance(begin, Trust):
            self.epochs.append((begin.height, begin.validators))

    @property
    def height(self) -> int:
        """The height of the last verified header; just below the beginning without one."""
        return self.head.height if self.head is not None else self.begin.height - 1

    @property
    def validator_changes(self) -> int:
        """How often other validators came into force since the beginning, as far as remembered."""
        return len(self.epochs) - 1 if self.head is not None else 0

    def restore(self, head: Header, epochs: Sequence[tuple[int, bytes]]) -> None:
        """Go on from what was verified before."""
        self.head, self.head_id, self.epochs = head, head.block_id(), list(epochs)

    def validators_at(self, height: int) -> bytes | None:
        """Return the hash of the set that decides `height`; None below the beginning."""
        for first, validators in reversed(self.epochs):
            if first <= height:
                return validators
        return None

    def extend(self, entries: Sequence[Finality]) -> None:
        """Verify the headers after the last one; raises InvalidProof or DecodeError.

        Those up to the last certificate that held stay verified then.
        """
        previous, previous_id = self.head, self.head_id
        for entry in entries:
            header = decode_header(entry.header)
            if previous is None and isinstance(self.begin, TrustedBlock):
                self._begin_with(header)
            else:
                self._validate_link(header, previous, previous_id)
                if entry.certificate:
                    self._certify(entry, header)
                elif header.next_validators != header.validators:
                    raise InvalidProof(
                        "a change of the validators comes without a certificate",
                        actual=header.height,
                    )
            previous, previous_id = header, header.block_id()
        if not entries or previous is not self.head:
            raise InvalidProof("the headers end without a certificate", actual=len(entries))

    def validate_final(self, finality: Finality) -> Header:
        """Return the header of a block at most as high as the last; raises InvalidProof."""
        header = decode_header(finality.header)
        validators = self.validators_at(header.height)
        if validators is None or header.height > self.height:
            least = self.epochs[0][0] if self.epochs else self.begin.height
            raise InvalidProof(
                "the block is none of those that were verified here",
                expected=f"{least} to {self.height}",
                actual=header.height,
                hint="Begin at an earlier block to prove older things.",
            )
        validate_finality(finality, genesis=self.genesis, validators=validators)
        if header.height == self.height and header.block_id() != self.head_id:
            raise InvalidProof(
                "two blocks of one height carry certificates: the validators broke their promise",
                expected=self.head_id,
                actual=header.block_id(),
            )
        return header

    def _begin_with(self, header: Header) -> None:
        begin = self.begin
        if not isinstance(begin, TrustedBlock) or header.genesis != self.genesis:
            raise InvalidProof("the trusted block is of another network", actual=header.genesis)
        if (header.height, header.block_id()) != (begin.height, begin.block_id):
            raise InvalidProof(
                "this is not the trusted block",
                expected=f"{begin.height} {begin.block_id.hex()}",
                actual=f"{header.height} {header.block_id().hex()}",
                hint="If all peers say so, `trust` in node.toml is wrong.",
            )
        self._advance(header)

    def _validate_link(self, header: Header, previous: Header | None, previous_id: bytes) -> None:
        trust = self.begin if previous is None else trust_after(previous)
        if not isinstance(trust, Trust):
            raise InvalidProof("the headers do not begin at the trusted block")
        for what, expected, actual in (
            ("network", self.genesis, header.genesis),
            ("height", trust.height, header.height),
            ("validators", trust.validators, header.validators),
            ("parent", previous_id or header.parent, header.parent),
        ):
            if expected != actual:
                raise InvalidProof(
                    f"a header has another {what} than follows from the one before",
                    expected=expected,
                    actual=actual,
                )

    def _certify(self, entry: Finality, header: Header) -> None:
        validate_finality(entry, genesis=self.genesis, validators=self.epochs[-1][1])
        self._advance(header)

    def _advance(self, header: Header) -> None:
        self.head, self.head_id = header, header.block_id()
        if not self.epochs or header.next_validators != self.epochs[-1][1]:
            self.epochs.append((header.height + 1, header.next_validators))
            del self.epochs[:-MAX_EPOCHS]

"""The signer: a validator's vote key behind a guard that never contradicts itself.

One preallocated file with two checksummed slots, written in turn; one fdatasync covers all that
is signed under it. What the file does not allow is not signed, also after a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consensus.messages import Proposal, SigningState, Step, Vote, check_succession, covers
from node.disk import Disk
from node.ledger.certificate import message_digest
from node.store import AlreadyOpen, StorageFailure
from vm.primitives.codec import Encodable, Value, decode, encode
from vm.primitives.errors import BitenergyError, InvariantViolation
from vm.primitives.hashing import tag, tagged_hash
from vm.primitives.signatures import public_key, sign

SLOT_BYTES: Final = 16_384
_TAG_SLOT = tag("signing/slot")
_CHECKSUM_BYTES = 32


class Signer:
    """A vote key and the file that remembers what it signed."""

    def __init__(
        self, path: Path, seed: bytes, genesis: bytes, *, disk: Disk | None = None
    ) -> None:
        """Open the file, or begin one; raises AlreadyOpen or StorageFailure."""
        self._disk = disk or Disk()
        self._seed = seed
        self._genesis = genesis
        self.vote_key = public_key(seed)
        self.state: SigningState | None = None
        self.syncs = 0
        self._sequence = 0
        self._failed = False
        try:
            if not self._disk.exists(path):
                # Whole or not at all, so that a missing part always means damage.
                self._disk.create(path, self._record(0, []).ljust(2 * SLOT_BYTES, b"\0"))
            self._file = self._disk.open(path)
        except OSError as error:
            raise StorageFailure(f"the signing file {path} cannot be had: {error}") from error
        try:
            self._disk.lock(self._file)
        except OSError as error:
            self.close()
            raise AlreadyOpen(
                "another process signs with this key", actual=path, hint="Stop the other node."
            ) from error
        try:
            self._load(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up its lock."""
        self._disk.close(self._file)

    def persist(self, state: SigningState) -> None:
        """Write and sync what is about to be signed; raises StorageFailure on a disk error.

        A state equal to the one on disk costs nothing.
        """
        if self._failed:
            raise StorageFailure("the signing file failed before; restart the node")
        if state == self.state:
            return
        findings = check_succession(self.state, state)
        if findings:
            raise InvariantViolation(f"the engine would contradict itself: {'; '.join(findings)}")
        self._sequence += 1
        record = self._record(self._sequence, _encode_state(state))
        try:
            offset = (self._sequence % 2) * SLOT_BYTES
            self._disk.write(self._file, record, offset)
            self._disk.sync(self._file)
        except OSError as error:
            self._failed = True
            raise StorageFailure(f"the signing file could not be written: {error}") from error
        self.syncs += 1
        self.state = state

    def sign(self, message: Vote | Proposal) -> bytes:
        """Return the signature of a vote or proposal that the synced state covers."""
        if self.state is None or not covers(self.state, message):
            raise InvariantViolation("the engine asked for a signature without persisting it first")
        return sign(self._seed, message_digest(self._genesis, message))

    def knows(self, message: Vote | Proposal) -> bool:
        """Tell whether the file accounts for a message that the key signed."""
        state = self.state
        if state is None:
            return False
        is_past = (message.height, message.round) < (state.height, state.round)
        return is_past or covers(state, message)

    def _record(self, sequence: int, fields: Sequence[Encodable]) -> bytes:
        payload = encode([sequence, self._genesis, self.vote_key, fields])
        record = len(payload).to_bytes(4, "big") + payload
        record = tagged_hash(_TAG_SLOT, record) + record
        if len(record) > SLOT_BYTES:
            raise InvariantViolation(f"a signing state of {len(record)} bytes does not fit")
        return record

    def _load(self, path: Path) -> None:
        slots = [self._disk.read(self._file, SLOT_BYTES, place * SLOT_BYTES) for place in (0, 1)]
        records = [record for record in map(_decode_slot, slots) if record is not None]
        if not records:
            raise StorageFailure(
                f"{path} is damaged in both slots. This validator must not sign with this key "
                "any more: rotate its vote key with `bitenergy member set --vote-key`."
            )
        sequence, genesis, key, state = max(records, key=lambda record: record[0])
        if (genesis, key) != (self._genesis, self.vote_key):
            raise StorageFailure(f"{path} belongs to another network or another vote key")
        self._sequence, self.state = sequence, state


def _encode_state(state: SigningState) -> tuple[Encodable, ...]:
    return (
        state.height,
        state.round,
        int(state.step),
        state.locked_round,
        state.locked_block,
        state.valid_round,
        state.valid_block,
        state.valid_proof,
        state.proposal_block,
        state.proposal_pol_round,
        state.prevote_block,
        state.precommit_block,
    )


def _decode_slot(slot: bytes) -> tuple[int, bytes, bytes, SigningState | None] | None:
    length = int.from_bytes(slot[_CHECKSUM_BYTES : _CHECKSUM_BYTES + 4], "big")
    record = slot[_CHECKSUM_BYTES : _CHECKSUM_BYTES + 4 + length]
    if not length or tagged_hash(_TAG_SLOT, record) != slot[:_CHECKSUM_BYTES]:
        return None
    try:
        value = decode(record[4:], max_bytes=SLOT_BYTES)
    except BitenergyError:
        return None
    match value:
        case (int(sequence), bytes(genesis), bytes(key), tuple(fields)):
            return sequence, genesis, key, _decode_state(fields) if fields else None
    return None


def _decode_state(fields: tuple[Value, ...]) -> SigningState:
    match fields:
        case (
            int(height),
            int(round_),
            int(step),
            int(locked_round),
            bytes(locked_block),
            int(valid_round),
            bytes(valid_block),
            tuple(valid_proof),
            (bytes() | None) as proposal_block,
            int(proposal_pol_round),
            (bytes() | None) as prevote_block,
            (bytes() | None) as precommit_block,
        ):
            return SigningState(
                height,
                round_,
                Step(step),
                locked_round,
                locked_block,
                valid_round,
                valid_block,
                tuple(_signature(entry) for entry in valid_proof),
                proposal_block,
                proposal_pol_round,
                prevote_block,
                precommit_block,
            )
    raise StorageFailure("the signing file holds a state of another version")


def _signature(entry: Value) -> tuple[int, bytes]:
    match entry:
        case (int(place), bytes(signature)):
            return place, signature
    raise StorageFailure("the signing file holds a state of another version")

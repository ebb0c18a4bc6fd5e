"""The signer: one sync for all that is signed under it, and never a contradiction, crash or not."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import NO_ROUND, Proposal, SigningState, Step, Vote, VoteKind
from node.ledger.certificate import message_digest
from node.signer import SLOT_BYTES, Signer
from node.store import AlreadyOpen, StorageFailure
from vm.primitives.errors import InvariantViolation
from vm.primitives.signatures import public_key, verify_signature

GENESIS = b"g" * 32
SEED = b"s" * 32
A, B = b"a" * 32, b"b" * 32


def state(height: int, round_: int = 0, **fields: object) -> SigningState:
    step = Step.PRECOMMIT if "precommit_block" in fields else Step.PREVOTE
    if "prevote_block" not in fields and "precommit_block" not in fields:
        step = Step.PROPOSE
    return SigningState(height, round_, step, **fields)  # type: ignore[arg-type]


def prevote(height: int, block_id: bytes, round_: int = 0) -> Vote:
    return Vote(VoteKind.PREVOTE, height, round_, block_id, 0)


def open_signer(path: Path) -> Signer:
    return Signer(path / "signing", SEED, GENESIS)


def flip(path: Path, slot: int, place: int = 50) -> None:
    file = path / "signing"
    data = bytearray(file.read_bytes())
    data[slot * SLOT_BYTES + place] ^= 1
    file.write_bytes(data)


def test_one_sync_covers_all_that_is_signed_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: synced.append(handle) or real(handle))
    signer = open_signer(tmp_path)
    said = state(5, proposal_block=A, prevote_block=A)
    signer.persist(said)
    signer.persist(said)  # equal to what is on disk
    vote, proposal = prevote(5, A), Proposal(5, 0, A, NO_ROUND, 0)
    for message in (vote, proposal):
        digest = message_digest(GENESIS, message)
        assert verify_signature(public_key(SEED), digest, signer.sign(message))
    assert len(synced) == signer.syncs == 1
    signer.persist(replace(said, step=Step.PRECOMMIT, precommit_block=A))
    assert len(synced) == signer.syncs == 2
    size = (tmp_path / "signing").stat().st_size
    assert size == 2 * SLOT_BYTES  # preallocated: a sync writes no metadata
    signer.close()


def test_what_was_persisted_is_there_after_a_crash(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    said = state(
        7,
        2,
        prevote_block=A,
        locked_round=1,
        locked_block=B,
        valid_round=1,
        valid_block=B,
        valid_proof=((0, b"x" * 64), (2, b"y" * 64)),
    )
    signer.persist(said)
    signer.close()  # it crashed between the write and the signature
    signer = open_signer(tmp_path)
    assert signer.state == said
    signer.persist(said)
    assert signer.syncs == 0
    assert signer.sign(prevote(7, A, 2))
    with pytest.raises(InvariantViolation, match="would change"):
        signer.persist(replace(said, prevote_block=B))
    signer.close()


def test_a_torn_slot_leaves_the_one_before(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    for height in (1, 2, 3):
        signer.persist(state(height, prevote_block=A))
    signer.close()
    flip(tmp_path, 3 % 2)  # the third write
    signer = open_signer(tmp_path)
    assert signer.state == state(2, prevote_block=A)
    # The next write does not go over the only good slot.
    signer.persist(state(4, prevote_block=A))
    signer.close()
    flip(tmp_path, 3 % 2)
    signer = open_signer(tmp_path)
    assert signer.state == state(2, prevote_block=A)
    signer.close()


def test_two_damaged_slots_are_refused(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))
    signer.persist(state(2, prevote_block=A))
    signer.close()
    for slot in (0, 1):
        flip(tmp_path, slot)
    with pytest.raises(StorageFailure, match="both slots"):
        open_signer(tmp_path)


@pytest.mark.parametrize("size", [1, 100, SLOT_BYTES + 10])
def test_a_cut_file_is_refused_or_right(tmp_path: Path, size: int) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))
    signer.persist(state(2, prevote_block=B))
    signer.close()
    os.truncate(tmp_path / "signing", size)
    try:
        signer = open_signer(tmp_path)
    except StorageFailure:
        return
    assert signer.state == state(2, prevote_block=B)
    signer.close()


def test_an_emptied_file_is_refused(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))
    signer.close()
    os.truncate(tmp_path / "signing", 0)
    with pytest.raises(StorageFailure):
        open_signer(tmp_path)


def test_a_file_of_zeros_is_refused(tmp_path: Path) -> None:
    (tmp_path / "signing").write_bytes(bytes(2 * SLOT_BYTES))
    with pytest.raises(StorageFailure, match="both slots"):
        open_signer(tmp_path)


def test_a_half_made_file_of_a_crash_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "signing.new").write_bytes(b"half")
    signer = open_signer(tmp_path)
    assert signer.state is None
    assert (tmp_path / "signing").stat().st_mode & 0o777 == 0o600
    signer.close()


def test_another_key_or_network_is_refused(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))
    signer.close()
    for seed, genesis in ((b"t" * 32, GENESIS), (SEED, b"h" * 32)):
        with pytest.raises(StorageFailure, match="another network or another vote key"):
            Signer(tmp_path / "signing", seed, genesis)
    open_signer(tmp_path).close()  # a refusal leaves no lock behind


def test_a_second_signer_on_the_file_is_refused(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    with pytest.raises(AlreadyOpen):
        open_signer(tmp_path)
    signer.close()
    open_signer(tmp_path).close()


def test_a_file_set_back_does_not_make_the_process_sign_again(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))
    shutil.copy(tmp_path / "signing", tmp_path / "copy")
    signer.persist(state(2, prevote_block=A))
    (tmp_path / "signing").write_bytes((tmp_path / "copy").read_bytes())
    with pytest.raises(InvariantViolation):
        signer.persist(state(2, prevote_block=B))
    with pytest.raises(InvariantViolation):
        signer.persist(state(1, 1, prevote_block=B))
    with pytest.raises(InvariantViolation):
        signer.sign(prevote(1, A))
    signer.close()


def test_what_was_not_persisted_is_not_signed(tmp_path: Path) -> None:
    signer = open_signer(tmp_path)
    with pytest.raises(InvariantViolation):
        signer.sign(prevote(1, A))
    signer.persist(state(1, prevote_block=A))
    for message in (prevote(1, B), prevote(2, A), prevote(1, A, 1), Proposal(1, 0, A, -1, 0)):
        with pytest.raises(InvariantViolation):
            signer.sign(message)
    signer.close()


def test_a_disk_error_signs_nothing_and_never_comes_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = open_signer(tmp_path)
    signer.persist(state(1, prevote_block=A))

    def fail(handle: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        with pytest.raises(StorageFailure):
            signer.persist(state(2, prevote_block=A))
    assert signer.state == state(1, prevote_block=A)
    with pytest.raises(InvariantViolation):
        signer.sign(prevote(2, A))
    # The page cache may hold what the disk lost: after one failure no sync is believed.
    with pytest.raises(StorageFailure):
        signer.persist(state(2, prevote_block=A))
    signer.close()


STATES = st.builds(
    lambda height, round_, proposal, pre, post: SigningState(
        height,
        round_,
        Step.PRECOMMIT if post is not None else Step.PREVOTE if pre is not None else Step.PROPOSE,
        proposal_block=proposal,
        prevote_block=pre,
        precommit_block=post,
    ),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sampled_from([None, A, B]),
    st.sampled_from([None, b"", A, B]),
    st.sampled_from([None, b"", A, B]),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(STATES, st.booleans()), max_size=25))
def test_no_sequence_makes_it_sign_two_things(steps: list[tuple[SigningState, bool]]) -> None:
    signed: dict[tuple[object, ...], bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        signer = open_signer(Path(folder))
        for wanted, restart in steps:
            if restart:
                signer.close()
                signer = open_signer(Path(folder))
            try:
                signer.persist(wanted)
            except InvariantViolation:
                continue
            for kind, block_id in (
                (VoteKind.PREVOTE, wanted.prevote_block),
                (VoteKind.PRECOMMIT, wanted.precommit_block),
            ):
                if block_id is not None:
                    signer.sign(Vote(kind, wanted.height, wanted.round, block_id, 0))
                    key = (kind, wanted.height, wanted.round)
                    assert signed.setdefault(key, block_id) == block_id
            if wanted.proposal_block is not None:
                signer.sign(Proposal(wanted.height, wanted.round, wanted.proposal_block, -1, 0))
                key = ("proposal", wanted.height, wanted.round)
                assert signed.setdefault(key, wanted.proposal_block) == wanted.proposal_block
        signer.close()

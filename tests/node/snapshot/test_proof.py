"""Which snapshot's header a joiner believes: certificates by the validators in force, or trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consensus.messages import CommitCertificate, Vote, VoteKind
from node.chain import Chain
from node.ledger.certificate import decode_certificate, encode_certificate, message_digest
from node.ledger.chain_rules import Candidate
from node.ledger.genesis import decode_genesis
from node.ledger.proof_paths import TrustedBlock
from node.modules import make_runtime
from node.snapshot.format import Manifest
from node.snapshot.proof import ValidatorPath
from node.snapshot.serving import read_changes
from node.store import Store
from tests.node.network import genesis_document, make_transaction, seed
from tests.node.test_store import build
from vm.primitives.errors import BitenergyError
from vm.primitives.signatures import public_key, sign
from vm.system.validator_history import read_history

NAMES = ("V0", "V1", "V2")
NEW = seed("a new vote key")


@dataclass(frozen=True, slots=True)
class Built:
    """A chain in which V2 changed its vote key at block 2."""

    chain: Chain

    def path(self, *, changes: int = 99) -> ValidatorPath:
        genesis = self.chain.store.head(0)
        first = self.chain.store.validators_at(1)
        assert genesis and first
        path = ValidatorPath(genesis.header, first)
        for change in read_changes(self.chain, 0)[:changes]:
            path.follow(change)
        return path

    def manifest(self, height: int = 4) -> Manifest:
        head, stored = self.chain.store.head(height), self.chain.store.head_bytes(height)
        assert head and stored
        return Manifest(head.header, stored[1], 1)


def certificate(
    chain: Chain, block: Candidate, names: Sequence[str], *, round_: int = 0, signed: int = 0
) -> CommitCertificate:
    """Return a certificate of round `round_` with signatures made for round `signed`."""
    vote = Vote(VoteKind.PRECOMMIT, block.header.height, signed, block.block_id, 0)
    digest = message_digest(chain.genesis.digest, vote)
    seeds = {public_key(item): item for item in [*(seed(f"vote {name}") for name in names), NEW]}
    signatures = tuple(
        (place, sign(seeds[validator.vote_key], digest))
        for place, validator in enumerate(chain.validators)
        if validator.vote_key in seeds
    )
    return CommitCertificate(block.header.height, round_, block.block_id, signatures)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    genesis = decode_genesis(genesis_document(NAMES, time_ms=1))
    chain = Chain(Store(tmp_path), make_runtime(genesis.roles), genesis)
    for height in range(1, 5):
        rotate = make_transaction(genesis, "V2", 0, ("members", "set_vote_key", (public_key(NEW),)))
        block = build(chain, [rotate] if height == 2 else [])
        decided = certificate(chain, block, NAMES)
        chain.write(block, decided)
        chain.advance(block, decided)
    return Built(chain)


def test_validators_are_followed_over_their_changes(built: Built) -> None:
    built.path().validate_head(built.manifest(), None, None)
    built.path(changes=0).validate_head(built.manifest(2), None, None)
    assert built.path().height == 2


def test_changes_that_cancel_out_cannot_be_kept_back(tmp_path: Path) -> None:
    """V2's vote key changes and changes back: the path without both still leads to the head."""
    genesis = decode_genesis(genesis_document(NAMES, time_ms=1))
    chain = Chain(Store(tmp_path), make_runtime(genesis.roles), genesis)
    for height in range(1, 6):
        key = NEW if height == 2 else seed("vote V2")
        call = ("members", "set_vote_key", (public_key(key),))
        rotate = make_transaction(genesis, "V2", height // 4, call)
        block = build(chain, [rotate] if height in (2, 4) else [])
        decided = certificate(chain, block, NAMES)
        chain.write(block, decided)
        chain.advance(block, decided)
    built = Built(chain)
    changes, proved = read_changes(chain, 0), read_history(chain.store)
    assert len(changes) == 2 and proved.height == 4
    manifest = built.manifest(5)
    whole, hiding = built.path(), built.path(changes=0)
    for path in (whole, hiding):
        path.validate_head(manifest, None, None)
    whole.validate_history(manifest.header, proved)
    with pytest.raises(BitenergyError, match="not all changes"):
        hiding.validate_history(manifest.header, proved)
    # The change that the snapshot's own block makes is told by its header.
    built.path(changes=1).validate_history(built.manifest(4).header, proved)


def test_last_epochs_validators_decide_nothing(built: Built) -> None:
    with pytest.raises(BitenergyError, match="other validators"):
        built.path(changes=0).validate_head(built.manifest(), None, None)
    chain = built.chain
    header = replace(built.manifest().header, validators=built.manifest(1).header.validators)
    old = replace(built.manifest(), header=header)
    with pytest.raises(BitenergyError):
        built.path().validate_head(old, None, None)
    assert chain.validators != chain.store.validators_at(1)


@pytest.mark.parametrize("damage", ["twice", "rounds", "two thirds", "other block", "no network"])
def test_certificates_that_decide_nothing(built: Built, damage: str) -> None:
    manifest = built.manifest()
    found = decode_certificate(manifest.certificate)
    signatures = found.signatures
    match damage:
        case "twice":
            found = replace(found, signatures=(signatures[0], signatures[1], signatures[1]))
        case "rounds":
            found = replace(found, round=1)
        case "two thirds":
            found = replace(found, signatures=signatures[:2])
        case "other block":
            manifest = replace(manifest, header=replace(manifest.header, time_ms=5_000))
        case "no network":
            manifest = replace(manifest, header=replace(manifest.header, genesis=bytes(32)))
    with pytest.raises(BitenergyError):
        built.path().validate_head(
            replace(manifest, certificate=encode_certificate(found)), None, None
        )


@pytest.mark.parametrize("damage", ["certificate", "set", "order", "header"])
def test_changes_that_lead_nowhere(built: Built, damage: str) -> None:
    (change,) = read_changes(built.chain, 0)
    path = built.path(changes=0)
    match damage:
        case "certificate":
            change = replace(change, certificate=built.manifest(1).certificate)
        case "set":
            change = replace(change, validators=change.validators[:-1] + b"\0")
        case "order":
            path.follow(change)
        case "header":
            head = built.chain.store.head_bytes(3)
            assert head
            change = replace(change, header=head[0], certificate=head[1])
    with pytest.raises(BitenergyError):
        path.follow(change)


def test_a_trusted_header_pins_the_path(built: Built) -> None:
    pinned = built.manifest(3).header
    trusted = TrustedBlock(3, pinned.block_id())
    path, manifest = built.path(), built.manifest()
    path.validate_head(manifest, trusted, pinned)
    path.validate_head(built.manifest(3), trusted, pinned)
    other = replace(pinned, time_ms=7_777)
    for bad, header in (
        (trusted, None),
        (trusted, other),
        (TrustedBlock(3, other.block_id()), other),
        (TrustedBlock(3, replace(pinned, validators=bytes(32)).block_id()), None),
    ):
        with pytest.raises(BitenergyError):
            if header is other and bad is not trusted:
                built.path().validate_head(built.manifest(3), bad, header)
            else:
                path.validate_head(manifest, bad, header)
    with pytest.raises(BitenergyError, match="older than"):
        path.validate_head(built.manifest(2), trusted, pinned)
    forged = replace(pinned, validators=bytes(32))
    with pytest.raises(BitenergyError, match="lead to"):
        path.validate_head(manifest, TrustedBlock(3, forged.block_id()), forged)


def test_without_certificates_only_the_trusted_block_itself_is_believed(built: Built) -> None:
    bare = replace(built.manifest(), certificate=b"")
    with pytest.raises(BitenergyError, match="trusted header itself"):
        built.path().validate_head(bare, None, None)
    trusted = TrustedBlock(4, bare.header.block_id())
    built.path().validate_head(bare, trusted, bare.header)

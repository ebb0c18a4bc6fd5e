"""The sizes that proofs are promised to stay below, measured on a large state."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest

from consensus.messages import CommitCertificate, Vote, VoteKind
from node.ledger.block import Header
from node.ledger.certificate import encode_certificate, message_digest
from node.ledger.proofs import AccountProof, Finality, prove_state, verify_account_proof
from node.ledger.state_tree import TreeUpdate, update_tree
from vm.primitives.signatures import public_key, sign
from vm.system.accounts import Account, account_key
from vm.system.validators import Validator, encode_validators, validators_hash

ACCOUNTS = 100_000
GENESIS = sha256(b"genesis").digest()
LARGEST = 2**63 - 1


def account_id_of(number: int) -> bytes:
    return sha256(b"account %d" % number).digest()[:20]


def leaf(number: int) -> bytes:
    """The longest leaf that an account can have."""
    key = sha256(b"key %d" % number).digest()
    return Account(key, LARGEST, 2, *[LARGEST] * 5).encode()


@cache
def large_state() -> TreeUpdate:
    return update_tree(
        lambda path: None, {account_key(account_id_of(n)): leaf(n) for n in range(ACCOUNTS)}
    )


def finality(validators_count: int) -> Finality:
    """A final header over the large state, signed by everyone, with numbers as long as can be."""
    seeds = {
        sha256(b"%d" % n).digest()[:20]: sha256(b"seed %d" % n).digest()
        for n in range(validators_count)
    }
    validators = [Validator(public_key(seeds[one]), 2**53 - 1, one) for one in sorted(seeds)]
    data = encode_validators(validators)
    root = validators_hash(data)
    header = Header(
        GENESIS,
        LARGEST,
        LARGEST,
        *[bytes(32)] * 4,
        large_state().root,
        bytes(32),
        root,
        root,
        bytes(32),
        LARGEST,
        bytes(20),
        b"",
    )
    vote = Vote(VoteKind.PRECOMMIT, header.height, 2**31 - 1, header.block_id(), 0)
    digest = message_digest(GENESIS, vote)
    signatures = tuple((n, sign(seeds[one.account], digest)) for n, one in enumerate(validators))
    certificate = CommitCertificate(vote.height, vote.round, vote.block_id, signatures)
    return Finality(header.encode(), encode_certificate(certificate), data)


@pytest.mark.parametrize(("validators", "most_bytes"), [(4, 4_096), (16, 6_144)])
def test_finality_and_inclusion_of_an_account_are_small(validators: int, most_bytes: int) -> None:
    decided = finality(validators)
    trusted = validators_hash(decided.validators)
    sizes = []
    for number in range(0, ACCOUNTS, 997):
        key = account_key(account_id_of(number))
        tree = prove_state(large_state().pages.get, key)
        proof = AccountProof(decided, key, leaf(number), tree)
        sizes.append(len(proof.encode()))
        if number % 9_970 == 0:
            assert verify_account_proof(proof, genesis=GENESIS, validators=trusted)
    assert len(sizes) == 101
    print(f"{validators} validators, {ACCOUNTS} accounts: {min(sizes)} to {max(sizes)} bytes")
    assert max(sizes) <= most_bytes

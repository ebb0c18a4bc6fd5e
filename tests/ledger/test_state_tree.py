"""The root depends on the entries alone; proofs show what is there and what not, in 4 KB."""

import random
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.messages import CommitCertificate
from node.ledger.block import Header
from node.ledger.certificate import encode_certificate
from node.ledger.proofs import (
    AccountProof,
    Finality,
    StateProof,
    decode_account_proof,
    decode_transaction_proof,
    prove_state,
    validate_account_proof,
    verify_account_proof,
    verify_state_proof,
    verify_transaction_proof,
)
from node.ledger.state_tree import key_hash, leaf_hash, node_hash, tree_root, update_tree
from tests.ledger.support import Chain, MemoryState, certify
from tests.vectors.chain_inputs import account_proof_of, final_chain, transaction_proof_of
from vm.primitives.errors import BitenergyError, InvariantViolation
from vm.system.accounts import account_key
from vm.system.validators import Validator, encode_validators, read_validators

KEYS = st.sampled_from([b"k%d" % number for number in range(40)])
BATCHES = st.lists(
    st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=12), max_size=8
)


def plain_root(entries: dict[bytes, bytes]) -> bytes:
    """The definition of the root, without pages and without the code under test."""
    leaves = {}
    for key, value in entries.items():
        place = sha256(b"\x09state/key" + key).digest()
        held = sha256(b"\x0bstate/value" + value).digest()
        path = "".join(f"{byte:08b}" for byte in place)
        leaves[path] = sha256(b"\x0astate/leaf" + place + held).digest()

    def subtree(paths: list[str], depth: int) -> bytes:
        if not paths:
            return bytes(32)
        if len(paths) == 1:
            return leaves[paths[0]]
        children = [
            subtree([path for path in paths if path[depth : depth + 2] == two], depth + 2)
            for two in ("00", "01", "10", "11")
        ]
        return sha256(b"\x0astate/node" + b"".join(children)).digest()

    return subtree(list(leaves), 0)


def grind(prefix_bits: int, count: int) -> list[bytes]:
    """Return keys whose hashes begin with the same bits, to make the tree deep."""
    found: list[bytes] = []
    number = 0
    wanted = None
    while len(found) < count:
        key = b"g%d" % number
        head = (
            int.from_bytes(sha256(b"\x09state/key" + key).digest()[:4], "big") >> 32 - prefix_bits
        )
        wanted = head if wanted is None else wanted
        if head == wanted:
            found.append(key)
        number += 1
    return found


def apply_batches(batches: list[dict]) -> tuple[bytes, dict[str, bytes], dict[bytes, bytes]]:
    """Run batches through stored pages; return the root, the pages and the entries."""
    pages: dict[str, bytes] = {}
    entries: dict[bytes, bytes] = {}
    root = bytes(32)
    for batch in batches:
        update = update_tree(pages.get, batch)
        root = update.root
        for path, page in update.pages.items():
            if page is None:
                pages.pop(path, None)
            else:
                pages[path] = page
        for key, value in batch.items():
            entries.pop(key, None)
            if value is not None:
                entries[key] = value
        assert tree_root(pages.get) == root
    return root, pages, entries


@settings(max_examples=150)
@given(BATCHES)
def test_root_and_pages_depend_on_the_entries_alone(batches: list[dict]) -> None:
    root, pages, entries = apply_batches(batches)
    assert root == plain_root(entries)
    fresh = MemoryState(entries)
    assert (fresh.root, {path: page for path, page in fresh.pages.items() if page}) == (root, pages)


def test_deep_common_paths_grow_and_collapse() -> None:
    keys = grind(14, 4)
    entries = dict.fromkeys(keys, b"v")
    root, pages, _ = apply_batches([entries])
    assert root == plain_root(entries)
    assert max(len(path) for path in pages) >= 3
    gone = [{key: None} for key in keys[1:]]
    root, pages, left = apply_batches([entries, *gone])
    assert root == plain_root(left)
    assert list(pages) == [""], "a lone leaf needs the root page only"
    root, pages, _ = apply_batches([entries, dict.fromkeys(keys)])
    assert (root, pages) == (bytes(32), {})


def test_index_keys_stay_outside() -> None:
    assert update_tree(lambda path: None, {b"i1": b"x"}).root == bytes(32)
    assert update_tree(lambda path: None, {b"q1": b"x"}).root != bytes(32)


def test_a_lost_page_is_noticed() -> None:
    keys = grind(14, 4)
    _, pages, _ = apply_batches([dict.fromkeys(keys, b"v")])
    deepest = max(pages, key=len)
    del pages[deepest]
    key = next(key for key in keys if key_hash(key).hex().startswith(deepest))
    with pytest.raises(InvariantViolation, match="damaged"):
        update_tree(pages.get, {key: b"w"})
    with pytest.raises(InvariantViolation):
        prove_state(pages.get, key)


@settings(max_examples=100)
@given(st.dictionaries(KEYS, st.binary(max_size=2), max_size=40), KEYS, st.binary(max_size=2))
def test_proofs_show_what_is_there_and_nothing_else(
    entries: dict[bytes, bytes], key: bytes, value: bytes
) -> None:
    state = MemoryState(entries)
    proof = prove_state(state.page, key)
    held = entries.get(key)
    assert verify_state_proof(state.root, key, held, proof)
    for claim in (None, value):
        assert verify_state_proof(state.root, key, claim, proof) == (claim == held)


def test_no_change_of_a_proof_is_another_proof() -> None:
    entries = {b"k%d" % number: b"v" for number in range(200)} | dict.fromkeys(grind(14, 3), b"w")
    state = MemoryState(entries)
    for key in [
        *list(entries)[:40],
        *grind(14, 3),
        *(b"absent%d" % number for number in range(40)),
    ]:
        held = entries.get(key)
        good = prove_state(state.page, key)
        bitmap, siblings, other = good.bitmap, good.siblings, good.other_leaf
        wrong = [
            StateProof(bitmap, (*siblings, bytes(32)), other),
            StateProof(bitmap, (*siblings, b"\1" * 32), other),
            StateProof(bitmap + b"\4", (*siblings, b"\1" * 32), other),
            StateProof(bitmap + b"\0", siblings, other),
            StateProof(b"\0" + bitmap, siblings, other),
            StateProof(bitmap[1:], siblings, other),
            StateProof(bitmap, siblings[:-1], other),
            StateProof(bitmap, siblings[::-1], other),
            StateProof(bytes([bitmap[0] | 8]) + bitmap[1:], siblings, other),
            StateProof(bitmap, siblings, other[:-1] if other else bytes(64)),
            StateProof(b"\1" * 129, (b"\1" * 32,) * 129, other),
        ]
        assert verify_state_proof(state.root, key, held, good)
        for number, one in enumerate(wrong):
            assert not verify_state_proof(state.root, key, held, one), (key, number)
            assert not verify_state_proof(state.root, key, None, one), (key, number)


def test_the_leaf_of_a_key_elsewhere_proves_no_absence() -> None:
    """An inner node is no leaf, and a leaf from another place is no neighbour."""
    entries = {b"k%d" % number: b"v" for number in range(50)}
    state = MemoryState(entries)
    far, near = b"k1", b"k2"
    good = prove_state(state.page, far)
    place = sha256(b"\x09state/key" + far).digest()
    held = sha256(b"\x0bstate/value" + b"v").digest()
    moved = StateProof(good.bitmap, good.siblings, place + held)
    assert not verify_state_proof(state.root, near, None, moved)
    assert not verify_state_proof(state.root, far, None, moved)


def test_a_leaf_at_a_place_that_is_not_its_own_proves_nothing() -> None:
    """Even under a root that somebody made up."""
    here = next(b"k%d" % number for number in range(99) if key_hash(b"k%d" % number)[0] < 64)
    there = next(b"k%d" % number for number in range(99) if key_hash(b"k%d" % number)[0] >= 64)
    sibling = b"\1" * 32
    for other, holds in ((b"near5", key_hash(b"near5")[0] < 64), (there, False)):
        digest, held = key_hash(other), bytes(32)
        children = leaf_hash(digest, held) + sibling + bytes(64)
        proof = StateProof(b"\4", (sibling,), digest + held)
        assert verify_state_proof(node_hash(children), here, None, proof) == holds


def test_an_account_proof_fits_in_four_kilobytes() -> None:
    """Value of 512 bytes, four validators who all signed, largest numbers, 200,000 leaves.

    With 1,000,000 leaves a path is 1.2 levels longer; two full ones are added, and 20 full
    levels bound everything.
    """
    chain = Chain()
    value = bytes(512)
    keys = [b"a" + number.to_bytes(20, "big") for number in range(200_000)]
    state = MemoryState(dict.fromkeys(keys, value))
    chance = random.Random(1)
    sample = chance.sample(keys, 2_000)
    proofs = {key: prove_state(state.page, key) for key in sample}
    longest = max(sample, key=lambda key: len(proofs[key].siblings))
    header = chain.grow().candidate.header
    full = replace(
        header,
        height=2**63 - 1,
        time_ms=2**63 - 1,
        gas_used=2**63 - 1,
        state_root=state.root,
        seal=bytes(128),
    )
    validators = read_validators(chain.state)
    certificate = certify(full.genesis, full.height, full.block_id(), validators)
    proof = _bundle(full, certificate, validators, longest, value, proofs[longest])
    data = proof.encode()
    header = validate_account_proof(
        decode_account_proof(data), genesis=full.genesis, validators=full.validators
    )
    assert header == full
    levels = len(proofs[longest].bitmap)
    more = StateProof(
        proofs[longest].bitmap + b"\7" * 2, (*proofs[longest].siblings, *(bytes(32),) * 6), b""
    )
    bounded = _bundle(full, certificate, validators, longest, value, more).encode()
    print(f"longest of 2,000: {levels} levels, {len(data)} bytes; with two more {len(bounded)}")
    assert len(bounded) <= 4_096
    assert len(proofs[longest].siblings) >= 20, "the tree is as deep as it should be"
    worst = StateProof(b"\7" * 20, (b"\1" * 32,) * 60, b"")
    assert len(_bundle(full, certificate, validators, longest, value, worst).encode()) <= 4_096


def _bundle(
    header: Header,
    certificate: CommitCertificate,
    validators: Sequence[Validator],
    key: bytes,
    value: bytes,
    proof: StateProof,
) -> AccountProof:
    finality = Finality(
        header.encode(), encode_certificate(certificate), encode_validators(validators)
    )
    return AccountProof(finality, key, value, proof)


def test_proofs_are_bound_to_their_network_and_validators() -> None:
    chain, block, transactions = final_chain()
    key = account_key(transactions[0].sender)
    proof = account_proof_of(chain, block, key)
    trusted = {"genesis": chain.genesis.digest, "validators": block.header.validators}
    assert verify_account_proof(proof, **trusted)
    assert not verify_account_proof(proof, **trusted | {"genesis": bytes(32)})
    assert not verify_account_proof(proof, **trusted | {"validators": bytes(32)})


@pytest.mark.parametrize("form", ["account", "transaction"])
def test_no_flipped_bit_leaves_a_proof_standing(form: str) -> None:
    chain, block, transactions = final_chain()
    trusted = {"genesis": chain.genesis.digest, "validators": block.header.validators}
    if form == "account":
        data = account_proof_of(chain, block, account_key(transactions[0].sender)).encode()
    else:
        data = transaction_proof_of(chain, block, 1).encode()
    chance = random.Random(2)
    for _ in range(400):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        try:
            if form == "account":
                holds = verify_account_proof(decode_account_proof(bytes(flipped)), **trusted)
            else:
                proof = decode_transaction_proof(bytes(flipped))
                holds = verify_transaction_proof(proof, **trusted)
        except BitenergyError:
            continue
        assert not holds

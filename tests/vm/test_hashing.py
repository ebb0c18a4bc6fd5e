"""No hash stands for two things; a list's root fixes its items, their order and their number."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vm.primitives import hashing
from vm.primitives.errors import InvalidProof
from vm.primitives.hashing import tag, tagged_hash
from vm.primitives.merkle import MerkleProof, merkle_proof, merkle_root, verify_merkle_proof

ITEMS = st.lists(st.binary(max_size=40), max_size=20)


def plain_root(items: list[bytes]) -> bytes:
    """The definition of the root, top down and without the code under test."""

    def top(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return sha256(b"\x04leaf" + part[0]).digest()
        half = 1 << (len(part) - 1).bit_length() - 1
        return sha256(b"\x04node" + top(part[:half]) + top(part[half:])).digest()

    head = top(items) if items else bytes(32)
    return sha256(b"\x04root" + len(items).to_bytes(8, "big") + head).digest()


def test_tags_are_all_different_and_none_opens_another() -> None:
    tags = [value for name, value in vars(hashing).items() if name.startswith("TAG_")]
    assert len(tags) == 28
    for one in tags:
        assert one[0] == len(one) - 1
        assert [other for other in tags if other.startswith(one)] == [one]


def test_a_split_at_another_place_is_another_hash() -> None:
    assert tagged_hash(tag("a"), b"bc") != tagged_hash(tag("ab"), b"c")
    assert tagged_hash(tag("tx"), b"") == sha256(b"\x02tx").digest()


@given(ITEMS)
def test_root_is_the_defined_one(items: list[bytes]) -> None:
    assert merkle_root(items) == plain_root(items)


@given(ITEMS, ITEMS)
def test_two_lists_never_share_a_root(left: list[bytes], right: list[bytes]) -> None:
    assert (merkle_root(left) == merkle_root(right)) == (left == right)


def test_repeating_the_last_item_changes_the_root() -> None:
    items = [b"a", b"b", b"c"]
    assert merkle_root(items) != merkle_root([*items, b"c"])


@given(ITEMS.filter(bool), st.data())
def test_proofs_hold_for_their_item_only(items: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    proof, root = merkle_proof(items, index), merkle_root(items)
    assert verify_merkle_proof(root, items[index], proof)
    other = data.draw(st.binary(max_size=40))
    assert verify_merkle_proof(root, other, proof) == (other == items[index])
    place = data.draw(st.integers(0, len(items) - 1))
    moved = MerkleProof(place, proof.count, proof.siblings)
    assert (
        verify_merkle_proof(root, items[index], moved) == (place == index)
        or items.count(items[index]) > 1
    )


@pytest.mark.parametrize("count", range(1, 18))
def test_shape_is_strict(count: int) -> None:
    items = [bytes([number]) for number in range(count)]
    root = merkle_root(items)
    for index in range(count):
        good = merkle_proof(items, index)
        siblings = good.siblings
        wrong = [
            MerkleProof(index, count, (*siblings, bytes(32))),
            MerkleProof(index, count, (bytes(32), *siblings)),
            MerkleProof(count, count, siblings),
            MerkleProof(-1, count, siblings),
            MerkleProof(index, count + 1, siblings),
            MerkleProof(index, 2**64, siblings),
        ]
        if siblings:
            wrong += [
                MerkleProof(index, count, siblings[:-1]),
                MerkleProof(index, count, (siblings[0][:31], *siblings[1:])),
            ]
        assert not any(verify_merkle_proof(root, items[index], one) for one in wrong)


def test_an_inner_node_is_no_leaf() -> None:
    items = [b"a", b"b", b"c", b"d"]
    left = [sha256(b"\x04leaf" + item).digest() for item in items[:2]]
    right = merkle_proof(items, 0).siblings[1]
    root = merkle_root(items)
    for item in (b"".join(left), sha256(b"\x04node" + b"".join(left)).digest()):
        assert not verify_merkle_proof(root, item, MerkleProof(0, 2, (right,)))
        assert not verify_merkle_proof(root, item, MerkleProof(0, 4, (right,)))


@pytest.mark.parametrize("index", [-1, 0, 1])
def test_there_is_no_proof_of_what_is_not_there(index: int) -> None:
    with pytest.raises(InvalidProof):
        merkle_proof([], index)

"""A chunk proves itself: what the state root does not hold is refused, whoever sent it."""

from __future__ import annotations

from hashlib import sha256
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.ledger.state_tree import key_hash, pack_page, unpack_page, update_tree
from node.snapshot.format import (
    encode_chunk,
    encode_outline,
    join_slots,
    read_chunk,
    read_outline,
)
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import BitenergyError

States = dict[bytes, bytes]


class Cut:
    """A state cut into outline and chunks, as a snapshot of it is."""

    def __init__(self, state: States, depth: int) -> None:
        update = update_tree(lambda path: None, state)
        self.root = update.root
        self.depth = depth
        self.pages = {path: page for path, page in update.pages.items() if page is not None}
        self.outline = {path: page for path, page in self.pages.items() if len(path) < depth}
        self.chunks: dict[str, States] = {}
        for key, value in state.items():
            self.chunks.setdefault(key_hash(key).hex()[:depth], {})[key] = value

    def hashes(self) -> dict[str, bytes]:
        return read_outline(encode_outline(self.outline), self.root, self.depth)


def make_state(count: int, seed: int = 1) -> States:
    random = Random(seed)
    return {b"a" + random.randbytes(20): random.randbytes(60) for _ in range(count)}


@given(
    st.integers(1, 400),
    st.integers(1, 3),
    st.integers(0, 10_000),
)
@settings(max_examples=40, deadline=None)
def test_what_is_cut_joins_to_the_same_tree(count: int, depth: int, seed: int) -> None:
    cut = Cut(make_state(count, seed), depth)
    hashes = cut.hashes()
    assert hashes.keys() == cut.chunks.keys()
    slots: dict[str, bytes] = {}
    pages: dict[str, bytes] = {}
    for path, leaves in cut.chunks.items():
        chunk = read_chunk(encode_chunk(leaves.items()), path, hashes[path])
        assert chunk.leaves == leaves
        slots[path] = chunk.slot
        pages |= chunk.pages
    root, above = join_slots(slots, depth)
    assert root == cut.root
    assert pages | above == cut.pages


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_other_pairs_are_refused(data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 2))
    cut = Cut(make_state(data.draw(st.integers(2, 120)), data.draw(st.integers(0, 99))), depth)
    path = data.draw(st.sampled_from(sorted(cut.chunks)))
    leaves = dict(cut.chunks[path])
    key = data.draw(st.sampled_from(sorted(leaves)))
    match data.draw(st.sampled_from(["value", "missing", "surplus", "other", "index"])):
        case "value":
            leaves[key] += b"!"
        case "missing":
            del leaves[key]
        case "surplus":
            leaves[b"a surplus pair"] = b"1"
        case "other":
            leaves |= next((c for p, c in cut.chunks.items() if p != path), {b"x": b"y"})
        case "index":
            leaves[b"index"] = b"not proved by the root"
    with pytest.raises(BitenergyError):
        read_chunk(encode_chunk(leaves.items()), path, cut.hashes()[path])


def test_an_index_entry_is_no_part_of_a_chunk() -> None:
    """No root proves it: it must not come in where its hash fits the path."""
    cut = Cut(make_state(50), 1)
    path, leaves = next(iter(cut.chunks.items()))
    number = next(at for at in range(1_000) if key_hash(b"i%d" % at).hex().startswith(path))
    with pytest.raises(BitenergyError):
        read_chunk(
            encode_chunk((leaves | {b"i%d" % number: b""}).items()), path, cut.hashes()[path]
        )


def test_a_leaf_high_up_cannot_name_another_chunk() -> None:
    """Else an honest peer would be asked for a chunk that it cannot have."""
    cut = Cut(make_state(4), 3)
    slots = unpack_page(cut.outline[""])
    place = next(at for at, slot in enumerate(slots) if len(slot) == 96)
    other = bytes([slots[place][32] ^ 1]) + slots[place][33:64]
    slots[place] = slots[place][:32] + other + slots[place][64:]
    with pytest.raises(BitenergyError):
        read_outline(encode_outline({"": pack_page(slots)}), cut.root, 3)


def test_one_chunk_has_one_form() -> None:
    cut = Cut(make_state(50), 1)
    path, leaves = next(iter(cut.chunks.items()))
    expected = cut.hashes()[path]
    items = [item for pair in sorted(leaves.items()) for item in pair]
    pairs = [items[at : at + 2] for at in range(0, len(items), 2)]
    backwards = [item for pair in reversed(pairs) for item in pair]
    for bad in (backwards, items + items[-2:], items[:-1], [], [1, *items[1:]], [b"", b""]):
        with pytest.raises(BitenergyError):
            read_chunk(encode_trusted([52, 1, bad]), path, expected)


@pytest.mark.parametrize("damage", ["page", "surplus", "missing", "leaf", "root", "shape"])
def test_outlines_of_another_tree_are_refused(damage: str) -> None:
    cut = Cut(make_state(200), 2)
    outline, root = dict(cut.outline), cut.root
    path = max(outline)
    slots = unpack_page(outline[path])
    place = next(at for at, slot in enumerate(slots) if slot)
    match damage:
        case "page":
            slots[place] = bytes(32)
            outline[path] = pack_page(slots)
        case "surplus":
            outline["ff0"] = outline[path]
        case "missing":
            del outline[path]
        case "leaf":
            slots[place] = slots[place][:32] + bytes(64)
            outline[path] = pack_page(slots)
        case "root":
            root = bytes(32)
        case "shape":
            outline[path] += b"x"
    with pytest.raises(BitenergyError):
        read_outline(encode_outline(outline), root, cut.depth)


def test_a_leaf_told_as_a_page_does_not_make_an_honest_chunk_look_false() -> None:
    """Where a leaf has siblings, its place in the page has the same hash as a page's would."""
    state = make_state(40)
    cut = Cut(state, 2)
    for path, page in cut.outline.items():
        slots = unpack_page(page)
        changed = [slot[:32] if len(slot) == 96 else slot for slot in slots]
        outline = cut.outline | {path: pack_page(changed)}
        try:
            hashes = read_outline(encode_outline(outline), cut.root, cut.depth)
        except BitenergyError:
            continue  # where it has none, the hash differs
        slots_by_path = {
            place: read_chunk(encode_chunk(leaves.items()), place, hashes[place]).slot
            for place, leaves in cut.chunks.items()
        }
        assert join_slots(slots_by_path, 2) == (cut.root, cut.outline)


def test_the_bytes_are_frozen() -> None:
    """Nodes of different versions exchange these: a change needs a new version of the format."""
    cut = Cut(make_state(40), 1)
    path = min(cut.chunks)
    parts = encode_outline(cut.outline) + encode_chunk(cut.chunks[path].items())
    assert (
        sha256(parts).hexdigest()
        == "7af8d20e091d2d0c66489b241606d1cf6f49af154a774aaed6c9abe13c2d3389"
    )

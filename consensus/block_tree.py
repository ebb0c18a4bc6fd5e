"""The blocks above the last final one as a tree, each with the total work of its branch."""

from collections.abc import Iterator
from dataclasses import dataclass


# mutable: what is known of a block grows
@dataclass(slots=True)
class TreeBlock:
    """A block of the tree."""

    id: bytes
    """The block."""
    parent: bytes
    """Its parent's id."""
    height: int
    """Its height."""
    time_ms: int
    """Its header's time, ms UTC."""
    interval_ms: int
    """The time since its parent, as the difficulty's rule counts it."""
    work: int
    """The work that its seal proves."""
    total: int
    """The work of its branch above the last final block."""
    order: int
    """When it came: among branches of the same work the one seen first is kept."""
    valid: bool | None = None
    """What checking it came to; None as long as it was not."""
    asked: bool = False
    """Whether its check was asked for."""


class BlockTree:
    """A bounded tree; its root is the last final block."""

    def __init__(self, root: TreeBlock, limit: int) -> None:
        """Hold at most `limit` blocks above the root."""
        self._limit = limit
        self._blocks = {root.id: root}
        self.root = root

    def __len__(self) -> int:
        """Return how many blocks there are, the root included."""
        return len(self._blocks)

    def __iter__(self) -> Iterator[TreeBlock]:
        """Yield the blocks in the order in which they came."""
        return iter(self._blocks.values())

    def get(self, block_id: bytes) -> TreeBlock | None:
        """Return a block, or None."""
        return self._blocks.get(block_id)

    def add(self, block: TreeBlock, *, tip: TreeBlock) -> bool:
        """Add a block whose parent is here; false where there is no place for it.

        A full tree lets the lightest branch go, but never that of `tip`.
        """
        self._blocks[block.id] = block
        while len(self._blocks) > self._limit + 1:
            kept = {each.id for each in self.path(tip)}
            parents = {each.parent for each in self._blocks.values()}
            leaves = [
                each
                for each in self._blocks.values()
                if each.id not in parents and each.id not in kept and each is not self.root
            ]
            # The new block is one of them: nothing stands on it yet.
            lightest = min(leaves, key=lambda each: (each.total, -each.order))
            del self._blocks[lightest.id]
        return block.id in self._blocks

    def path(self, block: TreeBlock) -> list[TreeBlock]:
        """Return the blocks from above the root up to `block`."""
        found: list[TreeBlock] = []
        while block is not self.root:
            found.append(block)
            block = self._blocks[block.parent]
        found.reverse()
        return found

    def heaviest(self, *, latest_ms: int | None = None) -> TreeBlock:
        """Return the block of the greatest total work that is not known to be invalid.

        With `latest_ms`, only those count that are not dated later. Among equals it is the first
        that came.
        """
        best = self.root
        for block in self._blocks.values():
            counts = block.valid is not False and (latest_ms is None or block.time_ms <= latest_ms)
            if counts and (block.total, -block.order) > (best.total, -best.order):
                best = block
        return best

    def heaviest_checked(self) -> TreeBlock:
        """Return the block of the greatest total work that was found valid; of equals the first."""
        best = self.root
        for block in self._blocks.values():
            if block.valid is True and (block.total, -block.order) > (best.total, -best.order):
                best = block
        return best

    def common_ancestor(self, one: TreeBlock, other: TreeBlock) -> TreeBlock:
        """Return the last block that two branches share."""
        while one is not other:
            if one.height > other.height:
                one = self._blocks[one.parent]
            else:
                other = self._blocks[other.parent]
        return one

    def drop(self, block_id: bytes) -> list[bytes]:
        """Let a block and all that stands on it go; return their ids."""
        gone = {block_id: None}
        # A block always comes after its parent.
        for block in self._blocks.values():
            if block.parent in gone and block is not self.root:
                gone[block.id] = None
        for each in gone:
            self._blocks.pop(each, None)
        return list(gone)

    def settle(self, root_id: bytes) -> None:
        """Make a block the root; what does not stand on it goes, it can never be final."""
        root = self._blocks[root_id]
        kept = {root_id: root}
        for block in self._blocks.values():
            if block.parent in kept:
                kept[block.id] = block
        self._blocks, self.root = kept, root
        below = root.total
        for block in kept.values():
            block.total -= below

"""The headers that work decides, as a light node follows them: the heaviest chain that peers show.

Each header has to stand on the one before it, with a seal that proves the very difficulty that the
rule demands there. Of all chains that peers showed, the one with the most work counts; its block is
final here once `finality_depth` others stand on it. Who shows a chain alone can show a light one:
so several peers are asked, and one honest of them is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.work import WorkRules, counted_interval_ms, next_difficulty, proved_work
from node.ledger.block import Header, decode_header
from node.ledger.proof_paths import TrustedBlock
from node.ledger.proofs import Finality
from vm.primitives.errors import BitenergyError, InvalidProof

MAX_LINKS: Final = 4_096
"""How many of the last headers are remembered; what is older is not provable here."""
MAX_AHEAD_MS: Final = 600_000
"""What is dated further ahead of the local clock is not looked at yet."""


class Parted(BitenergyError):
    """Headers that do not stand on anything that is remembered."""

    default_code = "parted"


@dataclass(frozen=True, slots=True)
class Link:
    """What is remembered of a verified header."""

    block_id: bytes
    """Id of its block, 32 bytes."""
    difficulty: int
    """Work that its seal proves; 0 for genesis."""
    time_ms: int
    """Its time, milliseconds UTC."""
    total_work: int
    """Work from the beginning up to it."""


# mutable: grows header by header
@dataclass(slots=True)
class Branch:
    """A chain of verified headers, of which the last ones are remembered."""

    first: int
    """Height of the first link."""
    links: list[Link] = field(default_factory=list)
    """The last headers, ascending without a gap."""
    recent: list[Header] = field(default_factory=list)
    """The last of them whole."""

    @property
    def height(self) -> int:
        """The height of the last header."""
        return self.first + len(self.links) - 1

    @property
    def total_work(self) -> int:
        """Work from the beginning to the last header."""
        return self.links[-1].total_work if self.links else 0

    def at(self, height: int) -> Link | None:
        """Return what is remembered of a height."""
        place = height - self.first
        return self.links[place] if 0 <= place < len(self.links) else None

    def cut(self, height: int) -> Branch:
        """Return a copy that ends at `height`, which is remembered."""
        recent = [header for header in self.recent if header.height <= height]
        return Branch(self.first, self.links[: height - self.first + 1], recent)


class WorkHeaders:
    """What a light node trusts under proof of work (VerifiedHeaders)."""

    def __init__(
        self,
        genesis: bytes,
        begin: TrustedBlock,
        rules: WorkRules,
        *,
        first_time_ms: int,
        clock_ms: Callable[[], int],
    ) -> None:
        """Begin with genesis, which has height 0 and `first_time_ms`, or with another block."""
        self.genesis = genesis
        self.begin = begin
        self._rules = rules
        self._clock_ms = clock_ms
        self._anchor = Branch(begin.height)
        if not begin.height:
            self._anchor.links.append(Link(begin.block_id, 0, first_time_ms, 0))
        self.best = self._anchor.cut(begin.height)
        self.deepest_undone = 0
        """How many blocks at most a heavier chain took the place of."""

    @property
    def height(self) -> int:
        """The height of the last final header; just below the beginning without one."""
        if not self.best.links:
            return self.begin.height - 1
        return max(self.best.height - self._rules.finality_depth, self.begin.height)

    @property
    def head(self) -> Header | None:
        """The last final header, as far as it is remembered whole."""
        return next((one for one in self.best.recent if one.height == self.height), None)

    @property
    def head_id(self) -> bytes:
        """The id of the last final block; empty without one."""
        link = self.best.at(self.height)
        return b"" if link is None else link.block_id

    @property
    def validator_changes(self) -> int:
        """How often other validators came into force: of no concern where nobody votes."""
        return 0

    def restore(self, first: int, links: Sequence[Link]) -> None:
        """Go on from what was verified before."""
        self.best = Branch(first, list(links))

    def next_height(self) -> int:
        """Return from where on a peer is asked: so that forks of the last blocks are seen."""
        if not self.best.links:
            return max(self.begin.height - 1, 0)
        return self.height + 1

    def start(self, entries: Sequence[Finality]) -> Branch:
        """Return the branch that headers go on; raises Parted where they stand on nothing known."""
        header = decode_header(entries[0].header)
        link = self.best.at(header.height - 1)
        if link is not None and link.block_id == header.parent:
            return self.best.cut(header.height - 1)
        if not self._anchor.links or header.height == self.begin.height + 1:
            return self._anchor.cut(self._anchor.height)
        raise Parted("the headers do not stand on what is remembered", actual=header.height)

    def extend(self, branch: Branch, entries: Sequence[Finality]) -> bool:
        """Verify headers onto a branch; tell whether all were. Raises InvalidProof or DecodeError.

        Those from the future wait. The heaviest branch counts.
        """
        headers = [decode_header(entry.header) for entry in entries]
        if not branch.links:
            headers = self._begin_with(branch, headers)
        latest_ms, taken = self._clock_ms() + MAX_AHEAD_MS, 0
        while taken < len(headers) and headers[taken].time_ms <= latest_ms:
            branch.links.append(self._verified(branch, headers[taken]))
            branch.recent.append(headers[taken])
            taken += 1
        if len(branch.links) > MAX_LINKS:
            gone = len(branch.links) - MAX_LINKS
            branch.first += gone
            del branch.links[:gone]
        del branch.recent[: -2 * self._rules.finality_depth - 2]
        if branch.total_work > self.best.total_work or not self.best.links:
            self._adopt(branch)
        return taken == len(headers)

    def validate_final(self, finality: Finality) -> Header:
        """Return the header of a block at most as high as the final one; raises InvalidProof."""
        header = decode_header(finality.header)
        link = self.best.at(header.height)
        if header.height > self.height or link is None:
            raise InvalidProof(
                "the block is none of those that are remembered here as final",
                expected=f"{max(self.best.first, self.begin.height)} to {self.height}",
                actual=header.height,
            )
        if link.block_id != header.block_id():
            raise InvalidProof(
                "the block is not on the heaviest chain",
                expected=link.block_id,
                actual=header.block_id(),
            )
        return header

    def _adopt(self, branch: Branch) -> None:
        for height in range(self.best.height, max(self.best.first, branch.first) - 1, -1):
            link, other = self.best.at(height), branch.at(height)
            if other is not None and link is not None and link.block_id == other.block_id:
                self.deepest_undone = max(self.deepest_undone, self.best.height - height)
                break
        self.best = branch.cut(branch.height)

    def _begin_with(self, branch: Branch, headers: Sequence[Header]) -> list[Header]:
        """Anchor a branch at the trusted block and its parent; return the headers above."""
        before, trusted = headers[0], headers[1] if len(headers) > 1 else None
        if trusted is None or (trusted.height, trusted.block_id(), trusted.genesis) != (
            self.begin.height,
            self.begin.block_id,
            self.genesis,
        ):
            raise InvalidProof(
                "this is not the trusted block",
                expected=f"{self.begin.height} {self.begin.block_id.hex()}",
                hint="If all peers say so, `trust` in node.toml is wrong.",
            )
        if trusted.parent != before.block_id():
            raise InvalidProof("the trusted block stands on another one", expected=trusted.parent)
        branch.first = before.height
        for header in (before, trusted):
            work = proved_work(header.block_id(), header.seal)
            branch.links.append(Link(header.block_id(), work, header.time_ms, 0))
            branch.recent.append(header)
        self._anchor = branch.cut(branch.height)
        self.best = self._anchor
        return list(headers[2:])

    def _verified(self, branch: Branch, header: Header) -> Link:
        parent, block_id = branch.links[-1], header.block_id()
        before = branch.links[-2] if len(branch.links) > 1 else parent
        interval_ms = counted_interval_ms(
            self._rules, branch.height, parent.time_ms, before.time_ms
        )
        needed = next_difficulty(self._rules, parent.difficulty, interval_ms)
        for what, expected, actual in (
            ("network", self.genesis, header.genesis),
            ("height", branch.height + 1, header.height),
            ("parent", parent.block_id, header.parent),
            ("difficulty", needed, proved_work(block_id, header.seal)),
        ):
            if expected != actual:
                raise InvalidProof(
                    f"a header has another {what} than follows from the one before",
                    expected=expected,
                    actual=actual,
                )
        if header.time_ms <= parent.time_ms:
            raise InvalidProof("a header is not later than the one before", actual=header.time_ms)
        return Link(block_id, needed, header.time_ms, parent.total_work + needed)

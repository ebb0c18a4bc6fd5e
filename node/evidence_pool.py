"""The evidence pool: proved contradictions that wait for a block, one per validator and height."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from consensus.messages import Evidence
from node.chain import Chain
from node.ledger.certificate import encode_evidence

MAX_EVIDENCE_KEPT: Final = 64


class EvidencePool:
    """What blocks of ours will hold, and peers are told of until one holds it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._kept: dict[tuple[int, int], bytes] = {}

    def holds(self, evidence: Evidence) -> bool:
        """Tell whether evidence against the same validator at the same height is kept already."""
        return (evidence.first.height, evidence.first.validator_index) in self._kept

    def add(self, evidence: Evidence) -> bytes | None:
        """Keep evidence unless it counted, expired, or is known; return its bytes if it is ripe.

        Evidence of the height in progress ripens when that height is final: before that no block
        could hold it and no peer would take it.
        """
        height = evidence.first.height
        if self.holds(evidence) or len(self._kept) >= MAX_EVIDENCE_KEPT:
            return None
        place = (height, evidence.first.validator_index)
        data = encode_evidence(evidence)
        if height > self._chain.height:
            self._kept[place] = data
            return None
        if not self._chain.has_place_for(data):
            return None
        self._kept[place] = data
        return data

    def ripe(self, *, up_to: int | None = None) -> Sequence[bytes]:
        """Return what the next block may hold, of heights `up_to` that of a peer if it is given."""
        last = self._chain.height if up_to is None else min(up_to, self._chain.height)
        return [data for (height, _), data in self._kept.items() if height <= last]

    def prune(self) -> None:
        """Forget what counted or expired, after the chain advanced."""
        self._kept = {
            place: data
            for place, data in self._kept.items()
            if place[0] > self._chain.height or self._chain.has_place_for(data)
        }

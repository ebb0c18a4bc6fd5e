"""The guard: bounds the work that one peer can cause, and remembers which signatures it checked.

A peer's allowances outlive its connections: whoever hangs up and comes back starts no fuller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.p2p.limits import TokenBucket
from vm.primitives.errors import InvalidInput

SERVED_BYTES_PER_S: Final = 8_000_000.0
SERVED_BURST_BYTES: Final = 24_000_000.0
REQUEST_BYTES: Final = 65_536
"""What a request costs beside the bytes of its answer."""
ANNOUNCED_PER_S: Final = 10_000.0
ANNOUNCED_BURST: Final = 20_000.0
STATUSES_PER_S: Final = 20.0
STATUSES_BURST: Final = 40.0
BAD_SIGNATURES_PER_S: Final = 2.0
BAD_SIGNATURES_BURST: Final = 20.0
MAX_PEERS_REMEMBERED: Final = 1_024
MAX_CHECKED: Final = 8_192


class _Allowances:
    """One peer's buckets."""

    __slots__ = ("announced", "bad_signatures", "served", "statuses")

    def __init__(self, now_s: float) -> None:
        self.served = TokenBucket(SERVED_BYTES_PER_S, SERVED_BURST_BYTES, now_s)
        self.announced = TokenBucket(ANNOUNCED_PER_S, ANNOUNCED_BURST, now_s)
        self.statuses = TokenBucket(STATUSES_PER_S, STATUSES_BURST, now_s)
        self.bad_signatures = TokenBucket(BAD_SIGNATURES_PER_S, BAD_SIGNATURES_BURST, now_s)


class PeerGuard:
    """Allowances by peer, and the signed messages that were found good."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._peers: dict[bytes, _Allowances] = {}
        self._checked: dict[bytes, None] = {}

    def may_ask(self, peer: bytes) -> bool:
        """Tell whether a request of the peer is answered; those beyond its allowance are not."""
        served, now_s = self._of(peer).served, self._clock()
        if served.wait_s(now_s) > 0:
            return False
        served.take(REQUEST_BYTES, now_s)
        return True

    def wait_s(self, peer: bytes) -> float:
        """Return how long the peer must wait until a request of it is answered, seconds."""
        return self._of(peer).served.wait_s(self._clock())

    def served(self, peer: bytes, size_bytes: int) -> None:
        """Count an answer."""
        self._of(peer).served.take(size_bytes, self._clock())

    def may_announce(self, peer: bytes, count: int) -> bool:
        """Tell whether the peer may have us look for that many transactions."""
        return self._of(peer).announced.try_take(count, self._clock())

    def may_tell_status(self, peer: bytes) -> bool:
        """Tell whether the peer may have us answer another status."""
        return self._of(peer).statuses.try_take(1, self._clock())

    def note_bad_signature(self, peer: bytes) -> None:
        """Count a message whose signature is wrong; raises InvalidInput where they are too many.

        A few are honest: the set of validators changed between the peer's height and ours.
        """
        if not self._of(peer).bad_signatures.try_take(1, self._clock()):
            raise InvalidInput("too many messages with wrong signatures")

    def was_checked(self, payload: bytes) -> bool:
        """Tell whether this very message was found good before."""
        return payload in self._checked

    def note_checked(self, payload: bytes) -> None:
        """Remember a message whose signature is good."""
        self._checked[payload] = None
        if len(self._checked) > MAX_CHECKED:
            del self._checked[next(iter(self._checked))]

    def forget_checked(self) -> None:
        """Forget all messages: the keys that they were checked against have changed."""
        self._checked.clear()

    def _of(self, peer: bytes) -> _Allowances:
        found = self._peers.get(peer)
        if found is None:
            if len(self._peers) >= MAX_PEERS_REMEMBERED:
                del self._peers[next(iter(self._peers))]
            found = self._peers[peer] = _Allowances(self._clock())
        return found

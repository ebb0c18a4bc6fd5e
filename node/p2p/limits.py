"""Every limit of the transport in one place, and the two small machines that keep time with them.

Times are seconds of a monotonic clock that the caller reads; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """What a peer, an address and the node as a whole may use."""

    handshake_timeout_s: float = 8.0
    """From the opened connection to the peer's valid hello, whatever dribbles in between."""
    idle_timeout_s: float = 10.0
    """How long a peer may send nothing at all.

    A cut link is noticed by this alone. Until then the kernel repeats what was sent, ever more
    rarely: 10 s after the cut it may wait 6 s more, and a minute after it, a minute.
    """
    frame_timeout_s: float = 30.0
    """How long one frame may take from its first byte to its last."""
    stall_timeout_s: float = 20.0
    """How long a peer may leave our full send buffer unread."""
    ping_interval_s: float = 3.0
    """How often a peer is asked for a sign of life."""
    linger_s: float = 0.5
    """How long a closing connection may take to deliver its goodbye."""
    tick_s: float = 0.25
    """How often deadlines are looked at."""
    peer_bytes_per_s: float = 16_000_000.0
    """What one peer may send per second on average; above it, we read more slowly."""
    peer_burst_bytes: float = 16_000_000.0
    """What it may send at once."""
    peer_messages_per_s: float = 10_000.0
    """How many frames one peer may send per second on average."""
    peer_burst_messages: float = 20_000.0
    """How many it may send at once."""
    peer_queue_bytes: int = 16_000_000
    """What may wait for one peer to read it."""
    max_peers: int = 128
    """How many peers at once; configured ones come in also beyond it."""
    max_unauthenticated: int = 128
    """How many connections at once may not have proved their key yet."""
    max_unauthenticated_per_address: int = 16
    """How many of them from one address (IPv6: from one /64)."""
    address_connections_per_s: float = 20.0
    """How many connections one address may open per second on average."""
    address_burst_connections: float = 60.0
    """How many it may open at once."""
    dial_first_delay_s: float = 0.25
    """The wait after the first failed attempt to reach a configured peer."""
    dial_max_delay_s: float = 2.0
    """The longest wait between attempts: with the next, all that a healed network waits for."""
    dial_timeout_s: float = 3.0
    """How long the network may take to open a connection."""
    dial_stable_s: float = 10.0
    """A connection that lasted this long makes the next waits short again."""
    misbehaviour_ban_s: float = 2.0
    """How long a peer that sent nonsense is refused."""


class TokenBucket:
    """An allowance that refills steadily up to a burst. Debt is allowed, then waited for."""

    __slots__ = ("_burst", "_level", "_rate_per_s", "_updated_s")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._level = burst
        self._updated_s = now_s

    def take(self, amount: float, now_s: float) -> None:
        """Use `amount`, into debt if need be."""
        self._refill(now_s)
        self._level -= amount

    def try_take(self, amount: float, now_s: float) -> bool:
        """Use `amount` if it is there; tell whether it was."""
        self._refill(now_s)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def wait_s(self, now_s: float) -> float:
        """Return how long until the debt is paid: 0 when there is none."""
        self._refill(now_s)
        return 0.0 if self._level >= 0 else -self._level / self._rate_per_s

    def _refill(self, now_s: float) -> None:
        elapsed_s = now_s - self._updated_s
        if elapsed_s > 0:
            self._level = min(self._burst, self._level + elapsed_s * self._rate_per_s)
            self._updated_s = now_s


class Allowance:
    """What one peer may send: a bucket of bytes and one of messages."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self, limits: TransportLimits, now_s: float) -> None:
        self._bytes = TokenBucket(limits.peer_bytes_per_s, limits.peer_burst_bytes, now_s)
        self._messages = TokenBucket(limits.peer_messages_per_s, limits.peer_burst_messages, now_s)

    def take_bytes(self, count: int, now_s: float) -> None:
        """Count `count` bytes as they come from the socket."""
        self._bytes.take(count, now_s)

    def take_message(self, now_s: float) -> None:
        """Count one message."""
        self._messages.take(1.0, now_s)

    def wait_s(self, now_s: float) -> float:
        """Return how long the peer must wait before the next message is looked at."""
        return max(self._bytes.wait_s(now_s), self._messages.wait_s(now_s))


class Backoff:
    """Waits that double up to a cap, each shortened by chance so that nodes do not move in step."""

    __slots__ = ("_attempts", "_first_s", "_max_s", "_random")

    def __init__(self, first_s: float, max_s: float, random: Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._random = random
        self._attempts = 0

    def next_delay_s(self) -> float:
        """Return the next wait: between half of the doubled one and all of it."""
        full_s = min(self._max_s, self._first_s * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        return full_s * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """Begin again with short waits."""
        self._attempts = 0

"""How much of the node any client, and all clients together, may take."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Caps of the API; what passes one is refused or dropped, and the node goes on."""

    max_connections: int = 512
    """Open connections in all."""
    max_connections_per_address: int = 64
    """Open connections from one address (IPv6: one /64); this machine itself has no such cap."""
    max_readers: int = 256
    """WebSocket readers in all."""
    max_readers_per_address: int = 16
    """WebSocket readers from one address; this machine itself has no such cap."""
    max_reader_buffer_bytes: int = 1_048_576
    """What may wait for one reader that does not keep up; with more it is dropped."""
    max_readers_buffer_bytes: int = 33_554_432
    """What may wait for all readers together."""
    max_reader_messages_per_10_s: int = 20
    """Pings and pongs of one reader; it has nothing else to say."""
    max_body_bytes: int = 4_194_304
    """Body of one request."""
    max_bodies_bytes: int = 33_554_432
    """Bodies of all requests that are being read."""
    max_batch: int = 1_000
    """Transactions in one request."""
    max_waiters: int = 1_024
    """Requests that wait for a transaction to be final."""
    max_searches: int = 2
    """Requests that read many blocks or members at a time; they share the event loop in slices."""
    max_searches_waiting: int = 64
    """Such requests that wait for their turn."""
    idle_s: float = 15.0
    """How long a connection may be silent, or take to send the head of a request."""
    body_s: float = 10.0
    """How long the body of a request may take."""
    write_s: float = 20.0
    """How long a client may take to read an answer, beside the time for its size."""
    write_bytes_per_s: int = 131_072
    """The slowest reading of long answers that is put up with."""
    closing_s: float = 5.0
    """How long a closed connection may take to be gone."""
    search_ms: int = 400
    """How long one request may search; the answer then ends early and says where to go on."""


def address_group(address: str) -> str:
    """Return what counts as one address: IPv4 as it is, IPv6 by its /64, this machine as ""."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif not found.is_loopback:
            return found.packed[:8].hex()
    return "" if found.is_loopback else str(found)


class Tally:
    """A count of open things, in all and by address."""

    __slots__ = ("_by_address", "_most", "_most_per_address", "total")

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._by_address: dict[str, int] = {}
        self.total = 0

    def try_enter(self, group: str) -> bool:
        """Count one more of an address's `group`; tell whether there was room."""
        count = self._by_address.get(group, 0)
        if self.total >= self._most or (group and count >= self._most_per_address):
            return False
        self._by_address[group] = count + 1
        self.total += 1
        return True

    def leave(self, group: str) -> None:
        """Count one less of `group`."""
        self.total -= 1
        count = self._by_address[group] - 1
        if count:
            self._by_address[group] = count
        else:
            del self._by_address[group]

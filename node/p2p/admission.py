"""The gate for connections that have not proved a key yet: bounded per address and in all.

A newcomer is let in at the price of the oldest one waiting: honest handshakes take milliseconds, so
the oldest is nearly always the one that drips. Does no I/O.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from node.p2p.limits import TokenBucket, TransportLimits

_MAX_REMEMBERED_ADDRESSES = 4_096


@dataclass(frozen=True, slots=True)
class Admission:
    """The gate's answer to a newcomer."""

    admitted: bool
    """False: close it at once."""
    evicted: int | None = None
    """The ticket of the connection to close in its favour."""


def address_group(host: str) -> str:
    """Return what counts as one address: an IPv4 address, an IPv6 /64, or the text itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class AddressGate:
    """Counts connections by address until they prove a key or end."""

    __slots__ = ("_limits", "_rates", "_tickets")

    def __init__(self, limits: TransportLimits) -> None:
        self._limits = limits
        self._tickets: OrderedDict[int, str] = OrderedDict()
        self._rates: OrderedDict[str, TokenBucket] = OrderedDict()

    def enter(self, ticket: int, host: str, now_s: float) -> Admission:
        """Count a newcomer from `host` under `ticket`; say whether it may stay and who must go."""
        group = address_group(host)
        if not self._bucket(group, now_s).try_take(1.0, now_s):
            return Admission(admitted=False)
        same = [other for other, where in self._tickets.items() if where == group]
        evicted: int | None = None
        if len(same) >= self._limits.max_unauthenticated_per_address:
            evicted = same[0]
        elif len(self._tickets) >= self._limits.max_unauthenticated:
            evicted = next(iter(self._tickets))
        if evicted is not None:
            del self._tickets[evicted]
        self._tickets[ticket] = group
        return Admission(admitted=True, evicted=evicted)

    def leave(self, ticket: int) -> None:
        """Stop counting `ticket`: it proved its key, or ended. Unknown tickets are ignored."""
        self._tickets.pop(ticket, None)

    @property
    def waiting(self) -> int:
        """How many connections have not proved a key."""
        return len(self._tickets)

    def _bucket(self, group: str, now_s: float) -> TokenBucket:
        bucket = self._rates.get(group)
        if bucket is None:
            limits = self._limits
            bucket = TokenBucket(
                limits.address_connections_per_s, limits.address_burst_connections, now_s
            )
            self._rates[group] = bucket
            if len(self._rates) > _MAX_REMEMBERED_ADDRESSES:
                self._rates.popitem(last=False)
        else:
            self._rates.move_to_end(group)
        return bucket

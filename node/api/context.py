"""What the routes share: the node, readers of its chain, names, limits, and who waits for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.api.answers import ApiError, JsonObject
from node.api.chain_reader import ChainReader, Pace
from node.api.events import EventHub
from node.api.limits import ApiLimits
from node.api.privacy import Viewer, may_see_energy
from node.api.render import Names, account_json
from node.facade import NodeFacade
from vm.primitives.address import TEXT_LENGTH, decode_address, encode_address
from vm.primitives.errors import InvalidInput
from vm.system.accounts import read_account
from vm.system.members import read_account_id, read_member


class Counters:
    """What the API counts."""

    __slots__ = ("connections", "connections_refused", "errors", "refused", "requests")

    def __init__(self) -> None:
        self.connections = 0
        """Open connections."""
        self.connections_refused = 0
        """Connections refused because there were too many."""
        self.requests = 0
        """Requests answered, in whatever way."""
        self.refused = 0
        """Those refused for what they were."""
        self.errors = 0
        """Those that met a bug."""

    def as_metrics(self) -> dict[str, int]:
        """Return the counts by the names of metrics."""
        return {
            "api_connections": self.connections,
            "api_connections_refused_total": self.connections_refused,
            "api_requests_total": self.requests,
            "api_refused_total": self.refused,
            "api_errors_total": self.errors,
        }


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The surroundings of every answer."""

    facade: NodeFacade
    """The node."""
    reader: ChainReader
    """Its final blocks."""
    names: Names
    """Its members' names."""
    hub: EventHub
    """Who follows and waits."""
    limits: ApiLimits
    """The caps."""
    describe: Callable[[], bytes]
    """Returns the API's description."""
    counters: Counters
    """What is counted for metrics."""
    ready: dict[str, bytes]
    """Answers that never change, made when first asked for."""

    def pace(self) -> Pace:
        """Return the time that one search may take."""
        return Pace(self.limits.search_ms)

    def resolve(self, who: str) -> bytes:
        """Return the account id of an address or of a member's name.

        An address need not have an account. Raises ApiError 404 on an unknown name and on an
        address that fails its checksum.
        """
        if len(who) == TEXT_LENGTH:
            try:
                return decode_address(who)
            except InvalidInput as error:
                raise ApiError(
                    404, error.code, error.message, actual=error.actual, hint=error.hint
                ) from error
        account = read_account_id(self.facade.store, who)
        if account is None:
            raise ApiError(
                404,
                "unknown_account",
                "no member has this name",
                actual=who,
                hint="Names are written as at admission, with their capital letters.",
            )
        return account

    def account(self, account: bytes, viewer: Viewer) -> JsonObject:
        """Return an account as JSON, as far as the viewer may see it; raises ApiError 404."""
        store = self.facade.store
        leaf = read_account(store, account)
        if leaf is None:
            raise ApiError(
                404,
                "unknown_account",
                "there is no such account",
                actual=encode_address(account),
                hint="An account begins when an operator admits its key.",
            )
        return account_json(
            account,
            leaf,
            read_member(store, account),
            self.facade.runtime,
            with_energy=may_see_energy(store, account, viewer),
        )

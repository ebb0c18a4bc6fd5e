"""The directory: whose nodes the registry of members knows, and which of them are validators'."""

from __future__ import annotations

from collections.abc import Callable

from node.chain import Chain
from node.ledger.chain_rules import Candidate
from node.p2p.service import PeerService
from node.peer_guard import PeerGuard
from vm.system.members import MEMBER_SPACE, NODE_INDEX, read_member, read_node_registry
from vm.system.validators import VALIDATORS_KEY, Validator, signers_of

_SPACES = (MEMBER_SPACE, NODE_INDEX, VALIDATORS_KEY)
_MARGIN_MS = 60_000


class Directory:
    """Keeps the peers' registry and the validators' nodes as the last final block has them."""

    def __init__(self, chain: Chain, guard: PeerGuard, *, clock_ms: Callable[[], int]) -> None:
        """`update` fills it."""
        self._chain = chain
        self._guard = guard
        self._clock_ms = clock_ms
        self._joining = True
        self._signers = signers_of(chain.validators)
        self.validator_nodes: dict[bytes, bytes] = {}
        """Accounts of validators by the key of their node."""
        self.node_names: dict[bytes, str] = {}
        """Names of validators by the key of their node."""

    def follow(self, candidate: Candidate, peers: PeerService) -> None:
        """Take note of what a final block changed."""
        changes = candidate.executed.state.overlay.changes
        if self._joining != self._is_joining() or any(key.startswith(_SPACES) for key in changes):
            self.update(peers)
        signers = signers_of(self._chain.validators)
        if signers != self._signers:
            self._signers = signers
            self._guard.forget_checked()

    def update(self, peers: PeerService) -> None:
        """Read the registry anew, and tell the peers' service whom to trust."""
        store = self._chain.store
        self._joining = self._is_joining()
        peers.update_registry(read_node_registry(store), joining=self._joining)
        self.validator_nodes = {}
        self.node_names = {}
        for validator in self._chain.validators:
            member = read_member(store, validator.account)
            if member is not None and member.node_key:
                self.validator_nodes.setdefault(member.node_key, validator.account)
                self.node_names.setdefault(member.node_key, member.name)

    def named_validators(self) -> list[tuple[Validator, str]]:
        """Return the validators with their members' names."""
        named: list[tuple[Validator, str]] = []
        for validator in self._chain.validators:
            member = read_member(self._chain.store, validator.account)
            named.append((validator, member.name if member else validator.account.hex()))
        return named

    def _is_joining(self) -> bool:
        """Tell whether our registry may be old: others may have other keys by now."""
        age_ms = self._clock_ms() - self._chain.header.time_ms
        oldest_ms = 2 * self._chain.parameters.heartbeat_ms + _MARGIN_MS
        return self._chain.height == 0 or age_ms > oldest_ms

"""A witness: a member's node that hears every vote and proposal, and notices who signs twice.

It trusts no node's word: each message counts for the vote key under which its signature holds.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from random import Random

from consensus.messages import Proposal, Vote
from node.keyfile import load_key
from node.ledger.certificate import decode_proposal, decode_vote, message_digest
from node.light_wire import LIGHT_KINDS
from node.p2p.certificates import make_certificate
from node.p2p.hello import Disconnect
from node.p2p.limits import TransportLimits
from node.p2p.peers import Peer, PeerAddress
from node.p2p.service import PeerService
from node.snapshot.wire import SNAPSHOT_KINDS
from node.wire import KINDS, PROPOSAL, VOTE
from tests.e2e.nodes import Nodes
from tests.e2e.support import make_member
from vm.primitives.signatures import verify_signature

NAME = "witness"
IDENTITY = make_certificate(b"a witness".ljust(32, b"."))

Said = tuple[str, int, int, str]
"""Validator, height, round, kind of message."""


def witness_member() -> dict[str, object]:
    """Return the genesis entry of the member whose node the witness is."""
    return {
        "name": NAME,
        "roles": ["consumer"],
        "key": make_member(NAME).key.hex(),
        "node_key": IDENTITY.node_key.hex(),
        "node_proof": IDENTITY.proof.hex(),
    }


class Witness:
    """Hears the nodes of a network in a thread of its own (PeerHandler)."""

    def __init__(self, nodes: Nodes) -> None:
        self.heard = 0
        self.contradictions: list[tuple[Said, str, str]] = []
        self._said: dict[Said, tuple[object, ...]] = {}
        self._genesis = nodes.network.genesis
        self._vote_keys = _vote_keys(nodes)
        self._peers = [
            PeerAddress(_node_key(nodes, name), "127.0.0.1", nodes.node(name).p2p_port)
            for name in nodes.names
        ]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=NAME)
        self._registry = _registry(nodes)

    def __enter__(self) -> Witness:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._service.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        self._service = PeerService(
            identity=IDENTITY,
            genesis=self._genesis,
            kinds=(*KINDS, *LIGHT_KINDS, *SNAPSHOT_KINDS),
            handler=self,
            height=lambda: 0,
            random=Random(1),
            limits=TransportLimits(dial_first_delay_s=0.1, dial_max_delay_s=0.2),
        )
        self._service.update_registry(self._registry)
        self._service.configure_peers(self._peers)

    def connections(self) -> int:
        """Return how many nodes it hears at present."""
        return len(self._service.peers())

    def assert_nobody_signed_twice(self) -> None:
        """Fail where one key signed two things for one height and round, or nothing was heard."""
        assert self.heard, "the witness heard no signature"
        assert not self.contradictions, self.contradictions[:5]

    def on_connected(self, peer: Peer) -> None:
        """Say nothing."""

    def on_message(self, key: bytes, kind: int, payload: bytes) -> None:
        """Remember what a validator signed."""
        if kind == VOTE:
            self._note(decode_vote(payload))
        elif kind == PROPOSAL:
            self._note(decode_proposal(payload))

    def on_disconnected(self, key: bytes, reason: Disconnect) -> None:
        """The dialer comes back."""

    def on_fatal(self, error: BaseException) -> None:
        raise error

    def _note(self, message: Vote | Proposal) -> None:
        digest = message_digest(self._genesis, message)
        signers = [
            name
            for name, key in self._vote_keys
            if verify_signature(key, digest, message.signature)
        ]
        if not signers:
            return  # nobody signed it: whoever passed it on is not looked into here
        self.heard += 1
        kind = message.kind.name if isinstance(message, Vote) else "proposal"
        place = (signers[0], message.height, message.round, kind)
        content: tuple[object, ...] = (message.block_id,)
        if isinstance(message, Proposal):
            content = (message.block_id, message.pol_round)
        before = self._said.setdefault(place, content)
        if before != content:
            self.contradictions.append((place, str(before), str(content)))


def _vote_keys(nodes: Nodes) -> Sequence[tuple[str, bytes]]:
    document = json.loads((nodes.network.folder / "genesis.json").read_text())
    return [
        (member["name"], bytes.fromhex(member["vote_key"]))
        for member in document["members"]
        if "vote_key" in member
    ]


def _registry(nodes: Nodes) -> dict[bytes, bytes]:
    document = json.loads((nodes.network.folder / "genesis.json").read_text())
    return {
        bytes.fromhex(member["node_key"]): bytes.fromhex(member["node_proof"])
        for member in document["members"]
        if "node_key" in member
    }


def _node_key(nodes: Nodes, name: str) -> bytes:
    path = nodes.node(name).folder / "keys" / "node.json"
    return make_certificate(load_key(path, purpose="node")).node_key

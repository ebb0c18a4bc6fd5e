"""A finished chain for benchmarks: written straight into a store, signed by the validators."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from consensus.messages import CommitCertificate, Vote, VoteKind
from node.chain import Chain
from node.keyfile import load_key
from node.ledger.certificate import message_digest
from node.ledger.chain_rules import Candidate
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import decode_transaction
from node.modules import make_runtime
from node.store import Store
from tools.bench.traffic import Signed
from tools.node_folder import VOTE_KEY_FILE
from tools.testnet import GENESIS_FILE, LocalNetwork
from vm.primitives.signatures import public_key, sign

BLOCK_INTERVAL_MS = 1_000


@dataclass(frozen=True, slots=True)
class HistoryWriter:
    """A chain in the folder of a network's first node, and the vote keys of the other nodes.

    The first node's key signs nothing, so that the node may start on what is written here.
    """

    chain: Chain
    """The chain, open."""
    seeds: dict[bytes, bytes]
    """Seeds of the vote keys that sign, by public key."""

    def decide(self, block: Candidate) -> None:
        """Make a block final, signed by all validators but the first."""
        head = (block.header.height, block.block_id)
        vote = Vote(VoteKind.PRECOMMIT, head[0], 0, head[1], 0)
        digest = message_digest(self.chain.genesis.digest, vote)
        signatures = tuple(
            (place, sign(self.seeds[validator.vote_key], digest))
            for place, validator in enumerate(self.chain.validators)
            if validator.vote_key in self.seeds
        )
        certificate = CommitCertificate(head[0], 0, head[1], signatures)
        self.chain.write(block, certificate)
        self.chain.advance(block, certificate)

    def append(self, transactions: Sequence[Signed]) -> None:
        """Build a block of the transactions, and make it final."""
        building = self.chain.building(
            time_ms=self.chain.header.time_ms + BLOCK_INTERVAL_MS,
            proposer=self.chain.validators[0].account,
            evidence=(),
        )
        waiting: Iterator = (
            decode_transaction(base64.b64decode(signed.text)) for signed in transactions
        )
        for _ in building.steps(waiting, slice_size=1_000_000):
            pass
        block = building.candidate
        if block is None or len(block.transactions) != len(transactions):
            raise RuntimeError(f"a block of the benchmark does not take its {len(transactions)}")
        self.decide(block)


def open_history(network: LocalNetwork) -> HistoryWriter:
    """Open the first node's chain for writing; the caller closes its store."""
    genesis = decode_genesis((network.folder / GENESIS_FILE).read_bytes())
    store = Store(network.nodes[0].folder / "data")
    keys = [load_key(Path(node.folder) / VOTE_KEY_FILE, purpose="vote") for node in network.nodes]
    chain = Chain(store, make_runtime(genesis.roles), genesis)
    return HistoryWriter(chain, {public_key(seed): seed for seed in keys[1:]})

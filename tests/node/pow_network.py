"""Networks under proof of work whose blocks come when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from consensus.work import encode_seal, proved_work
from node.ledger.block import Header, with_seal
from node.miner import Found
from node.node import Node
from tests.node.network import Network, genesis_document

MARKET = "local"
RULES = {
    "target_interval_ms": 1_000,
    "finality_depth": 6,
    "initial_difficulty": 1,
    "min_difficulty": 1,
    "resend_ms": 200,
}


def sealed(header: Header, difficulty: int) -> Header:
    """Return the header with a seal that proves `difficulty`."""
    for nonce in range(1_000_000):
        found = with_seal(header, encode_seal(difficulty, nonce))
        if proved_work(found.block_id(), found.seal):
            return found
    raise AssertionError(f"no seal of difficulty {difficulty}")


class HandSealer:
    """A sealer that finds a seal when it is told to (Sealer)."""

    def __init__(self) -> None:
        self.hashes = 0
        self.hashes_per_s = 0
        self.job: tuple[Header, int, Found] | None = None
        self.cancelled = 0

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.job = None

    def failures(self) -> Sequence[asyncio.Task[None]]:
        return []

    def search(self, header: Header, difficulty: int, found: Found) -> None:
        self.job = (header, difficulty, found)

    def cancel(self) -> None:
        self.cancelled += 1
        self.job = None

    def release(self) -> None:
        """Find the seal of what is searched."""
        assert self.job is not None
        (header, difficulty, found), self.job = self.job, None
        self.hashes += 1
        found(sealed(header, difficulty))


class PowNetwork(Network):
    """Nodes that mine by hand."""

    def __init__(self, base: Path, document: bytes) -> None:
        super().__init__(base, document)
        self.sealers: dict[str, HandSealer] = {}

    async def open(
        self,
        name: str,
        *,
        peers: Sequence[str] = (),
        mines: bool = True,
        clock_ms: Callable[[], int] | None = None,
        **settings: object,
    ) -> Node:
        """Start a node that dials `peers`; it is alone without, and mines all the same."""
        sealer = self.sealers[name] = HandSealer()
        node = await self.start(name, peers=peers, sealer=sealer, clock_ms=clock_ms, **settings)
        if mines:
            node._driver.release()
        return node

    async def mine(self, name: str, count: int = 1, *, least: int = 0) -> None:
        """Have a node find blocks, the first of them with `least` transactions or more."""
        node, sealer = self.nodes[name], self.sealers[name]
        for _ in range(count):
            height = node.chain.tip.height

            def is_ready(above: int = height, least: int = least) -> bool:
                job = sealer.job
                if job is None or job[0].height != above + 1:
                    return False
                built = node._pool.candidate(job[0].block_id())
                return built is not None and len(built.transactions) >= least

            await self.until(is_ready, what=f"a block to seal at {name}")
            sealer.release()
            await self.until(
                lambda above=height: node.chain.tip.height > above, what=f"a block of {name}"
            )
            least = 0

    async def until_tip(self, name: str, *names: str) -> None:
        """Wait until nodes prefer the same tip as `name`."""
        wanted = self.nodes[name].chain.tip.block_id
        await self.until(
            lambda: all(self.nodes[each].chain.tip.block_id() == wanted() for each in names),
            what="equal tips",
        )


def pow_document(
    validators: Sequence[str], *, reward: str = "0", followers: Sequence[str] = (), **rules: int
) -> bytes:
    """Return a genesis file with a market in which all members may trade."""
    document = json.loads(
        genesis_document(
            validators,
            members=4,
            followers=followers,
            engine={**RULES, **rules},
            engine_name="pow",
            modules={
                "reward": {"block": reward},
                "market": {"markets": [{"name": MARKET, "line_policy": "ignore"}]},
            },
        )
    )
    for member in document["members"]:
        member["energy"] = "50.0"
    return json.dumps(document).encode()


@contextlib.asynccontextmanager
async def pow_network(
    base: Path, *validators: str, reward: str = "0", **rules: int
) -> AsyncIterator[PowNetwork]:
    """Run a network; the test opens its nodes. Nothing goes wrong unseen."""
    net = PowNetwork(base, pow_document(validators, reward=reward, **rules))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: net.loop_errors.append(context))
    try:
        yield net
        for name, error in net.failures.items():
            raise AssertionError(f"node {name} failed") from error
    finally:
        await net.stop_all()
        loop.set_exception_handler(None)
    for context in net.loop_errors:
        raise AssertionError(context) from context.get("exception")

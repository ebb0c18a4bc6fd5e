"""Joining by a snapshot from after a vote: in the versions in force, or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.block_index import PAGE, STATE
from node.engines import ENGINES, EngineKind
from node.modules import MODULES
from node.node import Node
from node.upgrades import SUPPORT, Support, UpgradeNeeded
from tests.consensus.conformance.sticky import StickyEngine
from tests.node.network import Network, account_of, genesis_document, until
from tests.node.test_upgrades import SECTION, VALIDATORS, decide, drive
from vm.arguments import ACCOUNT, Argument
from vm.context import CallContext
from vm.module import method
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import Encodable
from vm.system.accounts import AccountsModule

GREETED = b"z"
GREETED_INDEX = INDEX_SPACE + GREETED


class GreetingAccounts(AccountsModule):
    """Accounts as a later software has them: with an index of its own."""

    @method(Argument("to", ACCOUNT))
    def greet(self, ctx: CallContext, to: bytes) -> Encodable:
        """Note that a member was greeted."""
        ctx.put(GREETED + to, ctx.caller)
        ctx.put(GREETED_INDEX + ctx.caller + to, b"\1")
        return None

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write who greeted whom again."""
        if key[:1] == GREETED:
            ctx.put(GREETED_INDEX + value + key[1:], b"\1")


NEWER = Support(
    modules={**MODULES, "accounts": {**MODULES["accounts"], 2: lambda roles: GreetingAccounts()}},
    engines={**ENGINES, "sticky": EngineKind(StickyEngine)},
)


@asynccontextmanager
async def voters(base: Path) -> AsyncIterator[Network]:
    """Run four validators with newer software."""
    net = Network(base, genesis_document(VALIDATORS, modules=SECTION, followers=("F",)))
    try:
        for name in VALIDATORS:
            await net.start(name, support=NEWER)
        await net.until_connected(*VALIDATORS)
        yield net
    finally:
        await net.stop_all()


async def snapshot_after(net: Network, height: int) -> int:
    """Go some blocks beyond a height and take a snapshot at V0; return its height."""
    await drive(net, height + 2, *VALIDATORS)
    server = net.nodes["V0"]._snapshots.server
    server.take()
    await net.until(lambda: server._taking is None and server.held, what="a snapshot")
    return server.held[0].height


def state_of(node: Node) -> dict[bytes, bytes]:
    with node.store.frozen() as view:
        return dict(view.iterator(start=STATE, stop=PAGE + b"\xff"))


async def test_indices_are_rebuilt_by_the_versions_in_force(tmp_path: Path) -> None:
    async with voters(tmp_path) as net:
        height = await decide(net, "propose_module", "accounts", 2)
        await drive(net, height, *VALIDATORS)
        greeting = net.next("m2", ("accounts", "greet", (account_of("m3"),)))
        await net.accept("V0", greeting)
        await net.until_final(greeting)
        taken = await snapshot_after(net, height + 2)
        expected = state_of(net.nodes["V0"])
        assert STATE + GREETED_INDEX + account_of("m2") + account_of("m3") in expected
        node = await net.start("F", votes=False, join="snapshot", support=NEWER)
        await net.until(lambda: node.store.base == taken + 1)
        await net.until_equal()
        assert state_of(node) == state_of(net.nodes["V0"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("propose_module", "accounts", 2), "version 2 of module 'accounts'"),
        (("propose_engine", "sticky", ()), "sticky"),
    ],
)
async def test_who_lacks_what_was_voted_for_does_not_go_on_from_the_snapshot(
    tmp_path: Path, change: tuple, words: str
) -> None:
    async with voters(tmp_path) as net:
        method_, *arguments = change
        height = await decide(net, method_, *arguments)
        await snapshot_after(net, height)
        await net.start("F", votes=False, join="snapshot", support=SUPPORT)
        await until(lambda: "F" in net.failures)
        error = net.failures.pop("F")
        assert isinstance(error, UpgradeNeeded)
        assert words in str(error) and "Install a bitenergy that has it" in str(error)
        await net.stop("F")
        # With software that has it the same folder goes on.
        node = await net.start("F", votes=False, join="snapshot", support=NEWER)
        await net.until(lambda: node.chain.height > height)
        await net.until_equal()
        assert len(net.roots()) == 1

"""Votes come into force on real nodes: those that can, switch; those that cannot, stop in time."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from node import app
from node.engines import ENGINES, EngineKind
from node.keyfile import save_plain_key
from node.ledger.certificate import validate_certificate
from node.modules import MODULES
from node.node import Node
from node.upgrades import SUPPORT, Support, UpgradeNeeded
from tests.consensus.conformance.sticky import StickyEngine
from tests.node.network import Network, account_of, genesis_document, next_block, seed, until
from vm.arguments import ACCOUNT, Argument
from vm.context import CallContext
from vm.module import method
from vm.primitives.codec import Encodable
from vm.runtime import Call
from vm.system.accounts import AccountsModule
from vm.system.governance_records import STATUS_NAMES, read_proposal

VALIDATORS = ("V0", "V1", "V2", "V3")
SECTION = {
    "governance": {
        "voters": {"operator": 1},
        "quorum": [1, 4],
        "voting_period_ms": 500,
        "notice_blocks": 3,
    }
}


class GreetingAccounts(AccountsModule):
    """Accounts as a later software has them: with one method more."""

    @method(Argument("to", ACCOUNT))
    def greet(self, ctx: CallContext, to: bytes) -> Encodable:
        """Say hello to a member."""
        ctx.emit("greet", ctx.caller, to)
        return "hello"


NEWER = Support(
    modules={**MODULES, "accounts": {**MODULES["accounts"], 2: lambda roles: GreetingAccounts()}},
    engines={
        **ENGINES,
        "sticky": EngineKind(StickyEngine),
        "deep": EngineKind(StickyEngine, is_final_at_once=False),
    },
)
"""What a later software has."""
GREET: Call = ("accounts", "greet", (account_of("m2"),))


@asynccontextmanager
async def council(base: Path, *older: str, follower: bool = False) -> Iterator[Network]:
    """Run four validators with newer software, those named `older` with today's."""
    followers = ("F",) if follower else ()
    net = Network(base, genesis_document(VALIDATORS, modules=SECTION, followers=followers))
    try:
        for name in VALIDATORS:
            await net.start(name, support=SUPPORT if name in older else NEWER)
        await net.until_connected(*VALIDATORS)
        yield net
    finally:
        await net.stop_all()


async def decide(net: Network, method_: str, *change: Any, ahead: int = 60) -> int:
    """Have an operator decide on a change; return the height from which on it holds."""
    node = net.nodes["V0"]
    height = node.chain.height + ahead
    # Proposal and vote in one transaction: however slow this machine is, the vote is in time.
    proposal = ("governance", method_, (*change, height, ""))
    decision = net.next("V0", proposal, ("governance", "vote", (1, "yes")))
    await net.accept("V0", decision)
    await net.until(lambda: status(node) == "passed", what="the count")
    assert node.chain.height < height - 1, "voting took too long for this test"
    return height


def status(node: Node) -> str:
    """Return the status of the first proposal."""
    proposal = read_proposal(node.store, 1)
    return STATUS_NAMES[proposal.status] if proposal else "none"


async def drive(net: Network, height: int, *names: str) -> None:
    """Have transactions made final, one block after the other, until nodes are at a height."""
    follower = net.nodes[names[0]].subscribe()
    while net.nodes[names[0]].chain.height < height:
        await net.accept(names[0], net.next("m1"))
        await asyncio.wait_for(follower.queue.get(), 30)
    follower.close()
    await until(lambda: all(net.nodes[name].chain.height >= height for name in names))


def validate_history(node: Node) -> None:
    """Follow the headers as a light client does: each certificate by the set before it."""
    first = node.store.head(0)
    assert first is not None
    trusted = first.header.next_validators
    for height in range(1, node.chain.height + 1):
        found = node.store.head(height)
        validators = node.store.validators_at(height)
        assert found is not None and validators is not None and found.certificate is not None
        assert found.header.validators == trusted
        validate_certificate(
            found.certificate,
            node.genesis.digest,
            validators,
            height=height,
            block_id=found.header.block_id(),
        )
        trusted = found.header.next_validators


async def test_the_engine_is_replaced_at_its_height_under_load(tmp_path: Path) -> None:
    async with council(tmp_path, follower=True) as net:
        height = await decide(net, "propose_engine", "sticky", (("vote_timeout_ms", 250),))
        load = [net.next(f"m{3 + number % 10}") for number in range(400)]
        sent = asyncio.ensure_future(_send(net, load))
        await drive(net, height - 2, *VALIDATORS)
        await drive(net, height + 4, *VALIDATORS)
        await sent
        await net.until_final(*load)
        await net.until_equal()
        assert len(net.roots()) == 1
        for node in net.nodes.values():
            assert type(node._driver.engine) is StickyEngine
        proposers = [
            net.nodes["V0"].store.head(at).header.proposer for at in range(height, height + 4)
        ]
        assert any(a == b for a, b in pairwise(proposers)), "it sticks"
        validate_history(net.nodes["V1"])
        # Who comes later follows the same way, with the right engine at each height.
        late = await net.start("F", votes=False, support=NEWER)
        await net.until_equal()
        # Its driver takes the next height's engine a moment after it has the head.
        await net.until(lambda: type(late._driver.engine) is StickyEngine, what="the engine")


async def _send(net: Network, load: list) -> None:
    for first in range(0, len(load), 20):
        await net.accept("V2", *load[first : first + 20])
        await asyncio.sleep(0.01)


async def test_a_validator_without_the_engine_stops_before_it_signs_and_goes_on_with_new_software(
    tmp_path: Path,
) -> None:
    async with council(tmp_path, "V3") as net:
        height = await decide(net, "propose_engine", "sticky", ())
        await net.until(lambda: status(net.nodes["V3"]) == "passed", what="the count")
        warned = {name: upgrade_findings(net.nodes[name]) for name in ("V0", "V3")}
        assert warned["V0"] == []
        assert f"before height {height}" in warned["V3"][0] and "sticky" in warned["V3"][0]
        await drive(net, height + 3, "V0", "V1", "V2")
        await until(lambda: "V3" in net.failures)
        error = net.failures.pop("V3")
        assert isinstance(error, UpgradeNeeded)
        assert f"before height {height}" in str(error)
        assert "sticky" in str(error) and "Install a bitenergy that has it" in str(error)
        stopped = net.nodes["V3"]
        assert stopped.chain.height == height - 1
        assert stopped._signer is not None and stopped._signer.state.height < height
        await net.stop("V3")
        with pytest.raises(UpgradeNeeded, match=f"before height {height}"):
            await net.start("V3")
        back = await net.start("V3", support=NEWER)
        await drive(net, height + 6, "V0", "V3")
        await net.until_equal()
        await net.until(lambda: type(back._driver.engine) is StickyEngine, what="the engine")
        await net.until(lambda: _signed(back) > height, what="its vote")


def upgrade_findings(node: Node) -> list[str]:
    """Return what the doctor says of changes that the node cannot follow."""
    return [finding.message for finding in node.doctor() if finding.topic == "upgrade"]


def _signed(node: Node) -> int:
    assert node._signer is not None
    state = node._signer.state
    return state.height if state else 0


async def test_a_module_in_its_next_version_is_there_from_the_height_on(tmp_path: Path) -> None:
    async with council(tmp_path, "V3", follower=True) as net:
        height = await decide(net, "propose_module", "accounts", 2)
        early = net.next("m2", GREET)
        await net.accept("V0", early)
        await net.until_final(early)
        await drive(net, height - 1, "V0", "V1", "V2")
        late = net.next("m2", GREET)
        await net.accept("V0", late)
        running = [net.nodes[name] for name in VALIDATORS[:3]]
        await until(lambda: all(node.store.find_transaction(late.id) for node in running))
        await until(lambda: "V3" in net.failures)
        assert "version 2 of module 'accounts'" in str(net.failures.pop("V3"))
        await net.stop("V3")
        assert [_receipt(running[0], item.id).code for item in (early, late)] == [
            "unknown_method",
            "",
        ]
        assert "greet" in running[0].runtime.declarations["accounts"]
        # A node of today joins: it takes all that it can judge, and stops where the others did.
        await net.start("F", votes=False)
        await until(lambda: "F" in net.failures)
        assert isinstance(net.failures.pop("F"), UpgradeNeeded)
        assert net.nodes["F"].chain.height == height - 1
        await net.stop("F")
        await net.start("F", votes=False, support=NEWER)
        await net.until_equal()
        assert len(net.roots()) == 1


def _receipt(node: Node, transaction_id: bytes) -> Any:
    found = node.store.find_transaction(transaction_id)
    assert found is not None
    return next(
        receipt
        for receipt in node.store.receipts(found[0])
        if receipt.transaction_id == transaction_id
    )


async def test_the_process_ends_with_a_status_of_its_own_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async with council(tmp_path) as net:
        height = await decide(net, "propose_module", "accounts", 2)
        await drive(net, height + 1, *VALIDATORS)
    (tmp_path / "genesis.json").write_bytes(net.document)
    for name, secret in (("node", seed("node V0")), ("vote", seed("vote V0"))):
        save_plain_key(tmp_path / f"{name}.key", secret, purpose=name)
    config = tmp_path / "node.toml"
    config.write_text(
        '[node]\nname = "V0"\ngenesis = "genesis.json"\ndata = "V0"\n'
        '[keys]\nnode = "node.key"\nvote = "vote.key"\n'
        '[p2p]\nlisten = "127.0.0.1:0"\n[api]\nlisten = "127.0.0.1:0"\n'
    )
    monkeypatch.setattr("node.vote_guard.LOCK_FOLDER", (str(tmp_path / "locks"),))
    for name in ("handlers", "propagate", "level"):  # as they were, when this is over
        value = getattr(logging.getLogger("bitenergy"), name)
        monkeypatch.setattr(logging.getLogger("bitenergy"), name, value)
    monkeypatch.setattr(logging.getLogger("bitenergy"), "handlers", [])
    status_ = await asyncio.to_thread(app.run, config)
    assert status_ == app.EXIT_UPGRADE == 78
    last = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert last["level"] == "critical"
    assert f"before height {height + 2}" in last["reason"]
    assert "Install a bitenergy" in last["reason"]


async def test_the_pace_follows_the_parameters(tmp_path: Path) -> None:
    async with council(tmp_path) as net:
        values = (("block_interval_ms", 21), ("heartbeat_ms", 400))
        height = await decide(net, "propose_parameters", "chain", "", values)
        follower = net.nodes["V1"].subscribe()
        await drive(net, height, *VALIDATORS)
        header = net.nodes["V1"].store.head(height - 1).header
        assert header.parameters == net.nodes["V1"].parameters().digest()
        # From now on heights come without transactions: the engines beat faster.
        await net.until_height(height + 3, *VALIDATORS)
        assert (await next_block(follower.queue)).block.header.height > 0
        follower.close()


async def test_a_node_refuses_at_its_door_what_its_software_lacks(tmp_path: Path) -> None:
    async with council(tmp_path, "V3") as net:
        at = net.nodes["V0"].chain.height + 50

        async def code(node: str, *call: Any) -> tuple[str, str]:
            item = net.next("V0", ("governance", *call))
            net._nonces["V0"] -= 1
            found = (await net.submit(node, item))[0]
            return found.code, found.message

        refused = [
            ("V3", "propose_engine", ("sticky", (), at, "")),
            ("V0", "propose_engine", ("stricky", (), at, "")),
            ("V0", "propose_engine", ("sticky", (("no_such_ms", 1),), at, "")),
            ("V0", "propose_engine", ("deep", (), at, "")),
            ("V3", "propose_module", ("accounts", 2, at, "")),
            ("V0", "propose_module", ("accounts", 3, at, "")),
        ]
        for node, method_, arguments in refused:
            assert (await code(node, method_, arguments))[0] == "unsupported", arguments
        words = (await code("V0", "propose_engine", ("deep", (), at, "")))[1]
        assert "finality by depth" in words
        assert (await code("V0", "propose_engine", (5, at, "")))[0] == "", "the chain judges form"

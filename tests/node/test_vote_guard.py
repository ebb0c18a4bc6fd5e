"""The guards around a vote key: no second process, and no directory that was set back."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from consensus.messages import Proposal, Vote
from node.signer import Signer
from node.store import AlreadyOpen
from node.vote_guard import LOCK_FOLDER, VoteKeyLock, is_chain_current
from tests.node.network import Network, account_of, advance, liar, network, vote_key
from vm.system.validators import Validator

FOUR = ("V0", "V1", "V2", "V3")
KEY = vote_key("V0")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this user another home."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(path)))
    return path


def key_file(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("a key")
    return path


def test_copies_of_a_key_have_one_lock(tmp_path: Path, home: Path) -> None:
    first, second = key_file(tmp_path, "one"), key_file(tmp_path, "two")
    lock = VoteKeyLock(first, KEY)
    for path in (first, second):
        with pytest.raises(AlreadyOpen, match="another process"):
            VoteKeyLock(path, KEY)
    other = VoteKeyLock(second, vote_key("V1"))
    lock.release()
    other.release()
    VoteKeyLock(second, KEY).release()


def test_nobody_else_can_take_the_lock(tmp_path: Path, home: Path) -> None:
    """A name in the abstract space of sockets is anybody's; a folder of our own is not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        taken.bind(f"\0bitenergy-vote-{os.geteuid()}-{KEY.hex()}")
        VoteKeyLock(key_file(tmp_path, "one"), KEY).release()
    folder = home.joinpath(*LOCK_FOLDER)
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    VoteKeyLock(key_file(tmp_path, "one"), KEY).release()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_without_a_home_the_key_file_is_locked(tmp_path: Path, home: Path) -> None:
    home.rmdir()
    home.write_text("no folder")
    path = key_file(tmp_path, "one")
    lock = VoteKeyLock(path, KEY)
    with pytest.raises(AlreadyOpen):
        VoteKeyLock(path, KEY)
    lock.release()


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ({}, False),
        ({"V1": 5}, False),
        ({"V1": 5, "V2": 5}, True),
        ({"V1": 5, "V2": 4}, True),
        ({"V1": 5, "V2": 6}, False),
        ({"V1": 5, "V2": 5, "V3": 6}, False),
        ({"V1": 5, "M": 5}, False),
    ],
)
def test_a_chain_is_current_when_two_thirds_are_not_ahead(
    heights: dict[str, int], expected: bool
) -> None:
    validators = [Validator(vote_key(name), 1, account_of(name)) for name in FOUR]
    told = {account_of(name): height for name, height in heights.items()}
    assert is_chain_current(validators, account_of("V0"), told, 5) is expected
    assert is_chain_current(validators[:1], account_of("V0"), {}, 5)


class Signatures:
    """All that any validator signs in a test: none of it may contradict the rest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: dict[tuple[object, ...], set[bytes]] = {}
        real = Signer.sign

        def sign(signer: Signer, message: Vote | Proposal) -> bytes:
            kind = message.kind if isinstance(message, Vote) else 0
            key = (signer.vote_key, message.height, message.round, kind)
            self.said.setdefault(key, set()).add(message.block_id)
            return real(signer, message)

        monkeypatch.setattr(Signer, "sign", sign)

    def count(self, name: str) -> int:
        return sum(1 for key in self.said if key[0] == vote_key(name))

    def check(self) -> None:
        assert all(len(blocks) == 1 for blocks in self.said.values())


@pytest.mark.network
def test_a_directory_that_was_set_back_signs_no_height_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = Signatures(monkeypatch)

    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            await net.until_equal()
            await net.stop("V3")
            shutil.copytree(tmp_path / "V3", tmp_path / "copy")
            await net.start("V3")
            await net.until_connected(*FOUR)
            for _ in range(4):
                await advance(net)
            await net.until_equal()
            await net.stop("V3")
            shutil.rmtree(tmp_path / "V3")
            (tmp_path / "copy").rename(tmp_path / "V3")
            said = signatures.count("V3")
            node = await net.start("V3", peers=[])
            await net.accept("V3", net.next("m5"))  # it has work, and nobody to ask
            await asyncio.sleep(1.5)
            assert signatures.count("V3") == said
            assert node.engine_view().own_index is None
            node._peers.configure_peers([net.address_of(name) for name in FOUR[:3]])
            await net.until(lambda: node.engine_view().own_index is not None)
            await net.stop("V2")
            await advance(net)  # needs its vote
            signatures.check()

    asyncio.run(scenario())


@pytest.mark.network
def test_a_directory_set_back_within_a_height_does_not_sign_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = Signatures(monkeypatch)

    def said_at(name: str, height: int) -> int:
        return sum(1 for key in signatures.said if key[:2] == (vote_key(name), height))

    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            height = await net.until_equal() + 1
            await net.stop("V3")
            shutil.copytree(tmp_path / "V3", tmp_path / "copy")
            node = await net.start("V3")
            await net.until(lambda: node.engine_view().own_index is not None)
            await net.stop("V1")
            await net.stop("V2")
            await net.accept("V0", net.next("m5"))  # two of four decide nothing
            await net.until(lambda: said_at("V3", height))
            await net.stop("V3")
            said = said_at("V3", height)
            shutil.rmtree(tmp_path / "V3")
            (tmp_path / "copy").rename(tmp_path / "V3")
            await net.start("V1")
            node = await net.start("V3", peers=["V0", "V1"])
            inbox = node._inbox
            await net.until(lambda: len(inbox._answered) == 2)
            assert inbox._signed_height == height
            assert node.engine_view().own_index is None
            await net.start("V2")
            await net.until_height(height)
            assert said_at("V3", height) == said
            await net.until(lambda: node.engine_view().own_index is not None)
            await net.stop("V2")
            await advance(net)  # needs its vote
            signatures.check()

    asyncio.run(scenario())


@pytest.mark.network
def test_a_network_comes_up_cold_with_all_and_with_three_of_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = Signatures(monkeypatch)

    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            await net.until_equal()
            for names in (FOUR, FOUR[:3]):
                for name in list(net.nodes):
                    await net.stop(name)
                for name in names:
                    await net.start(name)
                await _until_voting(net, *names)
                await advance(net)
            signatures.check()

    asyncio.run(scenario())


@pytest.mark.network
def test_one_who_claims_to_be_ahead_silences_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.sync_fetch.ANSWER_DEADLINE_S", 0.5)

    async def scenario() -> None:
        async with network(tmp_path, *FOUR) as net:
            await advance(net)
            await net.until_equal()
            await net.stop("V2")
            await net.stop("V3")
            node = await net.start("V3", peers=[])
            async with liar(net, "V2", "V3", claims=10**9):
                node._peers.configure_peers([net.address_of(name) for name in FOUR[:2]])
                await _until_voting(net, "V3")
                await advance(net)

    asyncio.run(scenario())


async def _until_voting(net: Network, *names: str) -> None:
    await net.until(
        lambda: all(net.nodes[name].engine_view().own_index is not None for name in names),
        deadline_s=8.0,
        what="votes",
    )

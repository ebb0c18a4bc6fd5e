"""What a node refuses of its own disk: each kind of damage stops a start, and says what to do.

Each trial opens a node on a copy of another one's disk with one thing wrong.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import plyvel

from node.block_index import FORMAT_KEY, HEAD, PAGE, PENDING, RECEIPTS
from node.ledger.genesis import decode_genesis
from node.signer import SLOT_BYTES, Signer
from node.store import Store
from tests.sim.nodes.disk import SimulatedDisk
from tests.sim.nodes.people import vote_seed
from tests.sim.nodes.process import DATA
from vm.primitives.codec import encode_trusted

Tamper = Callable[[SimulatedDisk], None]
NAME = "V1"
WRONG_STATES = (
    (3, 0),
    (3, 0, 1, -1, b"", -1, b"", (("nobody", b""),), None, -1, None, None),
)


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class Trials:
    """Copies of a node's disk, each with something wrong."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._process = world.processes[1]
        self._height = world.processes[1].node.chain.height

    def copy(self, tamper: Tamper = lambda disk: None) -> SimulatedDisk:
        """Return a copy of the disk with something changed."""
        disk = SimulatedDisk(Random(0))
        disk.set_back(self._process.disk.copy())
        for files in disk._databases.values():
            files.entries = dict(files.entries)
        tamper(disk)
        return disk

    async def start(self, words: str, disk: SimulatedDisk) -> None:
        """Start the node on a disk; it has to refuse."""
        process, before = self._process, self._process.disk

        def open_there() -> None:
            process.disk = disk
            try:
                process._open()
            finally:
                process.disk = before

        await self._world.expect(words, open_there)

    def entries(self, disk: SimulatedDisk) -> dict[bytes, bytes]:
        """Return what the database of a copy holds, to be changed."""
        return disk.entries()

    def signing_file(self, disk: SimulatedDisk) -> Any:
        """Return the signing file of a copy."""
        return next(file for path, file in disk._files.items() if "/signing-" in path)

    def head_key(self) -> bytes:
        """Return the key of the last final block's head."""
        return HEAD + self._height.to_bytes(8, "big")


async def refuse_database(world: Any) -> None:
    """The database is gone, another one, damaged, or cannot be opened."""
    trials = Trials(world)
    await trials.start("another process uses this data directory", world.processes[1].disk)
    lost = trials.copy(lambda disk: disk._databases.clear())
    await trials.start("had blocks and its database is gone", lost)
    changes: tuple[tuple[str, bytes, bytes | None], ...] = (
        ("is not a bitenergy database of this version", FORMAT_KEY, b"other"),
        ("the last final block is missing", trials.head_key(), None),
        ("the head of block", trials.head_key(), encode_trusted([1])),
        ("the state of block", PAGE, None),
    )
    for words, key, value in changes:
        disk = trials.copy()
        if value is None:
            del trials.entries(disk)[key]
        else:
            trials.entries(disk)[key] = value
        await trials.start(words, disk)
    rotten = trials.copy()
    next(iter(rotten._databases.values())).rotten.add(trials.head_key())
    await trials.start("the database is damaged", rotten)
    for error, words in (
        (plyvel.IOError(b"IO error: no such device"), "cannot be opened"),
        (plyvel.CorruptionError(b"Corruption: no manifest"), "is damaged"),
    ):
        disk = trials.copy()
        disk.open_database = _raising(error)  # type: ignore[method-assign]
        await trials.start(words, disk)
    new = SimulatedDisk(Random(0))
    new.touch = _raising(OSError(28, "No space left on device"))  # type: ignore[method-assign]
    await trials.start("could not be written", new)


async def refuse_reads_and_writes(world: Any) -> None:
    """What is damaged is not served, and after a write that failed nothing is written."""
    trials, expect = Trials(world), world.expect
    disk = trials.copy()
    height = trials._height
    trials.entries(disk)[RECEIPTS + height.to_bytes(8, "big")] = encode_trusted(5)
    damaged = Store(DATA / NAME, disk=disk)
    await expect("the receipts of block", lambda: damaged.receipt_bytes(height))
    disk = trials.copy()
    store = Store(DATA / NAME, disk=disk)
    store.save_pending(bytes(32), b"", b"")
    next(iter(disk._databases.values())).rotten.add(PENDING + bytes(32))
    await expect("the database is damaged", store.pending)
    for write, words in (
        (lambda store: store.drop([b"x"], 1), "old blocks could not be deleted"),
        (lambda store: store.save_pending(bytes(32), b"", b""), "a block could not be written"),
    ):
        disk = trials.copy()
        store = Store(DATA / NAME, disk=disk)
        disk.arm("full", 0)
        await expect(words, lambda write=write, store=store: write(store))
        disk.disarm()
        await expect("failed before", lambda write=write, store=store: write(store))
    disk = SimulatedDisk(Random(0))
    empty = Store(DATA / NAME, disk=disk)
    disk.arm("error", 0)
    await expect("cannot be moved in", empty.adopt_joined)


async def refuse_signing_file(world: Any) -> None:
    """The signing file is gone, locked, damaged, or another's."""
    trials = Trials(world)
    signer = world.processes[1].node._signer
    other = world.processes[2].node._signer
    slots: list[tuple[str, bytes]] = [
        ("is damaged in both slots", bytes(2 * SLOT_BYTES)),
        ("belongs to another network or another vote key", _slots(other, ())),
    ]
    slots += [("a state of another version", _slots(signer, state)) for state in WRONG_STATES]
    for words, data in slots:
        disk = trials.copy()
        trials.signing_file(disk).data = bytearray(data)
        await trials.start(words, disk)
    locked = trials.copy()
    trials.signing_file(locked).is_locked = True
    await trials.start("another process signs with this key", locked)
    if world.checks.work is None:
        gone = trials.copy(lambda disk: disk._files.clear())
        await trials.start("the file of what this vote key signed is gone", gone)
    away = trials.copy()
    away.open = _raising(OSError(5, "Input/output error"))  # type: ignore[method-assign]
    await trials.start("cannot be had", away)
    if signer.state is not None:
        await _fail_to_sign(world, signer)


async def _fail_to_sign(world: Any, signer: Signer) -> None:
    """After a write of it that failed, nothing is signed."""
    disk = SimulatedDisk(Random(0))
    fresh = Signer(DATA / "signing-new", vote_seed(NAME), world.genesis.digest, disk=disk)
    disk.arm("full", 0)
    await world.expect("the signing file could not be written", lambda: fresh.persist(signer.state))
    disk.disarm()
    await world.expect("the signing file failed before", lambda: fresh.persist(signer.state))


def _slots(signer: Signer, state: tuple[Any, ...]) -> bytes:
    return signer._record(10**9, state).ljust(2 * SLOT_BYTES, b"\0")


async def refuse_genesis(world: Any) -> None:
    """A genesis file of another network, or one that cannot be."""
    trials, right = Trials(world), world.genesis
    document = json.loads(world.document)
    wrong: list[tuple[str, SimulatedDisk, dict[str, Any]]] = [
        ("belongs to network", trials.copy(), {**document, "chain": "another"})
    ]
    new = [SimulatedDisk(Random(0)) for _ in range(3)]
    modules = document["modules"]
    wrong.append(("unknown modules", new[0], {**document, "modules": {**modules, "x": {}}}))
    staked = {name: section for name, section in modules.items() if name != "staking"}
    pos = {"name": "pos", "parameters": {}}
    wrong.append(("weighs votes by stake", new[1], {**document, "engine": pos, "modules": staked}))
    first, second, *others = document["members"]
    members = [{**first, "node_proof": second["node_proof"]}, second, *others]
    wrong.append(("contradicts itself", new[2], {**document, "members": members}))
    for words, disk, changed in wrong:
        try:
            world.genesis = decode_genesis(json.dumps(changed).encode())
            await trials.start(words, disk)
        finally:
            world.genesis = right


DISK_REFUSALS = (refuse_database, refuse_reads_and_writes, refuse_signing_file, refuse_genesis)

"""The miner's worker process: it finds seals, stays within its share, and stops when told."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consensus.work import encode_seal, proved_work
from node.ledger.block import Header, with_seal
from node.mine_worker import _Worker, search
from node.miner import Miner, MinerFailure

HEADER = Header(bytes(32), 7, 1_000, *([bytes(32)] * 9), 0, bytes(20), b"")
EASY, ENDLESS = 500, 2**60
DEADLINE_S = 20.0


@asynccontextmanager
async def miner(percent: int = 100) -> AsyncIterator[Miner]:
    found = Miner(percent)
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


async def sealed(worker: Miner, header: Header, difficulty: int) -> Header:
    """Return the header as the miner seals it."""
    answer: asyncio.Future[Header] = asyncio.get_running_loop().create_future()
    worker.search(header, difficulty, answer.set_result)
    return await asyncio.wait_for(answer, DEADLINE_S)


def cpu_s(worker: Miner) -> float:
    """Return the processor time that the worker process has used."""
    assert worker._process is not None
    fields = Path(f"/proc/{worker._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_found_seal_proves_its_work() -> None:
    async def scenario() -> None:
        async with miner() as worker:
            for height in range(3):
                header = Header(*[getattr(HEADER, name) for name in Header.__slots__])
                header = with_seal(header, b"%d" % height)
                found = await sealed(worker, header, EASY)
                assert proved_work(found.block_id(), found.seal) == EASY
                assert with_seal(found, header.seal) == header
            assert worker.hashes > 0

    asyncio.run(scenario())


def test_the_search_looks_at_every_nonce_once() -> None:
    data, easy = b"header", (2**256 // 4).to_bytes(32, "big")
    hits = [nonce for nonce in range(64) if search(data, easy, nonce, 1) == nonce]
    assert 4 < len(hits) < 40
    assert search(data, easy, 0, 64) == hits[0]
    assert search(data, easy, hits[0] + 1, 64) == hits[1]
    assert search(data, bytes(32), 0, 100) is None


def test_a_new_job_ends_the_search_at_once() -> None:
    async def scenario() -> None:
        async with miner(percent=5) as worker:
            stale: list[Header] = []
            worker.search(HEADER, ENDLESS, stale.append)
            assert await sealed(worker, HEADER, 50)
            worker.search(HEADER, 50, stale.append)
            worker.cancel()  # what it may have found meanwhile is of no use
            assert await sealed(worker, with_seal(HEADER, b"x"), 50)
            assert stale == []

    asyncio.run(scenario())


def test_a_cancelled_worker_uses_no_time_and_a_searching_one_its_share() -> None:
    async def scenario() -> None:
        async with miner(percent=20) as worker:
            await sealed(worker, HEADER, 50)
            worker.search(HEADER, ENDLESS, lambda _: None)
            began_s, loop = cpu_s(worker), asyncio.get_running_loop()
            start_s = loop.time()
            counted = worker.hashes
            while worker.hashes == counted or loop.time() < start_s + 1.5:
                assert loop.time() < start_s + DEADLINE_S
                await asyncio.sleep(0.05)
            used = (cpu_s(worker) - began_s) / (loop.time() - start_s)
            assert 0.01 < used < 0.27
            worker.cancel()
            await asyncio.sleep(0.05)
            resting_s = cpu_s(worker)
            await asyncio.sleep(0.5)
            assert cpu_s(worker) - resting_s < 0.03

    asyncio.run(scenario())


def test_a_slice_of_search_is_followed_by_its_rest() -> None:
    worker = _Worker(20)
    worker._data, worker._target = b"header", bytes(32)
    began_s = time.process_time()
    worker._search_slice()
    used_s = time.process_time() - began_s
    rest_s = worker._resting_until_s - time.monotonic()
    assert used_s * 2 < rest_s < used_s * 5
    greedy = _Worker(100)
    greedy._data, greedy._target = b"header", bytes(32)
    greedy._search_slice()
    assert greedy._resting_until_s <= time.monotonic()


def test_a_dead_worker_stops_the_node() -> None:
    async def scenario() -> None:
        async with miner() as worker:
            assert worker._process is not None
            worker._process.kill()
            (task,) = worker.failures()
            with pytest.raises(MinerFailure):
                await asyncio.wait_for(asyncio.shield(task), DEADLINE_S)

    asyncio.run(scenario())


def test_a_seal_is_the_end_of_the_headers_bytes() -> None:
    encoded = with_seal(HEADER, encode_seal(3, 5)).encode()
    assert encoded.endswith(bytes([0xC4, 16]) + encode_seal(3, 5))

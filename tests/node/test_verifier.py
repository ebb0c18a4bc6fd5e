"""The verifier: every batch gets its answers in order, and a dead worker is heard of at once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.ledger.genesis import decode_genesis
from node.ledger.transaction import Transaction, decode_transaction
from node.verifier import Verifier, VerifierFailure
from node.verify_worker import RECORD_BYTES
from tests.node.network import genesis_document, make_transaction
from vm.primitives.signatures import verify_signature

GENESIS = decode_genesis(genesis_document(["V0"], members=1, time_ms=1))


def good(count: int) -> list[Transaction]:
    return [make_transaction(GENESIS, f"m{number % 7}", number) for number in range(count)]


def bad(item: Transaction) -> Transaction:
    raw = bytearray(item.raw)
    raw[-5] ^= 1
    return decode_transaction(bytes(raw))


@pytest.mark.parametrize("workers", [1, 2])
def test_good_bad_and_mixed_batches(workers: int) -> None:
    async def scenario() -> None:
        verifier = Verifier(workers)
        await verifier.start()
        try:
            assert await verifier.check([]) == []
            many = good(600)  # more than one request to a worker
            assert await verifier.check(many) == [True] * 600
            wrong = [bad(item) for item in many[:10]]
            assert await verifier.check(wrong) == [False] * 10
            mixed = [item for pair in zip(many[:10], wrong, strict=True) for item in pair]
            checks = [verifier.check(mixed) for _ in range(5)]
            for flags in await asyncio.gather(*checks):
                assert flags == [True, False] * 10
            assert verifier.checked == 600 + 10 + 100
        finally:
            await verifier.stop()

    asyncio.run(scenario())


def test_a_dead_worker_fails_those_who_wait_and_those_who_come(tmp_path: object) -> None:
    async def scenario() -> None:
        verifier = Verifier(1)
        await verifier.start()
        waiting = asyncio.ensure_future(verifier.check(good(3_000)))
        later = asyncio.ensure_future(verifier.check(good(3)))
        await asyncio.sleep(0)
        os.kill(verifier._workers[0].process.pid, signal.SIGKILL)
        done, _ = await asyncio.wait(verifier.failures(), timeout=10)
        assert [type(task.exception()) for task in done] == [VerifierFailure]
        for check in (waiting, later, verifier.check(good(1))):
            with pytest.raises(VerifierFailure):
                await asyncio.wait_for(check, 10)
        await verifier.stop()

    asyncio.run(scenario())


def test_stopping_leaves_nobody_waiting_and_no_process() -> None:
    async def scenario() -> None:
        verifier = Verifier(1)
        await verifier.start()
        process = verifier._workers[0].process
        check = asyncio.ensure_future(verifier.check(good(3_000)))
        await asyncio.sleep(0)
        await verifier.stop()
        assert process.returncode is not None
        with pytest.raises((VerifierFailure, asyncio.CancelledError)):
            await asyncio.wait_for(check, 10)

    asyncio.run(scenario())


def test_a_signal_to_the_whole_group_does_not_end_a_worker_before_its_node() -> None:
    """Ctrl-C, or systemd's stop: the node decides when its workers end."""

    async def scenario() -> None:
        verifier = Verifier(1)
        await verifier.start()
        assert await verifier.check(good(1)) == [True]  # it runs, its handlers are set
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(verifier._workers[0].process.pid, number)
        assert await verifier.check(good(2)) == [True, True]
        await verifier.stop()

    asyncio.run(scenario())


def test_batches_cost_little_beside_the_signatures() -> None:
    async def scenario() -> None:
        items = good(2_000)
        verifier = Verifier(1)
        await verifier.start()
        try:
            await verifier.check(items[:10])
            began = time.process_time()
            assert all(await verifier.check(items))
            own_s = time.process_time() - began
            began = time.process_time()
            assert all(verify_signature(item.key, item.digest, item.signature) for item in items)
            direct_s = time.process_time() - began
            assert own_s < direct_s / 3  # what the event loop itself is busy with
        finally:
            await verifier.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("sent", [3 * RECORD_BYTES, 3 * RECORD_BYTES - 100])
def test_a_worker_whose_node_was_killed_ends_without_a_word(sent: int) -> None:
    """It was in the middle of a batch, or of being given one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "node.verify_worker"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stdout.close()
    process.stdin.write((3).to_bytes(4, "big") + bytes(sent))
    process.stdin.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(10)

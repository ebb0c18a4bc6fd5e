"""A sample of the calls at which a node can be killed or fail; `make crashes` strikes all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from consensus.messages import Vote, VoteKind
from node.keyfile import load_key
from node.ledger.certificate import encode_vote, message_digest
from node.wire import VOTE
from tests.e2e.crash_points import (
    NAME,
    Lab,
    Point,
    Result,
    count,
    laboratory,
    report,
    run_points,
    strike,
)
from tests.e2e.needs import require_strace
from tests.e2e.support import ROOT, children, is_alive, until
from vm.primitives.signatures import sign

pytestmark = pytest.mark.slow
SAMPLE = [
    ("KILL", "fdatasync", 1, "signing"),
    ("KILL", "write", 1, "log"),
    ("KILL", "fdatasync", 2, "log"),
    ("EIO", "fdatasync", 1, "log"),
    ("ENOSPC", "pwrite64", 1, "signing"),
]
ONE_COMMIT = [
    ("pwrite64", "signing"),
    ("fdatasync", "signing"),
    ("write", "log"),
    ("fdatasync", "log"),
]
"""Proposal and prevote, then the locked block; after it the precommit, then the final block."""


def test_a_sample_of_a_commits_calls(tmp_path: Path, free_port: Callable[[], int]) -> None:
    require_strace()
    with laboratory(tmp_path, free_port) as lab:
        found = count(lab, "commit")
        assert [(point.call, point.file) for point in found] == ONE_COMMIT * 2
        for harm, call, nth, file in SAMPLE:
            result = strike(lab, Point("commit", call, nth, file), harm)
            print(result)
            assert result.struck and not result.failure, result
            assert result.status == (-9 if harm == "KILL" else 74), result
        lab.witness.assert_nobody_signed_twice()


def test_a_start_that_is_killed_at_a_rename(tmp_path: Path, free_port: Callable[[], int]) -> None:
    require_strace()
    point = Point("first start", "rename", 2, "current")
    (result,) = run_points([point], ["KILL"], tmp_path, free_port)
    assert result.struck == "rename of current" and not result.failure, result


@pytest.mark.long
def test_the_witness_and_the_lab_would_notice(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with laboratory(tmp_path, free_port) as lab:
        lab.start()
        lab.trade()
        lab.check()
        _sign_again(lab)
        with pytest.raises(AssertionError, match="PREVOTE"):
            lab.check()
        lab.witness.contradictions.clear()
        lab.told[max(lab.told) + 1] = lab.told[1]
        with pytest.raises(Exception, match="block"):
            lab.check()


def _sign_again(lab: Lab) -> None:
    """Have the witness hear two prevotes of one key for one height and round."""
    path = lab.nodes.node(NAME).folder / "keys" / "vote.json"
    seed = load_key(path, purpose="vote")
    for block_id in (bytes(32), bytes(31) + b"\x01"):
        vote = Vote(VoteKind.PREVOTE, 1_000, 0, block_id, 0, b"")
        signature = sign(seed, message_digest(lab.nodes.network.genesis, vote))
        signed = Vote(vote.kind, vote.height, vote.round, vote.block_id, 0, signature)
        lab.witness.on_message(b"", VOTE, encode_vote(signed))


def test_a_campaign_fails_where_a_point_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    point = Point("commit", "write", 1, "log")
    struck = Result(point, "KILL", "write of log", -9)
    assert report([struck]) == 0
    assert report([struck, Result(point, "EIO", "", None)]) == 1
    assert f"NOT REACHED: {point}, EIO" in capsys.readouterr().out
    assert report([struck, Result(point, "EIO", "write of log", 74, "block 3 is lost")]) == 1
    assert "block 3 is lost" in capsys.readouterr().out
    assert report([]) == 1


@pytest.mark.long
@pytest.mark.parametrize("campaign", [["crash_points", "--scene", "start"], ["cycles"]])
def test_a_campaign_that_is_stopped_leaves_no_node(tmp_path: Path, campaign: list[str]) -> None:
    require_strace()
    module, *options = campaign
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.e2e.{module}", *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    nodes: list[int] = []
    try:
        until(lambda: any("node" in _words(pid) for pid in children(process.pid)), "a node runs")
        nodes = children(process.pid)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
        until(lambda: not any(is_alive(pid) for pid in nodes), "none runs", deadline_s=10)
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.wait(10)
        for pid in filter(is_alive, nodes):
            os.kill(pid, signal.SIGKILL)


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
    return []

"""Proof of work in real processes: killed in the middle of mining, the chain goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.ledger.block import decode_header
from node.ledger.proof_paths import decode_proof
from tests.e2e.support import ROOT, Commands, until
from tools.testnet import LocalNode, kill_node, load_network_folder, start_nodes

VERIFIER = ROOT / "tools" / "verify_proof.py"


@pytest.fixture
def nodes(commands: Commands) -> Iterator[tuple[LocalNode, ...]]:
    """Two miners on this machine, started."""
    commands.ask("testnet", "init", "--dir", "net", "--validators", "2", "--engine", "pow")
    network = load_network_folder(commands.folder / "net")
    try:
        start_nodes(network.nodes)
        yield network.nodes
    finally:
        for node in network.nodes:
            kill_node(node)


def metric(node: LocalNode, name: str) -> int:
    """Return a metric of a node, -1 while it does not answer."""
    try:
        with urllib.request.urlopen(f"{node.api_url}/metrics", timeout=2) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return -1
    return next(int(line.split()[1]) for line in lines if line.startswith(f"bitenergy_{name} "))


def workers_of(pid: int) -> list[int]:
    """Return the processes that a node started to mine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if int(fields[1]) == pid and b"mine_worker" in command:
                found.append(int(entry.name))
    return found


def check_proof(commands: Commands, *nodes: LocalNode) -> None:
    """A proof holds for who knows its block's id from another node, and for nobody else."""
    start = ("--home", "net/home", "--node", nodes[0].api_url, "proof", "account", "C1")
    told = commands.ask(*start, "--file", "c1.proof")
    assert told["verified"] is False
    refused = commands.run(*start, "--verify", "--json", status=1)
    assert "HEIGHT:ID" in refused.out + refused.err
    proof = decode_proof((commands.folder / "c1.proof").read_bytes()).proof
    height = decode_header(proof.finality.header).height
    until(lambda: metric(nodes[1], "height") >= height, "the same block", pause_s=0.2)
    block = commands.ask("--node", nodes[1].api_url, "block", "show", str(height))
    for block_id, said in ((block["id"], "yes"), ("00" * 32, "no: the proof begins at another")):
        done = subprocess.run(
            [sys.executable, str(VERIFIER), f"{height}:{block_id}", "c1.proof"],
            cwd=commands.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith(said), done


def test_miners_that_are_killed_go_on_where_they_were(
    commands: Commands, nodes: tuple[LocalNode, ...]
) -> None:
    until(lambda: metric(nodes[1], "height") >= 3, "final blocks", pause_s=0.2)
    check_proof(commands, *nodes)
    pids = [node.mark.pid for node in nodes if node.mark is not None]
    workers = [worker for pid in pids for worker in workers_of(pid)]
    assert len(workers) == 2
    heights = [metric(node, "height") for node in nodes]
    for node in nodes:
        kill_node(node)
    until(
        lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers),
        "no miner outlives its node",
        pause_s=0.1,
    )
    start_nodes(nodes)
    for node, height in zip(nodes, heights, strict=True):
        assert metric(node, "height") >= height
        # The blocks above the final one were on disk.
        until(lambda node=node, height=height: metric(node, "tip_height") > height, "the tip")
    until(
        lambda: all(metric(node, "height") > max(heights) + 5 for node in nodes),
        "more final blocks",
        pause_s=0.2,
    )

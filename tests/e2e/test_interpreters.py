"""Validators that run on differently set interpreters come to the same roots and gas."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.environments import environments
from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import Traffic, genesis_template, make_member

ROUNDS = 12
SETTINGS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "V1": ((), {"PYTHONHASHSEED": "0"}),
    "V2": (("-O",), {"PYTHONHASHSEED": "1"}),
    "V3": (("-OO",), {"PYTHONHASHSEED": "4294967295", "PYTHONINTMAXSTRDIGITS": "640"}),
    "V4": (
        ("-X", "dev"),
        {"PYTHONINTMAXSTRDIGITS": "0", "LC_ALL": "C", "TZ": "Pacific/Chatham"},
    ),
}


def trade(nodes: Nodes, seed: int) -> None:
    """Trade through all nodes in turn, and have them agree."""
    members = [make_member(f"M{number}") for number in range(16)]
    traffic = Traffic(nodes.network.genesis, members, seed)
    for number in range(ROUNDS):
        name = nodes.names[number % len(nodes.names)]
        nodes.accept(name, *(traffic.next(member) for member in members))
        # Behind the same node or not: the next round needs the nonces of this one.
        nodes.until_equal()
    height, _ = nodes.until_equal()
    for number in range(1, int(str(height)) + 1):
        blocks = [dict(nodes.client(name).get(f"/blocks/{number}")) for name in nodes.names]
        # Each node keeps the quorum of signatures that it met; they decide the same block.
        decided = [block.pop("certificate")["block_id"] for block in blocks]  # type: ignore[index]
        assert decided == [block["id"] for block in blocks]
        assert blocks[0]["transactions"] or blocks[0]["system_receipts_count"], number
        assert all(block == blocks[0] for block in blocks), number
    assert int(str(height)) >= ROUNDS


def test_hash_seeds_optimisation_and_digit_limits(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    members = [make_member(f"M{number}") for number in range(16)]
    with local_network(tmp_path / "net", genesis_template(members), free_port) as nodes:
        for name, (flags, settings) in SETTINGS.items():
            nodes.spawn(name, flags=flags, settings=settings)
        for name in nodes.names:
            nodes.await_answer(name)
        trade(nodes, seed=7)
        # All of it again from the first block, verified by an interpreter of yet another kind.
        nodes.stop("V1")
        shutil.rmtree(nodes.node("V1").folder / "data" / "chain")
        (nodes.node("V1").folder / "data" / "blocks-were-here").unlink()
        nodes.spawn("V1", flags=("-O",), settings={"PYTHONHASHSEED": "31337"})
        nodes.await_answer("V1")
        nodes.until_equal()


@pytest.mark.long
def test_other_versions_of_python(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """Each validator another version where there are enough, all with other settings."""
    found, reasons = environments()
    if not found:
        pytest.skip("; ".join(reasons))
    print("versions:", ", ".join(found), *reasons)
    pythons = [Path(sys.executable), *found.values()]
    members = [make_member(f"M{number}") for number in range(16)]
    with local_network(tmp_path / "net", genesis_template(members), free_port) as nodes:
        for place, (name, (flags, settings)) in enumerate(SETTINGS.items()):
            program = pythons[place % len(pythons)]
            nodes.spawn(name, program=program, flags=flags, settings=settings)
        for name in nodes.names:
            nodes.await_answer(name)
        ran = {
            Path(f"/proc/{process.pid}/exe").resolve().name for process in nodes.processes.values()
        }
        assert len(ran) == len(pythons), ran
        trade(nodes, seed=8)

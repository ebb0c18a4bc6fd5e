"""Nodes repaired by people's commands: a chain fetched anew, and what was signed not forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.nodes import Nodes, local_network
from tests.e2e.support import Commands, genesis_template, make_member

EXIT_STORAGE = 74


def signing_file(nodes: Nodes, name: str) -> Path:
    [path] = (nodes.node(name).folder / "data").glob("signing-*")
    return path


@pytest.mark.long
@pytest.mark.xdist_group("repair")
def test_a_damaged_node_is_repaired_over_blocks_and_from_a_snapshot(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    member = make_member("M0")
    template = genesis_template([member, make_member("M1")])
    commands = Commands(tmp_path)
    with local_network(tmp_path / "net", template, free_port, validators=2) as nodes:
        nodes.start_connected()
        folder = nodes.node("V2").folder
        final = [nodes.trade_once("V1", member) for _ in range(4)]

        refused = commands.run("node", "resync", "--dir", str(folder), status=None)
        assert refused.status != 0 and "the node runs" in refused.err

        # Over blocks.
        nodes.stop("V2")
        signed = signing_file(nodes, "V2").read_bytes()
        (folder / "data" / "chain" / "CURRENT").unlink()
        nodes.spawn("V2")
        assert nodes.wait_ended("V2") == EXIT_STORAGE
        assert "bitenergy node resync" in nodes.reason("V2")
        commands.run("node", "resync", "--dir", str(folder))
        assert signing_file(nodes, "V2").read_bytes() == signed
        nodes.start("V2")
        nodes.until_final("V2", *final)
        final.append(nodes.trade_once("V1", member))  # needs the votes of both

        # From a snapshot; the other node takes it while it runs.
        config = nodes.node("V1").folder / "node.toml"
        taken = json.loads(commands.run("node", "snapshot", "--config", str(config), "--json").out)
        nodes.stop("V2")
        table = max((folder / "data" / "chain").glob("*.l*"), key=lambda path: path.stat().st_size)
        table.write_bytes(b"\xff" * 64)
        trust = f"{taken['height']}:{taken['id']}"
        commands.run("node", "resync", "--dir", str(folder), "--join", "snapshot", "--trust", trust)
        nodes.start("V2")
        nodes.until_equal()
        status = nodes.status("V2")
        assert status is not None
        assert int(str(status["base_height"])) == taken["height"] + 1
        nodes.trade_once("V1", member)
        gone = commands.run("--node", nodes.node("V2").api_url, "block", "show", "1", status=None)
        assert gone.status != 0 and "pruned below height" in gone.err

        # Without its signing file a validator could contradict itself.
        nodes.stop("V2")
        signing_file(nodes, "V2").unlink()
        refused = commands.run("node", "resync", "--dir", str(folder), status=None)
        assert refused.status != 0 and "what this validator signed is gone" in refused.err
        assert (folder / "data" / "chain").exists()
        nodes.assert_no_fault()

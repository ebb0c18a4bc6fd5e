"""Boards on this machine beside a local network: their folders, their processes, their traffic.

DIR/boards/NAME/   board.toml, keys/node.json, traffic.jsonl, board.log, board.pid
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import LIGHT
from node.p2p.peers import PeerAddress
from tools.board.config import CONFIG_FILE, BoardArea, BoardConfig, config_text
from tools.node_folder import (
    NODE_KEY_FILE,
    NodeIdentity,
    NodeSettings,
    create_keys,
    load_identity,
    write_config,
)
from tools.processes import is_running, load_mark, start_process, stop_processes
from tools.testnet import GENESIS_FILE, HOST, LocalNetwork
from tools.wallet import KEY_FOLDER, SUFFIX

BOARDS_FOLDER: Final = "boards"
TRAFFIC_FILE: Final = "traffic.jsonl"
LOG_FILE: Final = "board.log"
PID_FILE: Final = "board.pid"
STOP_TIMEOUT_S: Final = 10.0
BOARD_COMMAND: Sequence[str] = (sys.executable, "-m", "tools.cli", "board", "run", "--config")


@dataclass(frozen=True, slots=True)
class LocalBoard:
    """One board of this machine."""

    member: str
    """Its owner's name."""
    folder: Path
    """Where it keeps everything."""
    port: int
    """Where its neighbours connect."""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return is_running(load_mark(self.folder / PID_FILE))


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a board noted of its messages."""

    partners: Mapping[str, int]
    """Messages with each member."""
    sent_bytes: int
    """Bytes of what it sent."""
    outcomes: tuple[Mapping[str, object], ...]
    """What became of its submissions."""


def make_keys(folder: Path, members: Sequence[str]) -> dict[str, NodeIdentity]:
    """Make the folder and the node key of each board; return what the registry needs of them."""
    return {member: create_keys(folder / BOARDS_FOLDER / member, votes=False) for member in members}


def configure_board(
    board: LocalBoard,
    network: LocalNetwork,
    place: int,
    areas: Sequence[BoardArea],
    *,
    light_ports: tuple[int, int] | None = None,
) -> None:
    """Write a board's configuration; `place` chooses which node it asks first.

    With `light_ports`, for the API and for peers, it runs a light node of its own, with its own
    node key.
    """
    urls = [node.api_url for node in network.nodes]
    first = place % len(urls)
    config = BoardConfig(
        member=board.member,
        genesis=network.genesis,
        nodes=tuple(urls[first:] + urls[:first]),
        account_key=(network.home / KEY_FOLDER / (board.member + SUFFIX)).resolve(),
        node_key=Path(NODE_KEY_FILE),
        host=HOST,
        port=board.port,
        traffic_log=Path(TRAFFIC_FILE),
        submits=True,
        light_config=None if light_ports is None else _write_light(board, network, *light_ports),
        areas=tuple(areas),
    )
    (board.folder / CONFIG_FILE).write_text(config_text(config), encoding="utf-8")


def _write_light(board: LocalBoard, network: LocalNetwork, api_port: int, p2p_port: int) -> Path:
    """Write the configuration of a board's light node; return its path in the board's folder."""
    keys = [load_identity(node.folder).node_key for node in network.nodes]
    peers = tuple(
        PeerAddress(key, HOST, node.p2p_port) for key, node in zip(keys, network.nodes, strict=True)
    )
    settings = NodeSettings(
        name=board.member,
        genesis=str((network.folder / GENESIS_FILE).resolve()),
        p2p_listen=f"{HOST}:{p2p_port}",
        api_listen=f"{HOST}:{api_port}",
        votes=False,
        peers=peers,
        mode=LIGHT,
    )
    return write_config(board.folder, settings).relative_to(board.folder)


def start_boards(boards: Sequence[LocalBoard]) -> None:
    """Start the process of each board."""
    root = str(Path(__file__).resolve().parent.parent)
    known = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": f"{root}:{known}" if known else root}
    for board in boards:
        start_process(
            [*BOARD_COMMAND, str((board.folder / CONFIG_FILE).resolve())],
            log=(board.folder / LOG_FILE).resolve(),
            pid_file=board.folder / PID_FILE,
            environment=environment,
        )


def boards_in(folder: Path) -> list[LocalBoard]:
    """Return the boards whose folders are in `folder`, whatever their ports are."""
    return [
        LocalBoard(path.parent.name, path.parent, 0)
        for path in sorted(folder.glob(f"*/{PID_FILE}"))
    ]


def stop_boards(boards: Sequence[LocalBoard]) -> None:
    """Stop the processes of boards."""
    marks = [load_mark(board.folder / PID_FILE) for board in boards]
    stop_processes([mark for mark in marks if is_running(mark) and mark], STOP_TIMEOUT_S)


def read_traffic(board: LocalBoard) -> Traffic:
    """Return what a board noted so far."""
    partners: dict[str, int] = {}
    outcomes: list[Mapping[str, object]] = []
    sent = 0
    path = board.folder / TRAFFIC_FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        entry = json.loads(line)
        if "member" in entry:
            partners[entry["member"]] = partners.get(entry["member"], 0) + 1
            sent += entry["bytes"] if entry["direction"] == "out" else 0
        else:
            outcomes.append(entry)
    return Traffic(partners, sent, tuple(outcomes))

"""Repair of a node's folder: its chain is fetched anew, what it signed is not forgotten."""

from __future__ import annotations

import fcntl
import os
import re
import time
from pathlib import Path

from node.config import LIGHT, NodeConfig, load_config, parse_trust
from node.data_folder import (
    CHAIN_FOLDER,
    MARKER_NAME,
    SIGNING_PREFIX,
    SNAPSHOT_FOLDER,
    remove_chain,
)
from node.keyfile import read_key_file
from node.snapshot.serving import REQUEST_NAME
from node.snapshot.taking import load_snapshots
from tools.errors import NodeTimeout, ToolError
from tools.node_folder import CONFIG_FILE


def resync_node(folder: Path, *, join: str | None, trust: str | None) -> int:
    """Remove the chain of the stopped node in `folder`; return how many bytes that were.

    Raises ToolError where the node runs, or where what it signed is not known any more.
    """
    path = folder / CONFIG_FILE
    config = load_config(path)
    if trust:
        parse_trust(trust)
    _validate_stopped(config.data)
    _validate_signing_file(config)
    settings = {"join": join, "trust": trust}
    text = path.read_text(encoding="utf-8")
    for name, value in settings.items():
        if value is not None:
            text = _with_setting(text, name, value)
    path.write_text(text, encoding="utf-8")
    load_config(path)
    size = sum(entry.stat().st_size for entry in config.data.rglob("*") if entry.is_file())
    remove_chain(config.data)
    left = sum(entry.stat().st_size for entry in config.data.rglob("*") if entry.is_file())
    return size - left


def request_snapshot(path: Path, *, timeout_s: float) -> tuple[int, bytes]:
    """Have the node of a configuration take a snapshot; return the height and id of its block.

    Raises ToolError where the node does not run, NodeTimeout where no snapshot comes.
    """
    config = load_config(path)
    if config.mode == LIGHT:
        raise ToolError("a light node keeps no state, so it takes no snapshot", code="no_snapshot")
    if not _is_running(config.data):
        raise ToolError(
            "the node does not run, and only a running one takes a snapshot",
            code="not_running",
            hint=f"Start it:  bitenergy node run --config {path}",
        )
    folder = config.data / SNAPSHOT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / REQUEST_NAME
    wanted.touch()
    end_s = time.monotonic() + timeout_s
    while wanted.exists():
        if time.monotonic() > end_s:
            wanted.unlink(missing_ok=True)
            raise NodeTimeout("the node took no snapshot", hint="Does it run? See its log.")
        time.sleep(0.1)
    held = load_snapshots(folder)
    if not held:
        raise ToolError("the node could take no snapshot", code="no_snapshot", hint="See its log.")
    header = held[0].manifest.header
    return header.height, header.block_id()


def _validate_stopped(data: Path) -> None:
    """Raise ToolError while a process has the database open."""
    if _is_running(data):
        raise ToolError("the node runs", actual=data, code="already_open", hint="Stop it first.")


def _is_running(data: Path) -> bool:
    """Return whether a process has the database open."""
    lock = data / CHAIN_FOLDER / "LOCK"
    if not lock.exists():
        return False
    handle = os.open(lock, os.O_RDWR)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _validate_signing_file(config: NodeConfig) -> None:
    """Raise ToolError where a validator had a chain and the file of what it signed is gone."""
    if config.vote_key is None or not (config.data / MARKER_NAME).exists():
        return
    key = read_key_file(config.vote_key).public_key
    path = config.data / f"{SIGNING_PREFIX}{key.hex()[:16]}"
    if not path.exists():
        raise ToolError(
            "the file of what this validator signed is gone: it could contradict itself",
            expected=path,
            code="signing_file",
            hint="Restore the file, or give the validator a new vote key: "
            "`bitenergy member set --vote-key`.",
        )


def _with_setting(text: str, name: str, value: str) -> str:
    """Return a configuration's text with a setting of [node] that has this value."""
    line = f'{name} = "{value}"'
    found = re.search(rf"^{name} *=.*$", text, re.M)
    if found is not None:
        return text[: found.start()] + line + text[found.end() :]
    return text.replace("[node]\n", f"[node]\n{line}\n", 1)

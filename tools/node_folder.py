"""The folder of one node: its keys and its configuration, written for `bitenergy node run`.

FOLDER/node.toml          the configuration, explained in its comments
FOLDER/keys/node.json     by which the node's peers know it (unencrypted, mode 0600)
FOLDER/keys/vote.json     with which a validator votes (unencrypted, mode 0600)
FOLDER/data/              the chain, made by the node
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.config import ARCHIVE
from node.keyfile import generate_seed, load_key, read_key_file, save_plain_key
from node.p2p.certificates import make_certificate
from node.p2p.peers import PeerAddress
from tools.errors import ToolError

CONFIG_FILE: Final = "node.toml"
NODE_KEY_FILE: Final = "keys/node.json"
VOTE_KEY_FILE: Final = "keys/vote.json"
ENV_PORTS: Final = "BITENERGY_PORTS"
DEFAULT_PORTS: Final = "21000-32000"


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The public half of a node's keys, as the registry of members holds it."""

    node_key: bytes
    """By which peers know the node, 32 bytes."""
    node_proof: bytes
    """Signature of its certificate, 64 bytes."""
    vote_key: bytes
    """With which it votes, 32 bytes; empty for a node that only follows."""

    def registered(self) -> dict[str, str]:
        """Return key and proof of the node as a member of a genesis file states them."""
        return {"node_key": self.node_key.hex(), "node_proof": self.node_proof.hex()}


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What the configuration file of a node says."""

    name: str
    """What the node calls itself in its logs."""
    genesis: str
    """Path of the genesis file, relative to the configuration file."""
    p2p_listen: str
    """Host and port for peers."""
    api_listen: str
    """Host and port of the HTTP API."""
    votes: bool
    """Whether the node has a vote key."""
    peers: tuple[PeerAddress, ...]
    """Whom it connects to on its own."""
    mode: str = ARCHIVE
    """`archive`, `full`, or `light` for a node that keeps no chain."""
    join: str = "blocks"
    """How it gets to the height of the others at first: `blocks` or `snapshot`."""
    trust: str = ""
    """A block known to be final, HEIGHT:ID; empty for genesis alone."""


def create_keys(folder: Path, *, votes: bool) -> NodeIdentity:
    """Make the node's keys below `folder`; existing ones are refused. Raises KeyFileError."""
    (folder / NODE_KEY_FILE).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    save_plain_key(folder / NODE_KEY_FILE, generate_seed(), purpose="node")
    if votes:
        save_plain_key(folder / VOTE_KEY_FILE, generate_seed(), purpose="vote")
    return load_identity(folder)


def load_identity(folder: Path) -> NodeIdentity:
    """Return the public keys of the node in `folder`; raises KeyFileError."""
    certificate = make_certificate(load_key(folder / NODE_KEY_FILE, purpose="node"))
    vote_path = folder / VOTE_KEY_FILE
    vote_key = read_key_file(vote_path).public_key if vote_path.exists() else b""
    return NodeIdentity(certificate.node_key, certificate.proof, vote_key)


def write_config(folder: Path, settings: NodeSettings) -> Path:
    """Write the configuration file and return its path; an existing one is refused."""
    path = folder / CONFIG_FILE
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(config_text(settings))
    except FileExistsError as error:
        raise ToolError(
            f"{path} exists already and is not overwritten",
            code="file_exists",
            hint="Edit it, or choose another folder.",
        ) from error
    return path


def config_text(settings: NodeSettings) -> str:
    """Return the configuration as TOML with a comment for each setting."""
    lines = [
        "# One bitenergy node. Paths are relative to this file.",
        "",
        "[node]",
        f"name = {_quoted(settings.name)}",
        "# The network: every node of it has the same file.",
        f"genesis = {_quoted(settings.genesis)}",
        "# The chain; made on the first start.",
        'data = "data"',
        "# debug, info, warning or error",
        'log = "info"',
        "# archive keeps every block, full the state and the last blocks, light no chain",
        f"mode = {_quoted(settings.mode)}",
        "# keep_blocks = 10000",
        "# How an empty node gets to the height of the others: blocks or snapshot",
        f"join = {_quoted(settings.join)}",
        "# A block known to be final, from somebody you trust",
        f"trust = {_quoted(settings.trust)}" if settings.trust else '# trust = "HEIGHT:ID"',
        "# Block sync: check every signature, though each block's commit certificate is checked",
        "# verify_synced_signatures = false",
        "# Heights between snapshots for those who join; 0 takes none",
        "# snapshot_interval = 10000",
        "# Percent of one core that a validator mines with under proof of work; 0 for none.",
        "# mining_percent = 25",
        "",
        "[keys]",
        f"node = {_quoted(NODE_KEY_FILE)}",
        *(
            [f"vote = {_quoted(VOTE_KEY_FILE)}"]
            if settings.votes
            else ["# A validator names its vote key here:", f'# vote = "{VOTE_KEY_FILE}"']
        ),
        "",
        "[p2p]",
        "# Where peers connect. Only members of the network get past the handshake.",
        f"listen = {_quoted(settings.p2p_listen)}",
        "# Nodes to connect to: KEY@HOST:PORT, the key as `bitenergy node keys` shows it there.",
        "peers = [",
        *(f"    {_quoted(_peer_text(peer))}," for peer in settings.peers),
        "]",
        "",
        "[api]",
        "# Where wallets and browsers connect. Keep it on 127.0.0.1 unless it is meant for others.",
        f"listen = {_quoted(settings.api_listen)}",
        "# Further names of this machine under which browsers may ask, for example ann.local",
        "# hosts = []",
        "# Serve the explorer's pages here too",
        f"explorer = {'true' if settings.mode != 'light' else 'false'}",
        "# HTTPS; `bitenergy node certificate` makes the two files",
        '# tls_certificate = "https.pem"',
        '# tls_key = "https-key.pem"',
    ]
    return "\n".join(lines) + "\n"


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose_ports(count: int, taken: Sequence[int] = ()) -> list[int]:
    """Return `count` ports that are free now, below those that outgoing connections use.

    Two networks made at the same moment get different ports unless chance is against them;
    `BITENERGY_PORTS=FIRST-LAST` gives each its own stretch.
    """
    import secrets

    first, last = _stretch(os.environ.get(ENV_PORTS) or DEFAULT_PORTS)
    start = first + secrets.randbelow(max(1, (last - first) * 3 // 4))
    chosen: list[int] = []
    for port in range(start, last + 1):
        if len(chosen) == count:
            return chosen
        if port not in taken and port_is_free(port):
            chosen.append(port)
    raise ToolError(
        "no free ports on this machine", expected=count, actual=len(chosen), code="no_ports"
    )


def _peer_text(peer: PeerAddress) -> str:
    host = f"[{peer.host}]" if ":" in peer.host else peer.host
    return f"{peer.node_key.hex()}@{host}:{peer.port}"


def _quoted(text: str) -> str:
    """Return `text` as a TOML string."""
    import json

    return json.dumps(text)


def _stretch(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    if first.isdecimal() and last.isdecimal() and 1_024 <= int(first) < int(last) <= 65_535:
        return int(first), int(last)
    raise ToolError(
        f"{ENV_PORTS} is not a stretch of ports",
        expected="FIRST-LAST, both from 1024 to 65535",
        actual=text,
        code="bad_ports",
        hint=f"For example {ENV_PORTS}={DEFAULT_PORTS}; without it that is the stretch.",
    )

"""A node's configuration file: which network, which keys, where to listen, whom to connect to."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.ledger.proof_paths import TrustedBlock
from node.p2p.certificates import NODE_KEY_BYTES
from node.p2p.peers import PeerAddress
from vm.primitives.errors import BitenergyError
from vm.primitives.hashing import HASH_BYTES

DEFAULT_MINING_PERCENT: Final = 25
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
FULL: Final = "full"
LIGHT: Final = "light"
MODES: Final = (FULL, LIGHT)
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "node": (
        "name",
        "genesis",
        "data",
        "log",
        "workers",
        "verify_synced_signatures",
        "mining_percent",
        "mode",
        "trust",
    ),
    "keys": ("node", "vote"),
    "p2p": ("listen", "peers"),
    "api": ("listen", "hosts", "origins"),
}


class ConfigError(BitenergyError):
    """A configuration file that does not say what a node needs."""

    default_code = "invalid_config"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    """Host name or address."""
    port: int
    """Port; 0 takes any free one."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A checked configuration; paths are absolute."""

    name: str
    """The node's name in its logs."""
    genesis: Path
    """The genesis file."""
    data: Path
    """The data directory."""
    log_level: str
    """One of LOG_LEVELS."""
    node_key: Path
    """The key file by which peers know the node."""
    vote_key: Path | None
    """The key file with which it votes; None for a node that only follows."""
    p2p: Address
    """Where peers connect."""
    peers: tuple[PeerAddress, ...]
    """Whom it connects to on its own."""
    api: Address
    """Where the HTTP API listens."""
    api_hosts: tuple[str, ...]
    """Further names under which the API may be addressed."""
    api_origins: tuple[str, ...]
    """Web origins that browsers may call the API from."""
    workers: int | None
    """Processes that check signatures; None for half the processors."""
    verify_synced_signatures: bool
    """Whether block sync checks every signature, or trusts the commit certificate for them."""
    mode: str = FULL
    """One of MODES: a light node keeps no chain and asks full nodes for proofs."""
    trust: TrustedBlock | None = None
    """The block with which a light node begins; None for genesis."""
    mining_percent: int = DEFAULT_MINING_PERCENT
    """How much of one core a validator's node uses to mine, under proof of work; 0 for nothing."""


def load_config(path: Path) -> NodeConfig:
    """Return the configuration of a TOML file; raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"the configuration {path} cannot be read",
            actual=error,
            hint="`bitenergy init` writes one.",
        ) from error
    for table, values in document.items():
        known = _TABLES.get(table)
        if known is None or not isinstance(values, dict):
            raise ConfigError(f"unknown table [{table}]", expected=", ".join(_TABLES))
        for name in values:
            if name not in known:
                raise ConfigError(f"unknown setting {table}.{name}", expected=", ".join(known))
    reader = _Reader(document, path.resolve().parent)
    vote_key = reader.text("keys", "vote", "")
    mode = reader.text("node", "mode", FULL)
    if mode not in MODES:
        raise ConfigError("unknown mode", expected=", ".join(MODES), actual=mode)
    if mode == LIGHT and vote_key:
        raise ConfigError(
            "a light node does not vote",
            hint='Take `vote` out of [keys], or set mode = "full" in node.toml.',
        )
    level = reader.text("node", "log", "info")
    if level not in LOG_LEVELS:
        raise ConfigError("unknown log level", expected=", ".join(LOG_LEVELS), actual=level)
    return NodeConfig(
        reader.text("node", "name"),
        reader.path("node", "genesis"),
        reader.path("node", "data"),
        level,
        reader.path("keys", "node"),
        reader.base / vote_key if vote_key else None,
        _address(reader.text("p2p", "listen"), "p2p.listen"),
        tuple(parse_peer(item) for item in reader.texts("p2p", "peers")),
        _address(reader.text("api", "listen"), "api.listen"),
        reader.texts("api", "hosts"),
        reader.texts("api", "origins"),
        reader.count("node", "workers"),
        reader.flag("node", "verify_synced_signatures", default=True),
        mode,
        parse_trust(trust) if (trust := reader.text("node", "trust", "")) else None,
        reader.percent("node", "mining_percent", DEFAULT_MINING_PERCENT),
    )


def parse_peer(text: str) -> PeerAddress:
    """Return the peer of `KEY@HOST:PORT`; raises ConfigError."""
    key, at, where = text.partition("@")
    try:
        node_key = bytes.fromhex(key)
    except ValueError:
        node_key = b""
    if not at or len(node_key) != NODE_KEY_BYTES:
        raise ConfigError("not a peer", expected="KEY@HOST:PORT, the key in 64 digits", actual=text)
    address = _address(where, "p2p.peers")
    return PeerAddress(node_key, address.host, address.port)


def parse_trust(text: str) -> TrustedBlock:
    """Return the block of `HEIGHT:ID`; raises ConfigError."""
    height, _, digits = text.partition(":")
    try:
        block_id = bytes.fromhex(digits)
    except ValueError:
        block_id = b""
    if not height.isdecimal() or len(height) > 18 or len(block_id) != HASH_BYTES:
        raise ConfigError(
            "not a trusted block", expected="HEIGHT:ID, the id in 64 digits", actual=text
        )
    return TrustedBlock(int(height), block_id)


def _address(text: str, where: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{where} is HOST:PORT", expected="127.0.0.1:8645", actual=text)
    return Address(host, int(port))


class _Reader:
    """Settings of a document, each with its kind checked."""

    def __init__(self, document: Mapping[str, Mapping[str, object]], base: Path) -> None:
        self._document = document
        self.base = base

    def text(self, table: str, name: str, default: str | None = None) -> str:
        value = self._document.get(table, {}).get(name, default)
        if not isinstance(value, str) or (not value and default is None):
            raise ConfigError(f"{table}.{name} is needed, as text", actual=value)
        return value

    def path(self, table: str, name: str) -> Path:
        return self.base / self.text(table, name)

    def texts(self, table: str, name: str) -> tuple[str, ...]:
        value = self._document.get(table, {}).get(name, [])
        if not isinstance(value, list):
            raise ConfigError(f"{table}.{name} is a list of texts", actual=value)
        texts = tuple(item for item in value if isinstance(item, str))
        if len(texts) != len(value):
            raise ConfigError(f"{table}.{name} is a list of texts", actual=value)
        return texts

    def count(self, table: str, name: str) -> int | None:
        value = self._document.get(table, {}).get(name)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= 64:
            raise ConfigError(f"{table}.{name} is a number from 1 to 64", actual=value)
        return value

    def percent(self, table: str, name: str, default: int) -> int:
        value = self._document.get(table, {}).get(name, default)
        if type(value) is not int or not 0 <= value <= 100:
            raise ConfigError(f"{table}.{name} is a number from 0 to 100", actual=value)
        return value

    def flag(self, table: str, name: str, *, default: bool) -> bool:
        value = self._document.get(table, {}).get(name, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{table}.{name} is true or false", actual=value)
        return value

"""A node's configuration file: which network, which keys, where to listen, whom to connect to."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
ARCHIVE: Final = "archive"
FULL: Final = "full"
LIGHT: Final = "light"
MODES: Final = (ARCHIVE, FULL, LIGHT)
JOINS: Final = ("blocks", "snapshot")
DEFAULT_KEEP_BLOCKS: Final = 10_000
DEFAULT_SNAPSHOT_INTERVAL: Final = 10_000
HOST_UNKNOWN: Final = "HOST"
"""What `bitenergy node keys` shows for a machine that listens on all its addresses."""
MAX_COUNT: Final = 10**9
_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "node": (
        "name",
        "genesis",
        "data",
        "log",
        "workers",
        "mining_percent",
        "mode",
        "keep_blocks",
        "snapshot_interval",
        "join",
        "trust",
        "verify_synced_signatures",
    ),
    "keys": ("node", "vote"),
    "p2p": ("listen", "peers"),
    "api": ("listen", "hosts", "origins", "explorer", "tls_certificate", "tls_key"),
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


@contextmanager
def listening(setting: str, address: Address) -> Iterator[Address]:
    """Hand over the address of `setting`; raises ConfigError where it cannot be had."""
    try:
        yield address
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a name
        raise ConfigError(
            f"{setting} cannot be had",
            expected="an address of this machine with a free port",
            actual=f"{address.host}:{address.port} ({error})",
            hint="Change the setting, or stop the program that has the port.",
        ) from error


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
    """Whether block sync checks every signature, or lets the commit certificate stand for them."""
    mode: str = ARCHIVE
    """One of MODES: `archive` keeps every block, `full` the last `keep_blocks` and the state, and
    `light` no chain: it asks the others for proofs."""
    keep_blocks: int = DEFAULT_KEEP_BLOCKS
    """How many blocks with their receipts and indices a `full` node keeps at least."""
    snapshot_interval: int = DEFAULT_SNAPSHOT_INTERVAL
    """Heights between two snapshots for those who join; 0 takes none by itself."""
    join: str = "blocks"
    """One of JOINS: how an empty chain gets to the height of the others."""
    trust: TrustedBlock | None = None
    """A block that the owner knows to be final; a light node begins there instead of at genesis."""
    explorer: bool = False
    """Whether the API's server also serves the explorer's pages."""
    tls: tuple[Path, Path] | None = None
    """Certificate chain and private key, PEM files, by which the API is served over HTTPS."""
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
    mode = reader.choice("node", "mode", MODES)
    if mode == LIGHT and vote_key:
        raise ConfigError(
            "a light node does not vote",
            hint='Take `vote` out of [keys], or set mode = "full" in node.toml.',
        )
    return NodeConfig(
        reader.text("node", "name"),
        reader.path("node", "genesis"),
        reader.path("node", "data"),
        reader.choice("node", "log", LOG_LEVELS, default="info"),
        reader.path("keys", "node"),
        reader.base / vote_key if vote_key else None,
        _address(reader.text("p2p", "listen"), "p2p.listen"),
        tuple(parse_peer(item) for item in reader.texts("p2p", "peers")),
        _address(reader.text("api", "listen"), "api.listen"),
        reader.texts("api", "hosts"),
        tuple(_origin(item) for item in reader.texts("api", "origins")),
        reader.count("node", "workers"),
        reader.flag("node", "verify_synced_signatures", default=False),
        mode,
        reader.number("node", "keep_blocks", 2, DEFAULT_KEEP_BLOCKS),
        reader.number("node", "snapshot_interval", 0, DEFAULT_SNAPSHOT_INTERVAL),
        reader.choice("node", "join", JOINS),
        parse_trust(trust) if (trust := reader.text("node", "trust", "")) else None,
        explorer=reader.flag("api", "explorer", default=False),
        tls=_tls(reader),
        mining_percent=reader.percent("node", "mining_percent", DEFAULT_MINING_PERCENT),
    )


def _tls(reader: _Reader) -> tuple[Path, Path] | None:
    certificate, key = (reader.text("api", name, "") for name in ("tls_certificate", "tls_key"))
    if bool(certificate) != bool(key):
        raise ConfigError(
            "HTTPS needs both api.tls_certificate and api.tls_key",
            hint="`bitenergy node certificate` makes the two files.",
        )
    return (reader.base / certificate, reader.base / key) if certificate else None


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
    if address.host == HOST_UNKNOWN:
        raise ConfigError(
            f"a peer's {HOST_UNKNOWN} stands for a name or address of its machine",
            actual=text,
            hint="Write that in its place.",
        )
    return PeerAddress(node_key, address.host, address.port)


def parse_trust(text: str) -> TrustedBlock:
    """Return the trusted header of `HEIGHT:ID`; raises ConfigError."""
    height, _, digits = text.partition(":")
    try:
        block_id = bytes.fromhex(digits)
    except ValueError:
        block_id = b""
    if not height.isdecimal() or len(height) > 18 or len(block_id) != HASH_BYTES:
        raise ConfigError(
            "not a trusted header", expected="HEIGHT:ID, the id in 64 digits", actual=text
        )
    return TrustedBlock(int(height), block_id)


def _address(text: str, where: str) -> Address:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{where} is HOST:PORT", expected="127.0.0.1:8645", actual=text)
    return Address(host, int(port))


def _origin(text: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", text):
        raise ConfigError(
            "not a web origin in api.origins", expected="https://example.org", actual=text
        )
    return text


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

    def number(self, table: str, name: str, least: int, default: int) -> int:
        value = self._document.get(table, {}).get(name, default)
        if type(value) is not int or not least <= value <= MAX_COUNT:
            raise ConfigError(f"{table}.{name} is a number from {least} on", actual=value)
        return value

    def choice(
        self, table: str, name: str, choices: Sequence[str], *, default: str | None = None
    ) -> str:
        value = self.text(table, name, default or choices[0])
        if value not in choices:
            raise ConfigError(f"unknown {table}.{name}", expected=", ".join(choices), actual=value)
        return value

    def flag(self, table: str, name: str, *, default: bool) -> bool:
        value = self._document.get(table, {}).get(name, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{table}.{name} is true or false", actual=value)
        return value

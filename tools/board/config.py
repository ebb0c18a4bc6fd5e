"""The configuration of one board: its own keys and units, and its neighbours' addresses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from market.dispatch_problem import Storage
from node.config import ConfigError
from vm.primitives.address import check_name
from vm.primitives.decimal_text import parse_decimal
from vm.primitives.errors import BitenergyError

CONFIG_FILE: Final = "board.toml"
MAX_CONFIG_BYTES: Final = 1_048_576
KINDS: Final = ("generator", "load")
STORAGE: Final = "storage"
STORAGE_FIELDS: Final = tuple(
    each.name for each in fields(Storage) if each.name not in ("name", "bus")
)
"""The ten numbers of a storage, in the order in which it is registered."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A board with which this one shares a line."""

    bus: str
    """Name of its bus."""
    member: str
    """Its name in the registry of members, which has its key."""
    host: str
    """Where it listens."""
    port: int
    """On which port."""


@dataclass(frozen=True, slots=True)
class OwnUnit:
    """A unit of the board's owner, registered when the board starts."""

    name: str
    """Its name."""
    kind: str
    """`generator`, `load` or `storage`."""
    bids: tuple[tuple[int, int, int, int], ...]
    """(a, b, lo_w, hi_w), one for all intervals or one for each; a storage has none."""
    storage: tuple[int, ...] = ()
    """A storage's numbers, those of STORAGE_FIELDS."""


@dataclass(frozen=True, slots=True)
class BoardArea:
    """The board's place in one dispatch area."""

    name: str
    """The area's name."""
    bus: str
    """Name of the board's bus."""
    neighbours: tuple[Neighbour, ...]
    """All boards with which it shares a line."""
    units: tuple[OwnUnit, ...]
    """Units to register; those registered otherwise need not be named."""


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """All that a board is started with."""

    member: str
    """Its owner's name in the registry."""
    genesis: bytes
    """Hash of the network's genesis, 32 bytes."""
    nodes: tuple[str, ...]
    """Addresses of the APIs that it follows the chain by, the first that answers."""
    account_key: Path
    """File of the key that signs transactions."""
    node_key: Path
    """File of the key that neighbours know it by."""
    host: str
    """Where it listens for neighbours."""
    port: int
    """On which port."""
    traffic_log: Path | None
    """File in which each message is noted; None for none."""
    submits: bool
    """Whether it submits results."""
    light_config: Path | None
    """Configuration of the light node that the board runs itself and asks first; None for none."""
    areas: tuple[BoardArea, ...]
    """Where it takes part."""


def load_config(path: Path) -> BoardConfig:
    """Return the configuration in a file; raises ConfigError."""
    hint = "docs/boards.md shows a configuration."
    try:
        with path.open("rb") as handle:
            document = tomllib.loads(handle.read(MAX_CONFIG_BYTES).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}", actual=error, hint=hint) from error
    try:
        return _decode_config(document, path.parent)
    except ConfigError as error:
        raise ConfigError(
            f"{path}: {error.message}", expected=error.expected, actual=error.actual, hint=hint
        ) from error


def _decode_config(document: Mapping[str, object], base: Path) -> BoardConfig:
    """Return the configuration that a document states, its paths from `base`."""
    board = _table(document, "board")
    try:
        genesis = bytes.fromhex(_text(board, "genesis"))
    except ValueError:
        genesis = b""
    if len(genesis) != 32:
        raise ConfigError("board.genesis is the network's hash in 64 digits")
    host, port = _address(_text(board, "listen"))
    log, light = board.get("traffic_log", ""), board.get("light_config", "")
    areas = document.get("area", [])
    if not isinstance(areas, list) or not areas:
        raise ConfigError("a board takes part in at least one [[area]]")
    return BoardConfig(
        member=_name(board, "member"),
        genesis=genesis,
        nodes=_texts(board, "nodes"),
        account_key=base / _text(board, "account_key"),
        node_key=base / _text(board, "node_key"),
        host=host,
        port=port,
        traffic_log=base / str(log) if log else None,
        submits=board.get("submits", True) is not False,
        light_config=base / str(light) if light else None,
        areas=tuple(_area(entry) for entry in areas),
    )


def config_text(config: BoardConfig) -> str:
    """Return a configuration as TOML; paths as they are."""
    lines = [
        "# One bitenergy board. Paths are relative to this file.",
        "[board]",
        f'member = "{config.member}"',
        f'genesis = "{config.genesis.hex()}"',
        f"nodes = [{', '.join(_quoted(node) for node in config.nodes)}]",
        f'account_key = "{config.account_key}"',
        f'node_key = "{config.node_key}"',
        f'listen = "{config.host}:{config.port}"',
        f'traffic_log = "{config.traffic_log or ""}"',
        f"submits = {'true' if config.submits else 'false'}",
        '# Configuration of a light node (mode = "light") that this board runs itself',
        f'light_config = "{config.light_config or ""}"',
    ]
    for area in config.areas:
        lines += ["", "[[area]]", f'name = "{area.name}"', f'bus = "{area.bus}"']
        lines += ["# BUS=MEMBER@HOST:PORT of each board with which this one shares a line"]
        texts = map(_neighbour_text, area.neighbours)
        lines += [f"neighbours = [{', '.join(map(_quoted, texts))}]"]
        for unit in area.units:
            lines += ["", "[[area.unit]]", f'name = "{unit.name}"', f'kind = "{unit.kind}"']
            if unit.storage:
                numbers = zip(STORAGE_FIELDS, unit.storage, strict=True)
                lines += [f'{field} = "{number}"' for field, number in numbers]
                continue
            lines += [
                "# a (1e-24 $/W2h), b (1e-24 $/Wh), least and greatest injection (W)",
                "bids = [",
            ]
            lines += [f'    ["{a}", "{b}", {lo_w}, {hi_w}],' for a, b, lo_w, hi_w in unit.bids]
            lines += ["]"]
    return "\n".join(lines) + "\n"


def _neighbour_text(each: Neighbour) -> str:
    host = f"[{each.host}]" if ":" in each.host else each.host
    return f"{each.bus}={each.member}@{host}:{each.port}"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _area(entry: object) -> BoardArea:
    found = _object(entry, "[[area]]")
    units = found.get("unit", [])
    if not isinstance(units, list):
        raise ConfigError("[[area.unit]] is a list of tables")
    return BoardArea(
        _name(found, "name"),
        _name(found, "bus"),
        tuple(_neighbour(text) for text in _texts(found, "neighbours")),
        tuple(_unit(unit) for unit in units),
    )


def _neighbour(text: str) -> Neighbour:
    bus, _, rest = text.partition("=")
    member, at, where = rest.partition("@")
    if not at or not check_name(bus) or not check_name(member):
        raise ConfigError("not a neighbour", expected="BUS=MEMBER@HOST:PORT", actual=text)
    return Neighbour(bus, member, *_address(where))


def _unit(entry: object) -> OwnUnit:
    found = _object(entry, "[[area.unit]]")
    kind, bids = _text(found, "kind"), found.get("bids")
    if kind == STORAGE:
        numbers = tuple(_whole(found.get(field), field) for field in STORAGE_FIELDS)
        return OwnUnit(_name(found, "name"), kind, (), numbers)
    if kind not in KINDS or not isinstance(bids, list) or not bids:
        raise ConfigError("a unit is a generator or a load and has bids, or a storage", actual=kind)
    return OwnUnit(_name(found, "name"), kind, tuple(_bid(bid) for bid in bids))


def _whole(value: object, field: str) -> int:
    try:
        return parse_decimal(value, 0) if isinstance(value, str) else int(str(value))
    except (BitenergyError, ValueError) as error:
        raise ConfigError(f"{field} is a whole number", actual=value) from error


def _bid(entry: object) -> tuple[int, int, int, int]:
    if not isinstance(entry, list) or len(entry) != 4:
        raise ConfigError("a bid is [a, b, lo_w, hi_w]", actual=entry)
    try:
        a, b, lo_w, hi_w = (
            parse_decimal(each, 0) if isinstance(each, str) else int(each) for each in entry
        )
    except (BitenergyError, TypeError, ValueError) as error:
        raise ConfigError("a bid has whole numbers", actual=entry) from error
    return a, b, lo_w, hi_w


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigError("not an address", expected="HOST:PORT", actual=text)
    return host, int(port)


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    return _object(document.get(name), f"[{name}]")


def _object(entry: object, what: str) -> Mapping[str, object]:
    if not isinstance(entry, dict):
        raise ConfigError(f"{what} is a table", actual=entry)
    return entry


def _text(found: Mapping[str, object], field: str) -> str:
    value = found.get(field)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{field} is text", actual=value)
    return value


def _name(found: Mapping[str, object], field: str) -> str:
    value = _text(found, field)
    if not check_name(value):
        raise ConfigError(f"{field} is a name", actual=value)
    return value


def _texts(found: Mapping[str, object], field: str) -> tuple[str, ...]:
    value = found.get(field)
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigError(f"{field} is a list of texts", actual=value)
    return tuple(str(each) for each in value)

"""The genesis file on disk, and a short form of it that a running chain needs no more than.

A network may begin with a hundred thousand members. Once the chain stands, they are in its state:
a restart then reads the file only to compare its hash with the one that the short form names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from node.engines import make_engine
from node.ledger.genesis import Genesis, decode_genesis
from vm.parameters import decode_parameters
from vm.primitives.codec import Value, decode, encode
from vm.primitives.errors import BitenergyError, DecodeError, InvalidGenesis

SHORT_FORM_NAME: Final = "genesis.short"
SHORT_FORM_TYPE: Final = 60
VERSION: Final = 1
MAX_SHORT_FORM_BYTES: Final = 65_536


def read_genesis_file(path: Path) -> bytes:
    """Return the file's bytes; raises BitenergyError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BitenergyError(
            f"the genesis file {path} cannot be read",
            code="invalid_config",
            actual=error,
            hint="Every node of a network needs the network's genesis file.",
        ) from error


@contextmanager
def reading_genesis(path: Path) -> Iterator[None]:
    """Say of a genesis with a fault which file it is, and what to do; raises InvalidGenesis."""
    try:
        yield
    except InvalidGenesis as error:
        raise InvalidGenesis(
            f"the genesis file {path}: {error.message}",
            code=error.code,
            expected=error.expected,
            actual=error.actual,
            hint=error.hint
            or "It has to be the genesis.json of the network's operator, unchanged; a template "
            "becomes one by `bitenergy testnet init --genesis`.",
        ) from error


def load_genesis(path: Path, data: Path) -> Genesis:
    """Return the genesis of a file; without members where the chain in `data` stands already.

    Raises BitenergyError.
    """
    document = read_genesis_file(path)
    if (data / "chain" / "CURRENT").exists():
        known = _load_short_form(data / SHORT_FORM_NAME, sha256(document).digest())
        if known is not None:
            return known
    genesis = decode_genesis(document)
    make_engine(genesis, genesis.parameters, None)  # refused before anything is written
    return genesis


def save_short_form(path: Path, data: Path, genesis: Genesis) -> None:
    """Keep the short form beside the chain, once the chain has begun with `genesis`."""
    if not genesis.members:
        return
    fields = encode(
        [
            SHORT_FORM_TYPE,
            VERSION,
            sha256(read_genesis_file(path)).digest(),
            genesis.digest,
            genesis.chain,
            genesis.time_ms,
            genesis.engine,
            sorted((name, number) for name, number in genesis.engine_parameters.items()),
            genesis.parameters.encode(),
            genesis.roles,
        ]
    )
    temporary = data / f"{SHORT_FORM_NAME}.new"
    temporary.write_bytes(fields)
    os.replace(temporary, data / SHORT_FORM_NAME)


def _load_short_form(path: Path, digest: bytes) -> Genesis | None:
    try:
        value = decode(path.read_bytes(), max_bytes=MAX_SHORT_FORM_BYTES)
    except (OSError, DecodeError):
        return None
    match value:
        case (
            60,
            1,
            bytes(file_digest),
            bytes(identity),
            str(chain),
            int(time_ms),
            str(engine),
            tuple(engine_parameters),
            bytes(parameters),
            tuple(roles),
        ) if file_digest == digest:
            return Genesis(
                chain,
                time_ms,
                engine,
                dict(_number(entry) for entry in engine_parameters),
                decode_parameters(parameters),
                tuple(str(role) for role in roles),
                (),
                {},
                identity,
            )
    return None


def _number(entry: Value) -> tuple[str, int]:
    match entry:
        case (str(name), int(number)):
            return name, number
    raise DecodeError("an engine parameter is a name and a number", actual=entry)

"""The few facts of genesis that a light node needs, worked out by a process of its own.

A genesis file may list a hundred thousand members, and who validates first follows from the whole
state. The process that works it out ends, and its memory with it; the facts are kept beside the
light node's state.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import astuple, dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

from node.light.checked_file import load_checked, save_checked
from vm.primitives.codec import Value, decode, encode_trusted
from vm.primitives.errors import BitenergyError, DecodeError

FACTS_NAME: Final = "light.genesis"
FACTS_TYPE: Final = 48
VERSION: Final = 2
MAX_FACTS_BYTES: Final = 65_536
KNOWN_ENGINES: Final = ("poa", "pos", "pow")
"""Engines whose headers a light node can follow: by commit certificates, or by work."""


@dataclass(frozen=True, slots=True)
class GenesisFacts:
    """What a light node needs of genesis."""

    genesis: bytes
    """Hash of its content: the network's identity, 32 bytes."""
    chain: str
    """Name of the network, for people."""
    engine: str
    """Name of the consensus engine."""
    roles: tuple[str, ...]
    """All roles, in the order of their bits."""
    markets: tuple[str, ...]
    """Names of the markets."""
    validators: bytes
    """Hash of the set that decides block 1, 32 bytes."""
    first_block: bytes = b""
    """Id of block 0, 32 bytes."""
    time_ms: int = 0
    """Time of block 0, milliseconds UTC."""
    work: tuple[int, ...] = ()
    """The numbers of proof of work, in the order of WorkRules; none where certificates decide."""


def load_facts(genesis: Path, folder: Path) -> GenesisFacts:
    """Return the facts of a genesis file, kept in `folder` from the first time on.

    Raises BitenergyError where the file is no genesis, or of an engine without certificates.
    """
    try:
        with genesis.open("rb") as handle:
            digest = file_digest(handle, "sha256").digest()
    except OSError as error:
        raise BitenergyError(
            f"the genesis file {genesis} cannot be read",
            code="invalid_config",
            actual=error,
            hint="Every node of a network needs the network's genesis file.",
        ) from error
    facts = _load(folder / FACTS_NAME, digest) or _work_out(genesis)
    if facts.engine not in KNOWN_ENGINES:
        raise BitenergyError(
            "a light node follows commit certificates or work, and this network has neither",
            expected=" or ".join(KNOWN_ENGINES),
            actual=facts.engine,
            hint='Run a full node: mode = "full" in node.toml.',
        )
    fields = [getattr(facts, name) for name in GenesisFacts.__dataclass_fields__]
    save_checked(folder / FACTS_NAME, encode_trusted([FACTS_TYPE, VERSION, digest, *fields]))
    return facts


def _load(path: Path, digest: bytes) -> GenesisFacts | None:
    """Return the facts that were kept; None where there are none of this very file."""
    try:
        value = decode(load_checked(path), max_bytes=MAX_FACTS_BYTES)
    except (FileNotFoundError, DecodeError):
        return None
    match value:
        case (
            48,
            2,
            bytes(known),
            bytes(genesis),
            str(chain),
            str(engine),
            tuple(roles),
            tuple(markets),
            bytes(validators),
            bytes(first_block),
            int(time_ms),
            tuple(work),
        ) if known == digest:
            return GenesisFacts(
                genesis,
                chain,
                engine,
                _texts(roles),
                _texts(markets),
                validators,
                first_block,
                time_ms,
                tuple([number for number in work if isinstance(number, int)]),
            )
    return None


def _texts(values: tuple[Value, ...]) -> tuple[str, ...]:
    return tuple([value for value in values if isinstance(value, str)])


def _work_out(genesis: Path) -> GenesisFacts:
    done = subprocess.run(
        [sys.executable, "-m", "node.light.facts", str(genesis)], capture_output=True, check=False
    )
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    if "error" in found or not found:
        raise BitenergyError(
            f"{genesis} is no genesis file: {found.get('error') or done.stderr.decode()[-400:]}",
            code="invalid_genesis",
        )
    return GenesisFacts(
        bytes.fromhex(found["genesis"]),
        found["chain"],
        found["engine"],
        tuple(found["roles"]),
        tuple(found["markets"]),
        bytes.fromhex(found["validators"]),
        bytes.fromhex(found["first_block"]),
        found["time_ms"],
        tuple(found["work"]),
    )


def main(path: Path) -> None:
    """Print the facts of a genesis file, or what is wrong with it, as JSON."""
    from market.views import list_markets
    from node.engines import work_rules
    from node.ledger.chain_rules import build_genesis
    from node.ledger.genesis import decode_genesis
    from node.modules import make_runtime

    try:
        genesis = decode_genesis(path.read_bytes())
        block = build_genesis(make_runtime(genesis.roles), genesis)
        rules = work_rules(genesis)
    except BitenergyError as error:
        sys.stdout.write(json.dumps({"error": str(error)}))
        return
    facts = {
        "genesis": genesis.digest.hex(),
        "chain": genesis.chain,
        "engine": genesis.engine,
        "roles": list(genesis.roles),
        "markets": [market.name for market in list_markets(block.executed.state)],
        "validators": block.header.next_validators.hex(),
        "first_block": block.block_id.hex(),
        "time_ms": genesis.time_ms,
        "work": [] if rules is None else astuple(rules),
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

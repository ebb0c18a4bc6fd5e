"""The consensus engines that genesis, or a vote of the members, can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from consensus.interface import Engine, EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from node.ledger.genesis import Genesis
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidGenesis


@dataclass(frozen=True, slots=True)
class EngineKind:
    """An engine that this software has."""

    make: Callable[[EngineConfig, bytes | None], Engine]
    """Makes it for the account that votes with it, or None."""
    is_final_at_once: bool = True
    """Whether a block is final when it is decided; a chain goes over only between such engines."""


Engines = Mapping[str, EngineKind]
"""Engines by name."""

ENGINES: Final[Engines] = {
    "poa": EngineKind(PoaEngine),
    "pos": EngineKind(PosEngine),
}
"""What this software has."""


def make_engine(
    genesis: Genesis,
    parameters: ChainParameters,
    account: bytes | None,
    engines: Engines = ENGINES,
) -> Engine:
    """Return the engine that genesis names; raises InvalidGenesis."""
    known = [field.name for field in fields(EngineConfig)]
    unknown = [name for name in genesis.engine_parameters if name not in known]
    kind = engines.get(genesis.engine)
    if kind is None or unknown:
        raise InvalidGenesis(
            "an engine or engine parameter that this version does not have",
            expected=f"engine {' or '.join(engines)}",
            actual=[genesis.engine, *unknown],
        )
    timing = {
        "min_block_interval_ms": parameters.block_interval_ms,
        "heartbeat_ms": parameters.heartbeat_ms,
        "max_drift_ms": parameters.max_drift_ms,
        **genesis.engine_parameters,
    }
    return kind.make(EngineConfig(**timing), account)

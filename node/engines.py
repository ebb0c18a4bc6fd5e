"""The consensus engines that genesis can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from consensus.interface import Engine, EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from node.ledger.genesis import Genesis
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidGenesis

ENGINES: Final[Mapping[str, Callable[[EngineConfig, bytes | None], Engine]]] = {
    "poa": PoaEngine,
    "pos": PosEngine,
}


def make_engine(genesis: Genesis, parameters: ChainParameters, account: bytes | None) -> Engine:
    """Return the engine that genesis names; raises InvalidGenesis."""
    known = [field.name for field in fields(EngineConfig)]
    unknown = [name for name in genesis.engine_parameters if name not in known]
    chosen = ENGINES.get(genesis.engine)
    if chosen is None or unknown:
        raise InvalidGenesis(
            "an engine or engine parameter that this version does not have",
            expected=f"engine {' or '.join(ENGINES)}",
            actual=[genesis.engine, *unknown],
        )
    timing = {
        "min_block_interval_ms": parameters.block_interval_ms,
        "heartbeat_ms": parameters.heartbeat_ms,
        "max_drift_ms": parameters.max_drift_ms,
        **genesis.engine_parameters,
    }
    return chosen(EngineConfig(**timing), account)

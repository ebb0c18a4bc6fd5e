"""The consensus engines that genesis can name."""

from __future__ import annotations

from dataclasses import fields

from consensus.interface import Engine, EngineConfig
from consensus.poa import PoaEngine
from node.ledger.genesis import Genesis
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidGenesis


def make_engine(genesis: Genesis, parameters: ChainParameters, account: bytes | None) -> Engine:
    """Return the engine that genesis names; raises InvalidGenesis."""
    known = [field.name for field in fields(EngineConfig)]
    unknown = [name for name in genesis.engine_parameters if name not in known]
    if genesis.engine != "poa" or unknown:
        raise InvalidGenesis(
            "an engine or engine parameter that this version does not have",
            expected="engine poa",
            actual=[genesis.engine, *unknown],
        )
    timing = {
        "min_block_interval_ms": parameters.block_interval_ms,
        "heartbeat_ms": parameters.heartbeat_ms,
        "max_drift_ms": parameters.max_drift_ms,
        **genesis.engine_parameters,
    }
    return PoaEngine(EngineConfig(**timing), account)

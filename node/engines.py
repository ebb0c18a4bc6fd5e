"""The consensus engines that genesis can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Final

from consensus.interface import Engine, EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from consensus.pow import PowEngine
from consensus.work import MAX_DIFFICULTY, WorkRules
from node.ledger.genesis import Genesis
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidGenesis

_Maker = Callable[[Genesis, EngineConfig, bytes | None], Engine]

_TIMING: Final = tuple(field.name for field in fields(EngineConfig))
_WORK: Final = tuple(field.name for field in fields(WorkRules))


def _make_pow(genesis: Genesis, config: EngineConfig, account: bytes | None) -> Engine:
    rules = work_rules(genesis)
    return PowEngine(config, account, rules or WorkRules())


ENGINES: Final[Mapping[str, tuple[_Maker, tuple[str, ...]]]] = {
    "poa": (lambda _, config, account: PoaEngine(config, account), ()),
    "pos": (lambda _, config, account: PosEngine(config, account), ()),
    "pow": (_make_pow, _WORK),
}
"""How each engine is made, and which parameters it has beside the timing of all."""


def make_engine(genesis: Genesis, parameters: ChainParameters, account: bytes | None) -> Engine:
    """Return the engine that genesis names; raises InvalidGenesis."""
    make, own = ENGINES.get(genesis.engine, (None, ()))
    unknown = [name for name in genesis.engine_parameters if name not in (*_TIMING, *own)]
    if make is None or unknown:
        raise InvalidGenesis(
            "an engine or engine parameter that this version does not have",
            expected=f"engine {' or '.join(ENGINES)}",
            actual=[genesis.engine, *unknown],
        )
    given = genesis.engine_parameters
    timing = {
        "min_block_interval_ms": parameters.block_interval_ms,
        "heartbeat_ms": parameters.heartbeat_ms,
        "max_drift_ms": parameters.max_drift_ms,
        **{name: value for name, value in given.items() if name in _TIMING},
    }
    return make(genesis, EngineConfig(**timing), account)


def work_rules(genesis: Genesis) -> WorkRules | None:
    """Return the numbers of proof of work, or None where certificates decide.

    Raises InvalidGenesis for a number that no network can run with.
    """
    if genesis.engine != "pow":
        return None
    given = genesis.engine_parameters
    rules = WorkRules(**{name: value for name, value in given.items() if name in _WORK})
    for name in _WORK:
        if not 1 <= getattr(rules, name) <= MAX_DIFFICULTY:
            raise InvalidGenesis(
                f"engine parameter {name!r} is out of range",
                expected="at least 1",
                actual=getattr(rules, name),
            )
    return rules

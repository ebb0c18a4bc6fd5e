"""The consensus engines that genesis, or a vote of the members, can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from consensus.interface import Engine, EngineConfig
from consensus.poa import PoaEngine
from consensus.pos import PosEngine
from consensus.pow import PowEngine
from consensus.work import MAX_DIFFICULTY, WorkRules
from node.ledger.genesis import Genesis
from vm.parameters import ChainParameters
from vm.primitives.errors import InvalidGenesis

_TIMING: Final = tuple(field.name for field in fields(EngineConfig))
_WORK: Final = tuple(field.name for field in fields(WorkRules))


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
    "pow": EngineKind(
        lambda config, account: PowEngine(config, account, WorkRules()), is_final_at_once=False
    ),
}
"""What this software has."""


def make_engine(
    genesis: Genesis,
    parameters: ChainParameters,
    account: bytes | None,
    engines: Engines = ENGINES,
) -> Engine:
    """Return the engine that genesis names; raises InvalidGenesis."""
    rules = work_rules(genesis)
    known = _TIMING if rules is None else (*_TIMING, *_WORK)
    unknown = [name for name in genesis.engine_parameters if name not in known]
    kind = engines.get(genesis.engine)
    if kind is None or unknown:
        raise InvalidGenesis(
            "an engine or engine parameter that this version does not have",
            expected=f"engine {' or '.join(engines)}",
            actual=[genesis.engine, *unknown],
        )
    given = genesis.engine_parameters
    timing = {
        "min_block_interval_ms": parameters.block_interval_ms,
        "heartbeat_ms": parameters.heartbeat_ms,
        "max_drift_ms": parameters.max_drift_ms,
        **{name: value for name, value in given.items() if name in _TIMING},
    }
    config = EngineConfig(**timing)
    return kind.make(config, account) if rules is None else PowEngine(config, account, rules)


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

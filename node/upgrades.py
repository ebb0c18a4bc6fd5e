"""What this software can do of what members vote for: checked at the door, and at the height.

The rules of the chain let a proposal name any next version and any engine, for software that has
them may not be on every machine yet. A node refuses at its own door what its software lacks, and
where a vote decided it anyway, it stops before the height from which on it would be needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from node.engines import ENGINES, Engines, make_engine
from node.ledger.genesis import Genesis
from node.ledger.transaction import Transaction
from node.modules import MODULES, Catalogue, make_runtime
from vm.context import read_last_number
from vm.overlay import StateReader
from vm.parameters import ChainParameters
from vm.primitives.codec import Value
from vm.primitives.errors import BitenergyError, InvalidGenesis, InvalidTransaction
from vm.runtime import Call, Runtime
from vm.system.changes import ENGINES_BY_DEPTH
from vm.system.governance import PROPOSAL_COUNTER, GovernanceModule
from vm.system.governance_records import ENGINE, MODULE, PASSED, EngineChoice, read_proposal

HINT: Final = (
    "It signs nothing of that height. Install a bitenergy that has it and start the node again; "
    "its data stay as they are."
)


MAX_LOOKED_AT: Final = 256
"""How many of the newest proposals are looked at for what is to come."""


class UpgradeNeeded(BitenergyError):
    """The members voted for something that this node's software does not have."""

    default_code = "upgrade_needed"


@dataclass(frozen=True, slots=True)
class Support:
    """The module versions and engines of one software."""

    modules: Catalogue = field(default_factory=lambda: MODULES)
    """Makers of modules by name and version."""
    engines: Engines = field(default_factory=lambda: ENGINES)
    """Engines by name."""

    def runtime(self, roles: tuple[str, ...], versions: Mapping[str, int]) -> Runtime:
        """Return the runtime with these versions; raises InvalidGenesis where one is missing."""
        return make_runtime(roles, versions, self.modules)

    def validate_engine(self, genesis: Genesis, parameters: ChainParameters) -> None:
        """Raise InvalidGenesis unless a chain can go over to the engine that `genesis` names."""
        kind = self.engines.get(genesis.engine)
        by_depth = kind is not None and not kind.is_final_at_once
        if by_depth or genesis.engine in ENGINES_BY_DEPTH:
            raise InvalidGenesis(
                "a running chain does not go over to or from an engine with finality by depth",
                actual=genesis.engine,
                hint="Begin a network of its own with it.",
            )
        make_engine(genesis, parameters, None, self.engines)

    def validate_proposal(
        self, transaction: Transaction, genesis: Genesis, parameters: ChainParameters
    ) -> None:
        """Raise InvalidTransaction where it proposes what this software does not have.

        `genesis` names the engine in force.
        """
        for call in transaction.calls:
            if call[0] == GovernanceModule.name:
                try:
                    self._validate_call(call, genesis, parameters)
                except InvalidGenesis as error:
                    raise InvalidTransaction(
                        f"this node cannot do what is proposed: {error}", code="unsupported"
                    ) from error

    def missing(
        self, state: StateReader, genesis: Genesis, parameters: ChainParameters
    ) -> list[UpgradeNeeded]:
        """Return why this software cannot follow what was voted for and is still to come."""
        found: list[UpgradeNeeded] = []
        newest = read_last_number(state, PROPOSAL_COUNTER)
        for number in range(max(1, newest - MAX_LOOKED_AT + 1), newest + 1):
            proposal = read_proposal(state, number)
            if proposal is None or proposal.status != PASSED:
                continue
            change = proposal.change
            try:
                if change.kind == MODULE:
                    self._validate_version(change.name, dict(change.values)["version"], genesis)
                elif change.kind == ENGINE:
                    wanted = EngineChoice(change.name, change.values)  # type: ignore[arg-type]
                    self.validate_engine(with_engine(genesis, wanted), parameters)
            except InvalidGenesis as error:
                found.append(upgrade_needed(proposal.height, error))
        return found

    def _validate_call(self, call: Call, genesis: Genesis, parameters: ChainParameters) -> None:
        match call:
            case (_, "propose_module", (str(name), int(version), *_)):
                self._validate_version(name, version, genesis)
            case (_, "propose_engine", (str(name), tuple(numbers), *_)):
                if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in numbers):
                    return  # the chain itself refuses what is not well formed
                self.validate_engine(genesis, parameters)
                wanted = EngineChoice(name, numbers)  # type: ignore[arg-type]
                self.validate_engine(with_engine(genesis, wanted), parameters)

    def _validate_version(self, name: str, version: Value, genesis: Genesis) -> None:
        self.runtime(genesis.roles, {name: version if isinstance(version, int) else 0})


SUPPORT: Final = Support()
"""What this software has."""


def with_engine(genesis: Genesis, engine: EngineChoice | None) -> Genesis:
    """Return genesis as if it named `engine`; as it is for None."""
    if engine is None:
        return genesis
    return replace(genesis, engine=engine.name, engine_parameters=dict(engine.parameters))


def upgrade_needed(height: int, reason: BitenergyError) -> UpgradeNeeded:
    """Return why a node cannot work on `height`."""
    return UpgradeNeeded(
        f"this node stops before height {height}: the members voted for a change from there on, "
        f"and {reason}",
        hint=HINT,
    )

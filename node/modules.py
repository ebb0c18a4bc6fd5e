"""The modules that every bitenergy chain is composed of, in the order in which their hooks run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from market.auction.module import AuctionModule
from market.certificates.module import CertificatesModule
from market.day.module import DayModule
from market.dispatch_module import DispatchModule
from market.meters.module import MetersModule
from market.module import MarketModule
from market.quota.module import QuotaModule
from market.response.module import ResponseModule
from vm.contract.interfaces import Signatures
from vm.module import Module
from vm.primitives.errors import InvalidGenesis
from vm.runtime import Runtime
from vm.system.accounts import AccountsModule
from vm.system.block_reward import BlockRewardModule
from vm.system.contract_bank import BANK, BANK_NAME
from vm.system.contracts import ContractsModule
from vm.system.governance import GovernanceModule
from vm.system.incentives import IncentivesModule
from vm.system.members import MembersModule
from vm.system.staking import StakingModule

Maker = Callable[[tuple[str, ...]], Module]
"""Makes a module for a chain with these roles."""
Catalogue = Mapping[str, Mapping[int, Maker]]
"""Versions of the modules that a node's software has, in the order in which their hooks run."""

MODULES: Final[Catalogue] = {
    "accounts": {1: lambda roles: AccountsModule()},
    "members": {1: MembersModule},
    "incentives": {1: lambda roles: IncentivesModule()},
    "staking": {1: StakingModule},
    "market": {1: lambda roles: MarketModule()},
    "dispatch": {1: DispatchModule},
    "reward": {1: lambda roles: BlockRewardModule()},
    "meters": {1: MetersModule},
    "quota": {1: lambda roles: QuotaModule()},
    "auction": {1: lambda roles: AuctionModule()},
    "response": {1: lambda roles: ResponseModule()},
    "day": {1: lambda roles: DayModule()},
    "certificates": {1: lambda roles: CertificatesModule()},
}
"""What this software has, without the two that know the others: contracts reach what they provide,
governance changes them all and comes last."""


def make_runtime(
    roles: tuple[str, ...],
    versions: Mapping[str, int] | None = None,
    catalogue: Catalogue = MODULES,
) -> Runtime:
    """Return the runtime of a chain with these roles and versions of its modules, 1 if not given.

    Raises InvalidGenesis where a version is not in the catalogue.
    """
    wanted = dict(versions or {})
    governance = wanted.pop(GovernanceModule.name, 1)
    contracts = wanted.pop(ContractsModule.name, 1)
    modules: list[Module] = []
    for name, makers in catalogue.items():
        version = wanted.pop(name, 1)
        if version not in makers:
            raise _missing(name, version)
        modules.append(makers[version](roles))
    above = ((ContractsModule.name, contracts), (GovernanceModule.name, governance))
    for name, version in [*wanted.items(), *above]:
        if (name, version) not in ((ContractsModule.name, 1), (GovernanceModule.name, 1)):
            raise _missing(name, version)
    modules.append(ContractsModule(roles, modules))
    return Runtime([*modules, GovernanceModule(roles, modules)], roles)


def contract_signatures(catalogue: Catalogue = MODULES) -> Signatures:
    """Return the types of all built-in interfaces that contracts reach, for their compiler."""
    found = {BANK_NAME: {name: own.signature for name, own in BANK.items()}}
    for makers in catalogue.values():
        for interface, methods in makers[max(makers)](("operator",)).contract_interfaces().items():
            found[interface] = {name: method.signature for name, method in methods.items()}
    return found


def _missing(name: str, version: int) -> InvalidGenesis:
    return InvalidGenesis(f"this software does not have version {version} of module {name!r}")

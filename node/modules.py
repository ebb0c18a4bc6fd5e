"""The modules that every bitenergy chain is composed of, in the order in which their hooks run."""

from __future__ import annotations

from market.module import MarketModule
from vm.module import Module
from vm.runtime import Runtime
from vm.system.accounts import AccountsModule
from vm.system.block_reward import BlockRewardModule
from vm.system.incentives import IncentivesModule
from vm.system.members import MembersModule
from vm.system.staking import StakingModule


def make_runtime(roles: tuple[str, ...]) -> Runtime:
    """Return the runtime of a chain with these roles."""
    modules: list[Module] = [
        AccountsModule(),
        MembersModule(roles),
        IncentivesModule(),
        StakingModule(roles),
        MarketModule(),
        BlockRewardModule(),
    ]
    return Runtime(modules, roles)

"""Traffic through a deployed contract: transfers of the standard token between many members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Final

from tools.bench.traffic import Signed, Trader, Traffic, genesis_template
from tools.calls import call_contract, deploy_contract
from tools.contract.compiler import compile_source
from vm.runtime import Call
from vm.system.contract_records import contract_address

MakeTemplate = Callable[[Sequence[Trader]], dict[str, object]]

SUPPLY: Final = 10**15
SHARE: Final = 10**9
"""What each member has to begin with."""
CALLS: Final = 64
"""Calls of one transaction while shares are given out."""


def contract_template(traders: Sequence[Trader], accounts: int = 0) -> dict[str, object]:
    """Return a genesis template like that of market traffic, in which members deploy contracts."""
    template = genesis_template(traders, accounts)
    return {**template, "modules": {"contracts": {"deploy_roles": ["prosumer"]}}}


class ContractTraffic(Traffic):
    """Signs transfers of a token that its first member deploys."""

    def __init__(self, genesis: bytes, traders: Sequence[Trader], seed: int) -> None:
        super().__init__(genesis, traders, seed)
        self._token = contract_address(self.traders[0].account, 1)

    def preparation(self) -> list[Signed]:
        """Return what deploys the token and gives every member a share of it."""
        source = files("genesis").joinpath("contracts", "token.py").read_bytes()
        token = compile_source(source)
        deploy = deploy_contract("token", token.raw, token.source, ("bench", SUPPLY))
        shares = [self._transfer(trader.account, SHARE) for trader in self.traders[1:]]
        groups = [shares[start : start + CALLS] for start in range(0, len(shares), CALLS)]
        return [self.sign(0, (deploy,)), *(self.sign(0, tuple(group)) for group in groups)]

    def call(self, place: int) -> Call:
        """Return the next call of the member at `place`."""
        others = len(self.traders)
        to = self.traders[(place + self.random.randrange(1, others)) % others]
        return self._transfer(to.account, 1 + self.random.randrange(1_000))

    def _transfer(self, to: bytes, amount: int) -> Call:
        return call_contract(self._token, "transfer", (to, amount))


TRAFFICS: Final[Mapping[str, tuple[MakeTemplate, type[Traffic]]]] = {
    "market": (genesis_template, Traffic),
    "contract": (contract_template, ContractTraffic),
}
"""Kinds of traffic: how the genesis of their network is made, and who signs it."""

"""The Bit-Energy contract as the demo's market, which the distribution company deploys."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from tools.amounts import parse_energy, parse_price
from tools.calls import call_contract, deploy_contract
from tools.client import NodeClient, integer_field, list_field, object_field, text_field
from tools.contract.compiler import compile_source
from tools.errors import Json, ToolError
from tools.session import Session
from vm.primitives.address import decode_address
from vm.primitives.integers import trade_amount_micro
from vm.runtime import Call

NAME: Final = "bit-energy"
DEPLOYER: Final = "EDC"
POLICIES: Final = ("ignore", "skip", "penalty")
NOBODY: Final = bytes(20)


class ContractMarket:
    """One market in genesis/contracts/bit_energy.py, for one case at a time."""

    def __init__(self) -> None:
        self._address = NOBODY

    def prepare_genesis(self, template: dict[str, object]) -> dict[str, object]:
        """Return the genesis without the built-in market, and with leave to deploy contracts."""
        return {**template, "modules": {"contracts": {"deploy_roles": ["edc"]}}}

    def open(self, session: Session, template: Json) -> None:
        """Deploy the contract with the policy of the case, and set its pair limits."""
        market = list_field(object_field(object_field(template, "modules"), "market"), "markets")[0]
        source = files("genesis").joinpath("contracts", "bit_energy.py").read_bytes()
        artefact = compile_source(source)
        penalty = parse_price(str(market.get("penalty_price", "0")))
        policy = POLICIES.index(text_field(market, "line_policy"))
        terms = (policy, penalty, NOBODY)
        signer = session.open_signer(DEPLOYER)
        call = deploy_contract(NAME, artefact.raw, artefact.source, terms)
        final = session.send(signer, [call])
        match final.receipt.get("values"):
            case [str(address)]:
                self._address = decode_address(address)
            case _:
                raise ToolError("the contract was not deployed", actual=final.receipt)
        limits = [
            self._limit(session, pair, limit)
            for pair, limit in _pairs(market.get("pair_limits_kwh")).items()
        ]
        session.send(signer, limits)

    def post(self, energy_milli_wh: int, price_micro_per_kwh: int) -> Call:
        """Return the call that offers energy, which goes to the contract."""
        values = (energy_milli_wh, price_micro_per_kwh)
        return call_contract(self._address, "post", values, energy_milli_wh=energy_milli_wh)

    def buy(self, energy_milli_wh: int, max_price_micro_per_kwh: int) -> Call:
        """Return the call that buys energy, with the most that it may cost."""
        most = trade_amount_micro(energy_milli_wh, max_price_micro_per_kwh)
        values = (energy_milli_wh, max_price_micro_per_kwh, False)
        return call_contract(self._address, "buy", values, money_micro=most)

    def offered(self, client: NodeClient) -> dict[str, int]:
        """Return what each member has on offer, milliwatt-hours."""
        names: dict[str, str] = {}
        found: dict[str, int] = {}
        for offer in list_field(client.get(f"/contracts/{NAME}/view/standing"), "result"):
            seller = text_field(offer, "seller")
            if seller not in names:
                names[seller] = text_field(client.account(seller), "name")
            name = names[seller]
            found[name] = found.get(name, 0) + integer_field(offer, "energy_milli_wh")
        return found

    def holds_energy(self) -> bool:
        """Tell that energy on offer lies with the contract."""
        return True

    def _limit(self, session: Session, pair: str, limit: str) -> Call:
        first, _, second = pair.partition("-")
        values = (session.resolve(first), session.resolve(second), parse_energy(f"{limit}kWh"))
        return call_contract(self._address, "set_pair_limit", values)


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(pair): str(limit) for pair, limit in value.items()}

"""A chain in memory with contracts, for tests of their life."""

from __future__ import annotations

from node.ledger.receipt import Receipt
from tests.ledger.support import ROLES, Chain, id_of
from tools.contract.compiler import Artefact, compile_source
from vm.primitives.codec import Value, unpack_trusted
from vm.system.accounts import SUPPLY_KEY, decode_account
from vm.system.contract_records import RECORD_SPACE, Contract, decode_contract, read_contract
from vm.system.contracts import ContractsModule
from vm.system.governance import GovernanceModule
from vm.system.members import MembersModule

SECTION = {"deploy_roles": ["prosumer"], "deposit_per_byte": "0.001"}
PRICE_MICRO = 1_000


def chain_with(section: dict | None = None, **changes: object) -> Chain:
    """Return a chain with the section `contracts`, of which P1 and P2 may deploy."""
    contracts = ContractsModule(ROLES, [MembersModule(ROLES)])
    modules = {"contracts": SECTION if section is None else section, **changes.pop("modules", {})}
    return Chain(contracts, GovernanceModule(ROLES, [contracts]), modules=modules, **changes)


def made(source: str) -> Artefact:
    """Return the code of a source."""
    return compile_source(source)


def deploy(
    chain: Chain, source: str, *arguments: Value, by: str = "P1", name: str = "c"
) -> tuple[bytes, Receipt]:
    """Deploy a source; return its address, empty where that failed, and the receipt."""
    artefact = made(source)
    call = ("contracts", "deploy", (name, artefact.raw, artefact.source, arguments))
    receipt = chain.run(by, call, max_fee_micro=1_000_000)
    return (b"" if receipt.code else receipt.values[0]), receipt  # type: ignore[return-value]


def call(
    chain: Chain,
    address: bytes,
    function: str,
    *arguments: Value,
    by: str = "P1",
    money: int = 0,
    energy: int = 0,
    gas_limit: int = 1_000_000,
) -> Receipt:
    """Call a function; return the receipt."""
    values = (address, function, arguments, money, energy)
    fee = {"gas_limit": gas_limit, "max_fee_micro": gas_limit}
    return chain.run(by, ("contracts", "call", values), **fee)


def record_of(chain: Chain, address: bytes) -> Contract:
    """Return a contract's record."""
    found = read_contract(chain.state, address)
    assert found is not None
    return found


def check_books(chain: Chain) -> None:
    """Hold money, energy, counted bytes and deposits to what the whole state says."""
    accounts = {
        key[1:]: decode_account(value) for key, value in chain.entries.items() if key[:1] == b"a"
    }
    money = sum(one.money_micro + one.money_reserved_micro for one in accounts.values())
    energy = sum(one.energy_milli_wh + one.energy_reserved_milli_wh for one in accounts.values())
    assert (money, energy) == unpack_trusted(chain.entries[SUPPLY_KEY])
    for key, value in chain.entries.items():
        if key[:2] != RECORD_SPACE:
            continue
        address, record = key[2:], decode_contract(value)
        stored = sum(
            64 + len(found) - 22 + len(data)
            for found, data in chain.entries.items()
            if found[:22] == b"xd" + address
        )
        assert record.data_bytes == stored
        assert record.code_bytes == len(chain.entries[b"xk" + address])
        assert record.source_bytes == len(chain.entries[b"xt" + address])
        assert accounts[address].money_reserved_micro == record.deposit_micro


def others(chain: Chain, *, without: tuple[str, ...]) -> dict[bytes, bytes]:
    """Return the state without the accounts of some members."""
    left = {b"a" + id_of(name) for name in without}
    return {key: value for key, value in chain.entries.items() if key not in left}

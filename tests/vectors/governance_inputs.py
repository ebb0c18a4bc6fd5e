"""Inputs of the vectors for governance: one block after the other, from proposal to change."""

from __future__ import annotations

from dataclasses import replace

from node.ledger.transaction import Transaction
from tests.ledger.support import ROLES, Chain, id_of
from tests.vectors.chain_inputs import block_case
from tests.vectors.chain_kinds import governed_runtime
from tests.vectors.kinds import Json
from tests.vectors.primitive_inputs import Inputs
from vm.module import Module
from vm.runtime import Call

PERIOD_MS = 10_000
SECTION = {
    "voters": {"operator": 2, "prosumer": 1},
    "quorum": [1, 2],
    "threshold": [2, 3],
    "voting_period_ms": PERIOD_MS,
    "notice_blocks": 2,
}
HEIGHT = 12


def governance_inputs() -> Inputs:
    """A life of five proposals; refused are headers that name other rules than were voted for."""
    accepted: list[dict[str, Json]] = []
    governance: Module = governed_runtime(ROLES).modules["governance"]
    chain = Chain(governance, modules={"governance": SECTION})

    def grow(name: str, *transactions: Transaction, wait_ms: int = 1_000) -> None:
        time_ms = chain.parent.header.time_ms + wait_ms
        block = chain.build(transactions, time_ms=time_ms).candidate
        accepted.append(block_case(chain, block, name))
        chain.grow(*transactions, time_ms=time_ms)

    def of(name: str, *calls: Call, ahead: int = 0) -> Transaction:
        return chain.transaction(name, *calls, nonce=chain.nonce(name) + ahead)

    price = (("gas_price_micro", 3), ("heartbeat_ms", 30_000))
    threshold = (("operator_threshold", 2),)
    grow(
        "proposals of each kind",
        of("Op", _parameters("chain", price), ahead=0),
        of("Op", _parameters("chain", threshold), ahead=1),
        of("Op", _parameters("governance", (("quorum", "1/1"),)), ahead=2),
        of("Op2", ("governance", "propose_module", ("accounts", 2, HEIGHT, ""))),
        of("P1", ("governance", "propose_engine", ("pos", (("resend_ms", 400),), HEIGHT, ""))),
    )
    grow(
        "proposals that are refused",
        of("Op", _parameters("chain", (("max_block_gas", 1),)), ahead=0),
        of("Op", _parameters("chain", (("colour", 1),)), ahead=1),
        of("Op", ("governance", "propose_module", ("accounts", 3, HEIGHT, "")), ahead=2),
        of("Op", ("governance", "propose_engine", ("pow", (), HEIGHT, "")), ahead=3),
        of("Op", _parameters("chain", price, height=3), ahead=4),
        of("V1", _parameters("chain", price)),
    )
    grow("votes", *(of(name, *_votes("yes", 1, 2, 3, 4)) for name in ("Op", "Op2", "P1")))
    grow("votes, one changed", of("Op2", *_votes("abstain", 5)), of("P1", *_votes("no", 1, 5)))
    grow("a voter leaves", of("Op", ("members", "suspend", (id_of("P1"),))))
    grow("the count", wait_ms=PERIOD_MS)
    grow("an operator leaves", of("Op", ("members", "suspend", (id_of("Op2"),))))
    while chain.height < HEIGHT - 1:
        grow(f"nothing at height {chain.height}")
    block = chain.build().candidate
    late = replace(block.header, parameters=chain.parent.header.parameters)
    refused = [
        block_case(chain, block, "the parameters before the change")
        | {"header": late.encode().hex()}
    ]
    grow("changes come into force, one is void")
    grow("the first block under other rules")
    return accepted, refused


def _parameters(
    module: str, values: tuple[tuple[str, int | str], ...], height: int = HEIGHT
) -> Call:
    return "governance", "propose_parameters", (module, "", values, height, "why")


def _votes(choice: str, *proposals: int) -> tuple[Call, ...]:
    return tuple(("governance", "vote", (number, choice)) for number in proposals)

"""The kinds of vectors that run a chain: genesis files, and blocks from state to state."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.block import decode_body, decode_header
from node.ledger.chain_rules import Parent, apply_block, body_matches, build_genesis
from node.ledger.genesis import decode_genesis
from node.ledger.transaction import decode_transaction
from tests.ledger.support import ROLES, MemoryState
from tests.vectors.kinds import Json
from vm.overlay import INDEX_SPACE
from vm.primitives.errors import InvalidBlock
from vm.primitives.signatures import verify_signature
from vm.runtime import Runtime
from vm.system.accounts import AccountsModule
from vm.system.governance import GovernanceModule
from vm.system.members import MembersModule
from vm.system.validators import Validator, decode_validators


def base_runtime(roles: Sequence[str] = ROLES) -> Runtime:
    """Return a runtime with the two modules that every chain has."""
    return Runtime([AccountsModule(), MembersModule(tuple(roles))], roles)


def governed_runtime(roles: Sequence[str] = ROLES) -> Runtime:
    """Return a runtime whose members vote on the chain's parameters and modules."""
    modules = [AccountsModule(), MembersModule(tuple(roles))]
    return Runtime([*modules, GovernanceModule(roles, modules)], roles)


def run_genesis(case: dict[str, Json]) -> Json:
    """From the text of a genesis file to the network's identity and block 0."""
    genesis = decode_genesis(case["text"].encode())
    first = build_genesis(base_runtime(genesis.roles), genesis)
    return {
        "genesis": genesis.digest.hex(),
        "header": first.header.encode().hex(),
        "block_id": first.block_id.hex(),
    }


def run_governed_blocks(case: dict[str, Json]) -> Json:
    """The same as `run_blocks`, on a chain with governance."""
    return run_blocks(case, governed_runtime())


def run_blocks(case: dict[str, Json], runtime: Runtime | None = None) -> Json:
    """From the state before through a block to the state after; index keys are left out."""
    entries = {bytes.fromhex(key): bytes.fromhex(value) for key, value in case["state"].items()}
    state = MemoryState(entries)
    before = decode_header(bytes.fromhex(case["parent"]))
    if state.root != before.state_root:
        raise LookupError("the vector's state is not the one its parent header commits to")
    validators = decode_validators(bytes.fromhex(case["validators"]))
    header = decode_header(bytes.fromhex(case["header"]))
    body = decode_body(bytes.fromhex(case["body"]))
    transactions = [decode_transaction(raw) for raw in body.transactions]
    for tx in transactions:
        if not verify_signature(tx.key, tx.digest, tx.signature):
            raise InvalidBlock("a signature is wrong", code="invalid_signature")
    if not body_matches(header, body, [tx.id for tx in transactions]):
        raise InvalidBlock("the body is not the header's", code="wrong_body")

    def validators_at(height: int) -> Sequence[Validator] | None:
        return validators if height >= 0 else None

    candidate = apply_block(
        runtime or base_runtime(),
        Parent(before, before.block_id(), state),
        header=header,
        body=body,
        transactions=transactions,
        validators_at=validators_at,
    )
    after = state.after(candidate.executed.state.overlay.changes)
    return {
        "block_id": candidate.block_id.hex(),
        "receipts": [data.hex() for data in candidate.executed.encoded_receipts],
        "state": {key.hex(): after[key].hex() for key in sorted(after) if key[:1] != INDEX_SPACE},
    }

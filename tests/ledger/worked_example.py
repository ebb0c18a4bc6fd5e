"""The worked example of `docs/protocol.md`: real bytes, made by the code.

`python -m tests.ledger.worked_example` writes it into the page between its two marks; a test
compares, so that the page cannot say anything else than the code does.
"""

from __future__ import annotations

import sys
import textwrap
from hashlib import sha256
from pathlib import Path

from node.ledger.certificate import encode_certificate
from node.ledger.proofs import AccountProof, Finality, prove_state
from node.ledger.state_tree import key_hash, leaf_hash, value_hash
from tests.ledger.support import Chain, id_of, key_of, seed
from vm.primitives.address import encode_address
from vm.primitives.codec import encode
from vm.primitives.merkle import merkle_root
from vm.system.accounts import account_key
from vm.system.validators import encode_validators, read_validators

PAGE = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
BEGIN, END = "<!-- worked example: begin -->", "<!-- worked example: end -->"


def values() -> dict[str, str]:
    """Return everything that the example shows, by its label."""
    chain = Chain()
    call = ("accounts", "transfer", (id_of("P2"), 5_000_000, "rent"))
    sent = chain.transaction("P1", call)
    before = read_validators(chain.state)
    block = chain.grow(sent).candidate
    certificate = encode_certificate(chain.certify(block))
    state = block.executed.state
    key = account_key(id_of("P2"))
    value = state.get(key) or b""
    proof = AccountProof(
        Finality(block.header.encode(), certificate, encode_validators(before)),
        key,
        value,
        prove_state(state.page, key),
    )
    unsigned = b"\x9a" + sent.raw[1:-66]
    return {
        "genesis hash": chain.genesis.digest.hex(),
        "block 0, header": chain.first.header.encode().hex(),
        "block 0, id": chain.first.block_id.hex(),
        "P1, seed": seed("P1").hex(),
        "P1, public key": key_of("P1").hex(),
        "P1, account id": id_of("P1").hex(),
        "P1, address": encode_address(id_of("P1")),
        "P2, account id": id_of("P2").hex(),
        "transaction without signature": unsigned.hex(),
        "transaction, digest that is signed": sent.digest.hex(),
        "transaction, signature": sent.signature.hex(),
        "transaction": sent.raw.hex(),
        "transaction, id": sent.id.hex(),
        "transactions root of this one": merkle_root([sent.id]).hex(),
        "receipt": block.executed.encoded_receipts[0].hex(),
        "receipts root of this one": block.header.receipts_root.hex(),
        "P2's state key": key.hex(),
        "P2's leaf after the block": value.hex(),
        "hash of the key": key_hash(key).hex(),
        "hash of the value": value_hash(value).hex(),
        "hash of the leaf": leaf_hash(key_hash(key), value_hash(value)).hex(),
        "state root after the block": block.header.state_root.hex(),
        "validators": encode_validators(before).hex(),
        "validators, hash": block.header.validators.hex(),
        "parameters": chain.genesis.parameters.encode().hex(),
        "parameters, hash": block.header.parameters.hex(),
        "block 1, header": block.header.encode().hex(),
        "block 1, id": block.block_id.hex(),
        "block 1, body": block.body.encode().hex(),
        "block 1, precommit digest in round 0": _precommit(chain, block.block_id).hex(),
        "block 1, commit certificate": certificate.hex(),
        "account proof of P2": proof.encode().hex(),
    }


def _precommit(chain: Chain, block_id: bytes) -> bytes:
    return sha256(b"\x09vote/sign" + encode([chain.genesis.digest, 2, 1, 0, block_id])).digest()


def text() -> str:
    """Return the example as it stands in the page."""
    lines = []
    for label, value in values().items():
        lines += [f"{label} ({len(value) // 2} bytes)" if _is_hex(value) else label, "", "```"]
        lines += [*textwrap.wrap(value, 96), "```", ""]
    return "\n".join(lines)


def page_with(page: str, example: str) -> str:
    """Return the page with another example between its marks."""
    head, rest = page.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n\n{example}\n{END}{tail}"


def _is_hex(value: str) -> bool:
    return all(letter in "0123456789abcdef" for letter in value)


def main() -> int:
    """Write the example into the page."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), text()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

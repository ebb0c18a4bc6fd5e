"""What each kind of vector asks of the code: from an input to an output, or to a refusal.

Inputs and outputs are JSON. Bytes are hexadecimal text; a value of the codec that JSON lacks is an
object with one field: `bytes`, or `map` with a list of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.ledger.block import decode_body, decode_header
from node.ledger.certificate import (
    decode_certificate,
    decode_evidence,
    decode_proposal,
    decode_vote,
    encode_certificate,
    encode_evidence,
    encode_proposal,
    encode_vote,
    evidence_id,
    message_digest,
    validate_certificate,
    verify_message,
)
from node.ledger.proofs import (
    StateProof,
    decode_account_proof,
    decode_transaction_proof,
    validate_account_proof,
    validate_transaction_proof,
    verify_state_proof,
)
from node.ledger.receipt import decode_receipt
from node.ledger.state_tree import update_tree
from node.ledger.transaction import decode_transaction
from vm.parameters import decode_parameters
from vm.primitives.address import account_id, decode_address, encode_address, validate_name
from vm.primitives.codec import Value, decode, decode_integer, encode, encode_integer
from vm.primitives.decimal_text import format_decimal, parse_decimal
from vm.primitives.errors import InvalidInput, InvalidProof
from vm.primitives.hashing import TAG_HEADER, tag, tagged_hash
from vm.primitives.integers import checked_add, divide_half_even, trade_amount_micro
from vm.primitives.merkle import MerkleProof, merkle_root, verify_merkle_proof
from vm.primitives.signatures import check_public_key, public_key, sign, verify_signature
from vm.system.validators import decode_validators, encode_validators, validators_hash

Json = Any
Run = Callable[[dict[str, Json]], Json]
CODEC_MAX_BYTES = 65_536


def to_json(value: Value) -> Json:
    """Return a codec value as JSON."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[to_json(key), to_json(item)] for key, item in value.items()]}
    return value


def from_json(value: Json) -> Value:
    """Return the codec value that `to_json` wrote."""
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if isinstance(value, dict):
        if "bytes" in value:
            return bytes.fromhex(value["bytes"])
        return {from_json(key): from_json(item) for key, item in value["map"]}
    return value


def _raw(case: dict[str, Json], name: str = "bytes") -> bytes:
    return bytes.fromhex(case[name])


def _require(holds: bool, code: str) -> None:
    if not holds:
        raise InvalidInput("refused", code=code)


def run_codec(case: dict[str, Json]) -> Json:
    data = _raw(case)
    value = decode(
        data,
        max_bytes=case.get("max_bytes", CODEC_MAX_BYTES),
        max_items=case.get("max_items", CODEC_MAX_BYTES),
        max_depth=case.get("max_depth", 16),
    )
    shown = to_json(value)
    _require(encode(from_json(shown)) == data, "other_bytes")
    return {"value": shown}


def run_integers(case: dict[str, Json]) -> Json:
    match case["function"]:
        case "encode_integer":
            data = encode_integer(int(case["number"]))
            _require(decode_integer(data) == int(case["number"]), "other_number")
            return {"bytes": data.hex()}
        case "decode_integer":
            return {"number": str(decode_integer(_raw(case)))}
        case "divide_half_even":
            return {"quotient": divide_half_even(int(case["numerator"]), int(case["denominator"]))}
        case "trade_amount_micro":
            energy, price = case["energy_milli_wh"], case["price_micro_per_kwh"]
            return {"amount_micro": str(trade_amount_micro(energy, price))}
        case "checked_add":
            return {"sum": str(checked_add(int(case["left"]), int(case["right"])))}
    raise LookupError(case["function"])


def run_hashing(case: dict[str, Json]) -> Json:
    return {"hash": tagged_hash(tag(case["tag"]), _raw(case)).hex()}


def run_merkle(case: dict[str, Json]) -> Json:
    if "items" in case:
        return {"root": merkle_root([bytes.fromhex(item) for item in case["items"]]).hex()}
    proof = MerkleProof(
        case["index"], case["count"], tuple(bytes.fromhex(item) for item in case["siblings"])
    )
    _require(verify_merkle_proof(_raw(case, "root"), _raw(case, "item"), proof), "invalid_proof")
    return {}


def run_signatures(case: dict[str, Json]) -> Json:
    if "seed" in case:
        key = public_key(_raw(case, "seed"))
        return {
            "key": key.hex(),
            "signature": sign(_raw(case, "seed"), _raw(case, "message")).hex(),
        }
    if "signature" not in case:
        _require(check_public_key(_raw(case, "key")), "invalid_key")
        return {}
    holds = verify_signature(_raw(case, "key"), _raw(case, "message"), _raw(case, "signature"))
    _require(holds, "invalid_signature")
    return {}


def run_addresses(case: dict[str, Json]) -> Json:
    if "key" in case:
        account = account_id(_raw(case, "key"))
        return {"account": account.hex(), "address": encode_address(account)}
    if "text" in case:
        return {"text": validate_name(case["text"])}
    return {"account": decode_address(case["address"]).hex()}


def run_decimals(case: dict[str, Json]) -> Json:
    number = parse_decimal(case["text"], case["decimals"])
    return {"number": str(number), "shortest": format_decimal(number, case["decimals"])}


def run_transactions(case: dict[str, Json]) -> Json:
    tx = decode_transaction(_raw(case))
    _require(verify_signature(tx.key, tx.digest, tx.signature), "invalid_signature")
    return {
        "id": tx.id.hex(),
        "digest": tx.digest.hex(),
        "genesis": tx.genesis.hex(),
        "sender": tx.sender.hex(),
        "key": tx.key.hex(),
        "nonce": tx.nonce,
        "gas_limit": tx.gas_limit,
        "max_fee_micro": tx.max_fee_micro,
        "expiry_height": tx.expiry_height,
        "calls": [[module, method, to_json(values)] for module, method, values in tx.calls],
    }


def run_headers(case: dict[str, Json]) -> Json:
    data = _raw(case)
    header = decode_header(data)
    _require(header.encode() == data, "other_bytes")
    _require(header.block_id() == tagged_hash(TAG_HEADER, data), "other_id")
    return {"block_id": header.block_id().hex(), "height": header.height}


def run_bodies(case: dict[str, Json]) -> Json:
    data = _raw(case)
    body = decode_body(data)
    _require(body.encode() == data, "other_bytes")
    ids = [decode_transaction(raw).id for raw in body.transactions]
    return {"transactions": [one.hex() for one in ids], "root": merkle_root(ids).hex()}


def run_votes(case: dict[str, Json]) -> Json:
    data, genesis = _raw(case), _raw(case, "genesis")
    validators = decode_validators(_raw(case, "validators"))
    match case["form"]:
        case "vote" | "proposal" as form:
            message = decode_vote(data) if form == "vote" else decode_proposal(data)
            again = encode_vote(message) if form == "vote" else encode_proposal(message)
            _require(again == data, "other_bytes")
            _require(verify_message(genesis, message, validators), "invalid_signature")
            return {"digest": message_digest(genesis, message).hex()}
        case "certificate":
            certificate = decode_certificate(data)
            _require(encode_certificate(certificate) == data, "other_bytes")
            validate_certificate(
                certificate,
                genesis,
                validators,
                height=case["height"],
                block_id=_raw(case, "block_id"),
            )
            return {"signers": [place for place, _ in certificate.signatures]}
        case "evidence":
            evidence = decode_evidence(data)
            _require(encode_evidence(evidence) == data, "other_bytes")
            for one in (evidence.first, evidence.second):
                _require(verify_message(genesis, one, validators), "invalid_signature")
            return {"id": evidence_id(data).hex(), "kind": int(evidence.kind)}
    raise LookupError(case["form"])


def run_validators(case: dict[str, Json]) -> Json:
    data = _raw(case)
    validators = decode_validators(data)
    _require(encode_validators(validators) == data, "other_bytes")
    return {"hash": validators_hash(data).hex(), "count": len(validators)}


def run_parameters(case: dict[str, Json]) -> Json:
    data = _raw(case)
    parameters = decode_parameters(data)
    _require(parameters.encode() == data, "other_bytes")
    return {"hash": parameters.digest().hex(), "max_block_bytes": parameters.max_block_bytes}


def run_receipts(case: dict[str, Json]) -> Json:
    data = _raw(case)
    receipt = decode_receipt(data)
    _require(receipt.encode() == data, "other_bytes")
    return {
        "transaction": receipt.transaction_id.hex(),
        "code": receipt.code,
        "gas_used": receipt.gas_used,
        "fee_micro": receipt.fee_micro,
        "events": [to_json(event) for event in receipt.events],
        "values": to_json(receipt.values),
    }


def run_state_roots(case: dict[str, Json]) -> Json:
    pages: dict[str, bytes] = {}
    roots = []
    for batch in case["batches"]:
        changes = {
            bytes.fromhex(key): None if value is None else bytes.fromhex(value)
            for key, value in batch
        }
        update = update_tree(pages.get, changes)
        for path, page in update.pages.items():
            if page is None:
                pages.pop(path, None)
            else:
                pages[path] = page
        roots.append(update.root.hex())
    return {"roots": roots}


def run_state_proofs(case: dict[str, Json]) -> Json:
    proof = StateProof(
        _raw(case, "bitmap"),
        tuple(bytes.fromhex(sibling) for sibling in case["siblings"]),
        _raw(case, "other_leaf"),
    )
    value = None if case["value"] is None else _raw(case, "value")
    holds = verify_state_proof(_raw(case, "root"), _raw(case, "key"), value, proof)
    if not holds:
        raise InvalidProof("refused")
    return {}


def run_proofs(case: dict[str, Json]) -> Json:
    genesis, validators = _raw(case, "genesis"), _raw(case, "validators")
    data = _raw(case)
    if case["form"] == "account":
        account = decode_account_proof(data)
        _require(account.encode() == data, "other_bytes")
        header = validate_account_proof(account, genesis=genesis, validators=validators)
        held = None if account.value is None else account.value.hex()
        return {"height": header.height, "key": account.key.hex(), "value": held}
    proof = decode_transaction_proof(data)
    _require(proof.encode() == data, "other_bytes")
    header = validate_transaction_proof(proof, genesis=genesis, validators=validators)
    tx = decode_transaction(proof.transaction)
    return {"height": header.height, "id": tx.id.hex(), "code": decode_receipt(proof.receipt).code}

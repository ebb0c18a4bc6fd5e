"""Inputs of the vectors for the state tree, proofs, genesis files and blocks."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from consensus.messages import Evidence, EvidenceKind, Vote, VoteKind
from node.ledger.block import Header
from node.ledger.certificate import encode_certificate, encode_evidence
from node.ledger.chain_rules import Candidate
from node.ledger.proofs import (
    AccountProof,
    Finality,
    StateProof,
    TransactionProof,
    prove_state,
)
from node.ledger.transaction import Transaction
from tests.ledger.support import (
    Chain,
    MemoryState,
    certify,
    id_of,
    key_of,
)
from tests.vectors.format_inputs import array, array_changes, changed
from tests.vectors.kinds import Json
from tests.vectors.primitive_inputs import Inputs
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import encode
from vm.primitives.merkle import merkle_proof, merkle_root
from vm.system.accounts import account_key
from vm.system.validators import encode_validators, read_validators


def state_root_inputs() -> Inputs:
    """A tree refuses nothing; each line is a way to a set of entries."""
    entries = [[f"6b{number:04x}", f"{number:02x}"] for number in range(40)]
    gone = [[key, None] for key, _ in entries]
    histories: dict[str, list[list[list[str | None]]]] = {
        "nothing": [[]],
        "the empty value": [[["6b", ""]]],
        "one": [entries[:1]],
        "two": [entries[:2]],
        "two, one by one": [entries[:1], entries[1:2]],
        "forty": [entries],
        "forty in fours": [entries[start : start + 4] for start in range(0, 40, 4)],
        "forty backwards, one by one": [[entry] for entry in entries[::-1]],
        "forty, then all but two gone": [entries, gone[2:]],
        "forty, then all gone": [entries, gone],
        "gone before it came": [gone[:3], entries[:2]],
        "a value changed": [entries[:5], [[entries[0][0], "ff"]]],
        "an index key plays no part": [entries[:2], [["69aa", "01"]]],
    }
    return [{"name": what, "batches": batches} for what, batches in histories.items()], []


def _state_case(name: str, state: MemoryState, key: bytes, value: bytes | None) -> dict[str, Json]:
    proof = prove_state(state.page, key)
    return {
        "name": name,
        "root": state.root.hex(),
        "key": key.hex(),
        "value": None if value is None else value.hex(),
        "bitmap": proof.bitmap.hex(),
        "siblings": [sibling.hex() for sibling in proof.siblings],
        "other_leaf": proof.other_leaf.hex(),
    }


def state_proof_inputs() -> Inputs:
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    for count in (0, 1, 2, 30):
        entries = {b"k" + bytes([number]): b"v" + bytes([number]) for number in range(count)}
        state = MemoryState(entries)
        if count:
            accepted.append(_state_case(f"held, {count}", state, b"k\0", b"v\0"))
        absent = (b"z%d" % number for number in range(100))
        found = {bool(prove_state(state.page, key).other_leaf): key for key in absent}
        for other, key in sorted(found.items()):
            what = "another leaf there" if other else "nothing there"
            accepted.append(_state_case(f"absent, {what}, {count}", state, key, None))
    for good in list(accepted):
        siblings, bitmap = good["siblings"], good["bitmap"]
        changes: dict[str, dict[str, Json]] = {
            "another root": {"root": "11" * 32},
            "a surplus sibling": {"siblings": [*siblings, "11" * 32]},
            "a level more": {"bitmap": bitmap + "04", "siblings": [*siblings, "11" * 32]},
            "the value claimed otherwise": {"value": "77" if good["value"] is None else None},
        }
        if good["value"] is not None:
            changes["another value"] = {"value": good["value"] + "00"}
            changes["another key"] = {"key": "6bff"}
        if siblings:
            changes["a missing sibling"] = {"siblings": siblings[:-1]}
            changes["a sibling of 31 bytes"] = {"siblings": [siblings[0][2:], *siblings[1:]]}
            changes["an empty subtree as a sibling"] = {"siblings": ["00" * 32, *siblings[1:]]}
            changes["bits above the three"] = {
                "bitmap": f"{int(bitmap[:2], 16) | 8:02x}" + bitmap[2:]
            }
            changes["a level less"] = {"bitmap": bitmap[2:]}
        if good["other_leaf"]:
            own = sha256(b"\x09state/key" + bytes.fromhex(good["key"])).hexdigest()
            changes["the key's own leaf as another"] = {"other_leaf": own + good["other_leaf"][64:]}
            changes["a leaf of 63 bytes"] = {"other_leaf": good["other_leaf"][2:]}
        refused += [
            good | {"name": f"{good['name']}: {what}"} | new for what, new in changes.items()
        ]
    return accepted, refused


def final_chain() -> tuple[Chain, Candidate, list[Transaction]]:
    """Return a chain of one block with three transactions, the block, and the transactions."""
    chain = Chain()
    transactions = [
        chain.transaction("P1", ("accounts", "transfer", (id_of("P2"), 5_000_000, "rent"))),
        chain.transaction("P1", ("accounts", "burn", (10**15,)), nonce=1),
        chain.transaction("Op", ("accounts", "mint", (id_of("P2"), 7))),
    ]
    block = chain.grow(*transactions).candidate
    return chain, block, transactions


def finality_of(chain: Chain, block: Candidate) -> Finality:
    """Return why a block of `chain` is final."""
    return Finality(
        block.header.encode(),
        encode_certificate(chain.certify(block)),
        encode_validators(read_validators(chain.state)),
    )


def account_proof_of(chain: Chain, block: Candidate, key: bytes) -> AccountProof:
    """Return the proof of what the state after `block` holds at `key`."""
    state = block.executed.state
    return AccountProof(
        finality_of(chain, block), key, state.get(key), prove_state(state.page, key)
    )


def transaction_proof_of(chain: Chain, block: Candidate, number: int) -> TransactionProof:
    """Return the proof of the `number`-th transaction of `block`."""
    executed = block.executed
    place = executed.first_transaction + number
    ids = [transaction.id for transaction in block.transactions]
    return TransactionProof(
        finality_of(chain, block),
        block.body.transactions[number],
        merkle_proof(ids, number),
        executed.encoded_receipts[place],
        merkle_proof(executed.encoded_receipts, place),
    )


def proof_inputs() -> Inputs:
    chain, block, _ = final_chain()
    trusted: dict[str, Json] = {
        "genesis": chain.genesis.digest.hex(),
        "validators": block.header.validators.hex(),
    }
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    for name, key in (("P2", account_key(id_of("P2"))), ("nobody", account_key(bytes(20)))):
        proof = account_proof_of(chain, block, key)
        form = trusted | {"form": "account"}
        accepted.append(form | {"name": f"account of {name}", "bytes": proof.encode().hex()})
        other = AccountProof(proof.finality, key, b"other", proof.state)
        longer = StateProof(
            proof.state.bitmap + b"\4", (*proof.state.siblings, b"\1" * 32), proof.state.other_leaf
        )
        changes = (
            array_changes(proof.encode())
            | {
                "another value": other.encode(),
                "a level more": AccountProof(proof.finality, key, proof.value, longer).encode(),
                "no key": changed(proof.encode(), 5, b""),
                "two values": changed(proof.encode(), 6, (b"", b"")),
                "siblings of 33 bytes": changed(proof.encode(), 7, (b"\1", bytes(33), b"")),
            }
            | _finality_changes(chain, block, proof.encode())
        )
        refused += [
            form | {"name": f"account of {name}: {what}", "bytes": data.hex()}
            for what, data in changes.items()
        ]
    for number in range(3):
        one = transaction_proof_of(chain, block, number)
        form = trusted | {"form": "transaction"}
        accepted.append(form | {"name": f"transaction {number}", "bytes": one.encode().hex()})
        refused += [
            form | {"name": f"transaction {number}: {what}", "bytes": data.hex()}
            for what, data in _transaction_changes(chain, block, one).items()
        ]
    for case in list(accepted):
        refused.append(case | {"name": f"{case['name']}: another network", "genesis": "00" * 32})
        refused.append(case | {"name": f"{case['name']}: other trust", "validators": "00" * 32})
    return accepted, refused


def _finality_changes(chain: Chain, block: Candidate, data: bytes) -> dict[str, bytes]:
    two = chain.certify(block, signers=[0, 1])
    older = certify(chain.genesis.digest, 1, chain.first.block_id, read_validators(chain.state))
    fewer = encode_validators(read_validators(chain.state)[:3])
    header = replace(block.header, time_ms=block.header.time_ms + 1)
    return {
        "two of four signed": changed(data, 3, encode_certificate(two)),
        "a certificate of another block": changed(data, 3, encode_certificate(older)),
        "other validators": changed(data, 4, fewer),
        "another header": changed(data, 2, header.encode()),
        "the header of block 0": changed(data, 2, chain.first.header.encode()),
        "no certificate": changed(data, 3, b""),
    }


def _transaction_changes(
    chain: Chain, block: Candidate, proof: TransactionProof
) -> dict[str, bytes]:
    data = proof.encode()
    path = proof.transaction_path
    joined = b"".join(path.siblings)
    index, count = path.index, path.count
    next_one = transaction_proof_of(chain, block, (index + 1) % 3)
    return (
        array_changes(data)
        | {
            "another transaction": changed(data, 5, next_one.transaction),
            "another receipt": changed(data, 7, next_one.receipt),
            "a surplus sibling": changed(data, 6, (index, count, joined + bytes(32))),
            "a missing sibling": changed(data, 6, (index, count, joined[:-32])),
            "index past the count": changed(data, 6, (count, count, joined)),
            "index true": changed(data, 6, (True, count, joined)),
            "another count": changed(data, 6, (index, count + 2, joined)),
            "half a sibling": changed(data, 6, (index, count, joined + bytes(16))),
            "another receipt with its path": changed(
                changed(data, 7, next_one.receipt),
                8,
                (next_one.receipt_path.index, 3, b"".join(next_one.receipt_path.siblings)),
            ),
            "the receipt's path of another": changed(
                data, 8, (next_one.receipt_path.index, 3, b"".join(next_one.receipt_path.siblings))
            ),
        }
        | _finality_changes(chain, block, data)
    )


def block_case(chain: Chain, block: Candidate, name: str) -> dict[str, Json]:
    """Return a block on the head of `chain`, which stays where it is, as an input."""
    kept = sorted(key for key in chain.entries if key[:1] != INDEX_SPACE)
    return {
        "name": name,
        "parent": chain.parent.header.encode().hex(),
        "validators": encode_validators(read_validators(chain.state)).hex(),
        "state": {key.hex(): chain.entries[key].hex() for key in kept},
        "header": block.header.encode().hex(),
        "body": block.body.encode().hex(),
    }


def _with_body(
    case: dict[str, Json], header: Header, transactions: list[Transaction]
) -> dict[str, Json]:
    """Return the case with other transactions and a header that commits to them."""
    root = merkle_root([transaction.id for transaction in transactions])
    items = array(bytes.fromhex(case["body"]))
    items[4] = [transaction.raw for transaction in transactions]
    return case | {
        "header": replace(header, transactions_root=root).encode().hex(),
        "body": encode(items).hex(),
    }


def block_inputs() -> Inputs:
    accepted: list[dict[str, Json]] = []
    refused: list[dict[str, Json]] = []
    chain = Chain(parameters={"gas_price_micro": 2})
    fee = {"gas_limit": 10_000, "max_fee_micro": 20_000}
    mint = ("accounts", "mint", (id_of("P2"), 7))
    transfer = ("accounts", "transfer", (id_of("P2"), 5, "rent"))
    chain.grow(chain.transaction("P1", transfer, **fee))
    blocks = {
        "nothing happens": [],
        "a transfer": [chain.transaction("P1", transfer, **fee)],
        "a call fails and pays its fee": [
            chain.transaction("P1", transfer, ("accounts", "burn", (10**17,)), **fee)
        ],
        "a wrong role": [chain.transaction("P1", mint, **fee)],
        "three of one sender in a row": [
            chain.transaction("P1", transfer, nonce=nonce, **fee) for nonce in (1, 2, 3)
        ],
        "a key rotated, then used": [
            chain.transaction("P1", ("members", "rotate_key", (key_of("P1", "next"),)), **fee),
            chain.transaction("P1", transfer, nonce=2, seed_purpose="next", **fee),
        ],
        "out of gas": [chain.transaction("P1", *(transfer,) * 9, **fee | {"gas_limit": 3_000})],
    }
    for name, transactions in blocks.items():
        block = chain.build(transactions)
        if block.dropped:
            raise LookupError(f"{name}: {block.dropped}")
        accepted.append(block_case(chain, block.candidate, name))
    block_ = chain.build(blocks["a transfer"]).candidate
    good = block_case(chain, block_, "a transfer")
    header = block_.header
    for field in Header.__slots__[:-1]:
        if field == "time_ms":
            continue  # any time above the parent's is a time
        value = getattr(header, field)
        wrong = value + 1 if isinstance(value, int) else bytes(len(value) - 1) + b"\1"
        tampered = replace(header, **{field: wrong}).encode().hex()
        refused.append(good | {"name": f"header field {field} wrong", "header": tampered})
    same_time = replace(header, time_ms=chain.parent.header.time_ms)
    refused.append(good | {"name": "the parent's time", "header": same_time.encode().hex()})
    one = blocks["a transfer"][0]
    bad = _bad_transactions(chain, one)
    for name, transactions in bad.items():
        refused.append(_with_body(good, header, transactions) | {"name": name})
    swapped = _with_body(good, header, bad["a nonce ahead"])
    refused.append(good | {"name": "a body of another block", "body": swapped["body"]})
    forged = changed(one.raw, 10, bytes(64))
    refused.append(
        good
        | {
            "name": "a signature of zeros",
            "body": changed(bytes.fromhex(good["body"]), 4, (forged,)).hex(),
        }
    )
    return _with_evidence(accepted, refused)


def _bad_transactions(chain: Chain, one: Transaction) -> dict[str, list[Transaction]]:
    """Return what cannot stand in the next block, in which `one` could."""
    mint = ("accounts", "mint", (id_of("P2"), 7))
    transfer = ("accounts", "transfer", (id_of("P2"), 5, "rent"))
    fee = {"gas_limit": 10_000, "max_fee_micro": 20_000}
    return {
        "the same transaction twice": [one, one],
        "a nonce ahead": [chain.transaction("P1", transfer, nonce=2, **fee)],
        "a nonce used": [chain.transaction("P1", transfer, nonce=0, **fee)],
        "another network": [chain.transaction("P1", transfer, genesis=bytes(32), **fee)],
        "another member's key": [chain.transaction("P1", transfer, signer="P2", **fee)],
        "no member": [chain.transaction("X", transfer, nonce=0, **fee)],
        "expired": [chain.transaction("P1", transfer, expiry_height=1, **fee)],
        "expiry too far": [chain.transaction("P1", transfer, expiry_height=100_003, **fee)],
        "less gas than its bytes": [
            chain.transaction("P1", transfer, **fee | {"gas_limit": 1_000})
        ],
        "more gas than one may ask": [
            chain.transaction("P1", transfer, gas_limit=20_000_001, max_fee_micro=10**9)
        ],
        "a fee above its maximum": [
            chain.transaction("P1", transfer, gas_limit=10_000, max_fee_micro=19_999)
        ],
        "a fee that nobody can pay": [chain.transaction("Op", mint, **fee)],
        "a missing transaction": [],
        "a long transaction": [
            chain.transaction(
                "P1", ("m", "f", (bytes(16_384),)), gas_limit=20_000, max_fee_micro=40_000
            )
        ],
    }


def _with_evidence(accepted: list[dict[str, Json]], refused: list[dict[str, Json]]) -> Inputs:
    """Add blocks with evidence of a validator that voted for two blocks."""
    chain = Chain()
    chain.grow()
    evidence = double_vote(chain, 1)
    block = chain.build(evidence=[evidence]).candidate
    good = block_case(chain, block, "evidence of two votes")
    accepted.append(good)
    later, other = double_vote(chain, 2), double_vote(chain, 1, name="V2")
    unsigned = changed(evidence, 3, changed(bytes(array(evidence)[3]), 7, bytes(64)))
    for name, pieces in {
        "the same evidence twice": [evidence, evidence],
        "evidence of this very height": [later],
        "evidence that nobody signed": [unsigned],
        "evidence that is no evidence": [b"\x90"],
        "evidence of somebody else": [other],
    }.items():
        items = array(bytes.fromhex(good["body"]))
        items[3] = pieces
        header = replace(block.header, evidence_root=merkle_root(pieces))
        refused.append(
            good | {"name": name, "header": header.encode().hex(), "body": encode(items).hex()}
        )
    chain.grow(evidence=[evidence])
    again = chain.build().candidate
    items = array(again.body.encode())
    items[3] = [evidence]
    header = replace(again.header, evidence_root=merkle_root([evidence]))
    refused.append(
        block_case(chain, again, "evidence that counted before")
        | {"header": header.encode().hex(), "body": encode(items).hex()}
    )
    return accepted, refused


def double_vote(
    chain: Chain, height: int, *, name: str = "V1", kind: VoteKind = VoteKind.PREVOTE
) -> bytes:
    """Return evidence that a validator voted for two blocks at `height`."""
    keys = [validator.vote_key for validator in read_validators(chain.state)]
    place = keys.index(key_of(name, "vote"))
    votes = []
    for block in (b"\x11" * 32, b"\x22" * 32):
        bare = Vote(kind, height, 0, block, place)
        votes.append(replace(bare, signature=chain.sign_message(bare, name)))
    return encode_evidence(Evidence(EvidenceKind(int(kind)), votes[0], votes[1]))

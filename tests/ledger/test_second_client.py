"""A second client, written from the protocol page alone, believes the page's example.

It uses SHA-256, MessagePack and libsodium and nothing of ours.
"""

from hashlib import sha256

import msgpack
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tests.ledger.worked_example import values
from tests.vectors.test_vectors import load

EXAMPLE = values()


def example(label: str) -> bytes:
    """Return bytes of the worked example."""
    return bytes.fromhex(EXAMPLE[label])


def tagged(tag: str, data: bytes) -> bytes:
    """Return H(tag, data)."""
    return sha256(bytes([len(tag)]) + tag.encode() + data).digest()


def unpack(data: bytes) -> list:
    """Return the array that canonical bytes hold."""
    value = msgpack.unpackb(data)
    assert msgpack.packb(value) == data
    return value


def believe_account_proof(data: bytes, genesis: bytes, validators: bytes) -> bytes | None:
    """Return what a proof shows at its key; raises AssertionError or BadSignatureError."""
    kind, version, header, certificate, voters, key, value, state = unpack(data)
    assert (kind, version) == (40, 1)
    fields = unpack(header)
    assert fields[:3] == [2, 1, genesis]
    assert fields[11] == validators == tagged("validators", voters)
    _, _, height, round_, block_id, signers = unpack(certificate)
    assert (height, block_id) == (fields[3], tagged("header", header))
    digest = tagged("vote/sign", msgpack.packb([genesis, 2, height, round_, block_id]))
    voters = unpack(voters)[2]
    places = [place for place, _ in signers]
    assert places == sorted(set(places))
    assert 3 * sum(voters[place][1] for place in places) > 2 * sum(one[1] for one in voters)
    for place, signature in signers:
        VerifyKey(voters[place][0]).verify(digest, signature)
    bitmap, siblings, other = state
    place = tagged("state/key", key)
    if value:
        assert not other
        current = tagged("state/leaf", place + tagged("state/value", value[0]))
    elif other:
        path, theirs = f"{int.from_bytes(place, 'big'):0256b}", other[:32]
        shared = 2 * len(bitmap)
        assert theirs != place
        assert f"{int.from_bytes(theirs, 'big'):0256b}"[:shared] == path[:shared]
        current = tagged("state/leaf", other)
    else:
        current = bytes(32)
    for number, bits in enumerate(bitmap):
        children = []
        for bit in (4, 2, 1):
            children.append(siblings[:32] if bits & bit else bytes(32))
            siblings = siblings[32:] if bits & bit else siblings
        level = len(bitmap) - 1 - number
        children.insert(int.from_bytes(place, "big") >> 254 - 2 * level & 3, current)
        current = tagged("state/node", b"".join(children))
    assert not siblings
    assert current == fields[9]
    return value[0] if value else None


def test_ids_and_addresses() -> None:
    assert tagged("account", example("P1, public key"))[:20] == example("P1, account id")
    assert sha256(b"account of P1").digest() == example("P1, seed")
    assert tagged("tx", example("transaction")) == example("transaction, id")
    assert tagged("header", example("block 1, header")) == example("block 1, id")
    assert tagged("validators", example("validators")) == example("validators, hash")
    assert tagged("parameters", example("parameters")) == example("parameters, hash")


def test_the_genesis_file_is_the_vectors() -> None:
    (given,) = [case for case in load("genesis")["accepted"] if case["name"] == "as given"]
    assert given["output"]["genesis"] == EXAMPLE["genesis hash"]
    assert given["output"]["block_id"] == EXAMPLE["block 0, id"]


def test_the_transaction() -> None:
    fields = unpack(example("transaction"))
    unsigned = msgpack.packb(fields[:-1])
    assert unsigned == example("transaction without signature")
    digest = tagged("tx/sign", unsigned)
    assert digest == example("transaction, digest that is signed")
    VerifyKey(fields[4]).verify(digest, fields[10])
    with pytest.raises(BadSignatureError):
        VerifyKey(fields[4]).verify(tagged("tx", unsigned), fields[10])
    assert fields[2] == example("genesis hash")


def test_the_roots_of_block_1() -> None:
    header = unpack(example("block 1, header"))
    for place, item in ((8, example("transaction, id")), (10, example("receipt"))):
        root = tagged("root", (1).to_bytes(8, "big") + tagged("leaf", item))
        assert header[place] == root
    assert header[9] == example("state root after the block")
    assert header[5] == example("block 0, id")


def test_the_account_proof_and_all_frozen_ones() -> None:
    trusted = example("genesis hash"), example("validators, hash")
    assert believe_account_proof(example("account proof of P2"), *trusted) == example(
        "P2's leaf after the block"
    )
    proofs = load("proofs")
    seen = 0
    for case in proofs["accepted"]:
        given = case["input"]
        if given["form"] == "account":
            held = believe_account_proof(*(bytes.fromhex(given[n]) for n in ("bytes", *TRUST)))
            assert (None if held is None else held.hex()) == case["output"]["value"]
            seen += 1
    for case in proofs["refused"]:
        given = case["input"]
        if given["form"] == "account" and case["refused"] == "invalid_proof":
            with pytest.raises((AssertionError, BadSignatureError)):
                believe_account_proof(*(bytes.fromhex(given[n]) for n in ("bytes", *TRUST)))
            seen += 1
    assert seen > 10


TRUST = ("genesis", "validators")

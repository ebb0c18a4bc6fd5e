"""SHA-256 with a domain tag for each kind of object, so that no hash stands for two things.

A tag is one length byte and an ASCII name; what follows it is either a canonical encoding, which
carries its own lengths, or a fixed number of 32-byte digests.
"""

from __future__ import annotations

from hashlib import sha256

HASH_BYTES = 32
EMPTY_HASH = bytes(HASH_BYTES)


def tag(name: str) -> bytes:
    """Return the prefix of the domain `name`: its length in one byte, then its ASCII letters."""
    return bytes([len(name)]) + name.encode("ascii")


def tagged_hash(domain: bytes, data: bytes) -> bytes:
    """Return SHA-256 of `domain` (made by `tag`) followed by `data`: 32 bytes."""
    return sha256(domain + data).digest()


TAG_ACCOUNT = tag("account")
TAG_ADDRESS = tag("address")
TAG_API_REQUEST = tag("api/request")
TAG_APPROVAL = tag("approval")
TAG_AUCTION_COMMITMENT = tag("auction/commitment")
TAG_AUCTION_RANK = tag("auction/rank")
TAG_AUCTION_ROUND = tag("auction/round")
TAG_CERTIFICATE = tag("certificate")
TAG_CODE = tag("code")
TAG_CONTRACT = tag("contract")
TAG_DAY_COMMITMENT = tag("day/commitment")
TAG_EVIDENCE = tag("evidence")
TAG_GENESIS = tag("genesis")
TAG_HEADER = tag("header")
TAG_HISTORY = tag("history")
TAG_MERKLE_LEAF = tag("leaf")
TAG_MERKLE_NODE = tag("node")
TAG_MERKLE_ROOT = tag("root")
TAG_PARAMETERS = tag("parameters")
TAG_PROPOSAL_SIGN = tag("proposal/sign")
TAG_STATE_KEY = tag("state/key")
TAG_STATE_LEAF = tag("state/leaf")
TAG_STATE_NODE = tag("state/node")
TAG_STATE_VALUE = tag("state/value")
TAG_TRANSACTION = tag("tx")
TAG_TRANSACTION_SIGN = tag("tx/sign")
TAG_VALIDATORS = tag("validators")
TAG_VOTE_SIGN = tag("vote/sign")

"""What a liar tells those who believe nothing: snapshots, parts of them, headers and proofs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from node.ledger.block import decode_header
from node.ledger.proofs import Finality, decode_account_proof, decode_transaction_proof
from node.ledger.receipt import decode_receipt
from node.light_wire import (
    ANSWER,
    HEADERS,
    Reply,
    decode_headers,
    decode_reply,
    encode_headers,
    encode_reply,
)
from node.snapshot.format import decode_manifest
from node.snapshot.wire import (
    CHANGES,
    CHUNK,
    HEADER,
    SNAPSHOTS,
    decode_changes,
    decode_offers,
    decode_part,
    encode_changes,
    encode_offers,
    encode_part,
)
from vm.primitives.codec import encode_trusted

SERVICE_KINDS = (SNAPSHOTS, CHUNK, CHANGES, HEADER, HEADERS, ANSWER)
Forge = Callable[[int, bytes], bytes]
"""Makes a certificate of a height and block that one signer alone signed."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a liar has to lie with."""

    forge: Forge
    """Makes certificates."""
    held: Callable[[int, str], bytes]
    """Returns a part of a snapshot that its node has, by height and path; or empty bytes."""
    is_smooth: bool
    """Whether it lies about one thing only: the header above a state that is right."""
    offers_truly: bool
    """Whether it offers the snapshots that there are, so that it is asked for their parts."""
    said: dict[int, bytes] = field(default_factory=dict)
    """What it said first of each kind."""


def twist_service(random: Random, kind: int, payload: bytes, means: Means) -> bytes | None:
    """Return something else than an honest node answers; None for no answer at all.

    A smooth liar offers a state that is right under a later header of its own, and gives its parts.
    What a liar said first it may say again: headers that are certified, and old.
    """
    is_smooth = means.is_smooth
    if is_smooth and kind == CHANGES:
        return payload
    if is_smooth and kind == CHUNK:
        height, path, data = decode_part(payload)
        return encode_part(height, path, data or means.held(height - 1, path))
    if is_smooth and kind == SNAPSHOTS:
        return _under_later_headers(payload, means.forge)
    if means.offers_truly and kind == SNAPSHOTS:
        return payload
    first = means.said.setdefault(kind, payload)
    if kind == HEADERS and random.randrange(2 if is_smooth else 6) == 0:
        return first
    if random.randrange(12) == 0:
        return None
    if random.randrange(12) == 0:
        return random.randbytes(random.randrange(80))
    return _TWISTS[kind](random, payload, means.forge)


def held_part(node: Any, height: int, path: str) -> bytes:
    """Return a part of a snapshot that a node has; empty bytes where it has none."""
    for held in node._snapshots.server.held:
        if held.height == height:
            return bytes(held.read(path))
    return b""


def _flip(random: Random, data: bytes) -> bytes:
    """Change one byte."""
    if not data:
        return b"\0"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _snapshots(random: Random, payload: bytes, forge: Forge) -> bytes:
    """Manifests of a state that is not, of another block, or with somebody else's certificate."""
    manifests = [decode_manifest(data) for data in decode_offers(payload)]
    if not manifests:
        return payload
    found, other = manifests[0], manifests[-1]
    style = random.randrange(10)
    header = found.header
    if style == 0:
        found = replace(found, header=replace(header, state_root=random.randbytes(32)))
    elif style == 1:
        header = replace(header, height=header.height + 1_000, state_root=random.randbytes(32))
        forged = forge(header.height, header.block_id())
        found = replace(found, header=header, certificate=forged)
    elif style == 2:
        found = replace(found, certificate=other.certificate if other is not found else b"")
    elif style == 3:
        found = replace(found, depth=found.depth + 1)
    elif style == 4:
        found = replace(found, header=replace(header, validators=random.randbytes(32)))
    elif style == 5:
        found = replace(found, header=replace(header, genesis=random.randbytes(32)))
    elif style == 6:
        found = replace(found, certificate=b"")
    else:  # a state that is right, under a header that nobody else signed
        header = replace(header, time_ms=header.time_ms + 1)
        forged = forge(header.height, header.block_id())
        found = replace(found, header=header, certificate=forged)
    return encode_offers([found.encode()])


def _under_later_headers(payload: bytes, forge: Forge) -> bytes:
    """Offer the states that there are as those of the next blocks, which nobody else signed.

    Who looks for the newest snapshot asks the liar first.
    """
    manifests = []
    for found in map(decode_manifest, decode_offers(payload)):
        header = found.header
        header = replace(header, height=header.height + 1, time_ms=header.time_ms + 1)
        forged = forge(header.height, header.block_id())
        manifests.append(replace(found, header=header, certificate=forged).encode())
    return encode_offers(manifests)


def _chunk(random: Random, payload: bytes, forge: Forge) -> bytes:
    """Wrong bytes, no bytes, or those of another part."""
    height, path, data = decode_part(payload)
    style = random.randrange(5)
    if style == 0:
        return encode_part(height, path, b"")
    if style == 1:
        return encode_part(height, path, random.randbytes(200))
    if style == 2:
        return encode_part(height + 1, path, data)
    if style == 3:
        return encode_part(height, path, data[:-1])
    return encode_part(height, path, _flip(random, data))


def _changes(random: Random, payload: bytes, forge: Forge) -> bytes:
    """Changes of the validators that never were, or none."""
    changes = list(decode_changes(payload))
    if not changes or random.randrange(3) == 0:
        return encode_changes([])
    last = changes[-1]
    style = random.randrange(4)
    if style == 0:
        changes[-1] = replace(last, validators=_flip(random, last.validators))
    elif style == 1:
        changes[-1] = replace(last, certificate=_flip(random, last.certificate))
    elif style == 2:
        header = replace(decode_header(last.header), next_validators=random.randbytes(32))
        forged = forge(header.height, header.block_id())
        changes[-1] = replace(last, header=header.encode(), certificate=forged)
    else:
        changes.append(last)
    return encode_changes(changes)


def _header(random: Random, payload: bytes, forge: Forge) -> bytes:
    return _flip(random, payload)


def _headers(random: Random, payload: bytes, forge: Forge) -> bytes:
    """Headers that do not follow, or that nobody but the liar signed."""
    entries = list(decode_headers(payload))
    if not entries:
        return payload
    place = random.randrange(len(entries))
    entry = entries[place]
    header = decode_header(entry.header)
    style = random.randrange(7)
    if style == 0:
        del entries[place]
    elif style == 1:
        entries[place] = replace(entry, certificate=b"", validators=b"")
    elif style == 2:
        entries[-1] = replace(entries[-1], certificate=b"")
    elif style == 3:
        header = replace(header, next_validators=random.randbytes(32))
        entries[place] = Finality(header.encode(), entry.certificate, entry.validators)
    elif style == 4:
        header = replace(header, state_root=random.randbytes(32))
        forged = forge(header.height, header.block_id())
        validators = entries[-1].validators
        entries[place:] = [Finality(header.encode(), forged, validators)]
    elif style == 5:
        header = replace(header, genesis=random.randbytes(32))
        entries[place] = Finality(header.encode(), entry.certificate, entry.validators)
    else:
        entries = entries[: place or 1]
    return encode_headers(entries)


def _answer(random: Random, payload: bytes, forge: Forge) -> bytes:
    """A proof of something else, of what is not so, or none."""
    reply = decode_reply(payload)
    if reply.code or not reply.data:
        style = random.randrange(3)
        return encode_reply(Reply(reply.number + (style == 1), "", "", random.randbytes(90)))
    return encode_reply(replace(reply, data=_twist_proof(random, reply.data)))


def _twist_proof(random: Random, data: bytes) -> bytes:
    style = random.choice((0, 1, 2, 3, 3, 3, 3, 4, 5))
    if style == 0:
        return b""
    if style == 1:
        return _flip(random, data)
    try:
        proof = decode_account_proof(data)
    except Exception:
        found = decode_transaction_proof(data)
        if style < 4:
            receipt = replace(decode_receipt(found.receipt), code="lied")
            return replace(found, receipt=receipt.encode()).encode()
        return replace(found, transaction=_flip(random, found.transaction)).encode()
    if style == 2:
        return replace(proof, value=None).encode()
    if style == 3:
        return replace(proof, value=encode_trusted([1, 2, 3])).encode()
    if style == 4:
        return replace(proof, key=proof.key[:-1] + b"\7").encode()
    header = replace(decode_header(proof.finality.header), state_root=random.randbytes(32))
    return replace(proof, finality=replace(proof.finality, header=header.encode())).encode()


_TWISTS: dict[int, Callable[[Random, bytes, Forge], bytes]] = {
    SNAPSHOTS: _snapshots,
    CHUNK: _chunk,
    CHANGES: _changes,
    HEADER: _header,
    HEADERS: _headers,
    ANSWER: _answer,
}

"""Commitments to results: who found one says so before it can be read, and copied, by others.

Where a round pays a reward, its result is taken from an account that committed to exactly these
bytes in an earlier block. Who reads a submission on its way into a block would have to commit
first, and comes a block late. A commitment needs no salt: a certificate that can be guessed is
one that was computed.
"""

from __future__ import annotations

from typing import Final

from market.dispatch_records import Area, Round
from vm.context import CallContext
from vm.primitives.codec import encode_trusted
from vm.primitives.errors import CallError
from vm.primitives.hashing import tag, tagged_hash

TAG_COMMITMENT: Final = tag("dispatch/commitment")
COMMITMENT_SPACE: Final = b"dc"
HEIGHT_BYTES: Final = 8


def commitment_of(account: bytes, number: int, certificate: bytes) -> bytes:
    """Return what an account commits to, 32 bytes, with a certificate's bytes for a round."""
    return tagged_hash(TAG_COMMITMENT, encode_trusted((account, number, certificate)))


def write_commitment(ctx: CallContext, area: Area, commitment: bytes) -> None:
    """Keep a commitment of the caller, in place of an earlier one of its own in this area."""
    ctx.put(_key(area, ctx.caller), ctx.height.to_bytes(HEIGHT_BYTES, "big") + commitment)


def take_commitment(ctx: CallContext, area: Area, found: Round, certificate: bytes) -> None:
    """Use up the caller's commitment to a certificate; raises CallError.

    Codes: `not_committed` without one of an earlier block, `other_commitment` where it is to other
    bytes. Neither touches a bond.
    """
    key = _key(area, ctx.caller)
    data = ctx.get(key)
    if data is None or int.from_bytes(data[:HEIGHT_BYTES], "big") >= ctx.height:
        raise CallError(
            "not_committed",
            "a result that earns a reward is committed to in an earlier block",
            actual=found.number,
            hint="Call dispatch.commit first, and submit when that is in a block.",
        )
    # Hashing it is paid for with the submission's bytes.
    if data[HEIGHT_BYTES:] != commitment_of(ctx.caller, found.number, certificate):
        raise CallError(
            "other_commitment",
            "the account committed to another result",
            actual=found.number,
            hint="Commit to this one.",
        )
    ctx.delete(key)


def _key(area: Area, account: bytes) -> bytes:
    return COMMITMENT_SPACE + area.prefix + account

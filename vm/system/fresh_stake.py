"""Fresh stake: what was put in so lately that a fault from before it may still be proved.

Stake that block H puts in weighs from height H + 1 on, so it answers for faults above H and for
none before. A delegation notes at which heights its shares came, a pool how many came at each;
what no evidence can concern any more is passed over, and goes when the delegation changes. Where
there would be too many heights, new shares count as of the last one noted. What is taken back is
what came first.
"""

from __future__ import annotations

from typing import Final

from vm.context import CallContext
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import decode_integer, encode_integer

FRESH_INDEX: Final = INDEX_SPACE + b"bf"
"""Validator, then height: shares that came there and are still here, as its delegations note."""
MAX_OWN_NOTES: Final = 8
"""Heights that a delegation tells apart."""
MAX_POOL_NOTES: Final = 256
"""Heights that a pool tells apart."""
MAX_SHARE_BYTES: Final = 40
_END: Final = b"\xff" * 9

Notes = tuple[tuple[int, int], ...]
"""Heights and how much came at each, ascending."""


def note_shares(ctx: CallContext, validator: bytes, own: Notes, shares: int) -> Notes:
    """Note new shares of a delegation in its pool; return the delegation's notes with them."""
    if not ctx.height or not shares:
        return own  # before genesis there is no fault
    oldest = max(ctx.height - ctx.block.parameters.evidence_max_age_blocks, 0)
    for height, old in own:
        if height < oldest:
            change_note(ctx, validator, height, -old)
    own = tuple(note for note in own if note[0] >= oldest)
    prefix = FRESH_INDEX + validator
    known = [key for key, _ in ctx.scan(prefix + oldest.to_bytes(8, "big"), prefix + _END)]
    height = ctx.height
    if len(own) >= MAX_OWN_NOTES:
        height = own[-1][0]
    elif len(known) >= MAX_POOL_NOTES:
        height = int.from_bytes(known[-1][-8:], "big")
    change_note(ctx, validator, height, shares)
    if own and own[-1][0] == height:
        return (*own[:-1], (height, own[-1][1] + shares))
    return (*own, (height, shares))


def forget_shares(
    ctx: CallContext, validator: bytes, own: Notes, *, held: int, taken: int
) -> tuple[Notes, Notes]:
    """Take `taken` of `held` shares out, what came first; return the notes left and those taken."""
    rest = max(taken - held + sum(shares for _, shares in own), 0)
    left: list[tuple[int, int]] = []
    gone: list[tuple[int, int]] = []
    for height, shares in own:
        part = min(shares, rest)
        rest -= part
        if part:
            gone.append((height, part))
            change_note(ctx, validator, height, -part)
        if shares > part:
            left.append((height, shares - part))
    return tuple(left), tuple(gone)


def since(notes: Notes, height: int) -> int:
    """Return how much came at `height` or above."""
    return sum(amount for noted, amount in notes if noted >= height)


def pool_since(ctx: CallContext, validator: bytes, height: int) -> int:
    """Return how many shares of a pool came at `height` or above."""
    prefix = FRESH_INDEX + validator
    notes = ctx.scan(prefix + height.to_bytes(8, "big"), prefix + _END)
    return sum(_shares(data) for _, data in notes)


def change_note(ctx: CallContext, validator: bytes, height: int, shares: int) -> None:
    """Add to the shares that a pool notes of a height, or take from them."""
    key = FRESH_INDEX + validator + height.to_bytes(8, "big")
    data = ctx.get(key)
    after = shares + (0 if data is None else _shares(data))
    if after:
        ctx.put(key, encode_integer(after))
    else:
        ctx.delete(key)


def _shares(data: bytes) -> int:
    return decode_integer(data, max_bytes=MAX_SHARE_BYTES)

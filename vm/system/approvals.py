"""On-chain approvals: operators who ask for the same thing, until enough of them have.

One leaf for each action with its arguments counts how often the action was carried out (rounds) and
how often each member called. A member's first call speaks for the first round, the next one for the
second, and so on, never for more than the round that is open. So a late call, for something that is
done already, is a word on that and begins nothing: only who has spoken on every round that is done
opens the next one, and nobody finds another's word for it lying there.

A word counts while its member is active and has all the roles with which it was given: who is
suspended or removed, or loses a role, takes it along. All lapses `APPROVAL_BLOCKS` after the open
round began, or after the last one ended: then the leaf counts from nothing again, the next call
writes it over, and the due queue removes it. It holds at most one entry for each member that may
call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vm.context import CallContext
from vm.primitives.codec import Value, encode, encode_trusted, unpack_trusted
from vm.primitives.errors import InvariantViolation
from vm.primitives.hashing import TAG_APPROVAL, tagged_hash
from vm.system.account_leaf import ACTIVE, load_account

APPROVAL_SPACE: Final = b"g"
APPROVAL_BLOCKS: Final = 10_000
"""How many blocks approvals, and the memory of those that were carried out, stand."""

LONGEST_WAIT_MS: Final = 86_400_000
"""How long at most until it is looked whether approvals have lapsed."""
KEEPER: Final = "members"
"""The module whose due items remove them."""

Word = tuple[bytes, int, int]
"""An account, the roles with which it called last, and the round for which that call was."""


@dataclass(frozen=True, slots=True)
class _Approvals:
    height: int
    """Height at which the open round began, or, with none open, the last one ended."""
    rounds_done: int
    """How often the action was carried out."""
    words: tuple[Word, ...]
    """Who called, at most once each."""


def approve(ctx: CallContext, action: str, arguments: tuple[Value, ...]) -> bool:
    """Count the caller's approval of `action` with `arguments`; True once there are enough.

    The same call by `operator_threshold` different members carries the action out. Each call emits
    `approval` with the count reached and the count needed; a late one, which returns False for what
    is done already, says that all needed were reached.
    """
    needed = ctx.block.parameters.operator_threshold
    if needed <= 1:
        return True
    key = APPROVAL_SPACE + tagged_hash(TAG_APPROVAL, encode([action, arguments]))
    if ctx.get(key) is None:
        _look_later(ctx, key, APPROVAL_BLOCKS + 1)
    known = _load(ctx, key)
    open_round = known.rounds_done + 1
    others = tuple(word for word in known.words if word[0] != ctx.caller and _counts(ctx, word))
    spoken = next((last for account, _, last in known.words if account == ctx.caller), 0)
    own_round = min(spoken + 1, open_round)
    words = (*others, (ctx.caller, ctx.roles, own_round))
    reached = sum(1 for _, _, last in words if last == open_round)
    if own_round < open_round:
        ctx.emit("approval", action, needed, needed)
        _save(ctx, key, _Approvals(known.height, known.rounds_done, words))
        return False
    ctx.emit("approval", action, reached, needed)
    if reached >= needed:
        _save(ctx, key, _Approvals(ctx.height, open_round, words))
        return True
    is_first = reached == 1 and spoken != open_round
    height = ctx.height if is_first else known.height
    _save(ctx, key, _Approvals(height, known.rounds_done, words))
    return False


def remove_lapsed(ctx: CallContext, key: bytes) -> None:
    """Delete the approvals at `key` once they have lapsed; until then look again later."""
    height = _read(ctx, key).height
    if ctx.height > height + APPROVAL_BLOCKS:
        ctx.delete(key)
    else:
        _look_later(ctx, key, height + APPROVAL_BLOCKS + 1 - ctx.height)


def _look_later(ctx: CallContext, key: bytes, blocks: int) -> None:
    """Have the keeper of approvals look at `key` when so many blocks may have passed."""
    wait_ms = min(blocks * ctx.block.parameters.heartbeat_ms, LONGEST_WAIT_MS)
    caller, ctx.module = ctx.module, KEEPER
    ctx.schedule(ctx.time_ms + max(wait_ms, 1), key)
    ctx.module = caller


def _counts(ctx: CallContext, word: Word) -> bool:
    account, roles, _ = word
    leaf = load_account(ctx, account)
    return leaf.status == ACTIVE and leaf.roles & roles == roles


def _load(ctx: CallContext, key: bytes) -> _Approvals:
    """Return what stands at `key`; nothing where there is nothing, or it has lapsed."""
    known = _read(ctx, key)
    is_over = ctx.height > known.height + APPROVAL_BLOCKS
    return _Approvals(ctx.height, 0, ()) if is_over else known


def _read(ctx: CallContext, key: bytes) -> _Approvals:
    data = ctx.get(key)
    if data is None:
        return _Approvals(ctx.height, 0, ())
    match unpack_trusted(data):
        case (int(height), int(rounds_done), tuple(words)):
            return _Approvals(height, rounds_done, words)  # type: ignore[arg-type]
    raise InvariantViolation(f"approvals hold something else at {key.hex()}")


def _save(ctx: CallContext, key: bytes, approvals: _Approvals) -> None:
    fields = (approvals.height, approvals.rounds_done, approvals.words)
    ctx.put(key, encode_trusted(fields))

"""Incentives: points that members earned by what they did for the grid; they buy nothing.

Points are granted, staked, and lost with a stake; they do not go from member to member.
"""

from __future__ import annotations

from typing import Final

from vm.arguments import ACCOUNT, AMOUNT, Argument
from vm.context import CallContext
from vm.module import Module, method
from vm.overlay import StateReader
from vm.primitives.codec import Encodable, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT, checked_add
from vm.system.account_leaf import load_active_account
from vm.system.approvals import approve
from vm.system.staking_terms import STAKING_SPACE

POINTS_SPACE: Final = STAKING_SPACE + b"i"
POINTS_TOTAL_KEY: Final = STAKING_SPACE + b"j"
POINTS_TYPE: Final = 55
VERSION: Final = 1


def read_points(state: StateReader, account: bytes) -> int:
    """Return an account's free micro-points, without gas."""
    return _decode(state.get(POINTS_SPACE + account))


def read_points_total(state: StateReader) -> int:
    """Return all micro-points there are, staked ones included, without gas."""
    return _decode(state.get(POINTS_TOTAL_KEY))


def grant_points(ctx: CallContext, account: bytes, amount_micro: int) -> None:
    """Bring points into being for what `account` did; the door for modules that measure it.

    Raises CallError `overflow` above 2^63 − 1 micro-points in all.
    """
    change_points_total(ctx, amount_micro)
    add_points(ctx, account, amount_micro)
    ctx.emit("grant", account, amount_micro)


def change_points_total(ctx: CallContext, amount_micro: int) -> None:
    """Bring points into being, or out of it; raises CallError `overflow`."""
    total = checked_add(_decode(ctx.get(POINTS_TOTAL_KEY)), amount_micro)
    ctx.put(POINTS_TOTAL_KEY, _encode(total))


def add_points(ctx: CallContext, account: bytes, amount_micro: int) -> None:
    """Add to an account's free points."""
    total = checked_add(_decode(ctx.get(POINTS_SPACE + account)), amount_micro)
    ctx.put(POINTS_SPACE + account, _encode(total))


def take_points(ctx: CallContext, account: bytes, amount_micro: int) -> None:
    """Take from an account's free points; raises CallError `insufficient_points`."""
    free = _decode(ctx.get(POINTS_SPACE + account))
    if amount_micro > free:
        raise CallError(
            "insufficient_points",
            "there are not enough free points",
            expected=amount_micro,
            actual=free,
        )
    ctx.put(POINTS_SPACE + account, _encode(free - amount_micro))


class IncentivesModule(Module):
    """The points of demand response: operators grant them for what was measured elsewhere."""

    name = "incentives"

    @method(Argument("to", ACCOUNT), Argument("amount_micro", AMOUNT), roles=("operator",))
    def grant(self, ctx: CallContext, to: bytes, amount_micro: int) -> Encodable:
        """Grant an active member points for what it did for the grid."""
        if not approve(ctx, "incentives.grant", (to, amount_micro)):
            return False
        load_active_account(ctx, to)
        grant_points(ctx, to, amount_micro)
        return True


def _encode(amount_micro: int) -> bytes:
    return encode_trusted((POINTS_TYPE, VERSION, amount_micro))


def _decode(data: bytes | None) -> int:
    if data is None:
        return 0
    match unpack_trusted(data):
        case (55, 1, int(amount_micro)) if 0 <= amount_micro <= MAX_AMOUNT:
            return amount_micro
    raise InvariantViolation(f"not an amount of points: {data.hex()[:80]}")

"""Changes of the validator set: bounded with each block, never to nothing, each on the record.

What one block changes is in force from the next height on. At most a third of the power leaves, and
at most a third of the new set's power is new; one validator's change is always allowed. So most of
those whom a reader of headers knew still decide the next block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vm.context import CallContext
from vm.primitives.errors import CallError, InvariantViolation
from vm.system.validators import (
    VALIDATORS_KEY,
    Validator,
    decode_validators,
    encode_validators,
)

VALIDATOR_EVENT: Final = "validator"


def step_towards(before: Sequence[Validator], wanted: Sequence[Validator]) -> tuple[Validator, ...]:
    """Return the set after one block on the way from `before` to `wanted`, which is not empty."""
    old = {validator.account: validator for validator in before}
    goal = {validator.account: validator for validator in wanted}
    changed = [
        account for account in sorted({**old, **goal}) if old.get(account) != goal.get(account)
    ]
    # Who leaves goes first: that may be somebody who contradicted itself.
    changed.sort(key=lambda account: account in goal)
    total = sum(validator.power for validator in before)
    found = dict(old)
    lost = gained = steps = 0
    for account in changed:
        less, more = _difference(old.get(account), goal.get(account))
        fits = _is_bounded(total, lost + less, gained + more)
        if (steps and not fits) or (account not in goal and len(found) == 1):
            continue
        lost, gained, steps = lost + less, gained + more, steps + 1
        found.pop(account, None)
        if account in goal:
            found[account] = goal[account]
    return tuple(found[account] for account in sorted(found))


def is_bounded_change(before: Sequence[Validator], after: Sequence[Validator]) -> bool:
    """Tell whether one block may lead from one set to the other."""
    if not after:
        return False
    old = {validator.account: validator for validator in before}
    new = {validator.account: validator for validator in after}
    lost = gained = changes = 0
    for account in {**old, **new}:
        less, more = _difference(old.get(account), new.get(account))
        lost, gained = lost + less, gained + more
        changes += old.get(account) != new.get(account)
    total = sum(validator.power for validator in before)
    return changes <= 1 or _is_bounded(total, lost, gained)


def set_before(ctx: CallContext) -> tuple[Validator, ...]:
    """Return the validators as this block found them: those who decide it; none in genesis."""
    ctx.get(VALIDATORS_KEY)  # it costs a read
    data = ctx.state.parent.get(VALIDATORS_KEY)
    return () if data is None else decode_validators(data)


def change_validators(ctx: CallContext, validators: Sequence[Validator]) -> None:
    """Make `validators` the set from the next height on; raises CallError where too much changes.

    Emits what is new of whom: power (0 who leaves), vote key, and the first height of both.
    """
    before = set_before(ctx)
    if before and not is_bounded_change(before, validators):
        raise CallError(
            "too_many_changes",
            "too much of the validators' power would change with one block",
            expected="one validator, or at most a third of the power",
            hint="Send it again when the next block is final.",
        )
    replace_validators(ctx, validators)


def replace_validators(ctx: CallContext, validators: Sequence[Validator]) -> None:
    """Make `validators` the set from the next height on, however much of it is new.

    For what members voted for: there nobody is surprised.
    """
    data = ctx.get(VALIDATORS_KEY)
    known = () if data is None else decode_validators(data)
    encoded = encode_validators(validators)
    if encoded == data:
        return
    ctx.put(VALIDATORS_KEY, encoded)
    if ctx.height == 0:
        return
    for validator in changes_between(known, validators):
        ctx.emit(
            VALIDATOR_EVENT,
            validator.account,
            validator.power,
            validator.vote_key,
            ctx.height + 1,
        )


def changes_between(
    before: Sequence[Validator], after: Sequence[Validator]
) -> tuple[Validator, ...]:
    """Return the validators that are other than before; those who left with power 0."""
    old = {validator.account: validator for validator in before}
    new = {validator.account: validator for validator in after}
    found = []
    for account in sorted({**old, **new}):
        now = new.get(account)
        if now is None:
            found.append(replace(old[account], power=0))
        elif now != old.get(account):
            found.append(now)
    return tuple(found)


def _is_bounded(total: int, lost: int, gained: int) -> bool:
    return lost * 3 <= total and gained * 3 <= total - lost + gained


def _difference(old: Validator | None, new: Validator | None) -> tuple[int, int]:
    """Return the power that leaves and the power that comes; another key is another signer."""
    if old is None and new is None:
        raise InvariantViolation("a change of nobody")
    if old is None or new is None or old.vote_key != new.vote_key:
        return (old.power if old else 0, new.power if new else 0)
    return max(0, old.power - new.power), max(0, new.power - old.power)

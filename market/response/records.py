"""The leaves of demand response: terms, rounds and their members, events and enrolments.

Keys, numbers big-endian:

    Wt                  the terms               Wr round(8)           a round of two settlements
    Wm round account    a member in it          iWm round account     the member is there
    We event(8)         an event                Wn event account      an enrolment
                                                iWn event account     the enrolment is there
                                        iWp account event(8)  the same, by member
    Ws place(2)         an event's result       Wv version(4)         the terms in that version

Leaves are arrays `[type, version, fields...]`; index entries hold one byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from vm.context import CallContext
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.codec import encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation

TERMS_KEY: Final = b"Wt"
ROUND_SPACE: Final = b"Wr"
MEMBER_SPACE: Final = b"Wm"
EVENT_SPACE: Final = b"We"
ENROLMENT_SPACE: Final = b"Wn"
ENROLLED_INDEX: Final = INDEX_SPACE + b"Wp"
"""A member's events; in the index alone."""
RESULT_SPACE: Final = b"Ws"
BEFORE_SPACE: Final = b"Wv"
MARK: Final = b"\x01"

TERMS_TYPE: Final = 100
ROUND_TYPE: Final = 101
MEMBER_TYPE: Final = 102
EVENT_TYPE: Final = 103
ENROLMENT_TYPE: Final = 104
RESULT_TYPE: Final = 108
VERSION: Final = 1

MAX_RESULTS: Final = 512
"""Results of events that are kept."""

ROUND_DUE: Final = 0
EVENT_DUE: Final = 1
"""What a scheduled item is of; its number follows."""

ORDERS: Final = 0
RESPONSES: Final = 1
STAGE_NAMES: Final = ("orders", "responses")


@dataclass(frozen=True, slots=True)
class ResponseTerms:
    """What genesis says about demand response."""

    alpha_percent: int
    """α of the response price, in percent; at least 100."""
    upstream_price_micro_per_kwh: int
    """Retail price of the upstream supplier: no response price is above it."""
    past_intervals: int
    """Comparable past intervals of a baseline."""
    highest: int
    """How many of them, the greatest, count; 0 for all."""
    tolerance_percent: int
    """Part of a promise that may be missing without penalty."""
    account: bytes
    """Account that takes the fractions of the settlements."""
    version: int = 0
    """How often votes changed them: rounds and events keep the version in which they began."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Round:
    """A working copy of a round: two settlements of one interval."""

    orders_until_ms: int
    """When the first settlement is made."""
    responses_until_ms: int
    """When the second settlement is made."""
    stage: int
    """ORDERS or RESPONSES."""
    members: int
    """Members with an order."""
    response_price_half_micro: int
    """Response price, once the first settlement is made."""
    version: int = 0
    """Version of the terms in which it was opened."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Member:
    """A working copy of a member in a round: its order, and what it gives up."""

    side: int
    """BUY or SELL."""
    energy_milli_wh: int
    """Energy of its order that has not traded."""
    price_micro_per_kwh: int
    """Limit of its order."""
    number: int
    """Its place in time."""
    reserve_micro: int
    """Money set aside for what has not traded of a bid."""
    bought_milli_wh: int
    """Energy that it bought in the first settlement."""
    given_up_milli_wh: int
    """Energy that it gives up, set aside in its account."""
    given_up_price_micro_per_kwh: int
    """Lowest price for that."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class ResponseEvent:
    """A working copy of an event."""

    caller: bytes
    """Account that pays the rewards and takes the penalties."""
    direction: int
    """DOWN or UP."""
    price_micro_per_kwh: int
    """Reward for what is delivered."""
    penalty_price_micro_per_kwh: int
    """Penalty for what is missing beyond the tolerance."""
    enrol_until_ms: int
    """When enrolment ends."""
    start_ms: int
    """When the first interval begins."""
    end_ms: int
    """When the last interval ends."""
    readings_until_ms: int
    """When readings end and the event is settled."""
    profile: tuple[int, ...]
    """Energy called for in each interval that nobody has promised."""
    reserve_micro: int
    """Money of the caller set aside for rewards."""
    members: int
    """Members enrolled."""
    version: int = 0
    """Version of the terms in which it was called."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Enrolment:
    """A working copy of a member's enrolment in an event."""

    promised: tuple[int, ...]
    """Energy promised in each interval, milliwatt-hours."""
    deposit_micro: int
    """Money set aside for a penalty."""
    baseline: tuple[int, ...]
    """Baseline of each interval; empty before the past readings."""
    measured: tuple[int, ...]
    """Reading of each interval; empty before the readings."""


@dataclass(frozen=True, slots=True)
class EventResult:
    """What came of an event, over all members."""

    number: int
    """The event."""
    delivered_milli_wh: int
    """Energy that the meters proved, within what was promised."""
    rewards_micro: int
    """Rewards paid."""
    penalties_micro: int
    """Penalties paid."""


Leaf = ResponseTerms | Round | Member | ResponseEvent | Enrolment | EventResult
_Leaf = TypeVar("_Leaf", ResponseTerms, Round, Member, ResponseEvent, Enrolment, EventResult)
LEAF_TYPES: Final[dict[type, int]] = {
    ResponseTerms: TERMS_TYPE,
    Round: ROUND_TYPE,
    Member: MEMBER_TYPE,
    ResponseEvent: EVENT_TYPE,
    Enrolment: ENROLMENT_TYPE,
    EventResult: RESULT_TYPE,
}


def encode_leaf(leaf: Leaf) -> bytes:
    """Return the canonical bytes of a leaf."""
    values = [getattr(leaf, field.name) for field in fields(leaf)]
    return encode_trusted((LEAF_TYPES[type(leaf)], VERSION, *values))


def decode_leaf(kind: type[_Leaf], data: bytes) -> _Leaf:
    """Return the leaf of its bytes."""
    value = unpack_trusted(data)
    count = len(fields(kind)) + 2
    if (
        not isinstance(value, tuple)
        or value[:2] != (LEAF_TYPES[kind], VERSION)
        or len(value) != count
    ):
        raise InvariantViolation(f"not a leaf of {kind.__name__}: {data.hex()[:80]}")
    make: Callable[..., _Leaf] = kind
    return make(*value[2:])


def load_terms(ctx: CallContext) -> ResponseTerms:
    """Return the terms; raises CallError `no_response`."""
    data = ctx.get(TERMS_KEY)
    if data is None:
        raise CallError(
            "no_response",
            "this network has no demand response",
            hint="Genesis brings it in with a section 'response'.",
        )
    return decode_leaf(ResponseTerms, data)


def load_terms_in(ctx: CallContext, version: int) -> ResponseTerms:
    """Return the terms in a version that there was; raises CallError `no_response`."""
    terms = load_terms(ctx)
    if version == terms.version:
        return terms
    data = ctx.get(before_key(version))
    if data is None:
        raise InvariantViolation(f"the terms of demand response in version {version} are lost")
    return decode_leaf(ResponseTerms, data)


def load_terms_of_round(ctx: CallContext, number: int) -> ResponseTerms:
    """Return the terms of a round; raises CallError `no_response`, `unknown_round`."""
    load_terms(ctx)
    return load_terms_in(ctx, load_round(ctx, number).version)


def load_terms_of_event(ctx: CallContext, number: int) -> ResponseTerms:
    """Return the terms of an event; raises CallError `no_response`, `unknown_event`."""
    load_terms(ctx)
    return load_terms_in(ctx, load_event(ctx, number).version)


def save_changed_terms(ctx: CallContext, known: ResponseTerms, changed: ResponseTerms) -> None:
    """Have another version of the terms hold from now on, and keep the one before."""
    ctx.put(before_key(known.version), encode_leaf(known))
    ctx.put(TERMS_KEY, encode_leaf(changed))


def before_key(version: int) -> bytes:
    """Return the key of the terms in a version that a vote changed."""
    return BEFORE_SPACE + version.to_bytes(4, "big")


def load_leaf(ctx: CallContext, kind: type[_Leaf], key: bytes, code: str, words: str) -> _Leaf:
    """Return a leaf that a call names; raises CallError `code` if there is none."""
    data = ctx.get(key)
    if data is None:
        raise CallError(code, words)
    return decode_leaf(kind, data)


def load_round(ctx: CallContext, number: int) -> Round:
    """Return a round; raises CallError `unknown_round`."""
    words = "no such round was opened, or it has ended"
    return load_leaf(ctx, Round, number_key(ROUND_SPACE, number), "unknown_round", words)


def load_event(ctx: CallContext, number: int) -> ResponseEvent:
    """Return an event; raises CallError `unknown_event`."""
    words = "no such event was called, or it is settled"
    return load_leaf(ctx, ResponseEvent, number_key(EVENT_SPACE, number), "unknown_event", words)


def load_each(ctx: CallContext, kind: type[_Leaf], space: bytes, number: int) -> dict[bytes, _Leaf]:
    """Return the leaves of a round or an event by account, in the order of the accounts' ids."""
    prefix = INDEX_SPACE + space + number.to_bytes(8, "big")
    accounts = [key[len(prefix) :] for key, _ in ctx.scan(prefix, prefix + b"\xff" * 21)]
    return {
        account: load_leaf(ctx, kind, own_key(space, number, account), "lost", "a leaf is gone")
        for account in accounts
    }


def save_own(ctx: CallContext, space: bytes, number: int, account: bytes, leaf: Leaf) -> None:
    """Write a member's leaf in a round or an event, with its index entry."""
    key = own_key(space, number, account)
    ctx.put(key, encode_leaf(leaf))
    ctx.put(INDEX_SPACE + key, MARK)


def delete_own(ctx: CallContext, space: bytes, number: int, account: bytes) -> None:
    """Delete a member's leaf in a round or an event, with its index entry."""
    key = own_key(space, number, account)
    ctx.delete(key)
    ctx.delete(INDEX_SPACE + key)


def mark_enrolled(ctx: CallContext, account: bytes, number: int) -> None:
    """Write the index entry of a member's enrolment in an event, by member."""
    ctx.put(_enrolled_key(account, number), MARK)


def unmark_enrolled(ctx: CallContext, account: bytes, number: int) -> None:
    """Delete that entry."""
    ctx.delete(_enrolled_key(account, number))


def events_of(ctx: CallContext, account: bytes) -> list[int]:
    """Return the events in which a member is enrolled, ascending."""
    start = ENROLLED_INDEX + account
    found = ctx.scan(start, start + b"\xff" * 9)
    return [int.from_bytes(key[len(start) :], "big") for key, _ in found]


def _enrolled_key(account: bytes, number: int) -> bytes:
    return ENROLLED_INDEX + account + number.to_bytes(8, "big")


def save_result(ctx: CallContext, result: EventResult) -> None:
    """Write what came of an event, in place of one that is long past."""
    ctx.put(_result_key(result.number), encode_leaf(result))


def load_result(ctx: CallContext, number: int) -> EventResult | None:
    """Return what came of an event; None before it is settled, or once it is forgotten."""
    data = ctx.get(_result_key(number))
    found = None if data is None else decode_leaf(EventResult, data)
    return found if found is not None and found.number == number else None


def _result_key(number: int) -> bytes:
    return RESULT_SPACE + (number % MAX_RESULTS).to_bytes(2, "big")


def exists(state: StateReader, space: bytes, number: int) -> bool:
    """Tell whether a round or an event is there, without gas."""
    return state.get(number_key(space, number)) is not None


def number_key(space: bytes, number: int) -> bytes:
    """Return the key of a round or an event."""
    return space + number.to_bytes(8, "big")


def own_key(space: bytes, number: int, account: bytes) -> bytes:
    """Return the key of a member's leaf in a round or an event."""
    return number_key(space, number) + account

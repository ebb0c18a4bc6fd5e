"""What the API says of demand response: its terms, rounds, events, and who takes part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from typing import Final, TypeVar

from market.auction.orders import SIDE_NAMES
from market.response.events import DIRECTION_NAMES
from market.response.records import (
    ENROLMENT_SPACE,
    EVENT_SPACE,
    MEMBER_SPACE,
    ROUND_SPACE,
    STAGE_NAMES,
    TERMS_KEY,
    Enrolment,
    Member,
    ResponseEvent,
    ResponseTerms,
    Round,
    decode_leaf,
    number_key,
    own_key,
)
from node.api.answers import Answer, ApiError, JsonObject
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.render import named
from vm.overlay import INDEX_SPACE, StateReader
from vm.primitives.address import encode_address
from vm.primitives.errors import InvariantViolation

_Leaf = TypeVar("_Leaf", Member, Enrolment)
_END: Final = b"\xff" * 9


async def list_response_rounds(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /response/rounds: those that are not settled, the oldest first."""
    found, following = _numbers(context, arguments, ROUND_SPACE)
    store = context.facade.store
    data = store.get(TERMS_KEY)
    return Answer(
        {
            "terms": None if data is None else _terms_json(context, data),
            "rounds": [_round_json(number, _round(store, number)) for number in found],
            "next": following,
        }
    )


async def show_response_round(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /response/rounds/{number}: with the members' orders and answers."""
    store, number = context.facade.store, arguments.number("number")
    found = _round(store, number)
    members: list[JsonObject] = [
        {
            "member": encode_address(account),
            "member_name": context.names.find(account),
            "side": SIDE_NAMES[member.side],
            "energy_milli_wh": member.energy_milli_wh,
            "price_micro_per_kwh": member.price_micro_per_kwh,
            "reserve_micro": member.reserve_micro,
            "bought_milli_wh": member.bought_milli_wh,
            "given_up_milli_wh": member.given_up_milli_wh,
            "given_up_price_micro_per_kwh": member.given_up_price_micro_per_kwh,
        }
        for account, member in _each(store, Member, MEMBER_SPACE, number)
    ]
    return Answer({**_round_json(number, found), "orders": members})


async def list_response_events(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /response/events: those that are not settled, the oldest first."""
    found, following = _numbers(context, arguments, EVENT_SPACE)
    store = context.facade.store
    events = [_event_json(context, number, _event(store, number)) for number in found]
    return Answer({"events": events, "next": following})


async def show_response_event(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /response/events/{number}: with who promised what."""
    store, number = context.facade.store, arguments.number("number")
    found, viewer = _event(store, number), arguments.viewer
    enrolled: list[JsonObject] = [
        {
            "member": encode_address(account),
            "member_name": context.names.find(account),
            "promised_milli_wh": list(enrolment.promised),
            "deposit_micro": enrolment.deposit_micro,
            "baseline_milli_wh": list(enrolment.baseline) if viewer.may_see(account) else [],
            "measured_milli_wh": list(enrolment.measured) if viewer.may_see(account) else [],
        }
        for account, enrolment in _each(store, Enrolment, ENROLMENT_SPACE, number)
    ]
    return Answer({**_event_json(context, number, found), "enrolled": enrolled})


def _numbers(
    context: ApiContext, arguments: Arguments, space: bytes
) -> tuple[list[int], int | None]:
    """Return numbers that stand in a space behind `after`, and where to go on."""
    limit, after = arguments.number("limit"), arguments.optional_number("after")
    first = space if after is None else number_key(space, after + 1)
    keys = [key for key, _ in islice(context.facade.store.scan(first, space + _END), limit + 1)]
    found = [int.from_bytes(key[len(space) :], "big") for key in keys]
    return found[:limit], found[limit - 1] if len(found) > limit else None


def _each(
    store: StateReader, kind: type[_Leaf], space: bytes, number: int
) -> Iterator[tuple[bytes, _Leaf]]:
    """Yield the leaves of a round or an event with their accounts, in the order of the ids."""
    start = INDEX_SPACE + number_key(space, number)
    for key, _ in store.scan(start, start + b"\xff" * 21):
        account = key[len(start) :]
        data = store.get(own_key(space, number, account))
        if data is None:
            raise InvariantViolation(f"the index knows a leaf that is gone: {key.hex()}")
        yield account, decode_leaf(kind, data)


def _round(store: StateReader, number: int) -> Round:
    data = store.get(number_key(ROUND_SPACE, number))
    if data is None:
        raise ApiError(
            404, "unknown_round", "no such round is open, or it is settled", actual=number
        )
    return decode_leaf(Round, data)


def _event(store: StateReader, number: int) -> ResponseEvent:
    data = store.get(number_key(EVENT_SPACE, number))
    if data is None:
        raise ApiError(
            404, "unknown_event", "no such event was called, or it is settled", actual=number
        )
    return decode_leaf(ResponseEvent, data)


def _terms_json(context: ApiContext, data: bytes) -> JsonObject:
    terms = decode_leaf(ResponseTerms, data)
    values = [(field.name, getattr(terms, field.name)) for field in fields(ResponseTerms)]
    return {"account_name": None, **named(values, context.names)}


def _round_json(number: int, found: Round) -> JsonObject:
    settled = found.stage > 0
    return {
        "number": number,
        "stage": STAGE_NAMES[found.stage],
        "orders_until_ms": found.orders_until_ms,
        "responses_until_ms": found.responses_until_ms,
        "members": found.members,
        "response_price_half_micro_per_kwh": found.response_price_half_micro if settled else None,
    }


def _event_json(context: ApiContext, number: int, found: ResponseEvent) -> JsonObject:
    return {
        "number": number,
        "caller": encode_address(found.caller),
        "caller_name": context.names.find(found.caller),
        "direction": DIRECTION_NAMES[found.direction],
        "price_micro_per_kwh": found.price_micro_per_kwh,
        "penalty_price_micro_per_kwh": found.penalty_price_micro_per_kwh,
        "enrol_until_ms": found.enrol_until_ms,
        "start_ms": found.start_ms,
        "end_ms": found.end_ms,
        "readings_until_ms": found.readings_until_ms,
        "profile_left_milli_wh": list(found.profile),
        "reserve_micro": found.reserve_micro,
        "members": found.members,
    }

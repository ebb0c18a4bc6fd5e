"""The module of demand response: rounds of two settlements, and events with baseline and reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.auction.orders import BUY, SELL
from market.meters.proving import Reading
from market.meters.readings import validate_unmetered
from market.response.contract_interface import response_interfaces
from market.response.events import DIRECTION_NAMES, reserve_micro
from market.response.flexibility import (
    enrol,
    record_event,
    record_past,
    save_event,
    settle_event,
)
from market.response.governing import changed_terms
from market.response.metering import is_read, validate_intervals, validate_retention
from market.response.records import (
    ENROLMENT_SPACE,
    EVENT_DUE,
    MARK,
    MEMBER_SPACE,
    ORDERS,
    ROUND_DUE,
    TERMS_KEY,
    ResponseEvent,
    Round,
    encode_leaf,
    load_terms,
    load_terms_of_event,
    load_terms_of_round,
    mark_enrolled,
    save_changed_terms,
)
from market.response.rounds import give_up, place_order, retract_order, save_round, settle_round
from market.response.section import read_section
from vm.arguments import ACCOUNT, AMOUNT, UINT63, Argument, ArgumentKind
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.overlay import INDEX_SPACE
from vm.primitives.codec import Encodable, Value, encode_trusted, unpack_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import load_account, save_account
from vm.system.members import NAME_SPACE

CALLER_ROLES: Final = ("operator", "dso", "aggregator")
BUYER_ROLES: Final = ("consumer", "prosumer", "aggregator", "supplier")
SELLER_ROLES: Final = ("prosumer", "supplier", "aggregator")
MAX_INTERVALS: Final = 12
"""Intervals of a profile."""
MAX_ENERGY_MILLI_WH: Final = MAX_AMOUNT // MAX_INTERVALS
"""Energy of an interval: a profile's sum stays within 63 bits."""
MAX_PAST: Final = 24
MAX_PENALTY_TIMES: Final = 10
"""How many times its reward an event's penalty is at most."""
MAX_AHEAD_MS: Final = 400 * 24 * 3_600_000


def _is_energies(value: Value, most: int = MAX_INTERVALS) -> bool:
    return (
        type(value) is tuple
        and 1 <= len(value) <= most
        and all(type(each) is int and 0 <= each <= MAX_ENERGY_MILLI_WH for each in value)
    )


ENERGIES = ArgumentKind(f"1 to {MAX_INTERVALS} energies in milliwatt-hours", _is_energies)
PAST = ArgumentKind(
    "past energies of each interval",
    lambda value: (
        type(value) is tuple
        and 1 <= len(value) <= MAX_INTERVALS
        and all(_is_energies(each, MAX_PAST) for each in value)
    ),
)
DIRECTION = ArgumentKind(" or ".join(DIRECTION_NAMES), lambda value: value in DIRECTION_NAMES)


class ResponseModule(Module):
    """Demand response; nothing where genesis has no section for it."""

    name = "response"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms; members are there already. Raises InvalidGenesis."""
        if section:
            terms = read_section(section, lambda name: ctx.get(NAME_SPACE + name.encode()))
            validate_retention(ctx, terms)
            ctx.put(TERMS_KEY, encode_leaf(terms))

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `response`."""
        return response_interfaces()

    @method(
        Argument("orders_until_ms", UINT63),
        Argument("responses_until_ms", UINT63),
        roles=("operator", "dso"),
    )
    def open(self, ctx: CallContext, orders_until_ms: int, responses_until_ms: int) -> Encodable:
        """Open a round of two settlements; returns its number."""
        version = load_terms(ctx).version
        _validate_times(ctx, orders_until_ms, responses_until_ms)
        number = ctx.next_number("response")
        save_round(ctx, number, Round(orders_until_ms, responses_until_ms, ORDERS, 0, 0, version))
        for due_ms in (orders_until_ms, responses_until_ms):
            ctx.schedule(due_ms, encode_trusted((ROUND_DUE, number)))
        ctx.emit("open", number, orders_until_ms, responses_until_ms)
        return number

    @method(
        Argument("round", UINT63),
        Argument("energy_milli_wh", AMOUNT),
        Argument("max_price_micro_per_kwh", UINT63),
        roles=BUYER_ROLES,
    )
    def want(
        self, ctx: CallContext, number: int, energy_milli_wh: int, max_price_micro_per_kwh: int
    ) -> Encodable:
        """Bid for energy in a round; money at the upstream price is set aside."""
        terms = load_terms_of_round(ctx, number)
        place_order(ctx, terms, number, BUY, energy_milli_wh, max_price_micro_per_kwh)
        return None

    @method(
        Argument("round", UINT63),
        Argument("energy_milli_wh", AMOUNT),
        Argument("min_price_micro_per_kwh", UINT63),
        roles=SELLER_ROLES,
    )
    def supply(
        self, ctx: CallContext, number: int, energy_milli_wh: int, min_price_micro_per_kwh: int
    ) -> Encodable:
        """Offer energy in a round; it is set aside."""
        terms = load_terms_of_round(ctx, number)
        place_order(ctx, terms, number, SELL, energy_milli_wh, min_price_micro_per_kwh)
        return None

    @method(Argument("round", UINT63))
    def retract(self, ctx: CallContext, number: int) -> Encodable:
        """Take the caller's order back before the first settlement."""
        retract_order(ctx, number)
        return None

    @method(
        Argument("round", UINT63),
        Argument("energy_milli_wh", UINT63),
        Argument("min_price_micro_per_kwh", UINT63),
    )
    def reduce(
        self, ctx: CallContext, number: int, energy_milli_wh: int, min_price_micro_per_kwh: int
    ) -> Encodable:
        """Give up energy bought in the first settlement, in place of an earlier answer; 0: none."""
        give_up(ctx, number, energy_milli_wh, min_price_micro_per_kwh)
        return None

    @method(
        Argument("direction", DIRECTION),
        Argument("profile_milli_wh", ENERGIES),
        Argument("price_micro_per_kwh", UINT63),
        Argument("penalty_price_micro_per_kwh", UINT63),
        Argument("enrol_until_ms", UINT63),
        Argument("start_ms", UINT63),
        Argument("end_ms", UINT63),
        Argument("readings_until_ms", UINT63),
        roles=CALLER_ROLES,
    )
    def call(
        self,
        ctx: CallContext,
        direction: str,
        profile_milli_wh: tuple[int, ...],
        price_micro_per_kwh: int,
        penalty_price_micro_per_kwh: int,
        enrol_until_ms: int,
        start_ms: int,
        end_ms: int,
        readings_until_ms: int,
    ) -> Encodable:
        """Call for a profile; the rewards are set aside. Returns the event's number."""
        version = load_terms(ctx).version
        times = (enrol_until_ms, start_ms, end_ms, readings_until_ms)
        _validate_times(ctx, *times)
        if penalty_price_micro_per_kwh > MAX_PENALTY_TIMES * price_micro_per_kwh:
            raise CallError(
                "penalty_too_high",
                "who may take penalties offers a reward",
                expected=f"at most {MAX_PENALTY_TIMES} times {price_micro_per_kwh}",
                actual=penalty_price_micro_per_kwh,
            )
        validate_intervals(ctx, len(profile_milli_wh), start_ms, end_ms, readings_until_ms)
        reserve = reserve_micro(profile_milli_wh, price_micro_per_kwh)
        leaf = load_account(ctx, ctx.caller)
        leaf.reserve_money(reserve)
        save_account(ctx, ctx.caller, leaf)
        number = ctx.next_number("response_event")
        event = ResponseEvent(
            ctx.caller,
            DIRECTION_NAMES.index(direction),
            price_micro_per_kwh,
            penalty_price_micro_per_kwh,
            *times,
            profile=profile_milli_wh,
            reserve_micro=reserve,
            members=0,
            version=version,
        )
        save_event(ctx, number, event)
        ctx.schedule(readings_until_ms, encode_trusted((EVENT_DUE, number)))
        ctx.emit("call", number, ctx.caller, direction, sum(profile_milli_wh), price_micro_per_kwh)
        return number

    @method(Argument("event", UINT63), Argument("promised_milli_wh", ENERGIES), roles=BUYER_ROLES)
    def enrol(self, ctx: CallContext, number: int, promised_milli_wh: tuple[int, ...]) -> Encodable:
        """Promise some of an event's profile against a deposit; returns the deposit."""
        return enrol(ctx, number, promised_milli_wh)

    @method(
        Argument("event", UINT63),
        Argument("member", ACCOUNT),
        Argument("past_milli_wh", PAST),
        roles=("meter",),
    )
    def record_past(
        self, ctx: CallContext, number: int, member: bytes, past: tuple[tuple[int, ...], ...]
    ) -> Encodable:
        """Record a member's readings of comparable past intervals, before the event.

        Where genesis has meters, theirs are the readings, and nobody records any.
        """
        validate_unmetered(ctx)
        record_past(ctx, load_terms_of_event(ctx, number), number, member, past)
        return None

    @method(
        Argument("event", UINT63),
        Argument("member", ACCOUNT),
        Argument("measured_milli_wh", ENERGIES),
        roles=("meter",),
    )
    def record(
        self, ctx: CallContext, number: int, member: bytes, measured_milli_wh: tuple[int, ...]
    ) -> Encodable:
        """Record a member's readings of the event's intervals, after it.

        Where genesis has meters, theirs are the readings, and nobody records any.
        """
        validate_unmetered(ctx)
        record_event(ctx, number, member, measured_milli_wh)
        return None

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set the terms of rounds and events that begin from now on."""
        if subject:
            raise CallError("unknown_subject", "demand response has no parts", actual=subject)
        known = load_terms(ctx)
        save_changed_terms(ctx, known, changed_terms(ctx, known, values))

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Make a settlement that is due."""
        match unpack_trusted(payload):
            case (0, int(number)):
                settle_round(ctx, load_terms_of_round(ctx, number), number)
            case (1, int(number)):
                self._event_due(ctx, number, Reading())
            case (1, int(number), int(step), bytes(resume), int(unproved)):
                self._event_due(ctx, number, Reading(step, resume, unproved))
            case _:
                raise InvariantViolation(f"response scheduled something else: {payload.hex()[:80]}")

    def _event_due(self, ctx: CallContext, number: int, reading: Reading) -> None:
        terms = load_terms_of_event(ctx, number)
        if is_read(ctx, number, terms, reading):
            settle_event(ctx, terms, number)

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a member again from its leaf."""
        if key[:2] in (MEMBER_SPACE, ENROLMENT_SPACE):
            ctx.put(INDEX_SPACE + key, MARK)
        if key[:2] == ENROLMENT_SPACE:
            mark_enrolled(ctx, key[10:], int.from_bytes(key[2:10], "big"))


def _validate_times(ctx: CallContext, *times_ms: int) -> None:
    ordered = [ctx.time_ms, *times_ms]
    if ordered != sorted(dict.fromkeys(ordered)) or times_ms[-1] > ctx.time_ms + MAX_AHEAD_MS:
        raise CallError(
            "wrong_times",
            "the times follow one another, the first from now on, the last within 400 days",
            actual=", ".join(map(str, ordered)),
        )

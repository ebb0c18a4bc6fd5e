"""What the API says of charging quotas: the terms, rounds, and the stations of one."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from market.auction.orders import SIDE_NAMES
from market.quota.records import (
    NO_ORDER,
    STAGE_NAMES,
    STATION_INDEX,
    TERMS_KEY,
    QuotaTerms,
    Round,
    Station,
    decode_station,
    decode_terms,
    read_round,
    station_key,
)
from market.quota.rules import PRICING_NAMES
from node.api.answers import Answer, ApiError, JsonObject
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.privacy import Viewer
from node.api.render import named
from vm.context import read_last_number
from vm.primitives.address import encode_address
from vm.primitives.errors import InvariantViolation

MAX_SEARCHED: Final = 2_000
_COUNTER: Final = "quota"


async def list_quota_rounds(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /quotas: the newest first."""
    store, limit = context.facade.store, arguments.number("limit")
    data = store.get(TERMS_KEY)
    last, before = read_last_number(store, _COUNTER), arguments.optional_number("before")
    top = last if before is None else min(last, before - 1)
    lowest = max(0, top - MAX_SEARCHED)
    rounds: list[JsonObject] = []
    following: int | None = lowest + 1 if lowest else None
    for number in range(top, lowest, -1):
        if len(rounds) == limit:
            following = number + 1
            break
        found = read_round(store, number)
        if found is not None:
            rounds.append(_round_json(context, number, found))
    terms = None if data is None else _terms_json(decode_terms(data))
    return Answer({"terms": terms, "rounds": rounds, "next": following})


async def show_quota_round(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /quotas/{number}: with its stations, in the order of their accounts' ids."""
    store, number = context.facade.store, arguments.number("number")
    found = read_round(store, number)
    if found is None:
        raise ApiError(404, "unknown_round", "there is no such round of quotas", actual=number)
    start = STATION_INDEX + number.to_bytes(8, "big")
    stations: list[JsonObject] = []
    for key, _ in store.scan(start, start + b"\xff" * 21):
        account = key[len(start) :]
        data = store.get(station_key(number, account))
        if data is None:
            raise InvariantViolation(f"the index knows a station that is gone: {key.hex()}")
        stations.append(_station_json(context, account, decode_station(data), arguments.viewer))
    return Answer({**_round_json(context, number, found), "charging": stations})


def _terms_json(terms: QuotaTerms) -> JsonObject:
    found: JsonObject = {field.name: getattr(terms, field.name) for field in fields(QuotaTerms)}
    return {**found, "pricing": PRICING_NAMES[terms.pricing]}


def _round_json(context: ApiContext, number: int, found: Round) -> JsonObject:
    shown = named([(each.name, getattr(found, each.name)) for each in fields(Round)], context.names)
    return {"dso_name": None, **shown, "number": number, "stage": STAGE_NAMES[found.stage]}


def _station_json(
    context: ApiContext, account: bytes, station: Station, viewer: Viewer
) -> JsonObject:
    ordered = station.side != NO_ORDER
    sees = viewer.may_see(account)
    return {
        "station": encode_address(account),
        "station_name": context.names.find(account),
        "demand_w": station.demand_w,
        "deposit_micro": station.deposit_micro,
        "quota_w": station.quota_w,
        "side": SIDE_NAMES[station.side] if ordered else None,
        "order_w": station.order_w if ordered else None,
        "order_price_micro_per_kwh": station.order_price_micro_per_kwh if ordered else None,
        "measured_milli_wh": station.measured_milli_wh if sees else None,
        "assumed_milli_wh": station.assumed_milli_wh if sees else None,
    }

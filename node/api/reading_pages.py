"""What the API says of meters: sums for everybody, readings for those whom they concern."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from market.meters.records import (
    CHUNK_INTERVALS,
    QUALITY_NAMES,
    Chunk,
    Connection,
    MetersConfig,
    Sums,
    chunk_key,
    decode_chunk,
    read_config,
    read_connection,
    read_progress,
    read_sums,
)
from node.api.answers import Answer, ApiError, JsonObject
from node.api.chain_pages import last_finality, state_proof
from node.api.context import ApiContext
from node.api.parameters import Arguments
from node.api.privacy import Viewer, personal_data, public_sum
from node.api.render import named, to_base64
from vm.overlay import StateReader
from vm.primitives.address import encode_address

MAX_PASSED: Final = 6_000
"""Intervals that one request looks for."""


async def list_sums(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /readings: closed intervals, the newest first."""
    store, limit = context.facade.store, arguments.number("limit")
    config, before = read_config(store), arguments.optional_number("before")
    if config is None:
        return Answer({"terms": None, "intervals": [], "next": None})
    top = read_progress(store).interval
    interval = top if before is None else min(top, before)
    oldest = max(0, top - min(MAX_PASSED, config.retention_days * config.intervals_per_day))
    found: list[JsonObject] = []
    while interval > oldest and len(found) < limit:
        interval -= 1
        sums = read_sums(store, config, interval)
        if sums is not None and sums.connections:
            found.append(_sums_json(config, sums, arguments.viewer))
    terms: JsonObject = {each.name: getattr(config, each.name) for each in fields(MetersConfig)}
    following = interval if interval > oldest else None
    return Answer({"terms": terms, "intervals": found, "next": following})


async def list_readings(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /readings/{who}: a member's readings, for whom they concern."""
    store = context.facade.store
    account, config = _of_member(context, arguments)
    last = config.interval_of(context.reader.header(store.height).time_ms)
    count = arguments.number("limit")
    first = arguments.optional_number("first")
    if first is None:
        first = max(0, last - count + 1)
    readings: list[JsonObject] = []
    interval, end = first, min(first + count, last + 1)
    while interval < end:
        number = interval // CHUNK_INTERVALS
        chunk = _read_chunk(store, config, account, number)
        until = min(end, (number + 1) * CHUNK_INTERVALS)
        readings += [_reading_json(config, chunk, each) for each in range(interval, until)]
        interval = until
    connection = read_connection(store, account)
    return Answer(
        {
            "address": encode_address(account),
            "connection": None if connection is None else _connection_json(context, connection),
            "readings": readings,
            "next": end if end <= last else None,
        }
    )


async def prove_reading(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /proofs/reading/{who}/{interval}: the leaf that holds a member's reading."""
    store, interval = context.facade.store, arguments.number("interval")
    account, config = _of_member(context, arguments)
    number = interval // CHUNK_INTERVALS
    chunk = _read_chunk(store, config, account, number)
    shown = _reading_json(config, chunk, interval)
    if shown["quality"] == QUALITY_NAMES[0]:
        raise ApiError(
            404,
            "unknown_reading",
            "the chain holds no energy of this interval",
            actual=interval,
            hint="It is not there yet, or no longer.",
        )
    proof = state_proof(context, last_finality(context), chunk_key(config, account, number))
    header = context.reader.header(store.height)
    return Answer(
        {
            "proof": to_base64(proof),
            "height": header.height,
            "block_id": header.block_id().hex(),
            "state_root": header.state_root.hex(),
            "address": encode_address(account),
            "reading": shown,
        }
    )


def _of_member(context: ApiContext, arguments: Arguments) -> tuple[bytes, MetersConfig]:
    """Return whose readings are asked for, and the terms; raises ApiError."""
    account = context.resolve(arguments.text("who"))
    if not arguments.viewer.may_see(account):
        raise personal_data()
    config = read_config(context.facade.store)
    if config is None:
        raise ApiError(404, "no_meters", "this network has no meters")
    return account, config


def _read_chunk(store: StateReader, config: MetersConfig, account: bytes, number: int) -> Chunk:
    data = store.get(chunk_key(config, account, number))
    chunk = None if data is None else decode_chunk(data)
    return Chunk(number) if chunk is None or chunk.number != number else chunk


def _reading_json(config: MetersConfig, chunk: Chunk, interval: int) -> JsonObject:
    place = interval % CHUNK_INTERVALS
    return {
        "interval": interval,
        "start_ms": config.start_ms(interval),
        "injected_milli_wh": chunk.injected[place],
        "withdrawn_milli_wh": chunk.withdrawn[place],
        "quality": QUALITY_NAMES[chunk.quality(place)],
    }


def _connection_json(context: ApiContext, connection: Connection) -> JsonObject:
    """Return a connection with its meter's latest registers."""
    values = [(each.name, getattr(connection, each.name)) for each in fields(Connection)]
    return {"meter_name": None, **named(values, context.names)}


def _sums_json(config: MetersConfig, sums: Sums, viewer: Viewer) -> JsonObject:
    injected, withdrawn = sums.injected_milli_wh, sums.withdrawn_milli_wh
    everything = viewer.sees_all
    return {
        "interval": sums.interval,
        "start_ms": config.start_ms(sums.interval),
        "connections": sums.connections,
        "estimated": sums.estimated,
        "injected_milli_wh": injected if everything else public_sum(injected, sums.injecting),
        "withdrawn_milli_wh": withdrawn if everything else public_sum(withdrawn, sums.withdrawing),
    }

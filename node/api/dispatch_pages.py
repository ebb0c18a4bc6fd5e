"""What the API says of dispatch: areas, rounds with problems and results, proofs of figures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from market.dispatch_codec import decode_problem
from market.dispatch_levels import read_level
from market.dispatch_problem import DispatchProblem, Storage
from market.dispatch_records import (
    AREAS_KEY,
    FALLBACK_NAMES,
    KIND_NAMES,
    MONEY_SPACE,
    STATUS_NAMES,
    UNIT_INDEX,
    Area,
    ResultRecord,
    Round,
    UnitRecord,
    area_key,
    decode_area,
    decode_money,
    decode_unit,
    round_key,
    unit_key,
)
from market.dispatch_results import (
    ITEM_NAMES,
    prove_item,
    read_problem_bytes,
    read_results,
    read_round,
)
from node import proving
from node.api.answers import Answer, ApiError, JsonObject
from node.api.context import ApiContext
from node.api.parameters import Arguments, ParameterKind
from node.api.render import to_base64
from vm.context import read_last_number
from vm.overlay import StateReader
from vm.primitives.address import encode_address
from vm.primitives.codec import unpack_trusted
from vm.primitives.errors import InvariantViolation

MAX_SEARCHED: Final = 2_000


def _one_of(names: tuple[str, ...]) -> ParameterKind:
    return ParameterKind(
        " or ".join(names),
        lambda text: text if text in names else None,
        {"type": "string", "enum": list(names)},
    )


STATUS: Final = _one_of(STATUS_NAMES)
KIND: Final = _one_of(ITEM_NAMES)


async def list_areas(context: ApiContext, _: Arguments) -> Answer:
    """Answer GET /dispatch/areas."""
    store = context.facade.store
    names = unpack_trusted(store.get(AREAS_KEY) or b"\x90")
    areas: list[JsonObject] = []
    for name in names if isinstance(names, tuple) else ():
        data = store.get(area_key(str(name)))
        if data is None:
            raise InvariantViolation(f"the state lost area {name!r}")
        areas.append(_area_json(context, decode_area(data)))
    return Answer({"areas": areas})


async def list_rounds(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /dispatch/rounds: the newest first."""
    store = context.facade.store
    area, status = arguments.text("area"), arguments.text("status")
    before = arguments.optional_number("before")
    last = read_last_number(store, "dispatch_round")
    top = last if before is None else min(last, before - 1)
    rounds: list[JsonObject] = []
    lowest = max(0, top - MAX_SEARCHED)
    for number in range(top, lowest, -1):
        if len(rounds) == arguments.number("limit"):
            return Answer({"rounds": rounds, "next": number + 1})
        found = read_round(store, number)
        if (
            found is not None
            and area in ("", found.area)
            and status in ("", STATUS_NAMES[found.status])
        ):
            rounds.append(_round_json(context, found))
    return Answer({"rounds": rounds, "next": lowest + 1 if lowest else None})


async def show_round(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /dispatch/rounds/{number}."""
    found = _find(context, arguments.number("number"))
    store = context.facade.store
    data = read_problem_bytes(store, found)
    problem = decode_problem(data)
    return Answer(
        {
            "round": _round_json(context, found),
            "problem": _problem_json(problem),
            "problem_bytes": to_base64(data),
            "results": [_result_json(problem, each) for each in read_results(store, found)],
        }
    )


async def prove_figure(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /dispatch/rounds/{number}/proof."""
    found = _find(context, arguments.number("number"))
    store = context.facade.store
    problem = decode_problem(read_problem_bytes(store, found))
    results = read_results(store, found)
    kind, name = ITEM_NAMES.index(arguments.text("kind")), arguments.text("name")
    interval = arguments.number("interval")
    proved = prove_item(problem, results, kind, interval, name)
    if proved is None:
        raise ApiError(
            404,
            "unknown_figure",
            "the round has no such figure",
            actual=f"{ITEM_NAMES[kind]} of {name!r} in interval {interval}",
        )
    finality = proving.read_finality(store, store.height)
    if finality is None:
        raise ApiError(409, "no_certificate", "no block with a certificate is final yet")
    item, path = proved
    leaf = proving.prove_key(store, finality, round_key(found.number))
    figure = unpack_trusted(item)
    value = figure[5] if isinstance(figure, tuple) else None
    return Answer(
        {
            "proof": to_base64(leaf.encode()),
            "height": store.height,
            "root": found.root.hex(),
            "kind": ITEM_NAMES[kind],
            "interval": interval,
            "name": name,
            "figure": str(_wide(value) if isinstance(value, bytes) else value),
            "item": item.hex(),
            "index": path.index,
            "count": path.count,
            "siblings": [sibling.hex() for sibling in path.siblings],
        }
    )


def _find(context: ApiContext, number: int) -> Round:
    found = read_round(context.facade.store, number)
    if found is None:
        raise ApiError(404, "unknown_round", "there is no such dispatch round", actual=number)
    return found


def _wide(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _round_json(context: ApiContext, found: Round) -> JsonObject:
    proved = bool(found.submitter)
    return {
        "number": found.number,
        "area": found.area,
        "status": STATUS_NAMES[found.status],
        "first_interval": found.first_interval,
        "intervals": found.intervals,
        "opened_ms": found.opened_ms,
        "deadline_ms": found.deadline_ms,
        "problem_hash": found.problem_hash.hex(),
        "refused": found.refused,
        "submitter": encode_address(found.submitter) if proved else None,
        "submitter_name": context.names.find(found.submitter) if proved else None,
        "root": found.root.hex() or None,
        "gap_twice": str(_wide(found.gap_twice)) if proved else None,
        "turnover_twice": str(_wide(found.turnover_twice)) if proved else None,
        "reward_micro": found.reward_micro,
        "price_source": found.price_source or None,
    }


def _area_json(context: ApiContext, area: Area) -> JsonObject:
    money = decode_money(context.facade.store.get(MONEY_SPACE + area.prefix))
    return {
        "name": area.name,
        "market": area.market,
        "interval_minutes": area.interval_minutes,
        "intervals": area.intervals,
        "opens_minutes": area.opens_minutes,
        "deadline_ms": area.deadline_ms,
        "fallback": FALLBACK_NAMES[area.fallback],
        "micro_per_dollar": area.micro_per_dollar,
        "reward_micro": area.reward_micro,
        "bond_micro": area.bond_micro,
        "settles": bool(area.settles),
        "keep_rounds": area.keep_rounds,
        "max_price_micro_dollar_per_kwh": area.max_price_micro_dollar_per_kwh,
        "max_power_w": area.max_power_w,
        "max_units_per_member": area.max_units_per_member,
        "pot_micro": money.pot_micro,
        "congestion_micro": money.congestion_micro,
        "last_proved": money.last_proved or None,
        "units": list(_units(context, area)),
    }


def _units(context: ApiContext, area: Area) -> Iterator[JsonObject]:
    store = context.facade.store
    prefix = UNIT_INDEX + area.prefix
    for key, _ in islice(store.scan(prefix, prefix + b"\xff" * 5), MAX_SEARCHED):
        number = int.from_bytes(key[len(prefix) :], "big")
        data = store.get(unit_key(area.prefix, number))
        if data is None:
            raise InvariantViolation(f"the index knows a unit that is gone: {key.hex()}")
        unit = decode_unit(data)
        yield {
            "name": unit.name,
            "owner": encode_address(unit.owner),
            "owner_name": context.names.find(unit.owner),
            "bus": unit.bus,
            "kind": KIND_NAMES[unit.kind],
            **_level(store, area, number, unit),
        }


def _level(store: StateReader, area: Area, number: int, unit: UnitRecord) -> JsonObject:
    """Return with what level a storage's next round begins, and the proved round that left it."""
    level = read_level(store, area.prefix, number)
    if level is not None:
        return {"level_milli_wh": level.milli_wh, "level_round": level.round}
    if not unit.storage:
        return {"level_milli_wh": None, "level_round": None}
    registered = Storage(unit.name, unit.bus, *unit.storage)
    return {"level_milli_wh": registered.energy_start_milli_wh, "level_round": None}


def _problem_json(problem: DispatchProblem) -> JsonObject:
    network = problem.network
    return {
        "slack": network.slack,
        "interval_minutes": problem.interval_minutes,
        "buses": [bus.name for bus in network.buses],
        "lines": [
            {
                "name": line.name,
                "from": line.from_bus,
                "to": line.to_bus,
                "rating_w": line.rating_w,
                "reactance_nano_ohm": line.reactance_nano_ohm,
                "owner": line.owner,
            }
            for line in network.lines
        ],
        "units": [
            {
                "name": unit.name,
                "bus": unit.bus,
                "kind": unit.kind,
                "bids": [
                    {"a": str(bid.a), "b": str(bid.b), "lo_w": bid.lo_w, "hi_w": bid.hi_w}
                    for bid in unit.bids
                ],
            }
            for unit in problem.units
        ],
        "storages": [storage.name for storage in problem.storages],
    }


def _result_json(problem: DispatchProblem, result: ResultRecord) -> JsonObject:
    names = [unit.name for unit in problem.units] + [each.name for each in problem.storages]
    network = problem.network
    return {
        "lambda": {
            bus.name: str(_wide(price))
            for bus, price in zip(network.buses, result.prices, strict=True)
        },
        "p_w": dict(zip(names, map(str, result.powers_w), strict=False)),
        "flow_w": {
            f"{line.from_bus}-{line.to_bus}": str(flow)
            for line, flow in zip(network.lines, result.flows_w, strict=False)
        },
    }

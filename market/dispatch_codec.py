"""Canonical bytes and hashes of dispatch problems and of the certificates that solve them.

    network      [slack, [bus...], [[name, from, to, rating or nil, reactance, owner]...]]
    problem      [85, 1, network, minutes, intervals, [unit...], [storage...]]
    unit         [name, bus, kind (0 generator, 1 load), [[a, b, lo_w, hi_w]...]]
    storage      [name, bus, charge_max_w, discharge_max_w, charge_cost, discharge_cost,
                  stored_ppm, drawn_ppm, min, max, start, end_min]
    certificate  [86, 1, [interval...]]
    interval     [[price...], [power_w...], [flow_w...], [cycle price...],
                  [[charge_w, discharge_w, store_price]...]]

Costs and prices (`a`, `b`, prices, multipliers) pass 64 bits: they are byte strings of minimal
two's complement; powers and energies are integers.
"""

from __future__ import annotations

from typing import Final

from market.dispatch_certificate import Certificate, IntervalResult, StorageResult
from market.dispatch_problem import (
    GENERATOR,
    LOAD,
    MAX_POWER_W,
    MAX_PRICE,
    Bid,
    DispatchProblem,
    Storage,
    Unit,
)
from market.network import Bus, Line, Network
from vm.primitives.codec import (
    Value,
    decode,
    decode_integer,
    encode_integer,
    encode_trusted,
)
from vm.primitives.errors import DecodeError
from vm.primitives.hashing import tag, tagged_hash

PROBLEM_TYPE: Final = 85
CERTIFICATE_TYPE: Final = 86
VERSION: Final = 1
TAG_PROBLEM: Final = tag("dispatch/problem")
TAG_DISPATCH: Final = tag("dispatch/result")

MAX_BYTES: Final = 64_000_000
MAX_ITEMS: Final = 16_000_000
_KINDS: Final = (GENERATOR, LOAD)


def encode_problem(problem: DispatchProblem) -> bytes:
    """Return the canonical bytes of a problem that was checked."""
    network = problem.network
    return encode_trusted(
        (
            PROBLEM_TYPE,
            VERSION,
            (
                network.slack,
                [bus.name for bus in network.buses],
                [_line_fields(line) for line in network.lines],
            ),
            problem.interval_minutes,
            problem.intervals,
            [
                (
                    unit.name,
                    unit.bus,
                    _KINDS.index(unit.kind),
                    [
                        (encode_integer(bid.a), encode_integer(bid.b), bid.lo_w, bid.hi_w)
                        for bid in unit.bids
                    ],
                )
                for unit in problem.units
            ],
            [_storage_fields(storage) for storage in problem.storages],
        )
    )


def hash_problem(problem: DispatchProblem) -> bytes:
    """Return the hash by which a submission names the problem that it solves: 32 bytes."""
    return tagged_hash(TAG_PROBLEM, encode_problem(problem))


def decode_problem(data: bytes, *, max_bytes: int = MAX_BYTES) -> DispatchProblem:
    """Return the problem in `data`; raises DecodeError on its form only (see `check_problem`)."""
    value = decode(data, max_bytes=max_bytes, max_items=MAX_ITEMS)
    kind, version, network, minutes, intervals, units, storages = _fields(value, 7, "a problem")
    if (_integer(kind), _integer(version)) != (PROBLEM_TYPE, VERSION):
        raise DecodeError("the bytes are no dispatch problem")
    return DispatchProblem(
        network=_read_network(network),
        interval_minutes=_integer(minutes),
        intervals=_integer(intervals),
        units=tuple(_read_unit(unit) for unit in _array(units)),
        storages=tuple(_read_storage(storage) for storage in _array(storages)),
    )


def encode_certificate(certificate: Certificate) -> bytes:
    """Return the canonical bytes of a certificate; prices may have any size."""
    return encode_trusted(
        (
            CERTIFICATE_TYPE,
            VERSION,
            [
                (
                    [encode_integer(price) for price in result.prices],
                    result.powers_w,
                    result.flows_w,
                    [encode_integer(price) for price in result.cycle_prices],
                    [
                        (one.charge_w, one.discharge_w, encode_integer(one.store_price))
                        for one in result.storages
                    ],
                )
                for result in certificate.intervals
            ],
        )
    )


def hash_certificate(certificate: Certificate) -> bytes:
    """Return the hash of a certificate: 32 bytes."""
    return tagged_hash(TAG_DISPATCH, encode_certificate(certificate))


def decode_certificate(data: bytes, *, max_bytes: int = MAX_BYTES) -> Certificate:
    """Return the certificate in `data`; raises DecodeError on form and range, not on its proof."""
    value = decode(data, max_bytes=max_bytes, max_items=MAX_ITEMS)
    kind, version, intervals = _fields(value, 3, "a certificate")
    if (_integer(kind), _integer(version)) != (CERTIFICATE_TYPE, VERSION):
        raise DecodeError("the bytes are no dispatch certificate")
    return Certificate(tuple(_read_interval(entry) for entry in _array(intervals)))


def _line_fields(line: Line) -> tuple[Value, ...]:
    return (
        line.name,
        line.from_bus,
        line.to_bus,
        line.rating_w,
        line.reactance_nano_ohm,
        line.owner,
    )


def _storage_fields(storage: Storage) -> tuple[Value, ...]:
    return (
        storage.name,
        storage.bus,
        storage.charge_max_w,
        storage.discharge_max_w,
        encode_integer(storage.charge_cost),
        encode_integer(storage.discharge_cost),
        storage.stored_ppm,
        storage.drawn_ppm,
        storage.energy_min_milli_wh,
        storage.energy_max_milli_wh,
        storage.energy_start_milli_wh,
        storage.energy_end_min_milli_wh,
    )


def _read_network(value: Value) -> Network:
    slack, buses, lines = _fields(value, 3, "a network")
    found = []
    for entry in _array(lines):
        name, start, end, rating, reactance, owner = _fields(entry, 6, "a line")
        rating_w = None if rating is None else _integer(rating)
        line = Line(
            _text(name), _text(start), _text(end), rating_w, _integer(reactance), _text(owner)
        )
        found.append(line)
    return Network(_text(slack), tuple(Bus(_text(name)) for name in _array(buses)), tuple(found))


def _read_unit(value: Value) -> Unit:
    name, bus, kind, bids = _fields(value, 4, "a unit")
    number = _integer(kind)
    if number not in (0, 1):
        raise DecodeError("a unit is a generator (0) or a load (1)", actual=number)
    read = []
    for entry in _array(bids):
        a, b, lo_w, hi_w = _fields(entry, 4, "a bid")
        read.append(Bid(_wide(a), _wide(b), _integer(lo_w), _integer(hi_w)))
    return Unit(_text(name), _text(bus), _KINDS[number], tuple(read))


def _read_storage(value: Value) -> Storage:
    name, bus, charge, discharge, charge_cost, discharge_cost, *rest = _fields(
        value, 12, "a storage"
    )
    return Storage(
        _text(name),
        _text(bus),
        _integer(charge),
        _integer(discharge),
        _wide(charge_cost),
        _wide(discharge_cost),
        *(_integer(number) for number in rest),
    )


def _read_interval(value: Value) -> IntervalResult:
    prices, powers, flows, cycle_prices, storages = _fields(value, 5, "an interval's result")
    read = []
    for entry in _array(storages):
        charge, discharge, store_price = _fields(entry, 3, "a storage's result")
        read.append(StorageResult(_power(charge), _power(discharge), _price(store_price)))
    return IntervalResult(
        prices=tuple([_price(price) for price in _array(prices)]),
        powers_w=tuple([_power(power) for power in _array(powers)]),
        flows_w=tuple([_power(flow) for flow in _array(flows)]),
        cycle_prices=tuple([_price(price) for price in _array(cycle_prices)]),
        storages=tuple(read),
    )


def _array(value: Value) -> tuple[Value, ...]:
    if type(value) is not tuple:
        raise DecodeError("this is no array", actual=type(value).__name__)
    return value


def _fields(value: Value, count: int, what: str) -> tuple[Value, ...]:
    fields = _array(value)
    if len(fields) != count:
        raise DecodeError(
            f"{what} has another number of fields", expected=count, actual=len(fields)
        )
    return fields


def _text(value: Value) -> str:
    if type(value) is not str:
        raise DecodeError("a name is text", actual=type(value).__name__)
    return value


def _integer(value: Value) -> int:
    if type(value) is not int:
        raise DecodeError("this is no integer", actual=type(value).__name__)
    return value


def _wide(value: Value) -> int:
    if type(value) is not bytes:
        raise DecodeError("a cost or price is a byte string", actual=type(value).__name__)
    return decode_integer(value)


def _power(value: Value) -> int:
    if type(value) is not int or not -MAX_POWER_W <= value <= MAX_POWER_W:
        raise DecodeError("a power is out of range", expected=f"within {MAX_POWER_W} W")
    return value


def _price(value: Value) -> int:
    price = _wide(value)
    if not -MAX_PRICE <= price <= MAX_PRICE:
        raise DecodeError("a price is out of range", expected=f"within {MAX_PRICE}")
    return price

"""Accepted results on chain: one inner Merkle root a round, and typed access to its figures.

The root is that of a list with, for each interval in turn, the price of each bus, the power of each
unit and storage, and the flow of each line, in the problem's orders; a fallback has prices alone.
An item is `[92, 1, kind, interval from 0, name, figure]` with kind 0 price, 1 power, 2 flow, and a
price as a byte string. So anybody proves one figure with the round's leaf and a short path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from market.dispatch_certificate import IntervalResult
from market.dispatch_layout import DispatchLayout
from market.dispatch_problem import DispatchProblem
from market.dispatch_records import (
    PROBLEM_PART_BYTES,
    ResultRecord,
    Round,
    decode_result,
    decode_round,
    part_key,
    result_key,
    round_key,
)
from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.codec import Encodable, decode_integer, encode_integer, encode_trusted
from vm.primitives.errors import CallError, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
from vm.primitives.merkle import MerkleProof, merkle_proof, merkle_root

ITEM_TYPE: Final = 92
VERSION: Final = 1
PRICE_ITEM: Final = 0
POWER_ITEM: Final = 1
FLOW_ITEM: Final = 2
ITEM_NAMES: Final = ("price", "power", "flow")


def result_of(layout: DispatchLayout, interval: int, result: IntervalResult) -> ResultRecord:
    """Return what the chain keeps of one interval of an accepted certificate."""
    powers = [*result.powers_w, *(one.discharge_w - one.charge_w for one in result.storages)]
    return ResultRecord(
        tuple(encode_integer(price) for price in result.prices),
        tuple(powers),
        result.flows_w if layout.lines else radial_flows(layout, result),
    )


def radial_flows(layout: DispatchLayout, result: IntervalResult) -> tuple[int, ...]:
    """Return the flow of each line of a radial network, W, positive in the line's own direction."""
    balances = [0] * len(layout.places)
    for unit, power in zip(layout.units[0], result.powers_w, strict=True):
        balances[unit.bus] += power
    for storage, one in zip(layout.storages, result.storages, strict=True):
        balances[storage.bus] += one.discharge_w - one.charge_w
    flows = [0] * len(layout.branches)
    for branch in layout.branches:
        place = layout.places[branch.bus]
        flows[place.line] = place.direction * balances[branch.bus]
        balances[branch.parent] += balances[branch.bus]
    return tuple(flows)


def result_items(problem: DispatchProblem, results: Sequence[ResultRecord]) -> list[bytes]:
    """Return the items of a round's inner Merkle tree."""
    return [
        encode_trusted((ITEM_TYPE, VERSION, *item))
        for interval, result in enumerate(results)
        for item in _items(problem, interval, result)
    ]


def result_root(problem: DispatchProblem, results: Sequence[ResultRecord]) -> bytes:
    """Return the inner Merkle root of a round's result, 32 bytes."""
    return merkle_root(result_items(problem, results))


def prove_item(
    problem: DispatchProblem, results: Sequence[ResultRecord], kind: int, interval: int, name: str
) -> tuple[bytes, MerkleProof] | None:
    """Return one item and its way to the inner root; None where there is no such figure."""
    items = result_items(problem, results)
    for index, item in enumerate(items):
        if item.startswith(encode_trusted((ITEM_TYPE, VERSION, kind, interval, name, b""))[:-2]):
            return item, merkle_proof(items, index)
    return None


def read_round(state: StateReader, number: int) -> Round | None:
    """Return a round without gas, for readers; None if there is none (any more)."""
    data = state.get(round_key(number))
    return None if data is None else decode_round(data)


def read_problem_bytes(state: StateReader, found: Round) -> bytes:
    """Return the canonical bytes of a round's problem."""
    parts = []
    for part in range(-(-found.problem_bytes // PROBLEM_PART_BYTES)):
        data = state.get(part_key(found.number, part))
        if data is None:
            raise InvariantViolation(f"round {found.number} lost part {part} of its problem")
        parts.append(data)
    return b"".join(parts)


def read_results(state: StateReader, found: Round) -> list[ResultRecord]:
    """Return the results of a round that is closed, by interval; empty while it is open."""
    if not found.root:
        return []
    results = []
    for interval in range(found.intervals):
        data = state.get(result_key(found.number, interval))
        if data is None:
            raise InvariantViolation(f"round {found.number} lost the result of {interval}")
        results.append(decode_result(data))
    return results


def load_round(ctx: CallContext, number: int) -> Round:
    """Return a round; raises CallError `unknown_round`."""
    # Contracts may ask for any integer.
    data = ctx.get(round_key(number)) if 0 <= number <= MAX_AMOUNT else None
    if data is None:
        raise CallError(
            "unknown_round",
            "there is no such dispatch round",
            actual=number,
            hint="Closed rounds leave the state after a while.",
        )
    return decode_round(data)


def load_price(ctx: CallContext, number: int, bus: int, interval: int) -> int:
    """Return the nodal price of a bus (its number, from 0) in an interval of a closed round.

    1e-24 $/Wh. The view for other modules and for contracts. Raises CallError `unknown_round`,
    `not_closed` or `out_of_range`.
    """
    found = load_round(ctx, number)
    if not found.root:
        raise CallError("not_closed", "the round has no prices yet", actual=number)
    data = ctx.get(result_key(number, interval)) if 0 <= interval < found.intervals else None
    prices = () if data is None else decode_result(data).prices
    ctx.charge(len(prices))
    if not 0 <= bus < len(prices):
        raise CallError(
            "out_of_range",
            "the round has no such bus or interval",
            expected=f"an interval below {found.intervals}",
            actual=f"bus {bus}, interval {interval}",
        )
    return decode_integer(prices[bus])


def _items(
    problem: DispatchProblem, interval: int, result: ResultRecord
) -> Iterator[tuple[Encodable, ...]]:
    for bus, price in zip(problem.network.buses, result.prices, strict=True):
        yield PRICE_ITEM, interval, bus.name, price
    names = [unit.name for unit in problem.units] + [each.name for each in problem.storages]
    if result.powers_w:
        for name, power in zip(names, result.powers_w, strict=True):
            yield POWER_ITEM, interval, name, power
    if result.flows_w:
        for line, flow in zip(problem.network.lines, result.flows_w, strict=True):
            yield FLOW_ITEM, interval, line.name, flow

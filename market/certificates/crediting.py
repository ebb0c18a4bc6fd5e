"""Crediting: what plants produced becomes certificates, one for each unit of verified energy.

A period is some consecutive intervals. When the readings of its last interval are closed, each
plant is credited what its connection's meter proves; when they are final, what corrections changed.
Energy below a unit is carried. A correction downwards may take the carry below 0: certificates that
were issued stay, and the next ones wait until the plant has made up for it.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from market.certificates.due import CREDIT, EXPIRE, SETTLE, schedule
from market.certificates.records import (
    LOT_COUNTER,
    PLANT_INDEX,
    RUNNING_KEY,
    CertificateTerms,
    Lot,
    Plant,
    credit_key,
    load_credit,
    load_plant,
    plant_at,
    save_credit,
    save_lot,
    save_plant,
)
from market.meters.readings import Measured, is_closed, is_final, read_intervals
from market.meters.records import (
    CHUNK_INTERVALS,
    INTERPOLATED,
    MEASURED,
    MILLI_WH_PER_WATT_MINUTE,
    MetersConfig,
)
from vm.context import CallContext

PLANTS_PER_STEP: Final = 200
GAS_OF_PLANT: Final = 3_000
"""What crediting a plant takes at most, beside reading its period."""
GAS_OF_CHUNK: Final = 130
"""What reading a chunk of a period takes."""
GAS_OF_LOOK: Final = 10_000
"""What finding a step's plants takes at most."""


class CreditProgress(NamedTuple):
    """How far a period is credited."""

    resume: int = 0
    """Number of the last plant that was looked at."""
    plants: int = 0
    """Plants whose credit changed so far."""


def begin_crediting(ctx: CallContext, terms: CertificateTerms, meters: MetersConfig) -> None:
    """Have periods credited from this one on, unless they are already."""
    if ctx.get(RUNNING_KEY) is None:
        ctx.put(RUNNING_KEY, b"\x01")
        period = meters.interval_of(ctx.time_ms) // terms.period_intervals
        schedule(
            ctx, meters.deadline_ms(last_interval(terms, period)), CREDIT, period, *CreditProgress()
        )


def credit_due(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    period: int,
    progress: CreditProgress,
) -> None:
    """Credit plants with a period whose readings are closed, as far as one step goes."""
    last = last_interval(terms, period)
    if not is_closed(ctx, last):
        schedule(ctx, ctx.time_ms + 1, CREDIT, period, *progress)
        return
    progress, is_done = _step(ctx, terms, meters, period, progress, is_last=False)
    if not is_done:
        schedule(ctx, ctx.time_ms + 1, CREDIT, period, *progress)
        return
    if progress.plants:
        ctx.emit("credit", period, progress.plants)
    following = meters.deadline_ms(last_interval(terms, period + 1))
    schedule(ctx, meters.correction_ms(last), SETTLE, period, *CreditProgress())
    schedule(ctx, following, CREDIT, period + 1, *CreditProgress())


def settle_due(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    period: int,
    progress: CreditProgress,
) -> None:
    """Credit what corrections changed in a period that is final, as far as one step goes."""
    is_done = False
    if is_final(ctx, last_interval(terms, period)):
        progress, is_done = _step(ctx, terms, meters, period, progress, is_last=True)
    if not is_done:
        schedule(ctx, ctx.time_ms + 1, SETTLE, period, *progress)
    elif progress.plants:
        ctx.emit("correct", period, progress.plants)


def capped_milli_wh(plant: Plant, meters: MetersConfig, interval: int, found: Measured) -> int:
    """Return what counts of an interval: read, in the plant's time, and within its capacity."""
    if found.quality not in (MEASURED, INTERPOLATED) or interval < plant.since:
        return 0
    if plant.end is not None and interval >= plant.end:
        return 0
    energy, minutes = MILLI_WH_PER_WATT_MINUTE
    most = plant.capacity_w * meters.interval_minutes * energy // minutes
    return min(found.injected_milli_wh, most)


def add_energy(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    plant: Plant,
    energy_milli_wh: int,
    bounds: tuple[int, int],
) -> None:
    """Add energy of intervals in `bounds` to a plant, below 0 to take it; issue what is due."""
    first, end = bounds
    if energy_milli_wh > 0:
        if plant.carry_milli_wh <= 0:
            plant.carry_from, plant.carry_end = first, end
        plant.carry_from = min(plant.carry_from, first)
        plant.carry_end = max(plant.carry_end, end)
    plant.carry_milli_wh += energy_milli_wh
    count = max(0, plant.carry_milli_wh // terms.unit_milli_wh)
    if count:
        _issue(ctx, terms, meters, plant, count)
        # What is left came in just now: it was less than a unit before.
        plant.carry_from, plant.carry_end = first, end


def _issue(
    ctx: CallContext, terms: CertificateTerms, meters: MetersConfig, plant: Plant, count: int
) -> None:
    produced_until_ms = meters.start_ms(plant.carry_end)
    lot = Lot(
        ctx.next_number(LOT_COUNTER),
        plant.number,
        plant.issued + 1,
        count,
        plant.owner,
        plant.technology,
        terms.unit_milli_wh,
        meters.start_ms(plant.carry_from),
        produced_until_ms,
        produced_until_ms + terms.validity_minutes * meters.minute_ms,
    )
    plant.issued += count
    plant.carry_milli_wh -= count * terms.unit_milli_wh
    save_lot(ctx, lot)
    schedule(ctx, lot.expires_ms, EXPIRE, lot.number)
    ctx.emit(
        "issue",
        lot.number,
        plant.name,
        plant.owner,
        lot.first_serial,
        count,
        lot.produced_from_ms,
        lot.produced_until_ms,
        lot.expires_ms,
    )


def take_debt(ctx: CallContext, plant: Plant) -> int:
    """Return what a plant's carry is below 0, for the one that follows it; it has nothing then."""
    debt = min(0, plant.carry_milli_wh)
    if debt:
        plant.carry_milli_wh = 0
        save_plant(ctx, plant)
    return debt


def _leave_debt(ctx: CallContext, plant: Plant) -> None:
    """Have the plant that feeds the connection now make up for what this one was issued too much.

    Else closing a plant and registering it anew would make the surplus good. Where none follows
    yet, the next one takes it when it is registered.
    """
    successor = plant_at(ctx, plant.member)
    if successor is not None and successor.number != plant.number:
        successor.carry_milli_wh += take_debt(ctx, plant)
        save_plant(ctx, successor)


def last_interval(terms: CertificateTerms, period: int) -> int:
    """Return the last interval of a period."""
    return (period + 1) * terms.period_intervals - 1


def _step(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    period: int,
    progress: CreditProgress,
    *,
    is_last: bool,
) -> tuple[CreditProgress, bool]:
    """Credit the plants after one; return how far that went, and whether that was all."""
    need = GAS_OF_PLANT + GAS_OF_CHUNK * (2 + terms.period_intervals // CHUNK_INTERVALS)
    if ctx.gas_limit - ctx.gas_used < GAS_OF_LOOK + need:
        return progress, False
    resume, changed = progress
    start = PLANT_INDEX + (resume + 1).to_bytes(4, "big")
    keys = list(islice(ctx.scan(start, PLANT_INDEX + b"\xff" * 5), PLANTS_PER_STEP + 1))
    for key, _ in keys[:PLANTS_PER_STEP]:
        if ctx.gas_limit - ctx.gas_used < need:
            return CreditProgress(resume, changed), False
        resume = int.from_bytes(key[len(PLANT_INDEX) :], "big")
        changed += _credit(ctx, terms, meters, load_plant(ctx, resume), period, is_last=is_last)
    return CreditProgress(resume, changed), len(keys) <= PLANTS_PER_STEP


def _credit(
    ctx: CallContext,
    terms: CertificateTerms,
    meters: MetersConfig,
    plant: Plant,
    period: int,
    *,
    is_last: bool,
) -> bool:
    """Credit a plant with a period; return whether its energy is another than it was."""
    first = period * terms.period_intervals
    end = first + terms.period_intervals
    bounds = max(first, plant.since), end if plant.end is None else min(end, plant.end)
    energy = 0
    if bounds[0] < bounds[1]:
        found = read_intervals(ctx, meters, plant.member, bounds[0], bounds[1] - bounds[0])
        energy = sum(
            [capped_milli_wh(plant, meters, k, each) for k, each in enumerate(found, bounds[0])]
        )
    known = load_credit(ctx, plant.number, period) if is_last else 0
    is_over = is_last and plant.end is not None and plant.end <= end
    if energy != known:
        add_energy(ctx, terms, meters, plant, energy - known, bounds)
    if is_over:
        _leave_debt(ctx, plant)
        plant.is_watched = False
        ctx.delete(PLANT_INDEX + plant.number.to_bytes(4, "big"))
    if energy != known or is_over:
        save_plant(ctx, plant)
    if not is_last:
        save_credit(ctx, plant.number, period, energy)
    elif known:
        ctx.delete(credit_key(plant.number, period))
    return energy != known

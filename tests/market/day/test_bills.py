"""Bills: lines by interval, corrections after them, totals of a month, a proof of each line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market.day.bills import (
    find_record,
    format_month,
    intervals_of_month,
    page_items,
    parse_month,
    prove_lines,
    read_bill,
    read_head,
    read_records,
    read_totals,
)
from market.day.dates import parse_date
from market.day.lines import KIND_NAMES
from market.day.settlement_records import CORRECTED, FIRST, PAGE_SPACE
from tests.market.day.day_world import DayWorld, step
from tests.market.support import kwh, tokens
from vm.primitives.merkle import MerkleProof, verify_merkle_proof


def test_months_have_the_intervals_of_their_days() -> None:
    calendar = DayWorld().local.calendar
    market = replace(DayWorld().local, calendar=calendar)
    assert len(intervals_of_month(market, 202606)) == 30 * 96
    assert len(intervals_of_month(market, 202603)) == 31 * 96 - 4
    assert len(intervals_of_month(market, 202610)) == 31 * 96 + 4
    assert intervals_of_month(market, 202612).stop == intervals_of_month(market, 202701).start
    first = intervals_of_month(market, 202606)[0]
    assert calendar.day_of(first) == parse_date("2026-06-01")
    assert calendar.month_of(first) == 202606 and calendar.month_of(first - 1) == 202605


def test_months_as_text() -> None:
    assert parse_month("2026-06") == 202606
    assert format_month(202606) == "2026-06"
    for text in ("", "2026", "2026-13", "2026-00", "26-06", "2026-6", "2026-06-01", "2026-٠6"):
        assert parse_month(text) is None


@pytest.fixture(scope="module")
def world() -> DayWorld:
    """Return a world of 150 members whose interval is settled in three pages and corrected."""
    names = tuple(f"H{number:03}" for number in range(150))
    world = DayWorld(names=names)
    for place, name in enumerate(names[:40]):
        world.place(name, "buy" if place % 2 else "sell", step("1", "20"))
    world.before(5)
    late = names[7]
    for place, name in enumerate(names):
        if name != late:
            world.measure(name, *(("0", "1.5") if place % 2 else ("1.25", "0.25")))
    world.settle()
    world.measure(late, "0", "2")
    world.correct()
    return world


def test_a_bill_has_the_lines_of_both_parts(world: DayWorld) -> None:
    month = world.local.calendar.month_of(world.interval)
    account = world.ids["H007"]
    intervals = range(world.interval - 2, world.interval + 2)
    lines = list(read_bill(world.overlay, world.local, account, intervals))
    shown = [
        (each.part, KIND_NAMES[each.line.kind], each.line.energy_milli_wh, each.line.amount_micro)
        for each in lines
    ]
    assert shown == [
        (FIRST, "bought", kwh("1"), tokens("20")),
        (FIRST, "unused", kwh("1"), -tokens("10")),
        (CORRECTED, "retail", kwh("1"), tokens("30")),
        (CORRECTED, "unused", -kwh("1"), tokens("10")),
    ]
    totals = read_totals(world.overlay, world.local, account, month)
    assert sum(totals.amounts_micro) == tokens("50") == tokens("1000") - world.money("H007")
    assert totals.lines == 4
    assert totals.energies_milli_wh[KIND_NAMES.index("unused")] == 0
    assert read_totals(world.overlay, world.local, account, month + 1).lines == 0


def test_every_line_of_every_member_is_proved_and_no_other(world: DayWorld) -> None:
    state, market = world.overlay, world.local
    proved = 0
    for part in (FIRST, CORRECTED):
        for name in world.names:
            found = find_record(state, market, world.interval, part, world.ids[name])
            if found is None:
                assert part == CORRECTED and name != "H007"
                continue
            where = (world.interval, part, found[0])
            root = read_head(state, market, where).root
            lines = found[1].lines(market, part)
            proofs = prove_lines(state, market, where, world.ids[name])
            assert len(proofs) == len(lines)
            for line, (item, path) in zip(lines, proofs, strict=True):
                assert item == line.item("local", world.interval, part, world.ids[name])
                assert verify_merkle_proof(root, item, path)
                cheaper = line._replace(amount_micro=line.amount_micro - 1)
                forged = cheaper.item("local", world.interval, part, world.ids[name])
                assert not verify_merkle_proof(root, forged, path)
                other = MerkleProof((path.index + 1) % path.count, path.count, path.siblings)
                assert not verify_merkle_proof(root, item, other)
                proved += 1
    assert proved > 250
    assert find_record(state, market, world.interval, FIRST, bytes(20)) is None
    assert find_record(state, market, world.interval, FIRST, b"\xff" * 20) is None
    assert find_record(state, market, world.interval + 500, FIRST, world.ids["H007"]) is None


def test_heads_hold_the_lines_of_their_pages(world: DayWorld) -> None:
    pages = [key for key in world.state.values if key[:2] == PAGE_SPACE]
    own = [key for key in pages if key[2:12] == world.local.prefix(world.interval)]
    assert len(own) == 4, "three pages, and one of the correction"
    for page in range(3):
        where = (world.interval, FIRST, page)
        records = read_records(world.overlay, world.local, where)
        head = read_head(world.overlay, world.local, where)
        assert head.first == records[0].account
        assert head.lines == len(page_items(world.local, world.interval, FIRST, records))
        assert [record.account for record in records] == sorted(
            record.account for record in records
        )

"""An interval is settled when its readings are due, and corrected when they are final.

First every member pays what its lines come to, from what it set aside and else from its free money,
into the settlement's account. Then that pays everybody who is owed, page by page if need be. What
a member cannot pay it owes the upstream supplier, who delivered the energy and bears the credit: so
no neighbour loses by it. If the supplier cannot pay either, those who are owed bear what is missing
in proportion, and have a claim on it. Debts and claims are settled with the member's next interval.

Penalties stay in the settlement's account until the readings are final.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from market.day.dates import MINUTES_PER_DAY
from market.day.due import (
    CORRECTION,
    SETTLEMENT,
    next_to_correct,
    save_next_to_correct,
    schedule,
    settle_next,
)
from market.day.forgetting import forget_until
from market.day.lines import (
    Contracts,
    Flow,
    Line,
    energies_of_upstream,
    penalties_micro,
    upstream_micro,
)
from market.day.records import (
    BOOK_SPACE,
    STANDING_INDEX,
    DayMarket,
    Standing,
    delete_position,
    load_position,
    load_standing,
    save_standing,
)
from market.day.settlement_records import (
    COLLECTING,
    CORRECTED,
    DONE,
    FIRST,
    NO_FLOW,
    PAYING,
    SUM_FIELDS,
    Head,
    Record,
    Settlement,
    decode_page,
    decode_totals,
    encode_head,
    encode_page,
    encode_totals,
    head_key,
    load_settlement,
    page_key,
    settlement_key,
    totals_key,
)
from market.day.standing import end_removed, let_go
from market.meters.readings import is_closed, read_interval, true_ups
from market.meters.records import MEASURED, load_terms
from market.working_accounts import WorkingAccounts
from vm.context import MAX_EVENTS, CallContext
from vm.primitives.address import ACCOUNT_ID_BYTES, account_id
from vm.primitives.errors import InvariantViolation
from vm.primitives.integers import MAX_AMOUNT, divide_up
from vm.primitives.merkle import merkle_root
from vm.system.accounts import Account, change_supply, load_supply

DAY_ACCOUNT: Final = account_id(b"bitenergy/day")
"""Holds what is collected until it is paid out, and penalties; no key leads to this id."""
PAGE_MEMBERS: Final = 64
GAS_OF_MEMBER: Final = 300
"""For working out a member's lines, beside what that reads and writes."""
GAS_OF_PAGE: Final = 150_000
"""Most that a page takes, and ending a step."""
GAS_OF_ACCOUNT: Final = 200
"""Most that writing an account takes."""
_END: Final = b"\xff" * (ACCOUNT_ID_BYTES + 1)
_LAST_ACCOUNT: Final = b"\xff" * ACCOUNT_ID_BYTES


def settle_due(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Go on with the first settlement of an interval, as far as one step goes."""
    if not is_closed(ctx, interval):
        schedule(ctx, ctx.time_ms + 1, SETTLEMENT, market, interval)
        return
    step = _Step(ctx, market, interval, FIRST)
    if step.run():
        ctx.delete(BOOK_SPACE + market.prefix(interval))
        settle_next(ctx, market, interval)
    else:
        schedule(ctx, ctx.time_ms + 1, SETTLEMENT, market, interval)


def correct_due(ctx: CallContext, market: DayMarket, interval: int) -> None:
    """Go on with the correction of an interval; penalties go to the market when it is done.

    With it goes what is kept of an interval that was corrected long ago.
    """
    step = _Step(ctx, market, interval, CORRECTED)
    if step.run():
        first = following = next_to_correct(ctx, market) or _first_settled(ctx, market, interval)
        while is_corrected(ctx, market, following):
            following += 1
        save_next_to_correct(ctx, market, following)
        kept = market.keep_days * MINUTES_PER_DAY // market.calendar.interval_minutes
        forget_until(ctx, market, min(interval - kept, following), first=first)
    else:
        schedule(ctx, ctx.time_ms + 1, CORRECTION, market, interval)


def is_corrected(ctx: CallContext, market: DayMarket, interval: int) -> bool:
    """Tell whether an interval's correction is done."""
    found = load_settlement(ctx, market, interval, CORRECTED)
    return found is not None and found.stage == DONE


def _first_settled(ctx: CallContext, market: DayMarket, interval: int) -> int:
    """Return the market's first interval, from one that is settled.

    After a standstill the first correction to be done may be another's than the first interval's.
    """
    while load_settlement(ctx, market, interval - 1, FIRST) is not None:
        interval -= 1
    return interval


class _Step:
    """One step of a settlement: accounts are loaded and written once in it."""

    def __init__(self, ctx: CallContext, market: DayMarket, interval: int, part: int) -> None:
        self._ctx = ctx
        self._market = market
        self._interval = interval
        self._part = part
        self._month = market.calendar.month_of(interval)
        self._accounts = WorkingAccounts(ctx)
        found = load_settlement(ctx, market, interval, part)
        self._sums = found if found is not None else Settlement(0, b"", *(0,) * 17)
        self._minted = 0
        self._room = MAX_AMOUNT - load_supply(ctx)[1]

    def run(self) -> bool:
        """Do what one step can do; tell whether the settlement is done."""
        sums = self._sums
        while sums.stage != DONE and self._has_room():
            if sums.stage == COLLECTING:
                self._collect()
            elif sums.page < sums.pages:
                self._pay(sums.page)
                sums.page += 1
            else:
                self._end()
        if self._minted:
            change_supply(self._ctx, energy_milli_wh=self._minted)
        self._accounts.save()
        self._ctx.put(settlement_key(self._market, self._interval, self._part), sums.encode())
        return sums.stage == DONE

    def _has_room(self) -> bool:
        """Tell whether a page more fits: its gas, what is changed so far, and what is told."""
        left = self._ctx.gas_limit - self._ctx.gas_used
        # Each member of a page may have left; the end tells of itself.
        has_events = len(self._ctx.events) + PAGE_MEMBERS < MAX_EVENTS
        return has_events and left > GAS_OF_PAGE + GAS_OF_ACCOUNT * len(self._accounts)

    def _collect(self) -> None:
        """Collect from a page of members, or go on to paying."""
        if self._part == FIRST:
            looked, records = self._next_members()
        else:
            looked, records = self._next_corrections()
        if not looked:
            self._turn()
            return
        found = [self._settle(record) for record in records]
        if found:
            self._write_page(found)

    def _next_members(self) -> tuple[bool, list[tuple[Record, Standing]]]:
        """Return whether there are more members, and what is to be settled of the next ones."""
        ctx, market, sums = self._ctx, self._market, self._sums
        start = STANDING_INDEX + market.number.to_bytes(2, "big")
        after = start + sums.resume + b"\x00" * bool(sums.resume)
        keys = islice(ctx.scan(after, start + _END), PAGE_MEMBERS)
        members = [key[len(start) :] for key, _ in keys]
        if members:
            sums.resume = members[-1]
        terms = load_terms(ctx)
        found: list[tuple[Record, Standing]] = []
        for account in members:
            standing = load_standing(ctx, account)
            if standing is None:
                raise InvariantViolation(f"the index has a member {account.hex()} that is none")
            if not standing.is_in(self._interval):
                let_go(ctx, market, account, standing)
                continue
            measured = read_interval(ctx, terms, account, self._interval)
            trued = true_ups(ctx, account)
            flow = Flow(
                measured.injected_milli_wh,
                measured.withdrawn_milli_wh,
                measured.quality,
                trued[0] - standing.trued_injected_milli_wh,
                trued[1] - standing.trued_withdrawn_milli_wh,
            )
            contracts = self._take_position(account)
            if contracts is None and flow == NO_FLOW and not standing.owed_micro:
                end_removed(ctx, market, account, standing)
                continue
            record = Record(account, contracts or Contracts(0, 0, 0, 0, 0, 0), flow, NO_FLOW, 0)
            found.append((record, standing))
        return bool(members), found

    def _take_position(self, account: bytes) -> Contracts | None:
        """Set a member's money free, forget its position and return its contracts."""
        prefix = self._market.prefix(self._interval)
        position = load_position(self._ctx, prefix, account)
        if position is None:
            return None
        self._accounts.account(account).release_money(position.reserved_micro)
        delete_position(self._ctx, prefix, account)
        return Contracts(
            position.bought_milli_wh,
            position.bought_value,
            position.sold_milli_wh,
            position.sold_value,
            position.stated_buy_milli_wh,
            position.stated_sell_milli_wh,
        )

    def _next_corrections(self) -> tuple[bool, list[tuple[Record, Standing]]]:
        """Return whether there is another page, and what its members' readings are now."""
        ctx, sums = self._ctx, self._sums
        number = int.from_bytes(sums.resume, "big")
        data = ctx.get(page_key(self._market, self._interval, FIRST, number))
        if data is None:
            return False, []
        sums.resume = (number + 1).to_bytes(2, "big")
        terms = load_terms(ctx)
        found: list[tuple[Record, Standing]] = []
        for record in decode_page(data):
            measured = read_interval(ctx, terms, record.account, self._interval)
            before = record.flow._replace(trued_injected_milli_wh=0, trued_withdrawn_milli_wh=0)
            flow = Flow(measured.injected_milli_wh, measured.withdrawn_milli_wh, measured.quality)
            standing = load_standing(ctx, record.account)
            if standing is None:
                raise InvariantViolation(f"{record.account.hex()} left its market")
            if flow != before:
                found.append((record._replace(flow=flow, before=before, due_micro=0), standing))
        return True, found

    def _settle(self, item: tuple[Record, Standing]) -> tuple[Record, list[Line]]:
        """Collect from one member what its lines come to, and make its ecoins."""
        record, standing = item
        self._ctx.charge(GAS_OF_MEMBER)
        known = replace(standing)
        standing.trued_injected_milli_wh += record.flow.trued_injected_milli_wh
        standing.trued_withdrawn_milli_wh += record.flow.trued_withdrawn_milli_wh
        lines = record.lines(self._market, self._part)
        owed = standing.owed_micro + sum([line.amount_micro for line in lines])
        self._make_ecoins(record, standing)
        sums = self._sums
        sums.unpaid_micro -= standing.owed_micro
        standing.owed_micro = 0
        due = 0
        if owed < 0:
            due = -owed
            sums.payable_micro += due
        elif owed:
            leaf = self._accounts.account(record.account)
            paid = min(owed, leaf.money_micro)
            leaf.pay(paid)
            self._accounts.account(DAY_ACCOUNT).earn(paid)
            sums.collected_micro += paid
            standing.owed_micro = owed - paid
            sums.unpaid_micro += owed - paid
        if standing != known:
            save_standing(self._ctx, record.account, standing)
        self._count(record, lines)
        return record._replace(due_micro=due), lines

    def _make_ecoins(self, record: Record, standing: Standing) -> None:
        """Bring an ecoin into being for each verified watt-hour, or take back what was not one."""
        verified, known = (
            flow.injected_milli_wh if flow.quality == MEASURED else 0
            for flow in (record.flow, record.before)
        )
        change = verified - known - standing.owed_ecoin_milli_wh
        if not change:
            return
        leaf = self._accounts.account(record.account)
        standing.owed_ecoin_milli_wh = 0
        if change >= 0:
            made = min(change, self._room)
            leaf.take_energy(made)
        else:
            made = -min(-change, leaf.energy_milli_wh)
            leaf.give_energy(-made)
            standing.owed_ecoin_milli_wh = made - change
        self._room -= made
        self._minted += made
        self._sums.ecoin_milli_wh += made

    def _count(self, record: Record, lines: list[Line]) -> None:
        """Add a member's lines to the sums, and to its totals of the month."""
        sums = self._sums
        sums.members += 1
        if self._part == FIRST:
            sums.contracted_milli_wh += record.contracts.bought_milli_wh
        sums.injected_milli_wh += record.flow.injected_milli_wh - record.before.injected_milli_wh
        sums.withdrawn_milli_wh += record.flow.withdrawn_milli_wh - record.before.withdrawn_milli_wh
        sold, bought = energies_of_upstream(lines)
        sums.from_upstream_milli_wh += sold
        sums.to_upstream_milli_wh += bought
        penalties, upstream = penalties_micro(lines), upstream_micro(lines)
        sums.penalties_micro += penalties
        sums.upstream_micro += upstream
        total = sum([line.amount_micro for line in lines])
        sums.surplus_micro += total - penalties - upstream
        if lines:
            key = totals_key(self._market, record.account, self._month)
            self._ctx.put(key, encode_totals(decode_totals(self._ctx.get(key)).add(lines)))

    def _write_page(self, found: Sequence[tuple[Record, list[Line]]]) -> None:
        sums, ctx = self._sums, self._ctx
        items = [
            line.item(self._market.name, self._interval, self._part, record.account)
            for record, lines in found
            for line in lines
        ]
        where = (self._market, self._interval, self._part, sums.pages)
        head = Head(found[0][0].account, len(items), merkle_root(items))
        ctx.put(head_key(*where), encode_head(head))
        ctx.put(page_key(*where), encode_page([record for record, _ in found]))
        sums.pages += 1

    def _turn(self) -> None:
        """Settle with market and supplier, so that what is owed can be paid out."""
        sums = self._sums
        sums.stage, sums.resume, sums.page = PAYING, b"", 0
        pot = self._accounts.account(DAY_ACCOUNT)
        supplier = self._accounts.account(self._market.upstream)
        gets = sums.collected_micro - sums.surplus_micro - sums.penalties_micro - sums.payable_micro
        if gets < 0:
            paid = min(-gets, supplier.money_micro)
            supplier.pay(paid)
            pot.earn(paid)
            sums.missing_micro = -gets - paid
        else:
            pot.pay(gets)
            supplier.earn(gets)
        if sums.surplus_micro:
            pot.pay(sums.surplus_micro)
            self._accounts.account(self._market.account).earn(sums.surplus_micro)

    def _pay(self, page: int) -> None:
        """Pay a page of those who are owed; each bears its part of what is missing."""
        data = self._ctx.get(page_key(self._market, self._interval, self._part, page))
        if data is None:
            raise InvariantViolation(f"interval {self._interval} lost page {page} of its lines")
        sums = self._sums
        pot = self._accounts.account(DAY_ACCOUNT)
        for account, *_, due in decode_page(data):
            if not due:
                continue
            claim = divide_up(due * sums.missing_micro, sums.payable_micro)
            sums.left_micro += claim
            pot.pay(due - claim)
            self._accounts.account(account).earn(due - claim)
            if claim:
                standing = load_standing(self._ctx, account)
                if standing is None:
                    raise InvariantViolation(f"{account.hex()} left its market")
                standing.owed_micro -= claim
                sums.unpaid_micro -= claim
                save_standing(self._ctx, account, standing)

    def _end(self) -> None:
        """Give the supplier what is left of the parts, and tell what the settlement came to."""
        sums, market = self._sums, self._market
        sums.stage = DONE
        pot = self._accounts.account(DAY_ACCOUNT)
        sums.left_micro -= sums.missing_micro
        pot.pay(sums.left_micro)
        self._accounts.account(market.upstream).earn(sums.left_micro)
        if self._part == CORRECTED:
            self._release_penalties(pot)
        told = [getattr(sums, name) for name in SUM_FIELDS]
        self._ctx.emit("settle", market.name, self._interval, self._part, *told)

    def _release_penalties(self, pot: Account) -> None:
        """Let penalties that stand go to the market's account."""
        first = load_settlement(self._ctx, self._market, self._interval, FIRST)
        held = self._sums.penalties_micro + (0 if first is None else first.penalties_micro)
        pot.pay(held)
        self._accounts.account(self._market.account).earn(held)

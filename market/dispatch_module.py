"""The dispatch module: units, bids, rounds, and submissions that prove themselves.

A submission that does not verify succeeds as a call, so that its receipt stands: it returns the
code of its refusal and has lost its bond. One that comes too late, or for another problem, fails
before any work is done, and costs nothing but its fee.
"""

from __future__ import annotations

from typing import Final

from market.dispatch_check import validate_certificate
from market.dispatch_codec import decode_certificate, decode_problem
from market.dispatch_commitments import take_commitment, write_commitment
from market.dispatch_gas import GAS_PROBLEM_BYTE
from market.dispatch_interface import dispatch_interfaces
from market.dispatch_layout import DispatchLayout, lay_out
from market.dispatch_problem import Bid
from market.dispatch_records import (
    AREAS_KEY,
    ARREARS_SPACE,
    BID_INDEX,
    BID_SPACE,
    KIND_NAMES,
    MARK,
    OPEN,
    PROBLEM_PART_BYTES,
    PROVED,
    STORAGE_KIND,
    UNIT_INDEX,
    UNIT_SPACE,
    Area,
    Round,
    UnitRecord,
    round_key,
    write_bid,
)
from market.dispatch_results import load_price, load_round, read_problem_bytes
from market.dispatch_rounds import (
    BUILDING,
    DEADLINE,
    DISPATCH_ACCOUNT,
    FORGETTING,
    MS_PER_MINUTE,
    OPENING,
    SETTLEMENT,
    accept_result,
    load_area,
    load_money,
    open_round,
    pass_deadline,
    save_money,
    schedule_opening,
)
from market.dispatch_section import MAX_AREA_UNITS, read_areas
from market.dispatch_settlement import settle_round
from market.dispatch_units import (
    STORAGE_NUMBERS,
    BidArgument,
    delete_bids,
    find_unit,
    forget_bids,
    forget_unit,
    move_money,
    read_bids,
    read_wide,
    validate_bids,
    validate_within,
    write_area,
    write_unit,
)
from vm.arguments import ACCOUNT, AMOUNT, NAME, UINT63, Argument, ArgumentKind, byte_string
from vm.context import GAS_READ, CallContext
from vm.module import Interfaces, Module, Section, method
from vm.primitives.codec import Encodable, Value, encode_integer, encode_trusted, unpack_trusted
from vm.primitives.errors import (
    BitenergyError,
    CallError,
    InvalidProof,
    InvariantViolation,
)
from vm.primitives.hashing import HASH_BYTES
from vm.system.accounts import REMOVED, Account, load_account, save_account
from vm.system.members import load_member

MAX_CERTIFICATE_BYTES: Final = 65_536
MAX_BIDS_A_CALL: Final = 192
MAX_AHEAD_MS: Final = 400 * 24 * 60 * MS_PER_MINUTE
GAS_SUBMISSION: Final = 2_000
"""Any submission: reading the round's problem and laying it out."""
GAS_SUBMITTED_BYTE: Final = 4
GAS_CHECKED: Final = 50
"""A bus, line, unit or storage in one interval of a submission."""
SWEPT_BIDS: Final = 8
"""Bids of the past, beside as many as are new, that a call of `bid` deletes."""
GAS_SKIP: Final = 1_000
"""Left to tell that a round does not open, also where it costs too much."""


def _is_bids(value: Value) -> bool:
    return (
        type(value) is tuple
        and len(value) <= MAX_BIDS_A_CALL
        and all(
            type(bid) is tuple
            and len(bid) == 4
            and [type(part) for part in bid] == [bytes, bytes, int, int]
            for bid in value
        )
    )


def _is_storage(value: Value) -> bool:
    return (
        type(value) is tuple
        and len(value) in (0, STORAGE_NUMBERS)
        and all(type(part) is bytes for part in value)
    )


BIDS = ArgumentKind(
    f"at most {MAX_BIDS_A_CALL} bids [a, b, lo_w, hi_w], a and b as bytes", _is_bids
)
STORAGE = ArgumentKind(f"nothing, or {STORAGE_NUMBERS} integers as bytes", _is_storage)
KIND = ArgumentKind(" or ".join(KIND_NAMES), lambda value: value in KIND_NAMES)


class DispatchModule(Module):
    """Dispatch rounds: problems published, results accepted only with their proof."""

    name = "dispatch"

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._operator = 1 << roles.index("operator") if "operator" in roles else 0
        # The problem laid out last, by its hash, of which it is a pure function.
        self._layout: tuple[bytes, DispatchLayout] | None = None

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the areas, their first units, and what their pots begin with."""
        if not section:
            return
        told = len(ctx.events)
        areas = read_areas(section)
        save_account(ctx, DISPATCH_ACCOUNT, Account(bytes(32), 0, REMOVED, 0, 0, 0, 0, 0))
        ctx.put(AREAS_KEY, encode_trusted([each.area.name for each in areas]))
        for each in areas:
            write_area(ctx, each)
        del ctx.events[told:]

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `dispatch`."""
        return dispatch_interfaces()

    @method(
        Argument("area", NAME),
        Argument("unit", NAME),
        Argument("owner", ACCOUNT),
        Argument("bus", NAME),
        Argument("kind", KIND),
        Argument("bids", BIDS),
        Argument("storage", STORAGE),
    )
    def register(
        self,
        ctx: CallContext,
        area: str,
        unit: str,
        owner: bytes,
        bus: str,
        kind: str,
        bids: BidArgument,
        storage: tuple[bytes, ...],
    ) -> Encodable:
        """Register a unit, or change one: by its owner at its own bus, or by the operator.

        One bid holds for every interval of a round, or there is one for each. Returns its number.
        """
        terms = load_area(ctx, area)
        is_operator = bool(ctx.roles & self._operator)
        record = UnitRecord(
            owner,
            unit,
            bus,
            KIND_NAMES.index(kind),
            read_bids(bids),
            tuple(read_wide(number) for number in storage),
        )
        if not is_operator:
            if not terms.members_register:
                raise CallError(
                    "operator_registers",
                    "the area's operators register its units",
                    actual=area,
                    hint="An operator registers it for its owner.",
                )
            if owner != ctx.caller:
                raise CallError("not_owner", "a member registers units of its own")
            if load_member(ctx, owner).bus != bus:
                raise CallError(
                    "not_connected",
                    "the member is not connected there",
                    expected=load_member(ctx, owner).bus or "no bus",
                    actual=bus,
                    hint="An operator or the DSO records the connection with members.set_bus.",
                )
        most = MAX_AREA_UNITS if is_operator else terms.max_units_per_member
        return write_unit(ctx, terms, record, anyones=is_operator, most_of_owner=most)

    @method(Argument("area", NAME), Argument("unit", NAME))
    def retire(self, ctx: CallContext, area: str, unit: str) -> Encodable:
        """Take a unit out of future rounds, and its bids with it."""
        terms = load_area(ctx, area)
        _, record = find_unit(ctx, terms, unit)
        if record.owner != ctx.caller and not ctx.roles & self._operator:
            raise CallError("not_owner", "the unit is another member's", actual=unit)
        forget_unit(ctx, terms, unit)
        ctx.emit("retire_unit", area, unit, record.owner)
        return None

    @method(
        Argument("area", NAME),
        Argument("unit", NAME),
        Argument("first_interval", UINT63),
        Argument("bids", BIDS),
    )
    def bid(
        self, ctx: CallContext, area: str, unit: str, first_interval: int, bids: BidArgument
    ) -> Encodable:
        """Bid for delivery intervals from `first_interval` on, in place of the registered bids.

        A bid stands until its round is opened, and may be replaced until then. Its powers stay
        within the limits that the unit is registered with.
        """
        terms = load_area(ctx, area)
        number, record = find_unit(ctx, terms, unit)
        if record.owner != ctx.caller:
            raise CallError("not_owner", "the unit is another member's", actual=unit)
        if record.kind == STORAGE_KIND:
            raise CallError("no_bids", "a storage has no bids; register it anew to change it")
        length_ms = terms.interval_minutes * MS_PER_MINUTE
        low = ctx.time_ms // length_ms + 1
        high = (ctx.time_ms + MAX_AHEAD_MS) // length_ms
        if not low <= first_interval <= high - len(bids):
            raise CallError(
                "wrong_interval",
                "these intervals have begun, or are too far ahead",
                expected=f"{low} to {high - len(bids)}",
                actual=first_interval,
                hint=f"An interval is the start in milliseconds UTC divided by {length_ms}.",
            )
        read = read_bids(bids)
        validate_bids(terms, record._replace(bids=read))
        validate_within(record, read)
        # Bids for intervals that no round ever took are gone with the next ones.
        delete_bids(ctx, terms, number, low, len(bids) + SWEPT_BIDS)
        for place, fields in enumerate(read):
            write_bid(ctx, terms.prefix, number, first_interval + place, Bid(*fields))
        ctx.emit("bid", area, unit, ctx.caller, first_interval, len(bids))
        return None

    @method(Argument("area", NAME), Argument("first_interval", UINT63), roles=("operator",))
    def open(self, ctx: CallContext, area: str, first_interval: int) -> Encodable:
        """Open a round now; interval 0 makes one that is for no time. Returns its number."""
        terms = load_area(ctx, area)
        ends_ms = (first_interval + terms.intervals) * terms.interval_minutes * MS_PER_MINUTE
        if first_interval and not ctx.time_ms < ends_ms <= ctx.time_ms + MAX_AHEAD_MS:
            raise CallError(
                "wrong_interval",
                "these intervals are over, or too far ahead",
                actual=first_interval,
            )
        return open_round(ctx, terms, first_interval, by_itself=False)

    @method(Argument("round", UINT63), Argument("commitment", byte_string(HASH_BYTES, HASH_BYTES)))
    def commit(self, ctx: CallContext, round: int, commitment: bytes) -> Encodable:
        """Commit to a result for a round, by the hash of its certificate and the caller.

        It holds from the next block on, in place of the caller's earlier one in this area.
        """
        found = load_round(ctx, round)
        _validate_waiting(ctx, found, found.problem_hash)
        area = load_area(ctx, found.area)
        if area.reward_micro:
            write_commitment(ctx, area, commitment)
        return None

    @method(
        Argument("round", UINT63),
        Argument("problem_hash", byte_string(HASH_BYTES, HASH_BYTES)),
        Argument("certificate", byte_string(0, MAX_CERTIFICATE_BYTES)),
    )
    def submit(
        self, ctx: CallContext, round: int, problem_hash: bytes, certificate: bytes
    ) -> Encodable:
        """Submit a result. Returns [accepted, code]; a refused one has lost its bond.

        Fails with `unknown_round`, `other_problem`, `already_proved` or `round_closed` without
        touching the bond; with `insufficient_money` where the caller does not have it; and, where
        the area rewards results, with `not_committed` or `other_commitment`.
        """
        found = load_round(ctx, round)
        area = load_area(ctx, found.area)
        _validate_waiting(ctx, found, problem_hash)
        caller = load_account(ctx, ctx.caller)
        if caller.money_micro < area.bond_micro:
            raise CallError(
                "insufficient_money",
                "the account does not have the bond that a submission stands for",
                expected=area.bond_micro,
                actual=caller.money_micro,
            )
        # All the work that follows is bounded by these, and paid for before it is done.
        ctx.charge(GAS_SUBMISSION + GAS_SUBMITTED_BYTE * len(certificate))
        if area.reward_micro:
            take_commitment(ctx, area, found, certificate)
        ctx.charge(GAS_CHECKED * found.items * found.intervals)
        layout = self._lay_out(ctx, found)
        try:
            solution = decode_certificate(certificate, max_bytes=MAX_CERTIFICATE_BYTES)
            bounds = validate_certificate(layout, solution)
        except InvalidProof as error:
            return _refuse(ctx, area, found, error.code)
        except BitenergyError:
            return _refuse(ctx, area, found, "malformed")
        # Behind a full line with must-serve demand any price is one of the optimum's.
        if any(abs(price) > area.max_price for one in solution.intervals for price in one.prices):
            return _refuse(ctx, area, found, "price_range")
        accept = accept_result(ctx, area, found, layout, solution, bounds)
        if accept.reward_micro:
            move_money(ctx, DISPATCH_ACCOUNT, ctx.caller, accept.reward_micro)
        return (True, "")

    @method(Argument("area", NAME), Argument("amount_micro", AMOUNT))
    def fund(self, ctx: CallContext, area: str, amount_micro: int) -> Encodable:
        """Give money for the rewards of an area's rounds."""
        terms = load_area(ctx, area)
        move_money(ctx, ctx.caller, DISPATCH_ACCOUNT, amount_micro)
        money = load_money(ctx, terms)
        money.pot_micro += amount_micro
        save_money(ctx, terms, money)
        ctx.emit("fund", area, ctx.caller, amount_micro)
        return None

    @method(Argument("area", NAME))
    def pay_arrears(self, ctx: CallContext, area: str) -> Encodable:
        """Pay what the caller owes an area, so that its units take part again."""
        terms = load_area(ctx, area)
        key = ARREARS_SPACE + terms.prefix + ctx.caller
        data = ctx.get(key)
        if data is None:
            raise CallError("no_arrears", "the member owes this area nothing", actual=area)
        amount = int.from_bytes(data, "big")
        move_money(ctx, ctx.caller, DISPATCH_ACCOUNT, amount)
        money = load_money(ctx, terms)
        money.congestion_micro += amount
        save_money(ctx, terms, money)
        ctx.delete(key)
        ctx.emit("pay_arrears", area, ctx.caller, amount)
        return None

    @method(Argument("round", UINT63), Argument("bus", UINT63), Argument("interval", UINT63))
    def price(self, ctx: CallContext, round: int, bus: int, interval: int) -> Encodable:
        """Return the nodal price of a bus (number from 0) in an interval of a closed round.

        As bytes, 1e-24 $/Wh.
        """
        return encode_integer(load_price(ctx, round, bus, interval))

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Open a round, let one fall back, or settle one."""
        match unpack_trusted(payload):
            case (int(stage), int(number)) if stage == DEADLINE:
                pass_deadline(ctx, number)
            case (int(stage), int(number)) if stage == SETTLEMENT:
                settle_round(ctx, number)
            case (int(stage), str(area), int(first_interval)) if stage == OPENING:
                # Built in an item of its own: the next opening stands whatever becomes of it.
                schedule_opening(ctx, load_area(ctx, area))
                ctx.schedule(ctx.time_ms, encode_trusted((BUILDING, area, first_interval)))
            case (int(stage), str(area), int(number)) if stage == FORGETTING:
                forget_bids(ctx, load_area(ctx, area), number)
            case (int(stage), str(area), int(first_interval)) if stage == BUILDING:
                _open_when_due(ctx, load_area(ctx, area), first_interval)
            case _:
                raise InvariantViolation(f"dispatch scheduled something else: {payload.hex()[:80]}")

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a unit or a bid again from its leaf."""
        if key[:2] == UNIT_SPACE:
            ctx.put(UNIT_INDEX + key[2:], MARK)
        elif key[:2] == BID_SPACE:
            ctx.put(BID_INDEX + key[2:], MARK)

    def _lay_out(self, ctx: CallContext, found: Round) -> DispatchLayout:
        """Return the layout of a round's problem, at the same price whether it is at hand."""
        ctx.charge(GAS_PROBLEM_BYTE * found.problem_bytes)
        ctx.charge(GAS_READ * -(-found.problem_bytes // PROBLEM_PART_BYTES))
        known = self._layout
        if known is not None and known[0] == found.problem_hash:
            return known[1]
        layout = lay_out(decode_problem(read_problem_bytes(ctx.state, found)))
        self._layout = (found.problem_hash, layout)
        return layout


def _validate_waiting(ctx: CallContext, found: Round, problem_hash: bytes) -> None:
    """Raise CallError unless a round waits for a result, and of this problem."""
    if found.status == PROVED:
        raise CallError("already_proved", "another result was proved first", actual=found.number)
    if found.status != OPEN or ctx.time_ms > found.deadline_ms:
        raise CallError(
            "round_closed",
            "the round's deadline is over",
            expected=f"before {found.deadline_ms} ms",
            actual=ctx.time_ms,
        )
    if problem_hash != found.problem_hash:
        raise CallError(
            "other_problem",
            "the result is for another problem",
            expected=found.problem_hash,
            actual=problem_hash,
        )


def _refuse(ctx: CallContext, area: Area, found: Round, code: str) -> Encodable:
    """Take the bond of a submission that does not verify, and tell why."""
    if area.bond_micro:
        move_money(ctx, ctx.caller, DISPATCH_ACCOUNT, area.bond_micro)
        money = load_money(ctx, area)
        money.pot_micro += area.bond_micro
        save_money(ctx, area, money)
    ctx.put(round_key(found.number), found._replace(refused=found.refused + 1).encode())
    ctx.emit("refuse", area.name, found.number, ctx.caller, code, area.bond_micro)
    return (False, code)


def _open_when_due(ctx: CallContext, area: Area, first_interval: int) -> None:
    """Open an area's round by itself; tell of it where its problem is not sound."""
    if ctx.time_ms >= first_interval * area.interval_minutes * MS_PER_MINUTE:
        ctx.emit("skip_round", area.name, first_interval, "begun")
        return
    mark, told, limit = ctx.state.mark(), len(ctx.events), ctx.gas_limit
    ctx.gas_limit -= GAS_SKIP
    try:
        open_round(ctx, area, first_interval, by_itself=True)
    except CallError as error:
        ctx.state.undo(mark)
        del ctx.events[told:]
        ctx.gas_used, ctx.gas_limit = min(ctx.gas_used, ctx.gas_limit), limit
        ctx.emit("skip_round", area.name, first_interval, error.code)

"""The module of meters: register, revoke, submit; intervals close and are estimated when due.

A meter is a member with a key of its own. A DSO or an operator registers it for the connection of
one member. It submits its cumulative registers at the ends of intervals; their differences are the
energies of the intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.meters.closing import begin_closing, close_due, first_open
from market.meters.contract_interface import readings_interfaces
from market.meters.governing import changed_config
from market.meters.limits import set_limit
from market.meters.records import (
    CONNECTION_SPACE,
    CONSENT_SPACE,
    MARK,
    METER_SPACE,
    TERMS_KEY,
    WATCH_INDEX,
    Connection,
    Meter,
    MetersConfig,
    Pair,
    Progress,
    consent_key,
    decode_leaf,
    encode_leaf,
    load_connection,
    load_meter,
    load_progress,
    load_terms,
    save_connection,
)
from market.meters.section import MAX_POWER_W, read_section
from market.meters.series import Series
from vm.arguments import ACCOUNT, UINT63, Argument, ArgumentKind, integer
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.primitives.codec import Encodable, Value
from vm.primitives.errors import CallError, InvalidGenesis, InvariantViolation
from vm.primitives.integers import MAX_AMOUNT
from vm.system.accounts import ACCOUNT_SPACE, decode_account
from vm.system.members import NAME_SPACE

REGISTRAR_ROLES: Final = ("dso", "operator")
METER_ROLE: Final = "meter"
MAX_READINGS: Final = 96
"""Readings of one submission."""
MAX_READERS: Final = 32
"""Accounts and contracts that a member lets read."""


def _is_register(value: Value, length: int) -> bool:
    return (
        type(value) is tuple
        and len(value) == length
        and all(type(each) is int and 0 <= each <= MAX_AMOUNT for each in value)
    )


REGISTERS = ArgumentKind(
    f"1 to {MAX_READINGS} registers of injection and withdrawal",
    lambda value: (
        type(value) is tuple
        and 1 <= len(value) <= MAX_READINGS
        and all(_is_register(each, 2) for each in value)
    ),
)
FINAL_READING = ArgumentKind(
    "nothing, or an interval and the registers of injection and withdrawal at its end",
    lambda value: value == () or _is_register(value, 3),
)


class MetersModule(Module):
    """Meters; none where genesis has no section for them."""

    name = "meters"

    def __init__(self, roles: tuple[str, ...]) -> None:
        self._meter_role = 1 << roles.index(METER_ROLE) if METER_ROLE in roles else 0

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms and the first meters; raises InvalidGenesis."""
        if not section:
            return
        config, meters = read_section(section, lambda name: ctx.get(NAME_SPACE + name.encode()))
        ctx.put(TERMS_KEY, encode_leaf(config))
        for meter, member in meters:
            try:
                self._register(ctx, config, meter, member, (ctx.time_ms // config.interval_ms,))
            except CallError as error:
                raise InvalidGenesis(f"'meters.meters': {error}") from error

    @method(
        Argument("meter", ACCOUNT),
        Argument("member", ACCOUNT),
        Argument("interval", UINT63),
        Argument("injected_milli_wh", UINT63),
        Argument("withdrawn_milli_wh", UINT63),
        Argument("rollover_milli_wh", UINT63),
        roles=REGISTRAR_ROLES,
    )
    def register(
        self,
        ctx: CallContext,
        meter: bytes,
        member: bytes,
        interval: int,
        injected_milli_wh: int,
        withdrawn_milli_wh: int,
        rollover_milli_wh: int,
    ) -> Encodable:
        """Register a meter for a member's connection, with its registers when `interval` begins.

        Registers begin again at 0 when they reach `rollover_milli_wh`; never if that is 0.
        """
        config = load_terms(ctx)
        started = (interval, injected_milli_wh, withdrawn_milli_wh, rollover_milli_wh)
        self._register(ctx, config, meter, member, started)
        # Not in `_register`: genesis may name more meters than a receipt could tell of.
        ctx.emit("register", meter, member, interval)
        return None

    @method(Argument("meter", ACCOUNT), Argument("final", FINAL_READING), roles=REGISTRAR_ROLES)
    def revoke(self, ctx: CallContext, meter: bytes, final: tuple[int, ...]) -> Encodable:
        """End a meter's registration, with its registers at the end of its last interval if known.

        Without them its connection ends with the interval that runs.
        """
        config = load_terms(ctx)
        leaf = _load_registered(ctx, meter)
        connection = _load_own(ctx, leaf.member)
        end = config.interval_of(ctx.time_ms) + 1
        if final:
            end = final[0] + 1
            if end < connection.latest:
                raise CallError(
                    "wrong_interval",
                    "a later register of this meter is known",
                    expected=f"at least {connection.latest - 1}",
                    actual=final[0],
                )
            _take(ctx, config, leaf.member, connection, final[0], (final[1:3],))  # type: ignore[arg-type]
        connection.end = max(end, connection.start)
        save_connection(ctx, leaf.member, connection)
        ctx.put(METER_SPACE + meter, encode_leaf(Meter(leaf.member, True)))
        ctx.emit("revoke", meter, leaf.member, connection.end)
        return None

    @method(
        Argument("member", ACCOUNT),
        Argument("max_power_w", integer(1, MAX_POWER_W)),
        roles=REGISTRAR_ROLES,
    )
    def limit(self, ctx: CallContext, member: bytes, max_power_w: int) -> Encodable:
        """Register what a member's connection can carry from the next interval on; returns that."""
        config = load_terms(ctx)
        if ctx.get(ACCOUNT_SPACE + member) is None:
            raise CallError("unknown_member", "there is no such member", actual=member)
        since = set_limit(ctx, config, member, max_power_w)
        ctx.emit("limit", member, max_power_w, since)
        return since

    @method(
        Argument("first_interval", UINT63), Argument("registers", REGISTERS), roles=(METER_ROLE,)
    )
    def submit(
        self, ctx: CallContext, first_interval: int, registers: tuple[Pair, ...]
    ) -> Encodable:
        """Take the caller's registers at the ends of consecutive intervals.

        Returns how many were not known before.
        """
        config = load_terms(ctx)
        leaf = _load_registered(ctx, ctx.caller)
        connection = _load_own(ctx, leaf.member)
        new = _take(ctx, config, leaf.member, connection, first_interval, registers)
        if not new:
            raise CallError(
                "duplicate_reading",
                "these registers are known",
                actual=f"intervals {first_interval} to {first_interval + len(registers) - 1}",
            )
        ctx.emit("submit", ctx.caller, leaf.member, first_interval, len(registers), new)
        return new

    @method(Argument("reader", ACCOUNT))
    def allow_reader(self, ctx: CallContext, reader: bytes) -> Encodable:
        """Let an account, or a contract, read the energies of the caller's connection."""
        load_terms(ctx)
        count = _count_readers(ctx)
        if ctx.get(consent_key(ctx.caller, reader)) is not None:
            raise CallError("already_allowed", "this account may read already", actual=reader)
        if count >= MAX_READERS:
            raise CallError(
                "too_many_readers",
                "too many accounts may read already",
                expected=f"at most {MAX_READERS}",
                hint="End it for one with `meters.forbid_reader`.",
            )
        ctx.put(consent_key(ctx.caller, reader), MARK)
        ctx.put(CONSENT_SPACE + ctx.caller, bytes([count + 1]))
        ctx.emit("allow_reader", ctx.caller, reader)
        return None

    @method(Argument("reader", ACCOUNT))
    def forbid_reader(self, ctx: CallContext, reader: bytes) -> Encodable:
        """End what `allow_reader` began."""
        if ctx.get(consent_key(ctx.caller, reader)) is None:
            raise CallError("not_allowed", "this account may not read anyway", actual=reader)
        ctx.delete(consent_key(ctx.caller, reader))
        ctx.put(CONSENT_SPACE + ctx.caller, bytes([_count_readers(ctx) - 1]))
        ctx.emit("forbid_reader", ctx.caller, reader)
        return None

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set on how many days estimates rest, from the next interval but one that closes on."""
        if subject:
            raise CallError("unknown_subject", "meters have no parts", actual=subject)
        changed = changed_config(load_terms(ctx), load_progress(ctx), values)
        ctx.put(TERMS_KEY, encode_leaf(changed))

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `readings`."""
        return readings_interfaces()

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Close intervals."""
        if payload:
            raise InvariantViolation(f"meters scheduled something else: {payload.hex()[:80]}")
        close_due(ctx, load_terms(ctx))

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a connection again from its leaf."""
        if key[:2] == CONNECTION_SPACE and decode_leaf(Connection, value).is_watched:
            ctx.put(WATCH_INDEX + key[2:], MARK)

    def _register(
        self,
        ctx: CallContext,
        config: MetersConfig,
        meter: bytes,
        member: bytes,
        started: tuple[int, ...],
    ) -> None:
        """Register a meter from an interval on, with its registers and where they roll over."""
        interval, *registers = started
        injected, withdrawn, rollover = registers or (0, 0, 0)
        self._validate_meter(ctx, meter, member)
        if rollover and max(injected, withdrawn) >= rollover:
            raise CallError(
                "wrong_register",
                "registers are below where they roll over",
                expected=f"below {rollover}",
                actual=max(injected, withdrawn),
            )
        before = load_connection(ctx, member)
        if before is not None and before.end is None:
            raise CallError(
                "member_has_meter",
                "the member's connection has a meter",
                actual=before.meter,
                hint="Revoke that one first.",
            )
        progress = begin_closing(ctx, config)
        _validate_start(ctx, config, progress, before, interval)
        since, true_up = interval, (0, 0)
        if before is not None:
            true_up = (before.true_up_injected_milli_wh, before.true_up_withdrawn_milli_wh)
            if before.is_watched and before.end is not None and before.end >= progress.interval:
                since = before.since
        connection = Connection(
            meter,
            since,
            interval,
            None,
            rollover,
            interval,
            injected,
            withdrawn,
            0,
            0,
            *true_up,
            is_watched=True,
        )
        save_connection(ctx, member, connection)
        ctx.put(WATCH_INDEX + member, MARK)
        ctx.put(METER_SPACE + meter, encode_leaf(Meter(member, False)))

    def _validate_meter(self, ctx: CallContext, meter: bytes, member: bytes) -> None:
        data = ctx.get(ACCOUNT_SPACE + meter)
        if data is None or not decode_account(data).roles & self._meter_role:
            raise CallError(
                "not_a_meter", "this is no member with the role of a meter", actual=meter
            )
        if ctx.get(ACCOUNT_SPACE + member) is None:
            raise CallError("unknown_member", "there is no such member", actual=member)
        found = load_meter(ctx, meter)
        if found is not None and not found.is_revoked:
            raise CallError(
                "meter_taken",
                "the meter is registered",
                actual=found.member,
                hint="Revoke it first.",
            )


def _validate_start(
    ctx: CallContext,
    config: MetersConfig,
    progress: Progress,
    before: Connection | None,
    interval: int,
) -> None:
    """Raise CallError `wrong_interval` unless a meter can begin to measure there."""
    low = progress.interval
    if before is not None and before.end is not None:
        low = max(low, before.end)
    high = config.interval_of(ctx.time_ms) + config.intervals_per_day
    if not low <= interval <= high:
        raise CallError(
            "wrong_interval",
            "a meter begins in an interval that is not closed, after the meter before it",
            expected=f"{low} to {high}",
            actual=interval,
        )


def _count_readers(ctx: CallContext) -> int:
    return int.from_bytes(ctx.get(CONSENT_SPACE + ctx.caller) or b"", "big")


def _load_registered(ctx: CallContext, meter: bytes) -> Meter:
    leaf = load_meter(ctx, meter)
    if leaf is None:
        raise CallError(
            "unknown_meter",
            "the meter is not registered for a connection",
            actual=meter,
            hint="The DSO or an operator registers meters.",
        )
    if leaf.is_revoked:
        raise CallError("revoked_meter", "the meter's registration was revoked", actual=meter)
    return leaf


def _load_own(ctx: CallContext, member: bytes) -> Connection:
    connection = load_connection(ctx, member)
    if connection is None:
        raise InvariantViolation(f"a meter is registered for {member.hex()}, without connection")
    return connection


def _take(
    ctx: CallContext,
    config: MetersConfig,
    member: bytes,
    connection: Connection,
    first: int,
    registers: tuple[Pair, ...],
) -> int:
    """Take registers of a connection's meter; return how many were not known."""
    progress = load_progress(ctx)
    earliest = first_open(ctx, config, progress)
    last = first + len(registers) - 1
    if first < connection.start:
        raise CallError(
            "before_start",
            "the meter did not measure this connection yet",
            expected=f"from interval {connection.start} on",
            actual=first,
        )
    if ctx.time_ms < config.end_ms(last):
        raise CallError(
            "future_reading",
            f"interval {last} has not ended",
            expected=f"from {config.end_ms(last)} ms on",
            actual=ctx.time_ms,
        )
    if first < earliest:
        raise CallError(
            "too_late",
            "the interval is final",
            expected=f"from interval {earliest} on",
            actual=first,
        )
    rollover = connection.rollover_milli_wh
    for register in registers if rollover else ():
        if max(register) >= rollover:
            raise CallError(
                "wrong_register",
                "registers are below where they roll over",
                expected=f"below {rollover}",
                actual=max(register),
            )
    series = Series(ctx, config, member, connection, earliest)
    new = series.add_all(first, registers)
    series.save(progress.interval)
    return new

"""The module of certificates: plants, guarantees of origin, and green-choice coins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from market.certificates.coins import CoinProgress, coins_due, enrol, leave
from market.certificates.contract_interface import certificates_interfaces
from market.certificates.crediting import (
    CreditProgress,
    begin_crediting,
    credit_due,
    last_interval,
    settle_due,
    take_debt,
)
from market.certificates.due import COINS, CREDIT, EXPIRE, SETTLE
from market.certificates.governing import changed_terms
from market.certificates.lots import expire_lot, retire_lot, transfer_lot
from market.certificates.records import (
    LOT_SPACE,
    MARK,
    PLANT_COUNTER,
    PLANT_INDEX,
    PLANT_NAME_SPACE,
    PLANT_OF_SPACE,
    PLANT_SPACE,
    TERMS_KEY,
    CertificateTerms,
    Lot,
    Plant,
    decode_leaf,
    encode_leaf,
    find_plant,
    load_terms,
    load_terms_at,
    lot_index_key,
    plant_at,
    save_changed_terms,
    save_plant,
)
from market.certificates.section import MAX_CAPACITY_W, FirstPlant, read_section
from market.day.records import load_market
from market.meters.readings import has_meter
from market.meters.records import load_config as load_meters
from market.meters.records import load_terms as load_meter_terms
from vm.arguments import ACCOUNT, AMOUNT, NAME, Argument, either, integer, text
from vm.context import CallContext
from vm.module import Interfaces, Module, Section, method
from vm.primitives.codec import Encodable, Value, unpack_trusted
from vm.primitives.errors import CallError, InvalidGenesis, InvariantViolation
from vm.system.account_leaf import load_active_account
from vm.system.members import NAME_SPACE

REGISTRAR_ROLES: Final = ("dso", "operator")
MAX_TEXT_BYTES: Final = 128

LOT = integer(1, 2**63 - 1)
CAPACITY = integer(1, MAX_CAPACITY_W)
BENEFICIARY = either(ACCOUNT, text(MAX_TEXT_BYTES))


class CertificatesModule(Module):
    """Certificates; none where genesis has no section for them."""

    name = "certificates"

    def init_genesis(self, ctx: CallContext, section: Section) -> None:
        """Write the terms and the first plants; meters are there already. Raises InvalidGenesis."""
        if not section:
            return
        terms, plants = read_section(
            section, load_meters(ctx), lambda name: ctx.get(NAME_SPACE + name.encode())
        )
        ctx.put(TERMS_KEY, encode_leaf(terms))
        try:
            if terms.market:
                load_market(ctx, terms.market)
            for plant in plants:
                _register(ctx, terms, plant, since_later=0)
        except CallError as error:
            raise InvalidGenesis(f"'certificates': {error}") from error

    def contract_interfaces(self) -> Interfaces:
        """Return the interface `certificates`."""
        return certificates_interfaces()

    @method(
        Argument("plant", NAME),
        Argument("owner", ACCOUNT),
        Argument("member", ACCOUNT),
        Argument("technology", NAME),
        Argument("capacity_w", CAPACITY),
        roles=REGISTRAR_ROLES,
    )
    def register(
        self,
        ctx: CallContext,
        plant: str,
        owner: bytes,
        member: bytes,
        technology: str,
        capacity_w: int,
    ) -> Encodable:
        """Register a plant that feeds a member's connection, from the next interval on.

        Returns its number. The meter of the connection proves its energy.
        """
        terms = load_terms(ctx)
        first = FirstPlant(plant, owner, member, technology, capacity_w)
        number, since = _register(ctx, terms, first, since_later=1)
        ctx.emit("register", number, *first, since)
        return number

    @method(Argument("plant", NAME), roles=REGISTRAR_ROLES)
    def close(self, ctx: CallContext, plant: str) -> Encodable:
        """End a plant's registration with the interval that runs; what it carries is given up.

        What it was issued too much, the next plant at the connection makes up for.
        """
        load_terms(ctx)
        found = find_plant(ctx, plant)
        _validate_open(found)
        found.end = max(_interval_now(ctx) + 1, found.since)
        save_plant(ctx, found)
        ctx.emit("close", plant, found.end)
        return None

    @method(Argument("plant", NAME), Argument("owner", ACCOUNT))
    def set_owner(self, ctx: CallContext, plant: str, owner: bytes) -> Encodable:
        """Hand the caller's plant over: what is issued from now on is another's."""
        load_terms(ctx)
        found = find_plant(ctx, plant)
        if found.owner != ctx.caller:
            raise CallError("not_your_plant", "the plant belongs to another member")
        _validate_open(found)
        load_active_account(ctx, owner)
        found.owner = owner
        save_plant(ctx, found)
        ctx.emit("set_owner", plant, ctx.caller, owner)
        return None

    @method(Argument("lot", LOT), Argument("count", AMOUNT), Argument("to", ACCOUNT))
    def transfer(self, ctx: CallContext, lot: int, count: int, to: bytes) -> Encodable:
        """Give certificates of a lot to a member; returns the lot that they are in then."""
        return transfer_lot(ctx, lot, count, to)

    @method(
        Argument("lot", LOT),
        Argument("count", AMOUNT),
        Argument("beneficiary", BENEFICIARY),
        Argument("purpose", text(MAX_TEXT_BYTES)),
    )
    def retire(
        self, ctx: CallContext, lot: int, count: int, beneficiary: bytes | str, purpose: str
    ) -> Encodable:
        """Use up certificates of a lot for a member or for somebody named, and say what for."""
        retire_lot(ctx, lot, count, beneficiary, purpose)
        return None

    @method()
    def enrol(self, ctx: CallContext) -> Encodable:
        """Have the caller's withdrawals count for green-choice coins."""
        enrol(ctx, load_terms(ctx), load_meter_terms(ctx))
        return None

    @method()
    def leave(self, ctx: CallContext) -> Encodable:
        """Let the caller's withdrawals count no more; its coins stay as they are."""
        load_terms(ctx)
        leave(ctx, load_meter_terms(ctx))
        return None

    def on_due(self, ctx: CallContext, payload: bytes) -> None:
        """Credit a period, settle it, end a lot, or settle an interval's coins."""
        meters = load_meter_terms(ctx)
        match unpack_trusted(payload):
            case (int(kind), int(period), int(resume), int(plants)) if kind == CREDIT:
                terms = self._terms_of(ctx, period)
                credit_due(ctx, terms, meters, period, CreditProgress(resume, plants))
            case (int(kind), int(period), int(resume), int(plants)) if kind == SETTLE:
                terms = self._terms_of(ctx, period)
                settle_due(ctx, terms, meters, period, CreditProgress(resume, plants))
            case (int(kind), int(lot)) if kind == EXPIRE:
                expire_lot(ctx, lot)
            case (int(kind), int(interval), tuple(progress)) if kind == COINS:
                terms = load_terms_at(ctx, interval)
                coins_due(ctx, terms, meters, interval, CoinProgress(*progress))  # type: ignore[arg-type]
            case _:
                raise InvariantViolation(f"certificates scheduled {payload.hex()[:80]}")

    def change_parameters(
        self, ctx: CallContext, subject: str, values: Mapping[str, Value]
    ) -> None:
        """Set what certificates stand for and what coins are, from the next interval on."""
        if subject:
            raise CallError("unknown_subject", "certificates have no parts", actual=subject)
        known, since = load_terms(ctx), _interval_now(ctx) + 1
        save_changed_terms(ctx, known, changed_terms(known, values, since))

    def _terms_of(self, ctx: CallContext, period: int) -> CertificateTerms:
        """Return the terms of a period: those of its last interval."""
        return load_terms_at(ctx, last_interval(load_terms(ctx), period))

    def rebuild_index(self, ctx: CallContext, key: bytes, value: bytes) -> None:
        """Write the entry of a plant or a lot again from its leaf."""
        if key[:2] == PLANT_SPACE and decode_leaf(Plant, value).is_watched:
            ctx.put(PLANT_INDEX + key[2:], MARK)
        elif key[:2] == LOT_SPACE:
            ctx.put(lot_index_key(decode_leaf(Lot, value)), MARK)


def _register(
    ctx: CallContext, terms: CertificateTerms, first: FirstPlant, *, since_later: int
) -> tuple[int, int]:
    """Write a plant; return its number and its first interval."""
    name = PLANT_NAME_SPACE + first.name.encode()
    if ctx.get(name) is not None:
        raise CallError("plant_taken", "a plant has this name", actual=first.name)
    if first.technology not in terms.technologies:
        raise CallError(
            "unknown_technology",
            "this network has no certificates for it",
            expected=" or ".join(terms.technologies),
            actual=first.technology,
        )
    load_active_account(ctx, first.owner)
    if not has_meter(ctx, first.member):
        raise CallError(
            "no_meter",
            "the connection has no meter that could prove energy",
            actual=first.member,
            hint="Register a meter for the member first.",
        )
    other = plant_at(ctx, first.member)
    if other is not None and other.end is None:
        raise CallError(
            "connection_taken",
            "another plant feeds this connection: a meter proves the energy of one",
            actual=other.name,
        )
    number = ctx.next_number(PLANT_COUNTER)
    since = _interval_now(ctx) + since_later
    debt = 0 if other is None else take_debt(ctx, other)
    save_plant(ctx, Plant(number, *first, since, None, 0, debt, since, since, is_watched=True))
    for key in (name, PLANT_OF_SPACE + first.member):
        ctx.put(key, number.to_bytes(4, "big"))
    ctx.put(PLANT_INDEX + number.to_bytes(4, "big"), MARK)
    begin_crediting(ctx, terms, load_meter_terms(ctx))
    return number, since


def _validate_open(plant: Plant) -> None:
    if plant.end is not None:
        raise CallError("plant_closed", "the plant is not registered any more", actual=plant.name)


def _interval_now(ctx: CallContext) -> int:
    return load_meter_terms(ctx).interval_of(ctx.time_ms)

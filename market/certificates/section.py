"""The section `certificates` of a genesis file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from market.certificates.records import CertificateTerms
from market.meters.records import MINUTES_PER_DAY, MetersConfig
from vm.primitives.errors import InvalidGenesis
from vm.primitives.genesis_fields import AccountOf, GenesisFields, read_object
from vm.primitives.integers import MILLI_WH_PER_KWH

TECHNOLOGIES: Final = ("solar", "wind", "hydro", "biomass", "geothermal", "ocean")
"""What Directive (EU) 2018/2001, Article 2 (1), calls renewable, in one word each."""
MAX_UNIT_KWH: Final = 1_000_000
MAX_PERIOD: Final = 672
"""Intervals credited together: a week of quarters of an hour."""
VALIDITY_DAYS: Final = 365
"""Article 19 (3): twelve months after the production of the unit."""
MAX_VALIDITY_DAYS: Final = 3_660
MAX_PLANTS: Final = 10_000
MAX_CAPACITY_W: Final = 10**9
MAX_UNIT: Final = MAX_UNIT_KWH * MILLI_WH_PER_KWH
MAX_COINS: Final = 10**12
_FIELDS: Final = (
    "unit_kwh",
    "period_intervals",
    "validity_days",
    "technologies",
    "coins",
    "plants",
)


class FirstPlant(NamedTuple):
    """A plant that genesis registers."""

    name: str
    """Its name."""
    owner: bytes
    """Account that gets its certificates; the member's unless named."""
    member: bytes
    """The member whose connection it feeds."""
    technology: str
    """What it makes electricity from."""
    capacity_w: int
    """Its nominal power."""


def read_section(
    section: Mapping[str, object], meters: MetersConfig | None, account_of: AccountOf
) -> tuple[CertificateTerms, list[FirstPlant]]:
    """Return the terms and the first plants; raises InvalidGenesis."""
    fields = read_object(section, "'certificates'", _FIELDS)
    if meters is None:
        raise InvalidGenesis(
            "'certificates' needs meters, which prove what plants produce",
            expected="a section 'meters'",
        )
    technologies = _technologies(fields)
    coins = read_object(
        fields.found.get("coins", {}), "'certificates.coins'", ("market", "earned", "lost")
    )
    terms = CertificateTerms(
        _unit_milli_wh(fields),
        fields.integer("period_intervals", 1, MAX_PERIOD, default=meters.intervals_per_day),
        fields.integer("validity_days", 1, MAX_VALIDITY_DAYS, default=VALIDITY_DAYS)
        * MINUTES_PER_DAY,
        technologies,
        coins.name("market", default=""),
        coins.decimal("earned", default="1", most=MAX_COINS),
        coins.decimal("lost", default="1", most=MAX_COINS),
    )
    _validate_retention(terms, meters)
    plants = [
        _read_plant(entry, place, technologies, account_of)
        for place, entry in enumerate(fields.entries("plants", most=MAX_PLANTS))
    ]
    return terms, plants


def _unit_milli_wh(fields: GenesisFields) -> int:
    """Return the energy of a certificate: whole kWh as a number, parts of them as text."""
    if type(fields.found.get("unit_kwh", 0)) is int:
        return fields.integer("unit_kwh", 1, MAX_UNIT_KWH, default=1_000) * MILLI_WH_PER_KWH
    unit = fields.decimal("unit_kwh", most=MAX_UNIT)
    if not unit:
        raise fields.refusal("unit_kwh", "is some energy", "above 0")
    return unit


def _technologies(fields: GenesisFields) -> tuple[str, ...]:
    found = fields.found.get("technologies", list(TECHNOLOGIES))
    if (
        not isinstance(found, list)
        or not 1 <= len(found) <= len(TECHNOLOGIES)
        or any(name not in TECHNOLOGIES for name in found)
        or len(dict.fromkeys(found)) != len(found)
    ):
        raise fields.refusal("technologies", "lists renewable ones", ", ".join(TECHNOLOGIES))
    return tuple(found)


def _read_plant(
    entry: object, place: int, technologies: tuple[str, ...], account_of: AccountOf
) -> FirstPlant:
    own = read_object(
        entry,
        f"'certificates': plant {place}",
        ("plant", "owner", "member", "technology", "capacity_w"),
    )
    member = own.account("member", account_of)
    return FirstPlant(
        own.name("plant"),
        own.account("owner", account_of, default=member),
        member,
        technologies[own.choice("technology", technologies)],
        own.integer("capacity_w", 1, MAX_CAPACITY_W),
    )


def _validate_retention(terms: CertificateTerms, meters: MetersConfig) -> None:
    """Readings of a period must still be there when its last interval is final, and a day after."""
    changeable = meters.deadline_minutes + meters.correction_minutes
    period = terms.period_intervals * meters.interval_minutes
    if period + changeable + MINUTES_PER_DAY > meters.retention_days * MINUTES_PER_DAY:
        raise InvalidGenesis(
            "'certificates.period_intervals' is longer than meters keep readings for it",
            expected="a day less than 'meters.retention_days', with deadline and corrections",
            actual=terms.period_intervals,
        )

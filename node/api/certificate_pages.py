"""What the API says of certificates: lots by owner, plants, and a member's green-choice coins.

What a plant carries and what a member withdrew are readings, and not told here. Coins change by
what a member withdrew: how many there are is for those whom its readings concern.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import islice
from typing import Final, TypeVar

from market.certificates.records import (
    LOT_SPACE,
    PLANT_SPACE,
    CertificateTerms,
    Lot,
    Plant,
    decode_leaf,
    read_coins,
    read_lots_of,
    read_plant,
    read_terms,
)
from node.api.answers import Answer, ApiError, JsonObject
from node.api.context import ApiContext
from node.api.parameters import HEIGHT, LIMIT, WHO, Arguments, Parameter, Schema
from node.api.render import named
from node.api.routes import BASE, Route
from node.api.schemas import (
    ADDRESS,
    COUNT,
    NAME_OR_NULL,
    TEXT,
    array,
    nullable,
    record,
    ref,
)
from vm.overlay import StateReader
from vm.primitives.address import encode_address
from vm.primitives.errors import InvariantViolation

_Numbered = TypeVar("_Numbered", Lot, Plant)
_END: Final = b"\xff" * 9
_LIMIT: Final = Parameter("limit", LIMIT, "At most so many entries.", default=50)


async def list_certificates(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /certificates: lots that stand, the oldest first."""
    store = context.facade.store
    limit, after = arguments.number("limit"), arguments.optional_number("after") or 0
    owner = arguments.text("owner")
    lots = read_lots_of(store, context.resolve(owner), after) if owner else _lots(store, after)
    shown, following = _page(lots, limit)
    terms = read_terms(store)
    return Answer(
        {
            "terms": None if terms is None else _terms_json(terms),
            "certificates": [_lot_json(context, lot) for lot in shown],
            "next": following,
        }
    )


async def list_plants(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /certificates/plants: all that were registered, the oldest first."""
    limit, after = arguments.number("limit"), arguments.optional_number("after") or 0
    shown, following = _page(_plants(context.facade.store, after), limit)
    return Answer({"plants": [_plant_json(context, one) for one in shown], "next": following})


async def show_coins(context: ApiContext, arguments: Arguments) -> Answer:
    """Answer GET /certificates/coins/{who}."""
    account = context.resolve(arguments.text("who"))
    coins = read_coins(context.facade.store, account)
    if coins is None:
        raise ApiError(
            404,
            "no_coins",
            "the member never took part, and nothing was retired for it",
            hint="`bitenergy certificate enrol` has its withdrawals count from then on.",
        )
    return Answer(
        {
            "member": encode_address(account),
            "member_name": context.names.find(account),
            "balance_micro": coins.balance_micro if arguments.viewer.may_see(account) else None,
            "since": coins.since,
            "end": coins.end,
        }
    )


def _page(found: Iterable[_Numbered], limit: int) -> tuple[list[_Numbered], int | None]:
    """Return the first entries, and the number of the last if there are more."""
    listed = list(islice(found, limit + 1))
    shown = listed[:limit]
    return shown, shown[-1].number if len(listed) > limit else None


def _lots(store: StateReader, after: int) -> Iterator[Lot]:
    start = LOT_SPACE + min(after + 1, 2**63).to_bytes(8, "big")
    for _, data in store.scan(start, LOT_SPACE + _END):
        yield decode_leaf(Lot, data)


def _plants(store: StateReader, after: int) -> Iterator[Plant]:
    start = PLANT_SPACE + min(after + 1, 2**32 - 1).to_bytes(4, "big")
    for _, data in store.scan(start, PLANT_SPACE + _END):
        yield decode_leaf(Plant, data)


def _terms_json(terms: CertificateTerms) -> JsonObject:
    found: JsonObject = {each.name: getattr(terms, each.name) for each in fields(terms)}
    return {**found, "technologies": list(terms.technologies)}


def _lot_json(context: ApiContext, lot: Lot) -> JsonObject:
    plant = read_plant(context.facade.store, lot.plant)
    if plant is None:
        raise InvariantViolation(f"lot {lot.number} is of a plant that is gone")
    shown = named([(each.name, getattr(lot, each.name)) for each in fields(lot)], context.names)
    del shown["number"]
    return {"lot": lot.number, "owner_name": None, **shown, "plant": plant.name}


def _plant_json(context: ApiContext, plant: Plant) -> JsonObject:
    values = [
        ("owner", plant.owner),
        ("member", plant.member),
        ("technology", plant.technology),
        ("capacity_w", plant.capacity_w),
        ("since", plant.since),
        ("end", plant.end),
        ("issued", plant.issued),
    ]
    shown = named(values, context.names)
    names = {"owner_name": None, "member_name": None}
    return {"number": plant.number, "plant": plant.name, **names, **shown}


CERTIFICATE_SCHEMAS: Final[Mapping[str, Schema]] = {
    "Certificates": record(
        {
            "terms": nullable(
                record(
                    {
                        "unit_milli_wh": COUNT,
                        "period_intervals": COUNT,
                        "validity_minutes": COUNT,
                        "technologies": array(TEXT),
                        "market": TEXT,
                        "earned_micro_per_kwh": COUNT,
                        "lost_micro_per_kwh": COUNT,
                        "since": COUNT,
                    }
                )
            ),
            "certificates": array(
                record(
                    {
                        "lot": COUNT,
                        "plant": TEXT,
                        "first_serial": COUNT,
                        "count": COUNT,
                        "owner": ADDRESS,
                        "owner_name": NAME_OR_NULL,
                        "technology": TEXT,
                        "unit_milli_wh": COUNT,
                        "produced_from_ms": COUNT,
                        "produced_until_ms": COUNT,
                        "expires_ms": COUNT,
                    }
                )
            ),
            "next": nullable(COUNT),
        }
    ),
    "Plants": record(
        {
            "plants": array(
                record(
                    {
                        "number": COUNT,
                        "plant": TEXT,
                        "owner": ADDRESS,
                        "owner_name": NAME_OR_NULL,
                        "member": ADDRESS,
                        "member_name": NAME_OR_NULL,
                        "technology": TEXT,
                        "capacity_w": COUNT,
                        "since": COUNT,
                        "end": nullable(COUNT),
                        "issued": COUNT,
                    }
                )
            ),
            "next": nullable(COUNT),
        }
    ),
    "Coins": record(
        {
            "member": ADDRESS,
            "member_name": NAME_OR_NULL,
            "balance_micro": nullable(COUNT),
            "since": nullable(COUNT),
            "end": nullable(COUNT),
        }
    ),
}
"""Every schema of certificates by name."""

CERTIFICATE_ROUTES: Final = (
    Route(
        "GET",
        f"{BASE}/certificates",
        "certificates",
        "The terms of certificates (null where the network has none), and the lots that stand, the "
        "oldest first; `next` is the `after` to go on with.",
        ref("Certificates"),
        list_certificates,
        (
            Parameter("owner", WHO, "Only lots of this member."),
            _LIMIT,
            Parameter("after", HEIGHT, "Only lots with a higher number."),
        ),
        {404: "No such member."},
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/certificates/plants",
        "plants",
        "The plants that were registered, the oldest first, and how many certificates each was "
        "issued; `next` is the `after` to go on with.",
        ref("Plants"),
        list_plants,
        (_LIMIT, Parameter("after", HEIGHT, "Only plants with a higher number.")),
        searches=True,
    ),
    Route(
        "GET",
        f"{BASE}/certificates/coins/{{who}}",
        "coins",
        "From which interval until which a member's withdrawals count for green-choice coins; and "
        "how many it has, null for those whom its readings do not concern.",
        ref("Coins"),
        show_coins,
        (Parameter("who", WHO, "The member."),),
        {404: "No such member, or one that has no coins."},
    ),
)
"""Every route of certificates."""

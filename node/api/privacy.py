"""Whose energies a request may see: readings of meters are personal data.

A single member's readings are for the member, its meter until that is revoked, those whom it
allowed, the DSO and auditors. They show who they are by signing the request. Everybody else sees
that a reading was there, not what it was; the sum over all connections of the network is for
everybody where at least MIN_CONNECTIONS of them were measured and made it up. No other sum is: two
sums over sets that differ by few connections are a reading of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.certificates.records import COINS_SPACE, CREDIT_SPACE, PLANT_SPACE
from market.day.records import STANDING_SPACE
from market.day.settlement_records import (
    HEAD_SPACE,
    PAGE_SPACE,
    SETTLEMENT_SPACE,
    SUM_FIELDS,
    TOTALS_SPACE,
)
from market.meters.records import (
    CHUNK_SPACE,
    CONNECTION_SPACE,
    GAPS_SPACE,
    METER_SPACE,
    SUMS_SPACE,
    Meter,
    consent_key,
    decode_leaf,
    read_connection,
)
from market.quota.records import STATION_SPACE
from market.response.records import ENROLMENT_SPACE, RESULT_SPACE
from node.api.answers import ApiError
from node.ledger.receipt import Receipt
from node.ledger.transaction import Transaction
from vm.context import Event
from vm.overlay import StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import Encodable
from vm.runtime import Call

MIN_CONNECTIONS: Final = 5
"""Connections below which what they moved together is not for everybody."""
ALL_SEEING_ROLES: Final = ("dso", "auditor")
PUBLIC_SUMS: Final = SUM_FIELDS[:2]
"""What everybody gets of a day market's settlement. What follows from meters is over others than
the sum of the network is, and some of it over one member alone, if no other falls short."""

_Span = tuple[int, int | None]
"""From which value on, and up to which, the values are energies."""
PERSONAL_EVENTS: Final[Mapping[tuple[str, str], _Span]] = {
    ("meters", "estimated"): (2, 4),
    ("meters", "corrected"): (2, 4),
    ("meters", "true_up"): (2, 4),
    ("quota", "record"): (2, 3),
    ("quota", "unproved"): (2, None),
    ("response", "record"): (2, None),
    ("response", "baseline"): (2, None),
    ("response", "settle"): (2, 3),
    ("day", "settle"): (3 + len(PUBLIC_SUMS), None),
}
PERSONAL_CALLS: Final[Mapping[tuple[str, str], _Span]] = {
    ("meters", "submit"): (1, None),
    ("meters", "register"): (3, None),
    ("meters", "revoke"): (1, None),
    ("quota", "record"): (2, None),
    ("response", "record"): (2, None),
    ("response", "record_past"): (2, None),
}
PERSONAL_SPACES: Final = (
    CHUNK_SPACE,
    CONNECTION_SPACE,
    GAPS_SPACE,
    SUMS_SPACE,
    STANDING_SPACE,
    HEAD_SPACE,
    PAGE_SPACE,
    SETTLEMENT_SPACE,
    TOTALS_SPACE,
    STATION_SPACE,
    ENROLMENT_SPACE,
    RESULT_SPACE,
    PLANT_SPACE,
    CREDIT_SPACE,
    COINS_SPACE,
)
"""Spaces of the state that hold energies of members, or of few, or hashes over these."""
_METERS: Final = "meters"
_CLOSED: Final = (_METERS, "closed")
_CLOSED_SUMS: Final = ((3, 5), (4, 6))
"""Which values of the event are sums over all connections, and how many made up each."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks."""

    state: StateReader | None
    """The state in which consents are looked up; None where nobody signed."""
    account: bytes
    """The account that signed the request; empty if none did."""
    sees_all: bool
    """Whether the account has a role that sees all readings."""

    def may_see(self, member: bytes) -> bool:
        """Tell whether this one may see a member's readings."""
        if self.sees_all or (self.account and self.account == member):
            return True
        if self.state is None:
            return False
        data = self.state.get(METER_SPACE + self.account)
        meter = None if data is None else decode_leaf(Meter, data)
        if meter is not None and meter.member == member and not meter.is_revoked:
            return True
        return self.state.get(consent_key(member, self.account)) is not None

    def may_see_any(self, values: Iterable[Encodable]) -> bool:
        """Tell whether this one may see the readings of one of the accounts among values."""
        if self.sees_all:
            return True
        return bool(self.account) and any(
            isinstance(value, bytes) and len(value) == ACCOUNT_ID_BYTES and self.may_see(value)
            for value in values
        )


@dataclass(frozen=True, slots=True)
class Withheld:
    """A state that refuses energies of meters, for code that runs in a name that nobody proved.

    A contract reads what members let it read, and may tell it to its caller alone.
    """

    state: StateReader
    """What is read else."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key; raises ApiError `personal_data`."""
        if key.startswith(CHUNK_SPACE):
            raise personal_data()
        return self.state.get(key)

    def scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what an ordered space holds; none of them holds energies."""
        return self.state.scan(start, end)


NOBODY: Final = Viewer(None, b"", sees_all=False)
"""Who did not sign."""
OWNER: Final = Viewer(None, b"", sees_all=True)
"""The owner of a light node, who asks it for what was handed out to it."""


def is_measured(state: StateReader, account: bytes) -> bool:
    """Tell whether an account's connection has or had a meter, so that its energy is ecoins."""
    return state.get(CONNECTION_SPACE + account) is not None


def may_see_energy(state: StateReader, account: bytes, viewer: Viewer) -> bool:
    """Tell whether the viewer may see what energy an account holds.

    Ecoins come to it without an event for what its meter saw injected: what it holds is a reading.
    """
    return viewer.may_see(account) or not is_measured(state, account)


def event_values(event: Event, viewer: Viewer) -> Sequence[Encodable]:
    """Return an event's values, without energies that the viewer may not see."""
    module, name, values = event
    span = PERSONAL_EVENTS.get((module, name))
    if (module, name) == _CLOSED and not viewer.sees_all:
        return _public_sums(values)
    if span is None:
        return values
    return values if viewer.may_see_any(values) else _without(values, span)


def call_values(call: Call, sender: bytes, viewer: Viewer) -> Sequence[Encodable]:
    """Return a call's arguments, without energies that the viewer may not see."""
    module, name, values = call
    span = PERSONAL_CALLS.get((module, name))
    if span is None or viewer.may_see_any([sender, *_measured(call, sender, viewer), *values]):
        return values
    return _without(values, span)


def is_hidden(transaction: Transaction, viewer: Viewer) -> bool:
    """Tell whether a transaction's bytes hold what the viewer may not see."""
    sender = transaction.sender
    return any(call_values(call, sender, viewer) is not call[2] for call in transaction.calls)


def is_personal(transaction: Transaction, receipt: Receipt, viewer: Viewer = NOBODY) -> bool:
    """Tell whether a transaction and what became of it hold what the viewer may not see."""
    return is_hidden(transaction, viewer) or any(
        event_values(event, viewer) is not event[2] for event in receipt.events
    )


def validate_provable(transaction: Transaction, receipt: Receipt, viewer: Viewer) -> None:
    """Raise ApiError `personal_data` if a proof would tell the viewer more than it may see."""
    if is_personal(transaction, receipt, viewer):
        raise personal_data()


def validate_attempt(calls: Iterable[Call]) -> None:
    """Raise ApiError `personal_data` if these calls' refusals would tell where registers stand."""
    for module, name, _ in calls:
        if module == _METERS and (module, name) in PERSONAL_CALLS:
            raise personal_data()


def personal_data() -> ApiError:
    """Return the refusal of what is for the member, its DSO and auditors."""
    return ApiError(
        403,
        "personal_data",
        "readings are for the member, whom it allowed, its DSO and auditors",
        expected="a request signed by one of them",
        hint="docs/api.md says how requests are signed.",
    )


def public_sum(energy_milli_wh: int, connections: int) -> int | None:
    """Return a sum over all connections if so many were measured and made it up, else None.

    One that injects nothing hides nobody who does, and it is seen from the street who does;
    an estimate hides nobody, since others know it.
    """
    return energy_milli_wh if connections >= MIN_CONNECTIONS else None


def _public_sums(values: Sequence[Encodable]) -> tuple[Encodable, ...]:
    shown = list(values)
    for place, count in _CLOSED_SUMS:
        match values[place], values[count]:
            case int(energy), int(connections):
                shown[place] = public_sum(energy, connections)
        shown[count] = None
    return tuple(shown)


def _measured(call: Call, sender: bytes, viewer: Viewer) -> list[bytes]:
    """Return the member whose connection a submission is of, if that is the meter's last one.

    A meter may be handed on: what it measured before is not the new member's.
    """
    module, name, values = call
    if viewer.state is None or (module, name) != (_METERS, "submit") or not values:
        return []
    data = viewer.state.get(METER_SPACE + sender)
    if data is None:
        return []
    member = decode_leaf(Meter, data).member
    connection, first = read_connection(viewer.state, member), values[0]
    is_its_own = (
        connection is not None
        and connection.meter == sender
        and isinstance(first, int)
        and first >= connection.start
    )
    return [member] if is_its_own else []


def _without(values: Sequence[Encodable], span: _Span) -> tuple[Encodable, ...]:
    begin, end = span
    stop = len(values) if end is None else end
    return tuple([None if begin <= place < stop else v for place, v in enumerate(values)])

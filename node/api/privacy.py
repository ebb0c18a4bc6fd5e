"""Whose energies a request may see: readings of meters are personal data.

A single member's readings are for the member, its meter until that is revoked, those whom it
allowed, the DSO and auditors. They show who they are by signing the request. Everybody else sees
that a reading was there, not what it was; sums over at least MIN_CONNECTIONS connections are for
everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from market.certificates.records import COINS_SPACE, CREDIT_SPACE, PLANT_SPACE
from market.day.settlement_records import PAGE_SPACE, SETTLEMENT_SPACE, TOTALS_SPACE
from market.meters.records import (
    CHUNK_SPACE,
    CONNECTION_SPACE,
    GAPS_SPACE,
    METER_SPACE,
    SUMS_SPACE,
    Meter,
    consent_key,
    decode_leaf,
)
from node.api.answers import ApiError
from node.ledger.receipt import Receipt
from node.ledger.transaction import Transaction
from vm.context import Event
from vm.overlay import StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import Encodable
from vm.runtime import Call

MIN_CONNECTIONS: Final = 5
"""Connections below which their sum is not for everybody."""
ALL_SEEING_ROLES: Final = ("dso", "auditor")

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
    PAGE_SPACE,
    SETTLEMENT_SPACE,
    TOTALS_SPACE,
    PLANT_SPACE,
    CREDIT_SPACE,
    COINS_SPACE,
)
"""Spaces of the state that hold energies of members, or of few."""
_METERS: Final = "meters"
_SUMS: Final[Mapping[tuple[str, str], tuple[int, _Span]]] = {
    (_METERS, "closed"): (1, (2, None)),
    ("day", "settle"): (3, (4, None)),
}
"""Events that tell sums: which value is the number of connections, and which are the sums."""


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


NOBODY: Final = Viewer(None, b"", sees_all=False)
"""Who did not sign."""
OWNER: Final = Viewer(None, b"", sees_all=True)
"""The owner of a light node, who asks it for what was handed out to it."""


def event_values(event: Event, viewer: Viewer) -> Sequence[Encodable]:
    """Return an event's values, without energies that the viewer may not see."""
    module, name, values = event
    span = PERSONAL_EVENTS.get((module, name))
    if span is None:
        if (module, name) not in _SUMS:
            return values
        count, span = _SUMS[module, name]
        if _covers_enough(values[count]):
            return values
    return values if viewer.may_see_any(values) else _without(values, span)


def call_values(call: Call, sender: bytes, viewer: Viewer) -> Sequence[Encodable]:
    """Return a call's arguments, without energies that the viewer may not see."""
    module, name, values = call
    span = PERSONAL_CALLS.get((module, name))
    if span is None or viewer.may_see_any([sender, *_members(sender, viewer), *values]):
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


def _covers_enough(connections: Encodable) -> bool:
    return isinstance(connections, int) and connections >= MIN_CONNECTIONS


def _members(sender: bytes, viewer: Viewer) -> list[bytes]:
    """Return the member whose meter the sender is."""
    data = viewer.state.get(METER_SPACE + sender) if viewer.state is not None else None
    return [] if data is None else [decode_leaf(Meter, data).member]


def _without(values: Sequence[Encodable], span: _Span) -> tuple[Encodable, ...]:
    begin, end = span
    stop = len(values) if end is None else end
    return tuple([None if begin <= place < stop else v for place, v in enumerate(values)])

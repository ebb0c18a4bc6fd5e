"""The leaves of settlements: how far one is, the pages of its lines, a member's totals of a month.

A page is the lines of up to 64 members, in the order of their accounts. Its head has the root of a
Merkle tree over the lines, its records have what they follow from. So one line is proved by the
head's leaf and a short path, and the state does not hold the lines themselves.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Final, NamedTuple

from market.day.lines import KIND_NAMES, Contracts, Flow, Line, difference, settle_member
from market.day.records import DayMarket, open_leaf
from vm.context import CallContext
from vm.overlay import StateReader
from vm.primitives.address import ACCOUNT_ID_BYTES
from vm.primitives.codec import Encodable, encode_integer, encode_trusted

SETTLEMENT_SPACE: Final = b"Di"
HEAD_SPACE: Final = b"Dh"
PAGE_SPACE: Final = b"Dr"
TOTALS_SPACE: Final = b"Dt"

SETTLEMENT_TYPE: Final = 129
HEAD_TYPE: Final = 130
PAGE_TYPE: Final = 131
TOTALS_TYPE: Final = 132
VERSION: Final = 1

COLLECTING: Final = 0
PAYING: Final = 1
DONE: Final = 2
FIRST: Final = 0
"""The part of a settlement that is made when readings are due."""
CORRECTED: Final = 1
"""The part that is made when they are final."""


@dataclass(slots=True)  # mutable: the working copy of a leaf, as accounts are
class Settlement:
    """A working copy of a part of an interval's settlement; its sums stay when it is done."""

    stage: int
    """COLLECTING, PAYING or DONE."""
    resume: bytes
    """The last account that was collected from."""
    page: int
    """Pages written while collecting, pages paid while paying."""
    pages: int
    """Pages in all, once collected."""
    members: int
    """Members with lines."""
    contracted_milli_wh: int
    """Energy that was bought locally."""
    injected_milli_wh: int
    """Energy that meters saw flow in; a difference in a correction."""
    withdrawn_milli_wh: int
    """Energy that meters saw flow out; a difference in a correction."""
    from_upstream_milli_wh: int
    """Energy that the upstream supplier sold; a difference in a correction."""
    to_upstream_milli_wh: int
    """Energy that it bought; a difference in a correction."""
    penalties_micro: int
    """Penalties, held until corrections end; a difference in a correction."""
    surplus_micro: int
    """What buyers paid beyond what sellers got."""
    upstream_micro: int
    """What the lines come to for the supplier; below 0 what it pays."""
    unpaid_micro: int
    """What members could not pay and owe the supplier now, less what they paid of that."""
    collected_micro: int
    """What members paid."""
    payable_micro: int
    """What members are to be paid."""
    missing_micro: int
    """What the supplier could not pay of that; each of them bears its part as a claim."""
    left_micro: int
    """What is left of the parts, less than a micro-token each."""
    ecoin_milli_wh: int
    """Ecoins that came into being; below 0 those that went."""

    def encode(self) -> bytes:
        """Return the canonical bytes of the leaf."""
        return encode_trusted((SETTLEMENT_TYPE, VERSION, *astuple(self)))


class Record(NamedTuple):
    """What the lines of one member and interval follow from."""

    account: bytes
    """The member."""
    contracts: Contracts
    """What it bought, sold and stated."""
    flow: Flow
    """What its meter tells."""
    before: Flow
    """What it told at the first settlement; only in a correction."""
    due_micro: int
    """What it is to be paid."""

    def lines(self, market: DayMarket, part: int) -> list[Line]:
        """Return its lines."""
        lines = settle_member(market, self.contracts, self.flow)
        if part == FIRST:
            return lines
        return difference(lines, settle_member(market, self.contracts, self.before))


class Head(NamedTuple):
    """What proves the lines of a page."""

    first: bytes
    """Account of the page's first member."""
    lines: int
    """Number of lines."""
    root: bytes
    """Root of the Merkle tree over them, 32 bytes."""


class Totals(NamedTuple):
    """A member's lines of a month, summed by kind."""

    energies_milli_wh: tuple[int, ...]
    """Energy of each kind."""
    amounts_micro: tuple[int, ...]
    """What the member pays of each kind."""
    lines: int
    """Number of lines."""

    def add(self, lines: list[Line]) -> Totals:
        """Return the totals with some more lines."""
        energies, amounts = list(self.energies_milli_wh), list(self.amounts_micro)
        for line in lines:
            energies[line.kind] += line.energy_milli_wh
            amounts[line.kind] += line.amount_micro
        return Totals(tuple(energies), tuple(amounts), self.lines + len(lines))


SUM_FIELDS: Final = (
    "members",
    "contracted_milli_wh",
    "injected_milli_wh",
    "withdrawn_milli_wh",
    "from_upstream_milli_wh",
    "to_upstream_milli_wh",
    "penalties_micro",
    "surplus_micro",
    "upstream_micro",
    "unpaid_micro",
    "ecoin_milli_wh",
)
"""The sums of a settlement that its event tells, in their order."""
NO_TOTALS: Final = Totals((0,) * len(KIND_NAMES), (0,) * len(KIND_NAMES), 0)
NO_FLOW: Final = Flow(0, 0, 0)


def encode_head(head: Head) -> bytes:
    """Return the leaf of a page's head."""
    return encode_trusted((HEAD_TYPE, VERSION, *head))


def decode_head(data: bytes) -> Head:
    """Return the head of a leaf's bytes."""
    return Head(*open_leaf(data, HEAD_TYPE, 3))  # type: ignore[arg-type]


def encode_page(records: list[Record]) -> bytes:
    """Return the leaf of a page's records."""
    return encode_trusted((PAGE_TYPE, VERSION, [_fields_of(record) for record in records]))


def decode_page(data: bytes) -> list[Record]:
    """Return the records of a page."""
    (records,) = open_leaf(data, PAGE_TYPE, 1)
    return [_record_of(*fields) for fields in records]  # type: ignore[union-attr, misc]


def load_settlement(
    ctx: CallContext, market: DayMarket, interval: int, part: int
) -> Settlement | None:
    """Return a part of an interval's settlement; None if it did not begin."""
    data = ctx.get(settlement_key(market, interval, part))
    return None if data is None else decode_settlement(data)


def read_settlement(
    state: StateReader, market: DayMarket, interval: int, part: int
) -> Settlement | None:
    """Return a part of an interval's settlement without gas, for readers; None if there is none."""
    data = state.get(settlement_key(market, interval, part))
    return None if data is None else decode_settlement(data)


def decode_settlement(data: bytes) -> Settlement:
    """Return the settlement of a leaf's bytes."""
    return Settlement(*open_leaf(data, SETTLEMENT_TYPE, 19))  # type: ignore[arg-type]


def encode_totals(totals: Totals) -> bytes:
    """Return the leaf of a member's totals."""
    return encode_trusted((TOTALS_TYPE, VERSION, *totals))


def decode_totals(data: bytes | None) -> Totals:
    """Return the totals of a leaf's bytes; none yet if there is no leaf."""
    return NO_TOTALS if data is None else Totals(*open_leaf(data, TOTALS_TYPE, 3))  # type: ignore[arg-type]


def settlement_key(market: DayMarket, interval: int, part: int) -> bytes:
    """Return the key of a part of an interval's settlement."""
    return SETTLEMENT_SPACE + market.prefix(interval) + bytes([part])


def head_key(market: DayMarket, interval: int, part: int, page: int) -> bytes:
    """Return the key of a page's head."""
    return HEAD_SPACE + page_place(market.number, interval, part, page)


def page_key(market: DayMarket, interval: int, part: int, page: int) -> bytes:
    """Return the key of a page's records."""
    return PAGE_SPACE + page_place(market.number, interval, part, page)


def totals_key(market: DayMarket, account: bytes, month: int) -> bytes:
    """Return the key of a member's totals of a month, for example 202606."""
    return TOTALS_SPACE + totals_place(market.number, account, month)


def page_place(market: int, interval: int, part: int, page: int) -> bytes:
    """Return how a page of the market with a number stands in keys."""
    numbers = market.to_bytes(2, "big") + interval.to_bytes(8, "big")
    return numbers + bytes([part]) + page.to_bytes(2, "big")


def totals_place(market: int, account: bytes, month: int) -> bytes:
    """Return how a member's month in the market with a number stands in keys."""
    return market.to_bytes(2, "big") + account + month.to_bytes(4, "big")


def totals_account(key: bytes) -> bytes:
    """Return the member of whose month a key of totals is."""
    start = len(TOTALS_SPACE) + 2
    return key[start : start + ACCOUNT_ID_BYTES]


def _fields_of(record: Record) -> tuple[Encodable, ...]:
    contracts = record.contracts
    return (
        record.account,
        (
            contracts.bought_milli_wh,
            encode_integer(contracts.bought_value),
            contracts.sold_milli_wh,
            encode_integer(contracts.sold_value),
            contracts.stated_buy_milli_wh,
            contracts.stated_sell_milli_wh,
        ),
        tuple(record.flow),
        tuple(record.before),
        record.due_micro,
    )


def _record_of(
    account: bytes,
    contracts: tuple[int, bytes, int, bytes, int, int],
    flow: tuple[int, ...],
    before: tuple[int, ...],
    due_micro: int,
) -> Record:
    bought, bought_value, sold, sold_value, buy, sell = contracts
    return Record(
        account,
        Contracts(
            bought,
            int.from_bytes(bought_value, "big", signed=True),
            sold,
            int.from_bytes(sold_value, "big", signed=True),
            buy,
            sell,
        ),
        Flow(*flow),
        Flow(*before),
        due_micro,
    )

"""Matching: which offers a buyer takes, in which order and at which price. It only reads.

Rule. Each offer competes at its price plus the penalty price for each limit between its seller and
the buyer that is already reached; the lowest goes first, at equal prices the one that has waited
longest. It is taken until it is empty, the buyer has enough, or the next limit is reached; what is
left of it then competes again at its new price. Under the policy `skip` what is behind a reached
limit is not tradable; under `ignore` limits are not looked at. The buyer's own offers, and those of
members that are suspended or removed, are passed over.

Method. What is left of limits only falls during a purchase, so an offer's price only rises, and a
heap of prices that are possibly too low gives the same order: what comes up with a price that has
risen since goes back in. The heap holds at most the best offer of each list of the order book that
was opened, and a list is opened only when the offer above it has been used up or passed over: a
reached line costs one step per bus behind it, a seller who cannot be used one step, however many
offers stand there.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from market.book import (
    BOOK_INDEX,
    BUSES,
    ENTRY_BYTES,
    OFFERS,
    RANK_BYTES,
    SELLER_HEAD,
    SELLERS,
    best_key,
    entry_offer_id,
    scan_after,
)
from market.capacity import Limit, Limits
from market.records import (
    IGNORE,
    OFFER_SPACE,
    PAYEE_EDC,
    PENALTY,
    MarketConfig,
    Offer,
    decode_offer,
    interval_prefix,
)
from vm.context import CallContext
from vm.primitives.errors import InvariantViolation, OutOfGas
from vm.system.accounts import ACTIVE, Account, load_account

MAX_FILLS: Final = 200
"""Fills of one purchase."""
MAX_PAYMENTS: Final = 600
"""Payments of one purchase, to sellers and to owners of lines: its receipt tells each."""

GAS_OF_CANDIDATE: Final = 250
"""For looking at an offer, each time it comes up."""
GAS_OF_PATH_LINE: Final = 5
"""For each line between it and the buyer, each time."""
GAS_OF_FILL: Final = 400
"""For carrying out one fill, beside what it reads, writes and tells."""
GAS_OF_PAYMENT: Final = 60
"""For each owner of a line whom the fill pays, beside the same."""

SETTLING_A_FILL: Final = 2_800
"""Gas that a partial purchase keeps for each fill to settle; less suffices unless the same block
deleted many of the book's entries, for which it then may run out of gas after all."""
SETTLING_A_PAYMENT: Final = 500
"""The same for each owner of a line who is paid."""
SETTLING_A_LIMIT: Final = 200
"""The same for each line and pair that it loads."""
SETTLING_THE_BUYER: Final = 1_000
"""The same for the rest."""

_BUS: Final = 0
_SELLER: Final = 1
_OFFER: Final = 2

_List = Iterator[tuple[bytes, bytes]]


class Candidate:
    """An offer in the running, at the head of what the book's lists still hold behind it."""

    __slots__ = (
        "bus",
        "entry",
        "followers",
        "left_milli_wh",
        "level",
        "offer",
        "price",
        "seller",
        "waits_for_bus",
        "waits_for_top",
    )

    def __init__(self, entry: bytes, level: int) -> None:
        self.entry = entry
        self.price = int.from_bytes(entry[:8], "big")
        self.seller = entry[24:44]
        self.bus = entry[44:]
        """Number of its bus, as in the order book's keys."""
        self.level = level
        """Whether it stands for its bus, for its seller, or for itself only."""
        self.waits_for_top = level == _BUS
        """Whether the next bus enters the running only once this offer gives way."""
        self.waits_for_bus = level != _OFFER
        """Whether the next seller of the bus enters only once this offer gives way."""
        self.followers: _List | None = None
        """The rest of the seller's offers, where it is open."""
        self.offer: Offer | None = None
        """The offer's leaf, read when it is first taken from."""
        self.left_milli_wh = 0
        """Energy that is still in it."""

    @property
    def offer_id(self) -> int:
        """Number of the offer."""
        return entry_offer_id(self.entry)


class Fill(NamedTuple):
    """Energy taken from one offer at one price."""

    candidate: Candidate
    """The offer."""
    energy_milli_wh: int
    """Energy."""
    price_micro_per_kwh: int
    """Price, penalties included."""
    owners: tuple[bytes, ...]
    """Owners of the limits that were already reached; empty for the market's own."""


class Matching:
    """One purchase in the making: `run` finds its fills; nothing is written."""

    __slots__ = (
        "_book",
        "_bus_lists",
        "_config",
        "_ctx",
        "_enforces",
        "_heap",
        "_max_price",
        "_networked",
        "_payments",
        "_penalty",
        "_reserves",
        "_skips",
        "_top_list",
        "_wanted",
        "accounts",
        "buyer",
        "candidates",
        "fills",
        "group",
        "is_full",
        "limits",
        "saw_own",
    )

    def __init__(
        self, ctx: CallContext, config: MarketConfig, interval: int, *, max_price: int, bus: int
    ) -> None:
        self._ctx = ctx
        self._config = config
        self.group = interval_prefix(config.prefix, interval)
        self._book = BOOK_INDEX + self.group
        self._networked = config.buses > 0
        self._max_price = max_price
        self._penalty = config.penalty_price_micro_per_kwh if config.policy == PENALTY else 0
        self._skips = config.policy != PENALTY
        self._enforces = config.policy != IGNORE
        self._heap: list[tuple[int, bytes, Candidate]] = []
        self._wanted = 0
        self._payments = 0
        self._reserves = False
        self._top_list: _List | None = None
        self._bus_lists: dict[bytes, _List] = {}
        self.buyer = ctx.caller
        self.limits: Limits | None = None
        if config.buses or config.pair_limits or config.default_pair_limit_milli_wh is not None:
            self.limits = Limits(ctx, config, interval, buyer=ctx.caller, bus=bus)
        self.accounts: dict[bytes, Account] = {}
        """Working copies of the accounts that the purchase changes."""
        self.candidates: list[Candidate] = []
        """Offers taken from, in the order in which they first were."""
        self.fills: list[Fill] = []
        self.saw_own = False
        """Whether an offer of the buyer's own was passed over."""
        self.is_full = False
        """Whether there was more to take than one purchase may."""

    def run(self, wanted_milli_wh: int, *, partial: bool) -> int:
        """Find fills for `wanted_milli_wh`; return how much of it is not to be had.

        With `partial` the gas for settling is set aside with each fill, and matching ends with the
        fills it has when the rest is used up.
        """
        ctx = self._ctx
        gas_limit = ctx.gas_limit
        self._reserves = partial
        try:
            return self._match(wanted_milli_wh)
        except OutOfGas:
            # It only read so far, so that whatever it was doing, the fills it found stand.
            if not partial or not self.fills:
                raise
            return self._wanted
        finally:
            ctx.gas_limit = gas_limit

    def _match(self, wanted_milli_wh: int) -> int:
        best = self._ctx.get(best_key(self.group, networked=self._networked))
        if best is None:
            return wanted_milli_wh
        self._wanted = wanted_milli_wh
        first = Candidate(best, _BUS)
        first.waits_for_top = self._networked
        heap = self._heap
        heap.append((first.price, first.entry[8:], first))
        while heap and self._wanted and not self.is_full:
            price, _, candidate = heappop(heap)
            if price > self._max_price:
                break
            self._ctx.charge(GAS_OF_CANDIDATE)
            self._consider(price, candidate)
        return self._wanted

    def account(self, account: bytes) -> Account:
        """Return the working copy of an account: one for the whole purchase."""
        found = self.accounts.get(account)
        if found is None:
            found = self.accounts[account] = load_account(self._ctx, account)
        return found

    def _consider(self, price: int, candidate: Candidate) -> None:
        """Take from a candidate that came up at `price`, put it back at a higher one, or pass."""
        owners: tuple[bytes, ...] = ()
        path: tuple[Limit, ...] = ()
        pair: Limit | None = None
        limits = self.limits
        if limits is not None and self._networked:
            path = limits.path(candidate.bus)
            self._ctx.charge(GAS_OF_PATH_LINE * len(path))
            if self._enforces:
                owners = tuple([line.owner for line in path if line.left_milli_wh <= 0])
                if owners and self._gives_way(price, candidate, len(owners), for_bus=True):
                    return
        if candidate.seller == self.buyer:
            self.saw_own = True
            self._admit_next(candidate)
            return
        if limits is not None:
            pair = limits.pair(candidate.seller)
            if pair is not None and pair.left_milli_wh <= 0 and self._enforces:
                owners = (*owners, b"")
                if self._gives_way(price, candidate, len(owners), for_bus=False):
                    return
        if self.account(candidate.seller).status != ACTIVE:
            del self.accounts[candidate.seller]
            self._admit_next(candidate)
            return
        self._take(price, candidate, owners, path if pair is None else (*path, pair))

    def _gives_way(self, price: int, candidate: Candidate, reached: int, *, for_bus: bool) -> bool:
        """Let a candidate behind reached limits go, or put it back at its true price.

        False if `price` is its true price. A bus behind a reached line gives way as a whole.
        """
        true_price = candidate.price + reached * self._penalty
        if not self._skips and true_price <= price:
            return False
        if for_bus and candidate.waits_for_bus:
            if candidate.waits_for_top:
                self._admit_next_bus(candidate)
        else:
            self._admit_next(candidate)
        if not self._skips:
            heappush(self._heap, (true_price, candidate.entry[8:], candidate))
        return True

    def _take(
        self, price: int, candidate: Candidate, owners: tuple[bytes, ...], limits: tuple[Limit, ...]
    ) -> None:
        payments = 1 + (len(owners) if self._config.penalty_payee == PAYEE_EDC else 0)
        if len(self.fills) == MAX_FILLS or self._payments + payments > MAX_PAYMENTS:
            self.is_full = True
            return
        self._ctx.charge(GAS_OF_FILL + GAS_OF_PAYMENT * (payments - 1))
        if self._reserves:
            self._reserve(payments - 1, limits)
        if candidate.offer is None:
            self._open(candidate)
        self._payments += payments
        energy = min(self._wanted, candidate.left_milli_wh)
        if self._enforces:
            for limit in limits:
                if 0 < limit.left_milli_wh < energy:
                    energy = limit.left_milli_wh
        for limit in limits:
            limit.left_milli_wh -= energy
            limit.added_milli_wh += energy
        self._wanted -= energy
        candidate.left_milli_wh -= energy
        self.fills.append(Fill(candidate, energy, price, owners))
        if not self._wanted:
            return
        if candidate.left_milli_wh:
            heappush(self._heap, (price, candidate.entry[8:], candidate))
        else:
            self._admit_next(candidate)
            self._admit_next_offer(candidate)

    def _reserve(self, owners: int, limits: tuple[Limit, ...]) -> None:
        """Set the gas aside that settling one more fill may need; raises OutOfGas."""
        ctx = self._ctx
        gas = SETTLING_A_FILL + SETTLING_A_PAYMENT * owners
        for limit in limits:
            if not limit.added_milli_wh:
                gas += SETTLING_A_LIMIT
        if not self.fills:
            gas += SETTLING_THE_BUYER
        ctx.gas_limit -= gas
        ctx.charge(0)

    def _open(self, candidate: Candidate) -> None:
        data = self._ctx.get(OFFER_SPACE + candidate.entry[16:24])
        if data is None:
            raise InvariantViolation(f"the book holds offer {candidate.offer_id}, which is gone")
        candidate.offer = decode_offer(data)
        candidate.left_milli_wh = candidate.offer.energy_milli_wh
        self.candidates.append(candidate)

    def _admit_next(self, candidate: Candidate) -> None:
        """Let the next bus and the next seller of the same bus in, if this candidate kept them."""
        if candidate.waits_for_top:
            self._admit_next_bus(candidate)
        if candidate.waits_for_bus:
            candidate.waits_for_bus = False
            self._admit_next_seller(candidate)

    def _admit_next_bus(self, candidate: Candidate) -> None:
        candidate.waits_for_top = False
        if self._top_list is None:
            self._top_list = scan_after(self._ctx, self._book + BUSES, candidate.entry)
        self._admit(self._top_list, _BUS, None)

    def _admit_next_seller(self, candidate: Candidate) -> None:
        others = self._bus_lists.get(candidate.bus)
        if others is None:
            rest = self._book + SELLERS + candidate.bus
            others = scan_after(self._ctx, rest, candidate.entry)
            self._bus_lists[candidate.bus] = others
        self._admit(others, _SELLER, None)

    def _admit_next_offer(self, candidate: Candidate) -> None:
        followers = candidate.followers
        if candidate.level != _OFFER:
            owner = candidate.bus + candidate.seller
            head = self._ctx.get(self._book + SELLER_HEAD + owner)
            if head is None or head[ENTRY_BYTES:] == b"\x00\x00\x00\x01":
                return
            followers = scan_after(self._ctx, self._book + OFFERS + owner, candidate.entry)
        if followers is not None:
            self._admit(followers, _OFFER, followers)

    def _admit(self, entries: _List, level: int, followers: _List | None) -> None:
        """Let the next entry of a list into the running at its price without penalties."""
        for key, value in entries:
            candidate = Candidate(key[-RANK_BYTES:] + value, level)
            candidate.followers = followers
            heappush(self._heap, (candidate.price, candidate.entry[8:], candidate))
            return

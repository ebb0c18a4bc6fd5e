"""Deviations from the truth in `huang`: what who lies gains, on every small book and at random.

`python -m tests.market.auction.deviations` is the campaign.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from market.auction.clearing import Clearing, Fill, conclude, pair_fills
from market.auction.huang import clear_huang, clear_ranked
from market.auction.misstatement import is_misstated, penalty_micro
from market.auction.orders import BUY, SELL, Order
from tests.market.auction.books import KWH, owner

PICO_PER_MICRO = 1_000_000
UNIT = 1_000_000
"""Energy of one unit on the small books; large, so that a rounded milliwatt-hour is no gain."""

Ranked = Callable[[Sequence[Order]], tuple[Sequence[Fill], Sequence[Fill], tuple[int, int]]]
Mechanism = Callable[[Sequence[Order], bytes], Clearing]


def clear_merged_round(book: Sequence[Order], seed: bytes) -> Clearing:
    """The same planted fault on a whole book."""
    bids, offers, prices = clear_merged(book)
    total = min(sum(energy for _, energy in bids), sum(energy for _, energy in offers))
    cut = [fill for fills in (bids, offers) for fill in _cut(fills, total)]
    first = len([order for order, _ in cut if order.side == BUY])
    return conclude(book, pair_fills(cut[:first], cut[first:], *prices))


def _cut(fills: Sequence[Fill], total: int) -> Iterator[Fill]:
    for order, energy in fills:
        taken = min(energy, total)
        total -= taken
        if taken:
            yield order, taken


def clear_merged(
    traders: Sequence[Order],
) -> tuple[list[Fill], list[Fill], tuple[int, int]]:
    """The planted fault: equal prices are one step, which trades, bears and sets prices as one.

    What a step trades its traders share in proportion.
    """
    steps: dict[tuple[int, int], list[Order]] = {}
    for trader in traders:
        steps.setdefault((trader.side, trader.price_micro_per_kwh), []).append(trader)
    merged = [
        own[0]._replace(energy_milli_wh=sum(trader.energy_milli_wh for trader in own))
        for own in steps.values()
    ]
    bids, offers, prices = clear_ranked(merged)
    spread: list[list[Fill]] = []
    for fills in (bids, offers):
        spread.append([])
        for step, energy in fills:
            for trader in steps[step.side, step.price_micro_per_kwh]:
                part = energy * trader.energy_milli_wh // step.energy_milli_wh
                spread[-1].append((trader, part))
    return spread[0], spread[1], prices


def find_small_lies(
    clear: Ranked, *, sides: Sequence[Sequence[int]], prices: int, sizes: Sequence[int]
) -> tuple[int, list[str]]:
    """Try every misreport of a price on every book; return their number, and those that pay.

    `sides` has the sides that each trader may take. A trader's place is its rank, and as every
    order of the traders is a book of its own, every ranking of equals is tried.
    """
    tried = 0
    paying: list[str] = []
    kinds = [list(product(own, sizes)) for own in sides]
    for shape in product(*kinds):
        # One number per book: the traders' prices as its digits.
        outcomes = [
            _small_outcome(clear, shape, stated)
            for stated in product(range(prices), repeat=len(shape))
        ]
        weight = len(outcomes)
        for place, (side, _) in enumerate(shape):
            weight //= prices
            for base in range(len(outcomes)):
                if base // weight % prices:
                    continue
                # The outcomes of stating price 0, 1, …, all else being equal.
                line = outcomes[base : base + weight * prices : weight]
                tried += prices * (prices - 1)
                for value, price in _profitable(line, place, side):
                    paying.append(f"{shape}, book {base}: {place} states {price} for {value}")
    return tried, paying


_Outcome = tuple[list[int], int, int]
"""Energy by trader, price paid and price got."""


def _small_outcome(
    clear: Ranked, shape: Sequence[tuple[int, int]], stated: Sequence[int]
) -> _Outcome:
    orders = [
        Order(rank, b"", side, size * UNIT, price, rank)
        for rank, ((side, size), price) in enumerate(zip(shape, stated, strict=True))
    ]
    bids, offers, (paid, got) = clear(orders)
    traded = [0] * len(orders)
    for order, energy in (*bids, *offers):
        traded[order.number] = energy
    return traded, paid, got


def _profitable(line: Sequence[_Outcome], place: int, side: int) -> Iterator[tuple[int, int]]:
    """Yield (true price, better price) where the truth is not the best statement."""
    if not any(traded[place] for traded, _, _ in line):
        return
    for value in range(len(line)):
        gains = [
            traded[place] * (2 * value - paid if side == BUY else got - 2 * value)
            for traded, paid, got in line
        ]
        best = max(gains)
        if best > gains[value]:
            yield value, gains.index(best)


@dataclass(frozen=True, slots=True)
class Terms:
    """The market of a random book."""

    retail: int
    """Retail tariff, micro-tokens per kWh: no bid is above it."""
    feed_in: int
    """Feed-in tariff: no offer is below it."""
    max_energy: int
    """Greatest energy of an order, milliwatt-hours."""


@dataclass(slots=True)
class Tally:
    """What a campaign found."""

    tried: Counter[str] = field(default_factory=Counter)
    """Deviations tried, by kind."""
    unpunished: Counter[str] = field(default_factory=Counter)
    """Those that would pay if no delivery penalty were counted."""
    paying: list[str] = field(default_factory=list)
    """Those that pay."""
    traded: int = 0
    """Books in which anything trades."""


KINDS = ("price", "split", "own shill", "quantity", "false name", "shill buys", "shill sells")
SHILL = 900


def random_book(rng: random.Random, terms: Terms) -> list[Order]:
    """Return a book of 4 to 24 traders; on a third of them, ties abound."""
    grid = rng.choice((2, 8, terms.retail - terms.feed_in))
    step = (terms.retail - terms.feed_in) // grid
    return [
        Order(
            place,
            owner(place),
            rng.randrange(2),
            rng.randint(1, terms.max_energy),
            terms.feed_in + step * rng.randint(0, grid),
            place,
        )
        for place in range(rng.randint(4, 24))
    ]


def deviate(
    rng: random.Random, kind: str, book: Sequence[Order], liar: Order, terms: Terms
) -> list[Order]:
    """Return the book with what the liar places instead of its order."""

    def any_price() -> int:
        near = rng.choice(book).price_micro_per_kwh + rng.choice((-1, 0, 1))
        wide = rng.randint(terms.feed_in, terms.retail)
        return min(max(rng.choice((near, wide)), terms.feed_in), terms.retail)

    energy, new = liar.energy_milli_wh, len(book)
    others = [order for order in book if order is not liar]
    if kind == "price":
        return [*others, liar._replace(price_micro_per_kwh=any_price())]
    if kind in ("split", "false name"):
        cuts = sorted(rng.randint(0, energy) for _ in range(rng.randint(1, 3)))
        parts = [part for part in map(int.__sub__, [*cuts, energy], [0, *cuts]) if part]
        if kind == "false name" and len(parts) == 1:
            parts = [*parts, rng.randint(1, terms.max_energy)]
        owners = [liar.owner] + [
            liar.owner if kind == "split" else owner(SHILL + n) for n in range(1, len(parts))
        ]
        first = [liar.price_micro_per_kwh] if rng.random() < 0.5 else [any_price()]
        prices = first + [any_price() for _ in parts[1:]]
        return [
            *others,
            *(
                Order(new + n, name, liar.side, part, price, new + n)
                for n, (name, part, price) in enumerate(zip(owners, parts, prices, strict=True))
            ),
        ]
    if kind == "quantity":
        stated = rng.choice((rng.randint(1, terms.max_energy), max(1, energy + rng.randint(-9, 9))))
        stated = min(stated, terms.max_energy)
        return [*others, liar._replace(energy_milli_wh=stated)]
    side = {"own shill": liar.side, "shill buys": BUY, "shill sells": SELL}[kind]
    name = liar.owner if kind == "own shill" else owner(SHILL)
    size = rng.choice((1, rng.randint(1, terms.max_energy)))
    return [*book, Order(new, name, side, size, any_price(), new)]


def utility(
    clearing: Clearing, book: Sequence[Order], liar: Order, terms: Terms, *, penalised: bool
) -> int:
    """Return what all accounts of the liar have from a clearing, in half pico-tokens.

    Its true energy is worth its price; more than that, a buyer gets rid of at the feed-in tariff
    and a seller gets from the upstream supplier at retail. Meters show the true energy of its own
    account, whatever traded, and nothing for its shills.
    """
    mine = {order.number: order for order in book if order.owner == liar.owner}
    shills = {order.number: order for order in book if order.owner >= owner(SHILL)}
    bought = sold = money = 0
    for trade in clearing.trades:
        if trade.bid in mine or trade.bid in shills:
            bought += trade.energy_milli_wh
            money -= trade.energy_milli_wh * trade.buyer_price_half_micro_per_kwh
        if trade.offer in mine or trade.offer in shills:
            sold += trade.energy_milli_wh
            money += trade.energy_milli_wh * trade.seller_price_half_micro_per_kwh
    value = liar.price_micro_per_kwh
    if liar.side == BUY:
        wanted = min(bought, liar.energy_milli_wh)
        money += 2 * (wanted * value + (bought - wanted) * terms.feed_in - sold * terms.retail)
    else:
        own = min(sold, liar.energy_milli_wh)
        money += 2 * (bought * terms.feed_in - own * value - (sold - own) * terms.retail)
    if penalised:
        stated: dict[bytes, int] = {}
        for order in (*mine.values(), *shills.values()):
            stated[order.owner] = stated.get(order.owner, 0) + order.energy_milli_wh
        penalty = penalty_micro(terms.max_energy, terms.retail, terms.feed_in)
        for name, energy in stated.items():
            measured = liar.energy_milli_wh if name == liar.owner else 0
            if is_misstated(energy, measured, 0):
                money -= 2 * penalty * PICO_PER_MICRO
    return money


def try_deviations(
    rng: random.Random, tally: Tally, *, per_book: int, clear: Mechanism = clear_huang
) -> None:
    """Draw a book and deviate from it."""
    feed_in = rng.randint(0, 10_000)
    terms = Terms(feed_in + rng.randint(8, 40_000), feed_in, rng.choice((3, 1_000, 10 * KWH)))
    book = random_book(rng, terms)
    truth = clear(book, rng.randbytes(32))
    tally.traded += bool(truth.trades)
    # Equal prices go by a seed that no lie steers: the truth and the lie are compared at one seed.
    seed = rng.randbytes(32)
    truth = clear(book, seed)
    for _ in range(per_book):
        liar = rng.choice(book)
        kind = rng.choice(KINDS)
        lie = deviate(rng, kind, book, liar, terms)
        found = clear(lie, seed)
        honest = utility(truth, book, liar, terms, penalised=True)
        tally.tried[kind] += 1
        # Units of a part of the excess that does not divide are no matter of prices.
        if utility(found, lie, liar, terms, penalised=False) > honest:
            tally.unpunished[kind] += 1
        if utility(found, lie, liar, terms, penalised=True) > honest:
            tally.paying.append(f"{kind}: {liar} on {book} with {lie}, {terms}, {seed.hex()}")


def main() -> int:
    """Run the campaign; the status is 0 only if no deviation pays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deviations", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started = time.monotonic()
    tried, paying = find_small_lies(
        clear_ranked, sides=[(BUY, SELL)] * 4, prices=6, sizes=(1, 2, 3)
    )
    print(f"every book of 4 traders, 6 prices and 3 sizes: {tried:,} misreports, {len(paying)} pay")
    rng = random.Random(arguments.seed)
    tally = Tally()
    books, per_book = 0, 20
    while sum(tally.tried.values()) < arguments.deviations:
        try_deviations(rng, tally, per_book=per_book)
        books += 1
        if books % 500 == 0:
            done = sum(tally.tried.values())
            print(f"\r{done:,} deviations, {len(tally.paying)} pay ", end="", flush=True)
    seconds = time.monotonic() - started
    print(
        f"\r{sum(tally.tried.values()):,} deviations on {books:,} books, {tally.traded:,} of which "
        f"trade, seed {arguments.seed}: {len(tally.paying)} pay ({seconds:.0f} s)"
    )
    for kind in KINDS:
        print(
            f"  {kind:<12} {tally.tried[kind]:>9,} tried, {tally.unpunished[kind]:>7,} would pay "
            "without the delivery penalty"
        )
    for line in [*paying[:3], *tally.paying[:3]]:
        print(line)
    return 1 if paying or tally.paying else 0


if __name__ == "__main__":
    sys.exit(main())

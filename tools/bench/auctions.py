"""`bitenergy bench auctions`: orders cleared per second, and what truthfulness costs in welfare."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

from market.auction.clearing import Clearing
from market.auction.huang import clear_huang
from market.auction.orders import Order
from market.auction.pay_as_bid import clear_pay_as_bid
from market.auction.uniform import clear_midpoint, clear_uniform
from tools.bench.curve import draw_curve
from tools.errors import EXIT_OK
from tools.output import print_fields, print_json, waiting
from vm.primitives.codec import encode

SIZES: Final = (10_000, 100_000)
TRADERS: Final = (4, 6, 10, 16, 25, 40, 63, 100, 160, 250, 400, 630, 1_000)
ORDERS_PER_POINT: Final = 40_000
SEED: Final = b"bench auctions".ljust(32, b"\x00")
MECHANISMS: Final[dict[str, Callable[[Sequence[Order]], Clearing]]] = {
    "uniform": clear_uniform,
    "midpoint": clear_midpoint,
    "huang": lambda book: clear_huang(book, SEED),
    "pay_as_bid": clear_pay_as_bid,
}


def run_bench(*, plot: str | None, as_json: bool) -> int:
    """Measure, draw and print; return the exit status."""
    figures: dict[str, object] = {}
    with waiting("books are cleared", quiet=as_json):
        for size in SIZES:
            book = draw_book(Random(size), size)
            for name, clear in MECHANISMS.items():
                figures[f"{name}_{size}_orders"] = _measure(book, clear)
        points = efficiency()
    figures["huang_efficiency_percent"] = {str(count): value for count, value in points}
    if plot is not None:
        Path(plot).write_text(
            draw_curve(
                "Welfare of huang in percent of the optimum",
                "traders in the book (each wants or offers 1 Wh to 10 kWh)",
                points,
            ),
            encoding="utf-8",
        )
    if as_json:
        print_json(figures)
    else:
        print_fields("bench auctions", [(name, str(value)) for name, value in figures.items()])
    return EXIT_OK


def draw_book(random: Random, size: int) -> list[Order]:
    """Return a book of `size` orders of as many owners, at 5 to 35 tokens."""
    return [
        Order(
            number,
            number.to_bytes(20, "big"),
            random.randrange(2),
            random.randint(1_000, 10_000_000),
            random.randint(5_000_000, 35_000_000),
            number,
        )
        for number in range(size)
    ]


def efficiency() -> list[tuple[int, float]]:
    """Return the welfare of `huang` in percent of the greatest there is, by number of traders."""
    points: list[tuple[int, float]] = []
    for traders in TRADERS:
        reached = best = 0
        for number in range(max(20, ORDERS_PER_POINT // traders)):
            book = draw_book(Random(f"{traders} {number}"), traders)
            reached += clear_huang(book, SEED).welfare_pico
            best += clear_uniform(book).welfare_pico
        points.append((traders, round(100 * reached / best, 2)))
    return points


def _measure(
    book: Sequence[Order], clear: Callable[[Sequence[Order]], Clearing]
) -> dict[str, object]:
    """Return the best of three processor times, and a hash of the result."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        found = clear(book)
        seconds.append(time.process_time() - start)
    digest = hashlib.sha256()
    for item in (*found.trades, *found.awards):
        digest.update(encode(item))
    return {
        "cpu_s": round(min(seconds), 4),
        "orders_per_s": round(len(book) / min(seconds)),
        "trades": len(found.trades),
        "surplus_micro": found.surplus_micro,
        "result": digest.hexdigest()[:16],
    }

"""Writes pymarket.json: random books with distinct prices, and what pymarket makes of them.

`make agreement` runs it in an environment of its own: pymarket needs an old pandas that nothing
else here should have to use. So it takes pymarket and the standard library only. pymarket merges
equal prices, which makes lying profitable, so books with ties are left out on purpose.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

PATH = Path(__file__).with_name("pymarket.json")
BOOKS = 300
KWH = 1_000_000
BUY = 0

Row = tuple[int, int, int]
"""Side (0 buys), milliwatt-hours, tokens per kWh."""


def draw_book(seed: int) -> list[Row]:
    """Return a book of 1 to 30 orders with distinct prices."""
    rng = random.Random(seed)
    count = rng.randint(1, 30)
    prices = rng.sample(range(1, 10 * count + 1), count)
    unit = rng.choice((1, KWH))
    return [(rng.randrange(2), rng.randint(1, 5 * KWH // unit) * unit, price) for price in prices]


def ask(book: Sequence[Row]) -> dict[str, object]:
    """Return what pymarket trades of a book: kWh of each order, what buyers pay, sellers get."""
    import pymarket

    market = pymarket.Market()
    for number, (side, energy, price) in enumerate(book):
        market.accept_bid(energy / KWH, price, number, side == BUY)
    transactions, _ = market.run("huang")
    energies = [0.0] * len(book)
    prices: list[int | None] = [None, None]
    for row in transactions.get_df().to_dict("records"):
        if row["quantity"]:
            energies[row["bid"]] += row["quantity"]
            side = book[row["bid"]][0]
            if prices[side] not in (None, row["price"]):
                raise ValueError(f"two prices of one side: {prices[side]}, {row['price']}")
            prices[side] = int(row["price"])
    return {"orders": book, "prices": prices, "kwh": [round(energy, 6) for energy in energies]}


def main() -> None:
    """Ask, and write, a book a line."""
    # Of its pandas, thousands of times.
    warnings.simplefilter("ignore", FutureWarning)
    sys.stderr.write(f"{BOOKS} books by pymarket {version('pymarket')}\n")
    lines = [json.dumps(ask(draw_book(seed)), separators=(",", ":")) for seed in range(BOOKS)]
    PATH.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
